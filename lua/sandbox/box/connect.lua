-- SPDX-License-Identifier: MIT
--- Ways into a box: a server's port in it, or a program's stdin and stdout, as one two-way stream of bytes; and what of the network it
-- may reach. Our helper connects inside and relays, so a port is reached in every network mode.
-- @module sandbox.box.connect
local core = require "sandbox.core"
local dial = require "sandbox.box.dial"
local errors = require "sandbox.errors"
local kinds = require "sandbox.options.kinds"
local network = require "sandbox.run.network"

local Ways = {} -- methods of boxes

local APPLY_SECONDS = 15 -- within which sandbox-net says that it has a policy

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
  return dial.stream(job)
end

--- Reaches a server inside: a TCP connection to the loopback of the box.
-- @int port
-- @number[opt=0] seconds for how long to try while nobody listens there
-- @treturn Stream or nil, message, code ("not_found": nobody listens)
function Ways:connect(port, seconds)
  dial.check(port, seconds)
  local ok, message, code = self:await()
  if not ok then return nil, message, code end
  local way
  way, message, code = dial.way(port, seconds, { uid = self.plan.user.uid, gid = self.plan.user.gid, groups = self.plan.user.groups }, self.rt, function(plan)
    local job, why, kind = self:exec(plan, plan.argv)
    return job, why, kind
  end)
  if way or code == "not_found" and self:ready() then return way, message, code end
  return self:outcome(nil, message, code)
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
