-- SPDX-License-Identifier: MIT
--- Sandboxes kept ready: each is leased for one program (or max_uses of them), then destroyed and replaced.
--
-- Nothing here runs by itself: a pool goes on whenever somebody uses it, and its boxes boot meanwhile by themselves.
-- @module sandbox.pool
local core = require "sandbox.core"
local box_module = require "sandbox.box"
local errors = require "sandbox.errors"
local options_plan = require "sandbox.options.plan"
local oci = require "sandbox.run.oci"
local lock = require "sandbox.hosts.lock"
local queue = require "sandbox.run.queue"

local M = {}

local CLOSED = "the pool is closed"

local Pool = {}
Pool.__index = Pool
for name, method in pairs(require "sandbox.pool.lease") do Pool[name] = method end

-- How long a host looks after a new pool by itself.
local FIRST_SECONDS = 60
-- A sandbox that dies while nobody uses it is replaced and nobody is told; where they all die within so many seconds, somebody is.
local SUDDEN_SECONDS = 1

--- Makes a pool and begins to boot; never waits.
-- @tparam table host the instance's services
-- @tparam table options
-- @treturn Pool or nil, message, code
function M.new(host, options)
  local checked = options_plan.pool(options, host.defaults)
  local own = checked.own
  local self = setmetatable({
    host = host, options = own, start = checked.start, sample = checked.sample, boxes = {}, booted = 0, destroyed = 0, sudden = 0, waits = 0, waited = 0,
    served = 0, failures = 0,
    -- Held by those who are at it: a coroutine that is killed, as nginx does, lets go of its own.
    leases = setmetatable({}, { __mode = "k" }), begun = setmetatable({}, { __mode = "k" }),
    turns = queue.new({ max_concurrent = own.max, queue = own.queue, queue_timeout = own.queue_timeout }, core.now),
    used_at = core.now(), peak = 0, pooled = { single = own.max_uses == 1 },
  }, Pool)
  -- What is wrong with the options is wrong now; what this machine cannot do is told by run.
  local ok, message, code = self:grow()
  if not ok and code == "not_supported" then return nil, message, code end
  self:fill()
  host.later(function() self:ready(FIRST_SECONDS) end) -- nginx's init_worker can wait for nothing, its timers can
  return self
end

local function count(set)
  local n = 0
  for _ in pairs(set) do n = n + 1 end
  return n
end

-- Those that are leased and will come back.
local function returning(self)
  local n = 0
  for entry in pairs(self.leases) do n = n + (entry.returns and 1 or 0) end
  return n
end

local function begin(self, delay)
  local mark = {}
  self.begun[mark] = true -- it may wait, and others look at the pool meanwhile
  local box, message, code = box_module.begin(self.host, self.start, self.pooled, delay)
  self.begun[mark] = nil
  return box, message, code
end

-- What has to run in a box before it is ready, in this order: our helper, for a first program is slower than the next; warm_up;
-- the prepared program. Each is started once, and looked at again.
local FIRST = { oci.HELPER, "true" }

local function next_step(self, entry)
  if not entry.first then return FIRST end
  if self.options.warm_up and not entry.warmed then return self.options.warm_up end
  return self.options.prepared
end

local function start_program(entry, argv, prepared, ahead)
  local options = {}
  for i, word in ipairs(argv) do options[i] = word end
  local job, message, code = entry.box:begin_program(options, prepared, ahead)
  if not job then return nil, message, code end
  entry.job = job
  return true
end

-- What has to run in a box before it is ready is started ahead, while the box still boots, where that can be: then nobody has to
-- look after it. warm_up alone is waited for, for how it ends is asked.
local function prepare_ahead(self, entry)
  if self.options.warm_up or not entry.box:answers() then return end
  if not self.options.prepared then
    if entry.box:arm_ahead() then entry.state = "arming" end
  elseif start_program(entry, self.options.prepared, true, true) then
    entry.state = "preparing"
  end
end

