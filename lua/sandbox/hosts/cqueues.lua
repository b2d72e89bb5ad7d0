-- SPDX-License-Identifier: MIT
--- Waiting in cqueues.
-- @module sandbox.hosts.cqueues
local cqueues = require "cqueues"
local condition = require "cqueues.condition"
local core = require "sandbox.core"
local lock = require "sandbox.hosts.lock"
local wishes = require "sandbox.hosts.wish"

local M = { name = "cqueues" }

--- Whether the caller is a coroutine of a controller, and not one inside of it.
function M.running()
  local controller, immediate = cqueues.running()
  return controller ~= nil and immediate == true
end

-- A controller goes on with a descriptor until it is told: one that is closed makes it fail, one that has got the same number is never
-- seen; and of several coroutines that poll one cqueues.cancel lets only one go in time. So one polls, and the others wait for it.
local watched = {} -- by descriptor and controller
local WEAK = { __mode = "k" }
local LOOK = 0.5 -- seconds after which another one looks whether the first is still at it

local function watch_of(fd)
  local controller = cqueues.running()
  watched[fd] = watched[fd] or setmetatable({}, WEAK)
  local watch = watched[fd][controller]
  if not watch then
    watch = { turn = lock.new(), changed = condition.new() }
    watched[fd][controller] = watch
  end
  return watch
end

-- Once: whoever polls leaves, or the descriptor is about to be closed.
local function leave(fd, watch, token)
  if token.done then return end
  watch.turn:release(token)
  if not watch.forgotten then
    local others = watched[fd]
    if others then others[cqueues.running() or false] = nil end
    if others and next(others) == nil then watched[fd] = nil end
    cqueues.cancel(fd)
  end
  watch.changed:signal()
end

--- Waits in the controller.
function M.wait(fd, events, seconds)
  if fd < 0 then
    cqueues.sleep(seconds)
    return false
  end
  local limit = seconds and core.now() + seconds
  local watch = watch_of(fd)
  local token = watch.turn:take()
  if not token then
    if #events > #watch.events then cqueues.cancel(fd) end -- whoever is next polls for both
    watch.changed:wait(math.min(seconds or LOOK, LOOK))
    return not (limit and core.now() >= limit)
  end
  watch.events = events
  local object, ready = { pollfd = fd, events = events }, nil
  wishes.closing(function() leave(fd, watch, token) end, function() ready = cqueues.poll(object, seconds) end)
  return ready == object or not (limit and core.now() >= limit)
end

--- Starts a coroutine of its own.
function M.go(f)
  cqueues.running():wrap(f)
end

--- Without this a closed descriptor makes the whole loop fail; and so does this, once it was closed.
function M.forget(fd)
  local others = watched[fd]
  watched[fd] = nil
  cqueues.cancel(fd)
  for _, watch in pairs(others or {}) do
    watch.forgotten = true
    watch.changed:signal()
  end
end

return M
