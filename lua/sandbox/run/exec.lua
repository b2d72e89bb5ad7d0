-- SPDX-License-Identifier: MIT
--- Requests for what goes on in a box that is there: programs, their leases, calls of the sentry.
-- @module sandbox.run.exec
local capabilities = require "sandbox.options.capabilities"
local json = require "sandbox.json"
local limits = require "sandbox.run.limits"
local oci = require "sandbox.run.oci"
local terminal = require "sandbox.run.terminal"
local wire = require "sandbox.run.wire"

local M = {}

local CONFIG_MAX = 16 * 1024 * 1024 -- of what stands for config.json

local runtimes = setmetatable({}, { __mode = "k" })

-- What all boxes of a runtime have in common: a pool's have one, which nobody changes in this.
local function of_runtime(rt)
  local bytes = runtimes[rt]
  if bytes then return bytes end
  local p = wire.new()
  p:add("runsc", rt.runsc)
  p:add("platform", rt.platform)
  p:add("rootless", rt.rootless)
  p:add("container", oci.BOX)
  p:add("abstract", not rt.flags.directfs) -- since the release that brought --directfs the control socket is a file
  p:add("boot_timeout", rt.boot_timeout)
  bytes = p:bytes()
  runtimes[rt] = bytes
  return bytes
end

-- What a box is to all its supervisors: the same for each program, and encoded once.
local function of_itself(box, pid)
  local known = box.itself
  if known and known.pid == pid then return known.bytes end
  local p = wire.new()
  p:add_bytes(of_runtime(box.rt))
  p:add("box", box.dir)
  p:add("box_pid", pid)
  p:add("await", pid == nil)
  box.itself = { pid = pid, bytes = p:bytes() }
  return box.itself.bytes
end

local function of_box(mode, plan, box, pid)
  local p = wire.new()
  p:add("mode", mode)
  p:add("id", plan.id)
  p:add_bytes(of_itself(box, pid))
  return p
end

local function list(strings)
  local out = {}
  for i, s in ipairs(strings) do out[i] = json.encode(s) end
  return "[" .. table.concat(out, ",") .. "]"
end

local last = { json = "[]" } -- environment, and as JSON: most programs have the same

local function env_json(env)
  local same = #env == #last
  for i = 1, same and #env or 0 do same = same and env[i] == last[i] end
  if same then return last.json end
  last = { json = list(env) }
  for i, pair in ipairs(env) do last[i] = pair end
  return last.json
end

-- gVisor's control.ExecArgs. A prepared program has its code on 3 and its word on 4; our helper's is the last (the oldest build counts
-- them itself). Null capabilities would be all there are.
local function exec_args(plan, argv, direct, prepared)
  local mask, groups = capabilities.mask(plan.capabilities), {}
  for i, group in ipairs(plan.user.groups or {}) do groups[i] = ("%.0f"):format(group) end
  return ('{"filename":%s,"argv":%s,"envv":%s,"wd":%s,"KUID":%.0f,"KGID":%.0f,"ExtraKGIDs":[%s],"NoNewPrivileges":true,'
    .. '"Capabilities":{"PermittedCaps":%s,"InheritableCaps":%s,"EffectiveCaps":%s,"BoundingCaps":%s,"AmbientCaps":%s},'
    .. '"StdioIsPty":false,"GuestFDs":%s,"ContainerID":"%s"}'):format(
    direct and '""' or json.encode(oci.HELPER), list(argv), env_json(plan.env), direct and json.encode(plan.cwd) or '"/"', plan.user.uid, plan.user.gid,
    table.concat(groups, ","), mask, mask, mask, mask, mask,
    "[0,1,2" .. (prepared and ",3,4" or "") .. (direct and "]" or prepared and ",5]" or ",3]"), oci.BOX)
end

-- The same as OCI has it, for `runsc exec --process`.
local function oci_process(plan, argv)
  local process = { args = argv, env = plan.env, cwd = plan.cwd, user = { uid = plan.user.uid, gid = plan.user.gid }, noNewPrivileges = true,
                    terminal = false }
  if #(plan.user.groups or {}) > 0 then process.user.additionalGids = plan.user.groups end
  local sets = {}
  for _, set in ipairs{ "bounding", "effective", "inheritable", "permitted", "ambient" } do sets[set] = plan.capabilities end
  process.capabilities = sets
  local bytes = json.encode_spec(process)
  return bytes
end

