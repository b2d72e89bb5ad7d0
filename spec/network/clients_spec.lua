-- SPDX-License-Identifier: MIT
-- What people run: git, pip, npm, curl, a database's client, a static binary, through a list of names, and without it. `make network`.
local h = require "support.harness"
local clients = require "support.net_clients"

describe("a list of names", function()
  local names = { "curl", "static", "pip", "npm", "git-https", "git-ssh", "psql" }
  -- An account without a shell serves nobody over SSH.
  local account = io.popen "getent passwd $(id -u)"
  if account:read("*a"):find "/nologin%s*$" then table.remove(names, 6) end
  account:close()
  local servers, before
  setup(function()
    servers = clients.serve(true)
    assert(servers.port.ssh > 0, "sshd does not start: " .. h.slurp(servers.dir .. "/sshd.log"))
    assert(servers.port.db > 0, "PostgreSQL does not start")
    assert(h.sb:run{ "true" })
    before = h.census()
  end)
  teardown(function() servers.stop() end)

  local function list()
    local allow = { "127.0.0.0/8:1-65535" }
    for _, host in ipairs{ "web", "pypi", "npm", "git", "db" } do allow[#allow + 1] = host .. ".test:1-65535" end
    return allow
  end

  it("lets each client have what it names", function()
    local seen, r = clients.try(servers, names, list())
    local all = {}
    for _, name in ipairs(names) do all[name] = "ok" end
    assert.are.same(all, seen, r.stderr)
    assert.are.equal(0, r.network.refused)
  end)

  for i, host in ipairs{ "web", "pypi", "npm", "git", "db" } do
    it("keeps them from what it does not: " .. host, function()
      local of = { web = { "curl", "static" }, pypi = { "pip" }, npm = { "npm" }, git = { "git-https", names[6] == "git-ssh" and "git-ssh" or nil }, db = { "psql" } }
      local allow = list()
      table.remove(allow, i + 1)
      local seen, r = clients.try(servers, of[host], allow)
      local none = {}
      for _, name in ipairs(of[host]) do none[name] = "failed" end
      assert.are.same(none, seen)
      assert.is_true(r.network.refused > 0 and r.network.connections == 0)
      assert.are.same({ host .. ".test", "name not allowed" }, { r.network.events[1].host, r.network.events[1].reason })
    end)
  end

  it("leaves nothing behind", function() assert.is_nil(h.leftovers(before)) end)
end)
