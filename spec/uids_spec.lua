-- SPDX-License-Identifier: MIT
-- Which ids of the host are guests', on machines that this one is not.
local uids = require "sandbox.machine.uids"

local ALL = "         0          0 4294967295\n"

local function machine(files)
  return function(path) return files[path] or path == "/proc/self/uid_map" and ALL or nil end
end

describe("the ids of guests", function()
  it("are nobody's subordinate ones, and nobody's own", function()
    local first = uids.FIRST
    assert.equal(first, uids.choose(nil, machine{ ["/etc/subuid"] = "alice:100000:65536\nbob:165536:65536\n" }))
    for _, row in ipairs{ { "/etc/subuid", "alice:%d:1\n" }, { "/etc/subgid", "# none\nalice:%d:1\n" }, { "/etc/passwd", "al:x:%d:1::/:/bin/sh\n" },
                          { "/etc/group", "al:x:%d:\n" } } do
      assert.equal(first + 65536, (uids.choose(nil, machine{ [row[1]] = row[2]:format(first + 65535) })), row[1])
      assert.equal(first, (uids.choose(nil, machine{ [row[1]] = row[2]:format(first + 65536) })), row[1])
    end
    assert.equal(first + 3 * 65536, (uids.choose(nil, machine{ ["/etc/subuid"] = ("a:%d:131073\n"):format(first) })))
  end)

  it("stay what they were until somebody gets them", function()
    assert.equal(700000, uids.choose(700000, machine{}))
    assert.equal(uids.FIRST, uids.choose(700000, machine{ ["/etc/subgid"] = "alice:765535:65536\n" }))
    local range = uids.owner(100000, uids.taken(machine{ ["/etc/subuid"] = "alice:100000:65536\n" }))
    assert.same({ "alice", "/etc/subuid" }, { range.who, range.path })
  end)

  it("are some that there are", function()
    assert.equal(524288, uids.choose(nil, machine{ ["/proc/self/uid_map"] = "0 100000 589824\n" }))
    assert.equal(458752, (uids.choose(nil, machine{ ["/proc/self/uid_map"] = "0 100000 589824\n", ["/etc/subuid"] = "a:524288:1\n" })))
    local none, message = uids.choose(nil, machine{ ["/proc/self/uid_map"] = "0 100000 65536\n" })
    assert.is_nil(none)
    assert.truthy(message:find("map_base", 1, true))
  end)
end)
