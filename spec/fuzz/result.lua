-- SPDX-License-Identifier: MIT
-- What a supervisor says at the end, read by the host: whatever it is, a result or an error, never neither.
local result = require "sandbox.run.result"

local plan = { limits = { timeout = 1, memory = 1000, disk = 5, pids = 3, output = 10 }, runtime = {}, began = 0, clock = function() return 1 end }
local streams = { stdout = "out", stderr = "err", id = "x" }

return function(bytes)
  local r, message, code = result.build(bytes, streams, plan)
  if not r then return assert(type(message) == "string" and type(code) == "string", "an error without words") end
  assert(type(r.ok) == "boolean" and type(r.duration) == "number", "no result")
  assert(not r.ok or r.status == "exited" and r.exit_code == 0, "ok, and it is not")
  assert(r.ok or type(r.message) == "string", "no message")
  for _, flag in ipairs{ "timed_out", "oom_killed", "cpu_exceeded", "output_exceeded", "pids_exceeded", "stdout_truncated", "stderr_truncated" } do
    assert(type(r[flag]) == "boolean" or flag == "pids_exceeded" and r[flag] == nil, flag)
  end
  assert(tostring(r):find "^sandbox.result", "its name")
end
