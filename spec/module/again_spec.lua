-- SPDX-License-Identifier: MIT
-- What a run asks the host machine once and not again while it is the same: who we are, and whether runsc may be run.
local h = require "support.harness"
local core, sb = h.core, h.sb

describe("what is known of the host", function()
  local spawn, identity, before = core.spawn, core.identity, nil
  setup(function()
    assert(sb:run{ "true" })
    before = h.census()
  end)
  after_each(function() core.spawn, core.identity = spawn, identity end)

  -- Whether the supervisors of f() are started without looking once more who we are.
  local function without_a_look(f)
    local out = {}
    core.spawn = function(path, zygote, again)
      out[#out + 1] = again and "again" or "look"
      local conn, message, code = spawn(path, zygote, again)
      return conn, message, code
    end
    f()
    core.spawn = spawn
    return table.concat(out, " ")
  end
  local function run(options)
    return function() assert.is_true(assert(sb:run(options)).ok) end
  end

  it("is who we are, asked once for a run, unless something of the caller's or another run came between", function()
    assert.are.equal("again", without_a_look(run{ "true" }))
    assert.are.equal("look", without_a_look(run{ "true", spec = function() end }))
    local one = h.sandbox.new{ state_dir = h.state_dir, max_concurrent = 1 }
    local job = assert(one:spawn{ "sleep", "0.05" })
    assert.are.equal("look", without_a_look(function() assert(one:run{ "true" }) end))
    job:close()
    one:shutdown()
    local real = identity()
    core.identity = function() return real + 1 end -- as after setuid(2)
    assert.are.equal("look", without_a_look(run{ "true" }))
  end)

  it("is which platform is the better one, of runs and of boxes, unless one is named", function()
    local function of(instance)
      local box = assert(instance:start{})
      local single, program = assert(instance:run{ "true" }).runtime.platform, assert(box:run{ "true" }).runtime.platform
      box:stop()
      return single .. " " .. program
    end
    local expected = { ["2022"] = "ptrace ptrace", ["2024"] = "systrap ptrace", ["2026"] = "systrap systrap" }
    assert.are.equal(expected[os.getenv "SANDBOX_TEST_BUILD"], of(sb))
    local named = h.sandbox.new{ state_dir = h.state_dir, platform = "ptrace" }
    assert.are.equal("ptrace ptrace", of(named))
    named:shutdown()
  end)

  it("leaves nothing behind", function() assert.is_nil(h.leftovers(before)) end)
end)

describe("what was made of files", function()
  local kept = require "sandbox.machine.kept"
  local dir, remove
  setup(function() dir, remove = h.tmpdir() end)
  teardown(function() remove() end)

  it("is made anew when one is another, has other permissions, comes or goes", function()
    local made = 0
    -- What has just changed is not kept: its time is made an old one.
    local old = setmetatable({ stamp = function(...)
      local stamp = core.stamp(...)
      return stamp, 0
    end }, { __index = core })
    local function get(with)
      return kept.get(with or old, {}, "k", function()
        made = made + 1
        return made, { dir .. "/a", dir .. "/b/c" }
      end)
    end
    assert.are_not.equal(get(core), get(core))
    local store = {}
    local function again()
      return kept.get(old, store, "k", function()
        made = made + 1
        return made, { dir .. "/a", dir .. "/b/c" }
      end)
    end
    for _, command in ipairs{ "true", "echo 1 >a", "chmod 600 a", "mkdir b", "echo 2 >b/c", "chmod 711 b", "mv b/c b/d", "ln -s d b/c", "echo 3 >>b/d", "rm a", "rm -r b" } do
      local value = again()
      if command ~= "true" then assert.are.equal(value, again()) end
      assert(os.execute("cd " .. dir .. " && " .. command))
      if command ~= "true" then assert.are_not.equal(value, again(), command) end
    end
  end)
end)
