-- SPDX-License-Identifier: MIT
--- Connections to supervisors: a descriptor of our own, or what the host has instead.
-- @module sandbox.hosts.transport
local core = require "sandbox.core"
local wait = require "sandbox.hosts.wait"
local wire = require "sandbox.run.wire"

local M = {}

local WEAK = { __mode = "k" }
local OWN = {} -- a scheduler of the caller's, which nobody can tell anything

-- The usual transport: a descriptor of our own.
local Descriptor = { pollable = true } -- it can be looked at without waiting
Descriptor.__index = Descriptor

function Descriptor:fd() return self.conn:fd() end
function Descriptor:send(kind, payload, more)
  self.nap = nil -- an answer may come soon
  return self.conn:send(kind, payload, more)
end
function Descriptor:next() return self.conn:next() end
--- Takes what has come: true, false when nothing has, nil at the end.
function Descriptor:recv()
  if self.conn:closed() then return nil end
  self.conn:flush()
  local got = self.conn:recv()
  return got
end
function Descriptor:events() return self.conn:queued() > 0 and "rw" or "r" end

--- Waits for something to happen; false when the time is over.
-- @number[opt] seconds
-- @func[opt] own the caller's function for that
function Descriptor:wait(seconds, own)
  local fd = self.conn:fd()
  if not fd then return true end
  local host = own and OWN or wait.host()
  if host.cosockets then -- it can only look again after a while, at first a short one
    self.nap = math.min((self.nap or 0.0008) * 1.2, 0.005)
    host.wait(-1, "r", math.min(seconds or self.nap, self.nap))
    return true
  end
  local mark = {} -- held by whoever waits alone
  self.waiting[mark] = host
  local ready = (own or host.wait)(fd, self:events(), seconds)
  self.waiting[mark] = nil
  return ready ~= false
end

--- Lets those that wait look again.
function Descriptor:wake()
  if next(self.waiting) == nil then return end
  local fd, hosts = self.conn:fd(), {}
  for _, host in pairs(self.waiting) do hosts[host] = true end
  for host in pairs(hosts) do
    if fd and host.forget then host.forget(fd) end
  end
end

--- Whether a scheduler of the caller's waits for it, which cannot be told that it is closed.
function Descriptor:is_lent()
  for _, host in pairs(self.waiting) do
    if host == OWN then return true end
  end
  return false
end

function Descriptor:close()
  if self.conn:owned() then -- a forked copy has the parent's epoll
    self:wake()
    -- A caller's own loop may have polled it.
    local fd = package.loaded.cqueues and self.conn:fd()
    if fd then require("sandbox.hosts.cqueues").forget(fd) end
  end
  self.conn:close()
end

-- One for all that this Lua state starts; it ends with it.
local zygote, zygote_path, zygote_identity

-- A start by vfork and exec holds up the whole host until the new process has got a processor. nil: each is started so, then.
local function get_zygote(path)
  if not zygote or zygote_path ~= path or zygote:closed() then
    if zygote then zygote:close() end
    zygote, zygote_path, zygote_identity = core.zygote(path) or nil, path, core.identity()
  end
  return zygote
end

-- Found once: where it lies, a host that changes its directory later need not know.
local supervisor

local function find_supervisor()
  if supervisor then return supervisor end
  local path, message, code = core.supervisor()
  supervisor = path
  return path, message, code
end

--- The zygote is not trusted any more: the next start makes another.
function M.renew()
  if zygote then zygote:close() end
end

--- Starts a supervisor and gives the transport to it.
-- @bool[opt] plain_descriptor a descriptor of our own in every host: for what belongs to no request
-- @bool[opt] again right after another one, with none but our own code between the two: the caller is who it was
-- @number[opt] identity as core.identity gave it a moment ago, with none but our own code since
-- @treturn table, or nil, message, code
function M.connect(plain_descriptor, again, identity)
  local path, message, code = find_supervisor()
  if not path then return nil, message, code end
  local host = wait.host()
  if host.connect and not plain_descriptor then
    local transport, why, kind = host.connect(path, get_zygote(path))
    return transport, why, kind
  end
  local from = get_zygote(path)
  local conn
  conn, message, code = core.spawn(path, from, again or identity ~= nil and identity == zygote_identity)
  if not conn then return nil, message, code end
  return setmetatable({ conn = conn, waiting = setmetatable({}, WEAK) }, Descriptor)
end

--- A connection to who keeps a program, or a box: a descriptor of our own in every host.
-- @string path of its socket
-- @treturn table, or nil, message, errno's name
function M.dial(path)
  local conn, message, code = core.dial(path)
  if not conn then return nil, message, code end
  return setmetatable({ conn = conn, waiting = setmetatable({}, WEAK) }, Descriptor)
end

local PIECE = 64 * 1024

--- Sends a request, in one go, for the supervisor wakes up for each frame.
-- @tparam table transport
-- @tparam table request
function M.send(transport, request)
  if request.hold then transport:send("H", request.hold, request.r ~= nil) end
  if not request.r then return end -- it is there already
  transport:send("R", request.r, true)
  if request.config then transport:send("C", request.config, true) end
  if request.network then transport:send("N", request.network, true) end
  for _, file in ipairs(request.files or {}) do
    transport:send("F", wire.file(file), true)
    local content = file.content or ""
    for at = 1, #content, PIECE do transport:send("D", content:sub(at, at + PIECE - 1)) end
  end
  transport:send("G", "")
end

--- Whether a connection here belongs to the request that made it, and another cannot be waited for as well.
-- @treturn boolean
function M.owns_connections() return wait.host().connect ~= nil end

return M
