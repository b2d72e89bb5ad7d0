-- SPDX-License-Identifier: MIT
--- Boxes with `keep`: what others are told of one, and how they find it.
--
-- Such a box has a keeper (src/supervisor/sup_keep.h), which holds what its first host says of it here, for those that come later. What is
-- found comes from a process of our own user, in a directory that nobody else can write; it is checked as a caller's options are all the
-- same, so that a forged one is refused in words.
-- @module sandbox.box.shared
local core = require "sandbox.core"
local json = require "sandbox.json"
local kept = require "sandbox.box.kept"
local kinds = require "sandbox.options.kinds"
local options_plan = require "sandbox.options.plan"
local runtime = require "sandbox.machine.runtime"
local text = require "sandbox.text"

local M = {}

local DOOR = "k" -- the name of its socket (sup_keep.c)
local HOLD_MAX = 128 * 1024 -- of what a keeper is told (sup_keep.c)
local FORMAT = 1

-- What is handed over ----------------------------------------------------------------------------------------------------

local function pick(from, names)
  local out = {}
  for _, name in ipairs(names) do out[name] = from[name] end
  return out
end

local RUNTIME = { "runsc", "version", "platform", "rootless", "flags", "boot_timeout", "trace", "ambient" }
local PLAN = { "limits", "unenforced", "user", "capabilities", "network", "readonly", "user_namespaces", "root_writes", "inodes_asked" }
local USUAL = { "env", "cwd", "limits", "timed" }
local MOUNT = { "destination", "type", "readonly", "size" }

