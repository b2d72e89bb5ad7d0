-- SPDX-License-Identifier: MIT
--- A worker: takes jobs from a queue, has a handler do each, and answers. A task of our own loop for each slot; beside them one that keeps
-- what is in hand (the beat), one that hears of jobs to be ended, one that publishes output.
--
-- A job in hand is ours for as long as the broker says so. One that it gave to another, because we were not heard of, is killed and
-- not answered; an answer of ours that comes too late changes nothing.
-- @module sandbox.fleet.worker
local core = require "sandbox.core"
local brokers = require "sandbox.fleet.broker"
local errors = require "sandbox.errors"
local fleets = require "sandbox.fleet"
local json = require "sandbox.json"
local loop = require "sandbox.hosts.loop"
local message = require "sandbox.fleet.message"
local scripts = require "sandbox.fleet.scripts"
local stats = require "sandbox.fleet.stats"
local wait = require "sandbox.hosts.wait"

local M = {}

local STEP = 30 -- seconds that a step in the broker may take
local BLOCK = 2 -- seconds of one blocking wait for a job: so late is a worker that is to stop
local PUBLISH = 0.2
local PUBLISHED_MAX = 32 * 1024 ^ 2 -- bytes of a job's output that are published; the rest is in its answer
local REMEMBERED = 1000 -- jobs to be ended that are not in hand yet

local Worker = {}
Worker.__index = Worker

-- Never the same twice: a process that has another's number after a boot is not taken for it.
local function name_of()
  local function line(path)
    local file = io.open(path, "rb")
    local text = file and file:read "*l" or "?"
    if file then file:close() end
    return (text:gsub("[^%w.-]", "_"):sub(1, 64))
  end
  return ("%s:%s:%d:%s"):format(line "/proc/sys/kernel/hostname", line("/proc/sys/kernel/random/boot_id"):sub(1, 8), core.getpid(), core.random_hex(4))
end

--- Makes a worker; connects to nothing yet.
-- @tparam table config address (of broker.address), queue, slots, lease in seconds, max_deliveries, keep (seconds for which answers are
-- kept), handler(job) -> result or nil, message, code; has (set of words), about() -> fields of what is said of it, log(words)
-- @treturn Worker
function M.new(config)
  return setmetatable({ config = config, broker = brokers.new(config.address), prefix = "{" .. config.queue .. "}:", me = name_of(), hand = {}, busy = 0,
                        streams = { "" }, told = {}, told_order = {}, claim_at = 0, patience = math.huge, counts = { answered = 0, fenced = 0, failed = 0 } }, Worker)
end

local function log(self, form, ...) self.config.log(form:format(...)) end

local function stream_of(self, needs) return self.prefix .. (needs == "" and "jobs" or "jobs:" .. needs) end

-- A step that is tried again for as long as the broker is away: true and its reply, or nil, message, code.
local function step(self, script, args)
  local ok, reply, code = fleets.patient(self.patience, true, function()
    if self.abandoned then return nil, "told to stop at once", "closed" end
    if self.draining and self.away and self.busy == 0 then return nil, "told to stop, with nothing in hand", "closed" end
    local ok, reply, kind = self.broker:script(STEP, script, { self.prefix }, args)
    if not ok and (kind == "lost" or kind == "unreached") and not self.away then
      self.away = true
      log(self, "%s", reply)
    elseif ok and self.away then
      self.away = false
      log(self, "the broker is there again")
    end
    return ok, reply, kind
  end)
  return ok, reply, code
end

-- Jobs in hand -----------------------------------------------------------------------------------------------------------

-- Its program is killed, now or before it begins.
local function stop_job(job)
  job.stopped = true
  if job.kill then job.kill() end
end

local function cancel_job(job)
  job.cancelled = true
  stop_job(job)
end

local function take_up(self, needs, entry, secret, body, token)
  local id = entry .. "." .. secret .. (needs ~= "" and "." .. needs or "")
  local held = self.hand[id]
  if held and not held.lost then held.token = token end -- ours was thought to be nobody's, by us or by a broker that has forgotten the last second
  if held or not message.parse_id(id) then return nil end
  local job = { id = id, needs = needs, entry = entry, token = token, body = body, output = {}, published = 0 }
  self.hand[id] = job
  if self.told[id] then cancel_job(job) end
  return job
end

local function outcome(self, job)
  local options = message.decode_job(job.body)
  job.body = nil
  if job.cancelled then return nil, fleets.CANCELLED, "closed" end
  if not options then return nil, "what came as a job is none", "bad_option" end
  job.options = options
  -- As a task of its own: what it raises is an answer, too, and not the end of the worker.
  local values, raised = loop.go(function() return { self.config.handler(job) } end):join()
  if not values then return nil, "the worker failed at it: " .. errors.show(tostring(raised)), "system" end
  if job.cancelled then return nil, fleets.CANCELLED, "closed" end
  return values[1], values[2], values[3]
end

