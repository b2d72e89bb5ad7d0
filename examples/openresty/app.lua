-- SPDX-License-Identifier: MIT
-- Piston's API (/api/v2/runtimes, /api/v2/execute) over sandboxes, and three more places: /api/v2/execute/stream sends the
-- output as server-sent events while it comes, /health, /metrics.
local cjson = require "cjson.safe"
local sandbox = require "sandbox"

local M = {}

local CEILING = { run_timeout = 10000, compile_timeout = 15000, memory = 512 * 1024 * 1024 }
local DEFAULT = { run_timeout = 3000, compile_timeout = 10000, memory = 256 * 1024 * 1024 }
local MAX_FILES = 64

-- `sources` in argv stands for the first file's name and what follows it.
local catalogue = {
  { language = "python", aliases = { "py", "py3", "python3" }, binary = "/usr/bin/python3", flag = "--version", name = "main.py", run = { "python3" } },
  { language = "lua", aliases = { "lua5.4" }, binary = "/usr/bin/lua5.4", flag = "-v", name = "main.lua", run = { "lua5.4" } },
  { language = "perl", aliases = { "pl" }, binary = "/usr/bin/perl", flag = "-e 'printf q(%vd), $^V'", name = "main.pl", run = { "perl" } },
  { language = "javascript", aliases = { "js", "node" }, binary = "/usr/bin/node", flag = "--version", name = "main.js", run = { "node" } },
  { language = "bash", aliases = { "sh" }, binary = "/usr/bin/bash", flag = "--version", name = "main.sh", run = { "bash" } },
  { language = "awk", aliases = {}, binary = "/usr/bin/awk", flag = "-W version", name = "main.awk", run = { "awk", "-f" } },
}

local sb, runtimes, by_name

-- In the master: what a version command says does not change while the service runs.
local function version_of(entry)
  local file = io.open(entry.binary, "rb")
  if not file then return nil end
  file:close()
  local pipe = io.popen(entry.binary .. " " .. entry.flag .. " </dev/null 2>&1")
  local text = pipe and pipe:read("*a") or ""
  if pipe then pipe:close() end
  local a, b, c = text:match("(%d+)%.(%d+)%.?(%d*)")
  return a and ("%s.%s.%s"):format(a, b, c == "" and "0" or c) or "0.0.0"
end

