-- SPDX-License-Identifier: MIT
--- From a plan and a runtime to what the supervisor gets: a list of keys, config.json, files.
-- @module sandbox.run.request
local host_layout = require "sandbox.run.host_layout"
local identity = require "sandbox.run.identity"
local limits = require "sandbox.run.limits"
local last_word = require "sandbox.run.last_word"
local oci = require "sandbox.run.oci"
local owner = require "sandbox.run.owner"
local json = require "sandbox.json"
local net = require "sandbox.run.network"
local terminal = require "sandbox.run.terminal"
local text = require "sandbox.text"
local wire = require "sandbox.run.wire"
local bundle = require "sandbox.options.bundle"
local strict = require "sandbox.options.strict_json"
local capabilities = require "sandbox.options.capabilities"

local M = {}

local GIVE_SECONDS = 0.02 -- that a boot may take longer for each file that our helper gives away, on a busy machine
local CONFIG_MAX = 16 * 1024 * 1024 -- of config.json

local HOSTS = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n127.0.1.1 %s\n"

-- runsc's flags ---------------------------------------------------------------------------------------------------------

--- What of the host a spec binds, beside the run's own directory: the supervisor binds each below that, where it stays what it was
-- when it was looked at, and the spec is changed to name that place.
-- @tparam table spec
-- @string run_dir
-- @treturn {table,...} of { source=, place=, readonly= }
function M.pin(spec, run_dir)
  local list = {}
  for _, m in ipairs(spec.mounts or {}) do
    if (m.type == "bind" or m.type == "erofs") and not text.is_below(m.source, run_dir) then
      local pinned = { source = m.source, place = m.type == "bind" and m.destination or "/" } -- a file is mounted on a directory
      for _, option in ipairs(m.options) do
        if option == "ro" then pinned.readonly = true end
      end
      m.source = ("%s/m/s/%d"):format(run_dir, #list)
      list[#list + 1] = pinned
    end
  end
  return list
end

-- A cow may be written above what is there, unless that is to have a size.
local function has_writable(plan, binds)
  for _, m in ipairs(plan.mounts) do
    if m.type == "cow" and m.size then return true end
  end
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
  local flags = { "--platform=" .. rt.platform, "--network=" .. net.word(plan), "--ignore-cgroups" }
  -- gVisor's own stack needs a namespace with a link, which `--rootless` refuses: the supervisor's user namespace is root enough.
  if rt.rootless and net.word(plan) ~= "sandbox" then flags[#flags + 1] = "--rootless" end
  -- As a user the store of /work is written to as one uid only: an overlay in memory lets every guest uid write. It would
  -- discard what goes to a writable bind, so that needs guest uid 0 and goes without.
  local by, overlay = oci.disk_by(plan, rt), "root:memory"
  if by == "overlay" then
    overlay = ("root:memory,size=%.0f"):format(oci.overlay_size(plan.limits.disk))
  elseif by == "store" and not plan.readonly then
    overlay = "none" -- the supervisor's own overlay keeps its upper layer in the store
  elseif rt.rootless and not by and not oci.inodes_held(plan, rt) and not has_writable(plan, binds) then
    overlay = "all:memory"
  end
  flags[#flags + 1] = "--overlay2=" .. overlay
  -- Without `--rootless` runsc gives a sentry that opens nothing itself a user of its own, which an ordinary user cannot map: there the
  -- sentry is the user in the supervisor's namespaces in either case, and may open what the gofer has given it.
  if rt.flags.directfs and not (rt.rootless and net.word(plan) == "sandbox") then flags[#flags + 1] = "--directfs=false" end
  -- Its default today, and what mends CVE-2026-96812: device nodes of a rootfs never reach the host's.
  if rt.flags["character-device-policy"] then flags[#flags + 1] = "--character-device-policy=emulated-only" end
  if not plan.user_namespaces then flags[#flags + 1] = "--oci-seccomp" end
  for _, flag in ipairs(rt.runsc_flags or {}) do flags[#flags + 1] = flag end
  return flags
end

-- The request -----------------------------------------------------------------------------------------------------------

--- What a capability undoes is not held, wherever it comes from: an option, a bundle, the caller's last word.
-- @tparam table plan
-- @tparam table spec whose process has them
-- @treturn boolean true, or nil, message, code
function M.check_capabilities(plan, spec)
  local process = type(spec.process) == "table" and spec.process or {}
  local sets = plan.box and { permitted = plan.capabilities } or process.capabilities -- a box's programs have them, our helper does not
  for limit, name in pairs(capabilities.undone(sets, plan.limits)) do
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
  for _, cow in ipairs(oci.cows(plan)) do
    p:add("cow", cow.item)
    p:add("cow_place", cow.place)
  end
  p:add_all("volume", plan.volumes or {})
end

local function add_rootfs(p, plan, user, env, root, core)
  if plan.bundle then
    p:add("rootfs", "bundle")
    p:add("bundle", plan.bundle)
    p:add("rootfs_path", root)
  elseif plan.erofs then
    p:add("rootfs", "host") -- and nothing of it: the root is the sentry's
  elseif plan.rootfs == "host" then
    local layout = host_layout.of(core, plan.network)
    p:add("rootfs", "host")
    p:add_same("bind", layout.bind)
    p:add_same("symlink", layout.symlink)
    p:add_same("etc", layout.etc)
    p:add_same("etc_hide", layout.etc_hide)
    local passwd, group = identity.files(user, env)
    p:add_all("etc_text", { "passwd " .. passwd, "group " .. group })
  else
    p:add("rootfs", "dir")
    p:add("rootfs_path", plan.rootfs)
  end
end

local function read_config(path, core)
  -- Never a FIFO nor a device, which would hold us up; nor a link, for what is wrong with a file of the host's would be told in words.
  local reader, why, name = core.reader(path, true)
  if not reader then return nil, name == "ELOOP" and "config.json is a link" or why end
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
    local message, code
    spec, message, code = last_word[plan.box and "box" or "run"](plan, spec)
    if not spec then return nil, message, code end
  end
  oci.guard(spec, plan)
  oci.add_terminal(spec, plan, rt, run_dir)
  return spec
end

local function guest_files(plan)
  local list, own = {}, net.word(plan) == "sandbox"
  if plan.rootfs == "host" and not plan.bundle and plan.network ~= "host" or own then
    list[1] = { path = "/etc/hosts", mode = "644", content = HOSTS:format(plan.hostname) }
  end
  if own then list[2] = { path = "/etc/resolv.conf", mode = "644", content = net.resolv_conf(plan.network) } end
  for _, file in ipairs(plan.files) do
    list[#list + 1] = { path = file.path, mode = file.mode, content = file.content, from = file.from, seen = file.seen }
  end
  return list
end

-- The trace tells of the start with argv and env in one packet, which is lost where it is larger than a socket's buffer
-- (net.core.wmem_default, 208 KiB). Then the start and the end are found out without a trace, as on a runsc that has none.
local PACKET = 128 * 1024
local function start_fits(process, paths)
  local bytes = 0
  for _, list in ipairs{ process.args or {}, process.env or {}, paths } do
    for _, s in ipairs(list) do bytes = bytes + #s + 4 end
  end
  return bytes <= PACKET
end

-- A link of the guest's own, and who serves it: its policy, or nil.
local function add_network(p, plan)
  if net.word(plan) ~= "sandbox" then return nil end
  local policy, ipv6 = net.policy(plan.network)
  local guest, edge, bits = net.link(plan.network.address or net.ADDRESS)
  p:add("net", M.beside "sandbox-net")
  p:add("net_guest", guest)
  p:add("net_edge", edge)
  p:add("net_bits", bits)
  p:add("net_mac", plan.network.mac)
  p:add("net_ipv6", ipv6)
  p:add("net_resolver", plan.network.resolver)
  return policy
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
  ok, message, code = M.check_capabilities(plan, spec)
  if ok then ok, message, code = check_namespaces(plan) end
  if not ok then return nil, message, code end
  local process = type(spec.process) == "table" and spec.process or {}
  local paths = owner.paths(plan, rt)
  local owned = #paths > 0
  plan.untraced = rt.trace and not start_fits(process, paths) or nil
  local trace = rt.trace and not plan.untraced
  local word = owned and (trace and core.random_hex(8) or "0")
  if owned then owner.wrap(spec, plan, paths, run_dir, word) end
  local binds = M.pin(spec, run_dir)
  if plan.erofs then oci.add_erofs(spec, plan, binds, run_dir) end
  local foreign = plan.bundle or plan.spec or #plan.env == 0 -- in ours nothing is empty, nor too large
  local config = foreign and json.encode_spec(spec) or json.encode(spec)
  if #config > CONFIG_MAX then return nil, "the OCI spec is larger than 16 MiB", "not_supported" end
  local p = wire.new()
  local user = plan.box and plan.user or type(process.user) == "table" and process.user or {}
  p:add("mode", plan.box and "box" or "run")
  p:add("id", id)
  p:add("state_dir", rt.state_dir)
  p:add("runsc", rt.runsc)
  p:add_all("arg", M.flags(plan, rt, binds))
  p:add("platform", rt.platform)
  p:add("rootless", rt.rootless)
  p:add("network", plan.network == "host" and "host" or "none")
  local policy = add_network(p, plan)
  add_rootfs(p, plan, user, plan.programs_env or process.env, root, core)
  add_places(p, plan, rt, spec, binds)
  p:add("cwd", type(process.cwd) == "string" and not plan.erofs and process.cwd or "/")
  p:add("work", oci.has_work(plan))
  p:add("tmp", oci.tmp_on_host(plan) and "host" or "guest")
  local by = oci.disk_by(plan, rt)
  p:add("disk_by", limits.disk_word(plan, rt))
  p:add("tell_space", limits.tell_space(plan, rt))
  p:add("inodes", limits.inodes(plan))
  p:add("inodes_held", oci.inodes_held(plan, rt))
  p:add("inside", by == "overlay")
  p:add("writable", not plan.bundle and not plan.readonly)
  p:add("own_root", oci.root_writes(plan) and plan.rootfs ~= "host" and not plan.held and not plan.erofs) -- an image's files have their owners
  p:add("hold", plan.held)
  p:add("store_root", by == "store" and not plan.readonly)
  p:add("uid", user.uid or 0)
  p:add("gid", user.gid or 0)
  p:add("map_base", rt.map_base)
  local boot_timeout = rt.boot_timeout + (owned and GIVE_SECONDS * #plan.files or 0)
  p:add("boot_timeout", boot_timeout)
  limits.add(p, plan)
  p:add("stderr", plan.stderr or "pipe")
  p:add("stdin", (plan.stdin ~= nil or plan.stdin_open) and "open" or "closed")
  p:add("cgroup_parent", rt.cgroup_parent)
  if plan.box or owned or plan.pty then p:add("guest", M.helper()) end
  if plan.pty then p:add("ours", 1 + terminal.beside(rt)) end
  if plan.box then
    p:add("idle_timeout", plan.idle_timeout)
    p:add("cpus_later", plan.cpus_later)
  end
  local reach = plan.spawn and not plan.box and rt.flags.directfs -- whose gVisor runs what is in a descriptor
  p:add("reach", reach)
  p:add("container", (plan.box or reach) and oci.BOX) -- short, for it is part of a socket's path
  p:add("trace", trace)
  p:add("word", owned and trace and word)
  p:add("nodev", rt.rootless or rt.flags.directfs) -- the build of 2022 remounts its root without what it has, as root
  local bytes = p:bytes()
  if #bytes > wire.MAX then return nil, "mounts, paths and runsc_flags are larger than 1 MiB together", "not_supported" end
  return { r = bytes, config = config, files = guest_files(plan), id = id, boot_timeout = boot_timeout, network = policy }
end

--- A request to boot that leaves the machine to others first.
-- @tparam table request
-- @number seconds
-- @treturn table another request
function M.delayed(request, seconds)
  local p = wire.new()
  p:add("boot_delay", seconds)
  return { r = request.r .. p:bytes(), config = request.config, files = request.files, id = request.id, network = request.network,
           boot_timeout = (request.boot_timeout or 0) + seconds }
end

--- A program of ours on the host: they lie beside each other.
-- @string name
-- @treturn string
function M.beside(name)
  local path = require("sandbox.core").supervisor()
  return path and (path:gsub("sandbox%-supervisor$", (name:gsub("%%", "%%%%")))) or nil
end

--- Our helper on the host.
-- @treturn string
function M.helper() return M.beside "sandbox-guest" end

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

--- The request that runs sandbox-image on the host; its stdin is fed.
-- @tparam {string,...} args
-- @number timeout
-- @treturn table
function M.image(args, timeout)
  local p = wire.new()
  p:add("mode", "tool")
  p:add("runsc", M.beside "sandbox-image")
  p:add_all("arg", args)
  p:add("timeout", timeout)
  p:add("output", 2 ^ 30) -- lines of progress, which nobody keeps
  p:add("stdin", "open")
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
