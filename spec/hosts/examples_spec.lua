-- SPDX-License-Identifier: MIT
-- The examples, as they stand, on the real thing.
local env = require "support.harness"

local function example(name)
  local command = ("LUA_PATH='lua/?.lua;lua/?/init.lua;;' LUA_CPATH='build/5.4/?.so;;' SANDBOX_RUNSC=%s timeout -k 5 150 lua5.4 examples/%s 2>&1; echo status $?")
  local pipe = io.popen(command:format(os.getenv "SANDBOX_RUNSC", name))
  local out = pipe:read "*a"
  pipe:close()
  assert.truthy(out:find("status 0\n", 1, true), out)
end

describe("the example", function()
  local before
  setup(function()
    assert(env.sb:run{ "true" })
    before = env.census()
  end)
  for _, name in ipairs{ "hello.lua", "judge.lua", "interact.lua", "warm.lua", "cqueues_fanout.lua" } do
    it(name, function() example(name) end)
  end
  it("nvim", function()
    local command = "LUA_PATH='lua/?.lua;lua/?/init.lua;spec/?.lua;;' LUA_CPATH='build/5.1/?.so;;' SBX_STATE=%s SBX_RUNSC=%s HOME=/tmp timeout -k 5 200 "
      .. "nvim --headless --clean --cmd 'set rtp+=examples/nvim' -c 'luafile spec/hosts/scripts/nvim_example.lua' 2>&1"
    local pipe = io.popen(command:format(env.state_dir, os.getenv "SANDBOX_RUNSC"))
    local out = pipe:read "*a"
    pipe:close()
    assert.truthy(out:find("passed\n", 1, true), out)
  end)
  it("openresty, asked by curl and by a Piston client", function()
    local tree = os.getenv "SANDBOX_TEST_TREE"
    local dir, remove = env.tmpdir()
    local pipe = io.popen(("timeout -k 5 200 bash spec/hosts/scripts/piston.sh %s %s 2>&1"):format(tree, dir))
    local out = pipe:read "*a"
    pipe:close()
    remove()
    assert.truthy(out:find("passed\n", 1, true), out)
  end)
  it("leaves nothing behind", function() assert.is_nil(env.leftovers(before)) end)
end)
