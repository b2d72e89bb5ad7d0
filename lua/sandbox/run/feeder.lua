-- SPDX-License-Identifier: MIT
--- A program's stdin, as pieces of at most so many bytes: of a string, a file, or a function of the caller's.
-- @module sandbox.run.feeder
local core = require "sandbox.core"

local M = {}

local Feeder = {}
Feeder.__index = Feeder

-- Cuts pieces from chunks of any size, without copying what is left of one.
local function cutter(more)
  local chunk, at = "", 1
  return function(n)
    while at > #chunk do
      chunk, at = more(), 1
      if not chunk then
        chunk = ""
        return nil
      end
    end
    local piece = chunk:sub(at, at + n - 1)
    at = at + #piece
    if at > #chunk then chunk, at = "", 1 end
    return piece
  end
end

local function of_string(text)
  local given
  return cutter(function()
    if given then return nil end
    given = true
    return text
  end)
end

local function of_file(path)
  -- A FIFO or a terminal would hold up the whole host, and a directory would read as nothing.
  local file, why, name = core.reader(path)
  if not file then return nil, "stdin " .. (name == "EINVAL" and path .. " is no regular file" or why), "bad_rootfs" end
  return function(n)
    local piece, message = file:read(n)
    if message then error("stdin: " .. message, 0) end
    if not piece then file:close() end
    return piece
  end
end

local function of_function(f)
  return cutter(function()
    local chunk = f()
    if chunk ~= nil and type(chunk) ~= "string" then error("stdin: expected a string or nil from the function, got a " .. type(chunk), 0) end
    return chunk
  end)
end

--- Opens a source.
-- @param stdin a string, a function, or { from = path }
-- @treturn Feeder or nil, message, code
function M.new(stdin)
  local read, message, code
  if type(stdin) == "string" then
    read = of_string(stdin)
  elseif type(stdin) == "table" then
    read, message, code = of_file(stdin.from)
    if not read then return nil, message, code end
  else
    read = of_function(stdin)
  end
  return setmetatable({ read = read, calls = type(stdin) == "function" }, Feeder)
end

--- The next piece, or nil at the end. `calls`: it runs the caller's code.
-- @int n at most so many bytes
function Feeder:next(n)
  local piece = self.read(n)
  return piece
end

return M
