-- SPDX-License-Identifier: MIT
-- What the doctor says of machines that this one is not.
local doctor = require "sandbox.machine.doctor"

-- An instance on a machine where sandboxes boot, or do not.
local function instance(boots, runsc)
  local sb = { options = { boot_timeout = 10, runsc = runsc or "/bin/sh" }, given = {} }
  function sb.cleanup_stale() return 2 end
  function sb.version() if boots then return { runsc = "release-20260901.0", platform = "systrap", flags = { ["character-device-policy"] = true } } end return nil, "unshare: no", "runsc_failed" end
  function sb.run(_, options)
    if not boots then return nil, "unshare: no", "runsc_failed" end
    local limits = {}
    for name in pairs(options.limits) do limits[name] = { enforced_by = "supervisor" } end
    return { ok = true, stdout = "hello\n", boot_duration = 0.1, total_duration = 0.2, limits = limits,
             runtime = { cgroup = "none", cgroup_reason = "it is not delegated (systemd-run …)" } }
  end
  function sb.start() if boots then return { rt = { platform = "ptrace" }, stop = function() end } end end
  function sb.close() end
  sb.new = function() return sb end
  return sb
end

local function line(report, name)
  for _, check in ipairs(report.checks) do
    if check.name == name then return check end
  end
end

describe("the doctor", function()
  it("knows which fixes a version lacks", function()
    local function lacks(version, flag) return #doctor.lacks(version, { ["character-device-policy"] = flag }) end
    assert.are.same({ 3, 2, 2, 1 }, { lacks "release-20221219.0", lacks "release-20230920.0", lacks "20240729.0", lacks "release-20250319.0" })
    -- The release of the day of the fix came before it: only the flag tells.
    assert.are.same({ 1, 0, 0 }, { lacks("release-20260817.0", nil), lacks("release-20260817.0", true), lacks("release-20990101.0", true) })
    for _, garbage in ipairs{ "unknown", "", "VERSION_MISSING", "release-x" } do
      assert.are.same({ 0, 1 }, { lacks(garbage, true), lacks(garbage, nil) })
      assert.is_false(select(2, doctor.lacks(garbage, {})))
    end
    assert.truthy(doctor.lacks("release-20250101.0", {})[1]:find("CVE-2025-2713", 1, true))
    assert.truthy(doctor.lacks("unknown", {})[1]:find("CVE-2026-96812", 1, true))
  end)

  it("believes a sandbox that boots more than a setting", function()
    local forbids = function(path) return path:find "max_user_namespaces" and "0" or nil end
    local report = doctor.examine(instance(true), forbids)
    assert.are.equal("ok", line(report, "privilege").status)
    report = doctor.examine(instance(false), forbids)
    assert.are.same({ "fail", "sysctl -w user.max_user_namespaces=15000" }, { line(report, "privilege").status, line(report, "privilege").remedy })
    assert.is_false(report.ok)
    report = doctor.examine(instance(false), function() return nil end)
    assert.are.equal("note", line(report, "privilege").status)
  end)

  it("says what may be done by what the place allows, not by uid 0", function()
    local function said(place, rootless)
      local sb = instance(true)
      local version = sb.version()
      version.rootless = rootless
      sb.version = function() return version end
      local report = doctor.examine(sb, function() return nil end, place)
      return line(report, "privilege").text, line(report, "ids")
    end
    local function yes() return true end
    local function no() return false end
    local text, ids = said({ uid = 0, initial = true, ids = 2 ^ 32 - 1, has = yes }, false)
    assert.are.equal("root, with ids of their own for guests", text)
    assert.is_table(ids)
    text, ids = said({ uid = 0, initial = true, seccomp = true, has = no }, true)
    assert.are.equal("root without CAP_SYS_ADMIN: sandboxes are made as an ordinary user's, in user namespaces; within a seccomp filter, as containers have", text)
    assert.is_nil(ids)
    text = said({ uid = 0, initial = false, ids = 1, has = yes }, true)
    assert.are.equal("root that may make no ids of the host its guests': sandboxes are made as an ordinary user's, in user namespaces; within a user namespace of 1 ids", text)
    assert.are.equal("uid 5, in user namespaces; within the AppArmor profile x, no_new_privs", said({ uid = 5, initial = true, apparmor = "x", no_new_privs = true, has = no }, true))
  end)

  it("tries each platform, also where none boots", function()
    local n = 0
    for _, check in ipairs(doctor.examine(instance(false)).checks) do n = n + (check.name == "platform" and 1 or 0) end
    assert.are.equal(3, n)
    local text = tostring(doctor.examine(instance(true)))
    assert.truthy(text:find("systrap  boots in 100 ms (in use for runs)", 1, true), text)
    assert.truthy(text:find("ptrace   boots in 100 ms (in use for boxes)", 1, true), text)
  end)

  it("has a remedy on every line that needs one", function()
    local report = doctor.examine(instance(true))
    assert.are.equal("it is not delegated (systemd-run …)", line(report, "cgroup").remedy)
    for _, sick in ipairs{ instance(false), instance(true, "/nonexistent/runsc") } do
      for _, check in ipairs(doctor.examine(sick).checks) do
        if check.status == "fail" then assert.is_string(check.remedy, check.name) end
      end
    end
    assert.truthy(tostring(report):find("WARN  cgroup", 1, true))
  end)
end)
