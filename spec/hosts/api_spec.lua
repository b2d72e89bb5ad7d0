-- SPDX-License-Identifier: MIT
-- The asynchronous API of examples/openresty in a real nginx: on this machine, and by a fleet.
local env = require "support.harness"
local fleets = require "support.fleet"

local TREE = os.getenv "SANDBOX_TEST_TREE"

local function ask(seconds, where, command)
  local dir, remove = env.tmpdir()
  local pipe = io.popen(("timeout -k 5 %d python3 spec/hosts/scripts/api.py %s %s %s %s 2>&1; echo status $?"):format(seconds, TREE, dir, where, command or ""))
  local out = pipe:read "*a"
  pipe:close()
  remove()
  assert.truthy(out:find("status 0\n", 1, true), out)
  return out
end

-- Whatever a tester makes of the API's description, the service answers as that says. A cancelled run stays, so it may be asked for.
local SCHEMATHESIS = "env PYTHONPATH=$PWD/build/schemathesis PYTHONDONTWRITEBYTECODE=1 python3 -m schemathesis.cli run {tree}/examples/openresty/openapi.yaml --url {url} "
  .. "--exclude-checks use_after_free --seed 1 --no-color "
local FEW = "--phases fuzzing -n 3 --include-operation-id createRun --include-operation-id getEvents"
local ALL = os.getenv "SANDBOX_TEST_ALL"

describe("the asynchronous API", function()
  local before, broker
  setup(function()
    assert(env.sb:run{ "true" })
    before = env.census()
    broker = fleets.broker()
    broker:sandboxes("sandbox", "--slots 2")
  end)
  teardown(function() broker:stop() end)

  it("on this machine", function() assert.truthy(ask(600, "local"):find "\npassed\n") end)
  it("by a fleet", function() assert.truthy(ask(600, broker.url):find "\npassed\n") end)
  it("is as its description says, on this machine", function() ask(1500, "local", SCHEMATHESIS .. (ALL and "-n 30" or FEW)) end)
  it("is as its description says, by a fleet", function() ask(1500, broker.url, SCHEMATHESIS .. (ALL and "-n 30" or FEW)) end)
  it("leaves nothing behind", function()
    broker:stop()
    broker.stop = function() end
    assert.is_nil(env.leftovers(before))
  end)
end)
