-- SPDX-License-Identifier: MIT
--- What each kind of value may be. A check is `kind(where, value, row, client)`: it gives the value as the rest of the module wants it, or
-- raises `errors.bad`. With `client` what names anything of this host is refused.
--
-- Tables come from outside: keys are enumerated raw, named fields are read as Lua reads them, and no length is asked for.
-- @module sandbox.options.kinds
local capabilities = require "sandbox.options.capabilities"
local errors = require "sandbox.errors"
local network = require "sandbox.run.network"
local reference = require "sandbox.image.reference"
local schema = require "sandbox.options.schema"
local values = require "sandbox.options.values"
local text = require "sandbox.text"

local bad = errors.bad
local M = {}
for kind, check in pairs(require "sandbox.options.fleet_kinds") do M[kind] = check end

local TIB = 2 ^ 40
local MAX_SECONDS = 1e9
local MAX_FILES = 100000
local COLLECT_MAX = 16 * 1024 ^ 3 -- it is held in memory
local FOREIGN = "it names something of this host, which a client may not"

local shape_keys = {}
for name, shape in pairs(schema.shapes) do
  local set, names = {}, {}
  for i, row in ipairs(shape) do set[row[1]], names[i] = true, row[1] end
  table.sort(names)
  shape_keys[name] = { set = set, known = table.concat(names, ", ") }
end

local function check_keys(where, t, shape)
  local k = values.foreign_key(t, shape_keys[shape].set)
  if k ~= nil then bad(errors.field(where, k), "no such key; known are " .. shape_keys[shape].known) end
end

local units = { [""] = 1, k = 1024, m = 1024 ^ 2, g = 1024 ^ 3, t = TIB }

-- In floats throughout: an integer of Lua 5.3 and later would wrap around.
local function size_of(v)
  if #v > 32 then return nil end
  local digits, unit = v:lower():match("^(%d+%.?%d*) ?([kmgt]?)i?b?$")
  if not digits or unit == "" and (digits:find(".", 1, true) or v:find("[iI]")) then return nil end
  return math.floor(tonumber(digits) * 1.0 * units[unit])
end

function M.size(where, v)
  local n = v
  if type(v) == "string" then
    n = size_of(v)
    if not n then bad(where, 'expected a size such as "64M", "64MiB", "64m" or "1.5G" (powers of 1024)', v) end
  end
  if not values.is_integer(n) or n < 1 then bad(where, 'expected a size such as "64M"', v) end
  if n > TIB then bad(where, "expected a size of at most 1024G", v) end
  return values.integer(n)
end

function M.seconds(where, v)
  if type(v) ~= "number" or not (v > 0 and v <= MAX_SECONDS) then
    bad(where, "expected seconds, a number above 0 and at most 1e9", v)
  end
  return v
end

function M.cores(where, v)
  if type(v) ~= "number" or not (v >= 0.01 and v <= 65536) then bad(where, "expected cores, a number from 0.01 to 65536", v) end
  return v
end

function M.count(where, v, row)
  local least = row.min or 1
  if not values.is_integer(v) or v < least or v > row.max then
    bad(where, ("expected an integer from %d to %d"):format(least, row.max), v)
  end
  return values.integer(v)
end

function M.boolean(where, v)
  if type(v) ~= "boolean" then bad(where, "expected true or false", v) end
  return v
end

function M.auto_boolean(where, v)
  if v ~= "auto" and type(v) ~= "boolean" then bad(where, 'expected "auto", true or false', v) end
  return v
end

function M.enum(where, v, row)
  for _, value in ipairs(row.values) do
    if v == value then return v end
  end
  bad(where, 'expected "' .. table.concat(row.values, '" or "') .. '"', v)
end

local function checked_entries(where, v)
  local out = {}
  for i = 1, values.list(where, v, "a list of entries such as \"pypi.org\" or \"10.1.2.0/24:5432\"", false, network.RULES_MAX) do
    local entry = rawget(v, i)
    if not network.entry(entry) then
      bad(("%s[%d]"):format(where, i), 'expected an entry such as "pypi.org", "*.pythonhosted.org:443", "10.1.2.0/24:5432-5433" or "[2001:db8::1]:443"', entry)
    end
    out[i] = entry
  end
  return out
