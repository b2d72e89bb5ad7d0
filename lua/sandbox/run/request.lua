-- SPDX-License-Identifier: MIT
--- From a plan and a runtime to what the supervisor gets: a list of keys, config.json, files.
-- @module sandbox.run.request
local oci = require "sandbox.run.oci"
local json = require "sandbox.json"
local text = require "sandbox.text"
local wire = require "sandbox.run.wire"
local bundle = require "sandbox.options.bundle"
local strict = require "sandbox.options.strict_json"
local capabilities = require "sandbox.options.capabilities"

local M = {}

-- What of /etc a program needs to start. Copied, and only where the whole world may read it.
local etc_files = { "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/localtime",
                    "/etc/timezone", "/etc/mime.types", "/etc/os-release", "/etc/protocols", "/etc/services", "/etc/locale.alias" }
local network_files = { "/etc/hosts", "/etc/resolv.conf", "/etc/host.conf", "/etc/gai.conf" }
local etc_directories = { "/etc/alternatives", "/etc/ld.so.conf.d", "/etc/ssl/certs", "/etc/ca-certificates", "/etc/pki/tls/certs",
                          "/etc/pki/ca-trust", "/etc/crypto-policies" }
-- Language runtimes that keep a part of themselves in /etc.
local etc_patterns = { "^python%d", "^java", "^lua%d", "^perl$", "^node", "^ruby" }
local top = { "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32" }

local CONFIG_MAX = 16 * 1024 * 1024 -- of config.json, and of what stands for it in a box

local HOSTS = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n127.0.1.1 %s\n"

local function world_readable(st)
  return st and st.mode % 8 >= 4
end

local function open_directory(st)
  return st and st.type == "directory" and st.mode % 8 >= 5
end

