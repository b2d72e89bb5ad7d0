-- SPDX-License-Identifier: MIT
-- A worker whose jobs are no programs: fleet_worker.lua URL QUEUE SLOTS LEASE ATTEMPTS. A job { "say", WORD, … } is answered by WORD, and
-- does first what its other words say, at its first attempt: "SECONDS" of work; "die-read", "die-run", "die-finish", "die-answer": it
-- kills this process when it has been read, while it runs, before it is answered, right after; "die-always": whenever it is read.
local core = require "sandbox.core"
local brokers = require "sandbox.fleet.broker"
local loop = require "sandbox.hosts.loop"
local wait = require "sandbox.hosts.wait"
local workers = require "sandbox.fleet.worker"

local url, queue, slots, lease, attempts = arg[1], arg[2], tonumber(arg[3]), tonumber(arg[4]), tonumber(arg[5])
local signals = assert(core.signals(2, 15))

local function die()
  os.execute("kill -KILL " .. core.getpid())
end

local worker
local deaths = {} -- by id: when

local function handler(job)
  local words = job.options
  for i = 3, #words do
    local word = words[i]
    if word == "die-always" then die() end
    if job.token == "1" then
      if word == "die-read" then die() end
      if tonumber(word) then
        -- As a program does: it ends when it is killed.
        local limit = core.now() + tonumber(word)
        while core.now() < limit and not job.stopped do wait.sleep(0.01) end
      end
      if word == "die-run" then
        wait.sleep(0.02)
        die()
      end
      if word == "die-finish" or word == "die-answer" then deaths[job.id] = word end
    end
  end
  return { status = "exited", ok = true, exit_code = 0, stdout = words[2], stderr = "", stdout_bytes = #words[2], stderr_bytes = 0 }
end

worker = workers.new{
  address = brokers.address(url), queue = queue, slots = slots, lease = lease, max_deliveries = attempts, keep = 600, has = { red = true, blue = true },
  handler = handler, about = function() return { has = { "red", "blue" }, free_memory = 0 } end,
  log = function(words) io.stderr:write(words, "\n") end,
}

local run_script = worker.broker.script
function worker.broker.script(broker, seconds, script, keys, args)
  local death = script.name == "finish" and deaths[args[5]]
  if death == "die-finish" then die() end
  local ok, reply, kind = run_script(broker, seconds, script, keys, args)
  if death then die() end
  return ok, reply, kind
end

loop.loop(function()
  worker:run{ function()
    while not worker.over do
      if signals:read() then worker:drain() end
      wait.wait(signals:fd(), "r", 0.2)
    end
  end }
end)
