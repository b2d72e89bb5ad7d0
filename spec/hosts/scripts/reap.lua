-- SPDX-License-Identifier: MIT
-- A host that takes every child that has ended, its own or not, as the first process of a container does: it is even the
-- parent of orphans.
local ffi = require "ffi"
local posix = require "posix"
local core = require "sandbox.core"
local common = require "hosts.scripts.common"

ffi.cdef "int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long);"
local SUBREAPER = 36
assert(ffi.C.prctl(SUBREAPER, 1, 0, 0, 0) == 0)

local reaped = 0
local function reap()
  local pid = posix.wait(-1, posix.WNOHANG)
  while pid and pid > 0 do
    reaped = reaped + 1
    pid = posix.wait(-1, posix.WNOHANG)
  end
end

local function wait(fd, events, seconds)
  local limit = seconds and core.now() + seconds
  repeat
    reap()
    if core.poll(fd, events, 0.002) then return true end
  until limit and core.now() >= limit
  return false
end

local sandbox, sb = common.new(wait)
local same = common.census(sb)
common.serial(sandbox, sb, true)
same()
assert(reaped == 0, "what the zygote forked is left to nobody")
-- Started directly, as where there is no zygote: an orphan of ours, whoever reaps it.
local conn = assert(core.spawn(assert(core.supervisor())))
conn:send("G", "")
repeat wait(conn:fd(), "r", 1) until conn:recv() == nil
conn:close()
local limit = core.now() + 20
while reaped == 0 and core.now() < limit do wait(-1, "r", 0.01) end
assert(reaped > 0, "there was something to reap")
print "passed"
