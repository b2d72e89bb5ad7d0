-- SPDX-License-Identifier: MIT
--- How a job's output is read, piece by piece or line by line.
-- @module sandbox.run.reading
local errors = require "sandbox.errors"
local streams = require "sandbox.run.stream"

local M = {}

local function head(self, name) return self.streams[name]:head() end

local function pop(self, name)
  local chunk = self.streams[name]:pop()
  if self.result then self.result[name] = nil end
  return chunk
end

local function check_stream(name)
  if name ~= "stdout" and name ~= "stderr" then errors.argument(1, "read", '"stdout" or "stderr"', name) end
end

--- The methods of a job that read.
-- @tparam table base what they need of it: wait_until(job, condition), reraise(job), check_open(job, method)
-- @treturn table
function M.methods(base)
  local wait_until, reraise, check_open = base.wait_until, base.reraise, base.check_open
  local Reading = {}

  -- A start error comes from the first read; a run that ended well has just nothing more.
  local function nothing_more(self)
    reraise(self)
    if self.message and not self.result then return nil, self.message, self.code end
    return nil
  end

  local function read_one(self, name)
    wait_until(self, function(job) return head(job, name) or job.started and job.streams[name].over or job.ended end)
    if head(self, name) then return pop(self, name) end
    return nothing_more(self)
  end

  local function read_any(self)
    wait_until(self, function(job) return head(job, "stdout") or head(job, "stderr") or job.ended end)
    local out, err = head(self, "stdout"), head(self, "stderr")
    if not out and not err then return nothing_more(self) end
    local name = out and (not err or out < err) and "stdout" or "stderr"
    return name, pop(self, name)
  end

  --- Reads a piece of output: `read()` gives the stream's name and the piece, in order of arrival; `read(stream)` the piece.
  -- @string[opt] name "stdout" or "stderr"
  -- @return nil at the end of the stream; nil, message, code where the program could not be started
  function Reading:read(name)
    check_open(self, "read")
    if name == nil then return read_any(self) end
    check_stream(name)
    return read_one(self, name)
  end

  --- Iterates over pieces: for stream, chunk in job:chunks() do.
  -- @treturn function
  function Reading:chunks()
    check_open(self, "chunks")
    return function() return read_any(self) end
  end

  --- Iterates over the lines of a stream, without their ends.
  -- @string[opt="stdout"] name
  -- @treturn function
  function Reading:lines(name)
    check_open(self, "lines")
    name = name or "stdout"
    check_stream(name)
    return streams.lines(function() return read_one(self, name) end)
  end

  return Reading
end

return M
