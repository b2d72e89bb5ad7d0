-- SPDX-License-Identifier: MIT
--- The broker of a fleet, Redis or Valkey: commands in the way of the host, over connections that are kept for the next.
--
-- What speaks with it is redis-lua over luasocket (Debian's lua-redis and lua-socket), in nginx lua-resty-redis. A command of redis-lua
-- is run in a coroutine of its own, which yields where it would block: the waiting is done outside, by the host, and what redis-lua
-- raises is caught there, on every Lua. What the broker says is not trusted: a reply has a bound.
-- @module sandbox.fleet.broker
local core = require "sandbox.core"
local errors = require "sandbox.errors"
local wait = require "sandbox.hosts.wait"

local M = {}
local unpack = table.unpack or unpack -- luacheck: ignore

local MAX_REPLY = 512 * 1024 ^ 2 -- bytes of one
local MAX_PARTS = 4e6 -- values in one
local MAX_LINE = 64 * 1024
local MAX_IDLE = 64 -- connections that are kept
local CONNECT_SECONDS = 10

-- An address -----------------------------------------------------------------------------------------------------------

local function unescape(s)
  return (s:gsub("%%(%x%x)", function(x) return string.char(tonumber(x, 16)) end))
end

--- Takes an address apart.
-- @string url redis://[[user]:password@]host[:port][/database]
-- @treturn table { host=, port=, user=, password=, database=, text = without the password }, or nil
function M.address(url)
  if type(url) ~= "string" or #url > 2000 or url:find "[%c%s]" then return nil end
  local rest = url:match "^redis://(.+)$"
  if not rest then return nil end
  local credentials, place = rest:match "^(.*)@([^@]*)$"
  local host, port, database = (place or rest):match "^([^:/%[%]]+):?(%d*)/?(%d*)$"
  if not host then host, port, database = (place or rest):match "^%[([%x:.]+)%]:?(%d*)/?(%d*)$" end
  if not host then return nil end
  local user, password
  if credentials then
    user, password = credentials:match "^([^:]*):(.*)$"
    if not password then return nil end
  end
  port = tonumber(port ~= "" and port or 6379)
  if port < 1 or port > 65535 or #database > 4 then return nil end
  return { host = host, port = port, database = database ~= "" and tonumber(database) ~= 0 and database or nil,
           user = user and user ~= "" and unescape(user) or nil, password = password and unescape(password) or nil,
           text = ("%s:%d"):format(host, port) }
end

-- Plain Lua: redis-lua over luasocket --------------------------------------------------------------------------------------

local MISSING = "a fleet needs %s: install Debian's package %s"

-- Debian's lua-redis has no folder for Lua 5.4, which reads that of 5.3 as well.
local function load_redis()
  local ok, redis = pcall(require, "redis")
  local f = not ok and loadfile "/usr/share/lua/5.3/redis.lua"
  if f then ok, redis = pcall(f) end
  if ok and type(redis) == "table" and type(redis.connect) == "function" and type(redis.command) == "function" then return redis end
end

local redis, socket

local function libraries()
  if redis and socket then return true end
  -- The editor exports functions of the same names as luasocket's (socket_connect), which it would call.
  if rawget(_G, "vim") then return nil, "a fleet's client does not work inside of Neovim, whose own functions luasocket would call", "not_supported" end
  local ok, found = pcall(require, "socket")
  if not ok or type(found) ~= "table" or not found.tcp then return nil, MISSING:format("luasocket", "lua-socket"), "not_supported" end
  socket, redis = found, load_redis()
  if not redis then return nil, MISSING:format("redis-lua", "lua-redis"), "not_supported" end
  return true
end

local Plain = {}
Plain.__index = Plain

local methods = {} -- of redis-lua, by command

local function method_of(command)
  if not methods[command] then methods[command] = redis.command(command) end
  return methods[command]
end

local function broken(err) error("connection: " .. tostring(err), 0) end

-- What redis-lua reads with: a line, or so many bytes.
local function reader(self)
  return function(_, length)
    self.parts = self.parts + 1
    self.bytes = self.bytes + (length or 0)
    if self.parts > MAX_PARTS or self.bytes > MAX_REPLY then broken "the reply is too large" end
    local pieces, had, line = {}, 0, nil
    while true do
      local got, err, part
      if length then got, err, part = self.sock:receive(length - had) else got, err, part = self.sock:receive("*l", line) end
      if got and not length then return got end
      pieces[#pieces + 1] = got or part
      had = had + #(got or part or "")
      if got then return table.concat(pieces) end
      if err ~= "timeout" then broken(err) end
      if not length then
        line = part
        if #part > MAX_LINE then broken "a line of the reply is too long" end
      end
      coroutine.yield "r"
    end
  end
end

local function writer(self)
  return function(_, buffer)
    local at = 1
    while at <= #buffer do
      local last, err, partial = self.sock:send(buffer, at)
      if not last and err ~= "timeout" then broken(err) end
      at = (last or partial) + 1
      if at <= #buffer then coroutine.yield "w" end
    end
  end
end

-- It is looked for, and not waited for: libuv's Lua half prints that a descriptor has an error, and a refused connection is one.
local function connect_socket(sock, address)
  local limit, nap = core.now() + CONNECT_SECONDS, 0.001
  sock:settimeout(0)
  local ok, err = sock:connect(address.host, address.port)
  local fd = sock:getfd()
  if fd >= 0 then core.close_on_exec(fd) end
  while not ok and fd >= 0 and (err == "timeout" or err == "Operation already in progress") and core.now() < limit do
    if core.poll(fd, "w", 0) then
      ok, err = sock:connect(address.host, address.port)
      if err == "already connected" then ok = true end
    else
      wait.sleep(nap)
      nap = math.min(nap * 2, 0.05)
    end
  end
  if ok then sock:setoption("tcp-nodelay", true) end
  return ok, err
end

function Plain.open(address)
  local ok, message, code = libraries()
  if not ok then return nil, message, code end
  local sock, err = socket.tcp()
  if sock then ok, err = connect_socket(sock, address) end
  if not sock or not ok then
    if sock then sock:close() end
    return nil, err
  end
  local self = setmetatable({ sock = sock, fd = sock:getfd(), pid = core.getpid(), parts = 0, bytes = 0 }, Plain)
  self.client = redis.connect{ socket = sock }
  self.client.network.read, self.client.network.write = reader(self), writer(self)
  return self
end

-- One command: true and its reply; or nil, message, and "refused" where it is the broker that says no. Without that the connection is over.
function Plain:command(seconds, command, args)
  local limit, co = core.now() + seconds, coroutine.create(method_of(command))
  self.parts, self.bytes = 0, 0
  local ok, what = coroutine.resume(co, self.client, args)
  while ok and coroutine.status(co) ~= "dead" do
    local left = limit - core.now()
    if left <= 0 then return nil, "no answer in time" end
    wait.wait(self.fd, what, left)
    ok, what = coroutine.resume(co)
  end
  if ok then return true, what end
  local refusal = type(what) == "string" and what:match "redis error: (.*)$"
  if refusal and self.parts == 1 then return nil, refusal, "refused" end -- else the rest of a list is still to come
  return nil, type(what) == "string" and what:gsub("^connection: ", "") or "what came is no reply"
end

-- Whether it can be used once more: not where there is something to read, which is its end or was meant for another.
function Plain:alive() return self.pid == core.getpid() and not core.poll(self.fd, "r", 0) end

function Plain:close()
  local host = self.pid == core.getpid() and wait.host()
  if host and host.forget then host.forget(self.fd) end
  self.sock:close()
end

function Plain:keep(pool)
  if #pool >= MAX_IDLE then return self:close() end
  pool[#pool + 1] = self
end

-- nginx: lua-resty-redis, whose connections nginx keeps -----------------------------------------------------------------------

local Resty = {}
Resty.__index = Resty

local resty

local function load_resty()
  if resty then return resty end
  for _, name in ipairs{ "resty.redis", "nginx.redis" } do -- OpenResty's name, and Debian's
    local ok, found = pcall(require, name)
    if ok and type(found) == "table" and found.new and found.connect then
      resty = found
      -- Older ones have no methods for streams.
      if found.add_commands and not found.xadd then
        pcall(found.add_commands, "evalsha", "xadd", "xread", "xreadgroup", "xgroup", "brpoplpush", "select")
      end
      return resty
    end
  end
end

function Resty.open(address)
  if not load_resty() then return nil, MISSING:format("lua-resty-redis", "lua-nginx-redis (OpenResty brings it)"), "not_supported" end
  local client = resty:new()
  client:set_timeout(CONNECT_SECONDS * 1000)
  local ok, err = client:connect(address.host, address.port, { pool = ("sandbox-fleet %s/%s"):format(address.text, address.database or "0") })
  if not ok then return nil, err end
  return setmetatable({ client = client, used = (client:get_reused_times() or 0) > 0 }, Resty)
end

local null = rawget(_G, "ngx") and rawget(_G, "ngx").null

local function without_null(v)
  if v == null then return nil end
  if type(v) == "table" then
    for i = 1, #v do v[i] = without_null(v[i]) end
  end
  return v
end

function Resty:command(seconds, command, args)
  self.client:set_timeout(math.max(1, math.ceil(seconds * 1000)))
  local method = self.client[command:lower()]
  local reply, err = method(self.client, unpack(args))
  if reply == nil or reply == false then return nil, err or "closed", reply == false and "refused" or nil end
  return true, without_null(reply)
end

function Resty:close() self.client:close() end
function Resty:keep() self.client:set_keepalive(60000, MAX_IDLE) end

-- Both -----------------------------------------------------------------------------------------------------------------

local Broker = {}
Broker.__index = Broker

--- Makes one; connects to nothing yet.
-- @tparam table address
-- @treturn Broker
function M.new(address)
  return setmetatable({ address = address, idle = {}, shas = {} }, Broker)
end

-- The broker is there, and cannot serve now: as if it were not.
local PASSING = { LOADING = true, MASTERDOWN = true, CLUSTERDOWN = true, TRYAGAIN = true, READONLY = true, BUSY = true }

local function failed(self, message, kind)
  local refused = kind == "refused" and not PASSING[message:match "^%a+" or ""]
  local words = ("the broker at %s %s: %s"):format(self.address.text, refused and "refuses" or "cannot be reached", errors.show(tostring(message)))
  return nil, words, refused and "refused" or "lost"
end

local function introduce(conn, address)
  local ok, message, kind = true, nil, nil
  if address.password then
    ok, message, kind = conn:command(CONNECT_SECONDS, "AUTH", address.user and { address.user, address.password } or { address.password })
  end
  if ok and address.database then ok, message, kind = conn:command(CONNECT_SECONDS, "SELECT", { address.database }) end
  return ok, message, kind
end

local function open(self)
  local class = rawget(_G, "ngx") and wait.host().cosockets and Resty or Plain
  local conn, message, code = class.open(self.address)
  if not conn and code then return nil, message, code end
  if not conn then
    local _, words = failed(self, message)
    return nil, words, "unreached"
  end
  if conn.used then return conn end
  local ok, why, kind = introduce(conn, self.address)
  if ok then return conn end
  conn:close()
  return failed(self, why, kind)
end

local function take(self)
  while #self.idle > 0 do
    local conn = table.remove(self.idle)
    if conn:alive() then return conn end
    conn:close()
  end
  return open(self)
end

--- Sends one command and waits for its reply.
-- @number seconds how long at most
-- @string command in capitals
-- @tparam table args
-- @treturn boolean true, and the reply (nil where the broker has said so); or nil, message and what happened: "unreached", it was not
-- sent; "lost", it may have been done; "refused", the broker says no; or a code
function Broker:command(seconds, command, args)
  local conn, message, kind = take(self)
  if not conn then return nil, message, kind end
  local ok, reply
  ok, reply, kind = conn:command(seconds, command, args)
  if ok or kind == "refused" then conn:keep(self.idle) else conn:close() end
  if ok then return true, reply end
  return failed(self, reply, kind)
end

--- Runs a script in the broker: by its digest, which the broker is asked for once.
-- @number seconds how long at most
-- @tparam table script { name=, source= }
-- @tparam table keys
-- @tparam table args
-- @return as of `command`
function Broker:script(seconds, script, keys, args)
  local list = { false, #keys }
  for _, key in ipairs(keys) do list[#list + 1] = key end
  for _, arg in ipairs(args) do list[#list + 1] = arg end
  for attempt = 1, 2 do
    if not self.shas[script.name] then
      local ok, sha, kind = self:command(seconds, "SCRIPT", { "LOAD", script.source })
      if not ok then return nil, sha, kind == "lost" and "unreached" or kind end
      self.shas[script.name] = tostring(sha)
    end
    list[1] = self.shas[script.name]
    local ok, reply, kind = self:command(seconds, "EVALSHA", list)
    -- It has been restarted, and has forgotten them.
    if ok or kind ~= "refused" or not reply:find("NOSCRIPT", 1, true) or attempt == 2 then return ok, reply, kind end
    self.shas[script.name] = nil
  end
end

--- Closes what is kept.
function Broker:close()
  for _, conn in ipairs(self.idle) do conn:close() end
  self.idle = {}
end

return M
