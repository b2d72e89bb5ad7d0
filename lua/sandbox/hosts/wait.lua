-- SPDX-License-Identifier: MIT
--- Where are we, and how does one wait here? The one place that asks. What decides is what is running, not what is installed.
--
-- A host is a module of sandbox.hosts with `running()`, `wait(fd, events, seconds) -> ready`, and, where the host needs it,
-- `forget(fd)` before a descriptor is closed, `connect()` for a transport of its own, `watch(fd, f, events) -> stop` to
-- call f whenever the descriptor is ready for events(), `call(f)` for callbacks of the user, `later(f)` to call f with nobody waiting.
-- @module sandbox.hosts.wait
local core = require "sandbox.core"
local loop = require "sandbox.hosts.loop"

local M = {}

local plain = { name = "plain" }
local watched = {} -- by descriptor: what is looked after while anything else is waited for

local function serve(ready, at)
  local served = false
  for i = at, #ready, 2 do
    local row = ready[i + 1] ~= "" and watched[ready[i]]
    if row then
      served = true
      row.f()
    end
  end
  return served
end

--- Blocks in poll. May say true for nothing: whoever waits looks again.
function plain.wait(fd, events, seconds)
  local limit = seconds and core.now() + seconds
  repeat
    local left = limit and math.max(0, limit - core.now())
    if next(watched) == nil then
      if core.poll(fd, events, left) then return true end
    else
      local list = fd >= 0 and { fd, events } or {}
      local mine = #list
      for other, row in pairs(watched) do
        if other ~= fd then list[#list + 1], list[#list + 2] = other, row.events() end
      end
      local ready = core.pollv(list, left)
      local served = serve(ready, mine + 1)
      if served or mine > 0 and ready[2] ~= "" then return true end
    end
    -- A signal ends poll early, so that Lua's own handling of it (^C) comes to its turn: here.
  until limit and core.now() >= limit
  return false
end

-- The loop of a luv that is loaded, also where nothing runs in a coroutine of it.
local function luv()
  return package.loaded.luv and not rawget(_G, "vim") and require "sandbox.hosts.luv" or nil
end

--- Calls f when the descriptor is ready for what events() says, while something else waits; or while luv's loop runs.
function plain.watch(fd, f, events)
  local row, uv = { f = f, events = events }, luv()
  local stop = uv and uv.watch(fd, f, events)
  watched[fd] = row
  return function()
    if watched[fd] == row then watched[fd] = nil end
    if stop then stop() end
  end
end

function plain.forget(fd)
  local uv = luv()
  if uv then uv.forget(fd) end
end

local own = { name = "loop", wait = loop.wait, forget = loop.forget, go = loop.go }

local function in_coroutine()
  local co, main = coroutine.running()
  return co ~= nil and not main
end

-- The first whose condition holds. `loaded`: a loop that nobody has loaded does not run.
local hosts = {
  { module = "nginx", when = function() return rawget(_G, "ngx") ~= nil end },
  { module = "nvim", when = function() return rawget(_G, "vim") ~= nil end },
  { module = "cqueues", loaded = "cqueues" },
  { module = "copas", loaded = "copas", when = in_coroutine },
  { module = "luv", loaded = "luv", when = in_coroutine },
}

--- The host that the caller runs in.
-- @treturn table
function M.host()
  if loop.running() then return own end
  for _, row in ipairs(hosts) do
    if (not row.loaded or package.loaded[row.loaded]) and (not row.when or row.when()) then
      local host = require("sandbox.hosts." .. row.module)
      if host.running() then return host end
    end
  end
  return plain
end

--- Waits until a descriptor is ready, in the way of the host. fd -1: only the time.
-- @int fd
-- @string events "r", "w" or "rw"
-- @number[opt] seconds
-- @treturn boolean false when the time is over
function M.wait(fd, events, seconds)
  local ready = M.host().wait(fd, events, seconds)
  return ready
end

--- Lets others go on for a while.
-- @number seconds
function M.sleep(seconds)
  local host, limit = M.host(), core.now() + seconds
  local left = seconds
  repeat
    host.wait(-1, "r", left)
    left = limit - core.now()
  until left <= 0
end

--- Whether the caller is where it can wait: true, or nil, message, code.
-- @treturn boolean
function M.may_wait()
  local host = M.host()
  if not host.may_wait then return true end
  local ok, message, code = host.may_wait()
  return ok, message, code
end

--- Calls f when nobody waits for it, in a host that has a place for that; elsewhere never.
-- @func f it may wait
function M.later(f)
  local host = M.host()
  if host.later then host.later(f) end
end

--- Calls f whenever a transport has something, with nobody waiting: in the host's own way, or in a coroutine of its own.
-- @tparam table transport
-- @func f
-- @treturn function stops it; or nil where the host cannot
function M.watch(transport, f)
  local host, fd = M.host(), transport:fd()
  if fd and host.watch then
    transport.forget = host.forget
    return host.watch(fd, f, function() return transport:events() end)
  end
  if not host.go then return nil end
  local stopped = false
  host.go(function()
    while not stopped do
      transport:wait(nil, nil)
      if not stopped then f() end
    end
  end)
  return function() stopped = true end
end

-- The usual transport: a descriptor of our own.
local Descriptor = {}
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
function Descriptor:wait(seconds, wait)
  local fd = self.conn:fd()
  if not fd then return true end
  local ready
  if wait then
    ready = wait(fd, self:events(), seconds)
  else
    local host = M.host()
    self.forget = host.forget
    self.waiting = (self.waiting or 0) + 1
    if host.cosockets then -- it can only look again after a while, at first a short one
      self.nap = math.min((self.nap or 0.0008) * 1.2, 0.005)
      host.wait(-1, "r", math.min(seconds or self.nap, self.nap))
    else
      ready = host.wait(fd, self:events(), seconds)
    end
    self.waiting = self.waiting - 1
  end
  return ready ~= false
end
--- Lets the others that wait look again.
function Descriptor:wake()
  local fd = self.conn:fd()
  if fd and self.forget and (self.waiting or 0) > 0 then self.forget(fd) end
end
function Descriptor:close()
  local fd = self.conn:fd()
  if fd and self.forget and self.conn:owned() then self.forget(fd) end
  self.conn:close()
end

-- One for all that this Lua state starts; it ends with it.
local zygote, zygote_path

-- A start by vfork and exec holds up the whole host until the new process has got a processor. nil: each is started so, then.
local function get_zygote(path)
  if not zygote or zygote_path ~= path or zygote:closed() then
    if zygote then zygote:close() end
    zygote, zygote_path = core.zygote(path) or nil, path
  end
  return zygote
end

--- The zygote is not trusted any more: the next start makes another.
function M.renew()
  if zygote then zygote:close() end
end

--- Starts a supervisor and gives the transport to it.
-- @bool[opt] plain_descriptor a descriptor of our own in every host: for what belongs to no request
-- @treturn table, or nil, message, code
function M.connect(plain_descriptor)
  local path, message, code = core.supervisor()
  if not path then return nil, message, code end
  local host = M.host()
  if host.connect and not plain_descriptor then
    local transport, why, kind = host.connect(path, get_zygote(path))
    return transport, why, kind
  end
  local conn
  conn, message, code = core.spawn(path, get_zygote(path))
  if not conn then return nil, message, code end
  return setmetatable({ conn = conn }, Descriptor)
end

--- Whether a connection here belongs to the request that made it, and another cannot be waited for as well.
-- @treturn boolean
function M.owns_connections() return M.host().connect ~= nil end

return M
