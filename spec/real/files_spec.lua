-- SPDX-License-Identifier: MIT
-- Files in and out of a sandbox beside what a program has left there to spoil it: what is read is whole or told as left out, and
-- the program's own verdict and output are never lost.
local env = require "support.harness"
local sb = env.sb

-- Goes on after its program, which ends with 7, as the same user: ends, stops, and writes into whatever else there is.
local HOSTILE = [[
import os, signal, sys
open('out', 'w').write('hello')
sys.stdout.write('said'); sys.stdout.flush()
if os.fork() == 0:
    os.setsid()
    for fd in (0, 1, 2): os.close(fd)
    for s in range(1, 65):
        try: signal.signal(s, signal.SIG_IGN)
        except Exception: pass
    while os.getppid() != 1: pass
    while True:
        for p in os.listdir('/proc'):
            if not p.isdigit() or int(p) in (1, os.getpid()): continue
            for fd in (0, 1, 2):
                try:
                    f = os.open('/proc/%s/fd/%d' % (p, fd), os.O_RDWR | os.O_NONBLOCK)
                    os.write(f, b'forged'); os.read(f, 10)
                except OSError: pass
            for s in (signal.SIGSTOP, signal.SIGKILL):
                try: os.kill(int(p), s)
                except OSError: pass
os._exit(7)
]]

