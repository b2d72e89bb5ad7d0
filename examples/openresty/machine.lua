-- SPDX-License-Identifier: MIT
-- The sandboxes of this nginx worker: one instance for both APIs, so that together they run no more at once than is good.
local sandbox = require "sandbox"
local settings = require "settings"

local M = {}

local sb

--- At the first use: limits that hold for all, and a queue, so that a rush waits instead of thrashing.
function M.instance()
  if not sb then
    sb = sandbox.new{ image_dir = settings.image_dir or nil,
      max_concurrent = settings.slots, queue = 32, queue_timeout = 10, limits = { pids = 64, output = "64K", output_kill = true, open_files = 256 } }
  end
  return sb
end

--- What it has counted, or nil before its first use.
function M.metrics() return sb and tostring(sb:metrics()) end

return M
