-- SPDX-License-Identifier: MIT
--- A program's terminal: made inside by our helper (src/guest/guest_terminal.h), which gets what is typed, an end of input and a new size in
-- frames on its stdin, so that one way goes with every build. Its stderr, which the program has not, says what could not be started.
-- @module sandbox.run.terminal
local M = {}

local Terminal = {}
Terminal.__index = Terminal

local HEADER = 5
-- Of the window, what typing leaves for sizes and ends: those never wait for a program that does not read.
local RESERVE = 4096
local WORDS_MAX = 256 -- of two lines; nobody else writes there

local failures = {
  t = "no terminal can be made in the guest: %s", c = "cwd: %s in the guest", f = "no process can be made for the program: %s",
  x = "the program cannot be executed in the guest: %s",
}

--- The plan's terminal as one word for our helper.
-- @tparam table pty rows, cols
-- @treturn string
function M.word(pty) return ("%dx%d"):format(pty.rows, pty.cols) end

--- How many processes of ours a terminal takes beside the one that has it: builds since the one that brought this flag need none in the
-- program's session; the others' one is made by way of another (src/guest/guest_session.c).
-- @tparam table rt
-- @treturn integer
function M.beside(rt)
  return rt.flags and rt.flags["gofer-network-namespace"] and 0 or 2
end

--- What our helper is started with as a run's first process, for a spec that has the program.
-- @string helper where it is
-- @tparam table pty
-- @tparam {string,...} argv
-- @int[opt] tasks how many its user may have, ours included
-- @treturn {string,...}
function M.argv(helper, pty, argv, tasks)
  local out = { helper, "exec", ".", "-", "-", "-", tasks and ("%.0f"):format(tasks) or "-", "-", "-", "-", M.word(pty) }
  for _, word in ipairs(argv) do out[#out + 1] = word end
  return out
end

local function has_term(env)
  for _, pair in ipairs(env) do
    if pair:sub(1, 5) == "TERM=" then return true end
  end
  return false
end

--- What the plan of a program in a terminal has of that: its output is one stream, and its input never ends but by what is typed.
-- @tparam table plan
-- @bool spawning its input is a job's
function M.seat(plan, spawning)
  plan.pty = plan.pty or nil
  if not plan.pty then return end
  if not has_term(plan.env) then plan.env[#plan.env + 1] = "TERM=" .. plan.pty.term end
  plan.stderr, plan.on_stderr = nil, nil
  if plan.stdin == nil and not spawning then plan.stdin = "" end
end

--- A job's end of one.
-- @treturn Terminal
function M.new()
  return setmetatable({ words = "" }, Terminal)
end

local function frame(kind, payload)
  local n = #payload
  return string.char(n % 256, math.floor(n / 256) % 256, math.floor(n / 65536), 0) .. kind .. payload
end

local function u16(n) return string.char(n % 256, math.floor(n / 256)) end

--- How many bytes may be typed now, of a window of so many; they and their header are one piece for the supervisor.
-- @int window
-- @int piece
-- @treturn integer
function M.room(window, piece) return math.min(window - RESERVE, piece) - HEADER end

--- Bytes as they are typed.
-- @string bytes
-- @treturn string
function M.typed(bytes) return frame("I", bytes) end

--- Asks for a size: the last that was asked for is what is sent.
-- @int rows
-- @int cols
function Terminal:resize(rows, cols) self.size = u16(rows) .. u16(cols) end

--- Asks for an end of the input, behind what was typed.
function Terminal:finish() self.ending = true end

--- What can be sent of what was asked for, in a window of so many bytes; nil: nothing.
-- @int window
-- @treturn string
function Terminal:due(window)
  local out
  if self.ending and window >= HEADER then
    self.ending, out = nil, frame("E", "")
  elseif self.size and window >= HEADER + 4 then
    out, self.size = frame("Z", self.size), nil
  end
  return out
end

--- Takes what our helper says on its stderr.
-- @string bytes
function Terminal:hear(bytes)
  if #self.words < WORDS_MAX then self.words = (self.words .. bytes):sub(1, WORDS_MAX) end
end

--- Why the program was not started, if it was not.
-- @treturn string or nil
function Terminal:failure()
  local what, why = self.words:match "([tcfx])([^\n]*)\n$"
  return what and failures[what]:format(why) or nil
end

return M
