-- SPDX-License-Identifier: MIT
-- Terminals over websockets: each session is a box that stays, with one detached program in it, so that any worker of nginx comes back to it.
--
-- From the page: binary messages are what is typed; text is JSON, {"rows":, "cols":} first of all and whenever its size changes, the first
-- with "session": where it comes back to one; {"seen": bytes} for output that it has drawn; {"over": true} ends the session.
-- To the page: binary messages are output; text is JSON, {"session":} to come back by; {"live": true} behind what was shown before it came;
-- {"taken": true} where what is typed is not taken, for another page came later; {"gone": true}; {"end":, "message":} or {"error":}.
local cjson = require "cjson.safe"
local sandbox = require "sandbox"
local semaphore = require "ngx.semaphore"
local found, websocket = pcall(require, "resty.websocket.server")
if not found then found, websocket = pcall(require, "nginx.websocket.server") end -- as Debian calls it
if not found then error "there is no websocket for nginx: the Debian package lua-nginx-websocket has it" end

local M = {}

-- The names by which this service is called: see examples/openresty/app.lua.
local HOSTS = { localhost = true, ["127.0.0.1"] = true, ["[::1]"] = true }
local LIMITS = { memory = "512M", pids = 128, open_files = 1024, output = "1M" } -- the output: what is shown again to who comes back
local LIFETIME = 3600 -- seconds
local MAX_SESSIONS = 8 -- of all of nginx's workers
local MAX_MESSAGE = 65535 -- bytes
local MAX_TYPED = 1024 * 1024 -- bytes that wait for a program that does not read
local MAX_UNSEEN = 256 * 1024 -- bytes of output that are on their way to the page; beyond them the program waits
local SILENCE = 30 -- seconds, after which a page is asked whether it is there; twice that ends the session
local SHELL = { "sh", "-c", "command -v bash >/dev/null && exec bash; exec sh" }

local sb
local function instance()
  sb = sb or sandbox.new()
  return sb
end

local function refuse(status, words)
  ngx.status = status
  ngx.say(words)
  return ngx.exit(ngx.OK)
end

--- Pages of another origin get nothing; for a websocket, which a browser opens to anywhere, the origin has to be said.
function M.guard()
  local host, origin = (ngx.var.http_host or ""):lower(), ngx.var.http_origin
  if not HOSTS[(host:gsub(":%d+$", ""))] then return refuse(403, "this service is not called so") end
  if ngx.var.uri ~= "/session" and not origin then return end
  if not origin or origin:lower() ~= "http://" .. host and origin:lower() ~= "https://" .. host then
    return refuse(403, "pages of another origin may not use this service")
  end
end

-- The connection ------------------------------------------------------------------------------------------------------

local Session = {}
Session.__index = Session

-- One message at a time: a socket takes no two writers.
function Session:send(kind, data)
  if not self.line:wait(SILENCE) then return nil end
  local ok = self.ws["send_" .. kind](self.ws, data)
  self.line:post()
  return ok
end

function Session:tell(message) return self:send("text", cjson.encode(message)) end

-- The next message of the page: its text, and "text" or "binary"; nil when the page is gone, or does not keep to the rules.
function Session:receive()
  local quiet = false
  while true do
    local data, kind, err = self.ws:recv_frame()
    if kind == "text" or kind == "binary" then
      if err then return nil end -- a message in parts, which the page does not send
      return data, kind
    elseif kind == "ping" then
      self:send("pong", data)
    elseif kind ~= "pong" then
      if data or not tostring(err):find(": timeout", 1, true) or quiet then return nil end
      if not self:send("ping", "") then return nil end
    end
    quiet = not data
  end
end

local function is_size(n) return type(n) == "number" and n >= 1 and n <= 1000 and n % 1 == 0 end

function Session:command(text)
  local message = cjson.decode(text)
  if type(message) ~= "table" then return false end
  if is_size(message.rows) and is_size(message.cols) then
    self.rows, self.cols = message.rows, message.cols
    if self.job then self.job:resize(self.rows, self.cols) end
  elseif message.over == true then
    self.over = true
  elseif type(message.seen) == "number" and message.seen >= 0 and message.seen <= self.unseen then
    self.unseen = self.unseen - message.seen
    if self.unseen < MAX_UNSEEN and self.seen:count() < 1 then self.seen:post() end
  else
    return false
  end
  return true
end

-- From the page ----------------------------------------------------------------------------------------------------------

