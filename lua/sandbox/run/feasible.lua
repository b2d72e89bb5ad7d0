-- SPDX-License-Identifier: MIT
--- What this host cannot do of a plan, said in words before anything is started.
-- @module sandbox.run.feasible
local core = require "sandbox.core"
local files = require "sandbox.run.files"
local oci = require "sandbox.run.oci"
local runtime = require "sandbox.machine.runtime"

local M = {}

local function exists(path, kind, what)
  local st, why = core.stat(path)
  if not st then return nil, what .. " " .. (why or path .. ": it does not exist"), "bad_rootfs" end -- `why` names the path
  if kind and st.type ~= kind then return nil, ("%s %s is no %s"):format(what, path, kind), "bad_rootfs" end
  return true
end

--- What the plan names of the host: whether it is there, and may be used. Paths of files become those that they resolve to.
-- @tparam table plan
-- @treturn boolean true, or nil, message, code
function M.check_host(plan)
  local ok, message, code = true, nil, nil
  if plan.bundle then
    ok, message, code = exists(plan.bundle, "directory", "bundle")
  elseif plan.rootfs ~= "host" then
    plan.erofs = (core.stat(plan.rootfs) or {}).type == "file" or nil
    ok, message, code = exists(plan.rootfs, not plan.erofs and "directory" or nil, "rootfs")
  end
  if not ok then return nil, message, code end
  for _, m in ipairs(plan.mounts) do
    if m.source and m.type ~= "volume" then
      ok, message, code = exists(m.source, m.type == "cow" and "directory" or nil, "mount source")
      if not ok then return nil, message, code end
    end
  end
  ok, message, code = files.may(plan.files, plan)
  if not ok then return nil, message, code end
  ok, message, code = files.look(plan.files, plan.limits.disk or plan.limits.memory or nil)
  if not ok then return nil, message, code end
  for _, file in ipairs(plan.files) do
    if file.from then file.from = core.realpath(file.from) or file.from end
  end
  if type(plan.stdin) == "table" and plan.stdin.from then
    ok, message, code = exists(plan.stdin.from, nil, "stdin")
    if not ok then return nil, message, code end
  end
  return true
end

local function check_disk(plan, rt)
  if not plan.limits.disk or oci.disk_by(plan, rt) then return true end
  if plan.limits.best_effort then
    plan.unenforced = plan.unenforced or {}
    plan.unenforced.disk = true
    return true
  end
  return nil, "limits.disk cannot be held: " .. (plan.bundle and "a bundle brings file systems of its own; give them sizes"
    or "as an ordinary user that needs user = 0 (which is yourself, without capabilities), or runsc of release-20250611.0 or later")
    .. "; or set limits.best_effort", "limit_unavailable"
end

local function check_inodes(plan, rt)
  if not plan.inodes_asked or oci.inodes_held(plan, rt) then return true end
  if plan.limits.best_effort then
    plan.inodes_asked = nil
    return true
  end
  return nil, "limits.inodes cannot be held: " .. (plan.bundle and "a bundle brings file systems of its own"
    or "as an ordinary user that needs user = 0 (which is yourself, without capabilities)")
    .. "; leave it out, or set limits.best_effort", "limit_unavailable"
end

-- As a root; and as a mount, which earlier ones leave out and say so in their log alone.
local EROFS_SINCE, EROFS_MOUNT_SINCE = 20240408, 20260301

-- Its magic number, behind 1 KiB for boot code (Documentation/filesystems/erofs.rst).
local function is_erofs(path)
  local reader = core.reader(path)
  local head = reader and reader:read(1028)
  if reader then reader:close() end
  return head and head:sub(1025, 1028) == "\226\225\245\224"
end

-- A file as root is read by the sentry itself, above which is a layer in its memory: what lies in the supervisor's root is not seen there.
local function check_erofs(plan, rt)
  if not plan.erofs then return true end
  local date = runtime.version_date(rt.version)
  if not rt.flags.directfs or date and date < EROFS_SINCE then
    return nil, ("an EROFS file as rootfs needs runsc of release-20240408.0 or later; %s is %s"):format(rt.runsc, rt.version), "not_supported"
  end
  if not is_erofs(plan.rootfs) then return nil, ("rootfs %s is neither a directory nor an EROFS file"):format(plan.rootfs), "bad_rootfs" end
  if plan.limits.disk and (not plan.readonly or oci.disk_by(plan, rt) ~= "store") and not plan.limits.best_effort then
    return nil, "limits.disk cannot be held over an EROFS file that is written to, nor as an ordinary user: leave it out, or set limits.best_effort", "limit_unavailable"
  end
  for _, file in ipairs(plan.files) do
    if files.in_root(file.path, plan.mounts) then
      return nil, ("cannot put file %s in place: over an EROFS file only /work, /tmp and writable mounts take files"):format(file.path), "bad_rootfs"
    end
  end
  return true
end

-- Whether root can have one here the supervisor finds out (sup_disk.h).
local function check_volumes(plan, rt)
  for _, m in ipairs(rt.rootless and plan.mounts or {}) do
    if m.size and m.type == "volume" then
      return nil, ("the size of volume %s cannot be held as an ordinary user: keep it without one, and let volume_dir be a file system of the size that all"
        .. " may have"):format(m.source), "not_supported"
    end
  end
  return true
end

local function check_erofs_mounts(plan, rt)
  for _, m in ipairs(plan.mounts) do
    if m.type == "erofs" then
      local date = runtime.version_date(rt.version)
      local can = rt.flags["character-device-policy"] -- a later one's, where the version says nothing
      if date then can = date >= EROFS_MOUNT_SINCE end
      if not can then
        return nil, ("the EROFS file at %s needs runsc of release-20260301.0 or later; %s is %s"):format(m.destination, rt.runsc, rt.version), "not_supported"
      end
      if not is_erofs(m.source) then return nil, ("mount source %s is no EROFS file"):format(m.source), "bad_rootfs" end
    end
  end
  return true
end

--- What depends on the runtime: a network, mounts and limits that it can hold. With limits.best_effort the plan says what is not held.
-- @tparam table plan
-- @tparam table rt
-- @treturn boolean true, or nil, message, code
function M.check_runtime(plan, rt)
  if plan.network == "host" and not rt.flags.directfs then
    return nil, ("network = \"host\" needs runsc of release-20230920.0 or later, for older ones leave their control socket open"
      .. " to everybody in that network; %s is %s"):format(rt.runsc, rt.version), "not_supported"
  end
  if type(plan.network) == "table" and rt.rootless and not rt.flags.directfs then
    return nil, ("a network of its own needs, as an ordinary user, runsc of release-20230920.0 or later; %s is %s"):format(rt.runsc, rt.version), "not_supported"
  end
  if rt.rootless and plan.user and plan.user.uid ~= 0 then
    for _, m in ipairs(plan.mounts) do
      if m.source and not m.readonly then
        return nil, ("the writable mount at %s needs user = 0 (which is yourself, without capabilities) when runsc runs as an"
          .. " ordinary user"):format(m.destination), "not_supported"
      end
    end
  end
  local ok, message, code = check_erofs(plan, rt)
  if ok then ok, message, code = check_erofs_mounts(plan, rt) end
  if ok then ok, message, code = check_volumes(plan, rt) end
  if ok then ok, message, code = check_disk(plan, rt) end
  if ok then ok, message, code = check_inodes(plan, rt) end
  return ok, message, code
end

return M
