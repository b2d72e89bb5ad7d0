-- SPDX-License-Identifier: MIT
-- Servers of a test's own, in Python: each ends with its stdin, and says first which ports it has.
local h = require "support.harness"

-- Starts them. What comes back: { port = by name, as words of a command line, stop = function }.
-- @string command a script of spec/support and its arguments
return function(command)
  local dir, remove = h.tmpdir()
  os.execute("mkfifo " .. dir .. "/stdin")
  local pipe = io.popen(("exec python3 spec/support/%s <%s/stdin"):format(command, dir), "r")
  local kept = assert(io.open(dir .. "/stdin", "w"))
  local port = {}
  for name, number in (pipe:read "*l" or ""):gmatch "(%w+)=(%d+)" do port[name] = number end
  remove()
  assert(next(port), "the servers do not start")
  return { port = port, stop = function()
    kept:close()
    pipe:close()
  end }
end
