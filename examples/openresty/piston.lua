-- SPDX-License-Identifier: MIT
-- Piston's API: /api/v2/runtimes, /api/v2/execute, and /api/v2/execute/stream, which sends the output as server-sent events while it comes.
local cjson = require "cjson.safe"
local http = require "http"
local languages = require "languages"
local machine = require "machine"
local semver = require "semver"
local settings = require "settings"

local M = {}

local answer, refuse, count, instance = http.answer, http.refuse, http.count, machine.instance

-- Of each stage; a client may ask for less, and for no more than the ceiling.
local CEILING = { run_timeout = 10000, compile_timeout = 15000, memory = 512 * 1024 * 1024 }
local DEFAULT = { run_timeout = 3000, compile_timeout = 10000, run_memory = 256 * 1024 * 1024, compile_memory = 512 * 1024 * 1024 }
local MAX_FILES, MAX_NAME, MAX_PATH = 64, 255, 1024

local function number_in(body, key, default, ceiling)
  local v = body[key]
  if v == nil or v == cjson.null or v == -1 then return default end
  if type(v) ~= "number" or v <= 0 or v ~= v then return nil, ("%s must be a positive number"):format(key) end
  if v > ceiling then return nil, ("%s cannot exceed the configured limit of %d"):format(key, ceiling) end
  return v
end

local decoders = {
  utf8 = function(s) return s end,
  base64 = function(s) return ngx.decode_base64(s) end,
  hex = function(s)
    if #s % 2 ~= 0 or s:find("[^%x]") then return nil end
    return (s:gsub("%x%x", function(x) return string.char(tonumber(x, 16)) end))
  end,
}

-- A name that every file system takes, below the working directory.
local function is_name(name)
  if name == "" or #name > MAX_PATH or name:sub(1, 1) == "/" or name:sub(1, 1) == "-" or name:find "%z" then return false end
  for part in (name .. "/"):gmatch "([^/]*)/" do
    if part == ".." or #part > MAX_NAME then return false end
  end
  return true
end

