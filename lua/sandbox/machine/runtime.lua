-- SPDX-License-Identifier: MIT
--- Finds runsc, decides whether to trust it, learns its version, its flags and which platform boots, and remembers that.
-- @module sandbox.machine.runtime
local json = require "sandbox.json"
local lock = require "sandbox.hosts.lock"
local privilege = require "sandbox.machine.privilege"
local trust = require "sandbox.machine.trust"

local M = {}

local trusted = { "/usr/local/bin", "/usr/bin", "/usr/local/sbin", "/usr/sbin", "/opt/gvisor/bin" }
local TOOL_TIMEOUT = 10
local HINT = "install gVisor (https://gvisor.dev/docs/user_guide/install/), or name the binary: option runsc, or $SANDBOX_RUNSC"

-- Trust -----------------------------------------------------------------------------------------------------------------

local function writable_by_all(mode)
  return math.floor(mode / 2) % 2 == 1
end

--- Whether a binary may be run (sandbox.machine.trust).
-- @tparam table core
-- @string path
-- @tparam[opt] table place of `privilege.here`, where it is known
-- @treturn table { path = the real path, stat = …, sidecars = … }, or nil, message, "runsc_missing"
function M.trust(core, path, place)
  local found, message, code = trust.judge(core, path, HINT, place)
  return found, message, code
end

