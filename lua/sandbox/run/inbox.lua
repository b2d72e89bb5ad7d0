-- SPDX-License-Identifier: MIT
--- What a job's callbacks are to be told, in order: taken in by whoever reads the frames, told by one at a time.
-- @module sandbox.run.inbox
local Inbox = {}
Inbox.__index = Inbox

local M = {}

--- Makes an empty one.
-- @treturn Inbox with `bytes`: of output that is in it
function M.new() return setmetatable({ first = 1, last = 0, events = {}, bytes = 0 }, Inbox) end

--- Puts an event in line.
-- @tparam table event { f = callback, chunk = output }, or with r, message and code, which are the end
function Inbox:put(event)
  self.last = self.last + 1
  self.events[self.last] = event
  if event.chunk then self.bytes = self.bytes + #event.chunk end
end

--- Whether nothing is in it.
-- @treturn boolean
function Inbox:is_empty() return self.first > self.last end

--- Takes the first event, or gives nil.
-- @treturn table
function Inbox:take()
  if self.first > self.last then return nil end
  local event = self.events[self.first]
  self.events[self.first] = nil
  self.first = self.first + 1
  if event.chunk then self.bytes = self.bytes - #event.chunk end
  return event
end

return M
