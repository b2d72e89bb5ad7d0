-- SPDX-License-Identifier: MIT
local env = require "support.harness"
local sandbox, core = env.sandbox, env.core

local function new(options)
  options.state_dir, options.boot_timeout = env.state_dir, 30
  return sandbox.new(options)
end

describe("an instance", function()
  local before
  setup(function()
    assert(env.sb:run{ "true" })
    before = env.census()
  end)

  it("merges its defaults with a call's", function()
    local sb = new{ limits = { memory = "100M", timeout = 7 }, env = { A = "1", B = "2" } }
    local r = assert(sb:run{ "sh", "-c", "echo $A$B$C", limits = { timeout = 8 }, env = { B = "3", C = "4" } })
    assert.same({ "134\n", 8, 100 * 2 ^ 20 }, { r.stdout, r.limits.timeout.requested, r.limits.memory.requested })
    sb:close()
  end)

  it("lets so many run and the others wait", function()
    local sb = new{ max_concurrent = 2 }
    local ended, most = 0, 0
    sandbox.map({ 1, 2, 3, 4, 5, 6, 7, 8 }, 8, function()
      local r = assert(sb:run{ "true", on_exit = function() ended = ended + 1 end })
      most = math.max(most, sb:active())
      return r
    end)
    assert.is_true(most <= 2)
    assert.equal(8, ended)
    local m = sb:metrics()
    assert.truthy(tostring(m):find('\nsandbox_runs_total{status="exited"} 8\n', 1, true))
    sb:close()
  end)

  it("is busy when the queue is", function()
    local sb = new{ max_concurrent = 1, queue = false }
    local job = assert(sb:spawn{ "sleep", "1000" })
    local r, _, code = sb:run{ "true" }
    assert.same({ nil, "busy" }, { r, code })
    job:kill()
    job:wait()
    job:close()
    sb:close()
    sb = new{ max_concurrent = 1, queue_timeout = 0.05 }
    job = assert(sb:spawn{ "sleep", "1000" })
    r, _, code = sb:run{ "true" }
    assert.same({ nil, "busy" }, { r, code })
    job:close()
    sb:close()
  end)

  it("stops all on shutdown, and starts no more", function()
    local sb = new{}
    local patient = assert(sb:spawn{ "python3", "-c", "import signal, sys, time\nsignal.signal(15, lambda *_: sys.exit(5))\nprint('up', flush=True)\ntime.sleep(1000)" })
    local other = assert(sb:spawn{ "sh", "-c", "trap 'exit 6' TERM; echo up; while :; do sleep 0.1; done" })
    assert.equal("up\n", patient:read "stdout")
    assert.equal("up\n", other:read "stdout")
    assert.equal(2, sb:active())
    assert.is_true(sb:shutdown(120)) -- ends with the last of them, however long that is
    assert.equal(0, sb:active())
    assert.same({ 5, 6 }, { patient:wait().exit_code, other:wait().exit_code })
    local r, _, code = sb:run{ "true" }
    assert.same({ nil, "closed" }, { r, code })
    sb:close()
    sb:close()
  end)

  it("kills on shutdown what takes longer than it may", function()
    local sb = new{}
    local stubborn = assert(sb:spawn{ "sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done" })
    assert.equal("up\n", stubborn:read "stdout")
    assert.is_true(sb:shutdown(0.3))
    assert.equal(0, sb:active())
    assert.is_nil(stubborn:wait().exit_code)
    sb:close()
  end)

  it("kills what runs when it is closed", function()
    local sb = new{}
    local job = assert(sb:spawn{ "sleep", "1000" })
    sb:close()
    local r, _, code = job:wait()
    assert.same({ nil, "closed" }, { r, code })
  end)

  it("tells its logger, whose errors are its own", function()
    local lines = {}
    local sb = new{ logger = function(level, message, fields)
      lines[#lines + 1] = ("%s %s %s"):format(level, message, tostring(fields.id))
      error "the logger fails"
    end }
    assert(sb:run{ "echo", "very secret" })
    assert.is_true(#lines >= 1)
    assert.is_nil(table.concat(lines):find("very secret", 1, true))
    sb:close()
  end)

  it("shows what it is and what works", function()
    local sb = new{}
    local v = assert(sb:version())
    assert.is_string(v.platform)
    assert.is_string(v.runsc)
    local report = sb:doctor()
    assert.is_true(report.ok)
    for _, check in ipairs(report.checks) do assert.truthy(tostring(report):find(check.name, 1, true), check.name) end
    local entries = sb:cgroup_entries{ memory = "64M" }
    local v1 = core.stat "/sys/fs/cgroup/memory/cgroup.procs"
    if v1 or core.stat "/sys/fs/cgroup/cgroup.controllers" then
      assert.same({ v1 and "memory/memory.limit_in_bytes" or "memory.max", "201326592" }, { entries[1].file, entries[1].value })
    else
      assert.same({}, entries)
    end
    assert.is_true(sb:check{ "true" })
    local ok, message, code = sb:check{ "true", nonsense = 1 }
    assert.same({ nil, "bad_option" }, { ok, code })
    assert.truthy(message:find("nonsense", 1, true))
    sb:close()
  end)

  it("cannot boot on kvm here, and says so in time", function()
    local st = core.stat "/dev/kvm"
    local sb = new{ platform = "kvm" }
    sb:close()
    sb = sandbox.new{ platform = "kvm", state_dir = env.state_dir, boot_timeout = 2 }
    local r, message, code = sb:run{ "true" }
    if not (r and st) then -- a machine whose kvm works is fine, too
      assert.is_nil(r)
      assert.is_string(message)
      assert.is_true(code == "boot_timeout" or code == "runsc_failed" or code == "not_supported" or code == "bad_rootfs")
    end
    sb:close()
  end)

  it("asks once what a runsc can do, however many runs come together", function()
    local dir, remove = env.tmpdir()
    local real, started = core.spawn, 0
    core.spawn = function(...)
      started = started + 1
      return real(...)
    end
    local function together(own)
      local codes = {}
      started = 0
      sandbox.map({ 1, 2, 3, 4, 5 }, 5, function(i)
        local _, _, code = own:run{ "true" }
        codes[i] = code or "none"
        return true
      end)
      return table.concat(codes, " "), started
    end
    local own = sandbox.new{ state_dir = dir .. "/s", boot_timeout = 30, control = env.control }
    local first, cold = together(own)
    local second, warm = together(own)
    local wrong, failed = together(sandbox.new{ state_dir = dir .. "/s", runsc = "/bin/false" })
    core.spawn = real
    own:shutdown()
    remove()
    assert.same({ "none none none none none", "none none none none none", 5 }, { first, second, warm })
    assert.is_truthy(cold <= 5 + 4, cold) -- version, flags, a platform; the build of 2022 boots on the second
    assert.same({ "runsc_failed runsc_failed runsc_failed runsc_failed runsc_failed", 1 }, { wrong, failed })
  end)

  it("leaves nothing behind", function()
    assert.is_nil(env.leftovers(before))
  end)
end)
