-- SPDX-License-Identifier: MIT
--- The caller's last word, the function `spec`: what it is shown is the OCI spec of a run of the program, and what it makes of that
-- holds, whether the program is a sandbox's first process or one in a box. Our helper is not its affair.
-- @module sandbox.run.last_word
local bundle = require "sandbox.options.bundle"
local oci = require "sandbox.run.oci"

local M = {}

local function copy(t)
  if type(t) ~= "table" then return t end
  local out = {}
  for k, v in pairs(t) do out[k] = copy(v) end
  return out
end

local function ask(f, given)
  local theirs = copy(given)
  local spec, reason = bundle.check(f(theirs) or theirs, given)
  if not spec then return nil, "what the function spec gives is refused: " .. reason, "bad_rootfs" end
  return spec
end

--- Of a run.
-- @tparam table plan
-- @tparam table spec
-- @treturn table the spec, or nil, message, code
function M.run(plan, spec)
  local theirs, message, code = ask(plan.spec, spec)
  return theirs, message, code
end

local function user_of(process)
  local user = process.user or {}
  return { uid = user.uid or 0, gid = user.gid or 0, groups = user.additionalGids or {} }
end

--- Of a box. What it says of the process is its programs': `plan.shown` is kept for them, and `plan.said` is the process of the one
-- program that is known by now.
-- @tparam table plan of our helper; `program` is { argv=, env=, cwd= } of what will run in the box
-- @tparam table spec
-- @treturn table the spec, or nil, message, code
function M.box(plan, spec)
  local shown, helper = copy(spec), nil
  for i = #shown.mounts, 1, -1 do
    if shown.mounts[i].destination == oci.HELPER then helper = table.remove(shown.mounts, i) end
  end
  local program = plan.program
  local argv = program.argv or { "true" } -- a box has none yet
  shown.process = oci.process{ argv = argv, env = program.env, cwd = program.cwd, user = plan.user, capabilities = plan.capabilities, limits = plan.limits }
  local theirs, message, code = ask(plan.spec, shown)
  if not theirs then return nil, message, code end
  plan.shown, plan.said = shown, program.argv and theirs.process or nil
  plan.user = user_of(theirs.process)
  table.insert(theirs.mounts, helper)
  -- Our helper is somebody else, without capabilities; what its programs inherit from it is theirs.
  local process = spec.process
  process.rlimits, process.noNewPrivileges = theirs.process.rlimits, theirs.process.noNewPrivileges
  theirs.process = process
  return theirs
end

--- Of a program in a box: its argv, env, cwd, user and capabilities become what the function says.
-- @tparam table box the plan of its box
-- @tparam table plan
-- @treturn table the process, or nil, message, code
function M.program(box, plan)
  local process = box.said
  if not process then
    local shown = copy(box.shown)
    shown.process = oci.process(plan)
    local theirs, message, code = ask(box.spec, shown)
    if not theirs then return nil, message, code end
    process = theirs.process
  end
  plan.argv, plan.env, plan.cwd, plan.user = process.args, process.env or {}, process.cwd or "/", user_of(process)
  plan.capabilities = process.capabilities and process.capabilities.effective or {}
  return process
end

return M
