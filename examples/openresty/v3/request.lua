-- SPDX-License-Identifier: MIT
-- What a client asks for, from its bytes to what sandbox.spawn or fleet:submit takes. Nothing is taken that is not known here.
local http = require "http"
local languages = require "languages"
local settings = require "settings"
local strict_json = require "sandbox.options.strict_json"
local webhook = require "v3.webhook"

local M = { BATCH = 16 }

local MAX_FILES, MAX_ARGS, MAX_NAME, MAX_ARG = 64, 64, 255, 4096
local MAX_TEXT = 200000 -- characters, as openapi.yaml says
local List = {} -- tells [] from {}

local function stop(status, code, pointer, form, ...) error({ problem = http.problem(status, code, form:format(...), pointer) }, 0) end
local function invalid(pointer, form, ...) stop(422, "invalid", pointer, form, ...) end

-- A key of a stranger's, as a part of a JSON pointer in a fragment.
local function part(name)
  return (name:sub(1, 100):gsub("~", "~0"):gsub("/", "~1"):gsub("[^%w_.~-]", function(c) return ("%%%02X"):format(c:byte()) end))
end

local function is_object(v) return type(v) == "table" and v ~= strict_json.null and getmetatable(v) ~= List end

local function need_object(v, at, known)
  if not is_object(v) then invalid(at, "an object is needed here") end
  for name in pairs(v) do
    if not known[name] then invalid(at .. "/" .. part(name), "this is not known") end
  end
end

local function need_string(v, at, most)
  if type(v) ~= "string" then invalid(at, "a string is needed here") end
  if most and #v > most then invalid(at, "at most %d bytes", most) end
  return v
end

-- A program, its stdin, a file.
local function need_text(v, at)
  need_string(v, at)
  if #v > MAX_TEXT and select(2, v:gsub("[^\128-\191]", "")) > MAX_TEXT then invalid(at, "at most %d characters", MAX_TEXT) end
  return v
end

local function is_name(name) return #name <= MAX_NAME and ("/" .. name):gsub("/[%w_][%w_.-]*", "") == "" end

local function files_of(given, at)
  if given == nil then return {} end
  if not is_object(given) then invalid(at, "an object is needed here") end
  local out, n = {}, 0
  for name, content in pairs(given) do
    local here = at .. "/" .. part(name)
    n = n + 1
    if n > MAX_FILES then invalid(at, "at most %d files", MAX_FILES) end
    if not is_name(name) then invalid(here, "a name is letters, digits, '_', '.' and '-', with '/' between directories, and at most %d bytes", MAX_NAME) end
    if type(content) == "table" then
      need_object(content, here, { base64 = true })
      local bytes = content.base64
      need_text(bytes, here .. "/base64")
      out[name] = #bytes % 4 == 0 and bytes:find "^[%w+/]*=?=?$" and ngx.decode_base64(bytes) or invalid(here .. "/base64", "this is not base64")
    else
      out[name] = need_text(content, here)
    end
  end
  return out
end

local function args_of(given, at)
  if given == nil then return {} end
  if getmetatable(given) ~= List then invalid(at, "an array of strings is needed here") end
  if #given > MAX_ARGS then invalid(at, "at most %d", MAX_ARGS) end
  for i, word in ipairs(given) do
    need_string(word, ("%s/%d"):format(at, i - 1), MAX_ARG)
    if word:find "%z" then invalid(("%s/%d"):format(at, i - 1), "an argument has no NUL") end
  end
  return given
end

-- What is a limit's least, and whether it is a whole number.
local LIMITS = { timeout = { 0.01 }, cpu_time = { 0.01 }, memory = { 16 * 1024 * 1024, true }, output = { 1, true }, pids = { 1, true } }

