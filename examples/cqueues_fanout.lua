-- SPDX-License-Identifier: MIT
-- 100 snippets, 8 at a time, in cqueues' loop, which goes on meanwhile: a progress line is another coroutine of it.
local cqueues = require "cqueues"
local sandbox = require "sandbox"

local COUNT, AT_ONCE = tonumber(arg and arg[1]) or 100, 8
local cq = cqueues.new()
local next_one, done, wrong, ticks = 1, 0, 0, 0
local began = cqueues.monotime()

for _ = 1, AT_ONCE do
  cq:wrap(function()
    while next_one <= COUNT do
      local n = next_one
      next_one = n + 1
      local r, message = sandbox.run{ "sh", "-c", "echo $(($1 * $1))", "sh", tostring(n), limits = { timeout = 5, memory = "64M" } }
      if not r or tonumber(r.stdout) ~= n * n then
        wrong = wrong + 1
        io.stderr:write(("\n%d: %s\n"):format(n, tostring(message or r.message or r.stdout)))
      end
      done = done + 1
    end
  end)
end

cq:wrap(function()
  while done < COUNT do
    ticks = ticks + 1
    io.stderr:write(("\r%3d of %d, %.1f s"):format(done, COUNT, cqueues.monotime() - began))
    cqueues.sleep(0.05)
  end
end)

assert(cq:loop())
local took = cqueues.monotime() - began
io.stderr:write("\n")
print(("%d snippets, %d wrong, %.1f s, %.1f a second, %d progress lines"):format(COUNT, wrong, took, COUNT / took, ticks))
os.exit(wrong == 0 and 0 or 1)
