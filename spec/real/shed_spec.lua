-- SPDX-License-Identifier: MIT
-- Limits that a guest tries to shed: what it does to get rid of them does not help it.
local env = require "support.harness"
local sb = env.sb
local SLOW = env.slow

-- Each way into a user namespace, by errno; 0: it is in one. CLONE_NEWUSER, SIGCHLD; clone3 takes { flags, 3 * 8 bytes, exit_signal, … }.
local NAMESPACES = [[
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
clone, clone3, unshare = (56, 435, 272) if os.uname().machine == "x86_64" else (220, 435, 97)
def call(*args):
  pid = libc.syscall(*args)
  if pid == 0 and args[0] != unshare: os._exit(0)
  return 0 if pid >= 0 else ctypes.get_errno()
args = ctypes.create_string_buffer(struct.pack("11Q", 0x10000000, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0))
print(call(clone, 0x10000011, 0, 0, 0, 0), call(clone3, args, 88), call(unshare, 0x10000000))]]
local EPERM, ENOSYS = 1, 38

-- Processes until there may be no more, in a user namespace where it can be had.
local BOMB = [[
import ctypes, os, time
libc = ctypes.CDLL(None)
libc.unshare(0x10000000)
uid = os.getuid()
n = 0
try:
  while n < 200:
    if os.fork() == 0: time.sleep(600); os._exit(0)
    n += 1
except OSError as e: pass
print(n)]]

-- What a tracer asks of the one that it traces, so that it can change a call of that one's.
local TRACER = [[
import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)
pid = os.fork()
if pid == 0:
  libc.ptrace(0, 0, 0, 0)
  os.kill(os.getpid(), signal.SIGSTOP)
  os._exit(0)
os.waitpid(pid, 0)
def ask(request, data): return libc.ptrace(request, pid, None, ctypes.c_void_p(data)) == 0
print(ask(0x4200, 0x80), ask(24, 0))
os.kill(pid, 9)]]

