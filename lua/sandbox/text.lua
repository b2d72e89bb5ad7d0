-- SPDX-License-Identifier: MIT
--- Strings, as the kernel and runsc will take them.
-- @module sandbox.text
local M = {}

local function tail(s, i, n, low, high)
  local b = s:byte(i + 1)
  if not b or b < low or b > high then return nil end
  for k = 2, n do
    b = s:byte(i + k)
    if not b or b < 0x80 or b > 0xBF then return nil end
  end
  return i + n + 1
end

-- The position after the character at i, or nil.
local function step(s, i)
  local b = s:byte(i)
  if b < 0x80 then return i + 1 end
  if b < 0xC2 or b > 0xF4 then return nil end
  if b < 0xE0 then return tail(s, i, 1, 0x80, 0xBF) end
  if b < 0xF0 then return tail(s, i, 2, b == 0xE0 and 0xA0 or 0x80, b == 0xED and 0x9F or 0xBF) end
  return tail(s, i, 3, b == 0xF0 and 0x90 or 0x80, b == 0xF4 and 0x8F or 0xBF)
end

--- Whether s is UTF-8: Go would silently replace what is not.
-- @string s
-- @treturn boolean
function M.is_utf8(s)
  local i = s:find("[\128-\255]")
  while i do
    i = step(s, i)
    if not i then return false end
    i = s:find("[\128-\255]", i)
  end
  return true
end

--- s with U+FFFD for every byte that is not UTF-8.
-- @string s
-- @treturn string
function M.scrub(s)
  if M.is_utf8(s) then return s end
  local out, i = {}, 1
  while i <= #s do
    local after = step(s, i)
    out[#out + 1] = after and s:sub(i, after - 1) or "\239\191\189"
    i = after or i + 1
  end
  return table.concat(out)
end

--- One line of at most 200 bytes, for tables.
-- @string s
-- @treturn string
function M.line(s)
  s = M.scrub(tostring(s)):gsub("%s+", " ")
  return #s > 200 and s:sub(1, 197):gsub("[\128-\191]*$", "") .. "..." or s
end

--- Bytes for a person: "128 MiB", "1.5 KiB", "12 bytes".
-- @number n
-- @treturn string
function M.bytes(n)
  for _, unit in ipairs{ { 2 ^ 40, "TiB" }, { 2 ^ 30, "GiB" }, { 2 ^ 20, "MiB" }, { 1024, "KiB" } } do
    if n >= unit[1] then return (("%.1f"):format(n / unit[1]):gsub("%.0$", "")) .. " " .. unit[2] end
  end
  return ("%d %s"):format(n, n == 1 and "byte" or "bytes")
end

--- "/a//b/./c/" as "/a/b/c"; nil where a component is "..".
-- @string path
-- @treturn string
function M.clean_path(path)
  local parts = {}
  for part in path:gmatch("[^/]+") do
    if part == ".." then return nil end
    if part ~= "." then parts[#parts + 1] = part end
  end
  return (path:sub(1, 1) == "/" and "/" or "") .. table.concat(parts, "/")
end

--- Whether path is dir or lies below it.
-- @string path
-- @string dir
-- @treturn boolean
function M.is_below(path, dir)
  return dir == "/" or path == dir or path:sub(1, #dir + 1) == dir .. "/"
end

--- Whether this is a name that stands for something of the host's: a volume's, a tag, what a program is called.
-- @param v
-- @int[opt=64] most bytes
-- @treturn boolean
function M.is_name(v, most)
  return type(v) == "string" and #v <= (most or 64) and v:find "^[%w_][%w_.-]*$" ~= nil
end

return M
