-- SPDX-License-Identifier: MIT
-- What a network of the guest's own costs: boot with a link against boot without, and one connection's throughput, requests over new
-- connections and names against `runsc --network=sandbox` over a plain veth pair with the same rootfs and the same programs (root; as a
-- user without the peer), in turn. `lua5.4 bench/network.lua [PAIRS [ROUNDS]]` from the tree's root, with SANDBOX_RUNSC; on an idle machine.
local core = require "sandbox.core"
local sandbox = require "sandbox"
local quantile = dofile "bench/quantile.lua"

local PAIRS, ROUNDS = tonumber(arg[1]) or 30, tonumber(arg[2]) or 7
local RUNSC = assert(os.getenv "SANDBOX_RUNSC", "SANDBOX_RUNSC is not set")
local ROOT = core.getuid() == 0
local MEGABYTES, REQUESTS, NAMES = 200, 400, 200

local dir = ("/tmp/sbb-%s"):format(core.random_hex(4))
assert(core.mkdir(dir, tonumber("755", 8)))
local function sh(command) return (os.execute(command)) end
local function read(path)
  local file = io.open(path, "rb")
  local bytes = file and file:read "*a" or ""
  if file then file:close() end
  return bytes
end

-- The server: gives so many megabytes to "m", a word to "r". And a resolver.
local SERVER = [[
import socket, sys, threading
sys.argv = ["net_peers.py"]
sys.path.insert(0, "spec/support")
import net_peers
names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); names.bind(("127.0.0.1", 0))
threading.Thread(target=net_peers.dns, args=(names,), daemon=True).start()
s = socket.create_server(("%s", 0), backlog=256)
piece = b"x" * 262144
def serve(c):
    try:
        if c.recv(1) == b"m":
            for _ in range(4 * %d): c.sendall(piece)
        else: c.sendall(b"word")
        c.close()
    except OSError: pass
print(names.getsockname()[1], s.getsockname()[1], flush=True)
def loop():
    while True:
        c, _ = s.accept()
        threading.Thread(target=serve, args=(c,), daemon=True).start()
threading.Thread(target=loop, daemon=True).start()
sys.stdin.read()
]]
-- Each connection of "requests" goes to an address, each of "named" to a name: what both sides have in common is the former.
local CLIENT = [[
import socket, sys, time
host, port, requests, names = sys.argv[1], *map(int, sys.argv[2:5])
address = socket.gethostbyname(host)
def ask(what, where=address):
    c = socket.create_connection((where, port)); c.sendall(what); got = 0
    while True:
        piece = c.recv(262144)
        if not piece: return got
        got += len(piece)
def rate(n, where):
    t = time.monotonic()
    for _ in range(n): ask(b"r", where)
    return n / (time.monotonic() - t)
ask(b"r")
t = time.monotonic(); got = ask(b"m"); print("throughput", got / (time.monotonic() - t) / 1e6)
print("requests", rate(requests, address))
print("named", rate(requests // 4, host))
took = []
for i in range(names):
    t = time.monotonic(); socket.gethostbyname(host); took.append((time.monotonic() - t) * 1e3)
if names: print("dns", sorted(took)[len(took) // 2])
]]

local function serve(address, prefix)
  local path = dir .. "/server-" .. address
  core.write_file(path .. ".py", SERVER:format(address, MEGABYTES), 420)
  sh("mkfifo " .. path .. ".in")
  local pipe = io.popen(("exec %s python3 %s.py <%s.in"):format(prefix or "", path, path), "r")
  local kept = io.open(path .. ".in", "w")
  local dns, port = pipe:read("*l"):match "(%d+) (%d+)"
  return dns, port, function() kept:close() pipe:close() end
end

local function numbers(text)
  local out = {}
  for name, value in text:gmatch "(%a+) ([%d.]+)" do out[name] = tonumber(value) end
  return out
end

local sb = sandbox.new{ runsc = RUNSC, state_dir = dir .. "/s" }
local function timed(options)
  local began = core.now()
  local r = assert(sb:run(options))
  assert(r.ok, r.message or r.stderr)
  local took = (core.now() - began) * 1000
  local limit = core.now() + 20 -- the teardown is nobody's turn
  repeat core.poll(-1, "r", 0.002) until core.now() > limit or not table.concat(core.readdir(dir .. "/s"), " "):find "run%-"
  return took
end

-- The peer: two namespaces and a veth pair, nothing between the guest and the server but the kernel. What runs it once, and what ends it.
local function peer()
  local base = dir .. "/peer"
  local ok = sh(([[mkdir -p %s/bundle && cd %s && touch g s && unshare --net=g true && unshare --net=s true &&
    nsenter --net=g ip link add v0 type veth peer name v1 netns %s/s && nsenter --net=s ip addr add 10.9.0.1/24 dev v1 &&
    nsenter --net=s ip link set v1 up && nsenter --net=s ip link set lo up]]):format(base, base, base))
  if not ok then return nil end
  local _, port, stop = serve("10.9.0.1", "nsenter --net=" .. base .. "/s")
  local json = require "cjson"
  core.write_file(base .. "/client.py", CLIENT, 420)
  local spec = { ociVersion = "1.0.0", root = { path = "/", readonly = true }, process = { cwd = "/", user = { uid = 65534, gid = 65534 },
    env = { "PATH=/usr/bin:/bin" },
    args = { "/usr/bin/python3", base .. "/client.py", "10.9.0.1", port, tostring(REQUESTS), "0" } },
    mounts = { { destination = "/proc", type = "proc", source = "proc" }, { destination = "/tmp", type = "tmpfs", source = "tmpfs" },
               { destination = base, type = "bind", source = base, options = { "rbind", "ro" } } },
    linux = { namespaces = { { type = "network", path = base .. "/g" }, { type = "mount" }, { type = "pid" }, { type = "ipc" }, { type = "uts" } } } }
  core.write_file(base .. "/bundle/config.json", json.encode(spec), 420)
  local function run()
    -- runsc takes the addresses away. Older builds take a namespace that shows this file for the first one, and newer kernels show it in each.
    sh(([[nsenter --net=%s/g sh -c 'ip addr add 10.9.0.2/24 dev v0 && ip link set v0 up && ip link set lo up && ip route add default via 10.9.0.1 &&
      exec unshare -m sh -c "mount -t tmpfs none /proc/sys/net/core; exec %s --root=%s/root --network=sandbox --ignore-cgroups run --bundle=%s/bundle peer"' \
      >%s/out 2>%s/err]]):format(base, RUNSC, base, base, base, base))
    local out = read(base .. "/out")
    if out == "" then print("  the peer failed: " .. read(base .. "/err"):sub(-300)) end
    return out ~= "" and numbers(out) or nil
  end
  return run, function()
    stop()
    sh(("umount %s/g %s/s; awk -v d=%s '$2 ~ d { print $2 }' /proc/mounts | xargs -r umount"):format(base, base, base))
  end
end

local dns, port, stop = serve("127.0.0.1")
local policy = { allow = { "echo.test:1-65535", "127.0.0.1" }, resolver = "127.0.0.1:" .. dns }
if PAIRS > 0 then
  timed{ "true" }
  timed{ "true", network = policy }
end
local without, with = {}, {}
for i = 1, PAIRS do
  without[i] = timed{ "true" }
  with[i] = timed{ "true", network = policy }
end
print(("%s, %s, %d pairs, load %s"):format(RUNSC:match "(%d+)/runsc$" or RUNSC, ROOT and "root" or "user", PAIRS, read "/proc/loadavg":match "[%d.]+"))
if PAIRS > 0 then
  local differences = {}
  for i = 1, PAIRS do differences[i] = with[i] - without[i] end
  print(("  boot: %.1f ms without a network, %.1f ms with one: %+.1f ms, pair by pair %+.1f (goal: at most +15)"):format(
    quantile(without, 0.5), quantile(with, 0.5), quantile(with, 0.5) - quantile(without, 0.5), quantile(differences, 0.5)))
end

local function ours()
  local r = assert(sb:run{ "/usr/bin/python3", "-c", CLIENT, "echo.test", port, tostring(REQUESTS), tostring(NAMES), network = policy, limits = { timeout = 300 } })
  local seen = numbers(r.stdout)
  assert(seen.dns, r.stderr)
  return seen
end
local theirs, end_theirs
if ROOT then theirs, end_theirs = peer() end
local mine, peers = {}, {}
for i = 1, ROUNDS do
  mine[i] = ours()
  peers[i] = theirs and theirs()
end
if end_theirs then end_theirs() end -- first: it was started later, and holds the other's stdin open
stop()
local function row(name, unit, goal, other)
  local a, b, ratios = {}, {}, {}
  for i = 1, ROUNDS do
    a[i] = mine[i][name]
    if peers[i] then
      b[#b + 1] = peers[i][other or name]
      ratios[#ratios + 1] = a[i] / b[#b]
    end
  end
  local against = #b > 0 and ("   runsc over veth %8.1f: pair by pair %.2f of it, %.2f to %.2f (goal %.1f)"):format(
    quantile(b, 0.5), quantile(ratios, 0.5), quantile(ratios, 0), quantile(ratios, 1), goal) or ""
  print(("  %-24s %8.1f %s%s"):format(name, quantile(a, 0.5), unit, against))
end
row("throughput", "MB/s", 0.7)
row("requests", "/s", 0.5)
row("named", "/s", 0.5, "requests")
local p50 = {}
for i = 1, ROUNDS do p50[i] = mine[i].dns end
print(("  %-24s %8.2f ms, p50"):format("a name", quantile(p50, 0.5)))
sb:shutdown()
sh("rm -rf " .. dir)
