-- SPDX-License-Identifier: MIT
--- A small loop for scripts that have none: many jobs at once in one Lua thread.
-- @module sandbox.hosts.loop
local errors = require "sandbox.errors"
local tasks = require "sandbox.hosts.task"

local M = { name = "loop", wait = tasks.wait }
local unpack = table.unpack or unpack -- luacheck: ignore

local current -- the loop that runs, one at a time in a Lua state
local Task = {}
Task.__index = Task

-- What a caller holds of a task. Its state belongs to the loop, so that it is seen when nobody can ask for its error any more.
local function new_task(loop, f, ...)
  local state = loop.set:go(f, ...)
  local task = setmetatable({ state = state }, Task)
  state.handle = setmetatable({ task }, { __mode = "v" })
  state.on_end = function()
    if state.failed and not state.joined then loop.failures[#loop.failures + 1] = state end
  end
  return task
end

-- The first error that nobody asked for, nor can ask for any more: the main task has ended, or nobody holds the task.
local function unclaimed(loop, main)
  for i = #loop.failures, 1, -1 do
    if loop.failures[i].joined then table.remove(loop.failures, i) end
  end
  for _, state in ipairs(loop.failures) do
    if main.done or not state.handle[1] then return state end
  end
end

local function run(loop, main)
  local set = loop.set
  while set.live > 0 do
    set:run_ready()
    if #loop.failures > 0 then
      if unclaimed(loop, main) then return end
      collectgarbage("step", math.ceil(collectgarbage "count" / 20)) -- whether somebody still holds the task
    end
    if set.live > 0 then
      local seconds = set:timeout()
      if not seconds and next(set.fds) == nil then error("sandbox.loop: every task waits for another one", 0) end
      if #loop.failures > 0 then seconds = math.min(seconds or 0.1, 0.1) end
      set:poll(seconds)
    end
  end
end

-- An error that names its place, and is raised far from it, says how it came there.
local function described(state)
  if type(state.err) ~= "string" or not state.err:find "^[^\n]-:%d+: " then return state.err end
  return state.traceback
end

--- Runs f and all the tasks that it starts, until the last of them has ended.
-- An error that no one joined ends the rest and is raised, as soon as nobody can join it any more.
-- @func f
-- @param ... its arguments
-- @return what f returned
function M.loop(f, ...)
  if current then errors.raise("sandbox.loop: a loop is running already; use sandbox.go") end
  if type(f) ~= "function" then errors.argument(1, "loop", "a function", f) end
  local loop = { set = tasks.new(), failures = {} }
  current = loop
  local ok, main = pcall(new_task, loop, f, ...)
  local err = main
  if ok then
    main = main.state
    ok, err = pcall(run, loop, main)
  end
  current = nil
  loop.set:close()
  local failed = ok and unclaimed(loop, main)
  if ok and not failed then return unpack(main.values, 1, main.values.n) end
  -- Jobs of tasks that will never go on end when they are collected: now.
  local raise = err
  if failed then raise = failed == main and failed.err or described(failed) end
  loop.failures = {}
  collectgarbage()
  collectgarbage()
  error(raise, 0)
end

--- Whether the caller is a task of our loop, and can wait in it.
-- @treturn boolean
function M.running()
  local state = tasks.current()
  return state ~= nil and current ~= nil and state.set == current.set
end

--- Whether a loop runs, whoever the caller is.
function M.active() return current ~= nil end

--- Starts a task.
-- @func f
-- @param ... its arguments
-- @treturn Task
function M.go(f, ...)
  if not current then errors.raise("sandbox.go: no loop is running; use sandbox.loop") end
  if type(f) ~= "function" then errors.argument(1, "go", "a function", f) end
  return new_task(current, f, ...)
end

--- A descriptor is about to be closed: whoever waits for it looks again.
-- @int fd
function M.forget(fd)
  if current then current.set:forget(fd) end
end

--- Waits for a task's end.
-- @return what it returned, or nil and its error
function Task:join()
  local state = self.state
  if not state.done then
    if not M.running() then errors.raise("task:join: only a task of the loop can wait") end
    if tasks.current() == state then errors.raise("task:join: a task cannot wait for itself") end
    tasks.join(state)
  end
  state.joined = true
  if state.failed then return nil, state.err end
  return unpack(state.values, 1, state.values.n)
end

--- Where the error of a task that failed came from.
-- @treturn string or nil
function Task:traceback() return self.state.traceback end

return M
