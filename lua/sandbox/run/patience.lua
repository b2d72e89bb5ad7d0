-- SPDX-License-Identifier: MIT
--- How long a host hears nothing of a supervisor before it asks, and how long it then waits for an answer. The supervisor keeps all
-- deadlines; this one is for a supervisor, or a zygote, that is stopped or hangs.
-- @module sandbox.run.patience
local M = {}
M.__index = M

local GRACE = 1.5 -- s, beyond a boot and a program's time
local ANSWER = 5 -- s, at least, from a question to the end: a machine that is busy gives a supervisor its turn late
local REST = 10 -- s, from a sign of life to a question, where no time is set
local TEARDOWN = 15 -- s, within which a supervisor whose result is there has cleaned up: it gives up after 10 itself

--- For one job, from now on.
-- @number now
-- @number boot within which it starts
-- @number[opt] timeout of the program
-- @treturn Patience
function M.new(now, boot, timeout)
  local self = setmetatable({ boot = boot, timeout = timeout }, M)
  self.ask, self.limit = now + boot, now + boot + (timeout or 0) + GRACE
  return self
end

--- The program's time begins now: it has started, or it is another's.
-- @number now
-- @number[opt] timeout
function M:begin(now, timeout)
  self.begun, self.asked, self.timeout = true, false, timeout
  self.ask = now + (timeout and timeout + GRACE / 3 or REST)
  self.limit = math.max(timeout and self.limit or 0, self.ask + GRACE)
end

--- Something was heard.
-- @number now
function M:heard(now)
  if not self.asked then
    if self.begun and not self.timeout then self.ask = now + REST end
    return
  end
  self.asked = false
  self.ask = now + (self.begun and REST or self.boot)
  self.limit = self.ask + GRACE + (self.begun and 0 or self.timeout or 0)
end

--- The result is there; what follows is the clean-up.
-- @number now
function M:finish(now)
  self.asked, self.limit = true, now + TEARDOWN
end

--- Until something is to be done.
-- @number now
-- @treturn number seconds
function M:left(now)
  return math.max(0, (self.asked and self.limit or self.ask) - now)
end

--- What is to be done: "ask", "give up", or nil. A host that was busy itself gives an answer time to be read.
-- @number now
-- @treturn string
function M:due(now)
  if self.asked then return now >= self.limit and "give up" or nil end
  if now < self.ask then return nil end
  self.asked, self.limit = true, math.max(self.limit, now + ANSWER)
  return "ask"
end

return M
