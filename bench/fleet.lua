-- SPDX-License-Identifier: MIT
-- What a fleet costs: bench/fleet.lua [latency] [rate] [memory] [workers], all without a word. A broker of its own on loopback; workers
-- without sandboxes, which are processes of this file: bench/fleet.lua as URL QUEUE WORKERS SLOTS SECONDS.
local core = require "sandbox.core"
local brokers = require "sandbox.fleet.broker"
local loop = require "sandbox.hosts.loop"
local quantile = dofile "bench/quantile.lua"
local sandbox = require "sandbox"
local wait = require "sandbox.hosts.wait"
local workers = require "sandbox.fleet.worker"

local interpreter = core.realpath "/proc/self/exe"

-- Many workers of this process, each with connections of its own, until SIGTERM. A job of SECONDS sleeps so long.
local function be_workers(url, queue, n, slots, seconds)
  local signals = assert(core.signals(2, 15))
  loop.loop(function()
    local all = {}
    for i = 1, n do
      local worker = workers.new{ address = brokers.address(url), queue = queue, slots = slots, lease = 30, max_deliveries = 3, keep = 60, has = {}, log = function() end,
        handler = function()
          if seconds > 0 then wait.sleep(seconds) end
          return { status = "exited", ok = true, exit_code = 0, stdout = "", stderr = "" }
        end, about = function() return { has = {}, free_memory = 0 } end }
      worker.me = ("%s:%d"):format(worker.me, i)
      all[i] = worker
      loop.go(function() worker:run() end)
    end
    while not signals:read() do wait.wait(signals:fd(), "r", 1) end
    for _, worker in ipairs(all) do worker:drain() end
  end)
end

if arg[1] == "as" then
  be_workers(arg[2], arg[3], tonumber(arg[4]), tonumber(arg[5]), tonumber(arg[6]))
  os.exit(0)
end

local function background(command)
  local pipe = io.popen(command .. " >/dev/null 2>&1 </dev/null & echo $!")
  local pid = tonumber(pipe:read "*l")
  pipe:close()
  return pid
end

local function stop(pid)
  os.execute("kill " .. pid)
  while core.kind("/proc/" .. pid) do wait.sleep(0.01) end
end

local dir = ("/tmp/sandbox-fleet-bench-%d"):format(core.getpid())
assert(core.mkdir(dir, 448))
local server = assert(require("socket").bind("127.0.0.1", 0))
local _, port = server:getsockname()
server:close()
local url = ("redis://127.0.0.1:%s/0"):format(port)
local redis = background(("exec %s --port %s --bind 127.0.0.1 --dir %s --save '' --appendonly yes"):format(os.getenv "SANDBOX_BENCH_REDIS" or "redis-server", port, dir))
local broker = brokers.new(brokers.address(url))
while not broker:command(5, "PING", {}) do wait.sleep(0.05) end

local function start_workers(queue, n, slots, seconds)
  return background(("exec %s bench/fleet.lua as %s %s %d %d %g"):format(interpreter, url, queue, n, slots, seconds))
end

local function ask(command, ...)
  local ok, reply = broker:command(60, command, { ... })
  return assert(ok and reply, reply)
end

local function info(name) return tonumber(ask("INFO"):match(name .. ":([%d.]+)")) end
-- Seconds of processor that the broker has used.
local function cpu() return info "used_cpu_sys" + info "used_cpu_user" end

-- Puts so many jobs of the usual size into a queue, in the broker itself.
local body = '{"argv":["sh","main.sh"],"options":{"files":{"main.sh":"' .. ("read a b; echo $((a + b));"):rep(8)
  .. '"},"stdin":"19 23","limits":{"timeout":2,"memory":"64M"}}}'
local function fill(queue, n)
  local at = 0
  while at < n do
    ask("EVAL", "for i = 1, ARGV[2] do redis.call('XADD', KEYS[1], '*', 's', '0123456789abcdef', 'b', ARGV[1]) end return 1", 1, "{" .. queue .. "}:jobs", body,
      ("%d"):format(math.min(10000, n - at)))
    at = at + math.min(10000, n - at)
  end
end

local bench = {}

