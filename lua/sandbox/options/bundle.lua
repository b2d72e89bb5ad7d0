-- SPDX-License-Identifier: MIT
--- The OCI spec of a stranger: a bundle's config.json, or what a caller's `spec` function returns. One table says what of the runtime
-- specification is taken, with types and bounds, by exact names: Go's decoder, which runsc has, ignores the case of a key, so that
-- "Hooks" would run programs on the host. The reader writes a spec of its own from it, and only that goes further.
--
-- A field is taken, or read and left out because nothing is lost with it (`dropped`), or refused: hooks and what else reaches the
-- host, and what gVisor ignores in silence though somebody may rely on it.
-- @module sandbox.options.bundle
local capabilities = require "sandbox.options.capabilities"
local errors = require "sandbox.errors"
local foreign = require "sandbox.options.foreign"
local strict = require "sandbox.options.strict_json"
local text = require "sandbox.text"

local M = {}

--- What a key is called that no spec may have as an annotation: gVisor takes flags, mounts and files of the host from those.
M.GVISOR = "dev.gvisor."

local MAX_LIST, MAX_MOUNTS, MAX_STRING = 100000, 1000, 8 * 2 ^ 20

local refuse, below, text_of, integer = foreign.refuse, foreign.below, foreign.text_of, foreign.integer
local boolean, one_of, list = foreign.boolean, foreign.one_of, foreign.list
local object, dropped, refused = foreign.object, foreign.dropped, foreign.refused

local ignored = "gVisor would ignore it in silence"

-- Strings and paths ------------------------------------------------------------------------------------------------------

local string_of = text_of(nil, "a string")
local name_of = text_of(nil, "a string", 4096)
local host_name = text_of("^%w[%w._-]*$", "a host name: letters, digits, '-', '.' and '_', the first a letter or digit", 64)
local environment = text_of("^[^=]+=", "NAME=value")

local function guest_path(v, where)
  v = text_of("^/", "an absolute path", 4000)(v, where)
  local clean = text.clean_path(v)
  if not clean then refuse(where, 'expected a path without ".."') end
  return clean
end

