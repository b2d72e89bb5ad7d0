-- SPDX-License-Identifier: MIT
--- From what a caller asks for to a plan: everything checked, defaults filled in, nothing of the caller's tables kept.
--
-- One function a scope of the schema. Each raises a wrong option at the place where this package was called; `try` and `never` give
-- nil, message, "bad_option" instead.
-- @module sandbox.options.plan
local errors = require "sandbox.errors"
local kinds = require "sandbox.options.kinds"
local schema = require "sandbox.options.schema"
local terminal = require "sandbox.run.terminal"
local text = require "sandbox.text"
local values = require "sandbox.options.values"

local M = {}
local bad = errors.bad
local build = {}

local MAX_STRINGS = 8 * 2 ^ 20 -- argv and env together: config.json stays far below 16 MiB
local STRING_COST = 9 -- of each besides its bytes, as execve counts: NUL and pointer

-- Scopes ----------------------------------------------------------------------------------------------------------------

-- Of an instance's defaults, what its boxes do not have and their programs do.
local program_defaults = {}
for _, row in ipairs(schema.rows "instance") do
  if schema.is_of(row, "program") and not schema.is_of(row, "box") then program_defaults[#program_defaults + 1] = row[1] end
end

-- What is wrong with a key that the scope does not have: it belongs elsewhere, or nowhere.
local function bad_key(scope, key)
  local own = schema.scope(scope)
  local elsewhere = type(key) == "string" and schema.scopes_of(key)
  local known = table.concat(own.names, ", ")
  if not elsewhere then bad(errors.field("", key), "no such key; known are " .. known) end
  local words = {}
  for i, name in ipairs(elsewhere) do words[i] = schema.scope(name).words end
  local what = "it goes with " .. table.concat(words, ", ")
  if scope == "program" and schema.scope("box").rows[key] then
    what = "it belongs to the box, not to a program in it"
  elseif (scope == "box" or scope == "pool") and schema.scope("program").rows[key] then
    what = "it belongs to a program in the box, not to the box"
  end
  bad(key, ("%s; %s takes %s"):format(what, own.words, known))
end

-- Limits by whose they are.
local function limits_that(f)
  local names = {}
  for _, row in ipairs(schema.limits) do
    if f(row) then names[#names + 1] = row[1] end
  end
  return names
end
local whole_limits = limits_that(function(row) return not schema.is_of(row, "program") end) -- a program of a shared box has none of these
local leased_limits = limits_that(function(row) return not schema.is_of(row, "program") and not schema.is_of(row, "lease") end)
local box_limit_names = limits_that(function(row) return schema.is_of(row, "box") and not row.mode end)
local program_limits = limits_that(function(row) return schema.is_of(row, "program") and not row.mode end)

-- Limits of a program where some are its box's. `leased`: the box is all its own.
local function check_limits(limits, leased)
  if next(limits) == nil then return end
  for _, name in ipairs(leased and leased_limits or whole_limits) do
    if limits[name] ~= nil then bad("limits." .. name, "it holds for the box as a whole, and is given to start") end
  end
end

-- Every option that is given, checked. `list`: there may be an array part.
local function checked(scope, options, list, client)
  values.table("options", options, "a table")
  local own = schema.scope(scope)
  local key = values.foreign_key(options, own.rows, list)
  if key ~= nil then
    if type(key) == "number" and schema.scope(scope).rows.lifetime then bad("argv", "a box has none; its programs do") end
    bad_key(scope, key)
  end
  local out = {}
  for name, row in pairs(own.rows) do
    local value = options[name]
    if value ~= nil then out[name] = kinds.check(row, value, client) end
  end
  return out
end

-- What is no table is checked once: it cannot be changed by whoever has it.
local plain_defaults = {}

local function default_of(row)
  if row.default == nil then return nil end
  local value = plain_defaults[row]
  if value ~= nil then return value end
  value = kinds.check(row, row.default)
  if type(value) ~= "table" then plain_defaults[row] = value end
  return value
end

local function fill_defaults(scope, out)
  for name, row in pairs(schema.scope(scope).rows) do
    if out[name] == nil then out[name] = default_of(row) end
  end
  return out
end

-- Plans -----------------------------------------------------------------------------------------------------------------

local run_rows = schema.rows "run"
local default_env = default_of(schema.scope("run").rows.env) -- only ever merged into another

local function merge(default, given)
  local out = {}
  for k, v in pairs(default or {}) do out[k] = v end
  for k, v in pairs(given or {}) do out[k] = v end
  return out
end

local function env_list(map)
  local list = {}
  for name, value in pairs(map) do
    if value then list[#list + 1] = name .. "=" .. value end
  end
  table.sort(list)
  return list
end

local function merged_limits(defaults, given)
  local out, rows = {}, schema.limits
  for i = 1, #rows do
    local row = rows[i]
    local name = row[1]
    local value = given and given[name]
    if value == nil and defaults then value = defaults[name] end
    if value == nil then value = default_of(row) end
    if value ~= false or row.mode then out[name] = value end
  end
  return out
end

-- Whether a file's directory is another's file, or the other way round.
local function check_collisions(files)
  local taken = {}
  for _, file in ipairs(files) do
    if taken[file.path] then bad(("files[%s]"):format(errors.show(file.name)), "it collides with " .. file.path) end
    taken[file.path] = file
  end
  for _, file in ipairs(files) do
    local above = file.path:match("^(.*)/[^/]*$")
    while above and above ~= "" do
      if taken[above] then bad(("files[%s]"):format(errors.show(file.name)), "it collides with " .. above) end
      above = above:match("^(.*)/[^/]*$")
    end
  end
end

-- Where a file goes, and whether it can: its size.
local function place_file(plan, file)
  local at = ("files[%s]"):format(errors.show(file.name))
  file.path = file.name:sub(1, 1) == "/" and file.name or text.clean_path(plan.cwd .. "/" .. file.name)
  local taken = values.reserved(file.path)
  if taken then bad(at, "expected a path outside of " .. taken .. ", which is gVisor's") end
  for _, m in ipairs(plan.mounts) do
    if text.is_below(file.path, m.destination) then bad(at, "the mount at " .. m.destination .. " would hide it") end
  end
  local st = file.from and values.stat(file.from)
  if st and st.type ~= "file" then bad(at .. ".from", "expected a regular file, got a " .. st.type .. " at " .. file.from) end
  return file.content and #file.content or st and st.size or 0
end

local function place_files(plan)
  local bytes, own = 0, {}
  for i, default in ipairs(plan.files) do -- an instance's defaults are every plan's
    own[i] = merge(default)
    bytes = bytes + place_file(plan, own[i])
  end
  check_collisions(own)
  plan.files = own
  local limit = plan.limits.disk or plan.limits.memory
  if limit and bytes > limit then
    bad("files", ("expected at most %s together (limits.%s), got %s"):format(text.bytes(limit), plan.limits.disk and "disk" or "memory", text.bytes(bytes)))
  end
end

local function checked_argv(options)
  local argv = values.strings("argv", options, "a list of strings", true)
  if argv[1] == nil then bad("argv", 'expected at least the program, as in { "echo", "hello" }') end
  if argv[1] == "" then bad("argv[1]", "expected the name of a program", argv[1]) end
  return argv
end

local function check_strings(plan)
  local bytes = 0
  for _, list in ipairs{ plan.argv, plan.env } do
    for _, s in ipairs(list) do bytes = bytes + #s + STRING_COST end
  end
  if bytes > MAX_STRINGS then bad("argv", "expected at most 8 MiB of argv and env together, got " .. text.bytes(bytes)) end
end

local function plan_bundle(plan, options)
  for _, row in ipairs(run_rows) do
    if row.makes_spec and options[row[1]] ~= nil then bad(row[1], "it cannot go together with bundle, which has its own") end
  end
  if rawget(options, 1) ~= nil then bad("argv", "it cannot go together with bundle, which has its own") end
  plan.files, plan.mounts, plan.spec, plan.collect = {}, {}, nil, nil
end

-- What root may do to files, in a root of its own where the caller has said nothing else: most of it belongs to an id that the guest
-- has no name for. They undo no limit; to become others, as su and apt do, undoes `pids` alone.
local function of_root(limits)
  local names = { "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID" }
  if not limits.pids then names[5], names[6] = "CAP_SETGID", "CAP_SETUID" end
  return names
end

-- A plan without a program: what is given, over an instance's defaults, over the schema's. `env`: what its environment is in any case.
local function filled(given, defaults, elsewhere, env)
  local plan = { mode = "run" }
  for i = 1, #run_rows do
    local row = run_rows[i]
    local name = row[1]
    local value = given[name]
    if value == nil then value = defaults[name] end
    if value == nil and row.default ~= nil and name ~= "env" then value = default_of(row) end
    plan[name] = value
  end
  if given.image and given.rootfs then bad("image", "it cannot go together with rootfs, in whose place it is") end
  if given.rootfs then plan.image = nil end
  plan.limits = merged_limits(defaults.limits, given.limits)
  plan.inodes_asked = ((given.limits or {}).inodes or (defaults.limits or {}).inodes) and plan.limits.inodes and true or nil
  plan.env = env or env_list(merge(merge(default_env, defaults.env), given.env))
  plan.files, plan.mounts = plan.files or {}, plan.mounts or {}
  if not elsewhere then plan.mounts = kinds.untagged(plan.mounts, defaults.filesystems) end
  plan.root_writes = not plan.capabilities and not plan.readonly and plan.user.uid == 0 or nil
  plan.capabilities = plan.capabilities or plan.root_writes and of_root(plan.limits) or {}
  return plan
end

function build.run(options, defaults, how)
  how = how or {}
  local given = checked("run", options, true, how.client)
  if how.spawning and given.collect then
    bad("collect", "a job's files are read with box:read_file; sandbox.run, box:run and pool:run take it")
  end
  if how.spawning and given.init then bad("init", "a job's program is its sandbox's first process; sandbox.run takes it, and boxes have it always") end
  defaults = defaults or {}
  local plan = filled(given, defaults, how.elsewhere)
  if how.spawning then plan.collect = nil end -- a default one is for what can collect
  if plan.bundle then
    plan_bundle(plan, options)
    return plan
  end
  -- An image may have a program of its own.
  plan.argv = plan.image and plan.image_defaults and rawget(options, 1) == nil and {} or checked_argv(options)
  terminal.seat(plan, how.spawning)
  check_strings(plan)
  place_files(plan)
  return plan
end

-- Boxes -----------------------------------------------------------------------------------------------------------------

local function box_limits(whole, lifetime)
  local limits = { timeout = lifetime }
  for _, row in ipairs(schema.limits) do
    local name = row[1]
    if schema.is_of(row, "box") or row.rlimit then
      limits[name] = whole[name]
    elseif row.mode then
      limits[name] = default_of(row)
    end
  end
  return limits
end

-- Of an instance's defaults those that are its boxes' programs'.
local function usual_of(defaults)
  local usual = {}
  for _, name in ipairs(program_defaults) do usual[name] = defaults[name] end
  return usual
end

-- A box and the defaults of its programs.
local function whole_box(given, defaults)
  local plan = filled(given, defaults)
  place_files(plan) -- a default file that a mount hides is told now
  if given.keep and plan.spec then bad("keep", "it cannot go together with a function spec, which whoever attaches could not ask") end
  local programs = usual_of(defaults)
  programs.env, programs.cwd, programs.limits = plan.env, plan.cwd, {}
  -- The schema's own timeout is for runs: a job of a box has one where somebody gave it.
  programs.timed = (given.limits or {}).timeout ~= nil or (defaults.limits or {}).timeout ~= nil
  for _, name in ipairs(program_defaults) do plan[name] = nil end
  for _, row in ipairs(schema.limits) do
    if schema.is_of(row, "program") and not schema.is_of(row, "box") then programs.limits[row[1]] = plan.limits[row[1]] end
  end
  plan.argv, plan.cwd, plan.files = { require("sandbox.run.oci").HELPER, "init" }, "/", {}
  plan.programs_env = plan.env -- whose HOME is that of the guest's account
  plan.env = env_list(merge(default_env, defaults.env))
  plan.limits = box_limits(plan.limits, given.lifetime)
  return { plan = plan, usual = programs, idle_timeout = given.idle_timeout or false, keep = given.keep }
end

function build.box(options, defaults)
  return whole_box(checked("box", options), defaults or {})
end

function build.pool(options, defaults)
  local given = checked("pool", options)
  local own, start = {}, {}
  for name, row in pairs(schema.scope("pool").rows) do
    if schema.is_of(row, "box") then
      start[name] = options[name]
    else
      own[name] = given[name]
      if own[name] == nil then own[name] = default_of(row) end
    end
  end
  if own.size and (own.min or own.max) then bad("size", "expected either size or min and max") end
  own.max = own.size or own.max or math.max(own.min or 0, 4)
  own.min = own.size or own.min or own.max
  if own.min > own.max then bad("min", ("expected at most max, got %d and %d"):format(own.min, own.max)) end
  if own.prepared and own.max_uses ~= 1 then bad("max_uses", "a prepared program serves once") end
  local sample = whole_box(given, defaults or {})
  sample.single = own.max_uses == 1
  return { own = own, start = start, sample = sample }
end

-- A program has its box's limits, or less, where the box is all its own.
local function share(box, plan, asked)
  for _, name in ipairs(box_limit_names) do
    local whole, own = box.plan.limits[name] or nil, plan.limits[name] or nil
    if asked[name] == nil then
      plan.limits[name] = whole
    elseif whole and (not own or own > whole) or name == "cpus" and not whole then
      bad("limits." .. name, ("expected at most the pool's (%s), got %s"):format(whole and ("%.14g"):format(whole) or "none",
        asked[name] and ("%.14g"):format(asked[name]) or "false"))
    end
  end
end

-- The defaults of a box's program as those of a run: a limit that was taken away stays away. The same for all of a box's, or of a pool's
-- boxes', and only read.
local function defaults_in(box, spawning)
  local name_of = spawning and "of_jobs" or "of_runs"
  if box.usual[name_of] then return box.usual[name_of] end
  local limits = {}
  for _, name in ipairs(program_limits) do limits[name] = false end
  for name, value in pairs(box.usual.limits) do limits[name] = value end
  if spawning and not box.usual.timed then limits.timeout = false end
  local defaults = { limits = limits, cwd = box.usual.cwd }
  for _, name in ipairs(program_defaults) do defaults[name] = box.usual[name] end
  if spawning then defaults.collect = nil end
  box.usual[name_of] = defaults
  return defaults
end

-- The environment of the box, with the program's own over it.
local function env_in(box, own)
  local env = {}
  if not own then
    for i, pair in ipairs(box.usual.env) do env[i] = pair end
    return env
  end
  for _, pair in ipairs(box.usual.env) do
    local name, value = pair:match "^([^=]*)=(.*)$"
    env[name] = value
  end
  return env_list(merge(env, own))
end

local function program_in(box, given, argv, spawning)
  if spawning and given.collect then bad("collect", "a job's files are read with box:read_file") end
  check_limits(given.limits or {}, box.single)
  local plan = filled(given, defaults_in(box, spawning), nil, env_in(box, given.env))
  plan.argv = argv
  terminal.seat(plan, spawning)
  check_strings(plan)
  place_files(plan)
  plan.user, plan.capabilities = given.user or box.plan.user, box.plan.capabilities
  if box.plan.root_writes and plan.user.uid ~= 0 then plan.capabilities = {} end
  share(box, plan, given.limits or {})
  return M.seat(plan, box)
end

function build.program(box, options, spawning)
  local given = checked("program", options, true)
  if given.detach and not spawning then bad("detach", "box:spawn takes it; box:run waits for its program") end
  if given.name and not given.detach then bad("name", "it goes with detach = true") end
  local plan = program_in(box, given, checked_argv(options), spawning)
  if given.detach and not plan.limits.output then bad("limits.output", "what is kept of a detached program's output needs a size") end
  plan.detach, plan.name = given.detach or nil, given.name
  return plan
end

function build.once(options, defaults)
  local given = checked("run", options, true)
  if given.bundle then plan_bundle({}, options) end -- which refuses all that a box is needed for
  local start, program = M.split(given)
  local box = whole_box(start, defaults or {})
  box.single = true
  return { box = box, program = program_in(box, program, checked_argv(options)) }
end

function build.lease(box, options)
  local given = checked("lease", options)
  if given.code == nil then bad("code", "expected a string, got nil") end
  local code, argv, input = given.code, given.argv, given.stdin
  given.code, given.argv, given.stdin = nil, nil, nil
  local plan = program_in(box, given, { "-" })
  if plan.limits.output_keep == "tail" then bad("limits.output_keep", "a prepared program's output is kept from its head") end
  if plan.limits.pids ~= box.plan.limits.pids then bad("limits.pids", "a prepared program runs already, and has the pool's") end
  plan.code, plan.code_argv, plan.input = code, argv, input
  return plan
end

-- Instances, and what stands alone --------------------------------------------------------------------------------------

function build.instance(options)
  local given = checked("instance", options)
  local out, defaults = {}, {}
  for name, row in pairs(schema.scope("instance").rows) do
    if schema.is_of(row, "run") then defaults[name] = given[name] else out[name] = given[name] end
    if out[name] == nil and not schema.is_of(row, "run") then out[name] = default_of(row) end
  end
  defaults.filesystems = out.filesystems
  kinds.untagged(defaults.mounts or {}, out.filesystems)
  out.defaults = defaults
  return out
end

function build.stages(options, defaults)
  return require("sandbox.options.stages").stages(build, options, defaults)
end

function build.interact(first, second, options, defaults)
  return require("sandbox.options.stages").interact(build, first, second, options, defaults)
end

function build.limits(limits, defaults)
  return merged_limits(defaults, kinds.limits("limits", limits))
end

-- Options of a call that has few: those of a scope, filled in.
function build.call(scope, options)
  return fill_defaults(scope, options == nil and {} or checked(scope, options))
end

--- A run's plan.
-- @tparam table options
-- @tparam[opt] table defaults of an instance
-- @tparam[opt] table how { client = refuse what names anything of this host, spawning = it is a job's, elsewhere = it is another instance's to
-- say what tags stand for }
-- @treturn table
function M.run(options, defaults, how) return errors.call(build.run, options, defaults, how) end

--- Of an instance's defaults those of the programs of a box that is another's.
-- @tparam table defaults
-- @treturn table
M.usual = usual_of

--- A box: { plan = that of our helper in it, usual = the defaults of its programs, idle_timeout = seconds or false, keep = seconds or nil }.
-- @tparam table options
-- @tparam[opt] table defaults
-- @treturn table
function M.box(options, defaults) return errors.call(build.box, options, defaults) end

--- A pool: { own = its own options, start = those of its boxes, sample = enough of such a box to check a program's options by }.
-- @tparam table options
-- @tparam[opt] table defaults
-- @treturn table
function M.pool(options, defaults) return errors.call(build.pool, options, defaults) end

--- A program's plan in a box; the environment of the box is merged below its own.
-- @tparam Box box
-- @tparam table options
-- @bool[opt] spawning it is a job's: there is no timeout where nobody gave one
-- @treturn table
function M.program(box, options, spawning) return errors.call(build.program, box, options, spawning) end

--- A run in a box of its own: { box = as `box` gives it, program = the plan of the only one in it }, its options checked once.
-- @tparam table options
-- @tparam[opt] table defaults
-- @treturn table
function M.once(options, defaults) return errors.call(build.once, options, defaults) end

--- The plan of a prepared program's lease.
-- @tparam Box box
-- @tparam table options
-- @treturn table
function M.lease(box, options) return errors.call(build.lease, box, options) end

--- Two programs that talk to each other: { programs = their plans, grace = seconds, transcript = bytes or false }.
-- @tparam table first
-- @tparam table second
-- @tparam[opt] table options
-- @tparam[opt] table defaults of an instance
-- @treturn table
function M.interact(first, second, options, defaults) return errors.call(build.interact, first, second, options, defaults) end

--- Stages: { max_bytes=, max_files=, list = { { options = of a run, name=, carries = whether its /work goes on }, … } }.
-- @tparam table options
-- @tparam[opt] table defaults of an instance
-- @treturn table
function M.stages(options, defaults) return errors.call(build.stages, options, defaults) end

--- An instance's options filled in, and `defaults` for its runs.
-- @tparam table options
-- @treturn table
function M.instance(options) return errors.call(build.instance, options) end

--- A table of limits alone, filled in.
-- @tparam table limits
-- @tparam[opt] table defaults
-- @treturn table
function M.limits(limits, defaults) return errors.call(build.limits, limits, defaults) end

--- Options of a call, filled in.
-- @string scope
-- @tparam[opt] table options
-- @treturn table
function M.call(scope, options) return errors.call(build.call, scope, options) end

--- The same without raising a bad option; what else is raised goes through.
-- @string name of the function here
-- @return its value, or nil, message, "bad_option"
function M.try(name, ...)
  return errors.try(build[name], ...)
end

--- The same without raising anything.
-- @string name
-- @return its value, or nil, message, "bad_option"
function M.never(name, ...)
  return errors.never(build[name], ...)
end

--- Gives a program's plan what it has of the very box that it runs in: of a pool's boxes each is as good as the other until then.
-- @tparam table plan
-- @tparam Box box
-- @treturn table the same
function M.seat(plan, box)
  plan.runtime = box.rt
  for name in pairs(box.plan.unenforced or {}) do -- what holds nobody there
    plan.unenforced = plan.unenforced or {}
    plan.unenforced[name] = true
  end
  return M.stamp(plan)
end

--- Gives a plan what every job has.
-- @tparam table plan
-- @treturn table the same
function M.stamp(plan)
  local core = require "sandbox.core"
  plan.clock, plan.began, plan.id = core.now, core.now(), core.random_hex(16)
  return plan
end

--- A run's options as those of a box of its own and of its only program. Of what both could have, the box has it.
-- @tparam table options which have been checked
-- @treturn table options of `box`
-- @treturn table options of `program`
function M.split(options)
  local start, program = {}, {}
  for k, v in next, options do
    local row = schema.scope("program").rows[k]
    if type(k) == "number" or row and not schema.is_of(row, "box") then program[k] = v elseif k ~= "init" then start[k] = v end -- a box has it
  end
  return start, program
end

return M
