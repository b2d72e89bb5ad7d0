-- SPDX-License-Identifier: MIT
-- Faults that a real runsc will not show on demand: a fake one, a script that answers as one does until it is to misbehave.
local env = require "support.harness"
local sandbox, core = env.sandbox, env.core

local VERSION = 'echo "runsc version 20240729.0"; exit 0'
local FLAGS = [[printf '  -directfs\n  -overlay2\n  -pod-init-config\n  -ignore-cgroups\n  -rootless\n'; exit 0]]

-- What a script finds of its own files: $log, $panic, $root.
local ARGS = [[
for a; do case $a in
  --log=*) log=${a#--log=} ;;
  --panic-log=*) panic=${a#--panic-log=} ;;
  --root=*) root=${a#--root=} ;;
esac; done
]]

local dir, remove
local count = 0

local function fake(run, version, flags)
  count = count + 1
  local path = ("%s/runsc-%d"):format(dir, count)
  return env.write(path, ("#!/bin/sh\ncase $1 in --version) %s ;; flags) %s ;; esac\n%s\n%s\n"):format(version or VERSION, flags or FLAGS, ARGS, run), "755")
end

local function run(runsc, options, instance)
  instance = instance or {}
  instance.runsc, instance.state_dir = runsc, env.state_dir
  instance.platform = instance.platform or "ptrace"
  local sb = sandbox.new(instance)
  options = options or {}
  options[1] = options[1] or "true"
  local r, message, code = sb:run(options)
  sb:close()
  return r, message, code
end

local function code_of(...)
  local r, message, code = run(...)
  assert.is_nil(r)
  assert.is_string(message)
  return code, message
end

