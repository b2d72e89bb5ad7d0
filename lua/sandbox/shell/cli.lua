-- SPDX-License-Identifier: MIT
--- The command `sandbox`.
-- @module sandbox.shell.cli
local flags = require "sandbox.shell.flags"
local schema = require "sandbox.options.schema"
local text = require "sandbox.text"

local M = {}

-- Exit statuses of our own, as timeout(1), env(1) and shells have them.
local TIMED_OUT, FAILED, CANNOT_EXECUTE, NOT_FOUND, INTERRUPTED, OUT_OF_MEMORY = 124, 125, 126, 127, 130, 137

local usage = flags.usage

local usages = {
  run = "sandbox run [flags] -- PROGRAM [ARGUMENT...]", shell = "sandbox shell [flags] [-- PROGRAM [ARGUMENT...]]",
  doctor = "sandbox doctor [flags]", bench = "sandbox bench [flags] [N]",
  version = "sandbox version [flags]", worker = "sandbox worker [flags]",
  image = "sandbox image pull|ls|rm|prune|inspect|build [flags] [ARGUMENT...]",
  volume = "sandbox volume ls|rm [flags] [NAME...]",
  ps = "sandbox ps [flags]", attach = "sandbox attach [flags] ID [PROGRAM]", stop = "sandbox stop [flags] ID...",
}
local about = {
  run = "Runs a program in a gVisor sandbox. Without flags it has 30 s, 512M of memory and 1024 processes; its output passes through, however\n"
    .. "much it is.",
  shell = "Runs a shell, or another program, in a sandbox, at a terminal of its own that is joined to yours. It has no limit of time.",
  doctor = "Says what works on this machine, what does not, and how to mend it.",
  bench = "Runs /bin/true N times (20), and says how long that takes.",
  version = "Says what is at work.",
  worker = "Runs the jobs of a fleet's queue (sandbox.fleet), each in a sandbox of its own or in one of a pool. Limits are the most that a job\n"
    .. "may have. SIGTERM and SIGINT drain: what is in hand is done; at the second it is left for others.",
  image = "Images that are kept: see --image of sandbox run.",
  volume = "Directories that are kept: see --volume of sandbox run.",
  ps = "Lists the boxes that were started with keep.",
  attach = "Joins your terminal and that of a detached program of such a box; ^P ^Q lets go of it, and it goes on. One without a terminal\n"
    .. "is watched.",
  stop = "Ends such boxes, with all that runs in them.",
}
local with_tasks = { image = true, volume = true }
local EXIT = [[
exit status: the program's own, 128 + signal, 124 timed out (also of --cpu-time), 137 out of memory (or killed), 130 interrupted,
125 the sandbox failed, 126 the command could not be run, 127 it is not there]]

