-- SPDX-License-Identifier: MIT
--- What a program has written to one of its streams and nobody has read yet: pieces, each with its number in the order of arrival.
-- @module sandbox.run.stream
local Stream = {}
Stream.__index = Stream

local M = {}

--- Makes an empty one.
-- @treturn Stream
function M.new()
  return setmetatable({ first = 1, last = 0, bytes = 0, chunks = {}, seqs = {} }, Stream)
end

--- Adds a piece.
-- @string chunk
-- @int seq its number
function Stream:push(chunk, seq)
  self.last = self.last + 1
  self.chunks[self.last], self.seqs[self.last] = chunk, seq
  self.bytes = self.bytes + #chunk
end

--- The number of the first piece, or nil.
function Stream:head()
  return self.first <= self.last and self.seqs[self.first] or nil
end

--- Takes the first piece.
-- @treturn string
function Stream:pop()
  local chunk = self.chunks[self.first]
  self.chunks[self.first], self.seqs[self.first] = nil, nil
  self.first = self.first + 1
  self.bytes = self.bytes - #chunk
  self.read = true -- somebody reads: it is not in the result
  return chunk
end

--- All that is there.
-- @treturn string
function Stream:all()
  return table.concat(self.chunks, "", self.first, self.last)
end

--- Cuts lines from pieces: a function that gives the next line without its end, and nil in the end.
-- @func read gives the next piece, or nil, message, code
-- @treturn function
function M.lines(read)
  local rest, from, parts = "", 1, {} -- from: where the next line starts; cutting rest each time would be quadratic
  local function joined(piece)
    parts[#parts + 1] = piece
    local line = table.concat(parts)
    parts = {}
    return line
  end
  return function()
    while true do
      local at = rest:find("\n", from, true)
      if at then
        local piece = rest:sub(from, at - 1)
        from = at + 1
        return #parts == 0 and piece or joined(piece)
      end
      if from <= #rest then parts[#parts + 1] = rest:sub(from) end
      rest, from = read(), 1
      if not rest then
        rest = ""
        return #parts > 0 and joined "" or nil
      end
    end
  end
end

return M
