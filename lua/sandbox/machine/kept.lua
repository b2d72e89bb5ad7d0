-- SPDX-License-Identifier: MIT
--- What was made of the host's files, kept as long as they are the same: by inode and time of change, which owner, mode and content share.
-- @module sandbox.machine.kept
local M = {}

local unpack = rawget(table, "unpack") or rawget(_G, "unpack")

-- What has just changed may do so again within the same tick of the clock that its time is from.
local TICK = 2

-- What is there of the paths, and the directories that they are or would be in: what comes, goes or is another file there changes those.
local function watched(core, paths)
  local list, seen = {}, {}
  local function add(path)
    if not seen[path] then list[#list + 1] = path end
    seen[path] = true
  end
  for _, path in ipairs(paths) do
    if core.kind(path, true) then add(path) end
    local above = path:match "^(.*)/[^/]+$"
    if above then add(above == "" and "/" or above) end
  end
  return list
end

--- Makes a value, or gives the one that was made last.
-- @tparam table core one without `stamp`, of tests: it is made each time
-- @tparam table store of the caller's, by key
-- @string key
-- @func make function() → value, and the paths that it was made of; nil, … is not kept
-- @return what make gave
function M.get(core, store, key, make)
  local known = store[key]
  if known and core.stamp(unpack(known.paths)) == known.stamp then return known.value end
  store[key] = nil
  local value, paths, more = make()
  if value == nil or not core.stamp then return value, paths, more end
  paths = watched(core, paths)
  local stamp, newest = core.stamp(unpack(paths))
  if os.time() - newest > TICK then store[key] = { paths = paths, stamp = stamp, value = value } end
  return value
end

return M
