-- SPDX-License-Identifier: MIT
--- Tasks of one Lua thread, and the descriptors and times that they wait for. Our own loop is one of these; so is what
-- goes on in the background of a host that has no tasks of its own, which somebody else drives.
--
-- A task says what it waits for by yielding a wish, and only what has been yielded is registered: where a coroutine cannot
-- yield nothing is left behind. A wish is taken back by whoever ends the wait, the coroutine's own end included.
-- @module sandbox.hosts.task
local core = require "sandbox.core"
local wishes = require "sandbox.hosts.wish"

local M = {}
local unpack = table.unpack or unpack -- luacheck: ignore

local running -- the task that runs, of whatever set
local Tasks = {}
Tasks.__index = Tasks

local function pack(...)
  return { n = select("#", ...), ... }
end

--- Makes a set of tasks.
-- @func[opt] on_ready called when one has something to do, from outside of a turn
-- @treturn Tasks
function M.new(on_ready)
  return setmetatable({ live = 0, first = 1, last = 0, ready = {}, fds = {}, timers = {}, on_ready = on_ready }, Tasks)
end

--- The task that the caller is, if it is one: not a coroutine inside of it.
-- @treturn table its state, with `set`
function M.current()
  if running and running.co == coroutine.running() then return running end
  return nil
end

local function make_ready(self, state, ...)
  state.wish, state.args = nil, pack(...)
  self.last = self.last + 1
  self.ready[self.last] = state
  if self.on_ready and not self.turning then self.on_ready() end
end

local function epoll_of(self)
  if not self.epoll then self.epoll = assert(core.epoll()) end
  return self.epoll
end

--- One descriptor that is readable when a task's is ready; nil where none waits for one.
-- @treturn integer or nil
function Tasks:fd() return self.epoll and self.epoll:fd() end

local function events_of(waiting)
  local r, w = "", ""
  for wish in pairs(waiting) do
    if wish.events:find("r", 1, true) then r = "r" end
    if wish.events:find("w", 1, true) then w = "w" end
  end
  return r .. w
end

-- Takes a wish back. `fired`: the kernel has told it, once, and has forgotten it.
local function cancel(self, wish, fired)
  self.timers[wish] = nil
  local waiting = self.fds[wish.fd]
  if not waiting or not waiting[wish] then return end
  waiting[wish] = nil
  if next(waiting) ~= nil then return end -- the others' stay, and may say ready for nothing
  self.fds[wish.fd] = nil
  if not fired and self.epoll then self.epoll:forget(wish.fd) end
end

local function grant(self, wish, value, fired)
  if not wish.state then return end
  local state = wish.state
  wish.state = nil
  cancel(self, wish, fired)
  make_ready(self, state, value)
end

local function register(self, state, wish)
  wish.state, state.wish = state, wish
  if wish.limit then self.timers[wish] = true end
  if wish.fd < 0 then return end
  local waiting = self.fds[wish.fd] or {}
  self.fds[wish.fd] = waiting
  waiting[wish] = true
  local ok, message = epoll_of(self):want(wish.fd, events_of(waiting))
  if not ok then
    wish.message = message
    grant(self, wish, false)
  end
end

local function finish(self, state, ok, ...)
  if state.done then return end
  self.live = self.live - 1
  state.done = true
  if ok then state.values = pack(...) else state.failed, state.err = true, (...) end
  if state.failed then state.traceback = debug.traceback(state.co, tostring((...))) end
  for _, joiner in ipairs(state.joiners) do
    state.joined = true
    if joiner.state then grant(self, joiner, true) end
  end
  if state.on_end then state.on_end(state) end
end

-- Its coroutine has been closed by somebody: it has ended, and nobody failed.
local function killed(self, state)
  local wish = state.wish
  if wish then
    wish.state, state.wish = nil, nil
    cancel(self, wish)
  end
  finish(self, state, true)
end

local function resumed(self, state, ok, wish, ...)
  if not ok or coroutine.status(state.co) == "dead" then return finish(self, state, ok, wish, ...) end
  if wishes.is(wish) and wish.owner == state then return register(self, state, wish) end
  make_ready(self, state) -- it has yielded by itself: the others go on, then it