--- What a box's keeper is told: how long it is kept, and what whoever attaches has to know to start programs in it.
-- @tparam table plan
-- @tparam table rt
-- @tparam table usual the defaults of its programs
-- @treturn string, or nil, message, "not_supported"
function M.hold(plan, rt, usual)
  local about = { format = FORMAT, runtime = pick(rt, RUNTIME), plan = pick(plan, PLAN), usual = pick(usual, USUAL) }
  about.plan.root, about.plan.mounts = plan.rootfs == "host" and "host" or "other", {}
  for i, m in ipairs(plan.mounts) do about.plan.mounts[i] = pick(m, MOUNT) end
  local bytes = kept.list{ "id", plan.id, "run", rt.state_dir .. "/run-" .. plan.id, "keep", plan.keep, "about", json.encode(about) }
  if #bytes <= HOLD_MAX then return bytes end
  return nil, ("keep: env and mounts are to be told to whoever attaches, and are %s, of at most 128 KiB"):format(text.bytes(#bytes)), "not_supported"
end

--- What an attached box is asked for.
M.JOIN = kept.list{ "from", "now", "mute", "1" }

-- What is taken of it ----------------------------------------------------------------------------------------------------

local function demand(ok, what)
  if not ok then error(what, 0) end
end

local function flag(value) return value == true or nil end

local function is_path(value) return type(value) == "string" and value:sub(1, 1) == "/" and #value < 4096 and not value:find "%z" end

local function take_runtime(given, state_dir)
  demand(type(given) == "table" and is_path(given.runsc) and type(given.version) == "string", "runtime")
  demand(type(given.platform) == "string" and given.platform:find "^%l+$" and type(given.flags) == "table", "runtime")
  demand(type(given.boot_timeout) == "number" and given.boot_timeout > 0, "runtime")
  local flags = {}
  for name, value in pairs(given.flags) do flags[name] = value == true or nil end
  local ambient = given.ambient
  if type(ambient) ~= "boolean" then ambient = nil end
  return { runsc = given.runsc, version = given.version, platform = given.platform, rootless = given.rootless == true, flags = flags,
           boot_timeout = given.boot_timeout, trace = given.trace == true, ambient = ambient, state_dir = state_dir }
end

local function take_mounts(given)
  local out = {}
  demand(type(given) == "table", "mounts")
  for i, m in ipairs(given) do
    demand(type(m) == "table" and is_path(m.destination) and type(m.type) == "string", "mounts")
    out[i] = { destination = m.destination, type = m.type, readonly = flag(m.readonly), size = type(m.size) == "number" and m.size or nil }
  end
  return out
end

local function take_plan(given)
  demand(type(given) == "table" and type(given.user) == "table", "plan")
  local plan = {
    mode = "run", box = true, quiet = true, rootfs = given.root, readonly = given.readonly == true, user_namespaces = given.user_namespaces == true,
    root_writes = flag(given.root_writes), inodes_asked = flag(given.inodes_asked), limits = kinds.limits("limits", given.limits),
    user = kinds.user("user", given.user), capabilities = kinds.capabilities("capabilities", given.capabilities), mounts = take_mounts(given.mounts),
    network = kinds.network("network", given.network, { values = { "none", "host" } }),
  }
  if type(given.unenforced) == "table" then
    plan.unenforced = {}
    for name in pairs(given.unenforced) do plan.unenforced[name] = true end
  end
  return plan
end

local function take_usual(given, defaults)
  demand(type(given) == "table" and type(given.env) == "table" and is_path(given.cwd), "usual")
  local usual = options_plan.usual(defaults)
  usual.env, usual.cwd, usual.timed, usual.limits = {}, given.cwd, given.timed == true, kinds.limits("limits", given.limits)
  for i, pair in ipairs(given.env) do
    demand(type(pair) == "string" and pair:find "^[^=%z][^=%z]*=[^%z]*$", "env")
    usual.env[i] = pair
  end
  return usual
end

local function take(about, defaults, state_dir)
  demand(about.format == FORMAT, "another version's")
  return { rt = take_runtime(about.runtime, state_dir), plan = take_plan(about.plan), usual = take_usual(about.usual, defaults) }
end

-- Finding ----------------------------------------------------------------------------------------------------------------

-- Whether a directory is one of ours, that nobody else can write.
local function is_private(dir)
  local st = core.lstat(dir)
  if not st then return nil end
  return st.type == "directory" and st.uid == core.getuid() and math.floor(st.mode / 2) % 2 == 0 and math.floor(st.mode / 16) % 2 == 0
end

--- Finds a box by its id.
-- @tparam table host the instance's services
-- @string id
-- @treturn table { path = of its socket, dir=, keep=, rt=, plan=, usual= }, or nil, message, code
function M.find(host, id)
  local state_dir, message, code = runtime.state_dir(core, host.options.state_dir)
  if not state_dir then return nil, message, code end
  local absent = ("there is no box %s to attach to in %s: it has ended, still boots, or was started without keep"):format(text.line(id), state_dir)
  if not id:find "^%x+$" or #id ~= 32 then return nil, absent, "not_found" end
  local dir = state_dir .. "/run-" .. id
  local ours = is_private(dir)
  if ours == nil then return nil, absent, "not_found" end
  if not ours then return nil, ("%s is refused: it is no directory, somebody else's, or others may write to it"):format(dir), "system" end
  local told
  told, message, code = kept.ask(dir .. "/" .. DOOR, host.options.wait)
  if code == "busy" or code == "timeout" then return nil, "box " .. id .. ": " .. message, code end
  if not told then return nil, absent, "not_found" end
  local ok, found = pcall(take, told.about, host.defaults, state_dir)
  if not ok or told.id ~= id then return nil, ("what is in %s is no box of this version of sandbox (%s)"):format(dir, text.line(tostring(found))), "not_supported" end
  ok, message, code = runtime.trust(core, found.rt.runsc)
  if not ok then return nil, message, code end
  found.path, found.dir, found.keep = dir .. "/" .. DOOR, dir, tonumber(told.keep)
  return found
end

--- The boxes with `keep` of a state directory.
-- @tparam table host the instance's services
-- @treturn {table,...} the oldest first: { id=, state=, seconds= since its start, keep=, hosts= that are attached, programs= names or ids of the
-- detached programs that are at work }, or nil, message, code
function M.all(host)
  local state_dir, message, code = runtime.state_dir(core, host.options.state_dir)
  if not state_dir then return nil, message, code end
  local out = {}
  for _, name in ipairs(core.readdir(state_dir) or {}) do
    local dir, id = state_dir .. "/" .. name, name:match "^run%-(%x+)$"
    local told = id and is_private(dir) and core.lstat(dir .. "/" .. DOOR) and kept.ask(dir .. "/" .. DOOR, host.options.wait)
    if told and told.id == id then
      local programs = {}
      for _, program in ipairs(kept.all(dir, host.options.wait)) do
        if program.state ~= "ended" then programs[#programs + 1] = text.line(program.name ~= "" and program.name or program.id) end
      end
      out[#out + 1] = { id = id, state = told.state, seconds = tonumber(told.age), keep = tonumber(told.keep), hosts = kept.number(told.hosts), programs = programs }
    end
  end
  table.sort(out, function(a, b) return (a.seconds or 0) > (b.seconds or 0) end)
  return out
end

return M
