-- SPDX-License-Identifier: MIT
--- What is asked of boxes and of programs in them: checked, and taken apart into what belongs to which.
-- @module sandbox.options.box
local core = require "sandbox.core"
local errors = require "sandbox.errors"
local oci = require "sandbox.run.oci"
local schema = require "sandbox.options.schema"

local M = {}

-- What belongs to the box, and what to each program in it.
local box_limits = { memory = true, pids = true, cpus = true, disk = true, best_effort = true }
local program_limits = { timeout = true, cpu_time = true, output = true, output_keep = true, output_kill = true, file_size = true, open_files = true }
-- Of the former, what a box that is leased to one program gives it less of, if asked.
local lease_limits = { memory = true, pids = true, cpus = true }
local program_options = { stdin = true, files = true, collect = true, env = true, cwd = true, stderr = true, limits = true, on_stdout = true,
                          on_stderr = true, on_exit = true }
-- Of an instance's defaults, what its boxes do not have and their programs do.
local program_defaults = { "files", "collect", "stderr", "on_stdout", "on_stderr" }
local own_options = { lifetime = true, idle_timeout = true }

local function seconds(options, name)
  local value = options[name]
  if value ~= nil and (type(value) ~= "number" or not (value > 0 and value <= 1e9)) then
    return nil, ("bad option '%s': expected seconds, got %s"):format(name, errors.show(value))
  end
  return value or false
end

--- An instance's defaults without those that are a program's: what its boxes are made of.
-- @tparam table defaults
-- @treturn table
function M.of_boxes(defaults)
  local out = {}
  for k, v in pairs(defaults) do out[k] = v end
  for _, name in ipairs(program_defaults) do out[name] = nil end
  return out
end

--- Options of `start` as those of a run of our helper.
-- @tparam table options
-- @tparam table defaults of the instance
-- @return options of a run; the defaults of programs; seconds of idle_timeout or false; or nil, message
function M.split(options, defaults)
  if type(options) ~= "table" then return nil, "bad option 'options': expected a table, got " .. errors.show(options) end
  local box, programs = { oci.HELPER, "init" }, { limits = {} }
  for _, name in ipairs{ "lifetime", "idle_timeout" } do
    local value, message = seconds(options, name)
    if value == nil then return nil, message end
    box[name] = value
  end
  for k, v in pairs(options) do
    if type(k) == "number" then return nil, "bad option 'argv': a box has none; its programs do" end
    if k == "stdin" or k == "files" or k == "collect" or k == "bundle" or k == "on_stdout" or k == "on_stderr" or k == "on_exit" or k == "stderr" then
      return nil, ("bad option '%s': it belongs to a program in the box, not to the box"):format(k)
    end
    if not own_options[k] and k ~= "env" and k ~= "cwd" then box[k] = v end
  end
  -- Checked as a whole before it is taken apart.
  local whole = { "true" }
  for k, v in pairs(options) do
    if not own_options[k] then whole[k] = v end
  end
  local plan, message = schema.try(whole, defaults)
  if not plan then return nil, message end
  programs.env, programs.cwd = plan.env, plan.cwd
  for _, name in ipairs(program_defaults) do programs[name] = defaults[name] end
  local limits = {}
  for name, value in pairs(plan.limits) do
    if program_limits[name] then programs.limits[name] = value end
  end
  for name in pairs(program_limits) do limits[name] = false end
  for name in pairs(box_limits) do limits[name] = plan.limits[name] end
  for name in pairs(box_limits) do
    if limits[name] == nil and name ~= "best_effort" then limits[name] = false end
  end
  limits.output_keep, limits.output_kill = nil, nil
  limits.timeout = box.lifetime or false
  -- What a program inherits from the box's first process; one may have less, by the helper.
  limits.open_files, limits.file_size = plan.limits.open_files or false, plan.limits.file_size or false
  box.limits, box.cwd = limits, "/"
  local idle = box.idle_timeout
  box.lifetime, box.idle_timeout = nil, nil
  return box, programs, idle
end

--- Whether an option of a run belongs to its program, where both could have it.
-- @string name
-- @treturn boolean
function M.of_program(name) return program_options[name] == true end

local function check_program(options, leased)
  if type(options) ~= "table" then return "bad option 'options': expected a table, got " .. errors.show(options) end
  for k in pairs(options) do
    if type(k) ~= "number" and not program_options[k] then
      return ("bad option '%s': it belongs to the box; a program takes argv, stdin, files, collect, env, cwd, stderr, limits and callbacks"):format(tostring(k))
    end
  end
  for k in pairs(type(options.limits) == "table" and options.limits or {}) do
    if box_limits[k] and k ~= "best_effort" and not (leased and lease_limits[k]) then
      return ("bad option 'limits.%s': it holds for the box as a whole, and is given to start"):format(tostring(k))
    end
  end
