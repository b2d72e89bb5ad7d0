-- SPDX-License-Identifier: MIT
-- Who is beside a sandbox: another one over the same files (isolate 2.4 to 2.6), and other users of the machine.
local env = require "support.harness"
local family = require "support.family"
local sb, core = env.sb, env.core

-- Takes what another could see, or looks whether it is taken.
local CHANNELS = [[
import ctypes, fcntl, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
taken = []
def tell(name, f):
  try:
    if f() is not False: return
  except OSError: pass
  taken.append(name)
lock = open("/usr/bin/env")
tell("flock", lambda: fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB))
tell("lockf", lambda: fcntl.lockf(lock, fcntl.LOCK_SH | fcntl.LOCK_NB))
s = socket.socket(socket.AF_UNIX)
tell("abstract socket", lambda: s.bind("\0sbx-channel"))
t = socket.socket()
tell("port", lambda: t.bind(("127.0.0.1", 4242)))
tell("shared memory", lambda: libc.shmget(4242, 4096, 0o3666) >= 0)
tell("semaphore", lambda: libc.semget(4242, 1, 0o3666) >= 0)
tell("message queue", lambda: libc.msgget(4242, 0o3666) >= 0)
for path in ("/dev/shm/c", "/tmp/c", "/work/c"): tell(path, lambda: open(path, "x"))
print("taken:", *taken, flush=True)
if len(sys.argv) > 1: sys.stdin.read()
]]

describe("beside a sandbox", function()
  local before
  setup(function()
    assert(sb:run{ "true" })
    before = env.census()
  end)

  it("another finds nothing that it has taken", function()
    local first = assert(sb:spawn{ "python3", "-c", CHANNELS, "hold" })
    local _, line = first:read()
    assert.equal("taken:\n", line)
    assert.equal("taken:\n", assert(sb:run{ "python3", "-c", CHANNELS }).stdout)
    local again = assert(sb:start{}) -- the check can fail: within one sandbox they are taken
    local holder = assert(again:spawn{ "python3", "-c", CHANNELS, "hold" })
    holder:read()
    assert.truthy(assert(again:run{ "python3", "-c", CHANNELS }).stdout:find("abstract socket port shared memory semaphore message queue /dev/shm/c", 1, true))
    holder:close()
    again:close()
    first:kill()
    first:close()
  end)

  it("nobody sees what it was given in a command line or an environment, and its control socket has no name of the host's", function()
    local job = assert(sb:spawn{ "sh", "-c", "echo up; cat", "s3cr3t-argv", env = { KEY = "s3cr3t-env" }, stdin = nil })
    assert.equal("up\n", job:read "stdout")
    local pids = { ("%d"):format(job:pid()) }
    for _, pid in ipairs(select(2, family.of(("%d"):format(core.getpid())))) do pids[#pids + 1] = pid end
    assert.is_true(#pids > 1)
    for _, pid in ipairs(core.readdir "/proc") do
      if pid:match "^%d+$" then
        local line = env.slurp("/proc/" .. pid .. "/cmdline")
        if line:find(job.id, 1, true) then assert.is_nil(line:find("s3cr3t", 1, true), line) end
      end
    end
    for _, pid in ipairs(pids) do
      local environ = env.slurp("/proc/" .. pid .. "/environ") -- "": not even its own user may look
      assert.is_nil(environ:gsub("PATH=[^%z]*%z", ""):find "%S", environ)
    end
    for name in env.slurp("/proc/net/unix"):gmatch "(@[^\n]*)" do assert.is_nil(name:find(job.id, 1, true), name) end
    job:kill()
    job:close()
  end)

  it("another user reads nothing, reaches no socket and kills nobody", function()
    if not env.root then return end -- who cannot be another user
    local box = assert(sb:start{ env = { KEY = "s3cr3t" } })
    local job = assert(box:spawn{ "sh", "-c", "echo s3cr3t >x; echo up; cat" })
    assert.equal("up\n", job:read "stdout")
    local zygote, pids = family.of(("%d"):format(core.getpid()))
    pids[#pids + 1] = zygote
    for _, pid in ipairs(core.readdir "/proc") do
      if pid:match "^%d+$" and env.slurp("/proc/" .. pid .. "/cmdline"):find(box.id, 1, true) then pids[#pids + 1] = pid end
    end
    local sockets = {}
    local pipe = io.popen(("find %s -type s"):format(env.state_dir))
    for line in pipe:lines() do sockets[#sockets + 1] = line end
    pipe:close()
    assert.is_true(#pids >= 5 and #sockets >= 1)
    local dir, remove = env.tmpdir()
    env.write(dir .. "/neighbour.py", [[
import os, socket, sys
dir, id, sockets, pids = sys.argv[1], sys.argv[2], sys.argv[3].split(), sys.argv[4].split()
def may(what, f):
  try: f()
  except OSError: return
  print("may", what)
may("list", lambda: os.listdir(dir))
for name in ("", "b/config.json", "r", "log", "lock", "stats", "programs", "tree", "b"):
  path = dir + "/run-" + id + "/" + name
  may("read " + name, lambda: os.listdir(path) if not name or name in "rb" else open(path).read())
  may("make in " + name, lambda: os.mkdir(path + "/x"))
for path in sockets:
  for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET): may("connect " + path, lambda: socket.socket(socket.AF_UNIX, kind).connect(path))
for pid in pids:
  may("kill " + pid, lambda: os.kill(int(pid), 0))
  for name in ("environ", "mem", "fd", "root/work/x", "cwd/x", "maps"):
    path = "/proc/%s/%s" % (pid, name)
    may("read " + path, lambda: os.listdir(path) if name == "fd" else open(path).read(1))
print("done")
]])
    pipe = io.popen(("setpriv --reuid 65533 --regid 65533 --clear-groups /usr/bin/python3 %s/neighbour.py %s %s '%s' '%s' 2>&1"):format(dir, env.state_dir,
      box.id, table.concat(sockets, " "), table.concat(pids, " ")))
    local text = pipe:read "*a"
    pipe:close()
    remove()
    job:close()
    box:close()
    assert.equal("done\n", text)
  end)

  it("nothing is left behind", function() assert.is_nil(env.leftovers(before)) end)
end)
