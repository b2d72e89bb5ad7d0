-- SPDX-License-Identifier: MIT
-- What a guest can make its supervisor and its host burn by events: they are paced, so that both stay below 5 % of its time where the
-- machine is idle. Where each wake finds cold caches it was 8 %; without pacing it is 59 % (clones) and 35 % (single bytes).
local env = require "support.harness"
local sb, core = env.sb, env.core
local SLOW = env.slow
local SHARE, TICK = 0.12, 0.01

-- CPU seconds of a process, and its parent.
local function cpu_of(pid)
  local user, system, parent
  local fields = {}
  for word in (env.slurp(("/proc/%d/stat"):format(pid)):match "%)%s+(.*)$" or ""):gmatch "%S+" do fields[#fields + 1] = word end
  user, system, parent = tonumber(fields[12]), tonumber(fields[13]), tonumber(fields[2])
  return user and (user + system) * TICK, parent
end

-- The guest does what it does for some seconds, says so on stderr, and waits: what it cost is read from its start until then.
local function cost(work)
  local job = assert(sb:spawn{ "python3", "-c", ([[
import ctypes, os, sys, time
libc = ctypes.CDLL(None)
clone = 56 if os.uname().machine == "x86_64" else 220
sys.stderr.write("begin"); sys.stderr.flush()
end = time.monotonic() + 2
while time.monotonic() < end:
  for _ in range(200): %s
sys.stderr.write("end"); sys.stderr.flush()
sys.stdin.read()]]):format(work), limits = { timeout = 60 * SLOW } })
  assert.equal("begin", job:read "stderr")
  local _, supervisor = cpu_of(job:pid())
  local sup0, host0, t0, bytes = cpu_of(supervisor), os.clock(), core.now(), 0
  local told = false
  while not told do
    local stream, chunk = job:read()
    if stream == "stderr" then told = true elseif stream then bytes = bytes + #chunk else break end
  end
  local t = core.now() - t0
  local sup, host = (cpu_of(supervisor) or 0) - sup0, os.clock() - host0
  job:close_stdin()
  local r = assert(job:wait())
  assert.same({ true, "exited" }, { told, r.status })
  return sup / t, host / t, bytes
end

describe("what a guest's events cost", function()
  local before
  setup(function()
    assert(sb:run{ "true" })
    before = env.census()
  end)

  -- The least of three: what else the machine does while it is measured is no cost of the guest's.
  local function least(work)
    local sup, host, bytes = math.huge, math.huge, 0
    for _ = 1, 3 do
      local s, h, b = cost(work)
      sup, host, bytes = math.min(sup, s), math.min(host, h), math.max(bytes, b)
      if sup < SHARE + TICK and host < SHARE then break end
    end
    return sup, host, bytes
  end

  it("clones that fail", function()
    local sup, host = least "libc.syscall(clone, 0x10000, 0, 0, 0, 0)"
    assert.is_true(sup < SHARE + TICK and host < SHARE, ("supervisor %.3f, host %.3f"):format(sup, host))
  end)

  it("output of one byte at a time", function()
    local sup, host, bytes = least [[os.write(1, b"x")]]
    assert.is_true(bytes > 0)
    assert.is_true(sup < SHARE + TICK and host < SHARE, ("supervisor %.3f, host %.3f"):format(sup, host))
  end)

  it("and a talk is none of that: an answer comes at once", function()
    local job = assert(sb:spawn{ "cat", limits = { timeout = 60 * SLOW } })
    assert(job:write "x")
    assert(job:read())
    local quickest = math.huge
    for _ = 1, 300 do
      local t = core.now()
      assert(job:write "x")
      assert.equal("stdout", (job:read()))
      quickest = math.min(quickest, core.now() - t)
    end
    assert.is_true(quickest < 0.002, quickest)
    job:kill()
    job:close()
  end)

  it("leaves nothing behind", function()
    assert.is_nil(env.leftovers(before))
  end)
end)
