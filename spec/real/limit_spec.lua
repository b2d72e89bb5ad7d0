-- SPDX-License-Identifier: MIT
-- Each limit, hit again and again: the right flag each time, and no other.
local env = require "support.harness"
local sb = env.sb
local HITS = tonumber(os.getenv "SANDBOX_TEST_HITS") or 2
local SLOW = env.slow

local function times(f)
  for _ = 1, HITS do f() end
end

local function py(code, limits, extra)
  local options = { "python3", "-c", code, limits = limits }
  for k, v in pairs(extra or {}) do options[k] = v end
  local r, message, code2 = sb:run(options)
  return r or error(("%s: %s"):format(tostring(code2), tostring(message)), 2)
end

-- What a cgroup holds where there is one: these, and each test with the tag, run on the other cgroup versions, too.
local GROUPED = { memory = true, pids = true, cpu_time = true }

-- Of a shell, which starts in a tenth of the time that Python takes.
local function sh(code, limits) return assert(sb:run{ "sh", "-c", code, limits = limits }) end

local limits = {
  { "timeout", "timed_out", "timed_out", function() return sh("while :; do :; done", { timeout = 0.3 }) end },
  { "timeout", "timed_out", "timed_out", function() return sh("trap '' HUP INT TERM; while :; do sleep 1; done", { timeout = 0.3 }) end,
    "of a program that ignores signals" },
  { "cpu_time", "cpu_exceeded", "cpu_exceeded", function() return sh("while :; do :; done", { cpu_time = 0.3, timeout = 60 * SLOW }) end },
  { "memory", "oom_killed", "oom_killed", function() return sh("exec dd if=/dev/zero of=/dev/null bs=256M", { memory = "64M", timeout = 60 * SLOW }) end },
  { "memory", "oom_killed", "oom_killed", function()
    -- the tmpfs may be full a moment before the reading sees it
    return sh("dd if=/dev/zero of=/tmp/x bs=1M; exec sleep 600", { memory = "64M", timeout = 60 * SLOW })
  end, "in files of /tmp" },
  { "output", "exited", "stdout_truncated", function() return sh("yes yyyyyyyyy | head -c 1000000", { output = "64K" }) end },
  { "output", "output_exceeded", "output_exceeded stdout_truncated", function()
    return sh("exec yes", { output = "64K", output_kill = true, timeout = 60 * SLOW })
  end, "with output_kill" },
  { "pids", "exited", "pids_exceeded", function() -- a shell whose fork is refused ends
    return sh("(while :; do sleep 600 & done) 2>/dev/null; exit 0", { pids = 10, timeout = 60 * SLOW })
  end },
}

