-- SPDX-License-Identifier: MIT
-- Every limit, hit N times, two at a time: the right flag each time, and no other? hits.lua [N [short]]
-- Short leaves out the second way to hit a limit. The guests are a shell's, for an emulated machine needs seconds to start a
-- Python. scripts/hits.sh runs it on every configuration.
local core = require "sandbox.core"
local sandbox = require "sandbox"

local N = tonumber(arg[1]) or 100
local SHORT = arg[2] == "short"
local turns = {}
for i = 1, N do turns[i] = i end
local FLAGS = { "timed_out", "oom_killed", "cpu_exceeded", "output_exceeded", "pids_exceeded", "disk_exceeded", "stdout_truncated", "stderr_truncated" }
local BUSY = "while :; do :; done"
local FILL = "dd if=/dev/zero of=x bs=64K 2>/dev/null; :"
local LONG = 1200 -- seconds; a timeout that is not what is tested here, emulated or not

-- { what, limit, shell program, limits, status or nil for any, flags, other options }
local kinds = {
  { "timeout", "timeout", BUSY, { timeout = 0.3 }, "timed_out", "timed_out" },
  { "timeout, asleep", "timeout", "trap '' TERM INT HUP; sleep 600", { timeout = 0.3 }, "timed_out", "timed_out" },
  { "cpu_time", "cpu_time", BUSY, { cpu_time = 0.3 }, "cpu_exceeded", "cpu_exceeded" },
  { "memory", "memory", "dd if=/dev/zero of=/tmp/x bs=1M 2>/dev/null; sleep 600", { memory = "64M" }, "oom_killed", "oom_killed" },
  { "memory, of a process", "memory", "x=0123456789abcdef; while :; do x=$x$x; done", { memory = "64M" }, "oom_killed", "oom_killed" },
  { "output", "output", "dd if=/dev/zero bs=64K count=10 2>/dev/null", { output = "64K" }, "exited", "stdout_truncated" },
  { "output, of stderr", "output", "dd if=/dev/zero bs=64K count=10 >&2 2>/dev/null", { output = "64K" }, "exited", "stderr_truncated" },
  { "output_kill", "output", "exec yes", { output = "64K", output_kill = true }, "output_exceeded", "output_exceeded stdout_truncated" },
  { "pids", "pids", "for i in 1 2 3 4 5 6 7 8; do sleep 600 & done 2>/dev/null; :", { pids = 5 }, nil, "pids_exceeded" },
  { "file_size", "file_size", "exec dd if=/dev/zero of=x bs=4096 2>/dev/null", { file_size = "64K" }, "signaled", "" },
  { "open_files", "open_files", "exec 3</dev/null 4</dev/null 5</dev/null 6</dev/null 7</dev/null 8</dev/null", { open_files = 7 }, "exited", "" },
  { "disk", "disk", FILL, { disk = "4M" }, "exited", "disk_exceeded", { user = 0 } },
  { "disk, of a writable root", "disk", FILL, { disk = "4M" }, "exited", "disk_exceeded", { user = 0, readonly = false } },
  { "cpus", "cpus", "timeout 0.5 sh -c 'while :; do :; done'; :", { cpus = 0.2 }, "exited", "" },
}
-- What the caller sees of these is errno in the program, and an end that is not 0.
local BY_ERRNO = { open_files = true }

local function flags_of(r)
  local set = {}
  for _, name in ipairs(FLAGS) do
    if r[name] then set[#set + 1] = name end
  end
  return table.concat(set, " ")
end

-- nil, or what was wrong.
local function judge(kind, r, message, code)
  if not r then return ("%s: %s"):format(code, message) end
  local limit, hit = kind[2], r.limits[kind[2]].hit
  local seen = ("%s, flags '%s', hit %s"):format(r.status, flags_of(r), tostring(hit))
  if kind[5] and r.status ~= kind[5] or flags_of(r) ~= kind[6] then return seen end
  if BY_ERRNO[limit] and r.exit_code == 0 or not BY_ERRNO[limit] and hit ~= true then return seen end
  for other, l in pairs(r.limits) do
    if other ~= limit and l.hit then return ("%s, and %s was hit"):format(seen, other) end
  end
end

local function options_of(kind)
  local options = { "sh", "-c", kind[3], limits = { timeout = LONG } }
  for name, value in pairs(kind[4]) do options.limits[name] = value end
  for name, value in pairs(kind[7] or {}) do options[name] = value end
  return options
end

local dir = "/tmp/sbh-" .. core.random_hex(3)
local sb = sandbox.new{ state_dir = dir, boot_timeout = 300 }
local rt = assert(sb:run{ "true" }).runtime

-- How many were right, what was wrong with the first other one, and the seconds that all took.
local function run(kind)
  local right, first_wrong, began = 0, nil, core.now()
  sandbox.map(turns, 2, function()
    local r, message, code = sb:run(options_of(kind))
    local what
    if kind[2] == "cpus" and rt.cgroup == "none" then -- whole cores only: a share of one is refused
      what = code ~= "limit_unavailable" and "held by nobody" or nil
    else
      what = judge(kind, r, message, code)
    end
    if what then first_wrong = first_wrong or what else right = right + 1 end
    return true
  end)
  return right, first_wrong, core.now() - began
end

local wrong = 0
print(("%s, runsc %s on %s, cgroup %s"):format(rt.rootless and "user" or "root", rt.runsc, rt.platform, rt.cgroup))
for _, kind in ipairs(kinds) do
  if not (SHORT and kind[1]:find(",", 1, true)) then
    local right, first_wrong, seconds = run(kind)
    wrong = wrong + N - right
    print(("  %-24s %4d of %d right, %5.1f s%s"):format(kind[1], right, N, seconds, right < N and ": " .. first_wrong or ""))
    io.flush()
  end
end
assert(sb:shutdown())
os.execute("rm -rf " .. dir)
os.exit(wrong == 0)
