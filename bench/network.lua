-- SPDX-License-Identifier: MIT
-- What a network of the guest's own costs: boot with a link against boot without, and one connection's throughput, requests over new
-- connections and names against `runsc --network=sandbox` over a plain veth pair with the same rootfs and the same programs (root; as a
-- user without the peer). `lua5.4 bench/network.lua [PAIRS]` from the tree's root, with SANDBOX_RUNSC; on an idle machine.
local core = require "sandbox.core"
local sandbox = require "sandbox"
local quantile = dofile "bench/quantile.lua"

local PAIRS = tonumber(arg[1]) or 30
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
local CLIENT = [[
import socket, sys, time
host, port, names = sys.argv[1], int(sys.argv[2]), int(sys.argv[5])
def ask(what):
    c = socket.create_connection((host, port)); c.sendall(what); got = 0
    while True:
        piece = c.recv(262144)
        if not piece: return got
        got += len(piece)
ask(b"r")
t = time.monotonic(); got = ask(b"m"); print("throughput", got / (time.monotonic() - t) / 1e6)
t = time.monotonic()
for _ in range(int(sys.argv[4])): ask(b"r")
print("requests", int(sys.argv[4]) / (time.monotonic() - t))
took = []
for i in range(names):
    t = time.monotonic(); socket.gethostbyname("echo.test"); took.append((time.monotonic() - t) * 1e3)
if took: print("dns", sorted(took)[len(took) // 2])
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

-- The peer: two namespaces and a veth pair, nothing between the guest and the server but the kernel.
local function peer()
  local base = dir .. "/peer"
  local ok = sh(([[mkdir -p %s/bundle && cd %s && touch g s && unshare --net=g true && unshare --net=s true &&
    nsenter --net=g ip link add v0 type veth peer name v1 netns %s/s && nsenter --net=g ip addr add 10.9.0.2/24 dev v0 && nsenter --net=g ip link set v0 up &&
    nsenter --net=g ip link set lo up && nsenter --net=s ip addr add 10.9.0.1/24 dev v1 && nsenter --net=s ip link set v1 up && nsenter --net=s ip link set lo up &&
    nsenter --net=g ip route add default via 10.9.0.1]]):format(base, base, base))
  if not ok then return nil end
  local _, port, stop = serve("10.9.0.1", "nsenter --net=" .. base .. "/s")
  local json = require "cjson"
  core.write_file(base .. "/client.py", CLIENT, 420)
  local spec = { ociVersion = "1.0.0", root = { path = "/", readonly = true }, process = { cwd = "/", user = { uid = 65534, gid = 65534 },
    env = { "PATH=/usr/bin:/bin" },
    args = { "/usr/bin/python3", base .. "/client.py", "10.9.0.1", port, "0", tostring(REQUESTS), "0" } },
    mounts = { { destination = "/proc", type = "proc", source = "proc" }, { destination = "/tmp", type = "tmpfs", source = "tmpfs" },
               { destination = base, type = "bind", source = base, options = { "rbind", "ro" } } },
    linux = { namespaces = { { type = "network", path = base .. "/g" }, { type = "mount" }, { type = "pid" }, { type = "ipc" }, { type = "uts" } } } }
  core.write_file(base .. "/bundle/config.json", json.encode(spec), 420)
  -- Older builds take a namespace that shows this file for the first one, and newer kernels show it in each.
  sh(("nsenter --net=%s/g unshare -m sh -c 'mount -t tmpfs none /proc/sys/net/core; exec %s --root=%s/root --network=sandbox --ignore-cgroups"
    .. " run --bundle=%s/bundle peer' >%s/out 2>%s/err"):format(base, RUNSC, base, base, base, base))
  stop()
  local out = read(base .. "/out")
  if out == "" then print("  the peer failed: " .. read(base .. "/err"):sub(-300)) end
  sh(("umount %s/g %s/s; awk -v d=%s '$2 ~ d { print $2 }' /proc/mounts | xargs -r umount"):format(base, base, base))
  return out ~= "" and numbers(out) or nil
end

local dns, port, stop = serve("127.0.0.1")
local policy = { allow = { "echo.test:1-65535", "127.0.0.1" }, resolver = "127.0.0.1:" .. dns }
timed{ "true" }
timed{ "true", network = policy }
local without, with = {}, {}
for i = 1, PAIRS do
  without[i] = timed{ "true" }
  with[i] = timed{ "true", network = policy }
end
local a, b = quantile(without, 0.5), quantile(with, 0.5)
print(("%s, %s, %d pairs"):format(RUNSC:match "(%d+)/runsc$" or RUNSC, ROOT and "root" or "user", PAIRS))
print(("  boot: %.1f ms without a network, %.1f ms with one: %+.1f ms (goal: at most +15)"):format(a, b, b - a))
local r = assert(sb:run{ "/usr/bin/python3", "-c", CLIENT, "echo.test", port, "0", tostring(REQUESTS), tostring(NAMES), network = policy, limits = { timeout = 300 } })
local ours = numbers(r.stdout)
assert(ours.dns, r.stderr)
stop()
local theirs = ROOT and peer() or nil
local function row(name, unit, goal)
  print(("  %-24s %8.1f %s%s"):format(name, ours[name], unit,
    theirs and ("   runsc over veth %8.1f: %.2f of it (goal %.1f)"):format(theirs[name], ours[name] / theirs[name], goal) or ""))
end
row("throughput", "MB/s", 0.7)
row("requests", "/s", 0.5)
print(("  %-24s %8.2f ms, p50"):format("a name", ours.dns))
sb:shutdown()
sh("rm -rf " .. dir)
