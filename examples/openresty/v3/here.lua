-- SPDX-License-Identifier: MIT
-- Runs on this machine.
local machine = require "machine"

local M = {}

local NAP = 0.1 -- seconds between two looks for a turn, which Piston's API takes, too

--- Runs it: a result, or nil, message, code.
function M.run(run)
  local options = run.options
  for _, stream in ipairs{ "stdout", "stderr" } do
    options["on_" .. stream] = function(chunk) run:say(stream, chunk) end
  end
  local job, message, code
  repeat
    if run.cancelled or run.late then return nil, "it did not begin", "closed" end
    if code then ngx.sleep(NAP) end
    job, message, code = machine.instance():spawn(options)
  until job or code ~= "busy"
  if not job then return nil, message, code end
  run.kill = function() job:kill() end
  if run.cancelled or run.late then job:kill() end
  run:begun()
  local r
  r, message, code = job:wait()
  run.kill = nil
  job:close()
  return r, message, code
end

return M
