-- SPDX-License-Identifier: MIT
--- A program that is to run in a box: what it may have there, and how it is started.
-- @module sandbox.box.program
local last_word = require "sandbox.run.last_word"
local oci = require "sandbox.run.oci"
local request = require "sandbox.run.request"
local terminal = require "sandbox.run.terminal"

local M = {}

-- A limit that a program has and its box has not, in the helper's words.
local function own(self, name, plan)
  local value = plan.limits[name] or nil
  return value ~= (self.plan.limits[name] or nil) and value and ("%.0f"):format(value) or "-"
end

-- What our helper forbids a program because this build's execs do not have the spec's rules (the flag came with one that does).
-- Whether a program is started through it for that alone is a second value: 2 to 10 ms more, which only `disk` is worth, or a run that
-- has no other sandbox to be started in. What leaves `pids` behind in a namespace of its own is counted.
local function guard_for(self)
  if self.plan.user_namespaces or self.rt.flags["gofer-network-namespace"] then return "-", false end
  if self.plan.limits.disk then return "t", true end
  return "n", self.once or false
end

--- A program is started as it is; one with limits of its own, or a terminal, through our helper, for gVisor has an exec under the box's. Whether
-- our helper becomes the program, and is not its parent, is a second value.
-- @tparam Box self
-- @tparam table plan
-- @treturn {string,...}
-- @treturn boolean
function M.argv(self, plan)
  local count, size, tasks = own(self, "open_files", plan), own(self, "file_size", plan), own(self, "pids", plan)
  local stack, space = own(self, "stack", plan), own(self, "address_space", plan)
  if plan.user.uid ~= self.plan.user.uid then tasks = plan.limits.pids and "+" or "-" end
  local guard, needed = guard_for(self)
  -- Who becomes the program is counted as whom it was before: one that is forked is counted as who it is. (As uid 0 that is its
  -- parent as well, our helper, who would count beside it.)
  if needed and (self.once or plan.user.uid ~= 0) and plan.limits.pids and plan.argv[1] ~= oci.HELPER then tasks = "+" end
  local limits = plan.pty or count ~= "-" or size ~= "-" or tasks ~= "-" or stack ~= "-" or space ~= "-"
  if not limits and (not needed or plan.argv[1] == oci.HELPER) then return plan.argv end
  -- gVisor counts by uid. Our helper, which stays the program's parent, has another, unless capabilities are to be passed on.
  local uid = #plan.capabilities == 0 and ("%.0f"):format(plan.user.uid) or "-"
  if tasks ~= "-" then tasks = ("%.0f"):format(plan.limits.pids) end
  -- `runsc exec` passes no pipe for the helper's words: what cannot be started ends with 127 there.
  local argv = { oci.HELPER, "exec", plan.cwd, uid, count, size, tasks, stack, space, guard, plan.pty and terminal.word(plan.pty) or "-" }
  for _, word in ipairs(plan.argv) do argv[#argv + 1] = word end
  return argv, not limits
end

--- The function `spec` of the box has the last word on a program in it, too.
-- @tparam Box self
-- @tparam table plan is changed
-- @treturn boolean true, or nil, message, code
function M.ask(self, plan)
  if not self.plan.spec or plan.argv[1] == oci.HELPER then return true end
  local process, message, code = last_word.program(self.plan, plan)
  if not process then return nil, message, code end
  local ok
  ok, message, code = request.check_capabilities(plan, { process = process })
  return ok, message, code
end

--- What one program of a box that others share cannot be held to.
-- @tparam Box self
-- @tparam table plan
-- @treturn boolean true, or nil, message, code
function M.check(self, plan)
  if plan.limits.cpu_time and not self.single then
    if not plan.limits.best_effort then
      return nil, "limits.cpu_time cannot be held for one program of a box that others share; use a pool, or sandbox.run, or set limits.best_effort",
        "limit_unavailable"
    end
    plan.unenforced = plan.unenforced or {}
    plan.unenforced.cpu_time = true
  end
  if plan.user.uid ~= self.plan.user.uid and plan.limits.pids and not self.single then
    if not plan.limits.best_effort then
      return nil, "limits.pids of a box counts the processes of its own user, so that a program with another user would not be held by it: "
        .. "start the box with limits.pids = false, or set limits.best_effort", "limit_unavailable"
    end
    plan.unenforced = plan.unenforced or {}
    plan.unenforced.pids = true
  end
  return true
end

return M