describe("limits", function()
  local before
  setup(function()
    assert(sb:run{ "true" })
    before = env.census()
  end)

  for _, row in ipairs(limits) do
    local name, status, flags, hit, what = row[1], row[2], row[3], row[4], row[5] or ""
    it(("%s %s: %d hits, each with its flag and no other%s"):format(name, what, HITS, GROUPED[name] and what == "" and " #cgroup" or ""), function()
      for _ = 1, HITS do
        local r = hit()
        assert.same({ status, flags, true }, { r.status, env.flags_of(r), r.limits[name].hit })
        assert.is_string(r.limits[name].enforced_by)
        for other, limit in pairs(r.limits) do
          if other ~= name then assert.is_not_true(limit.hit, other .. " was not hit") end
        end
        assert.equal(status == "exited", r.ok)
        if not r.ok then assert.is_string(r.message) end
      end
    end)
  end

  it("output keeps the head or the tail, and counts the rest", function()
    local code = "for i in range(100000): print(i)"
    local head = py(code, { output = 1000 })
    local tail = py(code, { output = 1000, output_keep = "tail" })
    assert.same({ 1000, 588890, true }, { #head.stdout, head.stdout_bytes, head.stdout_truncated })
    assert.same({ 1000, 588890, true }, { #tail.stdout, tail.stdout_bytes, tail.stdout_truncated })
    assert.equal("0\n1\n2\n", head.stdout:sub(1, 6))
    assert.equal("99998\n99999\n", tail.stdout:sub(-12))
    local exact = py("print('x' * 999)", { output = 1000 })
    assert.same({ 1000, false }, { exact.stdout_bytes, exact.stdout_truncated })
  end)

  it("cpus throttles, or keeps to whole cores #cgroup", function()
    if assert(sb:run{ "true" }).runtime.cgroup ~= "none" then
      times(function()
        -- so little that it is held though neighbours take nearly all; an emulated machine has none
        local r = sh("i=0; while [ $i -lt 50000 ]; do i=$((i + 1)); done", { cpus = SLOW > 1 and 0.5 or 0.04, timeout = 60 * SLOW })
        assert.same({ true, true, "" }, { r.ok, r.limits.cpus.hit, env.flags_of(r) })
      end)
      -- more than any machine here has: a slow one may really use 1.5 for a moment
      local idle = assert(sb:run{ "true", limits = { cpus = 64 } })
      assert.is_false(idle.limits.cpus.hit)
    else
      times(function()
        local r = sh("nproc", { cpus = 1 })
        assert.same({ "1\n", "affinity", "" }, { r.stdout, r.limits.cpus.enforced_by, env.flags_of(r) })
      end)
      local none, message, code = sb:run{ "true", limits = { cpus = 0.5 } }
      assert.same({ nil, "limit_unavailable" }, { none, code })
      assert.truthy(message:find("best_effort", 1, true))
      local relaxed = assert(sb:run{ "true", limits = { cpus = 0.5, best_effort = true } })
      assert.is_nil(relaxed.limits.cpus.enforced_by)
    end
  end)

  it("file_size ends a program that goes beyond it", function()
    times(function()
      local r = py("import signal\nsignal.signal(25, signal.SIG_DFL)\nf = open('/work/x', 'wb')\nwhile True: f.write(b'x' * 4096)", { file_size = "64K" })
      assert.same({ "signaled", "XFSZ", true, "" }, { r.status, r.signal_name, r.limits.file_size.hit, env.flags_of(r) })
    end)
  end)

  it("open_files is EMFILE", function()
    times(function()
      local r = py("l = []\ntry:\n while True: l.append(open('/dev/null'))\nexcept OSError as e: print(e.errno, len(l) < 20)", { open_files = 20 })
      assert.same({ "24 True\n", "" }, { r.stdout, env.flags_of(r) })
    end)
  end)

  it("stack and address_space end what goes beyond them, also of a program in a box", function()
    local box = assert(sb:start{})
    for _, run in ipairs{ function(o) return sb:run(o) end, function(o) return box:run(o) end } do
      local r = assert(run{ "python3", "-c", "import resource\nprint(resource.getrlimit(resource.RLIMIT_STACK)[0] >> 20)\ntry: b = bytearray(200 << 20)\nexcept MemoryError: print('no')",
        limits = { stack = "4M", address_space = "150M" } })
      assert.same({ "4\nno\n", "rlimit", "rlimit", "" }, { r.stdout, r.limits.stack.enforced_by, r.limits.address_space.enforced_by, env.flags_of(r) })
    end
    box:stop()
  end)

  -- Everything that may be written is one `disk`; what the host holds is known exactly, what the sentry's memory holds is not.
  local FILL = [[
import errno, os, sys
total = 0
for i, place in enumerate(sys.argv[1:]):
  try:
    fd = os.open(place + "/x%d" % i, os.O_CREAT | os.O_WRONLY)
    while True: total += os.write(fd, b"x" * 65536)
  except OSError as e: print(errno.errorcode[e.errno], end=" ")
print(total <= 4 << 20, total >= 3 << 20)]]

  local function fill(user, readonly, ...)
    local argv = { "python3", "-c", FILL, ... }
    argv.user, argv.readonly, argv.limits = user, readonly, { disk = "4M", timeout = 60 * SLOW }
    return sb:run(argv)
  end

  it("disk holds all places together, and is known where it can be", function()
    local r, message, code = fill(65534, true, "/work", "/tmp", "/dev/shm")
    if not env.root and env.build ~= "2026" then
      assert.same({ nil, "limit_unavailable" }, { r, code })
      assert.truthy(message:find("user = 0", 1, true))
    else
      times(function()
        r = assert(fill(65534, true, "/work", "/tmp", "/dev/shm"))
        assert.equal("ENOSPC ENOSPC ENOSPC True True\n", r.stdout)
        if env.root then
          assert.same({ "disk_exceeded", true, "tmpfs" }, { env.flags_of(r), r.limits.disk.hit, r.limits.disk.enforced_by })
        else
          assert.same({ "overlay", true, "disk_exceeded" }, { r.limits.disk.enforced_by, r.limits.disk.hit, env.flags_of(r) })
        end
      end)
    end
    times(function()
      r = assert(fill(0, true, "/work", "/tmp", "/dev/shm"))
      assert.same({ "ENOSPC ENOSPC ENOSPC True True\n", "disk_exceeded", true, "tmpfs" },
        { r.stdout, env.flags_of(r), r.limits.disk.hit, r.limits.disk.enforced_by })
    end)
    local below = assert(sb:run{ "sh", "-c", "echo hi >/work/x; cat x /tmp/.keep", limits = { disk = "4M" }, user = 0 })
    assert.same({ "hi\n", false, false }, { below.stdout, below.disk_exceeded, below.limits.disk.hit })
  end)

  it("disk cannot be hidden by making room again at once", function()
    local code = "import os\nfd = os.open('/work/x', os.O_CREAT | os.O_WRONLY)\ntry:\n while True: os.write(fd, b'x' * 65536)\nexcept OSError: os.ftruncate(fd, 0); os.unlink('/work/x')\nprint('done')"
    for _, run in ipairs{ sb, assert(sb:start{ user = 0, limits = { disk = "2M" } }) } do
      local options = { "python3", "-c", code }
      if run == sb then options.user, options.limits = 0, { disk = "2M", timeout = 60 * SLOW } end
      local r = assert(run:run(options))
      assert.same({ "done\n", "disk_exceeded", true }, { r.stdout, env.flags_of(r), r.limits.disk.hit })
      if run ~= sb then run:stop() end
    end
  end)

  it("disk counts the writable layer of the root, too", function()
    local r = assert(fill(0, false, "/", "/usr", "/work", "/tmp"))
    -- /usr belongs to the host's root, who is nobody in a guest of root's, but where there is a layer of limited size over it
    assert.equal(env.root and env.build ~= "2026" and "ENOSPC EACCES ENOSPC ENOSPC True True\n" or "ENOSPC ENOSPC ENOSPC ENOSPC True True\n", r.stdout)
    assert.equal("disk_exceeded", env.flags_of(r))
  end)

  it("a tmpfs has its own size beside disk", function()
    local r = assert(sb:run{ "sh", "-c", "dd if=/dev/zero of=/mnt/x bs=4096 2>/dev/null; wc -c </mnt/x", user = 0,
      limits = { disk = "4M", timeout = 60 * SLOW }, mounts = { { type = "tmpfs", destination = "/mnt", size = "1M" } } })
    assert.same({ "1048576\n", false }, { r.stdout, r.disk_exceeded })
  end)

  -- Hierarchies of v1, or the one of v2; nil where this machine has none.
  local function hierarchies()
    local cgroup = assert(sb:run{ "true" }).runtime.cgroup
    return cgroup == "v1" and { "memory/", "cpu/", "cpuacct/", "pids/" } or cgroup == "v2" and { "" } or nil
  end

  it("cgroup_parent is where cgroups are made, or an error that says why not #cgroup", function()
    local new = function(parent) return env.sandbox.new{ state_dir = env.state_dir, boot_timeout = 30 * SLOW, cgroup_parent = parent } end
    local lost = new("/sbx-no-such-group")
    local r, message, code = lost:run{ "true" }
    assert.same({ nil, "not_supported" }, { r, code })
    assert.truthy(message:find("cgroup_parent /sbx-no-such-group", 1, true) and message:find("(", 1, true), message)
    assert.is_true(assert(lost:run{ "true", limits = { best_effort = true } }).ok)
    lost:close()
    local list = env.root and hierarchies()
    if not list then return end
    local name = "sbx-test-" .. env.core.random_hex(3)
    local made = {}
    for _, hierarchy in ipairs(list) do made[#made + 1] = "/sys/fs/cgroup/" .. hierarchy .. name end
    for _, path in ipairs(made) do env.core.mkdir(path, tonumber("755", 8)) end -- cpu and cpuacct may be one
    local own = new("/" .. name)
    local job = assert(own:spawn{ "sleep", "1000", limits = { cpus = 1, timeout = false } })
    assert(env.eventually(function() return job:step() or job.started end))
    for _, path in ipairs(made) do assert.truthy(env.core.stat(path .. "/lua-sandbox-" .. job.id), path) end
    own:shutdown()
    for _, path in ipairs(made) do env.core.rmdir(path) end
    for _, path in ipairs(made) do assert.is_nil(env.core.stat(path)) end
  end)

  local function descendants(pid, list)
    for child in env.read(("/proc/%s/task/%s/children"):format(pid, pid)):gmatch "%d+" do
      list[#list + 1] = child
      descendants(child, list)
    end
    return list
  end

  -- On v1 runsc is moved while it starts. This one forks before it can have been, and some of what it forks is left to the supervisor.
  it("all that runsc starts is in its cgroups, whenever it was forked", function()
    if not env.root or assert(sb:run{ "true" }).runtime.cgroup ~= "v1" then return end
    local dir, quiet = env.tmpdir(), " >/dev/null 2>&1 </dev/null"
    env.write(dir .. "/runsc", ('#!/bin/sh\ncase " $* " in *" run "*)\n%s ;; esac\nexec %s "$@"\n'):format(
      ("sleep 611%s &\n"):format(quiet):rep(3) .. ("(sleep 612 & sleep 611 & :)%s &\n(sleep 611; :)%s &"):format(quiet, quiet), os.getenv "SANDBOX_RUNSC"),
      "755")
    local own = env.sandbox.new{ runsc = dir .. "/runsc", state_dir = env.state_dir, boot_timeout = 30 * SLOW }
    local box, seen, outside = assert(own:start{ limits = { memory = "100M", pids = 50, cpus = 1 } }), 0, {}
    local supervisor = env.read("/proc/" .. box.job:pid() .. "/status"):match "PPid:%s*(%d+)"
    for _, pid in ipairs(descendants(supervisor, {})) do
      local groups, command = env.read("/proc/" .. pid .. "/cgroup"), env.read("/proc/" .. pid .. "/cmdline"):gsub("%z", " ")
      if command:find "^sleep" then seen = seen + 1 end
      for _, name in ipairs(command ~= "" and { "memory", "pids", "cpu", "cpuacct" } or {}) do -- else it has ended, and runsc does not reap it
        local group = groups:match("%f[%w]" .. name .. "%f[^%w][^:\n]*:([^\n]*)") or "none"
        if not group:find("lua-sandbox-", 1, true) then outside[#outside + 1] = command .. name .. group end
      end
    end
    assert.same({ 6, "" }, { seen, table.concat(outside, "\n") })
    assert.is_true(assert(box:run{ "true" }).ok)
    box:stop()
    own:close()
    os.remove(dir .. "/runsc")
    env.core.rmdir(dir)
  end)

  it("4 MB are enough for a small program", function()
    local r = assert(sb:run{ "/bin/true", limits = { memory = "4M" } })
    assert.is_true(r.ok)
  end)

  -- 2022: it takes 20 s to make so many; newer ones bound the files of a tmpfs by the memory that the guest sees
  if env.build == "2024" then
    it("empty files count as memory #slow", function()
      local r = py("import os\nfor i in range(300000): os.close(os.open('/tmp/%d' % i, os.O_CREAT))", { memory = "64M", timeout = 120 * SLOW })
      assert.equal("oom_killed", r.status)
    end)
  end

  it("a fork bomb ends at its deadline", function()
    local r = env.given_time({ 2, 10, 60 }, function(seconds)
      local r = assert(sb:run{ "sh", "-c", "f() { f | f & }; f; while :; do :; done", limits = { pids = 20, timeout = seconds } })
      return r.stderr:find("fork", 1, true), r -- what the shell says when it is refused
    end)
    assert.same({ "timed_out", "timed_out pids_exceeded" }, { r.status, env.flags_of(r) })
  end)

  it("the moment of the deadline is one of two verdicts, never a third", function()
    for _ = 1, 5 do
      local r = assert(sb:run{ "sleep", "0.2", limits = { timeout = 0.2 } })
      assert.is_true(r.status == "timed_out" and r.timed_out or r.status == "exited" and r.exit_code == 0)
    end
  end)

  it("false switches a limit off", function()
    local r = assert(sb:run{ "true", limits = { memory = false, pids = false, timeout = false, output = false, open_files = false, inodes = false } })
    for name, limit in pairs(r.limits) do assert.is_nil(limit.requested, name) end
  end)

  it("leaves nothing behind #cgroup", function()
    assert.is_nil(env.leftovers(before))
  end)
end)
