-- SPDX-License-Identifier: MIT
-- A broker of a test's own, workers without sandboxes (fleet_worker.lua) and with them, and what became of the jobs.
local h = require "support.harness"
local brokers = require "sandbox.fleet.broker"
local core, sandbox = h.core, h.sandbox

local M = {}

local interpreter = core.realpath "/proc/self/exe"
local SERVER = os.getenv "SANDBOX_TEST_REDIS" or "redis-server" -- scripts/fleet.sh has another one

-- One that no connection is given as its own end while the broker is away: those are above.
local function free_port()
  local above = tonumber(h.slurp("/proc/sys/net/ipv4/ip_local_port_range"):match "^%d+")
  for _ = 1, 1000 do
    local port = 10000 + tonumber(core.random_hex(3), 16) % (above - 10000)
    local server = require("socket").bind("127.0.0.1", port)
    if server then
      server:close()
      return port
    end
  end
  error "no port is free"
end

-- The pid of what is started in the background.
function M.background(command, log)
  local pipe = io.popen(("%s >>%s 2>&1 </dev/null & echo $!"):format(command, log))
  local pid = tonumber(pipe:read "*l")
  pipe:close()
  return pid
end

function M.signal(pid, name) return os.execute(("kill -%s %d 2>/dev/null"):format(name, pid)) end

function M.lives(pid)
  local state = h.slurp(("/proc/%d/stat"):format(pid)):match "%) (%a)"
  return state ~= nil and state ~= "Z"
end

function M.gone(pid)
  return h.eventually(function() return not M.lives(pid) end)
end

local Broker = {}
Broker.__index = Broker

-- Starts it; appendonly, for some of the tests kill it.
function M.broker()
  local dir, remove = h.tmpdir()
  local self = setmetatable({ dir = dir, remove = remove, port = free_port(), workers = {} }, Broker)
  self.url = ("redis://127.0.0.1:%d/0"):format(self.port)
  self.client = brokers.new(brokers.address(self.url))
  self:start()
  return self
end

function Broker:start()
  self.pid = M.background(("exec %s --port %d --bind 127.0.0.1 --dir %s --save '' --appendonly yes --appendfsync always --maxmemory-policy noeviction")
    :format(SERVER, self.port, self.dir), self.dir .. "/log")
  assert(h.eventually(function() return self.client:command(20, "PING", {}) end), "the broker does not start: " .. h.slurp(self.dir .. "/log"))
end

function Broker:ask(command, ...)
  local ok, reply = self.client:command(20, command, { ... })
  assert(ok, reply)
  return reply
end

function Broker:kill()
  M.signal(self.pid, "KILL")
  assert(M.gone(self.pid))
  -- Its other threads may end after the first, and until then its port is taken.
  assert(h.eventually(function()
    local server = require("socket").bind("127.0.0.1", self.port)
    return server and server:close()
  end), "the killed broker's port is not free")
end

-- A client of a queue.
function Broker:fleet(queue, more)
  local options = { redis = self.url, queue = queue }
  for k, v in pairs(more or {}) do options[k] = v end
  return sandbox.fleet(options)
end

-- A worker without sandboxes. Its words are in self.dir/QUEUE.log.
function Broker:worker(queue, slots, lease, attempts)
  local pid = M.background(("exec %s spec/support/fleet_worker.lua %s %s %d %d %d"):format(interpreter, self.url, queue, slots or 2, lease or 2, attempts or 1000),
    ("%s/%s.log"):format(self.dir, queue))
  self.workers[#self.workers + 1] = pid
  return pid
end

-- The command, with sandboxes.
function Broker:sandboxes(queue, flags)
  local pid = M.background(("exec %s bin/sandbox worker --redis %s --queue %s --boot-timeout 60 --state-dir %s %s"):format(interpreter, self.url, queue, h.state_dir, flags or ""),
    ("%s/%s.log"):format(self.dir, queue))
  self.workers[#self.workers + 1] = pid
  return pid
end

function Broker:log(queue) return h.slurp(("%s/%s.log"):format(self.dir, queue)) end

function Broker:stop()
  for _, pid in ipairs(self.workers) do
    M.signal(pid, "KILL")
    M.signal(pid, "CONT")
  end
  for _, pid in ipairs(self.workers) do assert(M.gone(pid)) end
  self.client:close()
  self:kill()
  self.remove()
end

-- Every one of these jobs (id -> what it is to say) is answered, as it should be and once; nothing is left in the queue.
function Broker:settled(fleet, queue, jobs)
  local lost, twice, wrong = 0, 0, {}
  for id, word in pairs(jobs) do
    local r, message, code = fleet:result(id, 120)
    if not r and code == "timeout" then lost = lost + 1 end
    if not r or r.stdout ~= word then wrong[#wrong + 1] = ("%s: %s, %s for %s"):format(id, tostring(r and r.stdout or message), tostring(code), word) end
    if self:ask("LLEN", ("{%s}:done:%s"):format(queue, id)) ~= 1 then twice = twice + 1 end
  end
  local left = self:ask("XLEN", ("{%s}:jobs"):format(queue))
  local stats = assert(fleet:stats())
  twice = twice + (stats.counts.twice or 0)
  return { lost = lost, twice = twice, left = left, wrong = table.concat(wrong, "\n"), answered = stats.counts.answered }
end

M.SETTLED = { lost = 0, twice = 0, left = 0, wrong = "" }

return M
