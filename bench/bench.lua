-- SPDX-License-Identifier: MIT
-- sandbox.run against its peers, of the same spec, the same binary, the same command line, one after the other in turns:
--   bare   `runsc run`, as one would write it        floor   the same under the membarrier filter and nothing else
--   sdk    gVisor's Python SDK: start, exec, close (where it is found)
-- The peers' command line and spec are not written here: a wrapper in runsc's place notes down what the supervisor starts.
-- bench.lua [PAIRS] [speed|all]; scripts/bench.sh runs it on each build, as root and as a user.
local core = require "sandbox.core"
local sandbox = require "sandbox"

local PAIRS = tonumber(arg[1]) or 30
local WHAT = arg[2] or "all"
local RUNSC = assert(os.getenv("SANDBOX_RUNSC"), "SANDBOX_RUNSC is not set")
local YEAR = os.getenv("SANDBOX_TEST_BUILD") or "?"
local PEER = core.realpath("build/bench-peer") or error("build/bench-peer is missing: run scripts/bench.sh")
local SDK = os.getenv("SANDBOX_BENCH_SDK")
local ROOT = core.getuid() == 0

local dir = ("/tmp/sbb-%s"):format(core.random_hex(4))
assert(core.mkdir(dir, tonumber("755", 8)))
local unpack = rawget(table, "unpack") or rawget(_G, "unpack")
local function sh(form, ...)
  local words = { ... }
  for i, w in ipairs(words) do words[i] = "'" .. tostring(w):gsub("'", "'\\''") .. "'" end
  local pipe = io.popen(form:format(unpack(words)) .. " 2>&1")
  local out = pipe:read("*a")
  pipe:close()
  return out
end
local function write(path, bytes, mode) assert(core.write_file(path, bytes, tonumber(mode or "644", 8))) end
local function read(path)
  local file = assert(io.open(path, "rb"))
  local bytes = file:read("*a")
  file:close()
  return bytes
end
-- Current runsc leaves a mount in --root, `null-netns`, of each of the peers.
local function cleanup()
  sh("awk -v d=%s 'index($2, d \"/\") == 1 { print $2 }' /proc/mounts | xargs -r umount; rm -rf %s", dir, dir)
end

-- A root of one static binary, complete with mount points, so that all sides see the same.
local rootfs = dir .. "/rootfs"
sh("mkdir -p %s && cd " .. rootfs .. " && mkdir bin etc proc dev sys tmp work && cp /bin/busybox bin/ &&"
  .. " for n in true sh dd sleep cat; do ln bin/busybox bin/$n; done; chmod -R go+rX .", rootfs)
-- The supervisor may be another user in a namespace of its own: what is noted is no secret.
sh("cd %s && mkdir work tmp rec && chmod 1777 work tmp rec", dir)
local rec = dir .. "/rec"
write(dir .. "/recorder", ([[
#!/bin/sh
case " $* " in
*" run --bundle"*)
  rm -f %s/argv %s/config
  for word; do printf '%%s\n' "$word" >>%s/argv; done
  while [ $# -gt 0 ]; do case $1 in --bundle) cat "$2/config.json" >%s/config ;; --bundle=*) cat "${1#*=}/config.json" >%s/config ;; esac; shift; done
  set -- ; while IFS= read -r word; do set -- "$@" "$word"; done <%s/argv ;;
esac
exec %s "$@"
]]):gsub("%%%%s", "\0"):format(rec, rec, rec, rec, rec, rec, RUNSC):gsub("%z", "%%s"), "755")

local state = dir .. "/s"
assert(core.mkdir(state, tonumber(ROOT and "711" or "700", 8)))

