-- SPDX-License-Identifier: MIT
--- Turns: at most so many runs at once, the others in the order of their coming.
--
-- A turn is a token, and so is a place in the line; both are known weakly, so that whoever is forgotten with its own gives it back.
-- Nobody can be woken in every host there is: those who wait look again after a short sleep, and the first that looks takes the turn.
-- One that was killed does not look any more, and is passed over once the others have looked often.
-- @module sandbox.run.queue
local lock = require "sandbox.hosts.lock"

local M = {}

local Queue = {}
Queue.__index = Queue

local LOOKS = 20 -- looks of each of the others, without one of its own, after which a place is passed over
local WEAK_KEYS, WEAK_VALUES = { __mode = "k" }, { __mode = "v" }

--- Makes a queue.
-- @tparam table options max_concurrent, queue, queue_timeout, as of an instance
-- @func now the clock
-- @treturn Queue
function M.new(options, now)
  return setmetatable({
    max = options.max_concurrent, length = options.queue, timeout = options.queue_timeout, now = now,
    held = setmetatable({}, WEAK_KEYS), line = {}, looks = 0,
  }, Queue)
end

--- How many hold a turn.
-- @treturn integer
function Queue:active()
  local n = 0
  for _ in pairs(self.held) do n = n + 1 end
  return n
end

-- A place whose ticket nobody holds any more is none.
local function drop_forgotten(self)
  for i = #self.line, 1, -1 do
    if not self.line[i][1] then table.remove(self.line, i) end
  end
end

--- How many wait.
-- @treturn integer
function Queue:waiting()
  drop_forgotten(self)
  return #self.line
end

local function leave(self, ticket)
  for i, place in ipairs(self.line) do
    if place[1] == ticket then return table.remove(self.line, i) end
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

local function is_free(self) return not self.max or self:active() < self.max end

-- Whether a ticket is the first of those that still look.
local function is_first(self, ticket)
  local patience = LOOKS * #self.line
  for _, place in ipairs(self.line) do
    local other = place[1]
    if other == ticket then return true end
    if other and self.looks - other.looked <= patience then return false end
  end
  return true
end

--- Waits for a turn.
-- @func sleep function(seconds): lets others go on
-- @func closed function(): true when the wait is in vain
-- @treturn table the token, for `release`; or nil, message, code
function Queue:acquire(sleep, closed)
  drop_forgotten(self)
  if #self.line == 0 and is_free(self) then return take(self) end
  if self.length == false then return busy(self, "all turns are taken, and queue is off") end
  if type(self.length) == "number" and #self.line >= self.length then return busy(self, "the queue is full") end
  local began, nap = self.now(), 0.001
  local ticket = { looked = self.looks }
  self.line[#self.line + 1] = setmetatable({ ticket }, WEAK_VALUES)
  while true do
    self.looks = self.looks + 1
    ticket.looked = self.looks
    if closed() then
      leave(self, ticket)
      return nil, "the instance is closed", "closed"
    end
    drop_forgotten(self)
    if is_free(self) and is_first(self, ticket) then
      leave(self, ticket)
      return take(self)
    end
    if self.timeout and self.now() - began >= self.timeout then
      leave(self, ticket)
      return busy(self, ("no turn within %g s"):format(self.timeout))
    end
    lock.collect(self.now())
    sleep(nap)
    nap = math.min(nap * 1.5, 0.02)
  end
end

--- Gives a turn back; once more does no harm.
-- @tparam table token
function Queue:release(token)
  if token then self.held[token] = nil end
end

return M
