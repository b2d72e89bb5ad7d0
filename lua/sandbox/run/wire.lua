-- SPDX-License-Identifier: MIT
--- What is written to the supervisor: one encoder, with a row for each key. A value that holds a NUL would end where it says so and begin
-- another key; one of another type would mean something else there. Whoever asks was told of wrong options before: what is refused here
-- is a mistake of this module's, and is raised.
-- @module sandbox.run.wire
local errors = require "sandbox.errors"

local M = {}

--- What a list may have at most: the payload of its frame (sbx_wire.h).
M.MAX = 2 ^ 20

--- The keys, by what their values are. The supervisor has the same rows (sup_request.c), and spec/wire_spec.lua compares them.
M.keys = {}
for kind, names in pairs{
  text = [[mode id state_dir runsc platform rootfs rootfs_path bundle cwd container guest box call first disk_by cgroup_parent hold
    net net_guest net_edge net_mac net_resolver word]],
  list = [[arg bind symlink etc etc_hide etc_text mkdir mkfile source place cow cow_place volume]],
  flag = [[await reach whole_box cpus_later direct prepared alone kept tell_space abstract rootless work inside inodes_held writable store_root own_root trace nodev
    best_effort output_kill
    net_ipv6]],
  size = [[code memory pids output disk inodes file_size open_files stack address_space]],
  id = [[box_pid uid gid map_base net_bits ours]],
  seconds = [[boot_delay idle_timeout timeout boot_timeout cpu_time cpus]],
} do
  for name in names:gmatch "%S+" do M.keys[name] = kind end
end

-- Flags whose values are words.
local words = { network = "host none", tmp = "host guest", output_keep = "head tail", stderr = "stdout pipe", stdin = "open closed" }
M.words = words
local is_word = {}
for name, all in pairs(words) do
  M.keys[name], is_word[name] = "word", {}
  for word in all:gmatch "%S+" do is_word[name][word] = true end
end

local function wrong(key, what, value)
  error(("the request's %s: expected %s, got %s"):format(errors.key(key), what, errors.kind(value)), 0)
end

local find, floor, format = string.find, math.floor, string.format

local function text(key, value)
  if type(value) ~= "string" then wrong(key, "a string", value) end
  if find(value, "\0", 1, true) then error(("the request's %s: it has a NUL byte"):format(errors.key(key)), 0) end
  return value
end

local function whole(max)
  return function(key, value)
    if type(value) ~= "number" or value ~= floor(value) or value < 0 or value > max then wrong(key, "an integer of its range", value) end
    return format("%.0f", value)
  end
end

local kinds = {
  text = text,
  list = text,
  flag = function(key, value)
    if value ~= true then wrong(key, "true or false", value) end
    return "1"
  end,
  word = function(key, value)
    if not is_word[key][value] then wrong(key, "one of " .. words[key], value) end
    return value
  end,
  size = whole(2 ^ 53),
  id = whole(2 ^ 32 - 1),
  seconds = function(key, value)
    if type(value) ~= "number" or not (value >= 0 and value < math.huge) then wrong(key, "a number of 0 or more", value) end
    return value == floor(value) and value < 2 ^ 53 and format("%.0f", value) or format("%.9g", value)
  end,
}

local checks, prefixes = {}, {} -- by key
for key, kind in pairs(M.keys) do checks[key], prefixes[key] = kinds[kind], key .. "=" end

local List = {}
List.__index = List

--- Adds a key; nil and false add nothing.
-- @string key
-- @param value
function List:add(key, value)
  if not value then return end
  local check = checks[key]
  if not check then error("the request has no key " .. errors.key(key), 0) end
  if M.keys[key] ~= "list" then
    local seen = self.seen
    if seen[key] then error("the request has " .. errors.key(key) .. " already", 0) end
    seen[key] = true
  end
  self[#self + 1] = prefixes[key] .. check(key, value)
end

--- Adds the values of a list.
-- @string key
-- @tparam {string,...} values
function List:add_all(key, values)
  if M.keys[key] ~= "list" then error("the request has no list " .. errors.key(key), 0) end
  local n, prefix = #self, prefixes[key]
  for i = 1, #values do self[n + i] = prefix .. text(key, values[i]) end
end

local encoded = setmetatable({}, { __mode = "k" })

--- The same of a list that never changes: it is encoded once.
-- @string key
-- @tparam {string,...} values
function List:add_same(key, values)
  if #values == 0 then return end
  local known = encoded[values]
  if not known or known.key ~= key then
    local list = M.new()
    list:add_all(key, values)
    known = { key = key, bytes = table.concat(list, "\0") }
    encoded[values] = known
  end
  self[#self + 1] = known.bytes
end

--- Adds what another list has.
-- @string bytes of it, as `bytes` gave them
function List:add_bytes(bytes)
  if bytes ~= "" then self[#self + 1] = bytes:sub(1, -2) end
end

--- The payload of a frame.
-- @treturn string
function List:bytes()
  return #self == 0 and "" or table.concat(self, "\0") .. "\0"
end

--- A list of keys, to be filled.
-- @treturn List
function M.new()
  return setmetatable({ seen = {} }, List)
end

--- The payload of a frame for one file that is put in place.
-- @tparam table file { path=, mode=, from= }
-- @treturn string
function M.file(file)
  local mode = text("file's mode", file.mode or "666")
  if not mode:find "^[0-7]+$" then wrong("file's mode", "an octal number", mode) end
  local seen = file.seen and ("%.0f %.0f %.0f"):format(file.seen.size, file.seen.dev, file.seen.ino) or "" -- what `from` was when it was looked at
  return text("file's path", file.path) .. "\0" .. mode .. "\0" .. text("file's source", file.from or "") .. "\0" .. seen .. "\0"
end

return M
