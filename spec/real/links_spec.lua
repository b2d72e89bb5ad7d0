-- SPDX-License-Identifier: MIT
-- A rootfs, a mount's source and a bundle are somebody else's: links in them are taken inside, or refused, and nothing of the host is
-- seen or written through them, also where they change while a sandbox starts.
local env = require "support.harness"
local core, sb = env.core, env.sb

describe("links #once", function()
  local before, dir, remove, outside
  setup(function()
    sb:run{ "true" }
    before = env.census()
  end)
  before_each(function()
    dir, remove = env.tmpdir()
    outside = dir .. "/outside"
    for _, d in ipairs{ "/r", "/r/bin", "/r/etc", "/r/srv", "/outside", "/data" } do core.mkdir(dir .. d, tonumber("755", 8)) end
    os.execute(("cp /bin/busybox %s/r/bin/sh; chmod 777 %s %s/r/srv"):format(dir, outside, dir))
    env.write(outside .. "/canary", "of the host\n")
    env.write(dir .. "/data/f", "data\n")
  end)
  after_each(function() remove() end)

  local function link(to, from) assert(os.execute(("ln -sfn '%s' '%s/r%s'"):format(to, dir, from))) end
  local function untouched()
    assert.same({ "canary" }, core.readdir(outside))
    assert.equal("of the host\n", env.read(outside .. "/canary"))
  end
  local function run(script, options)
    options = options or {}
    options[1], options[2], options[3], options.rootfs = "/bin/sh", "-c", script, dir .. "/r"
    local r, message, code = sb:run(options)
    return r, message, code
  end

  it("at our own places lead inside", function()
    for _, place in ipairs{ "/work", "/tmp", "/proc", "/dev", "/sys" } do
      for _, to in ipairs{ outside, "/srv", "srv", "../../../../../srv", "/etc" } do
        link(to, place)
        local r, message, code = run("cat /etc/../canary " .. place .. "/canary 2>/dev/null; echo x >/work/f && echo done", { cwd = "/", files = { ["/work/given"] = "x", ["/tmp/given"] = "y" } })
        assert.is_true(r ~= nil or code == "bad_rootfs", place .. " -> " .. to .. ": " .. tostring(message))
        if r then
          assert.is_nil(r.stdout:find "of the host")
          assert.same({ place, to, "done\n" }, { place, to, r.stdout })
        end
        untouched()
        core.unlink(dir .. "/r" .. place)
      end
    end
  end)

  it("to the root itself are no place, and one that leads nowhere is none", function()
    for _, to in ipairs{ "/", "..", "../..", "/nowhere/at/all" } do
      link(to, "/tmp")
      local r, message, code = run("exit 0", { cwd = "/" })
      assert.same({ to, nil, "bad_rootfs" }, { to, r, code })
      assert.truthy(message:find("/tmp", 1, true), message)
    end
  end)

  it("at cwd, mounts and the helper's place lead inside", function()
    link(outside, "/m")
    link("/srv", "/n")
    link("srv", "/c")
    local r, message, code = run("pwd; cat /m/f /n/f; ls /m/canary", { cwd = "/c", mounts = { { destination = "/n", source = dir .. "/data" } } })
    assert.same({ "/srv\ndata\n", nil, nil }, { r and r.stdout, message, code })
    r, message, code = run("exit 0", { cwd = "/", mounts = { { destination = "/m", source = dir .. "/data" } } })
    assert.same({ nil, "bad_rootfs", "string" }, { r, code, type(message) })
    r, message, code = run("exit 0", { cwd = "/m" })
    assert.same({ nil, "bad_command", "string" }, { r, code, type(message) })
    link(outside .. "/helper", "/.sandbox-guest")
    local box, _, why = sb:start{ rootfs = dir .. "/r" }
    assert.is_true(box ~= nil or why == "bad_rootfs")
    if box then box:stop() end
    untouched()
  end)

  it("under files that are put in place lead inside", function()
    link(outside, "/l")
    link("/srv", "/k")
    run("exit 0", { cwd = "/", readonly = false, files = { ["/l/given"] = "x" } })
    untouched()
    local r = run("cat /srv/given", { cwd = "/", readonly = false, files = { ["/k/given"] = "x" } })
    assert.equal("x", r and r.stdout)
    assert.same({}, core.readdir(dir .. "/r/srv"))
  end)

  -- Whoever may write a rootfs, a source or a bundle may do so at any moment: so many starts, a quarter of them for each of the places.
  local STARTS = tonumber(os.getenv "SANDBOX_TEST_STARTS") or 24
  local function swapper(name, target)
    local script = ([[cd '%s' && while :; do rm -rf %s; ln -s '%s' %s; rm -f %s; mkdir %s; chmod 755 %s; done]]):format(dir, name, target, name, name, name, name)
    local pipe = io.popen(("sh -c 'echo $$; exec sh -c \"$0\"' \"%s\" 2>/dev/null"):format(script:gsub('[$"`\\]', "\\%0")))
    local pid = pipe:read "*l"
    return function()
      os.execute("kill " .. pid)
      pipe:close()
    end
  end

  it("that come and go during starts lead nowhere else", function()
    for _, name in ipairs{ "r/work", "r/mnt", "src" } do
      local stop = swapper(name, outside)
      local ok, err = pcall(function()
        for _ = 1, STARTS / 4 do
          local mounts = name == "r/mnt" and { { destination = "/mnt/d", source = dir .. "/data" } } or name == "src" and { { destination = "/srv", source = dir .. "/src", readonly = false } } or nil
          local r, message, code = run("cat /work/canary /mnt/canary 2>/dev/null; echo x >/work/f; echo x >/mnt/f; exit 0", { cwd = "/", mounts = mounts, user = 0 })
          assert.is_true(r ~= nil or code == "bad_rootfs" or code == "runsc_failed" or code == "not_supported" or code == "bad_command", tostring(code) .. ": " .. tostring(message))
          if r and name ~= "src" then assert.equal("", r.stdout) end
          untouched()
        end
      end)
      stop()
      assert.is_true(ok, tostring(err))
    end
  end)

  it("that come and go in a bundle lead nowhere else", function()
    env.write(dir .. "/config.json", [[{"process":{"args":["/bin/sh","-c","cat /d/canary; echo x >/d/f; exit 0"],"user":{"uid":0,"gid":0}},"root":{"path":"r"},
      "mounts":[{"destination":"/d","type":"bind","source":"data/in"}]}]])
    local stop, seen = swapper("data/in", outside), {}
    local ok, err = pcall(function()
      for _ = 1, STARTS / 4 do
        local r, message, code = sb:run{ bundle = dir }
        assert.is_true(r ~= nil or code == "bad_rootfs" or code == "runsc_failed", tostring(code) .. ": " .. tostring(message))
        assert.equal("", r and r.stdout or "")
        seen[r and "ran" or message:match "leads out" or message] = true
        untouched()
      end
    end)
    stop()
    assert.is_true(ok, tostring(err))
    assert.is_true(next(seen) ~= nil)
  end)

  local cgroup = env.sb:run{ "true" }.runtime.cgroup
  if env.root and (env.build ~= "2022" or cgroup == "v1") then -- that build's root cannot be nodev; cgroups of v1 know devices
    it("are no worse than device nodes, which are not the host's", function()
      local misc = env.slurp "/proc/misc"
      local minor = misc:match "(%d+) cpu_dma_latency\n" or misc:match "(%d+) userfaultfd\n" -- which open for whom their mode lets
      for _, path in ipairs{ dir .. "/r/etc/n", dir .. "/data/n" } do
        assert(os.execute(("mknod -m 666 %s c 10 %d"):format(path, assert(tonumber(minor)))))
      end
      local r = run("for f in /etc/n /srv/n; do (exec 3<$f) && echo $f opens; done", { cwd = "/", limits = { timeout = 20 },
        mounts = { { destination = "/srv", source = dir .. "/data" } } })
      assert.equal("", r.stdout)
      for line in r.stderr:gmatch "[^\n]+" do assert.truthy(line:find "Permission denied" or line:find "Operation not permitted" or line:find "No such device", line) end
    end)
  end

  it("leave nothing behind", function()
    assert.is_nil(env.leftovers(before))
  end)
end)
