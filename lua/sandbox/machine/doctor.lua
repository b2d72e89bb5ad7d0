-- SPDX-License-Identifier: MIT
--- What works on this machine: found out by doing it, each finding with its remedy.
-- @module sandbox.machine.doctor
local core = require "sandbox.core"
local privilege = require "sandbox.machine.privilege"
local runtime = require "sandbox.machine.runtime"
local text_module = require "sandbox.text"
local trust = require "sandbox.machine.trust"
local uids = require "sandbox.machine.uids"

local M = {}

-- What a guest or a neighbour could use against the host: the date of the release that mended it, or the flag that came with the
-- cure, where a release of the same day is without it.
local floors = {
  { date = 20230920, text = "before release-20230920.0 the control socket was open to everybody in the same network namespace"
      .. " (the supervisor therefore gives each run one of its own, and refuses network = \"host\")" },
  { date = 20250319, text = "CVE-2025-2713, privilege escalation by local users, mended in release-20250319.0" },
  { flag = "character-device-policy", text = "CVE-2026-96812, device nodes of an image reach the host's: this build has no --character-device-policy"
      .. " (a rootfs of your own must hold none)" },
}

local Report = {}
Report.__index = Report

--- The report as text, a line or two for each check.
-- @treturn string
function Report:text()
  local marks = { ok = "ok  ", note = "note", warn = "WARN", fail = "FAIL" }
  local out = {}
  for _, c in ipairs(self.checks) do
    out[#out + 1] = ("%s  %-12s %s"):format(marks[c.status], c.name, c.text)
    if c.remedy then out[#out + 1] = (" "):rep(19) .. "-> " .. c.remedy end
  end
  return table.concat(out, "\n")
end

Report.__tostring = Report.text

local function add(report, status, name, text, remedy)
  report.checks[#report.checks + 1] = { status = status, name = name, text = text, remedy = remedy }
  if status == "fail" then report.ok = false end
end

local function read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read(4096)
  file:close()
  return text and (text:gsub("%s+$", ""))
end

local function check_supervisor(report, sb)
  local removed, message = sb:cleanup_stale()
  if not removed then
    return add(report, "fail", "supervisor", tostring(message), "reinstall the module: sandbox-supervisor belongs beside core.so")
  end
  add(report, "ok", "supervisor", ("starts and answers; %d stale runs removed"):format(removed))
end

--- Findings about a build of runsc.
-- @string version
-- @tparam table flags set of the names that `runsc flags` gave
-- @treturn {string,...} what it lacks
-- @treturn boolean whether the version says of which day it is: without that, only flags tell
function M.lacks(version, flags)
  local date = runtime.version_date(version)
  local list = {}
  for _, floor in ipairs(floors) do
    if floor.flag and not flags[floor.flag] or floor.date and date and date < floor.date then list[#list + 1] = floor.text end
  end
  return list, date ~= nil
end

-- Whether there is a binary, and its version where it boots.
local function check_runsc(report, sb)
  local found, message = runtime.find(core, sb.options.runsc)
  if not found then
    add(report, "fail", "runsc", message, "https://gvisor.dev/docs/user_guide/install/")
    return false
  end
  add(report, "ok", "runsc", found.path)
  local version, why, code = sb:version()
  if not version then
    add(report, "fail", "boot", ("%s (%s)"):format(why, code), trust.remedy(why) or code == "boot_timeout" and "raise boot_timeout, or look at the load of the machine"
      or "run `sandbox run -- true` as the same user; the words above are runsc's own")
    return true
  end
  local missing, remedy = trust.lacks(found, version.flags)
  if missing then
    add(report, "warn", "folder", missing, remedy)
  elseif found.sidecars then
    add(report, "ok", "folder", ("%s has %d programs, and nobody else may write them"):format(trust.FOLDER, found.sidecars))
  end
  local lacks, dated = M.lacks(version.runsc, version.flags)
  if not dated then table.insert(lacks, 1, "this runsc was built without a version: whether it has the latest fixes cannot be told") end
  if #lacks > 0 then
    add(report, "warn", "version", version.runsc .. ": " .. table.concat(lacks, "; "), dated and "take a newer release of gVisor" or "take an official release")
  else
    add(report, "ok", "version", version.runsc)
  end
  return true, version
end

-- What boxes are on, which may be another one than runs are (sandbox.machine.runtime).
local function platform_of_boxes(sb)
  local box = sb:start{}
  local platform = box and box.rt.platform
  if box then box:stop() end
  return platform
end

-- Each one tried: which boots, and how long it took.
local function check_platforms(report, sb, chosen)
  local options, of_boxes = {}, chosen and platform_of_boxes(sb)
  for k, v in pairs(sb.given) do options[k] = v end
  options.boot_timeout = math.min(sb.options.boot_timeout, 5)
  for _, platform in ipairs{ "systrap", "ptrace", "kvm" } do
    options.platform = platform
    local other = sb.new(options)
    local r, message, code = other:run{ "/bin/true", limits = { timeout = 20 } }
    local mark = platform == chosen and (chosen == of_boxes and " (in use)" or " (in use for runs)") or platform == of_boxes and " (in use for boxes)" or ""
    if r and r.ok then
      add(report, "ok", "platform", ("%-8s boots in %.0f ms%s"):format(platform, r.boot_duration * 1000, mark))
    else
      message = message or r.message
      add(report, platform == chosen and "fail" or "note", "platform", ("%-8s %s%s"):format(platform, text_module.line(message), code and " (" .. code .. ")" or ""),
        platform == chosen and "choose another one: option platform" or platform == "kvm" and "none needed: platform = \"auto\" does not take it" or nil)
    end
    other:close()
  end
end

local function check_networks(report, sb)
  add(report, "ok", "network", "none     loopback only; the default")
  local r, message = sb:run{ "/bin/true", network = "host", limits = { timeout = 20 } }
  if r and r.ok then
    add(report, "ok", "network", "host     works; the guest reaches what this machine reaches, its 127.0.0.1 included")
  else
    add(report, "note", "network", "host     " .. text_module.line(message or r.message), "runsc of release-20230920.0 or later, if that is wanted")
  end
  r, message = sb:run{ "/bin/true", network = { allow = {} }, limits = { timeout = 20 } }
  if r and r.ok then
    add(report, "ok", "network", "sandbox  works; gVisor's own stack, with a policy of what may be reached")
  else
    add(report, "note", "network", "sandbox  " .. text_module.line(message or r.message),
      "libc-ares2, libmnl0, libnftnl11 and libseccomp2; the kernel's modules veth, nf_tables and nft_tproxy; as a user runsc of 2023 or later")
  end
end

-- What may forbid user namespaces: as a name below /proc/sys, the value that forbids, the one that allows, and whether to root, too.
local forbidding = {
  { "user/max_user_namespaces", "0", "15000", true },
  { "kernel/unprivileged_userns_clone", "0", "1" },
  { "kernel/apparmor_restrict_unprivileged_userns", "1", "0" },
}

-- The place that we are in, as far as it says what may be done there.
local function describe(place, rootless)
  local who = place.uid ~= 0 and ("uid %d, in user namespaces"):format(place.uid)
    or not place.has "CAP_SYS_ADMIN" and "root without CAP_SYS_ADMIN: sandboxes are made as an ordinary user's, in user namespaces"
    or rootless and "root that may make no ids of the host its guests': sandboxes are made as an ordinary user's, in user namespaces"
    or "root, with ids of their own for guests"
  local around = {}
  if not place.initial then around[#around + 1] = ("a user namespace of %.0f ids"):format(place.ids) end
  if place.seccomp then around[#around + 1] = "a seccomp filter, as containers have" end
  if place.apparmor then around[#around + 1] = "the AppArmor profile " .. place.apparmor end
  if place.no_new_privs then around[#around + 1] = "no_new_privs" end
  return who .. (#around > 0 and "; within " .. table.concat(around, ", ") or "")
end

-- A setting proves nothing (AppArmor may have a profile that allows it): whether a sandbox has booted does.
local function check_userns(report, version, place, reader)
  local blocked = {}
  for _, row in ipairs(forbidding) do
    if reader("/proc/sys/" .. row[1]) == row[2] and (place.uid ~= 0 or row[4]) then blocked[#blocked + 1] = row[1]:gsub("/", ".") .. "=" .. row[3] end
  end
  local who = describe(place, version and version.rootless)
  local remedy = #blocked > 0 and "sysctl -w " .. table.concat(blocked, " ") or nil
  if version then
    add(report, "ok", "privilege", who .. (remedy and "; sysctl would forbid them, but lets this one" or ""))
  elseif remedy then
    add(report, "fail", "privilege", "user namespaces are forbidden here", remedy)
  elseif place.seccomp then
    add(report, "note", "privilege", who, "if the filter forbids namespaces or mounts: examples/container/ has what to add to Docker's profile")
  else
    add(report, "note", "privilege", who .. "; no setting is known that would forbid them")
  end
end

-- Whoever has one of the guests' ids can end their sandboxes, and is let at what they leave.
local function check_ids(report, sb, rootless, reader)
  if rootless then return end
  local base, message = sb.options.map_base, nil
  if not base then base, message = uids.choose(nil, reader) end
  if not base then return add(report, "fail", "ids", message, "take a range out of /etc/subuid and /etc/subgid, or rootless = true") end
  local range, text = uids.owner(base, uids.taken(reader)), ("guests are host uids %.0f to %.0f"):format(base, base + uids.SIZE - 1)
  if not range then return add(report, "ok", "ids", text .. ", which nobody has") end
  add(report, "warn", "ids", ("%s; %s has %.0f to %.0f of them (%s)"):format(text, text_module.line(range.who), range.first, range.last, range.path),
    "another map_base, or none: one that is free is chosen")
end

local function check_kernel(report)
  local release = read("/proc/sys/kernel/osrelease") or "?"
  local major, minor = release:match("^(%d+)%.(%d+)")
  if major and (tonumber(major) < 5 or tonumber(major) == 5 and tonumber(minor) < 12) then
    return add(report, "fail", "kernel", release .. ": binds cannot be made read-only as a whole", "Linux 5.12 or later")
  end
  add(report, "ok", "kernel", release)
end

local remedies = {
  cpus = "a cpu cgroup that this user may write (systemd: Delegate=yes), or whole cores",
  disk = "user = 0, root, or a current runsc; else memory is the bound of what is written",
}

local function try_limit(report, sb, name, value)
  local limits = { timeout = 20 }
  limits[name] = value
  local r, message, code = sb:run{ "/bin/true", limits = limits }
  if not r then
    return add(report, code == "limit_unavailable" and "warn" or "fail", "limits", name .. ": " .. message, remedies[name])
  end
  local by = r.limits[name].enforced_by
  add(report, by and "ok" or "warn", "limits", ("%-10s %s"):format(name, by and "enforced by " .. by or "nobody enforces it"), not by and remedies[name] or nil)
end

local function check_cgroup(report, rt)
  if rt.cgroup ~= "none" then
    return add(report, "ok", "cgroup", rt.cgroup .. ": the kernel backs the limits of memory and pids")
  end
  add(report, "warn", "cgroup", "none: the supervisor alone reads and holds memory and CPU time, cpus are whole cores only", rt.cgroup_reason)
end

-- What of the host's /etc is shown, as a guest finds it.
local function check_etc(report, sb)
  local r, message = sb:run{ "/bin/sh", "-c", "cd /etc && echo *", rootfs = "host", limits = { timeout = 20 } }
  if not r or r.stdout == "" then return add(report, "warn", "etc", "what guests see of /etc is not known: " .. (message or tostring(r.stderr))) end
  add(report, "ok", "etc", "with rootfs = \"host\" guests see of /etc: " .. (r.stdout:gsub("%c+$", "")))
end

local function check_run(report, sb)
  local r, message, code = sb:run{ "/bin/sh", "-c", "echo hello", limits = { timeout = 20 } }
  if not r then
    return add(report, "fail", "run", ("%s (%s)"):format(message, code), "run `sandbox run -- sh -c 'echo hello'` as the same user")
  end
  if r.stdout ~= "hello\n" then return add(report, "fail", "run", "a shell in the sandbox said " .. tostring(r.stdout) .. tostring(r.stderr)) end
  add(report, "ok", "run", ("a shell said hello; boot %.0f ms, in all %.0f ms"):format(r.boot_duration * 1000, r.total_duration * 1000))
  check_cgroup(report, r.runtime)
  check_etc(report, sb)
  for _, limit in ipairs{ { "timeout", 20 }, { "memory", "64M" }, { "pids", 32 }, { "cpu_time", 10 }, { "cpus", 0.5 }, { "output", "1M" },
                          { "disk", "8M" }, { "file_size", "1M" }, { "open_files", 64 } } do
    try_limit(report, sb, limit[1], limit[2])
  end
end

--- Examines this machine with an instance's options.
-- @tparam Instance sb
-- @func[opt] reader of files below /proc, for tests
-- @tparam[opt] table place as `privilege.here` gives it, for tests
-- @treturn table report: `ok`, `checks`; tostring gives the text
function M.examine(sb, reader, place)
  local report = setmetatable({ ok = true, checks = {} }, Report)
  add(report, "ok", "module", ("sandbox %s, %s"):format(core.VERSION or "?", rawget(_G, "jit") and rawget(_G, "jit").version or _VERSION))
  check_kernel(report)
  check_supervisor(report, sb)
  local found, version = check_runsc(report, sb)
  place = place or privilege.here(core, reader)
  check_userns(report, version, place, reader or read)
  -- Where none boots, by what would be tried first.
  local asked = sb.options.rootless
  if asked == nil then asked = "auto" end
  check_ids(report, sb, version and version.rootless or not version and (privilege.ways(place, asked) or { true })[1], reader)
  if version then check_run(report, sb) end
  if found then check_platforms(report, sb, version and version.platform) end
  if version then check_networks(report, sb) end
  return report
end

return M
