-- SPDX-License-Identifier: MIT
-- What a guest's processes do to each other, to init, to our helper and to the verdict.
local env = require "support.harness"
local attack = require "support.attack"
local sb, core = env.sb, env.core

describe("a hostile process", function()
  local before, path, remove
  setup(function()
    assert(sb:run{ "true" })
    before = env.census()
    path, remove = attack.compile()
  end)
  teardown(function() remove() end)

  local function options(...) return attack.options(path, { ... }) end
  local function run(...) return assert(sb:run(options(...))) end

  -- Found here: a helper that was stopped or killed lost the verdict and held the caller up for half a minute.
  it("that signals all there is neither takes the files nor the verdict of its program", function()
    for _, signal in ipairs{ 19, 9 } do
      local o = options("signal_all", signal)
      o.collect = { "out" }
      local r, message = sb:run(o)
      assert(r, message)
      local own = r.status == "exited" and r.exit_code == 5 or r.status == "signaled" or r.status == "timed_out"
      assert.same({ signal, true, "hello" }, { signal, own, r.files.out })
      assert.is_true(r.total_duration - r.boot_duration - r.duration - r.queue_duration < 5 * env.slow)
    end
  end)

  it("that goes for init ends nothing but itself", function()
    local o = options("init")
    o.collect = { "none" }
    local r = assert(sb:run(o))
    assert.same({ "exited", 4, { none = "missing" } }, { r.status, r.exit_code, r.files_skipped })
  end)

  it("that closes its stdio is known by its status", function()
    local r = run "without_stdio"
    assert.same({ "exited", 7, "" }, { r.status, r.exit_code, r.stdout })
  end)

  -- Found here: a result that waited for what was written after the end.
  it("that writes on is not waited for", function()
    local box = assert(sb:start{})
    local o = options "write_after"
    local began = core.now()
    local r = assert(box:run(o))
    assert.same({ "exited", 3 }, { r.status, r.exit_code })
    assert.is_true(core.now() - began < 30 * env.slow)
    box:stop()
  end)

  -- CVE-2019-5736, CVE-2024-21626: what is reached through /proc.
  it("reaches no other through /proc, ptrace or signals", function()
    local r = run "others"
    assert.same({ "exited", 0, "" }, { r.status, r.exit_code, r.stdout })
  end)

  it("gets no namespace of its own, nor into another's, also as uid 0", function()
    for _, user in ipairs{ 65534, 0 } do
      local o = options "namespaces"
      o.user = user
      local r = assert(sb:run(o))
      assert.same({ "exited", "" }, { r.status, r.stdout })
    end
  end)

  -- runsc's own 128, the shell's 125 to 127, and words like a runtime's.
  it("that speaks like a runtime is a program all the same", function()
    for _, status in ipairs{ 125, 126, 127, 128, 137, 255 } do
      local r = assert(sb:run{ "sh", "-c", "echo 'running container: starting container: failed to load' >&2; exit " .. status })
      assert.same({ "exited", status }, { r.status, r.exit_code })
    end
  end)

  it("leaves nothing behind", function() assert.is_nil(env.leftovers(before)) end)
end)