describe("a runsc that", function()
  local before
  setup(function()
    dir, remove = env.tmpdir()
    pcall(run, fake "exit 1") -- the state directory is made
    before = env.census()
  end)
  teardown(function() remove() end)

  it("is not there", function()
    local code, message = code_of(dir .. "/none")
    assert.equal("runsc_missing", code)
    assert.truthy(message:find("install", 1, true))
  end)

  it("is not to be trusted", function()
    local path = fake "exit 0"
    os.execute("chmod 777 " .. path)
    assert.equal("runsc_missing", (code_of(path)))
    os.execute("chmod 644 " .. path)
    assert.equal("runsc_missing", (code_of(path)))
    assert.equal("runsc_missing", (code_of(dir)))
    if env.root then
      os.execute(("chmod 755 %s; chown 12345 %s"):format(path, path))
      assert.equal("runsc_missing", (code_of(path)))
    end
    assert.has_error(function() sandbox.new{ runsc = "relative/runsc" } end)
  end)

  it("does not say what it is", function()
    assert.equal("runsc_failed", (code_of(fake("exit 0", "echo hello; exit 0"))))
    assert.equal("runsc_failed", (code_of(fake("exit 0", "head -c 100000 /dev/urandom; exit 0"))))
    assert.equal("runsc_failed", (code_of(fake("exit 0", "kill -SEGV $$"))))
    assert.equal("not_supported", (code_of(fake("exit 0", nil, "echo '  -nothing'; exit 0"))))
  end)

  it("hangs when asked", function()
    assert.equal("runsc_failed", (code_of(fake("exit 0", "exec sleep 1000"))))
  end)

  it("is no program", function()
    local path = env.write(dir .. "/garbage", "\127ELFgarbage", "755")
    assert.equal("runsc_failed", (code_of(path)))
  end)

  it("never boots", function()
    local code, message = code_of(fake "exec sleep 1000", nil, { boot_timeout = 0.3 })
    assert.equal("boot_timeout", code)
    assert.truthy(message:find("0.3", 1, true))
  end)

  it("never boots and ignores SIGTERM, with children", function()
    assert.equal("boot_timeout", (code_of(fake "trap '' TERM HUP INT; sleep 1000 & (setsid sleep 1000 &) ; wait", nil, { boot_timeout = 0.3 })))
  end)

  it("fails with words in its log", function()
    local code, message = code_of(fake [[printf '{"msg":"trying","level":"info"}{"msg":"no such thing: \"x\"","level":"error"}{"msg":"second","level":"error"}' >$log; exit 128]])
    assert.equal("runsc_failed", code)
    assert.truthy(message:find('no such thing: "x"', 1, true))
    code = code_of(fake [[printf '{"msg":"creating process: failed to load /x: no such file or directory","level":"error"}' >$log; exit 128]])
    assert.equal("bad_command", code)
    code = code_of(fake [[printf '{"msg":"unknown platform: bogus","level":"error"}' >$log; exit 128]])
    assert.equal("not_supported", code)
  end)

  it("fails with a broken log, a huge one, none", function()
    assert.equal("runsc_failed", (code_of(fake [[printf '{"msg":"cut' >$log; exit 128]])))
    assert.equal("runsc_failed", (code_of(fake [[head -c 3000000 /dev/zero >$log; exit 128]])))
    assert.equal("runsc_failed", (code_of(fake [[mkfifo $log; exit 1]])))
    assert.equal("runsc_failed", (code_of(fake [[ln -s /etc/passwd $log; exit 1]])))
    local code, message = code_of(fake "exit 3")
    assert.equal("runsc_failed", code)
    assert.truthy(message:find("status 3", 1, true))
  end)

  it("panics", function()
    local code, message = code_of(fake [[printf 'panic: something\ngoroutine 1' >$panic; exit 2]])
    assert.equal("runsc_failed", code)
    assert.truthy(message:find("panic: something", 1, true))
  end)

  it("dies of a signal", function()
    local code, message = code_of(fake "kill -9 $$")
    assert.equal("runsc_failed", code)
    assert.truthy(message:find("signal 9", 1, true))
  end)

  it("writes a flood and its own tree full", function()
    assert.equal("runsc_failed", (code_of(fake "head -c 20000000 /dev/zero; mkdir -p $root/a/b/c; ln -s / $root/a/root; for i in 1 2 3 4 5 6 7 8 9; do : >$root/f$i; done; exit 1")))
  end)

  it("leaves a child that holds the pipes", function()
    assert.equal("runsc_failed", (code_of(fake "sleep 1000 & exit 1")))
  end)

  it("talks garbage to the trace socket", function()
    local talk = [[python3 - "$log" <<'E'
import os, socket, sys
d = os.path.dirname(sys.argv[1])
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect(d + "/trace.sock")
s.send(b"hello"); assert s.recv(10) == b"\x08\x01"
for p in (b"", b"x", os.urandom(60000), bytes([8, 0, 5, 0, 0, 0, 0, 0, 10, 255, 255, 255, 255, 15]), bytes([200, 0, 1, 0]) * 4): s.send(p)
E
exit 1]]
    assert.equal("runsc_failed", (code_of(fake(talk))))
  end)

  it("tells start and end in its trace, and lies in its status", function()
    local talk = [[python3 - "$log" <<'E'
import os, socket, sys, time
d = os.path.dirname(sys.argv[1])
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect(d + "/trace.sock")
s.send(b"hello"); s.recv(10)
s.send(bytes([8, 0, 1, 0, 0, 0, 0, 0]))
print("output", flush=True)
s.send(bytes([8, 0, 5, 0, 0, 0, 0, 0, 10, 4, 16, 1, 32, 1, 16, 128, 14]))
time.sleep(1000)
E
exit 128]]
    local r = assert(run(fake(talk)))
    assert.same({ "exited", 7, "output\n" }, { r.status, r.exit_code, r.stdout })
  end)

  it("is killed in the middle of all that, twenty times", function()
    local path = fake "exec sleep 1000"
    local sb = sandbox.new{ runsc = path, state_dir = env.state_dir, platform = "ptrace" }
    for i = 1, 20 do
      local job = assert(sb:spawn{ "true" })
      core.poll(-1, "r", i * 0.001)
      job:close()
    end
    sb:close()
  end)

  it("leaves nothing behind", function()
    assert.is_nil(env.leftovers(before))
  end)
end)

