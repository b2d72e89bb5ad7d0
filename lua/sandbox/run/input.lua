-- SPDX-License-Identifier: MIT
--- What goes to a job's stdin: pieces within the window that its supervisor has opened, in frames where the program has a terminal.
-- @module sandbox.run.input
local errors = require "sandbox.errors"
local terminal = require "sandbox.run.terminal"

local M = {}

local PIECE = 64 * 1024

-- Bytes of a frame's payload, within the window.
local function send(self, bytes)
  self.window = self.window - #bytes
  self.transport:send("I", bytes)
end

-- How many bytes of stdin may be sent now.
local function room(self)
  if self.terminal then return terminal.room(self.window, PIECE) end
  return math.min(self.window, PIECE)
end

local function put(self, bytes) send(self, self.terminal and terminal.typed(bytes) or bytes) end

--- Whether there is room for more.
-- @tparam Job self
-- @treturn boolean
function M.has_room(self) return room(self) > 0 end

--- Tells the terminal what it is to know beside what is typed, as far as there is room.
-- @tparam Job self
function M.tell(self)
  local bytes = not self.ended and self.terminal and self.terminal:due(self.window)
  while bytes do
    send(self, bytes)
    bytes = self.terminal:due(self.window)
  end
end

local function finish(self)
  self.source = nil
  if self.terminal then -- which has no end: one is typed, and more may be
    self.terminal:finish()
    M.tell(self)
  elseif not self.stdin_ended then
    self.stdin_ended = true
    if not self.ended then self.transport:send("E", "") end
  end
end

--- Sends of the source what the window allows.
-- @tparam Job self
-- @func call asks the source for a piece
function M.feed(self, call)
  while self.source and room(self) > 0 and not self.ended and not self.raised do
    local source = self.source
    local piece = call(self, source.next, source, room(self))
    if not piece then return finish(self) end
    if not self.ended then put(self, piece) end
  end
end

--- The methods of a job for its stdin.
-- @tparam table base what they need of it: wait_until(job, condition), reraise(job), check_open(job, method)
-- @treturn table
function M.methods(base)
  local wait_until, reraise, check_open = base.wait_until, base.reraise, base.check_open
  local Input = {}

  -- Of several jobs of a detached program, one writes.
  local function is_denied(self) return self.plan.kept and not self.writes end

  local function can_write(self) return room(self) > 0 or self.ended or is_denied(self) end

  --- Writes to the program's stdin; waits while the pipe is full.
  -- @string bytes
  -- @treturn boolean true, or nil, message, "closed"
  function Input:write(bytes)
    check_open(self, "write")
    if type(bytes) == "number" then bytes = tostring(bytes) end
    if type(bytes) ~= "string" then errors.raise("bad argument #1 to 'write' (expected a string, got " .. errors.kind(bytes) .. ")") end
    local at = 1
    self:take()
    while at <= #bytes do
      if self.stdin_ended or self.ended or not self.plan.stdin_open then return nil, "stdin is closed", "closed" end
      if is_denied(self) then return nil, "the program's stdin is another job's, which attached later", "closed" end
      local n = room(self)
      if n > 0 then
        put(self, bytes:sub(at, at + n - 1))
        at = at + n
      else
        wait_until(self, can_write)
      end
    end
    reraise(self)
    return true
  end

  --- Ends the program's stdin; once more does no harm. Where it has a terminal, types an end of input, ^D as a rule: more may be typed
  -- after it.
  function Input:close_stdin()
    check_open(self, "close_stdin")
    if not self.ended then finish(self) end
  end

  --- Makes the program's terminal another size, of which its foreground processes hear by SIGWINCH. Never waits.
  -- @int rows
  -- @int cols
  -- @treturn boolean true, or nil, message, "closed"
  function Input:resize(rows, cols)
    check_open(self, "resize")
    if not self.plan.pty then errors.raise "resize: the job has no terminal; spawn gives it one with pty = true" end
    for i, n in ipairs{ rows or false, cols or false } do
      if type(n) ~= "number" or n % 1 ~= 0 or n < 1 or n > 65535 then errors.argument(i, "resize", "an integer from 1 to 65535", n or nil) end
    end
    self:take()
    if self.ended then return nil, "the program has ended", "closed" end
    self.terminal:resize(rows, cols)
    M.tell(self)
    return true
  end

  return Input
end

return M
