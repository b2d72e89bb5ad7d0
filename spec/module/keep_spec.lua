-- SPDX-License-Identifier: MIT
-- Boxes that outlive their hosts, and hosts that come to them.
local env = require "support.harness"
local sb, core, sandbox = env.sb, env.core, env.sandbox
local LIMITS = { timeout = 120 * env.slow }
local LONG, SHORT = 600, 0.2 -- seconds for which boxes are kept: longer than any test, and no time at all
local KILLS = math.ceil((tonumber(os.getenv "SANDBOX_TEST_KILLS") or 12) / 4)

local HOST = [[
package.path, package.cpath = %q, %q
local sb = require("sandbox").new{ state_dir = %q, boot_timeout = 30 * %d }
local box = assert(sb:start{ keep = %s })
assert(box:run{ "sh", "-c", "echo theirs > /work/note" })
local job = assert(box:spawn{ "sh", "-c", "echo up; while read l; do echo got $l; done", detach = true, name = "stays", limits = { timeout = 600 } })
local own = assert(box:spawn{ "sleep", "1000", limits = { timeout = 600 } })
assert(job:read())
io.write(box.id, "\n") io.flush()
while true do own:wait(60) end
]]

-- Another process, which has a box with two programs, one of them detached: the box's id, and how the process is killed.
local function host(keep)
  local dir, remove = env.tmpdir()
  local file = env.write(dir .. "/host.lua", HOST:format(package.path, package.cpath, env.state_dir, env.slow, keep or "nil"))
  local pipe = io.popen(("echo $$; exec %s %s 2>&1"):format(core.realpath "/proc/self/exe", file))
  local pid, id = pipe:read "*l", pipe:read "*l"
  assert.is_truthy(id and id:find "^%x+$", id)
  remove()
  return id, function()
    os.execute("kill -9 " .. pid)
    pipe:close()
  end
end

local function commands(box)
  local out = {}
  for i, p in ipairs(assert(box:processes())) do out[i] = p.command end
  table.sort(out)
  return table.concat(out, " ")
end

local function entry(id)
  for _, box in ipairs(assert(sb:boxes())) do
    if box.id == id then return box end
  end
end

-- The keeper of a box, and the box's supervisor, which is that one's child and holds the lock.
local function keeper_of(dir)
  for _, pid in ipairs(core.readdir "/proc") do
    if pid:find "^%d+$" and env.slurp("/proc/" .. pid .. "/cmdline"):find("sandbox-supervisor", 1, true) then
      for _, fd in ipairs(core.readdir("/proc/" .. pid .. "/fd") or {}) do
        if core.realpath(("/proc/%s/fd/%s"):format(pid, fd)) == dir .. "/lock" then return env.slurp("/proc/" .. pid .. "/stat"):match "%) %S (%d+)", pid end
      end
    end
  end
end

