-- SPDX-License-Identifier: MIT
--- JSON of strangers, read whole or not at all. Parsers differ in what they make of a key that comes twice, of a lone surrogate or
-- of a number out of range, and lua-cjson takes such things in silence; here each is an error, so that nobody can mean two things.
-- @module sandbox.options.strict_json
local errors = require "sandbox.errors"
local text = require "sandbox.text"

local M = {}

--- Stands for null, which is not the same as nothing: a key that is not known is not known with null, either.
M.null = setmetatable({}, { __tostring = function() return "null" end })

--- Bounds, for it all happens on the caller's event loop.
M.MAX_BYTES, M.MAX_DEPTH, M.MAX_VALUES = 2 * 2 ^ 20, 32, 200000

local escapes = { ['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

local function fail(at, what)
  error({ strict = ("%s at byte %d"):format(what, at) }, 0)
end

local function skip(s, at)
  return s:find("[^ \t\r\n]", at) or #s + 1
end

local function utf8_of(code)
  if code < 0x80 then return string.char(code) end
  if code < 0x800 then return string.char(0xC0 + math.floor(code / 64), 0x80 + code % 64) end
  if code < 0x10000 then return string.char(0xE0 + math.floor(code / 4096), 0x80 + math.floor(code / 64) % 64, 0x80 + code % 64) end
  return string.char(0xF0 + math.floor(code / 262144), 0x80 + math.floor(code / 4096) % 64, 0x80 + math.floor(code / 64) % 64, 0x80 + code % 64)
end

local function unit(s, at)
  local digits = s:match("^\\u(%x%x%x%x)", at)
  return digits and tonumber(digits, 16)
end

-- The character of "\uXXXX", a pair of surrogates as one, and where it ends.
local function unicode(s, at)
  local code = unit(s, at)
  if not code then fail(at, "a malformed escape") end
  if code < 0xD800 or code > 0xDFFF then return utf8_of(code), at + 6 end
  local low = code < 0xDC00 and unit(s, at + 6)
  if not low or low < 0xDC00 or low > 0xDFFF then fail(at, "half of a surrogate pair") end
  return utf8_of(0x10000 + (code - 0xD800) * 1024 + low - 0xDC00), at + 12
end

local function read_string(s, at)
  local stop = s:find('["\\%z\1-\31]', at + 1)
  if stop and s:byte(stop) == 34 then return s:sub(at + 1, stop - 1), stop + 1 end
  local parts, from = {}, at + 1
  while stop do
    parts[#parts + 1] = s:sub(from, stop - 1)
    local c = s:byte(stop)
    if c == 34 then return table.concat(parts), stop + 1 end
    if c ~= 92 then fail(stop, "a control character in a string") end
    local plain = escapes[s:sub(stop + 1, stop + 1)]
    if plain then
      parts[#parts + 1], from = plain, stop + 2
    else
      parts[#parts + 1], from = unicode(s, stop)
    end
    stop = s:find('["\\%z\1-\31]', from)
  end
  fail(at, "a string without an end")
end

local function read_number(s, at)
  local whole = s:match("^-?[1-9]%d*", at) or s:match("^-?0", at)
  if not whole then fail(at, "what is no value") end
  local stop = at + #whole
  local fraction = s:match("^%.%d+", stop) or ""
  stop = stop + #fraction
  local exponent = s:match("^[eE][+-]?%d+", stop) or ""
  stop = stop + #exponent
  local n = stop - at <= 64 and tonumber(whole .. fraction .. exponent)
  if not n or n - n ~= 0 then fail(at, "a number out of range") end
  return n, stop
end

local words = { t = { "true", true }, f = { "false", false }, n = { "null", M.null } }
local read_value

local function read_list(s, at, state)
  local list, n = setmetatable({}, state.list), 0
  at = skip(s, at + 1)
  if s:byte(at) == 93 then return list, at + 1 end
  while true do
    n = n + 1
    list[n], at = read_value(s, at, state)
    at = skip(s, at)
    local c = s:byte(at)
    if c == 93 then return list, at + 1 end
    if c ~= 44 then fail(at, "no ',' or ']'") end
    at = skip(s, at + 1)
  end
end

local function read_object(s, at, state)
  local object = {}
  at = skip(s, at + 1)
  if s:byte(at) == 125 then return object, at + 1 end
  while true do
    if s:byte(at) ~= 34 then fail(at, "what is no key") end
    local key, stop = read_string(s, at)
    if object[key] ~= nil then fail(at, ("the key %s a second time"):format(errors.key(key))) end
    at = skip(s, stop)
    if s:byte(at) ~= 58 then fail(at, "no ':'") end
    object[key], at = read_value(s, skip(s, at + 1), state)
    at = skip(s, at)
    local c = s:byte(at)
    if c == 125 then return object, at + 1 end
    if c ~= 44 then fail(at, "no ',' or '}'") end
    at = skip(s, at + 1)
  end
end

local function read_nested(read, s, at, state)
  state.depth = state.depth + 1
  if state.depth > M.MAX_DEPTH then fail(at, ("more than %d levels"):format(M.MAX_DEPTH)) end
  local value, stop = read(s, at, state)
  state.depth = state.depth - 1
  return value, stop
end

function read_value(s, at, state)
  state.values = state.values + 1
  if state.values > M.MAX_VALUES then fail(at, ("more than %d values"):format(M.MAX_VALUES)) end
  local c = s:sub(at, at)
  local value, stop
  if c == "{" then
    value, stop = read_nested(read_object, s, at, state)
  elseif c == "[" then
    value, stop = read_nested(read_list, s, at, state)
  elseif c == '"' then
    value, stop = read_string(s, at)
  elseif words[c] then
    local word = words[c]
    if s:sub(at, at + #word[1] - 1) ~= word[1] then fail(at, "what is no value") end
    value, stop = word[2], at + #word[1]
  else
    value, stop = read_number(s, at)
  end
  return value, stop
end

--- Reads a text.
-- @string s
-- @tparam[opt] table list the metatable of lists, for those to whom [] and {} are not the same
-- @return the value, with `null` for null; or nil and what is wrong where. Objects have strings as keys, lists numbers.
function M.decode(s, list)
  if #s > M.MAX_BYTES then return nil, "more than " .. text.bytes(M.MAX_BYTES) end
  if not text.is_utf8(s) then return nil, "what is no UTF-8" end
  local ok, value = pcall(function()
    local at = skip(s, 1)
    local value, stop = read_value(s, at, { depth = 0, values = 0, list = list })
    stop = skip(s, stop)
    if stop <= #s then fail(stop, "something after the end") end
    return value
  end)
  if ok then return value end
  if type(value) ~= "table" or not value.strict then error(value, 0) end
  return nil, value.strict
end

return M
