-- SPDX-License-Identifier: MIT
--- What must happen in one step in the broker: its keys, and the scripts over them.
--
-- A queue Q has these keys, all with the hash tag {Q}, so that a cluster keeps them together:
--
--     {Q}:jobs           a stream: jobs that wait or run, for anybody; {Q}:jobs:NEEDS for workers that have what NEEDS names
--     {Q}:needs          the set of those NEEDS
--     {Q}:key:KEY        the id of the job that was submitted with this key, and behind a space its note
--     {Q}:res:ID         a hash: the answer; {Q}:big:ID its large parts; {Q}:done:ID a list that is not empty once there is one
--     {Q}:cancel:ID      somebody wants it to end; {Q}:control, a stream, tells the workers at once
--     {Q}:follow:ID      somebody wants its output as it comes, in the stream {Q}:out:ID
--     {Q}:dead           a stream: jobs that were given up
--     {Q}:alive, :workers, :counts   who works, and what they say of themselves; counters
--
-- An id is ENTRY.SECRET[.NEEDS]: where its entry lies, and what only who submitted it knows.
--
-- The fencing token of a job is its entry's owner and how often it was delivered: whoever answers must still have both. A beat keeps
-- it (XCLAIM … JUSTID), a claim by another takes it away, and the broker's clock alone says when that may be.
-- @module sandbox.fleet.scripts
local M = { GROUP = "workers" }

-- Before each script: B is "{Q}:", G the group; the helpers that several need.
local PRELUDE = [[
local B, G = KEYS[1], 'workers'
local call = redis.call
local function stream_of(needs) if needs == '' then return B .. 'jobs' end return B .. 'jobs:' .. needs end
local function field(entry, name)
  for i = 1, #entry, 2 do if entry[i] == name then return entry[i + 1] end end
end
-- The owner of a delivered entry and how often it was delivered; nothing where it is not.
local function pending(stream, entry)
  local p = redis.pcall('XPENDING', stream, G, entry, entry, 1)
  if p.err or not p[1] then return nil end
  return p[1][2], p[1][4]
end
local function owned(stream, entry, me, token)
  local owner, deliveries = pending(stream, entry)
  return owner == me and tostring(deliveries) == token
end
-- The one place that answers: a second answer changes nothing.
local function answer(stream, entry, id, body, ttl, count)
  local first = call('HSETNX', B .. 'res:' .. id, 'r', body) == 1
  if first then
    call('EXPIRE', B .. 'res:' .. id, ttl)
    call('RPUSH', B .. 'done:' .. id, '1')
    call('EXPIRE', B .. 'done:' .. id, ttl)
    call('HINCRBY', B .. 'counts', count, 1)
    if call('EXISTS', B .. 'follow:' .. id) == 1 then
      call('XADD', B .. 'out:' .. id, '*', 'end', '1')
      call('EXPIRE', B .. 'out:' .. id, ttl)
    end
  else
    call('HINCRBY', B .. 'counts', 'twice', 1)
  end
  redis.pcall('XACK', stream, G, entry)
  call('XDEL', stream, entry)
  call('DEL', B .. 'cancel:' .. id, B .. 'follow:' .. id)
  return first
end
local function id_of(entry, secret, needs)
  local id = entry .. '.' .. secret
  if needs ~= '' then id = id .. '.' .. needs end
  return id
end
]]

local function script(name, source)
  M[name] = { name = name, source = PRELUDE .. source }
end

-- body, secret, needs, most jobs, key or '', seconds the key is kept, note -> {1, id}, {0}: full, {2}: too many sets of needs
script("submit", [[
local body, secret, needs, most, key, ttl, note = unpack(ARGV)
local kept = B .. 'key:' .. key
local known = key ~= '' and call('GET', kept)
if known then return { 1, string.match(known, '^%S+') } end
local sets = call('SMEMBERS', B .. 'needs')
local depth, is_new = call('XLEN', B .. 'jobs'), needs ~= ''
for _, set in ipairs(sets) do
  depth = depth + call('XLEN', B .. 'jobs:' .. set)
  if set == needs then is_new = false end
end
if depth >= tonumber(most) then return { 0 } end
if is_new then
  if #sets >= 64 then return { 2 } end
  call('SADD', B .. 'needs', needs)
end
local id = id_of(call('XADD', stream_of(needs), '*', 's', secret, 'b', body), secret, needs)
if key ~= '' then call('SET', kept, id .. ' ' .. note, 'EX', ttl) end
call('HINCRBY', B .. 'counts', 'submitted', 1)
return { 1, id }]])

