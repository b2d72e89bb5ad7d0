-- SPDX-License-Identifier: MIT
-- fleet_client.lua in the host that is named: cqueues, copas, luv, loop, plain.
local host, url, queue = arg[1], arg[2], arg[3]
local client = require "support.fleet_client"

local ticks, over, said = 0, false, nil
local function count() return ticks end
local function work()
  local ok, err = xpcall(function() said = client(url, queue, count) end, debug.traceback)
  if not ok then said = err end
  over = true
end

local hosts = {}

function hosts.cqueues()
  local cqueues = require "cqueues"
  local cq = cqueues.new()
  cq:wrap(work)
  cq:wrap(function()
    while not over do
      cqueues.sleep(0.02)
      ticks = ticks + 1
    end
  end)
  assert(cq:loop())
end

function hosts.copas()
  local copas = require "copas"
  copas.addthread(work)
  while not over do -- the old generation's loop never returns
    copas.step(0.02)
    ticks = ticks + 1
  end
end

function hosts.luv()
  local uv = require "luv"
  local timer = uv.new_timer()
  timer:start(20, 20, function()
    ticks = ticks + 1
    if over then timer:close() end
  end)
  coroutine.wrap(work)()
  uv.run()
end

function hosts.loop()
  local sandbox = require "sandbox"
  sandbox.loop(function()
    sandbox.go(work)
    while not over do
      sandbox.sleep(0.02)
      ticks = ticks + 1
    end
  end)
end

-- Nothing else goes on here.
function hosts.plain()
  count = function()
    ticks = ticks + 2
    return ticks
  end
  work()
end

hosts[host]()
print(said)