local function help(command)
  local out = { "usage: " .. usages[command], about[command], "", "flags:" }
  for _, flag in ipairs(flags.list(command)) do
    out[#out + 1] = ("  %-28s %s"):format(flag.what and flag.name .. " " .. flag.what or flag.name, flag.words)
  end
  if with_tasks[command] then
    for i, task in ipairs(require("sandbox.shell." .. command).tasks) do
      table.insert(out, 2 + i, ("  %-34s %s"):format(task[1] .. " " .. task[2], task[3]))
    end
  end
  if command == "run" or command == "shell" or command == "attach" then out[#out + 1] = "\n" .. EXIT end
  return table.concat(out, "\n") .. "\n"
end

local function overview()
  local lines = {}
  for i, command in ipairs{ "run", "shell", "doctor", "bench", "version", "worker", "image", "volume", "ps", "attach", "stop" } do
    lines[i] = (i == 1 and "usage: " or "       ") .. usages[command]
  end
  return ("%s\n\nsandbox COMMAND --help says more, sandbox(1) the rest.\n%s\n"):format(table.concat(lines, "\n"), EXIT)
end

-- Our own streams ---------------------------------------------------------------------------------------------------------

-- Writes all, or raises a mistake that tells why not: a full disk, a reader that is gone.
local function emit(...)
  local ok, why = io.stdout:write(...)
  if ok then ok, why = io.stdout:flush() end
  if not ok then usage("stdout: %s", tostring(why)) end
end

local held = {} -- so that they stay open

-- What the shell closed would be given to the next descriptor that is opened, which would be taken for stdin or stdout.
local function check_streams(core)
  local closed = {}
  for fd = 0, 2 do
    if not core.stat("/proc/self/fd/" .. fd) then
      closed[fd] = true
      held[#held + 1] = io.open("/dev/null", fd == 0 and "rb" or "wb")
    end
  end
  if closed[1] then usage("stdout is closed") end
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

local default = {}
for _, row in ipairs(schema.limits) do default[row[1]] = row.default end

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
    -- A default is held where it can be; what was asked for has to be.
    if limit.requested and limit.requested ~= default[name] and not limit.enforced_by then out[#out + 1] = ("limits.%s is held by nobody"):format(name) end
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

-- A callback that passes a stream on. `trouble` gets what went wrong.
local function pass(file, name, trouble)
  return function(chunk)
    local ok, why = file:write(chunk)
    if ok then ok, why = file:flush() end
    if ok then return true end
    trouble[1] = trouble[1] or name .. ": " .. tostring(why)
    return false -- nobody gets it: so is the reason to run gone
  end
end

-- Our stdin as a function that gives chunks: for a file, which never lets us wait.
local function read_file(trouble)
  return function()
    local chunk, why = io.stdin:read(65536)
    if why then trouble[1] = "stdin: " .. tostring(why) end
    return chunk
  end
end

-- What has come on our stdin, at most 4 KiB: byte by byte, for stdio would rather wait than give less than was asked.
local function read_available(core, trouble)
  local bytes = {}
  repeat
    local byte, why = io.stdin:read(1)
    if why then trouble[1] = "stdin: " .. tostring(why) end
    if not byte then break end
    bytes[#bytes + 1] = byte
  until #bytes == 4096 or not core.poll(0, "r", 0)
  return table.concat(bytes)
end

-- Feeds our stdin as it comes, without ever waiting for it alone. At its end the program's stdin ends.
local function pass_stdin(job, core, trouble)
  local open = true
  io.stdin:setvbuf("no")
  while true do
    local r, message, code = job:wait(0)
    if r or code ~= "timeout" then return r, message, code end
    local fd, events = job:pollfd(), job:events()
    local ready = core.pollv(open and { fd, events, 0, "r" } or { fd, events }, 1)
    if open and ready and ready[4] ~= "" then
      local bytes = read_available(core, trouble)
      if bytes == "" or not job:write(bytes) then
        open = false
        job:close_stdin()
      end
    end
  end
end

-- Running -----------------------------------------------------------------------------------------------------------------

-- A run in three parts: begun, waited for, and ended whatever happened.
local function execute(sb, options, core, trouble)
  if options.collect or options.init then return sb:run(options) end
  local job, message, code = sb:spawn(options)
  if not job then return nil, message, code end
  local ok, r
  ok, r, message, code = pcall(function()
    if options.stdin then return job:wait() end
    return pass_stdin(job, core, trouble)
  end)
  if not ok then job:kill() end
  job:wait_gone()
  job:close()
  if not ok then error(r, 0) end
  return r, message, code
end

-- lua(1) and luajit(1) raise this at SIGINT.
local function is_interrupt(err) return type(err) == "string" and err:find("interrupted!", 1, true) ~= nil end

local function prepare(options, how, core, trouble)
  local stdin = core.stat "/proc/self/fd/0"
  local kind = stdin and stdin.type
  if kind == "directory" then usage("stdin is a directory") end
  local terminal = kind == "char" and (core.realpath "/proc/self/fd/0" or ""):find "^/dev/[pt]t"
  -- With collect or init everything is one call: what comes is read first, and from a terminal nothing.
  if kind == "file" or (options.collect or options.init) and not terminal then options.stdin = read_file(trouble) end
  if options.collect then
    local into = how.into or not how.json and "."
    options.collect = { paths = options.collect, into = into and (core.realpath(into) or usage("--into: there is no %s", into)) or nil }
  elseif how.into then
    usage("--into goes with --collect")
  end
  if not how.json then
    options.on_stdout, options.on_stderr = pass(io.stdout, "stdout", trouble), pass(io.stderr, "stderr", trouble)
    if options.limits.output == nil then options.limits.output = false end -- nothing of it is kept here
  end
end

local function tell(how, r, message, code)
  if how.json then
    emit(require("sandbox.json").encode(scrub(r or { error = message, code = code })), "\n")
  elseif not r then
    io.stderr:write("sandbox: ", tostring(message), " (", tostring(code), ")\n")
  else
    for _, line in ipairs(M.remarks(r)) do io.stderr:write("sandbox: ", line, "\n") end
  end
end

local commands = {}

function commands.run(options, instance, how)
  local core, trouble = require "sandbox.core", {}
  local sb = require("sandbox").new(instance)
  local ok, wrong = sb:check(options)
  if not ok then usage("%s", wrong) end
  prepare(options, how, core, trouble)
  local r, message, code = execute(sb, options, core, trouble)
  if trouble[1] then usage("%s", trouble[1]) end
  tell(how, r, message, code)
  return M.status(r, message, code)
end

function commands.shell(options, instance)
  local core, trouble = require "sandbox.core", {}
  local session = require "sandbox.shell.session"
  local sb = require("sandbox").new(instance)
  session.fill(options)
  local ok, wrong = sb:check(options)
  if not ok then usage("%s", wrong) end
  options.on_stdout = pass(io.stdout, "stdout", trouble)
  local r, message, code = session.run(sb, options, core)
  if trouble[1] then usage("%s", trouble[1]) end
  tell({}, r, message, code)
  return M.status(r, message, code)
end

function commands.doctor(_, instance)
  local report = require("sandbox").new(instance):doctor()
  emit(tostring(report), "\n")
  return report.ok and 0 or 1
end

function commands.version(_, instance)
  local sandbox = require "sandbox"
  local v, message = sandbox.new(instance):version()
  emit(sandbox._VERSION, "\n", v and ("runsc %s at %s, platform %s\n"):format(v.runsc, v.path, v.platform) or message .. "\n")
  return v and 0 or FAILED
end

function commands.bench(options, instance)
  local n = tonumber(options[1] or 20)
  if not n or not (n >= 1 and n <= 10000) or options[2] then usage("bench: expected a number of runs, at most 10000") end
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
  emit(("%d runs of /bin/true, one after another\nboot   median %.1f ms, 95%% %.1f ms\nwhole  median %.1f ms, 95%% %.1f ms\n"):format(
    n, at(boots, 0.5), at(boots, 0.95), at(totals, 0.5), at(totals, 0.95)))
  return 0
end

function commands.worker(options, instance, how) return require("sandbox.shell.worker").run(options, instance, how) end

function commands.image(options, instance, how)
  return require("sandbox.shell.image").main(options, instance, how, emit)
end

function commands.volume(options, instance, how)
  return require("sandbox.shell.volume").main(options, instance, how, emit)
end

function commands.ps(options, instance, how)
  return require("sandbox.shell.boxes").ps(require("sandbox").new(instance), options, how, emit)
end

function commands.stop(options, instance)
  return require("sandbox.shell.boxes").stop(require("sandbox").new(instance), options)
end

function commands.attach(options, instance)
  local trouble = {}
  local r, message, code = require("sandbox.shell.boxes").attach(require("sandbox").new(instance), options, require "sandbox.core",
    pass(io.stdout, "stdout", trouble), pass(io.stderr, "stderr", trouble))
  if trouble[1] then usage("%s", trouble[1]) end
  if r == true then
    io.stderr:write("\r\nsandbox: left, and goes on\n")
    return 0
  end
  tell({}, r, message, code)
  return M.status(r, message, code)
end

local function command_line(args)
  local command = args[1]
  check_streams(require "sandbox.core")
  if command == nil then
    io.stderr:write(overview())
    return FAILED
  elseif command == "--help" or command == "-h" or command == "help" then
    emit(overview())
    return 0
  elseif not commands[command] then
    usage("unknown command %s (see sandbox --help)", command)
  end
  local rest, task = {}, with_tasks[command] and args[2] and args[2]:sub(1, 1) ~= "-" and args[2] or nil
  for i = task and 3 or 2, #args do rest[#rest + 1] = args[i] end
  local options, instance, how = flags.parse(command, rest)
  if task then table.insert(options, 1, task) end
  if how.help then
    emit(help(command))
    return 0
  end
  if options[1] and (command == "doctor" or command == "version") then usage("sandbox %s takes no arguments, got %s", command, options[1]) end
  return commands[command](options, instance, how)
end

--- Runs a command line.
-- @tparam {string,...} args
-- @treturn integer exit status
function M.main(args)
  local ok, status = pcall(command_line, args)
  if ok then return status end
  if is_interrupt(status) then return INTERRUPTED end
  io.stderr:write("sandbox: ", flags.mistake(status) or tostring(status), "\n")
  return FAILED
end

return M
