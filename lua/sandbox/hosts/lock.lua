-- SPDX-License-Identifier: MIT
--- The one lock. Whoever holds it keeps a token on its stack, and the lock knows the token weakly: a coroutine that is killed or
-- dropped takes its token along, and locks nobody out.
-- @module sandbox.hosts.lock
local Lock = {}
Lock.__index = Lock

local WEAK = { __mode = "v" }

local M = {}

--- Makes a lock that nobody holds.
-- @treturn Lock
function M.new() return setmetatable({ holder = setmetatable({}, WEAK) }, Lock) end

local MAIN = {}
local function me() return coroutine.running() or MAIN end

-- In nginx a coroutine of another request looks dead, whatever it is. A table that is the request's alone tells which it is.
local function request()
  local ngx = rawget(_G, "ngx")
  if not ngx then return nil end
  local ok, ctx = pcall(function() return ngx.ctx end)
  return ok and ctx or {}
end

-- Whoever was killed may still be held by somebody, and its token with it.
local function is_dead(token)
  return type(token.co) == "thread" and coroutine.status(token.co) == "dead" and token.request == request()
end

--- Who holds it: its token, or nil.
function Lock:held()
  local token = self.holder[1]
  if token and (token.done or is_dead(token)) then return nil end
  return token
end

--- Whether the caller's own coroutine holds it.
function Lock:is_mine()
  local token = self:held()
  return token ~= nil and token.co == me()
end

--- Takes it, if nobody holds it.
-- @treturn table token, to be kept in a local variable until `release`, which says that it is over; nil where another one has it
function Lock:take()
  if self:held() then return nil end
  local token = { co = me(), request = request() }
  self.holder[1] = token
  return token
end

--- Gives it back; once more does no harm.
-- @tparam table token
function Lock:release(token)
  token.done = true
  if self.holder[1] == token then self.holder[1] = nil end
end

local looked = 0
local PAUSE = 0.1 -- seconds between two steps

--- For those who wait for what somebody may hold who is no more: lets the collector go on, a little, now and then. All of a heap is
-- looked at within some seconds, and nobody waits for long at once.
-- @number now
function M.collect(now)
  if now - looked < PAUSE then return end
  looked = now
  collectgarbage("step", math.floor(collectgarbage "count" / 100))
end

return M