-- What the supervisor would start for these options: a command line and bundle for the peers.
local function record(options, name)
  local sb = sandbox.new{ runsc = dir .. "/recorder", state_dir = state }
  local r = assert(sb:run(options))
  assert(r.ok, r.message)
  sb:close()
  local run
  local words, skip = {}, false
  for word in read(rec .. "/argv"):gmatch("[^\n]+") do run = run or word:match("(/.*/run%-%x+)/") words[#words + 1] = word end
  local bundle = dir .. "/bundle-" .. name
  assert(core.mkdir(bundle, tonumber("755", 8)))
  local config = read(rec .. "/config"):gsub("\\/", "/")
  local function put(from, to) config = config:gsub((run .. from):gsub("%p", "%%%0"), (to:gsub("%%", "%%%%"))) end
  put("/m/root", rootfs)
  put("/m/work", dir .. "/work")
  put("/m/tmp", dir .. "/tmp")
  write(bundle .. "/config.json", config)
  local out = {}
  for i, word in ipairs(words) do
    local flag = word:match("^%-%-([%w-]+)")
    if skip then
      skip = false
    elseif flag == "log" or flag == "panic-log" or flag == "pod-init-config" or flag == "log-format" then
      skip = not word:find("=", 1, true)
    elseif flag == "root" then
      skip = not word:find("=", 1, true)
      out[#out + 1] = "--root=" .. dir .. "/peer"
    elseif flag == "bundle" then
      skip = not word:find("=", 1, true)
      out[#out + 1] = "--bundle=" .. bundle
    elseif i == #words then
      out[#out + 1] = "ID"
    else
      out[#out + 1] = word
    end
  end
  return out
end

local runs = 0
local function peer(words, filtered)
  runs = runs + 1
  local line = { PEER, filtered and "-m" or nil, RUNSC }
  if not filtered then line = { PEER, RUNSC } end
  for _, w in ipairs(words) do line[#line + 1] = w == "ID" and "peer" .. runs or w end
  for i, w in ipairs(line) do line[i] = "'" .. w .. "'" end
  local out = sh(table.concat(line, " "):gsub("%%", "%%%%"))
  local us, status = out:match("(%d+) (%d+)%s*$")
  if status ~= "0" then error("a peer failed: " .. table.concat(line, " ") .. "\n" .. out) end
  return tonumber(us) / 1000
end

-- The caller does not wait for the teardown, but the next side's turn must not pay for it.
local function settled()
  local deadline = core.now() + 20
  repeat
    local busy = false
    for _, name in ipairs(core.readdir(state) or {}) do busy = busy or name:match("^run%-") ~= nil end
    if not busy then return end
    core.poll(-1, "r", 0.002)
  until core.now() > deadline
end

local quantile, pairwise = dofile "bench/quantile.lua", dofile "bench/pairs.lua"
local function median(list) return quantile(list, 0.5) end

local function say(form, ...)
  print(form:format(...))
  io.flush()
end

local sb = sandbox.new{ runsc = RUNSC, state_dir = state }
local TRUE = { "/bin/true", rootfs = rootfs }
local first = assert(sb:run(TRUE))
assert(first.ok, first.message)
settled()
local who = ROOT and "root" or "user"
say("build %s (%s), %s, %s, %d pairs", YEAR, first.runtime.runsc, first.runtime.platform, who, PAIRS)

local function speed()
  local words = record({ "/bin/true", rootfs = rootfs }, "true")
  settled()
  local sdk_in, sdk_out
  if SDK and ROOT then
    sh("mkfifo %s %s", dir .. "/sdk-in", dir .. "/sdk-out")
    os.execute(("TMPDIR=%s/tmp PYTHONPATH='%s' RUNSC_PATH='%s' python3 bench/sdk.py <%s/sdk-in >%s/sdk-out 2>%s/sdk-err &"):format(
      dir, SDK, RUNSC, dir, dir, dir))
    sdk_in, sdk_out = io.open(dir .. "/sdk-in", "w"), io.open(dir .. "/sdk-out", "r")
  end
  local sides = {
    { "ours", function()
      local began = core.now()
      local r = assert(sb:run{ "/bin/true", rootfs = rootfs })
      local took = core.now() - began
      assert(r.ok, r.message)
      settled()
      return took * 1000
    end },
    { "floor", function() return peer(words, true) end },
    { "bare", function() return peer(words, false) end },
  }
  if sdk_in then
    sides[4] = { "sdk", function()
      sdk_in:write("\n")
      sdk_in:flush()
      local line = sdk_out:read("*l") or "0 it ended"
      local us, why = line:match("^(%d+) (.*)$")
      return why == "0" and tonumber(us) / 1000 or nil, why
    end }
  end
  local times = {}
  for _, side in ipairs(sides) do times[side[1]] = {} side[2]() end
  for round = 1, PAIRS do
    for i = 1, #sides do
      local side = sides[(round + i) % #sides + 1] -- nobody always follows the same one
      local ms, why = side[2]()
      if ms then table.insert(times[side[1]], ms) elseif round == 1 then say("  %-5s  left out: %s", side[1], tostring(why)) end
    end
  end
  for _, side in ipairs(sides) do
    local t = times[side[1]]
    if #t > 0 then say("  %-5s  %s ms", side[1], pairwise.percentiles(t)) end
    pairwise.keep(who, "cold", side[1], t)
  end
  for _, other in ipairs{ "floor", "bare", "sdk" } do
    if times[other] and #times[other] > 0 then say("  %s", pairwise.compare(times.ours, times[other], "ours/" .. other)) end
  end
  local ours = median(times.ours)
  say("  ours/floor %.3f (goal %.2f)   ours/bare %.3f   floor/bare %.3f, of medians", ours / median(times.floor), ROOT and (YEAR == "2026" and 0.8 or 0.85) or 0.9,
    ours / median(times.bare), median(times.floor) / median(times.bare))
  if sdk_in then
    sdk_in:close()
    sdk_out:close()
  end
end

local GIB = 1024 * 1024 * 1024
local function throughput()
  local argv = { "/bin/dd", "if=/dev/zero", "bs=65536", "count=16384" }
  local function options(on_stdout)
    local o = { rootfs = rootfs, limits = { output = false, timeout = 300 }, on_stdout = on_stdout }
    for i, w in ipairs(argv) do o[i] = w end
    return o
  end
  local words = record(options(function() end), "flood")
  settled()
  local ours, piped = {}, {}
  for _ = 1, 3 do
    local n, started = 0, core.now()
    local r = assert(sb:run(options(function(chunk) n = n + #chunk end)))
    assert(r.ok and n == GIB, r.message or n)
    ours[#ours + 1] = GIB / (core.now() - started) / 1e6
    settled()
    runs = runs + 1
    local line = { RUNSC }
    for _, w in ipairs(words) do line[#line + 1] = w == "ID" and "flood" .. runs or w end
    for i, w in ipairs(line) do line[i] = "'" .. w .. "'" end
    local began = core.now()
    sh((table.concat(line, " ") .. " 2>/dev/null | cat >/dev/null"):gsub("%%", "%%%%"))
    piped[#piped + 1] = GIB / (core.now() - began) / 1e6
  end
  say("  1 GiB of stdout: counted in Lua %.0f MB/s, `runsc run | cat` %.0f MB/s, ratio %.2f (at least 0.5)", median(ours), median(piped), median(ours) / median(piped))
  pairwise.keep(who, "stdout MB/s", "ours", ours)
  pairwise.keep(who, "stdout MB/s", "cat", piped)
end

-- CPU of this process, by job, with n at once.
local function many()
  local many_sb = sandbox.new{ runsc = RUNSC, state_dir = state, boot_timeout = 300, limits = { timeout = 300 } }
  local cpu = {}
  for _, n in ipairs{ 1, 64, 256 } do
    local list = {}
    for i = 1, math.max(n, 64) do list[i] = i end
    collectgarbage()
    local cpu_before, began = os.clock(), core.now()
    local bad = 0
    sandbox.loop(function()
      return sandbox.map(list, n, function()
        local r, message = many_sb:run{ "/bin/true", rootfs = rootfs }
        if not (r and r.ok) then
          bad = bad + 1
          if bad == 1 then say("  a job failed: %s", tostring(message or r.message)) end
        end
        return true
      end)
    end)
    cpu[n] = (os.clock() - cpu_before) / #list * 1e6
    say("  %3d jobs, %3d at once: %.0f us of this process's CPU a job, %.1f jobs a second%s", #list, n, cpu[n], #list / (core.now() - began),
      bad > 0 and ", " .. bad .. " failed" or "")
    settled()
  end
  say("  growth from 1 to 256: %.2f (at most 1.20)", cpu[256] / cpu[1])
end

local function memory()
  local function supervisors()
    local found = {}
    for _, pid in ipairs(core.readdir("/proc") or {}) do
      if pid:match("^%d+$") then
        local exe = core.realpath("/proc/" .. pid .. "/exe")
        if exe and exe:match("sandbox%-supervisor$") then found[pid] = true end
      end
    end
    return found
  end
  local before = supervisors()
  local job = assert(sb:spawn{ "/bin/sh", "-c", "echo; sleep 2", rootfs = rootfs })
  job:read()
  for pid in pairs(supervisors()) do
    if not before[pid] then
      local kb = 0
      for n in read("/proc/" .. pid .. "/smaps_rollup"):gmatch("Private_%a+:%s+(%d+)") do kb = kb + tonumber(n) end
      say("  the supervisor's private memory: %d KiB (at most 1024)", kb)
      break
    end
  end
  job:kill()
  job:wait()
  job:close()
  settled()
end

-- For how long a start holds up the host: by the zygote, and directly, by vfork and exec; on a quiet machine and on a busy one.
local function stall()
  local path = assert(core.supervisor())
  local zygote = assert(core.zygote(path))
  local function starts(z)
    local times = {}
    for i = 1, 200 do
      local began = core.now()
      assert(core.spawn(path, z)):close()
      times[i] = (core.now() - began) * 1000
      core.poll(-1, "r", 0.003) -- the supervisors come and go meanwhile
    end
    return ("p50 %.2f   p99 %.2f   worst %.2f ms"):format(quantile(times, 0.5), quantile(times, 0.99), quantile(times, 1))
  end
  say("  a start holds up the host, quiet: %s   directly: %s", starts(zygote), starts(nil))
  local busy = {}
  for i = 1, 4 do
    busy[i] = assert(sb:spawn{ "/bin/sh", "-c", "echo up; while :; do :; done", rootfs = rootfs, limits = { timeout = 60 } })
    busy[i]:read()
  end
  say("  a start holds up the host, 4 busy sandboxes: %s   directly: %s", starts(zygote), starts(nil))
  for _, job in ipairs(busy) do
    job:kill()
    job:wait_gone()
    job:close()
  end
  zygote:close()
end

local ok, message = pcall(function()
  speed()
  if WHAT == "all" then
    throughput()
    memory()
    many()
    stall()
  end
end)
cleanup()
if not ok then io.stderr:write(tostring(message), "\n") end
os.exit(ok and 0 or 1)
