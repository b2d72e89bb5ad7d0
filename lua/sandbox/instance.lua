-- SPDX-License-Identifier: MIT
--- An instance: options, defaults, a queue, metrics, and the jobs it has started.
-- @module sandbox.instance
local core = require "sandbox.core"
local errors = require "sandbox.errors"
local options_plan = require "sandbox.options.plan"
local snapshot = require "sandbox.box.snapshot"
local request = require "sandbox.run.request"
local oci = require "sandbox.run.oci"
local runtime = require "sandbox.machine.runtime"
local queue = require "sandbox.run.queue"
local files = require "sandbox.run.files"
local feasible = require "sandbox.run.feasible"
local lock = require "sandbox.hosts.lock"
local metrics = require "sandbox.machine.metrics"
local result = require "sandbox.run.result"
local job_module = require "sandbox.run.job"
local transport = require "sandbox.hosts.transport"
local wait = require "sandbox.hosts.wait"
local box_module = require "sandbox.box"
local image = require "sandbox.image"
local volumes = require "sandbox.run.volumes"
local dial = require "sandbox.box.dial"

local M = {}

local Instance = {}
Instance.__index = Instance
for name, method in pairs(require "sandbox.run.several") do Instance[name] = method end
for name, method in pairs(image.methods) do Instance[name] = method end
for name, method in pairs(volumes.methods) do Instance[name] = method end

--- Makes an instance.
-- @tparam[opt] table options see the README; a wrong one raises
-- @treturn Instance
function M.new(options)
  local checked = options_plan.instance(options == nil and {} or options)
  local self = {
    options = checked, given = options == nil and {} or options, new = M.new, closed = false, jobs = setmetatable({}, { __mode = "k" }), kept = {}, leaving = {},
    queue = queue.new(checked, core.now), counts = metrics.new(), stops = lock.new(),
  }
  return setmetatable(self, Instance)
end

-- Tells the logger; what it raises is its own affair.
local function log(self, level, message, fields)
  local logger = self.options.logger
  if logger then pcall(logger, level, message, fields or {}) end
end

local function sleep(self, seconds)
  if self.options.wait then self.options.wait(-1, "r", seconds) else wait.sleep(seconds) end
end

-- Starts a job for a request that is ready; `armed`: over a connection that is there; `identity`: of transport.connect.
local function start(self, plan, req, plain, armed, identity)
  local conn, message, code = armed, nil, nil
  if conn and not plain and transport.owns_connections() then
    conn:close()
    conn = nil
  end
  if not conn then conn, message, code = transport.connect(plain, false, identity) end
  if not conn then return nil, message, code or "system" end
  plan.wait = self.options.wait
  plan.complain = function(err) log(self, "error", "a callback failed: " .. tostring(err), { id = plan.id }) end
  local job
  job, message, code = job_module.start(conn, plan, req)
  return job, message, code
end

-- A job of our own from its start to its end: probes and sweeps.
local function execute(self, plan, req, message, code)
  if not req then return nil, message, code end
  local job
  job, message, code = start(self, plan, req)
  if not job then return nil, message, code end
  local r
  r, message, code = job:wait()
  job:close()
  return r, message, code
end

-- What finding out about this machine needs of us. `waited`: others went on meanwhile.
local function environment(self, use)
  local env = { core = core, options = self.options, use = use }
  function env.sleep(seconds)
    env.waited = true
    sleep(self, seconds)
  end
  function env.execute(plan, req, ...)
    env.waited = true
    local r, why, kind = execute(self, plan, req, ...)
    return r, why, kind
  end
  return env
end

local function get_runtime(self, use)
  local env = environment(self, use)
  local rt, message, code = runtime.get(env)
  if rt and env.waited then rt.identity = nil end
  return rt, message, code
end

-- What is given by name has to be had: builds without ambient capabilities take them from everybody but uid 0 with the first execve.
local function check_ambient(self, plan, rt)
  if plan.bundle or #plan.capabilities == 0 or plan.root_writes or plan.user.uid == 0 and not plan.box then return true end
  local message, code
  rt.identity = nil -- it may be waited
  rt.ambient, message, code = runtime.ambient(environment(self), rt)
  if message and code ~= "bad_command" then return nil, message, code end -- without cat it is not known
  return runtime.check_ambient(plan, rt)
end

-- Launching -------------------------------------------------------------------------------------------------------------

-- Until nothing of those is left.
local LEAVE_SECONDS = 15
local function wait_left(self)
  local limit = core.now() + LEAVE_SECONDS
  for _, dir in ipairs(self.leaving) do
    while core.lstat(dir) and core.now() < limit do sleep(self, 0.005) end
  end
  self.leaving = {}
