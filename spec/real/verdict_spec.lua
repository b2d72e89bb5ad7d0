-- SPDX-License-Identifier: MIT
local env = require "support.harness"
local sb, core = env.sb, env.core

local function run(options)
  local r, message, code = sb:run(options)
  return r or error(("%s: %s"):format(tostring(code), tostring(message)), 2)
end
local function sh(script, options)
  options = options or {}
  options[1], options[2], options[3] = "sh", "-c", script
  return run(options)
end
local function py(code, options)
  options = options or {}
  options[1], options[2], options[3] = "python3", "-c", code
  return run(options)
end

describe("a run", function()
  local before
  setup(function()
    assert(sb:run{ "true" }) -- probes are done, caches are open
    before = env.census()
  end)

  it("prints, ends and is measured", function()
    local r = py("print(6*7)", { limits = { timeout = 20, memory = "128M", pids = 32 } })
    assert.same({ "42\n", "", "exited", 0, true }, { r.stdout, r.stderr, r.status, r.exit_code, r.ok })
    assert.equal("", env.flags_of(r))
    assert.is_nil(r.signal)
    assert.is_nil(r.message)
    assert.is_true(r.duration > 0 and r.boot_duration > 0 and r.total_duration >= r.duration and r.queue_duration >= 0)
    assert.is_true(r.peak_memory > 1e6 and r.peak_memory < 128 * 2 ^ 20)
    assert.is_true(r.cpu_time > 0)
    assert.same({ 3, 0 }, { r.stdout_bytes, r.stderr_bytes })
    assert.same({}, r.files)
    assert.equal(not env.root, r.runtime.rootless)
    assert.equal(32, r.limits.pids.requested)
    assert.equal("supervisor", r.limits.memory.enforced_by)
    assert.is_false(r.limits.memory.hit)
  end)

  for _, code in ipairs{ 0, 1, 2, 126, 127, 128, 137, 255 } do
    it("tells exit code " .. code, function()
      local r = sh("exit " .. code)
      assert.same({ "exited", code, code == 0 }, { r.status, r.exit_code, r.ok })
      assert.is_nil(r.signal)
    end)
  end

  for number, name in pairs{ [1] = "HUP", [2] = "INT", [3] = "QUIT", [4] = "ILL", [6] = "ABRT", [8] = "FPE", [9] = "KILL", [11] = "SEGV", [13] = "PIPE",
                             [15] = "TERM" } do
    it("tells death by SIG" .. name, function()
      local r = py(("import os, signal\nif %d != 9: signal.signal(%d, signal.SIG_DFL)\nos.kill(os.getpid(), %d)"):format(number, number, number))
      assert.same({ "signaled", number, name, false }, { r.status, r.signal, r.signal_name, r.ok })
      assert.is_nil(r.exit_code)
    end)
  end

  it("is not fooled by runsc's own words", function()
    local r = sh("echo 'running container: creating container: failed to load /x: no such file or directory' >&2; exit 128")
    assert.same({ "exited", 128 }, { r.status, r.exit_code })
  end)

  it("goes on when a program closes its streams", function()
    local r = sh("exec >&- 2>&- <&-; sleep 0.3; exit 5")
    assert.same({ "exited", 5 }, { r.status, r.exit_code })
    assert.is_true(r.duration >= 0.3)
  end)

  it("ends with its first process, daemons and all", function()
    local r = sh("(sleep 1000 &) ; echo started")
    assert.same({ "started\n", 0 }, { r.stdout, r.exit_code })
  end)

  it("ends with the last thread, not the first", function()
    local r = py([[
import threading, ctypes, time, os
def late():
    time.sleep(0.3); print("late", flush=True); os._exit(7)
threading.Thread(target=late).start()
ctypes.CDLL(None).syscall(60, 0)]])
    assert.same({ "late\n", "exited", 7 }, { r.stdout, r.status, r.exit_code })
  end)

  it("takes a long command line #once", function()
    local argv = { "sh", "-c", "echo $#; exit 3", "sh" }
    for i = 1, 200000 do argv[#argv + 1] = i % 2 == 0 and "" or "x" end
    local r = assert(env.sb:run(argv))
    assert.same({ "exited", 3, "200000\n" }, { r.status, r.exit_code, r.stdout })
    assert.is_nil(r.pids_exceeded)
    argv = { "sh", "-c", "exit 4" }
    for _ = 1, 5 do argv[#argv + 1] = ("x"):rep(100000) end
    assert.equal(4, assert(env.sb:run(argv)).exit_code)
  end)

  it("survives another thread's exec", function()
    local r = py([[
import threading, os, time
threading.Thread(target=lambda: os.execv("/bin/sh", ["sh", "-c", "echo replaced; exit 3"])).start()
time.sleep(100)]])
    assert.same({ "replaced\n", 3 }, { r.stdout, r.exit_code })
  end)

  it("is not delayed by stdin that nobody reads", function()
    local r = run{ "true", stdin = ("x"):rep(1000000) }
    assert.is_true(r.ok)
  end)

  it("feeds stdin from a string, a function and a file", function()
    local big = ("0123456789abcdef"):rep(64 * 1024)
    assert.equal(big, run{ "cat", stdin = big }.stdout)
    local n = 0
    local r = run{ "cat", stdin = function()
      n = n + 1
      return n <= 3 and ("chunk %d\n"):format(n) or nil
    end }
    assert.equal("chunk 1\nchunk 2\nchunk 3\n", r.stdout)
    local dir, remove = env.tmpdir()
    env.write(dir .. "/in", "from a file\n")
    assert.equal("from a file\n", run{ "cat", stdin = { from = dir .. "/in" } }.stdout)
    remove()
    assert.equal("", run{ "cat" }.stdout)
  end)

  it("keeps both streams of a flood apart", function()
    local r = py("import sys\nfor i in range(2000):\n sys.stdout.write('o'*500); sys.stderr.write('e'*500)")
    assert.same({ 1000000, 1000000 }, { #r.stdout, #r.stderr })
    assert.is_nil(r.stdout:find("e", 1, true))
  end)

  it("merges stderr in the order of writing", function()
    local r = sh("echo a; echo b >&2; echo c", { stderr = "stdout" })
    assert.same({ "a\nb\nc\n", "" }, { r.stdout, r.stderr })
  end)

  it("keeps binary output", function()
    local r = py([[import sys; sys.stdout.buffer.write(bytes(range(256)))]])
    assert.equal(256, #r.stdout)
    assert.equal(0, r.stdout:byte(1))
  end)

  it("gives the environment that was asked for and no more", function()
    local r = run{ "env", env = { A = "1", LANG = false } }
    local set = {}
    for line in r.stdout:gmatch "[^\n]+" do set[line:match "^[^=]+"] = line:match "=(.*)" end
    assert.same({ A = "1", HOME = "/tmp", PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" }, set)
  end)

  it("sets user, groups, hostname, cwd", function()
    assert.equal("65534 65534\n", sh("echo $(id -u) $(id -g)").stdout)
    assert.equal("0 0\n", sh("echo $(id -u) $(id -g)", { user = 0 }).stdout)
    assert.equal("1000 1001\n", sh("echo $(id -u) $(id -g)", { user = "1000:1001" }).stdout)
    assert.equal("box\n", run{ "hostname", hostname = "box" }.stdout)
    assert.equal("/work\n", run{ "pwd" }.stdout)
    assert.equal("/usr/bin\n", run{ "pwd", cwd = "/usr/bin" }.stdout)
  end)

  it("gives capabilities by name only", function()
    assert.truthy(run{ "cat", "/proc/self/status" }.stdout:find "CapEff:%s+0000000000000000\n")
    local r = run{ "cat", "/proc/self/status", user = 0, capabilities = { "CAP_CHOWN", "CAP_NET_BIND_SERVICE" } }
    assert.truthy(r.stdout:find "CapEff:%s+0000000000000401\n")
    assert.truthy(r.stdout:find "CapBnd:%s+0000000000000401\n")
  end)

  it("puts files in place", function()
    local dir, remove = env.tmpdir()
    env.write(dir .. "/src", "host file\n")
    local r = sh("cat a.txt sub/b.txt /tmp/c.txt d; test -x run.sh && echo executable; echo more >>a.txt && tail -n1 a.txt", {
      files = { ["a.txt"] = "A\n", ["sub/b.txt"] = { content = "B\n" }, ["/tmp/c.txt"] = "C\n", d = { from = dir .. "/src" },
                ["run.sh"] = { content = "#!/bin/sh\necho ran\n", mode = "755" } },
    })
    assert.same({ "A\nB\nC\nhost file\nexecutable\nmore\n", "" }, { r.stdout, r.stderr })
    assert.equal("ran\n", run{ "./run.sh", files = { ["run.sh"] = { content = "#!/bin/sh\necho ran\n", mode = "755" } } }.stdout)
    remove()
  end)

  it("has a writable /work and /tmp, and nothing else", function()
    local r = sh("echo x >/work/x && echo y >/tmp/y && cat /work/x /tmp/y; for d in / /usr /etc; do touch $d/z 2>/dev/null && echo wrote $d; done; true")
    assert.equal("x\ny\n", r.stdout)
    assert.equal("", sh("for f in /work/* /tmp/*; do test -e $f && echo $f; done; true").stdout)
  end)

  it("says what could not be started", function()
    local dir, remove = env.tmpdir()
    local rows = {
      { { "no-such-program" }, "bad_command" }, { { "/no/such" }, "bad_command" }, { { "/etc/passwd" }, "bad_command" },
      { { "true", cwd = "/no/such" }, "bad_command" }, { { "true", rootfs = dir .. "/none" }, "bad_rootfs" },
      { { "true", mounts = { { destination = "/m", source = dir .. "/none" } } }, "bad_rootfs" },
      { { "true", bundle = dir }, "bad_rootfs" }, { { "true", stdin = { from = dir .. "/none" } }, "bad_rootfs" },
    }
    for i, row in ipairs(rows) do
      if row[1].bundle then row[1][1] = nil end
      local r, message, code = sb:run(row[1])
      assert.same({ i, nil, row[2], "string" }, { i, r, code, type(message) })
    end
    remove()
  end)

  local function busybox_root()
    local dir, remove = env.tmpdir()
    core.mkdir(dir .. "/bin", tonumber("755", 8))
    os.execute(("cp /bin/busybox %s/bin/sh"):format(dir))
    return dir, remove
  end

  it("runs in a directory of the user's and leaves it as it was", function()
    local dir, remove = busybox_root()
    local r = run{ "/bin/sh", "-c", "echo hi >/work/f; read x </work/f; echo $x; echo no >/bin/y", rootfs = dir, mounts = { { destination = "/made/here", type = "tmpfs", size = "1M" } } }
    assert.equal("hi\n", r.stdout)
    assert.truthy(r.stderr:find "Read%-only" or r.stderr:find "denied")
    r = run{ "/bin/sh", "-c", "echo yes >/bin/y; read x </bin/y; echo $x", rootfs = dir, readonly = false, user = 0 }
    assert.equal("yes\n", r.stdout)
    local names = core.readdir(dir)
    assert.same({ "bin" }, names)
    assert.same({ "sh" }, core.readdir(dir .. "/bin"))
    remove()
  end)

  it("lets a guest write over a read-only host root when asked", function()
    local r = sh("echo x >/work/../tmp/q; mkdir /tmp/d && echo fine", { readonly = false })
    assert.equal("fine\n", r.stdout)
  end)

  it("binds directories read-only and writable, and sized tmpfs", function()
    local dir, remove = env.tmpdir()
    env.write(dir .. "/f", "data\n")
    os.execute("chmod 777 " .. dir)
    local r = sh("cat /data/f; echo x 2>/dev/null >/data/g || echo refused", { mounts = { { destination = "/data", source = dir } } })
    assert.equal("data\nrefused\n", r.stdout)
    r = sh("echo written >/data/g && cat /data/g", { user = 0, mounts = { { destination = "/data", source = dir, readonly = false } } })
    assert.equal("written\n", r.stdout)
    assert.equal("written\n", env.read(dir .. "/g"))
    if not env.root then
      local _, _, code = sb:run{ "true", mounts = { { destination = "/data", source = dir, readonly = false } } }
      assert.equal("not_supported", code)
    end
    r = sh("head -c 3000000 /dev/zero >/small/x; wc -c </small/x", { mounts = { { destination = "/small", type = "tmpfs", size = "1M" } } })
    assert.equal("1048576\n", r.stdout)
    remove()
  end)

  it("runs a bundle as it stands, under our limits", function()
    local dir, remove = env.tmpdir()
    core.mkdir(dir .. "/rootfs", tonumber("755", 8))
    core.mkdir(dir .. "/rootfs/bin", tonumber("755", 8))
    os.execute(("cp /bin/busybox %s/rootfs/bin/sh"):format(dir))
    env.write(dir .. "/config.json", [[{"ociVersion":"1.0.0","process":{"user":{"uid":0,"gid":0},"args":["/bin/sh","-c","echo from a bundle; exit 4"],
      "env":["PATH=/bin"],"cwd":"/"},"root":{"path":"rootfs","readonly":true},"hostname":"b","mounts":[{"destination":"/proc","type":"proc","source":"proc"}],
      "linux":{"namespaces":[{"type":"pid"},{"type":"mount"},{"type":"network"}]}}]])
    local r = run{ bundle = dir }
    assert.same({ "from a bundle\n", 4 }, { r.stdout, r.exit_code })
    remove()
  end)

  it("gives the spec to the caller for a last word", function()
    local r = run{ "hostname", spec = function(spec) spec.hostname = "changed" end }
    assert.equal("changed\n", r.stdout)
    local spec = sb:spec{ "true", hostname = "shown" }
    assert.same({ "shown", "true" }, { spec.hostname, spec.process.args[1] })
  end)

  it("refuses what it cannot do, in words", function()
    local r, message, code
    assert.has_error(function() sb:spawn{ "true", collect = { "x" } } end)
    r, message, code = sb:run{ "true", user = 0, capabilities = { "CAP_SYS_ADMIN" } }
    assert.same({ nil, "limit_unavailable", "string" }, { r, code, type(message) })
  end)

  it("leaves nothing behind", function()
    assert.is_nil(env.leftovers(before))
  end)
end)