--- A path of the bundle's, relative to it: what is elsewhere belongs to the host.
local function bundle_path(v, where, reading)
  v = text_of("^[^%c]+$", "a path without control characters", 4000)(v, where)
  if v:sub(1, 1) == "/" then
    local clean = text.clean_path(v)
    if not clean or not text.is_below(clean, reading.dir) then refuse(where, "it is outside of the bundle") end
    v = clean:sub(#reading.dir + (reading.dir == "/" and 1 or 2))
  end
  local clean = text.clean_path(v)
  if not clean then refuse(where, 'expected a path without ".."') end
  return clean == "" and "." or clean
end

-- process ----------------------------------------------------------------------------------------------------------------

local id = integer(0, 65535) -- what is mapped

local function capability(v, where)
  if type(v) ~= "string" or not capabilities.number(v) then refuse(where, "expected a capability's name such as CAP_NET_BIND_SERVICE") end
  return v
end

local capability_list = list(capability, 256)

local function umask(v, where)
  if v ~= 18 then refuse(where, "gVisor's is 0022 (18), and older builds ignore any other in silence") end
end

local rlimit_types = {}
for name in ("AS CORE CPU DATA FSIZE LOCKS MEMLOCK MSGQUEUE NICE NOFILE NPROC RSS RTPRIO RTTIME SIGPENDING STACK"):gmatch("%S+") do
  rlimit_types[#rlimit_types + 1] = "RLIMIT_" .. name
end

local rlimit_object = object{ ["!type"] = one_of(table.concat(rlimit_types, " ")), ["!hard"] = integer(0, 2 ^ 64), ["!soft"] = integer(0, 2 ^ 64) }

local function rlimit(v, where, reading)
  local out = rlimit_object(v, where, reading)
  if out.soft > out.hard then refuse(below(where, "soft"), "it is above the hard limit") end
  return out
end

-- What `limits` holds stays as it is: a function that changed it would make the result's words about it wrong.
local function keep_own_rlimits(out, where, reading)
  local by_type = {}
  for i, row in ipairs(out) do
    if by_type[row.type] then refuse(("%s[%d].type"):format(where, i), row.type .. " is there a second time") end
    by_type[row.type] = row
  end
  for _, row in ipairs(reading.own and reading.own.process.rlimits or {}) do
    local now = by_type[row.type]
    if row.type ~= "RLIMIT_CORE" and not (now and now.hard == row.hard and now.soft == row.soft) then
      refuse(where, row.type .. " is held by limits: set it there")
    end
  end
end

local rlimit_list = list(rlimit, 64)

local function rlimits(v, where, reading)
  local out = rlimit_list(v, where, reading)
  keep_own_rlimits(out, where, reading)
  return out
end

local function no_new_privileges(v, where, reading)
  if not boolean(v, where) and reading.own then refuse(where, "gVisor gives no new privileges: it cannot be false") end
  return true
end

local function terminal(v, where, reading)
  if boolean(v, where) and reading.own then refuse(where, "stdin, stdout and stderr are pipes: it cannot be true") end
end

local process = object{
  ["!args"] = list(string_of, MAX_LIST),
  env = list(environment, MAX_LIST),
  cwd = guest_path,
  user = object{ uid = id, gid = id, additionalGids = list(id, 64), umask = umask, username = refused "it is of Windows: give uid" },
  capabilities = object{ bounding = capability_list, effective = capability_list, inheritable = capability_list, permitted = capability_list,
                         ambient = capability_list },
  rlimits = rlimits,
  noNewPrivileges = no_new_privileges,
  -- `runc spec` and umoci ask for one unless told otherwise. A program gets pipes.
  terminal = terminal,
  consoleSize = dropped(object{ height = integer(0, 65535), width = integer(0, 65535) }),
  oomScoreAdj = dropped(integer(0, 1000)), -- runsc would set it on the host, where the sandbox's is ours to set
  apparmorProfile = refused(ignored), selinuxLabel = refused "gVisor does not support it", scheduler = refused(ignored), ioPriority = refused(ignored),
  execCPUAffinity = refused(ignored), commandLine = refused "it is of Windows: give args",
}

-- mounts -----------------------------------------------------------------------------------------------------------------

-- What of mount(8)'s words is taken. What a value is there for is an option of tmpfs.
local flags = {}
for word in ([[rw suid dev exec atime noatime diratime nodiratime relatime norelatime strictatime nostrictatime sync async dirsync
  defaults private rprivate slave rslave silent loud newinstance ro nosuid nodev noexec bind rbind]]):gmatch("%S+") do
  flags[word] = true
end

local units = { [""] = 1, k = 1024, m = 1024 ^ 2, g = 1024 ^ 3 }
local values = {
  mode = function(v) return v:find("^0?[0-7][0-7]?[0-7]?[0-7]?$") and v end,
  uid = function(v) return v:find("^%d%d?%d?%d?%d?$") and tonumber(v) <= 65535 and v end,
  size = function(v)
    local digits, unit = v:match("^(%d%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?%d?)([kmg]?)$")
    local n = digits and tonumber(digits) * units[unit]
    return n and n >= 1 and n <= 2 ^ 44 and n
  end,
}
values.gid, values.ptmxmode = values.uid, values.mode -- the latter is of devpts, and left out

local function mount_option(v, where)
  v = text_of("^%w+=?[%w_.-]*$", "a mount option", 100)(v, where)
  if flags[v] then return { flag = v } end
  local name, value = v:match("^(%w+)=(.*)$")
  local check = values[name]
  local took = check and check(value)
  if not took then refuse(where, errors.key(v) .. " is not taken") end
  return { name = name, value = took }
end
local option_list = list(mount_option, 64)

local function options(v, where, reading)
  local out = { values = {} }
  for _, option in ipairs(option_list(v, where, reading)) do
    if option.flag then out[option.flag] = true else out.values[option.name] = option.value end
  end
  if out.rw then out.ro = nil end
  return out
end

local function mount_source(v, where, reading)
  return reading.own and text_of("^[^%c]+$", "a path without control characters", 4000)(v, where) or name_of(v, where)
end

local mount_object = object{
  ["!destination"] = guest_path, type = text_of("^[%w_]*$", "a file system's name", 32), source = mount_source, options = options,
  uidMappings = refused(ignored), gidMappings = refused(ignored),
}

-- What each kind of mount may have of the flags, and of the values.
local kinds = {
  proc = {}, sysfs = {}, devpts = {}, mqueue = {}, cgroup = {}, cgroup2 = {}, bind = {},
  tmpfs = { values = { "mode", "uid", "gid", "size" } },
  erofs = { own = true }, -- which not every build mounts: only what the option said
}
local sourced = { bind = true, erofs = true }

local function was_given(m, reading)
  for _, given in ipairs(reading.own and reading.own.mounts or {}) do
    if given.type == m.type and given.source == m.source then return true end
  end
  return false
end

local function written(m, kind, reading)
  local given = m.options or { values = {} }
  local words = { "nosuid" }
  if kind == "bind" then words = { "rbind", given.ro and "ro" or "rw", "nosuid" } end
  if given.nodev or kind ~= "tmpfs" then words[#words + 1] = "nodev" end
  if given.ro and kind ~= "bind" then words[#words + 1] = "ro" end
  if given.noexec then words[#words + 1] = "noexec" end
  local bound = reading.limits and (reading.limits.disk or reading.limits.memory)
  if kind == "tmpfs" and bound then given.values.size = math.min(bound, given.values.size or bound) end
  for _, name in ipairs(kinds[kind].values or {}) do
    local value = given.values[name]
    if value then words[#words + 1] = type(value) == "number" and ("%s=%.0f"):format(name, value) or name .. "=" .. value end
  end
  return words
end

local function mount(v, where, reading)
  local m = mount_object(v, where, reading)
  local given = m.options or {}
  local kind = m.type
  if kind == nil or kind == "" or kind == "none" then kind = (given.bind or given.rbind) and "bind" or kind end
  if not kinds[kind] or kinds[kind].own and not was_given(m, reading) then refuse(below(where, "type"), ("no file system %s is taken"):format(errors.key(kind))) end
  if kind ~= "bind" and (given.bind or given.rbind) then refuse(below(where, "options"), "a bind has the type bind") end
  local taken = text.is_below(m.destination, "/proc") or text.is_below(m.destination, "/sys")
  if m.destination == "/" then refuse(below(where, "destination"), "expected a path other than /") end
  if taken and (sourced[kind] or kind == "tmpfs") then refuse(below(where, "destination"), "there gVisor's own is, and no place for another") end
  local out = { destination = m.destination, type = kind, source = kind, options = written(m, kind, reading) }
  if sourced[kind] then
    if m.source == nil then refuse(below(where, "source"), "it is missing") end
    out.source = reading.own and m.source or bundle_path(m.source, below(where, "source"), reading)
    if reading.own and out.source:sub(1, 1) ~= "/" then refuse(below(where, "source"), "expected an absolute path") end
  end
  return out
end

local mount_list = list(mount, MAX_MOUNTS)

-- As many as the option `mounts` takes: for each the sentry holds a descriptor, and boots with none from 256 on (runsc/boot/loader.go).
local MAX_BINDS = 100

local function mounts(v, where, reading)
  local out, seen, binds = mount_list(v, where, reading), {}, 0
  for i, m in ipairs(out) do
    binds = binds + (m.type == "bind" and 1 or 0)
    if binds > MAX_BINDS then refuse(where, ("expected at most %d binds"):format(MAX_BINDS)) end
    if seen[m.destination] then refuse(("%s[%d].destination"):format(where, i), m.destination .. " is there a second time") end
    seen[m.destination] = true
  end
  return out
end

-- linux ------------------------------------------------------------------------------------------------------------------

local namespace = object{ ["!type"] = one_of "pid network mount ipc uts user cgroup",
                          path = refused "it would join a namespace of the host's" }

-- gVisor shows none of what is masked by custom: its /proc and /sys are its own.
local function kernel_paths(v, where, reading)
  for i, path in ipairs(list(guest_path, 1000)(v, where, reading)) do
    if not text.is_below(path, "/proc") and not text.is_below(path, "/sys") then refuse(("%s[%d]"):format(where, i), ignored) end
  end
end

local device_rule = object{ allow = boolean, type = one_of "a b c", major = integer(-1, 2 ^ 32), minor = integer(-1, 2 ^ 32),
                            access = text_of("^[rwm]*$", "of r, w and m", 3) }

-- The cgroups are this module's, so what is written here is not: taken where the run's own limit holds as much.
local function held(limit, factor)
  return function(v, where, reading)
    v = integer(-2 ^ 63, 2 ^ 63)(v, where)
    local mine = reading.limits and reading.limits[limit]
    if v > 0 and not (mine and mine * (factor or 1) <= v) then refuse(where, ("it is held by limits.%s: set that to as much or less"):format(limit)) end
  end
end

local function cpu(v, where, reading)
  local out = object{ quota = integer(-1, 2 ^ 53), period = integer(0, 2 ^ 53), shares = integer(0, 2 ^ 53) }(v, where, reading)
  local mine = reading.limits and reading.limits.cpus
  if (out.quota or -1) > 0 and not (mine and mine * (out.period or 100000) <= out.quota) then
    refuse(below(where, "quota"), "it is held by limits.cpus: set that to as much or less")
  end
end

local resources = object{
  devices = dropped(list(device_rule, 1000)), -- there are none of the host's
  memory = dropped(object{ limit = held "memory", swap = held "memory", reservation = dropped(integer(-1, 2 ^ 63)) }),
  pids = dropped(object{ limit = held "pids" }),
  cpu = cpu,
  blockIO = refused "no cgroup of this run takes it", hugepageLimits = refused "no cgroup of this run takes it",
  network = refused "no cgroup of this run takes it", rdma = refused "no cgroup of this run takes it", unified = refused "no cgroup of this run takes it",
}

local joined = "ids are mapped by this module"
local linux = object{
  namespaces = dropped(list(namespace, 64)), -- gVisor has all of them, always
  maskedPaths = dropped(kernel_paths), readonlyPaths = dropped(kernel_paths),
  resources = dropped(resources),
  cgroupsPath = dropped(name_of), -- see the option cgroup_parent
  rootfsPropagation = dropped(one_of "private rprivate slave rslave"), -- nothing is ever propagated
  uidMappings = refused(joined), gidMappings = refused(joined), timeOffsets = refused(ignored),
  devices = refused "it would be a device of the host's", netDevices = refused "it would be a device of the host's",
  sysctl = refused(ignored), seccomp = refused(ignored), intelRdt = refused(ignored), personality = refused(ignored), mountLabel = refused(ignored),
  memoryPolicy = refused(ignored),
}

-- The linux part of ours has mappings and paths of its own: nothing of it is for the function to change.
local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  for k, v in next, a do
    if not same(v, rawget(b, k)) then return false, k end
  end
  for k in next, b do
    if a[k] == nil then return false, k end
  end
  return true
end

local function linux_part(v, where, reading)
  if not reading.own then return linux(v, where, reading) end
  if type(v) ~= "table" then refuse(where, "expected an object, got a " .. type(v)) end
  local alike, key = same(reading.own.linux, v)
  if not alike then refuse(below(where, errors.key(key)), "it is this module's own: leave it as it is") end
  return reading.own.linux
end

-- annotations ------------------------------------------------------------------------------------------------------------

-- For tools around a runtime. None is handed on: gVisor has an ear for more than its own prefix.
local function annotations(v, where, reading)
  if type(v) ~= "table" then refuse(where, "expected an object, got a " .. type(v)) end
  local n = 0
  for key, value in next, v do
    n = n + 1
    if n > 10000 then refuse(where, "expected at most 10000") end
    if type(key) ~= "string" then refuse(where, "expected names, got the key " .. errors.key(key)) end
    local at = ("%s[%s]"):format(where, errors.show(key))
    if key:lower():sub(1, #M.GVISOR) == M.GVISOR then refuse(at, "it would change what gVisor does on the host") end
    if value ~= strict.null then string_of(value, at, reading) end
  end
end

-- The whole --------------------------------------------------------------------------------------------------------------

local function root_path(v, where, reading)
  if not reading.own then return bundle_path(v, where, reading) end
  if v ~= reading.own.root.path then refuse(where, "it is this module's own: the option rootfs says what is there") end
  return v
end

local other = "it is of another system"
local spec = object{
  ociVersion = text_of("^1%.%d[%w.+-]*$", "a version of OCI's runtime specification, 1.x", 64),
  ["!process"] = process,
  ["!root"] = object{ ["!path"] = root_path, readonly = boolean },
  hostname = function(v, where) return v ~= "" and host_name(v, where) or nil end,
  domainname = refused(ignored),
  mounts = mounts,
  annotations = annotations,
  linux = linux_part,
  hooks = refused "they would run on the host",
  solaris = refused(other), windows = refused(other), vm = refused(other), zos = refused(other), freebsd = refused(other),
}

local function read(value, reading)
  local out = spec(value, "", reading)
  if #out.process.args == 0 or out.process.args[1] == "" then refuse("process.args", "expected at least the program") end
  local bytes = 0
  for _, strings in ipairs{ out.process.args, out.process.env or {} } do
    for _, s in ipairs(strings) do bytes = bytes + #s end
  end
  if bytes > MAX_STRING then refuse("process", "expected at most 8 MiB of args and env together") end
  out.ociVersion, out.annotations, out.process.cwd = "1.0.2", nil, out.process.cwd or "/"
  out.process.noNewPrivileges, out.process.terminal = true, false
  if not reading.own then out.linux = nil end
  local user = out.process.user or {}
  user.uid, user.gid = user.uid or 0, user.gid or 0
  out.process.user = user
  return out
end

local function try(value, reading)
  local ok, out = pcall(read, value, reading)
  if ok then return out end
  if type(out) ~= "table" or not out.refusal then error(out, 0) end
  return nil, out.refusal
end

--- Reads a bundle's config.json.
-- @string bytes
-- @string dir the bundle's directory, a clean path
-- @tparam[opt] table limits of the run: what the bundle asks of cgroups is measured by them
-- @treturn table a spec: root.path and the sources of binds are relative to the bundle, `linux` is left out; or nil and why it is refused
function M.read(bytes, dir, limits)
  local value, message = strict.decode(bytes)
  if value == nil then return nil, message end
  local out
  out, message = try(value, { dir = dir, limits = limits })
  return out, message
end

--- Reads what a caller's function made of a spec: all that a bundle may have, and binds of any path of the host's; what is this module's
-- own (root.path, linux, what `limits` holds of process.rlimits) as it was.
-- @param value
-- @tparam table given the spec that the function got
-- @treturn table a spec, or nil and why it is refused
function M.check(value, given)
  local out, message = try(value, { own = given })
  return out, message
end

return M