function M.init()
  runtimes, by_name = {}, {}
  for _, entry in ipairs(catalogue) do
    entry.version = version_of(entry)
    if entry.version then
      runtimes[#runtimes + 1] = entry
      by_name[entry.language] = entry
      for _, alias in ipairs(entry.aliases) do by_name[alias] = entry end
    end
  end
end

-- In each worker, at its first request: limits that hold for all, and a queue, so that a rush waits instead of thrashing.
local function instance()
  if not sb then
    sb = sandbox.new{ max_concurrent = 4, queue = 32, queue_timeout = 10, limits = { pids = 64, output = "64K", open_files = 256 } }
  end
  return sb
end

local function count(name, by)
  ngx.shared.code_metrics:incr(name, by or 1, 0)
end

local function answer(status, body)
  ngx.status = status
  ngx.header["Content-Type"] = "application/json"
  ngx.print(cjson.encode(body), "\n")
  count('requests_total{status="' .. status .. '"}')
  return ngx.exit(ngx.OK)
end

local function refuse(status, form, ...)
  return answer(status, { message = form:format(...) })
end

-- "*", "3", "3.x", "3.11", "3.11.2", with an optional ^, ~ or =: a selector that the one version here must meet.
local function version_matches(have, want)
  want = want:gsub("^[%^~=v]+", "")
  if want == "*" or want == "" or want == "x" then return true end
  local from = 1
  for part in want:gmatch("[^.]+") do
    local number = have:match("^%d+", from)
    if part == "x" or part == "*" then return true end
    if number ~= part then return false end
    from = from + #number + 1
  end
  return true
end

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

local function files_of(body, entry)
  if type(body.files) ~= "table" or #body.files == 0 then return nil, "files is required as an array" end
  if #body.files > MAX_FILES then return nil, ("there may be at most %d files"):format(MAX_FILES) end
  local files, first = {}, nil
  for i, file in ipairs(body.files) do
    if type(file) ~= "table" or type(file.content) ~= "string" then return nil, ("files[%d].content is required as a string"):format(i - 1) end
    local name = type(file.name) == "string" and file.name or i == 1 and entry.name or "file" .. (i - 1)
    if name:sub(1, 1) == "/" or ("/" .. name .. "/"):find("/../", 1, true) or name == "" or name:sub(1, 1) == "-" then
      return nil, ("files[%d].name must be a relative path"):format(i - 1)
    end
    local decode = decoders[type(file.encoding) == "string" and file.encoding or "utf8"]
    local content = decode and decode(file.content)
    if not content then return nil, ("files[%d].encoding must be utf8, base64 or hex, and the content fit it"):format(i - 1) end
    files[name] = content
    first = first or name
  end
  return files, first
end

-- The request as options of sandbox.run; or nil and words for the client.
local function options_of(body)
  if type(body.language) ~= "string" then return nil, "language is required as a string" end
  if type(body.version) ~= "string" then return nil, "version is required as a string" end
  local entry = by_name[body.language]
  if not entry or not version_matches(entry.version, body.version) then
    return nil, ("%s-%s runtime is unknown"):format(body.language, body.version)
  end
  local files, first = files_of(body, entry)
  if not files then return nil, first end
  local timeout, why = number_in(body, "run_timeout", DEFAULT.run_timeout, CEILING.run_timeout)
  if not timeout then return nil, why end
  local cpu_time
  cpu_time, why = number_in(body, "run_cpu_time", timeout, CEILING.run_timeout)
  if not cpu_time then return nil, why end
  local memory
  memory, why = number_in(body, "run_memory_limit", DEFAULT.memory, CEILING.memory)
  if not memory then return nil, why end
  local stdin = body.stdin
  if stdin ~= nil and stdin ~= cjson.null and type(stdin) ~= "string" then return nil, "stdin must be a string" end
  local options = {
    files = files, stdin = type(stdin) == "string" and stdin or "",
    limits = { timeout = timeout / 1000, cpu_time = cpu_time / 1000, memory = math.floor(memory) },
  }
  for _, word in ipairs(entry.run) do options[#options + 1] = word end
  options[#options + 1] = first
  if body.args ~= nil and body.args ~= cjson.null then
    if type(body.args) ~= "table" then return nil, "args must be an array of strings" end
    for _, word in ipairs(body.args) do
      if type(word) ~= "string" then return nil, "args must be an array of strings" end
      options[#options + 1] = word
    end
  end
  local ok, message = instance():check(options)
  if not ok then return nil, message end
  return options, entry
end

local function request_body()
  if ngx.req.get_method() ~= "POST" then
    ngx.header["Allow"] = "POST"
    return refuse(405, "use POST")
  end
  -- Clients of Node's fetch send their JSON as text/plain. A browser does that for any page without asking us first, and
  -- says so with Origin: no page elsewhere may run something here.
  local kind = (ngx.var.http_content_type or ""):lower()
  if not kind:find("^application/json") and (ngx.var.http_origin or not kind:find("^text/plain")) then
    return refuse(415, "requests must be of type application/json")
  end
  ngx.req.read_body()
  local text = ngx.req.get_body_data()
  local body = text and cjson.decode(text)
  if type(body) ~= "table" then return refuse(400, "the body must be a JSON object") end
  local options, entry = options_of(body)
  if not options then return refuse(400, "%s", entry) end
  return options, entry
end

-- Piston's words for what became of it.
local statuses = { timed_out = "TO", cpu_exceeded = "TO", oom_killed = "RE", output_exceeded = "OL", killed = "SG" }

local function stage(r, out)
  local status = statuses[r.status]
  if r.status == "signaled" then status = "SG" elseif r.status == "exited" and r.exit_code ~= 0 then status = "RE" end
  if not status and r.stdout_truncated then status = "OL" end
  if not status and r.stderr_truncated then status = "EL" end
  local signal
  if r.status == "signaled" then signal = "SIG" .. r.signal_name elseif r.status ~= "exited" then signal = "SIGKILL" end
  return {
    stdout = out.stdout, stderr = out.stderr, output = out.output, code = r.exit_code or cjson.null, signal = signal or cjson.null,
    message = not r.ok and r.message or cjson.null, status = status or cjson.null,
    cpu_time = r.cpu_time and math.floor(r.cpu_time * 1000 + 0.5) or cjson.null, wall_time = math.floor(r.duration * 1000 + 0.5),
    memory = r.peak_memory or cjson.null,
  }
end

local failures = { busy = 429, limit_unavailable = 400, bad_command = 400, not_supported = 400 }

local function failed(message, code)
  ngx.log(ngx.ERR, "sandbox: ", message, " (", code, ")")
  count('failures_total{code="' .. tostring(code) .. '"}')
  if code == "busy" then ngx.header["Retry-After"] = "1" end
  local status = failures[code] or 500
  return refuse(status, "%s", status == 500 and "the sandbox could not be started" or message)
end

local function finished(r, entry)
  count('runs_total{language="' .. entry.language .. '",status="' .. r.status .. '"}')
  count("run_seconds_total", r.total_duration)
end

function M.runtimes()
  if ngx.req.get_method() ~= "GET" then
    ngx.header["Allow"] = "GET"
    return refuse(405, "use GET")
  end
  local list = {}
  for _, entry in ipairs(runtimes) do
    list[#list + 1] = ('{"language":%s,"version":%s,"aliases":%s}'):format(cjson.encode(entry.language), cjson.encode(entry.version),
      #entry.aliases == 0 and "[]" or cjson.encode(entry.aliases))
  end
  ngx.header["Content-Type"] = "application/json"
  ngx.say("[", table.concat(list, ","), "]")
end

function M.execute()
  local options, entry = request_body()
  if not options then return end
  local streams, all = { stdout = {}, stderr = {} }, {}
  for name, chunks in pairs(streams) do
    options["on_" .. name] = function(chunk)
      chunks[#chunks + 1] = chunk
      all[#all + 1] = chunk -- `output` is both, in the order in which they came
    end
  end
  local r, message, code = instance():run(options)
  if not r then return failed(message, code) end
  finished(r, entry)
  return answer(200, { language = entry.language, version = entry.version,
    run = stage(r, { stdout = table.concat(streams.stdout), stderr = table.concat(streams.stderr), output = table.concat(all) }) })
end

function M.stream()
  local options, entry = request_body()
  if not options then return end
  local job, message, code = instance():spawn(options)
  if not job then return failed(message, code) end
  ngx.header["Content-Type"] = "text/event-stream"
  ngx.header["Cache-Control"] = "no-cache"
  local function event(name, data)
    ngx.print("event: ", name, "\ndata: ", cjson.encode(data), "\n\n")
    return ngx.flush(true)
  end
  while true do
    local stream, chunk = job:read()
    if not stream then break end -- the end, or a start error, which wait tells again
    -- A client that is gone: closing the job ends the program.
    if not event(stream, { data = chunk }) then return job:close() end
  end
  local r
  r, message, code = job:wait()
  job:close()
  if r then
    finished(r, entry)
    event("end", stage(r, {}))
  else
    ngx.log(ngx.ERR, "sandbox: ", message, " (", code, ")")
    count('failures_total{code="' .. tostring(code) .. '"}')
    event("error", { message = message, code = code })
  end
end

function M.health()
  local r, message, code = instance():run{ "true", limits = { timeout = 5, memory = "64M" } }
  if r and r.ok then return answer(200, { status = "ok", boot_ms = math.floor(r.boot_duration * 1000 + 0.5), active = instance():active() }) end
  -- A full queue is work, not illness.
  if code == "busy" then return answer(200, { status = "busy", active = instance():active() }) end
  return answer(503, { status = "failing", message = message or r.message })
end

function M.metrics()
  ngx.header["Content-Type"] = "text/plain; version=0.0.4"
  local store, lines = ngx.shared.code_metrics, {}
  for _, key in ipairs(store:get_keys(0)) do lines[#lines + 1] = ("code_%s %s"):format(key, tostring(store:get(key))) end
  table.sort(lines)
  ngx.say(table.concat(lines, "\n"))
end

function M.not_found()
  return refuse(404, "there is no %s here", ngx.var.uri)
end

return M
