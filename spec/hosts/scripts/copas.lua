-- SPDX-License-Identifier: MIT
local copas = require "copas"
local common = require "hosts.scripts.common"
local sandbox, sb = common.new()
local ticks, finished = 0, false
local function join(condition)
  while not condition() do
    if copas.sleep then copas.sleep(0.01) else sb:run{ "true" } end -- the old generation has no sleep
  end
end
local function spawn(f) copas.addthread(f) end
copas.addthread(function()
  local same = common.census(sb)
  common.serial(sandbox, sb)
  common.connect(sb)
  common.shared(sb, spawn, join)
  common.parallel(sb, spawn, join, function() return ticks end)
  same()
  finished = true
end)
-- The old generation's loop never returns: a step at a time.
while not finished do
  local ok, err = copas.step(0.02)
  ticks = ticks + 1
  if ok == nil and err then error(err) end
end
print "passed"
