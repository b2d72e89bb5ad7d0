-- SPDX-License-Identifier: MIT
--- What a coroutine waits for, and the yield that waits for it: whoever ends the wait, it is taken back.
-- @module sandbox.hosts.wish
local M = {}

local Wish = {}
Wish.__index = Wish
function Wish:__close() self.on_close() end

--- Makes one.
-- @int fd or -1
-- @string events "r", "w" or "rw"
-- @number[opt] limit by the clock of core.now
-- @treturn table with `on_close` to be set: takes it back, wherever it is registered; once more does no harm
function M.new(fd, events, limit)
  return setmetatable({ fd = fd, events = events, limit = limit, on_close = function() end }, Wish)
end

--- Whether a value is one.
function M.is(value) return getmetatable(value) == Wish end

local function once(_, turn)
  if not turn then return true end
end

local Guard = {}
function Guard:__close() self.f() end

--- Calls `body`, which yields, and then `f`, however the coroutine leaves: in Lua 5.4 the fourth value of a generic for is closed when
-- the loop is left, by an error and by coroutine.close as well; elsewhere nothing closes a coroutine.
-- @func f once more does no harm
-- @func body
function M.closing(f, body)
  for _ in once, nil, nil, setmetatable({ f = f }, Guard) do body() end
  f()
end

--- Yields a wish, and gives what it was granted. However the coroutine leaves, `on_close` is called.
-- @tparam table wish
-- @return what the coroutine was gone on with
function M.yield(wish)
  local value
  for _ in once, nil, nil, wish do value = coroutine.yield(wish) end
  wish.on_close()
  return value
end

return M