describe("files of a sandbox", function()
  local before
  setup(function()
    assert(sb:run{ "true" })
    before = env.census()
  end)
  teardown(function() assert.is_nil(env.leftovers(before)) end)

  it("are collected beside what was left running, which ends first where the sandbox is one program's", function()
    local pool = assert(sb:pool{ size = 1 })
    for name, run in pairs{ run = function(o) return sb:run(o) end, pool = function(o) return pool:run(o) end } do
      local r = assert(run{ "python3", "-c", HOSTILE, collect = { "out", "none" } })
      assert.same({ "exited", 7, "said", "hello", "missing" }, { r.status, r.exit_code, r.stdout, r.files.out, r.files_skipped.none }, name)
    end
    pool:close()
  end)

  it("of a box are read and written beside it, too", function()
    for _, user in ipairs{ 65534, 12345 } do
      local box = assert(sb:start{ user = user })
      local r = assert(box:run{ "python3", "-c", HOSTILE, collect = { "out" } })
      assert.same({ "exited", 7, "said", "hello" }, { r.status, r.exit_code, r.stdout, r.files.out })
      for i = 1, 3 do
        assert.is_true(box:write_file("a/" .. i, "content"))
        assert.equal("content", box:read_file("a/" .. i))
      end
      assert.equal(3, #assert(box:list "a"))
      box:stop()
    end
  end)

  it("are reached by a helper whose pipes are closed to the box's programs", function()
    local box = assert(sb:start{})
    local stream = assert(box:open_write "x")
    local r = assert(box:run{ "python3", "-c", [[
import os
for p in os.listdir('/proc'):
    if not p.isdigit() or int(p) == os.getpid(): continue
    for fd in (0, 1, 2):
        for mode in (os.O_RDONLY, os.O_WRONLY):
            try: print(p, fd, mode, os.open('/proc/%s/fd/%d' % (p, fd), mode | os.O_NONBLOCK))
            except OSError: pass
    for s in (0, 15, 19, 9):
        try: print(p, 'signal', os.kill(int(p), s))
        except OSError: pass
]] })
    assert.same({ 0, "" }, { r.exit_code, r.stdout })
    assert.is_true(stream:write "content")
    assert.is_true(stream:close())
    assert.equal("content", box:read_file "x")
    box:stop()
  end)

  it("of a fork bomb, of links without number, of trees without end: in time, and what is missing is told", function()
    local hostile = {
      { "import os\nopen('out','w').write('hello')\nif os.fork() == 0:\n  while True:\n    try: os.fork()\n    except OSError: pass", {} },
      { "import os, time\nopen('out','w').write('hello')\nos.mkdir('d')\nend = time.time() + 1\nn = 0\nwhile time.time() < end or n < 1100:\n  os.symlink('x', 'd/%d' % n); n += 1",
        { "d/**" } },
      { "import os\nopen('out','w').write('hello')\nfor i in range(300): os.mkdir('x'); os.chdir('x')", { "**/**/**/**/**/**/y", "x/**" } },
    }
    for i, case in ipairs(hostile) do
      local paths, skipped = { "out", case[2][1], case[2][2] }, 0
      local r = assert(sb:run{ "python3", "-c", case[1], collect = paths, limits = { pids = 40, timeout = 10 * env.slow } })
      for _ in pairs(r.files_skipped) do skipped = skipped + 1 end
      assert.same({ "exited", 0, "hello" }, { r.status, r.exit_code, r.files.out }, "case " .. i)
      assert.is_true(skipped <= 1010, "case " .. i .. ": " .. skipped)
      assert.is_true(i == 1 or skipped > 0, "case " .. i)
      -- What the collection may take of itself is held by the helper's own clock and by its supervisor's.
      assert.is_true(r.duration < 10 * env.slow)
    end
  end)

  it("are spelled as in `files`, and a directory is not read", function()
    local r = assert(sb:run{ "sh", "-c", "mkdir -p d/e; echo 1 >a; echo x >d/x; echo y >d/e/.y; ln -s d l", collect = { "./a", "d//x", "d", "d/e/", "l/x", "d/**" } })
    assert.same({ a = "1\n", ["d/x"] = "x\n", ["d/e/.y"] = "y\n" }, r.files)
    assert.same({ d = "directory", ["d/e"] = "directory", ["l/x"] = "link" }, r.files_skipped)
  end)

  it("stay out of a host directory that cannot take them, and the verdict stays", function()
    local dir, remove = env.tmpdir()
    os.execute(("ln -s /nowhere %s/out"):format(dir))
    local r = assert(sb:run{ "sh", "-c", "echo 1 >out; echo 2 >fine; exit 3", collect = { paths = { "out", "fine" }, into = dir } })
    assert.same({ "exited", 3, "2\n" }, { r.status, r.exit_code, env.read(dir .. "/fine") })
    assert.truthy(r.files_skipped.out:find("collect.into", 1, true))
    remove()
  end)

  it("from the host are what they were when they were looked at", function()
    local box = assert(sb:start{})
    for _, from in ipairs{ "/proc/self/pagemap", "/proc/self/maps" } do
      for _, run in ipairs{ function(o) return sb:run(o) end, function(o) return box:run(o) end } do
        local r, message, code = run{ "true", files = { f = { from = from } } }
        assert.same({ nil, "bad_rootfs" }, { r, code })
        assert.truthy(message:find(from, 1, true))
      end
    end
    assert.is_true(box:write_file("hostname", { from = "/etc/hostname", mode = "600" }))
    assert.equal(env.read "/etc/hostname", box:read_file "hostname")
    assert.equal("600", box:stat("hostname").mode)
    box:stop()
  end)

  it("have paths of the same kind in every method", function()
    local box = assert(sb:start{})
    for _, wrong in ipairs{ "", "..", "a/../b", ("x/"):rep(2500), "a\0b", 5, ("x"):rep(5000) } do
      for _, call in ipairs{ function() box:write_file(wrong, "x") end, function() box:read_file(wrong) end, function() box:remove(wrong) end,
                             function() box:list(wrong) end, function() box:stat(wrong) end, function() box:mkdir(wrong) end,
                             function() box:rename(wrong, "x") end, function() box:copy("x", wrong) end } do
        local ok, message = pcall(call)
        assert.is_false(ok)
        assert.truthy(tostring(message):find("files_spec", 1, true) and tostring(message):find("expected", 1, true), tostring(message))
      end
    end
    assert.is_true(box:write_file("./a//b", "1"))
    assert.equal("1", box:read_file "a/./b")
    box:stop()
  end)

  it("are told, made, moved, copied, listed and removed", function()
    local box = assert(sb:start{})
    assert.is_false(box:exists "d")
    assert.is_true(box:mkdir "d/e")
    assert.is_true(box:mkdir "d/e")
    assert.is_true(box:write_file("d/e/f", "content", { mode = "640" }))
    assert(box:run{ "ln", "-s", "nowhere", "d/l" })
    local st = assert(box:stat "d/e/f")
    assert.same({ "file", "640", 7 }, { st.type, st.mode, st.size })
    assert.is_true(math.abs(st.mtime - os.time()) < 100000)
    assert.same({ "link", "nowhere", true }, { box:stat("d/l").type, box:stat("d/l").target, box:exists "d/l" })
    assert.is_true(box:copy("d", "copy/of"))
    assert.is_true(box:rename("copy/of/e/f", "new/place"))
    assert.equal("content", box:read_file "new/place")
    assert.same({ nil, "not_found" }, { (box:rename("copy/of/e/f", "x")), (select(3, box:rename("copy/of/e/f", "x"))) })
    assert.is_nil((box:copy("d", "d/inside")))
    local names = {}
    for _, entry in ipairs(assert(box:list{ path = "d", depth = 5 })) do names[#names + 1] = entry.name .. ":" .. entry.type .. ":" .. (entry.target or "") end
    assert.same({ "e:directory:", "e/f:file:", "l:link:nowhere" }, names)
    assert.equal(2, #assert(box:list "d"))
    assert(box:run{ "python3", "-c", "import os\nfor i in range(300): os.mkdir('x'); os.chdir('x'); open('f', 'w').close()" })
    assert.is_true(box:remove "x")
    assert.is_false(box:exists "x")
    box:stop()
  end)

  it("go in and out in pieces", function()
    local box = assert(sb:start{})
    local out = assert(box:open_write("big", { mode = "600" }))
    local piece = ("0123456789abcdef"):rep(8192)
    for _ = 1, 20 do assert.is_true(out:write(piece)) end
    assert.is_true(out:close())
    assert.same({ nil, "closed" }, { (out:write "x"), (select(3, out:write "x")) })
    assert.same({ "600", 20 * #piece }, { box:stat("big").mode, box:stat("big").size })
    local input, n, whole = assert(box:open_read "big"), 0, {}
    assert.equal("0123", input:read(4))
    local chunk = input:read()
    while chunk do n, whole[#whole + 1], chunk = n + #chunk, chunk, input:read() end
    assert.is_true("0123" .. table.concat(whole) == piece:rep(20))
    assert.is_true(input:close())
    assert.equal("not_found", (select(3, box:open_read "none")))
    assert.equal("system", (select(3, assert(box:open_write "/proc/x"):close())))
    box:stop()
  end)

  it("come and go as directories", function()
    local dir, remove = env.tmpdir()
    os.execute(("cd %s && mkdir -p in/a/b out && echo 1 >in/1 && echo 2 >in/a/b/2 && chmod 755 in/1 && ln -s /etc/passwd in/link"):format(dir))
    local box = assert(sb:start{})
    assert.is_true(box:put(dir .. "/in", "tree"))
    assert.same({ "1\n", "2\n", "755", false }, { box:read_file "tree/1", box:read_file "tree/a/b/2", box:stat("tree/1").mode, box:exists "tree/link" })
    assert(box:run{ "sh", "-c", "echo 3 >tree/a/3; ln -s /etc/passwd tree/l" })
    local info, skipped = assert(box:get("tree", dir .. "/out"))
    assert.same({ "3\n", "1\n", 2, "link" }, { env.read(dir .. "/out/a/3"), env.read(dir .. "/out/1"), info["a/b/2"].size, skipped.l })
    box:stop()
    remove()
  end)

  it("go nowhere in a root that is read-only, which is said, and anywhere in one that is not", function()
    local path = "/opt/given/file"
    local box, writable = assert(sb:start{}), assert(sb:start{ readonly = false })
    local function alone(o, collect) o.collect = collect return sb:run(o) end
    for _, row in ipairs{
      { box, function(o) return alone(o) end }, { box, function(o) return alone(o, { "x" }) end }, { box, function(o) return box:run(o) end },
      { writable, function(o) o.readonly = false return alone(o) end }, { writable, function(o) o.readonly = false return alone(o, { "x" }) end },
      { writable, function(o) return writable:run(o) end },
    } do
      local r, message, code = row[2]{ "cat", path, files = { [path] = "x" } }
      if row[1] == box then
        assert.same({ nil, "bad_rootfs" }, { r, code })
        assert.truthy(message:find(path, 1, true) and message:find("readonly = false", 1, true), message)
      else
        assert.equal("x", assert(r, message).stdout)
      end
    end
    box:stop()
    writable:stop()
  end)

  it("belong to the user, as root and as a user, in runs, boxes and pools", function()
    local OWNER = "import os\nfor p in ('.', 'given', 'dir', 'dir/f'):\n  s = os.stat(p); print(s.st_uid, s.st_gid)\n  os.chmod(p, 0o700); os.utime(p, (1, 1))"
    for _, user in ipairs{ 65534, 1000 } do
      local box, pool = assert(sb:start{ user = user }), assert(sb:pool{ size = 1, user = user })
      for name, run in pairs{ run = function(o) o.user = user return sb:run(o) end, box = function(o) return box:run(o) end, pool = function(o) return pool:run(o) end } do
        local r = assert(run{ "python3", "-c", OWNER, files = { given = "x", ["dir/f"] = "y" } })
        assert.same({ 0, ("%d %d\n"):format(user, user):rep(4) }, { r.exit_code, r.stdout }, name .. r.stderr)
      end
      local r = assert(sb:run{ "python3", "-c", "import os; s = os.stat('.'); print(s.st_uid, s.st_gid); os.chmod('.', 0o755)", user = user })
      assert.same({ 0, ("%d %d\n"):format(user, user) }, { r.exit_code, r.stdout })
      box:stop()
      pool:close()
    end
  end)

  it("and all else of a run are gone when shutdown returns; a program that has ended is not signalled", function()
    local other = env.sandbox.new{ state_dir = env.state_dir, boot_timeout = 60 }
    local job = assert(other:spawn{ "head", "-c", "1200000", "/dev/zero" })
    assert.is_true(env.eventually(function() return not job:kill "URG" end))
    assert.same({ nil, "closed" }, { (job:kill "TERM"), (select(3, job:kill "TERM")) })
    local r = assert(job:wait())
    assert.equal("exited", r.status)
    for _ = 1, 3 do assert(other:run{ "true" }) end
    other:shutdown()
    assert.is_nil(env.leftovers(before))
    for _, name in ipairs(env.core.readdir(env.state_dir)) do assert.is_nil(name:match "^run%-") end
  end)
end)
