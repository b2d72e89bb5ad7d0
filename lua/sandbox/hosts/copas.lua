-- SPDX-License-Identifier: MIT
--- Waiting in copas, of both generations: 1.1 (Debian) and 4.
-- @module sandbox.hosts.copas
local copas = require "copas"
local core = require "sandbox.core"

local M = { name = "copas" }

--- Whether the dispatcher is what goes on with the caller; through coxpcall, which passes on what is yielded in it.
function M.running()
  if copas.running == false then return false end
  local _, source = core.resumer()
  return source ~= nil and (source:find "copas%.lua$" or source:find "coxpcall%.lua$") ~= nil
end

-- What copas takes for a socket that can be written to: it polls getfd, then calls send again, and goes on from the third value.
local function fake(fd, ready)
  local socket, first = {}, true
  function socket.getfd() return fd end
  function socket.dirty() return false end
  function socket.settimeout() return 1 end
  function socket.close() return 1 end
  function socket.send()
    if not first and ready() then return "x", nil, 0 end
    first = false
    return nil, "timeout", 0
  end
  return socket
end

local PAUSE = 0.001
local paused_at = 0
local spare -- one is kept

local function idle_socket()
  local idle = spare
  spare = nil
  if idle then return idle end
  local socket = require "socket"
  return (socket.udp4 or socket.udp)()
end

local function nap(seconds)
  if copas.sleep then return copas.sleep(seconds) end
  -- 1.1 has no timer, and drops a coroutine that yields without a socket. One that can always be written to keeps it in
  -- the round; others go on meanwhile. Each has its own: of several sockets with one descriptor select tells the last.
  local limit, idle = core.now() + seconds, idle_socket()
  local socket = fake(idle:getfd(), function()
    local now = core.now()
    if now >= limit then return true end
    if now - paused_at >= PAUSE then -- one of all that wait
      core.poll(-1, "r", PAUSE)
      paused_at = core.now()
    end
    return false
  end)
  copas.send(socket, "x")
  if spare then idle:close() else spare = idle end
end

function M.go(f)
  copas.addthread(f)
end

local NAP = 0.005
local forgotten = {} -- by descriptor: how often

--- Waits in the dispatcher, by looking again and again: copas' own waiting for a descriptor ends neither when another coroutine has
-- read what was there, nor when it is closed, of which the dispatcher dies. Its times are no finer than some ms either.
function M.wait(fd, events, seconds)
  if fd < 0 then
    nap(seconds)
    return false
  end
  local limit, step, before = seconds and core.now() + seconds, NAP / 8, forgotten[fd]
  while forgotten[fd] == before and not core.poll(fd, events, 0) do
    local left = limit and limit - core.now() or NAP
    if left <= 0 then return false end
    nap(math.min(left, step))
    step = math.min(step * 2, NAP)
  end
  return true
end

--- What there was has been read, or the descriptor is about to be closed: whoever waits for it looks again.
function M.forget(fd)
  forgotten[fd] = (forgotten[fd] or 0) + 1
end

return M
