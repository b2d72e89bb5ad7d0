-- SPDX-License-Identifier: MIT
local result = require "sandbox.run.result"
local plans = require "sandbox.options.plan"
local queue = require "sandbox.run.queue"
local metrics = require "sandbox.machine.metrics"
local runtime = require "sandbox.machine.runtime"
local text = require "sandbox.text"

local function list(t)
  local out = {}
  for k, v in pairs(t) do out[#out + 1] = k .. "=" .. v .. "\0" end
  return table.concat(out)
end

describe("result", function()
  local plan = plans.run{ "a", limits = { memory = "128M", timeout = 2, cpu_time = 1.5 } }

  local function build(t, job)
    return result.build(list(t), job, plan)
  end

  it("can be printed, and be checked", function()
    local r = build({ status = "exited", exit_code = "0", duration = "0" }, { id = "x" })
    assert.equal("sandbox.result x (ok)", tostring(r))
    assert.equal(r, r:check())
    r = build({ status = "exited", exit_code = "3", duration = "0" }, { id = "x" })
    assert.equal("sandbox.result x (exited with 3)", tostring(r))
    local ok, message = pcall(function() r:check() end)
    assert.is_false(ok)
    assert.truthy(message:find("^spec/result_spec.lua:%d+: exited with 3$"), message)
  end)

  it("tells an exit", function()
    local r = build({ status = "exited", exit_code = "0", stdout_bytes = "3", boot_duration = "0.05", duration = "0.25", ["enforced.memory"] = "cgroup2",
                      ["hit.memory"] = "0", cpu_time = "0.01", peak_memory = "1000", pids_exceeded = "0", cgroup = "v2", rootless = "0" }, { stdout = "42\n", stderr = "", id = "x" })
    assert.is_true(r.ok)
    assert.are.equal(0, r.exit_code)
    assert.are.equal("42\n", r.stdout)
    assert.is_nil(r.message)
    assert.are.same({ requested = 128 * 1024 * 1024, enforced_by = "cgroup2", hit = false }, r.limits.memory)
    assert.are.same({ hit = false }, r.limits.disk)
    for _, flag in ipairs{ "timed_out", "oom_killed", "cpu_exceeded", "output_exceeded", "pids_exceeded", "disk_exceeded", "stdout_truncated", "stderr_truncated" } do
      assert.is_false(r[flag])
    end
    assert.are.equal(0.25, r.duration)
    assert.are.equal(1000, r.peak_memory)
    assert.are.same({}, r.files)
    assert.are.equal("v2", r.runtime.cgroup)
    assert.is_nil(build({ status = "exited", exit_code = "0", duration = "0" }, { id = "x" }).pids_exceeded) -- nobody could tell
  end)

  it("has a sentence for each other end", function()
    for _, case in ipairs{
      { { status = "exited", exit_code = "3" }, "exited with 3" },
      { { status = "signaled", signal = "11" }, "ended by signal 11 (SEGV)" },
      { { status = "timed_out" }, "killed: not done after 2 s" },
      { { status = "oom_killed" }, "killed: 128 MiB of memory used up" },
      { { status = "cpu_exceeded" }, "killed: 1.5 s of CPU time used up" },
      { { status = "output_exceeded" }, "killed: more than 10 MiB of output" },
      { { status = "killed" }, "killed on request" },
    } do
      local r = build(case[1])
      assert.is_false(r.ok)
      assert.are.equal(case[2], r.message)
      assert.are.equal(case[1].status == "timed_out", r.timed_out)
      assert.are.equal(case[1].status == "oom_killed", r.oom_killed)
    end
  end)

  -- Found by the fuzzer: an end by a signal that has no number raised.
  it("is an error where the answer does not say how it ended", function()
    for _, t in ipairs{ {}, { status = "bogus" }, { status = "exited" }, { status = "exited", exit_code = "x" }, { status = "signaled" }, { status = "signaled", signal = "" } } do
      assert.equal("supervisor_lost", (select(3, build(t))))
    end
  end)

  it("passes an error on", function()
    local r, message, code = build{ error = "bad_command", message = "no such program" }
    assert.is_nil(r)
    assert.are.equal("no such program", message)
    assert.are.equal("bad_command", code)
    -- and says of which program it is, unless it does so itself
    local named = { argv = { "prog" } }
    assert.are.equal("prog: no such file", result.explain(named, "no such file", "bad_command"))
    assert.are.equal("no file prog", result.explain(named, "no file prog", "bad_command"))
    assert.are.equal("cwd: none", result.explain(named, "cwd: none", "bad_command"))
    assert.are.equal("busy", result.explain(named, "busy", "system"))
  end)

  it("knows signals", function()
    assert.are.equal(15, result.signal_number "TERM")
    assert.are.equal(15, result.signal_number "SIGTERM")
    assert.are.equal(9, result.signal_number(9))
    assert.is_nil(result.signal_number "NOPE")
    assert.is_nil(result.signal_number(0))
    assert.are.equal("RTMIN+1", result.signal_name(35))
  end)
end)

describe("queue", function()
  local clock
  local function now() return clock end
  before_each(function() clock = 0 end)

  local function never() return false end

  it("gives turns up to max_concurrent, then waits for one", function()
    local q = queue.new({ max_concurrent = 1, queue = true }, now)
    local token = q:acquire(error, never)
    local naps = 0
    local second = q:acquire(function(s)
      naps, clock = naps + 1, clock + s
      if naps == 3 then q:release(token) end
    end, never)
    assert.is_table(second)
    assert.are.equal(3, naps)
    assert.are.equal(1, q:active())
    assert.are.equal(0, q:waiting())
  end)

  it("keeps the order of coming", function()
    local q = queue.new({ max_concurrent = 1, queue = true }, now)
    local token, order, tasks = q:acquire(error, never), {}, {}
    for i = 1, 5 do
      tasks[i] = coroutine.create(function()
        local t = q:acquire(coroutine.yield, never)
        order[#order + 1] = i
        q:release(t)
      end)
      coroutine.resume(tasks[i])
    end
    assert.are.equal(5, q:waiting())
    q:release(token)
    for _ = 1, 10 do
      for i = 5, 1, -1 do
        if coroutine.status(tasks[i]) ~= "dead" then assert(coroutine.resume(tasks[i])) end
      end
    end
    assert.are.same({ 1, 2, 3, 4, 5 }, order)
  end)

  it("forgets a waiter that was killed, and a turn whose holder is gone", function()
    local q = queue.new({ max_concurrent = 1, queue = true }, now)
    local token = q:acquire(error, never)
    coroutine.resume(coroutine.create(function() q:acquire(coroutine.yield, never) end))
    assert.are.equal(1, q:waiting())
    local naps = 0
    assert(q:acquire(function(s)
      clock, naps = clock + s + 0.5, naps + 1
      if naps == 2 then token = nil collectgarbage() collectgarbage() end
    end, never))
    assert.is_nil(token)
  end)

  it("says busy", function()
    local q = queue.new({ max_concurrent = 1, queue = false }, now)
    local token = q:acquire(error, never)
    local t, _, code = q:acquire(error, never)
    assert.is_nil(t)
    assert.are.equal("busy", code)
    q.length, q.timeout = true, 1
    local _, message
    _, message, code = q:acquire(function(s) clock = clock + s end, never)
    assert.are.equal("busy", code)
    assert.is_truthy(message:find("1 s", 1, true))
    _, _, code = q:acquire(error, function() return true end)
    assert.are.equal("closed", code)
    q:release(token)
    assert.are.equal(0, q:active())
  end)
end)

describe("metrics", function()
  it("count, and speak Prometheus", function()
    local m = metrics.new()
    m:start()
    m:finish{ status = "exited", boot_duration = 0.05, duration = 0.2, queue_duration = 0 }
    m:finish(nil, "busy")
    local s = m:snapshot(1, 0)
    assert.are.equal(1, s.runs.exited)
    assert.are.equal(1, s.errors.busy)
    assert.are.equal(1, s.histograms.boot.count)
    local lines = tostring(s)
    assert.is_truthy(lines:find('sandbox_runs_total{status="exited"} 1', 1, true))
    assert.is_truthy(lines:find('sandbox_boot_duration_seconds_bucket{le="0.05"} 1', 1, true))
    assert.is_truthy(lines:find('sandbox_boot_duration_seconds_bucket{le="+Inf"} 1', 1, true))
    assert.is_truthy(lines:find("sandbox_active 1", 1, true))
  end)
end)

describe("runtime", function()
  it("reads versions", function()
    assert.are.equal("20221219.0", runtime.parse_version("runsc version 0.0~20221219.0\nspec: 1.0.2-dev\n"))
    assert.are.equal("20240729.0", runtime.parse_version("runsc version release-20240729.0\n"))
    assert.are.equal("unknown", runtime.parse_version("runsc version VERSION_MISSING\n"))
    assert.are.equal("unknown", runtime.parse_version("garbage"))
    assert.are.equal(20240729, runtime.version_date("20240729.0"))
    assert.is_nil(runtime.version_date("unknown"))
  end)

  it("reads flags", function()
    local flags = runtime.parse_flags("  -directfs\n    \tdirectly access (default true)\n  -pod-init-config string\n    \tpath\n")
    assert.is_true(flags.directfs)
    assert.is_true(flags["pod-init-config"])
    assert.is_nil(flags.string)
  end)

  it("takes another state directory where the usual one cannot be had, and says why where there is none", function()
    package.loaded["sandbox.machine.runtime"] = nil
    local fresh = require "sandbox.machine.runtime"
    package.loaded["sandbox.machine.runtime"] = runtime
    local dirs, broken = { ["/run/user/1000"] = 1000, ["/tmp/lua-sandbox-1000"] = 1001 }, {}
    local core = {
      getuid = function() return 1000 end, getenv_secure = function() return "/run/user/1000" end, random_hex = function() return "0" end, unlink = function() end,
      lstat = function(p) return dirs[p] and { type = "directory", uid = dirs[p], mode = tonumber("700", 8) } end,
      mkdir = function(p)
        if broken[p] == "ro" then return nil, p .. ": Read-only file system" end
        dirs[p] = dirs[p] or 1000
        return true
      end,
      write_file = function(p)
        local full = broken[p:match "^(.*)/"]
        return not full, full and p .. ": No space left on device"
      end,
    }
    local usual, tmp, var = "/run/user/1000/lua-sandbox", "/tmp/lua-sandbox-1000", "/var/tmp/lua-sandbox-1000"
    broken[usual] = "full"
    assert.are.equal(var, fresh.state_dir(core)) -- that in /tmp is another's
    assert.are.equal(var, fresh.default_state_dir(core))
    dirs[var], broken[var], broken[usual] = nil, "ro", nil
    assert.are.equal(usual, fresh.state_dir(core))
    dirs[usual], broken[usual] = nil, "ro"
    local dir, message, code = fresh.state_dir(core)
    assert.same({ nil, "system" }, { dir, code })
    assert.is_truthy(message:find("Read-only file system; name another directory: option state_dir", 1, true), message)
    assert.is_truthy(select(2, fresh.state_dir(core, tmp)):find("it belongs to uid 1001", 1, true))
  end)

  describe("trust", function()
    local st, dir
    local top = { type = "directory", uid = 0, mode = tonumber("755", 8) }
    local core = {
      realpath = function(p) return p end, getuid = function() return 1000 end, access_x = function() return st.exec ~= false end,
      stat = function(p) if p:sub(-1) == "/" then return p == "/" and top or dir end return st end,
      lstat = function() return nil end,
    }
    before_each(function()
      st = { type = "file", uid = 0, mode = tonumber("755", 8), size = 1, dev = 1, ino = 1, mtime = 1 }
      dir = { type = "directory", uid = 0, mode = tonumber("755", 8) }
    end)

    it("takes a binary of root or of the caller", function()
      assert.is_table(runtime.trust(core, "/usr/bin/runsc"))
      st.uid = 1000
      assert.is_table(runtime.trust(core, "/usr/bin/runsc"))
    end)

    it("refuses others", function()
      local function refused(words)
        local found, message, code = runtime.trust(core, "/usr/bin/runsc")
        assert.is_nil(found)
        assert.are.equal("runsc_missing", code)
        assert.is_truthy(message:find(words, 1, true), message)
      end
      st.uid = 1001
      refused "uid 1001"
      st.uid, st.mode = 0, tonumber("757", 8)
      refused "everybody may write it"
      st.mode, dir.mode = tonumber("755", 8), tonumber("777", 8)
      refused "directory"
      dir.mode = tonumber("1777", 8)
      assert.is_table(runtime.trust(core, "/usr/bin/runsc"))
      dir.uid = 1001
      refused "its directory belongs to uid 1001"
      dir.uid, top.mode = 0, tonumber("777", 8)
      refused "everybody may write /"
      top.mode = tonumber("755", 8)
      st.exec = false
      refused "not executable"
      st.type = "directory"
      refused "regular file"
    end)
  end)
end)

describe("text", function()
  it("knows UTF-8", function()
    for _, s in ipairs{ "", "abc", "\195\169", "\226\130\172", "\240\159\152\128", "\244\143\191\191" } do assert.is_true(text.is_utf8(s)) end
    for _, s in ipairs{ "\128", "\192\128", "\195", "\226\130", "\237\160\128", "\244\144\128\128", "\248\136\128\128\128", "a\255" } do assert.is_false(text.is_utf8(s)) end
    assert.are.equal("a\239\191\189b\195\169", text.scrub("a\255b\195\169"))
  end)

  it("writes bytes for a person", function()
    assert.are.equal("128 MiB", text.bytes(128 * 1024 * 1024))
    assert.are.equal("1.5 KiB", text.bytes(1536))
    assert.are.equal("1 byte", text.bytes(1))
  end)
end)

describe("the command line", function()
  local cli = require "sandbox.shell.cli"

  it("reads flags", function()
    local o, i, how = require("sandbox.shell.flags").parse("run", { "--memory", "64M", "--timeout=2", "--file", "/x/main.py", "--file=a=b.py", "--env", "K=V=W", "--network", "none", "--pids", "off",
                                 "--mount", "/a:/b:rw", "--mount", "/a:/c:cow", "--volume", "v:/d", "--volume=w:/e:ro:1.5G", "--volume=x:/f:64M",
                                 "--json", "--platform", "ptrace", "--collect", "a", "--collect", "b/**", "--user-namespaces", "--", "python3", "-c", "x" })
    assert.are.same({ "python3", "-c", "x" }, { o[1], o[2], o[3] })
    assert.are.same({ memory = "64M", timeout = 2, pids = false }, o.limits)
    assert.are.same({ ["main.py"] = { from = "/x/main.py" }, a = { from = "b.py" } }, o.files)
    assert.are.same({ K = "V=W" }, o.env)
    assert.are.same({ { source = "/a", destination = "/b", readonly = false }, { source = "/a", destination = "/c", type = "cow" },
      { type = "volume", source = "v", destination = "/d", readonly = false }, { type = "volume", source = "w", destination = "/e", readonly = true, size = "1.5G" },
      { type = "volume", source = "x", destination = "/f", readonly = false, size = "64M" } }, o.mounts)
    assert.are.equal("ptrace", i.platform)
    assert.is_true(how.json)
    assert.is_true(o.user_namespaces)
    assert.are.same({ "a", "b/**" }, o.collect)
    for _, words in ipairs{ { "--memory" }, { "--env", "A" }, { "--nonsense" }, { "--json=1" }, { "--pids", "x" }, { "--mount", "/a" }, { "--volume", "v" }, { "--volume", "v:/d:ro64M" },
      { "--volume", "v:/d:cow" } } do
      local ok, err = pcall(require("sandbox.shell.flags").parse, "run", words)
      assert.is_false(ok)
      assert.is_string(require("sandbox.shell.flags").mistake(err))
    end
  end)

  it("remarks what neither output nor status tells", function()
    assert.are.same({}, cli.remarks{ status = "exited", limits = { pids = { requested = 5, enforced_by = "rlimit" }, cpus = {} } })
    assert.are.same({ "killed: x", "stdout: more than limits.output was dropped, 77 bytes came", "limits.pids was hit", "limits.disk is held by nobody" },
      cli.remarks{ status = "killed", message = "killed: x", stdout_truncated = true, stdout_bytes = 77, pids_exceeded = true, limits = { disk = { requested = 5 } } })
  end)

  it("gives exit statuses as shells do", function()
    assert.are.equal(3, cli.status{ status = "exited", exit_code = 3 })
    assert.are.equal(139, cli.status{ status = "signaled", signal = 11 })
    assert.are.equal(124, cli.status{ status = "timed_out" })
    assert.are.equal(137, cli.status{ status = "oom_killed" })
    assert.are.equal(125, cli.status(nil, "x", "runsc_failed"))
    assert.are.equal(127, cli.status(nil, "no such file", "bad_command"))
    assert.are.equal(126, cli.status(nil, "Permission denied", "bad_command"))
    assert.are.equal(126, cli.status(nil, "exec format error", "bad_command"))
  end)
end)
