-- SPDX-License-Identifier: MIT
--- A fleet: programs that run on whichever machine has room, over a queue in Redis or Valkey.
--
-- Jobs run at least once and are answered exactly once: `scripts.lua` says how. What the broker holds may have been written by
-- anybody: it is checked here, and again by the worker.
-- @module sandbox.fleet
local core = require "sandbox.core"
local brokers = require "sandbox.fleet.broker"
local errors = require "sandbox.errors"
local message = require "sandbox.fleet.message"
local options_plan = require "sandbox.options.plan"
local scripts = require "sandbox.fleet.scripts"
local wait = require "sandbox.hosts.wait"

local M = {}

local Fleet = {}
Fleet.__index = Fleet

local STEP = 30 -- seconds that a step in the broker may take
local LOOK = 5 -- seconds of one blocking wait for an answer
local CANCEL_TTL = 3600
local CANCELLED = "the job was cancelled"

--- What says that a job was cancelled.
M.CANCELLED = CANCELLED

--- Makes a client of a fleet; connects to nothing yet.
-- @tparam[opt] table options redis, queue, max_jobs, key_ttl, broker_timeout: see the README; a wrong one raises
-- @treturn Fleet
function M.new(options)
  local checked = options_plan.call("fleet", options)
  return setmetatable({ options = checked, broker = brokers.new(brokers.address(checked.redis)), prefix = "{" .. checked.queue .. "}:" }, Fleet)
end

--- Repeats a call while the broker cannot be reached, for as long as that is to be borne.
-- @number seconds how long
-- @bool again whether what may have been done can be done once more
-- @func f gives what broker:script does
-- @treturn boolean true, and the reply; or nil, message, code
function M.patient(seconds, again, f)
  local limit, nap = core.now() + seconds, 0.02
  while true do
    local ok, reply, kind = f()
    if ok then return true, reply end
    local gone = kind == "unreached" or kind == "lost"
    if not gone then return nil, reply, kind == "refused" and (reply:find('"OOM', 1, true) and "busy" or "system") or kind end
    if kind == "lost" and not again or core.now() >= limit then return nil, reply, "broker_lost" end
    wait.sleep(nap)
    nap = math.min(nap * 2, 1)
  end
end

local function step(self, again, script, ...)
  local args = { ... }
  local ok, reply, code = M.patient(self.options.broker_timeout, again, function()
    local ok, reply, kind = self.broker:script(STEP, script, { self.prefix }, args)
    return ok, reply, kind
  end)
  if ok and type(reply) ~= "table" and type(reply) ~= "number" then return nil, "what the broker answers is not what was asked for", "system" end
  return ok, reply, code
end

local function check_id(id, method)
  local entry, secret, needs = message.parse_id(id)
  if not entry then errors.argument(1, method, "an id that fleet:submit gave", id) end
  return entry, secret, needs
end

--- Puts a job into the queue.
-- @tparam table options as of `sandbox.run`; what names a path or a function of this host raises
-- @tparam[opt] table how { key = one job for each, however often it is submitted; note = what `find` gives back; needs = what a worker must have }
-- @treturn string the job's id, or nil, message, code
function Fleet:submit(options, how)
  local asked = options_plan.call("submit", how)
  options_plan.run(options, nil, { client = true, elsewhere = true })
  local may, why, kind = wait.may_wait()
  if not may then return nil, why, kind end
  local body, words, code = message.encode_job(options)
  if not body then return nil, words, code end
  local key = asked.key or ""
  local ok, reply, wrong = step(self, key ~= "", scripts.submit, body, core.random_hex(8), asked.needs or "", ("%d"):format(self.options.max_jobs), key,
    ("%d"):format(self.options.key_ttl), asked.note or "")
  if not ok then return nil, reply, wrong end
  if reply[1] == 0 then return nil, ("the queue is full: %d jobs wait or run"):format(self.options.max_jobs), "busy" end
  if reply[1] == 2 then return nil, "the queue has too many different sets of needs", "busy" end
  if not message.parse_id(reply[2]) then return nil, "what the broker answers is no id", "system" end
  return reply[2]
end

--- Finds the job that was submitted with a key, by whomever, for as long as the key is known.
-- @string key
-- @treturn string its id, or nil, message, code: `not_found` where there was none
-- @treturn string the note that came with it, or ""
function Fleet:find(key)
  local asked = options_plan.call("submit", { key = key })
  if not asked.key then errors.argument(1, "find", "the key of a job", key) end
  local may, why, kind = wait.may_wait()
  if not may then return nil, why, kind end
  local ok, reply, code = step(self, true, scripts.find, asked.key)
  if not ok then return nil, reply, code end
  if reply[1] ~= 1 then return nil, "no job was submitted with this key, or it was too long ago", "not_found" end
  if not message.parse_id(reply[2]) then return nil, "what the broker answers is no id", "system" end
  return reply[2], tostring(reply[3] or "")