-- key -> {1, id, note}; {0}: there is none
script("find", [[
local known = call('GET', B .. 'key:' .. ARGV[1])
if not known then return { 0 } end
local id, note = string.match(known, '^(%S+) ?(.*)$')
return { 1, id, note }]])

-- id, entry, secret, needs -> {2, answer, name, value, ...}: its large parts; {1}: it waits or runs; {0}: there is none
script("look", [[
local id, entry, secret, needs = unpack(ARGV)
local r = call('HGET', B .. 'res:' .. id, 'r')
if r then
  local out = { 2, r }
  for _, v in ipairs(call('HGETALL', B .. 'big:' .. id)) do out[#out + 1] = v end
  return out
end
local e = call('XRANGE', stream_of(needs), entry, entry)[1]
if e and field(e[2], 's') == secret then return { 1 } end
return { 0 }]])

-- id, entry, secret, needs, the answer where it has not begun, seconds that is kept
-- -> 2: it is answered; 1: its worker is told; 3: it will not begin; 0: there is none
script("cancel", [[
local id, entry, secret, needs, body, ttl = unpack(ARGV)
if call('EXISTS', B .. 'res:' .. id) == 1 then return 2 end
local stream = stream_of(needs)
local e = call('XRANGE', stream, entry, entry)[1]
if not e or field(e[2], 's') ~= secret then return 0 end
if not pending(stream, entry) then
  answer(stream, entry, id, body, ttl, 'cancelled')
  return 3
end
call('SET', B .. 'cancel:' .. id, '1', 'EX', ttl)
call('XADD', B .. 'control', 'MAXLEN', '~', '1000', '*', 'cancel', id)
return 1]])

-- stream's needs, me, entry, token, id, the answer, seconds it is kept, then name, value of large parts -> 1: it is the answer; 0: it is not
script("finish", [[
local needs, me, entry, token, id, body, ttl = unpack(ARGV, 1, 7)
local stream = stream_of(needs)
if not owned(stream, entry, me, token) then
  call('HINCRBY', B .. 'counts', 'fenced', 1)
  return 0
end
local first = answer(stream, entry, id, body, ttl, 'answered')
if first and #ARGV > 7 then
  for i = 8, #ARGV, 2 do call('HSET', B .. 'big:' .. id, ARGV[i], ARGV[i + 1]) end
  call('EXPIRE', B .. 'big:' .. id, ttl)
end
return first and 1 or 0]])

-- needs, me, the lease in ms, most deliveries, the answer of what is given up, of what is cancelled, seconds these are kept
-- -> {entry, secret, body, token}: a job whose worker has not been heard of for so long; {}: there is none
script("claim", [[
local needs, me, lease, most, lost, cancelled, ttl = unpack(ARGV)
local stream = stream_of(needs)
for _ = 1, 100 do
  local stale = redis.pcall('XPENDING', stream, G, 'IDLE', lease, '-', '+', 1)
  if stale.err or not stale[1] then return {} end
  local entry = stale[1][1]
  local e = call('XCLAIM', stream, G, me, lease, entry)[1]
  local secret, body = e and field(e[2], 's'), e and field(e[2], 'b')
  local _, deliveries = pending(stream, entry)
  local id = secret and id_of(entry, secret, needs)
  if not secret or not body then
    call('XACK', stream, G, entry)
    call('XDEL', stream, entry)
  elseif call('EXISTS', B .. 'cancel:' .. id) == 1 then
    answer(stream, entry, id, cancelled, ttl, 'cancelled')
  elseif deliveries > tonumber(most) then
    call('XADD', B .. 'dead', 'MAXLEN', '~', '10000', '*', 'id', id, 'b', body, 'deliveries', tostring(deliveries - 1))
    answer(stream, entry, id, lost, ttl, 'lost')
  else
    call('HINCRBY', B .. 'counts', 'claimed', 1)
    return { entry, secret, body, tostring(deliveries) }
  end
end
return {}]])

-- me, what is said of me, seconds after which who says nothing is gone, then needs, entry, token, id of each job in hand
-- -> for each 1: still mine; 2: and to be ended; 0: another's
script("beat", [[
local me, about, gone = unpack(ARGV, 1, 3)
local now = tonumber(call('TIME')[1])
call('HSET', B .. 'workers', me, now .. ' ' .. about)
call('ZADD', B .. 'alive', now, me)
local streams = { B .. 'jobs' }
for _, needs in ipairs(call('SMEMBERS', B .. 'needs')) do streams[#streams + 1] = B .. 'jobs:' .. needs end
for _, other in ipairs(call('ZRANGEBYSCORE', B .. 'alive', '-inf', now - gone, 'LIMIT', 0, 10)) do
  local left = true
  for _, stream in ipairs(streams) do
    local p = redis.pcall('XPENDING', stream, G, '-', '+', 1, other)
    if not p.err and p[1] then left = false end
    if not p.err and not p[1] then redis.pcall('XGROUP', 'DELCONSUMER', stream, G, other) end
  end
  call('HDEL', B .. 'workers', other)
  if left then call('ZREM', B .. 'alive', other) end
end
local out = {}
for i = 4, #ARGV, 4 do
  local needs, entry, token, id = unpack(ARGV, i, i + 3)
  local stream = stream_of(needs)
  if owned(stream, entry, me, token) then
    call('XCLAIM', stream, G, me, 0, entry, 'JUSTID')
    out[#out + 1] = 1 + call('EXISTS', B .. 'cancel:' .. id)
  else
    out[#out + 1] = 0
  end
end
return out]])

-- ids -> for each whether somebody follows it
script("followed", [[
local out = {}
for i, id in ipairs(ARGV) do out[i] = call('EXISTS', B .. 'follow:' .. id) end
return out]])

-- needs, me, entry, token, id, seconds, then stream, offset, bytes of each piece -> 1, or 0: it is another's
script("publish", [[
local needs, me, entry, token, id, ttl = unpack(ARGV, 1, 6)
if not owned(stream_of(needs), entry, me, token) then return 0 end
for i = 7, #ARGV, 3 do
  call('XADD', B .. 'out:' .. id, '*', 'a', token, 's', ARGV[i], 'o', ARGV[i + 1], 'd', ARGV[i + 2])
end
call('EXPIRE', B .. 'out:' .. id, ttl)
return 1]])

-- me -> how many of my jobs are still in hand; 0: I am gone
script("leave", [[
local me = ARGV[1]
local streams, held = { B .. 'jobs' }, 0
for _, needs in ipairs(call('SMEMBERS', B .. 'needs')) do streams[#streams + 1] = B .. 'jobs:' .. needs end
for _, stream in ipairs(streams) do
  local p = redis.pcall('XPENDING', stream, G, '-', '+', 1, me)
  if not p.err then
    if p[1] then held = held + 1 else redis.pcall('XGROUP', 'DELCONSUMER', stream, G, me) end
  end
end
call('HDEL', B .. 'workers', me)
if held == 0 then call('ZREM', B .. 'alive', me) end
return held]])

-- seconds after which who says nothing is gone -> {seconds, microseconds, dead, counts, workers, then needs, jobs, of these in hand, the
-- first that waits or ''}
script("stats", [[
local now = call('TIME')
local out = { now[1], now[2], call('XLEN', B .. 'dead'), call('HGETALL', B .. 'counts') }
local workers = {}
for _, me in ipairs(call('ZRANGEBYSCORE', B .. 'alive', tonumber(now[1]) - ARGV[1], '+inf', 'LIMIT', 0, 5000)) do
  local about = call('HGET', B .. 'workers', me)
  if about then workers[#workers + 1] = me workers[#workers + 1] = about end
end
out[5] = workers
local sets = call('SMEMBERS', B .. 'needs')
table.sort(sets)
table.insert(sets, 1, '')
for _, needs in ipairs(sets) do
  local stream = stream_of(needs)
  local jobs, held, last = call('XLEN', stream), 0, '-'
  local groups = redis.pcall('XINFO', 'GROUPS', stream)
  for _, group in ipairs(groups.err and {} or groups) do
    if field(group, 'name') == G then held, last = field(group, 'pending'), '(' .. field(group, 'last-delivered-id') end
  end
  local first = call('XRANGE', stream, last, '+', 'COUNT', 1)[1]
  for _, v in ipairs{ needs, jobs, held, first and first[1] or '' } do out[#out + 1] = v end
end
return out]])

return M
