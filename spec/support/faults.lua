-- SPDX-License-Identifier: MIT
--- System calls that fail: faults.lua [-a] [SCENARIO[/SYSCALL]…]. strace makes the n-th call of a kind fail, once in each process of a run's supervisor
-- before runsc, or of the host, for each n until there is no such call; after each the caller must have its result or an error in words, and
-- nothing may be left. Prints a row for each: scenario, call, n, errno, what came of it, what was left. -a: with every errno, not with one.
local env = require "support.harness"
local family = require "support.family"
local transport = require "sandbox.hosts.transport"
local core, sandbox, sb = env.core, env.sandbox, env.sb

local M = {}

local ERRNOS = { "ENOSPC", "EMFILE", "ENOMEM", "EINTR", "EAGAIN", "EPERM" }
local CODES = {}
for code in ("runsc_missing runsc_failed boot_timeout not_supported bad_command bad_rootfs limit_unavailable closed supervisor_lost system"):gmatch "%S+" do
  CODES[code] = true
end

-- A run in plain, and one of a box: { what, options, who }. who: whose calls fail.
local SCENARIOS = {
  run = { who = "supervisor", options = function() return { "sh", "-c", "echo hi; echo e >&2; exit 3", limits = { timeout = 120, disk = "8M" }, user = 0 } end },
  files = { who = "supervisor", options = function()
    return { "sh", "-c", "cat a; echo e >&2; echo made >b; exit 3", files = { a = "hi\n" }, collect = { "b" }, limits = { timeout = 120 } }
  end },
  host = { who = "host", options = function() return { "sh", "-c", "echo hi; echo e >&2; exit 3", limits = { timeout = 120 } } end },
}
local CALLS = {
  supervisor = { "openat", "mkdirat", "unlinkat", "mount", "open_tree", "move_mount", "umount2", "pivot_root", "socketpair", "socket", "bind", "listen", "accept4", "pipe2",
                 "clone", "clone3", "fork", "vfork", "execve", "mmap", "write", "read", "fcntl", "dup2", "dup3", "setns", "unshare", "ftruncate", "fchmod", "fchown", "fchownat",
                 "symlinkat", "linkat", "renameat2", "signalfd4", "pidfd_open", "memfd_create", "poll", "recvmsg", "recvfrom", "recvmmsg", "sendmsg", "sendto", "wait4", "waitid",
                 "prctl", "capset", "setresuid", "setresgid", "setgroups", "prlimit64", "inotify_add_watch", "getdents64", "newfstatat", "statx", "kill", "pidfd_send_signal", "nanosleep" },
  host = { "socketpair", "socket", "fcntl", "clone", "vfork", "sendmsg", "sendto", "recvfrom", "recvmsg", "poll", "epoll_create1", "epoll_ctl", "mmap", "getrandom", "pidfd_open" },
}

-- The zygote, which forks the supervisors; a run has it started where there is none.
local function zygote()
  local pid
  assert(env.eventually(function()
    pid = family.of(("%d"):format(core.getpid()))
    if pid then return true end
    transport.renew()
    sb:run{ "true" }
  end), "there is no zygote")
  return pid
end

-- Attaches strace, which lets go of what becomes another program; its pid and its pipe, or nil for a call that this strace does not know.
local function attach(pid, call, errno, n, log)
  local pipe = assert(io.popen(("echo $$; exec strace -f -b execve -o %s -e trace=%s -e inject=%s:error=%s:when=%d -p %s 2>&1"):format(log, call, call, errno, n, pid)))
  local tracer = pipe:read "*l"
  repeat
    local line = pipe:read "*l"
    if not line or line:find "invalid" then
      pipe:close()
      return nil, line
    end
  until line:find " attached"
  return tracer, pipe
end

