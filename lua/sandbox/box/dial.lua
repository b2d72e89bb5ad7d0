-- SPDX-License-Identifier: MIT
--- Streams, and how a port inside is come to: our helper connects there and relays, in a box, which has it, and in the sandbox of a job,
-- which has not: gVisor runs it from a descriptor there.
-- @module sandbox.box.dial
local errors = require "sandbox.errors"
local exec = require "sandbox.run.exec"
local oci = require "sandbox.run.oci"
local options_plan = require "sandbox.options.plan"
local request = require "sandbox.run.request"

local M = {}

local CONNECT_MAX = 3600 -- seconds
-- Whom our helper is in a job's sandbox: nobody whose processes the program may signal, or who counts among them.
local OTHERS = { 65533, 65532 }

local Stream = {}
Stream.__index = Stream

local function check_open(self, name)
  if getmetatable(self) ~= Stream then errors.raise("bad self: call stream:" .. name .. "(…) with a colon") end
end

--- Reads what has come, waiting for some; at most n bytes where that is given.
-- @int[opt] n
-- @treturn string or nil at the end; nil, message, code where it broke
function Stream:read(n)
  check_open(self, "read")
  if n ~= nil and (type(n) ~= "number" or not (n >= 1)) then errors.raise("bad argument #1 to 'read' (expected a number of bytes)") end
  if self.at > #self.rest then
    local chunk, message, code = self.job:read "stdout"
    if not chunk then return nil, message, code end
    self.rest, self.at = chunk, 1
  end
  local last = n and math.min(#self.rest, self.at + math.floor(n) - 1) or #self.rest
  local piece = self.rest:sub(self.at, last)
  self.at = last + 1
  return piece
end

--- Writes all bytes; waits while the other side does not take them.
-- @string bytes
-- @treturn boolean true, or nil, message, "closed"
function Stream:write(bytes)
  check_open(self, "write")
  if type(bytes) ~= "string" then errors.raise("bad argument #1 to 'write' (string expected, got " .. type(bytes) .. ")") end
  local ok, message, code = self.job:write(bytes)
  return ok, message, code
end

--- Ends our side: the other reads the end, and may go on writing.
function Stream:close_write()
  check_open(self, "close_write")
  self.job:close_stdin()
end

--- Ends both sides at once; never waits, and once more does no harm.
function Stream:close() self.job:close() end
Stream.__close = Stream.close

--- A descriptor that is ready when there may be something to read: then call read.
-- @treturn integer
function Stream:pollfd() return self.job:pollfd() end

--- A job's stdin and stdout as a stream.
-- @tparam Job job
-- @string[opt] rest what was read of it already
-- @treturn Stream
function M.stream(job, rest)
  job.paced = true
  return setmetatable({ job = job, rest = rest or "", at = 1 }, Stream)
end

--- Raises where these are no port and no seconds.
function M.check(port, seconds)
  if type(port) ~= "number" or port < 1 or port > 65535 or port ~= math.floor(port) then
    errors.raise("bad argument #1 to 'connect' (expected a port from 1 to 65535)")
  end
  if seconds ~= nil and (type(seconds) ~= "number" or not (seconds >= 0 and seconds <= CONNECT_MAX)) then
    errors.raise("bad argument #2 to 'connect' (expected seconds, at most 3600)")
  end
end

--- Starts our helper, which connects.
-- @int port
-- @tparam ?number seconds for how long to try while nobody listens there
-- @tparam table user the helper's
-- @tparam table rt
-- @tparam function start(plan) -> job
-- @treturn Stream or nil, message, code ("not_found": nobody listens, or the sandbox is gone)
function M.way(port, seconds, user, rt, start)
  local plan = options_plan.run{ oci.HELPER, "connect", ("%d"):format(port), ("%d"):format((seconds or 0) * 1000), limits = { timeout = false, output = false } }
  plan.user, plan.capabilities, plan.runtime, plan.env, plan.cwd = user, {}, rt, {}, "/"
  plan.quiet, plan.stdin_open, plan.spawn = true, true, true
  local job, message, code = start(options_plan.stamp(plan))
  if not job then return nil, message, code end
  job.paced = true
  local first
  first, message, code = job:read "stdout" -- the helper says that it is connected
  if first then return M.stream(job, first:sub(2)) end
  local r = nil
  if not message then r, message, code = job:wait() end
  job:close()
  if not r then return nil, message, code end
  if r.exit_code == 1 then return nil, ("nobody listens at port %d in the sandbox"):format(port), "not_found" end
  return nil, "what connects in the sandbox did not run there: " .. (r.message or r.status), "system"
end

--- The method `connect` of a job in a sandbox of its own.
-- @tparam table host the instance's services
-- @treturn function(job, port, seconds)
function M.of_job(host)
  return function(job, port, seconds)
    M.check(port, seconds)
    local plan = job.plan
    local rt = plan.runtime
    if not rt.flags.directfs or host.control == "runsc" then
      return nil, ("a port in a job's sandbox needs runsc of release-20230920.0 or later and its control socket; %s is %s: start a box, and use box:connect")
        :format(rt.runsc, rt.version), "not_supported"
    end
    local ok, message, code = job:await_start()
    if not ok then return nil, message, code end
    local uid = plan.user.uid ~= OTHERS[1] and OTHERS[1] or OTHERS[2]
    local sandbox = { rt = rt, dir = job.dir, plan = plan, by_file = request.helper() }
    local way
    way, message, code = M.way(port, seconds, { uid = uid, gid = uid }, rt, function(own)
      local req, why, kind = exec.exec(own, sandbox, own.argv, job:pid(), true)
      if not req then return nil, why, kind end
      local started
      started, why, kind = host.launch(own, req)
      return started, why, kind
    end)
    if not way and job:step() then return nil, "the program has ended", "closed" end
    return way, message, code
  end
end

return M