-- Never waits for the program, so that a page that goes is missed at once, and a size gets past what is not read.
function Session:hear()
  while true do
    local data, kind = self:receive()
    if not data then return end
    if kind == "text" then
      if not self:command(data) or self.over then return end
    else
      self.waiting = self.waiting + #data
      if self.waiting > MAX_TYPED then return end
      self.typed[#self.typed + 1] = data
      self.keys:post()
    end
  end
end

function Session:type()
  while true do
    if self.keys:wait(SILENCE) then
      local data = table.remove(self.typed, 1)
      local ok = self.job:write(data)
      self.waiting = self.waiting - #data
      if not ok then self:tell{ taken = true } end -- or the program has ended, which is told next
    end
  end
end

-- To the page ------------------------------------------------------------------------------------------------------------

-- Behind what was shown before this page came, it is told so: what its terminal answers to that was answered then.
function Session:catch_up()
  if self.live or self.job:offset() < self.behind then return end
  self.live = true
  self:tell{ live = true }
end

function Session:show()
  self:catch_up()
  for _, chunk in self.job:chunks() do
    for at = 1, #chunk, 32768 do
      local piece = chunk:sub(at, at + 32767)
      while self.unseen >= MAX_UNSEEN do self.seen:wait(SILENCE) end
      self.unseen = self.unseen + #piece
      if not self:send("binary", piece) then return end
    end
    self:catch_up()
  end
  local r, message = self.job:wait()
  self.over = true
  self:tell(r and { ["end"] = r.status, exit_code = r.exit_code, message = r.message } or { error = message })
  self:send("close", 1000)
end

-- Sessions ---------------------------------------------------------------------------------------------------------------

local function hex(bytes)
  return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local function random()
  local file = assert(io.open("/dev/urandom", "rb"))
  local bytes = file:read(16)
  file:close()
  return hex(bytes)
end

-- What a page comes back by is its box's id, which is no secret on this machine, and a secret, which is nowhere here: the program's name is
-- made of it.
local function name_of(secret) return "terminal-" .. hex(ngx.sha1_bin(secret)) end

-- One session is begun at a time, by whichever worker, so that they can be counted. Who dies over it holds up the next for so long.
local STARTING = 60

local function alone(f, ...)
  local limit = ngx.now() + STARTING
  while not ngx.shared.terminal:add("starting", true, STARTING) do
    if ngx.now() > limit then return false end
    ngx.sleep(0.05)
  end
  local ok, done = pcall(f, ...)
  ngx.shared.terminal:delete("starting")
  if not ok then error(done, 0) end
  return done
end

local function start(session, secret)
  local there = instance():boxes()
  session.full = there and #there >= MAX_SESSIONS
  if session.full then return false end
  local box, message, code = instance():start{
    keep = tonumber(ngx.var.session_keep), lifetime = LIFETIME, limits = LIMITS, env = { HOME = "/work", SHELL = "/bin/sh", EDITOR = "vi" },
  }
  local job
  if box then
    job, message, code = box:spawn{
      SHELL[1], SHELL[2], SHELL[3], pty = { rows = session.rows, cols = session.cols }, detach = true, name = name_of(secret),
    }
  end
  if job then
    session.box, session.job = box, job
    return true
  end
  ngx.log(ngx.ERR, "sandbox: ", message, " (", code, ")")
  if box then box:stop() end
  return false
end

-- A new one; whether there is.
local function begin(session)
  local secret = random()
  if not alone(start, session, secret) then
    session:tell{ error = session.full and "there are as many sessions as may be; try again later" or "the sandbox could not be started" }
    return false
  end
  session.over = not session:tell{ session = session.box.id .. "." .. secret } -- nobody could come back to it
  return true
end

local function find(session, id, secret)
  local box, _, code = instance():attach(id)
  if not box then return nil, code end
  local programs
  programs, _, code = box:programs()
  for _, program in ipairs(programs or {}) do
    if program.name == name_of(secret) then
      session.job, _, code = box:attach(program.id)
      session.box, session.behind = box, program.written
      if session.job then return true end
    end
  end
  box:close()
  return nil, code or "not_found"
end

local GONE = { not_found = true, closed = true }

-- One that there was; whether there is. It is for this page to write now, and of this page's size. A page that is told nothing tries again.
local function come_back(session, word)
  local id, secret = word:match "^(%x+)%.(%x+)$"
  local there, code = nil, "not_found"
  if id and #id == 32 and #secret == 32 then there, code = find(session, id, secret) end
  if there then
    session.job:resize(session.rows, session.cols)
  elseif code == "busy" then
    session:tell{ error = "too many pages show this session" }
  elseif GONE[code] then
    session:tell{ gone = true }
  else
    ngx.log(ngx.ERR, "sandbox: a session cannot be attached to (", code, ")")
  end
  return there
end

local function run(session)
  local text, kind = session:receive()
  if kind ~= "text" or not session:command(text) or not session.rows then return end
  local word = cjson.decode(text).session
  local there
  if type(word) == "string" then there = come_back(session, word) else there = begin(session) end
  if not there then return session:send("close", 1000) end
  local threads = {}
  for i, part in ipairs{ "hear", "show", "type" } do threads[i] = ngx.thread.spawn(session[part], session) end
  ngx.thread.wait(threads[1], threads[2]) -- the page is gone, or the program is
  for _, thread in ipairs(threads) do ngx.thread.kill(thread) end
  session.job:close()
  if session.over then session.box:stop() else session.box:close() end
end

--- GET /session, as a websocket.
function M.session()
  local ws = websocket:new{ timeout = SILENCE * 1000, max_payload_len = MAX_MESSAGE }
  if not ws then return refuse(400, "this is for a websocket") end
  run(setmetatable({ ws = ws, line = semaphore.new(1), keys = semaphore.new(), seen = semaphore.new(), typed = {}, waiting = 0, unseen = 0, behind = 0 }, Session))
end

return M
