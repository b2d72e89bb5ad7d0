-- SPDX-License-Identifier: MIT
-- The policies of a sandbox's network, as they are read: what is taken, with which ports, and what is refused.
local network = require "sandbox.run.network"
local sandbox = require "sandbox"

describe("an entry of a policy", function()
  local taken = {
    ["pypi.org"] = "name:pypi.org 80-80,name:pypi.org 443-443",
    ["PyPI.org."] = "name:pypi.org 80-80,name:pypi.org 443-443",
    ["*.pythonhosted.org"] = "under:pythonhosted.org 80-80,under:pythonhosted.org 443-443",
    ["github.com:22"] = "name:github.com 22-22",
    ["db.example:5432-5433"] = "name:db.example 5432-5433",
    ["10.1.2.0/24:5432"] = "net:10.1.2.0/24 5432-5432",
    ["10.1.2.3"] = "net:10.1.2.3/32 1-65535",
    ["[2001:db8::1]:443"] = "net:2001:db8::1/128 443-443",
    ["[2001:db8::/32]:443"] = "net:2001:db8::/32 443-443",
    ["2001:db8::1"] = "net:2001:db8::1/128 1-65535",
    ["xn--bcher-kva.example"] = "name:xn--bcher-kva.example 80-80,name:xn--bcher-kva.example 443-443",
    ["localhost:80"] = "name:localhost 80-80",
  }
  for entry, rules in pairs(taken) do
    it("is " .. entry, function() assert.are.equal(rules, table.concat(network.entry(entry) or {}, ",")) end)
  end

  for _, entry in ipairs{ "", " ", ".", "*", "*.", "*.*.org", "a..b", "-", "pypi.org:", "pypi.org:0", "pypi.org:65536", "pypi.org:2-1", "pypi.org:x", "10.0.0.256",
                          "10.0.0", "1.2.3.4.5", "10.0.0.0/33", "[::1", "[::1]x", "[pypi.org]:80", ":::", "1::2::3", "2001:db8::1:443:x", "a b", "a\0b", "b\195\188cher.de",
                          ("a"):rep(64) .. ".org", ("a."):rep(130), "http://pypi.org", "pypi.org/simple", "user@pypi.org", "12345", 1, true, {} } do
    if entry ~= "-" then
      it("is not " .. tostring(entry):sub(1, 30):gsub("%z", "NUL"), function() assert.is_nil((network.entry(entry))) end)
    end
  end
end)

describe("the option network", function()
  local function check(value) return sandbox.check{ "true", network = value } end

  it("takes words and policies", function()
    for _, value in ipairs{ "none", "host", "sandbox", { allow = { "pypi.org" } }, { public = true, deny = { "evil.example" }, connections = 4, bandwidth = "1M" },
                            { allow = {}, mac = "02:00:00:00:00:01", address = "10.0.0.2/24", resolver = "127.0.0.1:5353" } } do
      assert.is_true(check(value))
    end
  end)

  it("names what is wrong", function()
    for field, value in pairs{ ["network.allow[2]"] = { allow = { "a.org", "b org" } }, ["network.connections"] = { connections = 0 }, ["network.bandwidth"] = { bandwidth = -1 },
                               ["network.mac"] = { mac = "01:00:00:00:00:01" }, ["network.address"] = { address = "10.0.0.0/24" }, ["network.resolver"] = { resolver = "x" },
                               ["network.alow"] = { alow = {} }, ["network.public"] = { public = 1 }, network = "bridge" } do
      local ok, message, code = check(value)
      assert.is_nil(ok)
      assert.are.equal("bad_option", code)
      assert.is_truthy(message:find("'" .. field .. "'", 1, true), message)
    end
  end)

  it("is not a client's to say", function()
    assert.is_nil((sandbox.check({ "true", network = { allow = { "pypi.org" } } }, { client = true })))
    assert.is_nil((sandbox.check({ "true", network = "sandbox" }, { client = true })))
  end)

  it("gives the link two addresses of one network", function()
    assert.are.same({ "10.0.0.2", "10.0.0.1", 24 }, { network.link "10.0.0.2/24" })
    assert.are.same({ "10.0.0.1", "10.0.0.2", 24 }, { network.link "10.0.0.1/24" })
    assert.are.same({ "192.168.7.77", "192.168.7.65", 26 }, { network.link "192.168.7.77/26" })
    assert.are.same({ "10.0.0.2", "10.0.0.3", 31 }, { network.link "10.0.0.2/31" })
    assert.are.same({ "10.0.0.3", "10.0.0.2", 31 }, { network.link "10.0.0.3/31" })
    assert.is_nil((network.link "10.0.0.1/32"))
  end)
end)

describe("what sandbox-net tells", function()
  it("is read record by record, however many come together", function()
    local record = network.record()
    local events = network.take(record, "event=0\0at=1.5\0host=a.org\0port=80\0event=1\0at=2.5\0address=10.0.0.1\0port=22\0reason=no\0end=0\0bytes_in=7\0bytes_out=8\0")
    assert.are.equal(2, #events)
    assert.are.same({ at = 1.5, host = "a.org", port = 80, allowed = true, bytes_in = 7, bytes_out = 8 }, events[1])
    assert.are.same({ at = 2.5, address = "10.0.0.1", port = 22, allowed = false, reason = "no", bytes_in = 0, bytes_out = 0 }, record.events[2])
    assert.are.same({}, network.take(record, "say=policy\0text=\0"))
    assert.are.same({}, network.take(record, "say=error\0text=gone\0"))
    assert.are.same({ 1, "gone" }, { record.policies, record.failed })
    assert.are.same({}, network.take(record, ""))
    assert.are.same({}, network.take(record, "end=0\0bytes_in=9\0")) -- told already
    assert.are.equal(7, events[1].bytes_in)
  end)
end)