end

-- A plan with what it needs to know of this machine: the plan and the runtime, or nil, message, code.
local function prepare(self, plan)
  plan.clock, plan.began = core.now, core.now()
  local ok, message, code = feasible.check_host(plan)
  if not ok then return nil, message, code end
  local rt
  rt, message, code = get_runtime(self, plan.box and "box" or nil)
  if not rt then return nil, message, code end
  ok, message, code = feasible.check_runtime(plan, rt)
  if ok then ok, message, code = check_ambient(self, plan, rt) end
  if not ok then return nil, message, code end
  volumes.place(plan, volumes.dir(self.options, rt.state_dir))
  plan.runtime, plan.id, plan.held = rt, core.random_hex(16), image.held(self.options, plan)
  return plan, rt
end

local function started(self, plan)
  self.counts:start()
  log(self, "debug", "started", { id = plan.id })
end

local function ended(self, plan, r, message, code)
  self.counts:finish(r, code)
  if r then
    log(self, "info", "ended: " .. r.status, { id = plan.id, status = r.status, exit_code = r.exit_code, duration = r.duration })
  else
    log(self, "error", tostring(message), { id = plan.id, code = code })
  end
end

-- A run that has told its result is cleaned up behind that: its directory goes last.
local MANY = 32
local function leaves(self, plan)
  local leaving = self.leaving
  if #leaving >= MANY then
    local still = {}
    for _, dir in ipairs(leaving) do
      if core.lstat(dir) then still[#still + 1] = dir end
    end
    self.leaving, leaving = still, still
  end
  leaving[#leaving + 1] = plan.runtime.state_dir .. "/run-" .. plan.id
end

-- Called once, when the job's end is known.
local function finisher(self, plan, token)
  local done = false
  return function(r, message, code)
    if done then return end
    done = true
    self.queue:release(token)
    self.kept[plan.id] = nil
    leaves(self, plan)
    ended(self, plan, r, message, code)
  end
end

local function fail(self, message, code)
  self.counts:finish(nil, code)
  log(self, "error", tostring(message), { code = code })
  return nil, message, code
end

-- Waits for a turn to run: the token, the seconds that took, and whether it was waited at all; or nil, message, code.
local function take_turn(self)
  local asked, waited = core.now(), false
  local token, message, code = self.queue:acquire(function(seconds)
    waited = true
    sleep(self, seconds)
    M.pump(self)
  end, function() return self.closed end)
  if not token then return nil, message, code end
  return token, core.now() - asked, waited
end

local function try_launch(self, options, spawning)
  if self.closed then return nil, "the instance is closed", "closed" end
  local plan, rt, code = prepare(self, options_plan.run(options, self.options.defaults, { spawning = spawning }))
  if not plan then return fail(self, rt, code) end
  if plan.volumes and not spawning then wait_left(self) end -- who has told its end may still have one
  if spawning and plan.stdin == nil then plan.stdin_open = true end
  plan.spawn, plan.hold = spawning, image.hold_of(options)
  local req, message
  req, message, code = request.build(plan, rt, plan.id)
  if not req then return fail(self, message, code) end
  local token, queued, waited = take_turn(self)
  if not token then return fail(self, queued, waited) end
  plan.queue_duration, plan.token = queued, token
  plan.done = finisher(self, plan, token)
  local job
  -- Who we are was asked for the runtime; nothing of the caller's has run since, but where it has a say or others were waited for.
  job, message, code = start(self, plan, req, nil, nil, not plan.spec and not waited and rt.identity or nil)
  if not job then
    plan.done(nil, message, code)
    return nil, message, code
  end
  started(self, plan)
  self.jobs[job] = plan.id
  if plan.on_exit then self.kept[plan.id] = job end -- nobody else may hold it until it has told of its end
  return job
end

local function launch(self, options, spawning)
  local job, message, code = try_launch(self, options, spawning)
  if not job then image.let_go(options) end
  return job, message, code
end

local PUMP = 0.01 -- seconds between two looks

--- Lets the jobs that nobody waits for see their own end, where that can be done from outside.
-- @tparam Instance self
function M.pump(self)
  if rawget(_G, "ngx") then return end -- a cosocket belongs to its request
  local now = core.now()
  if now - (self.pumped or 0) < PUMP then return end
  self.pumped = now
  for job in pairs(self.jobs) do pcall(job.take, job) end
end

-- Whether a file is to lie among the host's own, which we can only cover where what is written is kept in our store.
local function among_host(plan, rt)
  if plan.readonly or plan.rootfs ~= "host" or oci.disk_by(plan, rt) == "store" then return false end
  for _, file in ipairs(plan.files) do
    if files.in_root(file.path, plan.mounts) then return true end
  end
  return false
end

-- Whether files are put in place from inside a box. As an ordinary user that is quicker for many of them than to give each away (run/owner.lua).
local function given_inside(self, options)
  local given = options.files or self.options.defaults.files
  if options.bundle or type(given) ~= "table" or next(given) == nil then return false end
  local rt = get_runtime(self)
  local plan = rt and options_plan.try("run", options, self.options.defaults)
  if not plan or plan.spec then return false end
  return rt.rootless and plan.user.uid ~= 0 and oci.disk_by(plan, rt) ~= "overlay" or among_host(plan, rt)
end

-- Whether what the program orphans is to be reaped: where somebody counts processes, unless he says otherwise, or hears of its network
-- as it happens.
local function wants_init(self, options)
  if options.init ~= nil or options.bundle then return options.init end
  if options.on_network or self.options.defaults.on_network then return nil end
  local own, default = options.limits, self.options.defaults.limits
  local pids = type(own) == "table" and own.pids
  if pids == nil or type(own) ~= "table" then pids = default and default.pids end
  return pids
end

-- Whether a run needs our helper in its sandbox.
local function needs_helper(self, options)
  return options.collect or self.options.defaults.collect and not options.bundle or wants_init(self, options) or given_inside(self, options)
end

--- Runs a program to its end.
-- @tparam table options
-- @treturn table result, or nil, message, code
function Instance:run(options)
  local wrong, kind
  options, wrong, kind = image.resolve(self:services(), "run", options)
  if wrong then return nil, wrong, kind end
  if type(options) == "table" and needs_helper(self, options) then
    local r, message, code = self:run_collecting(options)
    image.let_go(options)
    return r, message, code
  end
  local job, message, code = launch(self, options, false)
  if not job then return nil, message, code end
  local r
  r, message, code = job:wait()
  job:close()
  return r, message, code
end

--- Starts a program and gives its job at once; a start error comes from the first `read` or `wait`.
-- @tparam table options
-- @treturn Job or nil, message, code
function Instance:spawn(options)
  local wrong, kind
  options, wrong, kind = image.resolve(self:services(), "run", options, true)
  if wrong then return nil, wrong, kind end
  local job, message, code = launch(self, options, true)
  if job then job.reach = dial.of_job(self:services()) end
  return job, message, code
end

--- The OCI spec of a run, as a table. `runtime` and directories are those of this machine.
-- @tparam table options
-- @treturn table or nil, message, code
function Instance:spec(options)
  local plan = options_plan.run(options, self.options.defaults)
  local rootless = runtime.expected_rootless(core, self.options)
  local dir = self.options.state_dir or runtime.default_state_dir(core)
  local base, message, kind = runtime.expected_map_base(core, self.options, rootless, dir)
  if not rootless and not base then return nil, message, kind end
  volumes.place(plan, volumes.dir(self.options, dir))
  local spec, why, code = request.spec(plan, { rootless = rootless, map_base = base }, dir .. "/run-ID")
  if not spec then return nil, why, code end
  return spec
end

--- Checks options; never raises, whatever they are.
-- @tparam table options
-- @tparam[opt] table how { client = true }: what names anything of this host is refused, for services that pass on what came in
-- @treturn boolean true, or nil, message, "bad_option"
function Instance:check(options, how)
  if getmetatable(self) ~= Instance then return nil, "bad self: call sb:check(…) with a colon", "bad_option" end
  local asked, message, code = options_plan.never("call", "check", how)
  local plan = asked
  if asked then plan, message, code = options_plan.never("run", options, self.options.defaults, asked) end
  if not plan then return nil, message, code end
  return true
end

--- What will be written to a run's cgroups, file by file, on this machine.
-- @tparam[opt] table limits
-- @treturn {table,...} of { file=, value=, version= }; empty where this machine has no cgroups
function Instance:cgroup_entries(limits)
  local checked = options_plan.limits(limits == nil and {} or limits, self.options.defaults.limits)
  return require("sandbox.machine.cgroups").entries(checked, function() return (get_runtime(self)) end)
end

--- What is at work.
-- @treturn table { sandbox=, core=, runsc=, path=, platform=, rootless=, state_dir=, flags= }, or nil, message, code where there is no runsc
function Instance:version()
  local rt, message, code = get_runtime(self)
  if not rt then return nil, message, code end
  return { sandbox = M.VERSION, core = core.VERSION, runsc = rt.version, path = rt.runsc, platform = rt.platform, rootless = rt.rootless, state_dir = rt.state_dir,
           flags = rt.flags }
end

--- How many runs are going on.
-- @treturn integer
function Instance:active()
  return self.queue:active()
end

--- Removes what dead owners left in the state directory, and only that.
-- @treturn integer how many runs were removed, or nil, message, code
function Instance:cleanup_stale()
  if self.closed then return nil, "the instance is closed", "closed" end
  local dir, message, code = runtime.state_dir(core, self.options.state_dir)
  if not dir then return nil, message, code end
  local r
  r, message, code = execute(self, { mode = "sweep", limits = {} }, request.sweep(dir))
  if not r then return nil, message, code end
  return r.removed
end

--- Counters and histograms; `tostring` of them is what Prometheus reads.
-- @treturn table
function Instance:metrics()
  return self.counts:snapshot(self.queue:active(), self.queue:waiting())
end

--- What works on this machine, what does not, and how to mend it.
-- @treturn table { ok=, checks = { { name=, status=, text=, remedy= }, … } }; `tostring` of it is a report
function Instance:doctor()
  return require("sandbox.machine.doctor").examine(self)
end

local function each_job(self, f)
  local list = {}
  for job in pairs(self.jobs) do list[#list + 1] = job end
  for _, job in ipairs(list) do f(job) end
end

--- Stops all runs, in parallel, waits until nothing is left of them, and closes the instance. What was attached to goes on.
-- @number[opt] grace seconds between TERM and KILL; without it KILL at once
-- @treturn boolean true
function Instance:shutdown(grace)
  if grace ~= nil and (type(grace) ~= "number" or not (grace >= 0 and grace <= 1e9)) then
    errors.argument(1, "shutdown", "seconds", grace)
  end
  self.closed, self.stopping = true, true
  local token = self.stops:take() -- whoever is killed over it stops nothing
  if grace and grace > 0 then
    local deadline = core.now() + grace
    -- A box is no program, and ends with the last of its own.
    each_job(self, function(job) if not job.plan.box and not job.plan.spared then job:kill("TERM") end end)
    each_job(self, function(job) if not job.plan.box and not job.plan.spared then job:wait_gone(math.max(0, deadline - core.now())) end end)
  end
  each_job(self, function(job)
    if job.plan.spared then job:close() else job:kill() end
  end)
  each_job(self, function(job) job:wait_gone() end)
  wait_left(self)
  if next(self.jobs) then sleep(self, 0.001) end -- those that are told of an end are told by now
  self.kept = {}
  self.stopping = nil
  if token then self.stops:release(token) end
  return true
end

--- Closes the instance and kills its runs; does not wait. Boxes with `keep` are let go of.
function Instance:close()
  self.closed = true
  self.kept = {}
  each_job(self, function(job) job:close() end)
end

Instance.__close = Instance.close

-- Boxes and pools -------------------------------------------------------------------------------------------------------

-- One turn for f(past), which gives what a callback raised as its last value.
local function in_turn(self, f)
  if self.closed then return nil, "the instance is closed", "closed" end
  local began = core.now()
  local token, queued, kind = take_turn(self)
  if not token then return fail(self, queued, kind) end
  local a, b, c, d, raised = f{ began = began, queued = queued, boots = true }
  self.queue:release(token)
  if raised then error(raised.value, 0) end
  return a, b, c, d
end

-- What boxes and pools need of an instance.
local services
function services(self)
  if self.service then return self.service end
  self.service = {
    defaults = self.options.defaults, control = self.options.control, options = self.options,
    let_go = image.let_go,
    picture = function(options, spawning)
      local out, message, code = image.resolve(services(self), "run", options, spawning)
      return out, message, code
    end,
    runtime = function()
      local rt, message, code = get_runtime(self)
      return rt, message, code
    end,
    sleep = function(seconds) sleep(self, seconds) end,
    wait_left = function() wait_left(self) end,
    pump = function() M.pump(self) end,
    prepare = function(plan)
      local prepared, rt, code = prepare(self, plan)
      return prepared, rt, code
    end,
    connect = function(again) return (transport.connect(true, again)) end,
    in_turn = function(f)
      local a, b, c, d = in_turn(self, f)
      return a, b, c, d
    end,
    owns_connections = transport.owns_connections, later = wait.later, map = wait.map,
    fail = function(message, code)
      fail(self, message, code)
      return nil, message, code
    end,
    launch = function(plan, req, plain, armed, identity)
      if self.closed then return nil, "the instance is closed", "closed" end
      plan.wait = self.options.wait
      local job, message, code = start(self, plan, req, plain, armed, identity)
      if not job then return nil, message, code end
      local done = plan.done
      plan.done = function(r, why, kind)
        local present = job.plan -- a prepared program's is that of its lease
        if present ~= plan then started(self, present) end
        if not present.quiet then ended(self, present, r, why, kind) end
        if done then done(r, why, kind) end
      end
      if not plan.quiet then started(self, plan) end
      self.jobs[job] = plan.id
      return job
    end,
  }
  return self.service
end

--- For the parts of an instance: what they need of it.
-- @treturn table
function Instance:services() return services(self) end

--- Boots a box: a sandbox that stays, in which programs are run. Waits for the boot.
-- @tparam table options those of a run that make a sandbox, and `lifetime`, `idle_timeout` in seconds
-- @treturn Box or nil, message, code
function Instance:start(options)
  if self.closed then return nil, "the instance is closed", "closed" end
  local ok, message, code = wait.may_wait()
  if not ok then return nil, message, code end
  options, message, code = image.resolve(services(self), "box", options)
  if message then return nil, message, code end
  local box
  box, message, code = box_module.begin(services(self), options)
  if box then ok, message, code = box:wait_ready() end
  image.let_go(options)
  if box and ok then return box end
  if box then box:close() end
  return fail(self, message, code)
end

--- Keeps sandboxes ready. Never waits.
-- @tparam table options those of `start`, and size, min, max, max_uses, warm_up, queue, queue_timeout, idle_timeout
-- @treturn Pool or nil, message, code
function Instance:pool(options)
  if self.closed then return nil, "the instance is closed", "closed" end
  local ok, why, kind = wait.may_start()
  if not ok then return nil, why, kind end
  options, why, kind = image.resolve(services(self), "pool", options)
  if why then return nil, why, kind end
  local pool, message, code = require("sandbox.pool").new(services(self), options)
  if pool then pool.hold = image.hold_of(options) else image.let_go(options) end
  return pool, message, code
end

-- A run that needs our helper in the sandbox.
function Instance:run_collecting(options)
  local checked = options_plan.once(options, self.options.defaults)
  local may, why, kind = wait.may_wait()
  if not may then return fail(self, why, kind) end
  local r, message, code = in_turn(self, function(past)
    local r, message, code, raised = box_module.run_once(services(self), checked, past)
    if not r and not raised and not past.told then fail(self, message, code) end
    return r, message, code, nil, raised
  end)
  return r, message, code
end

--- Boots a box with the files of a snapshot (`box:snapshot`). What is wrong with that is told before anything starts.
-- @string dir on the host
-- @tparam[opt] table options those of `start`. Where they say nothing of them, the box has the limits and the user that the other one had
-- @treturn Box or nil, message, code
function Instance:restore(dir, options)
  if self.closed then return nil, "the instance is closed", "closed" end
  local opened, message, code = snapshot.open(dir, options, self.options.defaults)
  if not opened then return fail(self, message, code) end
  local box
  box, message, code = self:start(opened.options)
  if not box then return nil, message, code end
  local ok
  ok, message, code = snapshot.fill(box, dir, opened.manifest)
  if ok then return box end
  box:discard()
  return fail(self, message, code)
end

--- Attaches to a box that was started with `keep`, here or by another process of the same user: it has all of a box's methods, but `fork`.
-- @string id `box.id` of it
-- @treturn Box or nil, message, code ("not_found": there is none; "busy": 16 are attached to it)
function Instance:attach(id)
  if type(id) ~= "string" then errors.argument(1, "attach", "the id of a box", id) end
  if self.closed then return nil, "the instance is closed", "closed" end
  local ok, message, code = wait.may_wait()
  if not ok then return nil, message, code end
  local box
  box, message, code = box_module.attach(services(self), id)
  return box, message, code
end

--- The boxes with `keep` that there are in `state_dir`, whoever started them.
-- @treturn {table,...} the oldest first: { id=, state=, seconds= since its start, keep=, hosts= that are attached to it, programs= names (or ids)
-- of its detached programs at work }, or nil, message, code
function Instance:boxes()
  local ok, message, code = wait.may_wait()
  if not ok then return nil, message, code end
  local list
  list, message, code = require("sandbox.box.shared").all(services(self))
  return list, message, code
end

errors.guard(Instance, "sb", { check = true })

--- Number of a signal by name, for hosts.
M.signal_number = result.signal_number
M.VERSION = "0.1.0"

return M
