-- SPDX-License-Identifier: MIT
-- Whatever dies, each job is answered, and once. Workers here have no sandboxes: it is about the queue (fleet_spec has them).
-- SANDBOX_TEST_FLEET_ROUNDS is how often each fault happens: scripts/fleet.sh.
local h = require "support.harness"
local fleets = require "support.fleet"
local sandbox = h.sandbox

local ROUNDS = tonumber(os.getenv "SANDBOX_TEST_FLEET_ROUNDS") or 1
local JOBS = 12 -- beside the one that is struck

describe("a fleet", function()
  local broker, before
  setup(function()
    before = h.census()
    broker = fleets.broker()
  end)
  teardown(function() broker:stop() end)

  -- Submits jobs around those that do what is given, in the middle of the load; id -> word.
  local number = 0
  local function load_with(fleet, ...)
    local jobs = {}
    local function submit(...)
      number = number + 1
      local word = "w" .. number
      local id = assert(fleet:submit({ "say", word, ... }))
      jobs[id] = word
      return id
    end
    for _ = 1, JOBS / 2 do submit("0.01") end
    for _, does in ipairs{ ... } do submit(does) end
    for _ = 1, JOBS / 2 do submit("0.01") end
    return jobs
  end

  local function settled(fleet, queue, jobs)
    local got = broker:settled(fleet, queue, jobs)
    got.answered = nil
    assert.same(fleets.SETTLED, got)
  end

  for _, step in ipairs{ "read", "run", "finish", "answer" } do
    it("loses nothing when a worker is killed at: " .. step, function()
      local queue = "die-" .. step
      local fleet = broker:fleet(queue)
      for _ = 1, ROUNDS do
        local first, second = broker:worker(queue), broker:worker(queue)
        local jobs = load_with(fleet, "die-" .. step)
        settled(fleet, queue, jobs)
        -- It was one of them that died of it, and only one.
        assert.is_true(h.eventually(function() return not fleets.lives(first) or not fleets.lives(second) end))
        assert.is_true(fleets.lives(first) or fleets.lives(second))
        for _, pid in ipairs{ first, second } do fleets.signal(pid, "KILL") end
      end
      fleet:close()
    end)
  end

  it("loses nothing when the broker is killed and comes back", function()
    local fleet = broker:fleet "restart"
    broker:worker("restart")
    broker:worker("restart")
    for _ = 1, ROUNDS do
      local jobs = load_with(fleet, "0.3", "0.3")
      broker:kill()
      broker:start()
      settled(fleet, "restart", jobs)
    end
    fleet:close()
  end)

  it("loses nothing when connections are cut", function()
    local fleet = broker:fleet "cut"
    broker:worker("cut")
    broker:worker("cut")
    for _ = 1, ROUNDS do
      local jobs = load_with(fleet, "0.2", "0.2")
      broker:ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
      settled(fleet, "cut", jobs)
    end
    fleet:close()
  end)

  it("gives a stopped worker's job to another, and does not hear the late one", function()
    local fleet = broker:fleet "late"
    for _ = 1, ROUNDS do
      local first = broker:worker("late", 1)
      local id = assert(fleet:submit{ "say", "late", "0.05" })
      local before_it = assert(fleet:stats()).counts.fenced or 0
      -- In hand there: it has been delivered once.
      assert.is_true(h.eventually(function() return assert(fleet:stats()).running == 1 or fleet:result(id, 0) end))
      fleets.signal(first, "STOP")
      local done_before = fleet:result(id, 0)
      local second = broker:worker("late", 1)
      local r = assert(fleet:result(id, 120))
      assert.equal("late", r.stdout)
      fleets.signal(first, "CONT")
      if not done_before then
        -- It goes on where it stood: it answers, or is told that it is not its job any more. Neither changes anything.
        assert.is_true(h.eventually(function() return (assert(fleet:stats()).counts.fenced or 0) > before_it or broker:log("late"):find "another worker has it" end))
      end
      settled(fleet, "late", { [id] = "late" })
      for _, pid in ipairs{ first, second } do fleets.signal(pid, "KILL") end
    end
    fleet:close()
  end)

  it("keeps what is in hand by its beat", function()
    local fleet = broker:fleet "beat"
    local pid = broker:worker("beat", 1) -- alone and with one slot, so that nobody takes it over
    local id = assert(fleet:submit{ "say", "beat", "600" })
    assert.is_true(h.eventually(function() return assert(fleet:stats()).running == 1 end))
    local idle, beaten = 0, false
    assert.is_true(h.eventually(function()
      local entry = broker:ask("XPENDING", "{beat}:jobs", "workers", "-", "+", "1")[1]
      if entry then
        assert.equal(1, entry[4]) -- which was delivered once
        beaten, idle = entry[3] < idle, entry[3]
      end
      return beaten
    end))
    assert.is_true(fleet:cancel(id))
    assert.equal("closed", select(3, fleet:result(id, 120)))
    fleets.signal(pid, "KILL")
    fleet:close()
  end)

  it("runs one job for a key, however often it is submitted", function()
    local fleet, other = broker:fleet "twice", broker:fleet "twice"
    broker:worker("twice")
    for round = 1, ROUNDS do
      local key = ("submission %d \0\255"):format(round)
      assert.equal("not_found", select(3, other:find(key)))
      local id = assert(fleet:submit({ "say", "once" }, { key = key, note = " of\0 a\n" }))
      assert.equal(id, other:submit({ "say", "twice" }, { key = key, note = "another" }))
      assert.same({ id, " of\0 a\n" }, { other:find(key) })
      assert.equal("once", assert(other:run({ "say", "twice" }, { key = key })).stdout)
      settled(fleet, "twice", { [id] = "once" })
    end
    assert.equal(ROUNDS, assert(fleet:stats()).counts.answered)
    assert.has_error(function() fleet:find "" end)
    assert.has_error(function() fleet:submit({ "say", "x" }, { key = "k", note = ("x"):rep(4097) }) end)
    fleet:close()
    other:close()
  end)

  it("gives a job up under which every worker dies", function()
    local fleet = broker:fleet "poison"
    for _ = 1, ROUNDS do
      local dead = assert(fleet:stats()).dead
      local id = assert(fleet:submit{ "say", "poison", "die-always" })
      local good = assert(fleet:submit{ "say", "good" })
      local r, message, code
      -- Somebody starts workers again, as systemd does.
      assert.is_true(h.eventually(function()
        local pid = broker:worker("poison", 1, 1, 2)
        h.eventually(function()
          r, message, code = fleet:result(id, 0.1)
          return code ~= "timeout" or not fleets.lives(pid)
        end)
        return code ~= "timeout"
      end))
      assert.same({ nil, "given up: 2 workers ended under it", "lost" }, { r, message, code })
      assert.equal("good", assert(fleet:result(good, 120)).stdout)
      assert.equal(dead + 1, assert(fleet:stats()).dead)
      assert.equal(0, broker:ask("XLEN", "{poison}:jobs"))
    end
    for _, pid in ipairs(broker.workers) do fleets.signal(pid, "KILL") end
    fleet:close()
  end)

  it("says busy where the queue is full", function()
    local fleet = broker:fleet("full", { max_jobs = 5 })
    for _ = 1, ROUNDS do
      local jobs = {}
      for i = 1, 5 do jobs[assert(fleet:submit({ "say", "f" .. i }, i == 3 and { needs = { "red", "blue", "red" } } or nil))] = "f" .. i end
      assert.same({ nil, "the queue is full: 5 jobs wait or run", "busy" }, { fleet:submit{ "say", "more" } })
      assert.equal(5, assert(fleet:stats()).queued)
      local pid = broker:worker("full")
      settled(fleet, "full", jobs)
      assert.is_truthy(fleet:submit{ "say", "more" })
      assert.is_true(h.eventually(function() return assert(fleet:stats()).running + assert(fleet:stats()).queued == 0 end))
      fleets.signal(pid, "KILL")
      assert.is_true(fleets.gone(pid))
    end
    fleet:close()
  end)

  it("cancels at any moment", function()
    local fleet = broker:fleet "cancel"
    broker:worker("cancel")
    for round = 1, ROUNDS * 4 do
      local id = assert(fleet:submit{ "say", "c", round % 2 == 0 and "60" or "0.02" })
      if round % 4 == 0 then
        assert.is_true(h.eventually(function() return assert(fleet:stats()).running == 1 end))
      else
        sandbox.sleep(math.random() * 0.04)
      end
      local cancelled = fleet:cancel(id)
      local r, message, code = fleet:result(id, 120)
      if r then -- it was done, or as good as done
        assert.equal("c", r.stdout)
        assert.equal(1, round % 2)
      else
        assert.same({ true, "the job was cancelled", "closed" }, { cancelled, message, code })
      end
      assert.is_false(fleet:cancel(id))
      assert.equal(1, broker:ask("LLEN", "{cancel}:done:" .. id))
    end
    assert.equal(0, broker:ask("XLEN", "{cancel}:jobs"))
    fleet:close()
  end)

  it("keeps two queues in one broker apart", function()
    local red, blue = broker:fleet "red", broker:fleet "blue"
    broker:worker "red"
    for _ = 1, ROUNDS do
      local jobs = load_with(red)
      local waiting = assert(blue:submit{ "say", "blue" })
      settled(red, "red", jobs)
      assert.equal("timeout", select(3, blue:result(waiting, 0)))
      assert.equal("not_found", select(3, red:result(waiting, 0)))
      assert.same({ 1, 0 }, { assert(blue:stats()).queued, assert(red:stats()).queued })
      local pid = broker:worker("blue")
      settled(blue, "blue", { [waiting] = "blue" })
      fleets.signal(pid, "KILL")
      assert.is_true(fleets.gone(pid))
    end
    red:close()
    blue:close()
  end)

  it("drains: what is in hand is done, and nothing more is taken", function()
    local fleet = broker:fleet "drain"
    for _ = 1, ROUNDS do
      local pid = broker:worker("drain", 1)
      local id = assert(fleet:submit{ "say", "in hand", "0.5" })
      assert.is_true(h.eventually(function() return assert(fleet:stats()).running == 1 end))
      fleets.signal(pid, "TERM")
      assert.equal("in hand", assert(fleet:result(id, 120)).stdout)
      assert.is_true(fleets.gone(pid))
      assert.is_truthy(broker:log("drain"):find "drained: 1 answered, 0 another's, 0 not answered\n$")
      assert.same({ {}, 0 }, { assert(fleet:stats()).workers, #broker:ask("XINFO", "CONSUMERS", "{drain}:jobs", "workers") })
      local later = assert(fleet:submit{ "say", "later" })
      assert.equal("timeout", select(3, fleet:result(later, 0)))
      assert.is_true(fleet:cancel(later))
    end
    fleet:close()
  end)

  it("drains where the broker is away, since or from the start", function()
    local pids = { since = broker:worker "since" }
    assert.is_true(h.eventually(function() return broker:log("since"):find("works on", 1, true) end))
    broker:kill()
    pids.late = broker:worker "late"
    for queue, pid in pairs(pids) do
      assert.is_true(h.eventually(function() return broker:log(queue):find("cannot be reached", 1, true) end))
      fleets.signal(pid, "TERM")
      assert.is_true(fleets.gone(pid))
    end
    broker:start()
  end)

  it("takes jobs where what they need is there, and only there", function()
    local fleet = broker:fleet "needs"
    broker:worker("needs")
    local able, unable = assert(fleet:submit({ "say", "able" }, { needs = { "red" } })), assert(fleet:submit({ "say", "unable" }, { needs = { "red", "gpu" } }))
    assert.equal("able", assert(fleet:result(able, 120)).stdout)
    assert.equal("good", assert(fleet:run{ "say", "good" }).stdout)
    local of = assert(fleet:stats()).needs["gpu,red"]
    assert.same({ 1, 0 }, { of.queued, of.running })
    assert.is_true(of.age > 0)
    assert.is_true(fleet:cancel(unable))
    fleet:close()
  end)

  it("leaves nothing", function()
    for _, pid in ipairs(broker.workers) do fleets.signal(pid, "KILL") end
    broker.client:close()
    assert.is_nil(h.leftovers(before))
  end)
end)
