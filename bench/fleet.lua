-- SPDX-License-Identifier: MIT
-- What a fleet costs: bench/fleet.lua [pairs] [latency] [rate] [memory] [workers] [shards1] [shards2] [shards4] [NUMBER of workers…], all
-- without a word. Brokers of its own on loopback; workers without sandboxes, which are processes of this file (bench/fleet.lua as URL
-- QUEUE WORKERS SLOTS SECONDS), and for `pairs` one with. SANDBOX_BENCH_TSV names a file to which the points of the simulation are added:
-- scripts/fleet-bench.sh plots them.
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

-- Processes ------------------------------------------------------------------------------------------------------------

local function background(command)
  local pipe = io.popen(command .. " >/dev/null 2>&1 </dev/null & echo $!")
  local pid = tonumber(pipe:read "*l")
  pipe:close()
  return pid
end

local function stop(pid, signal)
  os.execute(("kill -%s %d 2>/dev/null"):format(signal or "TERM", pid))
  while core.kind("/proc/" .. pid) do wait.sleep(0.01) end
end

local function first_line(path)
  local file = io.open(path, "rb")
  local line = file and file:read "*l"
  if file then file:close() end
  return line or ""
end

-- Seconds of processor that these have used: the kernel tells hundredths.
local function used_by(pids)
  local sum = 0
  for _, pid in ipairs(pids) do
    local user, system = first_line(("/proc/%d/stat"):format(pid)):match("%) %a" .. (" %-?%d+"):rep(10) .. " (%d+) (%d+)")
    sum = sum + (tonumber(user) or 0) + (tonumber(system) or 0)
  end
  return sum / 100
end

local function load() return first_line("/proc/loadavg"):match "^%S+" end

local dir = ("/tmp/sandbox-fleet-bench-%d"):format(core.getpid())
assert(core.mkdir(dir, tonumber("711", 8))) -- guests of root's sandboxes are other users here

-- Brokers --------------------------------------------------------------------------------------------------------------

local running = {}

local Broker = {}
Broker.__index = Broker

local function write(path, text)
  local file = io.open(path, "w")
  return file and file:write(text) and file:close()
end

-- Holds a process to a share of one core: it does for so many workers what a whole core does for as many times more.
local function hold(pid, share, name)
  local period = 50000 -- microseconds; a quota below 1000 is refused
  local quota = math.floor(share * period)
  local v1, v2 = "/sys/fs/cgroup/cpu/", "/sys/fs/cgroup/"
  local group = (core.kind(v1 .. "cgroup.procs") and v1 or v2) .. name
  local ok = core.mkdir(group, 493)
  if ok and core.kind(v1 .. "cgroup.procs") then
    ok = write(group .. "/cpu.cfs_period_us", period) and write(group .. "/cpu.cfs_quota_us", quota)
  elseif ok then
    ok = write(group .. "/cpu.max", quota .. " " .. period)
  end
  if ok and write(group .. "/cgroup.procs", pid) then return group end
  error "a share of a core for a broker needs root, and a cgroup with the controller cpu"
end

-- A broker; with a share of one core, or all that there is.
local function start_broker(share)
  local server = assert(require("socket").bind("127.0.0.1", 0))
  local _, port = server:getsockname()
  server:close()
  local self = setmetatable({ url = ("redis://127.0.0.1:%s/0"):format(port), home = ("%s/%s"):format(dir, port) }, Broker)
  assert(core.mkdir(self.home, 448))
  self.pid = background(("exec %s --port %s --bind 127.0.0.1 --dir %s --save '' --appendonly yes")
    :format(os.getenv "SANDBOX_BENCH_REDIS" or "redis-server", port, self.home))
  running[self] = true
  self.client = brokers.new(brokers.address(self.url))
  while not self.client:command(5, "PING", {}) do wait.sleep(0.05) end
  if share then self.group = hold(self.pid, share, "sandbox-fleet-bench-" .. port) end
  return self
end

function Broker:stop()
  running[self] = nil
  self.client:close()
  stop(self.pid, "KILL")
  if self.group then core.rmdir(self.group) end
end

function Broker:ask(command, ...)
  local ok, reply = self.client:command(60, command, { ... })
  assert(ok, reply)
  return reply
end

function Broker:info(name) return tonumber(self:ask("INFO"):match(name .. ":([%d.]+)")) end

-- Seconds of processor that it has used.
function Broker:cpu() return used_by{ self.pid } end

