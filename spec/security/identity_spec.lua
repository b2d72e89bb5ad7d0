-- SPDX-License-Identifier: MIT
-- Who a guest can become (gvisor's issue 13063), and what it can make of the programs that serve it (CVE-2019-5736).
local env = require "support.harness"
local sb, core = env.sb, env.core

describe("a guest", function()
  local before, dir, remove
  setup(function()
    assert(sb:run{ "true" })
    before = env.census()
    dir, remove = env.tmpdir()
  end)
  teardown(function() remove() end)

  it("gains nothing by programs that are another's, with a bit that says so", function()
    local root = dir .. "/root"
    os.execute(("mkdir -m 755 -p %s/bin %s/group && cp /bin/busybox %s/bin/ && cp /bin/busybox %s/group/ && chmod 4755 %s/bin/busybox && chmod 2755 %s/group/busybox"):format(root, root, root, root, root, root))
    for _, readonly in ipairs{ true, false } do
      for _, place in ipairs{ "/bin", "/group" } do
        local r = assert(sb:run{ place .. "/busybox", "sh", "-c", ("x -u; x -g; x -ru"):gsub("x", place .. "/busybox id"), rootfs = root, readonly = readonly, user = "1234:1235" })
        assert.same({ "exited", "1234\n1235\n1234\n" }, { r.status, r.stdout .. r.stderr })
      end
    end
    -- One that it has made itself, as far as it may.
    local r = assert(sb:run{ "sh", "-c", "cp /usr/bin/id /tmp/id && chmod 6755 /tmp/id; setpriv --no-new-privs true; /tmp/id -u; grep -c 'CapEff:.0000000000000000' /proc/self/status" })
    assert.equal("65534\n1\n", r.stdout)
    r = assert(sb:run{ "python3", "-c", "import ctypes; print(ctypes.CDLL(None).prctl(39, 0, 0, 0, 0))" })
    assert.equal("1\n", r.stdout)
  end)

  local function sums()
    local pipe = io.popen(("sha256sum %s %s %s"):format(os.getenv "SANDBOX_RUNSC", (core.supervisor()), require("sandbox.run.request").helper()))
    local text = pipe:read "*a"
    pipe:close()
    return text
  end

  it("changes none of the programs that it is served by, also as uid 0", function()
    local was = sums()
    local code = "for f in /proc/self/exe /proc/1/exe /proc/*/exe $(cat /proc/mounts | cut -d' ' -f2 | grep sandbox); do "
      .. "(printf x >>$f) 2>/dev/null && echo wrote $f; (: >$f) 2>/dev/null && echo emptied $f; rm -f $f 2>/dev/null; mv $f /tmp/x 2>/dev/null && echo moved $f; done; "
      .. "ln -s /proc/1/exe l; (printf x >>l) 2>/dev/null && echo wrote l; echo done"
    for _, user in ipairs{ 65534, 0 } do
      assert.equal("done\n", assert(sb:run{ "sh", "-c", code, user = user }).stdout)
      local box = assert(sb:start{ user = user })
      assert.equal("done\n", assert(box:run{ "sh", "-c", code }).stdout)
      assert.is_true(assert(box:run{ "true" }).ok)
      box:close()
    end
    assert.equal(was, sums())
  end)

  -- Judge0's CVE-2024-28185 and -28189: the second program's files over what the first has planted.
  it("plants nothing at the name of a file that is given later", function()
    local canary = env.write(dir .. "/canary", "untouched")
    local box = assert(sb:start{ mounts = { { destination = "/canary", source = dir } } })
    assert(box:run{ "sh", "-c", "ln -s /canary/canary link; ln -s /etc/passwd passwd; mkfifo fifo; mkdir dir; ln -s /canary up; ln /usr/bin/env hard 2>/dev/null; true" })
    for _, name in ipairs{ "link", "passwd", "fifo", "dir", "up/canary", "hard/x" } do
      local ok, message = box:write_file(name, "gotcha")
      if ok then assert.equal("gotcha", box:read_file(name)) else assert.is_string(message) end
    end
    assert.equal("untouched", env.read(canary))
    assert.is_true(assert(box:run{ "sh", "-c", "cat given", files = { given = "g" } }).ok)
    box:close()
  end)

  it("leaves nothing behind", function() assert.is_nil(env.leftovers(before)) end)
end)
