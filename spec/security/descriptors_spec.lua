-- SPDX-License-Identifier: MIT
-- CVE-2024-21626: a descriptor of the host's that reaches a guest, or a process that serves one.
local env = require "support.harness"
local sb, core = env.sb, env.core

describe("fifty descriptors of the host", function()
  local before, canaries, path, remove
  setup(function()
    assert(sb:run{ "true" })
    before = env.census()
    local dir
    dir, remove = env.tmpdir()
    path, canaries = env.write(dir .. "/canary", "s3cr3t"), {}
    for i = 1, 50 do canaries[i] = assert(io.open(path, "rb")) end -- inherited, as Lua opens them
  end)
  teardown(function() remove() end)

  it("are in no process of a run", function()
    local fresh = env.sandbox.new{ state_dir = env.state_dir, boot_timeout = 60, control = env.control }
    local job = assert(fresh:spawn{ "sh", "-c", "echo up; ls /proc/self/fd | wc -l; cat" })
    assert.equal("stdout", (job:read()))
    local seen = {}
    for _, pid in ipairs(core.readdir "/proc") do
      if pid:match "^%d+$" and (env.slurp("/proc/" .. pid .. "/cmdline"):find(env.state_dir, 1, true) or env.slurp("/proc/" .. pid .. "/comm"):find "^sandbox%-s") then
        for _, fd in ipairs(core.readdir("/proc/" .. pid .. "/fd") or {}) do
          if core.realpath(("/proc/%s/fd/%s"):format(pid, fd)) == path and tonumber(pid) ~= core.getpid() then seen[#seen + 1] = pid .. ":" .. fd end
        end
      end
    end
    job:kill()
    job:close()
    fresh:shutdown()
    assert.same({}, seen)
  end)

  it("are no way to a place, whatever cwd names one", function()
    for fd = 3, 12 do
      local r, _, code = sb:run{ "sh", "-c", "ls -a .; cat canary", cwd = "/proc/self/fd/" .. fd }
      assert.is_true(r == nil and (code == "bad_command" or code == "bad_rootfs") or r ~= nil and not r.stdout:find "s3cr3t", fd)
    end
  end)

  it("stay open and are where they were", function()
    for i, file in ipairs(canaries) do
      assert.same({ i, "s3cr3t" }, { i, (file:read "*a") })
      file:close()
    end
    assert.equal(50, #canaries)
  end)

  it("leave nothing behind", function() assert.is_nil(env.leftovers(before)) end)
end)
