-- SPDX-License-Identifier: MIT
--- The command `sandbox`.
-- @module sandbox.shell.cli
local schema = require "sandbox.options.schema"
local text = require "sandbox.text"

local M = {}

-- Exit statuses of our own, as timeout(1), env(1) and shells have them.
local TIMED_OUT, FAILED, CANNOT_EXECUTE, NOT_FOUND, OUT_OF_MEMORY = 124, 125, 126, 127, 137

-- A mistake on the command line; anything else that is raised is ours.
local Usage = {}
Usage.__index = Usage

local function usage(...)
  error(setmetatable({ message = (...):format(select(2, ...)) }, Usage), 0)
end

local function number(flag, value)
  local n = tonumber(value)
  if not n then usage("%s: expected a number, got %s", flag, value) end
  return n
end

-- "off" switches a limit off, as false does in Lua.
local function limit_value(flag, kind, value)
  if value == "off" then return false end
  if kind == "size" or kind == "enum" then return value end
  return number(flag, value)
end

local function pair(flag, value, separator)
  local a, b = value:match("^([^" .. separator .. "]+)" .. separator .. "(.*)$")
  if not a then usage("%s: expected NAME%sVALUE, got %s", flag, separator, value) end
  return a, b
end

local flags = {}

flags["--file"] = { "[NAME=]PATH", "put a host file below cwd, under its own name or NAME", function(o, v)
  local name, from = v:match("^([^=]+)=(.+)$")
  if not name then name, from = v:match("([^/]+)$"), v end
  if not name then usage("--file: expected the path of a file, got %s", v) end
  o.files = o.files or {}
  o.files[name] = { from = from }
end }
flags["--env"] = { "K=V", "set a variable in the guest", function(o, v)
  local name, value = pair("--env", v, "=")
  o.env = o.env or {}
  o.env[name] = value
end }
flags["--network"] = { "none|host", "none: loopback only (default)", function(o, v) o.network = v end }
flags["--rootfs"] = { "DIR|host", "the guest's root (default: host)", function(o, v) o.rootfs = v end }
flags["--bundle"] = { "DIR", "run this OCI bundle", function(o, v) o.bundle = v end }
flags["--cwd"] = { "DIR", "working directory in the guest (default /work)", function(o, v) o.cwd = v end }
flags["--user"] = { "UID[:GID]", "identity in the guest (default 65534:65534)", function(o, v) o.user = v end }
flags["--hostname"] = { "NAME", "the guest's host name", function(o, v) o.hostname = v end }
flags["--mount"] = { "SOURCE:DEST[:rw]", "bind a host directory or file, read-only unless rw", function(o, v)
  local source, dest, mode = v:match("^([^:]+):([^:]+):?(%a*)$")
  if not source or mode ~= "" and mode ~= "rw" and mode ~= "ro" then usage("--mount: expected SOURCE:DEST[:rw], got %s", v) end
  o.mounts = o.mounts or {}
  o.mounts[#o.mounts + 1] = { source = source, destination = dest, readonly = mode ~= "rw" }
end }
flags["--tmpfs"] = { "DEST", "mount a tmpfs", function(o, v)
  o.mounts = o.mounts or {}
  o.mounts[#o.mounts + 1] = { type = "tmpfs", destination = v }
end }
flags["--capability"] = { "CAP_NAME", "give the guest a capability", function(o, v)
  o.capabilities = o.capabilities or {}
  o.capabilities[#o.capabilities + 1] = v
end }
flags["--runsc"] = { "PATH", "the binary", function(_, v, i) i.runsc = v end }
flags["--platform"] = { "NAME", "auto, systrap, ptrace or kvm", function(_, v, i) i.platform = v end }
flags["--state-dir"] = { "DIR", "where runs live", function(_, v, i) i.state_dir = v end }
flags["--cgroup-parent"] = { "PATH", "where cgroups are made, below the mount of their file system", function(_, v, i) i.cgroup_parent = v end }
flags["--boot-timeout"] = { "SECONDS", "how long a boot may take", function(_, v, i) i.boot_timeout = number("--boot-timeout", v) end }

local switches = {
  ["--writable"] = { "a private writable layer over the rootfs", function(o) o.readonly = false end },
  ["--merge"] = { "stderr goes to stdout, in the order of writing", function(o) o.stderr = "stdout" end },
  ["--output-kill"] = { "kill the run at the output limit", function(o) o.limits.output_kill = true end },
  ["--best-effort"] = { "run even where a limit cannot be enforced", function(o) o.limits.best_effort = true end },
  ["--json"] = { "print the result as JSON instead of passing output through", function(_, _, how) how.json = true end },
}

for _, row in ipairs(schema.limits) do
  if row[2] ~= "boolean" then
    local name = "--" .. row[1]:gsub("_", "-")
    local what = row[2] == "size" and "SIZE" or row[2] == "enum" and table.concat(row.values, "|") or row[2] == "count" and "N" or row[2]:upper()
    flags[name] = { what, "limit: " .. row.at, function(o, v) o.limits[row[1]] = limit_value(name, row[2], v) end }
  end
end

local function help()
  local out = { "usage: sandbox run [flags] -- PROGRAM [ARGUMENT...]", "       sandbox doctor [--runsc PATH] [--platform NAME] [--state-dir DIR]",
                "       sandbox bench [N]", "       sandbox version", "", "flags of run:" }
  local names = {}
  for name in pairs(flags) do names[#names + 1] = name end
  for name in pairs(switches) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local f, s = flags[name], switches[name]
    out[#out + 1] = ("  %-28s %s"):format(f and name .. " " .. f[1] or name, f and f[2] or s[1])
  end
  out[#out + 1] = ""
  out[#out + 1] = "Without flags a run has 30 s, 512M of memory and 1024 processes; its output passes through, however much it is."
  out[#out + 1] = ""
  out[#out + 1] = "exit status: the program's own, 128 + signal, 124 timed out (also of --cpu-time), 137 out of memory (or killed),"
  out[#out + 1] = "125 the sandbox failed, 126 the command could not be run, 127 it is not there"
  return table.concat(out, "\n") .. "\n"
end

--- Reads the flags.
-- @tparam {string,...} args
-- @treturn table options of the run
-- @treturn table options of the instance
-- @treturn table how: json, help
function M.parse(args)
  local options, instance, how = { limits = {} }, {}, {}
  local i = 1
  while i <= #args do
    local word = args[i]
    local name, value = word:match("^(%-%-[%w-]+)=(.*)$")
    name = name or word
    if word == "--" then
      i = i + 1
      break
    elseif word == "--help" or word == "-h" then
      how.help = true
    elseif switches[name] and not value then
      switches[name][2](options, instance, how)
    elseif flags[name] then
      if not value then
        i = i + 1
        value = args[i]
        if not value then usage("%s: expected %s", name, flags[name][1]) end
      end
      flags[name][3](options, value, instance)
    elseif word:sub(1, 1) == "-" then
      usage("unknown flag %s (see sandbox --help)", word)
    else
      break
    end
    i = i + 1
  end
  for k = i, #args do options[#options + 1] = args[k] end
  return options, instance, how
end

--- The exit status for what a run came to.
-- @tparam[opt] table r result
-- @string[opt] message
-- @string[opt] code
-- @treturn integer
function M.status(r, message, code)
  if not r then
    if code ~= "bad_command" then return FAILED end
    local words = tostring(message):lower()
    local absent = words:find("no such file", 1, true) or words:find("not found", 1, true) or words:find("not exist", 1, true)
    return absent and NOT_FOUND or CANNOT_EXECUTE
  end
  if r.status == "exited" then return r.exit_code end
  if r.status == "signaled" then return 128 + r.signal end
  if r.status == "timed_out" or r.status == "cpu_exceeded" then return TIMED_OUT end
  if r.status == "oom_killed" then return OUT_OF_MEMORY end
  return 128 + 9
end

--- What somebody who sees the output and the exit status should know besides.
-- @tparam table r result
-- @treturn {string,...}
function M.remarks(r)
  local out = {}
  if r.status ~= "exited" then out[1] = r.message end
  for _, name in ipairs{ "stdout", "stderr" } do
    if r[name .. "_truncated"] then out[#out + 1] = ("%s: more than limits.output was dropped, %d bytes came"):format(name, r[name .. "_bytes"]) end
  end
  if r.pids_exceeded then out[#out + 1] = "limits.pids was hit" end
  if r.disk_exceeded then out[#out + 1] = "limits.disk was hit" end
  for name, limit in pairs(r.limits or {}) do
    if limit.requested and not limit.enforced_by then out[#out + 1] = ("limits.%s is held by nobody"):format(name) end
  end
  return out
end

local function scrub(value)
  if type(value) == "string" then return text.scrub(value) end
  if type(value) ~= "table" then return value end
  local out = {}
  for k, v in pairs(value) do out[type(k) == "string" and text.scrub(k) or k] = scrub(v) end
  return out
end

local function write_all(file)
  return function(chunk)
    if not file:write(chunk) then return false end -- the reader is gone: so is the reason to run
    file:flush()
    return true
  end
end

-- What has come on our stdin, at most 4 KiB: byte by byte, for stdio would rather wait than give less than was asked.
local function read_available(core)
  local bytes = {}
  repeat
    local byte = io.stdin:read(1)
    if not byte then break end
    bytes[#bytes + 1] = byte
  until #bytes == 4096 or not core.poll(0, "r", 0)
  return table.concat(bytes)
end

-- Feeds our stdin as it comes, without ever waiting for it alone. At its end the program's stdin ends.
local function pass_stdin(job, core)
  local open = true
  io.stdin:setvbuf("no")
  while true do
    local r, message, code = job:wait(0)
    if r or code ~= "timeout" then return r, message, code end
    local fd, events = job:pollfd(), job:events()
    local ready = core.pollv(open and { fd, events, 0, "r" } or { fd, events }, 1)
    if open and ready and ready[4] ~= "" then
      local bytes = read_available(core)
      if bytes == "" or not job:write(bytes) then
        open = false
        job:close_stdin()
      end
    end
  end
end

local function run(args)
  local options, instance, how = M.parse(args)
  if how.help then
    io.stdout:write(help())
    return 0
  end
  local core = require "sandbox.core"
  local sb = require("sandbox").new(instance)
  local ok, wrong = sb:check(options)
  if not ok then usage("%s", wrong) end
  if not how.json then
    options.on_stdout, options.on_stderr = write_all(io.stdout), write_all(io.stderr)
    if options.limits.output == nil then options.limits.output = false end -- nothing of it is kept here
  end
  local stdin = core.stat("/dev/stdin")
  if stdin and stdin.type == "file" then -- it never lets us wait
    options.stdin = function() return io.stdin:read(65536) end
  end
  local r, code
  local job, message, kind = sb:spawn(options)
  if job then
    if options.stdin then r, message, code = job:wait() else r, message, code = pass_stdin(job, core) end
    job:wait_gone()
    job:close()
  else
    code = kind
  end
  if how.json then
    local json = require "sandbox.json"
    io.stdout:write(json.encode(scrub(r or { error = message, code = code })), "\n")
  elseif not r then
    io.stderr:write("sandbox: ", tostring(message), " (", tostring(code), ")\n")
  else
    for _, line in ipairs(M.remarks(r)) do io.stderr:write("sandbox: ", line, "\n") end
  end
  return M.status(r, message, code)
end

local function doctor(args)
  local _, instance = M.parse(args)
  local report = require("sandbox").new(instance):doctor()
  io.stdout:write(tostring(report), "\n")
  return report.ok and 0 or 1
end

local function version(args)
  local _, instance = M.parse(args)
  local sandbox = require "sandbox"
  local v, message = sandbox.new(instance):version()
  io.stdout:write(sandbox._VERSION, "\n", v and ("runsc %s at %s, platform %s\n"):format(v.runsc, v.path, v.platform) or message .. "\n")
  return v and 0 or FAILED
end

local function bench(args)
  local options, instance = M.parse(args)
  local n = tonumber(options[1] or 20)
  if not n or n < 1 or n > 10000 then usage("bench: expected a number of runs") end
  local core = require "sandbox.core"
  local sb = require("sandbox").new(instance)
  local boots, totals = {}, {}
  for i = 1, n do
    local began = core.now()
    local r, message, code = sb:run{ "/bin/true" }
    if not r then
      io.stderr:write("sandbox: ", message, " (", code, ")\n")
      return FAILED
    end
    boots[i], totals[i] = r.boot_duration * 1000, (core.now() - began) * 1000
  end
  table.sort(boots)
  table.sort(totals)
  local function at(list, share) return list[math.max(1, math.ceil(#list * share))] end
  io.stdout:write(("%d runs of /bin/true, one after another\nboot   median %.1f ms, 95%% %.1f ms\nwhole  median %.1f ms, 95%% %.1f ms\n"):format(
    n, at(boots, 0.5), at(boots, 0.95), at(totals, 0.5), at(totals, 0.95)))
  return 0
end

local commands = { run = run, doctor = doctor, version = version, bench = bench }

--- Runs a command line.
-- @tparam {string,...} args
-- @treturn integer exit status
function M.main(args)
  local command = args[1]
  if command == nil or command == "--help" or command == "-h" or command == "help" then
    (command and io.stdout or io.stderr):write(help())
    return command and 0 or FAILED
  end
  if not commands[command] then
    io.stderr:write("sandbox: unknown command ", command, " (see sandbox --help)\n")
    return FAILED
  end
  local rest = {}
  for i = 2, #args do rest[#rest + 1] = args[i] end
  local ok, status = pcall(commands[command], rest)
  if ok then return status end
  io.stderr:write("sandbox: ", getmetatable(status) == Usage and status.message or tostring(status), "\n")
  return FAILED
end

return M
