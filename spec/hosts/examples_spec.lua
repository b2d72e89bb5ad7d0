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
  it("openresty, whose ranges of versions are npm's", function()
    local semver = dofile "examples/openresty/semver.lua"
    for have, ranges in pairs{
      ["3.11.2"] = { yes = { "*", "", "x", "3", "3.x", "3.11.X", "v3.11.2", "^3", "^3.11.1", "~3.11", ">=3.0.0 <4", "> 3.11.1", "<=3", "3.10 - 3.11", "2 || 3", ">=3.11.2-rc1", "=3.11.2+b" },
                     no = { "2", "3.12", "^4", "^3.11.3", "~3.10", ">3", ">3.11", "<3.11.2", "3.0 - 3.10", "2 || 4", "3.11.2-rc1", "latest", "^^3", "3..11", "3.11.2.1", ("3 || "):rep(100) } },
      ["0.2.5"] = { yes = { "^0.2.3", "~0.2", "^0", "<1" }, no = { "^0.1", "^0.0.3", "^0.2.6", ">=1" } },
      ["0.0.3"] = { yes = { "^0.0.3", "~0.0.1", "^0.0" }, no = { "^0.0.2", "0.0.4" } },
    } do
      for _, range in ipairs(ranges.yes) do assert.is_true(semver.satisfies(have, range), have .. " meets " .. range) end
      for _, range in ipairs(ranges.no) do assert.is_false(semver.satisfies(have, range), have .. " does not meet " .. range) end
    end
  end)
  it("openresty, asked by curl and by a Piston client", function()
    local tree = os.getenv "SANDBOX_TEST_TREE"
    local dir, remove = env.tmpdir()
    local pipe = io.popen(("timeout -k 5 600 bash spec/hosts/scripts/piston.sh %s %s 2>&1"):format(tree, dir))
    local out = pipe:read "*a"
    pipe:close()
    remove()
    assert.truthy(out:find("passed\n", 1, true), out)
  end)
  for _, page in ipairs{ "playground", "terminal" } do
    it("the " .. page .. ", in Chromium", function()
      local dir, remove = env.tmpdir()
      local pipe = io.popen(("timeout -k 5 900 bash spec/hosts/scripts/%s.sh %s %s 2>&1"):format(page, os.getenv "SANDBOX_TEST_TREE", dir))
      local out = pipe:read "*a"
      pipe:close()
      remove()
      assert.truthy(out:find("\npassed\n", 1, true), out)
    end)
  end
  it("leaves nothing behind", function() assert.is_nil(env.leftovers(before)) end)
end)
