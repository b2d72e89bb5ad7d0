-- SPDX-License-Identifier: MIT
--- Waiting in OpenResty and nginx-lua. nginx polls no foreign descriptor, so the job's connection is a cosocket: the worker
-- connects to a socket of its own and gives the other end to the supervisor. That is its request's alone, so there is a line, too,
-- over which every request may kill.
-- @module sandbox.hosts.nginx
local ngx = rawget(_G, "ngx")
local core = require "sandbox.core"
local lock = require "sandbox.hosts.lock"

local M = { name = "nginx", cosockets = true }

local FOREVER = 2147483647 -- ms, the longest that a cosocket takes
local NAP = 0.002 -- s, before another one looks again

-- Phases in which a cosocket may be waited for.
local phases = { rewrite = true, access = true, content = true, timer = true, preread = true, server_rewrite = true,
                 ssl_cert = true, ssl_session_fetch = true, ssl_client_hello = true }

function M.running() return ngx ~= nil and ngx.socket ~= nil end

--- Only time can be waited for here: descriptors are cosockets.
function M.wait(fd, _, seconds)
  if fd >= 0 then error("sandbox: nginx cannot wait for a descriptor", 0) end
  ngx.sleep(math.max(0.001, seconds or 0.001))
  return false
end

local Cosocket = {}
Cosocket.__index = Cosocket

function Cosocket.fd() return nil end
function Cosocket.events() return "r" end
function Cosocket:next() return self.conn:next() end
function Cosocket:recv()
  if self.ended then return nil end
  return false
end

function Cosocket:send(kind, payload, more)
  if self.ended or self.mute then return nil, "send: the supervisor is gone", "EPIPE" end
  if kind == "K" then return self.line:send(payload:byte()) end
  self.conn:send(kind, payload)
  if more then return true end
  local token = self.sending:take()
  if not token then return true end -- another light thread is at it, and takes ours along
  local bytes, ok, sent, err = self.conn:take(), true, true, nil
  while ok and sent and bytes ~= "" do
    ok, sent, err = pcall(self.sock.send, self.sock, bytes) -- another request's cosocket raises
    bytes = ok and sent and self.conn:take() or ""
  end
  self.sending:release(token)
  if ok and sent then return true end
  -- A program may end before all of its stdin is on its way: the result is there, and still to be read.
  if ok then self.mute = true end
  return nil, "send: " .. tostring(ok and err or sent), "EPIPE"
end

local function receive(sock, seconds)
  sock:settimeout(seconds and math.max(1, math.ceil(seconds * 1000)) or FOREVER)
  local bytes, err = sock:receiveany(65536)
  return bytes, err
end

-- One light thread reads; what it reads may be what another waits for.
local function read(self, token, seconds)
  local ours, bytes, err = pcall(receive, self.sock, seconds)
  self.reading:release(token)
  if self.closed then pcall(self.sock.close, self.sock) end -- which could not be done while it was read
  if not ours then -- another request's: that one reads
    ngx.sleep(math.max(0.001, math.min(seconds or NAP, NAP)))
    return true
  end
  if bytes then
    self.conn:feed(bytes)
  elseif err ~= "timeout" then
    self.ended = true
  end
  return bytes ~= nil or err ~= "timeout"
end

function Cosocket:wait(seconds)
  if self.ended then return true end
  local token = self.reading:take()
  if token then return read(self, token, seconds) end
  ngx.sleep(math.max(0.001, math.min(seconds or NAP, NAP)))
  lock.collect(core.now())
  return true
end

--- Whether the supervisor has ended, whoever reads what it said.
function Cosocket:gone() return self.line:gone() end

function Cosocket:close()
  if self.closed then return end
  self.closed, self.ended = true, true
  self.line:send(0)
  self.line:close()
  pcall(self.sock.close, self.sock) -- another request's, or one that is over: nginx closes it itself
  self.conn:close()
end

function M.go(f)
  ngx.thread.spawn(f)
end

--- Calls f soon, from a timer: where it may wait, and nobody waits for it.
function M.later(f)
  ngx.timer.at(0, function(premature)
    if not premature then f() end
  end)
end

--- Whether something can be waited for here: true, or nil, message, "wrong_phase".
function M.may_wait()
  local phase = ngx.get_phase()
  if phases[phase] then
    if core.isyieldable() ~= false then return true end
    return nil, "nothing can be waited for inside of a C function (gsub, sort, a module's loading): call it before or after", "wrong_phase"
  end
  return nil, ("nginx's phase %s cannot wait; use a phase that can, or ngx.timer.at(0, …)"):format(phase), "wrong_phase"
end

--- Whether something that stays can be started here: true, or nil, message, "wrong_phase". What the master starts is no worker's.
function M.may_start()
  if ngx.get_phase() ~= "init" then return true end
  return nil, "nginx's phase init is the master's, which serves nobody; use init_worker_by_lua", "wrong_phase"
end

--- Opens the connection, in one go with the supervisor's start.
-- @string supervisor
-- @tparam[opt] userdata zygote
-- @treturn table transport, or nil, message, code
function M.connect(supervisor, zygote)
  local may, why, code = M.may_wait()
  if not may then return nil, why, code end
  local listener, path = core.ctl_listen()
  if not listener then return nil, "cannot listen: " .. tostring(path), "system" end
  local sock = ngx.socket.tcp()
  local ok, err = sock:connect("unix:" .. path)
  if not ok then
    listener:close()
    return nil, "cannot connect to " .. path .. ": " .. tostring(err), "system"
  end
  local line, message = core.ctl_spawn(listener, supervisor, zygote)
  if not line then
    sock:close()
    return nil, message, "system"
  end
  return setmetatable({ sock = sock, line = line, conn = core.frames(), reading = lock.new(), sending = lock.new() }, Cosocket)
end

return M
