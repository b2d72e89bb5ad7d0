-- SPDX-License-Identifier: MIT
-- Two programs that talk to each other, and end together.
local env = require "support.harness"
local sb, core, sandbox = env.sb, env.core, env.sandbox
local LIMITS = { timeout = 60 * env.slow, memory = "128M" }

describe("two programs", function()
  local before
  setup(function()
    assert(sb:run{ "true" })
    before = env.census()
  end)

  it("hear each other, and what they said is told", function()
    local a, b, said = sb:interact({ "sh", "-c", "echo one; read x; echo got $x >&2; echo three; read y; exit 3" }, { "sh", "-c", "read x; echo two; read x; echo err >&2; echo four" },
      { limits = LIMITS })
    assert.same({ "exited", 3, "got two\n", nil, 10 }, { a.status, a.exit_code, a.stderr, a.stdout, a.stdout_bytes })
    assert.same({ true, "err\n", 60 * env.slow }, { b.ok, b.stderr, b.limits.timeout.requested })
    local words = {}
    for i, entry in ipairs(said) do words[i] = entry.from .. entry.data end
    assert.same({ "1one\n", "2two\n", "1three\n", "2four\n" }, words)
    assert.same({ false, 19 }, { said.truncated, said.bytes })
    for i = 2, #said do assert.is_true(said[i].at >= said[i - 1].at) end
  end)

  it("end together: the other's stdin ends, and then it is killed", function()
    local a, b = sb:interact({ "sh", "-c", "cat >/dev/null; exit 5" }, { "true" }, { limits = LIMITS })
    assert.same({ 5, true }, { a.exit_code, b.ok })
    a, b = sb:interact({ "true" }, { "sleep", "1000" }, { limits = LIMITS, grace = 0.1 })
    assert.same({ true, "killed", "killed: the other program had ended" }, { a.ok, b.status, b.message })
    a, b = sb:interact({ "sleep", "1000", limits = { timeout = 0.3 } }, { "sleep", "1000" }, { limits = LIMITS, grace = 0.1 })
    assert.same({ "timed_out", "killed" }, { a.status, b.status })
  end)

  it("lock nobody, whoever does not listen", function()
    local shout, deaf = { "sh", "-c", "yes 0123456789 | head -c 1500000; sleep 1000" }, { "sleep", "1000", limits = { timeout = 600 } }
    local limits, b, said = { output = "256K" }, nil, nil
    local a = env.given_time({ 2, 20 }, function(seconds)
      limits.timeout = seconds
      local r
      r, b, said = sb:interact(shout, deaf, { limits = limits, transcript = "64K" })
      return r.stdout_truncated, r
    end)
    assert.same({ "timed_out", true }, { a.status, a.stdout_truncated })
    assert.equal("killed", b.status)
    assert.is_true(said.truncated)
    assert.is_true(said.bytes > 65536 and said.bytes <= 256 * 1024)
    a, b = sb:interact(shout, shout, { limits = limits })
    assert.same({ true, true }, { a.stdout_truncated, b.stdout_truncated })
  end)

  it("keep no more of what they say than was asked for, however small the words", function()
    local chat = "for i in range(20000):\n print(i, flush=True)\n input()"
    local said
    local a = env.given_time({ 3, 20 }, function(seconds)
      local r, _, words = sb:interact({ "python3", "-c", chat, limits = { timeout = seconds } }, { "python3", "-c", "while True: print(input(), flush=True)" },
        { limits = LIMITS, transcript = "8K" })
      said = words
      return said.truncated, r
    end)
    assert.is_true(a.stdout_bytes > 1000)
    assert.is_true(said.truncated)
    assert.is_true(#said <= 8192 / 64)
    local _, _, none = sb:interact({ "true" }, { "true" }, { limits = LIMITS, transcript = false })
    assert.is_nil(none)
  end)

  it("say which of them cannot be started", function()
    local r, message, code = sb:interact({ "cat" }, { "no-such-program" }, { limits = LIMITS })
    assert.same({ nil, "bad_command" }, { r, code })
    assert.truthy(message:find("^the second program: "), message)
    for want, wrong in pairs{ ["program 2.stdin"] = { { "true" }, { "true", stdin = "x" } }, ["program 1.on_stdout"] = { { "true", on_stdout = print }, { "true" } },
                              ["program 2'"] = { { "true" } }, ["'grace'"] = { { "true" }, { "true" }, { grace = -1 } },
                              ["program 1.limits.memory"] = { { "true", limits = { memory = "x" } }, { "true" } } } do
      local ok, why = pcall(sb.interact, sb, wrong[1], wrong[2], wrong[3])
      assert.is_false(ok)
      assert.truthy(why:find(want, 1, true), why)
    end
  end)

  it("talk in a scheduler of the caller's, whether that blocks whoever waits in it or not", function()
    local function talk(wait)
      local own = sandbox.new{ state_dir = env.state_dir, boot_timeout = 30, wait = wait }
      local a, b, said = own:interact({ "sh", "-c", "echo one; read x; echo got $x >&2" }, { "sh", "-c", "read x; echo two" }, { limits = LIMITS })
      own:shutdown()
      return { a.stderr, b.ok, #said }
    end
    assert.same({ "got two\n", true, 2 }, talk(function(fd, events, seconds) return core.poll(fd, events, seconds) end))
    local co, seen = coroutine.create(talk), nil
    local function yields(...) return coroutine.yield(...) end
    local ok, fd, events, seconds = coroutine.resume(co, yields)
    while ok and coroutine.status(co) ~= "dead" do
      ok, fd, events, seconds = coroutine.resume(co, core.poll(fd, events, seconds))
      seen = fd
    end
    assert.same({ "got two\n", true, 2 }, seen)
  end)

  it("leave nothing behind", function() assert.is_nil(env.leftovers(before)) end)
end)
