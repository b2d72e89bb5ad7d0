-- SPDX-License-Identifier: MIT
-- A sandbox that stays: programs in it, what they may use, how they are killed; files in and out; the box's own end.
local env = require "support.harness"
local sandbox, sb = env.sandbox, env.sb

local BOMB = "f() { f | f & }; f; while :; do :; done"

describe("a box", function()
  local box
  local function start() box = assert(sb:start{ limits = { memory = "256M", pids = 20 }, env = { FROM = "box" } }) end
  setup(start)
  teardown(function() box:stop() end)

  local function alive(b) return assert((b or box):run{ "echo", "alive" }).stdout end

  it("runs programs one after the other", function()
    local r = assert(box:run{ "sh", "-c", "echo $FROM $OWN $PWD; cat; echo err >&2; exit 3", env = { OWN = "mine" }, stdin = "in\n" })
    assert.same({ "exited", 3, "box mine /work\nin\n", "err\n", false }, { r.status, r.exit_code, r.stdout, r.stderr, r.ok })
    r = assert(box:run{ "sh", "-c", "kill -SEGV $$" })
    assert.same({ "signaled", "SEGV" }, { r.status, r.signal_name })
    assert(box:run{ "sh", "-c", "echo kept >/work/kept" })
    assert.equal("kept\n", assert(box:run{ "cat", "kept" }).stdout)
    r = assert(box:run{ "id", "-u" })
    assert.equal("65534\n", r.stdout)
    assert.is_nil(r.cpu_time)
  end)

  it("runs several at once", function()
    local out = sandbox.map({ 1, 2, 3, 4, 5, 6 }, 6, function(i) return assert(box:run{ "sh", "-c", "sleep 0.1; echo " .. i }).stdout end)
    assert.same({ "1\n", "2\n", "3\n", "4\n", "5\n", "6\n" }, out)
  end)

  it("says what cannot be started", function()
    local r, message, code = box:run{ "no-such-program" }
    local _
    assert.same({ nil, "bad_command" }, { r, code })
    assert.truthy(message:lower():find("no such file", 1, true))
    r, message, code = box:run{ "true", cwd = "/nowhere" }
    assert.same({ nil, "bad_command" }, { r, code })
    assert.truthy(message:lower():find("no such file", 1, true))
    r, _, code = box:run{ "/work" }
    assert.same({ nil, "bad_command" }, { r, code })
  end)

  it("streams: write, read, signals, callbacks", function()
    local job = assert(box:spawn{ "cat" })
    assert(job:write "hello\n")
    assert.equal("hello\n", job:read "stdout")
    job:close_stdin()
    assert.is_true(job:wait().ok)
    job = assert(box:spawn{ "sh", "-c", "trap 'exit 7' TERM; echo up; while :; do sleep 0.02; done" })
    assert.equal("up\n", job:read "stdout")
    job:kill "TERM"
    assert.equal(7, job:wait().exit_code)
    local got = {}
    assert(box:run{ "echo", "x", on_stdout = function(c) got[#got + 1] = c end })
    assert.equal("x\n", table.concat(got))
    job = assert(box:spawn{ "sleep", "1000" })
    job:close()
    assert.is_true(env.eventually(function() return #assert(box:processes()) == 0 end))
  end)

  -- On a machine that is busy enough it may take more than a second to prove that all are dead: then the box goes, and says so.
  local function survives(r)
    if not r.message:find("destroyed", 1, true) then return true end
    box:stop()
    start()
    return false
  end

  it("kills what times out with all its descendants, and goes on", function()
    local survived = 0
    for _, case in ipairs{ { "sleep", "1000" }, { "sh", "-c", "sleep 1000 & sleep 1000 & wait" }, { "sh", "-c", "(setsid sleep 1000 &); (sleep 1000 &); sleep 1000" },
                           { "sh", "-c", BOMB },
                           { "python3", "-c", "import os, signal\nfor s in (1, 2, 15): signal.signal(s, signal.SIG_IGN)\nos.close(0); os.close(1); os.close(2)\nwhile True: signal.pause()" },
                           { "sh", "-c", "kill -STOP $$" } } do
      case.limits = { timeout = 0.4 }
      local r = assert(box:run(case))
      assert.same({ "timed_out", true }, { r.status, r.timed_out })
      if survives(r) then survived = survived + 1 end
      assert.equal("alive\n", alive())
      assert.same({}, assert(box:processes()))
    end
    assert.is_true(survived >= 3, survived .. " survived")
  end)

  it("leaves alone what a program that ended has left behind", function()
    assert(box:run{ "sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo" })
    local list = assert(box:processes())
    assert.equal(1, #list)
    assert.is_true(box:signal(list[1].pid))
    assert.is_true(env.eventually(function() return #assert(box:processes()) == 0 end))
  end)

  it("holds a program's own limits", function()
    local r = assert(box:run{ "sh", "-c", "ulimit -n; ulimit -f", limits = { open_files = 77, file_size = "8K" } })
    assert.truthy(r.stdout:find "^77\n")
    assert.equal("1024\n", assert(box:run{ "sh", "-c", "ulimit -n" }).stdout)
    r = assert(box:run{ "sh", "-c", "yes", limits = { output = "10K", output_kill = true } })
    assert.same({ "output_exceeded", 10240 }, { r.status, #r.stdout })
    r = assert(box:run{ "sh", "-c", BOMB, limits = { timeout = 5 * env.slow } })
    assert.is_true(r.pids_exceeded)
    survives(r)
    local none, message, code = box:run{ "true", limits = { cpu_time = 1 } }
    assert.same({ nil, "limit_unavailable" }, { none, code })
    assert.truthy(message:find("pool", 1, true))
    assert.equal("alive\n", alive())
  end)

  it("raises for what belongs to the box", function()
    for _, wrong in ipairs{ { "true", rootfs = "/" }, { "true", limits = { memory = "1M" } }, { "true", limits = { pids = 3 } }, { "true", nonsense = 1 }, {} } do
      assert.is_false((pcall(box.run, box, wrong)))
    end
    for _, wrong in ipairs{ { "true" }, { stdin = "x" }, { lifetime = -1 }, { nonsense = 1 }, { limits = { memory = "x" } } } do
      local ok, message = pcall(sb.start, sb, wrong)
      assert.is_false(ok)
      assert.truthy(tostring(message):find("bad option", 1, true))
    end
  end)

  it("takes files in and gives them out", function()
    assert.is_true(box:write_file("a/b/c", "data\0more"))
    assert.equal("data\0more", box:read_file "a/b/c")
    assert.same({ { name = "b", type = "directory", mode = "777", size = box:list("a")[1].size } }, box:list "a")
    assert.equal("inside", assert(box:run{ "cat", "x/y", files = { ["x/y"] = "inside" } }).stdout)
    local big = ("0123456789abcdef"):rep(300000)
    assert(box:write_file("big", big))
    assert.is_true(box:read_file "big" == big)
    assert.same({ nil, "too_big" }, { (box:read_file("big", { max = "1M" })), (select(3, box:read_file("big", { max = "1M" }))) })
    assert.equal("not_found", (select(3, box:read_file "missing")))
    assert.is_true(box:remove "a")
    assert.equal("not_found", (select(3, box:list "a")))
  end)

  it("collects regular files and nothing else", function()
    local r = assert(box:run{ "sh", "-c", [[mkdir -p out/d; echo 1 >out/1; echo 2 >out/d/2; ln -s /etc/passwd out/link; ln -s d out/dlink; mkfifo out/fifo
      truncate -s 900G out/sparse; printf x >"out/new
line"; printf y >'out/..odd'; (while :; do echo grow >>out/growing; done) & sleep 0.1; kill $!; exit 5]], collect = { paths = { "out/**", "/etc/passwd", "none" }, max_bytes = "4M" } })
    assert.same({ 5, "1\n", "2\n", "x", "y" }, { r.exit_code, r.files["out/1"], r.files["out/d/2"], r.files["out/new\nline"], r.files["out/..odd"] })
    assert.same({ "link", "fifo", "too big", "missing" }, { r.files_skipped["out/link"], r.files_skipped["out/fifo"], r.files_skipped["out/sparse"], r.files_skipped.none })
    assert.is_nil(r.files["out/dlink/2"])
    assert.same({ mode = "644", size = 2 }, r.files_info["out/1"])
    box:remove "out"
  end)

  it("collects within its bounds", function()
    assert(box:run{ "python3", "-c", "import os\nos.mkdir('many')\nfor i in range(3000): open('many/%d' % i, 'w').close()" })
    local r = assert(box:run{ "true", collect = { paths = { "many/*" }, max_files = 10 } })
    local n = 0
    for _ in pairs(r.files) do n = n + 1 end
    assert.equal(10, n)
    local dir, remove = env.tmpdir()
    assert(box:run{ "sh", "-c", "mkdir -p q; echo in >q/f", collect = { paths = { "q/*" }, into = dir } })
    assert.equal("in\n", env.read(dir .. "/q/f"))
    remove()
  end)

  it("pauses and resumes", function()
    local job = assert(box:spawn{ "sh", "-c", "echo up; read x; echo $x" })
    assert.equal("up\n", job:read "stdout")
    assert.is_true(box:pause())
    assert(job:write "go\n")
    local r, _, code = job:wait(0.1)
    assert.same({ nil, "timeout" }, { r, code })
    assert.is_true(box:resume())
    assert.equal("go\n", job:read "stdout")
    assert.is_true(job:wait().ok)
  end)

  it("kills alone what has had its time while it stands still, and stands still after that", function()
    local other = assert(box:spawn{ "sleep", "1000", limits = { timeout = false } })
    local jobs = env.given_time({ 1, 15 }, function(seconds)
      local two = {}
      for i = 1, 2 do two[i] = assert(box:spawn{ "sh", "-c", "echo up; sleep 1000 & while :; do echo >>spin; done", limits = { timeout = seconds } }) end
      local up = two[1]:read "stdout" == "up\n" and two[2]:read "stdout" == "up\n"
      if not up then for i = 1, 2 do two[i]:wait() end end
      return up, two
    end)
    assert.is_true(box:pause())
    for i = 1, 2 do assert.equal("timed_out", assert(jobs[i]:wait()).status) end
    local _, _, code = box:run{ "true" }
    assert.equal("paused", code)
    assert.is_true(box:resume())
    assert.is_true(env.eventually(function() -- who was killed is a zombie until its parent runs
      local left = assert(box:processes())
      return #left == 1 and left[1].command == "sleep"
    end))
    other:kill()
    assert.equal("killed", other:wait().status)
    assert.equal("alive\n", alive())
  end)

  it("says at once that it is paused, whatever is to be started in it", function()
    assert.is_true(box:pause())
    local calls = {
      function() return box:run{ "true", limits = { timeout = 60 } } end, function() return box:spawn{ "true" } end,
      function() return box:read_file "x" end, function() return box:write_file("x", "y") end, function() return box:list() end,
    }
    for _, call in ipairs(calls) do
      local value, message, code = call()
      assert.same({ nil, "paused" }, { value, code })
      assert.truthy(message:find("box:resume()", 1, true))
    end
    assert.truthy(tostring(box):find("(paused)", 1, true))
    assert.equal("table", type(assert(box:stats())))
    assert.is_true(box:resume())
    assert.equal("alive\n", alive())
  end)

  it("runs a program as somebody else, where its limits hold that one too", function()
    local WHO = "echo $(id -u):$(id -g) $FROM $OWN; touch made; python3 -c 'import os\nfor n in (\"given\", \"made\"): s = os.stat(n); print(\"%o\" % (s.st_mode & 511), s.st_uid, s.st_gid)'"
    local r, message, code = box:run{ "sh", "-c", WHO, user = 1000 }
    assert.same({ nil, "limit_unavailable" }, { r, code })
    assert.truthy(message:find("limits.pids = false", 1, true), message)
    r = assert(box:run{ "id", "-g", user = "65534:3" }) -- the same one: gVisor counts by uid
    assert.equal("3\n", r.stdout)
    r = assert(box:run{ "id", "-u", user = 1000, limits = { best_effort = true } })
    assert.same({ "1000\n", nil }, { r.stdout, r.limits.pids.enforced_by })
    local other = assert(sb:start{ limits = { pids = false }, env = { FROM = "box" } })
    r = assert(other:run{ "sh", "-c", WHO, user = "1000:1001", env = { OWN = "mine" }, files = { given = "x" }, collect = { "made" } })
    assert.equal("1000:1001 box mine\n666 1000 1001\n644 1000 1001\n", r.stdout)
    assert.same({ made = "" }, r.files)
    assert.equal("65534\n", assert(other:run{ "id", "-u" }).stdout)
    other:close()
    local pool = assert(sb:pool{ size = 1, limits = { pids = 10 } }) -- there a sandbox has one program
    r = assert(pool:run{ "python3", "-c", "import os, time\nn = 0\ntry:\n while True:\n  if os.fork() == 0: time.sleep(600)\n  n += 1\nexcept OSError: print(os.getuid(), n)", user = 1000 })
    assert.same({ "1000 9\n", true }, { r.stdout, r.pids_exceeded })
    pool:close()
  end)

  it("has the caller's last word on each program, and never on our helper", function()
    local seen = {}
    local function spec(s)
      seen[#seen + 1] = table.concat(s.process.args, " ") .. " in " .. s.process.cwd
      for _, m in ipairs(s.mounts) do assert(not m.destination:find "guest", m.destination) end
      table.insert(s.process.env, "X=from-spec")
      if s.process.args[1] == "sh" then s.process.args = { "sh", "-c", "echo wrapped; exec \"$@\"", "sh", "sh", "-c", s.process.args[3] } end
      s.process.user = { uid = 1000, gid = 1001 }
    end
    local argv = { "sh", "-c", "echo $X; id -u" }
    local run = assert(sb:run{ argv[1], argv[2], argv[3], spec = spec }).stdout
    assert.equal("wrapped\nfrom-spec\n1000\n", run)
    local collecting = assert(sb:run{ argv[1], argv[2], argv[3] .. " >out; cat out", spec = spec, collect = { "out" } })
    assert.same({ "wrapped\nfrom-spec\n1000\n", "1000\n" }, { collecting.stdout, collecting.files.out })
    assert.same({ "sh -c echo $X; id -u in /work", "sh -c echo $X; id -u >out; cat out in /work" }, seen)
    local other = assert(sb:start{ spec = spec, limits = { pids = 20 } })
    assert.equal("true in /work", seen[3])
    assert(other:write_file("f", "x"))
    assert.equal("wrapped\nfrom-spec\n1000\n", assert(other:run(argv)).stdout)
    assert.equal("x", assert(other:run{ "cat", "f" }).stdout)
    assert.same({ "sh -c echo $X; id -u in /work", "cat f in /work" }, { seen[4], seen[5] })
    other:close()
    local _, message, code = sb:run{ "true", collect = { "x" }, spec = function(s) s.process.args = { 1 } end }
    assert.equal("bad_rootfs", code)
    assert.truthy(message:find("process.args", 1, true), message)
  end)

  it("gives a job the timeout that it was given, and else none", function()
    local other = assert(sb:start{ limits = { timeout = 0.2 } })
    local job = assert(other:spawn{ "sleep", "1000" })
    assert.equal("timed_out", assert(job:wait()).status)
    other:close()
    job = assert(box:spawn{ "true" })
    assert.is_nil(assert(job:wait()).limits.timeout.requested)
  end)

  it("has died, for whoever calls it, of a program that killed its first process", function()
    assert.equal(1, assert(box:run{ "sh", "-c", "kill -9 1; kill -STOP 1; kill 1" }).exit_code) -- it is another's
    local other = assert(sb:start{ user = 0, capabilities = { "CAP_KILL" } })
    other:run{ "sh", "-c", "kill -9 1" }
    -- gVisor takes a moment to end all of it.
    assert.is_true(env.eventually(function() return tostring(other):find("(dead)", 1, true) ~= nil end))
    for _, call in ipairs{ function() return other:run{ "true" } end, function() return other:list() end, function() return other:processes() end } do
      local value, message, code = call()
      assert.same({ nil, "closed" }, { value, code })
      assert.truthy(message:find("the box has died", 1, true), message)
    end
    assert.truthy(tostring(other):find("(dead)", 1, true))
    other:close()
  end)

  it("tells what it has used", function()
    local s = assert(box:stats())
    assert.is_true(s.peak_memory > 0 and s.programs > 10 and s.processes == 0)
  end)
end)

describe("a box's end", function()
  local before
  setup(function()
    assert(sb:run{ "true" })
    before = env.census()
  end)

  it("comes with its memory: what runs is oom_killed, what comes later closed #cgroup", function()
    local box = assert(sb:start{ limits = { memory = "64M", timeout = 60 * env.slow } })
    local job = assert(box:spawn{ "sh", "-c", "echo up; sleep 1000" })
    assert.equal("up\n", job:read "stdout")
    local r = assert(box:run{ "dd", "if=/dev/zero", "of=/dev/null", "bs=256M" })
    assert.same({ "oom_killed", true }, { r.status, r.oom_killed })
    assert.equal("oom_killed", job:wait().status)
    local none, message, code = box:run{ "true" }
    assert.same({ nil, "closed" }, { none, code })
    assert.truthy(message:find("64 MiB", 1, true))
    box:stop()
  end)

  it("comes with its lifetime, or when it is idle", function()
    local box = assert(sb:start{ lifetime = 0.5 })
    local r, message, code = box:run{ "sleep", "1000" }
    assert.same({ nil, "closed" }, { r, code })
    assert.truthy(message:find("out of time", 1, true) or message:find("not done", 1, true) or message:find("lifetime", 1, true))
    box:stop()
    r = env.given_time({ 0.3, 2, 10 }, function(seconds)
      box:close()
      box = assert(sb:start{ idle_timeout = seconds })
      local at_work = box:run{ "sleep", tostring(seconds * 2) } -- at work it is not idle
      return at_work, at_work
    end)
    assert.is_true(r.ok)
    assert.is_true(env.eventually(function() return box:ready() == nil end))
    box:close()
  end)

  it("stops, also twice, and is closed then", function()
    local box = assert(sb:start{})
    local job = assert(box:spawn{ "sh", "-c", "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.02; done" })
    assert.equal("up\n", job:read "stdout")
    assert.is_true(box:stop(5))
    local r = job:wait()
    assert.same({ "exited", "bye\n" }, { r.status, job:read "stdout" })
    assert.is_true(box:stop())
    local none, _, code = box:run{ "true" }
    assert.same({ nil, "closed" }, { none, code })
    box:close()
    for _, name in ipairs{ "stats", "processes", "pause", "list" } do assert.equal("closed", (select(3, box[name](box)))) end
  end)

  it("leaves no supervisor that waited for a program", function()
    local box = assert(sb:start{})
    assert(box:run{ "true" })
    if not env.control then
      assert.is_not_nil(box.armed)
      box.armed:close() -- as if it had been killed
    end
    assert.is_true(assert(box:run{ "true" }).ok)
    os.execute("kill -9 " .. box.job:pid())
    assert.is_true(env.eventually(function() return box:ready() == nil end))
    assert.is_nil(box.armed)
    local r, _, code = box:run{ "true" }
    assert.same({ nil, "closed" }, { r, code })
    box:stop()
  end)

  it("is not the end of a limit: what holds for the box is told of each program", function()
    local cgroup = assert(sb:run{ "true" }).runtime.cgroup ~= "none"
    local box = assert(sb:start{ user = 0, limits = { cpus = cgroup and 0.1 or 1, disk = "4M", pids = 5, timeout = 60 * env.slow } })
    local FILL = "open('/work/x', 'wb').write(b'x' * (8 << 20))"
    local r = assert(box:run{ "python3", "-c", FILL })
    assert.same({ 1, "disk_exceeded", true, "tmpfs" }, { r.exit_code, env.flags_of(r), r.limits.disk.hit, r.limits.disk.enforced_by })
    assert(box:remove "x")
    r = assert(box:run{ "/.sandbox-guest", "true" })
    assert.same({ true, "", false }, { r.ok, env.flags_of(r), r.limits.disk.hit })
    if cgroup then
      r = assert(box:run{ "python3", "-c", "import os, time\np = os.fork()\nwhile time.process_time() < 0.15: pass\nif p: os.wait()" }) -- on two processors at once: neighbours leave it more than its share
      assert.same({ true, true, "v" }, { r.ok, r.limits.cpus.hit, r.runtime.cgroup:sub(1, 1) })
    end
    assert.equal(cgroup and "cgroup" or "affini", r.limits.cpus.enforced_by:sub(1, 6))
    r = assert(box:run{ "python3", "-c", "import os, time\nn = 0\ntry:\n while True:\n  if os.fork() == 0: time.sleep(600); os._exit(0)\n  n += 1\nexcept OSError: print(n)" })
    assert.same({ "4\n", "pids_exceeded" }, { r.stdout, env.flags_of(r) }) -- and itself; our helper does not count
    box:stop()
  end)

  it("tells what a program was refused in its last moment, though the box's supervisor comes to it late", function()
    local box = assert(sb:start{ limits = { pids = 10 } })
    local job = assert(box:spawn{ "python3", "-c", "import os, time\ninput()\ntry:\n while True:\n  if os.fork() == 0: time.sleep(600)\nexcept OSError: print('refused', flush=True); os._exit(0)" })
    local supervisor = env.slurp(("/proc/%d/stat"):format(box.job:pid())):match "^%d+ %(.*%) %a (%d+)"
    os.execute("kill -STOP " .. supervisor)
    job:write "\n"
    assert.equal("refused\n", job:read "stdout")
    local early = job:wait(0.3)
    os.execute("kill -CONT " .. supervisor)
    assert.equal("pids_exceeded", env.flags_of(early or assert(job:wait())))
    box:stop()
  end)

  it("is told when the sentry is killed", function()
    local box = assert(sb:start{})
    local job = assert(box:spawn{ "sleep", "1000" })
    os.execute("kill -9 " .. box.job:pid())
    local r, _, code = job:wait()
    assert.same({ nil, "closed" }, { r, code })
    job:close()
    box:close()
  end)

  it("is told when the box's supervisor is killed, and cleanup_stale takes the rest", function()
    local box = assert(sb:start{})
    local job = assert(box:spawn{ "sh", "-c", "echo up; sleep 1000" })
    assert.equal("up\n", job:read "stdout")
    local supervisor = env.slurp(("/proc/%d/stat"):format(box.job:pid())):match "^%d+ %(.*%) %a (%d+)"
    os.execute("kill -9 " .. supervisor)
    local r, _, code = job:wait()
    assert.same({ nil, "closed" }, { r, code })
    job:close()
    r, _, code = box:run{ "true" }
    assert.same({ nil, "closed" }, { r, code })
    box:close()
    assert.is_true(env.eventually(function() return sb:cleanup_stale() == 1 end))
  end)

  it("leaves a program's supervisor nothing to leave", function()
    local box = assert(sb:start{})
    local job = assert(box:spawn{ "sh", "-c", "echo up; sleep 1000" })
    assert.equal("up\n", job:read "stdout")
    job = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    assert.is_true(env.eventually(function() return #assert(box:processes()) == 0 end))
    box = nil -- luacheck: ignore
    assert.is_nil(env.leftovers(before))
  end)

  it("collects after a run of its own, in every status", function()
    local r = env.given_time({ 0.3, 3, 30 }, function(seconds)
      local r = assert(sb:run{ "sh", "-c", "echo x >y; sleep 1000", collect = { "y" }, limits = { timeout = seconds } })
      return r.files.y == "x\n", r
    end)
    assert.same({ "timed_out", "x\n" }, { r.status, r.files.y })
    r = assert(sb:run{ "sh", "-c", "echo x >y; exit 3", collect = { "*" }, limits = { memory = "100M" } })
    assert.same({ 3, "x\n", 100 * 2 ^ 20, true }, { r.exit_code, r.files.y, r.limits.memory.requested, r.peak_memory ~= nil })
  end)

  it("leaves nothing behind", function()
    assert.is_nil(env.leftovers(before))
  end)
end)
