-- SPDX-License-Identifier: MIT
-- Many runs at once: the queue, the turns to boot, an instance that is closed in the middle, and who sweeps what.
local env = require "support.harness"
local sandbox, core = env.sandbox, env.core
local RUNS = tonumber(os.getenv "SANDBOX_TEST_RUNS") or 40

local function new(options)
  options.state_dir, options.boot_timeout = env.state_dir, 30
  return sandbox.new(options)
end

local function numbers(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end

-- The pid of a run's supervisor: the parent of its runsc.
local function supervisor_of(job)
  return tonumber(env.slurp(("/proc/%d/stat"):format(job:pid())):match "^%d+ %(.*%) %a (%d+)")
end

describe("many runs", function()
  local before
  setup(function()
    assert(env.sb:run{ "true" })
    before = env.census()
  end)

  it(("%d through four turns, closed in the middle: no result is lost"):format(RUNS), function()
    local started, order = {}, {}
    local sb = new{ max_concurrent = 4, logger = function(_, message, fields)
      if message == "started" then started[#started + 1] = fields.id end
    end }
    local results, closed, most = 0, 0, 0
    sandbox.map(numbers(RUNS), RUNS, function(i)
      local r, message, code = sb:run{ "echo", tostring(i) }
      most = math.max(most, sb:active())
      if r then
        assert(r.stdout == i .. "\n" and r.ok, r.message or r.stdout)
        results, order[r.id] = results + 1, i
      else
        assert(code == "closed", message)
        closed = closed + 1
      end
      if results == RUNS / 2 then sb:close() end
      return true
    end)
    assert.equal(RUNS, results + closed)
    assert.is_true(results >= RUNS / 2 and closed > 0)
    assert.is_true(most <= 4)
    local last = 0
    for _, id in ipairs(started) do -- they end as they like, but begin in the order of the queue
      if order[id] then
        assert.is_true(order[id] > last)
        last = order[id]
      end
    end
    assert.is_true(last > RUNS / 2 - 4)
    local m = sb:metrics()
    assert.same({ results, closed }, { m.runs.exited, m.errors.closed })
    assert.equal(results, m.histograms.boot.count)
  end)

  it("boot in turn, and none is out of its boot_timeout for want of one", function()
    local sb = new{}
    sandbox.map(numbers(24), 24, function() return assert(sb:run{ "true" }) end)
    local waits = 0
    for _, wait in ipairs(sandbox.map(numbers(12), 12, function() return assert(sb:run{ "true" }).queue_duration end)) do
      if wait > 0.001 then waits = waits + 1 end
    end
    assert.is_true(waits > 0, "with twelve at once some waited")
    sb:close()
  end)

  it("share a directory: cleanup_stale removes what a crash left, and only that", function()
    local one, two, third = new{}, new{}, new{}
    local crashes, removed, running = 6, 0, 2
    sandbox.loop(function()
      for _, sb in ipairs{ one, two } do
        sandbox.go(function()
          sandbox.map(numbers(10), 2, function(i)
            local r = assert(sb:run{ "sh", "-c", "cat x; sleep 0.1", files = { x = tostring(i) } })
            assert(r.ok and r.stdout == tostring(i), r.message)
            return true
          end)
          running = running - 1
        end)
      end
      sandbox.go(function()
        for _ = 1, crashes do
          local job = assert(third:spawn{ "sh", "-c", "echo up; sleep 1000", limits = { timeout = false } })
          assert(job:read "stdout" == "up\n")
          os.execute("kill -9 " .. supervisor_of(job))
          local r, message, code = job:wait()
          assert(r == nil and code == "supervisor_lost", message)
          job:close()
        end
        running = running - 1
      end)
      running = running + 1
      local deadline = core.now() + 120
      while (running > 0 or removed < crashes) and core.now() < deadline do
        removed = removed + assert(two:cleanup_stale())
        sandbox.sleep(0.01)
      end
    end)
    assert.equal(0, running)
    assert.equal(crashes, removed)
    assert.equal(0, one:cleanup_stale())
    for _, sb in ipairs{ one, two, third } do sb:close() end
  end)

  it("leaves nothing behind", function()
    assert.is_nil(env.leftovers(before))
  end)
end)
