-- SPDX-License-Identifier: MIT
-- The runs of this nginx worker, from the queue to the end. A run belongs to the worker that took the request, and ends with it; all
-- others know of it by the store, over which it is cancelled, too.
local http = require "http"
local settings = require "settings"
local store = require "v3.store"
local webhook = require "v3.webhook"

local M = {}

local TICK = 0.1
local KEEP = 5 -- seconds between two words that a run is there
local PIECE = 16 * 1024 -- bytes of output that are one event
local PIECES = 500 -- pieces that a run's time is cut into at most

local waiting, running, busy, ticking = {}, {}, 0, false

local Run = {}
Run.__index = Run

-- The bytes at the end that begin a character which is still to come.
local function unfinished(bytes)
  for back = 1, math.min(3, #bytes) do
    local b = bytes:byte(-back)
    if b >= 0xC2 and b <= 0xF4 then return (b >= 0xF0 and 4 or b >= 0xE0 and 3 or 2) > back and back or 0 end
    if b < 0x80 or b > 0xBF then return 0 end
  end
  return 0
end

--- Writes what has come: of a text whole characters only, but at the end.
function Run:flush(all)
  self.flushed = ngx.now()
  for _, piece in ipairs(self.pending) do
    local stream, bytes = piece[1], table.concat(piece, "", 2)
    bytes, self.tail[stream] = self.tail[stream] .. bytes, ""
    local hold = self.record.encoding == "utf-8" and unfinished(bytes) or 0
    self.tail[stream] = bytes:sub(#bytes - hold + 1)
    for at = 1, #bytes - hold, PIECE do store.event(self.record.id, stream, bytes:sub(at, math.min(at + PIECE - 1, #bytes - hold))) end
  end
  self.pending, self.held = {}, 0
  if not all then return end
  for _, stream in ipairs{ "stdout", "stderr" } do
    if self.tail[stream] ~= "" then store.event(self.record.id, stream, self.tail[stream]) end
    self.tail[stream] = ""
  end
end

--- For backends: some output.
function Run:say(stream, bytes)
  local last = self.pending[#self.pending]
  if not last or last[1] ~= stream then
    last = { stream }
    self.pending[#self.pending + 1] = last
  end
  last[#last + 1] = bytes
  self.held = self.held + #bytes
  if self.held >= PIECE then self:flush() end
end

--- For backends: the program has begun.
function Run:begun()
  if self.record.state ~= "queued" then return end
  self.record.state, self.record.started = "running", ngx.now()
  store.update(self.record)
  store.event(self.record.id, "state", "running")
end

--- For backends: it is begun anew, and what it said is void.
function Run:restart(attempt)
  self.pending, self.tail, self.held = {}, { stdout = "", stderr = "" }, 0
  self.record.attempt = attempt
  store.update(self.record)
  store.event(self.record.id, "restart", tostring(attempt))
end

-- What a client is told: of what this machine lacks it is no business of his.
local WORDS = { broker_lost = "the fleet cannot be reached", system = "the sandbox could not be started" }
local STATUS = { busy = 503, lost = 500, broker_lost = 503 }

local function limits_of(r)
  local out = {}
  for _, name in ipairs{ "timeout", "cpu_time", "memory", "output", "pids" } do
    local report = r.limits[name]
    if report then out[name] = { requested = report.requested, hit = report.hit } end
  end
  return out
end

local function result_of(r)
  return { ok = r.ok, status = r.status, exit_code = r.exit_code, signal = r.signal_name, message = not r.ok and r.message or nil,
           stdout_truncated = r.stdout_truncated, stderr_truncated = r.stderr_truncated, duration = r.duration, boot_duration = r.boot_duration,
           cpu_time = r.cpu_time, peak_memory = r.peak_memory, limits = limits_of(r) }
end

local function finish(run, r, message, code)
  local record = run.record
  run:flush(true)
  local killed = not r or r.status == "killed"
  if r and not (killed and run.late) then record.result = result_of(r) end
  if run.late and killed then
    record.state, record.error = "failed", http.problem(503, "timeout", ("it did not end within %d s"):format(settings.patience))
  elseif run.cancelled and killed then
    record.state = "cancelled"
  elseif r then
    record.state = "finished"
  else
    ngx.log(ngx.ERR, "sandbox: ", message, " (", code, ")")
    code = tostring(code or "system")
    record.state, record.error = "failed", http.problem(STATUS[code] or 500, code, WORDS[code] or STATUS[code] and tostring(message) or WORDS.system)
  end
  store.finish(record)
  run.options = nil
end

local dispatch

-- In a timer of its own: from its start to its webhook.
local function work(premature, run)
  if premature and settings.fleet then return end -- the fleet has it still, for another worker
  local backend = require(settings.fleet and "v3.by_fleet" or "v3.here")
  running[run] = true
  local ok, r, message, code
  if premature then ok, message, code = true, "the service ends", "closed" else ok, r, message, code = pcall(backend.run, run) end
  if not ok then r, message, code = nil, tostring(r), "system" end
  ok, message = pcall(finish, run, r, message, code)
  if not ok then ngx.log(ngx.ERR, "a run's end: ", message) end
  running[run] = nil
  busy = busy - 1
  dispatch()
  if run.record.webhook then webhook.tell(run.record) end
end

function dispatch()
  while waiting[1] and busy < (settings.fleet and settings.followed or settings.slots) do
    local run = table.remove(waiting, 1)
    busy = busy + 1
    local ok, why = ngx.timer.at(0, work, run)
    if not ok then
      busy = busy - 1
      finish(run, nil, "no timer: " .. why, "closed")
    end
  end
end

-- Kills may wait, and this must not.
local function kill(run)
  if run.kill then ngx.timer.at(0, function() pcall(run.kill) end) end
end

local function look(run, now)
  if now - run.kept >= KEEP then
    run.kept = now
    store.keep_live(run.record)
  end
  if not run.cancelled and store.is_cancelled(run.record.id) then
    run.cancelled = true
    kill(run)
  elseif not run.late and now - run.record.created > settings.patience then
    run.late = true
    kill(run)
  end
  if run.held > 0 and now - run.flushed >= run.interval then run:flush() end
end

local function tick(premature)
  ticking = false
  if premature then return end
  local now = ngx.now()
  for run in pairs(running) do look(run, now) end
  for i = #waiting, 1, -1 do
    local run = waiting[i]
    look(run, now)
    if run.cancelled or run.late then
      table.remove(waiting, i)
      finish(run, nil)
    end
  end
  if next(running) or waiting[1] then
    ticking = true
    ngx.timer.at(TICK, tick)
  end
end

local function new_run(record, timeout)
  return setmetatable({ record = record, pending = {}, held = 0, tail = { stdout = "", stderr = "" }, kept = ngx.now(), flushed = 0,
                        interval = math.max(TICK, timeout / PIECES) }, Run)
end

local function take_up(run)
  waiting[#waiting + 1] = run
  dispatch()
  if not ticking then
    ticking = true
    ngx.timer.at(TICK, tick)
  end
end

-- In a timer of its own, so that it is done whatever becomes of the request.
local function submit(_, run)
  local ok, id, message, code = pcall(require("v3.by_fleet").submit, run)
  if ok and id then
    take_up(run)
  else
    ok, message = pcall(finish, run, nil, ok and message or tostring(id), ok and code or "system")
    if not ok then ngx.log(ngx.ERR, "a run's end: ", message) end
  end
  run.taken = true
end

--- Takes a run over: its record, which is stored, and its options. It is `taken` once it does not depend on this request any more; with a
-- fleet that is when its broker has it.
function M.enqueue(record, asked)
  local run = new_run(record, asked.options.limits.timeout)
  run.options, run.needs = asked.options, asked.entry.needs or asked.entry.binary:match "[^/]*$"
  if settings.fleet then
    local ok, why = ngx.timer.at(0, submit, run)
    if ok then return run end
    finish(run, nil, "no timer: " .. why, "closed")
  else
    take_up(run)
  end
  run.taken = true
  return run
end

--- Follows a run that the fleet has already: its record, with its `job`.
function M.follow(record)
  local run = new_run(record, math.min(record.timeout, settings.limits.timeout.maximum))
  run.job = record.job
  take_up(run)
end

--- How many wait and run in this worker.
function M.counts() return #waiting, busy end

return M