-- The names in /etc that fit, remembered for a moment: to look through all of it takes longer than the rest of a request.
-- What may be done with each is asked every time.
local FRESH = 1
local etc_names_cache = {}
local function etc_names(core)
  local now = core.now and core.now()
  if now and etc_names_cache.core == core and now - etc_names_cache.at < FRESH then return etc_names_cache.names end
  local names = {}
  for _, name in ipairs(core.readdir("/etc") or {}) do
    for _, pattern in ipairs(etc_patterns) do
      if name:find(pattern) then
        names[#names + 1] = name
        break
      end
    end
  end
  table.sort(names)
  if now then etc_names_cache = { core = core, at = now, names = names } end
  return names
end

local function add_etc(core, out, network)
  for _, path in ipairs(etc_files) do
    local st = core.stat(path)
    if st and st.type == "file" and world_readable(st) then out.etc[#out.etc + 1] = path end
  end
  for _, path in ipairs(network == "host" and network_files or {}) do
    local st = core.stat(path)
    if st and st.type == "file" and world_readable(st) then out.etc[#out.etc + 1] = path end
  end
  for _, path in ipairs(etc_directories) do
    if open_directory(core.stat(path)) then out.bind[#out.bind + 1] = path end
  end
  for _, name in ipairs(etc_names(core)) do
    if open_directory(core.lstat("/etc/" .. name)) then out.bind[#out.bind + 1] = "/etc/" .. name end
  end
end

--- What rootfs = "host" is made of on this machine.
-- @tparam table core
-- @string network "host" adds what names need
-- @treturn table of the lists bind, symlink, etc
function M.host_layout(core, network)
  local out = { bind = { "/usr" }, symlink = {}, etc = {} }
  for _, path in ipairs(top) do
    local st = core.lstat(path)
    local real = st and st.type == "link" and core.realpath(path)
    if real and real:sub(1, 5) == "/usr/" then
      out.symlink[#out.symlink + 1] = path .. " " .. real:sub(2)
    elseif st and (st.type == "directory" or real) then
      out.bind[#out.bind + 1] = path
    end
  end
  if open_directory(core.stat("/nix/store")) then out.bind[#out.bind + 1] = "/nix/store" end
  add_etc(core, out, network)
  return out
end

-- runsc's flags ---------------------------------------------------------------------------------------------------------

--- What of the host a spec binds, beside the run's own directory: the supervisor binds each below that, where it stays what it was
-- when it was looked at, and the spec is changed to name that place.
-- @tparam table spec
-- @string run_dir
-- @treturn {table,...} of { source=, place=, readonly= }
function M.pin(spec, run_dir)
  local list = {}
  for _, m in ipairs(spec.mounts or {}) do
    if m.type == "bind" and not text.is_below(m.source, run_dir) then
      local pinned = { source = m.source, place = m.destination }
      for _, option in ipairs(m.options) do
        if option == "ro" then pinned.readonly = true end
      end
      m.source = ("%s/m/s/%d"):format(run_dir, #list)
      list[#list + 1] = pinned
    end
  end
  return list
end

local function has_writable(binds)
  for _, bind in ipairs(binds) do
    if not bind.readonly then return true end
  end
  return false
end

--- runsc's global flags for a run.
-- @tparam table plan
-- @tparam table rt
-- @tparam {table,...} binds as `pin` gave them
-- @treturn {string,...}
function M.flags(plan, rt, binds)
  local flags = { "--platform=" .. rt.platform, "--network=" .. (plan.network == "host" and "host" or "none"), "--ignore-cgroups" }
  if rt.rootless then flags[#flags + 1] = "--rootless" end
  -- As a user the store of /work is written to as one uid only: an overlay in memory lets every guest uid write. It would
  -- discard what goes to a writable bind, so that needs guest uid 0 and goes without.
  local by, overlay = oci.disk_by(plan, rt), "root:memory"
  if by == "overlay" then
    overlay = ("root:memory,size=%.0f"):format(oci.overlay_size(plan.limits.disk))
  elseif by == "store" and not plan.readonly then
    overlay = "none" -- the supervisor's own overlay keeps its upper layer in the store
  elseif rt.rootless and not by and not has_writable(binds) then
    overlay = "all:memory"
  end
  flags[#flags + 1] = "--overlay2=" .. overlay
  if rt.flags.directfs then flags[#flags + 1] = "--directfs=false" end
  -- Its default today, and what mends CVE-2026-96812: device nodes of a rootfs never reach the host's.
  if rt.flags["character-device-policy"] then flags[#flags + 1] = "--character-device-policy=emulated-only" end
  if not plan.user_namespaces then flags[#flags + 1] = "--oci-seccomp" end
  for _, flag in ipairs(rt.runsc_flags or {}) do flags[#flags + 1] = flag end
  return flags
end

-- The request -----------------------------------------------------------------------------------------------------------

local function add_limits(p, plan)
  local limits = plan.limits
  for _, name in ipairs{ "timeout", "cpu_time", "cpus", "memory", "pids", "output", "disk", "file_size", "open_files" } do
    if not (plan.unenforced and plan.unenforced[name]) then p:add(name, limits[name]) end
  end
  p:add("output_keep", limits.output_keep)
  p:add("output_kill", limits.output_kill)
  p:add("best_effort", limits.best_effort)
end

-- Who holds the disk limit, for the result.
local function disk_word(plan, rt)
  local by = oci.disk_by(plan, rt)
  return by == "store" and "tmpfs" or by
end

-- What a capability undoes is not held, wherever it comes from: an option, a bundle, the caller's last word.
local function check_capabilities(plan, spec)
  local process = type(spec.process) == "table" and spec.process or {}
  for limit, name in pairs(capabilities.undone(process.capabilities, plan.limits)) do
    if not plan.limits.best_effort then
      return nil, ("limits.%s cannot hold a program that has %s: leave the capability out, or set limits.%s = false, or limits.best_effort"):format(limit,
        name, limit), "limit_unavailable"
    end
    plan.unenforced = plan.unenforced or {}
    plan.unenforced[limit] = true
  end
  return true
end

-- A guest that is root in a namespace of its own is not bound by these.
local function check_namespaces(plan)
  if not plan.user_namespaces then return true end
  for _, limit in ipairs{ "disk", "pids" } do
    if plan.limits[limit] and not plan.limits.best_effort then
      return nil, ("limits.%s cannot hold a program that may make user namespaces: leave user_namespaces out, or set limits.%s = false, or limits.best_effort"):format(
        limit, limit), "limit_unavailable"
    elseif plan.limits[limit] then
      plan.unenforced = plan.unenforced or {}
      plan.unenforced[limit] = true
    end
  end
  return true
end

-- Where the root needs something to mount on. A bind's place depends on what is bound: the supervisor sees to it.
local function add_places(p, plan, rt, spec, binds)
  local dirs, files = { "/proc", "/dev", "/sys", "/tmp" }, {}
  if oci.has_work(plan) then dirs[#dirs + 1] = "/work" end
  -- A bind below /dev needs its place before gVisor mounts its own /dev over it.
  if oci.disk_by(plan, rt) == "store" and oci.tmp_on_host(plan) then dirs[#dirs + 1] = "/dev/shm" end
  local seen = { ["/proc"] = true, ["/dev"] = true, ["/sys"] = true, ["/tmp"] = true, ["/work"] = true }
  for _, bind in ipairs(binds) do seen[bind.place] = true end
  for _, m in ipairs(spec.mounts or {}) do
    local place = m.destination
    if not seen[place] and place:sub(1, 5) ~= "/dev/" and place:sub(1, 6) ~= "/proc/" and place:sub(1, 5) ~= "/sys/" then
      seen[place] = true
      if place == oci.HELPER then files[#files + 1] = place else dirs[#dirs + 1] = place end
    end
  end
  p:add_all("mkdir", dirs)
  p:add_all("mkfile", files)
  for _, bind in ipairs(binds) do
    p:add("source", (bind.readonly and "ro " or "rw ") .. bind.source)
    p:add("place", bind.place)
  end
end

local function add_rootfs(p, plan, root, core)
  if plan.bundle then
    p:add("rootfs", "bundle")
    p:add("bundle", plan.bundle)
    p:add("rootfs_path", root)
  elseif plan.rootfs == "host" then
    local layout = M.host_layout(core, plan.network)
    p:add("rootfs", "host")
    p:add_all("bind", layout.bind)
    p:add_all("symlink", layout.symlink)
    p:add_all("etc", layout.etc)
  else
    p:add("rootfs", "dir")
    p:add("rootfs_path", plan.rootfs)
  end
end

local function read_config(path, core)
  local reader, why = core.reader(path) -- never a FIFO nor a device, which would hold us up
  if not reader then return nil, why end
  local parts, size = {}, 0
  local piece = reader:read(65536)
  while piece and size <= strict.MAX_BYTES do
    parts[#parts + 1], size = piece, size + #piece
    piece = reader:read(65536)
  end
  reader:close()
  return table.concat(parts)
end

local function read_bundle(plan, rt, run_dir, core)
  local bytes, why = read_config(plan.bundle .. "/config.json", core)
  if not bytes then return nil, ("bundle %s: %s"):format(plan.bundle, why), "bad_rootfs" end
  local spec, reason = bundle.read(bytes, plan.bundle, plan.limits)
  if not spec then return nil, ("bundle %s is refused: config.json: %s"):format(plan.bundle, reason), "bad_rootfs" end
  return spec, oci.adopt(spec, plan, rt, run_dir)
end

local function copy(t)
  if type(t) ~= "table" then return t end
  local out = {}
  for k, v in pairs(t) do out[k] = copy(v) end
  return out
end

--- The spec of a plan, after the caller's last word.
-- @tparam table plan
-- @tparam table rt
-- @string run_dir
-- @tparam[opt] table core for tests
-- @return the spec and, of a bundle, its root relative to that; or nil, message, code
function M.spec(plan, rt, run_dir, core)
  if plan.bundle then
    local spec, root, code = read_bundle(plan, rt, run_dir, core or require "sandbox.core")
    if spec then oci.guard(spec, plan) end
    return spec, root, code
  end
  local spec = oci.build(plan, rt, run_dir)
  if plan.spec then
    local theirs = copy(spec)
    local reason
    theirs, reason = bundle.check(plan.spec(theirs) or theirs, spec)
    if not theirs then return nil, "what the function spec gives is refused: " .. reason, "bad_rootfs" end
    spec = theirs
  end
  oci.guard(spec, plan)
  return spec
end

local function guest_files(plan)
  local list = {}
  if plan.rootfs == "host" and not plan.bundle and plan.network == "none" then
    list[1] = { path = "/etc/hosts", mode = "644", content = HOSTS:format(plan.hostname) }
  end
  for _, file in ipairs(plan.files) do
    list[#list + 1] = { path = file.path, mode = file.mode, content = file.content, from = file.from }
  end
  return list
end

--- Builds the whole request.
-- @tparam table plan
-- @tparam table rt
-- @string id
-- @tparam[opt] table core for tests
-- @treturn table { r = bytes, config = bytes, files = list }, or nil, message, code
function M.build(plan, rt, id, core)
  core = core or require "sandbox.core"
  local run_dir = rt.state_dir .. "/run-" .. id
  local spec, root, code = M.spec(plan, rt, run_dir, core)
  if not spec then return nil, root, code end
  local ok, message
  ok, message, code = check_capabilities(plan, spec)
  if ok then ok, message, code = check_namespaces(plan) end
  if not ok then return nil, message, code end
  local binds = M.pin(spec, run_dir)
  local config = json.encode_spec(spec)
  if #config > CONFIG_MAX then return nil, "the OCI spec is larger than 16 MiB", "not_supported" end
  local p = wire.new()
  local process = type(spec.process) == "table" and spec.process or {}
  local user = type(process.user) == "table" and process.user or {}
  p:add("mode", "run")
  p:add("id", id)
  p:add("state_dir", rt.state_dir)
  p:add("runsc", rt.runsc)
  p:add_all("arg", M.flags(plan, rt, binds))
  p:add("platform", rt.platform)
  p:add("rootless", rt.rootless)
  p:add("network", plan.network == "host" and "host" or "none")
  add_rootfs(p, plan, root, core)
  add_places(p, plan, rt, spec, binds)
  p:add("cwd", type(process.cwd) == "string" and process.cwd or "/")
  p:add("work", oci.has_work(plan))
  p:add("tmp", oci.tmp_on_host(plan) and "host" or "guest")
  local by = oci.disk_by(plan, rt)
  p:add("disk_by", disk_word(plan, rt))
  p:add("inside", by == "overlay")
  p:add("writable", not plan.bundle and not plan.readonly)
  p:add("store_root", by == "store" and not plan.readonly)
  p:add("uid", user.uid or 0)
  p:add("gid", user.gid or 0)
  p:add("map_base", oci.MAP_BASE)
  p:add("boot_timeout", rt.boot_timeout)
  add_limits(p, plan)
  p:add("stderr", plan.stderr or "pipe")
  p:add("stdin", (plan.stdin ~= nil or plan.stdin_open) and "open" or "closed")
  p:add("cgroup_parent", rt.cgroup_parent)
  if plan.box then
    p:add("guest", M.helper())
    p:add("container", oci.BOX)
    p:add("idle_timeout", plan.idle_timeout)
    p:add("cpus_later", plan.cpus_later)
  end
  p:add("trace", rt.trace)
  p:add("nodev", rt.rootless or rt.flags.directfs) -- the build of 2022 remounts its root without what it has, as root
  local bytes = p:bytes()
  if #bytes > wire.MAX then return nil, "mounts, paths and runsc_flags are larger than 1 MiB together", "not_supported" end
  return { r = bytes, config = config, files = guest_files(plan), id = id, boot_timeout = rt.boot_timeout }
end

--- A request to boot that leaves the machine to others first.
-- @tparam table request
-- @number seconds
-- @treturn table another request
function M.delayed(request, seconds)
  local p = wire.new()
  p:add("boot_delay", seconds)
  return { r = request.r .. p:bytes(), config = request.config, files = request.files, id = request.id,
           boot_timeout = (request.boot_timeout or 0) + seconds }
end

--- Our helper on the host: it lies beside the supervisor.
-- @treturn string
function M.helper()
  local path = require("sandbox.core").supervisor()
  return path and (path:gsub("sandbox%-supervisor$", "sandbox-guest")) or nil
end

local function of_box(plan, box, pid)
  local p = wire.new()
  p:add("mode", "exec")
  p:add("id", plan.id)
  p:add("runsc", box.rt.runsc)
  p:add("platform", box.rt.platform)
  p:add("rootless", box.rt.rootless)
  p:add("box", box.dir)
  p:add("box_pid", pid)
  p:add("await", pid == nil)
  p:add("container", oci.BOX)
  p:add("abstract", not box.rt.flags.directfs) -- since the release that brought --directfs the control socket is a file
  p:add("boot_timeout", box.rt.boot_timeout)
  return p
end

local function capability_mask(names)
  local mask = 0
  for _, name in ipairs(names) do mask = mask + 2 ^ capabilities.number(name) end
  return ("%.0f"):format(mask)
end

-- gVisor's control.ExecArgs. Null capabilities would be all there are.
local function exec_args(plan, argv, direct)
  local mask, groups = capability_mask(plan.capabilities), {}
  for i, group in ipairs(plan.user.groups or {}) do groups[i] = ("%.0f"):format(group) end
  local function list(strings)
    local out = {}
    for i, s in ipairs(strings) do out[i] = json.encode(s) end
    return "[" .. table.concat(out, ",") .. "]"
  end
  return ('{"filename":%s,"argv":%s,"envv":%s,"wd":%s,"KUID":%.0f,"KGID":%.0f,"ExtraKGIDs":[%s],"NoNewPrivileges":true,'
    .. '"Capabilities":{"PermittedCaps":%s,"InheritableCaps":%s,"EffectiveCaps":%s,"BoundingCaps":%s,"AmbientCaps":%s},'
    .. '"StdioIsPty":false,"GuestFDs":%s,"ContainerID":"%s"}'):format(
    direct and '""' or json.encode(oci.HELPER), list(argv), list(plan.env), direct and json.encode(plan.cwd) or '"/"', plan.user.uid, plan.user.gid,
    table.concat(groups, ","), mask, mask, mask, mask, mask,
    direct and "[0,1,2]" or "[0,1,2,3]", oci.BOX)
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

--- The request for a program in a box.
-- @tparam table plan
-- @tparam table box
-- @tparam {string,...} argv of our helper, or of the program itself
-- @int pid of the box's runsc
-- @bool direct the latter
-- @bool alone the helper becomes the program
-- @treturn table or nil, message, code
function M.exec(plan, box, argv, pid, direct, alone)
  local p = of_box(plan, box, pid)
  add_limits(p, plan)
  p:add("disk_by", disk_word(box.plan, box.rt))
  p:add("whole_box", box.single)
  p:add("direct", direct and not box.cli)
  p:add("alone", alone)
  p:add("cli", box.cli)
  p:add("stderr", plan.stderr or "pipe")
  p:add("stdin", (plan.stdin ~= nil or plan.stdin_open) and "open" or "closed")
  local config = box.cli and oci_process(plan, argv) or exec_args(plan, argv, direct)
  if #config > CONFIG_MAX then return nil, "argv and env are larger than 16 MiB as JSON", "not_supported" end
  return { r = p:bytes(), config = config, files = {}, id = plan.id, boot_timeout = box.rt.boot_timeout }
end

--- For a supervisor that is to wait for the request of a box's next program.
-- @tparam table box
-- @int[opt] pid of the box's runsc; nil: it still boots
-- @bool[opt] warm our helper is run first
-- @treturn string
function M.attach(box, pid, warm)
  local p = of_box({ id = box.id }, box, pid)
  if warm then
    local first = { env = {}, cwd = "/", user = box.plan.user, capabilities = {} }
    p:add("first", exec_args(first, { oci.HELPER, "true" }, true))
  end
  local bytes = p:bytes()
  return bytes
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
-- @treturn string
function M.lease(plan)
  local p = wire.new()
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
  local p = of_box(plan, box, pid)
  p:add("call", method)
  return { r = p:bytes(), config = argument, files = {}, id = plan.id, boot_timeout = box.rt.boot_timeout }
end

--- The request that runs `runsc arg…` on the host, as for its version.
-- @string runsc
-- @tparam {string,...} args
-- @number timeout
-- @treturn table
function M.tool(runsc, args, timeout)
  local p = wire.new()
  p:add("mode", "tool")
  p:add("runsc", runsc)
  p:add_all("arg", args)
  p:add("timeout", timeout)
  p:add("output", 1024 * 1024)
  p:add("stdin", "closed")
  return { r = p:bytes(), files = {} }
end

--- The request that removes what dead owners left in a state directory.
-- @string state_dir
-- @treturn table
function M.sweep(state_dir)
  local p = wire.new()
  p:add("mode", "sweep")
  p:add("state_dir", state_dir)
  return { r = p:bytes(), files = {} }
end

return M
