-- SPDX-License-Identifier: MIT
--- What a pool is for: a sandbox for one program, for a job, or as a box for a while; and how it comes back.
-- @module sandbox.pool.lease
local core = require "sandbox.core"
local errors = require "sandbox.errors"
local options_plan = require "sandbox.options.plan"

local Lease = {} -- methods of pools

local CLOSED = "the pool is closed"
-- How many sandboxes that die before their program began a call is given.
local ATTEMPTS = 5
-- Seconds that a leased program has the machine for itself before its sandbox's successor boots: most are done by then.
local HEAD_START = 0.02

-- A sandbox that was armed ahead answers before it has said of itself that it has booted: only nil says that it is dead.
local function is_dead(entry)
  return entry.box:ready() == nil
end

-- `died`: its program did not end by itself, so that nobody else may have what is left of it.
local function give_back(self, entry, token, died)
  self.leases[entry], self.served = nil, self.served + 1
  if died or not entry.returns or self.closed or is_dead(entry) then
    self:discard(entry)
  else
    entry.leased, entry.box.meanwhile = false, nil
    self.boxes[#self.boxes + 1] = entry
  end
  self.turns:release(token)
  self:fill()
end

-- One that nobody has used was to be had, and is not: as if it had never been.
local function give_up(self, entry, token)
  self.leases[entry] = nil
  self:discard(entry)
  self.turns:release(token)
end

-- The plan that was checked, in the first sandbox that is tried; a plan serves once.
local function take_plan(past, box, scope, options)
  local plan = past.plan
  past.plan = nil
  return plan and options_plan.seat(plan, box) or options_plan[scope](box, options)
end

local function run_prepared(entry, options, past)
  local plan = take_plan(past, entry.box, "lease", options)
  plan.began, plan.queue_duration = past.began, past.queued
  local job = entry.job
  entry.job = nil
  local r, why, code, raised = entry.box:lease(job, plan, past)
  return r, why, code, raised
end

-- Of stdin, what a program that has not begun can have been sent.
local REPLAY = 1024 * 1024

-- A stdin function can be asked only once: what was taken of it for a sandbox that died before its program began is kept for the next.
local function replayed(options)
  local source = options.stdin
  if type(source) ~= "function" then return options, function() end end
  local out, taken, at, bytes = {}, {}, 0, 0
  for k, v in pairs(options) do out[k] = v end
  function out.stdin()
    at = at + 1
    if taken[at] ~= nil then return taken[at] or nil end
    local chunk = source()
    bytes = bytes + (type(chunk) == "string" and #chunk or 0)
    if bytes > REPLAY then taken = {} else taken[at] = chunk or false end
    return chunk
  end
  return out, function() at = 0 end
end

-- What is wrong is told before anything is leased.
local function check(self, options, spawning)
  if self.closed then return nil, CLOSED, "closed" end
  local plan = options_plan[self.options.prepared and "lease" or "program"](self.sample, options, spawning)
  return plan
end

--- Runs a program in a sandbox that nobody has used (with max_uses = 1), and that nobody will use again.
-- @tparam table options as of `box:run`; of a prepared pool `code`, `stdin`, `argv`, limits and callbacks. With max_uses = 1
-- limits.memory, pids and cpus, too: at most the pool's own
-- @treturn table result, or nil, message, code
function Lease:run(options)
  local plan, message, code = check(self, options)
  if not plan then return nil, message, code end
  local rewind
  options, rewind = replayed(options)
  if type(plan.stdin) == "function" then plan.stdin = options.stdin end
  local began = core.now()
  for attempt = 1, ATTEMPTS do
    local entry, token, queued = self:acquire()
    if not entry then return self.host.fail(token, queued) end
    local box, past = entry.box, { began = began, queued = queued, plan = plan }
    plan = nil
    box.meanwhile = function() self:fill(HEAD_START) end
    local r, raised
    if self.options.prepared then
      r, message, code, raised = run_prepared(entry, options, past)
    else
      r, message, code, raised = box:attempt(options, past)
    end
    if r or raised or code ~= "closed" or past.started or self.closed or attempt == ATTEMPTS then
      give_back(self, entry, token, r == nil or r.oom_killed)
      if raised then error(raised.value, 0) end
      return r, message, code
    end
    give_up(self, entry, token) -- it died before its program began: that is nobody's business but ours
    rewind()
  end
end

-- A sandbox that is alive at this moment; or nil, message, code.
local function acquire_alive(self)
  for _ = 1, ATTEMPTS do
    local entry, token, queued = self:acquire()
    if not entry then return self.host.fail(token, queued) end
    if not is_dead(entry) then return entry, token, queued end
    give_up(self, entry, token)
  end
  return nil, "the pool's sandboxes die as soon as they are ready", "closed"
end

local function refuse_prepared(self, what)
  if self.options.prepared then errors.raise(("pool:%s: a pool with a prepared program has `run` only"):format(what)) end
end

--- Starts a program in a sandbox of the pool and gives its job; with the job's end the sandbox goes back, or is destroyed.
-- @tparam table options as of `box:spawn`; limits as of `run`
-- @treturn Job or nil, message, code
function Lease:spawn(options)
  refuse_prepared(self, "spawn")
  local plan, message, code = check(self, options, true)
  if not plan then return nil, message, code end
  local began = core.now()
  local entry, token, queued = acquire_alive(self)
  if not entry then return nil, token, queued end
  local job
  job, message, code = entry.box:spawn(options, { began = began, queued = queued, plan = plan })
  if not job then
    give_back(self, entry, token, true)
    return nil, message, code
  end
  local done = job.plan.done
  local function back(r)
    give_back(self, entry, token, r == nil or r.oom_killed)
  end
  if job.ended then
    back(job.result)
  else
    job.plan.done = function(r, why, kind)
      if done then done(r, why, kind) end
      back(r)
    end
  end
  return job
end

--- Leases a sandbox: a box for as many programs as one likes, until `box:close()` gives it back. It is then destroyed, or, with
-- max_uses > 1, the next user's; what still runs in it, or stands still, is destroyed in any case.
-- @treturn Box or nil, message, code
function Lease:lease()
  refuse_prepared(self, "lease")
  if self.closed then return nil, CLOSED, "closed" end
  local entry, token, queued = acquire_alive(self)
  if not entry then return nil, token, queued end
  local lent = entry.box:lend(function(lent, spoilt)
    entry.box:take_back(lent)
    give_back(self, entry, token, spoilt)
  end)
  self:fill(HEAD_START)
  return lent
end

return Lease
