-- SPDX-License-Identifier: MIT
--- A box in the hands of somebody who gives it back.
-- @module sandbox.box.lease
local exec = require "sandbox.run.exec"

local Lease = {} -- methods of boxes

--- For pools and copies: it was not throttled while it was made ready, and is from now on.
function Lease:throttle()
  if self.plan.cpus_later and not self.job.ended then self.job.transport:send("L", exec.lease_box(self.plan, self.plan.limits.pids)) end
end

--- For pools: the box in the hands of somebody who gives it back, and who has nothing in hand afterwards.
-- @func back function(lent, spoilt): called once, when it is closed; spoilt: nobody else may have it
-- @treturn Box
function Lease:lend(back)
  local lent = setmetatable({}, getmetatable(self))
  for k, v in pairs(self) do lent[k] = v end
  lent.single, lent.back, lent.running, self.armed = nil, back, 0, nil
  self:throttle()
  return lent
end

--- For pools: takes over what is left of one that was lent.
-- @tparam Box lent
function Lease:take_back(lent)
  self.armed, self.uses, self.cli = lent.armed, lent.uses, lent.cli
  lent.armed = nil
end

return Lease
