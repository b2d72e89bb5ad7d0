-- SPDX-License-Identifier: MIT
-- The models of a run's and a pool's life (spec/model, checked by scripts/model.sh) speak of the code that is: its phases, its table
-- of frames, its states.
local function slurp(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

local function squeezed(text) return (text:gsub("%s+", " ")) end

describe("the models", function()
  it("know the phases of a run, in their order", function()
    local enum = slurp("src/supervisor/sup_run.h"):match "enum sup_phase (%b{})"
    local model, n = slurp "spec/model/run.pml", 0
    for name in enum:gmatch "SUP_PHASE_(%w+)," do
      assert.equal(tostring(n), model:match("#define " .. name .. " (%d+)"), name)
      n = n + 1
    end
    assert.equal(8, n)
    assert.equal(tostring(n), model:match "#define GONE (%d+)")
  end)

  it("take the frames that the supervisor takes, and when it does", function()
    local code, model = slurp "src/supervisor/sup_frame.c", slurp "spec/model/run.pml"
    for _, name in ipairs{ "BEFORE_GO", "STARTED", "AFTER_GO" } do
      assert.equal(code:match("#define " .. name .. " (%b())"), model:match("#define " .. name .. " (%b())"), name)
    end
    local rows, accepts = {}, {}
    for name, phases in code:match("frames%[%] = (%b{})"):gmatch "{ SBX_WIRE_([%u_]+), (.-), [^,]-, on_" do rows[name] = squeezed(phases) end
    for name, phases in model:gmatch "#define ACCEPT_([%u_]+) (%b())" do accepts[name] = squeezed(phases:sub(2, -2)) end
    assert.truthy(rows.GO and rows.KILL)
    assert.same(rows, accepts)
  end)

  it("know the states of a pool's sandboxes", function()
    local code, model = slurp "lua/sandbox/pool/init.lua", slurp "spec/model/pool.pml"
    local n = 0
    for name in code:gmatch "\nfunction steps%.(%w+)%(" do
      assert.truthy(model:find("#define " .. name:upper() .. " %d"), name)
      n = n + 1
    end
    assert.equal(6, n)
  end)
end)
