-- SPDX-License-Identifier: MIT
--- What this process may do, and from that the ways to make a sandbox that are worth trying: as root with ids of its own for guests, or
-- in a user namespace as an ordinary user does it ("rootless"), which root without CAP_SYS_ADMIN needs as well.
-- @module sandbox.machine.privilege
local capabilities = require "sandbox.options.capabilities"

local M = {}

local function read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read(16384)
  file:close()
  return text
end

-- A set of capabilities as the kernel writes it, in hexadecimal.
local function holds(set, name)
  local number = capabilities.number(name)
  local digit = -1 - math.floor(number / 4)
  local value = tonumber(set:sub(digit, digit), 16) or 0
  return math.floor(value / 2 ^ (number % 4)) % 2 == 1
end

local maps = {} -- by user namespace, whose map of ids is written once
local APPARMOR = "/proc/self/attr/apparmor/current"

local function look(core, reader, profile)
  local caps, no_new_privs, seccomp = core.privileges()
  local ns = core.stat "/proc/self/ns/user"
  ns = ns and ns.ino or 0
  local map = maps[ns] or reader "/proc/self/uid_map" or ""
  if ns ~= 0 and map ~= "" then maps = { [ns] = map } end
  local ids, first = 0, map:match "^%s*0%s+0%s+4294967295"
  for count in map:gmatch "%d+%s+%d+%s+(%d+)" do ids = ids + tonumber(count) end
  profile = (profile or ""):match "^[^%z\n]+"
  if profile and profile:find "^unconfined" then profile = nil end
  return {
    uid = core.getuid(), caps = caps, seccomp = seccomp, no_new_privs = no_new_privs, initial = first ~= nil or map == "", ids = ids, apparmor = profile,
    namespace = ns, has = function(name) return holds(caps, name) end,
  }
end

local known -- the last place, where nobody read for us

--- The place that this process is in.
-- @tparam table core
-- @func[opt] reader of files below /proc, for tests
-- @treturn table { uid=, caps=, seccomp=, no_new_privs=, initial=, ids=, apparmor=, namespace=, identity=, has = function(name) }, to be read
-- only: `seccomp`, a filter is in force; `initial`, no user namespace around us; `ids`, how many uids there are in it; `identity`, another
-- one as soon as the kernel takes us for somebody else, nil in tests
function M.here(core, reader)
  if reader or not core.identity then return look(core, reader or read, (reader or read)(APPARMOR)) end
  local identity = core.identity()
  local same = known and known.core == core and known.place.identity == identity
  -- A kernel without AppArmor stays so; a profile can be changed, and nothing else shows that.
  local profile = not (same and known.unconfinable) and read(APPARMOR) or nil
  if same and known.profile == profile then return known.place end
  local place = look(core, read, profile)
  place.identity = identity
  known = { core = core, place = place, profile = profile, unconfinable = profile == nil }
  return place
end

--- Whether to try it rootless, in the order of the trials. Where all is as root is used to, only root's way: that a machine was busy for
-- once shall not change whose ids its guests get.
-- @tparam table place of `here`
-- @tparam boolean|string option `rootless`
-- @treturn {boolean,...}, or nil, message, code
function M.ways(place, option)
  if option == true or option == "auto" and place.uid ~= 0 then return { true } end
  if option == false then
    if place.uid ~= 0 then return nil, "rootless = false needs root", "not_supported" end
    return { false }
  end
  if not place.has "CAP_SYS_ADMIN" then return { true } end
  if place.initial and not place.seccomp then return { false } end
  return { false, true }
end

--- By what a trial's outcome is remembered: whoever has other credentials, or is elsewhere, tries anew.
-- @tparam table place
-- @treturn string
function M.key(place)
  return ("uid%.0f %s%s%s%s ns%.0f"):format(place.uid, place.caps, place.seccomp and " seccomp" or "", place.no_new_privs and " nnp" or "",
    place.apparmor and " apparmor" or "", place.namespace)
end

return M
