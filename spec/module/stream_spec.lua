-- SPDX-License-Identifier: MIT
local env = require "support.harness"
local sb, sandbox, core = env.sb, env.sandbox, env.core
local puc51 = _VERSION == "Lua 5.1" and not rawget(_G, "jit")

describe("a job", function()
  local before
  setup(function()
    assert(sb:run{ "true" })
    before = env.census()
  end)

  it("talks both ways", function()
    local job = assert(sb:spawn{ "cat" })
    assert.is_true(job:write "hello\n")
    assert.equal("hello\n", job:read "stdout")
    job:write "bye\n"
    job:close_stdin()
    local parts = {}
    for stream, chunk in job:chunks() do parts[#parts + 1] = stream .. " " .. chunk end
    assert.equal("stdout bye\n", table.concat(parts))
    local r = job:wait()
    assert.same({ "exited", 0 }, { r.status, r.exit_code })
    assert.is_nil(r.stdout)
    assert.equal(10, r.stdout_bytes)
    assert.same(r, job:wait())
    assert.same({ nil, "stdin is closed", "closed" }, { job:write "more" })
    job:close()
    job:close()
  end)

  it("gives lines, and the other stream in the result", function()
    local job = assert(sb:spawn{ "sh", "-c", "for i in 1 2 3; do echo line $i; echo err >&2; done; printf end" })
    local lines = {}
    for line in job:lines() do lines[#lines + 1] = line end
    assert.same({ "line 1", "line 2", "line 3", "end" }, lines)
    assert.equal("err\nerr\nerr\n", job:wait().stderr)
    job:close()
  end)

  it("does not lock up between two slow sides", function()
    local job = assert(sb:spawn{ "cat" })
    local big = ("x"):rep(3 * 2 ^ 20)
    assert.is_true(job:write(big)) -- the guest's output waits here meanwhile
    job:close_stdin()
    local r = job:wait()
    assert.equal(#big, #r.stdout)
    job:close()
  end)

  it("waits for a time", function()
    local job = assert(sb:spawn{ "sleep", "1000" })
    assert.same({ nil, "the program still runs", "timeout" }, { job:wait(0.01) })
    assert.is_true(job:kill())
    local r = job:wait()
    assert.same({ "killed", false }, { r.status, r.ok })
    job:close()
  end)

  it("passes signals on", function()
    local job = assert(sb:spawn{ "python3", "-c", "import signal, sys, time\nsignal.signal(15, lambda *_: sys.exit(9))\nprint('ready', flush=True)\nwhile True: time.sleep(1)" })
    assert.equal("ready\n", job:read "stdout")
    job:kill "TERM"
    local r = job:wait()
    assert.same({ "exited", 9 }, { r.status, r.exit_code })
    job:close()
    assert.has_error(function() job:kill "NOSUCH" end)
  end)

  it("tells of a start that failed at the first read or wait", function()
    local job = assert(sb:spawn{ "no-such-program" })
    local chunk, _, code = job:read "stdout"
    assert.same({ nil, "bad_command" }, { chunk, code })
    chunk, _, code = job:wait()
    assert.same({ nil, "bad_command" }, { chunk, code })
    job:close()
  end)

  it("is closed while it runs", function()
    local job = assert(sb:spawn{ "sleep", "1000" })
    job:close()
    local r, _, code = job:wait()
    assert.same({ nil, "closed" }, { r, code })
    job = assert(sb:spawn{ "sleep", "1000" })
    job:wait(0.05)
    job = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
  end)

  it("calls back", function()
    local out, err = {}, {}
    local r = assert(sb:run{ "sh", "-c", "echo a; echo b >&2", on_stdout = function(c) out[#out + 1] = c end, on_stderr = function(c) err[#err + 1] = c end })
    assert.same({ "a\n", "b\n" }, { table.concat(out), table.concat(err) })
    assert.is_nil(r.stdout)
    r = assert(sb:run{ "yes", on_stdout = function() return false end })
    assert.equal("killed", r.status)
    local ok, raised = pcall(sb.run, sb, { "yes", on_stdout = function() error({ mine = true }, 0) end })
    assert.same({ false, { mine = true } }, { ok, raised })
    ok, raised = pcall(sb.run, sb, { "cat", stdin = function() error("no input", 0) end })
    assert.same({ false, "no input" }, { ok, raised })
  end)

  it("tells of its end by on_exit", function()
    local seen = {}
    local job = assert(sb:spawn{ "sh", "-c", "exit 3", on_exit = function(r, message, code) seen[#seen + 1] = { r and r.exit_code, message, code } end })
    job:wait()
    job:close()
    assert.same({ { 3 } }, seen)
    job = assert(sb:spawn{ "no-such-program", on_exit = function(r, _, code) seen[#seen + 1] = { r or false, code } end })
    job:wait()
    job:close()
    assert.same({ false, "bad_command" }, seen[2])
  end)

  it("holds back a guest whose output nobody takes", function()
    local job = assert(sb:spawn{ "head", "-c", "50000000", "/dev/zero", limits = { output = false, timeout = false } })
    assert.is_nil((job:wait(0.01)))
    local n = 0
    while true do
      local chunk = job:read "stdout"
      if not chunk then break end
      n = n + #chunk
    end
    assert.equal(50000000, n)
    job:close()
  end)

  it("has an id, a pid and one descriptor to poll", function()
    local job = assert(sb:spawn{ "cat" })
    assert.is_true(core.poll(job:pollfd(), "r", 60))
    assert.equal("r", job:events())
    assert.is_true(job:timeout() > 0) -- until the supervisor is asked whether it is there
    assert.is_true(env.eventually(function() job:step() return job:pid() ~= nil end))
    assert.equal(32, #job.id)
    job:close()
  end)

  local function parent(pid) return (env.read(("/proc/%d/stat"):format(pid)):match "^.*%) %a (%d+)") end

  it("is lost when its supervisor is stopped, and so is one that a stopped zygote was to start", function()
    local other = sandbox.new{ state_dir = env.state_dir, boot_timeout = 10 * env.slow }
    local hasty = sandbox.new{ state_dir = env.state_dir, boot_timeout = 1 } -- what waits for a zygote that is stopped does not boot
    assert(other:run{ "true", limits = { timeout = 60 } }) -- which may probe
    local job = assert(other:spawn{ "sleep", "60", limits = { timeout = 1 } })
    assert.is_true(env.eventually(function() job:step() return job:pid() ~= nil end))
    local supervisor = parent(job:pid())
    local zygote = parent(supervisor)
    assert(os.execute("kill -STOP " .. supervisor))
    assert.same({ nil, "supervisor_lost" }, { (job:wait()), (select(3, job:wait())) })
    assert(os.execute("kill -CONT " .. supervisor))
    assert.is_true(env.eventually(function() return core.stat("/proc/" .. supervisor) == nil end)) -- its host has gone
    assert(os.execute("kill -STOP " .. zygote))
    local r, message, code = hasty:run{ "true", limits = { timeout = 1 } }
    assert(os.execute("kill -CONT " .. zygote))
    assert.same({ nil, "supervisor_lost" }, { r, code })
    assert.truthy(message:find("does not answer", 1, true))
    assert.is_true(env.eventually(function() return core.stat("/proc/" .. zygote) == nil end))
    assert.equal("exited", (assert(other:run{ "true", limits = { timeout = 60 } })).status) -- by a new one
    hasty:close()
    other:close()
  end)

  it("leaves nothing behind", function()
    assert.is_nil(env.leftovers(before))
  end)
end)

describe("our loop", function()
  local before
  setup(function() before = env.census() end)

  it("runs many at once, results in order", function()
    local most = 0
    local results = sandbox.map({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 }, 4, function(i)
      most = math.max(most, sb:active())
      return assert(sb:run{ "echo", tostring(i) }).stdout
    end)
    assert.equal("1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n", table.concat(results))
    assert.equal(3, most) -- beside the one that asks
  end)

  it("has tasks, joins and sleeps", function()
    local order = {}
    local a, b = sandbox.loop(function(x)
      local task = sandbox.go(function(y) order[#order + 1] = "task" return y + 1 end, x)
      sandbox.sleep(0.01)
      order[#order + 1] = "main"
      return task:join(), "second"
    end, 41)
    assert.same({ 42, "second", { "task", "main" } }, { a, b, order })
    assert.same({ nil, "boo" }, { sandbox.loop(function() return sandbox.go(function() error("boo", 0) end):join() end) })
    local ok, err = pcall(sandbox.loop, function() sandbox.go(function() error("lost", 0) end) end)
    assert.same({ false, "lost" }, { ok, err })
    assert.has_error(function() sandbox.go(print) end)
  end)

  it("tells the error of a map once, however many fail", function()
    local failed, went_on
    sandbox.loop(function()
      local task = sandbox.go(function()
        sandbox.map({ 1, 2, 3 }, 3, function(i)
          sandbox.sleep(0.01 * i)
          error("no " .. i, 0)
        end)
      end)
      failed = select(2, task:join())
      sandbox.sleep(0.1)
      went_on = true
    end)
    assert.same({ "no 1", true }, { failed, went_on })
  end)

  it("serves several waiters of one job", function()
    local n = 0
    sandbox.loop(function()
      local job = assert(sb:spawn{ "sh", "-c", "read x; exit 6" })
      for _ = 1, 3 do
        sandbox.go(function()
          if job:wait().exit_code == 6 then n = n + 1 end
        end)
      end
      sandbox.sleep(0.05)
      job:write "go\n"
      job:wait()
      job:close()
    end)
    assert.equal(3, n)
  end)

  if not puc51 then
    it("lets callbacks wait", function()
      local r = sandbox.loop(function()
        return assert(sb:run{ "echo", "x", on_stdout = function() sandbox.sleep(0.01) end })
      end)
      assert.is_true(r.ok)
    end)
  end

  it("leaves nothing behind", function()
    assert.is_nil(env.leftovers(before))
  end)
end)
