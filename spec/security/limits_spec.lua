-- SPDX-License-Identifier: MIT
-- What a guest makes the host hold for it has a bound, whatever kind of thing it is. Found here, unless another source is named.
local env = require "support.harness"
local attack = require "support.attack"
local sb = env.sb
local MiB = 2 ^ 20

describe("a limit", function()
  local before, path, remove
  setup(function()
    assert(sb:run{ "true" })
    before = env.census()
    path, remove = attack.compile()
  end)
  teardown(function() remove() end)

  local function run(argv, limits)
    return assert(sb:run(attack.options(path, argv, limits)))
  end

  for _, name in ipairs{ "pipes", "sockets", "memfds", "sysv_memory", "messages", "mapped" } do
    it("of memory counts " .. name:gsub("_", " "), function()
      local r = run({ name }, { memory = "64M", pids = 64 })
      assert.same({ "oom_killed", true }, { r.status, r.limits.memory.hit }, r.message)
      -- What comes between two looks may be more, and not without bound.
      assert.is_true(r.peak_memory > 32 * MiB and r.peak_memory < 256 * MiB, r.peak_memory)
    end)
  end

  -- The store is as large as the limit: who maps a file of it may have ended, by SIGBUS, before its supervisor looks. As an ordinary
  -- user nothing but that look bounds it.
  if env.root then it("of memory is told also by a supervisor that looks when all is over", function()
    local function over(runsc, job, ended)
      local gone = env.held_up(runsc, ended)
      local r = assert(job:wait())
      assert.same({ true, "oom_killed", true }, { gone, r.status, r.limits.memory.hit })
      job:close()
    end
    local script = attack.options(path, {}, { memory = "64M", timeout = false })
    script[1], script[2], script[3] = "sh", "-c", "echo up; sleep 1; exec ./attack mapped"
    local job = assert(sb:spawn(script))
    assert.equal("up\n", job:read "stdout")
    local runsc = job:pid()
    over(runsc, job, function() return (env.stat(runsc)) == "Z" end)

    local box = assert(sb:start{ limits = { memory = "64M" } })
    script.limits = { timeout = false }
    job = assert(box:spawn(script))
    assert.equal("up\n", job:read "stdout")
    local _, above = env.stat(env.parts("runsc-sandbox", box.id)[1])
    over(above, job, function()
      for _, p in ipairs(box:processes() or {}) do
        if p.command == "attack" or p.command == "sh" then return false end
      end
      return true
    end)
    box:close()
  end) end

  it("of disk counts files without a name, and those that are mapped", function()
    local r = run({ "unlinked" }, { memory = "128M", disk = "8M" })
    assert.same({ "exited", true }, { r.status, r.disk_exceeded })
    assert.is_true(tonumber(r.stdout) <= 8, r.stdout)
    r = run({ "mapped" }, { memory = "128M", disk = "8M" })
    assert.is_false(r.ok)
    assert.is_true(r.peak_memory < 256 * MiB)
  end)

  -- snekbox, Piston: a bomb is ended with all that it has become.
  it("of processes holds a bomb, which ends as one", function()
    local r = env.given_time({ 1.5, 10, 60 }, function(seconds)
      local r = run({ "bomb" }, { memory = "256M", pids = 24, timeout = seconds })
      return r.pids_exceeded, r
    end)
    assert.same({ true, true }, { r.pids_exceeded, r.timed_out or r.oom_killed })
    assert.is_true(r.peak_pids == nil or r.peak_pids <= 24, r.peak_pids)
  end)

  it("leaves nothing behind", function() assert.is_nil(env.leftovers(before)) end)
end)
