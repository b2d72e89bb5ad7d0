-- SPDX-License-Identifier: MIT
-- Runs by a fleet's workers: submitted, followed, cancelled. This service keeps what they say as it does for runs of its own.
local cjson = require "cjson.safe"
local fleets = require "sandbox.fleet"
local sandbox = require "sandbox"
local settings = require "settings"

local M = {}

local fleet

--- The client of this nginx worker.
function M.client()
  fleet = fleet or sandbox.fleet{ redis = settings.fleet, queue = settings.queue }
  return fleet
end

local NOTED = { key = "string", language = "string", version = "string", encoding = "string", created = "number", timeout = "number" }

--- Gives it to the fleet, with all that another nginx must know of it: its job's id, or nil, message, code.
function M.submit(run)
  local note = { timeout = run.options.limits.timeout }
  for name in pairs(NOTED) do note[name] = note[name] or run.record[name] end
  local message, code
  run.job, message, code = M.client():submit(run.options, { key = run.record.id, needs = { run.needs }, note = cjson.encode(note) })
  return run.job, message, code
end

--- What the fleet knows of a run that some nginx has given to it: a record with its `job`; or nil, message, code.
function M.find(id)
  local job, note, code = M.client():find(id)
  if not job then return nil, note, code end
  local said, record = cjson.decode(note), { id = id, job = job, state = "queued", attempt = 1 }
  for name, kind in pairs(NOTED) do record[name] = type(said) == "table" and type(said[name]) == kind and said[name] or nil end
  if not (record.key and record.language and record.created and record.timeout) then return nil, "its note is none of ours", "not_found" end
  record.encoding = record.encoding == "base64" and "base64" or "utf-8"
  local _, message, gone = M.client():result(job, 0)
  if gone == "not_found" or gone == "broker_lost" then return nil, message, gone end
  return record
end

--- Follows it: a result, or nil, message, code. That it has begun is known from its first output.
function M.run(run)
  local client, id = M.client(), run.job
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
  local r, message, code = follower:result()
  if code == "closed" and message == fleets.CANCELLED then run.cancelled = true end -- perhaps by another nginx
  return r, message, code
end

--- Runs options while a request waits for them (Piston's API): a result, or nil, message, code. `hear` gets each piece of output; where it
-- gives false the program is ended. What an earlier attempt has said cannot be taken back there, so a worker that is lost is an error.
function M.run_at_once(options, needs, hear)
  local client = M.client()
  local id, message, code = client:submit(options, { needs = { needs } })
  if not id then return nil, message, code end
  local follower, first = client:follow(id), nil
  while true do
    local stream, bytes, attempt = follower:read()
    if not stream then return follower:result() end
    first = first or attempt
    local heard = attempt == first and hear(stream, bytes)
    if not heard then
      client:cancel(id)
      return nil, "the worker that ran it was lost, or who asked for it is gone", "lost"
    end
  end
end

return M
