-- SPDX-License-Identifier: MIT
-- A program without a loop, started with signals ignored or blocked (SBX_SIGNALS says which): the same results, and its
-- signals are afterwards what they were.
local common = require "hosts.scripts.common"
local mode = os.getenv "SBX_SIGNALS"

local function signals()
  local file = assert(io.open "/proc/self/status")
  local text = file:read "*a"
  file:close()
  return text:match "SigBlk:%s*(%x+)", text:match "SigIgn:%s*(%x+)", text:match "SigCgt:%s*(%x+)"
end

local function has(mask, number)
  return math.floor(tonumber(mask:sub(-8), 16) / 2 ^ (number - 1)) % 2 == 1
end

local blocked, ignored, caught = signals()
local PIPE, CHLD = 13, 17
-- More may be ignored: whoever started the tests may have been one of those hosts.
assert(mode ~= "ignored" or has(ignored, PIPE) and has(ignored, CHLD), "ignored: " .. ignored)
assert(mode ~= "blocked" or has(blocked, PIPE) and has(blocked, CHLD), "blocked: " .. blocked)

local sandbox, sb = common.new()
local same = common.census(sb)
common.serial(sandbox, sb)
common.connect(sb)
-- What a signal does in the guest does not depend on what it does here.
local r = assert(sb:run{ "python3", "-u", "-c", [[
import os, signal, subprocess
print(subprocess.run(["sh", "-c", "kill -PIPE $$"]).returncode)
print(subprocess.run(["sh", "-c", "kill -TERM $$"]).returncode)
os.kill(os.getpid(), signal.SIGUSR1)
]] })
assert(r.stdout == "-13\n-15\n" and r.status == "signaled" and r.signal_name == "USR1", tostring(r.stdout) .. r.status)
-- A pipe that nobody reads any more.
local job = assert(sb:spawn{ "true" })
while job:write(("x"):rep(100000)) do end
assert(job:wait().ok, "a program that does not read")
job:close()
same()
local b, i, c = signals()
assert(b == blocked and i == ignored and c == caught, "signals are what they were")
print "passed"
