-- SPDX-License-Identifier: MIT
--- Where are we, and how does one wait here? The one place that asks. What decides is what is running, not what is installed.
--
-- A host is a module of sandbox.hosts with `running()`, `wait(fd, events, seconds) -> ready`, and, where the host needs it,
-- `forget(fd)` before a descriptor is closed and when what it had was read, `go(f)` for a coroutine of its own, `connect()` for a
-- transport of its own, `driver(set)` for what goes on in the background, `later(f)` to call f with nobody waiting. It is asked to
-- wait only where it is certain that the coroutine can yield, and that it is the host which goes on with it: else the call blocks.
-- @module sandbox.hosts.wait
local errors = require "sandbox.errors"
local core = require "sandbox.core"
local loop = require "sandbox.hosts.loop"
local tasks = require "sandbox.hosts.task"

local M = {}

-- Lua 5.1 and 5.2 do not tell whether a coroutine can yield: not with a C function (pcall, gsub, sort) on its stack.
local function no_c_function()
  local level = 2
  while true do
    local info = debug.getinfo(level, "S")
    if not info then return true end
    if info.what == "C" then return false end
    level = level + 1
  end
end
local yieldable = core.isyieldable() == nil and no_c_function or core.isyieldable

local function can_yield()
  local co, main = coroutine.running()
  return co ~= nil and not main and yieldable()
end

-- The background ---------------------------------------------------------------------------------------------------------

-- What is looked after in hosts without tasks: by libuv's loop where there is one, and whenever something blocks.
local background, look = nil, nil

local function driver()
  if look == nil then
    local host = rawget(_G, "vim") and require "sandbox.hosts.nvim" or package.loaded.luv and require "sandbox.hosts.luv"
    look = host and host.driver and host.driver(background) or false
  end
  return look
end

local function settle()
  if driver() then look() end
end
background = tasks.new(settle)

local plain = { name = "plain" }
local forgotten = {} -- by descriptor: how often

