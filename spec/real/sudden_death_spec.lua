-- SPDX-License-Identifier: MIT
-- kill -9 of the host, and of the supervisor, at any moment.
local env = require "support.harness"
local sb, core = env.sb, env.core
local KILLS = tonumber(os.getenv "SANDBOX_TEST_KILLS") or 12

local HOST = [[
package.path, package.cpath = %q, %q
local sb = require("sandbox").new{ state_dir = %q, boot_timeout = 30 }
io.write("up\n") io.flush()
sb:run{ "sh", "-c", "sleep 1000 & sleep 1000", limits = { timeout = false } }
]]

-- A Lua host of its own that runs a sandbox; its pid is the shell's, which it replaces.
local function start_host(interpreter)
  local dir, remove = env.tmpdir()
  env.write(dir .. "/host.lua", HOST:format(package.path, package.cpath, env.state_dir))
  local pipe = io.popen(("echo $$; exec %s %s/host.lua 2>&1"):format(interpreter, dir))
  local pid = pipe:read "*l"
  assert.equal("up", pipe:read "*l")
  remove()
  return pid, pipe
end

local function interpreter()
  local i = 0
  while arg[i - 1] do i = i - 1 end
  return core.realpath("/proc/self/exe") or arg[i]
end

local function supervisors()
  local list = {}
  for _, pid in ipairs(core.readdir "/proc") do
    local exe = pid:match "^%d+$" and core.realpath("/proc/" .. pid .. "/exe")
    if exe and exe:find "/sandbox%-supervisor$" then list[#list + 1] = pid end
  end
  return list
end

describe("sudden death", function()
  local before
  setup(function()
    assert(sb:run{ "true" })
    before = env.census()
  end)

  it(("of the host, %d times: nothing is left"):format(KILLS), function()
    math.randomseed(core.getpid())
    for i = 1, KILLS do
      local pid, pipe = start_host(interpreter())
      core.poll(-1, "r", math.random() * 0.3) -- the moment is the test's subject, not its synchronisation
      os.execute("kill -9 " .. pid)
      pipe:close()
      assert.same({ i }, { i, env.leftovers(before) })
    end
  end)

  local function kill_parts(name, id)
    local pids = env.parts(name, id)
    for _, pid in ipairs(pids) do os.execute("kill -9 " .. pid) end
    return #pids
  end

  it("of the gofer or the sentry is not told as the program's own", function()
    for _, name in ipairs{ "runsc-gofer", "runsc-sandbox" } do
      local job = assert(sb:spawn{ "sh", "-c", "sleep 1000", limits = { timeout = 60 } })
      assert.is_true(env.eventually(function() job:step() return job:pid() ~= nil end))
      local killed = kill_parts(name, job.id)
      local r, _, code = job:wait()
      assert.same({ name, 1, nil, "runsc_failed" }, { name, killed, r, code })
      job:close()
    end
    local r = assert(sb:run{ "sh", "-c", "kill -9 $$" }) -- and its own is its own
    assert.same({ "signaled", 9 }, { r.status, r.signal })
  end)

  -- spec/c/sup_test.c has the other ways round.
  it("nor the program's own as the gofer's, by a supervisor that gets no processor until all has ended", function()
    local job = assert(sb:spawn{ "sh", "-c", "echo up; sleep 1; kill -9 $$", limits = { timeout = false } })
    assert.equal("up\n", job:read "stdout")
    local runsc = job:pid()
    local gone = env.held_up(runsc, function() return (env.stat(runsc)) == "Z" end)
    local r = assert(job:wait())
    assert.same({ true, "signaled", 9 }, { gone, r.status, r.signal })
    job:close()
  end)

  it("of a box's gofer or sentry is not told as its programs' own", function()
    for _, name in ipairs{ "runsc-gofer", "runsc-sandbox", "runsc-gofer" } do
      local box = assert(sb:start{})
      local job = assert(box:spawn{ "sh", "-c", "echo up; sleep 1000", limits = { timeout = false } })
      assert.equal("up\n", job:read "stdout")
      local killed = kill_parts(name, box.id)
      local r, message, code = job:wait()
      assert.same({ name, 1, nil, "the box has died: it crashed, or was killed from outside", "closed" }, { name, killed, r, message, code })
      job:close()
      box:close()
    end
  end)

  it("of the supervisor: the guest dies with it, cleanup_stale takes the rest", function()
    local known = {}
    for _, pid in ipairs(supervisors()) do known[pid] = true end
    local job = assert(sb:spawn{ "sh", "-c", "echo up; sleep 1000", limits = { timeout = false } })
    assert.equal("up\n", job:read "stdout")
    assert.equal(0, sb:cleanup_stale()) -- it lives
    local killed = 0
    for _, pid in ipairs(supervisors()) do
      if not known[pid] and core.realpath("/proc/" .. pid .. "/exe") then
        local file = io.open("/proc/" .. pid .. "/stat", "rb")
        local stat = file and file:read "*a" or ""
        if file then file:close() end
        -- Ours holds this run's directory: its child names it.
        local children = io.open("/proc/" .. pid .. "/task/" .. pid .. "/children", "rb")
        local child = children and children:read "*l" or ""
        if children then children:close() end
        local cmd = io.open("/proc/" .. (child:match "%d+" or "self") .. "/cmdline", "rb")
        local line = cmd and cmd:read "*a" or ""
        if cmd then cmd:close() end
        if stat ~= "" and line:find(job.id, 1, true) then
          os.execute("kill -9 " .. pid)
          killed = killed + 1
        end
      end
    end
    assert.equal(1, killed)
    local r, _, code = job:wait()
    assert.same({ nil, "supervisor_lost" }, { r, code })
    job:close()
    assert.is_true(env.eventually(function() return sb:cleanup_stale() == 1 end))
    assert.equal(0, sb:cleanup_stale())
  end)

  -- The supervisors of programs in boxes: each holds a lock on its program's entry in the box's record.
  local function holders(box)
    local list = {}
    for _, pid in ipairs(supervisors()) do
      for _, fd in ipairs(core.readdir("/proc/" .. pid .. "/fdinfo") or {}) do
        local file = io.open("/proc/" .. pid .. "/fdinfo/" .. fd, "rb")
        local info = file and file:read "*a" or ""
        if file then file:close() end
        if info:find "OFDLCK" and (core.realpath("/proc/" .. pid .. "/fd/" .. fd) or ""):find(box.id .. "/programs", 1, true) then list[pid] = true end
      end
    end
    return list
  end

  local function commands(box)
    local n = {}
    for _, p in ipairs(assert(box:processes())) do n[p.command] = (n[p.command] or 0) + 1 end
    return n
  end

  it("of a program's supervisor: the program and all of its own die, the box and its others live, also where it stands still", function()
    local hidden = env.build == "2022" and not env.root
    local box = assert(sb:start{})
    local other = assert(box:spawn{ "sh", "-c", "echo up; exec sleep 1000", limits = { timeout = false } })
    assert.equal("up\n", other:read "stdout") -- its supervisor holds its entry by now
    for _, still in ipairs{ false, true } do
      local known = holders(box)
      local job = assert(box:spawn{ "sh", "-c", "(setsid tail -f /dev/null &) ; echo up; while :; do :; done", limits = { timeout = false } })
      assert.equal("up\n", job:read "stdout")
      if still then assert.is_true(box:pause()) end
      local pid
      for new in pairs(holders(box)) do pid = not known[new] and new or pid end
      -- On the build of 2022 it is in its user namespace, where an ordinary user may not look at it.
      if not pid and hidden then return box:close() end
      os.execute("kill -9 " .. assert(pid))
      local r, _, code = job:wait()
      assert.same({ nil, "supervisor_lost" }, { r, code })
      job:close()
      if still then -- who was killed is a zombie until its parent runs
        assert.equal("paused", (select(3, box:run{ "true" })))
        assert.is_true(box:resume())
      end
      assert.is_true(env.eventually(function()
        local n = commands(box)
        return not n.sh and not n.tail
      end))
      assert.same({ sleep = 1 }, commands(box))
      assert.is_true(assert(box:run{ "true" }).ok)
    end
    assert.is_nil((other:wait(0)))
    other:kill()
    box:close()
  end)

  it("of runsc: an error, never the guest's own end", function()
    local job = assert(sb:spawn{ "sh", "-c", "echo up; sleep 1000" })
    assert.equal("up\n", job:read "stdout")
    os.execute("kill -9 " .. job:pid())
    local r, _, code = job:wait()
    assert.same({ nil, "runsc_failed" }, { r, code })
    job:close()
  end)

  it("leaves nothing behind", function()
    assert.is_nil(env.leftovers(before))
  end)
end)
