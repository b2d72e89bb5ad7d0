-- SPDX-License-Identifier: MIT
-- GET /api/v3/runs/ID/events: what a run says, as server-sent events, from its beginning or from where a reader was.
local cjson = require "cjson.safe"
local http = require "http"
local keys = require "v3.keys"
local runs = require "v3.runs"
local store = require "v3.store"
local view = require "v3.view"

local M = {}

local LOOK, CHECK, SILENCE = 0.1, 2, 10 -- seconds between two looks, two looks at whether the run is there, two signs of life

-- The number of the last event that a reader has: the header's, else the address's; or nil and a problem.
local function after_of_request()
  local n = 0
  for _, v in ipairs{ ngx.req.get_uri_args(20).after or "0", ngx.req.get_headers(100)["Last-Event-ID"] } do
    if type(v) ~= "string" or not v:find "^%d+$" or #v > 9 then return nil, http.problem(400, "header", "Last-Event-ID and `after` are the number of an event") end
    n = tonumber(v)
  end
  return n
end

local function data_of(record, kind, bytes)
  if kind == "end" then return view.json(record, false) end
  if kind == "state" then return cjson.encode{ state = bytes } end
  if kind == "restart" then return cjson.encode{ attempt = tonumber(bytes) } end
  return cjson.encode{ data = view.encoded(record, bytes) }
end

-- Sends what there is behind the n-th event: the number of the last, and whether it goes on.
local function send(id, n)
  for i = n + 1, store.head(id) do
    local kind, bytes = store.read_event(id, i)
    local record = store.get(id)
    if not kind or not record then return i, false end
    if not ngx.print("id: ", i, "\nevent: ", kind, "\ndata: ", data_of(record, kind, bytes), "\n\n") then return i, false end
    if kind == "end" or not ngx.flush(true) then return i, false end
    n = i
  end
  return n, true
end

local function follow(id, n, again, alive)
  ngx.print("retry: 1000\n\n")
  if again then ngx.print("id: ", n, "\nevent: restart\ndata: ", cjson.encode{ attempt = again }, "\n\n") end
  ngx.flush()
  local going, checked, spoke = true, ngx.now(), ngx.now()
  while going and not ngx.worker.exiting() do
    local now, had = ngx.now(), n
    n, going = send(id, n)
    if n > had then spoke = now end
    if now - spoke >= SILENCE then
      spoke = now
      going = going and ngx.print(": \n\n") and ngx.flush(true)
    end
    if now - checked >= CHECK then
      checked = now
      going = going and store.get(id) ~= nil -- which sees to it that a lost one has an end
      alive()
    end
    if going then ngx.sleep(LOOK) end
  end
end

--- The handler.
function M.handle(id)
  if not http.need_method "GET" then return end
  local key, problem = keys.of_request()
  if not key then return http.fail(problem) end
  local record, n
  record, problem = runs.named(key, id)
  if not record then return http.fail(problem) end
  n, problem = after_of_request()
  if not n then return http.fail(problem) end
  local base, again = record.base or 0, nil
  if n > 0 and (n < base or n > store.head(id)) then n, again = base, record.attempt end -- a number of another nginx
  n = math.max(n, base)
  if not again and not store.is_live(record) and n >= store.head(id) then -- an EventSource comes again until it is told this
    ngx.status = 204
    return ngx.exit(204)
  end
  local place = store.take_reader(key, id)
  if not place then return http.fail(http.problem(429, "readers", ("at most %d readers at once"):format(key.readers))) end
  ngx.on_abort(function()
    store.leave_reader(key, place)
    ngx.exit(499)
  end)
  ngx.header["Content-Type"] = "text/event-stream"
  ngx.header["Cache-Control"] = "no-store"
  ngx.header["X-Accel-Buffering"] = "no"
  local ok, why = pcall(follow, id, n, again, function() store.keep_reader(key, place) end)
  store.leave_reader(key, place)
  if not ok then ngx.log(ngx.ERR, "events: ", why) end
end

return M
