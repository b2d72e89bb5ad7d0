-- SPDX-License-Identifier: MIT
local uv = require "luv"
local common = require "hosts.scripts.common"
local sandbox, sb = common.new()
local ticks = 0
local timer = uv.new_timer()
timer:start(20, 20, function() ticks = ticks + 1 end)
local function spawn(f)
  local co = coroutine.create(f)
  local ok, err = coroutine.resume(co)
  if not ok then error(err, 0) end
end
local function sleep(ms)
  local co, t = coroutine.running(), uv.new_timer()
  t:start(ms, 0, function()
    t:close()
    assert(coroutine.resume(co))
  end)
  coroutine.yield()
end
local function join(condition)
  while not condition() do sleep(10) end
end
local finished
spawn(function()
  local same = common.census(sb)
  common.serial(sandbox, sb)
  common.connect(sb)
  common.parallel(sb, spawn, join, function() return ticks end)
  common.shared(sb, spawn, join)
  -- callbacks with no coroutine at all
  local seen
  local job = assert(sb:spawn{ "sh", "-c", "echo out; exit 3", on_stdout = function(c) seen = c end, on_exit = function(r) finished = { seen, r and r.exit_code } end })
  join(function() return finished end)
  job:close()
  same()
  timer:close()
end)
uv.run()
assert(finished and finished[1] == "out\n" and finished[2] == 3, "callbacks")
print "passed"
