-- SPDX-License-Identifier: MIT
-- Two trees, built, against each other: trees.lua OLD NEW [PAIRS] [OPERATION...]. A Lua of each does the same operation in turns, so that
-- a busy machine is busy for both. Said are the median of the new one's times as a part of the old one's, and of its host's processor time.
-- trees.lua serve RUNSC does what its input says, a line for each operation: for a profile of one tree alone, as in
--   yes box | head -n 200 | valgrind --tool=callgrind lua5.4 bench/trees.lua serve "$SANDBOX_RUNSC"
local OPERATIONS = { "run", "pids", "spawn", "box", "pool" }
-- A static program that is in every box.
local TRUE = "/.sandbox-guest"

local function serve(runsc)
  local core, sandbox = require "sandbox.core", require "sandbox"
  local dir = ("/tmp/sbt-%s"):format(core.random_hex(4))
  assert(core.mkdir(dir, tonumber(core.getuid() == 0 and "711" or "700", 8)))
  local sb = sandbox.new{ runsc = runsc, state_dir = dir, boot_timeout = 120 }
  local box, pool
  local ways = {
    run = function() return sb:run{ "/bin/true" } end,
    pids = function() return sb:run{ "/bin/true", limits = { pids = 32 } } end,
    spawn = function()
      local job = assert(sb:spawn{ "/bin/true" })
      local r, message = job:wait()
      job:close()
      return r, message
    end,
    box = function() return box:run{ TRUE, "true" } end,
    pool = function() return pool:run{ TRUE, "true" } end,
  }
  local before = {
    box = function() box = box or assert(sb:start{ limits = { memory = "512M" } }) end,
    pool = function()
      pool = pool or assert(sb:pool{ size = 1 })
      assert(pool:ready(120))
    end,
  }
  for what in io.lines() do
    if before[what] then before[what]() end
    local began, spent = core.now(), os.clock()
    local r, message = ways[what]()
    local took, cpu = core.now() - began, os.clock() - spent
    assert(r and r.ok, message or r and r.message)
    io.write(("%.4f %.4f\n"):format(took * 1000, cpu * 1000))
    io.flush()
  end
  if pool then pool:close() end
  if box then box:stop() end
  sb:shutdown()
  os.execute("rm -rf " .. dir)
end

local function start(tree, runsc, fifo)
  assert(os.execute("mkfifo " .. fifo))
  -- luacheck: ignore 631
  local line = [[cd '%s' && exec env LUA_PATH='lua/?.lua;lua/?/init.lua;;' LUA_CPATH='build/5.4/?.so;;' %s '%s/bench/trees.lua' serve '%s' >'%s']]
  local to = assert(io.popen(line:format(tree, os.getenv "SANDBOX_TEST_LUA" or "lua5.4", os.getenv "PWD", runsc, fifo), "w"))
  local from = assert(io.open(fifo))
  os.remove(fifo)
  return { to = to, ask = function(what)
    to:write(what, "\n")
    to:flush()
    local ms, cpu = (from:read "*l" or error(tree .. " has ended")):match "(%S+) (%S+)"
    return tonumber(ms), tonumber(cpu)
  end }
end

local function compare(old_tree, new_tree, pairs_n, operations)
  local pairwise, quantile = dofile "bench/pairs.lua", dofile "bench/quantile.lua"
  local runsc = assert(os.getenv "SANDBOX_RUNSC", "SANDBOX_RUNSC is not set")
  local fifo = os.tmpname()
  os.remove(fifo)
  local old, new = start(old_tree, runsc, fifo .. "-old"), start(new_tree, runsc, fifo .. "-new")
  for _, what in ipairs(operations) do
    local ms, cpu = { {}, {} }, { {}, {} }
    for i = -2, pairs_n do
      for k = 1, 2 do
        local side = (i + k) % 2 + 1 -- nobody always comes first
        local took, spent = (side == 1 and old or new).ask(what)
        if i > 0 then ms[side][i], cpu[side][i] = took, spent end
      end
    end
    print(("%-6s old %.2f ms, new %.2f ms, %s"):format(what, quantile(ms[1], 0.5), quantile(ms[2], 0.5), pairwise.compare(ms[2], ms[1], "new/old")))
    print(("%-6s processor time of Lua: %s"):format("", pairwise.compare(cpu[2], cpu[1], "new/old")))
    io.flush()
  end
  old.to:close()
  new.to:close()
end

if arg[1] == "serve" then
  serve(arg[2])
else
  local operations = {}
  for i = 4, #arg do operations[i - 3] = arg[i] end
  compare(arg[1], arg[2], tonumber(arg[3]) or 40, #operations > 0 and operations or OPERATIONS)
end
