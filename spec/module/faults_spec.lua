-- SPDX-License-Identifier: MIT
-- System calls that fail in the supervisor and in the host: a few of what `make faults` tries one by one.
local env = require "support.harness"
if not env.root then return end -- strace must attach to what is no child of its
local faults = require "support.faults"
local sb = env.sb

describe("a system call that fails", function()
  local before
  setup(function()
    assert(sb:run{ "true" })
    assert(sb:run{ "true", collect = { "x" } })
    before = env.census()
  end)

  for _, row in ipairs{
    -- Found here: the new directory stayed where it could not be opened.
    { "run", "openat", "EMFILE", 1, "system" }, { "run", "mkdirat", "ENOSPC", 2, "system" }, { "run", "mount", "EPERM", 1, "not_supported" },
    { "run", "clone", "EAGAIN", 1, "system" }, { "files", "pipe2", "EMFILE", 1, "system" }, { "host", "socketpair", "EMFILE", 1, "system" },
    -- Found here: a frame that could not be sent was waited for at the other end, for ever.
    { "host", "sendto", "ENOMEM", 2, "supervisor_lost" },
  } do
    local scenario, call, errno, n, code = row[1], row[2], row[3], row[4], row[5]
    it(("%s, the %d. with %s: an error in words, and nothing is left"):format(call, n, errno), function()
      local out, why = faults.one(scenario, call, errno, n, before)
      assert(out, why)
      assert.is_true(out.injected > 0)
      assert.same({ nil, nil, code }, { out.wrong and out.what, out.left or out.later, out.what:match "^[%w_]+" })
    end)
  end

  it("leaves nothing behind", function() assert.is_nil(env.leftovers(before)) end)
end)
