-- SPDX-License-Identifier: MIT
--- What an image says of the programs in it (image-spec: config.md): Env, WorkingDir, User, Entrypoint, Cmd, as options of a run. A stranger
-- wrote it.
-- @module sandbox.image.config
local errors = require "sandbox.errors"
local text = require "sandbox.text"

local M = {}

local MAX_ID, MAX_GROUPS, MAX_WORDS = 65535, 64, 100000

local function is_word(v) return type(v) == "string" and not v:find "%z" and text.is_utf8(v) end

local function words(v)
  local out = {}
  if type(v) ~= "table" then return out end
  for i = 1, math.min(#v, MAX_WORDS) do
    if not is_word(v[i]) then return nil end
    out[i] = v[i]
  end
  return out
end

-- The line of an account by name or number: its fields.
local function account(file, who)
  for line in file:gmatch "[^\n]+" do
    local fields = {}
    for field in (line .. ":"):gmatch "([^:]*):" do fields[#fields + 1] = field end
    if fields[1] == who or fields[3] == who then return fields end
  end
end

local function id_of(word)
  local id = word and word:find "^%d+$" and tonumber(word)
  return id and id <= MAX_ID and id or nil
end

-- Of whom the name is a member.
local function groups_of(file, name, gid)
  local out = {}
  for line in file:gmatch "[^\n]+" do
    local id, members = line:match "^[^:]*:[^:]*:(%d+):(.*)$"
    id = id_of(id)
    if id and id ~= gid and #out < MAX_GROUPS and ("," .. members .. ","):find("," .. name .. ",", 1, true) then out[#out + 1] = id end
  end
  return out
end

--- Who `User` is: "name", "uid", and either with ":group" or ":gid".
-- @string user
-- @string passwd the image's /etc/passwd
-- @string group and /etc/group
-- @treturn table { uid=, gid=, groups= }, or nil and a message
function M.user(user, passwd, group)
  local who, whose = user:match "^([^:]*):?(.*)$"
  local entry = account(passwd, who)
  local uid = id_of(who) or entry and id_of(entry[3])
  if not uid then return nil, ("its User is %s, whom its /etc/passwd does not name, or an id above %d"):format(errors.show(who), MAX_ID) end
  local gid
  if whose ~= "" then
    local named = account(group, whose)
    gid = id_of(whose) or named and id_of(named[3])
    if not gid then return nil, ("its User's group is %s, which its /etc/group does not name, or an id above %d"):format(errors.show(whose), MAX_ID) end
    return { uid = uid, gid = gid, groups = {} }
  end
  gid = entry and id_of(entry[4]) or 0
  return { uid = uid, gid = gid, groups = entry and groups_of(group, entry[1], gid) or {} }
end

--- The options that an image has.
-- @tparam table image its configuration as JSON says it
-- @string passwd
-- @string group
-- @treturn table { argv=, env=, cwd=, user= }, or nil and a message
function M.options(image, passwd, group)
  local config = type(image) == "table" and type(image.config) == "table" and image.config or {}
  local out = { env = {} }
  local entrypoint, cmd, env = words(config.Entrypoint), words(config.Cmd), words(config.Env)
  if not entrypoint or not cmd or not env then return nil, "its configuration has strings that are none" end
  out.argv = entrypoint
  for _, word in ipairs(cmd) do out.argv[#out.argv + 1] = word end
  for _, pair in ipairs(env) do
    local name, value = pair:match "^([^=]+)=(.*)$"
    if name then out.env[name] = value end
  end
  if is_word(config.WorkingDir) and config.WorkingDir ~= "" then
    out.cwd = config.WorkingDir:sub(1, 1) == "/" and text.clean_path(config.WorkingDir)
    if not out.cwd then return nil, "its WorkingDir is no absolute path" end
  end
  if is_word(config.User) and config.User ~= "" then
    local message
    out.user, message = M.user(config.User, passwd, group)
    if not out.user then return nil, message end
  end
  return out
end

return M
