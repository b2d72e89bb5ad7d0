-- SPDX-License-Identifier: MIT
-- Things that meet: instances, boxes and jobs that are closed while somebody waits; defaults and programs; capabilities and limits.
local env = require "support.harness"
local sandbox, core = env.sandbox, env.core
local sb = env.sb

local function new(options)
  options.state_dir, options.boot_timeout, options.control = env.state_dir, 30, env.control
  return sandbox.new(options)
end

describe("together", function()
  local before, dir, remove
  setup(function()
    assert(sb:run{ "true" })
    assert(sb:run{ "true", collect = { "x" } })
    dir, remove = env.tmpdir()
    before = env.census()
  end)
  teardown(function() remove() end)

  it("a job that is closed while others wait for it gives them an answer", function()
    local codes = {}
    sandbox.loop(function()
      local job = assert(sb:spawn{ "sleep", "1000" })
      for i = 1, 2 do
        sandbox.go(function()
          local _, _, code = job:wait()
          codes[i] = code
        end)
      end
      assert.equal("closed", select(3, job:wait(0.01)) == "timeout" and "closed")
      job:close()
    end)
    assert.same({ "closed", "closed" }, codes)
  end)

  it("an instance closes its boxes and what runs in them, in any order", function()
    for _, close in ipairs{ "close", "shutdown" } do
      for _ = 1, 4 do
        local own = new{}
        local box = assert(own:start{})
        local jobs = {}
        for i = 1, 3 do jobs[i] = assert(box:spawn{ "sleep", "1000" }) end
        own[close](own)
        for _, job in ipairs(jobs) do assert.is_true(job:step()) end
        assert.equal("closed", select(3, box:run{ "true" }))
      end
    end
    assert.is_nil(env.leftovers(before))
  end)

  it("on_exit may raise when its job is closed", function()
    local told
    local job = assert(sb:spawn{ "sleep", "1000", on_exit = function(_, _, code)
      told = code
      error "mine"
    end })
    job:close()
    assert.equal("closed", told)
  end)

  it("on_exit comes also with more files than a socket holds", function()
    local r
    local job = assert(sb:spawn{ "wc", "-c", "big", files = { big = ("x"):rep(3000000) }, on_exit = function(result) r = result end })
    assert.is_true(env.eventually(function()
      core.poll(-1, "r", 0.001)
      require("sandbox.hosts.wait").wait(-1, "r", 0.01)
      return r ~= nil
    end))
    assert.equal("3000000 big\n", r.stdout)
    job:close()
  end)

  it("defaults of an instance are its programs', wherever they run", function()
    local seen = {}
    local own = new{ files = { ["a.txt"] = "A" }, stderr = "stdout", env = { X = "1" }, on_stdout = function(chunk) seen[#seen + 1] = chunk end }
    local program = { "sh", "-c", "cat a.txt; echo $X >&2" }
    local function ran(r, message)
      assert(r, message)
      local text = table.concat(seen)
      seen = {}
      return text
    end
    assert.equal("A1\n", ran(own:run(program)))
    local box = assert(own:start{})
    assert.equal("A1\n", ran(box:run(program)))
    assert.equal("", ran(box:run{ "true" }))
    box:stop()
    local pool = assert(own:pool{ size = 1, warm_up = { "echo", "warm" } })
    assert.equal("A1\n", ran(pool:run(program)))
    pool:close()
    own:close()
    own = new{ collect = { "out" } }
    assert.same({ out = "x" }, assert(own:run{ "sh", "-c", "printf x >out" }).files)
    local job = assert(own:spawn{ "true" })
    assert.is_true(job:wait().ok)
    job:close()
    own:close()
  end)

  it("default files are each run's own", function()
    local own = new{ files = { ["a.txt"] = "A" } }
    assert.is_true(own:check{ "true", cwd = "/tmp" })
    assert.equal("A", assert(own:run{ "cat", "a.txt" }).stdout)
    assert.equal("A", assert(own:run{ "cat", "/tmp/a.txt", cwd = "/tmp" }).stdout)
    own:close()
  end)

  it("the default instance takes nothing on while it shuts down, and all afterwards", function()
    local instance = require "sandbox.instance"
    local default, message = instance.new{ state_dir = env.state_dir, boot_timeout = 30 }, nil
    sandbox.loop(function()
      local job = assert(default:spawn{ "sh", "-c", "trap '' TERM; echo up; sleep 1000 & wait; wait" })
      job:read "stdout"
      sandbox.go(function() default:shutdown(0.2) end)
      sandbox.sleep(0.05)
      message = { default.stopping, select(3, default:run{ "true" }) }
    end)
    assert.same({ true, "closed" }, message)
    assert.is_nil(default.stopping)
  end)

  it("limits that a bundle's capabilities undo are refused, or left out where that is asked for", function()
    local bundle = dir .. "/bundle"
    local function config(text)
      core.unlink(bundle .. "/config.json")
      env.write(bundle .. "/config.json", text)
    end
    os.execute(("mkdir -p -m 755 %s/rootfs && cp %s %s/rootfs/program"):format(bundle, require("sandbox.run.request").helper(), bundle))
    config(('{"ociVersion":"1.0.2","process":{"args":["/program","true"],"cwd":"/","user":{"uid":0,"gid":0},'
      .. '"capabilities":{"effective":["CAP_SETUID"],"permitted":["CAP_SETUID"],"bounding":["CAP_SETUID"]}},"root":{"path":"rootfs"},"mounts":[]}'))
    local r, message, code = sb:run{ bundle = bundle }
    assert.same({ nil, "limit_unavailable" }, { r, code })
    assert.truthy(message:find("limits.pids", 1, true) and message:find("CAP_SETUID", 1, true), message)
    r = assert(sb:run{ bundle = bundle, limits = { best_effort = true } })
    assert.same({ true, 1024 }, { r.ok, r.limits.pids.requested })
    assert.is_nil(r.limits.pids.enforced_by)
    assert.is_true(assert(sb:run{ bundle = bundle, limits = { pids = false } }).ok)
    local function spec(s) s.process.capabilities = { effective = { "CAP_SYS_RESOURCE" }, permitted = { "CAP_SYS_RESOURCE" }, bounding = { "CAP_SYS_RESOURCE" } } end
    assert.equal("limit_unavailable", select(3, sb:run{ "true", spec = spec, limits = { pids = false } })) -- open_files
    assert.is_true(assert(sb:run{ "true", spec = spec, limits = { pids = false, open_files = false } }).ok)
    for _, text in ipairs{ '{"process":{"args":["x"]},"root":{"path":"/"},"annotations":"x"}', '{"process":{"args":["x"]},"root":{"path":"/"},"mounts":["x"]}',
                           '{"process":"x","root":{"path":"/"}}' } do
      config(text)
      assert.equal("bad_rootfs", select(3, sb:run{ bundle = bundle }))
    end
  end)

  it("collect.into replaces what is there, and says early where it is not", function()
    local into = dir .. "/into"
    core.mkdir(into, tonumber("755", 8))
    for i = 1, 2 do
      local r = assert(sb:run{ "sh", "-c", "printf " .. i .. " >o", collect = { paths = { "o" }, into = into } })
      assert.same({ nil, 1, tostring(i) }, { r.files.o, r.files_info.o.size, env.read(into .. "/o") })
    end
    local began
    local r, _, code = sb:run{ "true", collect = { paths = { "o" }, into = into .. "/none" }, on_stdout = function() began = true end }
    assert.same({ nil, "bad_rootfs" }, { r, code })
    assert.is_nil(began)
  end)

  it("a box that was not paused is not resumed", function()
    local box = assert(sb:start{})
    assert.is_true(box:resume())
    assert.is_true(box:pause())
    assert.is_true(box:pause())
    assert.is_true(box:resume())
    assert.is_true(box:resume())
    assert.is_true(assert(box:run{ "true" }).ok)
    box:stop()
  end)

  it("a signal reaches a program that our helper has started", function()
    local box = assert(sb:start{})
    local job = assert(box:spawn{ "python3", "-c", "import signal, time\nsignal.signal(14, lambda *_: print('alarm', flush=True))\nprint('up', flush=True)\n"
      .. "time.sleep(1000) if False else [time.sleep(0.05) for _ in range(20000)]", limits = { open_files = 77, timeout = 60 } })
    assert.equal("up\n", job:read "stdout")
    job:kill "ALRM"
    assert.equal("alarm\n", job:read "stdout")
    job:kill()
    assert.equal("killed", job:wait().status)
    job:close()
    box:stop()
  end)

  it("times and metrics of a pool and of collecting runs add up", function()
    local lines = {}
    local own = new{ max_concurrent = 1, logger = function(_, message) lines[#lines + 1] = message end }
    local pool = assert(own:pool{ size = 1 })
    local r = assert(pool:run{ "true" })
    assert.is_true(r.total_duration >= r.queue_duration + r.duration)
    local c
    sandbox.loop(function()
      sandbox.go(function() own:run{ "sleep", "0.2" } end)
      c = assert(own:run{ "true", collect = { "x" } })
    end)
    assert.is_true(c.total_duration >= c.queue_duration + c.boot_duration + c.duration)
    assert.equal("bad_command", select(3, pool:run{ "no-such-program" }))
    assert.equal("bad_command", select(3, own:run{ "no-such-program", collect = { "x" } }))
    local m = own:metrics()
    assert.same({ 5, 3, 2, 3 }, { m.started, m.runs.exited, m.errors.bad_command, m.histograms.queue.count })
    local ended = 0
    for _, line in ipairs(lines) do ended = ended + (line:find "^ended: exited" and 1 or 0) end
    assert.equal(3, ended)
    pool:close()
    own:shutdown()
  end)

  it("turns and leases of a coroutine that is killed come back", function()
    local inside = false
    local own = new{ max_concurrent = 1, queue_timeout = 30, wait = function(fd, events, seconds)
      if inside then coroutine.yield() else core.poll(fd, events, math.min(seconds or 0.05, 0.05)) end
    end }
    local function forget(f)
      local co = coroutine.create(f)
      for _ = 1, 30 do
        inside = true
        assert(coroutine.resume(co))
        inside = false
        core.poll(-1, "r", 0.01)
      end
      assert.equal("suspended", coroutine.status(co))
    end
    local unpack = rawget(table, "unpack") or rawget(_G, "unpack")
    local function killed(f)
      forget(f)
      select("#", unpack({}, 1, 200)) -- what is left of it on the stack would hold it in LuaJIT
    end
    assert(own:run{ "true" })
    killed(function() own:run{ "sleep", "1000" } end)
    assert.is_true(assert(own:run{ "true" }).ok)
    local pool = assert(own:pool{ size = 1, queue_timeout = 30 })
    assert(pool:ready(60))
    killed(function() pool:run{ "sleep", "1000" } end)
    assert.is_true(assert(pool:run{ "true" }).ok)
    assert.equal(0, pool:stats().leased)
    assert(pool:ready(60))
    pool:close()
    own:close()
  end)

  it("leaves nothing behind", function()
    assert.is_nil(env.leftovers(before))
  end)
end)
