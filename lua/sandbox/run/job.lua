-- SPDX-License-Identifier: MIT
--- A program that runs in a sandbox: its streams, its end, and the waiting for both.
--
-- Frames are taken by whoever looks, and never run the caller's code: what a callback is to be told is put in line. Callbacks, and a
-- function that gives stdin, are called by the job's own waiter, or by what attends to a job that has `on_exit`; by one at a time.
-- @module sandbox.run.job
local errors = require "sandbox.errors"
local feeder = require "sandbox.run.feeder"
local inbox = require "sandbox.run.inbox"
local input = require "sandbox.run.input"
local lock = require "sandbox.hosts.lock"
local network = require "sandbox.run.network"
local patience = require "sandbox.run.patience"
local reading = require "sandbox.run.reading"
local result = require "sandbox.run.result"
local streams = require "sandbox.run.stream"
local terminals = require "sandbox.run.terminal"
local transports = require "sandbox.hosts.transport"
local wait = require "sandbox.hosts.wait"
local core = require "sandbox.core"

local M = {}

local Job = {}
Job.__index = Job

local WINDOW = 256 * 1024
local BACKLOG = 1024 * 1024 -- bytes in line for callbacks, beyond which nothing more is taken
local SLOW = 60 -- seconds, for requests that boot nothing
local BESIDE = 0.05 -- seconds between two looks at what else is to be told meanwhile
local FOREVER = 1e9 -- seconds, the longest that every host can wait

local function u32(bytes)
  local a, b, c, d = bytes:byte(1, 4)
  return a + b * 256 + c * 65536 + d * 16777216
end

-- Over: what its supervisor says is known, and it is not spoken to any more.
local function send(self, kind, payload)
  if not self.ended then self.transport:send(kind, payload) end
end

-- Frames --------------------------------------------------------------------------------------------------------------

local function on_output(self, name, chunk)
  if self.position then self.position = self.position + #chunk end
  if chunk == "" then -- its end, while the program may go on
    self.streams[name].over = true
    return
  end
  if self.terminal and name == "stderr" then return self.terminal:hear(chunk) end
  local callback = self.plan["on_" .. name]
  if callback then return self.inbox:put({ f = callback, chunk = chunk }) end
  self.seq = self.seq + 1
  self.streams[name]:push(chunk, self.seq)
end

local function take_rest(self, name)
  local stream = self.streams[name]
  if self.plan["on_" .. name] or stream.read then return nil end
  return stream:all()
end

-- Its supervisor holds the image itself, or it never will.
local function let_go(plan)
  if plan.hold then plan.hold:close() end
  plan.hold = nil
end

-- The end, once: from a result, from the loss of the supervisor, from close.
local function conclude(self, r, message, code)
  if self.ended then return end
  self.ended = true
  self.source = nil
  self.result, self.message, self.code = r, message, code
  let_go(self.plan)
  if self.plan.done then self.plan.done(r, message, code) end
  if self.plan.on_exit then self.inbox:put({ f = self.plan.on_exit, r = r, message = message, code = code }) end
end

-- What its supervisor does not know: its output is limited by who keeps it.
local function complete(self)
  if not self.plan.kept then return end
  self.x.stdout_truncated, self.x.stderr_truncated = self.lost and "1" or self.x.stdout_truncated, self.lost and "1" or self.x.stderr_truncated
  self.x["enforced.output"], self.x["hit.output"] = "supervisor", self.lost and "1" or self.x["hit.output"] or "0"
end

-- The result is made when it is asked for first: what was read until then is not in it.
local function on_result(self, payload)
  self.x = result.parse(payload)
  complete(self)
  self.patience:finish(core.now())
  local job = { id = self.id, network = self.network, stdout = take_rest(self, "stdout"), stderr = take_rest(self, "stderr") }
  local why = self.terminal and self.terminal:failure()
  if why then return conclude(self, nil, result.explain(self.plan, why, "bad_command"), "bad_command") end
  if self.terminal then self.x.stderr_bytes, self.x.stderr_truncated = nil, nil end -- our helper's words
  conclude(self, result.build(self.x, job, self.plan))
end

local function on_started(self, payload)
  self.started = result.parse(payload)
  let_go(self.plan)
  self.patience:begin(core.now(), self.plan.limits and self.plan.limits.timeout)
end

local function on_network(self, payload)
  self.network = self.network or network.record()
  for _, event in ipairs(network.take(self.network, payload)) do
    if self.plan.on_network then self.inbox:put({ f = self.plan.on_network, r = event }) end
  end
end

