-- SPDX-License-Identifier: MIT
--- Programs that stay: detached from whoever started them, found again by name or id.
--
-- Each has a keeper, a process that is its supervisor's host in our place (src/supervisor/sup_keep.h) and has a socket in the box's
-- directory. What is known of such a program is what its keeper says; nothing of it is held here.
-- @module sandbox.box.kept
local core = require "sandbox.core"
local errors = require "sandbox.errors"
local json = require "sandbox.json"
local options_plan = require "sandbox.options.plan"
local result = require "sandbox.run.result"
local text = require "sandbox.text"
local transports = require "sandbox.hosts.transport"
local waits = require "sandbox.hosts.wait"

local M = {}

local ANSWER = 10 -- seconds within which a keeper says what it keeps
local MOST = 64 -- programs that are kept in one box (sup_keep.h)

-- A list for a keeper, which is the same as one for a supervisor, of other keys.
local function list(fields)
  local out = {}
  for i = 1, #fields, 2 do
    local value = fields[i + 1]
    if type(value) == "number" then value = ("%.14g"):format(value) end
    if value:find("\0", 1, true) then error("a NUL for the keeper in " .. fields[i], 0) end
    out[#out + 1] = fields[i] .. "=" .. value .. "\0"
  end
  return table.concat(out)
end
M.list = list

-- What whoever attaches is to know of the program.
local function about(plan)
  local argv, bytes = {}, 0
  for i, word in ipairs(plan.argv) do
    bytes = bytes + #word
    if i > 256 or bytes > 4096 then break end
    argv[i] = text.scrub(word)
  end
  local limits = {}
  for name, value in pairs(plan.limits) do limits[name] = value end
  return json.encode{ argv = argv, limits = limits, pty = plan.pty and true or false, stdin = (plan.stdin ~= nil or plan.stdin_open) and true or false }
end

--- What a program's keeper is told.
-- @tparam Box box
-- @tparam table plan
-- @treturn string
function M.program(box, plan)
  return list{ "id", plan.id, "name", plan.name or "", "run", box.dir, "output", plan.limits.output, "about", about(plan) }
end

-- Asking -----------------------------------------------------------------------------------------------------------------

local function ignore() end

-- The next of what a keeper says, taken apart; nil: it has gone, or says nothing. That it refuses us is another's message and code.
local function hear(transport, wait, limit)
  while true do
    local more = transport:recv()
    local kind, payload = transport:next()
    if kind == "H" then return result.parse(payload) end
    if kind == "X" then
      local told = result.parse(payload)
      return nil, told.message, told.error
    end
    if not kind and more == nil then return nil end
    if not kind then
      local left = limit - core.now()
      if left <= 0 then return nil, "it does not answer", "timeout" end
      transport:wait(left, wait)
    end
  end
end

local NAP, TRIES = 0.01, 20 -- seconds between two attempts; how often who was not heard comes back

local function nap(wait)
  if wait then wait(-1, "r", NAP) else waits.sleep(NAP) end
end

--- Connects to a keeper; waits while more come to it than it has taken yet.
-- @string path of its socket
-- @func[opt] wait
-- @treturn table transport, or nil, message, errno's name
function M.dial(path, wait)
  local limit = core.now() + ANSWER
  while true do
    local transport, message, code = transports.dial(path)
    if transport or code ~= "EAGAIN" or core.now() > limit then return transport, message, code end
    nap(wait)
  end
end

-- One question; nil: it was not answered.
local function ask(path, wait)
  local transport = M.dial(path, wait)
  if not transport then return nil, "it is gone", "closed" end
  transport:send("H", list{ "ask", "1" })
  local told, message, code = hear(transport, wait, core.now() + ANSWER)
  transport:close()
  return told, message, code
end

--- Asks a keeper what it keeps.
-- @string path of its socket
-- @func[opt] wait
-- @treturn table of strings, or nil, message, code: "busy" where it has no place for us, "closed" where it is gone, "timeout"
function M.ask(path, wait)
  local told, message, code
  for i = 1, TRIES do -- who connects and is not heard at once gives way to the next
    told, message, code = ask(path, wait)
    if told or code then break end
    if i < TRIES then nap(wait) end
  end
  if not told then return nil, message, code end
  told.path, told.about = path, json.decode(told.about or "")
  return type(told.about) == "table" and told or nil
end

-- Kills what is over, so that nothing of it is kept; waits until its keeper has gone.
local function forget(told, wait)
  local transport = M.dial(told.path, wait)
  if not transport then return end
  local limit = core.now() + ANSWER
  transport:send("H", list{ "from", "now", "mute", "1" })
  transport:send("K", "\0")
  while hear(transport, wait, limit) do ignore() end
  transport:close()
end

--- All programs that are kept in a box, the oldest first.
-- @string dir the box's
-- @func[opt] wait
-- @treturn {table,...} of strings, as of `ask`
function M.all(dir, wait)
  local out = {}
  for _, name in ipairs(core.readdir(dir) or {}) do
    local told = name:find "^p%d+$" and M.ask(dir .. "/" .. name, wait)
    if told then out[#out + 1] = told end
  end
  table.sort(out, function(a, b) return (tonumber(a.age) or 0) > (tonumber(b.age) or 0) end)
  return out
end

local function all(self) return M.all(self.dir, self.host.options.wait) end

local function find(self, which)
  local found
  for _, told in ipairs(all(self)) do
    if told.id == which then return told end
    if told.name == which and which ~= "" and (told.state ~= "ended" or not found or found.state == "ended") then found = told end
  end
  return found
end

--- Makes room for one more of this name: what is over and had it gives way, or the oldest that is over where there are too many.
-- @tparam Box self
-- @string[opt] name
-- @treturn boolean true, or nil, message, "busy"
function M.make_room(self, name)
  local there = all(self)
  local over, left = nil, #there
  for _, told in ipairs(there) do
    if name and told.name == name then
      if told.state ~= "ended" then return nil, ("a program called %s is at work in the box: box:attach(%q)"):format(name, name), "busy" end
      forget(told, self.host.options.wait)
      left = left - 1
    elseif told.state == "ended" then
      over = over or told
    end
  end
  if left < MOST then return true end
  if not over then return nil, ("%d detached programs are at work in the box: end one with job:kill()"):format(MOST), "busy" end
  forget(over, self.host.options.wait)
  return true
end

-- The methods of boxes ---------------------------------------------------------------------------------------------------

local Kept = {}

local function number(value)
  local n = tonumber(value) or 0
  return math.tointeger and math.tointeger(n) or n
end
M.number = number

--- The detached programs of the box that are at work, or are over and still kept.
-- @treturn {table,...} of { name=, id=, state = "starting", "running" or "ended", argv=, pty=, seconds= since its start, first= and
-- written= offsets of the oldest byte that is kept and behind the last, readers= }, or nil, message, code
function Kept:programs()
  local ok, message, code = self:await()
  if not ok then return nil, message, code end
  local out = {}
  for i, told in ipairs(all(self)) do
    out[i] = { name = told.name ~= "" and told.name or nil, id = told.id, state = told.state, argv = told.about.argv or {}, pty = told.about.pty == true,
               seconds = tonumber(told.age), first = number(told.first), written = number(told["end"]), readers = number(told.hosts) }
  end
  return out
end

-- A table's own fields that the limits of a result are made of.
local function limits_in(about_it)
  local out = {}
  for name, value in pairs(type(about_it.limits) == "table" and about_it.limits or {}) do
    if type(name) == "string" and (type(value) == "number" or type(value) == "boolean" or type(value) == "string") then out[name] = value end
  end
  return out
end

--- Attaches to a detached program: another job of it, with what is kept of its output and then what comes.
-- @string which its name, or its id
-- @tparam[opt] table options { from = "start", "now" or an offset, write = whether it takes over stdin, on_stdout=, on_stderr= }
-- @treturn Job or nil, message, code ("not_found": there is none)
function Kept:attach(which, options)
  if type(which) ~= "string" or which == "" then errors.argument(1, "attach", "the name or the id of a program", which) end
  local asked = options_plan.call("attach", options)
  local ok, message, code = self:await()
  if not ok then return nil, message, code end
  local told = find(self, which)
  local transport = told and M.dial(told.path, self.host.options.wait)
  if not transport then return nil, ("the box has no detached program %s"):format(text.scrub(which:sub(1, 80))), "not_found" end
  local plan = { mode = "run", limits = limits_in(told.about), argv = told.about.argv, pty = told.about.pty == true, kept = true, quiet = true, spared = self.attached,
                 stdin_open = told.about.stdin == true and told.stdin ~= "closed", from = asked.from, mute = not asked.write, runtime = self.rt, clock = core.now,
                 began = core.now(), id = told.id, on_stdout = asked.on_stdout, on_stderr = asked.on_stderr }
  local from = type(asked.from) == "number" and ("%.0f"):format(asked.from) or asked.from
  local job
  job, message, code = self.host.launch(plan, { id = told.id, hold = list{ "from", from, not asked.write and "mute" or "w", "1" } }, true, transport)
  if job then job.reach = function(_, port, seconds) return self:connect(port, seconds) end end
  return job, message, code
end

M.methods = Kept
return M
