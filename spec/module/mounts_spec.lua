-- SPDX-License-Identifier: MIT
-- What is kept in volumes, and who may have one.
local h = require "support.harness"
local core = h.core

describe("volumes", function()
  local dir, remove, before, sb
  local ME = not h.root and 0 or nil

  setup(function()
    dir, remove = h.tmpdir()
    assert(core.mkdir(dir .. "/v", 448))
    sb = h.sandbox.new{ state_dir = h.state_dir, boot_timeout = 30, control = h.control, volume_dir = dir .. "/v" }
    assert(sb:run{ "true" })
    before = h.census()
  end)
  teardown(function()
    sb:shutdown()
    assert.is_nil(h.leftovers(before))
    remove()
  end)

  local function volume(readonly, name) return { { type = "volume", source = name or "cache", destination = "/c", readonly = readonly } } end

  it("keep what is written, from one sandbox to the next", function()
    assert.equal("", assert(sb:run{ "sh", "-c", "cd /c; echo one >a; mkdir d; echo two >d/b; chmod 000 d/b", user = ME, mounts = volume() }).stderr)
    local r = assert(sb:run{ "sh", "-c", "cat a; echo x >b; echo *", cwd = "/c", user = ME, mounts = volume(true) })
    assert.equal("one\na d\n", r.stdout)
    assert.is_truthy(r.stderr:find "cannot create")
    assert.equal("cache", assert(sb:volumes())[1].name)
    assert.same({ nil, "not_supported" }, { (function()
      local mounts = volume()
      mounts[1].size = "1G"
      local got, _, code = sb:run{ "true", user = ME, mounts = mounts }
      return got, code
    end)() })
  end)

  it("have one writer or many readers, and none when those have died", function()
    local reader = assert(sb:start{ user = ME, mounts = volume(true) })
    assert.is_true(assert(sb:run{ "test", "-f", "/c/a", user = ME, mounts = volume(true) }).ok)
    local other = assert(sb:start{ user = ME, mounts = volume(false, "other") })
    -- Each of the three waits for who may just have ended: all at once.
    local write = assert(sb:spawn{ "true", user = ME, mounts = volume() })
    local read = assert(sb:spawn{ "true", user = ME, mounts = volume(true, "other") })
    assert.equal("busy", select(3, sb:remove_volume "cache"))
    for name, job in pairs{ cache = write, other = read } do
      local r, message, code = job:wait()
      job:close()
      assert.same({ nil, "busy" }, { r, code }, message)
      assert.is_truthy(message:find("volume " .. name .. " is in use", 1, true))
    end
    reader:stop()
    other:stop()
    assert.is_true(assert(sb:remove_volume "other"))
    local writer, r = assert(sb:start{ user = ME, mounts = volume() }), nil
    for _, name in ipairs(core.readdir "/proc") do -- the supervisor that has its run's directory
      local words = name:find "^%d+$" and h.slurp("/proc/" .. name .. "/cmdline"):find "sandbox%-supervisor"
      for _, fd in ipairs(words and core.readdir("/proc/" .. name .. "/fd") or {}) do
        if core.realpath(("/proc/%s/fd/%s"):format(name, fd)) == dir .. "/v/cache" then os.execute("kill -9 " .. name) end
      end
    end
    assert.is_true(h.eventually(function()
      r = sb:run{ "test", "-f", "/c/a", user = ME, mounts = volume() }
      return r and r.ok
    end))
    writer:close()
    sb:cleanup_stale()
  end)

  it("and layers over a directory are a box's as long as it lives, and new for each program of a pool", function()
    assert(core.mkdir(dir .. "/src", 493))
    h.write(dir .. "/src/a", "one\n")
    local mounts = { { type = "cow", source = dir .. "/src", destination = "/c" } }
    local change = { "sh", "-c", "cat a; echo two >a; echo x >>n; cat n", cwd = "/c" }
    local box = assert(sb:start{ user = ME, mounts = mounts })
    assert.equal("one\nx\n", assert(box:run(change)).stdout)
    assert.equal("two\nx\nx\n", assert(box:run(change)).stdout)
    box:stop()
    local pool = assert(sb:pool{ user = ME, mounts = mounts, size = 1 })
    for _ = 1, 2 do
      local r, message = pool:run(change)
      assert.equal("one\nx\n", r and r.stdout or message)
    end
    pool:close()
    assert.equal("one\n", h.read(dir .. "/src/a"))
    assert.same({ "a" }, core.readdir(dir .. "/src"))
  end)

  it("are refused where others could come to them, and go with all that is in them", function()
    assert.is_true(assert(sb:remove_volume "cache"))
    assert.same({}, core.readdir(dir .. "/v"))
    assert.equal("not_found", select(3, sb:remove_volume "cache"))
    os.execute("chmod 755 " .. dir .. "/v")
    assert.equal("not_supported", select(3, sb:run{ "true", user = ME, mounts = volume() }))
    os.execute("chmod 700 " .. dir .. "/v")
    for _, name in ipairs{ "", "a/b", "..", "/etc", ".x", ("a"):rep(65), "a b" } do
      assert.is_nil(sb:check{ "true", mounts = { { type = "volume", source = name, destination = "/c" } } })
    end
    assert.is_nil(sb:check({ "true", mounts = volume() }, { client = true }))
  end)
end)
