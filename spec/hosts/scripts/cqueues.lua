-- SPDX-License-Identifier: MIT
local cqueues = require "cqueues"
local common = require "hosts.scripts.common"
local sandbox, sb = common.new()
local ticks, stop = 0, false
local cq = cqueues.new()
cq:wrap(function()
  while not stop do
    cqueues.sleep(0.02)
    ticks = ticks + 1
  end
end)
local function join(condition)
  while not condition() do cqueues.sleep(0.01) end
end
local function spawn(f) cq:wrap(f) end
cq:wrap(function()
  local same = common.census(sb)
  common.serial(sandbox, sb)
  common.connect(sb)
  common.parallel(sb, spawn, join, function() return ticks end)
  common.shared(sb, spawn, join)
  same()
  stop = true
end)
assert(cq:loop())
print "passed"