end

local function checked_policy(where, v)
  check_keys(where, values.table(where, v, '"none", "host", "sandbox" or a policy'), "network")
  local out = { allow = checked_entries(where .. ".allow", v.allow or {}), deny = checked_entries(where .. ".deny", v.deny or {}) }
  if v.public ~= nil then out.public = M.boolean(where .. ".public", v.public) end
  if v.connections ~= nil then out.connections = M.count(where .. ".connections", v.connections, { max = network.CONNECTIONS_MAX }) end
  if v.bandwidth ~= nil then out.bandwidth = M.size(where .. ".bandwidth", v.bandwidth) end
  if v.mac ~= nil then
    if type(v.mac) ~= "string" or not network.mac(v.mac) then bad(where .. ".mac", 'expected a unicast address such as "02:00:00:00:00:01"', v.mac) end
    out.mac = v.mac:lower()
  end
  if v.address ~= nil then
    if type(v.address) ~= "string" or not network.link(v.address) then
      bad(where .. ".address", 'expected the guest\'s IPv4 address and its network, at most of 31 bits, such as "10.0.0.2/24"', v.address)
    end
    out.address = v.address
  end
  if v.resolver ~= nil then
    if type(v.resolver) ~= "string" or not network.resolver(v.resolver) then
      bad(where .. ".resolver", 'expected the address of a name server such as "192.0.2.53" or "127.0.0.1:5353"', v.resolver)
    end
    out.resolver = v.resolver
  end
  if #network.policy(out) > network.MESSAGE_MAX then bad(where, "expected entries of at most 128 KiB together") end
  return out
end

-- A client gets a loopback of its own, or what the instance says.
function M.network(where, v, row, client)
  if type(v) ~= "table" then
    local value = M.enum(where, v, row)
    if client and value ~= "none" then bad(where, FOREIGN) end
    return value == "sandbox" and { allow = {}, deny = {}, public = true } or value
  end
  if client then bad(where, FOREIGN) end
  return checked_policy(where, v)
end

local SIZE_MAX = { max = 65535 }

