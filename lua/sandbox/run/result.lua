-- SPDX-License-Identifier: MIT
--- From what the supervisor says to the table a caller gets.
-- @module sandbox.run.result
local errors = require "sandbox.errors"
local network = require "sandbox.run.network"
local text = require "sandbox.text"

local M = {}

local Result = {} -- what a result can, beside being a table
Result.__index = Result

--- Raises for what is not ok, with its message; gives the result else. For scripts: `assert(sandbox.run{…}):check()`.
-- @treturn table the result
function Result:check()
  if not self.ok then errors.raise(self.message or "the program failed") end
  return self
end

function Result:__tostring()
  return ("sandbox.result %s (%s)"):format(tostring(self.id or "?"), self.ok and "ok" or tostring(self.message or self.status))
end

--- Makes a result of a table that has its fields.
-- @tparam table r
-- @treturn table the same
function M.new(r) return setmetatable(r, Result) end

local signals = { "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
                  "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
                  "PWR", "SYS" }
local numbers = {}
for number, name in ipairs(signals) do numbers[name] = number end

--- The number of a signal: 15, "TERM" and "SIGTERM" are the same.
-- @param signal name or number
-- @treturn integer or nil
function M.signal_number(signal)
  if type(signal) == "number" then
    return signal >= 1 and signal <= 64 and signal == math.floor(signal) and signal or nil
  end
  return type(signal) == "string" and numbers[(signal:gsub("^SIG", ""))] or nil
end

--- The name of a signal: "SEGV", "RTMIN+1", or the number as text.
-- @int number
-- @treturn string
function M.signal_name(number)
  if signals[number] then return signals[number] end
  if number >= 34 and number <= 64 then return number == 34 and "RTMIN" or ("RTMIN+%d"):format(number - 34) end
  return ("%d"):format(number)
end

--- Takes a list of key=value apart.
-- @string bytes
-- @treturn table
function M.parse(bytes)
  local map = {}
  for key, value in bytes:gmatch "([^%z=]+)=([^%z]*)" do map[key] = value end
  return map
end

