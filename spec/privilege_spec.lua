-- SPDX-License-Identifier: MIT
-- Which ways of making a sandbox are tried in which place.
local privilege = require "sandbox.machine.privilege"

local ALL, DOCKER = "000001ffffffffff", "00000000a80425fb" -- CapEff of root, and of root in a container of Docker's
local WHOLE = "         0          0 4294967295\n"

local function place(uid, caps, seccomp, map, more)
  local files = {
    ["/proc/self/uid_map"] = map, ["/proc/self/attr/apparmor/current"] = more and more.apparmor,
  }
  local core = {
    getuid = function() return uid end, privileges = function() return caps, more and more.nnp or false, seccomp == 2 end,
    stat = function() return more and more.ns and { ino = more.ns } end,
  }
  return privilege.here(core, function(path) return files[path] end)
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
    local keys, n = {}, 0
    for _, here in ipairs{ place(0, ALL, 0, WHOLE), place(0, ALL, 2, WHOLE), place(0, DOCKER, 2, WHOLE), place(0, ALL, 0, WHOLE, { nnp = true }),
                           place(0, ALL, 0, WHOLE, { apparmor = "docker-default (enforce)\n" }), place(1, ALL, 0, WHOLE),
                           place(0, ALL, 0, WHOLE, { ns = 8 }) } do
      keys[privilege.key(here)], n = true, n + 1
    end
    for _ in pairs(keys) do n = n - 1 end
    assert.equal(0, n)
    assert.equal("docker-default (enforce)", place(0, ALL, 0, WHOLE, { apparmor = "docker-default (enforce)\n" }).apparmor)
    assert.is_nil(place(0, ALL, 0, WHOLE, { apparmor = "unconfined\n" }).apparmor)
    assert.equal(65537, place(0, ALL, 0, "0 1000 1\n1 100000 65536\n").ids)
  end)

  it("reads a namespace's map of ids once it has been written", function()
    assert.equal(0, place(0, ALL, 0, "", { ns = 9 }).ids)
    assert.equal(1, place(0, ALL, 0, "0 1000 1\n", { ns = 9 }).ids)
    assert.equal(1, place(0, ALL, 0, "0 0 4294967295\n", { ns = 9 }).ids)
    assert.equal(4294967295, place(0, ALL, 0, "0 0 4294967295\n", { ns = 10 }).ids)
  end)

  it("is told by what the kernel says", function()
    local core = require "sandbox.core"
    local caps, no_new_privs, seccomp = core.privileges()
    local file = assert(io.open "/proc/self/status")
    local status = file:read "*a"
    file:close()
    assert.equal(status:match "CapEff:%s+(%x+)", caps)
    assert.equal(status:match "NoNewPrivs:%s+(%d)" == "1", no_new_privs)
    assert.equal(status:match "Seccomp:%s+(%d)" == "2", seccomp)
  end)
end)
