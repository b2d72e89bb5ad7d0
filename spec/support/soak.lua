-- SPDX-License-Identifier: MIT
--- Random sandboxes, each of which is known to end in one way: soak.lua RUNS [SEED [TASKS]]. What a guest does (soak.c), its limits, where it
-- runs and when it is killed follow from the case's seed alone, so that `soak.lua 1 SEED` is that case again. Each result is checked;
-- after each round nothing may be left. Prints a line for each wrong one, and a last one of all.
local env = require "support.harness"
local family = require "support.family"
local core, sandbox, sb = env.core, env.sandbox, env.sb

local RUNS, SEED, TASKS = tonumber(arg[1] or 200), tonumber(arg[2]) or core.getpid() % 100000 * 10000, tonumber(arg[3] or 4)
local ROUND = 20
local LONG = 300 -- seconds that no case comes near, however slow the machine

-- Park and Miller's: the same on every Lua.
local Random = {}
Random.__index = Random
local function new_random(seed) return setmetatable({ state = seed * 48271 % 2147483646 + 1 }, Random) end
function Random:below(n)
  self.state = self.state * 16807 % 2147483647
  return self.state % n
end
function Random:pick(list) return list[self:below(#list) + 1] end
function Random:chance(n) return self:below(n) == 0 end

local period = {}
for i = 0, 250 do period[#period + 1] = string.char(i) end
period = table.concat(period)
local function pattern(n) return period:rep(math.ceil(n / 251)):sub(1, n) end

-- Programs ----------------------------------------------------------------------------------------------------------------

local SIZES = { 0, 1, 250, 4096, 65535, 65536, 65537, 300000 }
local MEBI = 1024 * 1024

-- What may come before the end. `sure`: only where the program gets to its end, whatever the machine does meanwhile.
local mess = {
  out = function(p, r) local n = r:pick(SIZES); p:step("out", n); p.out[#p.out + 1] = pattern(n) end,
  err = function(p, r) local n = r:pick(SIZES); p:step("err", n); p.err[#p.err + 1] = pattern(n) end,
  use = function(p, r) p:step("use", (1 + r:below(16)) * MEBI) end,
  daemon = function(p, r) p:step("daemon", r:below(2)) end,
  descriptors = function(p, r)
    p.limits.open_files = p.limits.open_files or 16 + r:below(200)
    p:step("descriptors", p.limits.open_files)
  end,
  forks = function(p)
    p:step("forks", p.pids)
    p.flags.pids_exceeded = true
  end,
  fill = function(p)
    if not p.disk then return end
    p:step("fill", 0)
    p.flags.disk_exceeded = true
  end,
  file = function(p, r)
    p.made = r:pick(SIZES)
    p.options.collect = { "made" }
    p:step("file", p.made)
  end,
}
local quick = { "out", "err", "use", "daemon" }
local all = { "out", "err", "use", "daemon", "descriptors", "forks", "fill", "file" }

local endings = {
  exit = function(p, r)
    p.status, p.code = "exited", r:pick{ 0, 0, 1, 7, 87, 125, 126, 127, 128, 137, 255 }
    p:step("exit", p.code)
  end,
  closed = function(p, r)
    p.status, p.code = "exited", r:below(80)
    p:step("close", 0)
    p:step("exit", p.code)
  end,
  signal = function(p, r)
    p.status, p.code = "signaled", r:pick{ 1, 2, 3, 6, 9, 11, 13, 14, 15 }
    p:step("signal", p.code)
  end,
  copy = function(p, r)
    local n = r:pick(SIZES)
    p.options.stdin = pattern(n)
    p.out[#p.out + 1] = p.options.stdin
    p:step("copy", 0)
    p.status, p.code = "exited", 0
  end,
  late = function(p, r)
    p.status, p.flags.timed_out, p.part = "timed_out", true, true
    p.limits.timeout = 0.1 + r:below(10) / 10
    p:step("forever", r:below(2))
  end,
  hog = function(p)
    p.status, p.flags.oom_killed = "oom_killed", true
    p:step("hog", 0)
  end,
  burn = function(p, r)
    p.status, p.flags.cpu_exceeded, p.part = "cpu_exceeded", true, true
    p.limits.cpu_time = 0.1 + r:below(4) / 10
    p:step("burn", 1 + r:below(3))
  end,
  flood = function(p)
    p.status, p.flags.output_exceeded, p.flags.stdout_truncated = "output_exceeded", true, true
    p.limits.output_kill, p.flood = true, true
    p:step("flood", 0)
  end,
  kill = function(p, r)
    p.status, p.part, p.kill_after = "killed", true, r:pick{ 0, 0.01, 0.05, 0.1, 0.2, 0.4 }
    p:step("forever", 1)
  end,
}
local ends = { "exit", "exit", "exit", "closed", "signal", "copy", "late", "hog", "burn", "flood", "kill" }
local part = { late = quick, burn = quick, kill = quick }

local Program = {}
Program.__index = Program
function Program:step(name, n)
  local o = self.options
  o[#o + 1], o[#o + 2] = name, ("%.0f"):format(n)
end

-- place: { pids=, disk= } of the sandbox that it will run in; only: endings that may be.
local function new_program(r, place, only)
  local p = setmetatable({ options = { "/guest/soak", limits = { timeout = LONG } }, out = {}, err = {}, flags = {}, pids = place.pids, disk = place.disk }, Program)
  p.limits = p.options.limits
  local how = r:pick(only or ends)
  for _ = 1, r:below(4) do mess[r:pick(part[how] or all)](p, r) end
  endings[how](p, r)
  p.out, p.err = table.concat(p.out), table.concat(p.err)
  -- Now and then a limit that cuts: never with output_kill, for which step is then the last would be the machine's choice.
  if p.flood then
    p.limits.output = 400000 * 4
    p.out = p.out .. pattern(p.limits.output)
  elseif r:chance(3) and not p.part then
    p.limits.output, p.limits.output_keep = r:pick{ 1, 1000, 65536, 100000 }, r:pick{ "head", "tail" }
  end
  return p
end

local function cut(text, limits)
  local n = limits.output or 10 * MEBI
  if #text <= n then return text, false end
  return limits.output_keep == "tail" and text:sub(-n) or text:sub(1, n), true
end

local FLAGS = { "timed_out", "oom_killed", "cpu_exceeded", "output_exceeded", "pids_exceeded", "disk_exceeded", "stdout_truncated", "stderr_truncated" }

-- nil, or what is wrong with it.
local function wrong(p, r, message, code)
  if not r then return ("lost: %s: %s"):format(tostring(code), tostring(message)) end
  if r.status ~= p.status then return ("status %s in place of %s: %s"):format(tostring(r.status), p.status, tostring(r.message)) end
  local of = r.exit_code or r.signal
  if p.code and of ~= p.code then return ("%s %s in place of %d"):format(r.status, tostring(of), p.code) end
  if r.ok ~= (p.status == "exited" and p.code == 0) then return "ok is " .. tostring(r.ok) end
  for stream, told in pairs{ stdout = p.out, stderr = p.err } do
    local text, truncated = cut(told, p.limits)
    local got = p.read and p.read[stream] or r[stream]
    if p.flood and stream == "stdout" then truncated = true end
    p.flags[stream .. "_truncated"] = truncated or nil
    local good = got == text
    if p.part then good = got == told:sub(1, #got) end
    if not good then return ("%s: %d bytes in place of %d, or others"):format(stream, #got, #text) end
    if not p.part and not p.flood and r[stream .. "_bytes"] ~= #told then return ("%s_bytes is %d in place of %d"):format(stream, r[stream .. "_bytes"], #told) end
  end
  for _, flag in ipairs(FLAGS) do
    if (r[flag] or false) ~= (p.flags[flag] or false) then return ("%s is %s, peak_pids %s"):format(flag, tostring(r[flag]), tostring(r.peak_pids)) end
  end
  -- Memory used up ends the sandbox, and its files with it.
  if p.made and r.files.made ~= pattern(p.made) and not (r.oom_killed and r.files_skipped.made) then return "a file: " .. tostring(r.files_skipped.made or #(r.files.made or "")) end
end

-- Places ------------------------------------------------------------------------------------------------------------------

local guest_dir

local function sandbox_options(r)
  local o = { mounts = { { destination = "/guest", source = guest_dir } }, limits = { memory = (64 + r:below(64)) * MEBI, pids = 24 + r:below(40) } }
  local place = { pids = o.limits.pids }
  if r:chance(4) then o.user, o.limits.disk, place.disk = 0, (1 + r:below(4)) * MEBI, true end
  return o, place
end

local function merge(o, p)
  for k, v in pairs(o) do
    if k == "limits" then
      for name, limit in pairs(v) do p.limits[name] = limit end
    else
      p.options[k] = v
    end
  end
end

-- Starts it by `spawn`, and kills it in its moment; reads its output itself now and then.
local function by_job(spawn, p, r)
  local reads = r:chance(2) and not p.limits.output_keep and not p.flood
  local job, message, code = spawn(p.options)
  if not job then return nil, message, code end
  local task = p.kill_after and sandbox.go(function()
    sandbox.sleep(p.kill_after)
    job:kill()
  end)
  if p.options.stdin == nil and r:chance(2) then job:close_stdin() end
  if reads then
    p.read = { stdout = {}, stderr = {} }
    while true do
      local stream, chunk = job:read()
      if not stream then break end
      table.insert(p.read[stream], chunk)
    end
    for stream, list in pairs(p.read) do p.read[stream] = table.concat(list) end
  end
  local result
  result, message, code = job:wait()
  if reads and result and (result.stdout_truncated or result.stderr_truncated) then p.read = nil end
  if p.read and result then result.stdout, result.stderr = nil, nil end
  if task then task:join() end
  job:close()
  return result, message, code
end

-- The program and its limits, for whoever reads of it.
local function described(p)
  local limits = {}
  for name, limit in pairs(p.limits) do limits[#limits + 1] = name .. "=" .. tostring(limit) end
  table.sort(limits)
  return (" [%s; %s]"):format(table.concat(p.options, " ", 2), table.concat(limits, " "))
end

local function one(owner, p, r)
  local jobs = p.kill_after or r:chance(3) and not p.made -- a job's files are read by whoever has its box
  local what
  if jobs then what = wrong(p, by_job(function(o) return owner:spawn(o) end, p, r)) else what = wrong(p, owner:run(p.options)) end
  return what and what .. described(p) .. (jobs and " by a job" or "")
end

local calm = { "exit", "closed", "signal", "copy", "late", "flood", "kill" } -- cpu_time is no program's in a box that others share

local places = {
  run = function(r)
    local o, place = sandbox_options(r)
    local p = new_program(r, place)
    merge(o, p)
    return one(sb, p, r)
  end,
  -- A job that is closed, or forgotten, at some moment: nobody hears of it, and nothing is left.
  dropped = function(r)
    local o, place = sandbox_options(r)
    local p = new_program(r, place)
    merge(o, p)
    p.options.collect = nil
    local job, message = sb:spawn(p.options)
    if not job then return "lost: " .. tostring(message) end
    sandbox.sleep(r:pick{ 0, 0.001, 0.03, 0.1, 0.3 })
    if r:chance(2) then job:close() end
  end,
  box = function(r)
    local o, place = sandbox_options(r)
    local box, message, code = sb:start(o)
    if not box then return ("lost: box: %s: %s"):format(tostring(code), tostring(message)) end
    local what
    for _ = 1, 1 + r:below(3) do what = what or one(box, new_program(r, place, calm), r) end
    if not what and r:chance(4) then what = one(box, new_program(r, place, { "hog" }), r) end
    if r:chance(2) then box:stop() else box:close() end
    return what
  end,
  pool = function(r)
    local o, place = sandbox_options(r)
    o.size = 1 + r:below(2)
    local pool, tasks, what = assert(sb:pool(o)), {}, nil
    local seeds = {}
    for i = 1, 1 + r:below(3) do seeds[i] = r:below(1000000) end
    for i, seed in ipairs(seeds) do
      tasks[i] = sandbox.go(function()
        local own = new_random(seed)
        if own:chance(3) then
          local box, message, code = pool:lease()
          if not box then return ("lost: lease: %s: %s"):format(tostring(code), tostring(message)) end
          local bad
          for _ = 1, 1 + own:below(2) do bad = bad or one(box, new_program(own, place, calm), own) end
          box:close()
          return bad
        end
        return one(pool, new_program(own, place), own)
      end)
    end
    for _, task in ipairs(tasks) do
      local bad, err = task:join()
      what = what or bad or err
    end
    pool:close()
    return what
  end,
}
local where = { "run", "run", "run", "box", "pool", "dropped" }

-- All of them ---------------------------------------------------------------------------------------------------------------

local function supervisors() return #select(2, family.of(("%d"):format(core.getpid()))) end

local function resident() return tonumber(env.slurp("/proc/self/status"):match "VmRSS:%s*(%d+)") end

local told, bad = {}, 0
local function tell(seed, what)
  bad = bad + 1
  print(("wrong: seed %d: %s"):format(seed, what))
  io.flush()
end

local function case(seed)
  local r = new_random(seed)
  local place = r:pick(where)
  told[place] = (told[place] or 0) + 1
  -- A task, for Lua 5.1 cannot wait inside of pcall.
  local what, err = sandbox.go(function() return places[place](r) or "" end):join()
  if not what then tell(seed, place .. " raised: " .. tostring(err)) elseif what ~= "" then tell(seed, place .. ": " .. what) end
end

local function round(first, n)
  local nth = 0
  local tasks = 1 + new_random(first):below(TASKS)
  sandbox.loop(function()
    for _ = 1, math.min(tasks, n) do
      sandbox.go(function()
        while nth < n do
          nth = nth + 1
          case(first + nth - 1)
        end
      end)
    end
  end)
end

local remove
guest_dir, remove = env.tmpdir()
assert(os.execute(("gcc -std=gnu11 -O1 -static -pthread -o %s/soak %s"):format(guest_dir, "spec/support/soak.c")))
assert(sb:run{ "true" })
assert(sb:run{ "true", collect = { "x" } })
local before = env.census()
local began, memory, heap = core.now(), nil, nil
for first = 0, RUNS - 1, ROUND do
  round(SEED + first, math.min(ROUND, RUNS - first))
  local left = env.leftovers(before)
  if not left and not env.eventually(function() return supervisors() == 0 end) then left = ("%d supervisors"):format(supervisors()) end
  if left then tell(SEED + first, ("left after the round of %d: %s"):format(ROUND, left)) end
  if first >= 2 * ROUND and not memory then memory, heap = resident(), collectgarbage "count" end
end
collectgarbage()
collectgarbage()
local growth = memory and resident() - memory or 0
if growth > 32 * 1024 then tell(SEED, ("memory: %d KiB more than after three rounds"):format(growth)) end
remove()
local parts = {}
for place, n in pairs(told) do parts[#parts + 1] = ("%s %d"):format(place, n) end
table.sort(parts)
print(("%d cases from seed %d in %.0f s (%s), %d wrong; resident %+d KiB, Lua's heap %+.0f KiB"):format(RUNS, SEED, core.now() - began, table.concat(parts, ", "), bad,
  growth, heap and collectgarbage "count" - heap or 0))
sb:close()
os.execute("rm -rf '" .. env.state_dir .. "'")
os.exit(bad == 0 and 0 or 1)
