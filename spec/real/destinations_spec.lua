-- SPDX-License-Identifier: MIT
-- Where a guest gets to, as a table: each destination under each policy, what is expected beside what was seen. One sandbox a policy.
local h = require "support.harness"
local serve = require "support.servers"
local sb = h.sb

local supported = h.root or h.build ~= "2022"
local peers, before, port, other

-- What comes of it: e echo, r refused at once, n no name, x nothing for such a packet, s no such socket, * whatever (it may be
-- somebody's, outside: the event is what counts).
local WORDS = { e = "echo", r = "refused", n = "no name", x = "nothing", s = "no socket" }
-- Destinations with what comes of them in each policy of `modes`, in that order: none, public, allow, both, narrow, words of
-- what an event says of it in `allow`. E is the echo server's port on 127.0.0.1, 127.0.0.2 and ::1 of the host, O its own address.
local destinations = {
  -- names                              none public allow both narrow
  { "tcp echo.test E",                  "n", "r", "e", "e", "e" },
  { "tcp Echo.Test. E",                 "n", "r", "e", "e", "e" },
  { "tcp www.echo.test E",              "n", "r", "e", "n", "n", "allowed" },
  { "tcp a.b.echo.test E",              "n", "n", "n", "n", "n" }, -- there is none
  { "tcp bad.echo.test E",              "n", "r", "e", "n", "n", "allowed" },
  { "tcp notecho.test E",               "n", "n", "n", "n", "n", "name not allowed" },
  { "tcp echo.test 81",                 "n", "r", "r", "r", "r", "port not allowed" },
  { "tcp nothere.test E",               "n", "n", "n", "n", "n" },
  { "tcp loop.test E",                  "n", "r", "e", "e", "n", "allowed" }, -- both are named: the name and its address
  { "tcp inner.test E",                 "n", "r", "r", "r", "n", "not a public address" },
  { "tcp alias.test E",                 "n", "r", "r", "r", "n", "not a public address" },
  { "tcp rebind.test E",                "n", "*", "*", "r", "n" },
  { "tcp mapped.test E",                "n", "r", "e", "n", "n" },
  { "tcp mapped2.test E",               "n", "r", "r", "r", "n", "not a public address" },
  { "tcp nat64.test E",                 "n", "r", "r", "r", "n", "not a public address" },
  { "tcp six.test E",                   "n", "r", "r", "r", "n" },
  { "tcp ula.test E",                   "n", "r", "r", "r", "n" },
  { "tcp meta.test 80",                 "n", "r", "r", "r", "n", "not a public address" },
  { "tcp private.test E",               "n", "r", "r", "r", "n" },
  { "tcp zero.test E",                  "n", "r", "r", "r", "n" },
  { "tcp cast.test E",                  "n", "r", "r", "r", "n" },
  { "tcp edge.test E",                  "n", "r", "r", "r", "n" },
  { "tcp guest.test 7777",              "n", "r", "r", "r", "n" },
  { "tcp localhost.test E",             "n", "n", "n", "n", "n" },
  -- addresses
  { "tcp 127.0.0.1 E",                  "r", "r", "r", "r", "r" }, -- the guest's own
  { "tcp 127.0.0.2 E",                  "r", "r", "r", "r", "r" },
  { "tcp 0.0.0.0 E",                    "r", "r", "r", "r", "r" },
  { "tcp ::1 E",                        "r", "r", "r", "r", "r" },
  { "tcp ::ffff:127.0.0.1 E",           "r", "r", "r", "r", "r" },
  { "tcp ::ffff:10.0.0.1 E",            "r", "r", "r", "r", "r" },
  { "tcp 198.18.0.3 E",                 "r", "r", "r", "r", "r", "not a public address" }, -- the link's other end
  { "tcp 198.18.0.3 1080",              "r", "r", "r", "r", "r", "not a public address" },
  { "tcp 198.18.0.2 E",                 "r", "r", "r", "r", "r" },
  { "tcp 198.18.0.1 E",                 "r", "r", "r", "r", "r" },
  { "tcp 198.18.0.6 7777",              "r", "r", "r", "r", "r" },
  { "tcp 198.19.77.77 E",               "r", "r", "r", "r", "r", "an address of a name that was forgotten" },
  { "tcp 10.77.0.2 7777",               "r", "r", "r", "r", "r", "allowed" }, -- another sandbox, even where its range is named
  { "tcp O E",                          "r", "r", "r", "r", "r" },
  { "tcp 10.0.0.1 E",                   "r", "r", "r", "r", "r", "not a public address" },
  { "tcp 172.31.255.255 22",            "r", "r", "r", "r", "r", "not a public address" },
  { "tcp 192.168.1.1 80",               "r", "r", "r", "r", "r", "not a public address" },
  { "tcp 100.64.0.1 80",                "r", "r", "r", "r", "r", "not a public address" },
  { "tcp 169.254.169.254 80",           "r", "r", "r", "r", "r", "not a public address" },
  { "tcp 169.254.0.1 80",               "r", "r", "r", "r", "r", "not a public address" },
  { "tcp 224.0.0.1 80",                 "r", "r", "r", "r", "r" },
  { "tcp 239.255.255.250 1900",         "r", "r", "r", "r", "r" },
  { "tcp 255.255.255.255 80",           "r", "r", "r", "r", "r" },
  { "tcp 240.0.0.1 80",                 "r", "r", "r", "r", "r" },
  { "tcp 192.31.196.1 9",               "r", "*", "r", "r", "r", "address not allowed" }, -- of AS112, which answers nobody
  { "tcp 192.31.196.1 53",              "r", "*", "r", "r", "r", "address not allowed" },
  { "tcp fe80::1 80",                   "r", "r", "r", "r", "r" },
  { "tcp fd00::1 80",                   "r", "r", "r", "r", "r" },
  { "tcp 2606:4700:4700::1111 443",     "r", "r", "r", "r", "r" },
  { "tcp ff02::1 80",                   "r", "r", "r", "r", "r" },
  -- other than TCP
  { "udp 198.18.0.3 E",                 "r", "r", "r", "r", "r" },
  { "udp 192.31.196.1 53",              "r", "r", "r", "r", "r" },
  { "udp 10.0.0.1 123",                 "r", "r", "r", "r", "r" },
  { "udp echo.test E",                  "n", "r", "r", "r", "r" },
  { "icmp 192.31.196.1 0",              "s", "x", "x", "x", "x" },
  { "raw - 6",                          "s", "s", "s", "s", "s" },
  { "raw - 1",                          "s", "s", "s", "s", "s" },
  { "packet - 3",                       "s", "s", "s", "s", "s" },
}

local function modes()
  local E = port.echo
  local allow = { "echo.test:" .. E, "*.echo.test:" .. E, "127.0.0.1:" .. E, "10.77.0.0/24", "198.18.0.4/30:7777" }
  for _, name in ipairs{ "loop", "inner", "alias", "rebind", "mapped", "mapped2", "nat64", "six", "ula", "meta", "private", "zero", "cast", "edge", "guest", "nothere" } do
    allow[#allow + 1] = name .. ".test:1-65535"
  end
  local deny = { "www.echo.test:1-65535", "*.echo.test:1-65535", "mapped.test:1-65535", "192.31.196.0/24" }
  return {
    { "none", "none", 65534 }, { "public", { public = true }, 65534 }, { "allow", { allow = allow }, 0 },
    { "both", { public = true, allow = allow, deny = deny }, 65534 },
    { "narrow", { allow = { "echo.test:" .. (E - 1) .. "-" .. E, "127.0.0.0/8:" .. E }, deny = { "127.0.0.2" } }, 0 },
  }
end

-- The machine's own address, or one that is nobody's where it has none but the loopback's.
local function own_address()
  local pipe = io.popen "ip -4 -o addr show scope global 2>/dev/null"
  local address = pipe:read("*a"):match "inet ([%d.]+)"
  pipe:close()
  return address or "10.255.255.1"
end

local function lines_of(own)
  local lines = {}
  for i, row in ipairs(destinations) do lines[i] = row[1]:gsub("%f[%w]E$", port.echo):gsub("%f[%w]O%f[%W]", own) end
  return lines
end

describe("each destination", function()
  setup(function()
    assert(sb:run{ "true" })
    peers = serve "net_peers.py"
    port = peers.port
    before = h.census()
    if supported then
      other = assert(sb:start{ network = { allow = {}, address = "10.77.0.2/24" } })
      assert(other:spawn{ "python3", "-c", "import socket,time\ns=socket.create_server(('0.0.0.0',7777))\nwhile True:\n c,_=s.accept(); c.sendall(b'ping'); c.close()" })
      assert(other:connect(7777, 60)):close() -- it listens
    end
  end)
  teardown(function()
    if other then other:stop() end
    peers.stop()
  end)

  for column, name in ipairs{ "none", "public", "allow", "both", "narrow" } do
    if name == "none" or supported then
      it("is reached or not as the table says: " .. name, function()
        local mode = modes()[column]
        if type(mode[2]) == "table" then mode[2].resolver = "127.0.0.1:" .. port.dns end
        local lines = lines_of(own_address())
        local r = assert(sb:run{ "python3", "-c", h.read "spec/support/probe.py", network = mode[2], user = mode[3], stdin = table.concat(lines, "\n") .. "\n",
                                 limits = { timeout = 120 * h.slow } })
        local seen, wrong = {}, {}
        for line in r.stdout:gmatch "[^\n]+" do seen[#seen + 1] = line end
        assert.are.equal(#destinations, #seen, r.stderr)
        for i, row in ipairs(destinations) do
          local word = WORDS[row[column + 1]]
          if word and seen[i] ~= lines[i] .. " -> " .. word then wrong[#wrong + 1] = seen[i] .. " (expected: " .. word .. ")" end
        end
        assert.are.same({}, wrong)
        if name == "allow" then
          local reasons = {}
          for _, event in ipairs(r.network.events) do
            local where = (event.host or event.address) .. " " .. (event.port or 0)
            reasons[where] = reasons[where] or event.reason or "allowed"
            reasons[event.host or where] = reasons[event.host or where] or event.reason
          end
          for i, row in ipairs(destinations) do
            local host, number = lines[i]:match "^%w+ (%S+) (%d+)$"
            if row[7] then assert.are.equal(row[7], reasons[host .. " " .. number] or reasons[host], row[1]) end
          end
        end
      end)
    end
  end

  it("leaves nothing behind", function()
    if other then other:stop() end
    other = nil
    assert.is_nil(h.leftovers(before))
  end)
end)
