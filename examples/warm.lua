-- SPDX-License-Identifier: MIT
-- Sandboxes that are there already: an agent's box, in which one tool works on what another left, and a pool of Pythons that
-- have loaded their modules, each for one snippet and never for a second.
local sandbox = require "sandbox"
local now = require("sandbox.core").now

local box = assert(sandbox.start{ limits = { memory = "256M", pids = 64 } })
assert(box:write_file("numbers.txt", "3\n1\n2\n"))
assert(box:run{ "sh", "-c", "sort -n numbers.txt >sorted.txt" })
print("sorted    " .. assert(box:read_file "sorted.txt"):gsub("\n", " "))
local r = assert(box:run{ "sh", "-c", "while :; do :; done", limits = { timeout = 0.3 } })
print("a tool    " .. r.message)
print("the box   " .. assert(box:run{ "echo", "goes on" }).stdout:gsub("\n", ""))
box:stop()

local pool = assert(sandbox.pool{ size = 2, prepared = sandbox.prepared.python{ "json", "re" }, limits = { memory = "128M" } })
local snippets = {
  "import json; print(json.dumps([6 * 7, input()]))",
  "open('/tmp/mine', 'w').close(); print('left a file in /tmp')",
  "import os; print('another /tmp:', os.listdir('/tmp'))",
  "1 / 0",
}
for _, code in ipairs(snippets) do
  assert(pool:ready(30))
  local began = now()
  r = assert(pool:run{ code = code, stdin = "a line\n", limits = { timeout = 5 } })
  print(("python    %5.1f ms  %s"):format((now() - began) * 1000, ((r.stdout .. r.stderr):match "([^\n]*)\n$")))
end
-- A sandbox that is one program's takes less memory than its pool has, if that program is to have less.
r = assert(pool:run{ code = "x = b'x' * (100 << 20)", limits = { memory = "64M" } })
print("a lease   " .. r.message)
local s = pool:stats()
print(("the pool  served %d, destroyed %d"):format(s.served, s.destroyed))
pool:close()
if s.served ~= s.destroyed then os.exit(1) end
