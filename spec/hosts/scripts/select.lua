-- SPDX-License-Identifier: MIT
-- A scheduler around LuaSocket's select, as people write it: the module knows nothing of it but the function `wait`.
local socket = require "socket"
local core = require "sandbox.core"
local common = require "hosts.scripts.common"

local waiting, ticks = {}, 0 -- by coroutine: what it waits for

local function resume(co, ready)
  local ok, wish = coroutine.resume(co, ready)
  if not ok then error(debug.traceback(co, tostring(wish)), 0) end
  if coroutine.status(co) ~= "dead" then waiting[co] = wish end
end

local function go(f) resume(coroutine.create(f)) end

local function wait(fd, events, seconds)
  return coroutine.yield{ getfd = function() return fd end, fd = fd, events = events, limit = seconds and core.now() + seconds }
end

local function turn()
  local readers, writers, due = {}, {}, {}
  for _, wish in pairs(waiting) do
    if wish.fd >= 0 and wish.events:find "r" then readers[#readers + 1] = wish end
    if wish.fd >= 0 and wish.events:find "w" then writers[#writers + 1] = wish end
  end
  local r, w = socket.select(readers, writers, 0.01)
  for co, wish in pairs(waiting) do
    local ready = (r[wish] or w[wish]) ~= nil
    if ready or (wish.limit and wish.limit <= core.now()) then due[#due + 1] = { co, ready } end
  end
  for _, item in ipairs(due) do
    waiting[item[1]] = nil
    resume(item[1], item[2])
  end
  ticks = ticks + 1
end

local sandbox, sb = common.new(wait)
local finished
local function join(condition)
  while not condition() do wait(-1, "r", 0.01) end
end
go(function()
  local same = common.census(sb)
  common.serial(sandbox, sb)
  common.parallel(sb, go, join, function() return ticks end)
  common.shared(sb, go, join)
  same()
  finished = true
end)
while not finished do turn() end

-- Without any coroutine: the loop polls the job's descriptor and lets it take a step.
local out, code
local job = assert(sb:spawn{ "sh", "-c", "echo out; exit 3", on_stdout = function(c) out = c end, on_exit = function(r) code = r and r.exit_code end })
local object = { getfd = function() return job:pollfd() end }
while not job:step() do
  socket.select({ object }, job:events():find "w" and { object } or nil)
end
job:close()
assert(out == "out\n" and code == 3, "callbacks")
print "passed"
