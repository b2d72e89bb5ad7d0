-- SPDX-License-Identifier: MIT
-- Ranges of versions as npm reads them: "3.x", "^3.11", "~3.11.2", ">=3 <4", "1.2 - 1.4", "2 || >=3.1". A version is three numbers here.
local M = {}

local MAX = 256 -- characters of a range

local function less(a, b)
  for i = 1, 3 do
    if a[i] ~= b[i] then return a[i] < b[i] end
  end
  return false
end

-- "3", "3.11", "3.11.2-rc1+b", "v3.x", "*": the numbers there are, and whether it is before its release; nil: it is none.
local function partial(text)
  local core, tag = text:match "^[v=]?([%dxX*.]*)(.*)$"
  if tag ~= "" and not tag:find "^[-+][%w.+-]*$" then return nil end
  local parts, open = {}, false
  for part in (core .. "."):gmatch "([^.]*)%." do
    if part:find "^%d+$" and not open and #part < 10 and not part:find "^0%d" then
      parts[#parts + 1] = tonumber(part)
    elseif part:find "^[xX*]$" or core == "" then
      open = true
    else
      return nil
    end
  end
  if #parts > 3 then return nil end
  return parts, tag:sub(1, 1) == "-" and #parts == 3
end

local function filled(parts) return { parts[1] or 0, parts[2] or 0, parts[3] or 0 } end

-- The first version behind all that begin with the first n parts; nil: there is none.
local function behind(parts, n)
  if n == 0 or #parts == 0 then return nil end
  n = math.min(n, #parts)
  local out = { 0, 0, 0 }
  for i = 1, n do out[i] = parts[i] end
  out[n] = out[n] + 1
  return out
end

local NONE = { 0, 0, 0 }

-- One comparator as from (included) and to (excluded). What is before its release counts as if between two releases.
local bounds = {}
bounds["="] = function(p, pre)
  if pre then return NONE, NONE end
  return filled(p), behind(p, 3)
end
bounds[""] = bounds["="]
bounds[">="] = function(p) return filled(p) end
bounds[">"] = function(p, pre)
  if pre then return filled(p) end
  return behind(p, 3) or { math.huge, 0, 0 }
end
bounds["<"] = function(p) return NONE, filled(p) end
bounds["<="] = function(p, pre)
  if pre then return NONE, filled(p) end
  return NONE, behind(p, 3)
end
bounds["~"] = function(p) return filled(p), behind(p, 2) end
bounds["^"] = function(p)
  local n = 1
  while n < #p and p[n] == 0 do n = n + 1 end
  return filled(p), behind(p, n)
end
bounds["~>"] = bounds["~"]

local function meets(version, operator, text)
  local parts, pre = partial(text)
  if not parts then return false end
  local from, to = bounds[operator](parts, pre)
  return not less(version, from) and not (to and not less(version, to))
end

local function meets_all(version, set)
  local low, high = set:match "^%s*(%S+)%s+%-%s+(%S+)%s*$"
  if low then return not high:find "^=" and meets(version, ">=", low) and meets(version, "<=", high) end
  set = set:gsub("([<>=~^]+)%s+", "%1")
  for word in set:gmatch "%S+" do
    local operator = word:match "^[<>]=?" or word:match "^~>?" or word:match "^[=^]" or ""
    local text = word:sub(#operator + 1)
    if text == "" or not meets(version, operator, text) then return false end
  end
  return true
end

--- Whether a version meets a range; no range that can be read is met by none.
function M.satisfies(have, range)
  local a, b, c = have:match "^(%d+)%.(%d+)%.(%d+)"
  if not a or #range > MAX then return false end
  local version = { tonumber(a), tonumber(b), tonumber(c) }
  for set in (range .. "||"):gmatch "(.-)||" do
    if meets_all(version, set) then return true end
  end
  return false
end

return M