local function search(core, place)
  local dirs = {}
  for _, dir in ipairs(trusted) do dirs[#dirs + 1] = dir end
  if core.getuid() ~= 0 then -- root never takes what a PATH offers
    for dir in (core.getenv_secure("PATH") or ""):gmatch("[^:]+") do
      if dir:sub(1, 1) == "/" then dirs[#dirs + 1] = dir end
    end
  end
  for _, dir in ipairs(dirs) do
    local st = core.stat(dir .. "/runsc")
    if st and st.type ~= "directory" then
      local found, message, code = M.trust(core, dir .. "/runsc", place)
      return found, message, code
    end
  end
  return nil, "runsc was not found in " .. table.concat(dirs, ", ") .. "; " .. HINT, "runsc_missing"
end

--- Finds the binary: the option, $SANDBOX_RUNSC, the trusted directories, and PATH for ordinary users.
-- @tparam table core
-- @string[opt] option
-- @tparam[opt] table place of `privilege.here`, where it is known
-- @treturn table as `trust`, or nil, message, "runsc_missing"
function M.find(core, option, place)
  local path = option or core.getenv_secure("SANDBOX_RUNSC")
  local found, message, code
  if not path or path == "" then
    found, message, code = search(core, place)
  elseif path:sub(1, 1) ~= "/" then
    return nil, "$SANDBOX_RUNSC must be an absolute path, not " .. path, "runsc_missing"
  else
    found, message, code = M.trust(core, path, place)
  end
  return found, message, code
end

-- The state directory ---------------------------------------------------------------------------------------------------

local function is_private(core, path)
  local st = core.lstat(path)
  return st and st.type == "directory" and st.uid == core.getuid() and not writable_by_all(st.mode)
end

-- Where runs may live when no option says, in the order of preference.
local function default_state_dirs(core)
  local uid, list = core.getuid(), {}
  local runtime = core.getenv_secure("XDG_RUNTIME_DIR")
  if uid == 0 then list[1] = "/run/lua-sandbox" end
  if runtime and runtime:sub(1, 1) == "/" and #runtime <= 40 and is_private(core, runtime) then
    -- For root of a user namespace, whose names in /tmp may be taken, too: another than the user's own, whose mode keeps the gofer out.
    list[#list + 1] = runtime .. (uid == 0 and "/lua-sandbox-0" or "/lua-sandbox")
  end
  for _, dir in ipairs{ "/tmp", "/var/tmp" } do list[#list + 1] = ("%s/lua-sandbox-%d"):format(dir, uid) end
  return list
end

local chosen -- of those, by this process

--- Where runs live when no option says.
-- @tparam table core
-- @treturn string
function M.default_state_dir(core) return chosen or default_state_dirs(core)[1] end

-- Makes a state directory, or checks that it is ours alone.
local function private_dir(core, path)
  local root, st, ok, why = core.getuid() == 0, core.lstat(path), nil, nil
  if not st then
    ok, why = core.mkdir(path, root and tonumber("711", 8) or tonumber("700", 8))
    st = core.lstat(path)
  end
  if not st then return nil, ("state_dir %s cannot be made: %s"):format(path, tostring(not ok and why or "?")), "system" end
  local function refuse(reason)
    return nil, ("state_dir %s is refused: %s"):format(path, reason), "system"
  end
  if st.type ~= "directory" then return refuse("it is a " .. st.type) end
  if st.uid ~= core.getuid() then return refuse(("it belongs to uid %d"):format(st.uid)) end
  if writable_by_all(st.mode) or math.floor(st.mode / 16) % 2 == 1 then return refuse("others may write it") end
  if root and st.mode % 2 == 0 then return refuse("its mode must be 0711: the mapped gofer has to pass (chmod 711 " .. path .. ")") end
  return path
end

-- What is full, of bytes or of files, takes no run, whose files are some ten kilobytes.
local function takes_files(core, path)
  local name = ("%s/.try-%s"):format(path, core.random_hex(8))
  local ok, why = core.write_file(name, (" "):rep(65536), tonumber("600", 8))
  core.unlink(name)
  if not ok then return nil, ("state_dir %s cannot be used: %s"):format(path, tostring(why)), "system" end
  return path
end

--- Makes the state directory, or checks that it is ours alone. Where no option names it and the usual one cannot be had (another's, a
-- full or read-only file system), the next of the usual ones is taken.
-- @tparam table core
-- @string[opt] option
-- @treturn string its path, or nil, message, "system"
function M.state_dir(core, option)
  local path, message, code
  if option or chosen then
    path, message, code = private_dir(core, option or chosen)
    if path or option then return path, message, code end
  end
  local first, first_code
  for _, dir in ipairs(default_state_dirs(core)) do
    path, message, code = private_dir(core, dir)
    if path then path, message, code = takes_files(core, path) end
    if path then
      chosen = path
      return path
    end
    if not first then first, first_code = message, code end
  end
  return nil, first .. "; name another directory: option state_dir", first_code
end

-- The cache -------------------------------------------------------------------------------------------------------------

local memory = {} -- by state directory

local function read_first(path, pattern)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read(1024 * 1024)
  file:close()
  return text and text:match(pattern or "^(.*)$")
end

local function load_cache(core, dir)
  if memory[dir] then return memory[dir] end
  local cache
  local st = core.lstat(dir .. "/runtime.json")
  if st and st.type == "file" and st.uid == core.getuid() and not writable_by_all(st.mode) then
    cache = json.decode(read_first(dir .. "/runtime.json") or "")
  end
  memory[dir] = type(cache) == "table" and cache or {}
  return memory[dir]
end

-- A cache that cannot be written costs a probe the next time, no more.
local function save_cache(core, dir)
  local name = ("%s/.runtime-%s"):format(dir, core.random_hex(8))
  if core.write_file(name, json.encode(memory[dir]), tonumber("600", 8)) and not core.rename(name, dir .. "/runtime.json") then
    core.unlink(name)
  end
end

local PROBED = 3 -- counts what is asked of a binary: what was remembered of fewer questions is asked anew

local function key_of(found)
  local st = found.stat
  return ("%d %s %.0f:%.0f %.0f %.0f"):format(PROBED, found.path, st.dev, st.ino, st.mtime, st.size)
end

-- Probing ---------------------------------------------------------------------------------------------------------------

--- "release-20240729.0", "0.0~20240729.0" and "20240729.0" as 20240729; nil for what has no date.
-- @string version
-- @treturn integer
function M.version_date(version)
  return tonumber(tostring(version):match("(20%d%d[01]%d[0-3]%d)"))
end

--- The version in what `runsc --version` prints.
-- @string output
-- @treturn string
function M.parse_version(output)
  local version = output:match("runsc version ([^\r\n]+)")
  if not version or version == "VERSION_MISSING" then return "unknown" end
  return (version:gsub("^release%-", ""):gsub("^0%.0~", ""))
end

--- The names in what `runsc flags` prints.
-- @string output
-- @treturn table set
function M.parse_flags(output)
  local flags = {}
  for line in (output .. "\n"):gmatch("([^\n]*)\n") do
    local name = line:match("^%s+%-%-?([%w_-]+)")
    if name then flags[name] = true end
  end
  return flags
end

-- What the design depends on, present in every build since 2022. The rest varies.
local interesting = { "directfs", "pod-init-config", "overlay2", "ignore-cgroups", "gofer-network-namespace", "rootless", "log-format", "panic-log",
                      "character-device-policy", "sidecar-usage-policy" }

local function tool(env, path, args)
  local request = require "sandbox.run.request"
  local timeout = math.max(env.options.boot_timeout, TOOL_TIMEOUT) -- who gives a slow machine longer to boot gives this longer, too
  local r, message, code = env.execute({ mode = "tool", limits = { output = 1024 * 1024, timeout = timeout } }, request.tool(path, args, timeout))
  if not r then return nil, message, code end
  if r.status ~= "exited" then
    return nil, ("runsc: %s %s: %s"):format(path, table.concat(args, " "), r.message or r.status), "runsc_failed"
  end
  return (r.stdout or "") .. "\n" .. (r.stderr or ""), r.exit_code
end

local function probe(env, path)
  local page = trust.is_page(env.core, path)
  if page then return nil, page, "runsc_missing" end
  local output, status, code = tool(env, path, { "--version" })
  if not output then return nil, status, code end
  if not output:find("runsc version", 1, true) then
    return nil, ("runsc: %s does not say what it is (status %s): %s"):format(path, tostring(status), output:sub(1, 200)), "runsc_failed"
  end
  local list, why, kind = tool(env, path, { "flags" })
  if not list then return nil, why, kind end
  local all, flags = M.parse_flags(list), {}
  for _, name in ipairs(interesting) do flags[name] = all[name] or nil end
  -- A layer of limited size exists since release-20250611.0; a build without a version says so in the flag's own words.
  flags.overlay_size = (list:match("%-overlay2 value(.-)\n%s+%-") or ""):find("size=", 1, true) and true or nil
  if not flags.overlay2 then
    return nil, ("runsc: %s (%s) is older than what this module supports: it has no --overlay2"):format(path, M.parse_version(output)), "not_supported"
  end
  return { version = M.parse_version(output), flags = flags }
end

local function boots(env, rt, platform)
  local options_plan, request = require "sandbox.options.plan", require "sandbox.run.request"
  local plan = options_plan.run({ "/bin/true", limits = { timeout = 10, memory = false, pids = false, best_effort = true } })
  local trial = {}
  for k, v in pairs(rt) do trial[k] = v end
  trial.platform, plan.runtime = platform, trial
  local id = env.core.random_hex(16)
  local r, message, code = env.execute(plan, request.build(plan, trial, id))
  if r or code == "bad_command" then return true end
  return nil, message, code
end

-- What is tried, the better one first. In releases from directfs to layers of limited size (2023-09 to 2025-06; 20240729 was measured) the
-- end of a program on systrap takes 11 ms, and a sandbox that waits there takes 3 % of a core: in a box that is most of a program's time.
local function platforms(env, rt)
  if rt.platform ~= "auto" then return { rt.platform } end
  return env.use == "box" and rt.flags.directfs and not rt.flags.overlay_size and { "ptrace", "systrap" } or { "systrap", "ptrace" }
end

-- The first that boots. What is wrong with more than the platform is not tried twice; that a build of 2022 knows no systrap says nothing.
local function choose_platform(env, rt)
  local first, first_code
  for _, platform in ipairs(platforms(env, rt)) do
    local ok, message, code = boots(env, rt, platform)
    if ok then return platform end
    if code ~= "runsc_failed" and code ~= "boot_timeout" and code ~= "not_supported" then return nil, message, code end
    if not first or first:find("unknown platform", 1, true) then first, first_code = message, code end
  end
  return nil, first, first_code
end

-- Another process may have found it out since the file was read: workers of a server begin together.
local function learned_meanwhile(core, dir, key)
  local mine = load_cache(core, dir)
  memory[dir] = nil
  local fresh = load_cache(core, dir)
  memory[dir] = mine
  for name, value in pairs(fresh) do
    if mine[name] == nil then mine[name] = value end
  end
  local entry = fresh[key]
  return type(entry) == "table" and type(entry.flags) == "table" and entry or nil
end

-- What is being found out, by state directory and binary: one finds out, the others wait for what it comes to.
local locks = {}
local NAP = 0.01 -- seconds between two looks

-- Never the token itself, which lives as long as its coroutine and no longer.
local function outcome_of(held)
  local token = held:held()
  return token and token.outcome
end

-- Calls find, unless somebody is at it: then what that came to counts, a failure too. One who was killed over it is followed by the next.
local function once(env, key, recall, find)
  locks[key] = locks[key] or lock.new()
  local outcome
  while true do
    local value = recall()
    if value then return value end
    if outcome and outcome.message then return nil, outcome.message, outcome.code end
    local token = locks[key]:take()
    if token then
      token.outcome = {} -- what the others hold instead of the token, which must be this coroutine's alone
      local found, message, code = find()
      if not found then token.outcome.message, token.outcome.code = message, code end
      locks[key]:release(token)
      return found, message, code
    end
    outcome = outcome_of(locks[key])
    lock.collect(env.core.now())
    env.sleep(NAP)
  end
end

local boot_id -- of the machine: the same as long as this process lives

-- The first way, and in it the first platform, that boots.
local function try_ways(env, rt, ways)
  local first, first_code
  for _, rootless in ipairs(ways) do
    rt.rootless = rootless
    local message, code, platform
    rt.map_base, message, code = M.map_base(env, rt, load_cache(env.core, rt.state_dir))
    if rootless or rt.map_base then
      platform, message, code = choose_platform(env, rt)
      if platform then return platform end
      if code ~= "runsc_failed" and code ~= "not_supported" then return nil, message, code end
      if not first then first, first_code = message, code end
    elseif #ways == 1 then
      return nil, message, code
    end
  end
  return nil, first, first_code
end

-- The way and the platform that boot: remembered for this binary, these credentials and this boot of the machine, else tried.
local function settle(env, rt, known, key, found)
  boot_id = boot_id or read_first("/proc/sys/kernel/random/boot_id", "^(%S+)") or "?"
  local order = rt.platform == "auto" and platforms(env, rt)[1] == "ptrace" and "auto-ptrace" or rt.platform
  local slot = ("%s %s %s %s"):format(order, tostring(env.options.rootless), privilege.key(found.place), boot_id)
  local function recall(entry)
    local platform, way = tostring(type(entry.platforms) == "table" and entry.platforms[slot]):match "^(%l+) (%l+)$"
    if not platform or rt.platform ~= "auto" and rt.platform ~= platform then return nil end
    return (way == "user" or way == "root") and { platform = platform, rootless = way == "user" } or nil
  end
  local settled, message, code = once(env, rt.state_dir .. " " .. rt.runsc .. " " .. slot, function() return recall(known) end, function()
    local other = learned_meanwhile(env.core, rt.state_dir, key)
    if other and recall(other) then
      known.platforms = other.platforms
      return recall(other)
    end
    local platform, why, kind = try_ways(env, rt, found.ways)
    if not platform then return nil, why, kind end
    local kept = {} -- of this boot
    for name, value in pairs(type(known.platforms) == "table" and known.platforms or {}) do
      if name:sub(-#boot_id) == boot_id then kept[name] = value end
    end
    kept[slot] = platform .. (rt.rootless and " user" or " root")
    known.platforms = kept
    save_cache(env.core, rt.state_dir)
    return { platform = platform, rootless = rt.rootless }
  end)
  if not settled then
    local remedy = trust.remedy(message)
    return nil, remedy and message .. ": " .. remedy or message, code
  end
  rt.platform, rt.rootless = settled.platform, settled.rootless
  return true
end

--- What a run needs to know of this machine.
-- @tparam table env { core=, options = of the instance, use = "box" for what stays, execute = function(plan, request) → result | nil, message, code,
-- sleep = function(seconds) in the host's way }
-- @treturn table { runsc=, version=, flags=, platform=, rootless=, state_dir=, trace=, boot_timeout=, cgroup_parent=, runsc_flags= };
-- or nil, message, code
function M.get(env)
  local core, options = env.core, env.options
  local place = privilege.here(core)
  local found, message, code = M.find(core, options.runsc, place)
  if not found then return nil, message, code end
  local dir
  dir, message, code = M.state_dir(core, options.state_dir)
  if not dir then return nil, message, code end
  local key = key_of(found)
  local known
  known, message, code = once(env, dir .. " " .. key, function()
    local entry = load_cache(core, dir)[key]
    return type(entry) == "table" and type(entry.flags) == "table" and entry or nil
  end, function()
    local other = learned_meanwhile(core, dir, key)
    if other then return other end
    local entry, why, kind = probe(env, found.path)
    if not entry then return nil, why, kind end
    load_cache(core, dir)[key] = entry
    save_cache(core, dir)
    return entry
  end)
  if not known then return nil, message, code end
  local ways
  ways, message, code = privilege.ways(place, options.rootless)
  if not ways then return nil, message, code end
  local rt = {
    runsc = found.path, version = known.version, flags = known.flags, rootless = ways[1], state_dir = dir,
    trace = known.flags["pod-init-config"] or false, boot_timeout = options.boot_timeout,
    cgroup_parent = options.cgroup_parent or "auto", runsc_flags = options.runsc_flags, platform = options.platform, identity = place.identity,
  }
  if #ways > 1 or rt.platform == "auto" then
    local ok
    ok, message, code = settle(env, rt, known, key, { place = place, ways = ways })
    if not ok then return nil, message, code end
  end
  rt.map_base, message, code = M.map_base(env, rt, load_cache(core, dir))
  if not rt.rootless and not rt.map_base then return nil, message, code end
  return rt
end

--- Whether programs that are not uid 0 keep capabilities: asked of the build once, by a sandbox that looks.
-- @tparam table env as of `get`
-- @tparam table rt
-- @treturn boolean; nil where it could not be asked
function M.ambient(env, rt)
  local found = M.trust(env.core, rt.runsc)
  local known = found and load_cache(env.core, rt.state_dir)[key_of(found)]
  if type(known) ~= "table" then return nil end
  if type(known.ambient) == "boolean" then return known.ambient end
  local options_plan, request = require "sandbox.options.plan", require "sandbox.run.request"
  local plan = options_plan.run{ "/bin/cat", "/proc/self/status", limits = { timeout = 60, memory = false, pids = false, best_effort = true } }
  plan.runtime = rt
  local r, message, code = env.execute(plan, request.build(plan, rt, env.core.random_hex(16)))
  if not r or not r.ok then return nil, message or r.message, code or "runsc_failed" end
  known.ambient = r.stdout:find("CapAmb:", 1, true) ~= nil
  save_cache(env.core, rt.state_dir)
  return known.ambient
end

--- Whether a program gets the capabilities that it is to have.
-- @tparam table plan of the program, or of its sandbox
-- @tparam table rt with `ambient`
-- @treturn boolean true, or nil, message, code
function M.check_ambient(plan, rt)
  if rt.ambient ~= false or #plan.capabilities == 0 or plan.user.uid == 0 then return true end
  return nil, ("capabilities for uid %.0f need a runsc that knows ambient ones, and %s (%s) gives them to uid 0 alone: user = 0, or a newer runsc"):format(
    plan.user.uid, rt.runsc, rt.version), "not_supported"
end

--- The first of the host's ids that guests get as root: the option, or what was chosen once for this state directory, as long as the
-- files in which ids are given away are the same.
-- @tparam table env
-- @tparam table rt
-- @tparam table cache
-- @treturn integer or nil, message, code
function M.map_base(env, rt, cache)
  if env.options.map_base or rt.rootless then return env.options.map_base end
  local seen = env.core.stamp("/etc/subuid", "/etc/subgid", "/etc/passwd", "/etc/group")
  local known = type(cache.map_base) == "table" and cache.map_base or {}
  if known.seen == seen and tonumber(known.base) then return tonumber(known.base) end
  local base, message = require("sandbox.machine.uids").choose(tonumber(known.base))
  if not base then return nil, message, "not_supported" end
  cache.map_base = { base = base, seen = seen }
  save_cache(env.core, rt.state_dir)
  return base
end

--- The same for a spec that is only shown: what is remembered, or would be chosen. Writes nothing.
-- @tparam table core
-- @tparam table options of the instance
-- @bool rootless
-- @string dir the state directory
-- @treturn integer, nil for rootless ones; or nil, message, code
function M.expected_map_base(core, options, rootless, dir)
  if options.map_base or rootless then return options.map_base end
  local known = load_cache(core, dir).map_base
  local base, message = require("sandbox.machine.uids").choose(type(known) == "table" and tonumber(known.base) or nil)
  if not base then return nil, message, "not_supported" end
  return base
end

--- Whether runs would be rootless, for a spec that is only shown: what is remembered is not asked for, nothing is tried.
-- @tparam table core
-- @tparam table options of the instance
-- @treturn boolean
function M.expected_rootless(core, options)
  local ways = privilege.ways(privilege.here(core), options.rootless)
  return not ways or ways[1]
end

--- Forgets what was remembered in this process; the file stays.
function M.forget()
  memory = {}
end

return M