function Broker:workers(queue, n, slots, seconds, before)
  return background(("exec %s%s bench/fleet.lua as %s %s %d %d %g"):format(before or "", interpreter, self.url, queue, n, slots, seconds))
end

-- Jobs in a queue, waiting or running.
function Broker:depth(queue) return self:ask("XLEN", ("{%s}:jobs"):format(queue)) end

-- Puts so many jobs of the usual size into a queue, in the broker itself.
local body = '{"argv":["sh","main.sh"],"options":{"files":{"main.sh":"' .. ("read a b; echo $((a + b));"):rep(8)
  .. '"},"stdin":"19 23","limits":{"timeout":2,"memory":"64M"}}}'
function Broker:fill(queue, n)
  for at = 0, n - 1, 10000 do
    self:ask("EVAL", "for i = 1, ARGV[2] do redis.call('XADD', KEYS[1], '*', 's', '0123456789abcdef', 'b', ARGV[1]) end return 1", 1, "{" .. queue .. "}:jobs", body,
      ("%d"):format(math.min(10000, n - at)))
  end
end

-- What is measured -----------------------------------------------------------------------------------------------------

local bench = {}

local function spread(list) return ("p50 %.2f, p99 %.2f ms"):format(quantile(list, 0.5), quantile(list, 0.99)) end

