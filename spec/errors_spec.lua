-- SPDX-License-Identifier: MIT
local plans = require "sandbox.options.plan"
local sandbox = require "sandbox"

-- The line on which f is called is the line of the error.
local function blames(f, ...)
  local ok, message = pcall(f)
  assert.is_false(ok)
  assert.is_truthy(message:find("errors_spec.lua:" .. debug.getinfo(f, "S").linedefined .. ": ", 1, true), message)
  for _, words in ipairs{ ... } do assert.is_truthy(message:find(words, 1, true), message .. " lacks " .. words) end
end

describe("errors", function()
  it("name the caller's line, however deep they are found", function()
    local sb = sandbox.new{}
    for _, api in ipairs{ "run", "spawn", "start", "pool", "spec" } do
      blames(function() local r = sandbox[api]{ "true", bogus = 1 } return r end, "bogus")
      blames(function() local r = sb[api](sb, { "true", bogus = 1 }) return r end, "bogus")
    end
    blames(function() local r = sandbox.run{ "true", collect = { "x" }, bogus = 1 } return r end, "bogus")
    blames(function() local r = sandbox.new{ bogus = 1 } return r end, "'bogus'")
    blames(function() local r = sandbox.pool{ size = -1 } return r end, "'size'", "from 1 to 10000", "got -1")
    blames(function() local r = sandbox.shutdown "x" return r end, "shutdown")
    blames(function() local r = sandbox.cgroup_entries{ memory = "x" } return r end, "limits.memory")
    blames(function() local r = sandbox.spawn{ "true", collect = { "x" } } return r end, "collect")
  end)

  it("name the caller's line in the loop's calls, too", function()
    blames(function() local r = sandbox.map(5, 1, print) return r end, "map")
    blames(function() local r = sandbox.map({}, 0, print) return r end, "map")
    blames(function() local r = sandbox.go(print) return r end, "no loop is running")
    blames(function() local r = sandbox.loop(5) return r end, "loop")
    blames(function() local r = sandbox.new(5) return r end, "'options'")
  end)

  it("say where an option belongs", function()
    local box = plans.pool({ size = 1 }).sample
    local function refused(name, scope, ...)
      local plan, message = plans.try(scope, ...)
      assert.is_nil(plan)
      assert.is_truthy(message:find(name, 1, true), message)
      return message
    end
    assert.is_truthy(refused("'rootfs'", "program", box, { "true", rootfs = "host" }):find "belongs to the box")
    assert.is_truthy(refused("'timout'", "program", box, { "true", timout = 1 }):find "no such key")
    assert.is_truthy(refused("'stdin'", "box", { stdin = "x" }):find "belongs to a program in the box")
    assert.is_truthy(refused("'code'", "program", box, { "true", code = "x" }):find "prepared pool")
    assert.is_truthy(refused("'lifetime'", "run", { "true", lifetime = 1 }):find "sandbox.start")
    refused("'argv'", "box", { "true" })
    refused("limits.disk", "program", box, { "true", limits = { disk = "1M" } })
    refused("'warm_up'", "pool", { warm_up = { "true", x = 1 } })
    refused("'prepared'", "pool", { prepared = { [2] = "x" } })
    refused("'maxx'", "call", "read_file", { maxx = 1 })
    refused("'options'", "call", "write_file", "644")
  end)

  it("has a name that nobody shadows, for one and the same module", function()
    local core = require "sandbox.core"
    local dir = ("%s/sbx-shadow-%s"):format(os.getenv "TMPDIR" or "/tmp", core.random_hex(6))
    assert(core.mkdir(dir, 448))
    assert(core.write_file(dir .. "/sandbox.lua", "return 'the other'", 420))
    local function run(path, code)
      local pipe = io.popen(("LUA_PATH='%slua/?.lua;lua/?/init.lua;;' %s -e '%s'"):format(path, core.realpath "/proc/self/exe", code))
      local out = pipe:read "*a"
      pipe:close()
      return out
    end
    local shadowed = run(dir .. "/?.lua;", 'local a, b = require "sandbox_gvisor", require "sandbox" io.write(a._NAME, " ", b)')
    local first = run("", 'local a, b = require "sandbox_gvisor", require "sandbox" io.write(tostring(a == b))')
    local last = run("", 'local b, a = require "sandbox", require "sandbox_gvisor" io.write(tostring(a == b))')
    core.unlink(dir .. "/sandbox.lua")
    os.remove(dir)
    assert.same({ "sandbox the other", "true", "true" }, { shadowed, first, last })
  end)
end)
