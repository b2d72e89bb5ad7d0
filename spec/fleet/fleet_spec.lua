-- SPDX-License-Identifier: MIT
-- sandbox.fleet and `sandbox worker` with real sandboxes, and a real broker.
local h = require "support.harness"
local fleets = require "support.fleet"
local sandbox = h.sandbox
local puc51 = _VERSION == "Lua 5.1" and not rawget(_G, "jit")

describe("a fleet", function()
  local broker, fleet, worker, before
  setup(function()
    assert(h.sb:run{ "true" })
    before = h.census()
    broker = fleets.broker()
    h.write(broker.dir .. "/small.json", '{ "size": 1, "limits": { "memory": "64M", "pids": 32 } }')
    worker = broker:sandboxes("judge", ("--slots 2 --lease 60 --memory 256M --timeout 60 --has tests --metrics %s/metrics --pool %s/small.json --filesystem given=%s"):format(broker.dir, broker.dir, broker.dir))
    fleet = broker:fleet "judge"
  end)
  teardown(function()
    fleet:close()
    broker:stop()
    assert.is_nil(h.leftovers(before))
  end)

  it("runs a program, and gives its result as sandbox.run does", function()
    local options = { "sh", "-c", "cat; echo no >&2; echo $X >out; exit 3", stdin = "in\0\255\n", env = { X = "5" }, collect = { "out", "none" } }
    local r, own = assert(fleet:run(options)), assert(h.sb:run(options))
    assert.same({ "in\0\255\n", "no\n", "exited", 3, false, "5\n", "missing" }, { r.stdout, r.stderr, r.status, r.exit_code, r.ok, r.files.out, r.files_skipped.none })
    local function shape(t)
      local out = {}
      for k, v in pairs(t) do out[k] = type(v) end
      return out
    end
    assert.same(shape(own), shape(r))
    assert.has_error(function() r:check() end)
    assert.equal("supervisor", r.limits.memory.enforced_by)
    assert.equal(256 * 2 ^ 20, r.limits.memory.requested) -- the worker's most, for nobody asked for less
  end)

  it("carries large outputs and files", function()
    local r = assert(fleet:run{ "sh", "-c", "head -c 3000000 /dev/zero; head -c 300000 /dev/urandom >big; printf x >small", collect = { "big", "small" } })
    assert.same({ 3000000, 300000, "x", 300000 }, { #r.stdout, #r.files.big, r.files.small, r.files_info.big.size })
  end)

  it("raises for what names anything of this host, and for a wrong option", function()
    for _, options in ipairs{ { "true", rootfs = "/" }, { "true", stdin = function() end }, { "true", mounts = { { destination = "/x", source = "/etc" } } },
                              { "true", files = { x = { from = "/etc/passwd" } } }, { "true", on_stdout = print }, { "true", network = "host" }, { "true", bogus = 1 }, {} } do
      assert.has_error(function() fleet:submit(options) end)
    end
    assert.has_error(function() fleet:submit({ "true" }, { keys = "x" }) end)
    assert.has_error(function() fleet:submit({ "true" }, { needs = { "a b" } }) end)
    assert.has_error(function() fleet:result "1-1" end)
    assert.has_error(function() sandbox.fleet{ redis = "http://127.0.0.1" } end)
    assert.has_error(function() sandbox.fleet{ queue = "{x}" } end)
  end)

  it("answers with words and a code where there is no result", function()
    assert.same({ nil, "bad_command" }, { (function() local r, _, code = fleet:run{ "no-such-program" } return r, code end)() })
    assert.same({ nil, "bad option 'limits.memory': this worker gives at most 268435456", "bad_option" }, { fleet:run{ "true", limits = { memory = "1G" } } })
    local given = { "cat", "/d/small.json", mounts = { { source = "given", destination = "/d" } } } -- by a tag of the worker's
    assert.is_truthy(assert(fleet:run(given)).stdout:find "memory")
    given.mounts[1].source = "other"
    assert.equal("bad_option", select(3, fleet:run(given)))
    assert.equal("not_found", select(3, fleet:result "1-1.00"))
    local away = sandbox.fleet{ redis = "redis://127.0.0.1:1", broker_timeout = 0.05 }
    assert.equal("broker_lost", select(3, away:submit{ "true" }))
  end)

  it("follows a program while it runs", function()
    local id = assert(fleet:submit{ "sh", "-c", "echo one; echo two >&2; sleep 1000" })
    local follower = fleet:follow(id)
    local seen = { [follower:read()] = true, [follower:read()] = true }
    assert.same({ stdout = true, stderr = true }, seen) -- it runs still
    assert.is_true(fleet:cancel(id))
    assert.same({ nil, "the job was cancelled", "closed" }, { follower:read() })
    id = assert(fleet:submit{ "sh", "-c", "seq 20000; echo end >&2" })
    local out = { stdout = "", stderr = "" }
    if puc51 then
      follower = fleet:follow(id)
      local stream, chunk = follower:read()
      while stream do
        out[stream] = out[stream] .. chunk
        stream, chunk = follower:read()
      end
    else
      for stream, chunk, attempt in fleet:follow(id) do
        out[stream] = out[stream] .. chunk
        assert.equal(1, attempt)
      end
    end
    local r = assert(fleet:result(id))
    assert.is_true(out.stdout == r.stdout and #r.stdout == 108894 and out.stderr == "end\n")
  end)

  it("runs what needs a pool in it", function()
    local r = assert(fleet:run({ "sh", "-c", "cat", stdin = "pooled" }, { needs = { "small", "tests" } }))
    assert.same({ "pooled", 64 * 2 ^ 20 }, { r.stdout, r.limits.memory.requested })
    local _, message, code = fleet:run({ "true", hostname = "x" }, { needs = { "small" } })
    assert.equal("bad_option", code)
    assert.is_truthy(message:find "belongs to the box")
  end)

  it("kills a program that is cancelled", function()
    local id = assert(fleet:submit{ "sleep", "1000" })
    assert.is_true(h.eventually(function() return assert(fleet:stats()).running == 1 end))
    assert.same({ nil, "the job is not done", "timeout" }, { fleet:result(id, 0) })
    assert.is_true(fleet:cancel(id))
    assert.equal("closed", select(3, fleet:result(id, 120)))
  end)

  it("serves many at once in one loop, and says who works", function()
    local results = sandbox.loop(function()
      return sandbox.map({ 1, 2, 3, 4 }, 4, function(i) return fleet:run{ "sh", "-c", "echo " .. i } end)
    end)
    for i = 1, 4 do assert.equal(i .. "\n", results[i].stdout) end
    local stats = assert(fleet:stats())
    assert.same({ 0, 0, 2, 1, 0 }, { stats.queued, stats.running, stats.slots, #stats.workers, stats.dead })
    local has = {}
    for _, word in ipairs(stats.workers[1].has) do has[word] = true end
    assert.is_true(has.sh and has.tests and has.small and stats.workers[1].free_memory > 0)
    assert.is_truthy(tostring(stats):find 'sandbox_fleet_queue_age_seconds{queue="judge",needs=""} 0\n')
    assert.is_true(h.eventually(function()
      local text = h.slurp(broker.dir .. "/metrics")
      return text:find 'sandbox_fleet_jobs_total{queue="judge",event="answered"} %d\n' or text:find 'sandbox_worker_jobs_total{queue="judge",outcome="answered"} %d'
    end))
  end)

  it("tells its figures to who asks, though others only connect", function()
    local socket = require "socket"
    local server = assert(socket.bind("127.0.0.1", 0))
    local _, port = server:getsockname()
    server:close()
    local told, silent = broker:sandboxes("told", "--metrics 127.0.0.1:" .. port), {}
    assert.is_true(h.eventually(function() return broker:log("told"):find("works on", 1, true) end))
    for i = 1, 3 do silent[i] = assert(socket.connect("127.0.0.1", tonumber(port))) end
    local client = assert(socket.connect("127.0.0.1", tonumber(port)))
    client:settimeout(120)
    client:send "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    local page = assert(client:receive "*a")
    client:close()
    assert.truthy(page:find("^HTTP/1%.0 200 OK\r\n.*\r\n\r\n# HELP "), page)
    assert.truthy(page:find('sandbox_fleet_queue_age_seconds{queue="told",needs=""} 0\n', 1, true) and page:find('sandbox_worker_slots{queue="told"} 1\n', 1, true), page)
    -- Who says nothing does not keep it from ending, either.
    fleets.signal(told, "TERM")
    assert.is_true(fleets.gone(told))
    for _, one in ipairs(silent) do one:close() end
  end)

  it("believes nothing that stands in the queue", function()
    -- Another's entries: no job, one that names the host, one that is no JSON.
    broker:ask("XADD", "{judge}:jobs", "*", "x", "y")
    local function put(body)
      local secret = "abcdef"
      return broker:ask("XADD", "{judge}:jobs", "*", "s", secret, "b", body) .. "." .. secret
    end
    local path = put '{"argv":["true"],"options":{"rootfs":"/"}}'
    local garbage = put "\0{"
    local deep = put(("["):rep(100000))
    local _, message, code = fleet:result(path, 120)
    assert.same({ "bad option 'rootfs': it names something of this host, which a client may not", "bad_option" }, { message, code })
    for _, id in ipairs{ garbage, deep } do
      _, message, code = fleet:result(id, 120)
      assert.same({ "what came as a job is none", "bad_option" }, { message, code })
    end
    -- And another's answers.
    broker:ask("HSET", "{judge}:res:5-5.aa", "r", '{"result":{"status":"exited","ok":"yes","exit_code":"7","files":{"a":5,"b":"c"},"evil":{},"limits":3}}')
    local r = assert(fleet:result "5-5.aa")
    assert.same({ "exited", nil, nil, { b = "c" }, nil, {} }, { r.status, r.ok, r.exit_code, r.files, r.evil, r.limits })
    broker:ask("HSET", "{judge}:res:6-6.aa", "r", "[]")
    assert.equal("system", select(3, fleet:result "6-6.aa"))
  end)

  it("drains, and leaves no sandbox", function()
    local id = assert(fleet:submit{ "sh", "-c", "echo on; sleep 0.5; echo done" })
    assert.is_true(h.eventually(function() return assert(fleet:stats()).running == 1 end))
    fleets.signal(worker, "TERM")
    assert.equal("on\ndone\n", assert(fleet:result(id, 120)).stdout)
    assert.is_true(fleets.gone(worker))
    assert.is_truthy(broker:log("judge"):find " 0 not answered\n$")
    assert.same({}, assert(fleet:stats()).workers)
  end)
end)
