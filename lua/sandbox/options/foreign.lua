-- SPDX-License-Identifier: MIT
--- Kinds of values in JSON that a stranger wrote. Each takes a value, its name and the reading it belongs to, and gives what is to be
-- written, or nil for nothing; or it refuses.
-- @module sandbox.options.foreign
local errors = require "sandbox.errors"
local strict = require "sandbox.options.strict_json"
local text = require "sandbox.text"

local M = {}

local MAX_STRING = 8 * 2 ^ 20

--- Refuses what was read, in words for the caller; any other error is ours.
-- @string where the name of the value
-- @string why
function M.refuse(where, why)
  error({ refusal = ("%s: %s"):format(where == "" and "the spec" or where, why) }, 0)
end

--- The name of a field.
-- @string where
-- @string key
-- @treturn string
function M.below(where, key)
  return where == "" and key or where .. "." .. key
end


--- Whether a value is a number without a fraction, and finite.
function M.is_integer(v)
  return type(v) == "number" and v == math.floor(v) and v - v == 0
end

--- A string in UTF-8, without NUL.
-- @string[opt] pattern that it is to fit
-- @string what it is, for a message
-- @int[opt] max bytes
-- @treturn function a kind
function M.text_of(pattern, what, max)
  return function(v, where)
    -- What was read is not shown: argv and env hold secrets.
    if type(v) ~= "string" then M.refuse(where, ("expected %s, got a %s"):format(what, type(v))) end
    if v:find("\0", 1, true) then M.refuse(where, "it has a NUL byte") end
    if not text.is_utf8(v) then M.refuse(where, "it is no UTF-8") end
    if #v > (max or MAX_STRING) then M.refuse(where, ("expected %s of at most %d bytes"):format(what, max or MAX_STRING)) end
    if pattern and not v:find(pattern) then M.refuse(where, "expected " .. what) end
    return v
  end
end

--- An integer of a range.
-- @int min
-- @int max
-- @treturn function a kind
function M.integer(min, max)
  return function(v, where)
    if not M.is_integer(v) or v < min or v > max then M.refuse(where, ("expected an integer from %.0f to %.0f"):format(min, max)) end
    return math.tointeger and math.tointeger(v) or v
  end
end

--- true or false: a kind.
function M.boolean(v, where)
  if type(v) ~= "boolean" then M.refuse(where, "expected true or false") end
  return v
end

--- One of some words.
-- @string words
-- @treturn function a kind
function M.one_of(words)
  local list, set = {}, {}
  for word in words:gmatch("%S+") do
    list[#list + 1] = word
    set[word] = true
  end
  return function(v, where)
    if type(v) ~= "string" or not set[v] then M.refuse(where, "expected one of " .. table.concat(list, ", ")) end
    return v
  end
end

--- A list without holes.
-- @func kind of its items
-- @int max how many
-- @treturn function a kind
function M.list(kind, max)
  return function(v, where, reading)
    if type(v) ~= "table" then M.refuse(where, "expected a list, got a " .. type(v)) end
    local n, out = 0, {}
    for k in next, v do
      if not M.is_integer(k) or k < 1 then M.refuse(where, "expected a list, got the key " .. errors.key(k)) end
      n = n + 1
      if n > max then M.refuse(where, ("expected at most %d"):format(max)) end
    end
    for i = 1, n do
      local at = ("%s[%d]"):format(where, i)
      local value = rawget(v, i)
      if value == nil or value == strict.null then M.refuse(at, "expected a value, got null") end
      out[i] = kind(value, at, reading)
    end
    return out
  end
end

local function known(rows, key)
  if type(key) ~= "string" then return nil end
  for name in pairs(rows) do
    if name:lower() == key:lower() then return name end
  end
end

--- An object with exactly these keys.
-- @tparam table rows the kind of each key; "!" before a name: it must be there
-- @treturn function a kind
function M.object(rows)
  local kinds, needed = {}, {}
  for name, kind in pairs(rows) do
    local plain = name:gsub("^!", "")
    kinds[plain] = kind
    if plain ~= name then needed[#needed + 1] = plain end
  end
  table.sort(needed)
  return function(v, where, reading)
    if type(v) ~= "table" then M.refuse(where, "expected an object, got a " .. type(v)) end
    local out, keys = {}, {}
    for key in next, v do
      if type(key) ~= "string" or not kinds[key] then
        local name = known(kinds, key)
        M.refuse(M.below(where, errors.key(key)), name and "its name is written " .. name or "no such key is taken")
      end
      keys[#keys + 1] = key
    end
    table.sort(keys)
    for _, key in ipairs(keys) do
      local value = rawget(v, key)
      if value ~= strict.null then out[key] = kinds[key](value, M.below(where, key), reading) end
    end
    for _, name in ipairs(needed) do
      if out[name] == nil then M.refuse(M.below(where, name), "it is missing") end
    end
    return out
  end
end

--- Read, so that it is what it should be, and left out.
-- @func kind
-- @treturn function a kind
function M.dropped(kind)
  return function(v, where, reading) kind(v, where, reading) end
end

--- Refused, unless it asks for nothing.
-- @string why
-- @treturn function a kind
function M.refused(why)
  return function(v, where)
    -- Written out as empty it asks for nothing.
    if v == "" or type(v) == "table" and next(v) == nil then return nil end
    M.refuse(where, why)
  end
end

return M
