-- SPDX-License-Identifier: MIT
-- /api/v3/runs: handlers of requests.
local cjson = require "cjson.safe"
local core = require "sandbox.core"
local http = require "http"
local keys = require "v3.keys"
local languages = require "languages"
local owner = require "v3.owner"
local request = require "v3.request"
local settings = require "settings"
local store = require "v3.store"
local view = require "v3.view"

local M = {}

local WAIT, LOOK = 30, 0.05 -- seconds that `wait` may be, and between two looks

-- The body of a request that has one; or nil and a problem.
local function body_of_request()
  local kind = (ngx.var.http_content_type or ""):lower():match "^%s*([^;%s]*)"
  if kind ~= "application/json" then return nil, http.problem(415, "type", "requests must be of type application/json") end
  ngx.req.read_body()
  return ngx.req.get_body_data() or ""
end

-- `wait`: seconds; or nil and a problem.
local function wait_of_request()
  local v = ngx.req.get_uri_args(20).wait
  if v == nil then return 0 end
  local n = type(v) == "string" and v:find "^%d%d?$" and tonumber(v)
  if not n or n > WAIT then return nil, http.problem(400, "query", ("wait is a whole number of seconds, at most %d"):format(WAIT)) end
  return n
end

-- Waits until a run has ended, or for so long.
local function wait_for(record, seconds)
  local limit, nap = ngx.now() + seconds, 0.01
  while store.is_live(record) and ngx.now() < limit and not ngx.worker.exiting() do
    ngx.sleep(nap)
    nap = math.min(nap * 1.5, LOOK)
    local now = store.get(record.id)
    if not now then return record end
    record = now
  end
  return record
end

local function answer_run(record, taken)
  if taken then ngx.header["Location"] = "/api/v3/runs/" .. record.id end
  return http.send(store.is_live(record) and taken and 202 or 200, "application/json", view.json(record, true))
end

local function new_record(key, asked, idem)
  return { id = core.random_hex(16), key = key.name, state = "queued", language = asked.entry.language, version = asked.entry.version, encoding = asked.encoding,
           webhook = asked.webhook, created = ngx.now(), attempt = 1, idem = idem }
end

-- A run that another nginx has given to the fleet, or one here that is gone: it is followed from here, too, as one of this key's. Its events
-- have numbers that no other's have: whoever comes from another begins anew.
local function from_fleet(key, id)
  local limit = ngx.now() + WAIT
  while not store.take_turn(id) do
    if ngx.now() > limit then return nil, http.problem(503, "busy", "the fleet is being asked for it") end
    ngx.sleep(LOOK)
    if not store.has_turn(id) and store.get(id) then return store.get(id) end
  end
  local record, _, code = require("v3.by_fleet").find(id)
  local problem = code and code ~= "not_found" and http.problem(503, code, "the fleet cannot be reached")
  if record and record.key ~= key.name then record = nil end
  if record then
    record.base = (tonumber(core.random_hex(2), 16) % 9000 + 1) * 100000
    if store.take(key, { record }) then
      store.event(id, "state", "queued")
      owner.follow(record)
    else
      record, problem = nil, http.problem(429, "concurrent", ("at most %d runs at once"):format(key.concurrent))
    end
  end
  store.leave_turn(id)
  return record, problem
end

-- A run by its id; or nil, and perhaps a problem.
local function find(key, id)
  local record = store.get(id)
  if record or not settings.fleet then return record end
  return from_fleet(key, id)
end

-- What an Idempotency-Key stood for already: records; or nil and a problem.
local function replayed(key, digest, had, ids)
  if digest ~= had then return nil, http.problem(409, "idempotency", "this Idempotency-Key came with another body") end
  local records = {}
  for i, id in ipairs(ids) do records[i] = find(key, id) end
  if #ids == 0 or #records ~= #ids then return nil, http.problem(409, "idempotency", "the first request with this Idempotency-Key is being taken in") end
  ngx.header["Idempotency-Replayed"] = "true"
  return records
end

local function create(key, body, idem, read)
  local value, problem = request.decode(body)
  if problem then return nil, problem end
  local list
  list, problem = request[read](value, key)
  if not list then return nil, problem end
  if read == "single" then list = { list } end
  local records = {}
  for i, asked in ipairs(list) do records[i] = new_record(key, asked, idem) end
  if not store.take(key, records) then return nil, http.problem(429, "concurrent", ("at most %d runs at once"):format(key.concurrent)) end
  local taken = {}
  for i, asked in ipairs(list) do
    store.event(records[i].id, "state", "queued")
    taken[i] = owner.enqueue(records[i], asked)
  end
  for _, run in ipairs(taken) do
    while not run.taken and not ngx.worker.exiting() do ngx.sleep(0.005) end
  end
  return records
