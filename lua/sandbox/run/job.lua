-- SPDX-License-Identifier: MIT
--- A program that runs in a sandbox: its streams, its end, and the waiting for both.
-- @module sandbox.run.job
local result = require "sandbox.run.result"
local wire = require "sandbox.run.wire"
local patience = require "sandbox.run.patience"
local wait = require "sandbox.hosts.wait"
local core = require "sandbox.core"

local M = {}

local Job = {}
Job.__index = Job

local PIECE = 64 * 1024
local WINDOW = 256 * 1024
local SLOW = 60 -- seconds, for requests that boot nothing
local FOREVER = 1e9 -- seconds, the longest that every host can wait

local function new_stream()
  return { first = 1, last = 0, chunks = {}, seqs = {} }
end

-- Callbacks and stdin functions are the caller's code: an error in one kills the run and is raised again after it.
local function guarded(self, f, ...)
  local ok, value = pcall(f, ...)
  if ok then return value end
  if not self.raised then self.raised = { value = value } end
  if not self.gone then self.transport:send("K", "\0") end
  return nil
end

local function u32(bytes)
  local a, b, c, d = bytes:byte(1, 4)
  return a + b * 256 + c * 65536 + d * 16777216
end

-- stdin ---------------------------------------------------------------------------------------------------------------

local function open_source(stdin)
  if type(stdin) == "string" then
    local at = 1
    return function(n)
      if at > #stdin then return nil end
      local piece = stdin:sub(at, at + n - 1)
      at = at + n
      return piece
    end
  end
  if type(stdin) == "table" and stdin.from then
    -- A FIFO or a terminal would hold up the whole host, and a directory would read as nothing.
    local file, why, name = core.reader(stdin.from)
    if not file then
      return nil, "stdin " .. (name == "EINVAL" and stdin.from .. " is no regular file" or why), "bad_rootfs"
    end
    return function(n)
      local piece, message = file:read(n)
      if message then error("stdin: " .. message, 0) end
      if not piece then file:close() end
      return piece
    end
  end
  local rest = ""
  return function(n) -- a function of the caller's, whose chunks may be of any size
    while rest == "" do
      rest = stdin()
      if rest == nil then return nil end
      if type(rest) ~= "string" then error("stdin: expected a string or nil from the function, got a " .. type(rest), 0) end
    end
    local piece = rest:sub(1, n)
    rest = rest:sub(n + 1)
    return piece
  end
end

local function end_stdin(self)
  self.source = nil
  if not self.stdin_ended then
    self.stdin_ended = true
    self.transport:send("E", "")
  end
end

-- Sends of stdin what the window allows.
local function feed(self)
  while self.source and self.window > 0 and not self.x and not self.raised do
    local n = math.min(self.window, PIECE)
    local piece
    piece = guarded(self, self.source, n)
    if not piece then return end_stdin(self) end
    self.window = self.window - #piece
    self.transport:send("I", piece)
  end
end

-- Frames --------------------------------------------------------------------------------------------------------------

local function keep(self, name, chunk)
  local stream = self.streams[name]
  self.seq = self.seq + 1
  stream.last = stream.last + 1
  stream.chunks[stream.last], stream.seqs[stream.last] = chunk, self.seq
end

local function on_output(self, name, chunk)
  if chunk == "" then return end
  local callback = self.plan["on_" .. name]
  if not callback then return keep(self, name, chunk) end
  if self.raised then return end
  if guarded(self, callback, chunk) == false then self.transport:send("K", "\0") end
end

local function take_rest(self, name)
  local stream = self.streams[name]
  if self.plan["on_" .. name] or stream.read then return nil end
  return table.concat(stream.chunks, "", stream.first, stream.last)
end

-- The end, once: from a result, from the loss of the supervisor, from close.
local function conclude(self, r, message, code)
  if self.ended then return end
  self.ended = true
  self.source = nil
  self.result, self.message, self.code = r, message, code
  if self.plan.done then self.plan.done(r, message, code) end
  if self.stop_watching then self.stop_watching() end
  if self.plan.on_exit then guarded(self, self.plan.on_exit, r, message, code) end
end

