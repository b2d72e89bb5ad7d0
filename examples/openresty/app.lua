-- SPDX-License-Identifier: MIT
-- The service: which request goes where, and who may ask at all. README.md is the map of the other files.
local http = require "http"
local languages = require "languages"
local machine = require "machine"
local metrics = require "metrics"
local piston = require "piston"
local settings = require "settings"
local events = require "v3.events"
local runs = require "v3.runs"

local M = {}

-- The names by which this service is called. Another in Host is a name of somebody's that leads here, so that a browser takes our
-- answers for that site's (DNS rebinding). Behind a name of its own, put that name here.
local HOSTS = { localhost = true, ["127.0.0.1"] = true, ["[::1]"] = true }

--- Once, in the master.
function M.init()
  settings.load(ngx.shared.code_runs:capacity())
  languages.init()
end

--- In each worker.
function M.init_worker() metrics.init_worker() end

local function refuse(status, code, form, ...)
  if (ngx.var.request_uri or ""):find("/api/v2/", 1, true) == 1 then return http.refuse(status, form, ...) end
  return http.fail(http.problem(status, code, form:format(...)))
end

--- A page elsewhere, or one that a foreign name brought here, gets nothing: neither what runs here nor what ran.
function M.guard()
  local host, origin = (ngx.var.http_host or ""):lower(), ngx.var.http_origin
  if not HOSTS[(host:gsub(":%d+$", ""))] then return refuse(403, "host", "this service is not called %q", host:sub(1, 80)) end
  if origin and origin:lower() ~= "http://" .. host and origin:lower() ~= "https://" .. host then
    return refuse(403, "origin", "pages of another origin may not use this service")
  end
end

function M.health()
  local sb = machine.instance()
  local r, message, code = sb:run{ "true", limits = { timeout = 5, memory = "64M" } }
  if r and r.ok then return http.answer(200, { status = "ok", boot_ms = math.floor(r.boot_duration * 1000 + 0.5), active = sb:active() }) end
  -- A full queue is work, not illness.
  if code == "busy" then return http.answer(200, { status = "busy", active = sb:active() }) end
  return http.answer(503, { status = "failing", message = message or r.message })
end

local function not_found() return refuse(404, "path", "there is no %s here", (ngx.var.request_uri or ""):match "^[^?]*":sub(1, 200)) end

local paths = {
  ["/api/v2/runtimes"] = piston.runtimes, ["/api/v2/execute"] = piston.execute, ["/api/v2/execute/stream"] = piston.stream,
  ["/api/v3/service"] = runs.service, ["/api/v3/runs"] = runs.collection, ["/api/v3/runs/batch"] = runs.batch,
  ["/health"] = M.health, ["/metrics"] = metrics.handle,
}

--- Each request for what is no file.
function M.handle()
  local uri = ngx.var.uri
  if paths[uri] then return paths[uri]() end
  local id, more = uri:match "^/api/v3/runs/([^/]+)(.*)$"
  if id and more == "" then return runs.item(id) end
  if id and more == "/events" then return events.handle(id) end
  return not_found()
end

-- The methods that a path has, for those whom nginx refuses before it is asked here.
local function methods_of(uri)
  if uri:find "^/api/v3/runs/%x+$" then return "GET, DELETE" end
  return (uri:find "^/api/v2/execute" or uri == "/api/v3/runs" or uri == "/api/v3/runs/batch") and "POST" or "GET"
end

--- What nginx itself answers with an error.
function M.error()
  if ngx.status == 405 then ngx.header["Allow"] = methods_of(((ngx.var.request_uri or ""):match "^[^?]*")) end
  if ngx.status == 404 then return not_found() end
  return http.nginx_error()
end

return M
