-- SPDX-License-Identifier: MIT
-- In the worker of bench/nginx.sh: how long our Lua holds up the event loop each time that it has its turn. A turn lasts from
-- where a handler begins, or a call that waits comes back, to the next call that waits, or the handler's end.
local ffi = require "ffi"
local core = require "sandbox.core"
ffi.cdef [[
struct sbx_timespec { long sec, nsec; };
int clock_gettime(int, struct sbx_timespec *);
]]
local lists = { start_wall = {}, start_cpu = {}, wall = {}, cpu = {}, spawn = {}, step = {} }
local M = {}

local time = ffi.new "struct sbx_timespec"
local THREAD = 3
local function cpu()
  ffi.C.clock_gettime(THREAD, time)
  return tonumber(time.sec) + tonumber(time.nsec) / 1e9
end

local began = setmetatable({}, { __mode = "k" }) -- by coroutine
local function begin(first) began[coroutine.running()] = { core.now(), cpu(), first } end
local function done()
  local from = began[coroutine.running()]
  if not from then return end
  local wall, processor = lists[from[3] and "start_wall" or "wall"], lists[from[3] and "start_cpu" or "cpu"]
  wall[#wall + 1], processor[#processor + 1] = core.now() - from[1], cpu() - from[2]
end

local function around(f)
  return function(...)
    done()
    local a, b, c = f(...)
    begin()
    return a, b, c
  end
end

local function timed(list, f)
  return function(...)
    local t = core.now()
    local a, b, c = f(...)
    list[#list + 1] = core.now() - t
    return a, b, c
  end
end

-- Of what our adapter calls these two wait; a send to the supervisor or the connect to it is done at once and counts as ours.
ngx.sleep = around(ngx.sleep)
local tcp = ngx.socket.tcp
ngx.socket.tcp = function()
  local sock = tcp()
  local receive = sock.receiveany
  rawset(sock, "receiveany", around(receive))
  return sock
end
core.ctl_spawn = timed(lists.spawn, core.ctl_spawn)

local metatable
local function watch_steps(sb)
  local job = assert(sb:spawn{ "true" })
  job:wait()
  job:close()
  metatable = getmetatable(job)
  metatable.step = timed(lists.step, metatable.step)
end

-- A request that runs something.
function M.run(sb, options)
  if not metatable then watch_steps(sb) end
  begin(true)
  local r, message = sb:run(options)
  done()
  return r, message
end


local function line(what, list)
  table.sort(list)
  local function at(part) return (list[math.max(1, math.ceil(#list * part))] or 0) * 1000 end
  return ("%-36s %6d   p50 %7.3f   p99 %7.3f   worst %7.3f ms\n"):format(what, #list, at(0.5), at(0.99), at(1))
end

function M.report()
  return line("turns that start a run, by the clock", lists.start_wall) .. line("the same, processor time", lists.start_cpu)
    .. line("of that: starting the supervisor", lists.spawn)
    .. line("all other turns, by the clock", lists.wall) .. line("the same, processor time", lists.cpu) .. line("job:step, by the clock", lists.step)
end

-- What was measured so far does not count.
function M.forget()
  for _, list in pairs(lists) do
    for i = #list, 1, -1 do list[i] = nil end
  end
end

return M
