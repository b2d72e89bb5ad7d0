-- SPDX-License-Identifier: MIT
--- The kinds of a fleet's options, as in `kinds.lua`.
-- @module sandbox.options.fleet_kinds
local errors = require "sandbox.errors"
local values = require "sandbox.options.values"

local bad = errors.bad
local M = {}

function M.redis(where, v)
  local address = require("sandbox.fleet.broker").address(v)
  if not address then bad(where, 'expected an address such as "redis://:PASSWORD@127.0.0.1:6379/0", got ' .. errors.kind(v)) end
  return v
end

function M.fleet_queue(where, v)
  if type(v) ~= "string" or #v > 64 or not v:find "^[%w_.-]+$" then bad(where, "expected a name of at most 64 letters, digits, '_', '.' and '-'", v) end
  return v
end

function M.job_key(where, v)
  if type(v) ~= "string" or v == "" or #v > 256 then bad(where, "expected a string of 1 to 256 bytes", v) end
  return v
end

function M.note(where, v)
  if type(v) ~= "string" or #v > 4096 then bad(where, "expected a string of at most 4096 bytes", v) end
  return v
end

-- Sorted, each once, as one word: what a queue of their own is called by.
function M.needs(where, v)
  local words, seen = {}, {}
  for i = 1, values.list(where, v, "a list of words", false, 8) do
    local word = rawget(v, i)
    if type(word) ~= "string" or #word > 60 or not word:find "^[%w_.:+-]+$" then
      bad(("%s[%d]"):format(where, i), "expected a word of at most 60 letters, digits, '_', '.', ':', '+' and '-'", word)
    end
    if not seen[word] then words[#words + 1], seen[word] = word, true end
  end
  table.sort(words)
  return table.concat(words, ",")
end

return M