end

--- Starts a task; it runs in the next turn.
-- @func f
-- @param ... its arguments
-- @treturn table its state: done, values, failed, err, traceback
function Tasks:go(f, ...)
  local state = { set = self, co = coroutine.create(f), joiners = {} }
  self.live = self.live + 1
  make_ready(self, state, ...)
  return state
end

local function run_one(self, state)
  if coroutine.status(state.co) ~= "suspended" then return killed(self, state) end
  local args, before = state.args, running
  running = state
  resumed(self, state, coroutine.resume(state.co, unpack(args, 1, args.n)))
  running = before
end

--- Runs what is ready. Tasks that become ready meanwhile take the next round: nobody starves.
function Tasks:run_ready()
  local last, before = self.last, self.turning
  self.turning = true
  while self.first <= last do
    local state = self.ready[self.first]
    self.ready[self.first] = nil
    self.first = self.first + 1
    run_one(self, state)
  end
  self.turning = before
end

--- Seconds until there is something to do by the clock: 0 where a task is ready, nil where nothing but descriptors is waited for.
-- @treturn number or nil
function Tasks:timeout()
  if self.first <= self.last then return 0 end
  local soonest
  for wish in pairs(self.timers) do
    if not soonest or wish.limit < soonest then soonest = wish.limit end
  end
  return soonest and math.min(1e9, math.max(0, soonest - core.now()))
end

local function fire_timers(self)
  local now, due = core.now(), {}
  for wish in pairs(self.timers) do
    if wish.limit <= now then due[#due + 1] = wish end
  end
  table.sort(due, function(a, b) return a.limit < b.limit end)
  for _, wish in ipairs(due) do grant(self, wish, false) end
end

local function wishes_of(self, fd)
  local list = {}
  for wish in pairs(self.fds[fd] or {}) do list[#list + 1] = wish end
  return list
end

--- Waits, at most so long, for one to become ready.
-- @number[opt] seconds
function Tasks:poll(seconds)
  local before = self.turning
  self.turning = true
  if next(self.fds) ~= nil then
    local ready = self.epoll:wait(seconds)
    if not ready then -- the host has closed it, or has forked: everybody looks again
      ready = {}
      for fd in pairs(self.fds) do ready[#ready + 1] = fd end
    end
    for _, fd in ipairs(ready) do
      for _, wish in ipairs(wishes_of(self, fd)) do grant(self, wish, true, true) end
    end
  elseif seconds and seconds > 0 then
    core.poll(-1, "r", seconds)
  end
  if next(self.timers) ~= nil then fire_timers(self) end
  self.turning = before
end

--- Does what can be done now; never waits. Gives the descriptor back when there is nothing more to do.
function Tasks:turn()
  self:run_ready()
  self:poll(0)
  self:run_ready()
  if self.live == 0 then self:close() end
end

--- A descriptor is about to be closed, or what was there has been read: whoever waits for it looks again.
-- @int fd
function Tasks:forget(fd)
  for _, wish in ipairs(wishes_of(self, fd)) do grant(self, wish, true) end
end

--- Waits as the task that the caller is.
-- @int fd or -1
-- @string events
-- @number[opt] seconds
-- @treturn boolean false when the time is over
function M.wait(fd, events, seconds)
  local state = running
  local wish = wishes.new(fd, events, seconds and core.now() + seconds)
  wish.owner = state
  wish.on_close = function()
    if wish.state then killed(state.set, state) end
  end
  local ready = wishes.yield(wish)
  if wish.message then error("sandbox: " .. wish.message, 0) end
  return ready
end

--- Waits for a task's end, as a task of the same set.
-- @tparam table state
function M.join(state)
  local wish = wishes.new(-1, "r")
  wish.owner = running
  state.joiners[#state.joiners + 1] = wish
  wishes.yield(wish)
end

--- Lets go of all of them, and of the descriptor.
function Tasks:close()
  if self.on_close then self.on_close() end
  self.ready, self.first, self.last, self.fds, self.timers = {}, 1, 0, {}, {}
  if self.epoll then self.epoll:close() end
  self.epoll = nil
end

return M