-- The result is made when it is asked for first: what was read until then is not in it.
local function on_result(self, payload)
  self.x = result.parse(payload)
  self.patience:finish(core.now())
  local job = { id = self.id, stdout = take_rest(self, "stdout"), stderr = take_rest(self, "stderr") }
  conclude(self, result.build(self.x, job, self.plan))
end

local function on_started(self, payload)
  self.started = result.parse(payload)
  self.patience:begin(core.now(), self.plan.limits and self.plan.limits.timeout)
end

local handlers = {
  ["1"] = function(self, payload) on_output(self, "stdout", payload) end,
  ["2"] = function(self, payload) on_output(self, "stderr", payload) end,
  S = on_started,
  W = function(self, payload) self.window = self.window + u32(payload) end,
  X = on_result,
}

local MAIN = {}

local function me()
  return coroutine.running() or MAIN
end

local function lost(self, message)
  self.gone = true
  conclude(self, nil, message, "supervisor_lost")
end

-- A supervisor that says nothing is asked whether it is there; one that says nothing then is given up. What has no descriptor is read
-- by waiting for it only, and its answer may be there unread.
local function look_after(self, waited)
  if self.gone or self.closed then return end
  local due = self.patience:due(core.now())
  if due == "ask" then
    self.transport:send("P", "")
  elseif due and (waited or self.transport:fd()) then
    if not self.started then wait.renew() end -- who forked it may be what hangs
    lost(self, "the supervisor does not answer: it is stopped, or hangs")
    self.transport:close()
  end
end

-- One helping: a guest that never stops writing must hold up neither other coroutines nor a deadline.
local function take(self)
  local transport = self.transport
  local more = transport:recv()
  local kind, payload = transport:next()
  local changed = kind ~= nil or more == nil
  if more or kind then self.patience:heard(core.now()) end
  while kind do
    local handler = handlers[kind]
    if handler then handler(self, payload) end
    kind, payload = transport:next()
  end
  feed(self)
  if more == nil and not self.gone then
    lost(self, "the supervisor ended without a result: it was killed, or could not start")
  end
  -- What was taken here may be what another coroutine waits for: the descriptor will not tell it any more.
  if changed and transport.wake and not self.closed then transport:wake() end
end

--- Takes what has come and sends what can be sent; never waits.
-- @treturn boolean whether the run has ended
function Job:step()
  if self.closed then return true end
  if self.stepping then return self.ended end -- a callback that uses its own job
  self.stepping = me()
  local ok, err = pcall(take, self)
  self.stepping = nil
  if ok then
    look_after(self)
    return self.ended
  end
  local conn = self.transport.conn
  if not (conn and conn:closed()) then error(err, 0) end -- not ours: an interrupt, or no memory
  lost(self, "the supervisor sent what is no frame")
  return true
end

-- Waits until condition(self) holds. true, or false when the deadline has passed.
local function wait_until(self, condition, deadline)
  self:step()
  local looked = self.transport:fd() ~= nil -- what has no descriptor is read by waiting for it only
  while not condition(self) do
    local now = core.now()
    local left = deadline and deadline - now
    if left and left <= 0 and looked then return false end
    left = math.max(0, math.min(left or FOREVER, self.patience:left(now)))
    looked = true
    if self.stepping == me() then error("a callback cannot wait for its own job", 0) end
    if self.stepping then -- another coroutine's callback waits for something else
      local nap = math.min(left, 0.005)
      if self.plan.wait then self.plan.wait(-1, "r", nap) else wait.sleep(nap) end
    else
      self.transport:wait(left, self.plan.wait)
    end
    self:step()
    look_after(self, true)
  end
  return true
end

-- What a callback raised, once, when the run has ended.
local function take_raised(self, at_once)
  local raised = self.raised
  if not raised or not self.ended or raised.told then return nil end
  raised.told = true
  if not at_once then self:wait_gone() end -- after the clean-up
  return raised
end

-- It is raised again where somebody waits for the end.
local function reraise(self, at_once)
  local raised = take_raised(self, at_once)
  if raised then error(raised.value, 0) end
end

local function check_open(self, name)
  if getmetatable(self) ~= Job then error("bad self: call job:" .. name .. "(…) with a colon", 3) end
end

-- The methods of API.md ---------------------------------------------------------------------------------------------------

local function has_ended(self) return self.ended end