end

--- Gives a plan what every job has.
-- @tparam table plan
-- @treturn table the same
function M.stamp(plan)
  plan.clock, plan.began, plan.id = core.now, core.now(), core.random_hex(16)
  return plan
end

-- A program has its box's limits, or less, where the box is all its own. What is wrong with those asked for, or nil.
local function share(box, plan, asked)
  for _, name in ipairs{ "memory", "pids", "cpus", "disk" } do
    local whole, own = box.plan.limits[name] or nil, plan.limits[name] or nil
    if asked[name] == nil then
      plan.limits[name] = whole
    elseif whole and (not own or own > whole) or name == "cpus" and not whole then
      return ("bad option 'limits.%s': expected at most the pool's (%s), got %s"):format(name, whole and ("%.14g"):format(whole) or "none",
        errors.show(asked[name]))
    end
  end
end

--- The plan of a program; the environment of its box is merged below its own.
-- @tparam Box box
-- @tparam table options
-- @bool spawning it is a job's: there is no default timeout
-- @treturn table or nil, message
function M.program(box, options, spawning)
  local message = check_program(options, box.single)
  if message then return nil, message end
  local env = {}
  for _, pair in ipairs(box.programs.env) do
    local name, value = pair:match "^([^=]*)=(.*)$"
    env[name] = value
  end
  local limits = {}
  for k, v in pairs(box.programs.limits) do limits[k] = v end
  if limits.timeout == nil then limits.timeout = false end
  if spawning and not (type(options.limits) == "table" and options.limits.timeout) then limits.timeout = false end
  local plan
  local defaults = { limits = limits, cwd = box.programs.cwd }
  for _, name in ipairs(program_defaults) do defaults[name] = box.programs[name] end
  if spawning then defaults.collect = nil end -- a job's files are read with box:read_file
  plan, message = schema.try(options, defaults)
  if not plan then return nil, message end
  -- A default that was taken away stays away: the schema's own do not come back.
  for name, value in pairs(options.env or {}) do env[name] = value or nil end
  plan.env = {}
  for name, value in pairs(env) do plan.env[#plan.env + 1] = name .. "=" .. value end
  table.sort(plan.env)
  plan.user, plan.capabilities, plan.runtime = box.plan.user, box.plan.capabilities, box.rt
  for name in pairs(box.plan.unenforced or {}) do -- what holds nobody there
    plan.unenforced = plan.unenforced or {}
    plan.unenforced[name] = true
  end
  message = share(box, plan, type(options.limits) == "table" and options.limits or {})
  if message then return nil, message end
  return M.stamp(plan)
end

local lease_options = { code = true, argv = true, stdin = true, files = true, collect = true, limits = true, on_stdout = true, on_stderr = true }

--- What is wrong with a lease's options, or nil.
-- @tparam table options
-- @treturn string
function M.check_lease(options)
  if type(options) ~= "table" then return "bad option 'options': expected a table, got " .. errors.show(options) end
  for k in pairs(options) do
    if not lease_options[k] then return ("bad option '%s': a prepared program takes code, argv, stdin, files, collect, limits and callbacks"):format(tostring(k)) end
  end
  if type(options.code) ~= "string" then return "bad option 'code': expected a string, got " .. errors.show(options.code) end
  if options.argv ~= nil and type(options.argv) ~= "table" then return "bad option 'argv': expected a list of strings, got " .. errors.show(options.argv) end
  for i, a in ipairs(options.argv or {}) do
    if type(a) ~= "string" or a:find "%z" then return ("bad option 'argv[%d]': expected a string without NUL, got %s"):format(i, errors.show(a)) end
  end
  if options.stdin ~= nil and type(options.stdin) ~= "string" then return "bad option 'stdin': expected a string, got " .. errors.show(options.stdin) end
end

--- The plan of a prepared program's lease.
-- @tparam Box box
-- @tparam table options checked by `check_lease`
-- @treturn table or nil, message
function M.lease(box, options)
  local rest = { "-" }
  for k, v in pairs(options) do
    if k ~= "code" and k ~= "argv" and k ~= "stdin" then rest[k] = v end
  end
  local plan, message = M.program(box, rest, false)
  if not plan then return nil, message end
  if plan.limits.output_keep == "tail" then return nil, "bad option 'limits.output_keep': a prepared program's output is kept from its head" end
  if plan.limits.pids ~= box.plan.limits.pids then
    return nil, "bad option 'limits.pids': a prepared program runs already, and has the pool's"
  end
  plan.code, plan.code_argv, plan.input = options.code, options.argv, options.stdin
  return plan
end

return M
