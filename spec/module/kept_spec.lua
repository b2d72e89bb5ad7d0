-- SPDX-License-Identifier: MIT
-- Programs that stay, whoever started them.
local env = require "support.harness"
local sb, core = env.sb, env.core
local LIMITS = { timeout = 120 * env.slow }

-- Answers each line, and ends with the input, or when it is told to.
local SERVER = { "sh", "-c", "echo up; while read l && test $l != quit; do echo got $l; done; echo down >&2; exit 7" }

local function server(box, name, more)
  local options = { detach = true, name = name, limits = LIMITS }
  for i, word in ipairs(SERVER) do options[i] = word end
  for k, v in pairs(more or {}) do options[k] = v end
  return assert(box:spawn(options))
end

-- Reads stdout up to these words, which it then ends with.
local function read_to(job, words)
  local seen = ""
  repeat
    local chunk, why = job:read "stdout"
    assert.is_truthy(chunk, ("%q was never seen, but %q (%s)"):format(words, seen, tostring(why)))
    seen = seen .. chunk
  until seen:sub(-#words) == words
  return seen
end

local function by_name(box, name)
  for _, p in ipairs(assert(box:programs())) do
    if p.name == name then return p end
  end
end

-- Supervisors and keepers of a box: pid to parent.
local function supervisors(dir)
  local out = {}
  for _, pid in ipairs(core.readdir "/proc") do
    if pid:find "^%d+$" and env.slurp("/proc/" .. pid .. "/cmdline"):find("sandbox-supervisor", 1, true) then
      for _, fd in ipairs(core.readdir("/proc/" .. pid .. "/fd") or {}) do
        if core.realpath(("/proc/%s/fd/%s"):format(pid, fd)) == dir then out[pid] = env.slurp("/proc/" .. pid .. "/stat"):match "%) %S (%d+)" end
      end
    end
  end
  return out
end

-- A program's keeper, and its supervisor, which is that one's child.
local function keeper_of(box)
  local all, keeper, supervisor = supervisors(box.dir), nil, nil
  for pid, parent in pairs(all) do
    if all[parent] then keeper, supervisor = parent, pid end
  end
  return keeper, supervisor
end

-- What is left of a program, and of all others, after a while; nil: nothing.
local function left(box, name)
  local what
  env.eventually(function()
    local p, list = by_name(box, name), {}
    for i, process in ipairs(assert(box:processes())) do list[i] = process.command end
    what = p and p.state or list[1] and table.concat(list, " ")
    return not what
  end)
  return what
end

describe("a detached program", function()
  local before, box
  setup(function()
    assert(sb:run{ "true" })
    before = env.census()
    box = assert(sb:start{ limits = { memory = "256M" } })
  end)

  it("goes on without its job, is found again, and has several readers, of whom one writes", function()
    local job = server(box, "server")
    read_to(job, "up\n")
    assert(job:write("1\n"))
    read_to(job, "got 1\n")
    local offset = job:offset()
    assert.equal(9, offset)
    local p = by_name(box, "server")
    assert.same({ "running", job.id, 0, 9, 1, false, SERVER }, { p.state, p.id, p.first, p.written, p.readers, p.pty, p.argv })
    job:close()
    job = nil -- luacheck: ignore
    assert.is_true(env.eventually(function() return by_name(box, "server").readers == 0 end))
    local a = assert(box:attach "server")
    assert.equal("up\ngot 1\n", read_to(a, "got 1\n"))
    assert(a:write("2\n"))
    read_to(a, "got 2\n")
    local b, now, quiet = assert(box:attach("server", { from = offset })), assert(box:attach(p.id, { from = "now", write = false })), nil
    assert.equal("got 2\n", read_to(b, "got 2\n"))
    assert(b:write("3\n"))
    for _, each in ipairs{ a, b, now } do assert.equal("got 3\n", read_to(each, "got 3\n")) end -- and no more than that was for the last
    for _, each in ipairs{ a, now } do
      local ok, why, code = each:write("x\n")
      assert.same({ nil, "closed" }, { ok, code })
      assert.is_truthy(why:find("another job's", 1, true))
    end
    b:close()
    assert.is_true(env.eventually(function() quiet = a:write("4\n") return quiet end))
    read_to(a, "got 4\n")
    a:close_stdin()
    for _, each in ipairs{ a, now } do
      local r = assert(each:wait())
      assert.same({ "exited", 7, false }, { r.status, r.exit_code, r.stdout_truncated })
      each:close()
    end
    local late = assert(box:attach "server") -- what is over is still kept
    local r = assert(late:wait())
    assert.same({ 7, "up\ngot 1\ngot 2\ngot 3\ngot 4\n", "down\n", 32, "supervisor" }, { r.exit_code, r.stdout, r.stderr, r.stdout_bytes - 0 + 5, r.limits.output.enforced_by })
    assert.equal("ended", by_name(box, "server").state)
    local again = server(box, "server") -- and gives way to the next of its name
    assert.equal("starting", ({ starting = "starting", running = "starting" })[by_name(box, "server").state])
    local no, why, code = box:spawn{ "true", detach = true, name = "server" }
    assert.same({ nil, "busy" }, { no, code })
    assert.is_truthy(why:find("server", 1, true))
    again:kill()
    assert.equal("killed", assert(again:wait()).status)
    local none
    none, why, code = box:attach "nobody"
    assert.same({ nil, "the box has no detached program nobody", "not_found" }, { none, why, code })
  end)

  it("never waits for its readers: the end of its output is kept", function()
    local flood = "head -c 3000000 /dev/zero | tr '\\0' x; printf y; sleep 1000"
    local job = assert(box:spawn{ "sh", "-c", flood, detach = true, name = "flood", limits = { output = "64K", timeout = LIMITS.timeout } })
    local idle = assert(box:attach("flood", { write = false })) -- who never reads
    assert.is_true(env.eventually(function() return by_name(box, "flood").written == 3000001 end))
    local p = by_name(box, "flood")
    assert.equal(3000001 - 65536, p.first)
    local late = assert(box:attach("flood", { from = 5 }))
    local kept = read_to(late, "y")
    assert.equal(65536, #kept)
    assert.equal(3000001, late:offset())
    assert.is_true(#read_to(idle, "y") < 3000001) -- of what it was too slow for, it is told where that ends
    assert.equal(3000001, idle:offset())
    late:kill()
    local r = assert(late:wait())
    assert.same({ "killed", true, 3000001 }, { r.status, r.stdout_truncated, r.stdout_bytes })
    for _, each in ipairs{ job, idle, late } do each:close() end
  end)

  it("may have a terminal, and starts or says why not", function()
    local job = server(box, "shell", { pty = { rows = 30, cols = 90 } })
    read_to(job, "up\r\n")
    job:close()
    local a = assert(box:attach "shell")
    read_to(a, "up\r\n")
    a:write("hello\n")
    read_to(a, "got hello\r\n")
    assert.is_true(a:resize(40, 100))
    a:write("quit\n") -- an end of input is not known to the terminals of every build
    assert.equal(7, assert(a:wait()).exit_code)
    a:close()
    local bad = assert(box:spawn{ "/nowhere", detach = true, name = "bad" })
    local r, _, code = bad:wait()
    assert.same({ nil, "bad_command" }, { r, code })
    assert.is_true(env.eventually(function() return by_name(box, "bad") == nil end)) -- what never was is not kept
    for want, wrong in pairs{ detach = { "true", detach = 1 }, name = { "true", name = "x" }, ["name'"] = { "true", detach = true, name = "a/b" },
                              ["limits.output"] = { "true", detach = true, limits = { output = false } } } do
      local ok, why = pcall(box.spawn, box, wrong)
      assert.same({ want, false }, { want, ok })
      assert.is_truthy(why:find(want:gsub("'", ""), 1, true), why)
    end
    assert.is_false(pcall(box.run, box, { "true", detach = true }))
    assert.is_false(pcall(box.attach, box, "shell", { from = -1 }))
  end)

  it("dies with its keeper, and its readers are told of a supervisor that died", function()
    local job = server(box, "orphan")
    read_to(job, "up\n")
    local _, supervisor = keeper_of(box)
    os.execute("kill -9 " .. assert(supervisor))
    local r, _, code = job:wait()
    assert.same({ nil, "supervisor_lost" }, { r, code })
    job:close()
    assert.is_nil(left(box, "orphan"))
    job = server(box, "orphan")
    read_to(job, "up\n")
    os.execute("kill -9 " .. assert((keeper_of(box))))
    assert.is_nil((job:wait()))
    job:close()
    assert.is_nil(left(box, "orphan"))
    assert.is_true(assert(box:run{ "true" }).ok)
  end)

  it("is nobody's but its user's, and bears what comes to its socket", function()
    local job = server(box, "door")
    read_to(job, "up\n")
    local path
    for _, name in ipairs(core.readdir(box.dir)) do
      if name:find "^p%d+$" then path = core.dial(box.dir .. "/" .. name) and box.dir .. "/" .. name or path end
    end
    if core.getuid() == 0 then -- even where the way there is open, and so is the socket
      os.execute(("chmod 755 %q; chmod 666 %q"):format(box.dir, path))
      local probe = ([[setpriv --reuid 65534 --regid 65534 --clear-groups /usr/bin/python3 -c 'import socket
s = socket.socket(socket.AF_UNIX); s.connect("%s")
try: print(s.send(b"\x06\0\0\0Hask=1\0") * 0 + len(s.recv(100)))
except OSError: print(0)']]):format(path)
      local pipe = io.popen(probe)
      assert.equal("0\n", pipe:read "*a")
      pipe:close()
      os.execute(("chmod 711 %q; chmod 700 %q"):format(box.dir, path))
    end
    for _, bytes in ipairs{ ("x"):rep(100), "\255\255\255\255H", "\1\0\0\0Ia", "\4\0\0\0Hask=", "\0\0\0\0G", "\8\0\0\0Hfrom=5\0I" } do
      local pipe = io.popen(([[/usr/bin/python3 -c 'import socket,sys
s = socket.socket(socket.AF_UNIX); s.connect("%s"); s.sendall(bytes([%s])); s.shutdown(1); s.recv(100)' 2>/dev/null]]):format(path, table.concat({ bytes:byte(1, -1) }, ",")))
      pipe:close()
    end
    local open = {}
    for i = 1, 40 do open[i] = core.dial(path) end -- more than there are places
    assert.equal("running", by_name(box, "door").state)
    for _, conn in ipairs(open) do conn:close() end
    assert(job:write("5\n"))
    read_to(job, "got 5\n")
    job:kill()
    assert(job:wait())
    job:close()
  end)

  it("ends with its box, and that with its host", function()
    local job = server(box, "last")
    read_to(job, "up\n")
    box:stop()
    local r, _, code = job:wait()
    assert.same({ nil, "closed" }, { r, code })
    job:close()
    assert.is_nil(env.leftovers(before))
    local script = ([[package.path, package.cpath = %q, %q
      local sb = require("sandbox").new{ state_dir = %q, boot_timeout = 30 }
      local box = assert(sb:start{})
      local job = assert(box:spawn{ "sh", "-c", "echo up; sleep 1000", detach = true, limits = { timeout = 600 } })
      assert(job:read()) io.write("up\n") io.flush() while true do job:wait(1) end]]):format(package.path, package.cpath, env.state_dir)
    local dir, remove = env.tmpdir()
    local file = env.write(dir .. "/host.lua", script)
    for i = 1, os.getenv "SANDBOX_TEST_ALL" and 50 or 2 do
      local pipe = io.popen(("echo $$; exec %s %s"):format(core.realpath "/proc/self/exe", file))
      local pid = pipe:read "*l"
      assert.equal("up", pipe:read "*l")
      os.execute("kill -9 " .. pid)
      pipe:close()
      assert.same({ i }, { i, env.leftovers(before) })
    end
    remove()
  end)

  it("leaves nothing behind", function() assert.is_nil(env.leftovers(before)) end)
end)
