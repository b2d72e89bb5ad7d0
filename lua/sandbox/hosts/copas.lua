-- SPDX-License-Identifier: MIT
--- Waiting in copas, of both generations: 1.1 (Debian) and 4.
-- @module sandbox.hosts.copas
local copas = require "copas"
local core = require "sandbox.core"

local M = { name = "copas" }

--- A coroutine, with copas loaded: the dispatcher is what resumes it.
function M.running()
  return copas.running ~= false
end

-- What copas takes for a socket: it polls getfd, then calls the method again.
local function fake(fd, ready)
  local socket = {}
  function socket.getfd() return fd end
  function socket.dirty() return false end
  function socket.settimeout() return 1 end
  function socket.close() return 1 end
  local first = true
  local function attempt()
    if not first and ready() then return "x" end
    first = false
    return nil, "timeout"
  end
  socket.receive = attempt
  function socket.send() -- copas goes on from the third value
    local got, err = attempt()
    return got, err, 0
  end
  return socket
end

local idle

local function nap(seconds)
  if copas.sleep then return copas.sleep(seconds) end
  -- 1.1 has no timer, and drops a coroutine that yields without a socket. One that can always be written to keeps it in
  -- the round; others go on meanwhile.
  local limit = core.now() + seconds
  if not idle then
    local socket = require "socket"
    idle = (socket.udp4 or socket.udp)()
  end
  local socket = fake(idle:getfd(), function()
    if core.now() >= limit then return true end
    core.poll(-1, "r", 0.001)
    return false
  end)
  copas.send(socket, "x")
end

function M.go(f)
  copas.addthread(f)
end

--- Waits in the dispatcher. A time is looked at in steps: copas' own are no finer.
function M.wait(fd, events, seconds)
  if fd < 0 then
    nap(seconds)
    return false
  end
  if seconds or events ~= "r" then -- copas.receive looks for readable only
    local limit = seconds and core.now() + seconds
    while not core.poll(fd, events, 0) do
      local left = limit and limit - core.now() or 1
      if left <= 0 then return false end
      nap(math.min(left, 0.005))
    end
    return true
  end
  local socket = fake(fd, function() return core.poll(fd, events, 0) end)
  copas.receive(socket, 1)
  if copas.close and copas._VERSION and copas._VERSION:find("Copas [2-9]") then copas.close(socket) end
  return true
end

return M
