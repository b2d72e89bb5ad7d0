-- SPDX-License-Identifier: MIT
-- What every spec with a runsc starts from: an instance with a state directory of its own, and the census of leftovers.
local core = require "sandbox.core"
local sandbox = require "sandbox"

local M = { core = core, sandbox = sandbox, root = core.getuid() == 0, build = os.getenv "SANDBOX_TEST_BUILD" or "?" }
-- How many times slower than a machine this one is: an emulated one.
M.slow = tonumber(os.getenv "SANDBOX_TEST_SLOW") or 1

-- Of whoever runs the specs, who removes it. Short, for a socket's path has 108 bytes.
local TMPDIR = os.getenv "TMPDIR" or "/tmp"
M.state_dir = ("%s/sbx-%d-%s"):format(TMPDIR, core.getpid(), core.random_hex(2))
-- A boot may take long on a busy machine; nothing here is about how long.
M.control = os.getenv "SANDBOX_TEST_CONTROL"
M.sb = sandbox.new{ state_dir = M.state_dir, boot_timeout = 30 * (M.slow > 1 and 10 or 1), control = M.control }

-- A directory of the test's own, world-readable, and how it is removed.
function M.tmpdir()
  local path = ("%s/sbt-%s"):format(TMPDIR, core.random_hex(6))
  assert(core.mkdir(path, tonumber("755", 8)))
  return path, function() os.execute("rm -rf '" .. path .. "'") end
end

function M.write(path, bytes, mode)
  assert(core.write_file(path, bytes, tonumber(mode or "644", 8)))
  return path
end

function M.read(path)
  local file = assert(io.open(path, "rb"))
  local bytes = file:read("*a")
  file:close()
  return bytes
end

-- Waits until f() is true; false after a minute, or so many seconds.
function M.eventually(f, seconds)
  local limit = core.now() + (seconds or 60)
  repeat
    if f() then return true end
    core.poll(-1, "r", 0.01)
  until core.now() > limit
  return false
end

-- A machine that is busy may not come to it within a guest's time: f(seconds) gives whether it has, and a result; it is tried with more
-- until it has. The last result is what counts.
function M.given_time(times, f)
  local enough, r
  for _, seconds in ipairs(times) do
    enough, r = f(seconds * M.slow)
    if enough then break end
  end
  return r
end

-- The census ------------------------------------------------------------------------------------------------------------

local function descriptors()
  local list = {}
  for _, fd in ipairs(core.readdir "/proc/self/fd") do
    local target = core.realpath("/proc/self/fd/" .. fd)
    if core.lstat("/proc/self/fd/" .. fd) then list[#list + 1] = fd .. (target and "=" .. target or "") end
  end
  table.sort(list)
  return table.concat(list, " ")
end

local function slurp(path)
  local file = io.open(path, "rb")
  local text = file and file:read("*a") or ""
  if file then file:close() end
  return text
end
M.slurp = slurp

--- State and parent of a process, of /proc/PID/stat; nil: there is none.
function M.stat(pid) return slurp(("/proc/%s/stat"):format(pid)):match "%) (%u) (%d+)" end

--- The processes of a sandbox with this id that are called so: "runsc-gofer", "runsc-sandbox".
function M.parts(name, id)
  local list = {}
  for _, pid in ipairs(core.readdir "/proc") do
    local cmdline = pid:match "^%d+$" and slurp(("/proc/%s/cmdline"):format(pid)) or ""
    if cmdline:match "^[^%z]+" == name and cmdline:find(id, 1, true) then list[#list + 1] = pid end
  end
  return list
end

--- Holds up the supervisor above this runsc until something is so; whether it came to be.
function M.held_up(runsc, condition)
  local _, supervisor = M.stat(runsc)
  os.execute("kill -STOP " .. supervisor)
  local so = M.eventually(condition)
  os.execute("kill -CONT " .. supervisor)
  return so
end

-- Processes that name our state directory: runsc, its gofer, its sentry.
local function processes()
  local list = {}
  for _, pid in ipairs(core.readdir "/proc") do
    if pid:match "^%d+$" and tonumber(pid) ~= core.getpid() and slurp("/proc/" .. pid .. "/cmdline"):find(M.state_dir, 1, true) then
      list[#list + 1] = pid
    end
  end
  return table.concat(list, " ")
end

local function mounts()
  local list = {}
  for line in slurp("/proc/self/mountinfo"):gmatch "[^\n]+" do
    if line:find(M.state_dir, 1, true) then list[#list + 1] = line end
  end
  return table.concat(list, "\n")
end

-- The runs that have a directory: their supervisors end after it is gone.
local function runs()
  local list = {}
  for _, name in ipairs(core.readdir(M.state_dir) or {}) do
    if name:match "^run%-" or name:match "^%.new%-" then list[#list + 1] = name end
  end
  return list
end

-- Cgroups bear a run's id. Others may run beside us: only those that this process named count. (A host of its own, as
-- sudden_death_spec starts, has its directory removed after its cgroups: that one is seen.)
local ids = {}
local random_hex = core.random_hex
function core.random_hex(n)
  local id = random_hex(n)
  if n == 16 then ids[id] = true end
  return id
end

local function cgroups()
  local pipe = io.popen "find /sys/fs/cgroup -maxdepth 6 -type d -name 'lua-sandbox-*' 2>/dev/null"
  local list = {}
  for line in pipe:lines() do
    if ids[line:match "lua%-sandbox%-(%x+)$"] then list[#list + 1] = line end
  end
  pipe:close()
  return table.concat(list, " ")
end

function M.census()
  collectgarbage()
  collectgarbage()
  return { fds = descriptors() }
end

-- nil, or what is left. Teardown follows the result, so it waits.
function M.leftovers(before, seconds)
  local what
  M.eventually(function()
    collectgarbage()
    what = nil
    for name, text in pairs{ processes = processes(), mounts = mounts(), runs = table.concat(runs(), " "), cgroups = cgroups() } do
      if text ~= "" then what = name .. ": " .. text end
    end
    local fds = descriptors()
    if fds ~= before.fds then what = "descriptors: " .. fds .. " were " .. before.fds end
    return what == nil
  end, seconds)
  return what
end

-- The flags that a result may have; all others must be false.
local flags = { "timed_out", "oom_killed", "cpu_exceeded", "output_exceeded", "pids_exceeded", "disk_exceeded", "stdout_truncated", "stderr_truncated" }
function M.flags_of(r)
  local set = {}
  for _, name in ipairs(flags) do
    assert(type(r[name]) == "boolean" or (name == "disk_exceeded" and r[name] == nil), name .. " is no boolean")
    if r[name] then set[#set + 1] = name end
  end
  return table.concat(set, " ")
end

return M
