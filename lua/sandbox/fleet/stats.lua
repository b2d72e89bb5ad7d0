-- SPDX-License-Identifier: MIT
--- What a fleet says of itself: as a table, and as the text that Prometheus reads.
-- @module sandbox.fleet.stats
local json = require "sandbox.json"
local message = require "sandbox.fleet.message"

--- Seconds after which a worker that says nothing is gone.
local M = { GONE = 300 }

local Stats = {}
Stats.__index = Stats

local function number(v) return tonumber(v) or 0 end

local function decode_workers(list, now)
  local out = {}
  for i = 1, #list - 1, 2 do
    local at, text = tostring(list[i + 1]):match "^(%d+) (.*)$"
    local about = text and #text < 65536 and json.decode(text)
    if type(about) == "table" and type(list[i]) == "string" then
      local has = {}
      for _, word in ipairs(type(about.has) == "table" and about.has or {}) do
        if type(word) == "string" then has[#has + 1] = word end
      end
      out[#out + 1] = { name = list[i], slots = number(about.slots), busy = number(about.busy), free_memory = number(about.free_memory), has = has,
                        draining = about.draining == true, heard = math.max(0, now - number(at)) }
    end
  end
  return out
end

local function map(list)
  local out = {}
  for i = 1, #list - 1, 2 do out[tostring(list[i])] = number(list[i + 1]) end
  return out
end

--- Takes apart what the broker has said.
-- @tparam table reply
-- @string queue
-- @treturn table
function M.decode(reply, queue)
  local now = number(reply[1]) + number(reply[2]) / 1e6
  local self = setmetatable({ queue = queue, queued = 0, running = 0, age = 0, dead = number(reply[3]), counts = map(reply[4] or {}),
                              workers = decode_workers(reply[5] or {}, now), needs = {}, slots = 0, busy = 0 }, Stats)
  for _, worker in ipairs(self.workers) do self.slots, self.busy = self.slots + worker.slots, self.busy + worker.busy end
  for i = 6, #reply - 3, 4 do
    local entry = tostring(reply[i + 3])
    local age = entry ~= "" and math.max(0, now - number(entry:match "^%d+") / 1000) or 0
    local of = { running = number(reply[i + 2]), age = age }
    of.queued = math.max(0, number(reply[i + 1]) - of.running)
    self.needs[tostring(reply[i])] = of
    self.queued, self.running, self.age = self.queued + of.queued, self.running + of.running, math.max(self.age, age)
  end
  return self
end

local gauges = {
  { "queued", "Jobs that wait." }, { "running", "Jobs in the hands of a worker." }, { "dead", "Jobs that were given up." },
  { "slots", "Slots of all workers." }, { "busy", "Slots at work." },
}
local counters = { "submitted", "answered", "cancelled", "lost", "claimed", "fenced" }

--- The text that Prometheus reads.
-- @treturn string
function Stats:prometheus()
  local out = {}
  local function line(name, kind, help, label, value)
    if kind then
      out[#out + 1] = ("# HELP sandbox_fleet_%s %s"):format(name, help)
      out[#out + 1] = ("# TYPE sandbox_fleet_%s %s"):format(name, kind)
    end
    out[#out + 1] = ('sandbox_fleet_%s{queue="%s"%s} %.9g'):format(name, self.queue, label, value)
  end
  local first = true
  for _, needs in ipairs(require("sandbox.options.values").sorted_keys(self.needs)) do
    line("queue_age_seconds", first and "gauge", "Seconds that the first job has waited.", (',needs="%s"'):format(message.label(needs)), self.needs[needs].age)
    first = false
  end
  for _, row in ipairs(gauges) do line(row[1], "gauge", row[2], "", self[row[1]]) end
  line("workers", "gauge", "Workers that were heard of.", "", #self.workers)
  for i, name in ipairs(counters) do line("jobs_total", i == 1 and "counter", "Jobs, by what became of them.", (',event="%s"'):format(name), self.counts[name] or 0) end
  return table.concat(out, "\n") .. "\n"
end

Stats.__tostring = Stats.prometheus

return M
