-- SPDX-License-Identifier: MIT
-- The zygote, from which a host's supervisors are forked. No runsc: what is sent is no request, and each answers with an error.
local core = require "sandbox.core"

local DIR = (os.getenv "TMPDIR" or "/tmp") .. "/sbt-" .. core.random_hex(6)
local PATH = DIR .. "/supervisor" -- a name of its own, by which its processes are known

local function descriptors() return #core.readdir "/proc/self/fd" end

local function slurp(path)
  local file = io.open(path, "rb")
  local text = file and file:read "*a" or ""
  if file then file:close() end
  return text
end

-- The processes that run our copy; those that have ended and wait for their parent have no command line any more.
local function processes()
  local list = {}
  for _, pid in ipairs(core.readdir "/proc") do
    if pid:find "^%d+$" and slurp("/proc/" .. pid .. "/cmdline"):find(PATH .. "\0", 1, true) == 1 then list[#list + 1] = pid end
  end
  return list
end

local function eventually(f)
  local limit = core.now() + 20
  while not f() do
    if core.now() > limit then return false end
    core.poll(-1, "r", 0.005)
  end
  return true
end

local function write(name, text)
  local path = DIR .. "/" .. name
  assert(core.write_file(path, text, tonumber("755", 8)))
  return path
end

-- What the supervisor says of a request that is none.
local function answer(conn)
  conn:send("G", "")
  local text
  local limit = core.now() + 20
  repeat
    core.poll(conn:fd(), "r", 1)
    local more = conn:recv()
    local kind, payload = conn:next()
    if kind == "X" then text = payload end
  until more == nil or core.now() > limit
  conn:close()
  return text
end

local NONE = "no request came"

describe("the zygote", function()
  local before, z

  setup(function()
    before = descriptors()
    assert(core.mkdir(DIR, tonumber("755", 8)))
    write("supervisor", slurp(assert(core.supervisor())))
    z = assert(core.zygote(PATH))
  end)

  teardown(function()
    z:close()
    z = nil
    assert.is_true(eventually(function() return #processes() == 0 end))
    os.execute("rm -rf " .. DIR)
    collectgarbage()
    collectgarbage()
    assert.equal(before, descriptors())
  end)

  it("forks supervisors, each in a session of its own, and nobody's zombies", function()
    local conns = {}
    for i = 1, 20 do conns[i] = assert(core.spawn(PATH, z)) end
    assert.is_true(eventually(function()
      local sessions, n = {}, 0
      for _, pid in ipairs(processes()) do sessions[slurp("/proc/" .. pid .. "/stat"):match "%) %a %d+ %d+ (%d+)" or 0] = true end
      for _ in pairs(sessions) do n = n + 1 end
      return n == 21
    end))
    for _, conn in ipairs(conns) do assert.truthy(answer(conn):find(NONE, 1, true)) end
    assert.is_true(eventually(function() return #processes() == 1 end))
    assert.equal("", slurp(("/proc/%s/task/%s/children"):format(processes()[1], processes()[1])))
    assert.is_true(z:serves())
  end)

  it("hands on the connection and nothing else", function()
    local one, two = assert(core.spawn(PATH, z)), assert(core.spawn(PATH, z))
    assert.is_true(eventually(function() return #processes() == 3 end))
    assert.is_true(eventually(function() -- three standard streams, the connection, a pidfd of the host, a signalfd; the zygote has none
      local n = 0
      for _, pid in ipairs(processes()) do n = n + #core.readdir("/proc/" .. pid .. "/fd") end
      return n == 6 + 6 + 5
    end))
    for _, pid in ipairs(processes()) do
      for fd = 0, 2 do assert.equal("/dev/null", core.realpath(("/proc/%s/fd/%d"):format(pid, fd))) end
    end
    one:close()
    two:close()
    assert.is_true(eventually(function() return #processes() == 1 end))
  end)

  it("answers many at once", function()
    local conns = {}
    for i = 1, 300 do conns[i] = assert(core.spawn(PATH, z)) end -- more than its queue holds: the rest is started directly
    for _, conn in ipairs(conns) do assert.truthy(answer(conn):find(NONE, 1, true)) end
    assert.is_true(z:serves())
  end)

  it("is done without when it was killed", function()
    local first = processes()[1]
    local mine = assert(core.zygote(PATH))
    assert.is_true(eventually(function() return #processes() == 2 end))
    for _, pid in ipairs(processes()) do
      if pid ~= first then os.execute("kill -9 " .. pid) end
    end
    assert.is_true(eventually(function() return #processes() == 1 end))
    for _ = 1, 3 do assert.truthy(answer(assert(core.spawn(PATH, mine))):find(NONE, 1, true)) end
    assert.is_false(mine:serves())
    mine:close()
  end)

  it("ends by close and by collection, and its supervisors do not", function()
    for _, how in ipairs{ "close", "collect" } do
      local mine = assert(core.zygote(PATH))
      local conn = assert(core.spawn(PATH, mine))
      assert.is_true(eventually(function() return #processes() == 3 end))
      if how == "close" then mine:close() end
      mine = nil -- luacheck: ignore
      collectgarbage()
      collectgarbage()
      assert.is_true(eventually(function() return #processes() == 2 end))
      assert.truthy(answer(conn):find(NONE, 1, true))
    end
  end)

  it("ends with a host that is killed, and its supervisors too", function()
    local flag = DIR .. "/ready"
    write("host.lua", ([[
local core = require "sandbox.core"
local z = assert(core.zygote(%q))
local conn = assert(core.spawn(%q, z))
core.write_file(%q, tostring(core.getpid()), 384)
core.poll(-1, "r", 1000)
print(z, conn)]]):format(PATH, PATH, flag))
    local lua, i = arg and arg[-1] or "lua", -1
    while arg and arg[i] do
      lua, i = arg[i], i - 1
    end
    os.execute(("LUA_PATH='%s' LUA_CPATH='%s' %s %s/host.lua >/dev/null 2>&1 &"):format(package.path, package.cpath, os.getenv "SANDBOX_TEST_LUA" or lua, DIR))
    assert.is_true(eventually(function() return core.stat(flag) ~= nil and #processes() == 3 end))
    os.execute("kill -9 " .. slurp(flag))
    assert.is_true(eventually(function() return #processes() == 1 end))
  end)

  it("says that it cannot fork", function()
    local drop = core.getuid() == 0 and "setpriv --reuid 65534 --clear-groups " or ""
    local poor = assert(core.zygote(write("poor", ("#!/bin/sh\nexec %sprlimit --nproc=0 %s\n"):format(drop, PATH))))
    local text = answer(assert(core.spawn(PATH, poor)))
    assert.truthy(text:find("cannot fork a supervisor: Resource temporarily unavailable", 1, true), text)
    poor:close()
  end)

  it("ends nobody when it cannot fork", function()
    local drop = core.getuid() == 0 and "setpriv --reuid 65534 --clear-groups " or ""
    local first = processes()[1]
    local mine = assert(core.zygote(write("rich", ("#!/bin/sh\nexec %s%s\n"):format(drop, PATH))))
    local pid
    assert.is_true(eventually(function()
      for _, other in ipairs(processes()) do pid = other ~= first and other or pid end
      return pid ~= nil
    end))
    local conn = assert(core.spawn(PATH, mine))
    assert.is_true(eventually(function() return #processes() == 3 end))
    assert(os.execute(drop .. "prlimit --nproc=0 --pid " .. pid)) -- as the same user: that is allowed everywhere
    assert.truthy(answer(assert(core.spawn(PATH, mine))):find("cannot fork", 1, true))
    assert.truthy(answer(conn):find(NONE, 1, true))
    assert.is_true(mine:serves())
    mine:close()
  end)

  it("is not asked by a forked copy of the host", function()
    local ok, ffi = pcall(require, "ffi")
    if not ok then -- PUC Lua cannot fork: a program that is no zygote ends the connection all the same
      local none = assert(core.zygote(write("none", "#!/bin/sh\nexit 0\n")))
      assert.is_true(eventually(function()
        local conn = assert(core.spawn(PATH, none))
        conn:close()
        return not none:serves()
      end))
      return
    end
    pcall(ffi.cdef, "int fork(void); void _exit(int); int waitpid(int, int *, int);")
    local status = ffi.new "int[1]"
    local pid = ffi.C.fork()
    if pid == 0 then ffi.C._exit(z:serves() and 1 or 0) end
    ffi.C.waitpid(pid, status, 0)
    assert.equal(0, status[0])
    assert.is_true(z:serves())
  end)

  it("raises for what is no path or no zygote", function()
    assert.has_error(function() core.zygote(1 == 1) end)
    assert.has_error(function() core.spawn(PATH, {}) end)
    local none, message, code = core.zygote("/nonexistent/supervisor")
    assert.same({ nil, "system" }, { none, code })
    assert.truthy(message:find("/nonexistent/supervisor", 1, true))
  end)
end)
