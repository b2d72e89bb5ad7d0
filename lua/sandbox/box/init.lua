-- SPDX-License-Identifier: MIT
--- A sandbox that stays: programs are started in it one after the other or at once, files go in and out.
--
-- Its first process is our helper. Each program has a supervisor of its own, which speaks to the sentry directly; the box has
-- one, too, which holds what is the box's. That one's connection is a plain descriptor in every host, for a box belongs to no
-- request and no coroutine.
-- @module sandbox.box
local core = require "sandbox.core"
local errors = require "sandbox.errors"
local loaders = require "sandbox.pool.prepared"
local options_plan = require "sandbox.options.plan"
local exec = require "sandbox.run.exec"
local kept = require "sandbox.box.kept"
local network = require "sandbox.run.network"
local programs = require "sandbox.box.program"
local request = require "sandbox.run.request"
local runtime = require "sandbox.machine.runtime"
local shared = require "sandbox.box.shared"
local terminal = require "sandbox.run.terminal"

local M = {}

local EVENTS_SECONDS = 10 -- within which a program's result has the last events of its time
local NETWORK_SECONDS = 10 -- within which a box that is killed has said what its network has seen
local known = {} -- by the path of the binary

local Box = {}
Box.__index = Box
for _, part in ipairs{ "sandbox.box.files", "sandbox.box.connect", "sandbox.box.control", "sandbox.box.lease", "sandbox.box.carry" } do
  for name, method in pairs(require(part)) do Box[name] = method end
end
for name, method in pairs(require("sandbox.box.snapshot").methods) do Box[name] = method end
for name, method in pairs(kept.methods) do Box[name] = method end

-- What a box is made of: plan, runtime, request, defaults of its programs; or nil, message, code.
local function make(host, options, pooled)
  local checked = pooled.checked or options_plan.box(options, host.defaults)
  checked.plan.box = true
  local plan, rt, code = host.prepare(checked.plan)
  if not plan then return nil, rt, code end
  plan.idle_timeout, plan.keep, plan.quiet = checked.idle_timeout, checked.keep, true
  plan.program = { argv = pooled.argv, env = checked.usual.env, cwd = checked.usual.cwd }
  plan.cpus_later = pooled.single and plan.limits.cpus and true or nil -- what prepares the box for its program is not throttled
  local req, message
  req, message, code = request.build(plan, rt, plan.id)
  if req and plan.keep then req.hold, message, code = shared.hold(plan, rt, checked.usual) end
  if not req or plan.keep and not req.hold then return nil, message, code end
  -- Who we are was asked for the runtime; none but our own code runs until the box is started, unless the caller's has its say.
  return { plan = plan, rt = rt, usual = checked.usual, req = req, runsc = core.stat(rt.runsc), identity = not plan.spec and rt.identity or nil }
end

