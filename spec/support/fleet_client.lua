-- SPDX-License-Identifier: MIT
-- What a client of a fleet does in every host: fleet_client(url, queue, ticks); ticks() grows while others go on. Workers: fleet_worker.lua.
local sandbox = require "sandbox"

return function(url, queue, ticks)
  local fleet = sandbox.fleet{ redis = url, queue = queue, broker_timeout = 60 }
  assert(fleet:run{ "say", "hello" }.stdout == "hello")
  local before = ticks()
  local id = assert(fleet:submit({ "say", "later", "0.5" }, { key = "later \0 " .. tostring(ticks) }))
  local r, _, code = fleet:result(id, 0)
  assert(not r and code == "timeout")
  assert(fleet:result(id).stdout == "later")
  assert(ticks() - before >= 2, "others did not go on")
  id = assert(fleet:submit{ "say", "never", "60" })
  assert(fleet:cancel(id))
  r, _, code = fleet:result(id)
  assert(not r and code == "closed")
  id = assert(fleet:submit{ "say", "followed", "0.1" })
  local follower = fleet:follow(id)
  local stream, chunk = follower:read()
  assert(stream == "stdout" and chunk == "followed" and follower:read() == nil)
  local away = sandbox.fleet{ redis = "redis://127.0.0.1:1/0", broker_timeout = 0.05 }
  r, _, code = away:submit{ "true" }
  assert(not r and code == "broker_lost")
  local stats = assert(fleet:stats())
  assert(#stats.workers == 1 and tostring(stats):find "sandbox_fleet_queued")
  assert(not pcall(fleet.submit, fleet, { "true", rootfs = "/" }))
  fleet:close()
  return "passed"
end
