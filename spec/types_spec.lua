-- SPDX-License-Identifier: MIT
-- types/sandbox.lua names the methods that there are, no fewer and no more.
local sandbox = require "sandbox"

-- What editors are told: methods by the name that types/sandbox.lua gives a class.
local function declared()
  local out = {}
  for line in io.lines "types/sandbox.lua" do
    local class, name = line:match "^function (%w+)[:.]([%w_]+)%("
    if class then
      out[class] = out[class] or {}
      out[class][name] = true
    end
  end
  return out
end

-- What the sources give a class. What other parts of the package call, and nobody else, is listed here.
local function written(class, files, inner, not_these)
  local out = {}
  for file in files:gmatch "%S+" do
    for line in io.lines("lua/sandbox/" .. file .. ".lua") do
      local of, name = line:match "^%s*function (%u%l%w*)[:.]([%w_]+)%("
      if of and not (not_these and not_these[of]) and not name:find "^__" then out[name] = true end
    end
  end
  for name in inner:gmatch "%S+" do
    assert.is_true(out[name], class .. " has no " .. name .. " any more")
    out[name] = nil
  end
  return out
end

local function present(t, inner)
  local out = {}
  for name, f in pairs(t) do
    if type(f) == "function" and not name:find "^_" and not (" " .. inner .. " "):find(" " .. name .. " ", 1, true) then out[name] = true end
  end
  return out
end

describe("types/sandbox.lua", function()
  local types = declared()

  it("has the methods of jobs, boxes, pools, streams, tasks and results", function()
    assert.are.same(types.Job, written("Job", "run/job run/input run/reading", "take step finish take_line lease await_start await_known"))
    assert.are.same(types.Box, written("Box", "box/init box/connect box/control box/files box/lease box/carry box/snapshot box/kept",
      "ready wait_ready arm arm_ahead is_armed exec another tell begin_program lease answers await outcome attempt put_files collect_into lend take_back throttle "
        .. "pack_work unpack_work pack_tree unpack_tree discard", { Stream = true }))
    assert.are.same(types.Pool, written("Pool", "pool/init pool/lease", "grow fill discard step acquire"))
    assert.are.same(types.Stream, written("Stream", "box/dial", ""))
    assert.are.same(types.Task, written("Task", "hosts/loop", ""))
    assert.are.same(types.Fleet, written("Fleet", "fleet/init", "look"))
    assert.are.same(types.Follower, written("Follower", "fleet/follow", ""))
    assert.are.same(types.Result, written("Result", "run/result", ""))
    assert.are.same(types.Stages, written("Stages", "run/stages", ""))
  end)

  it("has the functions of sandbox and of an instance", function()
    assert.are.same(types.sandbox, present(sandbox, ""))
    assert.are.same(types.Instance, present(getmetatable(sandbox.new{}).__index, "services run_collecting"))
  end)
end)
