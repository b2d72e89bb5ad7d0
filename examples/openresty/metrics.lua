-- SPDX-License-Identifier: MIT
-- /metrics: what this service counts, what the sandboxes of each nginx worker count, and a fleet's figures.
local http = require "http"
local machine = require "machine"
local settings = require "settings"
local store = require "v3.store"

local M = {}

local PUBLISH = 2 -- seconds between two times that a worker writes down what it has counted

--- In each worker: lets the others know what its sandboxes count.
function M.init_worker()
  ngx.timer.every(PUBLISH, function(premature)
    local text = not premature and machine.metrics()
    if text then ngx.shared.code_metrics:set(("worker %d"):format(ngx.worker.id()), text) end
  end)
end

local function with_worker(line, worker)
  local label = ('worker="%d"'):format(worker)
  local out, n = line:gsub("^([%w_]+){", "%1{" .. label .. ",")
  return n == 1 and out or (line:gsub("^([%w_]+) ", "%1{" .. label .. "} "))
end

-- The lines of all workers, each with its number, those of one name together, as Prometheus wants them.
local function add_workers(out)
  local names, families, family = {}, {}, nil
  for worker = 0, ngx.worker.count() - 1 do
    for line in (ngx.shared.code_metrics:get("worker " .. worker) or ""):gmatch "[^\n]+" do
      local word, name = line:match "^# (%u+) (%S+)"
      if word and not families[name] then
        names[#names + 1], families[name] = name, { about = {} }
      end
      if word then
        family = families[name]
        family.about[word] = line
      else
        family[#family + 1] = with_worker(line, worker)
      end
    end
  end
  for _, name in ipairs(names) do
    family = families[name]
    out[#out + 1] = ("%s\n%s"):format(family.about.HELP, family.about.TYPE)
    if family[1] then out[#out + 1] = table.concat(family, "\n") end
  end
end

local function add_places(out)
  local keys = { settings.anonymous or nil }
  for _, key in pairs(settings.keys) do keys[#keys + 1] = key end
  for _, kind in ipairs{ "live", "reader" } do
    for _, key in ipairs(keys) do out[#out + 1] = ('code_api_%s{key="%s"} %d'):format(kind, key.name, store.taken(kind, key)) end
  end
  out[#out + 1] = ("code_api_memory_free_bytes %d"):format(ngx.shared.code_runs:free_space())
end

--- The handler.
function M.handle()
  if not http.need_method "GET" then return end
  local counters, out = ngx.shared.code_metrics, {}
  for _, name in ipairs(counters:get_keys(0)) do
    if not name:find "^worker " then out[#out + 1] = ("code_%s %s"):format(name, tostring(counters:get(name))) end
  end
  table.sort(out)
  add_places(out)
  add_workers(out)
  if settings.fleet then
    local stats, why = require("v3.by_fleet").client():stats()
    out[#out + 1] = stats and tostring(stats):gsub("\n$", "") or "# " .. tostring(why)
  end
  ngx.header["Content-Type"] = "text/plain; version=0.0.4"
  ngx.say(table.concat(out, "\n"))
end

return M
