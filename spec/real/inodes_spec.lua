-- SPDX-License-Identifier: MIT
-- `inodes`: files in /work and /tmp, counted together and exactly where they can be, and enough of them where nobody asks.
local env = require "support.harness"
local sb = env.sb
local SLOW = env.slow

-- Files by turns in each of the directories, until there can be no more: how many, and why not.
local FILL = [[
import sys
n = 0
try:
    while n < 5000:
        open(sys.argv[1 + n % (len(sys.argv) - 1)] + '/f' + str(n), 'w').close()
        n += 1
except OSError as e: print(n, e.strerror)
else: print(n)
]]

local function fill(...) return { "python3", "-c", FILL, ... } end

describe("inodes", function()
  local before
  setup(function()
    assert(sb:run{ "true" })
    before = env.census()
  end)

  it("is exact over /work and /tmp together, as root and for user 0", function()
    for _, users in ipairs(env.root and { 0, 65534 } or { 0 }) do
      local options = fill("/work", "/tmp")
      options.user, options.limits, options.files = users, { inodes = 100, timeout = 60 * SLOW }, { given = "one of them" }
      local r = assert(sb:run(options))
      assert.same({ "99 No space left on device\n", 100, "tmpfs", false }, { r.stdout, r.limits.inodes.requested, r.limits.inodes.enforced_by, r.disk_exceeded })
      assert.is_not_false(r.limits.inodes.hit)
    end
  end)

  it("and disk are two things", function()
    local options = fill("/tmp")
    options.user, options.limits = 0, { inodes = 50, disk = "4M", timeout = 60 * SLOW }
    local r = assert(sb:run(options))
    assert.same({ "50 No space left on device\n", false, "tmpfs" }, { r.stdout, r.disk_exceeded, r.limits.inodes.enforced_by })
    options.readonly, options.limits = false, { inodes = 1000, disk = "2M", timeout = 60 * SLOW }
    options[3] = "open('/work/x', 'w').write('x' * 4000000)"
    assert.is_true(assert(sb:run(options)).disk_exceeded)
  end)

  it("holds for a box as a whole", function()
    local box = assert(sb:start{ user = 0, limits = { inodes = 60 } })
    local r = assert(box:run(fill("/work", "/tmp")))
    assert.same({ "60 No space left on device\n", 60, "tmpfs" }, { r.stdout, r.limits.inodes.requested, r.limits.inodes.enforced_by })
    assert.has_error(function() box:run{ "true", limits = { inodes = 1 } } end)
    box:stop()
  end)

  it("that cannot be held is refused when it is asked for, and only then", function()
    local r = assert(sb:run{ "true" })
    assert.same({ 200000, nil, false }, { r.limits.inodes.requested, r.limits.inodes.enforced_by, r.limits.inodes.hit or false })
    assert.same({ nil, false }, { assert(sb:run{ "true", limits = { inodes = false } }).limits.inodes.requested, false })
    if env.root then return end
    local none, message, code = sb:run{ "true", limits = { inodes = 100 } }
    assert.same({ nil, "limit_unavailable" }, { none, code })
    assert.truthy(message:find("user = 0", 1, true))
    r = assert(sb:run{ "true", limits = { inodes = 100, best_effort = true } })
    assert.same({ 100, nil }, { r.limits.inodes.requested, r.limits.inodes.enforced_by })
  end)

  -- What a package manager unpacks: a small one has some thousands.
  it("are enough for programs by default", function()
    local r = assert(sb:run{ "python3", "-c", "import os\nfor d in ('/work', '/tmp'):\n v = os.statvfs(d)\n print(v.f_files == 0 or v.f_favail >= 50000)" })
    assert.equal("True\nTrue\n", r.stdout)
  end)

  it("leaves nothing behind", function()
    assert.is_nil(env.leftovers(before))
  end)
end)
