-- SPDX-License-Identifier: MIT
-- What oom_host runs with every allocation failing once: all that takes a descriptor in the core.
local core = require "sandbox.core"
local zygote = assert(core.zygote(core.supervisor()))
local conn = assert(core.spawn(core.supervisor(), zygote))
conn:send("R", "mode=tool\0runsc=/bin/true\0")
conn:send("G", "")
repeat
  core.poll(conn:fd(), "r", 10)
  local more = conn:recv()
  repeat local kind = conn:next() until kind == nil or kind == "X"
until more == nil
conn:close()
zygote:close()
assert(core.stat("/"))
assert(core.readdir("/proc/self"))
