-- SPDX-License-Identifier: MIT
--- A job's output while it runs. The worker publishes it for as long as somebody follows; what it has not published is in the answer.
-- @module sandbox.fleet.follow
local core = require "sandbox.core"
local fleets -- at the first use: it needs this one

local M = {}

local Follower = {}
Follower.__index = Follower

local KEEP = 60 -- seconds for which one look says that somebody follows
local BLOCK = 1

function M.new(fleet, id)
  return setmetatable({ fleet = fleet, id = id, at = "0-0", attempt = 0, seen = { stdout = 0, stderr = 0 }, queue = {}, first = 1, marked = -math.huge }, Follower)
end

local function push(self, stream, bytes)
  if bytes ~= "" then self.queue[#self.queue + 1] = { stream, bytes, self.attempt } end
end

-- A later attempt begins anew: what came of an earlier one is void.
local function begin(self, attempt)
  self.attempt, self.seen = attempt, { stdout = 0, stderr = 0 }
end

local function finish(self, r, words, code, attempt)
  self.over, self.result_of = true, { r, words, code }
  if not r then return end
  if attempt ~= self.attempt then begin(self, attempt) end
  for _, stream in ipairs{ "stdout", "stderr" } do push(self, stream, (r[stream] or ""):sub(self.seen[stream] + 1)) end
end

local function take_piece(self, fields)
  local piece = {}
  for i = 1, #fields - 1, 2 do piece[fields[i]] = fields[i + 1] end
  if piece["end"] then return true end
  local attempt, offset = tonumber(piece.a), tonumber(piece.o)
  if not attempt or not offset or type(piece.d) ~= "string" or not self.seen[piece.s] then return false end
  if attempt > self.attempt then begin(self, attempt) end
  local seen = self.seen[piece.s]
  if attempt < self.attempt or offset > seen then return false end
  push(self, piece.s, piece.d:sub(seen - offset + 1))
  self.seen[piece.s] = math.max(seen, offset + #piece.d)
  return false
end

-- Takes what has been published; whether its end was among it, or nothing.
local function take(self, reply)
  local entries = type(reply) == "table" and type(reply[1]) == "table" and reply[1][2]
  if type(entries) ~= "table" then return true end
  local ended = false
  for _, entry in ipairs(entries) do
    if type(entry) == "table" and type(entry[1]) == "string" and type(entry[2]) == "table" then
      self.at = entry[1]
      ended = take_piece(self, entry[2]) or ended
    end
  end
  return ended
end

local function command(self, seconds, name, args)
  fleets = fleets or require "sandbox.fleet"
  local fleet = self.fleet
  return fleets.patient(fleet.options.broker_timeout, true, function()
    local ok, reply, kind = fleet.broker:command(seconds, name, args)
    return ok, reply, kind
  end)
end

-- One look at what there is: true, or nil, message, code.
local function advance(self)
  local prefix = self.fleet.prefix
  if core.now() - self.marked > KEEP / 3 then
    -- Said before it is asked whether the job has ended: one that ends in between leaves the key, which goes by itself.
    local ok, words, code = command(self, 30, "SET", { prefix .. "follow:" .. self.id, "1", "EX", tostring(KEEP) })
    if not ok then return nil, words, code end
    self.marked = core.now()
  end
  local ok, reply, code = command(self, 30 + BLOCK, "XREAD", { "COUNT", "100", "BLOCK", tostring(BLOCK * 1000), "STREAMS", prefix .. "out:" .. self.id, self.at })
  if not ok then return nil, reply, code end
  if not take(self, reply) then return true end
  local there, r, words, kind, attempt = self.fleet:look(self.id)
  if there == nil then return nil, r, words end
  if there then finish(self, r, words, kind, attempt) end
  return true
end

--- Waits for the next piece.
-- @treturn string "stdout" or "stderr"; nil at the end, or nil, message, code
-- @treturn string the piece
-- @treturn integer the how-manieth attempt it is of: where that grows a worker was lost, and what came before is void
function Follower:read()
  while not self.queue[self.first] do
    if self.over then
      if self.result_of[1] then return nil end
      return nil, self.result_of[2], self.result_of[3]
    end
    self.queue, self.first = {}, 1
    local ok, words, code = advance(self)
    if not ok then return nil, words, code end
  end
  local piece = self.queue[self.first]
  self.queue[self.first] = false
  self.first = self.first + 1
  return piece[1], piece[2], piece[3]
end

Follower.__call = Follower.read

--- The job's answer, once nothing more comes; before that it waits for it.
-- @treturn table result, or nil, message, code
function Follower:result()
  if self.over then return self.result_of[1], self.result_of[2], self.result_of[3] end
  local r, words, code = self.fleet:result(self.id)
  return r, words, code
end

return M
