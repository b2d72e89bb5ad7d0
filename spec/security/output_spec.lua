-- SPDX-License-Identifier: MIT
-- Floods (snekbox's issue 81): of what a guest says the host holds what it asked for, and counts the rest.
local env = require "support.harness"
local sb = env.sb

local function status(key) return tonumber(env.slurp("/proc/self/status"):match(key .. ":%s*(%d+)")) end

-- By how many MiB the host was larger than before at any moment of f.
local function growth(f)
  collectgarbage()
  collectgarbage()
  local file = assert(io.open("/proc/self/clear_refs", "w"))
  file:write "5" -- the peak begins anew (proc(5))
  file:close()
  local before = status "VmRSS"
  local r = f()
  return (status "VmHWM" - before) / 1024, r
end

describe("a flood", function()
  local before
  setup(function()
    assert(sb:run{ "echo", "x", limits = { output = "1M" } })
    before = env.census()
  end)

  for _, keep in ipairs{ "head", "tail" } do
    it("on both streams with no newline leaves the host as small as its limit: " .. keep, function()
      local grown, r = growth(function()
        return assert(sb:run{ "sh", "-c", "head -c 100000000 /dev/zero & head -c 50000000 /dev/zero >&2; wait", limits = { output = "1M", output_keep = keep, timeout = 120 * env.slow } })
      end)
      assert.same({ "exited", "stdout_truncated stderr_truncated", 100000000, 50000000, 2 ^ 20, 2 ^ 20 },
        { r.status, env.flags_of(r), r.stdout_bytes, r.stderr_bytes, #r.stdout, #r.stderr })
      assert.is_true(grown < 32, grown)
    end)
  end

  it("that nobody reads waits in the guest", function()
    local grown = growth(function()
      local job = assert(sb:spawn{ "cat", "/dev/zero", limits = { output = "1M", output_kill = false, timeout = false } })
      assert(job:read "stdout")
      assert.is_true(env.eventually(function()
        job:step()
        return true
      end))
      job:kill()
      local r = assert(job:wait())
      assert.equal("killed", r.status)
      job:close()
    end)
    assert.is_true(grown < 32, grown)
  end)

  it("leaves nothing behind", function() assert.is_nil(env.leftovers(before)) end)
end)
