-- SPDX-License-Identifier: MIT
--- Volumes: directories that are kept from one sandbox to the next, by name. The supervisor makes and locks them (sup_volume.h), sandbox-image
-- removes them. One that has a size is a file, which the supervisor mounts (sup_disk.h).
-- @module sandbox.run.volumes
local core = require "sandbox.core"
local errors = require "sandbox.errors"
local pull = require "sandbox.image.pull"
local text = require "sandbox.text"

local M = {}

local Volumes = {} -- methods of instances
M.methods = Volumes

--- Where they are kept.
-- @tparam table options of the instance
-- @string state_dir
-- @treturn string
function M.dir(options, state_dir) return options.volume_dir or state_dir .. "/volumes" end

--- Makes a plan's volumes what they are: binds of directories, which `plan.volumes` names for the supervisor.
-- @tparam table plan
-- @string dir
function M.place(plan, dir)
  local mounts = {}
  for i, m in ipairs(plan.mounts) do
    mounts[i] = m
    if m.type == "volume" then
      mounts[i] = { destination = m.destination, type = "bind", source = dir .. "/" .. m.source, readonly = m.readonly }
      plan.volumes = plan.volumes or {}
      table.insert(plan.volumes, ("%s %.0f %s"):format(m.readonly and "ro" or "rw", m.size or 0, mounts[i].source))
    end
  end
  plan.mounts = mounts
end

local function dir_of(host)
  local rt, message, code = host.runtime()
  if not rt then return nil, message, code end
  return M.dir(host.options, rt.state_dir)
end

--- The volumes that there are.
-- @treturn {table,...} of { name=, path=, size = bytes, nil: it has none, last_used = seconds since 1970 }, by name; or nil, message, code
function Volumes:volumes()
  local dir, message, code = dir_of(self:services())
  if not dir then return nil, message, code end
  local out = {}
  for _, name in ipairs(core.readdir(dir) or {}) do
    local path = dir .. "/" .. name
    local st = name:sub(1, 1) ~= "." and core.lstat(path)
    if st and (st.type == "directory" or st.type == "file") then
      out[#out + 1] = { name = name, path = path, size = st.type == "file" and st.size or nil, last_used = st.mtime }
    end
  end
  table.sort(out, function(a, b) return a.name < b.name end)
  return out
end

--- Removes a volume with all that is in it. Waits, in the way of the host.
-- @string name
-- @treturn boolean true, or nil, message, code ("not_found", "busy")
function Volumes:remove_volume(name)
  if not text.is_name(name) then errors.argument(1, "remove_volume", "a volume's name", name) end
  local host = self:services()
  local dir, message, code = dir_of(host)
  if not dir then return nil, message, code end
  host.wait_left() -- who has told its end may still have it
  local p, ok
  p, message, code = pull.begin(host, { "volume", "dir=" .. dir, "name=" .. name },
                                { name = "volume " .. name, timeout = host.options.pull_timeout, finish = function() return true end })
  if not p then return nil, message, code end
  ok, message, code = p:wait()
  return ok, message, code
end

return M
