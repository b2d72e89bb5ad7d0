-- SPDX-License-Identifier: MIT
--- Files of a box as streams: one helper each, that is fed or read piece by piece.
-- @module sandbox.box.streams
local files = require "sandbox.run.files"
local helper = require "sandbox.box.helper"

local M = {}

local PIECE = 65536
local ANSWER = 65536
local ENDLESS = 2 ^ 40 -- bytes; below it a helper that is not read waits

-- Writing ----------------------------------------------------------------------------------------------------------------

local Writer = {}
Writer.__index = Writer

--- @tparam Box box that has booted
-- @string name as the caller said it
-- @string first the frame that begins the file
-- @treturn Writer or nil, message, code
function M.writer(box, name, first)
  local self = setmetatable({ name = name }, Writer)
  self.reader = files.reader(function(entry) self.refused = self.refused or entry.kind == "E" and entry or nil end)
  local job, message, code = helper.start(box, { stdin_open = true, timeout = false, output = ANSWER, on_stdout = function(chunk) return self.reader:feed(chunk) end })
  if not job then return nil, message, code end
  self.job = job
  local ok
  ok, message, code = job:write(first)
  if not ok then
    job:close()
    return nil, message, code
  end
  return self
end

--- Writes.
-- @string bytes
-- @treturn boolean true, or nil, message, code
function Writer:write(bytes)
  if type(bytes) ~= "string" then error("bad argument #1 to 'write' (string expected, got " .. type(bytes) .. ")", 2) end
  if not self.job then return nil, "the stream is closed", "closed" end
  for at = 1, #bytes, PIECE do
    if self.refused then break end
    local ok, message, code = self.job:write(files.piece(bytes:sub(at, at + PIECE - 1)))
    if not ok then return nil, message, code end
  end
  if self.refused then return helper.refusal(self.refused, self.name) end
  return true
end

--- Ends the file. Once more does nothing.
-- @treturn boolean true when all of it is there, or nil, message, code
function Writer:close()
  local job = self.job
  if not job then return true end
  self.job = nil
  job:write(files.GO)
  job:close_stdin()
  local r, message, code = job:wait()
  job:close()
  if self.refused then return helper.refusal(self.refused, self.name) end
  if not r then return nil, message, code end
  if not self.reader.whole then return nil, self.name .. ": " .. files.BAD, "system" end
  return true
end
Writer.__close = Writer.close

-- Reading ----------------------------------------------------------------------------------------------------------------

local Reader = {}
Reader.__index = Reader

local function bad(self)
  return nil, self.name .. ": " .. files.BAD, "system"
end

-- Takes what comes next; nil, message, code where it is wrong, false at the end.
local function more(self)
  if self.reader.whole then return false end
  local chunk, message, code = self.job:read "stdout"
  if not chunk and message then return nil, message, code end
  if not chunk or not self.reader:feed(chunk) then return bad(self) end
  return true
end

--- @tparam Box box that has booted
-- @string name as the caller said it
-- @string path as the helper is to have it
-- @treturn Reader or nil, message, code
function M.reader(box, name, path)
  local self = setmetatable({ name = name, pieces = {}, first = 1, last = 0 }, Reader)
  self.reader = files.reader(function(entry) self.entry = self.entry or entry end, function(piece)
    self.last = self.last + 1
    self.pieces[self.last] = piece
  end)
  local job, message, code = helper.start(box, { stdin = files.ask("g", path, ("%.0f"):format(ENDLESS)), timeout = false, output = ENDLESS })
  if not job then return nil, message, code end
  self.job = job
  local ok = true
  while not self.entry and ok do ok, message, code = more(self) end
  if self.entry and self.entry.kind == "F" then
    self.size = self.entry.size
    return self
  end
  job:close()
  if self.entry then return helper.refusal(self.entry, name) end
  if ok == false then return bad(self) end
  return nil, message, code
end

--- Reads.
-- @int[opt] n exactly so many bytes, fewer only at the end; without it what is there
-- @treturn string, nil at the end, or nil, message, code
function Reader:read(n)
  if n ~= nil and (type(n) ~= "number" or n < 1 or n % 1 ~= 0) then error("bad argument #1 to 'read' (expected a number of bytes)", 2) end
  if not self.job then return nil, "the stream is closed", "closed" end
  local out, have = {}, 0
  while have < (n or 1) do
    local piece = self.pieces[self.first]
    if piece then
      if n and have + #piece > n then
        self.pieces[self.first], piece = piece:sub(n - have + 1), piece:sub(1, n - have)
      else
        self.pieces[self.first], self.first = nil, self.first + 1
      end
      out[#out + 1], have = piece, have + #piece
    else
      local ok, message, code = more(self)
      if ok == nil then return nil, message, code end
      if ok == false then break end
    end
  end
  return have > 0 and table.concat(out) or nil
end

--- Ends it; what is left of the file is not read.
-- @treturn boolean true
function Reader:close()
  if self.job then self.job:close() end
  self.job = nil
  return true
end
Reader.__close = Reader.close

return M