-- What is kept by another process says who may write to it, and from where its output goes on.
local function on_hold(self, payload)
  local told = result.parse(payload)
  local from = tonumber(told.from)
  self.known = true
  if told.writer then
    self.writes, self.window = told.writer == "1", 0 -- what may be written is told next
    if self.writes then input.tell(self) end
  end
  if told.stdin == "closed" then self.stdin_ended = true end
  if from then
    self.lost = self.lost or from > (self.position or from)
    self.position = from
  end
end

local handlers = {
  ["1"] = function(self, payload) on_output(self, "stdout", payload) end,
  ["2"] = function(self, payload) on_output(self, "stderr", payload) end,
  S = on_started,
  W = function(self, payload)
    self.window = self.window + u32(payload)
    input.tell(self)
  end,
  N = on_network,
  H = on_hold,
  X = on_result,
}

local function lost(self, message)
  self.gone = true
  conclude(self, nil, message, "supervisor_lost")
end

-- An error in the caller's code kills the run and is raised again after it.
local function blame(self, err)
  if not self.raised then self.raised = { value = err } end
  send(self, "K", "\0")
end

local function protected(self, f, ...)
  local ok, value = pcall(f, ...)
  if ok then return value end
  blame(self, value)
  return nil
end

local function directly(_, f, ...) return f(...) end

-- One helping: a guest that never stops writing must hold up neither other coroutines nor a deadline.
local function take_frames(self)
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
  if self.source and not self.source.calls then input.feed(self, protected) end
  if more == nil and not self.gone then
    lost(self, "the supervisor ended without a result: it was killed, or could not start")
  end
  -- What was taken here may be what another coroutine waits for: the descriptor will not tell it any more.
  if changed and transport.wake and not self.closed then transport:wake() end
end

-- A supervisor that says nothing is asked whether it is there; one that says nothing then is given up. What has no descriptor is read
-- by waiting for it only, and its answer may be there unread.
local function look_after(self, waited)
  if self.gone or self.closed or self.released then return end
  local due = self.patience:due(core.now())
  if due == "ask" then
    self.transport:send("P", "")
  elseif due and (waited or self.transport.pollable) then
    if not self.started then transports.renew() end -- who forked it may be what hangs
    lost(self, "the supervisor does not answer: it is stopped, or hangs")
  end
end

-- Gives the connection back: its result is here, and nobody waits for what is left of the run to go.
local function release(self)
  if self.closed or self.released or not self.ended or self.lingers and not self.gone then return end
  if self.transport.is_lent and self.transport:is_lent() then return end
  self.released = true
  self.transport:close()
end

-- As much lies here for callbacks, or for who reads a stream that has no limit, as may: nothing more is taken.
local function is_full(self)
  return self.inbox.bytes > BACKLOG or self.paced and self.streams.stdout.bytes > BACKLOG
end

--- Takes what has come and sends what can be sent; never waits, and never runs the caller's code.
-- @bool[opt] waited something was waited for before
-- @treturn boolean whether the run has ended
function Job:take(waited)
  if self.closed or self.released then return true end
  if is_full(self) and not self.lingers then return self.ended end
  local ok, err = pcall(take_frames, self)
  if not ok then
    local conn = self.transport.conn
    if not (conn and conn:closed()) then error(err, 0) end -- not ours: an interrupt, or no memory
    lost(self, "the supervisor sent what is no frame")
  end
  look_after(self, waited)
  release(self)
  return self.ended
end

-- Callbacks -----------------------------------------------------------------------------------------------------------

local function wants_stdin(self) return self.source and self.source.calls and input.has_room(self) and not self.raised and not self.ended end

local function has_events(self) return not self.inbox:is_empty() or wants_stdin(self) end

local function tell(self, event, call)
  if not event.chunk then return call(self, event.f, event.r, event.message, event.code) end
  if self.raised or self.closed then return end
  if call(self, event.f, event.chunk) == false then send(self, "K", "\0") end
end

-- Tells the callbacks what is in line for them, and asks for stdin; false where somebody else is at it.
local function deliver(self, call)
  if not has_events(self) then return not self.lock:held() end
  local token = self.lock:take()
  if not token then return false end
  local event = self.inbox:take()
  while event do
    tell(self, event, call)
    event = self.inbox:take()
  end
  if wants_stdin(self) then input.feed(self, call) end
  self.lock:release(token)
  if self.transport.wake and not self.closed and not self.released then self.transport:wake() end
  return true
end

-- Waiting -------------------------------------------------------------------------------------------------------------

local function is_over(self)
  return self.ended and self.inbox:is_empty() and not self.lock:held()
end

local function pause(self, seconds)
  if self.plan.wait then self.plan.wait(-1, "r", seconds) else wait.sleep(seconds) end
  lock.collect(core.now())
end

