-- SPDX-License-Identifier: MIT
-- A host whose signals, children or terminal are in a state that it need not be in (nginx, bubblewrap's issue 705, CVE-2017-5226).
local env = require "support.harness"
local core = env.core

-- What such a host does: a run, whose status and output are right, and which finds the host as it was.
local HOST = [[
package.path, package.cpath = %q, %q
local sandbox = require "sandbox"
local function signals()
  local text = ""
  for line in io.lines "/proc/self/status" do if line:find "^Sig[BIC]" then text = text .. line end end
  return text
end
local before = signals()
local sb = sandbox.new{ state_dir = %q, boot_timeout = 60 }
local function one(options)
  local r, message = sb:run(options)
  if not r then return print("lost: " .. message) end
  return r
end
local r = one{ "python3", "-c", "import signal, sys\nprint(signal.pthread_sigmask(0, []), [s for s in range(1, 65) if signal.getsignal(s) == signal.SIG_IGN])\nsys.exit(7)" }
if r then print(r.status, r.exit_code, (r.stdout:gsub("%%s*$", ""))) end
r = one{ "sh", "-c", "kill -TERM $$" }
if r then print(r.status, r.signal_name) end
local job = assert(sb:spawn{ "sh", "-c", "exec 2>/dev/null; (: </dev/tty) || echo none; cat" })
print((job:read "stdout"))
local function terminal(pid)
  local file = assert(io.open("/proc/" .. pid .. "/stat"))
  local text = file:read "*a"
  file:close()
  return text:match "%%) %%S %%S+ %%S+ %%S+ (%%S+)"
end
print("terminal of runsc", terminal(("%%d"):format(job:pid())), "of the host", terminal "self" ~= "0")
job:kill()
job:close()
sb:shutdown()
print(signals() == before)
]]

-- Python ignores SIGPIPE and SIGXFSZ itself.
local GOOD = "exited\t7\tset() [13, 25]\nsignaled\tTERM\nnone\n\nterminal of runsc\t0\tof the host\t%s\ntrue\n"

-- Whatever child there is, it takes its end away from whoever waits for it.
local REAPER = [[
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>
static void *reap(void *unused)
{
	for (;;)
		if (waitpid(-1, NULL, 0) < 0)
			usleep(1000);
	return unused;
}
__attribute__((constructor)) static void begin(void)
{
	pthread_t t;

	(void)pthread_create(&t, NULL, reap, NULL);
}
]]

local function interpreter()
  local i = 0
  while arg[i - 1] do i = i - 1 end
  return core.realpath("/proc/self/exe") or arg[i]
end

describe("a host that", function()
  local before, dir, remove
  setup(function()
    assert(env.sb:run{ "true" })
    before = env.census()
    dir, remove = env.tmpdir()
    env.write(dir .. "/host.lua", HOST:format(package.path, package.cpath, env.state_dir))
  end)
  teardown(function() remove() end)

  local function said(command)
    local pipe = assert(io.popen(("exec 2>&1; SANDBOX_RUNSC='%s'; export SANDBOX_RUNSC; %s"):format(os.getenv "SANDBOX_RUNSC", command)))
    local text = pipe:read "*a"
    pipe:close()
    return (text:gsub("\r", ""))
  end
  local function python(code) return said(("/usr/bin/python3 -c '%s' %s %s/host.lua"):format(code, interpreter(), dir)) end

  it("ignores SIGCHLD and SIGPIPE, and blocks all signals, has right results, and none of it reaches a guest", function()
    assert.equal(GOOD:format "false", python [[
import os, signal, sys
for s in (signal.SIGCHLD, signal.SIGPIPE): signal.signal(s, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
os.setsid()
os.execv(sys.argv[1], sys.argv[1:])]])
  end)

  it("reaps whatever child there is has right results", function()
    env.write(dir .. "/reaper.c", REAPER)
    assert(os.execute(("gcc -shared -fPIC -pthread -o %s/reaper.so %s/reaper.c"):format(dir, dir)))
    assert.equal(GOOD:format "false", said(("LD_PRELOAD=%s/reaper.so setsid %s %s/host.lua"):format(dir, interpreter(), dir)))
  end)

  it("has a terminal keeps it for itself", function()
    assert.equal(GOOD:format "true", python "import pty, sys\npty.spawn(sys.argv[1:])")
  end)

  it("leaves nothing behind", function() assert.is_nil(env.leftovers(before)) end)
end)
