-- SPDX-License-Identifier: MIT
--- Waiting in luv, inside a coroutine. Neovim's libuv is the same thing with other rules: see nvim.
-- @module sandbox.hosts.luv
local core = require "sandbox.core"
local wishes = require "sandbox.hosts.wish"

local M = {}

--- Makes the adapter for a libuv.
-- @tparam table uv
-- @func later calls a function where a coroutine may be gone on with: at once, or as soon as the host allows
-- @treturn table
function M.adapter(uv, later)
  local host = { name = "luv" }
  local polls = {} -- by descriptor: a second handle on one is refused (EEXIST)

  --- A coroutine is libuv's if somebody lets it go on there: not a generator, whose consumer waits for its values.
  function host.running()
    local kind = core.resumer()
    return kind == "resume" or kind == "call"
  end

  local function close(handle)
    if handle and not handle:is_closing() then handle:close() end
  end

  -- The handle goes before its descriptor does, and as soon as nobody waits: the descriptor's number comes again.
  local function cancel(wish)
    wish.granted = true
    close(wish.clock)
    wish.clock = nil
    local poll = polls[wish.fd]
    if not poll or not poll.waiting[wish] then return end
    poll.waiting[wish] = nil
    if next(poll.waiting) ~= nil then return end
    polls[wish.fd] = nil
    poll.handle:stop()
    close(poll.handle)
  end

  local function clock(seconds, f)
    local handle = uv.new_timer()
    handle:start(math.ceil(math.min(seconds, 1e9) * 1000), 0, f)
    return handle
  end

  local function resume(wish)
    later(function()
      -- It may have been closed, or gone on with by somebody else.
      if wish.left or coroutine.status(wish.co) ~= "suspended" then return end
      local ok, err = coroutine.resume(wish.co)
      if not ok then error(err, 0) end
    end)
  end

  local function grant(wish, ready)
    if wish.granted then return end
    cancel(wish)
    wish.ready = ready
    resume(wish)
  end

  local function wishes_of(poll)
    local list = {}
    for wish in pairs(poll.waiting) do list[#list + 1] = wish end
    return list
  end

  local function grant_all(poll)
    for _, wish in ipairs(wishes_of(poll)) do grant(wish, true) end
  end

  local function arm(wish)
    local poll = polls[wish.fd]
    if not poll then
      poll = { handle = assert(uv.new_poll(wish.fd)), waiting = {} }
      polls[wish.fd] = poll
    end
    poll.waiting[wish] = true
    if poll.events == wish.events or poll.events == "rw" then return end
    poll.events = poll.events and "rw" or wish.events
    poll.handle:start(poll.events, function() grant_all(poll) end)
  end

  --- Yields until the descriptor is ready or the time is over. The caller has made sure that it can yield.
  function host.wait(fd, events, seconds)
    local wish = wishes.new(fd, events)
    wish.co = coroutine.running()
    function wish.on_close()
      wish.left = true
      cancel(wish)
    end
    if fd >= 0 then arm(wish) end
    if seconds then wish.clock = clock(seconds, function() grant(wish, false) end) end
    wishes.yield(wish)
    return wish.ready ~= false
  end

  --- What there was has been read, or the descriptor is about to be closed: whoever waits for it looks again.
  function host.forget(fd)
    local list = polls[fd] and wishes_of(polls[fd]) or {}
    for _, wish in ipairs(list) do
      cancel(wish)
      wish.ready = true
    end
    if #list == 0 then return end
    local soon
    soon = clock(0, function() -- from the loop, not on the stack of whoever tells
      close(soon)
      for _, wish in ipairs(list) do resume(wish) end
    end)
  end

  --- Starts a coroutine of its own.
  function host.go(f)
    local ok, err = coroutine.resume(coroutine.create(f))
    if not ok then error(err, 0) end
  end

  --- Drives tasks from libuv's loop: gives a function that looks at what they wait for anew. Each look arms once, so that nothing piles
  -- up where only callbacks run and the rest is put off.
  -- @tparam Tasks set
  -- @treturn function
  function host.driver(set)
    local poll, fd, timer, scheduled
    local look
    local function stop()
      if poll then poll:stop() end
      close(poll)
      close(timer)
      poll, fd, timer = nil, nil, nil
    end
    set.on_close = stop -- before the descriptor is closed
    local function turn()
      if scheduled then return end
      scheduled = true
      stop()
      later(function()
        scheduled = false
        set:turn()
        look()
      end)
    end
    function look()
      if scheduled then return end
      local seconds = set:timeout()
      if set:fd() ~= fd then
        stop()
        fd = set:fd()
        if fd then poll = assert(uv.new_poll(fd)) end
      end
      if poll and not poll:is_active() then poll:start("r", turn) end
      close(timer)
      timer = seconds and clock(seconds, turn)
    end
    return look
  end

  return host
end

local ok, uv = pcall(require, "luv")
if ok then
  local host = M.adapter(uv, function(f) f() end)
  local resumed = host.running
  for k, v in pairs(host) do M[k] = v end

  --- Only where libuv's loop runs, or will: loaded for its files alone it lets nobody go on.
  function M.running()
    return (uv.loop_mode and uv.loop_mode() ~= nil or uv.loop_alive()) and resumed()
  end
end

return M
