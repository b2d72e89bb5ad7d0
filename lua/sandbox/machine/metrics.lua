-- SPDX-License-Identifier: MIT
--- Counters and histograms of an instance, as tables and as Prometheus text.
-- @module sandbox.machine.metrics
local M = {}

local Metrics = {}
Metrics.__index = Metrics

local seconds = { 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60 }

local bytes = {}
for power = 20, 34 do bytes[#bytes + 1] = 2 ^ power end -- 1 MiB to 16 GiB

local function new_histogram(name, help, bounds)
  local h = { name = name, help = help, bounds = bounds, count = 0, sum = 0, buckets = {} }
  for i = 1, #bounds do h.buckets[i] = 0 end
  return h
end

--- Makes a set of metrics.
-- @treturn Metrics
function M.new()
  return setmetatable({
    runs = {}, errors = {}, started = 0,
    histograms = {
      boot = new_histogram("boot_duration_seconds", "Seconds until the guest's first instruction.", seconds),
      run = new_histogram("run_duration_seconds", "Seconds from the guest's first instruction to its end.", seconds),
      queue = new_histogram("queue_duration_seconds", "Seconds of waiting for a turn.", seconds),
      memory = new_histogram("peak_memory_bytes", "The most memory that a run used.", bytes),
    },
  }, Metrics)
end

-- Each value is counted in its own bucket alone; a snapshot counts it in those above, too.
local function observe(h, value)
  h.count, h.sum = h.count + 1, h.sum + value
  local bounds, i = h.bounds, 1
  while bounds[i] and value > bounds[i] do i = i + 1 end
  if bounds[i] then h.buckets[i] = h.buckets[i] + 1 end
end

--- Counts a start.
function Metrics:start()
  self.started = self.started + 1
end

--- Counts an end.
-- @tparam[opt] table result
-- @string[opt] code of an error, where there is no result
function Metrics:finish(result, code)
  if not result then
    code = code or "system"
    self.errors[code] = (self.errors[code] or 0) + 1
    return
  end
  self.runs[result.status] = (self.runs[result.status] or 0) + 1
  observe(self.histograms.boot, result.boot_duration)
  observe(self.histograms.run, result.duration)
  observe(self.histograms.queue, result.queue_duration)
  if result.peak_memory then observe(self.histograms.memory, result.peak_memory) end
end

local Snapshot = {}
Snapshot.__index = Snapshot

local function copy(t)
  local out = {}
  for k, v in pairs(t) do out[k] = type(v) == "table" and copy(v) or v end
  return out
end

local function whole(histograms)
  local out = copy(histograms)
  for _, h in pairs(out) do
    for i = 2, #h.buckets do h.buckets[i] = h.buckets[i] + h.buckets[i - 1] end
  end
  return out
end

--- A copy of the present state.
-- @int active runs at the moment
-- @int waiting those that wait for a turn
-- @treturn table { started=, active=, waiting=, runs = { exited=… }, errors = { busy=… }, histograms = {…} }; `:prometheus()` and
-- tostring give the text
function Metrics:snapshot(active, waiting)
  return setmetatable({
    started = self.started, active = active, waiting = waiting, runs = copy(self.runs), errors = copy(self.errors),
    histograms = whole(self.histograms),
  }, Snapshot)
end

local function sorted(t)
  local keys = {}
  for k in pairs(t) do keys[#keys + 1] = k end
  table.sort(keys)
  return keys
end

local function head(out, name, kind, help)
  out[#out + 1] = ("# HELP %s %s"):format(name, help)
  out[#out + 1] = ("# TYPE %s %s"):format(name, kind)
end

local function labelled(out, name, help, label, t)
  head(out, name, "counter", help)
  for _, key in ipairs(sorted(t)) do out[#out + 1] = ('%s{%s="%s"} %d'):format(name, label, key, t[key]) end
end

local function histogram_lines(out, h)
  local name = "sandbox_" .. h.name
  head(out, name, "histogram", h.help)
  for i, bound in ipairs(h.bounds) do out[#out + 1] = ('%s_bucket{le="%.12g"} %d'):format(name, bound, h.buckets[i]) end
  out[#out + 1] = ('%s_bucket{le="+Inf"} %d'):format(name, h.count)
  out[#out + 1] = ("%s_sum %.9g"):format(name, h.sum)
  out[#out + 1] = ("%s_count %d"):format(name, h.count)
end

--- The text that Prometheus reads.
-- @treturn string
function Snapshot:prometheus()
  local out = {}
  head(out, "sandbox_started_total", "counter", "Runs that were started.")
  out[#out + 1] = ("sandbox_started_total %d"):format(self.started)
  head(out, "sandbox_active", "gauge", "Runs at the moment.")
  out[#out + 1] = ("sandbox_active %d"):format(self.active)
  head(out, "sandbox_waiting", "gauge", "Runs that wait for a turn.")
  out[#out + 1] = ("sandbox_waiting %d"):format(self.waiting)
  labelled(out, "sandbox_runs_total", "Runs that ended, by status.", "status", self.runs)
  labelled(out, "sandbox_errors_total", "Runs that had no result, by code.", "code", self.errors)
  for _, key in ipairs(sorted(self.histograms)) do histogram_lines(out, self.histograms[key]) end
  return table.concat(out, "\n") .. "\n"
end

Snapshot.__tostring = Snapshot.prometheus

return M
