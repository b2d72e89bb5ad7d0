-- SPDX-License-Identifier: MIT
-- Where runs live, on file systems that are full, have no files left, run nothing or are read-only: small ones of our own, in a private
-- mount namespace.
local h = require "support.harness"

-- What a run says there, and where it lives.
local SCRIPT = [[local sb = require "sandbox".new{ state_dir = os.getenv "STATE", boot_timeout = 30 }
local r, message = sb:run{ "echo", "hi" }
print(r and r.stdout .. sb:version().state_dir or message)]]

describe("the state directory", function()
  local dir, remove
  setup(function()
    dir, remove = h.tmpdir()
    h.write(dir .. "/s.lua", SCRIPT)
  end)
  teardown(function() remove() end)

  -- `mounted` is what is mounted in a place before, `state` the option.
  local function runs(mounted, place, state, fill)
    local pipe = io.popen(("unshare %s --propagation private sh -c 'mount -t tmpfs -o %s tmpfs %s && %s %s exec %s %s/s.lua' 2>&1"):format(
      h.root and "-m" or "-Urm", mounted, place, fill or "", state and "STATE=" .. state or "", h.core.realpath "/proc/self/exe", dir))
    local out = pipe:read "*a"
    pipe:close()
    return out
  end

  it("is another of the usual ones where that of root cannot be had", function()
    for _, mounted in ipairs(h.root and { "ro", "size=4k", "nr_inodes=1" } or { "ro" }) do
      local out = runs(mounted, "/run")
      local where = out:match "^hi\n(.*)/lua%-sandbox[-0]*\n$"
      assert.is_truthy(where == "/tmp" or where == "/var/tmp" or where == os.getenv "XDG_RUNTIME_DIR", mounted .. ": " .. out)
    end
  end)

  it("that is named and cannot be had is told in words", function()
    local place = dir .. "/m"
    assert(h.core.mkdir(place, tonumber("755", 8)))
    for mounted, words in pairs{ ro = "Read-only file system", ["nr_inodes=2"] = "No space left on device" } do
      local out = runs(mounted, place, place .. "/s")
      assert.is_truthy(out:find("state_dir " .. place .. "/s", 1, true) and out:find(words, 1, true), out)
    end
    local out = runs("size=64k", place, place .. "/s", "dd if=/dev/zero of=" .. place .. "/full bs=1k 2>/dev/null;")
    assert.is_truthy(out:find("No space left on device", 1, true), out)
    assert.are.equal("hi\n" .. place .. "/s\n", runs("noexec,mode=711", place, place .. "/s"))
  end)
end)