-- Waits until condition(self) holds. true, or false when the deadline has passed. `call`: how callbacks are called; false: not by us.
local function wait_until(self, condition, deadline, call)
  if call == nil then call = protected end
  local looked, nap, waited = self.transport.pollable, 0.001, false -- what has no descriptor is read by waiting for it only
  while true do
    if self.beside then self.beside:step() end
    self:take(waited)
    local mine = call and deliver(self, call)
    if condition(self) then return true end
    if condition == is_over and self.lock:is_mine() then error("a callback cannot wait for its own job", 0) end
    local now = core.now()
    local left = math.max(0, math.min(deadline and deadline - now or FOREVER, self.beside and BESIDE or FOREVER))
    if deadline and now >= deadline and looked then return false end
    looked = true
    if self.ended and not self.lingers or self.gone or is_full(self) then -- another one's callback is waited for
      pause(self, math.min(left, nap))
      nap = math.min(nap * 1.5, 0.02)
    elseif not (mine and has_events(self)) then
      self.transport:wait(math.min(left, self.patience:left(now)), self.plan.wait)
      waited = true
    end
  end
end

--- Takes what has come and tells the callbacks; never waits by itself. For event loops, when `pollfd` is ready.
-- @treturn boolean whether the run has ended
function Job:step()
  self:take()
  deliver(self, protected)
  return self.ended
end

-- What a callback raised, once, when the run has ended.
local function take_raised(self)
  local raised = self.raised
  if not raised or not self.ended or raised.told then return nil end
  raised.told = true
  self:wait_gone() -- after the clean-up
  return raised
end

-- It is raised again where somebody waits for the end.
local function reraise(self)
  local raised = take_raised(self)
  if raised then error(raised.value, 0) end
end

local attend

-- Lets a job that nobody may wait for tell of its end.
function attend(self)
  wait.attend(function(protect)
    wait_until(self, is_over, nil, protect and protected or directly)
    if self.raised and not self.raised.told and self.plan.complain then self.plan.complain(self.raised.value) end
  end, function(err)
    blame(self, err)
    attend(self)
  end)
end

local function check_open(self, name)
  if getmetatable(self) ~= Job then errors.raise("bad self: call job:" .. name .. "(…) with a colon") end
end

-- The methods of API.md ---------------------------------------------------------------------------------------------------

--- Waits for the end.
-- @number[opt] seconds at most so long
-- @treturn table the result, or nil, message, code ("timeout": not yet)
function Job:wait(seconds)
  check_open(self, "wait")
  if seconds ~= nil and (type(seconds) ~= "number" or not (seconds >= 0)) then
    errors.argument(1, "wait", "seconds", seconds)
  end
  local r, message, code, raised = self:finish(seconds)
  if raised then error(raised.value, 0) end
  return r, message, code
end

local function is_gone(self)
  if self.gone or self.closed then return true end
  if self.released then return not self.dir or core.lstat(self.dir) == nil end
  return self.transport.gone and self.transport:gone()
end

--- Waits until nothing of the run is left: processes, cgroups, directories.
-- @number[opt] seconds
-- @treturn boolean
function Job:wait_gone(seconds)
  self.lingers = not self.released
  local gone = wait_until(self, is_gone, seconds and core.now() + seconds, false)
  release(self)
  return gone
end

for _, part in ipairs{ input, reading } do
  for name, method in pairs(part.methods{ wait_until = wait_until, reraise = reraise, check_open = check_open }) do Job[name] = method end
end

-- Whether a run is over whose output has not been read to the end, behind which its result waits: its runsc is gone by then.
local function has_gone(self)
  if not self.started and self.transport.pollable then self:step() end -- what a request of nginx's has is that one's to read
  if self.ended then return true end
  local pid = self.plan.mode == "run" and not self.plan.box and self.started and tonumber(self.started.pid)
  -- 0: a program in a box, of whose sandbox its supervisor knows no process.
  return (pid or 0) ~= 0 and not core.stat(("/proc/%d"):format(pid)) and core.stat "/proc/self" ~= nil
end

--- Kills the run, or sends its program a signal.
-- @param[opt="KILL"] signal name or number; KILL ends the whole tree as `killed`
-- @treturn boolean true, or nil, message, "closed"
function Job:kill(signal)
  check_open(self, "kill")
  local number = signal == nil and 9 or result.signal_number(signal)
  if not number then errors.argument(1, "kill", "a signal's name or number", signal) end
  if self.ended or has_gone(self) then return nil, "the program has ended", "closed" end
  self.transport:send("K", string.char(number == 9 and 0 or number))
  return true
end

--- Of a detached program: where in its output the next piece begins, for `box:attach(name, { from = offset })`: how many bytes it has
-- written before that, to stdout and stderr together.
-- @treturn integer
function Job:offset()
  check_open(self, "offset")
  if not self.plan.kept then errors.raise "offset: the program is not detached; box:spawn{ detach = true } starts one" end
  return math.max(0, (self.position or 0) - self.streams.stdout.bytes - self.streams.stderr.bytes - self.inbox.bytes)
