-- SPDX-License-Identifier: MIT
-- Sandboxes kept ready: nobody's before, nobody's after; prepared programs.
local env = require "support.harness"
local core, sandbox, sb = env.core, env.sandbox, env.sb
local RUNS = tonumber(os.getenv "SANDBOX_TEST_RUNS") or 16

local function numbers(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end

describe("a pool", function()
  local before
  setup(function()
    assert(sb:run{ "true" })
    before = env.census()
  end)

  it("serves each program in a sandbox of its own", function()
    local pool = assert(sb:pool{ size = 2, limits = { memory = "128M" } })
    assert(pool:ready(60))
    for _ = 1, 4 do
      local r = assert(pool:run{ "sh", "-c", "echo /work/* /tmp/*; touch /work/mine /tmp/mine; (sleep 1000 &) >/dev/null 2>&1" })
      assert.equal("/work/* /tmp/*\n", r.stdout)
    end
    local s = pool:stats()
    assert.same({ 4, 4, 0 }, { s.served, s.destroyed, s.leased })
    pool:close()
    local r, _, code = pool:run{ "true" }
    assert.same({ nil, "closed" }, { r, code })
    pool:close()
  end)

  it(("%d runs of eight tasks that misbehave in every way: every flag right"):format(RUNS), function()
    local pool = assert(sb:pool{ size = 4, limits = { memory = "96M", pids = 20 } })
    local kinds = {
      { { "echo", "fine" }, "exited", "" },
      { { "dd", "if=/dev/zero", "of=/dev/null", "bs=256M" }, "oom_killed", "oom_killed" },
      { { "sleep", "1000", limits = { timeout = 0.2 } }, "timed_out", "timed_out" },
      -- a shell whose fork is refused ends
      { { "sh", "-c", "(while :; do sleep 1000 & done) 2>/dev/null; exit 9", limits = { timeout = 120 * env.slow } }, "exited", "pids_exceeded" },
      { { "yes", limits = { output = "64K", output_kill = true } }, "output_exceeded", "output_exceeded stdout_truncated" },
      { { "sh", "-c", "while :; do :; done", limits = { cpu_time = 0.2 } }, "cpu_exceeded", "cpu_exceeded" },
      { { "sh", "-c", "kill -9 $$" }, "signaled", "" },
      { { "sh", "-c", "setsid sleep 1000 & exit 9" }, "exited", "" },
    }
    local ids = {}
    sandbox.map(numbers(RUNS), 8, function(i)
      local kind = kinds[i % #kinds + 1]
      local r, message = pool:run(kind[1])
      assert(r, message)
      assert(r.status == kind[2] and env.flags_of(r) == kind[3], ("%s: %s %s, %s"):format(table.concat(kind[1], " "), r.status, env.flags_of(r), tostring(r.message)))
      ids[r.id] = (ids[r.id] or 0) + 1
      return true
    end)
    for _, n in pairs(ids) do assert.equal(1, n) end
    local s = pool:stats()
    assert.same({ RUNS, RUNS, 0 }, { s.served, s.destroyed, s.leased })
    pool:close()
    assert.is_nil(env.leftovers(before))
  end)

  it("serves several programs where it is told to", function()
    local pool = assert(sb:pool{ size = 1, max_uses = 2 })
    assert(pool:run{ "sh", "-c", "touch mine; sleep 0.6" }) -- long enough for a successor to boot, were there one
    assert.equal("mine\n", assert(pool:run{ "ls" }).stdout)
    assert.equal("", assert(pool:run{ "ls" }).stdout)
    pool:close()
  end)

  it("is busy, or waits in order", function()
    local pool = assert(sb:pool{ size = 1, queue = false })
    assert(pool:ready(60))
    local first, busy
    sandbox.loop(function()
      local task = sandbox.go(function() first = assert(pool:run{ "sleep", "0.4" }) end)
      sandbox.sleep(0.1)
      local _, _, code = pool:run{ "true" }
      busy = code
      task:join()
    end)
    assert.same({ true, "busy" }, { first.ok, busy })
    pool:close()
  end)

  it("warms up, and says what fails", function()
    local pool = assert(sb:pool{ size = 1, warm_up = { "sh", "-c", "echo warm >/work/w" } })
    assert.equal("warm\n", assert(pool:run{ "cat", "w" }).stdout)
    pool:close()
    pool = assert(sb:pool{ size = 1, warm_up = { "false" } })
    local r, message = pool:run{ "true" }
    assert.is_nil(r)
    assert.truthy(message:find("warm_up", 1, true))
    pool:close()
    pool = assert(sb:pool{ size = 1, rootfs = "/nonexistent-rootfs" } or true)
    if pool ~= true then
      local _, _, code = pool:run{ "true" }
      assert.equal("bad_rootfs", code)
      pool:close()
    end
  end)

  -- The limits that a sandbox has as a whole are set when it is leased.
  local FORKS = "(n=0; while :; do sleep 600 & n=$((n + 1)); echo $n >n; done) 2>/dev/null; cat n" -- a shell whose fork is refused ends

  it("gives a lease less than a sandbox could have #cgroup", function()
    local pool = assert(sb:pool{ size = 2, limits = { memory = "200M", pids = 40, timeout = 60 * env.slow } })
    local r = assert(pool:run{ "dd", "if=/dev/zero", "of=/dev/null", "bs=256M", limits = { memory = "64M" } })
    assert.same({ "oom_killed", "killed: 64 MiB of memory used up", 64 * 1024 * 1024, true }, { r.status, r.message, r.limits.memory.requested, r.limits.memory.hit })
    assert.is_true(r.peak_memory < 160 * 1024 * 1024)
    r = assert(pool:run{ "sh", "-c", FORKS, limits = { pids = 10 } })
    assert.same({ "8\n", "pids_exceeded", 10, true }, { r.stdout, env.flags_of(r), r.limits.pids.requested, r.limits.pids.hit })
    r = assert(pool:run{ "sh", "-c", "dd if=/dev/zero of=/dev/null bs=100M count=1 2>/dev/null; echo $?" }) -- the next has all of it again
    assert.same({ "0\n", "" }, { r.stdout, env.flags_of(r) })
    for name, value in pairs{ memory = "300M", pids = 41, cpus = 1, disk = "1M" } do
      local ok, message = pcall(pool.run, pool, { "true", limits = { [name] = value } })
      assert.is_false(ok)
      assert.truthy(tostring(message):find("bad option 'limits." .. name .. "'", 1, true), message)
    end
    assert.is_false((pcall(pool.run, pool, { "true", limits = { memory = false } })))
    pool:close()
    local shared = assert(sb:pool{ size = 1, max_uses = 2 })
    assert.is_false((pcall(shared.run, shared, { "true", limits = { memory = "64M" } })))
    shared:close()
  end)

  it("throttles a lease and not what came before it #cgroup", function()
    local BUSY = "i=0; while [ $i -lt 50000 ]; do i=$((i + 1)); done"
    if assert(sb:run{ "true" }).runtime.cgroup ~= "none" then
      local pool = assert(sb:pool{ size = 1, warm_up = { "sh", "-c", BUSY }, limits = { cpus = 64, timeout = 60 * env.slow } })
      assert(pool:ready(60 * env.slow))
      local r = assert(pool:run{ "/.sandbox-guest", "true" })
      assert.same({ 64, false }, { r.limits.cpus.requested, r.limits.cpus.hit }) -- more than any machine here has
      local few = env.slow > 1 and 0.5 or 0.04 -- held though neighbours take nearly all; an emulated machine has none
      r = assert(pool:run{ "sh", "-c", BUSY, limits = { cpus = few } })
      assert.same({ few, true, "" }, { r.limits.cpus.requested, r.limits.cpus.hit, env.flags_of(r) })
      assert.truthy(r.limits.cpus.enforced_by:find "^cgroup")
      pool:close()
    else
      local pool = assert(sb:pool{ size = 1, limits = { cpus = 1 } })
      local r = assert(pool:run{ "true" })
      assert.equal("affinity", r.limits.cpus.enforced_by)
      local none, message, code = pool:run{ "true", limits = { cpus = 0.5 } }
      assert.same({ nil, "limit_unavailable" }, { none, code })
      assert.truthy(message:find("best_effort", 1, true))
      r = assert(pool:run{ "true", limits = { cpus = 0.5, best_effort = true } })
      assert.is_nil(r.limits.cpus.enforced_by)
      pool:close()
    end
  end)

  it("limits a prepared program from its lease on", function()
    local pool = assert(sb:pool{ size = 1, prepared = sandbox.prepared.python{}, limits = { memory = "200M", timeout = 60 * env.slow } })
    local r = assert(pool:run{ code = "x = []\nwhile True: x.append(bytearray(1 << 20))", limits = { memory = "64M" } })
    assert.same({ "oom_killed", "killed: 64 MiB of memory used up" }, { r.status, r.message })
    local ok, message = pcall(pool.run, pool, { code = "pass", limits = { pids = 3 } })
    assert.is_false(ok)
    assert.truthy(tostring(message):find("limits.pids", 1, true))
    pool:close()
  end)

  it("leases a shell any arguments and any code", function()
    local pool = assert(sb:pool{ size = 1, prepared = sandbox.prepared.sh() })
    local r = assert(pool:run{ code = "printf '<%s>' \"$@\"; cat", argv = { "it's\ntwo", "", "*", "$(id)" }, stdin = "rest\0\255" })
    assert.same({ "<it's\ntwo><><*><$(id)>rest\0\255", 0 }, { r.stdout, r.exit_code })
    r = assert(pool:run{ code = ("# " .. ("x"):rep(200) .. "\n"):rep(1000) .. "echo ${code-unset} $#\nno-such-command" })
    assert.same({ "unset 0\n", 127 }, { r.stdout, r.exit_code })
    assert.truthy(r.stderr:find("1002", 1, true), r.stderr)
    pool:close()
  end)

  if not env.control then -- with `runsc exec` it goes on when it is used
    it("gets its sandboxes ready without being looked after", function()
      local first = assert(sb:pool{ size = 1 }) -- from the first on it is known how this runsc is spoken to
      assert(first:ready(60))
      first:close()
      local pool = assert(sb:pool{ size = 1 })
      assert.is_true(core.poll(pool.boxes[1].box.armed:fd(), "r", 60))
      assert.equal(1, pool:stats().ready)
      pool:close()
      pool = assert(sb:pool{ size = 1, prepared = sandbox.prepared.sh() })
      local job = pool.boxes[1].job
      assert.is_true(env.eventually(function()
        job:step()
        return job.streams.stdout.last > 0
      end))
      assert.equal(1, pool:stats().ready)
      assert.equal("hi\n", assert(pool:run{ code = "echo hi" }).stdout)
      pool:close()
      assert.is_nil(env.leftovers(before))
    end)
  end

  it("tells nobody of a sandbox that died before it was the caller's", function()
    local pool = assert(sb:pool{ size = 1, max_uses = 10, limits = { memory = "64M" } })
    assert(pool:ready(60))
    local pid
    assert.is_true(env.eventually(function() -- it answers before it has told of itself
      pool:step()
      pid = pool.boxes[1].box.job:pid()
      return pid ~= nil
    end))
    os.execute("kill -9 " .. pid)
    assert.is_true(env.eventually(function() return not core.stat("/proc/" .. pid) end)) -- and nobody has told the pool
    local chunks = { "a", "b", "c" }
    local r = assert(pool:run{ "cat", stdin = function() return table.remove(chunks, 1) end })
    assert.same({ "abc", true }, { r.stdout, r.ok })
    for _ = 1, 2 do
      r = assert(pool:run{ "dd", "if=/dev/zero", "of=/dev/null", "bs=256M" })
      assert.equal("oom_killed", r.status)
      r = assert(pool:run{ "true" })
      assert.equal("exited", r.status)
    end
    local job = pool.boxes[1].box.job
    assert(job:kill())
    assert.is_true(job:wait_gone(20))
    assert.is_true(assert(pool:run{ "true" }).ok)
    assert.equal(0, pool:stats().failures)
    pool:close()
    pool = assert(sb:pool{ size = 1, prepared = sandbox.prepared.sh() })
    assert(pool:ready(60))
    assert(pool.boxes[1].box.job:kill())
    assert.is_true(pool.boxes[1].box.job:wait_gone(20))
    assert.equal("hi\n", assert(pool:run{ code = "echo hi" }).stdout)
    pool:close()
  end)

  it("spawns, and has the sandbox back with the job's end", function()
    local pool = assert(sb:pool{ size = 1, max_uses = 2, limits = { timeout = 60 * env.slow } })
    local job = assert(pool:spawn{ "sh", "-c", "touch x; cat" })
    assert.equal(1, pool:stats().leased)
    assert(job:write "hello")
    job:close_stdin()
    assert.equal("hello", assert(job:wait()).stdout)
    assert.equal("x\n", assert(pool:run{ "ls" }).stdout)
    job = assert(pool:spawn{ "sleep", "1000" })
    job:close() -- what was killed is nobody else's
    assert.equal("", assert(pool:run{ "ls" }).stdout)
    local s = pool:stats()
    assert.same({ 0, 4, 2 }, { s.leased, s.served, s.destroyed })
    pool:close()
  end)

  it("leases a box until it is closed", function()
    local pool = assert(sb:pool{ size = 1, max_uses = 2 })
    local box = assert(pool:lease())
    assert(box:write_file("x", "kept"))
    assert.equal("kept", assert(box:run{ "cat", "x" }).stdout)
    assert.equal(1, pool:stats().leased)
    box:close()
    box:close()
    for _, call in ipairs{ function() return box:run{ "true" } end, function() return box:read_file "x" end, function() return box:stats() end } do
      local value, message, code = call()
      assert.same({ nil, "the box went back to its pool", "closed" }, { value, message, code })
    end
    assert.equal("kept", assert(pool:run{ "cat", "x" }).stdout) -- its second use, and last
    box = assert(pool:lease())
    assert.equal("", assert(box:run{ "ls" }).stdout)
    local job = assert(box:spawn{ "sleep", "1000" })
    box:close() -- with something in it: nobody else's
    assert.is_nil((job:wait()))
    box = assert(pool:lease())
    assert.equal("", assert(box:run{ "ls" }).stdout)
    assert.is_true(box:stop())
    box = assert(pool:lease()) -- whoever forgets it gives it back
    box = nil -- luacheck: ignore
    assert.is_true(assert(pool:run{ "true" }).ok)
    pool:close()
    pool = assert(sb:pool{ size = 1, prepared = sandbox.prepared.sh() })
    for _, name in ipairs{ "lease", "spawn" } do
      local ok, message = pcall(pool[name], pool, { "true" })
      assert.is_false(ok)
      assert.truthy(tostring(message):find("prepared", 1, true))
    end
    pool:close()
  end)

  it("raises for wrong options", function()
    for _, wrong in ipairs{ { size = 0 }, { size = "x" }, { min = 3, max = 2 }, { size = 1, min = 1 }, { warm_up = {} }, { nonsense = 1 }, { prepared = { "x" }, max_uses = 2 } } do
      local ok, message = pcall(sb.pool, sb, wrong)
      assert.is_false(ok)
      assert.truthy(tostring(message):find("bad option", 1, true))
    end
  end)

  local programs = {
    python = { modules = { "json", "re" }, code = "import sys\nprint(json.dumps([6 * 7]), input(), sys.argv[1:])" , prelude = "import json\n", out = "[42] line one ['A B']\n" },
    lua = { code = "print(6 * 7, io.read 'l', ...)", out = "42\tline one\tA B\n" },
    sh = { code = "read x; echo 42 $x \"$1\"", out = "42 line one A B\n" },
  }
  for name, p in pairs(programs) do
    it("keeps prepared programs of " .. name, function()
      local pool = assert(sb:pool{ size = 2, prepared = sandbox.prepared[name](p.modules), limits = { memory = "200M" } })
      assert(pool:ready(60))
      local r = assert(pool:run{ code = (p.prelude or "") .. p.code, stdin = "line one\nline two\n", argv = { "A B" } })
      assert.same({ "exited", 0, p.out }, { r.status, r.exit_code, r.stdout })
      r = assert(pool:run{ code = name == "python" and "while True: pass" or name == "lua" and "while true do end" or "while :; do :; done", limits = { timeout = 0.3 } })
      assert.same({ "timed_out", "timed_out" }, { r.status, env.flags_of(r) })
      assert.is_false((pcall(pool.run, pool, { "echo" })))
      pool:close()
    end)
  end

  it("gives a prepared Python its own status, traceback, files and seed", function()
    local pool = assert(sb:pool{ size = 2, prepared = sandbox.prepared.python{ "random" } })
    local r = assert(pool:run{ code = "x = 1\ndef f():\n  raise ValueError('mine')\nf()" })
    assert.equal(1, r.exit_code)
    assert.truthy(r.stderr:find('File "main.py", line 3, in f\n    raise ValueError', 1, true))
    assert.is_nil(r.stderr:find("<string>", 1, true))
    assert.equal(7, assert(pool:run{ code = "import sys; sys.exit(7)" }).exit_code)
    assert.equal("in", assert(pool:run{ code = "print(open('f').read(), end='')", files = { f = "in" } }).stdout)
    r = assert(pool:run{ code = "open('o', 'w').write('out')", collect = { "o" } })
    assert.equal("out", r.files.o)
    local a, b = assert(pool:run{ code = "import random; print(random.random())" }), assert(pool:run{ code = "import random; print(random.random())" })
    assert.are_not.equal(a.stdout, b.stdout)
    pool:close()
  end)

  it("leaves nothing behind", function()
    assert.is_nil(env.leftovers(before))
  end)
end)
