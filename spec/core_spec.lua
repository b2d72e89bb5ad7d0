-- SPDX-License-Identifier: MIT
-- sandbox.core and sandbox.job without runsc: shell scripts stand in for the supervisor where a process is needed, and a
-- transport made of two frame codecs where only frames are.
local core = require "sandbox.core"
local job_module = require "sandbox.run.job"

local scripts = {}

local function script(text)
  local path = os.tmpname()
  os.remove(path)
  assert(core.write_file(path, "#!/bin/sh\n" .. text .. "\n", tonumber("700", 8)))
  scripts[#scripts + 1] = path
  return path
end

local function descriptors()
  return #core.readdir("/proc/self/fd")
end

local function slurp(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

-- Waits for a whole frame; fails instead of hanging.
local function next_frame(conn)
  local deadline = core.now() + 5
  while core.now() < deadline do
    local kind, payload = conn:next()
    if kind then return kind, payload end
    core.poll(conn:fd(), conn:queued() > 0 and "rw" or "r", 1)
    conn:flush()
    if conn:recv() == nil then return nil, "end" end
  end
  error("no frame within 5 s")
end

local function wait_end(conn)
  local deadline = core.now() + 5
  while conn:recv() ~= nil do
    assert(core.now() < deadline, "no end within 5 s")
    core.poll(conn:fd(), "r", 1)
  end
end

describe("sandbox.core", function()
  local before

  setup(function()
    collectgarbage()
    collectgarbage()
    before = descriptors()
  end)

  teardown(function()
    for _, path in ipairs(scripts) do
      os.remove(path)
      os.remove(path .. ".out")
    end
    scripts = {}
    collectgarbage()
    collectgarbage()
    assert.equal(before, descriptors())
  end)

  it("exports one symbol", function()
    local path
    for template in package.cpath:gmatch("[^;]+") do
      local candidate = template:gsub("%?", "sandbox/core")
      if not path and core.stat(candidate) then path = candidate end
    end
    assert.is_string(path)
    local pipe = assert(io.popen("nm -D --defined-only '" .. path .. "'"))
    local names = {}
    for line in pipe:lines() do
      local name = line:match("%s[A-TV-Z]%s(%S+)$")
      if name and not name:find("^__") and not name:find("^_fini") and not name:find("^_init") then names[#names + 1] = name end
    end
    pipe:close()
    assert.same({ "luaopen_sandbox_core" }, names)
  end)

  it("carries frames to a process and back", function()
    local conn = assert(core.spawn(script("exec cat <&3 >&3")))
    assert.is_true(conn:send("R", "mode=run\0"))
    assert.is_true(conn:send("G", ""))
    local big = ("x"):rep(65536)
    for _ = 1, 20 do conn:send("I", big) end
    assert.same({ "R", "mode=run\0" }, { next_frame(conn) })
    assert.same({ "G", "" }, { next_frame(conn) })
    for _ = 1, 20 do
      local kind, payload = next_frame(conn)
      assert.equal("I", kind)
      assert.is_true(payload == big)
    end
    assert.equal(0, conn:queued())
    conn:close()
  end)

  it("takes frames in pieces of one byte", function()
    local from, to = core.frames(), core.frames()
    from:send("1", "abc")
    from:send("X", "status=exited\0")
    local bytes = from:take()
    for i = 1, #bytes do to:feed(bytes:sub(i, i)) end
    assert.same({ "1", "abc" }, { to:next() })
    assert.same({ "X", "status=exited\0" }, { to:next() })
    assert.is_nil((to:next()))
  end)

  it("refuses what is no frame", function()
    local conn = core.frames()
    assert.has_error(function() conn:send("?", "") end)
    assert.has_error(function() conn:send("RR", "") end)
    assert.has_error(function() conn:send("G", "x") end)
    assert.has_error(function() conn:send("I", ("x"):rep(65537)) end)
    conn:feed("\0\0\0\0?")
    assert.has_error(function() conn:next() end)
    conn = core.frames()
    conn:feed("\255\255\255\255" .. "1")
    assert.has_error(function() conn:next() end)
  end)

  it("closes as often as one likes", function()
    local conn = assert(core.spawn(script("exec cat <&3 >&3")))
    assert.is_false(conn:closed())
    conn:close()
    conn:close()
    assert.is_true(conn:closed())
    assert.is_nil(conn:fd())
    assert.is_nil((conn:recv()))
    assert.is_nil((conn:next()))
    core.frames():close()
  end)

  it("ends the supervisor's connection by close and by collection", function()
    local flag = script("cat <&3 >/dev/null; : >\"$0.out\"")
    for _, how in ipairs{ "close", "collect" } do
      local conn = assert(core.spawn(flag))
      if how == "close" then conn:close() end
      conn = nil -- luacheck: ignore
      collectgarbage()
      collectgarbage()
      local deadline = core.now() + 5
      while not core.stat(flag .. ".out") do
        assert(core.now() < deadline, how .. " did not end the connection")
        core.poll(-1, "r", 0.01)
      end
      os.remove(flag .. ".out")
    end
  end)

  it("says the end of a supervisor that just exits", function()
    local conn = assert(core.spawn(script("exit 0")))
    wait_end(conn)
    conn:close()
  end)

  it("says every time that the supervisor cannot be executed", function()
    for _ = 1, 50 do
      local conn, message, code = core.spawn("/nonexistent/supervisor")
      if conn then conn:close() end
      assert.is_nil(conn)
      assert.is_truthy(message:find("/nonexistent/supervisor", 1, true))
      assert.equal("system", code)
    end
  end)

  it("hands nothing of the host on", function()
    local open = assert(io.open("/proc/self/status")) -- not close-on-exec
    local path = script([[for f in /proc/$$/fd/*; do echo "fd ${f##*/} $(readlink "$f")"; done >"$0.out"
grep Sig /proc/self/status >>"$0.out"]])
    local conn = assert(core.spawn(path))
    wait_end(conn)
    conn:close()
    open:close()
    local text = slurp(path .. ".out")
    for fd = 0, 2 do
      assert.is_truthy(text:find("fd " .. fd .. " /dev/null", 1, true) or text:find("fd " .. fd .. " " .. path, 1, true), text)
    end
    assert.is_truthy(text:find("fd 3 socket:", 1, true), text)
    for fd, target in text:gmatch("fd (%d+) (%S+)") do
      -- what the shell opens itself: the script, its redirections, a pipe for $(…)
      if tonumber(fd) > 3 then assert.is_truthy(target:find(path, 1, true) or target == "/dev/null" or target:find("^pipe:"), text) end
    end
    assert.is_truthy(text:find("SigIgn:%s0000000000000000"), text)
    assert.is_truthy(text:find("SigBlk:%s0000000000000000") or text:find("SigBlk:%s0000000000010000"), text)
  end)

  it("keeps no descriptor of a spawn", function()
    local path = script("exec cat <&3 >&3")
    local count = descriptors()
    for _ = 1, 20 do assert(core.spawn(path)):close() end
    assert.equal(count, descriptors())
  end)

  -- Where this Lua can fork: the copy lets go of the job and the run goes on.
  local fork
  local ffi_ok, ffi = pcall(require, "ffi")
  if ffi_ok then
    ffi.cdef "int fork(void); void _exit(int); int waitpid(int, int *, int);"
    function fork(child)
      local pid = ffi.C.fork()
      if pid == 0 then
        child()
        ffi.C._exit(0)
      end
      ffi.C.waitpid(pid, nil, 0)
    end
  end
  if fork then
    it("does not end the parent's run from a forked copy", function()
      local conn = assert(core.spawn(script("exec cat <&3 >&3")))
      fork(function() conn:close() end)
      conn:send("G", "")
      assert.same({ "G", "" }, { next_frame(conn) })
      conn:close()
    end)
  end

  it("polls", function()
    local t = core.now()
    assert.is_false(core.poll(-1, "r", 0.02))
    assert.is_true(core.now() - t >= 0.02)
    local conn = assert(core.spawn(script("exec cat <&3 >&3")))
    assert.is_true(core.poll(conn:fd(), "w", 1))
    assert.is_false(core.poll(conn:fd(), "r", 0))
    conn:send("G", "")
    assert.is_true(core.poll(conn:fd(), "r", 5))
    assert.same({ conn:fd(), "r" }, core.pollv({ conn:fd(), "r" }, 5))
    conn:close()
    assert.has_error(function() core.poll(0 / 0, "r", 0) end)
    assert.has_error(function() core.poll("x", "r", 0) end)
  end)

  it("has libcap's names of capabilities, each at the kernel's number", function()
    local names = core.capabilities()
    local header = assert(io.open("/usr/include/linux/capability.h", "rb"))
    local defined = header:read "*a"
    header:close()
    local n = 0
    for name, number in defined:gmatch "#define (CAP_[%u_]+)%s+(%d+)%s" do
      if names[number + 1] then n = n + 1 assert.same({ number, name }, { number, names[number + 1] }) end
    end
    assert.equal(#names, n)
    assert.is_true(n >= 41)
  end)

  it("knows files", function()
    local st = assert(core.stat("/"))
    assert.equal("directory", st.type)
    assert.equal(0, st.uid)
    local none, message, code = core.stat("/nonexistent")
    assert.is_nil(none)
    assert.is_string(message)
    assert.equal("ENOENT", code)
    assert.equal("link", core.lstat("/proc/self").type)
    assert.equal("/usr", core.realpath("/usr/../usr/."))
    assert.is_true(core.access_x("/bin/sh"))
    assert.is_false(core.access_x("/etc/passwd"))
    assert.has_error(function() core.stat("/\0") end)
  end)

  it("makes, writes, renames and removes", function()
    local dir = os.tmpname()
    os.remove(dir)
    assert.is_true(core.mkdir(dir, tonumber("700", 8)))
    assert.equal(tonumber("700", 8), core.stat(dir).mode)
    assert.equal("EEXIST", (select(3, core.mkdir(dir, tonumber("700", 8)))))
    assert.is_true(core.write_file(dir .. "/a", "bytes\0more", tonumber("600", 8)))
    assert.equal("EEXIST", (select(3, core.write_file(dir .. "/a", "", tonumber("600", 8)))))
    assert.is_true(core.rename(dir .. "/a", dir .. "/b"))
    assert.same({ "b" }, core.readdir(dir))
    assert.equal("bytes\0more", slurp(dir .. "/b"))
    assert.is_true(core.unlink(dir .. "/b"))
    os.remove(dir)
    assert.equal("ENOENT", (select(3, core.readdir(dir))))
  end)

  it("draws names that no one guesses", function()
    local a, b = core.random_hex(16), core.random_hex(16)
    assert.is_truthy(a:find("^%x+$") and #a == 32)
    assert.are_not.equal(a, b)
  end)
end)

-- A transport whose other end is `peer`, a codec in the test's hands. `script` lists what happens in each wait.
local function pair(steps)
  local conn, peer = core.frames(), core.frames()
  local t = { peer = peer, steps = steps or {}, at = 0, seen = {} }
  function t.fd() return nil end
  function t.events() return "r" end
  function t.send(_, kind, payload)
    if t.closed then return nil, "closed", "EPIPE" end
    return conn:send(kind, payload)
  end
  function t.next() return conn:next() end
  function t.recv()
    local bytes = peer:take()
    if bytes ~= "" then
      conn:feed(bytes)
      return true
    end
    if t.eof then return nil end
    return false
  end
  function t.wait(_, seconds)
    t.at = t.at + 1
    local step = t.steps[t.at]
    if step then step(peer, t) return true end
    if t.over then -- after a result comes the end of the connection
      t.eof = true
      return true
    end
    if seconds then
      core.poll(-1, "r", seconds)
      return false
    end
    error("the job waits for ever", 0)
  end
  function t.close() t.closed = true end
  --- What the job has sent since the last call, as one string of types and payloads.
  function t.sent()
    local bytes = conn:take()
    while bytes ~= "" do
      peer:feed(bytes)
      bytes = conn:take()
    end
    local list = {}
    local kind, payload = peer:next()
    while kind do
      list[#list + 1] = { kind, payload }
      kind, payload = peer:next()
    end
    return list
  end
  return t
end

local function ends(text)
  local payload = (text or "status=exited exit_code=0 "):gsub(" ", "\0")
  return function(peer, t)
    peer:send("X", payload)
    t.over = true
  end
end

local function credit(n)
  return string.char(n % 256, math.floor(n / 256) % 256, math.floor(n / 65536) % 256, math.floor(n / 16777216))
end

local function start(steps, plan, request)
  local t = pair(steps)
  plan = plan or {}
  plan.limits = plan.limits or {}
  local job = assert(job_module.start(t, plan, request or { r = "mode=run\0", id = "00" }))
  return job, t
end

local function kinds(list)
  local out = {}
  for i, frame in ipairs(list) do out[i] = frame[1] end
  return table.concat(out)
end

describe("sandbox.run.patience", function()
  local patience = require "sandbox.run.patience"

  it("asks when a boot and a program's time are over, and gives up when nothing was heard", function()
    local p = patience.new(100, 10, 5)
    assert.equal(10, p:left(100))
    assert.is_nil(p:due(109.9))
    assert.equal("ask", p:due(110))
    assert.is_nil(p:due(116))
    assert.equal("give up", p:due(116.5)) -- boot, time, and less than 2 s
    p = patience.new(100, 10, 5)
    p:begin(101, 5)
    assert.is_nil(p:due(106))
    assert.equal("ask", p:due(106.5))
    assert.is_nil(p:due(116))
    assert.equal("give up", p:due(116.5))
  end)

  it("goes on for ever with what answers, and leaves a host that was busy itself the time to hear it", function()
    local p = patience.new(0, 1, 1)
    local now = 0
    for _ = 1, 100 do
      now = now + p:left(now)
      assert.equal("ask", p:due(now))
      p:heard(now)
    end
    p = patience.new(0, 1, 1)
    assert.equal("ask", p:due(1000))
    assert.is_nil(p:due(1004.9))
    assert.equal("give up", p:due(1005))
    p:begin(0)
    p:finish(50)
    assert.is_nil(p:due(60)) -- a clean-up may take 10 s
    assert.equal("give up", p:due(65))
  end)
end)

describe("sandbox.run.job", function()
  it("is lost when its supervisor does not answer, and is not when it does", function()
    local job, t = start({}, { limits = { timeout = 0.1 } }, { r = "mode=run\0", id = "00", boot_timeout = 0.01 })
    assert.same({ "supervisor_lost", true }, { select(3, job:wait()), t.closed })
    assert.truthy(kinds(t.sent()):find("P", 1, true))
    local asked = 0
    local function answers(peer, which)
      if kinds(which.sent()):find("P", 1, true) then
        asked = asked + 1
        peer:send("P", "")
      end
      which.at = asked < 3 and 0 or which.at -- this step again
    end
    job, t = start({ answers, ends() }, { limits = {} }, { r = "mode=run\0", id = "00", boot_timeout = 0.01 })
    t.over = nil
    assert.equal("exited", job:wait().status)
    assert.equal(3, asked)
  end)

  it("sends the request in order", function()
    local _, t = start({}, {}, { r = "mode=run\0", config = "{}", id = "00",
      files = { { path = "/work/a", mode = "644", content = ("x"):rep(70000) }, { path = "/work/b", from = "/etc/hosts", seen = { size = 5, dev = 6, ino = 7 } } } })
    local sent = t.sent()
    assert.equal("RCFDDFG", kinds(sent))
    assert.equal("/work/a\000644\0\0\0", sent[3][2])
    assert.equal("/work/b\000666\0/etc/hosts\0005 6 7\0", sent[6][2])
    assert.equal(70000, #sent[4][2] + #sent[5][2])
  end)

  it("keeps both streams for the result", function()
    local job = start{ function(peer)
      peer:send("S", "boot_duration=0.05\0pid=123\0")
      peer:send("1", "out")
      peer:send("2", "err")
      peer:send("1", "put")
    end, ends() }
    assert.is_nil(job:pid())
    local r = assert(job:wait())
    assert.equal("output", r.stdout)
    assert.equal("err", r.stderr)
    assert.is_true(r.ok)
    assert.equal(123, job:pid())
    assert.equal(r, job:wait())
  end)

  it("gives pieces in the order of arrival", function()
    local job = start{ function(peer)
      peer:send("1", "a")
      peer:send("2", "b")
      peer:send("1", "c")
    end, ends() }
    local seen = {}
    local stream, chunk = job:read()
    while stream do
      seen[#seen + 1] = stream .. ":" .. chunk
      stream, chunk = job:read()
    end
    assert.equal("stdout:a stderr:b stdout:c", table.concat(seen, " "))
    local r = job:wait()
    assert.is_nil(r.stdout)
    assert.is_nil(r.stderr)
  end)

  it("reads one stream and keeps the other", function()
    local job = start{ function(peer)
      peer:send("2", "kept")
      peer:send("1", "read")
    end, ends() }
    assert.equal("read", job:read("stdout"))
    assert.is_nil(job:read("stdout"))
    assert.equal("kept", job:wait().stderr)
    assert.has_error(function() job:read("stdin") end)
  end)

  it("cuts lines wherever the pieces end", function()
    local job = start{
      function(peer) peer:send("1", "one\nt") end,
      function(peer) peer:send("1", "wo") end,
      function(peer) peer:send("1", "\n\nlast") end,
      ends(),
    }
    local seen = {}
    local line_of = job:lines()
    local line = line_of()
    while line do
      seen[#seen + 1] = line
      line = line_of()
    end
    assert.same({ "one", "two", "", "last" }, seen)
  end)

  it("feeds stdin within the window and ends it", function()
    local job, t = start({ function(peer) peer:send("W", credit(262144)) end, ends() }, { stdin = ("s"):rep(300000) })
    local first = t.sent()
    local n = 0
    for _, frame in ipairs(first) do if frame[1] == "I" then n = n + #frame[2] end end
    assert.equal(262144, n)
    assert.is_nil(kinds(first):find("E"))
    assert(job:wait())
    local rest = t.sent()
    assert.equal("IE", kinds(rest))
    assert.equal(300000 - 262144, #rest[1][2])
  end)

  it("is not held up by a guest that never reads", function()
    local job = start({ ends() }, { stdin = function() return ("s"):rep(100000) end })
    assert.is_true(job:wait().ok)
  end)

  it("takes stdin from a function and from a file", function()
    local left = { "a", "", "b" }
    local job, t = start({ ends() }, { stdin = function() return table.remove(left, 1) end })
    assert(job:wait())
    assert.equal("RGIIE", kinds(t.sent()))
    job, t = start({ ends() }, { stdin = { from = "/proc/self/comm" } })
    assert(job:wait())
    local sent = t.sent()
    assert.equal("RGIE", kinds(sent))
    assert.equal(slurp("/proc/self/comm"), sent[3][2])
    local none, message, code = job_module.start(pair(), { stdin = { from = "/nonexistent" }, limits = {} }, { r = "", id = "00" })
    assert.is_nil(none)
    assert.is_string(message)
    assert.is_string(code)
  end)

  it("raises what a stdin function raises, after the end", function()
    local job, t = start({ ends("status=killed ") }, { stdin = function() error("from stdin", 0) end })
    local ok, err = pcall(job.wait, job)
    assert.is_false(ok)
    assert.equal("from stdin", err)
    assert.is_truthy(kinds(t.sent()):find("K"))
  end)

  it("waits in write while the window is shut, and takes output meanwhile", function()
    local job, t = start({
      function(peer) peer:send("1", "meanwhile") end,
      function(peer) peer:send("W", credit(100000)) end,
      ends(),
    }, { stdin_open = true, spawn = true })
    assert.is_true(job:write(("w"):rep(262144 + 5)))
    assert.equal(2, t.at)
    job:close_stdin()
    job:close_stdin()
    local none, _, code = job:write("more")
    assert.is_nil(none)
    assert.equal("closed", code)
    assert.equal("meanwhile", job:wait().stdout)
    local n, list = 0, t.sent()
    for _, frame in ipairs(list) do if frame[1] == "I" then n = n + #frame[2] end end
    assert.equal(262144 + 5, n)
    assert.equal("E", list[#list][1])
  end)

  it("gives up a write when the run ends", function()
    local job = start({ ends() }, { stdin_open = true, spawn = true })
    local ok, _, code = job:write(("w"):rep(600000))
    assert.is_nil(ok)
    assert.equal("closed", code)
  end)

  it("calls back instead of keeping", function()
    local got = {}
    local job = start({ function(peer)
      peer:send("1", "a")
      peer:send("2", "e")
      peer:send("1", "b")
    end, ends() }, { on_stdout = function(chunk) got[#got + 1] = chunk end })
    local r = job:wait()
    assert.equal("ab", table.concat(got))
    assert.is_nil(r.stdout)
    assert.equal("e", r.stderr)
  end)

  it("kills when a callback says false", function()
    local job, t = start({ function(peer) peer:send("1", "a") end, ends("status=killed ") }, { on_stdout = function() return false end })
    assert.equal("killed", job:wait().status)
    local sent = t.sent()
    assert.same({ "K", "\0" }, sent[#sent])
  end)

  it("raises what a callback raises, once the run is over", function()
    local job, t = start({ function(peer) peer:send("2", "a") end, ends("status=killed ") }, { on_stderr = function() error({ mine = true }) end })
    local ok, err = pcall(job.wait, job)
    assert.is_false(ok)
    assert.is_true(err.mine)
    assert.is_truthy(kinds(t.sent()):find("K"))
  end)

  it("tells on_exit once", function()
    local calls = 0
    local job = start({ ends() }, { on_exit = function(r) calls = calls + (r.ok and 1 or 100) end })
    job:wait()
    job:wait()
    job:close()
    assert.equal(1, calls)
  end)

  it("sends signals by number and by name", function()
    local job, t = start{ ends("status=signaled signal=15 ") }
    t.sent()
    assert.is_true(job:kill())
    assert.is_true(job:kill("TERM"))
    assert.is_true(job:kill("SIGINT"))
    assert.is_true(job:kill(10))
    local sent = t.sent()
    assert.same({ { "K", "\0" }, { "K", "\15" }, { "K", "\2" }, { "K", "\10" } }, sent)
    for _, wrong in ipairs{ "NONE", 0, 65, 1.5, -1 } do assert.has_error(function() job:kill(wrong) end) end
    job:wait()
    local none, _, code = job:kill()
    assert.is_nil(none)
    assert.equal("closed", code)
  end)

  it("gives a start error from read and from wait", function()
    local bad = ends("error=bad_command message=nothing-there ")
    local job = start{ bad }
    assert.same({ nil, "nothing-there", "bad_command" }, { job:read() })
    assert.same({ nil, "nothing-there", "bad_command" }, { job:wait() })
    job = start{ bad }
    assert.same({ nil, "nothing-there", "bad_command" }, { job:read("stdout") })
  end)

  it("notices a supervisor that is lost", function()
    local job, t = start{}
    t.eof = true
    local none, message, code = job:wait()
    assert.is_nil(none)
    assert.is_string(message)
    assert.equal("supervisor_lost", code)
  end)

  it("waits no longer than asked", function()
    local job = start{}
    local t = core.now()
    local none, _, code = job:wait(0.02)
    assert.is_nil(none)
    assert.equal("timeout", code)
    assert.is_true(core.now() - t < 2)
    assert.equal("timeout", (select(3, job:wait(0))))
    assert.has_error(function() job:wait("x") end)
    assert.has_error(function() job:wait(-1) end)
  end)

  it("closes at any time, and as often as one likes", function()
    local job, t = start{}
    job:close()
    job:close()
    assert.is_true(t.closed)
    local none, _, code = job:wait()
    assert.is_nil(none)
    assert.equal("closed", code)
    assert.equal("closed", (select(3, job:read())))
    assert.equal("closed", (select(3, job:write("x"))))
    assert.equal("closed", (select(3, job:kill())))
    job:close_stdin()
    job = start{ ends() }
    local r = job:wait()
    job:close()
    assert.equal(r, job:wait())
  end)
end)
