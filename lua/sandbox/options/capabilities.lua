-- SPDX-License-Identifier: MIT
--- The names of capabilities, as libcap has them.
-- @module sandbox.options.capabilities
local M = {}

-- From the core on first use: the schema is read where nothing has been built, too.
local known
local function numbers()
  if known then return known end
  known = {}
  for i, name in ipairs(require("sandbox.core").capabilities()) do known[name] = i - 1 end -- in the kernel's order
  return known
end

--- The kernel's number of a capability.
-- @string name such as CAP_KILL
-- @treturn integer or nil: there is none of this name
function M.number(name) return numbers()[name] end

--- A set of them as a number, a bit each.
-- @tparam {string,...} names
-- @treturn string
function M.mask(names)
  local mask = 0
  for _, name in ipairs(names) do mask = mask + 2 ^ M.number(name) end
  return ("%.0f"):format(mask)
end

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
