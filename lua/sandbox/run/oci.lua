-- SPDX-License-Identifier: MIT
--- From a plan to the OCI spec. Pure: what the host has is the request's business (sandbox.request).
-- @module sandbox.run.oci
local terminal = require "sandbox.run.terminal"

local M = {}

local MIB = 1024 * 1024

-- Ids of the guest as root: 0 is rt.map_base on the host, and so on.
local MAP_SIZE = require("sandbox.machine.uids").SIZE

--- Where our helper is in a box, and what runsc calls the sandbox.
M.HELPER = "/.sandbox-guest"
M.BOX = "box"

--- The uid of our helper in a box, which is never the user's: what a program leaves behind runs as that one (src/guest/guest_self.c).
-- @tparam table user
-- @treturn integer
function M.keeper(user) return user.uid == 65535 and 65533 or 65535 end

local function tmpfs(destination, mode, size, extra)
  local options = { "nosuid", "mode=" .. mode }
  for _, option in ipairs(extra or {}) do options[#options + 1] = option end
  if size then options[#options + 1] = ("size=%.0f"):format(size) end
  return { destination = destination, type = "tmpfs", source = "tmpfs", options = options }
end

local function bind(destination, source, readonly)
  return { destination = destination, type = "bind", source = source, options = { "rbind", readonly and "ro" or "rw", "nosuid", "nodev" } }
end

--- Our helper in a sandbox.
-- @string run_dir
-- @treturn table
function M.helper_mount(run_dir) return bind(M.HELPER, run_dir .. "/m/guest", true) end

--- Whether /tmp lies with /work in the supervisor's store: where files are put there, or one size holds for both.
-- @tparam table plan
-- @treturn boolean
function M.tmp_on_host(plan)
  if plan.bundle then return false end
  for _, m in ipairs(plan.mounts) do
    if m.destination == "/tmp" then return false end
  end
  if plan.limits.disk or plan.inodes_asked then return true end
  for _, file in ipairs(plan.files) do
    if file.path:sub(1, 5) == "/tmp/" then return true end
  end
  return plan.cwd == "/tmp" or plan.cwd:sub(1, 5) == "/tmp/"
end

--- Whether the guest is root in a root that it may write: the host's files, or those of a rootfs, are then its own, in a layer.
-- @tparam table plan
-- @treturn boolean
function M.root_writes(plan)
  return not plan.bundle and not plan.readonly and plan.user.uid == 0
end

--- How `disk` is held: "store", one host tmpfs in which everything that may be written lies; "overlay", one layer of that size
-- in the sentry's memory (an ordinary user's guest that is not uid 0 cannot write to a host directory, and what is above the host's own
-- files is written by their owners alone); nil, it cannot be.
-- @tparam table plan
-- @tparam table rt
-- @treturn string
function M.disk_by(plan, rt)
  if not plan.limits.disk or plan.bundle then return nil end
  local can_overlay = rt.flags and rt.flags.overlay_size
  if can_overlay and M.root_writes(plan) and not plan.inodes_asked then return "overlay" end
  if not rt.rootless or plan.user.uid == 0 then return "store" end
  return can_overlay and "overlay" or nil
end

--- Whether `inodes` can be held: by the store, in which /work and /tmp lie then, and which the guest can write to as for `disk`.
-- @tparam table plan
-- @tparam table rt
-- @treturn boolean
function M.inodes_held(plan, rt)
  return plan.inodes_asked and not plan.bundle and (not rt.rootless or plan.user.uid == 0) or false
end

-- Of an overlay's size, what /dev/shm gets: it is a file system of its own there.
local function shm_size(disk)
  return math.min(MIB, math.floor(disk / 4 / 4096) * 4096)
end

--- What the overlay may hold.
-- @int disk
-- @treturn integer
function M.overlay_size(disk)
  return disk - shm_size(disk)
end

local function mounted(plan, destination)
  for _, m in ipairs(plan.mounts) do
    if m.destination == destination then return true end
  end
  return false
end

--- Whether the run gets its own /work.
-- @tparam table plan
-- @treturn boolean
function M.has_work(plan)
  return not plan.bundle and not mounted(plan, "/work")
end

--- Whether /work is a file system of the guest's own: an ordinary user's directory on the host cannot belong to another `user`. What
-- is put there before the start lies on the host.
-- @tparam table plan
-- @tparam table rt
-- @treturn boolean
function M.work_in_guest(plan, rt)
  return M.has_work(plan) and rt.rootless and plan.user.uid ~= 0 and M.disk_by(plan, rt) ~= "overlay" and (plan.box or #plan.files == 0)
end

-- Whether a cow has its layer in the supervisor's root, above which the sentry keeps what is written to all of it.
local function cow_in_root(plan, rt, m)
  return M.disk_by(plan, rt) == "overlay" and not m.size and not plan.erofs
end

--- The mounts of the type cow: { item = for the request, place = }.
-- @tparam table plan
-- @treturn {table,...}
function M.cows(plan)
  local list = {}
  for _, m in ipairs(plan.mounts) do
    if m.type == "cow" then list[#list + 1] = { item = ("%.0f %s"):format(m.size or 0, m.source), place = m.destination } end
  end
  return list
end

local function mounts(plan, rt, run_dir)
  local limits = plan.limits
  local size = limits.disk or limits.memory
  local by = M.disk_by(plan, rt)
  local inside = by == "overlay" -- the supervisor puts /work and /tmp into the root
  local on_host = M.tmp_on_host(plan)
  local list = {
    { destination = "/proc", type = "proc", source = "proc", options = { "nosuid", "nodev", "noexec" } },
    tmpfs("/dev", "755", math.min(size or 64 * MIB, 64 * MIB)), -- gVisor makes its own, of no size
  }
  if inside then
    list[#list + 1] = tmpfs("/dev/shm", "1777", shm_size(limits.disk), { "nodev" })
  elseif on_host and by == "store" then
    -- One more writable place would be one more `disk`: shared memory and /tmp are one directory here.
    list[#list + 1] = bind("/dev/shm", run_dir .. "/m/tmp", false)
  else
    list[#list + 1] = tmpfs("/dev/shm", "1777", size, { "nodev" })
  end
  if on_host then
    if not inside then list[#list + 1] = bind("/tmp", run_dir .. "/m/tmp", false) end
  elseif not mounted(plan, "/tmp") then
    list[#list + 1] = tmpfs("/tmp", "1777", size, { "nodev" })
  end
  if plan.box then list[#list + 1] = M.helper_mount(run_dir) end
  if M.work_in_guest(plan, rt) then
    list[#list + 1] = tmpfs("/work", "777", size, { "nodev", ("uid=%.0f"):format(plan.user.uid), ("gid=%.0f"):format(plan.user.gid) })
  elseif M.has_work(plan) and not inside then
    list[#list + 1] = bind("/work", run_dir .. "/m/work", false)
  end
  local cows = 0
  for _, m in ipairs(plan.mounts) do
    if m.type == "bind" then
      list[#list + 1] = bind(m.destination, m.source, m.readonly)
    elseif m.type == "erofs" then
      list[#list + 1] = { destination = m.destination, type = "erofs", source = m.source, options = { "ro", "nosuid", "nodev" } }
    elseif m.type == "cow" then -- the supervisor makes it there
      if not cow_in_root(plan, rt, m) then list[#list + 1] = bind(m.destination, ("%s/m/c/%d"):format(run_dir, cows), false) end
      cows = cows + 1
    else
      list[#list + 1] = tmpfs(m.destination, "1777", m.size or size, m.readonly and { "nodev", "ro" } or { "nodev" })
    end
  end
  return list
end

local function rlimits(plan)
  local limits, list = plan.limits, {}
  local function add(name, value)
    if value then list[#list + 1] = { type = name, hard = value, soft = value } end
  end
  add("RLIMIT_NPROC", limits.pids) -- of the user's: a box's first process is another's
  add("RLIMIT_NOFILE", limits.open_files)
  add("RLIMIT_FSIZE", limits.file_size)
  add("RLIMIT_STACK", limits.stack)
  add("RLIMIT_AS", limits.address_space)
  add("RLIMIT_CORE", 0)
  return list
end

--- All five sets or none at all: for runsc an absent key is an empty set, also for uid 0.
-- @tparam {string,...} names
-- @treturn table or nil
function M.capability_sets(names)
  if #names == 0 then return nil end
  local sets = {}
  for _, set in ipairs{ "bounding", "effective", "inheritable", "permitted", "ambient" } do
    sets[set] = {}
    for i, name in ipairs(names) do sets[set][i] = name end
  end
  return sets
end

local function add_user_namespace(linux, rt)
  linux.namespaces[#linux.namespaces + 1] = { type = "user" }
  linux.uidMappings = { { containerID = 0, hostID = rt.map_base, size = MAP_SIZE } }
  linux.gidMappings = { { containerID = 0, hostID = rt.map_base, size = MAP_SIZE } }
end

local function namespaces(plan, rt, run_dir)
  local linux = { namespaces = { { type = "pid" }, { type = "mount" }, { type = "ipc" }, { type = "uts" } } }
  -- With a network namespace listed, "host" would silently be an empty one.
  if plan.network == "none" then
    linux.namespaces[#linux.namespaces + 1] = { type = "network" }
  elseif plan.network ~= "host" then
    linux.namespaces[#linux.namespaces + 1] = { type = "network", path = run_dir .. "/m/netns" } -- the supervisor's name for the guest's
  end
  if not rt.rootless then add_user_namespace(linux, rt) end
  return linux
end

--- The process of a spec.
-- @tparam table plan argv, env, cwd, user, capabilities, limits
-- @treturn table
function M.process(plan)
  local user = { uid = plan.user.uid, gid = plan.user.gid }
  if #plan.user.groups > 0 then user.additionalGids = plan.user.groups end
  return {
    terminal = false,
    user = user,
    args = plan.argv,
    env = plan.env,
    cwd = plan.cwd,
    capabilities = M.capability_sets(plan.capabilities),
    rlimits = rlimits(plan),
    noNewPrivileges = true,
  }
end

--- Builds the spec.
-- @tparam table plan of `options.plan.run`
-- @tparam table rt the runtime: `rootless` matters
-- @string run_dir the run's directory on the host
-- @treturn table
function M.build(plan, rt, run_dir)
  local process = M.process(plan)
  if plan.box then -- our helper, which no program may end
    process.user, process.capabilities = { uid = M.keeper(plan.user), gid = M.keeper(plan.user) }, nil
  end
  return {
    ociVersion = "1.0.2",
    process = process,
    root = { path = run_dir .. "/m/root", readonly = plan.readonly and M.disk_by(plan, rt) ~= "overlay" },
    hostname = plan.hostname,
    mounts = mounts(plan, rt, run_dir),
    linux = namespaces(plan, rt, run_dir),
  }
end

--- Makes the root of a spec an EROFS file (runsc/boot: RootfsHint), with what is written above it in the sentry's memory.
-- @tparam table spec as it is to be
-- @tparam table plan
-- @tparam {table,...} binds that the supervisor pins: it is one of them
-- @string run_dir
function M.add_erofs(spec, plan, binds, run_dir)
  local prefix = "dev.gvisor.spec.rootfs."
  spec.annotations = { [prefix .. "source"] = ("%s/m/s/%d"):format(run_dir, #binds), [prefix .. "type"] = "erofs", [prefix .. "overlay"] = "memory" }
  binds[#binds + 1] = { source = plan.rootfs, place = "/.rootfs.erofs", readonly = true }
end

--- Makes our helper a spec's first process, which has its program's terminal; it, and who is beside it, are more processes of the user's.
-- @tparam table spec as it is to be, after the caller's last word
-- @tparam table plan
-- @tparam table rt
-- @string run_dir
function M.add_terminal(spec, plan, rt, run_dir)
  if not plan.pty or plan.box then return end
  local process = spec.process
  spec.mounts[#spec.mounts + 1] = M.helper_mount(run_dir)
  local beside, tasks = terminal.beside(rt), nil
  for _, limit in ipairs(process.rlimits or {}) do
    if limit.type == "RLIMIT_NPROC" then
      tasks = limit.hard + 1 + math.min(beside, 1)
      limit.hard, limit.soft = limit.hard + 1 + beside, limit.soft + 1 + beside
    end
  end
  process.args = terminal.argv(M.HELPER, plan.pty, process.args, tasks)
end

-- What linux/sched.h and linux/ptrace.h have.
local CLONE_NEWUSER = 0x10000000
local PTRACE_SYSCALL, PTRACE_SETOPTIONS, PTRACE_SEIZE, PTRACE_O_TRACESECCOMP = 24, 0x4200, 0x4206, 0x80

local function masked(index, bits) return { index = index, value = bits, valueTwo = bits, op = "SCMP_CMP_MASKED_EQ" } end
local function equal(index, value) return { index = index, value = value, op = "SCMP_CMP_EQ" } end
local function refused(call, ...) return { names = { call }, action = "SCMP_ACT_ERRNO", args = { ... } } end

-- No user namespaces. gVisor refuses a call with EPERM alone, and the C library wants ENOSYS of a clone3 that it may not use: the
-- answer where nobody traces (pkg/sentry/kernel/seccomp.go). Who traces may let it pass, or change a call after it was looked at,
-- so where namespaces are the only way around a limit (`disk`; tasks are counted, too) those two ways are closed: strace is one.
local function seccomp(plan)
  local list = {
    refused("unshare", masked(0, CLONE_NEWUSER)),
    refused("clone", masked(0, CLONE_NEWUSER)),
    { names = { "clone3" }, action = "SCMP_ACT_TRACE" },
  }
  if plan.limits.disk then
    list[#list + 1] = refused("ptrace", equal(0, PTRACE_SYSCALL))
    list[#list + 1] = refused("ptrace", equal(0, PTRACE_SETOPTIONS), masked(3, PTRACE_O_TRACESECCOMP))
    list[#list + 1] = refused("ptrace", equal(0, PTRACE_SEIZE), masked(3, PTRACE_O_TRACESECCOMP))
  end
  return list
end

--- Gives a spec the rules against user namespaces.
-- @tparam table spec as it is to be, after the caller's last word
-- @tparam table plan
function M.guard(spec, plan)
  if not plan.user_namespaces then spec.linux.seccomp = { defaultAction = "SCMP_ACT_ALLOW", syscalls = seccomp(plan) } end
end

-- A bundle, as it stands ------------------------------------------------------------------------------------------------

local function override_rlimits(process, plan)
  local mine, list = {}, {}
  for _, r in ipairs(rlimits(plan)) do mine[r.type] = r end
  for _, r in ipairs(process.rlimits or {}) do
    if not mine[r.type] then list[#list + 1] = r end
  end
  for _, r in ipairs(rlimits(plan)) do list[#list + 1] = r end
  process.rlimits = list
end

--- Makes the spec of a bundle ours: its root behind the private overlay, the limits, namespaces and id mapping.
-- @tparam table spec as `options.bundle` read it
-- @tparam table plan
-- @tparam table rt
-- @string run_dir
-- @treturn string the root directory that it named, relative to the bundle
function M.adopt(spec, plan, rt, run_dir)
  local root = spec.root.path
  spec.root.path = run_dir .. "/m/root"
  override_rlimits(spec.process, plan)
  spec.linux = namespaces(plan, rt)
  return root
end

return M
