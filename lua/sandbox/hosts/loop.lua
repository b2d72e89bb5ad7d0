-- SPDX-License-Identifier: MIT
--- A small loop for scripts that have none: many jobs at once in one Lua thread.
-- @module sandbox.hosts.loop
local core = require "sandbox.core"

local M = {}
local unpack = table.unpack or unpack -- luacheck: ignore

local current -- the loop that runs, one at a time in a Lua state
local Task = {}
Task.__index = Task

local function pack(...)
  return { n = select("#", ...), ... }
end

local function new_task(loop, f, ...)
  local task = setmetatable({ loop = loop, co = coroutine.create(f), args = pack(...), joiners = {} }, Task)
  loop.live = loop.live + 1
  loop.ready[#loop.ready + 1] = task
  return task
end

local function wake(loop, task, value)
  if task.timer then loop.timers[task] = nil end
  local fd = task.fd
  if fd then
    local waiting = loop.fds[fd]
    if waiting then
      waiting[task] = nil
      if next(waiting) == nil then loop.fds[fd] = nil end
    end
  end
  task.fd, task.timer, task.args = nil, nil, pack(value)
  loop.ready[#loop.ready + 1] = task
end

local function finish(loop, task, ok, ...)
  loop.live = loop.live - 1
  task.done = true
  if ok then task.values = pack(...) else task.failed, task.err = true, (...) end
  for _, joiner in ipairs(task.joiners) do
    task.joined = true
    wake(loop, joiner, true)
  end
  if task.failed then loop.failures[#loop.failures + 1] = task end
end

local function resumed(loop, task, ok, ...)
  if not ok or coroutine.status(task.co) == "dead" then finish(loop, task, ok, ...) end
end

-- Tasks that became ready while others ran take the next round: nobody starves.
local function run_ready(loop)
  local ready = loop.ready
  loop.ready = {}
  for _, task in ipairs(ready) do
    local args = task.args
    loop.task = task
    resumed(loop, task, coroutine.resume(task.co, unpack(args, 1, args.n)))
    loop.task = nil
  end
end

local function events_of(waiting)
  local r, w = "", ""
  for task in pairs(waiting) do
    if task.events:find("r", 1, true) then r = "r" end
    if task.events:find("w", 1, true) then w = "w" end
  end
  return r .. w
end

local function next_timer(loop)
  local soonest
  for task in pairs(loop.timers) do
    if not soonest or task.timer < soonest then soonest = task.timer end
  end
  return soonest
end

local function fire_timers(loop)
  local now = core.now()
  local due = {}
  for task in pairs(loop.timers) do
    if task.timer <= now then due[#due + 1] = task end
  end
  table.sort(due, function(a, b) return a.timer < b.timer end)
  for _, task in ipairs(due) do wake(loop, task, false) end
end

local function wait_once(loop)
  local soonest = next_timer(loop)
  local seconds
  if #loop.ready > 0 then seconds = 0 elseif soonest then seconds = math.min(1e9, math.max(0, soonest - core.now())) end
  if not seconds and next(loop.fds) == nil then error("sandbox.loop: every task waits for another one", 0) end
  local ready = loop.epoll:wait(seconds)
  if not ready then -- the host has closed it, or has forked: everybody looks again
    ready = {}
    for fd in pairs(loop.fds) do ready[#ready + 1] = fd end
  end
  for _, fd in ipairs(ready) do
    local tasks = {}
    for task in pairs(loop.fds[fd] or {}) do tasks[#tasks + 1] = task end
    for _, task in ipairs(tasks) do wake(loop, task, true) end
  end
  fire_timers(loop)
end

-- The first error that nobody asked for; counts once the main task cannot ask any more.
local function unclaimed(loop)
  for _, task in ipairs(loop.failures) do
    if not task.joined then return task end
  end
end

local function run(loop, main)
  while loop.live > 0 do
    run_ready(loop)
    if main.done and unclaimed(loop) then return end
    if loop.live > 0 then wait_once(loop) end
  end
end

local function stop(loop)
  current = nil
  loop.epoll:close()
  loop.stopped = true
end

--- Runs f and all the tasks that it starts, until the last of them has ended.
-- An error that no one joined ends the rest and is raised.
-- @func f
-- @param ... its arguments
-- @return what f returned
function M.loop(f, ...)
  if current then error("sandbox.loop: a loop is running already; use sandbox.go", 2) end
  local epoll, message = core.epoll()
  if not epoll then error("sandbox.loop: " .. message, 0) end
  local loop = { epoll = epoll, live = 0, ready = {}, fds = {}, timers = {}, failures = {} }
  current = loop
  local main = new_task(loop, f, ...)
  local ok, err = pcall(run, loop, main)
  stop(loop)
  local failed = ok and unclaimed(loop)
  if ok and not failed then return unpack(main.values, 1, main.values.n) end
  -- Jobs of tasks that will never go on end when they are collected: now.
  loop.ready, loop.fds, loop.timers = {}, {}, {}
  local raise = failed and failed.err or err
  loop.failures = nil
  collectgarbage()
  collectgarbage()
  error(raise, 0)
end

--- Whether the caller is a task of our loop, and can wait in it.
-- @treturn boolean
function M.running()
  return current ~= nil and current.task ~= nil and coroutine.running() == current.task.co
end

--- Starts a task.
-- @func f
-- @param ... its arguments
-- @treturn Task
function M.go(f, ...)
  if not current then error("sandbox.go: no loop is running; use sandbox.loop", 2) end
  if type(f) ~= "function" then error("bad argument #1 to 'go' (function expected, got " .. type(f) .. ")", 2) end
  return new_task(current, f, ...)
end

--- Waits until a descriptor is ready. fd -1: only the time.
-- @int fd
-- @string events "r", "w" or "rw"
-- @number[opt] seconds
-- @treturn boolean false when the time is over
function M.wait(fd, events, seconds)
  local loop = current
  local task = loop.task
  if fd >= 0 then
    local waiting = loop.fds[fd] or {}
    loop.fds[fd] = waiting
    waiting[task] = true
    task.fd, task.events = fd, events
    local ok, message = loop.epoll:want(fd, events_of(waiting))
    if not ok then
      waiting[task], task.fd = nil, nil
      error("sandbox.loop: " .. message, 0)
    end
  end
  if seconds then
    task.timer = core.now() + seconds
    loop.timers[task] = true
  end
  return coroutine.yield()
end

--- A descriptor is about to be closed: whoever waits for it looks again.
-- @int fd
function M.forget(fd)
  local loop = current
  if not loop then return end
  loop.epoll:forget(fd)
  local tasks = {}
  for task in pairs(loop.fds[fd] or {}) do tasks[#tasks + 1] = task end
  for _, task in ipairs(tasks) do wake(loop, task, true) end
end

--- Waits.
-- @number seconds
function M.sleep(seconds)
  if type(seconds) ~= "number" or seconds ~= seconds or seconds < 0 then
    error("bad argument #1 to 'sleep' (expected seconds)", 2)
  end
  seconds = math.min(seconds, 1e9) -- as long as can be waited
  if M.running() then M.wait(-1, "r", seconds) else core.poll(-1, "r", seconds) end
end

--- Waits for a task's end.
-- @return what it returned, or nil and its error
function Task:join()
  if not self.done then
    if not M.running() then error("task:join: only a task of the loop can wait", 2) end
    local me = self.loop.task
    if me == self then error("task:join: a task cannot wait for itself", 2) end
    self.joiners[#self.joiners + 1] = me
    coroutine.yield()
  end
  self.joined = true
  if self.failed then return nil, self.err end
  return unpack(self.values, 1, self.values.n)
end

local function map(list, n, f)
  local results, at, workers = {}, 0, {}
  local function worker()
    while at < #list do
      at = at + 1
      local i = at
      results[i] = f(list[i], i)
    end
  end
  for i = 1, math.min(n, #list) do workers[i] = M.go(worker) end
  for _, task in ipairs(workers) do
    task:join()
    if task.failed then
      at = #list
      for _, other in ipairs(workers) do other.joined = true end -- theirs are told by this one
      error(task.err, 0)
    end
  end
  return results
end

--- Calls f for each item, n at a time.
-- @tparam table list
-- @int n
-- @func f function(item, index)
-- @treturn table the results, in the order of the list
function M.map(list, n, f)
  if type(list) ~= "table" then error("bad argument #1 to 'map' (table expected, got " .. type(list) .. ")", 2) end
  if type(n) ~= "number" or not (n >= 1) then error("bad argument #2 to 'map' (expected a number of at least 1)", 2) end
  if type(f) ~= "function" then error("bad argument #3 to 'map' (function expected, got " .. type(f) .. ")", 2) end
  if M.running() then return map(list, n, f) end
  return M.loop(map, list, n, f)
end

return M
