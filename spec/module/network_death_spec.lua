-- SPDX-License-Identifier: MIT
-- kill -9 of the host, of sandbox-net and of the supervisor at any moment while a guest's traffic flows: what is left is nothing.
-- SANDBOX_TEST_NET_KILLS says how often each.
local h = require "support.harness"
local serve = require "support.servers"
local sb, core = h.sb, h.core
local KILLS = tonumber(os.getenv "SANDBOX_TEST_NET_KILLS") or 3

local supported = h.root or h.build ~= "2022"

local TRAFFIC = [[
import socket, sys
try:
    s = socket.create_connection((socket.gethostbyname("echo.test"), int(sys.argv[1])))
    s.settimeout(60)
    print("up", flush=True)
    while True:
        s.sendall(b"x" * 20000)
        got = 0
        while got < 20000:
            piece = s.recv(65536)
            if not piece: raise OSError("the end")
            got += len(piece)
except OSError: print("down", flush=True)
]]

local HOST = [[
package.path, package.cpath = %q, %q
local sb = require("sandbox").new{ state_dir = %q, boot_timeout = 30 }
io.write("up\n") io.flush()
sb:run{ "python3", "-c", %q, "%d", network = { allow = { "echo.test:1-65535", "127.0.0.1" }, resolver = "127.0.0.1:%d" }, limits = { timeout = false } }
]]

local function interpreter()
  local i = 0
  while arg[i - 1] do i = i - 1 end
  return core.realpath("/proc/self/exe") or arg[i]
end

local function stat_of(pid) return h.slurp("/proc/" .. pid .. "/stat") end
local function parent_of(pid) return stat_of(pid):match "^%d+ %b() %S (%d+)" end

-- Our supervisors, by the runsc whose command line names our state directory, and their sandbox-nets.
local function ours()
  local supervisors, nets = {}, {}
  local list = core.readdir "/proc"
  for _, pid in ipairs(list) do
    if pid:match "^%d+$" and h.slurp("/proc/" .. pid .. "/cmdline"):find(h.state_dir, 1, true) then
      local parent = parent_of(pid)
      if parent and stat_of(parent):find("(sandbox-superv", 1, true) then supervisors[parent] = true end
    end
  end
  for _, pid in ipairs(list) do
    if pid:match "^%d+$" and supervisors[parent_of(pid)] and h.slurp("/proc/" .. pid .. "/cmdline"):find("sandbox-net\0serve", 1, true) then nets[#nets + 1] = pid end
  end
  return next(supervisors), nets[1]
end

-- The guest's network namespace, which is its supervisor's, and who has it: processes and mounts.
local function netns_of(pid)
  local st = core.stat("/proc/" .. pid .. "/ns/net")
  return st and ("net:[%d]"):format(st.ino)
end
local function holders_of(ns)
  local list = {}
  for _, pid in ipairs(core.readdir "/proc") do
    if pid:match "^%d+$" and (netns_of(pid) == ns or h.slurp("/proc/" .. pid .. "/mountinfo"):find(ns, 1, true)) then list[#list + 1] = pid end
  end
  return table.concat(list, " ")
end
-- Nobody has it, and the edge's end of the link has not come to us with the end of its own namespace.
local function assert_no_namespace(ns, which)
  assert.is_truthy(ns and ns:find "^net:")
  assert.is_true(h.eventually(function() return holders_of(ns) == "" end), which .. ": " .. ns .. " is held by " .. holders_of(ns))
  assert.is_nil(core.lstat "/sys/class/net/edge0")
end

local function is_dead(pid)
  local state = stat_of(pid):match "^%d+ %b() (%S)"
  return state == nil or state == "Z" or state == "X"
end

describe("sudden death with a network", function()
  local peers, port, before
  setup(function()
    assert(sb:run{ "true" })
    peers = serve "net_peers.py"
    port = peers.port
    before = h.census()
    math.randomseed(core.getpid())
  end)
  teardown(function()
    peers.stop()
  end)
  if not supported then return it("is not there where there is no network", function() assert.is_nil((sb:run{ "true", network = { allow = {} } })) end) end

  local function spawn()
    local job = assert(sb:spawn{ "python3", "-c", TRAFFIC, port.echo, limits = { timeout = false },
                                 network = { allow = { "echo.test:1-65535", "127.0.0.1" }, resolver = "127.0.0.1:" .. port.dns } })
    local supervisor, net
    assert.is_true(h.eventually(function()
      job:step()
      supervisor, net = ours()
      return net ~= nil
    end))
    return job, supervisor, net
  end

  -- The moment is the test's subject, not its synchronisation.
  local function any_moment() core.poll(-1, "r", math.random() * 0.5) end

  it(("of the host, %d times: nothing is left"):format(KILLS), function()
    for i = 1, KILLS do
      local dir, remove = h.tmpdir()
      h.write(dir .. "/host.lua", HOST:format(package.path, package.cpath, h.state_dir, TRAFFIC, port.echo, port.dns))
      local pipe = io.popen(("echo $$; exec %s %s/host.lua 2>&1"):format(interpreter(), dir))
      local pid = pipe:read "*l"
      assert.equal("up", pipe:read "*l")
      local supervisor, net
      h.eventually(function() supervisor, net = ours() return net ~= nil end)
      local ns = netns_of(supervisor)
      any_moment()
      os.execute("kill -9 " .. pid)
      pipe:close()
      remove()
      assert.same({ i }, { i, h.leftovers(before) })
      assert.is_true(h.eventually(function() return is_dead(net) end))
      assert_no_namespace(ns, i)
    end
  end)

  it(("of sandbox-net, %d times: the run goes on, and its result says so"):format(KILLS), function()
    for i = 1, KILLS do
      local job, supervisor, net = spawn()
      local ns = netns_of(supervisor)
      any_moment()
      os.execute("kill -9 " .. net)
      local started = h.eventually(function() job:step() return job:pid() ~= nil or job.ended end)
      assert.is_true(started)
      local r, message, code = job:wait(60)
      if r then
        assert.same({ i, "exited" }, { i, r.status })
        assert.is_truthy((r.stdout or ""):find "down\n$")
        assert.is_truthy(r.network.failed)
      else
        -- It was not ready yet, or runsc was just taking over its link.
        assert.is_true(code == "not_supported" or code == "runsc_failed" and message:find("network", 1, true) ~= nil, message)
      end
      job:close()
      assert.same({ i }, { i, h.leftovers(before) })
      assert_no_namespace(ns, i)
    end
  end)

  it(("of the supervisor, %d times: all of it dies with it"):format(KILLS), function()
    for i = 1, KILLS do
      local job, supervisor, net = spawn()
      local ns = netns_of(supervisor)
      any_moment()
      os.execute("kill -9 " .. supervisor)
      local r, _, code = job:wait(60)
      assert.same({ i, nil, "supervisor_lost" }, { i, r, code })
      job:close()
      assert.is_true(h.eventually(function() return is_dead(net) end))
      assert.is_true(h.eventually(function() return sb:cleanup_stale() == 1 end))
      assert.same({ i }, { i, h.leftovers(before) })
      assert_no_namespace(ns, i)
    end
  end)

  it("leaves nothing behind", function() assert.is_nil(h.leftovers(before)) end)
end)
