-- SPDX-License-Identifier: MIT
-- What a guest reaches: nothing that was not allowed, however it is written.
local env = require "support.harness"
local sb = env.sb

-- Whether bytes of a server come back: a forwarder may take a connection before it refuses it.
local REACH = [[
import socket, sys
for target in sys.argv[1:]:
  host, port = target.rsplit(":", 1)
  s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET); s.settimeout(3)
  try:
    s.connect((host, int(port)))
    if s.recv(1): print(target)
  except OSError: pass
  s.close()
for family, kind in ((socket.AF_PACKET, socket.SOCK_RAW), (socket.AF_INET, socket.SOCK_RAW)):
  try: socket.socket(family, kind, 1); print("raw", family)
  except OSError: pass]]

-- A server of the host's loopback that greets whoever comes.
local SERVER = [[
import socket, sys, threading
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(50)
print(s.getsockname()[1], flush=True)
def serve():
  while True:
    c, _ = s.accept(); c.sendall(b"hi"); c.close()
threading.Thread(target=serve, daemon=True).start()
sys.stdin.read()]]

describe("the network", function()
  local before, port, server, file, remove
  setup(function()
    assert(sb:run{ "true" })
    before = env.census()
    local dir
    dir, remove = env.tmpdir()
    file = dir .. "/port"
    server = assert(io.popen(("exec python3 -c '%s' >%s"):format(SERVER:gsub("'", "'\\''"), file), "w"))
    assert.is_true(env.eventually(function() port = env.slurp(file):match "^(%d+)\n" return port ~= nil end))
  end)
  teardown(function()
    if server then server:close() end
    remove()
  end)

  local function reached(network, user)
    local argv = { "python3", "-c", REACH, network = network, user = user, limits = { timeout = 60 * env.slow } }
    for _, host in ipairs{ "127.0.0.1", "0.0.0.0", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1" } do argv[#argv + 1] = host .. ":" .. port end
    local r, message, code = sb:run(argv)
    if not r then return code, message end
    assert.same({ "exited", 0 }, { r.status, r.exit_code }, r.stderr)
    return r.stdout
  end

  it("is none by default, and has no raw sockets for uid 0 either", function()
    for _, user in ipairs{ 65534, 0 } do assert.equal("", reached("none", user)) end
  end)

  -- CVE-2025-66479: an empty list that was taken for none.
  it("with nothing allowed is closed; with all that is public it has none of the host's", function()
    for _, policy in ipairs{ { allow = {} }, { deny = { "1.1.1.1" } }, "sandbox", { allow = { "localhost:" .. port, "*.localhost:" .. port } } } do
      local what, message = reached(policy)
      assert.is_true(what == "" or what == "not_supported", tostring(what) .. tostring(message))
    end
  end)

  it("leaves nothing behind", function()
    server:close()
    server = nil
    assert.is_nil(env.leftovers(before))
  end)
end)
