-- SPDX-License-Identifier: MIT
-- leaving.lua HOST ROUNDS: each way to leave a wait, so many times in that host; after each a program must be heard at once, over the
-- same connection and over one whose descriptor has the same number. Prints a row: rounds and how many took too long.
-- The host is "plain", "loop", "luv", "cqueues", "copas", or "nvim" (in Neovim); nginx has its own in nginx.conf.
local common = require "hosts.scripts.common"
local core = require "sandbox.core"
local sandbox, sb = require "sandbox", nil
local M = {}

local TOO_LONG = 8 -- seconds for what takes some ms, and for a boot on a busy machine; a host that was not woken looks again after 10
local closes = coroutine.close ~= nil -- luacheck: ignore
local across = _VERSION ~= "Lua 5.1" or rawget(_G, "jit") ~= nil

-- By host: go(f) starts a coroutine of it, run(main) runs its loop until main has ended, stop(f) runs f in a loop that is stopped.
local hosts = {}

function hosts.plain()
  return { run = function(main) main() end }
end

function hosts.loop()
  return {
    run = sandbox.loop, go = sandbox.go,
    stop = false, -- one at a time in a Lua state
  }
end

function hosts.luv()
  local uv = require "luv"
  local function go(f) assert(coroutine.resume(coroutine.create(f))) end
  return {
    go = go,
    run = function(main)
      local keep, done = uv.new_timer(), nil
      keep:start(1000, 1000, function() end)
      go(function() -- without pcall, in which nothing can be yielded on 5.1
        main()
        done = true
        keep:close()
      end)
      while not done do uv.run "once" end
    end,
  }
end

function hosts.cqueues()
  local cqueues = require "cqueues"
  local cq = cqueues.new()
  return {
    go = function(f) cqueues.running():wrap(f) end,
    run = function(main)
      local done
      cq:wrap(function()
        main()
        done = true
      end)
      while not done do -- it says of a coroutine that somebody has closed that it is dead, and goes on
        local ok, err = cq:loop()
        if not ok and not tostring(err):find "dead coroutine" then error(err, 0) end
      end
    end,
    stop = function(f) -- a controller that is not stepped any more
      local other = cqueues.new()
      other:wrap(f)
      other:step(0)
    end,
  }
end

function hosts.copas()
  local copas = require "copas"
  return {
    go = function(f) copas.addthread(f) end,
    run = function(main)
      local done
      copas.addthread(function()
        main()
        done = true
      end)
      while not done do copas.step(0.02) end
    end,
  }
end

function hosts.nvim()
  local vim = rawget(_G, "vim")
  local function go(f) assert(coroutine.resume(coroutine.create(f))) end
  return {
    go = go,
    run = function(main)
      local done
      go(function()
        main()
        done = true
      end)
      assert(vim.wait(600000, function() return done end, 5), "in time")
    end,
  }
end

-- A program that says what it hears.
local function parrot(options)
  options[1] = "cat"
  options.limits = { timeout = false }
  return assert(sb:spawn(options))
end

local function heard(job)
  local word = ("%d\n"):format(math.random(1e9))
  local began = core.now()
  assert(job:write(word))
  assert(job:read "stdout" == word, "what was heard")
  return core.now() - began
end

local ways = {}

function ways.returns(_, job) heard(job) end

ways["times out"] = function(_, job)
  assert(select(3, job:wait(0.002)) == "timeout")
end

-- A generator's consumer gets its values, and lets it go in the middle.
ways["dropped"] = function(_, job)
  local generator = coroutine.wrap(function()
    heard(job)
    coroutine.yield "its own"
    heard(job)
  end)
  assert(generator() == "its own", "its own value")
  generator = nil -- luacheck: ignore
  collectgarbage()
end

