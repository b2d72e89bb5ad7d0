-- SPDX-License-Identifier: MIT
--- The processes that a host has started, though init is their parent: each has a descriptor of the host's process.
local env = require "support.harness"
local core = env.core

local M = {}

local function stat(pid)
  local rest = env.slurp("/proc/" .. pid .. "/stat"):match "%) (.*)"
  if not rest then return nil end
  local fields = {}
  for word in rest:gmatch "%S+" do fields[#fields + 1] = word end
  if fields[1] == "Z" then return nil end
  return { parent = fields[2], policy = fields[39], began = tonumber(fields[20]) }
end

local function knows(pid, host)
  for _, fd in ipairs(core.readdir("/proc/" .. pid .. "/fdinfo") or {}) do
    if env.slurp("/proc/" .. pid .. "/fdinfo/" .. fd):match "Pid:%s*(%d+)" == host then return true end
  end
end

--- The zygote of a host, and its supervisors.
-- @string host its pid
-- @treturn string the zygote's pid, or nil
-- @treturn {string,...}
function M.of(host)
  local zygote, supervisors, all = nil, {}, {}
  for _, pid in ipairs(core.readdir "/proc") do
    if pid:match "^%d+$" and env.slurp("/proc/" .. pid .. "/comm") == "sandbox-supervi\n" then
      local s = stat(pid)
      if s then
        all[pid] = s
        -- SCHED_BATCH: src/supervisor/sup_zygote.c
        -- The youngest: that of a spec before may still wait to be collected, and pids come round.
        if s.policy == "3" and s.parent == "1" and knows(pid, host) and (not zygote or s.began >= all[zygote].began) then zygote = pid end
      end
    end
  end
  for pid, s in pairs(all) do
    -- One that is in a user namespace of its own may not be looked at by whoever is not in it: its parent tells.
    if pid ~= zygote and (s.parent == zygote or knows(pid, host)) then supervisors[#supervisors + 1] = pid end
  end
  table.sort(supervisors)
  return zygote, supervisors
end

return M
