-- SPDX-License-Identifier: MIT
-- A network of the guest's own: what its policy lets through, what it refuses and says, and what a hostile guest makes of it.
local h = require "support.harness"
local serve = require "support.servers"
local clients = require "support.net_clients"
local sb, core = h.sb, h.core

local peers, port, before

-- Destinations are tried by one program inside: each line is "NAME PORT -> what happened".
local probe = [[
import socket, sys
for line in sys.argv[1:]:
    host, port = line.rsplit(":", 1)
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        s = socket.socket(family, kind, proto)
        s.settimeout(20)
        s.connect(address)
        s.sendall(b"ping")
        s.shutdown(socket.SHUT_WR)
        data = b""
        while True:
            piece = s.recv(100)
            if not piece: break
            data += piece
        print(line, "->", data.decode())
    except socket.gaierror as e:
        print(line, "-> no name")
    except ConnectionRefusedError: print(line, "-> refused")
    except ConnectionResetError: print(line, "-> reset")
    except OSError as e: print(line, "->", "reset" if e.errno == 107 else e) # before the first byte was sent
]]

local function try(policy, destinations, more)
  policy.resolver = "127.0.0.1:" .. port.dns
  local options = { "python3", "-c", probe, network = policy, limits = { timeout = 60 } }
  for k, v in pairs(more or {}) do options[k] = v end
  local names = {}
  for i, row in ipairs(destinations) do
    names[i] = row[1]:gsub("ECHO", port.echo)
    options[#options + 1] = names[i]
  end
  local r = assert(sb:run(options))
  local seen, expected = {}, {}
  for line in r.stdout:gmatch "[^\n]+" do seen[#seen + 1] = line end
  for i, row in ipairs(destinations) do expected[i] = names[i] .. " -> " .. row[2] end
  assert.are.same(expected, seen, r.stderr)
  return r
end

-- How many sandbox-nets of ours there are, and one of them: their supervisor's other child names our state directory.
local function nets()
  local function parent(pid) return h.slurp("/proc/" .. pid .. "/stat"):match "^%d+ %b() %S (%d+)" end
  local ours, found = {}, {}
  for pass = 1, 2 do
    for _, pid in ipairs(core.readdir "/proc") do
      local line = pid:match "^%d+$" and h.slurp("/proc/" .. pid .. "/cmdline") or ""
      if pass == 1 and line:find(h.state_dir, 1, true) then ours[parent(pid) or 0] = true end
      if pass == 2 and line:find("sandbox-net\0serve", 1, true) and ours[parent(pid)] then found[#found + 1] = pid end
    end
  end
  assert.are.equal(1, #found)
  return #found, found[1]
end

-- The oldest build cannot do it as a user, and says so.
local supported = h.root or h.build ~= "2022"

describe("a network of its own", function()
  setup(function()
    assert(sb:run{ "true" })
    peers = serve "net_peers.py"
    port = peers.port
    before = h.census()
  end)
  teardown(function()
    peers.stop()
  end)

  if not supported then
    it("is not supported, in words, never an open network", function()
      local r, message, code = sb:run{ "true", network = { allow = { "pypi.org" } } }
      assert.is_nil(r)
      assert.are.equal("not_supported", code)
      assert.is_truthy(message:find("release-20230920", 1, true), message)
    end)
    return
  end

  it("reaches what is allowed, by name and by number, and nothing else", function()
    local r = try({ allow = { "echo.test:" .. port.echo, "127.0.0.1:" .. port.echo, "*.echo.test:1-65535", "meta.test", "private.test:1-65535", "six.test:1-65535",
                              "mapped.test:1-65535", "many.test:1-65535", "liar.test", "garbage.test" }, deny = { "bad.echo.test:1-65535" } }, {
      { "echo.test:ECHO", "ping" }, { "Echo.Test:ECHO", "ping" }, { "www.echo.test:ECHO", "ping" },
      { "echo.test:81", "reset" }, -- a port that no entry has
      { "bad.echo.test:ECHO", "no name" }, { "other.test:ECHO", "no name" }, { "localhost.test:80", "no name" }, { "notecho.test:80", "no name" },
      { "meta.test:80", "reset" }, { "private.test:80", "reset" }, { "six.test:ECHO", "reset" }, { "mapped.test:ECHO", "ping" }, { "many.test:80", "reset" },
      { "169.254.169.254:80", "reset" }, { "10.0.0.1:80", "reset" }, { "172.16.0.1:443", "reset" }, { "192.168.1.1:22", "reset" }, { "100.64.0.1:80", "reset" },
      { "198.18.0.3:80", "reset" }, { "198.18.0.3:1080", "reset" }, { "198.19.200.200:80", "reset" },
      { "liar.test:80", "no name" }, { "garbage.test:80", "no name" },
      { "1.2.3.4:443", "reset" }, { "8.8.8.8:53", "reset" },
    })
    assert.are.equal(4, r.network.connections)
    local reasons = {}
    for _, event in ipairs(r.network.events) do
      assert.is_true(event.at > 1e9)
      reasons[(event.host or event.address) .. ":" .. (event.port or 0)] = event.reason or "allowed"
    end
    assert.are.equal("allowed", reasons["echo.test:" .. port.echo])
    assert.are.equal("port not allowed", reasons["echo.test:81"])
    assert.are.equal("denied by name", reasons["bad.echo.test:0"])
    assert.are.equal("name not allowed", reasons["other.test:0"])
    assert.are.equal("not a public address", reasons["meta.test:80"])
    assert.are.equal("not a public address", reasons["169.254.169.254:80"])
    assert.are.equal("address not allowed", reasons["1.2.3.4:443"])
  end)

  it("tells as it happens, counts bytes both ways, and resets what is one connection too many", function()
    local seen = {}
    local r = assert(sb:run{ "python3", "-c", [[
import socket, sys
open_ones = []
for i in range(4):
    s = socket.socket()
    s.settimeout(20)
    try:
        s.connect((socket.gethostbyname("echo.test"), int(sys.argv[1]))) # which a reset may meet already
        s.sendall(b"x" * 1000)
        got = 0
        while got < 1000:
            piece = s.recv(1000)
            if not piece: raise ConnectionResetError
            got += len(piece)
        print("echoed", flush=True)
    except ConnectionError: print("reset", flush=True)
    open_ones.append(s)
]], port.echo, network = { allow = { "echo.test:" .. port.echo, "127.0.0.1:" .. port.echo }, connections = 2, resolver = "127.0.0.1:" .. port.dns }, on_network = function(e) seen[#seen + 1] = e end })
    assert.are.equal("echoed\nechoed\nreset\nreset\n", r.stdout, r.stderr)
    assert.are.equal(4, #seen)
    assert.are.same({ 2, 2, 2 }, { r.network.connections, r.network.refused, r.network.exceeded })
    assert.is_true(r.network_exceeded)
    assert.is_true(r.network.bytes_in == 2000 and r.network.bytes_out == 2000)
  end)

  it("holds its bandwidth", function()
    local r = assert(sb:run{ "python3", "-c", [[
import socket, sys, time
s = socket.create_connection((socket.gethostbyname("echo.test"), int(sys.argv[1])))
began, got = time.monotonic(), 0
s.sendall(b"x" * 400000)
while got < 400000: got += len(s.recv(65536))
print(800000 / (time.monotonic() - began))
]], port.echo, network = { allow = { "echo.test:" .. port.echo, "127.0.0.1:" .. port.echo }, bandwidth = "400K", resolver = "127.0.0.1:" .. port.dns } })
    -- both ways together; what a bucket lets through at once is a tenth of a second and one buffer
    assert.is_true(tonumber(r.stdout) < 409600 * 1.3, r.stdout .. r.stderr)
    assert.is_true(r.network_exceeded)
    assert.is_true(r.network.held > 0.5)
  end)

  it("carries what a peer does to a connection", function()
    local r = assert(sb:run{ "python3", "-c", [[
import socket, sys
rude = socket.create_connection((socket.gethostbyname("echo.test"), int(sys.argv[1])))
rude.sendall(b"hello")
try:
    data = b""
    while True:
        piece = rude.recv(100)
        if not piece: break
        data += piece
    print("end", data)
except ConnectionResetError: print("reset")
mute = socket.create_connection((socket.gethostbyname("echo.test"), int(sys.argv[2])))
mute.settimeout(1)
sent = 0
try:
    while True: sent += mute.send(b"x" * 65536)
except TimeoutError: print("backpressure", sent < 64 << 20)
]], port.rude, port.mute, network = { allow = { "echo.test:1-65535", "127.0.0.1" }, resolver = "127.0.0.1:" .. port.dns }, limits = { timeout = 60 } })
    assert.are.equal("reset\nbackpressure True\n", r.stdout, r.stderr)
  end)

  it("ends as a dead link where sandbox-net is killed, and the result says so", function()
    local job = assert(sb:spawn{ "python3", "-c", [[
import socket, sys
s = socket.create_connection((socket.gethostbyname("echo.test"), int(sys.argv[1])))
s.sendall(b"a"); s.recv(1)
print("up", flush=True)
sys.stdin.readline()
try: print(s.recv(1) or "down")
except OSError: print("down")
]], port.echo, network = { allow = { "echo.test:" .. port.echo, "127.0.0.1" }, resolver = "127.0.0.1:" .. port.dns } })
    assert.are.equal("up\n", job:read "stdout")
    os.execute("kill -9 " .. select(2, nets()))
    job:write "\n"
    local r = assert(job:wait())
    assert.are.equal("down\n", r.stdout or job:read "stdout" or "")
    assert.is_truthy(r.network.failed)
  end)

  it("is that of each sandbox of a pool, which are alike", function()
    local pool = assert(sb:pool{ size = 1, network = { allow = { "echo.test:" .. port.echo, "127.0.0.1:" .. port.echo }, resolver = "127.0.0.1:" .. port.dns } })
    for _ = 1, 2 do
      local told = {}
      local r = assert(pool:run{ "python3", "-c", probe, "echo.test:" .. port.echo, "other.test:80", limits = { timeout = 60 },
                                 on_network = function(event) told[#told + 1] = event.host end })
      assert.are.equal(("echo.test:%s -> ping\nother.test:80 -> no name\n"):format(port.echo), r.stdout, r.stderr)
      assert.are.same({ "echo.test", "other.test" }, told)
      assert.are.same({ 1, 1, 4, 4 }, { r.network.connections, r.network.refused, r.network.bytes_in, r.network.bytes_out })
    end
    pool:close()
  end)

  it("tells each program of a box what the box did meanwhile, and the box all of it", function()
    local all, told = {}, {}
    local box = assert(sb:start{ network = { allow = { "echo.test:" .. port.echo, "127.0.0.1:" .. port.echo }, resolver = "127.0.0.1:" .. port.dns },
                                 on_network = function(event) all[#all + 1] = event.host end })
    local first = assert(box:run{ "python3", "-c", probe, "echo.test:" .. port.echo, "a.test:80" })
    local second = assert(box:run{ "python3", "-c", probe, "b.test:80", on_network = function(event) told[#told + 1] = event.host end })
    local none = assert(box:run{ "true" })
    local job = assert(box:spawn{ "python3", "-c", probe, "c.test:80" })
    local last = assert(job:wait())
    job:close()
    local function seen(r)
      local hosts = {}
      for i, event in ipairs(r.network.events) do hosts[i] = event.host end
      return { r.network.connections, r.network.refused, r.network.bytes_out, table.concat(hosts, " ") }
    end
    assert.are.same({ 1, 1, 4, "echo.test a.test" }, seen(first), first.stderr)
    assert.are.same({ 0, 1, 0, "b.test" }, seen(second), second.stderr)
    assert.are.same({ 0, 0, 0, "" }, seen(none))
    assert.are.same({ 0, 1, 0, "c.test" }, seen(last), last.stderr)
    assert.are.same({ "b.test" }, told)
    assert.are.same({ "echo.test", "a.test", "b.test", "c.test" }, all)
    box:stop()
  end)

  it("has the address and the MAC that were asked for, and IPv6 only where an entry names it", function()
    local look = [[
import fcntl, socket, struct, sys
s = socket.socket()
def ask(what): return fcntl.ioctl(s, what, struct.pack("16s240x", b"eth0"))
print(socket.inet_ntoa(ask(0x8915)[20:24]), socket.inet_ntoa(ask(0x891b)[20:24]), ask(0x8927)[18:24].hex(":"))
print("six", any(l.split()[5] == "eth0" and l.startswith("fd53") for l in open("/proc/net/if_inet6")))
for host in sys.argv[2:]:
    try:
        c = socket.create_connection((host, int(sys.argv[1])), 20)
        c.sendall(b"ping")
        print(host, c.recv(4).decode() or "reset")
    except OSError as e: print(host, "reset" if e.errno in (104, 107, 32) else "unreachable" if e.errno in (101, 113) else e.errno)
]]
    local function look_at(policy)
      policy.resolver = "127.0.0.1:" .. port.dns
      local r = assert(sb:run{ "python3", "-c", look, port.echo, "six.test", "2001:db8::2", "::ffff:127.0.0.2", "ff02::1", network = policy, collect = { "none" } })
      return r.stdout .. r.stderr, r
    end
    local six, r = look_at{ allow = { "[::1]:" .. port.echo, "six.test:" .. port.echo }, address = "10.9.8.7/24", mac = "02:00:00:00:00:07" }
    assert.are.equal("10.9.8.7 255.255.255.0 02:00:00:00:00:07\nsix True\nsix.test ping\n2001:db8::2 reset\n::ffff:127.0.0.2 111\nff02::1 unreachable\n", six)
    assert.are.same({ "2001:db8::2", "not a public address" }, { r.network.events[#r.network.events].address, r.network.events[#r.network.events].reason })
    assert.are.equal("six False\nsix.test reset\n2001:db8::2 unreachable\n::ffff:127.0.0.2 111\nff02::1 unreachable\n", (look_at{ allow = { "six.test:" .. port.echo } }):match "\n(.*)")
  end)

  -- No number of the loopback's but ::1, which in the guest is its own: a network namespace with another one. A user makes that in a user
  -- namespace, and is himself again in one below.
  it("reaches an IPv6 address by its number", function()
    local enter, again = "unshare -n", ""
    if not h.root then enter, again = "unshare -Urn", ("unshare -U --map-user=%d --map-group=%d "):format(core.getuid(), io.popen("id -g"):read "*n") end
    local dir, remove = h.tmpdir()
    local script = ([[
package.path, package.cpath = %q, %q
local peers = io.popen("exec python3 spec/support/net_peers.py fd00:5::1 <%s/in", "r")
local kept = io.open("%s/in", "w")
local echo = peers:read("*l"):match "echo=(%%d+)"
local sb = require("sandbox").new{ state_dir = %q, boot_timeout = 30 }
local r = assert(sb:run{ "python3", "-c", %q, "[fd00:5::1]:" .. echo, "[fd00:5::2]:" .. echo, network = { allow = { "[fd00:5::1]:" .. echo } } })
io.write(r.stdout, r.stderr)
kept:close()
]]):format(package.path, package.cpath, dir, dir, h.state_dir, probe)
    h.write(dir .. "/six.lua", script)
    local pipe = io.popen(("%s sh -c 'ip link set lo up && ip -6 addr add fd00:5::1/128 dev lo && mkfifo %s/in && exec %s%s %s/six.lua' 2>&1"):format(
      enter, dir, again, core.realpath "/proc/self/exe", dir))
    local said = pipe:read "*a"
    pipe:close()
    remove()
    assert.are.equal("[fd00:5::1]:P -> ping\n[fd00:5::2]:P -> reset\n", (said:gsub("%]:%d+", "]:P")))
  end)

  it("holds what a guest floods it with, and goes on", function()
    local job = assert(sb:spawn{ "python3", "-c", [[
import os, select, socket, sys
port = int(sys.argv[1])
def begin(host, port):
    s = socket.socket()
    s.setblocking(False)
    try: s.connect((host, port))
    except BlockingIOError: pass
    return s
for first in range(1, 3001, 250): held = [begin("10.9.9.9", first + i) for i in range(250)] # many ports
echo = socket.gethostbyname("echo.test")
held = [begin(echo, port) for i in range(300)] # more than may be, none of which says a word
poll = select.poll()
for s in held: poll.register(s, 0)
while not poll.poll(1000): pass # until one of them is refused: their packets may be lost, and come again
held = [begin(echo, port) for i in range(40)] # an echo that nobody reads
for turn in range(40):
    for s in held:
        try: s.send(b"x" * 65536)
        except OSError: pass
resolver = open("/etc/resolv.conf").read().split()[1]
slow = [begin(resolver, 53) for i in range(40)]
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.connect((resolver, 53))
u.setblocking(False)
for i in range(4000):
    name = b"x%d" % i
    try: u.send(b"\x12\x34\1\0\0\1\0\0\0\0\0\0" + bytes([len(name)]) + name + b"\4echo\4test\0\0\1\0\1" if i % 2 else os.urandom(64))
    except OSError: pass
for s in held + slow: s.close()
def say():
    s = socket.create_connection((socket.gethostbyname("echo.test"), port), 30)
    s.sendall(b"ping")
    return s.recv(4)
while True:
    try:
        if say() == b"ping": break
    except (ConnectionError, socket.gaierror): pass # those that were closed may still be counted
print("alive", flush=True)
sys.stdin.read()
]], port.echo, network = { allow = { "echo.test:1-65535", "*.echo.test:1-65535", "127.0.0.1" }, resolver = "127.0.0.1:" .. port.dns }, limits = { timeout = 100 * h.slow } })
    assert.are.equal("alive\n", job:read "stdout")
    local _, net = nets()
    local peak = tonumber(h.slurp("/proc/" .. net .. "/status"):match "VmHWM:%s*(%d+)")
    assert.is_true(peak < 40 * 1024, peak .. " KiB") -- 128 connections of two buffers are 16 MiB
    job:close_stdin()
    local r = assert(job:wait())
    job:close()
    assert.are.same({ "exited", 0 }, { r.status, r.exit_code }, r.stderr)
    -- Of 3,000 ports as many as the guest's own system had room for.
    local n = r.network
    assert.is_true(r.network_exceeded and n.exceeded > 0 and n.refused > 500 and #n.events <= 1000,
      ("%s, exceeded %d, refused %d, events %d"):format(tostring(r.network_exceeded), n.exceeded, n.refused, #n.events))
  end)

  it("is what real clients run over: HTTPS, a package's index, a static binary #once", function()
    local servers = clients.serve()
    local names = { "curl", "static", "pip" }
    local seen, r = clients.try(servers, names, { "127.0.0.1", "web.test:1-65535", "pypi.test:1-65535" })
    local none, how = clients.try(servers, names, { "127.0.0.1", "pypi.test" })
    servers.stop()
    assert.are.same({ curl = "ok", static = "ok", pip = "ok" }, seen, r.stderr)
    assert.are.same({ curl = "failed", static = "failed", pip = "failed" }, none)
    assert.are.same({ 0, 0 }, { r.network.refused, how.network.connections })
  end)

  it("leaves nothing behind", function() assert.is_nil(h.leftovers(before)) end)
end)
