-- SPDX-License-Identifier: MIT
-- What each kind of supervisor may still do while it serves, as the kernel tells it.
local env = require "support.harness"
local core = env.core

local function status(pid)
  local text, out = env.read("/proc/" .. pid .. "/status"), {}
  for _, key in ipairs{ "CapEff", "CapPrm", "NoNewPrivs", "Seccomp", "PPid" } do out[key] = text:match("\n" .. key .. ":%s+(%S+)") end
  return out
end

local function children(pid)
  local pipe, set = assert(io.popen("ps -o pid= --ppid " .. pid)), {}
  for child in pipe:read("*a"):gmatch "%d+" do set[child] = true end
  pipe:close()
  return set
end

local function started(job) assert.is_true(env.eventually(function() job:step() return job:pid() ~= nil end)) end

-- Numbers of capabilities as a mask of the kernel's.
local function has(mask, number)
  local digit = tonumber(mask:sub(-1 - math.floor(number / 4), -1 - math.floor(number / 4)), 16)
  return math.floor(digit / 2 ^ (number % 4)) % 2 == 1
end

describe("a supervisor", function()
  local before
  setup(function()
    assert(env.sb:run{ "true" })
    before = env.census()
  end)

  it("of a run keeps what ends, measures and removes it; the zygote uses nothing", function()
    local job = assert(env.sb:spawn{ "sleep", "100" })
    started(job)
    local supervisor = status(job:pid()).PPid
    local run, zygote = status(supervisor), status(status(supervisor).PPid)
    job:close()
    if env.root then
      assert.equal("0000000000000000", zygote.CapEff)
      assert.equal(run.CapEff, run.CapPrm)
      assert.is_true(has(run.CapEff, 5)) -- KILL
      for _, none in ipairs{ 0, 6, 7, 8, 12, 16, 17, 18, 22, 23, 24, 25, 27, 39 } do -- CHOWN, SET*ID, SETPCAP, NET_ADMIN, SYS_MODULE … SYS_NICE … MKNOD, BPF
        assert.same({ none, false }, { none, has(run.CapEff, none) })
      end
    else
      assert.equal("0000000000000000", zygote.CapEff)
      assert.equal("1", run.NoNewPrivs)
    end
  end)

  it("of a program in a box keeps nothing, gains nothing and starts nothing", function()
    local box = assert(env.sb:start{})
    assert(box:run{ "true" })
    local keeper = status(box.job:pid()).PPid
    local zygote = status(keeper).PPid
    local job = assert(box:spawn{ "sleep", "100" })
    started(job)
    local mine = {} -- beside the box's own, and one that waits for the next program
    for pid in pairs(children(zygote)) do
      local it = status(pid)
      if pid ~= keeper and it.NoNewPrivs == "1" then mine[#mine + 1] = it end
    end
    job:close()
    box:close()
    if box.cli then return end -- it starts runsc's commands
    assert.equal(1, #mine)
    assert.equal("2", mine[1].Seccomp)
    if env.root then assert.same({ "0000000000000000", "0000000000000000" }, { mine[1].CapEff, mine[1].CapPrm }) end
  end)

  if env.root then
    it("of a program that runsc's commands start ends those, and has no more", function()
      local own = require("sandbox").new{ state_dir = env.state_dir, boot_timeout = 30, control = "runsc" }
      local box = assert(own:start{})
      local job = assert(box:spawn{ "sh", "-c", "echo up; exec sleep 100" })
      assert.equal("up\n", job:read "stdout")
      local keeper, found = status(box.job:pid()).PPid, 0
      for pid in pairs(children(status(keeper).PPid)) do
        local it = status(pid)
        if it.CapEff == "0000000000000020" and it.CapPrm == it.CapEff then found = found + 1 end
      end
      job:close()
      box:close()
      own:shutdown()
      assert.equal(1, found)
    end)
  end

  it("leaves nothing behind", function()
    assert.is_true(core.getpid() > 0)
    assert.is_nil(env.leftovers(before))
  end)
end)
