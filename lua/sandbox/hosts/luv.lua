-- SPDX-License-Identifier: MIT
--- Waiting in luv, inside a coroutine. Neovim's libuv is the same thing with other rules: see nvim.
-- @module sandbox.hosts.luv
local M = {}

--- Makes the adapter for a libuv.
-- @tparam table uv
-- @func resume how a coroutine is gone on with from a callback
-- @treturn table
function M.adapter(uv, resume)
  local host = { name = "luv" }
  local polls = {} -- by descriptor: a second handle on one is refused (EEXIST)

  function host.running() return true end

  local function close(handle)
    if not handle:is_closing() then handle:close() end
  end

  local function release(fd, poll)
    if polls[fd] == poll then polls[fd] = nil end
    poll.handle:stop()
    close(poll.handle)
  end

  local function fire(fd, poll)
    release(fd, poll)
    for _, f in ipairs(poll.waiting) do f(true) end
  end

  local function arm(fd, events, f)
    local poll = polls[fd]
    if not poll then
      poll = { handle = assert(uv.new_poll(fd)), waiting = {} }
      polls[fd] = poll
    end
    poll.waiting[#poll.waiting + 1] = f
    if poll.events == events or poll.events == "rw" then return end
    poll.events = poll.events and "rw" or events
    poll.handle:start(poll.events, function() fire(fd, poll) end)
  end

  local function timer(seconds, f)
    local handle = uv.new_timer()
    handle:start(math.ceil(seconds * 1000), 0, function()
      close(handle)
      f(false)
    end)
    return handle
  end

  --- Yields until the descriptor is ready or the time is over.
  function host.wait(fd, events, seconds)
    local co, done = coroutine.running(), false
    local clock
    local function wake(ready)
      if done then return end
      done = true
      if clock then close(clock) end
      resume(co, ready)
    end
    if fd >= 0 then arm(fd, events, wake) end
    if seconds then clock = timer(seconds, wake) end
    return coroutine.yield()
  end

  --- Calls f whenever the descriptor is ready for what events() says, until the function that is returned is called.
  function host.watch(fd, f, events)
    local stopped = false
    local function again()
      if stopped then return end
      f()
      if not stopped then arm(fd, events(), again) end
    end
    arm(fd, events(), again)
    return function() stopped = true end
  end

  --- The handle goes before the descriptor: else the next one of that number is refused.
  function host.forget(fd)
    local poll = polls[fd]
    if not poll then return end
    release(fd, poll)
    for _, f in ipairs(poll.waiting) do f(true) end
  end

  return host
end

local ok, uv = pcall(require, "luv")
if ok then
  local host = M.adapter(uv, function(co, ready)
    local fine, err = coroutine.resume(co, ready)
    if not fine then error(err, 0) end
  end)
  for k, v in pairs(host) do M[k] = v end
end

return M
