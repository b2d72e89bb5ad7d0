-- SPDX-License-Identifier: MIT
--- Which ids of the host stand for those of guests, as root: ids that nobody has, for who has them may kill what runs as them, and
-- own what it leaves.
-- @module sandbox.machine.uids
local M = {}

--- How many there are.
M.SIZE = 65536

-- 1879048192 to 2147352575 are nobody's by systemd's plan (https://systemd.io/UIDS-GIDS), and there are 4094 places among them.
M.FIRST = 1879048192
local LAST = 2147352575

local function read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read "*a"
  file:close()
  return text
end

-- Numbers at some column of lines "name:a:b": of a range its start and its size.
local sources = {
  { path = "/etc/subuid", pattern = "^([^:]*):(%d+):(%d+)" },
  { path = "/etc/subgid", pattern = "^([^:]*):(%d+):(%d+)" },
  { path = "/etc/passwd", pattern = "^([^:]*):[^:]*:(%d+)" },
  { path = "/etc/group", pattern = "^([^:]*):[^:]*:(%d+)" },
}

--- The ids that somebody has, as ranges.
-- @func[opt] reader of a file, for tests
-- @treturn {{first=,last=,who=,path=},...}
function M.taken(reader)
  local list = {}
  for _, source in ipairs(sources) do
    for line in ((reader or read)(source.path) or ""):gmatch "[^\n]+" do
      local who, first, size = line:match(source.pattern)
      if first then
        first, size = tonumber(first), tonumber(size or 1)
        if size > 0 then list[#list + 1] = { first = first, last = first + size - 1, who = who, path = source.path } end
      end
    end
  end
  return list
end

--- Who has some of the ids from this one on.
-- @int base
-- @tparam table taken of `taken`
-- @treturn table a range, or nil
function M.owner(base, taken)
  for _, range in ipairs(taken) do
    if range.first <= base + M.SIZE - 1 and range.last >= base then return range end
  end
end

-- The ids that there are in this user namespace: a container's root may have few of them.
local function mapped(base, text)
  for inside, count in (text or ""):gmatch "(%d+)%s+%d+%s+(%d+)" do
    if base >= tonumber(inside) and base + M.SIZE <= tonumber(inside) + tonumber(count) then return true end
  end
  return text == nil
end

--- The first of the ids for guests: what was remembered, as long as nobody has got it, else a place that is free.
-- @int[opt] remembered
-- @func[opt] reader
-- @treturn integer, or nil and a message
function M.choose(remembered, reader)
  reader = reader or read
  local taken, map = M.taken(reader), reader "/proc/self/uid_map"
  local function free(base) return mapped(base, map) and not M.owner(base, taken) end
  if remembered and free(remembered) then return remembered end
  for base = M.FIRST, LAST - M.SIZE + 1, M.SIZE do
    if free(base) then return base end
    if not mapped(base, map) then break end
  end
  for inside, count in (map or ""):gmatch "(%d+)%s+%d+%s+(%d+)" do -- the last that there are
    local base = tonumber(inside) + tonumber(count) - M.SIZE
    while base >= tonumber(inside) and base >= M.SIZE do
      if free(base) then return base end
      base = base - M.SIZE
    end
  end
  return nil, "there are no 65536 ids in a row that are nobody's (/etc/subuid, /etc/subgid, /etc/passwd, /etc/group, /proc/self/uid_map) for"
    .. " guests: set the option map_base, or rootless = true"
end

return M
