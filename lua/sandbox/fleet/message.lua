-- SPDX-License-Identifier: MIT
--- What travels between who submits and who works: jobs and answers, as JSON. Nothing that comes from the broker is believed: it has a
-- size, a form and known fields, or it is an error.
-- @module sandbox.fleet.message
local json = require "sandbox.json"
local result = require "sandbox.run.result"
local schema = require "sandbox.options.schema"
local values = require "sandbox.options.values"

local M = {}

--- The most that a job may be, as it travels.
M.MAX_JOB = 16 * 1024 ^ 2
-- The most that an answer may be, and what of it has a place of its own in the broker.
local MAX_ANSWER = 64 * 1024 ^ 2
local LARGE, LARGE_FILE = 64 * 1024, 4096
local MAX_DEPTH, MAX_NODES = 8, 400000

-- Copies what JSON can say, and nothing else. Whole numbers are integers again: lua-cjson makes floats of them.
local function plain(value, depth, left)
  local kind = type(value)
  if kind == "number" then return values.is_integer(value) and value > -2 ^ 53 and value < 2 ^ 53 and values.integer(value) or value end
  if kind == "string" or kind == "boolean" then return value end
  if kind ~= "table" or depth > MAX_DEPTH then return nil end
  local out = {}
  for k, v in next, value do
    left[1] = left[1] - 1
    if left[1] < 0 then return nil end
    if type(k) == "string" or type(k) == "number" then out[k] = plain(v, depth + 1, left) end
  end
  return out
end

local function copy(value) return plain(value, 1, { MAX_NODES }) end

local function decode(text, most)
  if type(text) ~= "string" or #text > most then return nil end
  local value = json.decode(text)
  return type(value) == "table" and copy(value) or nil
end

-- Jobs -----------------------------------------------------------------------------------------------------------------

--- A job as it travels.
-- @tparam table options which have been checked for a client
-- @treturn string or nil, message, "too_big"
function M.encode_job(options)
  local argv, named = {}, {}
  for k, v in next, options do
    if type(k) == "number" then argv[k] = v end
  end
  for _, row in ipairs(schema.rows "run") do named[row[1]] = copy(options[row[1]]) end
  local ok, text = pcall(json.encode, { argv = argv, options = named })
  if not ok then return nil, "the job cannot be written as JSON: " .. tostring(text), "too_big" end
  if #text > M.MAX_JOB then return nil, ("a job is at most %d MiB as it travels, with its files and its stdin"):format(M.MAX_JOB / 1024 ^ 2), "too_big" end
  return text
end

--- The options of a job that came: to be checked by the schema as anybody's.
-- @string text
-- @treturn table or nil
function M.decode_job(text)
  local job = decode(text, M.MAX_JOB)
  if not job or type(job.argv) ~= "table" or type(job.options) ~= "table" then return nil end
  local options = {}
  for k, v in pairs(job.options) do
    if type(k) == "string" then options[k] = v end
  end
  for i, word in ipairs(job.argv) do options[i] = word end
  return options
end

-- Answers --------------------------------------------------------------------------------------------------------------

--- What says that there is no result.
-- @string message
-- @string code
-- @treturn string
function M.refusal(message, code) return json.encode{ error = message, code = code } end

-- Takes large strings out of an answer: {name, bytes, …}.
local function take_large(r, parts)
  for _, name in ipairs{ "stdout", "stderr" } do
    if type(r[name]) == "string" and #r[name] > LARGE then
      parts[#parts + 1], parts[#parts + 2] = name, r[name]
      r[name] = nil
    end
  end
  local total, files = 0, {}
  for _, bytes in ipairs(parts) do total = total + #bytes end
  for _, name in ipairs(values.sorted_keys(r.files or {})) do
    local bytes = r.files[name]
    total = total + #bytes
    if total > MAX_ANSWER then
      r.files_info[name], r.files_skipped[name] = nil, "too big"
      total = total - #bytes
    elseif #bytes > LARGE_FILE then
      parts[#parts + 1], parts[#parts + 2] = "file:" .. name, bytes
    else
      files[name] = bytes
    end
  end
  r.files = files
end

--- An answer as it travels.
-- @tparam[opt] table r result, which is changed
-- @string[opt] message where there is none
-- @string[opt] code
-- @int[opt] attempt the how-manieth time that it was run
-- @treturn string
-- @treturn {string,...} large parts: name, bytes, …
function M.encode_answer(r, message, code, attempt)
  if not r then return M.refusal(tostring(message), tostring(code or "system")), {} end
  local parts, fields = {}, {}
  for k, v in pairs(r) do fields[k] = v end
  fields.files_info, fields.files_skipped = copy(r.files_info or {}), copy(r.files_skipped or {})
  take_large(fields, parts)
  local ok, text = pcall(json.encode, { result = copy(fields), attempt = attempt })
  if not ok then return M.refusal("the result cannot be written as JSON: " .. tostring(text), "system"), {} end
  if #text > MAX_ANSWER then return M.refusal("the result has too many files for an answer", "too_big"), {} end
  return text, parts
end

local fields = { audit = "table" } -- of a result that may come, by type
for _, row in ipairs(schema.result) do
  local kind = row[2]:gsub("%?$", "")
  fields[row[1]] = kind == "integer" and "number" or (kind == "string" or kind == "boolean" or kind == "number") and kind or "table"
end

local function strings_only(t)
  local out = {}
  for k, v in pairs(type(t) == "table" and t or {}) do
    if type(k) == "string" and type(v) == "string" then out[k] = v end
  end
  return out
end

local function put_large(r, parts)
  for i = 1, #parts - 1, 2 do
    local name, bytes = parts[i], parts[i + 1]
    if type(name) == "string" and type(bytes) == "string" then
      if name == "stdout" or name == "stderr" then r[name] = bytes end
      local file = name:match "^file:(.*)$"
      if file then r.files[file] = bytes end
    end
  end
end

--- The answer that came.
-- @string text
-- @tparam table parts name, bytes, …
-- @treturn table result, or nil, message, code
-- @treturn integer the how-manieth attempt
function M.decode_answer(text, parts)
  local answer = decode(text, MAX_ANSWER)
  if answer and type(answer.error) == "string" then
    return nil, answer.error, type(answer.code) == "string" and answer.code or "system"
  end
  local came = answer and answer.result
  if type(came) ~= "table" or type(came.status) ~= "string" then return nil, "what the broker has as the answer is none", "system" end
  local r = {}
  for name, kind in pairs(fields) do
    if type(came[name]) == kind then r[name] = came[name] end
  end
  for _, name in ipairs{ "files", "files_skipped" } do r[name] = strings_only(r[name]) end
  r.files_info, r.limits, r.runtime = r.files_info or {}, r.limits or {}, r.runtime or {}
  put_large(r, parts)
  return result.new(r), type(answer.attempt) == "number" and answer.attempt or 1
end

--- A word for a label: what may be in it is letters, digits and a few signs.
function M.label(word) return (tostring(word):gsub("[^%w_.:+,-]", "_"):sub(1, 600)) end

-- Ids ------------------------------------------------------------------------------------------------------------------

--- Takes an id apart.
-- @string id
-- @treturn string the entry
-- @treturn string the secret
-- @treturn string the needs; or nil where it is none
function M.parse_id(id)
  if type(id) ~= "string" or #id > 1000 then return nil end
  local entry, secret, needs = id:match "^(%d+%-%d+)%.(%x+)(.*)$"
  if not entry or needs ~= "" and not needs:find "^%.[%w_.:+,-]+$" then return nil end
  return entry, secret, needs:sub(2)
end

return M
