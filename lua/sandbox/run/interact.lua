-- SPDX-License-Identifier: MIT
--- Two programs that talk to each other: each one's stdout is the other's stdin.
--
-- What one says is read by one coroutine and written by the same to the other: one that does not read holds up that coroutine alone.
-- Meanwhile at most `limits.output` of what was said is held, for there a program's output ends.
-- @module sandbox.run.interact
local core = require "sandbox.core"
local request = require "sandbox.run.request"

local M = {}

-- What an entry and a piece of the transcript cost besides their bytes: who says a byte at a time must not fill our memory.
local ENTRY, PIECE = 64, 16

local Transcript = {}
Transcript.__index = Transcript

local function new_transcript(limit)
  return setmetatable({ list = { truncated = false, bytes = 0 }, left = limit or 0, kept = limit and true, began = core.now() }, Transcript)
end

-- What was said: one entry for as long as the same one speaks.
function Transcript:add(from, bytes)
  local list = self.list
  local last = list[#list]
  local cost = #bytes + PIECE + (last and last.from == from and 0 or ENTRY)
  list.bytes = list.bytes + #bytes
  if list.truncated or cost > self.left then
    list.truncated = true
    return
  end
  self.left = self.left - cost
  if not last or last.from ~= from then
    last = { from = from, at = core.now() - self.began, pieces = {} }
    list[#list + 1] = last
  end
  last.pieces[#last.pieces + 1] = bytes
end

function Transcript:finish()
  if not self.kept then return nil end
  for _, entry in ipairs(self.list) do
    entry.data, entry.pieces = table.concat(entry.pieces), nil
  end
  return self.list
end

local function begin(host, plan)
  plan.stdin_open, plan.spawn = true, true
  local prepared, rt, code = host.prepare(plan)
  if not prepared then return nil, rt, code end
  local req, message
  req, message, code = request.build(plan, rt, plan.id)
  if not req then return nil, message, code end
  -- Two coroutines wait for it, which a host's own kind of connection may not bear.
  local job
  job, message, code = host.launch(plan, req, true)
  return job, message, code
end

-- Carries what one says to the other until it says no more, which the other hears; it may go on for itself. From its end the other has
-- `grace` seconds for its own.
local function carry(from, to, who, plan, transcript)
  local chunk = from:read "stdout"
  while chunk do
    transcript:add(who, chunk)
    to:write(chunk) -- one that has ended hears nothing
    chunk = from:read "stdout"
  end
  to:close_stdin()
  from:wait()
  local _, _, code = to:wait(from.result and plan.grace or 0)
  if code == "timeout" then
    to.outlived = true
    to:kill()
  end
end

local LEAST_NAP, MOST_NAP = 0.001, 0.02 -- seconds

-- In a scheduler of the caller's, which may block for whoever waits in it: by turns, and it is asked for time alone, between them.
local function by_turns(own, jobs, carry_of, transcript)
  local works, nap, bytes = {}, LEAST_NAP, 0
  for who, job in ipairs(jobs) do
    job.plan.wait = function(...) -- others wait for the job, too, in their own way
      local me = coroutine.running()
      if me and (me == works[1] or me == works[2]) then return coroutine.yield() end
      return own(...)
    end
    works[who] = coroutine.create(function() carry_of(who) end)
  end
  while works[1] or works[2] do
    for who = 1, 2 do
      local ok, err = true, nil
      if works[who] then ok, err = coroutine.resume(works[who]) end
      if not ok then error(err, 0) end
      if works[who] and coroutine.status(works[who]) == "dead" then works[who] = nil end
    end
    nap = transcript.list.bytes > bytes and LEAST_NAP or math.min(nap * 1.5, MOST_NAP)
    bytes = transcript.list.bytes
    if works[1] or works[2] then own(-1, "r", nap) end
  end
  for _, job in ipairs(jobs) do job.plan.wait = own end
end

local function finish(job)
  local r, message, code = job:wait()
  job:close()
  if r and job.outlived and r.status == "killed" then r.message = "killed: the other program had ended" end
  return r, message, code
end

--- Runs the two to their ends.
-- @tparam table host the instance's services
-- @tparam table plan of `options.plan.interact`
-- @tparam table past { queued = seconds of waiting for a turn }
-- @return result of the first, of the second, transcript; or nil, message, code
function M.run(host, plan, past)
  local jobs = {}
  for i, program in ipairs(plan.programs) do
    program.queue_duration = past.queued
    local job, message, code = begin(host, program)
    if not job then
      if jobs[1] then jobs[1]:close() end
      return nil, message, code
    end
    jobs[i] = job
  end
  local transcript = new_transcript(plan.transcript)
  local function carry_of(who)
    carry(jobs[who], jobs[3 - who], who, plan, transcript)
    return true
  end
  local own = jobs[1].plan.wait
  if own then by_turns(own, jobs, carry_of, transcript) else host.map({ 1, 2 }, 2, carry_of) end
  local results = {}
  for who, job in ipairs(jobs) do
    local r, message, code = finish(job)
    if not r and (not results.message or results.code == "closed") then
      results.message, results.code = ("the %s program: %s"):format(who == 1 and "first" or "second", tostring(message)), code
    end
    results[who] = r
  end
  if results.message then return nil, results.message, results.code end
  return results[1], results[2], transcript:finish()
end

return M