end

-- The runs of a request that wants some: its Idempotency-Key's, or new ones; or nil and a problem.
local function records_of_request(key, read)
  local body, problem = body_of_request()
  if not body then return nil, problem end
  local given, idem, digest = ngx.req.get_headers(100)["Idempotency-Key"], nil, nil
  if given then
    if type(given) ~= "string" or #given > 255 or not given:find "^[!-~]+$" then
      return nil, http.problem(400, "header", "Idempotency-Key is one of 1 to 255 printable characters of ASCII")
    end
    idem, digest = ("idem:%s:%s"):format(key.name, keys.digest(given)), keys.digest(read .. "\n" .. body)
    local ok, had, ids = store.take_idem(idem, digest)
    if not ok then return replayed(key, digest, had, ids) end
  end
  local records
  records, problem = create(key, body, idem, read)
  if idem and not records then store.leave_idem(idem) end
  if idem and records then
    local ids = {}
    for i, record in ipairs(records) do ids[i] = record.id end
    store.keep_idem(idem, digest, ids)
  end
  return records, problem
end

--- POST /api/v3/runs
function M.collection()
  if not http.need_method "POST" then return end
  local key, problem = keys.of_request()
  if not key then return http.fail(problem) end
  local seconds
  seconds, problem = wait_of_request()
  if not seconds then return http.fail(problem) end
  local records
  records, problem = records_of_request(key, "single")
  if not records then return http.fail(problem) end
  return answer_run(wait_for(records[1], seconds), true)
end

--- POST /api/v3/runs/batch
function M.batch()
  if not http.need_method "POST" then return end
  local key, problem = keys.of_request()
  if not key then return http.fail(problem) end
  local records
  records, problem = records_of_request(key, "batch")
  if not records then return http.fail(problem) end
  local texts = {}
  for i, record in ipairs(records) do texts[i] = view.json(record, true) end
  return http.send(202, "application/json", '{"runs":[' .. table.concat(texts, ",") .. "]}")
end

--- The run that a request names, if it is its key's; or nil and a problem.
function M.named(key, id)
  local record, problem
  if id:find("^" .. ("%x"):rep(32) .. "$") then record, problem = find(key, id) end
  if problem then return nil, problem end
  if not record or record.key ~= key.name then return nil, http.problem(404, "unknown_run", "there is no such run, or it is not remembered any more") end
  return record
end

--- GET and DELETE /api/v3/runs/ID
function M.item(id)
  if not http.need_method "GET, DELETE" then return end
  local key, problem = keys.of_request()
  if not key then return http.fail(problem) end
  local record
  record, problem = M.named(key, id)
  if not record then return http.fail(problem) end
  if ngx.req.get_method() == "GET" then
    local seconds
    seconds, problem = wait_of_request()
    if not seconds then return http.fail(problem) end
    return answer_run(wait_for(record, seconds))
  end
  if not store.is_live(record) then return answer_run(record) end
  store.cancel(record.id)
  return http.send(202, "application/json", view.json(record, true))
end

--- GET /api/v3/service: what a client may ask for.
function M.service()
  if not http.need_method "GET" then return end
  local list, limits = {}, {}
  for i, entry in ipairs(settings.fleet and languages.all() or languages.list) do
    list[i] = ('{"language":%s,"version":%s,"aliases":%s,"file":%s}'):format(cjson.encode(entry.language), entry.version and cjson.encode(entry.version) or "null",
      #entry.aliases == 0 and "[]" or cjson.encode(entry.aliases), cjson.encode(entry.name))
  end
  for name, row in pairs(settings.limits) do limits[name] = { default = row.default or cjson.null, maximum = row.maximum } end
  return http.send(200, "application/json", ('{"languages":[%s],"limits":%s,"runs":"%s","authentication":"%s","batch":%d,"wait":%d}'):format(table.concat(list, ","),
    cjson.encode(limits), settings.fleet and "fleet" or "local", settings.anonymous and "none" or "bearer", request.BATCH, WAIT))
end

return M