local function do_job(self, job)
  self.busy = self.busy + 1
  local r, words, code = outcome(self, job)
  if not job.lost then
    local text, parts = message.encode_answer(r, words, code, tonumber(job.token))
    local args = { job.needs, self.me, job.entry, job.token, job.id, text, ("%d"):format(self.config.keep) }
    for _, part in ipairs(parts) do args[#args + 1] = part end
    local ok, reply = step(self, scripts.finish, args)
    if not ok then log(self, "%s: not answered: %s", job.entry, tostring(reply)) end
    local what = not ok and "failed" or reply == 1 and "answered" or "fenced"
    self.counts[what] = self.counts[what] + 1
  else
    self.counts.fenced = self.counts.fenced + 1
  end
  self.busy = self.busy - 1
  self.hand[job.id] = nil
end

-- Getting jobs -------------------------------------------------------------------------------------------------------------

local function claim(self)
  local c = self.config
  for _, needs in ipairs(self.streams) do
    local ok, e = step(self, scripts.claim, { needs, self.me, ("%d"):format(c.lease * 1000), ("%d"):format(c.max_deliveries),
      message.refusal(("given up: %d workers ended under it"):format(c.max_deliveries), "lost"), message.refusal(fleets.CANCELLED, "closed"),
      ("%d"):format(c.keep) })
    if ok and type(e) == "table" and e[4] then
      log(self, "%s: taken over, attempt %s", e[1], e[4])
      return take_up(self, needs, e[1], e[2], e[3], e[4])
    end
  end
end

-- Which queues are ours to read, and a group of readers in each.
local function learn_streams(self)
  local ok, sets = self.broker:command(STEP, "SMEMBERS", { self.prefix .. "needs" })
  if not ok or type(sets) ~= "table" then return end
  local list = { "" }
  table.sort(sets)
  for _, set in ipairs(sets) do
    local all = #set <= 600
    for word in set:gmatch "[^,]+" do all = all and self.config.has[word] ~= nil end
    if all then list[#list + 1] = set end
  end
  for _, needs in ipairs(list) do
    local made, words, kind = self.broker:command(STEP, "XGROUP", { "CREATE", stream_of(self, needs), scripts.GROUP, "0", "MKSTREAM" })
    if not made and kind == "refused" and not words:find("BUSYGROUP", 1, true) then log(self, "%s", words) end
  end
  self.streams = list
end

local function fields_of(entry)
  local f = {}
  if type(entry) ~= "table" or type(entry[1]) ~= "string" or type(entry[2]) ~= "table" then return nil end
  for i = 1, #entry[2] - 1, 2 do f[entry[2][i]] = entry[2][i + 1] end
  return type(f.s) == "string" and type(f.b) == "string" and f or nil
end

-- Waits for jobs: a list, of one for each queue that is read at most; nil where the broker is away.
local function read(self)
  local args = { "GROUP", scripts.GROUP, self.me, "COUNT", "1", "BLOCK", tostring(BLOCK * 1000), "STREAMS" }
  local streams, of = self.streams, {}
  for _, needs in ipairs(streams) do
    args[#args + 1] = stream_of(self, needs)
    of[stream_of(self, needs)] = needs
  end
  for _ = 1, #streams do args[#args + 1] = ">" end
  local ok, reply, kind = self.broker:command(STEP + BLOCK, "XREADGROUP", args)
  if not ok then
    if kind == "refused" then learn_streams(self) end -- the broker has forgotten the group
    return nil
  end
  local jobs = {}
  for _, row in ipairs(type(reply) == "table" and reply or {}) do
    for _, entry in ipairs(type(row) == "table" and type(row[2]) == "table" and row[2] or {}) do
      local f = fields_of(entry)
      jobs[#jobs + 1] = f and of[row[1]] and take_up(self, of[row[1]], entry[1], f.s, f.b, "1") or nil
    end
  end
  return jobs
end

local function slot(self)
  local c, nap = self.config, 0.05
  while not self.draining do
    local job
    if core.now() >= self.claim_at then
      job = claim(self)
      if not job then self.claim_at = core.now() + c.lease / 2 end
    end
    local jobs = job and { job } or read(self)
    for _, one in ipairs(jobs or {}) do
      if not self.abandoned then do_job(self, one) end
    end
    nap = jobs and 0.05 or math.min(nap * 2, 1)
    if not jobs then wait.sleep(nap) end
  end
end

-- Beside the slots -----------------------------------------------------------------------------------------------------------

local function about(self)
  local fields = self.config.about()
  fields.slots, fields.busy, fields.draining = self.config.slots, self.busy, self.draining or nil
  return json.encode(fields)
end

local function beat(self)
  local args, jobs = { self.me, about(self), ("%d"):format(math.max(stats.GONE, self.config.lease * 3)) }, {}
  for _, job in pairs(self.hand) do
    jobs[#jobs + 1] = job
    for _, v in ipairs{ job.needs, job.entry, job.token, job.id } do args[#args + 1] = v end
  end
  local ok, reply = step(self, scripts.beat, args)
  if not ok or type(reply) ~= "table" then return end
  for i, job in ipairs(jobs) do
    if reply[i] == 2 then
      cancel_job(job)
    elseif reply[i] == 0 and self.hand[job.id] == job then
      job.lost = true
      log(self, "%s: another worker has it now", job.entry)
      stop_job(job)
    end
  end
end

-- Remembers jobs to be ended that are not in hand, for one may be on its way here.
local function hear_of(self, id)
  local job = self.hand[id]
  if job then return cancel_job(job) end
  if self.told[id] then return end
  self.told[id] = true
  table.insert(self.told_order, id)
  if #self.told_order > REMEMBERED then self.told[table.remove(self.told_order, 1)] = nil end
end

local function listen(self)
  local at = "$"
  while not self.over do
    local ok, reply = self.broker:command(STEP + BLOCK, "XREAD", { "BLOCK", tostring(BLOCK * 1000), "STREAMS", self.prefix .. "control", at })
    if not ok then wait.sleep(0.5) end -- meanwhile the beat looks
    for _, row in ipairs(ok and type(reply) == "table" and reply or {}) do
      for _, entry in ipairs(type(row) == "table" and type(row[2]) == "table" and row[2] or {}) do
        if type(entry) == "table" and type(entry[1]) == "string" and type(entry[2]) == "table" then
          at = entry[1]
          if entry[2][1] == "cancel" and message.parse_id(entry[2][2]) then hear_of(self, entry[2][2]) end
        end
      end
    end
  end
end

--- Notes a piece of a job's output, for those who follow it.
-- @tparam table job
-- @string stream
-- @string chunk
function M.note(job, stream, chunk)
  local out = job.output[stream] or { bytes = 0, from = 1 }
  job.output[stream] = out
  out[#out + 1] = { out.bytes, chunk }
  out.bytes = out.bytes + #chunk
end

local function unpublished(job)
  for _, out in pairs(job.output) do
    if out.from <= #out then return true end
  end
end

local function publish(self, job)
  local args = { job.needs, self.me, job.entry, job.token, job.id, ("%d"):format(self.config.keep) }
  for stream, out in pairs(job.output) do
    while out.from <= #out and job.published < PUBLISHED_MAX and #args < 3000 do
      local offset, chunk = out[out.from][1], out[out.from][2]
      for _, v in ipairs{ stream, ("%d"):format(offset), chunk } do args[#args + 1] = v end
      out.from, job.published = out.from + 1, job.published + #chunk
    end
  end
  if #args > 6 then step(self, scripts.publish, args) end
end

local function publish_all(self)
  local ids, jobs = {}, {}
  for id, job in pairs(self.hand) do
    if unpublished(job) and job.published < PUBLISHED_MAX then ids[#ids + 1], jobs[#jobs + 1] = id, job end
  end
  if #ids == 0 then return end
  local ok, reply = step(self, scripts.followed, ids)
  for i, job in ipairs(jobs) do
    if ok and type(reply) == "table" and reply[i] == 1 and self.hand[job.id] == job then publish(self, job) end
  end
end

-- f once in so many seconds, until the worker has ended.
local function every(self, seconds, f)
  return function()
    while not self.over do
      f(self)
      local limit = core.now() + seconds
      repeat wait.sleep(math.min(0.2, seconds)) until self.over or core.now() >= limit
    end
  end
end

--- Takes no job any more; what is in hand is done and answered.
function Worker:drain()
  if self.draining then return end
  self.draining = true
  log(self, "draining: %d in hand", self.busy)
end

--- Ends at once: what is in hand is killed, and left for others.
function Worker:abandon()
  self.draining, self.abandoned = true, true
  for _, job in pairs(self.hand) do
    job.lost = true
    stop_job(job)
  end
end

--- Works until it has drained; in our own loop.
-- @tparam[opt] {function,...} others tasks beside: called with the worker, they end once it is `over`
function Worker:run(others)
  for _, f in ipairs(others or {}) do loop.go(f, self) end -- first: one of them hears that it is to drain
  learn_streams(self)
  beat(self)
  log(self, "works on %s at %s, %d slots, as %s", self.config.queue, self.config.address.text, self.config.slots, self.me)
  local slots = {}
  for i = 1, self.config.slots do slots[i] = loop.go(slot, self) end
  loop.go(every(self, self.config.lease / 3, beat))
  loop.go(every(self, math.min(10, self.config.lease / 3), learn_streams))
  loop.go(every(self, PUBLISH, publish_all))
  loop.go(listen, self)
  for _, task in ipairs(slots) do
    local ok, err = task:join()
    if ok == nil and err ~= nil then
      self.over = true
      error(err, 0)
    end
  end
  self.over = true
  self.patience = 2 -- nothing depends on it
  self.broker:script(STEP, scripts.leave, { self.prefix }, { self.me })
  self.broker:close()
  log(self, "drained: %d answered, %d another's, %d not answered", self.counts.answered, self.counts.fenced, self.counts.failed)
end

return M