end

--- Kills the run if it still goes on, and lets go of it; never waits. A detached program goes on.
function Job:close()
  if self.closed then return end
  self.closed, self.gone = true, true
  conclude(self, nil, "the job is closed", "closed") -- before whoever waits for it is woken, who would wait again
  if not self.released then self.transport:close() end
  deliver(self, protected)
end

Job.__close = Job.close

--- The process id of runsc on the host, once the program has started.
-- @treturn integer or nil
function Job:pid()
  return self.started and tonumber(self.started.pid)
end

--- Reaches a server in the job's sandbox: a TCP connection to its loopback, in every network mode.
-- @int port
-- @number[opt=0] seconds for how long to try while nobody listens there
-- @treturn Stream or nil, message, code ("not_found": nobody listens; "not_supported": this runsc cannot)
function Job:connect(port, seconds)
  check_open(self, "connect")
  if not self.reach then return nil, "only a program that was started with spawn can be connected to", "not_supported" end
  local stream, message, code = self:reach(port, seconds)
  return stream, message, code
end

--- For the parts of jobs: waits until the program has begun.
-- @treturn boolean true, or nil, message, code
function Job:await_start()
  if not self.started and not self.ended and not self.closed then wait_until(self, function() return self.started or self.ended end) end
  if self.started and not self.ended and not self.closed then return true end
  return nil, self.started and "the program has ended" or self.message or "the job is closed", self.started and "closed" or self.code or "closed"
end

--- For boxes: waits until a detached program can be found by others, or is over.
function Job:await_known()
  if not self.known and not self.ended and not self.closed then wait_until(self, function() return self.known or self.ended or self.closed end) end
end

--- As `wait`, but what a callback raised is given back instead of raised: for those who have to tidy up first. (Without pcall,
-- which cannot be waited in on Lua 5.1.)
-- @number[opt] seconds
-- @return result, message, code, and { value = what was raised }
function Job:finish(seconds)
  if not is_over(self) and not wait_until(self, is_over, seconds and core.now() + seconds) then
    return nil, "the program still runs", "timeout"
  end
  if self.settle and self.result then -- what its box has to say of it
    local settle = self.settle
    self.settle = nil
    settle(self.result, self.x)
    wait_until(self, is_over)
  end
  local raised = take_raised(self)
  if raised then return nil, nil, nil, raised end
  return self.result, self.message, self.code
end

--- For pools: whether the program has said that it is ready, a line on stdout, which is taken away.
-- @treturn boolean
function Job:take_line()
  self.said = self.streams.stdout:all():match "^([^\n]*)\n"
  if not self.said then return false end
  self.streams.stdout = streams.new()
  return true
end

--- For pools: gives a prepared program what it waits for; from here on it is an ordinary job.
-- @tparam table plan whose callbacks, limits and times are the job's from now on
-- @string limits the supervisor's list of them
-- @string code for the program
-- @string[opt] stdin
function Job:lease(plan, limits, code, stdin)
  plan.done, plan.wait, plan.spawn = self.plan.done, self.plan.wait, nil
  self.plan = plan
  self.patience:begin(core.now(), plan.limits.timeout)
  self.transport:send("L", limits)
  self.source = feeder.new(code .. (stdin or ""))
  input.feed(self, protected)
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

--- Starts a job over a transport. Takes the transport over in every case.
-- @tparam table transport
-- @tparam table plan what was asked, validated
-- @tparam table request what the supervisor gets
-- @treturn Job or nil, message, code
function M.start(transport, plan, request)
  local state_dir = plan.runtime and plan.runtime.state_dir
  local self = setmetatable({
    transport = transport, plan = plan, id = request.id, dir = state_dir and state_dir .. "/run-" .. request.id,
    window = plan.kept and 0 or WINDOW, writes = plan.kept and not plan.mute, seq = 0, ended = false, -- of what is kept, the window is told
    streams = { stdout = streams.new(), stderr = streams.new() },
    inbox = inbox.new(), lock = lock.new(), terminal = plan.pty and terminals.new() or nil,
    patience = patience.new(core.now(), request.boot_timeout or SLOW, plan.limits and plan.limits.timeout),
  }, Job)
  if plan.kept then self.position = type(plan.from) == "number" and plan.from or plan.from ~= "now" and 0 or nil end
  local source, message, code
  if plan.stdin ~= nil then
    source, message, code = feeder.new(plan.stdin)
    if not source then
      transport:close()
      return nil, message, code
    end
  end
  transports.send(transport, request)
  self.source = source
  if source and not source.calls then input.feed(self, protected) else deliver(self, protected) end
  if plan.on_exit and not plan.wait then attend(self) end
  return self
end

return M
