-- SPDX-License-Identifier: MIT
-- What a guest sees of the world around it: its limits, not the machine's size.
local h = require "support.harness"

describe("a guest's surroundings", function()
  local before
  setup(function()
    assert(h.sb:run{ "true" })
    before = h.census()
  end)

  it("are as large as its memory limit", function()
    local r = assert(h.sb:run{ "sh", "-c", "grep MemTotal /proc/meminfo", limits = { memory = "96M" } })
    assert.are.equal("MemTotal: 98304 kB\n", (r.stdout:gsub(" +", " ")))
  end)

  it("leave nothing behind", function() assert.is_nil(h.leftovers(before)) end)
end)
