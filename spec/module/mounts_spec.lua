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

  -- The supervisor that has this volume.
  local function supervisor(volume_name)
    for _, name in ipairs(core.readdir "/proc") do
      local words = name:find "^%d+$" and h.slurp("/proc/" .. name .. "/cmdline"):find "sandbox%-supervisor"
      for _, fd in ipairs(words and core.readdir("/proc/" .. name .. "/fd") or {}) do
        if core.realpath(("/proc/%s/fd/%s"):format(name, fd)) == dir .. "/v/" .. volume_name then return name end
      end
    end
    error("nobody has " .. volume_name)
  end

  -- The loop devices over files of this directory, or over one that has no name yet.
  local function loops()
    local out = {}
    for _, name in ipairs(core.readdir "/sys/block") do
      local file = name:find "^loop" and h.slurp("/sys/block/" .. name .. "/loop/backing_file") or ""
      if file:find(dir, 1, true) then out[#out + 1] = name .. " " .. file end
    end
    return table.concat(out)
  end

  -- Whether this machine has what one of a size needs, tried without us.
  local function can_be_sized()
    local ok = h.root and os.execute(([[cd %s && [ "$(stat -c %%t:%%T /dev/loop-control)" = a:ed ] && : <>/dev/loop-control && mkdir p &&
      truncate -s 1M f && mkfs.ext4 -q -F f 2>/dev/null && d=$(losetup --find --show f) || exit 1
      unshare -m mount $d p; rc=$?; losetup -d $d; exit $rc]]):format(dir))
    return ok == true or ok == 0
  end

  it("keep what is written, from one sandbox to the next", function()
    assert.equal("", assert(sb:run{ "sh", "-c", "cd /c; echo one >a; mkdir d; echo two >d/b; chmod 000 d/b", user = ME, mounts = volume() }).stderr)
    local r = assert(sb:run{ "sh", "-c", "cat a; echo x >b; echo *", cwd = "/c", user = ME, mounts = volume(true) })
    assert.equal("one\na d\n", r.stdout)
    assert.is_truthy(r.stderr:find "cannot create")
    assert.equal("cache", assert(sb:volumes())[1].name)
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
    os.execute("kill -9 " .. supervisor "cache")
    assert.is_true(h.eventually(function()
      r = sb:run{ "test", "-f", "/c/a", user = ME, mounts = volume() }
      return r and r.ok
    end))
    writer:close()
    sb:cleanup_stale()
  end)

  it("of a size hold no more than that, and leave neither a mount nor a loop device, or are refused in words", function()
    local function sized(size, readonly) return { { type = "volume", source = "sized", destination = "/c", size = size, readonly = readonly } } end
    local r, message, code = sb:run{ "sh", "-c", "ls -A /c; echo kept >/c/a; head -c 12M /dev/zero >/c/b; rm /c/b; echo $?", user = ME, mounts = sized "8M" }
    if not r then
      -- Or the file system here has no files without a name: overlayfs before Linux 6.1.
      assert.is_false(can_be_sized() and not message:find("O_TMPFILE", 1, true), message)
      assert.equal("not_supported", code)
      assert.is_truthy(message:find("volume sized cannot", 1, true), message)
      assert.is_truthy(message:find("volume_dir", 1, true), message)
      return
    end
    assert.same({ "exited", "0\n" }, { r.status, r.stdout })
    assert.is_truthy(r.stderr:find("No space left on device", 1, true))
    for _, v in ipairs(sb:volumes()) do assert.equal(v.name == "sized" and 8 * 2 ^ 20 or nil, v.size) end
    assert(core.mkdir(dir .. "/v/plain", 448))
    local plain = sized "8M"
    plain[1].source = "plain"
    for _, mounts in ipairs{ sized "9M", plain } do assert.equal("bad_rootfs", select(3, sb:run{ "true", mounts = mounts })) end
    assert(sb:remove_volume "plain")

    local pool = assert(sb:pool{ mounts = sized(nil, true), size = 1 })
    r = assert(sb:run{ "sh", "-c", "cat /c/a; echo x >/c/x", mounts = sized("8M", true) }) -- beside it
    assert.same({ "kept\n", true }, { r.stdout, r.stderr:find("Read-only file system", 1, true) ~= nil })
    assert.equal("kept\n", assert(pool:run{ "cat", "/c/a" }).stdout)
    pool:close()

    local box -- once the pool's has gone
    assert.is_true(h.eventually(function()
      box = sb:start{ mounts = sized "8M" }
      return box ~= nil
    end))
    local pid = supervisor "sized"
    assert.is_truthy(h.slurp("/proc/" .. pid .. "/mountinfo"):find "/m/v/0 [^\n]*nosuid,nodev[^\n]* ext4 /dev/loop")
    assert.is_nil(h.slurp "/proc/self/mountinfo":find("/m/v/0", 1, true))
    assert.is_true(assert(box:run{ "sh", "-c", "echo two >>/c/a; sync /c/a" }).ok)
    os.execute("kill -9 " .. pid)
    assert.is_true(h.eventually(function() return loops() == "" end), loops())
    box:close()
    sb:cleanup_stale()
    assert.equal("kept\ntwo\n", assert(sb:run{ "cat", "/c/a", mounts = sized() }).stdout)
    assert.is_true(assert(sb:remove_volume "sized"))
    assert.is_true(h.eventually(function() return loops() == "" end), loops())
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
