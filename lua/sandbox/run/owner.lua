-- SPDX-License-Identifier: MIT
--- Whose the files of a guest are. As root the supervisor gives them to `user`; as an ordinary user it has one id to give, which is
-- uid 0 of the guest. There our helper is the first process, gives them away inside, and becomes the program (src/guest/guest_own.h).
-- @module sandbox.run.owner
local capabilities = require "sandbox.options.capabilities"
local oci = require "sandbox.run.oci"

local M = {}

-- To change owners, and then to be another with no more than that one may have.
local NEEDED = { "CAP_CHOWN", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID" }

--- What of the guest is to be given away: all that the supervisor has put there for an ordinary user's guest that is somebody else.
-- @tparam table plan
-- @tparam table rt
-- @treturn {string,...} paths, with all below them; none: nothing is
function M.paths(plan, rt)
  if plan.bundle or not rt.rootless or plan.user.uid == 0 then return {} end
  if #plan.files == 0 and oci.disk_by(plan, rt) ~= "overlay" then return {} end
  local list = {}
  if oci.has_work(plan) and not oci.work_in_guest(plan, rt) then list[1] = "/work" end
  if oci.tmp_on_host(plan) then list[#list + 1] = "/tmp" end
  for _, file in ipairs(plan.files) do
    if file.path:sub(1, 6) ~= "/work/" and file.path:sub(1, 5) ~= "/tmp/" then list[#list + 1] = file.path end
  end
  return list
end

local function with(names, more)
  local out, seen = {}, {}
  for _, list in ipairs{ names, more } do
    for _, name in ipairs(list) do
      if not seen[name] then out[#out + 1] = name end
      seen[name] = true
    end
  end
  return out
end

local function joined(numbers)
  local out = {}
  for i, n in ipairs(numbers or {}) do out[i] = ("%.0f"):format(n) end
  return #out > 0 and table.concat(out, ",") or "-"
end

--- Makes our helper the first process of a spec, which becomes the one that is there.
-- @tparam table spec as it is to be, after the caller's last word; its `process` becomes another table
-- @tparam table plan
-- @tparam {string,...} paths
-- @string run_dir
-- @string word by which the supervisor knows it in the trace; "0": there is none
function M.wrap(spec, plan, paths, run_dir, word)
  local process = spec.process
  local user, own, sets = process.user, {}, process.capabilities or {}
  local names, pids = sets.effective or {}, not plan.box and plan.limits.pids
  for _, limit in ipairs(pids and plan.pty and process.rlimits or {}) do -- those that its terminal takes are in it
    if limit.type == "RLIMIT_NPROC" then pids = limit.hard end
  end
  local argv = { oci.HELPER, "own" }
  -- A box's first process is our helper in any case, and others are its programs.
  local owner = plan.box and plan.user or user
  for _, id in ipairs{ owner.uid, owner.gid, user.uid, user.gid } do argv[#argv + 1] = ("%.0f"):format(id) end
  local rest = { joined(user.additionalGids), capabilities.mask(names), pids and ("%.0f"):format(pids) or "-", process.cwd, word, ("%d"):format(#paths) }
  for _, list in ipairs{ rest, paths, process.args } do
    for _, value in ipairs(list) do argv[#argv + 1] = value end
  end
  for k, v in pairs(process) do own[k] = v end
  own.args, own.cwd, own.user, own.capabilities = argv, "/", { uid = 0, gid = 0 }, oci.capability_sets(with(names, NEEDED))
  spec.process = own
  if not plan.box and not plan.pty then spec.mounts[#spec.mounts + 1] = oci.helper_mount(run_dir) end
end

return M