-- held: limit to who holds it where nothing fails.
local function judged(held, r, message, code)
  if not r then
    if not CODES[code] or type(message) ~= "string" or message == "" then return "WRONG: no error in words: " .. tostring(code) .. " " .. tostring(message), true end
    return ("%s: %s"):format(code, message)
  end
  for limit, by in pairs(held) do
    if r.limits[limit].enforced_by == nil then return ("WRONG: nobody holds %s, where %s did"):format(limit, by), true end
  end
  if r.status == "exited" and r.exit_code == 3 and r.stdout == "hi\n" and r.stderr == "e\n" then return "ran all the same" end
  return ("WRONG: %s %s, %d and %d bytes: %s"):format(r.status, tostring(r.exit_code or r.signal), #r.stdout, #r.stderr, tostring(r.message)), true
end

-- Who holds which limit, where no call fails.
function M.held(scenario)
  local held = {}
  for limit, told in pairs(assert(sb:run(scenario.options())).limits) do held[limit] = told.enforced_by end
  return held
end

--- One case.
-- @string name of a scenario
-- @string call
-- @string errno
-- @int n which of its calls
-- @tparam table before of env.census
-- @treturn table { injected = how many processes had it, what =, wrong =, left = }; nil where strace does not know the call
function M.one(name, call, errno, n, before)
  local scenario = SCENARIOS[name]
  local log = os.tmpname()
  local self = ("%d"):format(core.getpid())
  scenario.held = scenario.held or M.held(scenario)
  local first = zygote() -- there is one in each case
  local tracer, pipe = attach(scenario.who == "host" and self or first, call, errno, n, log)
  if not tracer then
    os.remove(log)
    return nil, pipe
  end
  local r, message, code
  local ok, raised = pcall(function() r, message, code = sb:run(scenario.options()) end)
  os.execute("kill -INT " .. tracer)
  pipe:close()
  local out = { what = "raised: " .. tostring(raised), wrong = true, injected = select(2, env.slurp(log):gsub("INJECTED", "")) }
  os.remove(log)
  if ok then out.what, out.wrong = judged(scenario.held, r, message, code) end
  zygote() -- as before
  out.left = env.leftovers(before, 15)
  if out.left then
    local why = out.left
    sb:cleanup_stale()
    out.left = env.leftovers(before, 15)
    if not out.left then out.later = why:match "^[^:]*" end
    os.execute("rm -rf " .. env.state_dir .. "/.new-* " .. env.state_dir .. "/run-*") -- so that the next case is told of its own
  end
  return out
end

--- How often a call is made at most until it is given up.
M.MOST = 60

--- All cases of a scenario's call, each told.
-- @string name
-- @string call
-- @bool all every errno
-- @func tell called with each: n, errno, out
function M.each(name, call, all, before, tell)
  local none = 0
  for n = 1, M.MOST do
    local injected = 0
    for i = 1, all and #ERRNOS or 1 do
      local errno = all and ERRNOS[i] or ERRNOS[(n - 1) % #ERRNOS + 1]
      local out = M.one(name, call, errno, n, before)
      if not out then return end
      injected = injected + out.injected
      if out.injected > 0 or out.wrong or out.left then tell(n, errno, out) end
    end
    none = injected == 0 and none + 1 or 0
    if none == 1 then return end
  end
end

local function main()
  local all, only = false, {}
  for _, word in ipairs(arg) do
    if word == "-a" then all = true else only[#only + 1] = word end
  end
  assert(sb:run{ "true" })
  assert(sb:run{ "true", collect = { "x" } })
  local before, cases, wrong, left = env.census(), 0, 0, 0
  print "| scenario | call | n | errno | what came of it | left |\n|---|---|---|---|---|---|"
  for _, name in ipairs{ "run", "files", "host" } do
    for _, call in ipairs(CALLS[SCENARIOS[name].who]) do
      local wanted = #only == 0
      for _, word in ipairs(only) do wanted = wanted or word == name or word == name .. "/" .. call end
      if wanted then
        M.each(name, call, all, before, function(n, errno, out)
          cases, wrong, left = cases + 1, wrong + (out.wrong and 1 or 0), left + (out.left and 1 or 0)
          local remains = out.left and "LEFT: " .. out.left:sub(1, 200) or out.later and out.later .. ", until cleanup_stale" or "nothing"
          print(("| %s | %s | %d | %s | %s | %s |"):format(name, call, n, errno, out.what:gsub("%s+", " "):gsub("|", "/"):sub(1, 160), remains))
          io.flush()
        end)
      end
    end
  end
  print(("\n%d faults, %d wrong, %d left something"):format(cases, wrong, left))
  sandbox.close()
  sb:close()
  os.execute("rm -rf '" .. env.state_dir .. "'")
  os.exit(wrong + left == 0 and 0 or 1)
end

if arg and arg[0] and arg[0]:find "support/faults%.lua$" then main() end
return M
