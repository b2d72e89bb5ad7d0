-- SPDX-License-Identifier: MIT
--- The names of capabilities, as libcap has them.
-- @module sandbox.options.capabilities
local M = {}

--- Set of names.
M.names = {}
local numbers, count = {}, 0
for name in ([[CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
  NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT
  SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG
  WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE]]):gmatch("%S+") do
  M.names["CAP_" .. name] = true
  numbers["CAP_" .. name], count = count, count + 1 -- in the kernel's order
end

--- The kernel's number of a capability.
-- @string name
-- @treturn integer
function M.number(name) return numbers[name] end

-- RLIMIT_NPROC does not bind a task that has one of the first two, and the third leaves the counted uid. SYS_RESOURCE raises any.
local undo = {
  pids = { CAP_SYS_ADMIN = true, CAP_SYS_RESOURCE = true, CAP_SETUID = true },
  open_files = { CAP_SYS_RESOURCE = true },
  file_size = { CAP_SYS_RESOURCE = true },
  stack = { CAP_SYS_RESOURCE = true },
  address_space = { CAP_SYS_RESOURCE = true },
}

--- Which limits a process undoes by what it may do.
-- @tparam[opt] table sets OCI's process.capabilities
-- @tparam table limits
-- @treturn table of the names of limits to the capability that undoes each
function M.undone(sets, limits)
  local out = {}
  for _, list in pairs(type(sets) == "table" and sets or {}) do
    for _, name in ipairs(type(list) == "table" and list or {}) do
      for limit, by in pairs(undo) do
        if limits[limit] and by[name] then out[limit] = name end
      end
    end
  end
  return out
end

return M
