-- SPDX-License-Identifier: MIT
--- The options of sandbox.stages: those of runs, one after the other, and what is common to them.
-- @module sandbox.options.stages
local errors = require "sandbox.errors"
local kinds = require "sandbox.options.kinds"
local oci = require "sandbox.run.oci"
local schema = require "sandbox.options.schema"
local values = require "sandbox.options.values"

local bad = errors.bad

local function merged(default, given)
  local out = {}
  for k, v in next, default do out[k] = v end
  for k, v in next, given do out[k] = v end
  return out
end

local MAX_STAGES = 100

-- A stage's options over those of all: limits and environments are merged, of the rest the stage's is taken.
local function over(shared, own)
  local out = merged(shared, own)
  for _, name in ipairs{ "limits", "env" } do
    if type(shared[name]) == "table" and type(own[name]) == "table" then out[name] = merged(shared[name], own[name]) end
  end
  return out
end

-- What is wrong with a stage is said with its number.
local function check_stage(build, i, options, defaults)
  local plan, message = errors.try(build.run, options, defaults)
  if not plan then
    local where, expected = message:match "^bad option '(.-)': (.*)$"
    bad(("stages[%d].%s"):format(i, where or "?"), expected or message)
  end
  for _, name in ipairs{ "bundle", "on_exit" } do
    if plan[name] then bad(("stages[%d].%s"):format(i, name), "it cannot go with stages") end
  end
  return plan
end

return function(build, options, defaults)
  local n = values.list("stages", options, "a list of stages", true, MAX_STAGES)
  if n == 0 then bad("stages", "expected at least one stage, a table as sandbox.run takes it") end
  local own_rows = schema.scope("stages").rows
  local own, shared, out, names = {}, {}, { list = {} }, {}
  for k, v in next, options do
    if own_rows[k] then own[k] = v elseif not values.is_integer(k) then shared[k] = v end
  end
  for name, value in pairs(build.call("stages", own)) do out[name] = value end
  for i = 1, n do
    local given, name = values.table(("stages[%d]"):format(i), rawget(options, i), "a table, as sandbox.run takes it"), nil
    local stage = merged(given, {})
    if stage.name ~= nil then
      name = kinds.name(("stages[%d].name"):format(i), stage.name)
      if names[name] then bad(("stages[%d].name"):format(i), "expected each name once", name) end
      names[name], stage.name = true, nil
    end
    stage = over(shared, stage)
    local plan = check_stage(build, i, stage, defaults)
    out.list[i] = { options = stage, name = name, carries = oci.has_work(plan) }
  end
  return out
end