local function limits_of(given, at, key)
  if given == nil then given = {} end
  need_object(given, at, LIMITS)
  local out = {}
  for name, row in pairs(LIMITS) do
    local here, most, v = at .. "/" .. name, settings.limits[name].maximum, given[name]
    if v ~= nil then
      if type(v) ~= "number" or row[2] and v % 1 ~= 0 then invalid(here, row[2] and "a whole number is needed here" or "a number is needed here") end
      if v < row[1] or v > most then invalid(here, "from %g to %.10g", row[1], most) end
      if v > (key.limits[name] or most) then stop(403, "limit", here, "this key may have at most %.10g", key.limits[name]) end
    end
    out[name] = v or settings.limits[name].default
    if out[name] and key.limits[name] then out[name] = math.min(out[name], key.limits[name]) end
  end
  out.cpu_time = out.cpu_time or math.min(out.timeout, key.limits.cpu_time or out.timeout)
  out.open_files, out.output_kill = 256, true
  return out
end

-- What is compiled is compiled and run in one sandbox. The names have only characters that mean nothing to a shell.
local function command_of(entry, files, args)
  local words = {}
  if entry.compile then
    local line = { table.concat(entry.compile, " "), entry.name }
    for name in pairs(files) do
      if name ~= entry.name and name:find(entry.ending) then line[#line + 1] = name end
    end
    words = { "sh", "-c", table.concat(line, " ") .. ' && exec ' .. entry.run[1] .. ' "$@"', "sh" }
  else
    for _, word in ipairs(entry.run) do words[#words + 1] = word end
    words[#words + 1] = entry.name
  end
  for _, word in ipairs(args) do words[#words + 1] = word end
  return words
end

local KNOWN = { language = true, code = true, files = true, stdin = true, args = true, limits = true, encoding = true, webhook = true }

local function one(body, at, key)
  need_object(body, at, KNOWN)
  local name = need_string(body.language, at .. "/language", 40)
  local entry = (settings.fleet and languages.anywhere or languages.here)(name)
  if not entry then invalid(at .. "/language", "this language is not known: GET /api/v3/service lists those that are") end
  local code = need_text(body.code, at .. "/code")
  local files = files_of(body.files, at .. "/files")
  if files[entry.name] then invalid(at .. "/files/" .. part(entry.name), "this is where `code` is put") end
  files[entry.name] = code
  local options = command_of(entry, files, args_of(body.args, at .. "/args"))
  options.files, options.stdin = files, body.stdin == nil and "" or need_text(body.stdin, at .. "/stdin")
  options.limits = limits_of(body.limits, at .. "/limits", key)
  local encoding = body.encoding == nil and "utf-8" or body.encoding
  if encoding ~= "utf-8" and encoding ~= "base64" then invalid(at .. "/encoding", "utf-8 or base64") end
  local hook = body.webhook
  if hook ~= nil then
    if #need_string(hook, at .. "/webhook", 2000) == 0 then invalid(at .. "/webhook", "an address is needed here") end
    if not webhook.parse(hook) then invalid(at .. "/webhook", "http:// or https://, a name, perhaps a port and a path, and nothing else") end
    if not webhook.allowed(hook) then stop(403, "webhook", at .. "/webhook", "this address is not among those that are allowed") end
  end
  local sandbox = require "sandbox"
  local ok, why = sandbox.check(options, { client = true })
  if not ok then invalid(at, "%s", why) end
  languages.placed(options, entry)
  return { entry = entry, options = options, encoding = encoding, webhook = hook }
end

local function try(f, ...)
  local ok, what = pcall(f, ...)
  if ok then return what end
  if type(what) == "table" and what.problem then return nil, what.problem end
  error(what, 0)
end

--- The value that a body is, which may be false; or nil and a problem.
function M.decode(text)
  local body, why = strict_json.decode(text, List)
  if body == nil then return nil, http.problem(400, "json", "the body is not JSON: " .. why) end
  return body
end

--- One request; or nil and a problem.
function M.single(body, key) return try(one, body, "#", key) end

--- Those of a batch, in their order; or nil and a problem.
function M.batch(body, key)
  return try(function()
    need_object(body, "#", { runs = true })
    if getmetatable(body.runs) ~= List then invalid("#/runs", "an array is needed here") end
    if #body.runs < 1 or #body.runs > M.BATCH then invalid("#/runs", "from 1 to %d", M.BATCH) end
    local list = {}
    for i, given in ipairs(body.runs) do list[i] = one(given, ("#/runs/%d"):format(i - 1), key) end
    return list
  end)
end

return M
