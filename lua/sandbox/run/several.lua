-- SPDX-License-Identifier: MIT
--- More than one program in one call: one after the other, or two that talk to each other.
-- @module sandbox.run.several
local options_plan = require "sandbox.options.plan"
local stages = require "sandbox.run.stages"
local interact = require "sandbox.run.interact"

local Several = {} -- methods of instances

--- Runs one program after the other, each in a sandbox of its own with limits of its own, over the same /work: compile, then run. Stops
-- at the first that is not ok. All take one turn.
-- @tparam table list of options as of `run`, each with a `name` where it is to have one; beside them options of all, `max_bytes`, `max_files`
-- @treturn table { ok=, stage = number of the last that ran, last = its result, message=, [1], [2], … and by name: results }, or nil, message,
-- code and that table as far as it got
function Several:stages(list)
  local host = self:services()
  local plan = options_plan.stages(list, host.defaults)
  local out, message, code, partial
  for _, stage in ipairs(plan.list) do
    stage.options, message, code = host.picture(stage.options)
    if message then break end
  end
  if not message then
    out, message, code, partial = host.in_turn(function(past)
      local a, b, c, d, raised = stages.run(host, plan, past)
      return a, b, c, d, raised
    end)
  end
  for _, stage in ipairs(plan.list) do host.let_go(stage.options) end
  return out, message, code, partial
end

--- Runs two programs that talk to each other: each one's stdout is the other's stdin. When one has ended, the other's stdin ends, and it
-- has `grace` seconds before it is killed. Both take one turn.
-- @tparam table first options as of `run`, without stdin and callbacks
-- @tparam table second the same
-- @tparam[opt] table options { limits = for both, transcript = "1M", grace = 1 }
-- @treturn table result of the first, result of the second, transcript: { { from = 1 or 2, at = seconds, data = }, …, bytes=, truncated= };
-- or nil, message, code
function Several:interact(first, second, options)
  local host = self:services()
  local one, two, plan, a, b, transcript
  one, b, transcript = host.picture(first, true)
  if not b then two, b, transcript = host.picture(second, true) end
  if not b then
    plan = options_plan.interact(one, two, options, host.defaults)
    a, b, transcript = host.in_turn(function(past)
      local x, y, z = interact.run(host, plan, past)
      return x, y, z
    end)
  end
  host.let_go(one)
  host.let_go(two)
  return a, b, transcript
end

return Several