function bench.latency()
  local pid = start_workers("latency", 1, 1, 0)
  local fleet, all = sandbox.fleet{ redis = url, queue = "latency" }, {}
  for _ = 1, 50 do assert(fleet:run{ "true" }) end
  for i = 1, 2000 do
    local began = core.now()
    assert(fleet:run{ "true" })
    all[i] = (core.now() - began) * 1000
  end
  stop(pid)
  print(("submit to result of a job that is nothing, one after another: p50 %.2f ms, p99 %.2f ms"):format(quantile(all, 0.5), quantile(all, 0.99)))
end

function bench.rate()
  local n = 20000
  for _, slots in ipairs{ 1, 8 } do
    local queue = "rate" .. slots
    fill(queue, n)
    local used = cpu()
    local pid = start_workers(queue, 1, slots, 0)
    while ask("XLEN", "{" .. queue .. "}:jobs") == n do wait.sleep(0.001) end
    local began = core.now()
    while ask("XLEN", "{" .. queue .. "}:jobs") > 0 do wait.sleep(0.02) end
    local took = core.now() - began
    stop(pid)
    print(("one worker process, %d slots, jobs that are nothing: %.0f jobs/s; the broker's processor: %.0f us a job"):format(slots, n / took, (cpu() - used) / n * 1e6))
  end
end

function bench.memory()
  for _, n in ipairs{ 100000, 1000000 } do
    local before, began = info "used_memory", core.now()
    fill("memory", n)
    local fleet = sandbox.fleet{ redis = url, queue = "memory", max_jobs = 1e8 }
    local at, asked = info "used_memory", core.now()
    for _ = 1, 200 do assert(fleet:submit{ "true" }) end
    print(("%d jobs of %d bytes: %.0f MB, %.0f bytes each; put there in %.1f s; another one is submitted in %.3f ms"):format(n, #body, (at - before) / 1e6,
      (at - before) / n, asked - began, (core.now() - asked) / 200 * 1000))
    ask("DEL", "{memory}:jobs")
  end
end

-- Workers of one slot in processes of a hundred; jobs of a second.
function bench.workers()
  local seconds, window = 1, 10
  for _, n in ipairs{ 10, 100, 300, 1000 } do
    local queue, pids = "workers" .. n, {}
    for at = 0, n - 1, 100 do pids[#pids + 1] = start_workers(queue, math.min(100, n - at), 1, seconds) end
    local limit = core.now() + 60
    while core.now() < limit and info "connected_clients" < n do wait.sleep(0.2) end
    wait.sleep(5)
    local used, began, calls = cpu(), core.now(), info "total_commands_processed"
    wait.sleep(window)
    print(("%4d workers, idle: %.0f commands/s, %.1f %% of a processor in the broker"):format(n, (info "total_commands_processed" - calls) / (core.now() - began),
      (cpu() - used) / (core.now() - began) * 100))
    fill(queue, n * (window + 8))
    wait.sleep(2)
    local key = "{" .. queue .. "}:jobs"
    local left = ask("XLEN", key)
    used, began = cpu(), core.now()
    wait.sleep(window)
    local took, done = core.now() - began, left - ask("XLEN", key)
    used = cpu() - used
    print(("%4d workers, jobs of %g s: %.0f jobs/s of %.0f; %.1f %% of a processor in the broker, %.0f us a job: at most %.0f jobs/s by one broker"):format(n,
      seconds, done / took, n / seconds, used / took * 100, used / done * 1e6, done / used))
    ask("DEL", key)
    for _, pid in ipairs(pids) do stop(pid) end
  end
end

local load = io.open "/proc/loadavg"
print("load " .. load:read "*l" .. ", " .. ask("INFO", "server"):match "[%w]+_version:[%d.]+")
load:close()
local which = { unpack and unpack(arg) or table.unpack(arg) } -- luacheck: ignore
if #which == 0 then which = { "latency", "rate", "memory", "workers" } end
local ok, err = pcall(function()
  for _, name in ipairs(which) do bench[name]() end
end)
stop(redis)
os.execute("rm -rf " .. dir)
if not ok then error(err, 0) end
