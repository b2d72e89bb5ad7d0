-- SPDX-License-Identifier: MIT
--- What the sentry of a box tells and does: usage, processes, signals, standing still.
-- @module sandbox.box.control
local errors = require "sandbox.errors"
local json = require "sandbox.json"
local oci = require "sandbox.run.oci"
local exec = require "sandbox.run.exec"
local signal_number = require("sandbox.run.result").signal_number
local stamp = require("sandbox.options.plan").stamp

local Control = {} -- methods of boxes

-- One call of the sentry's control protocol.
local function call(self, method, argument)
  local ok, message, code = self:await()
  if not ok then return nil, message, code end
  local plan = { mode = "exec", quiet = true, limits = { output = 16 * 1024 * 1024 }, runtime = self.rt }
  local job
  job, message, code = self.host.launch(stamp(plan), exec.call(plan, self, method, argument, tonumber(self.job.started.pid)), false)
  if not job then return self:outcome(nil, message, code) end
  local r
  r, message, code = job:wait()
  job:close()
  if not r then return self:outcome(nil, message, code) end
  local value = json.decode(r.stdout or "")
  if type(value) == "userdata" then value = true end -- null: done
  return value
end

--- What the box used so far.
-- @treturn table { peak_memory= bytes, cpu_time= seconds, processes=, programs= started in it }, or nil, message, code
function Control:stats()
  local s, message, code = call(self, "stats", "null")
  if not s then return nil, message, code end
  local list
  list, message, code = self:processes()
  if not list then return nil, message, code end
  return { peak_memory = math.floor(s.peak_memory), cpu_time = s.cpu_time >= 0 and s.cpu_time or nil, processes = #list, programs = self.uses }
end

local function is_process(p)
  return type(p) == "table" and type(p.pid) == "number" and type(p.ppid) == "number" and type(p.uid) == "number"
end

--- The processes in the box, without our helper.
-- @treturn {table,...} of { pid=, ppid=, uid=, command=, threads= }, or nil, message, code
function Control:processes()
  local list, message, code = call(self, "containerManager.Processes", '"' .. oci.BOX .. '"')
  if not list then return nil, message, code end
  local out = {}
  for _, p in ipairs(type(list) == "table" and list or {}) do
    if is_process(p) and p.pid ~= 1 then
      out[#out + 1] = { pid = math.floor(p.pid), ppid = math.floor(p.ppid), uid = math.floor(p.uid), command = p.cmd,
                        threads = type(p.threads) == "table" and #p.threads or 1 }
    end
  end
  return out
end

--- Signals a process of the box.
-- @int pid as `processes` has it
-- @param[opt="KILL"] signal a name or number
-- @treturn boolean true, or nil, message, code
function Control:signal(pid, signal)
  if type(pid) ~= "number" or not (pid > 1 and pid < 2 ^ 31) or pid % 1 ~= 0 then
    errors.argument(1, "signal", "the pid of a process of the box", pid)
  end
  local number = signal_number(signal == nil and "KILL" or signal)
  if not number then errors.argument(2, "signal", "a signal", signal) end
  local done, message, code = call(self, "containerManager.Signal", ('{"CID":"%s","Signo":%d,"PID":%d,"Mode":0}'):format(oci.BOX, number, pid))
  if done == nil then return nil, message, code end
  return true
end

-- What others may have changed meanwhile, who is asked knows (sup_exec.c).

--- Lets everything in the box stand still. Once more does no harm.
-- @treturn boolean true, or nil, message, code
function Control:pause()
  if self.paused and not self.shared and self:ready() then return true end
  local done, message, code = call(self, (self.rt.flags.directfs and "containerManager" or "Lifecycle") .. ".Pause", "null")
  if done == nil then return nil, message, code end
  self.paused = true
  return true
end

--- Lets it go on. Does nothing where it was not paused, for of that gVisor's kernel would die.
-- @treturn boolean true, or nil, message, code
function Control:resume()
  if not self.paused and not self.shared and self:ready() ~= nil then return true end -- also while it boots
  local done, message, code = call(self, (self.rt.flags.directfs and "containerManager" or "Lifecycle") .. ".Resume", "null")
  if done == nil then return nil, message, code end
  self.paused = nil
  return true
end

return Control
