-- SPDX-License-Identifier: MIT
--- One sandbox after the other over the same /work: compile, then run, each with limits of its own.
-- @module sandbox.run.stages
local errors = require "sandbox.errors"
local box_module = require "sandbox.box"
local options_plan = require "sandbox.options.plan"

local M = {}

local Stages = {} -- what comes of them
Stages.__index = Stages

--- Raises for what is not ok, with its message; gives the same else.
-- @treturn table
function Stages:check()
  if not self.ok then errors.raise(self.message or "a stage failed") end
  return self
end

function Stages:__tostring()
  return ("sandbox.stages (%s)"):format(self.ok and "ok" or tostring(self.message))
end

local function label(i, stage)
  return stage.name and ("stage %d (%s)"):format(i, stage.name) or ("stage %d"):format(i)
end

-- What went wrong without a result.
local function failed(out, words, message, code)
  if not message then return nil end
  out.message = words .. ": " .. message
  return nil, out.message, code, out
end

--- Runs them until one is not ok.
-- @tparam table host the instance's services
-- @tparam table plan of `options.plan.stages`
-- @tparam table past { began = when the caller asked, queued = seconds of waiting for a turn }
-- @treturn table { ok=, stage=, last=, message=, [n] and [name] = result }, or nil, message, code and that as far as it got; what a
-- callback raised is a fifth value
function M.run(host, plan, past)
  local out, packed = setmetatable({ ok = false, stage = 0 }, Stages), nil
  for i, stage in ipairs(plan.list) do
    local words = label(i, stage)
    local time = { began = i == 1 and past.began or nil, queued = i == 1 and past.queued or nil, boots = true, unpack = packed,
                   pack = stage.carries and i < #plan.list and plan or nil }
    local r, message, code, raised = box_module.run_once(host, options_plan.once(stage.options, host.defaults), time)
    if raised then return nil, nil, nil, nil, raised end
    if not r and time.refused then -- before it began
      out.message = ("%s: what the stage before left in /work cannot be put in place: %s"):format(words, time.refused)
      return out
    end
    if not r then return failed(out, words, message, code) end
    out.stage, out.last, out[i] = i, r, r
    if stage.name then out[stage.name] = r end
    if not r.ok then
      out.message = words .. ": " .. r.message
      return out
    end
    if time.refused then
      out.message = ("%s: what it left in /work cannot go on: %s"):format(words, time.refused)
      return out
    end
    packed = time.packed
  end
  out.ok = true
  return out
end

return M