describe("a box with keep", function()
  local before
  setup(function()
    assert(sb:run{ "true" })
    before = env.census()
  end)
  after_each(function() -- of what a failure left
    for _, there in ipairs(sb:boxes() or {}) do
      local box = sb:attach(there.id)
      if box then box:stop() end
    end
  end)

  it("outlives its host, is found by its id, and has what stays and nothing else", function()
    local id, kill = host(LONG)
    local there = entry(id)
    assert.same({ "running", LONG, 1, { "stays" } }, { there.state, there.keep, there.hosts, there.programs })
    kill()
    local box = assert(sb:attach(id))
    assert.is_true(env.eventually(function() return commands(box) == "sh" end)) -- its own one went with it
    assert.equal(1, entry(id).hosts)
    assert.equal("theirs\n", box:read_file "/work/note")
    local job = assert(box:attach "stays")
    assert.equal("up\n", select(2, job:read()) or job)
    assert(job:write("hello\n"))
    assert.equal("got hello\n", job:read "stdout")
    job:close()
    local r = assert(box:run{ "cat", stdin = "in", limits = LIMITS })
    assert.same({ "exited", "in", 512 * 1024 * 1024 }, { r.status, r.stdout, r.limits.memory.requested })
    local own = assert(box:spawn{ "sh", "-c", "read x; echo $x", limits = LIMITS })
    own:write "line\n"
    assert.equal("line\n", assert(own:wait()).stdout)
    own:close()
    local top, remove = env.tmpdir()
    assert.equal(false, assert(box:snapshot(top .. "/snapshot", { memory = false })).memory)
    remove()
    local none, why, code = box:fork{ memory = false }
    assert.same({ nil, "not_supported" }, { none, code })
    assert.is_truthy(why:find("sandbox.restore", 1, true))
    assert.is_true(box:stop())
    none, why, code = sb:attach(id)
    assert.same({ nil, "not_found" }, { none, code })
    assert.is_truthy(why:find(id, 1, true))
    assert.is_nil(env.leftovers(before))
  end)

  it("has several hosts: each one's end is its own, the last one's ends it after keep, and stop ends it for all", function()
    local first = assert(sb:start{ keep = LONG, env = { NAME = "shared" }, limits = { memory = "256M", output = "4K" } })
    local other = sandbox.new{ state_dir = env.state_dir, boot_timeout = 30 * env.slow, control = env.control }
    local second, third = assert(other:attach(first.id)), assert(sb:attach(first.id))
    local job = assert(second:spawn{ "sleep", "1000", limits = LIMITS })
    local r = assert(third:run{ "sh", "-c", "echo $NAME; head -c 5000 /dev/zero", limits = LIMITS })
    assert.same({ 0, "shared\n", 4096, true, 256 * 1024 * 1024 }, { r.exit_code, r.stdout:sub(1, 7), #r.stdout, r.stdout_truncated, r.limits.memory.requested })
    assert.is_true(second:pause())
    assert.is_true(third:pause()) -- whoever asks: it stands still once
    for _, each in ipairs{ first, second, third } do
      assert.equal("paused", select(3, each:run{ "true", limits = LIMITS }))
      assert.equal("paused", select(3, each:read_file "/etc/passwd"))
    end
    assert.is_true(first:resume()) -- whoever paused it
    assert.is_true(assert(third:run{ "true", limits = LIMITS }).ok)
    first:close()
    assert.is_nil((first:run{ "true" }))
    assert.equal("sleep", commands(third))
    other:shutdown() -- spares what it only attached to, and ends its own programs in it
    assert.equal("killed", assert(job:wait()).status)
    job:close()
    second:close()
    assert.is_true(env.eventually(function() return commands(third) == "" end))
    second = assert(sb:attach(first.id))
    third:stop()
    assert.is_nil((second:run{ "true" }))
    assert.equal("closed", select(3, second:run{ "true" }))
    second:close()
    assert.is_nil(env.leftovers(before))
    local short = assert(sb:start{ keep = SHORT, limits = { memory = "256M" } })
    core.poll(-1, "r", 3 * SHORT) -- longer than it is kept, which does not count as long as it has a host
    assert.is_true(assert(short:run{ "true", limits = LIMITS }).ok)
    short:close()
    assert.is_nil(env.leftovers(before))
    for want, options in pairs{ keep = { keep = 0 }, ["keep it cannot"] = { keep = 1, spec = function() end } } do
      local ok, message = pcall(sb.start, sb, options)
      assert.same({ want, false }, { want, ok })
      assert.is_truthy(message:find(want:match "^keep", 1, true))
    end
    assert.is_false(pcall(sb.pool, sb, { keep = 1 }))
    assert.is_false(pcall(sb.attach, sb))
    local none, why, code = sb:start{ keep = 1, env = { LARGE = ("x"):rep(200000) } }
    assert.same({ nil, "not_supported" }, { none, code })
    assert.is_truthy(why:find("128 KiB", 1, true))
  end)

  it("is nobody's but its user's, and bears what comes to its socket, and what lies in its place", function()
    local box = assert(sb:start{ keep = LONG, limits = { memory = "256M" } })
    local path = box.dir .. "/k"
    if core.getuid() == 0 then -- even where the way there is open, and so is the socket
      os.execute(("chmod 755 %q; chmod 666 %q"):format(box.dir, path))
      local pipe = io.popen(([[setpriv --reuid 65534 --regid 65534 --clear-groups /usr/bin/python3 -c 'import socket
s = socket.socket(socket.AF_UNIX); s.connect("%s")
try: print(s.send(b"\x06\0\0\0Hask=1\0") * 0 + len(s.recv(100)))
except OSError: print(0)']]):format(path))
      assert.equal("0\n", pipe:read "*a")
      pipe:close()
      os.execute(("chmod 711 %q; chmod 700 %q"):format(box.dir, path))
    end
    local garbage = { ("x"):rep(100), "\255\255\255\255H", "\1\0\0\0Ia", "\4\0\0\0Hask=", "\0\0\0\0G", "\0\0\0\0K", "\2\0\0\0Hx\0\0\0\0\0R",
                      "\7\0\0\0Hfrom=1\0\0\0\0\0L", "\7\0\0\0Hfrom=1\0\1\0\0\0Ix", "\7\0\0\0Hfrom=1\0\7\0\0\0Hfrom=1\0", "\7\0\0\0Hfrom=1\0\3\0\0\0B\0\0\0\0\0\0\0B" }
    for _, bytes in ipairs(garbage) do
      local pipe = io.popen(([[/usr/bin/python3 -c 'import socket
s = socket.socket(socket.AF_UNIX); s.connect("%s"); s.sendall(bytes([%s])); s.shutdown(1)
while s.recv(65536): pass' 2>/dev/null]]):format(path, table.concat({ bytes:byte(1, -1) }, ",")))
      pipe:close()
    end
    for _ = 1, 50 do -- a thousand connections that say nothing, twenty at once: more than there are places
      local open = {}
      for i = 1, 20 do open[i] = core.dial(path) end
      for i = 1, 20 do
        if open[i] then open[i]:close() end
      end
    end
    local many = {}
    for i = 1, 15 do many[i] = assert(sb:attach(box.id)) end
    local none, why, code = sb:attach(box.id)
    assert.same({ nil, "busy" }, { none, code })
    assert.is_truthy(why:find("16 at once", 1, true))
    for _, each in ipairs(many) do each:close() end
    local again
    assert.is_true(env.eventually(function() again = sb:attach(box.id) return again end))
    assert.is_true(assert(again:run{ "true", limits = LIMITS }).ok)
    box:stop()
    again:close()
    -- What is put in a box's place: no directory, one that others may write, no socket, or nothing that it says.
    for _, id in ipairs{ "..", "../x", "", ("a"):rep(31), ("g"):rep(32), ("a"):rep(32), "a\0b" } do
      none, why, code = sb:attach(id)
      assert.same({ id, nil, "not_found" }, { id, none, code })
      assert.is_truthy(why)
    end
    local forged = env.state_dir .. "/run-" .. ("b"):rep(32)
    local dir, remove = env.tmpdir()
    for want, make in pairs{ system = "chmod 777 %s", not_found = "touch %s/k", system_ = "rmdir %s; ln -s " .. dir .. " %s" } do
      os.execute("mkdir " .. forged .. "; " .. make:gsub("%%s", forged))
      none, why, code = sb:attach(("b"):rep(32))
      assert.same({ want, nil, want:gsub("_$", "") .. "" }, { want, none, code })
      assert.is_truthy(why)
      assert.same({}, assert(sb:boxes()))
      os.execute("rm -rf " .. forged)
    end
    for _, about in ipairs{ "{}", "[]", "x", [[{"format":1}]], [[{"format":1,"runtime":{"runsc":"/x","version":"1","platform":"x","flags":{},"boot_timeout":1},"plan":{}}]] } do
      os.execute("mkdir " .. forged)
      local pipe = io.popen(([[/usr/bin/python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX); s.bind("%s/k"); s.listen(); print(flush=True)
c = s.accept()[0]; c.recv(100)
b = b"id=%s\0about=" + sys.argv[1].encode() + b"\0"
c.sendall(len(b).to_bytes(4, "little") + b"H" + b)' '%s']]):format(forged, ("b"):rep(32), about))
      pipe:read "*l"
      none, why, code = sb:attach(("b"):rep(32))
      assert.same({ about, nil, about:find "^{" and "not_supported" or code }, { about, none, code })
      assert.is_truthy(why)
      pipe:close()
      os.execute("rm -rf " .. forged)
    end
    remove()
    assert.is_nil(env.leftovers(before))
  end)

  it(("or without: kill -9 of host, supervisor and keeper, %d times each, leaves exactly what is to remain"):format(KILLS), function()
    for i = 1, KILLS do
      local _, kill = host()
      kill()
      assert.same({ i, "without keep" }, { i, "without keep", (env.leftovers(before)) })
      for _, whom in ipairs{ "supervisor", "keeper" } do
        local id
        id, kill = host(LONG)
        kill()
        local box = assert(sb:attach(id))
        assert.is_true(env.eventually(function() return commands(box) == "sh" end))
        local keeper, supervisor = keeper_of(box.dir)
        os.execute("kill -9 " .. assert(whom == "keeper" and keeper or supervisor))
        assert.is_nil((box:run{ "true", limits = LIMITS }))
        box:close()
        if whom == "supervisor" then assert(sb:cleanup_stale()) end -- its directory is there yet, as ever when one dies so
        assert.same({ i, whom }, { i, whom, (env.leftovers(before)) })
      end
    end
  end)

  it("leaves nothing behind", function() assert.is_nil(env.leftovers(before)) end)
end)
