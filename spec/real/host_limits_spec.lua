-- SPDX-License-Identifier: MIT
-- The machine's own limits: those of the host process, which are not its sandboxes', and those of groups above.
local env = require "support.harness"
local core = env.core

local lua = os.getenv "SANDBOX_TEST_LUA"
if not lua then
  local i = -1
  while arg and arg[i] do
    lua, i = arg[i], i - 1
  end
end

-- One run in a host of its own, started by a shell after `before`. What came of it: status or code, message or killed_by, stdout.
local function host(before, options, dir)
  local script = env.write(dir .. "/host.lua", ([[
local sandbox = require "sandbox"
local sb = sandbox.new{ state_dir = %q, boot_timeout = %d }
local r, message, code = sb:run(%s)
print(r and r.status or code)
print(r and (r.runtime.killed_by or r.message) or message)
io.write(r and r.stdout or "")]]):format(env.state_dir, 30 * env.slow, options))
  local pipe = assert(io.popen(("%s; LUA_PATH='%s' LUA_CPATH='%s' exec %s %s 2>&1"):format(before, package.path, package.cpath, lua, script)))
  local status, text, out = pipe:read "*l", pipe:read "*l", pipe:read "*a"
  pipe:close()
  core.unlink(script)
  return status, text or "", out
end

describe("the host's #once", function()
  local before, dir, remove
  setup(function()
    assert(env.sb:run{ "true" })
    before = env.census()
    dir, remove = env.tmpdir()
  end)
  teardown(function() remove() end)

  it("soft limits are not its sandboxes'", function()
    local all = "ulimit -Sn 16; ulimit -Sf 1000; ulimit -Sv 2000000; ulimit -Sd 100000; ulimit -St 3; ulimit -Sc unlimited 2>/dev/null"
    -- 4 s of a host's CPU time would be the end of one process; 2 MB of a file, too.
    local status, text, out = host(all, [[{ "python3", "-c", "import time, resource as r\nopen('/tmp/f', 'wb').write(b'x' * 2000000)\nt = time.time()\n"
      .. "while time.process_time() < 4: pass\nprint([r.getrlimit(w)[0] for w in (r.RLIMIT_FSIZE, r.RLIMIT_AS, r.RLIMIT_CPU, r.RLIMIT_CORE)])",
      limits = { timeout = 60 } }]], dir)
    assert.same({ "exited", "[-1, -1, -1, 0]\n" }, { status, out }, text)
  end)

  it("hard limits are raised, or named", function()
    local can = os.execute "prlimit --cpu=1000:1000 prlimit --cpu=unlimited:unlimited true 2>/dev/null"
    can = can == true or can == 0
    for option, name in pairs{ ["n 256"] = "RLIMIT_NOFILE", ["f 100000"] = "RLIMIT_FSIZE", ["v 2000000"] = "RLIMIT_AS", ["d 50000"] = "RLIMIT_DATA",
                               ["t 2"] = "RLIMIT_CPU", ["s 256"] = "RLIMIT_STACK" } do
      local status, text = host("ulimit -" .. option, '{ "true", limits = { timeout = 60 } }', dir)
      if can and name ~= "RLIMIT_STACK" then
        assert.equal("exited", status)
      else
        assert.same({ name, "not_supported" }, { name, status })
        assert.truthy(text:find(name .. " (ulimit -" .. option:sub(1, 1) .. ")", 1, true), text)
      end
    end
  end)

  if not env.root then
    it("limit of processes is named", function()
      local status, text = host("prlimit --nproc=20 --pid $$", '{ "true" }', dir)
      -- Where it strikes is for the account's other processes to say: our own start, which tells errno's words, or runsc's.
      if status == "system" then
        assert.truthy(text:find("Resource temporarily unavailable", 1, true), text)
      else
        assert.equal("not_supported", status, text)
        assert.truthy(text:find("RLIMIT_NPROC (ulimit -u) of 20", 1, true), text)
      end
    end)
  end

  -- A group of a controller below ours, if we may make one: where its processes are written to, and how it is removed.
  local function group(controller, file, value)
    local own = env.read("/proc/self/cgroup"):match("%f[%w]" .. controller .. "%f[^%w][^:]*:([^\n]*)")
    local path = own and ("/sys/fs/cgroup/%s%s/sbt-%s"):format(controller, own == "/" and "" or own, core.random_hex(4))
    if not path or not core.mkdir(path, tonumber("755", 8)) then return nil end
    local f = assert(io.open(path .. "/" .. file, "w"))
    f:write(value)
    f:close()
    return path .. "/tasks", function() assert.is_true(env.eventually(function() return (core.rmdir(path)) end)) end, path:match "sbt%-%x+"
  end

  it("memory is told as the host's", function()
    local tasks, drop, name = group("memory", "memory.limit_in_bytes", "120M")
    if not tasks then return end -- no cgroup v1 of ours
    local eats = [[{ "python3", "-c", "import time\nb = []\nfor i in range(100):\n  b.append(bytearray(4 << 20))\n  time.sleep(0.005)", limits = { memory = "%s" } }]]
    local status, text = host("echo $$ >" .. tasks, eats:format "1G", dir)
    local mine, my_text = host("echo $$ >" .. tasks, eats:format "48M", dir)
    drop()
    assert.equal("killed", status)
    assert.truthy(text:find(name .. ", which allows 120 MiB", 1, true), text)
    assert.same({ "oom_killed", "killed: 48 MiB of memory used up" }, { mine, my_text })
  end)

  it("number of processes is told as the host's", function()
    local tasks, drop, name = group("pids", "pids.max", "14")
    if not tasks then return end
    local status, text = host("echo $$ >" .. tasks, '{ "true" }', dir)
    drop()
    assert.equal("system", status)
    assert.truthy(text:find(name .. ", which allows 14", 1, true), text)
  end)

  it("descriptor for runsc's speed is not the guest's", function()
    local r = assert(env.sb:run{ "python3", "-c", "import os\nn = []\nfor i in range(1024):\n  try: os.fstat(i); n.append(i)\n  except OSError: pass\nprint(n)" })
    assert.equal("[0, 1, 2]\n", r.stdout)
    local job = assert(env.sb:spawn{ "cat" })
    assert.is_true(env.eventually(function() job:step() return job:pid() ~= nil end))
    assert.equal("/dev/null", core.realpath(("/proc/%d/fd/511"):format(job:pid())))
    job:close()
  end)

  it("memory is short for sandboxes first", function()
    local job = assert(env.sb:spawn{ "cat" })
    assert.is_true(env.eventually(function() job:step() return job:pid() ~= nil end))
    assert.equal("1000\n", env.read(("/proc/%d/oom_score_adj"):format(job:pid())))
    job:close()
  end)

  it("runs leave nothing behind", function() assert.is_nil(env.leftovers(before)) end)
end)
