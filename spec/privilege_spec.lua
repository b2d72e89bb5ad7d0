-- SPDX-License-Identifier: MIT
-- Which ways of making a sandbox are tried in which place.
local privilege = require "sandbox.machine.privilege"

local ALL, DOCKER = "000001ffffffffff", "00000000a80425fb" -- CapEff of root, and of root in a container of Docker's
local WHOLE = "         0          0 4294967295\n"

local function place(uid, caps, seccomp, map, more)
  local files = {
    ["/proc/self/status"] = ("Name:\tlua\nCapEff:\t%s\nNoNewPrivs:\t%d\nSeccomp:\t%d\nSeccomp_filters:\t1\n"):format(caps, more and more.nnp or 0, seccomp),
    ["/proc/self/uid_map"] = map, ["/proc/self/attr/apparmor/current"] = more and more.apparmor,
  }
  return privilege.here({ getuid = function() return uid end }, function(path) return files[path] end)
end

describe("rootless", function()
  local function ways(option, ...) return (privilege.ways(place(...), option)) end

  it("auto is root's way where all is as root is used to", function()
    assert.same({ false }, ways("auto", 0, ALL, 0, WHOLE))
  end)

  it("auto is the other way for users, and for root without CAP_SYS_ADMIN", function()
    assert.same({ true }, ways("auto", 1000, "0000000000000000", 0, WHOLE))
    assert.same({ true }, ways("auto", 0, DOCKER, 2, WHOLE))
    assert.same({ true }, ways("auto", 0, "0000000000000000", 2, WHOLE))
  end)

  it("auto tries both where a filter or a user namespace may forbid the first", function()
    assert.same({ false, true }, ways("auto", 0, ALL, 2, WHOLE))
    assert.same({ false, true }, ways("auto", 0, ALL, 0, "         0       1000          1\n"))
    assert.same({ false, true }, ways("auto", 0, ALL, 0, "         0       1000          1\n         1     100000      65536\n"))
  end)

  it("true and false are done as said", function()
    assert.same({ true }, ways(true, 0, ALL, 0, WHOLE))
    assert.same({ false }, ways(false, 0, DOCKER, 2, WHOLE))
    assert.same({ nil, "rootless = false needs root", "not_supported" }, { privilege.ways(place(1000, DOCKER, 0, WHOLE), false) })
  end)

  it("is remembered by what may make a difference", function()
    local core, keys, n = { stat = function() return { ino = 7 } end }, {}, 0
    for _, here in ipairs{ place(0, ALL, 0, WHOLE), place(0, ALL, 2, WHOLE), place(0, DOCKER, 2, WHOLE), place(0, ALL, 0, WHOLE, { nnp = 1 }),
                           place(0, ALL, 0, WHOLE, { apparmor = "docker-default (enforce)\n" }), place(1, ALL, 0, WHOLE) } do
      keys[privilege.key(here, core)], n = true, n + 1
    end
    for _ in pairs(keys) do n = n - 1 end
    assert.equal(0, n)
    assert.equal("docker-default (enforce)", place(0, ALL, 0, WHOLE, { apparmor = "docker-default (enforce)\n" }).apparmor)
    assert.is_nil(place(0, ALL, 0, WHOLE, { apparmor = "unconfined\n" }).apparmor)
    assert.equal(65537, place(0, ALL, 0, "0 1000 1\n1 100000 65536\n").ids)
  end)
end)
