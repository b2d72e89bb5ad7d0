-- SPDX-License-Identifier: MIT
-- Our own loop.
local common = require "hosts.scripts.common"
local sandbox, sb = common.new()
local ticks, stop = 0, false
local function join(condition)
  while not condition() do sandbox.sleep(0.01) end
end
sandbox.loop(function()
  sandbox.go(function()
    while not stop do
      sandbox.sleep(0.02)
      ticks = ticks + 1
    end
  end)
  local same = common.census(sb)
  common.serial(sandbox, sb)
  common.connect(sb)
  common.parallel(sb, sandbox.go, join, function() return ticks end)
  common.shared(sb, sandbox.go, join)
  same()
  stop = true
end)
print "passed"