-- The files by name, and the names of those that are source, in order: what came as utf8.
local function files_of(body, entry)
  if type(body.files) ~= "table" or #body.files == 0 then return nil, "files is required as an array" end
  if #body.files > MAX_FILES then return nil, ("there may be at most %d files"):format(MAX_FILES) end
  local files, sources = {}, {}
  for i, file in ipairs(body.files) do
    if type(file) ~= "table" or type(file.content) ~= "string" then return nil, ("files[%d].content is required as a string"):format(i - 1) end
    local name = type(file.name) == "string" and file.name or i == 1 and entry.name or "file" .. (i - 1) .. ".code"
    if not is_name(name) then
      return nil, ("files[%d].name must be a relative path of at most %d bytes, %d in each part"):format(i - 1, MAX_PATH, MAX_NAME)
    end
    local encoding = type(file.encoding) == "string" and file.encoding or "utf8"
    local content = decoders[encoding] and decoders[encoding](file.content)
    if not content then return nil, ("files[%d].encoding must be utf8, base64 or hex, and the content fit it"):format(i - 1) end
    files[name] = content
    if encoding == "utf8" then sources[#sources + 1] = name end
  end
  if not sources[1] then return nil, "files must include at least one utf8 encoded file" end
  return files, sources
end

local function strings_of(body, key)
  local list = body[key]
  if list == nil or list == cjson.null then return {} end
  if type(list) ~= "table" then return nil, key .. " must be an array of strings" end
  for _, word in ipairs(list) do
    if type(word) ~= "string" then return nil, key .. " must be an array of strings" end
  end
  return list
end

local function limits_of(body, stage)
  local timeout, cpu_time, memory, why
  timeout, why = number_in(body, stage .. "_timeout", DEFAULT[stage .. "_timeout"], CEILING[stage .. "_timeout"])
  if not timeout then return nil, why end
  cpu_time, why = number_in(body, stage .. "_cpu_time", timeout, CEILING[stage .. "_timeout"])
  if not cpu_time then return nil, why end
  memory, why = number_in(body, stage .. "_memory_limit", DEFAULT[stage .. "_memory"], CEILING.memory)
  if not memory then return nil, why end
  return { timeout = timeout / 1000, cpu_time = cpu_time / 1000, memory = math.max(1, math.floor(memory)) }
end

local function append(list, words)
  for _, word in ipairs(words) do list[#list + 1] = word end
  return list
end

-- What is to be run of a request: stages, as sandbox.stages takes them; or nil and words for the client.
local function stages_of(body, entry)
  local files, sources = files_of(body, entry)
  if not files then return nil, sources end
  local args, why = strings_of(body, "args")
  if not args then return nil, why end
  if body.stdin ~= nil and body.stdin ~= cjson.null and type(body.stdin) ~= "string" then return nil, "stdin must be a string" end
  local run, compile = append({ name = "run", stdin = type(body.stdin) == "string" and body.stdin or "" }, entry.run), nil
  run.limits, why = limits_of(body, "run")
  if not run.limits then return nil, why end
  if not entry.compile then
    append(run, { sources[1] })
    run.files = files
  else
    compile = append({ name = "compile", files = files }, entry.compile)
    compile.limits, why = limits_of(body, "compile")
    if not compile.limits then return nil, why end
    local words = #compile
    for _, name in ipairs(sources) do
      if name == sources[1] or name:find(entry.ending) then compile[#compile + 1] = name end
    end
    if #compile == words then return nil, "files must include a source" end
  end
  append(run, args)
  return compile and { compile, run } or { run }
end

-- The request as stages and what runs them; or nil and words for the client.
local function options_of(body)
  if type(body.language) ~= "string" then return nil, "language is required as a string" end
  if type(body.version) ~= "string" then return nil, "version is required as a string" end
  local entry = languages.here(body.language)
  if not entry or not semver.satisfies(entry.version, body.version) then
    return nil, ("%s-%s runtime is unknown"):format(body.language:sub(1, 80), body.version:sub(1, 80))
  end
  local stages, why = stages_of(body, entry)
  if not stages then return nil, why end
  for _, stage in ipairs(stages) do
    local name = stage.name
    stage.name = nil
    local ok, message = instance():check(stage, { client = true })
    stage.name = name
    if not ok then return nil, message end
    languages.placed(stage, entry)
  end
  return stages, entry
end

local function request_of()
  if ngx.req.get_method() ~= "POST" then
    ngx.header["Allow"] = "POST"
    return refuse(405, "use POST")
  end
  -- Clients of Node's fetch send their JSON as text/plain.
  local kind = (ngx.var.http_content_type or ""):lower()
  if not kind:find("^application/json") and not kind:find("^text/plain") then
    return refuse(415, "requests must be of type application/json")
  end
  ngx.req.read_body()
  local text = ngx.req.get_body_data()
  local body = text and cjson.decode(text)
  if type(body) ~= "table" then return refuse(400, "the body must be a JSON object") end
  local stages, entry = options_of(body)
  if not stages then return refuse(400, "%s", entry) end
  return stages, entry
end

-- Piston's words for what became of it. Memory used up is a kill like another there, and a stream that is too long has words of its own.
local statuses = { timed_out = "TO", cpu_exceeded = "TO", oom_killed = "SG", killed = "SG", signaled = "SG" }

local function stage_answer(r, out)
  local status, message = statuses[r.status], r.message
  if r.status == "exited" and r.exit_code ~= 0 then status = "RE" end
  if r.status == "output_exceeded" then
    status = r.stdout_truncated and "OL" or "EL"
    message = (r.stdout_truncated and "stdout" or "stderr") .. " length exceeded"
  end
  local signal
  if r.status == "signaled" then signal = "SIG" .. r.signal_name elseif r.status ~= "exited" then signal = "SIGKILL" end
  return {
    stdout = out.stdout, stderr = out.stderr, output = out.output, code = r.exit_code or cjson.null, signal = signal or cjson.null,
    message = not r.ok and message or cjson.null, status = status or cjson.null,
    cpu_time = r.cpu_time and math.floor(r.cpu_time * 1000 + 0.5) or cjson.null, wall_time = math.floor(r.duration * 1000 + 0.5),
    memory = r.peak_memory or cjson.null,
  }
end

-- By a fleet: it has what an instance gives here of itself (machine.lua).
local function run_in_fleet(stage, entry, on_output)
  stage.name = nil
  local limits = stage.limits
  limits.pids, limits.output, limits.output_kill, limits.open_files = 64, 65536, true, 256
  local r, message, code = require("v3.by_fleet").run_at_once(stage, entry.needs or entry.binary:match "[^/]*$", function(stream, chunk)
    return on_output("run", stream, chunk) ~= false
  end)
  return r and { run = r, last = r, ok = r.ok }, message, code
end

-- Runs what was asked for; on_output(stage, stream, chunk) hears it as it comes. A result for each stage that ran, by name.
local function run(stages, entry, on_output)
  if settings.fleet and not stages[2] and not entry.image then return run_in_fleet(stages[1], entry, on_output) end
  for _, stage in ipairs(stages) do
    local name = stage.name
    for _, stream in ipairs{ "stdout", "stderr" } do
      stage["on_" .. stream] = function(chunk) return on_output(name, stream, chunk) end
    end
  end
  if stages[2] then return instance():stages(stages) end
  stages[1].name = nil
  local r, message, code = instance():run(stages[1])
  return r and { run = r, last = r, ok = r.ok }, message, code
end

local failures = { busy = 429, limit_unavailable = 400, bad_command = 400, not_supported = 400 }

local function failed(message, code)
  ngx.log(ngx.ERR, "sandbox: ", message, " (", code, ")")
  count('failures_total{code="' .. tostring(code) .. '"}')
  if code == "busy" then ngx.header["Retry-After"] = "1" end
  local status = failures[code] or 500
  return refuse(status, "%s", status == 500 and "the sandbox could not be started" or message)
end

local function finished(out, entry)
  local r = out.last
  count('runs_total{language="' .. entry.language .. '",status="' .. r.status .. '"}')
  count("run_seconds_total", r.total_duration)
end

function M.runtimes()
  if ngx.req.get_method() ~= "GET" then
    ngx.header["Allow"] = "GET"
    return refuse(405, "use GET")
  end
  local list = {}
  for _, entry in ipairs(languages.list) do
    list[#list + 1] = ('{"language":%s,"version":%s,"aliases":%s}'):format(cjson.encode(entry.language), cjson.encode(entry.version),
      #entry.aliases == 0 and "[]" or cjson.encode(entry.aliases))
  end
  ngx.header["Content-Type"] = "application/json"
  ngx.say("[", table.concat(list, ","), "]")
end

function M.execute()
  local stages, entry = request_of()
  if not stages then return end
  local said = {}
  local function of(name)
    said[name] = said[name] or { stdout = {}, stderr = {}, output = {} } -- `output` is both, in the order in which they came
    return said[name]
  end
  local out, message, code = run(stages, entry, function(name, stream, chunk)
    table.insert(of(name)[stream], chunk)
    table.insert(of(name).output, chunk)
  end)
  if not out then return failed(message, code) end
  if not out.last then return refuse(400, "%s", out.message) end
  finished(out, entry)
  local body = { language = entry.language, version = entry.version }
  for _, name in ipairs{ "compile", "run" } do
    local texts = {}
    for stream, chunks in pairs(of(name)) do texts[stream] = table.concat(chunks) end
    if out[name] then body[name] = stage_answer(out[name], texts) end
  end
  if not out.ok and out.last.ok then body.compile.status, body.compile.message = "XX", out.message end -- what was compiled does not fit
  return answer(200, body)
end

function M.stream()
  local stages, entry = request_of()
  if not stages then return end
  local function event(name, data)
    if not ngx.headers_sent then
      ngx.header["Content-Type"] = "text/event-stream"
      ngx.header["Cache-Control"] = "no-cache"
    end
    local ok = ngx.print("event: ", name, "\ndata: ", cjson.encode(data), "\n\n")
    return ok and ngx.flush()
  end
  local out, message, code = run(stages, entry, function(name, stream, chunk)
    -- A client that is gone: false ends the program.
    return event(stream, { data = chunk, stage = stages[2] and name or nil }) and true or false
  end)
  if out and out.last then
    finished(out, entry)
    return event("end", stage_answer(out.last, {}))
  end
  message, code = message or out.message, code or "not_supported"
  if not ngx.headers_sent then return failed(message, code) end
  ngx.log(ngx.ERR, "sandbox: ", message, " (", code, ")")
  count('failures_total{code="' .. tostring(code) .. '"}')
  return event("error", { message = message, code = code })
end

return M
