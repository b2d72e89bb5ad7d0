-- SPDX-License-Identifier: MIT
--- Where images are kept (src/image/img_store.h has its layout), read: what changes it is sandbox-image's.
-- @module sandbox.image.store
local json = require "sandbox.json"
local reference = require "sandbox.image.reference"
local values = require "sandbox.options.values"

local M = {}

local MOST = 4 * 2 ^ 20 -- bytes of a file of it

local function absolute(path) return path and path:sub(1, 1) == "/" and path or nil end

--- The directory: the option, or the usual one of whoever we are.
-- @tparam table core
-- @string[opt] option
-- @treturn string
function M.dir(core, option)
  if option then return option end
  if core.getuid() == 0 then return "/var/cache/lua-sandbox/images" end
  local cache, home = absolute(core.getenv_secure "XDG_CACHE_HOME"), absolute(core.getenv_secure "HOME")
  local st = home and core.stat(home)
  if cache or st and st.uid == core.getuid() then return (cache or home .. "/.cache") .. "/lua-sandbox/images" end
  return ("/var/tmp/lua-sandbox-%d-images"):format(core.getuid())
end

local function read(core, path)
  local reader = core.reader(path, true)
  if not reader then return nil end
  local parts, size = {}, 0
  local piece = reader:read(65536)
  while piece and size <= MOST do
    parts[#parts + 1], size = piece, size + #piece
    piece = reader:read(65536)
  end
  reader:close()
  return table.concat(parts)
end

local function read_json(core, path)
  local value = json.decode(read(core, path) or "")
  return type(value) == "table" and value or nil
end

--- What a source of this host is now: another string when it is another. Of a registry nobody asks before somebody says so.
-- @tparam table core
-- @tparam table ref
-- @treturn string
function M.stamp(core, ref) return ref.file and core.stamp(ref.file) or "" end

--- An image that is kept.
-- @tparam table core
-- @string dir
-- @string key
-- @treturn table { key=, dir =, rootfs = }, or nil
function M.kept(core, dir, key)
  if type(key) ~= "string" or not key:find "^%x+%-%w+$" then return nil end
  local path = dir .. "/images/" .. key
  local st = core.lstat(path)
  return st and st.type == "directory" and { key = key, dir = path, rootfs = path .. "/rootfs" } or nil
end

--- What a name stands for, as long as its source is what it was.
-- @tparam table core
-- @string dir
-- @tparam table ref
-- @string ids whose the files are, as the end of a key
-- @treturn table as of `kept`, or nil
function M.look(core, dir, ref, ids)
  local st = core.lstat(dir) -- sandbox-image looks as well, and has the words
  if not st or st.uid ~= core.getuid() then return nil end
  local record = read_json(core, dir .. "/refs/" .. reference.record(ref.text))
  if not record or record.reference ~= ref.text or record.stamp ~= M.stamp(core, ref) then return nil end
  return tostring(record.key):match "%-(%w+)$" == ids and M.kept(core, dir, record.key) or nil
end

local options, MANY, known = {}, 100, 0

--- What an image says of its programs, as options; remembered, for an image never changes.
-- @tparam table core
-- @tparam table image of `kept`
-- @treturn table, or nil and a message
function M.options(core, image)
  local found = options[image.dir]
  if found then return found end
  local message
  found, message = require("sandbox.image.config").options(read_json(core, image.dir .. "/config.json"), read(core, image.dir .. "/passwd") or "",
                                                           read(core, image.dir .. "/group") or "")
  if not found then return nil, message end
  if known >= MANY then options, known = {}, 0 end
  options[image.dir], known = found, known + 1
  return found
end

--- The directory of the image whose root this is, or nil.
-- @string dir of images
-- @string rootfs
-- @treturn string
function M.owner(dir, rootfs)
  local path = rootfs:match "^(.*/images/%x+%-%w+)/rootfs$"
  return path and path:sub(1, #dir + 1) == dir .. "/" and path or nil
end

--- All that is known of an image.
-- @tparam table core
-- @tparam table image of `kept`
-- @tparam {string,...} references
-- @treturn table
function M.describe(core, image, references)
  local info, st = read_json(core, image.dir .. "/info.json") or {}, core.lstat(image.dir)
  local out = { digest = "sha256:" .. image.key:match "^%x+", references = references, last_used = st and st.mtime or 0, rootfs = image.rootfs, key = image.key }
  for _, name in ipairs{ "bytes", "files", "layers", "devices" } do out[name] = values.integer(math.floor(tonumber(info[name]) or 0)) end
  return out
end

--- All images, the last used first.
-- @tparam table core
-- @string dir
-- @treturn {table,...}
function M.list(core, dir)
  local names, out = {}, {}
  for _, name in ipairs(core.readdir(dir .. "/refs") or {}) do
    local record = read_json(core, dir .. "/refs/" .. name)
    if record and type(record.key) == "string" then
      names[record.key] = names[record.key] or {}
      table.insert(names[record.key], record.reference)
    end
  end
  for _, key in ipairs(core.readdir(dir .. "/images") or {}) do
    local image = M.kept(core, dir, key)
    if image then
      table.sort(names[key] or {})
      out[#out + 1] = M.describe(core, image, names[key] or {})
    end
  end
  table.sort(out, function(a, b)
    if a.last_used ~= b.last_used then return a.last_used > b.last_used end
    return a.key < b.key
  end)
  return out
end

return M
