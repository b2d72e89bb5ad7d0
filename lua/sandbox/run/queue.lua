-- SPDX-License-Identifier: MIT
--- Turns: at most so many runs at once, the others in the order of their coming.
--
-- A turn is a token, held in a weak set: whoever is forgotten with its token gives the turn back. Nobody can be woken in
-- every host there is, so those who wait look again after a short sleep; only the first of the line may take a free turn,
-- and one that has not looked for a while (its coroutine was killed) loses its place.
-- @module sandbox.run.queue
local M = {}

local Queue = {}
Queue.__index = Queue

local STALE = 2 -- seconds without a look
local COLLECT = 1 -- seconds between two looks for turns that were forgotten

--- Makes a queue.
-- @tparam table options max_concurrent, queue, queue_timeout, as of an instance
-- @func now the clock
-- @treturn Queue
function M.new(options, now)
  return setmetatable({
    max = options.max_concurrent, length = options.queue, timeout = options.queue_timeout, now = now,
    held = setmetatable({}, { __mode = "k" }), line = {},
  }, Queue)
end

--- How many hold a turn.
-- @treturn integer
function Queue:active()
  local n = 0
  for _ in pairs(self.held) do n = n + 1 end
  return n
end

--- How many wait.
-- @treturn integer
function Queue:waiting()
  return #self.line
end

local function drop_stale(self)
  local now = self.now()
  for i = #self.line, 1, -1 do
    if now - self.line[i].seen > STALE then table.remove(self.line, i) end
  end
end

local function leave(self, ticket)
  for i, other in ipairs(self.line) do
    if other == ticket then return table.remove(self.line, i) end
  end
end

local function take(self)
  local token = {}
  self.held[token] = true
  return token
end

local function busy(self, why)
  return nil, ("%s (%d running, %d waiting)"):format(why, self:active(), #self.line), "busy"
end

-- A turn that a killed coroutine held comes back when that is collected: where all are taken, every now and then it is seen to.
local function is_free(self)
  if not self.max or self:active() < self.max then return true end
  local now = self.now()
  if now - (self.collected or -COLLECT) < COLLECT then return false end
  self.collected = now
  collectgarbage()
  return self:active() < self.max
end

--- Waits for a turn.
-- @func sleep function(seconds): lets others go on
-- @func closed function(): true when the wait is in vain
-- @treturn table the token, for `release`; or nil, message, code
function Queue:acquire(sleep, closed)
  drop_stale(self)
  if #self.line == 0 and is_free(self) then return take(self) end
  if self.length == false then return busy(self, "all turns are taken, and queue is off") end
  if type(self.length) == "number" and #self.line >= self.length then return busy(self, "the queue is full") end
  local began, nap = self.now(), 0.001
  local ticket = { seen = began }
  self.line[#self.line + 1] = ticket
  while true do
    if closed() then
      leave(self, ticket)
      return nil, "the instance is closed", "closed"
    end
    drop_stale(self)
    local place
    for i, other in ipairs(self.line) do
      if other == ticket then place = i end
    end
    if not place then -- taken for dead: back to the end, but not to the beginning of the clock
      self.line[#self.line + 1] = ticket
      place = #self.line
    end
    if place == 1 and is_free(self) then
      leave(self, ticket)
      return take(self)
    end
    if self.timeout and self.now() - began >= self.timeout then
      leave(self, ticket)
      return busy(self, ("no turn within %g s"):format(self.timeout))
    end
    sleep(nap)
    ticket.seen = self.now()
    nap = math.min(nap * 1.5, 0.02)
  end
end

--- Gives a turn back; once more does no harm.
-- @tparam table token
function Queue:release(token)
  if token then self.held[token] = nil end
end

return M