-- In the middle of a callback: whoever comes next is not locked out.
ways["dropped in a callback"] = across and function(_, _, talker)
  talker.callback = function() coroutine.yield "in the callback" end
  talker.job:write "x"
  local waits = coroutine.wrap(function() talker.job:wait() end)
  local value = waits()
  assert(value == "in the callback", tostring(value))
  waits = nil -- luacheck: ignore
  local got
  talker.callback = function(chunk) got = chunk end
  collectgarbage()
  collectgarbage()
  talker.job:write "y"
  local limit = core.now() + TOO_LONG
  while not got and core.now() < limit do talker.job:wait(0.01) end
  assert(got, "the next callback")
end

-- By coroutine.close, or in the host's own way.
ways["killed"] = function(host, job)
  local kill = host.kill or closes and coroutine.close -- luacheck: ignore
  if not host.go or not kill then return "-" end
  if host.kill then job = parrot{} end -- nginx ends the connection that a killed thread was reading
  local co
  local thread = host.go(function()
    co = coroutine.running()
    job:wait()
  end)
  while not co or not host.kill and coroutine.status(co) ~= "suspended" do sandbox.sleep(0.001) end
  kill(host.kill and thread or co)
  if not host.kill then return end
  assert(select(3, job:wait(TOO_LONG)) ~= "timeout", "nobody is locked out")
  job:close()
end

ways["error thrown into"] = closes and function(host, job)
  if not host.go then return "-" end
  local co, failed
  host.go(function()
    co = coroutine.running()
    failed = not pcall(job.wait, job, 0.01)
  end)
  while not co do sandbox.sleep(0.001) end
  debug.sethook(co, function()
    debug.sethook(co)
    error "thrown"
  end, "", 1)
  local limit = core.now() + TOO_LONG
  while failed == nil and core.now() < limit do sandbox.sleep(0.002) end
  assert(failed, "the error came")
end

ways["loop stopped"] = function(host, job)
  if not host.stop then return "-" end
  host.stop(function() job:wait() end)
  collectgarbage()
end

-- A wait runs out of time, the job goes, and the next one has its number.
ways["number reused"] = function()
  local job = parrot{}
  local fd = job:pollfd()
  job:wait(0.002)
  job:close()
  local others = {} -- a lower number may have become free meanwhile
  job = parrot{}
  while fd and job:pollfd() ~= fd and #others < 8 do
    others[#others + 1] = job
    job = parrot{}
  end
  assert(not fd or job:pollfd() == fd, "the same number")
  heard(job)
  job:close()
  for _, other in ipairs(others) do other:close() end
end

local ORDER = { "returns", "times out", "dropped", "dropped in a callback", "killed", "error thrown into", "loop stopped", "number reused" }

--- Goes through them: the row.
-- @tparam table host
-- @int rounds
-- @tparam Instance instance
-- @treturn string
function M.row(host, rounds, instance)
  sb = instance
  local row = {}
  local job, talker = parrot{}, {}
  heard(job)
  talker.job = parrot{ on_stdout = function(chunk) return talker.callback and talker.callback(chunk) end }
  for _, way in ipairs(ORDER) do
    local late, done = 0, 0
    for _ = 1, ways[way] and rounds or 0 do
      local began = core.now()
      if ways[way](host, job, talker) == "-" then break end
      heard(job)
      done = done + 1
      if core.now() - began > TOO_LONG then late = late + 1 end
    end
    row[#row + 1] = ("%s %s"):format(way, done == 0 and "-" or ("%d/%d"):format(late, done))
    if late > 0 then row.failed = true end
  end
  job:close()
  talker.job:close()
  return table.concat(row, " | "), row.failed
end

--- All of it in a host.
-- @string name
-- @int rounds
function M.main(name, rounds)
  local host = hosts[name]()
  local row, failed
  host.run(function() row, failed = M.row(host, rounds, select(2, common.new())) end)
  io.stdout:write(("%-8s %s\n%s\n"):format(name, row, failed and "failed" or "passed"))
end

local argv = rawget(_G, "arg")
local name = os.getenv "SBX_LEAVING" or argv and argv[1]
if name and hosts[name] then M.main(name, tonumber(os.getenv "SBX_ROUNDS" or argv and argv[2]) or 3) end
return M
