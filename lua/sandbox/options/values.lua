-- SPDX-License-Identifier: MIT
--- Plain parts of what options hold: strings, paths, tables, lists. Each check gives the value, or raises `errors.bad`.
-- @module sandbox.options.values
local errors = require "sandbox.errors"
local text = require "sandbox.text"

local bad, floor = errors.bad, math.floor
local M = {}

--- stat, taken from the core on first use; a test may put its own here.
function M.stat(path)
  local core = require "sandbox.core"
  local st, message, name = core.stat(path)
  return st, message, name
end

--- Whether a value is a number without a fraction, and finite.
function M.is_integer(v)
  return type(v) == "number" and v == floor(v) and v - v == 0
end

--- An integer where there are such: 5.3 and later tell 65534 from 65534.0 when printing.
function M.integer(v)
  return math.tointeger and math.tointeger(v) or v
end

--- A string that runsc takes: UTF-8, without NUL.
function M.string(where, v, what)
  if type(v) ~= "string" then bad(where, "expected " .. what, v) end
  if v:find("\0", 1, true) then bad(where, "expected " .. what .. " without a NUL byte", v) end
  if not text.is_utf8(v) then bad(where, "expected " .. what .. " in UTF-8", v) end
  return v
end

--- The same where the value may be a secret: what is shown of it is its type.
function M.secret(where, v, what)
  if type(v) ~= "string" then bad(where, ("expected %s, got %s"):format(what, errors.kind(v))) end
  if v:find("\0", 1, true) then bad(where, "expected " .. what .. " without a NUL byte") end
  if not text.is_utf8(v) then bad(where, "expected " .. what .. " in UTF-8") end
  return v
end

--- An absolute path, cleaned of "//" and ".".
function M.path(where, v, what)
  what = what or "an absolute path"
  M.string(where, v, what)
  if v:sub(1, 1) ~= "/" then bad(where, "expected " .. what, v) end
  if #v > 4000 then bad(where, "expected " .. what .. " of at most 4000 bytes", v) end
  local clean = text.clean_path(v)
  if not clean then bad(where, "expected " .. what .. ' without ".."', v) end
  return clean
end

--- A plain table. One that pretends to have other keys than it has would be read differently here, there and on another Lua.
function M.table(where, v, what)
  if type(v) ~= "table" then bad(where, "expected " .. what, v) end
  local mt = debug and debug.getmetatable(v) or getmetatable(v)
  if type(mt) == "table" and (rawget(mt, "__pairs") ~= nil or rawget(mt, "__len") ~= nil) then
    bad(where, "expected " .. what .. ", a plain one: it has __pairs or __len")
  end
  return v
end

--- Keys in order; those that are no strings last, as they come.
function M.sorted_keys(t)
  local keys, others = {}, {}
  for k in next, t do
    local list = type(k) == "string" and keys or others
    list[#list + 1] = k
  end
  table.sort(keys)
  for _, k in ipairs(others) do keys[#keys + 1] = k end
  return keys
end

--- The first key that is none of `known`, or nil. `list`: there may be an array part.
function M.foreign_key(t, known, list)
  local first
  for k in next, t do
    local kind = type(k)
    if not known[k] and not (list and kind == "number" and k >= 1 and k < 2 ^ 53 and k == floor(k)) and
       (first == nil or kind == "string" and (type(first) ~= "string" or k < first)) then
      first = k
    end
  end
  return first
end

--- The length of a list without holes and without other keys (beyond those of `named`), of at most `most`.
function M.list(where, t, what, named, most)
  M.table(where, t, what)
  local n, highest = 0, 0
  for k in next, t do
    if M.is_integer(k) and k >= 1 then
      n = n + 1
      if k > highest then highest = k end
      if most and n > most then bad(where, ("expected %s, at most %d"):format(what, most)) end
    elseif not named then
      bad(where, "expected " .. what .. ", got the key " .. errors.show(k))
    end
  end
  if n ~= highest then
    local hole = 1
    while rawget(t, hole) ~= nil do hole = hole + 1 end
    bad(where, ("expected %s without holes, got nil at %d"):format(what, hole))
  end
  return n
end

--- Strings of a command line, copied. They are looked at all together, for there may be a hundred thousand of them.
function M.strings(where, t, what, named)
  local out = {}
  for i = 1, M.list(where, t, what, named) do
    local v = rawget(t, i)
    if type(v) ~= "string" then bad(("%s[%d]"):format(where, i), "expected a string", v) end
    out[i] = v
  end
  local all = table.concat(out, "\1")
  if all:find("\0", 1, true) or not text.is_utf8(all) then
    for i, v in ipairs(out) do M.secret(("%s[%d]"):format(where, i), v, "a string") end
  end
  return out
end

local reserved = { "/proc", "/sys", "/dev" }

--- The directory of gVisor's own that a path of the guest lies in, or nil.
-- @string path
-- @treturn string
function M.reserved(path)
  for _, dir in ipairs(reserved) do
    if text.is_below(path, dir) then return dir end
  end
end

return M
