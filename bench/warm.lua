-- SPDX-License-Identifier: MIT
-- Boxes and pools against their peers, in turns: warm.lua [ROUNDS]; scripts/bench.sh runs it on each build.
--   floor   the bare protocol: one connection, ExecuteAsync and WaitPID of the same program in the same box, nothing else
--   exec    `runsc exec` of it in the same box        fork    fork and exec of it on the host
local core = require "sandbox.core"
local sandbox = require "sandbox"

local ROUNDS = tonumber(arg[1]) or 100
local RUNSC = assert(os.getenv "SANDBOX_RUNSC", "SANDBOX_RUNSC is not set")
local YEAR = os.getenv "SANDBOX_TEST_BUILD" or "?"
local PEER, FLOOR = core.realpath "build/bench-peer", core.realpath "build/bench-floor"
local ROOT = core.getuid() == 0
local dir = ("/tmp/sbw-%s"):format(core.random_hex(4))
assert(core.mkdir(dir, tonumber(ROOT and "711" or "700", 8)))

local quantile, pairwise = dofile "bench/quantile.lua", dofile "bench/pairs.lua"
local function row(name, list)
  print(("  %-26s %s ms   (%d)"):format(name, pairwise.percentiles(list), #list))
  io.flush()
  pairwise.keep(ROOT and "root" or "user", "warm", name, list)
end
local function output(command)
  local pipe = io.popen(command .. " 2>&1")
  local text = pipe:read "*a"
  pipe:close()
  return text
end
local function timed(f)
  local began = core.now()
  local r, message = f()
  assert(r and r.ok, message or r and r.message)
  return (core.now() - began) * 1000
end

local sb = sandbox.new{ runsc = RUNSC, state_dir = dir, boot_timeout = 60 }
-- A static program that is in every box: nothing is measured but the way there and back.
local TRUE, HOST_TRUE = "/.sandbox-guest", core.realpath "build/sandbox-guest"
local box = assert(sb:start{ limits = { memory = "512M" } })
local version = assert(sb:version())
print(("build %s (%s), %s, %s, %d rounds of a static program"):format(YEAR, version.runsc, version.platform, ROOT and "root" or "user", ROUNDS))

local function peer(command)
  local us, status = output(command):match "(%d+) (%d+)%s*$"
  assert(status == "0", command)
  return tonumber(us) / 1000
end
local abstract = version.runsc:find "^2022" and 1 or 0
local sides = {
  { "box:run", function() return timed(function() return box:run{ TRUE, "true" } end) end },
  { "floor", function()
    return peer(("%s %d %s/r/runsc-box.sock %s %s true"):format(FLOOR, abstract, box.dir, box.job:pid(), TRUE))
  end },
  { "fork+exec", function() return peer(PEER .. " " .. HOST_TRUE .. " true") end },
}
if ROOT then
  sides[#sides + 1] = { "runsc exec", function()
    return peer(("nsenter -n -t %d %s %s --root=%s/r exec box %s true"):format(box.job:pid(), PEER, RUNSC, box.dir, TRUE):gsub("nsenter %-n %-t %d+ (%S+) ", function(p)
      return ("%s /usr/bin/nsenter -n -t %d "):format(p, box.job:pid())
    end))
  end }
end
local times = {}
for _, side in ipairs(sides) do times[side[1]] = {} end
for i = 1, ROUNDS + 5 do
  for k = 1, #sides do
    local side = sides[(i + k) % #sides + 1]
    local ms = side[2]()
    if i > 5 then table.insert(times[side[1]], ms) end
  end
end
for _, side in ipairs(sides) do row(side[1], times[side[1]]) end
local ours, floor = quantile(times["box:run"], 0.5), quantile(times.floor, 0.5)
print("  " .. pairwise.compare(times["box:run"], times.floor, "box:run/floor (goal 1.25)"))
print(("  box:run/floor %.2f, of medians%s"):format(ours / floor,
  times["runsc exec"] and ("   runsc exec/box:run %.1f (goal 4)"):format(quantile(times["runsc exec"], 0.5) / ours) or ""))
for _, n in ipairs{ 2, 4, 8 } do
  local list, count = {}, {}
  for i = 1, ROUNDS do count[i] = i end
  sandbox.map(count, n, function(i)
    local ms = timed(function() return box:run{ TRUE, "true" } end)
    list[i] = ms
    return true
  end)
  row(("box:run, %d at a time"):format(n), list)
end
box:stop()

-- Pools, while sandboxes are ready: each waits for its successor before the next turn.
local pool = assert(sb:pool{ size = 2 })
local leased = {}
for i = 1, math.min(ROUNDS, 40) do
  assert(pool:ready(60))
  leased[i] = timed(function() return pool:run{ TRUE, "true" } end)
end
row("pool:run", leased)
print(("  pool:run/floor p50 %.2f (goal 1.5)   p99 %.2f (goal 4)"):format(quantile(leased, 0.5) / floor, quantile(leased, 0.99) / floor))
-- How fast it refills, against cold boots one after the other on the same cores.
local began = core.now()
local cold = 16
local list = {}
for i = 1, cold do list[i] = i end
sandbox.map(list, 2, function() return timed(function() return sb:run{ "/bin/true" } end) end)
local cold_rate = cold / (core.now() - began)
began = core.now()
sandbox.map(list, 4, function() return timed(function() return pool:run{ TRUE, "true" } end) end)
assert(pool:ready(60))
local pool_rate = cold / (core.now() - began)
print(("  refill %.1f a second, cold %.1f a second: %.2f (goal 0.9)"):format(pool_rate, cold_rate, pool_rate / cold_rate))

-- What a ready sandbox costs.
local function descendants(pid, found)
  for _, tid in ipairs(core.readdir(("/proc/%d/task"):format(pid)) or {}) do
    local file = io.open(("/proc/%d/task/%s/children"):format(pid, tid))
    for child in (file and file:read "*a" or ""):gmatch "%d+" do
      found[#found + 1] = tonumber(child)
      descendants(tonumber(child), found)
    end
    if file then file:close() end
  end
  return found
end
local entry = pool.boxes[1].box
local stat = io.open(("/proc/%d/stat"):format(entry.job:pid()))
local supervisor = tonumber(stat:read "*a":match "^%d+ %(.*%) %a (%d+)")
stat:close()
local pids = descendants(supervisor, { supervisor })
local function ticks()
  local sum = 0
  for _, pid in ipairs(pids) do
    local file = io.open(("/proc/%d/stat"):format(pid))
    local u, s = (file and file:read "*a" or ""):match "%) %a %S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ %S+ (%d+) (%d+)"
    if file then file:close() end
    sum = sum + (tonumber(u) or 0) + (tonumber(s) or 0)
  end
  return sum
end
local pss = 0
for _, pid in ipairs(pids) do
  local file = io.open(("/proc/%d/smaps_rollup"):format(pid))
  pss = pss + (tonumber((file and file:read "*a" or ""):match "Pss:%s+(%d+)") or 0)
  if file then file:close() end
end
local before = ticks()
core.poll(-1, "r", 5)
print(("  a ready sandbox: %d processes, %.1f MiB (PSS), %.2f %% of a core while idle"):format(#pids, pss / 1024, (ticks() - before) / 5))
pool:close()

-- A prepared Python against a cold one with the same imports, and against a C program that reads and answers, of a pool like it.
local prepared = assert(sb:pool{ size = 1, prepared = sandbox.prepared.python{ "json", "re", "subprocess" } })
local answering = assert(sb:pool{ size = 1, prepared = { "/mnt/answer" }, mounts = { { source = core.realpath "build/bench-answer", destination = "/mnt/answer" } } })
local warm, cold_times, least, cpu = {}, {}, {}, 0
for i = 1, math.min(ROUNDS, 24) do
  assert(prepared:ready(60) and answering:ready(60))
  local spent = os.clock()
  local function python() warm[i] = timed(function() return prepared:run{ code = "print(6 * 7)" } end) end
  local function c() least[i] = timed(function() return answering:run{ code = "print(6 * 7)" } end) end
  if i % 2 == 0 then c() end
  python()
  if i % 2 == 1 then c() end
  cpu = cpu + (os.clock() - spent) / 2
  if i <= 8 then cold_times[i] = timed(function() return sb:run{ "python3", "-c", "import json, re, subprocess\nprint(6 * 7)" } end) end
end
row("a prepared Python", warm)
row("a prepared C program", least)
row("sandbox.run{ python3 }", cold_times)
print("  " .. pairwise.compare(warm, least, "a prepared Python/C (goal 1.2)"))
print(("  a prepared Python is %.0f times as fast as a cold one (goal 80); Lua's processor time for a lease: %.2f ms"):format(
  quantile(cold_times, 0.5) / quantile(warm, 0.5), cpu / #warm * 1000))
prepared:close()
answering:close()
sb:shutdown()
os.execute("rm -rf " .. dir)
