-- SPDX-License-Identifier: MIT
-- Ways into a box: a port of a server inside, a program as a stream; and a network whose policy changes while the box runs.
local h = require "support.harness"
local sb, core = h.sb, h.core

local server = [[
import socket, threading
s = socket.create_server(("127.0.0.1", 8080), backlog=64)
def echo(c):
    while True:
        data = c.recv(65536)
        if not data: break
        c.sendall(data if data != b"count" else b"%d" % threading.active_count())
    c.sendall(b"bye")
    c.close()
def curt(): # says its word and its end, then hears all of the other's, and gives that to whoever comes next
    t = socket.create_server(("127.0.0.1", 8082))
    heard = b"bye"
    while True:
        c, _ = t.accept()
        c.sendall(heard)
        c.shutdown(socket.SHUT_WR)
        heard = b""
        while True:
            data = c.recv(65536)
            if not data: break
            heard += data
        c.close()
threading.Thread(target=curt, daemon=True).start()
while True:
    c, _ = s.accept()
    threading.Thread(target=echo, args=(c,), daemon=True).start()
]]

local function read_all(stream)
  local parts = {}
  local piece, message = stream:read()
  while piece do
    parts[#parts + 1] = piece
    piece, message = stream:read()
  end
  return table.concat(parts), message
end

local function parent_of(pid) return h.slurp("/proc/" .. pid .. "/stat"):match "^%d+ %b() %S (%d+)" end

local function children_of(pid)
  local list = {}
  for _, one in ipairs(core.readdir "/proc") do
    if one:match "^%d+$" and parent_of(one) == pid then list[one] = true end
  end
  return list
end

describe("ways into a job's sandbox", function()
  local before, job
  setup(function()
    assert(sb:run{ "true" })
    before = h.census()
    job = assert(sb:spawn{ "python3", "-c", server, limits = { pids = 16 } })
  end)

  if h.build == "2022" then
    it("are not there on a build that cannot, and say so", function()
      local stream, message, code = job:connect(8080)
      assert.is_nil(stream)
      assert.are.equal("not_supported", code)
      assert.is_truthy(message:find("box:connect", 1, true))
    end)
  else
    it("reach a server once it listens, end one way at a time, and are many at once", function()
      local streams = {}
      for i = 1, 2 do streams[i] = assert(job:connect(8080, 60)) end
      for i = 2, 1, -1 do
        assert(streams[i]:write("n" .. i))
        assert.are.equal("n" .. i, streams[i]:read())
        streams[i]:close_write()
        assert.are.equal("bye", (read_all(streams[i])))
        streams[i]:close()
      end
    end)

    it("say where nobody listens, and what is no port", function()
      local stream, message, code = job:connect(8081)
      assert.is_nil(stream)
      assert.are.equal("not_found", code)
      assert.is_truthy(message:find("port 8081", 1, true))
      for _, port in ipairs{ 0, 65536, 1.5, "80" } do assert.has_error(function() job:connect(port) end) end
    end)

    it("end with their supervisor, and the job goes on", function()
      local zygote = parent_of(parent_of(job:pid()))
      local had = children_of(zygote)
      local stream = assert(job:connect(8080))
      assert(stream:write "held")
      assert.are.equal("held", stream:read())
      for pid in pairs(children_of(zygote)) do
        if not had[pid] then os.execute("kill -9 " .. pid) end
      end
      local _, _, code = stream:read()
      assert.are.equal("supervisor_lost", code)
      stream:close()
      -- The server's thread for it has ended, so that our helper has: the main one, that of port 8082 and that of who asks.
      assert.is_true(h.eventually(function()
        local other = assert(job:connect(8080))
        assert(other:write "count")
        local count = other:read()
        other:close()
        return count == "3"
      end))
    end)

    it("end with the job, whose tasks they are none of", function()
      local stream = assert(job:connect(8080))
      job:kill()
      assert.is_nil((stream:read()))
      stream:close()
      local r = assert(job:wait())
      assert.are.equal("killed", r.status)
      assert.is_false(r.pids_exceeded)
      local none, _, code = job:connect(8080)
      assert.are.same({ "closed" }, { code, none })
    end)
  end

  it("leave nothing behind", function()
    job:close()
    assert.is_nil(h.leftovers(before))
  end)
end)

describe("ways into a box", function()
  local before, box, job
  setup(function()
    assert(sb:run{ "true" })
    before = h.census()
    box = assert(sb:start{ limits = { memory = "256M", pids = false } })
    job = assert(box:spawn{ "python3", "-c", server })
  end)

  it("reach a server once it listens, carry both ways and end one way at a time", function()
    local stream = assert(job:connect(8080, 60)) -- a job of the box's is in the box
    assert(stream:write "hello")
    assert.are.equal("he", stream:read(2))
    assert.are.equal("llo", stream:read())
    stream:close_write()
    assert.are.equal("bye", (read_all(stream)))
    stream:close()
  end)

  it("go on being written after the other has ended its side", function()
    local stream = assert(box:connect(8082, 60))
    assert.are.equal("bye", (read_all(stream)))
    assert.is_nil((stream:read()))
    for i = 1, 3 do assert(stream:write("after " .. i .. "\n")) end
    stream:close_write()
    local next_one = assert(box:connect(8082))
    assert.are.equal("after 1\nafter 2\nafter 3\n", (read_all(next_one)))
    stream:close()
    next_one:close()
  end)

  it("end as a program's stdout does, while the program goes on", function()
    local stream = assert(box:stream{ "python3", "-c", "import os,sys\nos.write(1,b'said')\nos.close(1)\nopen('/tmp/heard','w').write(sys.stdin.read())" })
    assert.are.equal("said", (read_all(stream)))
    assert(stream:write "more")
    stream:close_write()
    assert.is_true(h.eventually(function() return box:run{ "cat", "/tmp/heard" }.stdout == "more" end))
    stream:close()
  end)

  it("carry many megabytes while nobody reads, and no more than there is room for", function()
    local stream = assert(box:connect(8080))
    local data = ("0123456789abcdef"):rep(65536) -- 1 MiB
    local got = h.sandbox.loop(function()
      local writer = h.sandbox.go(function()
        for _ = 1, 4 do assert(stream:write(data)) end
        stream:close_write()
      end)
      local all = read_all(stream)
      writer:join()
      return all
    end)
    assert.are.equal(4 * #data + 3, #got)
    assert.is_true(got == data:rep(4) .. "bye")
    stream:close()
  end)

  it("say where nobody listens", function()
    local stream, message, code = box:connect(8081)
    assert.is_nil(stream)
    assert.are.equal("not_found", code)
    assert.is_truthy(message:find("port 8081", 1, true))
    for _, port in ipairs{ 0, 65536, 1.5, "80" } do assert.has_error(function() box:connect(port) end) end
  end)

  it("are many at once", function()
    local streams = {}
    for i = 1, 5 do streams[i] = assert(box:connect(8080)) end
    for i = 5, 1, -1 do assert(streams[i]:write("n" .. i)) end
    for i = 1, 5 do
      assert.are.equal("n" .. i, streams[i]:read(2))
      streams[i]:close()
    end
  end)

  it("end without harm to what begins at that moment", function()
    for _ = 1, 4 do
      local streams = {}
      for i = 1, 12 do streams[i] = assert(box:connect(8080)) end
      for i = 1, 12 do streams[i]:close() end
      assert.are.equal("begun", assert(box:run{ "echo", "-n", "begun" }).stdout)
    end
  end)

  it("end alone, however late the box's supervisor comes to see it", function()
    local stream = assert(box:connect(8080))
    local supervisor = h.slurp(("/proc/%d/stat"):format(box.job:pid())):match "^%d+ %(.*%) %a (%d+)"
    os.execute("kill -STOP " .. supervisor)
    stream:close()
    h.core.poll(-1, "r", 1)
    os.execute("kill -CONT " .. supervisor)
    assert.are.equal("still here", assert(box:run{ "echo", "-n", "still here" }).stdout)
    assert.is_true(h.eventually(function() return #box:processes() == 1 end))
  end)

  it("are a program's stdin and stdout", function()
    local stream = assert(box:stream{ "tr", "a-z", "A-Z" })
    assert(stream:write "abc")
    stream:close_write()
    assert.are.equal("ABC", (read_all(stream)))
    stream:close()
    assert.has_error(function() box:stream{ "cat", stdin = "x" } end)
  end)

  it("close with the box", function()
    local stream = assert(box:connect(8080))
    job:close()
    box:stop()
    assert.is_nil((read_all(stream)):match "never")
    stream:close()
    local none, _, code = box:connect(8080)
    assert.is_nil(none)
    assert.are.equal("closed", code)
  end)

  if h.root or h.build ~= "2022" then
    it("have their policy changed while they run", function()
      local own = assert(sb:start{ network = { allow = {} } })
      local probe = { "python3", "-c", "import socket\ntry: socket.create_connection(('10.9.8.7', 80)).recv(1)\nexcept OSError as e: print(e.errno)\n"
        .. "try: print(socket.gethostbyname('a.test'))\nexcept OSError: print('no name')" }
      assert.are.equal("104\nno name\n", assert(own:run(probe)).stdout)
      assert.is_true(assert(own:network{ allow = { "other.test" } }))
      assert.is_nil((own:network{ allow = { "[2001:db8::1]:1" } }))
      assert.has_error(function() own:network{ allow = { "a b" } } end)
      assert.has_error(function() own:network{ mac = "02:00:00:00:00:01" } end)
      own:stop()
    end)
  end

  it("leave nothing behind", function() assert.is_nil(h.leftovers(before)) end)
end)
