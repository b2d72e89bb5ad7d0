-- SPDX-License-Identifier: MIT
--- Ways into a box: a server's port in it, or a program's stdin and stdout, as one two-way stream of bytes; and what of the network it
-- may reach. Our helper connects inside and relays, so a port is reached in every network mode.
-- @module sandbox.box.connect
local core = require "sandbox.core"
local errors = require "sandbox.errors"
local kinds = require "sandbox.options.kinds"
local network = require "sandbox.run.network"
local oci = require "sandbox.run.oci"
local options_plan = require "sandbox.options.plan"

local Ways = {} -- methods of boxes

local Stream = {}
Stream.__index = Stream

local CONNECT_MAX = 3600 -- seconds
local APPLY_SECONDS = 5 -- within which sandbox-net says that it has a policy

local function new_stream(job, rest) return setmetatable({ job = job, rest = rest or "", at = 1 }, Stream) end

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

--- Starts a program whose stdin and stdout are one stream: its output has no limit but the reader's pace.
-- @tparam table options of a program; not stdin, on_stdout, collect
-- @treturn Stream or nil, message, code
function Ways:stream(options)
  if type(options) ~= "table" then errors.call(errors.bad, "options", "expected a table", options) end
  local own = {}
  for k, v in next, options do own[k] = v end
  for _, key in ipairs{ "stdin", "on_stdout", "on_exit", "collect" } do
    if own[key] ~= nil then errors.call(errors.bad, key, "expected none: the stream is the program's stdin and stdout") end
  end
  local limits = {}
  for k, v in next, type(own.limits) == "table" and own.limits or {} do limits[k] = v end
  if own.limits == nil or type(own.limits) == "table" then own.limits = limits end
  if limits.output == nil then limits.output = false end
  local job, message, code = self:spawn(own)
  if not job then return nil, message, code end
  job.paced = true
  return new_stream(job)
end

--- Reaches a server inside: a TCP connection to the loopback of the box.
-- @int port
-- @number[opt=0] seconds for how long to try while nobody listens there
-- @treturn Stream or nil, message, code ("not_found": nobody listens)
function Ways:connect(port, seconds)
  if type(port) ~= "number" or port < 1 or port > 65535 or port ~= math.floor(port) then
    errors.raise("bad argument #1 to 'connect' (expected a port from 1 to 65535)")
  end
  if seconds ~= nil and (type(seconds) ~= "number" or not (seconds >= 0 and seconds <= CONNECT_MAX)) then
    errors.raise("bad argument #2 to 'connect' (expected seconds, at most 3600)")
  end
  local ok, message, code = self:await()
  if not ok then return nil, message, code end
  local plan = options_plan.run{ oci.HELPER, "connect", ("%d"):format(port), ("%d"):format((seconds or 0) * 1000), limits = { timeout = false, output = false } }
  plan.user, plan.capabilities, plan.runtime, plan.env, plan.cwd = self.plan.user, {}, self.rt, {}, "/"
  plan.quiet, plan.stdin_open, plan.spawn = true, true, true
  local job
  job, message, code = self:exec(options_plan.stamp(plan), plan.argv)
  if not job then return self:outcome(nil, message, code) end
  job.paced = true
  local first
  first, message, code = job:read "stdout" -- the helper says that it is connected
  if first then return new_stream(job, first:sub(2)) end
  job:close()
  if message then return self:outcome(nil, message, code) end
  return self:outcome(nil, ("nobody listens at port %d in the box"):format(port), "not_found")
end

-- A box's connection is another's to wait for; its own words are taken here as they come.
local function await_policy(self, before)
  local limit = core.now() + APPLY_SECONDS
  local job = self.job
  while true do
    job:take()
    local record = job.network
    if job.ended then return self:outcome(nil, "the box has died", "closed") end
    if record and record.failed then return nil, "the box's network has ended: " .. record.failed, "system" end
    if record and record.policies > before then return true end
    local left = limit - core.now()
    if left <= 0 then return nil, "the box's network does not answer", "system" end
    job.transport:wait(math.min(left, 1), job.plan.wait)
  end
end

--- Changes what a running box may reach. Connections that the policy does not allow any more are reset; what is said of the link (mac,
-- address, resolver) stays as it was.
-- @tparam table policy
-- @treturn boolean true, or nil, message, code
function Ways:network(policy)
  local checked = errors.call(kinds.network, "network", policy, { values = { "sandbox" } })
  local had = self.plan.network
  if type(had) ~= "table" then return nil, "the box has no network of its own: start it with network = { allow = {} }", "not_supported" end
  if checked.mac or checked.address or checked.resolver then
    errors.call(errors.bad, "network", "expected neither mac, address nor resolver: the link of a running box stays as it is")
  end
  local ok, message, code = self:await()
  if not ok then return nil, message, code end
  local bytes, ipv6 = network.policy(checked)
  local _, had_ipv6 = network.policy(had)
  if ipv6 and not had_ipv6 then return nil, "the box has no IPv6: an entry that names IPv6 has to be there when it is started", "not_supported" end
  local before = self.job.network and self.job.network.policies or 0
  self.job.transport:send("N", bytes)
  ok, message, code = await_policy(self, before)
  return ok, message, code
end

return Ways
