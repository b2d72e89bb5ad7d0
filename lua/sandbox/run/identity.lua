-- SPDX-License-Identifier: MIT
--- Who the guest is, for programs that ask by number or name: /etc/passwd and /etc/group of `rootfs = "host"`. None of the host's
-- accounts is among them.
-- @module sandbox.run.identity
local M = {}

local NOBODY = 65534

-- A field of a line cannot hold what ends one.
local function home_of(env)
  local home
  for _, pair in ipairs(type(env) == "table" and env or {}) do
    home = type(pair) == "string" and pair:match "^HOME=(.*)$" or home
  end
  return home and home:sub(1, 1) == "/" and not home:find "[:%c]" and home or "/"
end

local function number(id) return type(id) == "number" and id or 0 end

--- The two files. No id and no name is there twice: the caller's choice of them comes first.
-- @tparam[opt] table user OCI's process.user, or a plan's
-- @tparam[opt] {string,...} env OCI's process.env
-- @treturn string passwd
-- @treturn string group
function M.files(user, env)
  user = type(user) == "table" and user or {}
  local uid, gid, home = number(user.uid), number(user.gid), home_of(env)
  local passwd = { ("root:x:0:%.0f:root:%s:/bin/sh\n"):format(uid == 0 and gid or 0, uid == 0 and home or "/root") }
  if uid ~= 0 then passwd[2] = ("sandbox:x:%.0f:%.0f:sandbox:%s:/bin/sh\n"):format(uid, gid, home) end
  if uid ~= NOBODY then passwd[#passwd + 1] = ("nobody:x:%d:%d:nobody:/nonexistent:/usr/sbin/nologin\n"):format(NOBODY, NOBODY) end
  local group, seen = {}, {}
  local function add(name, id)
    if not seen[id] then group[#group + 1] = ("%s:x:%.0f:\n"):format(name, id) end
    seen[id] = true
  end
  add("root", 0)
  add("sandbox", gid)
  add("nogroup", NOBODY)
  local more = user.additionalGids or user.groups
  for _, id in ipairs(type(more) == "table" and more or {}) do add(("group%.0f"):format(number(id)), number(id)) end
  return table.concat(passwd), table.concat(group)
end

return M
