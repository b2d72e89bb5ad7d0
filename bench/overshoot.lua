-- SPDX-License-Identifier: MIT
-- How far a guest that allocates at full speed gets beyond limits.memory before it is dead. overshoot.lua [RUNS]
local core = require "sandbox.core"
local sandbox = require "sandbox"

local RUNS = tonumber(arg[1]) or 50
local LIMIT = 128 * 1024 * 1024
local dir = ("/tmp/sbo-%s"):format(core.random_hex(4))
local sb = sandbox.new{ state_dir = dir }
local over = {}
for i = 1, RUNS do
  local r = assert(sb:run{ "python3", "-c", "x = []\nwhile True: x.append(bytearray(1 << 24))", limits = { memory = LIMIT, timeout = 60 } })
  assert(r.status == "oom_killed", r.status)
  over[i] = (r.peak_memory - LIMIT) / 2 ^ 20
  if i == RUNS then
    table.sort(over)
    print(("memory, %s, runsc %s on %s, cgroup %s: %d runs, beyond 128 MiB: median %.1f MiB, worst %.1f MiB"):format(
      r.runtime.rootless and "user" or "root", r.runtime.runsc, r.runtime.platform, r.runtime.cgroup, RUNS, over[math.ceil(RUNS / 2)], over[RUNS]))
  end
end
assert(sb:shutdown())
os.execute("rm -rf " .. dir)
