-- SPDX-License-Identifier: MIT
-- What is known of runs, in memory that nginx's workers share: a record, events, and who holds which place. All of it is bounded by
-- the places of each key, and goes by itself after a time. Keys there:
--
--   run:ID             the record, as JSON
--   head:ID, ev:ID:N   the number of the last event, and each: a word, a line feed, bytes
--   cancel:ID          it is to end
--   slot:KEY:I         which run is remembered here; where it has ended it gives way to a newer one
--   live:KEY:I         which run waits or runs here. Its worker says so again every few seconds: one that is silent is lost
--   reader:KEY:I       the same of who reads events
--   turn:ID            somebody here asks the fleet for it
--   idem:KEY:DIGEST    what an Idempotency-Key stands for
--   rate:KEY:SECOND    how many requests there were (keys.lua)
local cjson = require "cjson.safe"
local http = require "http"
local settings = require "settings"

local M = { ALIVE = 60, READING = 15 } -- seconds for which a run and a reader are believed to be there

local runs = ngx.shared.code_runs

-- A run that goes on is remembered for longer than it may.
local function live_ttl() return settings.patience + 600 end

local function put(name, value, ttl)
  local ok, why = runs:safe_set(name, value, ttl)
  if not ok then ngx.log(ngx.ERR, "code_runs: ", why) end
  return ok
end

-- Places --------------------------------------------------------------------------------------------------------------

-- A free place among so many: its number, or nil.
local function take_place(kind, key, most, id, ttl)
  for i = 1, most do
    if runs:safe_add(("%s:%s:%d"):format(kind, key.name, i), id, ttl) then return i end
  end
end

--- How many places of a key are taken: "live" or "reader".
function M.taken(kind, key)
  local n = 0
  for i = 1, kind == "live" and key.concurrent or key.readers do
    if runs:get(("%s:%s:%d"):format(kind, key.name, i)) then n = n + 1 end
  end
  return n
end

--- A place for a reader of events; or nil.
function M.take_reader(key, id) return take_place("reader", key, key.readers, id, M.READING) end

function M.keep_reader(key, place) runs:expire(("reader:%s:%d"):format(key.name, place), M.READING) end
function M.leave_reader(key, place) runs:delete(("reader:%s:%d"):format(key.name, place)) end

function M.keep_live(record) runs:expire(("live:%s:%d"):format(record.key, record.place), M.ALIVE) end

-- Records -------------------------------------------------------------------------------------------------------------

local LIVE = { queued = true, running = true }

--- Whether a run goes on.
function M.is_live(record) return LIVE[record.state] == true end

local function save(record, ttl) return put("run:" .. record.id, cjson.encode(record), ttl) end

--- Writes what has changed in a run that goes on.
function M.update(record) return save(record, live_ttl()) end

local function read(id)
  local text = runs:get("run:" .. id)
  return text and cjson.decode(text)
end

local function forget(id)
  local record = read(id)
  if record and record.idem then runs:delete(record.idem) end
  for n = (record and record.base or 0) + 1, runs:get("head:" .. id) or 0 do runs:delete(("ev:%s:%d"):format(id, n)) end
  for _, name in ipairs{ "run:", "head:", "cancel:" } do runs:delete(name .. id) end
end

-- The next of a key's slots whose run has ended. There are twice as many as may go on at once.
local function take_slot(key, id)
  for _ = 1, key.stored do
    local name = ("slot:%s:%d"):format(key.name, runs:incr("cursor:" .. key.name, 1, 0) % key.stored)
    local old = runs:get(name)
    local record = old and M.get(old)
    if not record or not M.is_live(record) then
      if old then forget(old) end
      return put(name, id, live_ttl() + settings.keep)
    end
  end
end

