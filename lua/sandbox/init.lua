-- SPDX-License-Identifier: MIT
--- Runs untrusted programs in gVisor sandboxes.
--
--     local sandbox = require "sandbox"
--     local r = assert(sandbox.run{ "python3", "-c", "print(6*7)", limits = { timeout = 2, memory = "128M" } })
--     print(r.stdout, r.exit_code, r.ok)
--
-- @module sandbox
-- Also as "sandbox.init", which no other rock's sandbox.lua shadows: one module, whichever name came first.
local twin = package.loaded["sandbox.init"]
if type(twin) == "table" then return twin end

local errors = require "sandbox.errors"
local instance = require "sandbox.instance"
local loop = require "sandbox.hosts.loop"
local wait = require "sandbox.hosts.wait"

local M = { _VERSION = "sandbox " .. instance.VERSION .. " (gVisor)", _NAME = "sandbox" }

local default

-- Made at the first use, so that `require` touches nothing; a new one once it is closed, but not while it shuts down.
local function get()
  if not default or default.closed and not (default.stopping and default.stops:held()) then default = instance.new{} end
  return default
end

--- Makes an instance with options of its own.
-- @tparam[opt] table options
-- @treturn Instance
function M.new(options)
  local sb = instance.new(options)
  return sb
end

--- Runs a program to its end in the default instance.
-- @tparam table options
-- @treturn table result, or nil, message, code
function M.run(options)
  local r, message, code = get():run(options)
  return r, message, code
end

--- Starts a program and gives its job.
-- @tparam table options
-- @treturn Job or nil, message, code
function M.spawn(options)
  local job, message, code = get():spawn(options)
  return job, message, code
end

--- The OCI spec of a run, as a table.
-- @tparam table options
-- @treturn table or nil, message, code
function M.spec(options)
  local spec, message, code = get():spec(options)
  return spec, message, code
end

--- What will be written to a run's cgroups.
-- @tparam[opt] table limits
-- @treturn {table,...}
function M.cgroup_entries(limits)
  local list = get():cgroup_entries(limits)
  return list
end

for _, name in ipairs{ "check", "version", "active", "cleanup_stale", "metrics", "doctor", "shutdown", "close", "start", "attach", "boxes", "restore", "pool", "stages",
                   "interact", "images", "pull", "remove_image", "prune_images", "pack_image", "image_options", "volumes", "remove_volume" } do
  M[name] = function(...)
    local sb = get()
    local a, b, c, d = sb[name](sb, ...)
    return a, b, c, d
  end
end

--- Makes a client of a fleet: programs that run on many machines, over a queue in Redis or Valkey. Connects to nothing yet.
-- @tparam[opt] table options { redis = "redis://127.0.0.1:6379/0", queue = "sandbox" }
-- @treturn Fleet
function M.fleet(options)
  return require("sandbox.fleet").new(options)
end

M.loop, M.go, M.map = loop.loop, loop.go, wait.map

--- Lets others go on for a while, in the way of the host.
-- @number seconds
function M.sleep(seconds)
  if type(seconds) ~= "number" or not (seconds >= 0) then errors.argument(1, "sleep", "seconds", seconds) end
  wait.sleep(math.min(seconds, 1e9)) -- as long as can be waited
end

--- Loaders for `prepared` pools: python, lua, node, sh.
M.prepared = setmetatable({}, { __index = function(_, name) return require("sandbox.pool.prepared")[name] end })

-- A colon would pass this module as the options.
for name, f in pairs(M) do
  if type(f) == "function" then
    M[name] = function(first, ...)
      if rawequal(first, M) then
        local hint = ("bad call: sandbox.%s(…) takes a dot, not a colon"):format(name)
        if name == "check" then return nil, hint, "bad_option" end
        errors.raise(hint)
      end
      return f(first, ...)
    end
  end
end

package.loaded["sandbox.init"] = M
return M