-- What is around an id in a request: a look through some kilobytes takes longer than all else of another such box.
local function around(bytes, id)
  local parts, at = {}, 1
  local from, to = bytes:find(id, 1, true)
  while from do
    parts[#parts + 1] = bytes:sub(at, from - 1)
    at = to + 1
    from, to = bytes:find(id, at, true)
  end
  parts[#parts + 1] = bytes:sub(at)
  return parts
end

-- The same once more under another id; nil where there is nothing to be had again, or runsc is another by now.
local function make_again(pooled)
  local last = pooled.last
  local runsc = last and core.stat(last.rt.runsc)
  if not runsc or not last.runsc or runsc.ino ~= last.runsc.ino or runsc.mtime ~= last.runsc.mtime then return nil end
  local made, plan, id = {}, {}, core.random_hex(16)
  for k, v in pairs(last) do made[k] = v end
  for k, v in pairs(last.plan) do plan[k] = v end
  plan.id, plan.began, plan.done = id, core.now(), nil
  made.plan, made.identity = plan, nil
  made.req = {}
  for k, v in pairs(last.req) do made.req[k] = v end
  made.around = last.around or { r = around(last.req.r, last.plan.id), config = around(last.req.config, last.plan.id) }
  if plan.keep then made.req.hold = shared.hold(plan, last.rt, last.usual) end
  made.req.id, made.req.r, made.req.config = id, table.concat(made.around.r, id), table.concat(made.around.config, id)
  return made
end

local function boot(host, made, delay, single)
  local plan, rt = made.plan, made.rt
  local job, message, code = host.launch(plan, delay and request.delayed(made.req, delay) or made.req, true, nil, made.identity)
  if not job then return nil, message, code end
  return setmetatable({ host = host, job = job, plan = plan, rt = rt, usual = made.usual, id = plan.id, dir = rt.state_dir .. "/run-" .. plan.id,
                        uses = 0, running = 0, single = single, shared = plan.keep and true, made = not plan.spec and made or nil }, Box)
end

--- Starts to boot a box; never waits.
-- @tparam table host the instance's services: `prepare(plan)`, `launch(plan, request, plain)`
-- @tparam table options
-- @tparam[opt] table pooled what a pool keeps for its boxes, which are all alike: { single = each serves one program, last = what the
-- last one was made of }; or, of a run in a box of its own, { checked = the options, as `options.plan.once` gives them, argv = of its
-- program }
-- @number[opt] delay seconds to leave the machine to others before the boot
-- @treturn Box or nil, message, code
function M.begin(host, options, pooled, delay)
  pooled = pooled or {}
  local made, message, code = make_again(pooled), nil, nil
  if not made then made, message, code = make(host, options, pooled) end
  if not made then return nil, message, code end
  pooled.last = not made.plan.spec and made or nil -- a function of the caller's has its say about each
  local box
  box, message, code = boot(host, made, delay, pooled.single)
  return box, message, code
end

--- Attaches to a box that was started with `keep`, by this process or another one of the same user. Waits.
-- @tparam table host the instance's services
-- @string id
-- @treturn Box or nil, message, code
function M.attach(host, id)
  local found, message, code = shared.find(host, id)
  if not found then return nil, message, code end
  local transport, why = kept.dial(found.path, host.options.wait)
  if not transport then return nil, "the box cannot be attached to: " .. why, "not_found" end
  local plan = found.plan
  plan.id, plan.runtime, plan.clock, plan.began, plan.keep, plan.spared = id, found.rt, core.now, core.now(), found.keep, true
  local job
  job, message, code = host.launch(plan, { id = id, hold = shared.JOIN, boot_timeout = found.rt.boot_timeout }, true, transport)
  if not job then return nil, message, code end
  local box = setmetatable({ host = host, job = job, plan = plan, rt = found.rt, usual = found.usual, id = id, dir = found.dir, uses = 0, running = 0,
                             shared = true, attached = true }, Box)
  local ok
  ok, message, code = box:wait_ready()
  if ok then return box end
  box:close()
  return nil, message, code
end

--- For the parts of boxes: starts to boot another of the same options; never waits.
-- @treturn Box or nil, message, code
function Box:another()
  local made = make_again{ last = self.made }
  if not made and self.attached then
    return nil, "only who started the box knows all of its options: box:snapshot and sandbox.restore make another one of it", "not_supported"
  elseif not made then
    return nil, self.made and "runsc is another by now than the one that the box was started with" or "a function `spec` had the last word on the box",
      "not_supported"
  end
  local box, message, code = boot(self.host, made)
  return box, message, code
end

-- Lets go of the supervisor that waits for a program.
local function disarm(self)
  if self.armed then self.armed:close() end
  self.armed = nil
end

--- Whether it has booted: true, false while it does, or nil, message, code.
-- @treturn boolean
function Box:ready()
  if self.stopped then return nil, self.returned and "the box went back to its pool" or "the box is stopped", "closed" end
  self.job:step()
  if self.job.ended then
    disarm(self)
    local r = self.job.result
    if not r and not self.job.started then return nil, self.job.message, self.job.code end -- it has never been
    if not r then return nil, "the box has died: " .. tostring(self.job.message), "closed" end
    return nil, "the box has died: " .. tostring(r.message or r.status), "closed"
  end
  return self.job.started ~= nil
end

--- Waits until it has booted.
-- @number[opt] timeout
-- @treturn boolean true, or nil, message, code
function Box:wait_ready(timeout)
  local limit = timeout and core.now() + timeout
  while true do
    local ready, message, code = self:ready()
    if ready then return true end
    if ready == nil then return nil, message, code end
    local left = limit and limit - core.now()
    if left and left <= 0 then return nil, "the box still boots", "timeout" end
    self.job.transport:wait(math.min(left or 1, 1), self.job.plan.wait)
  end
end

local explain, finish, probe -- below

-- Programs --------------------------------------------------------------------------------------------------------------

-- The connection of a box is another's to wait for; a word to it never waits. `ours`: so many processes of ours are at a program's side.
local function tell(self, busy, ours)
  for _ = 1, ours or 1 do
    if not self.job.ended then self.job.transport:send("B", busy and "\1" or "\0") end
  end
end

-- The supervisor that waits for a program, if it still does.
local function take_armed(self)
  local transport = self.armed
  self.armed = nil
  if transport and transport:recv() == nil then
    transport:close()
    return nil
  end
  return transport
end

local function pid_of(self) return self.job.started and tonumber(self.job.started.pid) end

-- A supervisor that is attached to the box, or will be as soon as that has booted: `ahead`, right after the box's own was started.
-- (`runsc exec` has no such thing.)
local function attach(self, warm, ahead)
  local transport = self.host.connect(ahead)
  if transport then transport:send("A", exec.attach(self, pid_of(self), warm)) end
  return transport
end

--- Has a supervisor attached ahead of the next program, which is started the sooner.
-- @bool[opt] ahead the box was begun right before, and still boots
function Box:arm(ahead)
  if self.armed or self.cli ~= false or self.stopped or self.host.owns_connections() then return end
  self.armed = attach(self, false, ahead)
end

--- For pools: the same while it still boots; then our helper is run in it, for a first program is slower than the next.
-- @treturn boolean whether that can be done: where it is known by now that the control socket answers
function Box:arm_ahead()
  self.armed = self:answers() and attach(self, true, true) or nil
  return self.armed ~= nil
end

--- For pools: whether it is armed by now: true, false, or nil where that went wrong.
-- @treturn boolean
function Box:is_armed()
  if not self.armed then return nil end
  local more = self.armed:recv()
  local kind = self.armed:next()
  if kind == "S" then return true end
  if kind or more == nil then
    disarm(self)
    return nil
  end
  return false
end

-- Who waits for a program takes what its box has to tell of the network, where somebody wants to be told.
local function look_beside(self, job)
  job.beside = type(self.plan.network) == "table" and (self.plan.on_network or job.plan.on_network) and self.job or nil
end

-- What the box's network sees while the program runs: told, and in its result.
local function watch_network(self, job)
  local box = self.job
  box.network = box.network or network.record()
  job.network = network.span(box.network, function(event)
    local f = job.plan.on_network
    if f and f ~= self.plan.on_network then job.inbox:put({ f = f, r = event }) end
  end)
  job.settle = function(r, x)
    local limit = core.now() + EVENTS_SECONDS
    while r.network and not network.settle(box.network, job.network, x) and not box.ended and core.now() < limit do
      box:step()
      if not network.settle(box.network, job.network, x) then box.transport:wait(1, box.plan.wait) end
    end
    if r.network then network.give_up(box.network, x) end
  end
  look_beside(self, job)
end

--- For the parts of boxes: starts a program.
-- @tparam table plan
-- @tparam {string,...} argv its own, or our helper's
-- @bool[opt] alone the helper becomes the program
-- @bool[opt] plain it belongs to no request
-- @bool[opt] ahead the box may still boot
-- @treturn Job or nil, message, code
function Box:exec(plan, argv, alone, plain, ahead)
  if self.paused and not self.shared then return nil, "the box is paused: nothing can be started in it before box:resume()", "paused" end
  local pid = pid_of(self)
  local req, message, code = exec.exec(plan, self, argv, pid, argv == plan.argv, alone)
  if not req then return nil, message, code end
  if plan.kept then req.hold = kept.program(self, plan) end
  local ours = plan.pty and 1 + terminal.beside(self.rt) or 1
  tell(self, true, ours)
  self.uses, self.running = self.uses + 1, self.running + 1
  plan.done = function()
    self.running = self.running - 1
    if not self.stopped then tell(self, false, ours) end
  end
  local transport
  if ahead then transport = attach(self, false, true) elseif not plan.kept then transport = take_armed(self) end
  local job
  job, message, code = self.host.launch(plan, req, plain, transport)
  if not job then plan.done(nil, message, code) end
  if job and type(self.plan.network) == "table" then watch_network(self, job) end
  if job and not self.single then self:arm() end
  return job, message, code
end

-- A box that is one program's gets the limits which that one has.
local function lease_box(self, plan)
  local limits = self.plan.limits
  local pids, helper = plan.limits.pids, plan.limits.pids ~= limits.pids or plan.user.uid ~= self.plan.user.uid
  if not self.single or not (self.plan.cpus_later or plan.limits.memory ~= limits.memory or plan.limits.cpus ~= limits.cpus or helper) then return true end
  if plan.limits.cpus ~= limits.cpus and self.job.started.quota ~= "1" then
    if not plan.limits.best_effort then
      return nil, "limits.cpus of a lease needs a cpu cgroup (the pool's own is held by whole cores); or set limits.best_effort", "limit_unavailable"
    end
    plan.unenforced = plan.unenforced or {}
    plan.unenforced.cpus = true
  end
  if not self.job.ended then self.job.transport:send("L", exec.lease_box(plan, pids)) end
  return true
end

--- For pools: a prepared program that waits for its lease is no work, and one that has it is.
-- @bool busy
function Box:tell(busy) tell(self, busy) end

--- For pools: starts a program that belongs to no request.
-- @tparam table options
-- @bool prepared it waits for its lease: with no limits of time and output until then
-- @bool[opt] ahead while the box still boots, where it answers; else it is ready
-- @treturn Job or nil, message, code
function Box:begin_program(options, prepared, ahead)
  if self.cli == nil and not ahead then probe(self) end
  local plan = options_plan.program(self, options, prepared)
  local ok, message, code = programs.ask(self, plan)
  if not ok then return nil, message, code end
  plan.quiet, plan.stdin_open, plan.spawn, plan.prepared = true, prepared, prepared, prepared
  plan.files, plan.collect, plan.on_stdout, plan.on_stderr, plan.on_network = {}, nil, nil, nil, nil -- an instance's defaults are for what it serves
  if prepared then plan.limits.output, plan.limits.cpu_time = nil, nil end
  local argv, alone = programs.argv(self, plan)
  local job
  job, message, code = self:exec(plan, argv, alone, true, ahead)
  return job, message, code
end

-- A directory of the host's that is not there is told before the program runs.
local function check_into(plan)
  local into = plan.collect and plan.collect.into
  if not into then return true end
  local st, why = core.stat(into)
  if st and st.type == "directory" then return true end
  return nil, "collect.into " .. (st and into .. " is no directory" or why), "bad_rootfs"
end

--- For pools: gives a prepared program its code, and waits for its end.
-- @tparam Job job
-- @tparam table plan of `options.plan.lease`
-- @tparam table past where `started` tells afterwards whether it has got them
-- @treturn table result, or nil, message, code
function Box:lease(job, plan, past)
  local ok, message, code = check_into(plan)
  if ok and job:step() then ok, message, code = nil, "the box has died", "closed" end
  if ok then ok, message, code = lease_box(self, plan) end
  if ok then ok, message, code = self:put_files(plan.files) end
  if not ok then
    job:close()
    return explain(self, nil, message, code)
  end
  past.started = true
  tell(self, true)
  local code_bytes = loaders.encode(plan.code, plan.code_argv)
  job:lease(plan, exec.lease(plan, job.said == loaders.APART and #code_bytes or 0), code_bytes, plan.input)
  look_beside(self, job)
  local r, raised
  r, message, code, raised = finish(self, job)
  if r and plan.collect then self:collect_into(r, plan.collect) end
  return r, message, code, raised
end

--- For pools: whether it is known by now, without asking, that this build's control socket answers.
-- @treturn boolean
function Box:answers()
  local control = self.host.control
  if self.cli == nil and control ~= "auto" then self.cli = control == "runsc" end
  if self.cli == nil and known[self.rt.runsc] ~= nil then self.cli = not known[self.rt.runsc] end
  return self.cli == false
end

-- The same, and where it is not known it is asked: once in each process.
function probe(self)
  if self:answers() or self.cli then return end
  self.cli = false
  local list, _, code = self:processes()
  if not list and code == "closed" then return end -- it has died, which says nothing about the socket
  known[self.rt.runsc] = list ~= nil
  self.cli = not list
end

--- For the parts of boxes: waits until it has booted, and it is known how to speak to it.
-- @treturn boolean true, or nil, message, code
function Box:await()
  local ok, message, code = self:wait_ready()
  if ok and self.cli == nil then probe(self) end
  return ok, message, code
end

-- What a program says whose box may have gone, and seconds within which the box's own supervisor, which knows of what, says it, too.
local SYMPTOMS = { closed = 10, runsc_failed = 0.5 }

-- A program whose box has gone knows less of it than the box's own supervisor does, a moment later.
function explain(self, r, message, code)
  if r or not SYMPTOMS[code] or self.stopped then return r, message, code end
  self.job:wait_gone(SYMPTOMS[code])
  local _, why, kind = self:ready()
  return nil, why or message, kind or code
end

--- For the parts of boxes: what a call comes to whose box may have died of something else meanwhile, which the message then says.
-- @param value nil: it failed
-- @string message
-- @string code
-- @return value, message, code
function Box:outcome(value, message, code)
  if value ~= nil or code == "paused" or self.stopped then return value, message, code end
  local alive, why, kind = self:ready()
  if alive == nil then return nil, why, kind end
  return explain(self, nil, message, code)
end

-- Waits for a program's end. A pool begins to replace the sandbox while it waits.
function finish(self, job)
  if self.meanwhile then self.meanwhile() end
  local r, message, code, raised = job:finish()
  job:close()
  return r, message, code, raised
end

local function start_program(self, options, spawning, past)
  local plan
  if past and past.plan then -- checked by its pool; it serves once
    plan, past.plan = options_plan.seat(past.plan, self), nil
  else
    plan = options_plan.program(self, options, spawning)
  end
  local ok, message, code = check_into(plan)
  if ok then ok, message, code = self:await() end
  if ok then ok, message, code = programs.ask(self, plan) end
  if not ok then return nil, message, code end
  if past then
    plan.began, plan.queue_duration = past.began or plan.began, past.queued
    plan.boot_before = past.boots and tonumber(self.job.started.boot_duration) or nil
  end
  ok, message, code = programs.check(self, plan)
  if ok then ok, message, code = runtime.check_ambient(plan, self.rt) end
  if not ok then return nil, message, code end
  ok, message, code = lease_box(self, plan)
  if not ok then return nil, message, code end
  ok, message, code = self:put_files(plan.files, plan.user)
  if ok and past and past.unpack then ok, message, code, past.refused = self:unpack_work(past.unpack, plan.user) end
  if not ok then return nil, message, code end
  if spawning and plan.stdin == nil then plan.stdin_open = true end
  plan.spawn = spawning
  if plan.detach then ok, message, code = kept.make_room(self, plan.name) end
  if not ok then return nil, message, code end
  plan.kept = plan.detach or nil
  local argv, alone = programs.argv(self, plan)
  local job
  job, message, code = self:exec(plan, argv, alone, plan.kept) -- it belongs to no request
  if job and plan.kept then job:await_known() end -- whoever asks for it next finds it
  if past then past.told = job ~= nil end
  return job, message, code, plan
end

--- As `run`, but what a callback raised is a fourth value.
-- @tparam table options
-- @tparam[opt] table past { began = when the caller asked, queued = seconds of waiting for a turn, plan = of these options where they were
-- checked already, boots = whether the boot is this program's; of stages, unpack = what /work is to hold, pack = { max_bytes=, max_files= } of what goes on }; gets `started`,
-- whether the program was, `told`, whether it is counted, `packed`, and `refused`, why the guest's /work cannot go on
function Box:attempt(options, past)
  local job, message, code, plan = start_program(self, options, false, past)
  if not job then
    local _, why, kind = explain(self, nil, message, code)
    return nil, why, kind
  end
  local r, raised
  r, message, code, raised = finish(self, job)
  if past then past.started = job.started ~= nil end
  if raised then return nil, nil, nil, raised end
  r, message, code = explain(self, r, message, code)
  if r and plan.collect then self:collect_into(r, plan.collect, plan.user) end
  if r and r.ok and past and past.pack then
    past.packed, message, code, past.refused = self:pack_work(plan.user, past.pack.max_bytes, past.pack.max_files)
    if message then return nil, message, code end
  end
  return r, message, code
end

--- Runs a program in the box to its end.
-- @tparam table options argv, stdin, files, collect, env, cwd, stderr, callbacks, and the limits of one program
-- @treturn table result, or nil, message, code
function Box:run(options)
  local r, message, code, raised = self:attempt(options)
  if raised then error(raised.value, 0) end
  return r, message, code
end

--- Starts a program in the box and gives its job. It has the box's limits for its programs; where the box was given no timeout, none.
-- @tparam table options as of `run`, without collect
-- @tparam[opt] table past for pools: as of `attempt`
-- @treturn Job or nil, message, code
function Box:spawn(options, past)
  if (past or self.back) and type(options) == "table" and options.detach then
    errors.raise "detach: a pool's sandbox goes back to it; a box of its own has such programs"
  end
  local job, message, code = start_program(self, options, true, past)
  if not job then return explain(self, nil, message, code) end
  job.reach = function(_, port, seconds)
    local stream, why, kind = self:connect(port, seconds)
    return stream, why, kind
  end
  return job
end

-- What the network of a box that was one program's has seen: the box says it with its end. What its callback raised, if it did.
local function take_network(self, r)
  if type(self.plan.network) ~= "table" then return end
  self.job:kill()
  local whole, _, _, raised = self.job:finish(NETWORK_SECONDS)
  if whole then r.network, r.network_exceeded = whole.network, whole.network_exceeded end
  return raised
end

--- A run whose files are collected: a box of its own, for what its program left must be read before the sandbox goes.
-- @tparam table host the instance's services
-- @tparam table checked of `options.plan.once`
-- @tparam table past of `Box:attempt`
-- @return result, or nil, message, code; what a callback raised is a fourth value
function M.run_once(host, checked, past)
  local self, message, code = M.begin(host, nil, { checked = checked.box, argv = checked.program.argv })
  if not self then return nil, message, code end
  self.single, self.once = true, true -- nobody else's, and nobody's after this
  past.plan = checked.program
  if self:answers() then self:arm(true) end
  local r, raised
  r, message, code, raised = self:attempt(nil, past)
  if r then raised = take_network(self, r) or raised end
  self:close()
  return r, message, code, raised
end

-- The box itself --------------------------------------------------------------------------------------------------------

-- What has ended in time has, though `runsc exec` takes its time to say so: seconds at most, for nobody may read what a job holds back.
local TELL_SECONDS = 2

--- Ends the box and waits until nothing of it is left. Once more does no harm.
-- @number[opt] grace seconds between TERM to its processes and the end
-- @treturn boolean true
function Box:stop(grace)
  if grace ~= nil and (type(grace) ~= "number" or not (grace >= 0 and grace <= 1e9)) then errors.argument(1, "stop", "seconds", grace) end
  if not self.stopped and grace and grace > 0 and (self:ready() or self.running > 0) then
    local limit = core.now() + grace
    for _, p in ipairs(self:processes() or {}) do self:signal(p.pid, "TERM") end
    while core.now() < limit and #(self:processes() or {}) > 0 do self.host.sleep(0.02) end
    limit = math.min(limit, core.now() + TELL_SECONDS)
    while core.now() < limit and self.running > 0 do
      self.host.pump()
      if self.running > 0 then self.host.sleep(0.01) end
    end
  end
  local back, returned = self.back, self.returned
  self.stopped, self.back = true, nil
  if returned then return true end
  disarm(self)
  self.job:kill()
  self.job:wait_gone()
  self.job:close()
  if back then back(self, true) end
  return true
end

--- For the parts of boxes: ends one that came to nothing, with `keep` as well; does not wait.
function Box:discard()
  self.job:kill()
  self:close()
end

--- Ends the box; does not wait. One that a pool has leased goes back to it, and one with `keep` is let go of, for others.
function Box:close()
  local back, returned = self.back, self.returned
  self.stopped, self.back = true, nil
  if back then
    self.returned = true
    return back(self, self.paused or self.running > 0)
  end
  if returned then return end
  disarm(self)
  self.job:close()
end
Box.__close = Box.close

function Box:__tostring()
  self:ready() -- what has come by now is taken in, so that a dead one is not called ready
  return ("sandbox.box %s (%s)"):format(self.id,
    self.returned and "returned" or self.stopped and "stopped" or self.job.ended and "dead" or self.paused and "paused" or self.job.started and "ready" or "booting")
end

errors.guard(Box, "box")

return M
