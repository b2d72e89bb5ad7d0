-- SPDX-License-Identifier: MIT
--- JSON by lua-cjson, an instance of our own, so that nobody's settings are changed; Neovim brings its own copy.
-- @module sandbox.json
local M = {}

-- Debian's lua-cjson prints numbers with %.14g: from 1e14 on as floats, which runsc does not take for an integer.
local MAX_INTEGER = 99999999999999

local codec
local function get()
  if codec then return codec end
  local vim = rawget(_G, "vim")
  if vim and vim.json then
    -- Never cjson.so there: the editor exports functions of the same names, of another version, which it would call.
    codec = vim.json
    return codec
  end
  local ok, cjson = pcall(require, "cjson")
  if not ok then error("sandbox needs lua-cjson: " .. tostring(cjson), 0) end
  codec = cjson.new and cjson.new() or cjson
  return codec
end

--- Encodes a value; raises for what JSON cannot say.
-- @param value
-- @treturn string
function M.encode(value)
  local text = get().encode(value)
  return text
end

--- Decodes a text.
-- @string text
-- @return the value, or nil and a message
function M.decode(text)
  local ok, value = pcall(get().decode, text)
  if ok then return value end
  return nil, tostring(value)
end

-- Empty tables go: lua-cjson writes {} for each, which runsc refuses where it wants a list, and absent means the same.
local function prune(value, depth)
  local kind = type(value)
  if kind == "number" then
    if value > MAX_INTEGER then return MAX_INTEGER end
    return value
  elseif kind == "userdata" then
    return nil -- JSON's null
  elseif kind ~= "table" then
    return value
  end
  if depth > 100 then error("the OCI spec is nested too deeply", 0) end
  local out, n = {}, #value
  if n > 0 then
    for i = 1, n do out[#out + 1] = prune(value[i], depth + 1) end
  else
    for k, v in pairs(value) do out[k] = prune(v, depth + 1) end
  end
  if next(out) == nil then return nil end
  return out
end

--- Encodes an OCI spec so that runsc can read it.
-- @tparam table spec
-- @treturn string
function M.encode_spec(spec)
  return M.encode(prune(spec, 0) or {})
end

--- A copy with nothing in it that is empty or null.
-- @tparam table spec
-- @treturn table
function M.prune(spec)
  return prune(spec, 0) or {}
end

return M
