-- SPDX-License-Identifier: MIT
--- kill -9 at random moments: soak_kills.lua KILLS [SEED]. A host of its own runs sandboxes, boxes and a pool; it, one of its supervisors or
-- its zygote is killed. Of the host nothing may be left by itself; of the others nothing once the host has ended and cleanup_stale was
-- called. Which, and when, follow from the seed. Prints a line for each leftover, and a last one of all.
local env = require "support.harness"
local family = require "support.family"
local core, sb = env.core, env.sb

local KILLS, SEED = tonumber(arg[1] or 60), tonumber(arg[2]) or core.getpid() % 100000 * 10000

-- What is killed; it works until its stdin ends, whatever becomes of its sandboxes. Each id is told before it is used.
local HOST = [[
package.path, package.cpath = %q, %q
local core = require "sandbox.core"
local random_hex = core.random_hex
function core.random_hex(n)
  local id = random_hex(n)
  if n == 16 then io.write("id ", id, "\n") io.flush() end
  return id
end
local sandbox = require "sandbox"
local sb = sandbox.new{ state_dir = %q, boot_timeout = 60 }
io.write("up\n") io.flush()
local over
sandbox.loop(function()
  local program = { "sh", "-c", "(setsid sleep 1000 &) ; sleep 1000", limits = { timeout = false } }
  local function again(f)
    return sandbox.go(function()
      while not over do
        f()
        sandbox.sleep(0.05)
      end
    end)
  end
  local jobs, box, pool = {}, nil, nil
  again(function()
    jobs[1] = jobs[1] or sb:spawn(program)
    jobs[2] = jobs[2] or sb:spawn{ "sh", "-c", "while :; do echo x; done", limits = { timeout = false } }
  end)
  again(function() sb:run{ "true" } end)
  again(function()
    box = box or sb:start{ limits = { memory = "64M" } }
    if box then box:spawn(program) box:run{ "sh", "-c", "sleep 0.1" } end
  end)
  again(function()
    pool = pool or sb:pool{ size = 1, limits = { memory = "64M" } }
    pool:run{ "sleep", "0.05" }
  end)
  while core.poll(0, "r", 0) == false do sandbox.sleep(0.02) end
  over = true
  sb:close()
end)
sb:close()
io.write("over\n") io.flush()
os.exit(0, true)
]]

local state
local function random(n)
  state = state * 16807 % 2147483647
  return state % n -- from 0 on
end

local function interpreter()
  local i = 0
  while arg[i - 1] do i = i - 1 end
  return core.realpath("/proc/self/exe") or arg[i]
end

local bad, count = 0, {}
local function tell(seed, what)
  bad = bad + 1
  print(("wrong: seed %d: %s"):format(seed, what))
  io.flush()
end

local function groups(ids)
  local left = {}
  local pipe = io.popen "find /sys/fs/cgroup -maxdepth 6 -type d -name 'lua-sandbox-*' 2>/dev/null"
  for line in pipe:lines() do
    if ids[line:match "lua%-sandbox%-(%x+)$"] then left[#left + 1] = line end
  end
  pipe:close()
  return table.concat(left, " ")
end

local function one(seed, before)
  state = seed * 48271 % 2147483646 + 1
  for _ = 1, 3 do random(1) end
  local dir, remove = env.tmpdir()
  env.write(dir .. "/host.lua", HOST:format(package.path, package.cpath, env.state_dir))
  os.execute("mkfifo " .. dir .. "/in")
  local pipe = io.popen(("echo $$; exec %s %s/host.lua <%s/in >%s/out 2>&1"):format(interpreter(), dir, dir, dir))
  local stdin = assert(io.open(dir .. "/in", "w"))
  local host = pipe:read "*l"
  assert(env.eventually(function() return env.slurp(dir .. "/out"):find "up\n" end), "the host did not start")
  local what = ({ "host", "host", "supervisor", "zygote" })[1 + random(4)]
  core.poll(-1, "r", random(1500) / 1000)
  local victim = host
  if what ~= "host" then
    local zygote, supervisors
    env.eventually(function()
      zygote, supervisors = family.of(host)
      return zygote and (what == "zygote" or #supervisors > 0)
    end)
    victim = zygote
    if what == "supervisor" then victim = supervisors[1 + random(math.max(1, #supervisors))] end
  end
  if not victim then
    tell(seed, "no " .. what .. " to be killed: " .. env.slurp(dir .. "/out"):sub(-300))
    victim = host
  end
  count[what] = (count[what] or 0) + 1
  os.execute("kill -9 " .. victim .. " 2>/dev/null")
  if what ~= "host" then core.poll(-1, "r", random(300) / 1000) end
  stdin:close()
  pipe:close()
  local text, ids = env.slurp(dir .. "/out"), {}
  for id in text:gmatch "id (%x+)\n" do ids[id] = true end
  if what ~= "host" and not text:find "over\n$" then tell(seed, ("a %s was killed, and the host failed: %s"):format(what, text:gsub("id %x+\n", ""):sub(1, 600))) end
  remove()
  local left
  if not env.eventually(function()
    if what ~= "host" then sb:cleanup_stale() end
    left = groups(ids)
    return left == ""
  end) then tell(seed, ("%s: cgroups: %s"):format(what, left)) end
  left = env.leftovers(before)
  if left then tell(seed, ("%s: %s"):format(what, left)) end
end

assert(sb:run{ "true" })
local before, began = env.census(), core.now()
for i = 0, KILLS - 1 do one(SEED + i, before) end
print(("%d sudden deaths from seed %d in %.0f s (host %d, supervisor %d, zygote %d), %d wrong"):format(KILLS, SEED, core.now() - began, count.host or 0,
  count.supervisor or 0, count.zygote or 0, bad))
sb:close()
os.execute("rm -rf '" .. env.state_dir .. "'")
os.exit(bad == 0 and 0 or 1)
