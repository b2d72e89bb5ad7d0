-- SPDX-License-Identifier: MIT
--- Whether a runsc may be run: it, the programs that it starts from a folder beside it, and the directories that lead to them must be
-- such that nobody can put another in their place but root and the caller.
-- @module sandbox.machine.trust
local kept = require "sandbox.machine.kept"
local privilege = require "sandbox.machine.privilege"

local M = {}

--- The folder of an official release's other programs, which must lie beside runsc since release-20260831 (runsc/gvisorbinaries).
M.FOLDER = "gvisor-bin"

local WHOLE = "unpack gVisor's whole archive, runsc and " .. M.FOLDER .. " of one release, into one directory of root's"
-- What such a folder may hold: it is looked through at each start.
local MANY = 64

local function bit(mode, value) return math.floor(mode / value) % 2 == 1 end

local OVERFLOW = 65534 -- /proc/sys/fs/overflowuid: whoever has no id in a user namespace, the host's root among them

local function of_stranger(core, uid)
  if uid == 0 or uid == core.getuid() then return false end
  -- There it is nobody whom this namespace could give the file to, and whose it is cannot be told: its mode alone is judged.
  return uid ~= OVERFLOW or privilege.here(core).initial
end

local function wrong_owner(core, st, what)
  if not of_stranger(core, st.uid) then return nil end
  return ("%s belongs to uid %d, neither root nor you"):format(what, st.uid)
end

-- What is wrong with the directories above a path, up to the root; nil where nothing is. `seen`: the paths that were looked at.
local function wrong_way(core, real, seen)
  local path, nearest = real, true
  repeat
    path = path:match "^(.*)/[^/]*$"
    local st = path and core.stat(path .. "/")
    seen[#seen + 1] = path == "" and "/" or path
    if st then
      local what = nearest and "its directory" or "the directory " .. path .. "/"
      if bit(st.mode, 2) and not bit(st.mode, 512) then return nearest and "everybody may write its directory" or "everybody may write " .. path .. "/" end
      local why = wrong_owner(core, st, what)
      if why then return why end
    end
    nearest = false
  until not path or path == ""
  return nil
end

local function wrong_file(core, real, seen)
  local st = core.stat(real)
  seen[#seen + 1] = real
  if not st then return "it is not there" end
  if st.type ~= "file" then return "it is no regular file" end
  local why = wrong_owner(core, st, "it")
  if why then return why end
  if bit(st.mode, 2) then return "everybody may write it" end
  return wrong_way(core, real, seen) or not core.access_x(real) and "it is not executable" or nil
end

-- What is wrong with the folder; nil and how many programs it has, where there is one.
local function look_into(core, folder, seen)
  if not core.lstat(folder) then return nil, nil end
  seen[#seen + 1] = folder
  local st, names = core.stat(folder), core.readdir(folder)
  if not st or not names or #names > MANY then return folder .. " cannot be read, or holds more than an installation does" end
  if bit(st.mode, 2) then return "everybody may write " .. folder end
  local why = wrong_owner(core, st, folder)
  if why then return why end
  for _, name in ipairs(names) do
    local path = folder .. "/" .. name
    why = wrong_file(core, core.realpath(path) or path, seen)
    if why then return ("of %s: %s"):format(path, why) end
  end
  return nil, #names
end

local function judge(core, path, hint)
  local real, seen = core.realpath(path), { path }
  local st = real and core.stat(real)
  if not st then return nil, "runsc: there is no " .. path .. "; " .. hint, "runsc_missing" end
  local why, sidecars = wrong_file(core, real, seen), nil
  if not why then why, sidecars = look_into(core, real:match "^(.*)/[^/]*$" .. "/" .. M.FOLDER, seen) end
  if why then return nil, ("runsc: %s is refused: %s"):format(real, why), "runsc_missing" end
  return { path = real, stat = st, sidecars = sidecars }, seen
end

local judged = setmetatable({}, { __mode = "k" }) -- by core, for tests have others

--- Judges a binary. One that was found good stays so as long as all that was looked at is the same, and we are who we were.
-- @tparam table core
-- @string path
-- @string hint what to do where there is none
-- @tparam[opt] table place of `privilege.here`, where it is known
-- @treturn table { path = the real path, stat = …, sidecars = how many programs are in its folder, nil: there is no folder }, to be read
-- only; or nil, message, "runsc_missing"
function M.judge(core, path, hint, place)
  local who = place and place.identity or core.identity and core.identity()
  if not judged[core] or judged[core].who ~= who then judged[core] = { who = who, store = {} } end
  local found, message, code = kept.get(core, judged[core].store, path, function()
    local value, seen, kind = judge(core, path, hint)
    return value, seen, kind
  end)
  return found, message, code
end

--- Whether it is a page of the web: what is at an address that has no binary any more was often installed as one.
-- @tparam table core
-- @string path
-- @treturn string message, or nil
function M.is_page(core, path)
  local reader = core.reader(path, true)
  if not reader then return nil end
  local head = reader:read(64) or ""
  reader:close()
  local first = head:match "^%s*(<[%w?!][^>%c]*)"
  return first and ("runsc: %s is no program but a page of XML or HTML, which begins with %s>: the address that it was fetched from has no runsc; %s"):format(
    path, first, WHOLE) or nil
end

--- What to do about a failed boot where the folder is to blame, by runsc's own words.
-- @string message
-- @treturn string or nil
function M.remedy(message)
  if message:find("does not match the expected release", 1, true) or message:find("sidecar", 1, true) then return WHOLE end
end

--- What a build that has such programs should be told of; nil where it is whole, or has none.
-- @tparam table found of `judge`
-- @tparam table flags of the build
-- @treturn string what is wrong
-- @treturn string remedy
function M.lacks(found, flags)
  if not flags["sidecar-usage-policy"] or found.sidecars and found.sidecars > 0 then return nil end
  return ("%s has no programs in %s beside it: it starts slowly, and releases from the end of 2026 on do not start"):format(found.path, M.FOLDER), WHOLE
end

return M
