-- SPDX-License-Identifier: MIT
--- `sandbox worker`: from its flags to a worker that runs until it is told to stop.
-- @module sandbox.shell.worker
local core = require "sandbox.core"
local brokers = require "sandbox.fleet.broker"
local exporter = require "sandbox.fleet.exporter"
local json = require "sandbox.json"
local loop = require "sandbox.hosts.loop"
local options_plan = require "sandbox.options.plan"
local runner = require "sandbox.fleet.runner"
local usage = require("sandbox.shell.flags").usage
local wait = require "sandbox.hosts.wait"
local workers = require "sandbox.fleet.worker"

local M = {}

local INT, TERM = 2, 15
local FAILED = 125

local function log(words) io.stderr:write("sandbox worker: ", (words:gsub("%c", " ")), "\n") end

-- A pool's profile: the options of sandbox.pool as JSON, and its name.
local function read_profile(path)
  local file = io.open(path, "rb")
  if not file then usage("--pool: cannot read %s", path) end
  local profile, why = json.decode(file:read "*a")
  file:close()
  if type(profile) ~= "table" then usage("--pool: %s is no JSON object: %s", path, tostring(why or "")) end
  local name = profile.name or path:match "([^/]+)%.json$" or path:match "([^/]+)$"
  if type(name) ~= "string" or #name > 60 or not name:find "^[%w_.:+-]+$" then usage("--pool: %s: name is to be of letters, digits, '_', '.', ':', '+', '-'", path) end
  profile.name = name
  return profile
end

local function count(flag, value, default, most)
  local n = value == nil and default or value
  if n ~= math.floor(n) or n < 1 or n > most then usage("%s: expected an integer from 1 to %d", flag, most) end
  return n
end

local function exporters(how)
  if not how.metrics then return {} end
  local host, port = how.metrics:match "^%[?([%x.:]*)%]?:(%d+)$"
  if not host then return { exporter.to_file(how.metrics) } end
  local task, why = exporter.listen(host ~= "" and host or "127.0.0.1", tonumber(port))
  if not task then usage("--metrics: cannot listen on %s: %s", how.metrics, tostring(why)) end
  return { task }
end

-- The first signal drains, the second ends.
local function obey(signals)
  return function(worker)
    while not worker.over do
      local number = signals:read()
      if number and worker.draining then
        log "told twice: what is in hand is left for others"
        worker:abandon()
      elseif number then
        worker:drain()
      else
        wait.wait(signals:fd(), "r", 0.5)
      end
    end
  end
end

--- Runs it.
-- @tparam table options whose limits are the most that a job may have
-- @tparam table instance options of the instance
-- @tparam table how its own flags
-- @treturn integer exit status
function M.run(options, instance, how)
  if options[1] then usage("sandbox worker takes no arguments, got %s", tostring(options[1])) end
  local plan, wrong = options_plan.never("call", "fleet", { redis = how.redis, queue = how.queue })
  if not plan then usage("%s", wrong) end
  local slots, profiles = count("--slots", how.slots, 1, 1000), {}
  for i, path in ipairs(how.pool or {}) do profiles[i] = read_profile(path) end
  for _, word in ipairs(how.has or {}) do
    if not word:find "^[%w_.:+-]+$" or #word > 60 then usage("--has: expected a word of letters, digits, '_', '.', ':', '+', '-', got %s", word) end
  end
  local signals = assert(core.signals(INT, TERM))
  local beside = exporters(how)
  beside[#beside + 1] = obey(signals)
  local status = 0
  loop.loop(function()
    local made, why, code = runner.new(instance, options.limits, profiles, how.has or {})
    if not made then
      log(("%s (%s)"):format(tostring(why), tostring(code)))
      status = FAILED
      return
    end
    local worker = workers.new{
      address = brokers.address(plan.redis), queue = plan.queue, slots = slots, lease = count("--lease", how.lease, 30, 86400),
      max_deliveries = count("--attempts", how.attempts, 3, 1000), keep = count("--keep", how.keep, 3600, 1e9), has = made.has, log = log,
      handler = function(job)
        local r, message, kind = made:run(job)
        return r, message, kind
      end,
      about = function() return made:about() end,
    }
    worker:run(beside)
    made:close()
  end)
  return status
end


return M