describe("the supervisor", function()
  local function talk(frames)
    local conn = assert(core.spawn(assert(core.supervisor())))
    for _, f in ipairs(frames) do
      if not conn:send(f[1], f[2]) then break end
    end
    local answer
    while true do
      assert.is_true(core.poll(conn:fd(), "r", 60))
      local more = conn:recv()
      local kind, payload = conn:next()
      if kind == "X" then answer = payload end
      if more == nil then break end
    end
    conn:close()
    return answer
  end

  it("answers what is no request with an error", function()
    for _, frames in ipairs{
      { { "G", "" } }, { { "R", "mode=run\0" }, { "G", "" } }, { { "R", "garbage" }, { "G", "" } }, { { "R", "mode=tool\0runsc=/bin/true\0x=1\0" }, { "G", "" } },
      { { "D", "data" }, { "G", "" } }, { { "R", "mode=tool\0runsc=/bin/true\0" }, { "R", "mode=tool\0runsc=/bin/true\0" }, { "G", "" } },
    } do
      assert.truthy(talk(frames):find("^error=system"))
    end
  end)

  it("takes no frame out of turn", function()
    local start = "mode=run\0id=0123456789abcdef\0state_dir=/nonexistent\0runsc=/r\0platform=ptrace\0rootfs=host\0rootless=1\0"
    local tool = "mode=tool\0runsc=/bin/true\0"
    for _, row in ipairs{
      { "a frame out of turn: C", { "C", "{}" }, { "R", start }, { "G", "" } },
      { "a frame out of turn: F", { "F", "/etc/x\0" .. "644\0\0" }, { "R", start }, { "G", "" } },
      { "a frame out of turn: I", { "I", "x" }, { "R", tool }, { "G", "" } },
      { "a frame out of turn: L", { "R", tool }, { "L", "timeout=1\0" }, { "G", "" } },
      { "a frame out of turn: C", { "R", tool }, { "C", "{}" }, { "G", "" } },
      { "a frame out of turn: A", { "R", tool }, { "A", tool }, { "G", "" } },
      { "no configuration came", { "R", "mode=exec\0container=box\0box=/nonexistent\0box_pid=2\0" }, { "G", "" } },
      { "a frame out of turn: G", { "R", "mode=tool\0runsc=/bin/sleep\0arg=60\0" }, { "G", "" }, { "G", "" } },
    } do
      local answer = talk{ row[2], row[3], row[4] }
      assert.truthy(answer and answer:find(row[1], 1, true), row[1] .. ": " .. tostring(answer))
    end
  end)

  it("that waits for a box answers, too, when there is none", function()
    local exec = "mode=exec\0container=box\0box=/nonexistent/run-1\0"
    for _, row in ipairs{
      { "system", { "A", "" }, { "G", "" } },
      { "system", { "A", exec }, { "G", "" } }, -- neither a pid nor await
      { "closed", { "A", exec .. "await=1\0boot_timeout=0.05\0" }, { "G", "" } },
      { "closed", { "A", exec .. "await=1\0boot_timeout=0.05\0" }, { "R", exec .. "await=1\0" }, { "G", "" } },
      { "closed", { "A", exec .. "box_pid=2147483647\0" }, { "R", exec .. "box_pid=2147483647\0" }, { "G", "" } },
      { "system", { "A", "mode=run\0" }, { "R", "garbage" }, { "G", "" } },
    } do
      assert.truthy(talk({ row[2], row[3], row[4] }):find("^error=" .. row[1]), row[2][2])
    end
    -- One that was to run something first ends, so that its pool looks for itself.
    assert.is_nil(talk{ { "A", exec .. "await=1\0boot_timeout=0.05\0first=null\0" } })
  end)

  it("ends without a word on what is no frame", function()
    local pipe = io.popen(([=[python3 - %s 2>&1 <<'E'
import os, socket, sys
a, b = socket.socketpair()
pid = os.fork()
if pid == 0:
    os.dup2(b.fileno(), 3)
    os.execv(sys.argv[1], [sys.argv[1]])
b.close()
a.send(b"\xff" * 1000)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
E
]=]):format(core.supervisor()))
    assert.equal("0", pipe:read "*l")
    pipe:close()
  end)

  it("refuses to be started by hand", function()
    local pipe = io.popen((core.supervisor()) .. " 3>&- </dev/null; echo $?")
    assert.equal("111", pipe:read "*l")
    pipe:close()
  end)
end)
