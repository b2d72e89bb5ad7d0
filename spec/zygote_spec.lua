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
    local pid = processes()[1]
    -- What ends has lost its command line a moment before it is gone.
    assert.is_true(eventually(function() return slurp(("/proc/%s/task/%s/children"):format(pid, pid)) == "" end))
    assert.is_true(z:serves())
  end)

  it("hands on the connection and nothing else", function()
    local one, two = assert(core.spawn(PATH, z)), assert(core.spawn(PATH, z))
    assert.is_true(eventually(function() return #processes() == 3 end))
    assert.is_true(eventually(function() -- three standard streams, the connection, a pidfd of the host; a signalfd comes later, and the zygote has one
      local n = 0
      for _, pid in ipairs(processes()) do n = n + #core.readdir("/proc/" .. pid .. "/fd") end
      return n == 5 + 5 + 5
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
    assert.is_true(eventually(function() return #processes() == 1 end)) -- what the tests before this one started has ended
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

  -- What a host does with descriptors and with itself is done by libc: in LuaJIT there is a way to it, and rows of it.
  local ok, ffi = pcall(require, "ffi")
  if not ok then return end
  pcall(ffi.cdef, [[
    int fork(void); void _exit(int); int waitpid(int, int *, int); int open(const char *, int, int); int close(int); int dup2(int, int);
    int unshare(int); int chroot(const char *); int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long); int nice(int);
    int setgroups(size_t, const unsigned *); int setresgid(unsigned, unsigned, unsigned); int setfsuid(unsigned);]])

  local function numbers()
    local set = {}
    for _, name in ipairs(core.readdir "/proc/self/fd") do set[tonumber(name)] = core.lstat("/proc/self/fd/" .. name) and true end
    return set
  end

  -- Each descriptor that `make` opens is closed, and its number is a file's. After `use` those files are there, and empty.
  local function taken_away(make, use)
    local known, log = numbers(), DIR .. "/log"
    local thing = make()
    local mine = {}
    for fd in pairs(numbers()) do
      if not known[fd] then mine[#mine + 1] = fd end
    end
    assert.is_true(#mine > 0)
    write("log", "")
    local file = ffi.C.open(log, 1, 0)
    for _, fd in ipairs(mine) do assert.equal(fd, ffi.C.dup2(file, fd)) end
    use(thing)
    thing:close()
    thing = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    for _, fd in ipairs(mine) do
      assert.equal(log, core.realpath("/proc/self/fd/" .. fd))
      ffi.C.close(fd)
    end
    ffi.C.close(file)
    assert.equal("", slurp(log))
    core.unlink(log)
  end

  it("writes nothing to a descriptor that was taken away, and closes none", function()
    taken_away(function() return assert(core.zygote(PATH)) end, function(it)
      assert.is_false(it:serves())
      assert.truthy(answer(assert(core.spawn(PATH, it))):find(NONE, 1, true))
    end)
    taken_away(function() return assert(core.spawn(PATH, z)) end, function(conn)
      assert.is_nil(conn:fd())
      assert.is_nil(conn:send("G", ""))
      assert.is_nil(conn:recv())
    end)
    taken_away(function() return (assert(core.ctl_listen())) end, function(listener)
      assert.is_nil((core.ctl_spawn(listener, PATH)))
    end)
    taken_away(function() return assert(core.epoll()) end, function(epoll)
      local conn = assert(core.spawn(PATH, z))
      assert.is_nil(epoll:wait(0)) -- everybody has to say again what he waits for
      assert.is_true(epoll:want(conn:fd(), "w"))
      assert.same({ conn:fd() }, epoll:wait(10))
      conn:close()
    end)
    taken_away(function() return assert(core.reader(PATH)) end, function(reader)
      assert.equal("EBADF", (select(3, reader:read(10))))
    end)
  end)

  -- In a forked copy, with a zygote of its own: 0, it is not asked any more, and what is started is as the host is.
  local function changed(f)
    local status, pid = ffi.new "int[1]", ffi.C.fork()
    if pid == 0 then
      local ran, code = pcall(function()
        local mine = assert(core.zygote(PATH))
        local served, was = mine:serves(), core.identity()
        if core.identity() ~= was then return 8 end
        local done = f()
        if done == 0 and core.identity() == was then return 7 end
        local serves, conn = mine:serves(), core.spawn(PATH, mine)
        local as_we = conn and answer(conn):find(NONE, 1, true)
        return not served and 2 or done ~= 0 and 3 or serves and 4 or not as_we and 5 or not mine:closed() and 6 or 0
      end)
      if not ran then io.stderr:write(tostring(code), "\n") end
        ffi.C._exit(ran and code or 1)
    end
    ffi.C.waitpid(pid, status, 0)
    return status[0] / 256
  end

  it("is for one set of credentials, capabilities, namespaces and one root directory", function()
    local NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWNET, NEWCGROUP = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x40000000, 0x2000000
    local all = { -- what every user may do
      no_new_privs = function() return ffi.C.prctl(38, 1, 0, 0, 0) end,
      nice = function() return ffi.C.nice(1) - 1 end,
    }
    if core.getuid() == 0 then
      for name, flag in pairs{ mnt = NEWNS, uts = NEWUTS, ipc = NEWIPC, net = NEWNET, cgroup = NEWCGROUP } do
        all[name] = function() return ffi.C.unshare(flag) end
      end
      all.user = function() return ffi.C.unshare(NEWUSER) end
      all.bounding = function() return ffi.C.prctl(24, 1, 0, 0, 0) end
      all.securebits = function() return ffi.C.prctl(28, 16, 0, 0, 0) end
      all.groups = function() return ffi.C.setgroups(1, ffi.new("unsigned[1]", 12345)) end
      all.saved_gid = function() return ffi.C.setresgid(0, 0, 12345) end
      all.fsuid = function() return ffi.C.setfsuid(12345) end
    end
    for name, f in pairs(all) do assert.same({ name, 0 }, { name, changed(f) }) end
    if core.getuid() == 0 then assert.equal(5, changed(function() return ffi.C.chroot "/usr" end)) end -- where there is no supervisor to start
    assert.equal(7, changed(function() return 0 end)) -- it can fail
  end)

  -- As a container's seccomp filter does that does not know the call, or an old kernel. The number is the same on every machine.
  local function refuse_close_range(errno)
    pcall(ffi.cdef, [[struct sock_filter { uint16_t code; uint8_t jt, jf; uint32_t k; }; struct sock_fprog { uint16_t len; struct sock_filter *filter; };]])
    local code = ffi.new("struct sock_filter[4]", {
      { 0x20, 0, 0, 0 }, { 0x15, 0, 1, 436 }, { 0x06, 0, 0, 0x50000 + errno }, { 0x06, 0, 0, 0x7fff0000 },
    })
    local program = ffi.new("struct sock_fprog", 4, code)
    return ffi.C.prctl(38, 1, 0, 0, 0) == 0 and ffi.C.prctl(22, 2, ffi.cast("unsigned long", ffi.cast("void *", program)), 0, 0) == 0
  end

  it("and its supervisors inherit nothing where close_range is refused", function()
    local lister = write("lister", ("#!/bin/sh\nfor f in /proc/$$/fd/*; do readlink $f; done >%s/listed.new; mv %s/listed.new %s/listed\n"):format(DIR, DIR, DIR))
    for _, errno in ipairs{ 1, 38 } do -- EPERM, ENOSYS
      local pid, status = ffi.C.fork(), ffi.new "int[1]"
      if pid == 0 then
        local ran, code = pcall(function()
          for i = 1, 600 do -- more than one call lists, and one beyond all others
            local fd = ffi.C.open(PATH, 0, 0)
            if i == 600 then ffi.C.dup2(fd, 900) end
          end
          if not refuse_close_range(errno) then return 2 end
          local conn = core.spawn(lister) -- which shows what is handed on, and not what is closed after
          return conn and eventually(function() return core.stat(DIR .. "/listed") ~= nil end) and 0 or 3
        end)
        if not ran then io.stderr:write(tostring(code), "\n") end
        ffi.C._exit(ran and code or 1)
      end
      ffi.C.waitpid(pid, status, 0)
      assert.equal(0, status[0])
      local listed = slurp(DIR .. "/listed")
      core.unlink(DIR .. "/listed")
      assert.is_nil(listed:find(PATH, 1, true))
      assert.truthy(listed:find("socket:", 1, true))
    end
  end)

  it("raises for what is no path or no zygote", function()
    assert.has_error(function() core.zygote(1 == 1) end)
    assert.has_error(function() core.spawn(PATH, {}) end)
    local none, message, code = core.zygote("/nonexistent/supervisor")
    assert.same({ nil, "system" }, { none, code })
    assert.truthy(message:find("/nonexistent/supervisor", 1, true))
  end)
end)
