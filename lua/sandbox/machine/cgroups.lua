-- SPDX-License-Identifier: MIT
--- What a run's cgroups are told, as the supervisor writes it (sup_cgroup.c), for those who want to see it.
-- @module sandbox.machine.cgroups
local core = require "sandbox.core"

local M = {}

local OVERHEAD = 128 * 1024 * 1024

--- File by file, on this machine.
-- @tparam table checked limits, filled in
-- @func runtime gives the runtime, or nil
-- @treturn {table,...} of { file=, value=, version= }
function M.entries(checked, runtime)
  local v2 = core.stat("/sys/fs/cgroup/cgroup.controllers") ~= nil
  local v1 = core.stat("/sys/fs/cgroup/memory/cgroup.procs") ~= nil
  local out = {}
  local function add(file, form, ...)
    out[#out + 1] = { file = file, value = form:format(...), version = v1 and "v1" or "v2" }
  end
  if not v1 and not v2 then return out end
  local rt = checked.pids and runtime()
  local per_task = rt and rt.platform == "systrap" and 8 or 24
  local quota = checked.cpus and math.max(1000, math.floor(checked.cpus * 100000))
  if checked.memory then
    add(v1 and "memory/memory.limit_in_bytes" or "memory.max", "%.0f", checked.memory + OVERHEAD)
    if v1 then add("memory/memory.memsw.limit_in_bytes", "%.0f", checked.memory + OVERHEAD) else add("memory.swap.max", "0") end
  end
  if not v1 then add("memory.oom.group", "1") end
  if quota then
    if v1 then add("cpu/cpu.cfs_quota_us", "%.0f", quota) else add("cpu.max", "%.0f 100000", quota) end
  end
  if checked.pids then add(v1 and "pids/pids.max" or "pids.max", "%.0f", 4096 + checked.pids * per_task) end
  return out
end

return M
