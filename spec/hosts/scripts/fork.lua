-- SPDX-License-Identifier: MIT
-- A host that forks: its jobs stay the parent's, whatever the copy does with its own; and the copy's descriptors do not keep
-- a job alive when the parent dies.
local posix = require "posix"
local core = require "sandbox.core"
local common = require "hosts.scripts.common"

local function in_child(f)
  local pid = assert(posix.fork())
  if pid == 0 then
    local ok, err = pcall(f)
    if not ok then io.stderr:write(tostring(err), "\n") end
    posix._exit(ok and 0 or 1)
  end
  return pid
end

-- What the copy does with what it has.
local copies = {
  { "closes the job", function(_, held) held.job:close() end },
  { "closes the instance", function(sb) sb:close() end },
  { "collects the job", function(_, held)
    held.job = nil
    collectgarbage()
    collectgarbage()
  end },
  { "ends in the usual way", function() os.exit(0, true) end },
  { "just ends", function() end },
}

local function goes_on(sb, name, f)
  local held = { job = assert(sb:spawn{ "sh", "-c", "echo up; read x; echo got $x; exit 6" }) }
  assert(held.job:read "stdout" == "up\n")
  local _, _, status = posix.wait(in_child(function() f(sb, held) end))
  assert(status == 0, name .. ": the copy ended with " .. tostring(status))
  assert(held.job:write "it\n", name)
  assert(held.job:read "stdout" == "got it\n", name)
  local r = held.job:wait()
  assert(r and r.exit_code == 6, name)
  held.job:close()
end

local function runs()
  local n = 0
  for _, entry in ipairs(core.readdir(os.getenv "SBX_STATE")) do
    if entry:match "^run%-" then n = n + 1 end
  end
  return n
end

-- A host with a run and with a copy that holds all of its descriptors; the host is killed, the copy lives on.
local function dies()
  local ready_r, ready_w = posix.pipe()
  local end_r, end_w = posix.pipe()
  local host = in_child(function()
    local _, sb = common.new()
    local job = assert(sb:spawn{ "sh", "-c", "echo up; sleep 1000", limits = { timeout = false } })
    assert(job:read "stdout" == "up\n")
    local copy = in_child(function()
      posix.close(end_w)
      posix.read(end_r, 1) -- until the test lets go of the other end
    end)
    posix.write(ready_w, copy .. "\n")
    job:wait()
  end)
  posix.close(end_r)
  posix.close(ready_w)
  local copy = tonumber(posix.read(ready_r, 20))
  assert(copy and runs() == 1, "one run")
  posix.kill(host, posix.SIGKILL)
  posix.wait(host)
  local limit = core.now() + 60
  while runs() > 0 and core.now() < limit do core.poll(-1, "r", 0.01) end
  assert(posix.kill(copy, 0) == 0, "the copy lives")
  assert(runs() == 0, "the run ended with its host")
  posix.close(end_w)
  posix.close(ready_r)
end

local _, sb = common.new()
local same = common.census(sb)
for _, row in ipairs(copies) do goes_on(sb, row[1], row[2]) end
same()
local limit = core.now() + 60
while runs() > 0 and core.now() < limit do core.poll(-1, "r", 0.01) end
dies()
same()
print "passed"