describe("limits that a guest would shed", function()
  local before
  setup(function()
    assert(sb:run{ "true" })
    before = env.census()
  end)

  it("there is no user namespace for it, in no way", function()
    local r = assert(sb:run{ "python3", "-c", NAMESPACES })
    assert.equal(("%d %d %d\n"):format(EPERM, ENOSYS, EPERM), r.stdout, r.stderr)
    r = assert(sb:run{ "python3", "-c", NAMESPACES, init = true }) -- no other is it for a program beside our helper
    assert.equal(("%d %d %d\n"):format(EPERM, ENOSYS, EPERM), r.stdout, r.stderr)
    -- what the C library makes of ENOSYS: threads, and programs that start others
    r = assert(sb:run{ "python3", "-c", "import threading, subprocess\nt = threading.Thread(target=lambda: print('hi', flush=True)); t.start(); t.join()\nsubprocess.run(['echo', 'ho'])" })
    assert.equal("hi\nho\n", r.stdout)
  end)

  it("but where it is asked for, and then not beside limits that it undoes", function()
    local r = assert(sb:run{ "python3", "-c", NAMESPACES, user_namespaces = true, limits = { pids = false } })
    assert.equal(env.build == "2022" and "0 38 0\n" or "0 0 0\n", r.stdout, r.stderr)
    for _, limits in ipairs{ { pids = 10 }, { pids = false, disk = "4M" } } do
      local none, message, code = sb:run{ "true", user = 0, user_namespaces = true, limits = limits }
      assert.same({ nil, "limit_unavailable" }, { none, code })
      assert.truthy(message:find(limits.disk and "limits.disk" or "limits.pids", 1, true) and message:find("user_namespaces", 1, true), message)
    end
    r = assert(sb:run{ "true", user_namespaces = true, limits = { pids = 10, best_effort = true } })
    assert.is_nil(r.limits.pids.enforced_by)
  end)

  it("pids holds, also for programs of a box", function()
    local r = assert(sb:run{ "python3", "-c", BOMB, limits = { pids = 12, timeout = 60 * SLOW } })
    assert.same({ "exited", "11\n", true, true, 12 }, { r.status, r.stdout, r.pids_exceeded, r.limits.pids.hit, r.peak_pids })
    r = assert(sb:run{ "python3", "-c", BOMB, limits = { pids = 12, timeout = 60 * SLOW }, init = true })
    assert.same({ "exited", "11\n", true }, { r.status, r.stdout, r.pids_exceeded })
    local box = assert(sb:start{ limits = { pids = 12 } })
    local message, code
    r, message, code = box:run{ "python3", "-c", BOMB, limits = { timeout = 60 * SLOW } }
    assert(r, tostring(code) .. ": " .. tostring(message))
    assert.is_true(r.pids_exceeded and r.limits.pids.hit)
    if env.build == "2026" then
      assert.same({ "exited", "11\n" }, { r.status, r.stdout })
    else -- an exec has no rules of the spec's there: it gets out of the limit, and is counted
      assert.same({ "killed", "killed: more than 12 processes and threads" }, { r.status, r.message })
      local none, why, kind = box:run{ "true" }
      assert.same({ nil, "closed" }, { none, kind })
      assert.truthy(why:find("more than 12", 1, true), why)
    end
    box:stop()
    if env.root or env.build == "2026" then -- beside `disk` it gets out of none, whatever its build, and its first task counts
      box = assert(sb:start{ limits = { pids = 12, disk = "4M" } })
      r = assert(box:run{ "python3", "-c", BOMB, limits = { timeout = 60 * SLOW } })
      assert.same({ "exited", "11\n", true }, { r.status, r.stdout, r.pids_exceeded })
      box:stop()
    end
  end)

  it("zombies of orphans do not eat pids, but where init was refused", function()
    local orphans = [[
import os, sys
for i in range(60):
  try: pid = os.fork()
  except OSError: sys.exit(os.EX_TEMPFAIL)
  if pid == 0:
    try: os.fork()
    except OSError: os._exit(1)
    os._exit(0)
  if os.waitpid(pid, 0)[1]: sys.exit(os.EX_TEMPFAIL)
print("all")]]
    local limits = { pids = 24, timeout = 60 * SLOW }
    local r = assert(sb:run{ "python3", "-c", orphans, limits = limits, init = false })
    assert.same({ 75, true }, { r.exit_code, r.pids_exceeded }, r.stderr)
    r = assert(sb:run{ "python3", "-c", orphans, limits = limits })
    assert.same({ 0, "all\n", false }, { r.exit_code, r.stdout, r.pids_exceeded }, r.stderr)
    r = assert(sb:run{ "sh", "-c", "kill -SEGV $$", init = true })
    assert.same({ "signaled", "SEGV" }, { r.status, r.signal_name })
    assert.has_error(function() sb:spawn{ "true", init = true } end)
  end)

  it("page tables are memory: one shared page every 2 MiB, in many processes", function()
    local r = assert(sb:run{ "python3", "-c", [[
import mmap, os, time
n = 3000
m = mmap.mmap(-1, n << 21, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | 0x4000)
for i in range(n): m[i << 21] = 1
for j in range(30):
  if os.fork() == 0:
    for i in range(n): m[i << 21]
    time.sleep(600)
time.sleep(600)]], limits = { memory = "128M", timeout = 60 * SLOW } })
    assert.same({ "oom_killed", "oom_killed", true }, { r.status, env.flags_of(r), r.limits.memory.hit })
    assert.is_true(r.peak_memory > 128 * 2 ^ 20 and r.peak_memory < 400 * 2 ^ 20, r.peak_memory)
  end)

  it("so many of the host's descriptors are held for it, and no more than it may open", function()
    local function held(open_files)
      local job = assert(sb:spawn{ "cat", limits = { timeout = 60 * SLOW, open_files = open_files } })
      assert(job:write "x")
      assert(job:read())
      local soft, hard = env.slurp(("/proc/%d/limits"):format(job:pid())):match "Max open files%s+(%d+)%s+(%d+)"
      job:kill()
      job:close()
      assert.equal(soft, hard)
      return tonumber(hard)
    end
    assert.equal(16384, held(1024))
    assert.is_true(held(9000) == 18000)
  end)

  it("where a namespace would undo disk, no other's calls can be traced", function()
    assert.equal("True True\n", assert(sb:run{ "python3", "-c", TRACER }).stdout)
    local limits = { disk = "4M", timeout = 60 * SLOW }
    assert.equal("False False\n", assert(sb:run{ "python3", "-c", TRACER, user = 0, limits = limits }).stdout)
    local box = assert(sb:start{ user = 0, limits = { disk = "4M" } })
    local r = assert(box:run{ "python3", "-c", TRACER })
    assert.equal("False False\n", r.stdout, r.stderr)
    r = assert(box:run{ "python3", "-c", NAMESPACES })
    assert.equal(("%d %d %d\n"):format(EPERM, ENOSYS, EPERM), r.stdout, r.stderr)
    local none, message, code = box:run{ "/no/such/program" }
    assert.same({ nil, "bad_command" }, { none, code }, message)
    box:stop()
  end)

  it("leaves nothing behind", function()
    assert.is_nil(env.leftovers(before))
  end)
end)
