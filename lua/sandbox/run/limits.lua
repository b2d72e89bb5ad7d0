-- SPDX-License-Identifier: MIT
--- A plan's limits in a request.
-- @module sandbox.run.limits
local oci = require "sandbox.run.oci"

local M = {}

--- Adds the limits that are held.
-- @tparam Fields p
-- @tparam table plan
function M.add(p, plan)
  local limits = plan.limits
  for _, name in ipairs{ "timeout", "cpu_time", "cpus", "memory", "pids", "output", "disk", "file_size", "open_files", "stack", "address_space" } do
    if not (plan.unenforced and plan.unenforced[name]) then p:add(name, limits[name]) end
  end
  p:add("output_keep", limits.output_keep)
  p:add("output_kill", limits.output_kill)
  p:add("best_effort", limits.best_effort)
end

--- Who holds the disk limit, for the result.
-- @tparam table plan
-- @tparam table rt
-- @treturn string
function M.disk_word(plan, rt)
  local by = oci.disk_by(plan, rt)
  return by == "store" and "tmpfs" or by
end

--- Whether every call that finds no room tells of `disk`: where a mount has a size of its own it may be that one's.
-- @tparam table plan
-- @tparam table rt
-- @treturn boolean
function M.tell_space(plan, rt)
  for _, m in ipairs(plan.mounts) do
    if m.type == "tmpfs" and m.size then return false end
  end
  return rt.trace and oci.disk_by(plan, rt) ~= nil
end

return M