-- Blocks in poll; the background goes on meanwhile. May say true for nothing: whoever waits looks again.
function plain.wait(fd, events, seconds)
  local limit, before = seconds and core.now() + seconds, forgotten[fd]
  repeat
    local left = limit and math.max(0, limit - core.now())
    if background.live == 0 then
      if core.poll(fd, events, left) then return true end
    else
      background:turn()
      settle()
      if forgotten[fd] ~= before then return true end
      local soonest, list = background:timeout(), fd >= 0 and { fd, events } or {}
      local others = background:fd()
      if others then list[#list + 1], list[#list + 2] = others, "r" end
      local ready = core.pollv(list, soonest and math.min(soonest, left or soonest) or left)
      if fd >= 0 and ready and ready[2] ~= "" then return true end
    end
    -- A signal ends poll early, so that Lua's own handling of it (^C) comes to its turn: here.
  until limit and core.now() >= limit
  return false
end

function plain.forget(fd) forgotten[fd] = (forgotten[fd] or 0) + 1 end

local own = { name = "loop", wait = tasks.wait }
function own.forget(fd)
  loop.forget(fd)
  background:forget(fd)
end
function own.set() return tasks.current().set end
function own.go(f) own.set():go(f) end

local main_of_nvim -- outside of coroutines that can yield

local function nvim_main()
  local nvim = require "sandbox.hosts.nvim"
  main_of_nvim = main_of_nvim or {
    name = "nvim", forget = plain.forget,
    wait = function(fd, events, seconds)
      local before = forgotten[fd]
      settle()
      return nvim.block(fd, events, seconds, function() return forgotten[fd] ~= before end)
    end,
  }
  return main_of_nvim
end

-- Where a coroutine can yield: the first that runs it. `loaded`: a loop that nobody has loaded does not run.
local hosts = {
  { module = "cqueues", loaded = "cqueues" },
  { module = "copas", loaded = "copas" },
  { module = "nvim", global = "vim" },
  { module = "luv", loaded = "luv" },
}

--- The host that the caller runs in.
-- @treturn table
function M.host()
  if rawget(_G, "ngx") then
    local nginx = require "sandbox.hosts.nginx"
    if nginx.running() then return nginx end
  end
  if can_yield() then
    if tasks.current() then return own end
    for _, row in ipairs(hosts) do
      if (not row.loaded or package.loaded[row.loaded]) and (not row.global or rawget(_G, row.global)) then
        local host = require("sandbox.hosts." .. row.module)
        if host.running() then return host end
      end
    end
  end
  if rawget(_G, "vim") then return nvim_main() end
  return plain
end

--- Waits until a descriptor is ready, in the way of the host. fd -1: only the time.
-- @int fd
-- @string events "r", "w" or "rw"
-- @number[opt] seconds
-- @treturn boolean false when the time is over
function M.wait(fd, events, seconds)
  local ready = M.host().wait(fd, events, seconds)
  return ready
end

--- Lets others go on for a while.
-- @number seconds
function M.sleep(seconds)
  local host, limit = M.host(), core.now() + seconds
  local left = seconds
  repeat
    host.wait(-1, "r", left)
    left = limit - core.now()
  until left <= 0
end

local NAP = 0.02

--- Waits until a condition holds that nobody wakes for: looks again, at first soon.
-- @func condition
-- @func[opt] sleep function(seconds)
function M.until_true(condition, sleep)
  local nap = 0.001
  while not condition() do
    (sleep or M.sleep)(nap)
    nap = math.min(nap * 1.5, NAP)
  end
end

--- Whether the caller is where it can wait: true, or nil, message, code.
-- @treturn boolean
function M.may_wait()
  local host = M.host()
  if not host.may_wait then return true end
  local ok, message, code = host.may_wait()
  return ok, message, code
end

--- Whether something that stays can be started here: true, or nil, message, code.
-- @treturn boolean
function M.may_start()
  local host = M.host()
  if not host.may_start then return true end
  local ok, message, code = host.may_start()
  return ok, message, code
end

--- Calls f when nobody waits for it, in a host that has a place for that; elsewhere never.
-- @func f it may wait
function M.later(f)
  local host = M.host()
  if host.later then host.later(f) end
end

--- Lets f go on by itself: it may wait, and nobody waits for it. In a host that has tasks it is one of them; elsewhere it goes on while
-- something waits, and in libuv's loop.
-- @func f function(protect); protect: an error in it must not come out, else it ends f, which was only for that
-- @func failed function(err): f has ended so
function M.attend(f, failed)
  local host = M.host()
  local set = host.set and host.set() or background
  if host.go and host.attends ~= false and not host.set then
    host.go(function() f(true) end)
    return
  end
  local state = set:go(f, false)
  state.on_end = function()
    if state.failed then failed(state.err, state.traceback) end
  end
  if set == background then settle() end
end

-- Many at once -----------------------------------------------------------------------------------------------------------

-- What f has said of an item: its value, or where that is nil its words.
local function outcome(value, message, code)
  if value == nil and message ~= nil then return nil, { ok = false, message = message, code = code } end
  return value
end

local function map(list, n, f, go)
  local results, failures, at, working, raised = {}, {}, 0, 0, nil
  local function work()
    while at < #list and not raised do
      at = at + 1
      local i = at
      local value, failure = outcome(f(list[i], i))
      results[i], failures[i] = value, failure
      if failure then results[i] = failure end
    end
  end
  local function ended(failed, err)
    if failed and not raised then raised = { value = err } end
    working = working - 1
  end
  local joins = {}
  for i = 1, math.min(n, #list) do
    working = working + 1
    joins[i] = go(work, ended) or nil
  end
  for _, join in ipairs(joins) do join() end
  M.until_true(function() return working == 0 end)
  if raised then error(raised.value, 0) end
  return results, failures
end

-- On 5.1 nothing can be waited for in a pcall: there an error is the host's.
local across = yieldable ~= no_c_function

-- How a host starts a worker: go(f, ended) -> a function that waits for its end, where the host has one.
local function go_in(host)
  if host.set or host == plain or host == main_of_nvim then
    local set = host.set and host.set() or background
    return function(f, ended)
      local state = set:go(f)
      state.on_end = function() ended(state.failed, state.err) end
      return host.set and function()
        if not state.done then tasks.join(state) end
      end
    end
  end
  return function(f, ended)
    host.go(function()
      if not across then
        f()
        return ended(false)
      end
      local ok, err = pcall(f)
      ended(not ok, err)
    end)
  end
end

--- Calls f for each item, n at a time, in the way of the host.
-- @tparam table list
-- @int n
-- @func f function(item, index)
-- @treturn table the results, in the order of the list; where f gave nil and a message: { ok = false, message=, code= }
-- @treturn table those alone, by index
function M.map(list, n, f)
  if type(list) ~= "table" then errors.argument(1, "map", "a table", list) end
  if type(n) ~= "number" or not (n >= 1) then errors.argument(2, "map", "a number of at least 1", n) end
  if type(f) ~= "function" then errors.argument(3, "map", "a function", f) end
  local host = M.host()
  if host == plain and not loop.active() then
    return loop.loop(function() return map(list, n, f, go_in(own)) end)
  end
  return map(list, n, f, go_in(host))
end

return M