end

-- The answer, if it is there: true and its three values, and the attempt; false: it is not; nil, message, code.
local function look(self, id)
  local entry, secret, needs = message.parse_id(id)
  local ok, reply, code = step(self, true, scripts.look, id, entry, secret, needs)
  if not ok then return nil, reply, code end
  if reply[1] == 1 then return false end
  if reply[1] ~= 2 then return nil, "there is no such job, or its answer was not kept for so long", "not_found" end
  local parts = {}
  for i = 3, #reply do parts[#parts + 1] = reply[i] end
  local r, words, kind = message.decode_answer(reply[2], parts)
  if r then return true, r, nil, nil, words end
  return true, nil, words, kind
end

--- For those that follow: the answer, if it is there.
-- @string id
-- @treturn boolean true, then result, message, code, attempt; false: not yet; or nil, message, code
function Fleet:look(id)
  local a, b, c, d, e = look(self, id)
  return a, b, c, d, e
end

-- Until there is an answer, or the time is over, or as long as may be waited in one go.
local function wait_answer(self, id, left)
  local seconds = math.max(0.01, math.min(left, LOOK))
  local key = self.prefix .. "done:" .. id
  local ok, reply, kind = self.broker:command(seconds + STEP, "BRPOPLPUSH", { key, key, ("%.3f"):format(seconds) })
  if ok or kind == "lost" or kind == "unreached" then return true end -- the next look tells
  return nil, reply, kind == "refused" and "system" or kind
end

local function result(self, id, seconds, fresh)
  local limit = seconds and core.now() + seconds or math.huge
  while true do
    if not fresh then
      local there, r, words, code = look(self, id)
      if there == nil then return nil, r, words end
      if there then return r, words, code end
    end
    fresh = false
    local left = limit - core.now()
    if left <= 0 then return nil, "the job is not done", "timeout" end
    local ok, words, code = wait_answer(self, id, left)
    if not ok then return nil, words, code end
  end
end

--- Waits for a job's answer; it can be asked for as often as one likes while it is kept.
-- @string id
-- @number[opt] seconds how long at most; 0 looks
-- @treturn table result as of `sandbox.run`, or nil, message, code: `timeout`: not yet
function Fleet:result(id, seconds)
  check_id(id, "result")
  if seconds ~= nil and (type(seconds) ~= "number" or not (seconds >= 0)) then errors.argument(2, "result", "seconds", seconds) end
  local may, why, kind = wait.may_wait()
  if not may then return nil, why, kind end
  local r, words, code = result(self, id, seconds)
  return r, words, code
end

--- Submits a job and waits for its answer.
-- @tparam table options as of `submit`
-- @tparam[opt] table how as of `submit`
-- @treturn table result, or nil, message, code
function Fleet:run(options, how)
  local id, words, code = self:submit(options, how)
  if not id then return nil, words, code end
  local r
  r, words, code = result(self, id, nil, true)
  return r, words, code
end

--- Ends a job: one that waits does not begin, one that runs is killed. Its answer is nil, "the job was cancelled", "closed".
-- @string id
-- @treturn boolean true; false where it is answered already; or nil, message, code
function Fleet:cancel(id)
  local entry, secret, needs = check_id(id, "cancel")
  local may, why, kind = wait.may_wait()
  if not may then return nil, why, kind end
  local ok, reply, code = step(self, true, scripts.cancel, id, entry, secret, needs, message.refusal(CANCELLED, "closed"), ("%d"):format(CANCEL_TTL))
  if not ok then return nil, reply, code end
  if reply == 0 then return nil, "there is no such job", "not_found" end
  return reply ~= 2
end

--- Reads a job's output as it comes, from its beginning: `for stream, chunk in fleet:follow(id) do`, or, where an iterator cannot wait
-- (PUC Lua 5.1), `follower:read()`.
-- @string id
-- @treturn Follower
function Fleet:follow(id)
  check_id(id, "follow")
  return require("sandbox.fleet.follow").new(self, id)
end

--- What waits, what runs and who works.
-- @treturn table { queued=, running=, age= seconds the first has waited, dead=, slots=, busy=, workers = {…}, needs = {…}, counts = {…} };
-- `tostring` of it is what Prometheus reads; or nil, message, code
function Fleet:stats()
  local may, why, kind = wait.may_wait()
  if not may then return nil, why, kind end
  local stats = require "sandbox.fleet.stats"
  local ok, reply, code = step(self, true, scripts.stats, ("%d"):format(stats.GONE))
  if not ok then return nil, reply, code end
  return stats.decode(reply, self.options.queue)
end

--- Closes the connections that are kept; the next call makes new ones.
function Fleet:close() self.broker:close() end

errors.guard(Fleet, "fleet")

return M
