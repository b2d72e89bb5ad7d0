-- SPDX-License-Identifier: MIT
--- The options of sandbox.stages and sandbox.interact: those of several runs, and what is common to them.
-- @module sandbox.options.stages
local errors = require "sandbox.errors"
local kinds = require "sandbox.options.kinds"
local oci = require "sandbox.run.oci"
local schema = require "sandbox.options.schema"
local values = require "sandbox.options.values"

local M = {}
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

-- The plan of one of several; what is wrong is said with its place.
local function check_one(build, at, options, defaults, how)
  local plan, message = errors.try(build.run, options, defaults, how)
  if plan then return plan end
  local where, expected = message:match "^bad option '(.-)': (.*)$"
  bad(("%s.%s"):format(at, where or "?"), expected or message)
end

local function refuse(at, plan, names, what)
  for _, name in ipairs(names) do
    if plan[name] then bad(("%s.%s"):format(at, name), "it cannot go with " .. what) end
  end
end

--- Stages: { max_bytes=, max_files=, list = { { options = of a run, name=, carries = whether its /work goes on }, … } }.
function M.stages(build, options, defaults)
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
    local at = ("stages[%d]"):format(i)
    local plan = check_one(build, at, stage, defaults)
    refuse(at, plan, { "bundle", "on_exit" }, "stages")
    out.list[i] = { options = stage, name = name, carries = oci.has_work(plan) }
  end
  return out
end

--- Two that talk to each other: { programs = their plans, grace=, transcript= bytes or false }.
function M.interact(build, first, second, options, defaults)
  local out = build.call("interact", options)
  out.programs = {}
  for i, program in ipairs{ first or false, second or false } do
    local at = ("program %d"):format(i)
    local given = merged(values.table(at, program, "a table, as sandbox.run takes it"), {})
    if given.stdin ~= nil then bad(at .. ".stdin", "what the other program says is its stdin") end
    local plan = check_one(build, at, over({ limits = out.limits }, given), defaults, { spawning = true })
    refuse(at, plan, { "on_stdout", "on_stderr", "on_exit" }, "interact")
    out.programs[i] = plan
  end
  return out
end

return M