-- Who an exec starts as: the program's user, or our helper, which becomes that one in part (src/guest/guest_self.h).
local function starts_as(plan, argv)
  if argv[1] ~= oci.HELPER or argv[2] ~= "exec" or argv[4] == "-" then return plan end
  return { user = { uid = 0, gid = plan.user.gid, groups = plan.user.groups }, capabilities = { "CAP_SETUID" }, env = plan.env, cwd = plan.cwd }
end

-- A detached program's output is limited by who keeps it; its supervisor passes on what comes, unless the limit is the program's end.
local function ungoverned(plan)
  local own = { limits = {}, unenforced = plan.unenforced }
  for name, value in pairs(plan.limits) do own.limits[name] = value end
  own.limits.output, own.limits.output_keep = own.limits.output_kill and own.limits.output or nil, "head"
  return own
end

--- The request for a program in a box.
-- @tparam table plan
-- @tparam table box
-- @tparam {string,...} argv of our helper, or of the program itself
-- @int pid of the box's runsc
-- @bool direct the latter
-- @bool alone the helper becomes the program
-- @treturn table or nil, message, code
function M.exec(plan, box, argv, pid, direct, alone)
  local p = of_box(box.cli and "command" or "exec", plan, box, pid)
  limits.add(p, plan.kept and ungoverned(plan) or plan)
  p:add("kept", plan.kept)
  p:add("disk_by", limits.disk_word(box.plan, box.rt))
  p:add("inodes_held", require("sandbox.run.oci").inodes_held(box.plan, box.rt))
  p:add("tell_space", limits.tell_space(box.plan, box.rt))
  p:add("whole_box", box.single)
  p:add("direct", direct and not box.cli)
  p:add("prepared", plan.prepared and not box.cli)
  p:add("alone", alone)
  p:add("guest", box.by_file) -- what is run, where the sandbox has no helper of ours
  if plan.pty then p:add("ours", terminal.beside(box.rt)) end
  p:add("stderr", plan.stderr or "pipe")
  p:add("stdin", (plan.stdin ~= nil or plan.stdin_open) and "open" or "closed")
  local who = starts_as(plan, argv)
  local config = box.cli and oci_process(who, argv) or exec_args(who, argv, direct, plan.prepared)
  if #config > CONFIG_MAX then return nil, "argv and env are larger than 16 MiB as JSON", "not_supported" end
  return { r = p:bytes(), config = config, files = {}, id = plan.id, boot_timeout = box.rt.boot_timeout }
end

--- For a supervisor that is to wait for the request of a box's next program.
-- @tparam table box
-- @int[opt] pid of the box's runsc; nil: it still boots
-- @bool[opt] warm our helper is run first
-- @treturn string
function M.attach(box, pid, warm)
  local known = box.attaching
  if known and known.pid == pid and known.warm == warm then return known.bytes end
  local p = of_box("exec", { id = box.id }, box, pid)
  if warm then
    local first = { env = {}, cwd = "/", user = box.plan.user, capabilities = {} }
    p:add("first", exec_args(first, { oci.HELPER, "true" }, true))
  end
  box.attaching = { pid = pid, warm = warm, bytes = p:bytes() }
  return box.attaching.bytes
end

--- For a box that is leased: what it gets, at most what it could have.
-- @tparam table plan of the program
-- @tparam ?integer pids tasks that it may have, our helper included where that stays its parent
-- @treturn string
function M.lease_box(plan, pids)
  local p = wire.new()
  for _, name in ipairs{ "memory", "cpus" } do p:add(name, plan.limits[name] or 0) end
  p:add("pids", pids or 0)
  local bytes = p:bytes()
  return bytes
end

--- A prepared program's own limits, for its lease.
-- @tparam table plan
-- @int code how many bytes of what it is fed go to its descriptor for code
-- @treturn string
function M.lease(plan, code)
  local p = wire.new()
  p:add("code", code)
  for _, name in ipairs{ "timeout", "cpu_time", "output" } do p:add(name, plan.limits[name] or 0) end
  p:add("output_kill", plan.limits.output_kill)
  local bytes = p:bytes()
  return bytes
end

--- The request for one call of the sentry's control protocol, or "stats".
-- @tparam table plan
-- @tparam table box
-- @string method
-- @string argument JSON
-- @int pid of the box's runsc
-- @treturn table
function M.call(plan, box, method, argument, pid)
  local p = of_box("call", plan, box, pid)
  p:add("call", method)
  return { r = p:bytes(), config = argument, files = {}, id = plan.id, boot_timeout = box.rt.boot_timeout }
end

return M