-- Names of limits, and the supervisor's keys for them.
local limit_keys = {}
for name in ("timeout cpu_time cpus memory pids output file_size disk inodes open_files stack address_space"):gmatch "%S+" do
  limit_keys[#limit_keys + 1] = { name = name, hit = "hit." .. name, enforced = "enforced." .. name }
end
local flags = { timed_out = "timed_out", oom_killed = "oom_killed", cpu_exceeded = "cpu_exceeded", output_exceeded = "output_exceeded" }

-- As a supervisor writes them: no exponent, and no more digits than a double has room for with their point.
local function number(value)
  if not value or #value > 17 or not value:find "^%-?%d+%.?%d*$" then return nil end
  local n = tonumber(value)
  return math.tointeger and not value:find(".", 1, true) and math.tointeger(n) or n
end

local function whole(value, most)
  local n = number(value)
  return n and n % 1 == 0 and n >= 0 and n <= most and n or nil
end

local function truth(value)
  if value == nil then return nil end
  return value == "1"
end

local function limits_of(x, plan)
  local out = {}
  for _, key in ipairs(limit_keys) do
    local requested = plan.limits and plan.limits[key.name]
    local hit = truth(x[key.hit])
    if not requested then hit = false end
    out[key.name] = { requested = requested or nil, enforced_by = x[key.enforced], hit = hit }
  end
  return out
end

local function seconds(n)
  return (("%.3f"):format(n):gsub("0+$", ""):gsub("%.$", "")) .. " s"
end

local words = {}
function words.exited(r) return r.exit_code ~= 0 and ("exited with %d"):format(r.exit_code) or nil end
function words.signaled(r) return ("ended by signal %d (%s)"):format(r.signal, r.signal_name) end
function words.timed_out(_, l, why)
  if why == "idle_timeout" then return "closed: not used for its idle_timeout" end
  return l.timeout and ("killed: not done after %s"):format(seconds(l.timeout)) or "killed: out of time"
end
function words.oom_killed(_, l) return l.memory and ("killed: %s of memory used up"):format(text.bytes(l.memory)) or "killed: the machine ran out of memory" end
function words.cpu_exceeded(_, l) return l.cpu_time and ("killed: %s of CPU time used up"):format(seconds(l.cpu_time)) or "killed: out of CPU time" end
function words.output_exceeded(_, l) return l.output and ("killed: more than %s of output"):format(text.bytes(l.output)) or "killed: too much output" end
function words.killed(r, l, why)
  if r.runtime and r.runtime.killed_by then return "killed by " .. r.runtime.killed_by end
  if why ~= "pids" then return "killed on request" end
  return l.pids and ("killed: more than %d processes and threads"):format(l.pids) or "killed: too many processes and threads"
end

--- The sentence for a person, or nil for a run that went well.
-- @tparam table r with status, exit_code, signal, signal_name
-- @tparam table limits
-- @tparam ?string why which limit it was killed for, where the status does not say
-- @treturn string
function M.message(r, limits, why)
  local word = words[r.status]
  if not word then return "ended in an unknown way: " .. tostring(r.status) end
  local sentence = word(r, limits, why)
  if sentence and r.status == "exited" and r.pids_exceeded and limits.pids then
    sentence = ("%s, after its limit of %d processes was hit"):format(sentence, limits.pids)
  end
  return sentence
end

local function usage(r, x, plan, job)
  r.duration = number(x.duration) or 0
  r.boot_duration = (plan.boot_before or 0) + (number(x.boot_duration) or 0) -- of a sandbox that was booted for it
  r.queue_duration = (plan.queue_duration or 0) + (number(x.queue_duration) or 0) -- for a turn to run, and one to boot
  r.total_duration = plan.clock and plan.clock() - plan.began or r.queue_duration + r.boot_duration + r.duration
  r.cpu_time = number(x.cpu_time)
  r.peak_memory = number(x.peak_memory)
  r.peak_pids = number(x.peak_pids)
  r.id = plan.id or job and job.id
  local rt = plan.runtime or {}
  r.runtime = { runsc = rt.version or "unknown", platform = rt.platform, rootless = truth(x.rootless) or false, cgroup = x.cgroup or "none",
                cgroup_reason = x.cgroup_reason, killed_by = x.killed_by }
end

-- Whether it says how the run ended: a supervisor of another version, or one that is none, may not.
local function is_known(x)
  if x.status == "exited" then return whole(x.exit_code, 255) ~= nil end
  if x.status == "signaled" then return whole(x.signal, 64) ~= nil end
  return words[x.status] ~= nil
end

--- An error's words, with the program's name where it is one of the program's that does not say it; and a given file is no program unless
-- its mode says so, which is easily forgotten.
-- @tparam table plan
-- @string message
-- @string code
-- @treturn string
function M.explain(plan, message, code)
  local name = plan.argv and plan.argv[1]
  if code ~= "bad_command" or not name then return message end
  if not message:find(name, 1, true) and not message:find "^cwd: " then message = ("%s: %s"):format(text.line(name), message) end
  if not message:lower():find("permission denied", 1, true) then return message end
  local path = name:sub(1, 1) == "/" and name or ("%s/%s"):format(tostring(plan.cwd), (name:gsub("^%./", "")))
  for _, file in ipairs(plan.files or {}) do
    if file.path == path and file.mode and not file.mode:find "[1357]" then
      return ('%s: the given file has mode %s, to be run it needs mode = "755"'):format(message, file.mode)
    end
  end
  return message
end

--- Builds a result.
-- @param x the supervisor's list, as bytes or taken apart
-- @tparam table job with `stdout` and `stderr`: what was kept of them
-- @tparam table plan
-- @treturn table the result, or nil, message, code
function M.build(x, job, plan)
  if type(x) == "string" then x = M.parse(x) end
  local place = x.error and plan.erofs and (x.message or ""):match 'creating mount point "([^"]*)".*read%-only file system'
  if place then
    return nil, ("rootfs %s has no %s to mount on, and is read-only: sandbox image build --erofs makes it, or set readonly = false"):format(plan.rootfs,
      place), "bad_rootfs"
  end
  if x.error then return nil, M.explain(plan, x.message or x.error, x.error), x.error end
  local r = { status = x.status, files = {}, files_info = {}, files_skipped = {} }
  if plan.mode == "sweep" then
    r.removed = number(x.removed) or 0
    return r
  end
  if not is_known(x) then return nil, "the supervisor's answer is not understood", "supervisor_lost" end
  r.network = network.result(job and job.network, x)
  if r.network then r.network_exceeded = r.network.exceeded > 0 or r.network.held > 0 end
  if x.status == "exited" then r.exit_code = number(x.exit_code) end
  if x.status == "signaled" then
    r.signal = number(x.signal)
    r.signal_name = M.signal_name(r.signal)
  end
  for status, flag in pairs(flags) do r[flag] = x.status == status end
  if plan.untraced then -- nobody saw what could not be started
    r.pids_exceeded = nil
  else
    r.pids_exceeded = truth(x.pids_exceeded)
  end
  r.disk_exceeded = false
  if plan.limits and plan.limits.disk then r.disk_exceeded = truth(x["hit.disk"]) end -- nil: nobody can tell
  for _, stream in ipairs{ "stdout", "stderr" } do
    r[stream] = job and job[stream]
    r[stream .. "_bytes"] = number(x[stream .. "_bytes"]) or 0
    r[stream .. "_truncated"] = truth(x[stream .. "_truncated"]) or false
  end
  r.limits = limits_of(x, plan)
  usage(r, x, plan, job)
  r.ok = r.status == "exited" and r.exit_code == 0
  if not r.ok then r.message = M.message(r, plan.limits or {}, x.killed_for) end
  if x.box_destroyed then r.message = r.message .. "; its descendants could not be killed alone, so the box was destroyed" end
  return M.new(r)
end

return M