--- Waits for the end.
-- @number[opt] seconds at most so long
-- @treturn table the result, or nil, message, code ("timeout": not yet)
function Job:wait(seconds)
  check_open(self, "wait")
  if seconds ~= nil and (type(seconds) ~= "number" or not (seconds >= 0)) then
    error("bad argument #1 to 'wait' (expected seconds)", 2)
  end
  local r, message, code, raised = self:finish(seconds)
  if raised then error(raised.value, 0) end
  return r, message, code
end

local function is_gone(self) return self.gone or self.closed or self.transport.gone and self.transport:gone() end

--- Waits until nothing of the run is left: processes, cgroups, directories.
-- @number[opt] seconds
-- @treturn boolean
function Job:wait_gone(seconds)
  return wait_until(self, is_gone, seconds and core.now() + seconds)
end

local function can_write(self) return self.window > 0 or self.ended end

--- Writes to the program's stdin; waits while the pipe is full.
-- @string bytes
-- @treturn boolean true, or nil, message, "closed"
function Job:write(bytes)
  check_open(self, "write")
  if type(bytes) == "number" then bytes = tostring(bytes) end
  if type(bytes) ~= "string" then error("bad argument #1 to 'write' (string expected, got " .. type(bytes) .. ")", 2) end
  local at = 1
  self:step()
  while at <= #bytes do
    if self.stdin_ended or self.ended or not self.plan.stdin_open then return nil, "stdin is closed", "closed" end
    if self.window > 0 then
      local piece = bytes:sub(at, at + math.min(self.window, PIECE) - 1)
      at = at + #piece
      self.window = self.window - #piece
      self.transport:send("I", piece)
    else
      wait_until(self, can_write)
    end
  end
  reraise(self)
  return true
end

--- Ends the program's stdin; once more does no harm.
function Job:close_stdin()
  check_open(self, "close_stdin")
  if not self.ended then end_stdin(self) end
end

local function head(self, name)
  local stream = self.streams[name]
  return stream.first <= stream.last and stream.seqs[stream.first] or nil
end

local function pop(self, name)
  local stream = self.streams[name]
  local chunk = stream.chunks[stream.first]
  stream.chunks[stream.first], stream.seqs[stream.first] = nil, nil
  stream.first = stream.first + 1
  stream.read = true
  if self.result then self.result[name] = nil end
  return chunk
end

local function check_stream(name, level)
  if name ~= "stdout" and name ~= "stderr" then error('bad argument #1: expected "stdout" or "stderr"', level + 1) end
end

-- A start error comes from the first read; a run that ended well has just nothing more.
local function nothing_more(self)
  reraise(self)
  if self.message and not self.result then return nil, self.message, self.code end
  return nil
end

local function read_one(self, name)
  wait_until(self, function(job) return head(job, name) or job.ended end)
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
-- @return nil at the end; nil, message, code where the program could not be started
function Job:read(name)
  check_open(self, "read")
  if name == nil then return read_any(self) end
  check_stream(name, 2)
  return read_one(self, name)
end

--- Iterates over pieces: for stream, chunk in job:chunks() do.
-- @treturn function
function Job:chunks()
  check_open(self, "chunks")
  return function() return read_any(self) end
end