-- false is none, as if nothing had been said; what is said is filled in.
function M.pty(where, v)
  if type(v) == "boolean" then return v and { rows = 24, cols = 80, term = "xterm-256color" } end
  if type(v) ~= "table" then bad(where, "expected true or { rows=, cols=, term= }, got " .. errors.kind(v)) end
  check_keys(where, values.table(where, v, "true or { rows=, cols=, term= }"), "pty")
  local rows, cols, term = v.rows, v.cols, v.term
  if term ~= nil and (type(term) ~= "string" or #term > 60 or not term:find "^%w[%w.+_-]*$") then
    bad(where .. ".term", 'expected the name of a terminal such as "xterm-256color"', term)
  end
  return { rows = rows == nil and 24 or M.count(where .. ".rows", rows, SIZE_MAX), cols = cols == nil and 80 or M.count(where .. ".cols", cols, SIZE_MAX),
           term = term or "xterm-256color" }
end

function M.bytes(where, v)
  if type(v) ~= "string" then bad(where, "expected a string, got " .. errors.kind(v)) end
  return v
end

function M.mode(where, v)
  if type(v) ~= "string" or not v:find("^0?[0-7][0-7][0-7]$") then bad(where, 'expected an octal string such as "644"', v) end
  return v:sub(-3)
end

-- A program and its arguments in a field of their own.
function M.argv(where, v, row)
  local out = values.strings(where, v, "a list of strings")
  if not out[1] and not row.empty then bad(where, 'expected at least the program, as in { "echo", "hello" }') end
  return out
end

local function is_callable(v)
  if type(v) == "function" then return true end
  local mt = type(v) == "table" and (debug and debug.getmetatable(v) or getmetatable(v))
  return type(mt) == "table" and rawget(mt, "__call") ~= nil
end

function M.callback(where, v)
  if not is_callable(v) then bad(where, "expected a function", v) end
  return v
end

function M.guest_path(where, v) return values.path(where, v) end
function M.host_file(where, v)
  if values.string(where, v, "the path of a host file") == "" then bad(where, "expected the path of a host file", v) end
  return v
end

function M.host_path(where, v) return values.path(where, v) end

function M.state_dir(where, v)
  local path = values.path(where, v)
  -- A socket of the run has its path below it, and such a path has room for 107 bytes.
  if #path > 53 or path == "/" then bad(where, "expected an absolute path of at most 53 bytes", v) end
  if path:find("%c") then bad(where, "expected an absolute path without control characters", v) end
  return path
end

function M.cgroup_parent(where, v)
  if v == "auto" then return v end
  return values.path(where, v, '"auto" or an absolute path')
end

function M.queue(where, v)
  if type(v) == "boolean" then return v end
  if not values.is_integer(v) or v < 1 or v > 1e9 then bad(where, "expected true, false or a length of 1 or more", v) end
  return values.integer(v)
end

function M.flags(where, v)
  local out = {}
  for i = 1, values.list(where, v, "a list of flags") do
    local flag = values.string(("%s[%d]"):format(where, i), rawget(v, i), "a flag such as \"--strace\"")
    if not flag:find("^%-%-?%w") then bad(("%s[%d]"):format(where, i), "expected a flag such as \"--strace\"", flag) end
    out[i] = flag
  end
  return out
end

function M.rootfs(where, v)
  if v == "host" then return v end
  return values.path(where, v, '"host" or an absolute path')
end

function M.image(where, v)
  if not reference.parse(v) then bad(where, "expected " .. reference.FORMS, v) end
  return v
end

function M.hostname(where, v)
  values.string(where, v, "a host name")
  if #v > 63 or not v:find("^%w[%w._-]*$") then
    bad(where, "expected a host name: at most 63 letters, digits, '-', '.' and '_', the first a letter or digit", v)
  end
  return v
end

function M.size_or_false(where, v)
  if v == false then return v end
  return M.size(where, v)
end

-- Of a stage: beside these fields its result has its place in what comes of all.
local result_fields = { ok = true, stage = true, last = true, message = true, check = true }

function M.name(where, v)
  if type(v) ~= "string" or #v > 60 or not v:find "^[%a_][%w_]*$" or result_fields[v] then
    bad(where, "expected a name of at most 60 letters, digits and '_', other than ok, stage, last, message and check", v)
  end
  return v
end

-- What a program is called by whoever comes back to it.
function M.label(where, v)
  if not text.is_name(v, 60) then
    bad(where, "expected a name of at most 60 letters, digits, '_', '.' and '-'", v)
  end
  return v
end

function M.from(where, v)
  if v == "start" or v == "now" then return v end
  if type(v) == "number" and v >= 0 and v < 2 ^ 53 and v % 1 == 0 then return v end
  bad(where, 'expected "start", "now" or an offset, as job:offset() has it', v)
end

function M.stdin(where, v, _, client)
  if type(v) == "string" then return v end
  if is_callable(v) then
    if client then bad(where, FOREIGN) end
    return v
  end
  if type(v) ~= "table" then bad(where, "expected a string, a function or { from = path }, got " .. errors.kind(v)) end
  check_keys(where, values.table(where, v, "{ from = path }"), "stdin")
  local from = values.string(where .. ".from", v.from, "a path")
  if from == "" then bad(where .. ".from", "expected a path", from) end
  if client then bad(where .. ".from", FOREIGN) end
  return { from = from }
end

-- Structured values -----------------------------------------------------------------------------------------------------

-- What is in a variable does not go into a message, nor what follows a "=" in the wrong place.
function M.env(where, v)
  if type(v) ~= "table" then bad(where, "expected a map of names to strings, got " .. errors.kind(v)) end
  values.table(where, v, "a map of names to strings")
  local out = {}
  for name, value in next, v do
    local at = errors.field(where, type(name) == "string" and name:gsub("=.*", "=…") or name)
    if type(name) ~= "string" then bad(at, "expected a name that is a string, as in { LANG = \"C\" }") end
    values.secret(at, name, "a name")
    if name == "" or name:find("=", 1, true) then bad(at, "expected a name that is not empty and has no '='") end
    if value ~= false then values.secret(at, value, "a string, or false to remove it") end
    out[name] = value
  end
  return out
end

local function checked_id(where, v)
  if not values.is_integer(v) or v < 0 or v > 65535 then bad(where, "expected an id from 0 to 65535", v) end
  return values.integer(v)
end

function M.user(where, v)
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
  values.table(where, v, '"uid", "uid:gid", a number or { uid=, gid=, groups= }')
  check_keys(where, v, "user")
  local uid = checked_id(where .. ".uid", v.uid)
  local user = { uid = uid, gid = v.gid == nil and uid or checked_id(where .. ".gid", v.gid), groups = {} }
  if v.groups ~= nil then
    for i = 1, values.list(where .. ".groups", v.groups, "a list of ids", false, 64) do
      user.groups[i] = checked_id(("%s.groups[%d]"):format(where, i), rawget(v.groups, i))
    end
  end
  return user
end

function M.capabilities(where, v)
  local out, seen = {}, {}
  for i = 1, values.list(where, v, "a list of names such as CAP_NET_BIND_SERVICE", false, 1000) do
    local name = rawget(v, i)
    if type(name) ~= "string" or not capabilities.number(name) then
      bad(("%s[%d]"):format(where, i), "expected a name such as CAP_NET_BIND_SERVICE", name)
    end
    if not seen[name] then out[#out + 1] = name end
    seen[name] = true
  end
  table.sort(out)
  return out
end

-- What each type of mount may have, what its source is on this host, and whether it is read-only where nobody says.
local mount_types = {
  bind = { source = { directory = true, file = true }, what = "a directory or a regular file", choice = true, readonly = true },
  tmpfs = { size = true, choice = true, readonly = false },
  cow = { source = { directory = true }, what = "a directory", size = true, readonly = false, why = "a cow is there to be written; a bind is not" },
  volume = { name = true, size = true, least = 2 ^ 20, choice = true, readonly = false },
  erofs = { source = { file = true }, what = "an EROFS file", readonly = true, why = "an EROFS file is never written" },
}
local MOUNT_TYPES = { values = { "bind", "tmpfs", "cow", "volume", "erofs" } }

-- What a source must be, for this type of mount.
local function fits(where, mount, kind, source)
  local st = values.stat(source)
  mount.source, mount.source_type = source, st and st.type
  if st and not kind.source[st.type] then
    bad(where, ("expected %s, got a %s at %s"):format(kind.what, st.type, source))
  end
end

local function checked_source(where, m, mount, kind)
  if text.is_name(m.source) then
    mount.tag = m.source
  else
    fits(where, mount, kind, values.path(where, m.source, "an absolute path, or a tag of filesystems"))
  end
end

local function checked_mount(where, m)
  values.table(where, m, "a table { destination=, source=, … }")
  check_keys(where, m, "mount")
  local mount = { destination = values.path(where .. ".destination", m.destination) }
  if mount.destination == "/" then bad(where .. ".destination", "expected a path other than / (see rootfs)", m.destination) end
  local taken = values.reserved(mount.destination)
  if taken then bad(where .. ".destination", "expected a path outside of " .. taken .. ", which is gVisor's", m.destination) end
  mount.type = m.type == nil and "bind" or M.enum(where .. ".type", m.type, MOUNT_TYPES)
  local kind = mount_types[mount.type]
  if kind.name then
    if not text.is_name(m.source) then
      bad(where .. ".source", "expected a volume's name: at most 64 letters, digits, '_', '.' and '-', the first a letter, digit or '_'", m.source)
    end
    mount.source = m.source
  elseif kind.source then
    checked_source(where .. ".source", m, mount, kind)
  elseif m.source ~= nil then
    bad(where .. ".source", "expected none for a " .. mount.type, m.source)
  end
  if m.size ~= nil then
    if not kind.size then bad(where .. ".size", ("expected none for %s: only a tmpfs, a cow and a volume have one"):format(mount.type), m.size) end
    mount.size = M.size(where .. ".size", m.size)
    if kind.least and mount.size < kind.least then bad(where .. ".size", "expected 1M or more for a volume, which is a file system of its own", m.size) end
  end
  mount.readonly = kind.readonly
  if m.readonly ~= nil then
    mount.readonly = M.boolean(where .. ".readonly", m.readonly)
    if not kind.choice and mount.readonly ~= kind.readonly then bad(where .. ".readonly", "expected none: " .. kind.why, m.readonly) end
  end
  return mount
end

-- A client names what the instance has a tag for, and how much of it is the instance's to say.
function M.mounts(where, v, _, client)
  local out, seen = {}, {}
  for i = 1, values.list(where, v, "a list of mounts", false, 100) do
    local at = ("%s[%d]"):format(where, i)
    if client and not text.is_name(values.table(at, rawget(v, i), "a table { destination=, source=, … }").source) then bad(where, FOREIGN) end
    out[i] = checked_mount(at, rawget(v, i))
    if client and out[i].type == "volume" then bad(where, FOREIGN) end
    if client and out[i].size then bad(at .. ".size", "expected none of a client: what it writes counts as its disk and memory") end
    if out[i].tag then out[i].at = i end
    if seen[out[i].destination] then
      bad(at .. ".destination", "expected each destination once", out[i].destination)
    end
    seen[out[i].destination] = true
  end
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

--- Mounts with what their tags stand for; others as they are.
-- @tparam {table,...} mounts as checked
-- @tparam[opt] table filesystems of the instance, as checked
-- @treturn {table,...}
function M.untagged(mounts, filesystems)
  local out = {}
  for i, m in ipairs(mounts) do
    out[i] = m
    if m.tag then
      local at, known = ("mounts[%d]"):format(m.at), filesystems and filesystems[m.tag]
      if not known then
        local tags = table.concat(values.sorted_keys(filesystems or {}), ", ")
        bad(at .. ".source", ("no such tag; %s"):format(tags == "" and "filesystems of the instance names none" or "known are " .. tags), m.tag)
      end
      if m.type == "bind" and not m.readonly and known.readonly then bad(at .. ".readonly", "the file system is read-only in filesystems of the instance", false) end
      if m.type == "cow" and known.readonly and not known.cow then -- who has a copy may read what is the owner's alone
        bad(at .. ".type", "the file system is neither writable nor for cow in filesystems of the instance", "cow")
      end
      out[i] = { destination = m.destination, type = m.type, size = m.size, readonly = m.readonly }
      fits(at .. ".source", out[i], mount_types[m.type], known.source)
    end
  end
  return out
end

function M.filesystems(where, v)
  values.table(where, v, "a map of tags to directories")
  local out = {}
  for _, tag in ipairs(values.sorted_keys(v)) do
    local at, given = errors.field(where, tag), v[tag]
    if not text.is_name(tag) then bad(at, "expected a tag of at most 64 letters, digits, '_', '.' and '-', the first a letter, digit or '_'") end
    if type(given) == "string" then given = { source = given } end
    check_keys(at, values.table(at, given, "an absolute path, or { source=, readonly=, cow= }"), "filesystem")
    local known = { source = values.path(at .. ".source", given.source), readonly = true, cow = false }
    for _, name in ipairs{ "readonly", "cow" } do
      if given[name] ~= nil then known[name] = M.boolean(at .. "." .. name, given[name]) end
    end
    out[tag] = known
  end
  return out
end

local function checked_place(at, name)
  values.string(at, name, "a path as the name")
  local clean = text.clean_path(name)
  if not clean then bad(at, 'expected a path without ".."') end
  if clean == "" or clean == "/" or name:sub(-1) == "/" then bad(at, "expected the path of a file") end
  if #clean > 4000 or select(2, clean:gsub("/", "")) > 100 then bad(at, "expected a path of at most 4000 bytes and 100 directories") end
  return clean
end

local function checked_file(at, value, file, client)
  if type(value) == "string" then
    file.content = value
    return file
  end
  if type(value) ~= "table" then bad(at, "expected a string or { content=, from=, mode= }, got " .. errors.kind(value)) end
  check_keys(at, values.table(at, value, "{ content=, from=, mode= }"), "file")
  local content, from, mode = value.content, value.from, value.mode
  if (content == nil) == (from == nil) then bad(at, "expected either content or from") end
  if content ~= nil then file.content = M.bytes(at .. ".content", content) end
  if from ~= nil then
    file.from = values.string(at .. ".from", from, "the path of a host file")
    if from == "" then bad(at .. ".from", "expected the path of a host file", from) end
    if client then bad(at .. ".from", FOREIGN) end
  end
  if mode ~= nil then file.mode = M.mode(at .. ".mode", mode) end
  return file
end

function M.files(where, v, _, client)
  values.table(where, v, "a map of paths to contents")
  local out = {}
  for _, name in ipairs(values.sorted_keys(v)) do
    local at = ("%s[%s]"):format(where, errors.show(name))
    local clean = checked_place(at, name)
    out[#out + 1] = checked_file(at, rawget(v, name), { name = clean, mode = "666" }, client)
    if #out > MAX_FILES then bad(where, ("expected at most %d files"):format(MAX_FILES)) end
  end
  return out
end

function M.collect(where, v, _, client)
  values.table(where, v, "a list of paths, or a table with paths")
  local collect, list, at = {}, v, where
  local options = {}
  if rawget(v, 1) == nil and (next(v) ~= nil or v.paths ~= nil) then
    check_keys(where, v, "collect")
    options, list, at = v, v.paths, where .. ".paths"
    if v.into ~= nil then
      collect.into = values.path(where .. ".into", v.into)
      if client then bad(where .. ".into", FOREIGN) end
    end
  end
  local max_bytes, max_files = options.max_bytes, options.max_files
  collect.max_bytes = M.size(where .. ".max_bytes", max_bytes == nil and "64M" or max_bytes)
  if collect.max_bytes > COLLECT_MAX then bad(where .. ".max_bytes", "expected a size of at most 16G", max_bytes) end
  collect.max_files = M.count(where .. ".max_files", max_files == nil and 1000 or max_files, { max = 1e6 })
  collect.paths = {}
  local bytes = 0
  for i = 1, values.list(at, list, "a list of paths or globs", false, 1000) do
    local path = values.string(("%s[%d]"):format(at, i), rawget(list, i), "a path or glob")
    local clean = text.clean_path(path) -- the same spellings as in `files`
    if not clean or clean == "" or clean == "/" then bad(("%s[%d]"):format(at, i), 'expected a path or glob without ".."', path) end
    if select(2, clean:gsub("/", "")) > 100 then bad(("%s[%d]"):format(at, i), "expected a path of at most 100 directories") end
    collect.paths[i] = clean
    bytes = bytes + #path
  end
  if bytes > 32768 then bad(at, "expected paths of at most 32 KiB together") end
  return collect
end

local limit_rows, limit_names = {}, {}
for _, row in ipairs(schema.limits) do
  limit_rows[row[1]] = row
  limit_names[#limit_names + 1] = row[1]
end
table.sort(limit_names)

-- Only what was given; false stays, for it switches off what a default switched on.
function M.limits(where, v, _, client)
  values.table(where, v, "a table of limits")
  local unknown = values.foreign_key(v, limit_rows)
  if unknown ~= nil then bad(errors.field(where, unknown), "no such key; known are " .. table.concat(limit_names, ", ")) end
  local out = {}
  for _, name in ipairs(limit_names) do
    local row, value = limit_rows[name], v[name]
    if value == false and not row.mode then
      out[name] = false
    elseif value ~= nil then
      out[name] = M[row[2]](where .. "." .. name, value, row, client)
    end
  end
  return out
end

--- A row's value, checked.
-- @tparam table row
-- @param value
-- @bool[opt] client
-- @return the value as the module wants it
function M.check(row, value, client)
  if client and row.host then bad(row[1], FOREIGN) end
  return M[row[2]](row[1], value, row, client)
end

return M
