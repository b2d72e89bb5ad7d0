-- SPDX-License-Identifier: MIT
-- A run as clients see it.
local cjson = require "cjson.safe"
local store = require "v3.store"
local text = require "sandbox.text"

local M = {}

local null = cjson.null

local function or_null(v)
  if v == nil then return null end
  return v
end

--- Bytes as a run's encoding says.
function M.encoded(record, bytes)
  if record.encoding == "base64" then return ngx.encode_base64(bytes) end
  return text.scrub(bytes)
end

local LIMITS = { "timeout", "cpu_time", "memory", "output", "pids" }

local function result_of(record, with_output)
  local r = record.result
  local out = { ok = r.ok, status = r.status, exit_code = or_null(r.exit_code), signal = or_null(r.signal), message = r.message and text.scrub(r.message) or null,
                stdout_truncated = r.stdout_truncated, stderr_truncated = r.stderr_truncated, duration = r.duration, boot_duration = r.boot_duration,
                cpu_time = or_null(r.cpu_time), peak_memory = or_null(r.peak_memory), limits = {} }
  for _, name in ipairs(LIMITS) do
    local report = r.limits[name] or {}
    out.limits[name] = { requested = or_null(report.requested), hit = or_null(report.hit) }
  end
  if with_output then
    local stdout, stderr = store.output(record.id)
    out.stdout, out.stderr = M.encoded(record, stdout), M.encoded(record, stderr)
  end
  return out
end

--- A run as a table; `with_output`: all of it.
function M.table(record, with_output)
  return { id = record.id, state = record.state, language = record.language, version = or_null(record.version), encoding = record.encoding, attempt = record.attempt,
           created = record.created, started = or_null(record.started), finished = or_null(record.finished), expires = or_null(record.expires),
           result = record.result and result_of(record, with_output) or null, error = or_null(record.error) }
end

--- A run as JSON.
function M.json(record, with_output) return cjson.encode(M.table(record, with_output)) end

return M