--- Iterates over the lines of a stream, without their ends.
-- @string[opt="stdout"] name
-- @treturn function
function Job:lines(name)
  check_open(self, "lines")
  name = name or "stdout"
  check_stream(name, 2)
  local rest, from, parts = "", 1, {} -- from: where the next line starts; cutting rest each time would be quadratic
  return function()
    while true do
      local at = rest:find("\n", from, true)
      if at then
        local piece = rest:sub(from, at - 1)
        from = at + 1
        if #parts == 0 then return piece end
        parts[#parts + 1] = piece
        local line = table.concat(parts)
        parts = {}
        return line
      end
      if from <= #rest then parts[#parts + 1] = rest:sub(from) end
      rest, from = read_one(self, name), 1
      if not rest then
        rest = ""
        if #parts == 0 then return nil end
        local line = table.concat(parts)
        parts = {}
        return line
      end
    end
  end
end

--- Kills the run, or sends its program a signal.
-- @param[opt="KILL"] signal name or number; KILL ends the whole tree as `killed`
-- @treturn boolean true, or nil, message, "closed"
function Job:kill(signal)
  check_open(self, "kill")
  local number = signal == nil and 9 or result.signal_number(signal)
  if not number then error("bad argument #1 to 'kill' (expected a signal's name or number)", 2) end
  if self.ended then return nil, "the program has ended", "closed" end
  self.transport:send("K", string.char(number == 9 and 0 or number))
  return true
end

--- Kills the run if it still goes on, and lets go of it; never waits.
function Job:close()
  if self.closed then return end
  self.closed, self.gone = true, true
  conclude(self, nil, "the job is closed", "closed") -- before whoever waits for it is woken, who would wait again
  if self.stop_watching then self.stop_watching() end
  self.transport:close()
end

Job.__close = Job.close

--- The process id of runsc on the host, once the program has started.
-- @treturn integer or nil
function Job:pid()
  return self.started and tonumber(self.started.pid)
end

--- As `wait`, but what a callback raised is given back instead of raised: for those who have to tidy up first. (Without pcall,
-- which cannot be waited in on Lua 5.1.)
-- @number[opt] seconds
-- @return result, message, code, and { value = what was raised }
function Job:finish(seconds)
  if not self.ended and not wait_until(self, has_ended, seconds and core.now() + seconds) then
    return nil, "the program still runs", "timeout"
  end
  local raised = take_raised(self)
  if raised then return nil, nil, nil, raised end
  return self.result, self.message, self.code
end

--- For pools: whether the program has said that it is ready, a line on stdout, which is taken away.
-- @treturn boolean
function Job:take_line()
  local stream = self.streams.stdout
  local text = table.concat(stream.chunks, "", stream.first, stream.last)
  if not text:find("\n", 1, true) then return false end
  self.streams.stdout = new_stream()
  return true
end

--- For pools: gives a prepared program what it waits for; from here on it is an ordinary job.
-- @tparam table plan whose callbacks, limits and times are the job's from now on
-- @string limits the supervisor's list of them
-- @string code for the program
-- @string[opt] input its stdin
function Job:lease(plan, limits, code, input)
  plan.done, plan.wait, plan.spawn = self.plan.done, self.plan.wait, nil
  self.plan = plan
  self.patience:begin(core.now(), plan.limits.timeout)
  self.transport:send("L", limits)
  self.source = open_source(code .. (input or ""))
  feed(self)
end

--- One descriptor to poll, in the form that cqueues expects.
function Job:pollfd() return self.transport:fd() end
--- What to poll it for.
function Job:events() return self.transport:events() end
--- How long to wait at most before the next step; the supervisor keeps the deadlines, and this is when it is to have spoken.
function Job:timeout() return self.patience:left(core.now()) end

function Job:__tostring()
  return ("sandbox.job %s (%s)"):format(self.id or "?", self.closed and "closed" or self.ended and "ended" or "running")
end

local function send_files(transport, files)
  for _, file in ipairs(files or {}) do
    transport:send("F", wire.file(file), true)
    local content = file.content or ""
    for at = 1, #content, PIECE do transport:send("D", content:sub(at, at + PIECE - 1)) end
  end
end

--- Starts a job over a transport. Takes the transport over in every case.
-- @tparam table transport
-- @tparam table plan what was asked, validated
-- @tparam table request what the supervisor gets
-- @treturn Job or nil, message, code
function M.start(transport, plan, request)
  local self = setmetatable({
    transport = transport, plan = plan, id = request.id, window = WINDOW, seq = 0, ended = false,
    streams = { stdout = new_stream(), stderr = new_stream() },
    patience = patience.new(core.now(), request.boot_timeout or SLOW, plan.limits and plan.limits.timeout),
  }, Job)
  local source, message, code
  if plan.stdin ~= nil then
    source, message, code = open_source(plan.stdin)
    if not source then
      transport:close()
      return nil, message, code
    end
  end
  -- In one go, for the supervisor wakes up for each.
  transport:send("R", request.r, true)
  if request.config then transport:send("C", request.config, true) end
  send_files(transport, request.files)
  transport:send("G", "")
  self.source = source
  feed(self)
  if plan.on_exit and not plan.wait then
    self.stop_watching = wait.watch(transport, function()
      self:step()
      reraise(self, true) -- nobody else is there to be told, and nothing waits here
    end)
    if self.ended and self.stop_watching then self.stop_watching() end
  end
  return self
end

return M
