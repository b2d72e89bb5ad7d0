-- SPDX-License-Identifier: MIT
local env = require "support.harness"
local sb, core = env.sb, env.core

local function py(code, options)
  options = options or {}
  options[1], options[2], options[3] = "python3", "-c", code
  local r, message = sb:run(options)
  return r or error(message, 2)
end

describe("the guest", function()
  local before
  setup(function()
    assert(sb:run{ "true" })
    before = env.census()
  end)

  it("has three descriptors, whatever the host has open", function()
    local files = {}
    for i = 1, 20 do files[i] = assert(io.open "/etc/hostname") end -- some without CLOEXEC
    local r = py "import os\nprint(sorted(int(f) for f in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + f)))"
    for _, f in ipairs(files) do f:close() end
    assert.equal("[0, 1, 2]\n", r.stdout)
  end)

  it("sees nothing of the host's files", function()
    local r = py [[
import os
for p in ("/root", "/home", "/etc/shadow", "/var/log", "/var/spool", "/var/mail", "/var/run", "/var/tmp", "/var/lib/dpkg", "/var/lib/systemd",
          "/run", "/srv", "/opt", "/boot", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
    if os.path.exists(p): print(p)
print(sorted(os.listdir("/")))]]
    assert.is_nil(r.stdout:find("/root\n", 1, true))
    assert.is_nil(r.stdout:find("shadow", 1, true))
    assert.is_nil(r.stdout:find("'home'", 1, true))
    assert.is_nil(r.stdout:find("'root'", 1, true))
    assert.is_nil(r.stdout:find("/var/", 1, true)) -- what programs keep in /var/lib and /var/cache is none of these
  end)

  it("gets no signal state of the host", function()
    local r = py("import signal as s\nprint(s.pthread_sigmask(s.SIG_BLOCK, []), [int(n) for n in s.valid_signals() if s.getsignal(n) == s.SIG_IGN])")
    assert.equal("set() [13, 25]\n", r.stdout) -- which Python ignores by itself; a shell does not
    for _, name in ipairs{ "PIPE", "XFSZ" } do
      assert.equal(name, assert(sb:run{ "sh", "-c", "kill -" .. name .. " $$" }).signal_name)
    end
  end)

  it("reaches no network", function()
    local listener = io.popen [[exec python3 -c "
import os, socket, time
s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()
print(os.getpid(), s.getsockname()[1], flush=True)
s.settimeout(60); s.accept()"]]
    local pid, port = listener:read("*l"):match "^(%d+) (%d+)$"
    local r = py(([[
import socket
for host, port in ("127.0.0.1", %s), ("1.1.1.1", 80), ("169.254.169.254", 80), ("10.0.0.1", 80):
    s = socket.socket(); s.settimeout(2)
    try: s.connect((host, port)); print("connected", host)
    except OSError as e: print(type(e).__name__)]]):format(port))
    os.execute("kill " .. pid)
    listener:close()
    assert.equal("ConnectionRefusedError OSError OSError OSError", (r.stdout:gsub("%s+$", ""):gsub("%s+", " ")))
  end)

  it("cannot raise its limits", function()
    local r = py [[
import resource
for what in (resource.RLIMIT_NPROC, resource.RLIMIT_NOFILE):
    try: resource.setrlimit(what, (100000, 100000)); print("raised", what)
    except (ValueError, OSError): pass
print("done")]]
    assert.equal("done\n", r.stdout)
  end)

  it("sees no other sandbox", function()
    local a = assert(sb:spawn{ "sh", "-c", "echo secret >/tmp/s; echo secret >/work/s; echo secret >/dev/shm/s; echo up; cat" })
    assert.equal("up\n", a:read "stdout")
    local r = assert(sb:run{ "sh", "-c", "cat /tmp/s /work/s /dev/shm/s; ps ax 2>/dev/null | grep -c cat; true" })
    assert.is_nil(r.stdout:find "secret")
    a:kill()
    a:wait()
    a:close()
  end)

  if env.root then
    it("that is uid 0 is nobody on the host", function()
      local dir, remove = env.tmpdir()
      env.write(dir .. "/secret", "secret\n", "600")
      os.execute("chmod 777 " .. dir)
      local options = { user = 0, mounts = { { destination = "/data", source = dir, readonly = false } } }
      local r = py("import os\ntry: print(open('/data/secret').read())\nexcept OSError as e: print(e.errno)\nopen('/data/made', 'w').close()\nos.chmod('/data/made', 0o4755)", options)
      assert.equal("13\n", r.stdout)
      local st = core.stat(dir .. "/made")
      assert.equal((assert(require("sandbox.machine.uids").choose())), st.uid)
      remove()
    end)
  end

  it("finds nothing to follow out of its root", function()
    local dir, remove = env.tmpdir()
    local outside, remove_outside = env.tmpdir()
    core.mkdir(dir .. "/bin", tonumber("755", 8))
    os.execute(("cp /bin/busybox %s/bin/sh; ln -s %s %s/work; ln -s %s %s/mnt"):format(dir, outside, dir, outside, dir))
    local r, _, code = sb:run{ "/bin/sh", "-c", "echo x >/mnt/y", rootfs = dir, mounts = { { destination = "/mnt", type = "tmpfs", size = "1M" } } }
    assert.is_true(r ~= nil or code == "bad_rootfs" or code == "runsc_failed")
    assert.same({}, core.readdir(outside))
    remove()
    remove_outside()
  end)

  it("leaves nothing behind", function()
    assert.is_nil(env.leftovers(before))
  end)
end)