--- Begins to boot one more.
-- @treturn boolean true, or nil, message, code
function Pool:grow(delay)
  local box, message, code = begin(self, delay)
  if not box then
    self.pooled.last = nil
    -- Where nothing can be waited for (nginx's init_worker) what runsc can do cannot be asked: soon after it can.
    if code ~= "wrong_phase" then self.failed, self.failed_code, self.failed_at = message, code, core.now() end
    return nil, message, code
  end
  local entry = { box = box, state = "booting", began = core.now(), lock = lock.new() }
  self.boxes[#self.boxes + 1] = entry
  prepare_ahead(self, entry)
  return true
end

local function is_idle(self)
  local timeout = self.options.idle_timeout
  return timeout and core.now() - self.used_at > timeout
end

-- How many to keep: min, or what was used of late up to max.
local function target(self)
  if self.closed then return 0 end
  return is_idle(self) and self.options.min or math.max(self.options.min, math.min(self.options.max, self.peak))
end

--- Boots what is missing. After a failure not at once again.
-- @number[opt] delay seconds after which the boots begin
function Pool:fill(delay)
  if self.closed then return end
  local wanted = target(self)
  while #self.boxes + count(self.begun) + returning(self) < wanted and not (self.failed_at and core.now() - self.failed_at < 1) do
    if not self:grow(delay) then return end
  end
end

--- For the lease of one: destroys it.
-- @tparam table entry
function Pool:discard(entry)
  if entry.destroyed then return end
  for i, other in ipairs(self.boxes) do
    if other == entry then table.remove(self.boxes, i) end
  end
  if entry.job then entry.job:close() end
  entry.box:close()
  entry.destroyed = true
  self.destroyed = self.destroyed + 1
end

local function has_booted(self, entry)
  local ready, message, code = entry.box:ready()
  if ready and not entry.booted then
    self.booted = self.booted + 1
    entry.booted = true
  end
  return ready, message, code
end

-- One function a state: what goes on in a box that is not ready yet. Each gives true, or nil, message, code.
local steps = {}

function steps.booting(_, entry)
  if entry.booted then entry.state = "booted" end
  return true
end

function steps.booted(self, entry)
  local argv = next_step(self, entry)
  if not argv then
    entry.box:arm()
    entry.state = "ready"
    return true
  end
  entry.state = argv == self.options.prepared and "preparing" or "warming"
  return start_program(entry, argv, entry.state == "preparing")
end

function steps.arming(_, entry)
  local armed = entry.box:is_armed()
  if armed == nil then entry.state = "booting" end -- by itself it did not work: step by step, then, which tells why
  if armed then entry.state = "ready" end
  return true
end

function steps.warming(_, entry)
  entry.job:step()
  if not entry.job.ended then return true end
  local r, message, code = entry.job:wait()
  entry.job:close()
  entry.job = nil
  local ok, why = r and r.ok, tostring(r and r.message or message)
  if not ok then return nil, (entry.first and "warm_up failed: " or "") .. why, code or (entry.first and "bad_command" or "runsc_failed") end
  if entry.first then entry.warmed = true else entry.first = true end
  entry.state = "booted"
  return true
end

function steps.preparing(_, entry)
  entry.job:step()
  if entry.job.ended then
    local r, message, code = entry.job:wait()
    if code == "closed" and not entry.booted then return true end -- the box will tell why
    return nil, "the prepared program ended before it was needed: " .. tostring(r and (r.message or r.stderr) or message), code or "bad_command"
  end
  if entry.job:take_line() then
    entry.state = "ready"
    entry.box:tell(false)
  end
  return true
end

function steps.ready() return true end

-- Takes a box on as far as it goes at the moment; it may have died meanwhile. A step may wait in some hosts (nginx), and others who
-- look at the pool meanwhile leave that box alone.
local function advance(self, entry)
  if entry.leased or entry.destroyed then return true end
  local token = entry.lock:take()
  if not token then return true end
  local before, alive, message, code
  repeat
    alive, message, code = has_booted(self, entry)
    before = entry.state
    if alive ~= nil then alive, message, code = steps[before](self, entry) end
  until entry.state == before or not alive
  entry.lock:release(token)
  return alive, message, code
end

-- What is there now: while one is looked at, others may come and go.
local function snapshot(self)
  local list = {}
  for i, entry in ipairs(self.boxes) do list[i] = entry end
  return list
end

-- One that had been ready is no failure of the pool's: of its lifetime, or of somebody outside, it was to die some time.
local function lose(self, entry, message, code)
  local was_ready = entry.state == "ready"
  self:discard(entry)
  if was_ready then
    if core.now() - entry.began > SUDDEN_SECONDS then return end
    self.sudden = self.sudden + 1
    if self.sudden <= self.options.max + 2 then return end
    self.sudden = 0
  end
  self.failed, self.failed_code, self.failed_at = message, code, core.now()
  self.failures = self.failures + 1
  self.pooled.last = nil -- what is asked of the machine is found out anew
end

--- Looks after all boxes: takes in what has booted, replaces what has died. Never waits.
function Pool:step()
  for _, entry in ipairs(snapshot(self)) do
    local ok, message, code = advance(self, entry)
    if not ok then
      lose(self, entry, message, code)
    elseif entry.state == "ready" then
      self.failed = nil
    end
  end
  local spare = is_idle(self) and #self.boxes - target(self) or 0
  for _, entry in ipairs(snapshot(self)) do -- what was used much is used no more
    if spare > 0 and entry.state == "ready" then
      self:discard(entry)
      spare = spare - 1
    end
  end
  self:fill()
end

local function take_ready(self)
  for i, entry in ipairs(self.boxes) do
    if entry.state == "ready" and not entry.lock:held() then
      entry.leased, entry.uses = true, (entry.uses or 0) + 1
      entry.returns = entry.uses < self.options.max_uses -- unless it dies of it: so it is not replaced yet
      self.leases[entry] = true
      return table.remove(self.boxes, i)
    end
  end
end

-- Waits a little for the first that is not ready yet.
local function wait_for_one(self, seconds)
  for _, entry in ipairs(self.boxes) do
    if entry.state ~= "ready" then
      local job = entry.job and not entry.job.ended and entry.job or entry.box.job
      local transport = entry.state == "arming" and entry.box.armed or job.transport
      return transport:wait(math.min(seconds, 0.05), job.plan.wait)
    end
  end
  self.host.sleep(math.min(seconds, 0.02))
end

--- For the lease of one: a sandbox that is ready, its turn, and the seconds that took; or nil, message, code.
-- @treturn table entry, token, seconds
function Pool:acquire()
  local began = core.now()
  local function look_again(seconds)
    self:step()
    self.host.sleep(seconds)
  end
  local token, message, code = self.turns:acquire(look_again, function() return self.closed end)
  if not token then return nil, code == "closed" and CLOSED or message, code end
  self.peak = math.max(self.peak, self.turns:active())
  local waited = false
  while true do
    if self.closed then
      self.turns:release(token)
      return nil, CLOSED, "closed"
    end
    self:step()
    local entry = take_ready(self)
    if entry then
      if waited then self.waits, self.waited = self.waits + 1, self.waited + core.now() - began end
      self.used_at = core.now()
      return entry, token, core.now() - began
    end
    if #self.boxes + count(self.begun) == 0 then
      if self.failed and core.now() - (self.failed_at or 0) < 1 then
        self.turns:release(token)
        return nil, self.failed, self.failed_code
      end
      local grown, why, kind = self:grow()
      if not grown then
        self.turns:release(token)
        return nil, why, kind
      end
    end
    if self.options.queue_timeout and core.now() - began > self.options.queue_timeout then
      self.turns:release(token)
      return nil, ("no sandbox was ready within %g s"):format(self.options.queue_timeout), "busy"
    end
    if waited then lock.collect(core.now()) end -- what was killed over a box may hold it
    waited = true
    wait_for_one(self, 1)
  end
end

--- Waits until all that it keeps are ready.
-- @number[opt] seconds
-- @treturn boolean true, or nil, message, code
function Pool:ready(seconds)
  if seconds ~= nil and (type(seconds) ~= "number" or not (seconds >= 0)) then
    errors.argument(1, "ready", "seconds", seconds)
  end
  local limit = seconds and core.now() + seconds
  while true do
    if self.closed then return nil, CLOSED, "closed" end
    local ready = self:stats().ready
    if ready >= self.options.min then return true end
    if self.failed and #self.boxes == 0 then return nil, self.failed, self.failed_code end
    local left = limit and limit - core.now() or 1
    if left <= 0 then return nil, ("%d of %d are ready"):format(ready, self.options.min), "timeout" end
    wait_for_one(self, left)
  end
end

--- How it stands.
-- @treturn table { ready=, booting=, leased=, waiting=, booted=, served=, destroyed=, failures=, waits=, waited= }
function Pool:stats()
  self:step()
  local s = { ready = 0, booting = 0, leased = count(self.leases), waiting = self.turns:waiting(), booted = self.booted, served = self.served,
              destroyed = self.destroyed, failures = self.failures, waits = self.waits, waited = self.waited }
  for _, entry in ipairs(self.boxes) do
    local key = entry.state == "ready" and "ready" or "booting"
    s[key] = s[key] + 1
  end
  return s
end

--- Destroys what is not leased; what is leased ends with its program. Once more does no harm.
function Pool:close()
  self.closed = true
  for _, entry in ipairs(snapshot(self)) do self:discard(entry) end
  if self.hold then self.hold:close() end -- its image, which was held for those that were still to boot
end
Pool.__close = Pool.close

errors.guard(Pool, "pool")

return M
