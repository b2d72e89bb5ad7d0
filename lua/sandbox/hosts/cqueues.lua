-- SPDX-License-Identifier: MIT
--- Waiting in cqueues.
-- @module sandbox.hosts.cqueues
local cqueues = require "cqueues"

local M = { name = "cqueues" }

--- Whether the caller is a coroutine of a controller.
function M.running()
  local controller, main = cqueues.running()
  return controller ~= nil and not (main == true and controller == nil)
end

--- Waits in the controller.
function M.wait(fd, events, seconds)
  if fd < 0 then
    cqueues.sleep(seconds)
    return false
  end
  local limit = seconds and cqueues.monotime() + seconds
  local object = { pollfd = fd, events = events }
  local ready = cqueues.poll(object, seconds)
  return ready == object or not (limit and cqueues.monotime() >= limit)
end

function M.go(f)
  cqueues.running():wrap(f)
end

--- Without this a closed descriptor makes the whole loop fail.
function M.forget(fd)
  cqueues.cancel(fd)
end

return M