-- The same program here and by a worker on this machine, turn and turn about.
function bench.pairs(broker)
  local worker = background(("exec %s bin/sandbox worker --redis %s --queue pairs --state-dir %s/state"):format(interpreter, broker.url, dir))
  local fleet, sb = sandbox.fleet{ redis = broker.url, queue = "pairs" }, sandbox.new{ state_dir = dir .. "/own" }
  local here, there, more = {}, {}, {}
  local limit = core.now() + 45
  for i = -2, 100 do
    if core.now() > limit then break end
    local began = core.now()
    assert(assert(sb:run{ "true" }).ok)
    local between = core.now()
    assert(assert(fleet:run{ "true" }).ok)
    local ended = core.now()
    if i > 0 then here[i], there[i], more[i] = (between - began) * 1000, (ended - between) * 1000, (ended - between - between + began) * 1000 end
  end
  fleet:close()
  sb:close()
  stop(worker)
  print(("a sandbox for `true`, here: %s; by a worker: %s; of %d pairs the difference: p50 %.2f ms; the medians' ratio %.3f"):format(spread(here),
    spread(there), #more, quantile(more, 0.5), quantile(there, 0.5) / quantile(here, 0.5)))
end

function bench.latency(broker)
  local pid = broker:workers("latency", 1, 1, 0)
  local fleet, all = sandbox.fleet{ redis = broker.url, queue = "latency" }, {}
  for i = -49, 2000 do
    local began = core.now()
    assert(fleet:run{ "true" })
    if i > 0 then all[i] = (core.now() - began) * 1000 end
  end
  fleet:close()
  stop(pid)
  print("submit to result of a job that is nothing, one after another: " .. spread(all))
end

function bench.rate(broker)
  local n = 5000
  for _, slots in ipairs{ 1, 8 } do
    local queue = "rate" .. slots
    broker:fill(queue, n)
    local used = broker:cpu()
    local pid = broker:workers(queue, 1, slots, 0, "taskset -c 0 ")
    while broker:depth(queue) == n do wait.sleep(0.001) end
    local began, spent = core.now(), used_by{ pid }
    while broker:depth(queue) > 0 do wait.sleep(0.02) end
    local took = core.now() - began
    spent = used_by{ pid } - spent
    stop(pid)
    local form = "jobs that are nothing, one worker process on one core, %d slots: %.0f jobs/s; %.0f us of its processor each, %.0f jobs/s by a core of its own; "
    print((form .. "%.0f us of the broker's"):format(slots, n / took, spent / n * 1e6, n / spent, (broker:cpu() - used) / n * 1e6))
  end
end

function bench.memory(broker)
  for _, n in ipairs{ 100000, 1000000 } do
    local before, began = broker:info "used_memory", core.now()
    broker:fill("memory", n)
    local fleet = sandbox.fleet{ redis = broker.url, queue = "memory", max_jobs = 1e8 }
    local at, asked = broker:info "used_memory", core.now()
    for _ = 1, 200 do assert(fleet:submit{ "true" }) end
    local submitted = core.now()
    for _ = 1, 20 do assert(fleet:stats()) end
    print(("%d jobs of %d bytes: %.0f MB, %.0f bytes each; put there in %.1f s; then submitting one takes %.2f ms, stats %.2f ms"):format(n, #body,
      (at - before) / 1e6, (at - before) / n, asked - began, (submitted - asked) / 200 * 1000, (core.now() - submitted) / 20 * 1000))
    broker:ask("DEL", "{memory}:jobs")
  end
end

-- The simulation: workers of one slot without sandboxes, a hundred in a process, over the real scripts. Queue I is on broker I.

local SECONDS, WINDOW = 2, 6 -- of a job, of a measurement

local function sums(all)
  local sum = { jobs = 0, cpu = 0, workers = used_by(all.pids) }
  for i, broker in ipairs(all) do sum.jobs, sum.cpu = sum.jobs + broker:depth("q" .. i), sum.cpu + broker:cpu() end
  sum.at = core.now()
  return sum
end

-- Starts workers, a share of them at each broker, and waits until all have been heard of.
local function start_workers(all, n)
  all.pids = {}
  for i, broker in ipairs(all) do
    local mine = math.floor(n / #all)
    for at = 0, mine - 1, 100 do table.insert(all.pids, broker:workers("q" .. i, math.min(100, mine - at), 1, SECONDS)) end
  end
  for i, broker in ipairs(all) do
    local limit = core.now() + 60
    while broker:ask("ZCARD", ("{q%d}:alive"):format(i)) < math.floor(n / #all) do
      if core.now() > limit then error(("%d workers were not there within a minute"):format(n)) end
      wait.sleep(0.2)
    end
  end
end

local function over(all, seconds)
  local from = sums(all)
  wait.sleep(seconds)
  local to = sums(all)
  local took = to.at - from.at
  return { jobs = (from.jobs - to.jobs) / took, cpu = (to.cpu - from.cpu) / took, workers = (to.workers - from.workers) / took }
end

local function point(n, brokers_n, share)
  local all = {}
  for i = 1, brokers_n do all[i] = start_broker(share) end
  start_workers(all, n)
  wait.sleep(1)
  local idle = over(all, 2)
  for i, broker in ipairs(all) do broker:fill("q" .. i, math.ceil(n / brokers_n / SECONDS * (WINDOW + 20))) end
  wait.sleep(SECONDS + 1)
  local busy = over(all, WINDOW)
  for _, pid in ipairs(all.pids) do stop(pid, "KILL") end
  for _, broker in ipairs(all) do broker:stop() end
  local form = "%d broker%s of %.0f %% of a core, %d workers: %.0f jobs/s of %.0f; of a core the brokers use %.1f %% idle, %.1f %% at work, %.0f us a job; "
  print((form .. "the workers %.0f %%; load %s")
    :format(brokers_n, brokers_n > 1 and "s" or "", (share or 1) * 100, n, busy.jobs, n / SECONDS, idle.cpu * 100, busy.cpu * 100,
      busy.cpu / busy.jobs * 1e6, busy.workers * 100, load()))
  local path = os.getenv "SANDBOX_BENCH_TSV"
  local file = path and assert(io.open(path, "a"))
  if not file then return end
  local row = { brokers_n, share or 1, n, SECONDS, n / SECONDS, busy.jobs, idle.cpu, busy.cpu, busy.workers, load() }
  for i, v in ipairs(row) do row[i] = ("%.5g"):format(v) end
  file:write(table.concat(row, "\t"), "\n")
  file:close()
end

local numbers = {} -- of workers, where some are named

local function simulate(usual, brokers_n, share)
  for _, n in ipairs(numbers[1] and numbers or usual) do point(n, brokers_n, share) end
end

-- One broker with a core of its own, and ever more workers.
function bench.workers() simulate({ 10, 100, 300, 1000 }, 1) end

-- Brokers that have a part of a core each, so that there are too many workers for one.
for _, count in ipairs{ 1, 2, 4 } do
  bench["shards" .. count] = function() simulate({ 100, 300, 600, 1000 }, count, 0.04) end
end

local own = { pairs = true, latency = true, rate = true, memory = true }
print("load " .. first_line "/proc/loadavg")
local which = {}
for _, word in ipairs(arg) do
  local n = tonumber(word)
  if n then numbers[#numbers + 1] = n else which[#which + 1] = word end
end
if #which == 0 then which = { "pairs", "latency", "rate", "memory", "workers", "shards1", "shards2", "shards4" } end
local ok, err = pcall(function()
  for _, name in ipairs(which) do
    local broker = own[name] and start_broker()
    bench[name](broker)
    if broker then broker:stop() end
  end
end)
for broker in pairs(running) do broker:stop() end
os.execute("rm -rf " .. dir)
if not ok then error(err, 0) end
