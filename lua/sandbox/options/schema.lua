-- SPDX-License-Identifier: MIT
--- Every option in one place: name, kind, range, default and one line of words. The rows below validate, fill in defaults,
-- word the messages, and print the tables of the README and the types for editors, so that these cannot differ.
-- @module sandbox.options.schema
local errors = require "sandbox.errors"
local text = require "sandbox.text"
local capabilities = require "sandbox.options.capabilities"

local M = {}
local bad = errors.bad

local TIB = 2 ^ 40
local MAX_SECONDS = 1e9
local MAX_STRINGS = 8 * 2 ^ 20 -- argv and env together: config.json stays far below 16 MiB

--- Rows of a run's options: key, kind, what the documentation shows as type and default, words.
M.options = {
  { "stdin", "stdin", show = "string, function returning chunks or nil, `{ from = path }`", default_text = "closed",
    lua = "string|fun():string?|{from:string}", doc = "fed to the guest, then closed; a guest that never reads it delays nothing. `spawn` leaves it open for `job:write` when it is not given" },
  { "files", "files", show = "map of path to content, or to `{ content=, from=, mode= }`", default_text = "none",
    lua = "table<string, string|sandbox.File>", doc = "put in place before the program starts: relative names under `cwd`, absolute names anywhere that is writable; missing directories are made; `from` names a host file to copy. Together at most `limits.disk`, else `limits.memory`, checked before the start. `mode` is an octal string, default `\"666\"`; a number raises, for Lua has no octal" },
  { "collect", "collect", show = "list of paths or globs, or `{ paths=, max_bytes=\"64M\", max_files=1000, into= }`", default_text = "none",
    lua = "string[]|table", doc = "regular files read back after the end, in every status, as `result.files`; `into` writes them below a host directory instead. Links, FIFOs, devices are never followed or opened. `**` stands for any number of directories. Not for `spawn`, nor with `bundle`" },
  { "env", "env", show = "map string to string", default = { PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", HOME = "/tmp", LANG = "C.UTF-8" },
    default_text = "`PATH` (the usual five), `HOME=/tmp`, `LANG=C.UTF-8`", lua = "table<string, string|false>",
    doc = "merged over the default, `false` removes one; the host's environment is never inherited" },
  { "cwd", "guest_path", show = "absolute path", default = "/work", default_text = "`/work`, an empty, private, writable directory",
    lua = "string", doc = "must exist in the guest: if not, a start error that says so" },
  { "user", "user", show = "`\"uid[:gid]\"`, number, or `{uid=,gid=,groups={}}`", default = "65534:65534", lua = "string|integer|sandbox.User",
    doc = "identity inside the guest; as root it is host uid 100000 + uid, so a guest that is uid 0 is nobody on the host" },
  { "capabilities", "capabilities", show = "list of `CAP_…` names", default_text = "none", lua = "string[]",
    doc = "all five OCI sets are written. Those that undo a limit (SYS_ADMIN, SYS_RESOURCE, SETUID against `pids`) are `limit_unavailable` while that limit is on" },
  { "rootfs", "rootfs", show = "absolute path of a directory, or `\"host\"`", default = "host", lua = "string",
    doc = "`\"host\"`: the host's `/usr /bin /sbin /lib* /etc/alternatives` and the few `/etc` files a program needs to start, all read-only; nothing else of the host" },
  { "readonly", "boolean", show = "boolean", default = true, lua = "boolean",
    doc = "false gives the guest a private, throw-away writable layer over the whole rootfs; the host directory is never changed. `/work` and `/tmp` are writable in both cases, and gone afterwards" },
  { "mounts", "mounts", show = "list of `{ destination=, source=, type=\"bind\"/\"tmpfs\", readonly=true, size= }`", default_text = "none",
    lua = "sandbox.Mount[]", doc = "binds are read-only unless asked; `nosuid,nodev` always. A writable one is written as the mapped user as root; as a user it needs `user = 0`, which is yourself, else `not_supported`" },
  { "network", "enum", values = { "none", "host", "sandbox" }, default = "none", lua = '"none"|"host"|"sandbox"',
    doc = "none: loopback only. host: the host's own stack, its 127.0.0.1 services included; needs runsc of release-20230920.0 or later. sandbox: `not_supported` for now" },
  { "hostname", "hostname", show = "string", default = "sandbox", lua = "string", doc = "the guest's host name" },
  { "stderr", "enum", values = { "stdout" }, show = "`\"stdout\"` or nil", default_text = "nil", lua = '"stdout"',
    doc = "merges the two in the guest, in the order of writing" },
  { "limits", "limits", show = "table, below", lua = "sandbox.Limits", doc = "what the run may use" },
  { "on_stdout", "callback", show = "function(chunk)", default_text = "none", lua = "fun(chunk:string):boolean?",
    doc = "called as output arrives; returning `false` kills the run (`killed`); an error in it kills the run and is raised again after clean-up" },
  { "on_stderr", "callback", show = "function(chunk)", default_text = "none", lua = "fun(chunk:string):boolean?", doc = "the same for stderr" },
  { "on_exit", "callback", show = "function(result, message, code)", default_text = "none",
    lua = "fun(result:sandbox.Result?, message:string?, code:string?)", doc = "for `spawn` with no coroutine at all: called once, at the end" },
  { "bundle", "host_path", show = "absolute path", default_text = "none", lua = "string",
    doc = "run this OCI bundle as it stands, under the same limits, with the same result; excludes the keys that make a spec" },
  { "spec", "callback", show = "function(spec)", default_text = "none", lua = "fun(spec:table):table?",
    doc = "last word on the OCI spec table before it is encoded" },
}

--- Rows of `limits`.
M.limits = {
  { "timeout", "seconds", default = 30, at = "everything killed; counts from the guest's first instruction", flag = "`timed_out`" },
  { "cpu_time", "seconds", show = "seconds of CPU, all processes together", at = "killed", flag = "`cpu_exceeded`" },
  { "cpus", "cores", at = "throttled", flag = "`limits.cpus.hit` = throttled at all" },
  { "memory", "size", default = "512M", at = "killed (no swap)", flag = "`oom_killed`" },
  { "pids", "count", default = 1024, max = 4194304, show = "processes and threads in the guest", at = "`fork` fails with EAGAIN in the guest", flag = "`pids_exceeded`" },
  { "output", "size", default = "10M", show = "size of stdout and of stderr, each", at = "the rest is drained, counted and dropped",
    flag = "`stdout_truncated`, `stderr_truncated`" },
  { "output_keep", "enum", values = { "head", "tail" }, default = "head", at = "which part is kept", flag = "", mode = true },
  { "output_kill", "boolean", default = false, at = "at the output limit the run is killed", flag = "`output_exceeded`", mode = true },
  { "file_size", "size", show = "size of one file", at = "SIGXFSZ/EFBIG in the guest", flag = "`limits.file_size.hit` if it can be known, else nil" },
  { "disk", "size", show = "size of what the guest may write in all", at = "ENOSPC in the guest", flag = "`disk_exceeded`" },
  { "open_files", "count", default = 1024, max = 1048576, show = "descriptors of one process", at = "EMFILE in the guest", flag = "" },
  { "best_effort", "boolean", default = false, at = "a limit that cannot be enforced here is left out instead of refused; `result.limits` tells which", flag = "", mode = true },
}

--- Rows of an instance, `sandbox.new`; it takes most of the options above too, as defaults.
M.instance = {
  { "runsc", "host_path", show = "absolute path", default_text = "trusted search, `$SANDBOX_RUNSC`", lua = "string", doc = "path of the binary" },
  { "platform", "enum", values = { "auto", "systrap", "ptrace", "kvm" }, default = "auto", lua = '"auto"|"systrap"|"ptrace"|"kvm"',
    doc = "auto takes the first of systrap and ptrace that really boots within its time-out, and remembers" },
  { "boot_timeout", "seconds", default = 10, lua = "number", doc = "seconds a boot may take" },
  { "state_dir", "state_dir", show = "absolute path", default_text = "`/run/lua-sandbox` as root, else `$XDG_RUNTIME_DIR/lua-sandbox` or a private `/tmp` one",
    lua = "string", doc = "where runs live: 0700, as root 0711, for the mapped gofer must pass" },
  { "rootless", "auto_boolean", show = "`\"auto\"` or boolean", default = "auto", lua = 'boolean|"auto"', doc = "whether runsc runs as an ordinary user" },
  { "cgroup_parent", "cgroup_parent", show = "`\"auto\"` or absolute path", default = "auto", lua = "string", doc = "where sandbox cgroups are made, v1 or v2" },
  { "control", "enum", values = { "auto", "socket", "runsc" }, default = "auto", lua = '"auto"|"socket"|"runsc"',
    doc = "how programs are started in boxes: over the sentry's control socket, or by `runsc exec`, 20 ms slower. auto: the socket, where it answers as is known here" },
  { "max_concurrent", "count", max = 1e6, default_text = "none", lua = "integer", doc = "runs at once in this instance, so per nginx worker" },
  { "queue", "queue", show = "boolean or length", default = true, lua = "boolean|integer",
    doc = "more wait their turn, in order; `false` or a length: beyond it `busy`. Waiting never counts towards `timeout`" },
  { "queue_timeout", "seconds", default_text = "none", lua = "number", doc = "seconds of waiting after which it is `busy`" },
  { "logger", "callback", show = "function(level, message, fields)", default_text = "none", lua = "fun(level:string, message:string, fields:table)",
    doc = "its errors never break a run" },
  { "runsc_flags", "flags", show = "list of strings", default_text = "none", lua = "string[]", doc = "extra global flags, for experts" },
  { "wait", "callback", show = "function(fd, events, seconds)", default_text = "by host", lua = "fun(fd:integer, events:string, seconds:number?):boolean",
    doc = "how to wait in a scheduler that is not known here" },
}

--- Fields of the result: name, type for editors, words.
M.result = {
  { "ok", "boolean", "the program ran, exited with 0 and hit no killing limit" },
  { "status", "string", '`"exited"`, `"signaled"`, `"timed_out"`, `"oom_killed"`, `"cpu_exceeded"`, `"output_exceeded"`, `"killed"`' },
  { "exit_code", "integer?", "number when `status` is `exited`, else nil" },
  { "signal", "integer?", "number when `status` is `signaled`, else nil" },
  { "signal_name", "string?", '`"SEGV"`, with `signal`' },
  { "message", "string?", 'one sentence for a person whenever not `ok`: `"killed: 128 MiB of memory used up"`' },
  { "stdout", "string?", "complete up to the output limit, kept in every status; nil when it went to a callback or was read from the job" },
  { "stderr", "string?", "the same" },
  { "stdout_bytes", "integer", "what the guest wrote, also beyond the limit" },
  { "stderr_bytes", "integer", "the same" },
  { "files", "table<string, string>", "always a table, keyed as asked in `collect` (relative to `cwd`, or absolute): what was in the file. Empty with `into`" },
  { "files_info", "table", "always a table, with the same keys: `{ mode=, size= }`" },
  { "files_skipped", "table", "always a table: why a file was left out: `\"missing\"`, `\"link\"`, `\"too big\"`, …" },
  { "timed_out", "boolean", "" }, { "oom_killed", "boolean", "" }, { "cpu_exceeded", "boolean", "" }, { "output_exceeded", "boolean", "" },
  { "pids_exceeded", "boolean", "" }, { "disk_exceeded", "boolean?", "boolean; nil where it cannot be known (as an ordinary user, unless `user = 0`)" }, { "stdout_truncated", "boolean", "" }, { "stderr_truncated", "boolean", "" },
  { "limits", "table<string, sandbox.LimitReport>", "`{ memory = { requested=, enforced_by=\"supervisor\", hit=false }, … }` for every limit; who: `supervisor`, `rlimit`, `cgroup1`, `cgroup2`, `affinity`, `tmpfs`, `overlay`, or nil" },
  { "duration", "number", "seconds from the guest's first instruction to its end: the clock of `timeout`" },
  { "boot_duration", "number", "seconds until that first instruction" },
  { "queue_duration", "number", "seconds of waiting for a turn" },
  { "total_duration", "number", "the whole call" },
  { "cpu_time", "number?", "seconds, measured as the limit measures; nil where the machine cannot tell" },
  { "peak_memory", "integer?", "bytes, the same" },
  { "peak_pids", "integer?", "tasks that lived at once, the same" },
  { "id", "string", "the run's name" },
  { "runtime", "table", "`{ runsc=, platform=, rootless=, cgroup=, cgroup_reason= }`; `runsc` is what the binary says of itself, `\"unknown\"` for one built without a version; `cgroup_reason` says why there is none and how to mend it" },
}

-- What a mount, a file, a user, a collect may hold.
M.mount_keys = { "destination", "readonly", "size", "source", "type" }
M.file_keys = { "content", "from", "mode" }
M.user_keys = { "gid", "groups", "uid" }
M.collect_keys = { "into", "max_bytes", "max_files", "paths" }

-- With a bundle these say nothing: the bundle does.
local spec_keys = { "env", "cwd", "user", "capabilities", "rootfs", "readonly", "mounts", "network", "hostname", "files", "collect", "spec" }
-- Of an instance these would be the same stdin, program or end for every run.
local never_defaults = { stdin = true, bundle = true, on_exit = true }

--- stat, taken from the core on first use; a test may put its own here.
function M.stat(path)
  local core = require "sandbox.core"
  local st, message, name = core.stat(path)
  return st, message, name
end

-- Plain values ----------------------------------------------------------------------------------------------------------

local function is_integer(v)
  return type(v) == "number" and v == math.floor(v) and v - v == 0
end

-- 5.3 and later tell 65534 from 65534.0 when printing.
local function integer(v)
  return math.tointeger and math.tointeger(v) or v
end

local function checked_string(where, v, what)
  if type(v) ~= "string" then bad(where, "expected " .. what, v) end
  if v:find("\0", 1, true) then bad(where, "expected " .. what .. " without a NUL byte", v) end
  if not text.is_utf8(v) then bad(where, "expected " .. what .. " in UTF-8", v) end
  return v
end

local function checked_path(where, v, what)
  what = what or "an absolute path"
  checked_string(where, v, what)
  if v:sub(1, 1) ~= "/" then bad(where, "expected " .. what, v) end
  if #v > 4000 then bad(where, "expected " .. what .. " of at most 4000 bytes", v) end
  local clean = text.clean_path(v)
  if not clean then bad(where, "expected " .. what .. ' without ".."', v) end
  return clean
end

local function checked_table(where, v, what)
  if type(v) ~= "table" then bad(where, "expected " .. what, v) end
  return v
end

local function sorted_keys(t)
  local keys = {}
  for k in pairs(t) do keys[#keys + 1] = k end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  return keys
end

local function check_keys(where, t, known)
  local set = {}
  for _, k in ipairs(known) do set[k] = true end
  for _, k in ipairs(sorted_keys(t)) do
    if not set[k] then
      local name = type(k) == "string" and k or "[" .. errors.show(k) .. "]"
      bad((where == "" and "" or where .. (name:sub(1, 1) == "[" and "" or ".")) .. name,
          "no such key; known are " .. table.concat(known, ", "))
    end
  end
end

-- The length of a list without holes and without other keys (beyond those of `named`).
local function checked_list(where, t, what, named)
  checked_table(where, t, what)
  local n, highest = 0, 0
  for k in pairs(t) do
    if is_integer(k) and k >= 1 then
      n = n + 1
      if k > highest then highest = k end
    elseif not named then
      bad(where, "expected " .. what .. ", got the key " .. errors.show(k))
    end
  end
  if n ~= highest then
    local hole = 1
    while t[hole] ~= nil do hole = hole + 1 end
    bad(where, ("expected %s without holes, got nil at %d"):format(what, hole))
  end
  return n
end

local COLLECT_MAX = 16 * 1024 ^ 3 -- it is held in memory
local units = { [""] = 1, K = 1024, M = 1024 ^ 2, G = 1024 ^ 3 }
local SIZE = 'a size such as "64M"'

local kinds = {}

function kinds.size(where, v)
  local n = v
  if type(v) == "string" then
    local digits, unit = v:match("^(%d+)([KMG]?)$")
    n = digits and tonumber(digits) * units[unit]
  end
  if not is_integer(n) or n < 1 then bad(where, "expected " .. SIZE, v) end
  if n > TIB then bad(where, "expected " .. SIZE .. " of at most 1024G", v) end
  return integer(n)
end

function kinds.seconds(where, v)
  if type(v) ~= "number" or not (v > 0 and v <= MAX_SECONDS) then
    bad(where, "expected seconds, a number above 0 and at most 1e9", v)
  end
  return v
end

function kinds.cores(where, v)
  if type(v) ~= "number" or not (v >= 0.01 and v <= 65536) then bad(where, "expected cores, a number from 0.01 to 65536", v) end
  return v
end

function kinds.count(where, v, row)
  if not is_integer(v) or v < 1 or v > row.max then
    bad(where, ("expected an integer from 1 to %d"):format(row.max), v)
  end
  return integer(v)
end

function kinds.boolean(where, v)
  if type(v) ~= "boolean" then bad(where, "expected true or false", v) end
  return v
end

function kinds.auto_boolean(where, v)
  if v ~= "auto" and type(v) ~= "boolean" then bad(where, 'expected "auto", true or false', v) end
  return v
end

function kinds.enum(where, v, row)
  for _, value in ipairs(row.values) do
    if v == value then return v end
  end
  bad(where, 'expected "' .. table.concat(row.values, '" or "') .. '"', v)
end

function kinds.callback(where, v)
  local mt = type(v) == "table" and getmetatable(v)
  if type(v) ~= "function" and not (type(mt) == "table" and mt.__call) then bad(where, "expected a function", v) end
  return v
end

function kinds.guest_path(where, v) return checked_path(where, v) end
function kinds.host_path(where, v) return checked_path(where, v) end

function kinds.state_dir(where, v)
  local path = checked_path(where, v)
  -- A socket of the run has its path below it, and such a path has room for 107 bytes.
  if #path > 53 or path == "/" then bad(where, "expected an absolute path of at most 53 bytes", v) end
  return path
end

function kinds.cgroup_parent(where, v)
  if v == "auto" then return v end
  return checked_path(where, v, '"auto" or an absolute path')
end

function kinds.queue(where, v)
  if type(v) == "boolean" then return v end
  if not is_integer(v) or v < 1 or v > 1e9 then bad(where, "expected true, false or a length of 1 or more", v) end
  return integer(v)
end

function kinds.flags(where, v)
  local out = {}
  for i = 1, checked_list(where, v, "a list of flags") do
    local flag = checked_string(("%s[%d]"):format(where, i), v[i], "a flag such as \"--strace\"")
    if not flag:find("^%-%-?%w") then bad(("%s[%d]"):format(where, i), "expected a flag such as \"--strace\"", flag) end
    out[i] = flag
  end
  return out
end

function kinds.rootfs(where, v)
  if v == "host" then return v end
  return checked_path(where, v, '"host" or an absolute path')
end

function kinds.hostname(where, v)
  checked_string(where, v, "a host name")
  if #v > 63 or not v:find("^%w[%w._-]*$") then
    bad(where, "expected a host name: at most 63 letters, digits, '-', '.' and '_', the first a letter or digit", v)
  end
  return v
end

function kinds.stdin(where, v)
  if type(v) == "string" or type(v) == "function" then return v end
  if type(v) ~= "table" then bad(where, "expected a string, a function or { from = path }", v) end
  if getmetatable(v) and getmetatable(v).__call then return v end
  check_keys(where, v, { "from" })
  local from = checked_string(where .. ".from", v.from, "a path")
  if from == "" then bad(where .. ".from", "expected a path", from) end
  return { from = from }
end

-- Structured values -----------------------------------------------------------------------------------------------------

function kinds.env(where, v)
  checked_table(where, v, "a map of names to strings")
  local out = {}
  for _, name in ipairs(sorted_keys(v)) do
    local at = where .. (type(name) == "string" and "." .. name or "[" .. errors.show(name) .. "]")
    local value = v[name]
    checked_string(at, name, "a name that is a string")
    if name == "" or name:find("=", 1, true) then bad(at, "expected a name that is not empty and has no '='", name) end
    if value ~= false then checked_string(at, value, "a string, or false to remove it") end
    out[name] = value
  end
  return out
end

local function checked_id(where, v)
  if not is_integer(v) or v < 0 or v > 65535 then bad(where, "expected an id from 0 to 65535", v) end
  return integer(v)
end

function kinds.user(where, v)
  if type(v) == "number" then
    local id = checked_id(where, v)
    return { uid = id, gid = id, groups = {} }
  elseif type(v) == "string" then
    local uid, gid = v:match("^(%d+)$"), nil
    if not uid then uid, gid = v:match("^(%d+):(%d+)$") end
    if not uid then bad(where, 'expected "uid", "uid:gid", a number or { uid=, gid=, groups= }', v) end
    uid = checked_id(where, tonumber(uid))
    return { uid = uid, gid = gid and checked_id(where, tonumber(gid)) or uid, groups = {} }
  end
  checked_table(where, v, '"uid", "uid:gid", a number or { uid=, gid=, groups= }')
  check_keys(where, v, M.user_keys)
  local uid = checked_id(where .. ".uid", v.uid)
  local user = { uid = uid, gid = v.gid == nil and uid or checked_id(where .. ".gid", v.gid), groups = {} }
  if v.groups ~= nil then
    for i = 1, checked_list(where .. ".groups", v.groups, "a list of ids") do
      user.groups[i] = checked_id(("%s.groups[%d]"):format(where, i), v.groups[i])
    end
    if #user.groups > 64 then bad(where .. ".groups", "expected at most 64 ids") end
  end
  return user
end

function kinds.capabilities(where, v)
  local out, seen = {}, {}
  for i = 1, checked_list(where, v, "a list of names such as CAP_NET_BIND_SERVICE") do
    local name = v[i]
    if type(name) ~= "string" or not capabilities.names[name] then
      bad(("%s[%d]"):format(where, i), "expected a name such as CAP_NET_BIND_SERVICE", name)
    end
    if not seen[name] then out[#out + 1] = name end
    seen[name] = true
  end
  table.sort(out)
  return out
end

local reserved = { "/proc", "/sys", "/dev" }

local function is_reserved(path)
  for _, dir in ipairs(reserved) do
    if text.is_below(path, dir) then return dir end
  end
end

local function checked_bind(where, m, mount)
  mount.source = checked_path(where .. ".source", m.source)
  if m.size ~= nil then bad(where .. ".size", "expected none for a bind: only a tmpfs has one", m.size) end
  local st = M.stat(mount.source)
  mount.source_type = st and st.type
  if st and st.type ~= "directory" and st.type ~= "file" then
    bad(where .. ".source", ("expected a directory or a regular file, got a %s device or socket"):format(st.type) .. " at " .. mount.source)
  end
end

local function checked_mount(where, m)
  checked_table(where, m, "a table { destination=, source=, … }")
  check_keys(where, m, M.mount_keys)
  local mount = { destination = checked_path(where .. ".destination", m.destination) }
  if mount.destination == "/" then bad(where .. ".destination", "expected a path other than / (see rootfs)", m.destination) end
  local taken = is_reserved(mount.destination)
  if taken then bad(where .. ".destination", "expected a path outside of " .. taken .. ", which is gVisor's", m.destination) end
  mount.type = m.type == nil and "bind" or kinds.enum(where .. ".type", m.type, { values = { "bind", "tmpfs" } })
  if mount.type == "bind" then
    checked_bind(where, m, mount)
  else
    if m.source ~= nil then bad(where .. ".source", "expected none for a tmpfs", m.source) end
    if m.size ~= nil then mount.size = kinds.size(where .. ".size", m.size) end
  end
  if m.readonly ~= nil then
    mount.readonly = kinds.boolean(where .. ".readonly", m.readonly)
  else
    mount.readonly = mount.type == "bind"
  end
  return mount
end

function kinds.mounts(where, v)
  local out, seen = {}, {}
  for i = 1, checked_list(where, v, "a list of mounts") do
    local at = ("%s[%d]"):format(where, i)
    out[i] = checked_mount(at, v[i])
    if seen[out[i].destination] then
      bad(at .. ".destination", "expected each destination once", out[i].destination)
    end
    seen[out[i].destination] = true
  end
  if #out > 100 then bad(where, "expected at most 100 mounts") end
  -- An outer mount would hide the inner one that came before it.
  local order = {}
  for i, m in ipairs(out) do order[m] = i end
  table.sort(out, function(a, b)
    local _, na = a.destination:gsub("/", "")
    local _, nb = b.destination:gsub("/", "")
    if na ~= nb then return na < nb end
    return order[a] < order[b]
  end)
  return out
end

function kinds.files(where, v)
  checked_table(where, v, "a map of paths to contents")
  local out = {}
  for _, name in ipairs(sorted_keys(v)) do
    local at = ("%s[%s]"):format(where, errors.show(name))
    local value = v[name]
    checked_string(at, name, "a path as the name")
    local clean = text.clean_path(name)
    if not clean then bad(at, 'expected a path without ".."') end
    if clean == "" or clean == "/" or name:sub(-1) == "/" then bad(at, "expected the path of a file") end
    if #clean > 4000 or select(2, clean:gsub("/", "")) > 100 then bad(at, "expected a path of at most 4000 bytes and 100 directories") end
    local file = { name = clean, mode = "666" }
    if type(value) == "string" then
      file.content = value
    else
      checked_table(at, value, "a string or { content=, from=, mode= }")
      check_keys(at, value, M.file_keys)
      if (value.content == nil) == (value.from == nil) then bad(at, "expected either content or from") end
      if value.content ~= nil and type(value.content) ~= "string" then bad(at .. ".content", "expected a string", value.content) end
      file.content = value.content
      if value.from ~= nil then file.from = checked_string(at .. ".from", value.from, "the path of a host file") end
      if file.from == "" then bad(at .. ".from", "expected the path of a host file", file.from) end
      if value.mode ~= nil then
        if type(value.mode) ~= "string" or not value.mode:find("^0?[0-7][0-7][0-7]$") then
          bad(at .. ".mode", 'expected an octal string such as "644"', value.mode)
        end
        file.mode = value.mode:sub(-3)
      end
    end
    out[#out + 1] = file
  end
  return out
end

function kinds.collect(where, v)
  checked_table(where, v, "a list of paths, or a table with paths")
  local collect, paths, at = {}, v, where
  if v.paths ~= nil or next(v) ~= nil and #v == 0 then
    check_keys(where, v, M.collect_keys)
    paths, at = v.paths, where .. ".paths"
    if v.into ~= nil then collect.into = checked_path(where .. ".into", v.into) end
  end
  collect.max_bytes = kinds.size(where .. ".max_bytes", paths ~= v and v.max_bytes or "64M")
  if collect.max_bytes > COLLECT_MAX then bad(where .. ".max_bytes", "expected a size of at most 16G", v.max_bytes) end
  collect.max_files = kinds.count(where .. ".max_files", paths ~= v and v.max_files or 1000, { max = 1e6 })
  collect.paths = {}
  local bytes = 0
  for i = 1, checked_list(at, paths, "a list of paths or globs") do
    local path = checked_string(("%s[%d]"):format(at, i), paths[i], "a path or glob")
    if path == "" or not text.clean_path(path) then bad(("%s[%d]"):format(at, i), 'expected a path or glob without ".."', path) end
    collect.paths[i] = path
    bytes = bytes + #path
  end
  if #collect.paths > 1000 or bytes > 32768 then bad(at, "expected at most 1000 paths, of 32 KiB together") end
  return collect
end

local limit_rows, limit_names = {}, {}
for _, row in ipairs(M.limits) do
  limit_rows[row[1]] = row
  limit_names[#limit_names + 1] = row[1]
end
table.sort(limit_names)

-- Only what was given; false stays, for it switches off what a default switched on.
function kinds.limits(where, v)
  checked_table(where, v, "a table of limits")
  check_keys(where, v, limit_names)
  local out = {}
  for _, name in ipairs(limit_names) do
    local row, value = limit_rows[name], v[name]
    if value == false and not row.mode then
      out[name] = false
    elseif value ~= nil then
      out[name] = kinds[row[2]](where .. "." .. name, value, row)
    end
  end
  return out
end

-- Whole tables ----------------------------------------------------------------------------------------------------------

local function index(rows)
  local map, names = {}, {}
  for _, row in ipairs(rows) do
    map[row[1]] = row
    names[#names + 1] = row[1]
  end
  table.sort(names)
  return map, names
end

local option_rows, option_names = index(M.options)
local instance_rows, instance_names = index(M.instance)
for _, row in ipairs(M.options) do
  if not never_defaults[row[1]] then instance_names[#instance_names + 1] = row[1] end
end
table.sort(instance_names)

local function check_rows(t, rows, out)
  for name, row in pairs(rows) do
    if t[name] ~= nil then out[name] = kinds[row[2]](name, t[name], row) end
  end
  return out
end

local function checked_argv(options)
  local n = checked_list("argv", options, "a list of strings", true)
  local argv = {}
  for i = 1, n do argv[i] = checked_string(("argv[%d]"):format(i), options[i], "a string") end
  if n == 0 then bad("argv", 'expected at least the program, as in { "echo", "hello" }') end
  if argv[1] == "" then bad("argv[1]", "expected the name of a program", argv[1]) end
  return argv
end

local function check_option_keys(options)
  for _, k in ipairs(sorted_keys(options)) do
    if not (is_integer(k) and k >= 1) and not option_rows[k] then
      bad(type(k) == "string" and k or "[" .. errors.show(k) .. "]", "no such key; known are " .. table.concat(option_names, ", "))
    end
  end
end

local function merge(default, given)
  local out = {}
  for k, v in pairs(default or {}) do out[k] = v end
  for k, v in pairs(given or {}) do out[k] = v end
  return out
end

local function env_list(map)
  local list, bytes = {}, 0
  for name, value in pairs(map) do
    if value then
      list[#list + 1] = name .. "=" .. value
      bytes = bytes + #list[#list]
    end
  end
  table.sort(list)
  return list, bytes
end

local function default_of(row)
  if row.default == nil then return nil end
  return kinds[row[2]](row[1], row.default, row)
end

local function merged_limits(defaults, given)
  local out = {}
  for _, row in ipairs(M.limits) do
    local name = row[1]
    local value = given and given[name]
    if value == nil and defaults then value = defaults[name] end
    if value == nil then value = default_of(row) end
    if value ~= false or row.mode then out[name] = value end
  end
  return out
end

-- Where each file goes, and whether it can.
local function place_files(plan)
  local seen, bytes, own = {}, 0, {}
  for i, default in ipairs(plan.files) do -- an instance's defaults are every plan's
    local file = {}
    for k, v in pairs(default) do file[k] = v end
    own[i] = file
    local at = ("files[%s]"):format(errors.show(file.name))
    file.path = file.name:sub(1, 1) == "/" and file.name or text.clean_path(plan.cwd .. "/" .. file.name)
    local taken = is_reserved(file.path)
    if taken then bad(at, "expected a path outside of " .. taken .. ", which is gVisor's") end
    for _, m in ipairs(plan.mounts) do
      if text.is_below(file.path, m.destination) then bad(at, "the mount at " .. m.destination .. " would hide it") end
    end
    for path in pairs(seen) do
      if text.is_below(path, file.path) or text.is_below(file.path, path) then bad(at, "it collides with " .. path) end
    end
    seen[file.path] = true
    local st = file.from and M.stat(file.from)
    if st and st.type ~= "file" then bad(at .. ".from", "expected a regular file, got a " .. st.type .. " at " .. file.from) end
    bytes = bytes + (file.content and #file.content or st and st.size or 0)
  end
  plan.files = own
  local limit = plan.limits.disk or plan.limits.memory
  if limit and bytes > limit then
    bad("files", ("expected at most %s together (limits.%s), got %s"):format(text.bytes(limit), plan.limits.disk and "disk" or "memory", text.bytes(bytes)))
  end
end

local function plan_bundle(plan, options)
  for _, key in ipairs(spec_keys) do
    if options[key] ~= nil then bad(key, "it cannot go together with bundle, which has its own") end
  end
  if next(options) and #options > 0 then bad("argv", "it cannot go together with bundle, which has its own") end
  plan.files, plan.mounts, plan.spec, plan.collect = {}, {}, nil, nil
end

local function build(options, defaults)
  checked_table("options", options, "a table")
  defaults = defaults or {}
  check_option_keys(options)
  local given = check_rows(options, option_rows, {})
  local plan = { mode = "run" }
  for _, row in ipairs(M.options) do
    local name = row[1]
    plan[name] = given[name]
    if plan[name] == nil then plan[name] = defaults[name] end
    if plan[name] == nil then plan[name] = default_of(row) end
  end
  plan.limits = merged_limits(defaults.limits, given.limits)
  local env_bytes
  plan.env, env_bytes = env_list(merge(merge(default_of(option_rows.env), defaults.env), given.env))
  plan.files, plan.mounts, plan.capabilities = plan.files or {}, plan.mounts or {}, plan.capabilities or {}
  if plan.bundle then
    plan_bundle(plan, options)
    return plan
  end
  plan.argv = checked_argv(options)
  for _, arg in ipairs(plan.argv) do env_bytes = env_bytes + #arg end
  if env_bytes > MAX_STRINGS then bad("argv", "expected at most 8 MiB of argv and env together, got " .. text.bytes(env_bytes)) end
  place_files(plan)
  return plan
end

--- Checks options and fills in what is not given.
-- @tparam table options as `sandbox.run` takes them
-- @tparam[opt] table defaults of an instance, as `schema.instance_options` made them
-- @treturn table the plan, or nil, message, "bad_option"
function M.try(options, defaults)
  local plan, message, code = errors.try(build, options, defaults)
  return plan, message, code
end

--- As `try`, but a wrong option raises.
-- @tparam table options
-- @tparam[opt] table defaults
-- @int[opt=1] level as `error` takes it, counted from the caller
-- @treturn table the plan
function M.check(options, defaults, level)
  local plan, message = M.try(options, defaults)
  if not plan then error(message, (level or 1) + 1) end
  return plan
end

local function build_instance(options)
  checked_table("options", options, "a table")
  check_keys("", options, instance_names)
  local out = check_rows(options, instance_rows, {})
  for name, row in pairs(instance_rows) do
    if out[name] == nil then out[name] = default_of(row) end
  end
  local defaults = {}
  for name, row in pairs(option_rows) do
    if not never_defaults[name] and options[name] ~= nil then defaults[name] = kinds[row[2]](name, options[name], row) end
  end
  out.defaults = defaults
  return out
end

--- Checks the options of an instance.
-- @tparam table options as `sandbox.new` takes them
-- @treturn table with all of them filled in, and `defaults` for its runs; or nil, message, "bad_option"
function M.instance_options(options)
  local out, message, code = errors.try(build_instance, options)
  return out, message, code
end

--- A size in bytes of what may be one.
-- @param value
-- @treturn integer or nil, message, "bad_option"
function M.size(name, value)
  local out, message, code = errors.try(kinds.size, name, value)
  return out, message, code
end

--- Checks a table of limits alone and fills in the defaults.
-- @tparam table limits
-- @tparam[opt] table defaults
-- @treturn table or nil, message, "bad_option"
function M.try_limits(limits, defaults)
  local out, message, code = errors.try(function()
    return merged_limits(defaults, kinds.limits("limits", limits))
  end)
  return out, message, code
end

return M
