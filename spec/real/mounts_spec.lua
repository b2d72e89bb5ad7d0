-- SPDX-License-Identifier: MIT
-- Mounts that are more than binds: a directory under a private layer, an EROFS file.
local h = require "support.harness"
local sb = h.sb
local ME = not h.root and 0 or nil -- whom a writable mount wants, as an ordinary user

describe("mounts", function()
  local dir, remove, before
  setup(function()
    dir, remove = h.tmpdir()
    assert(h.core.mkdir(dir .. "/src", 493))
    assert(h.core.mkdir(dir .. "/src/sub", 493))
    h.write(dir .. "/src/a", "one\n", "600")
    h.write(dir .. "/src/sub/b", "two\n")
    assert(sb:run{ "true" })
    before = h.census()
  end)
  teardown(function()
    assert.is_nil(h.leftovers(before))
    remove()
  end)

  local function cow(options)
    local mount = { type = "cow", source = dir .. "/src", destination = "/data/src", size = options.size }
    options.mounts, options.size = { mount }, nil
    return assert(sb:run(options))
  end

  local function untouched()
    assert.equal("one\ntwo\n", h.read(dir .. "/src/a") .. h.read(dir .. "/src/sub/b"))
    local names = h.core.readdir(dir .. "/src")
    table.sort(names)
    assert.same({ "a", "sub" }, names)
    assert.same({ "b" }, h.core.readdir(dir .. "/src/sub"))
  end

  -- What the directory's owner may, the guest may: read what is private, change, add, take away.
  local CHANGES = "cd /data/src && cat a && echo new >a && echo x >n && echo y >sub/n && rm sub/b && mv a sub/a && cat sub/a && echo * sub/*"
  local CHANGED = "one\nnew\nn sub sub/a sub/n\n"

  it("of a directory under a layer of its own are written, and the directory is not", function()
    for i, options in ipairs{ { user = ME }, { user = 0, readonly = false }, { user = ME, size = "4M" } } do
      options[1], options[2], options[3] = "sh", "-c", CHANGES
      local r = cow(options)
      assert.same({ CHANGED, "", "exited" }, { r.stdout, r.stderr, r.status }, i)
      untouched()
    end
  end)

  it("count as disk and memory, or have a size of their own", function()
    local fill = "dd if=/dev/zero bs=64k of=/data/src/z 2>/dev/null; wc -c </data/src/z"
    local r = cow{ "sh", "-c", fill, user = ME, limits = { disk = "4M" } }
    assert.same({ "4194304\n", true }, { r.stdout, r.disk_exceeded })
    r = cow{ "sh", "-c", fill .. "; dd if=/dev/zero bs=64k of=/work/z 2>/dev/null; wc -c </work/z", user = 0, readonly = false, limits = { disk = "4M" } }
    local there, here = r.stdout:match "^(%d+)\n(%d+)\n$" -- one limit for both, wherever this build holds it
    assert.is_true(there + here <= 4194304 and there + here > 2097152, r.stdout)
    assert.is_not_false(r.disk_exceeded)
    r = cow{ "sh", "-c", fill .. "; dd if=/dev/zero bs=64k count=80 of=/work/z 2>/dev/null && echo room", user = ME, size = "2M" }
    assert.same({ "2097152\nroom\n", "" }, { r.stdout, h.flags_of(r) })
    for _, size in ipairs{ false, "1G" } do
      r = cow{ "sh", "-c", "dd if=/dev/zero bs=64k count=4000 of=/data/src/z", user = ME, size = size or nil, limits = { memory = "64M" } }
      assert.same({ "oom_killed", true }, { r.status, r.oom_killed })
    end
    untouched()
  end)

  it("of an EROFS file are where this build has them", function()
    local file = dir .. "/x.erofs"
    os.execute(("mkfs.erofs -E noinline_data %s %s/src >/dev/null"):format(file, dir))
    local mounts = { { type = "erofs", source = file, destination = "/data/e" } }
    local r, message, code = sb:run{ "sh", "-c", "cat /data/e/sub/b; echo x >/data/e/sub/b", user = 0, mounts = mounts }
    if h.build ~= "2026" then
      assert.same({ nil, "not_supported" }, { r, code })
      assert.is_truthy(message:find("needs runsc of release", 1, true))
      return
    end
    assert.equal("two\n", assert(r, message).stdout)
    assert.is_truthy(r.stderr:find "cannot create")
    os.remove(file)
    h.write(file, ("x"):rep(8192))
    r, message, code = sb:run{ "true", mounts = mounts }
    assert.same({ nil, ("mount source %s is no EROFS file"):format(file), "bad_rootfs" }, { r, message, code })
  end)

  it("are of what the instance calls so", function()
    local own = h.sandbox.new{ state_dir = h.state_dir, boot_timeout = 30, control = h.control, filesystems = { data = dir .. "/src" } }
    local job = { "cat", "/d/sub/b", mounts = { { source = "data", destination = "/d" } } }
    assert.is_true(own:check(job, { client = true }))
    assert.equal("two\n", assert(own:run(job)).stdout)
    own:close()
  end)

  it("need user = 0 as an ordinary user, where they are written", function()
    local r, message, code = sb:run{ "true", mounts = { { type = "cow", source = dir .. "/src", destination = "/c" } } }
    if h.root then return assert.is_true(r.ok) end
    assert.same({ nil, "not_supported" }, { r, code })
    assert.is_truthy(message:find "user = 0")
  end)
end)
