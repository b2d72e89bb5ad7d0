-- SPDX-License-Identifier: MIT
-- What a guest sees of the world around it: its limits, not the machine's size.
local h = require "support.harness"
local etc = require "sandbox.machine.etc"

describe("a guest's surroundings #once", function()
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

  -- Whether `disk` is held by gVisor's own layer, which takes every owner's files.
  local whole_disk = h.sb:version().flags.overlay_size

  -- A package brings files, directories of root's alone and a script that is root's.
  local PACKAGE = [[set -e; mkdir -p p/DEBIAN p/usr/bin p/etc p/root /var/lib/dpkg/info /var/lib/dpkg/updates /var/lib/apt/lists/partial /var/cache/apt/archives/partial \
      /var/log/apt; touch /var/lib/dpkg/status
    printf 'Package: hi\nVersion: 1\nArchitecture: all\nMaintainer: x <x@y>\nDescription: x\n' >p/DEBIAN/control; echo /etc/hi.conf >p/DEBIAN/conffiles; echo c >p/etc/hi.conf
    printf '#!/bin/sh\necho hi\n' >p/usr/bin/hi; printf '#!/bin/sh\nid -u >/root/log\n' >p/DEBIAN/postinst; chmod 755 p/usr/bin/hi p/DEBIAN/postinst; chmod 700 p/root
    dpkg-deb --root-owner-group -b p hi.deb; DEBIAN_FRONTEND=noninteractive apt-get install -y ./hi.deb >&2; hi; cat /root/log /etc/hi.conf; dpkg -r hi; test ! -e /usr/bin/hi]]

  it("take packages where root may write", function()
    for _, disk in ipairs{ false, whole_disk and "200M" or nil } do
      local r = assert(h.sb:run{ "sh", "-c", PACKAGE, user = 0, readonly = false, limits = { disk = disk } })
      assert.are.equal("hi\n0\nc\n", r.stdout:match "hi\n0\nc\n", r.stdout .. r.stderr)
      assert.is_true(r.ok, r.stderr)
    end
  end)

  -- A tree that root unpacked, with a directory of root's alone. As a user it is our own.
  it("are root's where a rootfs is", function()
    local dir, remove = h.tmpdir()
    os.execute(("cd %s && mkdir -p bin etc usr root && chmod 700 root && cp /bin/busybox bin/sh && echo old >etc/f && echo secret >root/s && chmod 600 root/s etc/f"):format(dir))
    local script = "cat /root/s; echo new >/etc/f; cat /etc/f; echo x >/usr/x; echo y >/root/y; cat /usr/x /root/y"
    for _, disk in ipairs{ false, "50M" } do
      local r = assert(h.sb:run{ "/bin/sh", "-c", script, user = 0, readonly = false, rootfs = dir, limits = { disk = disk } })
      assert.are.equal("secret\nnew\nx\ny\n", r.stdout .. r.stderr)
      local box = assert(h.sb:start{ user = 0, readonly = false, rootfs = dir, limits = { disk = disk, pids = false } })
      r = assert(box:run{ "/bin/sh", "-c", script })
      local other = assert(box:run{ "/bin/sh", "-c", "cat /root/s", user = 1000 })
      box:stop()
      assert.are.equal("secret\nnew\nx\ny\n", r.stdout .. r.stderr)
      assert.are.equal("", other.stdout)
    end
    assert.are.equal("old\n", h.read(dir .. "/etc/f"))
    local r = assert(h.sb:run{ "/bin/sh", "-c", "cat /root/s", rootfs = dir })
    assert.are.equal("", r.stdout)
    remove()
  end)

  it("take given files anywhere in a root that may be written, in runs and in boxes", function()
    for _, user in ipairs{ 0, 65534 } do
      local o = { "sh", "-c", "cat /usr/local/a/given /etc/given", readonly = false, user = user }
      local box = assert(h.sb:start{ readonly = false, user = user })
      local files = { ["/usr/local/a/given"] = "1\n", ["/etc/given"] = "2\n" }
      local r = assert(box:run{ o[1], o[2], o[3], files = files })
      box:stop()
      o.files = files
      assert.are.equal("1\n2\n", r.stdout .. r.stderr)
      r = assert(h.sb:run(o))
      assert.are.equal("1\n2\n", r.stdout .. r.stderr)
    end
  end)

  it("leave capabilities to another than root, or say that this build cannot", function()
    local caps = { "CAP_CHOWN", "CAP_NET_BIND_SERVICE" }
    local r, message, code = h.sb:run{ "sh", "-c", "cat /proc/self/status", user = 1234, capabilities = caps }
    if h.build == "2026" then
      assert.are.equal("0000000000000401", r.stdout:match "CapEff:%s*(%x+)")
      return
    end
    assert.are.equal("not_supported", code)
    assert.is_truthy(message:find("ambient", 1, true), message)
    r, message, code = h.sb:start{ user = 1234, capabilities = caps }
    assert.same({ nil, "not_supported" }, { r, code }, message)
    local box = assert(h.sb:start{ user = 0, capabilities = caps, limits = { pids = false } })
    r, message, code = box:run{ "true", user = 1234 }
    box:stop()
    assert.same({ nil, "not_supported" }, { r, code }, message)
  end)

  it("leave nothing behind", function() assert.is_nil(h.leftovers(before)) end)
end)
