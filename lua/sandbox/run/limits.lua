-- SPDX-License-Identifier: MIT
--- A plan's limits in a request.
-- @module sandbox.run.limits
local oci = require "sandbox.run.oci"

local M = {}

local names = { "timeout", "cpu_time", "cpus", "memory", "pids", "output", "disk", "file_size", "open_files", "stack", "address_space" }

--- Adds the limits that are held.
-- @tparam Fields p
-- @tparam table plan
function M.add(p, plan)
  local limits, unenforced = plan.limits, plan.unenforced
  for i = 1, #names do
    local value = limits[names[i]]
    if value and not (unenforced and unenforced[names[i]]) then p:add(names[i], value) end
  end
  p:add("output_keep", limits.output_keep)
  p:add("output_kill", limits.output_kill)
  p:add("best_effort", limits.best_effort)
end

-- What a file of the store is taken for where nobody asks how many there may be: most are larger.
local PER_FILE, LEAST = 1024, 1024

--- How many files the store may have. A file costs the host's kernel a kilobyte that no size counts.
-- @tparam table plan
-- @treturn integer or nil
function M.inodes(plan)
  local n, size = plan.limits.inodes or nil, plan.limits.disk or plan.limits.memory
  if not n or plan.inodes_asked or not size then return n end
  return math.min(n, math.floor(size / PER_FILE) + LEAST)
end

--- Who holds the disk limit, for the result.
-- @tparam table plan
-- @tparam table rt
-- @treturn string
function M.disk_word(plan, rt)
  local by = oci.disk_by(plan, rt)
  return by == "store" and "tmpfs" or by
end

--- Whether every call that finds no room tells of `disk`: where a mount has a size of its own, or
-- files are counted, it may be that one's.
-- @tparam table plan
-- @tparam table rt
-- @treturn boolean
function M.tell_space(plan, rt)
  if plan.inodes_asked then return false end
  for _, m in ipairs(plan.mounts) do
    if m.size then return false end
  end
  return rt.trace and oci.disk_by(plan, rt) ~= nil
end

return M