--- Remembers runs that are to be: all or none.
function M.take(key, records)
  local ok = true
  for i, record in ipairs(records) do
    record.place = ok and take_place("live", key, key.concurrent, record.id, M.ALIVE)
    ok = record.place and take_slot(key, record.id) and put("head:" .. record.id, record.base or 0, live_ttl() + settings.keep) and M.update(record)
    if not ok then
      for j = 1, i do
        if records[j].place then runs:delete(("live:%s:%d"):format(key.name, records[j].place)) end
        forget(records[j].id)
      end
      return false
    end
  end
  return true
end

--- Writes the end of a run, for which it is remembered for a while.
function M.finish(record)
  record.finished = ngx.now()
  record.expires = record.finished + settings.keep
  save(record, settings.keep)
  M.event(record.id, "end", "")
  if runs:get(("live:%s:%d"):format(record.key, record.place)) == record.id then runs:delete(("live:%s:%d"):format(record.key, record.place)) end
  if not record.base then http.count(('api_runs_total{key="%s",language="%s",state="%s"}'):format(record.key, record.language, record.state)) end
end

--- A run, or nil. One whose worker is gone has failed; where a fleet has it, it is only not known here any more.
function M.get(id)
  local record = read(id)
  if record and M.is_live(record) and runs:get(("live:%s:%d"):format(record.key, record.place)) ~= id then
    record = read(id) -- it may have ended meanwhile
    if record and M.is_live(record) and settings.fleet then
      forget(id)
      return nil
    elseif record and M.is_live(record) then
      record.state, record.error = "failed", http.problem(500, "lost", "the service ended under it")
      M.finish(record)
    end
  end
  return record
end

--- Whether it is ours to ask the fleet for a run: one at a time does.
function M.take_turn(id) return runs:safe_add("turn:" .. id, true, 60) end

function M.leave_turn(id) runs:delete("turn:" .. id) end
function M.has_turn(id) return runs:get("turn:" .. id) ~= nil end

--- Says that a run is to end, and whether that was said.
function M.cancel(id) put("cancel:" .. id, true, live_ttl()) end
function M.is_cancelled(id) return runs:get("cancel:" .. id) ~= nil end

-- Events --------------------------------------------------------------------------------------------------------------

function M.head(id) return runs:get("head:" .. id) or 0 end

--- Appends an event. Only a run's own worker does, and whoever finds that this is lost.
function M.event(id, kind, data)
  local n, ttl = M.head(id) + 1, live_ttl() + settings.keep
  local ok, why = runs:safe_add(("ev:%s:%d"):format(id, n), kind .. "\n" .. data, ttl)
  if ok then return put("head:" .. id, n, ttl) end
  if why ~= "exists" then ngx.log(ngx.ERR, "code_runs: ", why) end
end

--- The n-th event: its word and bytes; or nil.
function M.read_event(id, n)
  local text = runs:get(("ev:%s:%d"):format(id, n))
  if not text then return nil end
  return text:match "^(%l+)\n(.*)$"
end

--- What a run has written, since it was last begun.
function M.output(id)
  local out, record = { stdout = {}, stderr = {} }, read(id)
  for n = (record and record.base or 0) + 1, M.head(id) do
    local kind, bytes = M.read_event(id, n)
    if kind == "restart" then out = { stdout = {}, stderr = {} } end
    if out[kind] then table.insert(out[kind], bytes) end
  end
  return table.concat(out.stdout), table.concat(out.stderr)
end

-- Idempotency-Key -----------------------------------------------------------------------------------------------------

local TAKING = 60 -- seconds that taking a request in may last

--- Takes an Idempotency-Key: true; or false and what it stands for: the digest of a body, and ids, none where it is still being taken in.
function M.take_idem(name, digest)
  if runs:safe_add(name, digest, TAKING) then return true end
  local value = runs:get(name) or ""
  local ids = {}
  for id in value:sub(65):gmatch "%x+" do ids[#ids + 1] = id end
  return false, value:sub(1, 64), ids
end

function M.keep_idem(name, digest, ids) put(name, digest .. " " .. table.concat(ids, " "), live_ttl() + settings.keep) end
function M.leave_idem(name) runs:delete(name) end

return M
