-- SPDX-License-Identifier: MIT
-- Runs by a fleet's workers: submitted, followed, cancelled. This service keeps what they say as it does for runs of its own.
local sandbox = require "sandbox"
local settings = require "settings"

local M = {}

local fleet

--- The client of this nginx worker.
function M.client()
  fleet = fleet or sandbox.fleet{ redis = settings.fleet, queue = settings.queue }
  return fleet
end

--- Runs it: a result, or nil, message, code. That it has begun is known from its first output.
function M.run(run)
  local client = M.client()
  local id, message, code = client:submit(run.options, { key = run.record.id, needs = { run.needs } })
  if not id then return nil, message, code end
  run.kill = function() client:cancel(id) end
  if run.cancelled or run.late then run.kill() end
  local follower, attempt = client:follow(id), 1
  while true do
    local stream, bytes, at = follower:read()
    if not stream then break end
    if at > attempt then
      attempt = at
      run:restart(at)
    end
    run:begun()
    run:say(stream, bytes)
  end
  run.kill = nil
  local r
  r, message, code = follower:result()
  return r, message, code
end

return M
