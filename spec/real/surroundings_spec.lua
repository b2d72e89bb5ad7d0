-- SPDX-License-Identifier: MIT
-- What a guest sees of the world around it: its limits, not the machine's size.
local h = require "support.harness"
local etc = require "sandbox.machine.etc"

describe("a guest's surroundings", function()
  local before
  setup(function()
    assert(h.sb:run{ "true" })
    before = h.census()
  end)

  it("are as large as its memory limit", function()
    local r = assert(h.sb:run{ "sh", "-c", "grep MemTotal /proc/meminfo", limits = { memory = "96M" } })
    assert.are.equal("MemTotal: 98304 kB\n", (r.stdout:gsub(" +", " ")))
  end)

  local WHO = [[id -u; id -un; id -gn; python3 -c '
import getpass, pwd, os
me = pwd.getpwuid(os.getuid())
print(getpass.getuser(), me.pw_name, me.pw_dir, os.path.expanduser("~"))
print(*sorted(p.pw_name for p in pwd.getpwall()))']]

  it("have as many processors as cpus needs", function()
    for _, case in ipairs{ { 1, "1" }, { 0.5, "1" } } do
      local r, message, code = h.sb:run{ "nproc", limits = { cpus = case[1] } }
      if not r then -- half of one needs a quota
        assert.are.equal("limit_unavailable", code, message)
      else
        assert.are.equal(case[2] .. "\n", r.stdout .. r.stderr)
      end
    end
  end)

  it("know who the guest is", function()
    for _, case in ipairs{
      { user = "65534:65534", "65534\nsandbox\nsandbox\nsandbox sandbox /tmp /tmp\nroot sandbox\n" },
      { user = 12345, "12345\nsandbox\nsandbox\nsandbox sandbox /tmp /tmp\nnobody root sandbox\n" },
      { user = 0, env = { HOME = "/work" }, "0\nroot\nroot\nroot root /work /work\nnobody root\n" },
      { user = "7:0", env = { HOME = false }, "7\nsandbox\nroot\nsandbox sandbox / /\nnobody root sandbox\n" },
    } do
      local r = assert(h.sb:run{ "sh", "-c", WHO, user = case.user, env = case.env })
      assert.are.equal(case[1], r.stdout .. r.stderr)
    end
    local box = assert(h.sb:start{ user = 12345, env = { HOME = "/work" } })
    local r = assert(box:run{ "sh", "-c", WHO })
    box:close()
    assert.are.equal("12345\nsandbox\nsandbox\nsandbox sandbox /work /work\nnobody root sandbox\n", r.stdout .. r.stderr)
  end)

  -- What the host shows in /etc is what the world may read of what is no machine's own.
  it("have the /etc of the programs, and not the machine's", function()
    local r = assert(h.sb:run{ "sh", "-c", [[find /etc ! -type l ! -perm -004; echo; cd /etc; printf '%s\n' .[!.]* *; echo; cat /etc/shadow /etc/machine-id /etc/ssh/sshd_config /etc/hostname 2>/dev/null
      printf '%s\n' /etc/ssl/*; cmp /etc/services /etc/protocols >/dev/null; echo $?; cat /etc/hosts; cat /etc/resolv.conf 2>/dev/null; test -e /etc/localtime; echo $?]] })
    assert.are.equal("", r.stderr)
    local unreadable, names, rest = r.stdout:match "^(.-)\n(.-)\n\n(.*)$"
    if not h.root then assert.are.equal("", unreadable) end -- as root a guest may see such a file, and cannot read it
    local own = { [".[!.]*"] = true, passwd = true, group = true, hosts = true }
    for name in names:gmatch "[^\n]+" do assert.is_true(own[name] or not etc.is_private(name), name) end
    for _, name in ipairs{ "ld.so.cache", "passwd", "group", "hosts", "services", "ssl", "alternatives" } do
      assert.is_truthy(("\n" .. names .. "\n"):find("\n" .. name .. "\n", 1, true), name)
    end
    assert.is_nil(rest:find "private")
    assert.are.equal("1\n127.0.0.1 localhost\n::1 localhost ip6-localhost\n127.0.1.1 sandbox\n0\n", rest:match "1\n127.*")
    -- The host's own stack comes with its resolver. Everything else stays as it was.
    for _, name in ipairs(etc.shown(h.core)) do
      assert.is_truthy(own[name] or ("\n" .. names .. "\n"):find("\n" .. name .. "\n", 1, true), name)
    end
  end)

  it("can be written to where the root can, each run for itself", function()
    for _ = 1, 2 do
      local r = assert(h.sb:run{ "sh", "-c", "cat /etc/new /etc/shadow /etc/machine-id 2>/dev/null; echo x >/etc/new && cat /etc/new; cat /etc/shadow 2>/dev/null",
        readonly = false, user = h.root and 65534 or 0, capabilities = not h.root and { "CAP_DAC_OVERRIDE" } or nil })
      assert.are.equal("x\n", r.stdout .. r.stderr)
    end
  end)

  it("are root's to write where a writable root has user 0, and nobody else's", function()
    local write = { "sh", "-c", "echo x >/etc/new && mkdir /usr/new && echo x >/usr/new/f && chown 5 /usr/new && echo x >>/etc/services && echo ok" }
    local options = { user = 0, readonly = false }
    for k, v in pairs(write) do options[k] = v end
    local r = assert(h.sb:run(options))
    assert.are.equal("ok\n", r.stdout .. r.stderr)
    options.capabilities = {}
    r = assert(h.sb:run(options))
    assert.are.equal("", r.stdout)
    local box = assert(h.sb:start{ user = 0, readonly = false, limits = { pids = false } })
    write.user = 1234
    local theirs = assert(box:run(write))
    write.user = nil
    local own = assert(box:run(write))
    box:stop()
    assert.are.equal("", theirs.stdout)
    assert.are.equal("ok\n", own.stdout .. own.stderr)
  end)

  it("leave nothing behind", function() assert.is_nil(h.leftovers(before)) end)
end)
