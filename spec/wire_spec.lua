-- SPDX-License-Identifier: MIT
-- What goes to the supervisor is written by one encoder, whose rows are the supervisor's.
local wire = require "sandbox.run.wire"

describe("a list for the supervisor", function()
  local function refused(f, what)
    local ok, why = pcall(f)
    assert.is_false(ok)
    assert.is_string(why)
    assert.is_truthy(why:find(what, 1, true), why)
    assert.is_nil(why:find("s3cr3t", 1, true))
  end

  it("is keys and values, each ended by NUL", function()
    local p = wire.new()
    assert.are.equal("", p:bytes())
    p:add("mode", "run")
    p:add("rootless", false)
    p:add("idle_timeout", nil)
    p:add("work", true)
    p:add("memory", 2 ^ 40)
    p:add("cpus", 0.5)
    p:add("timeout", 30)
    p:add("network", "host")
    p:add_all("arg", { "--a=b", "" })
    p:add("arg", "c")
    assert.are.equal("mode=run\0work=1\0memory=1099511627776\0cpus=0.5\0timeout=30\0network=host\0arg=--a=b\0arg=\0arg=c\0", p:bytes())
    assert.are.equal("/x\000644\0\0\0", wire.file{ path = "/x", mode = "644" })
    assert.are.equal("/x\000666\0/y\0005 6 7\0", wire.file{ path = "/x", from = "/y", seen = { size = 5, dev = 6, ino = 7 } })
  end)

  it("takes no NUL, no other type, no key that it does not know, and none twice", function()
    for key, values in pairs{
      cwd = { "/\0runsc=/s3cr3t", 5, {}, true, print }, id = { "a\0" }, first = { "{}\0x=y" }, arg = { "a\0b", 1 }, work = { 1, "1", {} }, network = { "HOST", "host\0", true, "" },
      memory = { -1, 1.5, 0 / 0, math.huge, "1M", 2 ^ 60 }, uid = { -1, 2 ^ 32, {}, "0" }, timeout = { -1, 0 / 0, math.huge, "1" }, runsc2 = { "/x" }, [("k"):rep(5000)] = { "x" },
    } do
      for _, value in ipairs(values) do refused(function() wire.new():add(key, value) end, key:sub(1, 20)) end
    end
    refused(function() wire.new():add_all("source", { "a", "b\0" }) end, "source")
    refused(function() wire.new():add_all("cwd", { "a" }) end, "cwd")
    refused(function()
      local p = wire.new()
      p:add("runsc", "/a")
      p:add("runsc", "/b")
    end, "runsc")
    for _, file in ipairs{ { path = "/x\0644\0/etc/shadow" }, { path = "/x", mode = "644\0" }, { path = "/x", mode = "u+s" }, { path = "/x", from = "a\0b" }, { path = 5 } } do
      refused(function() wire.file(file) end, "file's")
    end
  end)

  it("has the supervisor's rows", function()
    local file = assert(io.open "src/supervisor/sup_request.c")
    local rows = file:read("*a"):match "struct field %b{} fields%[%] = (%b{})"
    file:close()
    local kinds, theirs, ours = { TEXT = "text", LIST = "list", BIT = "flag", FLAG = "flag", SIZE = "size", ID = "id", SECONDS = "seconds" }, {}, {}
    for key, row in rows:gmatch '{ "([%w_]+)",(.-) },?\n' do
      for token in row:gmatch "%u+" do
        if kinds[token] then
          theirs[key] = row:find('"[a-z]+", "[a-z]+"') and "word" or kinds[token]
          break
        end
      end
    end
    for key, kind in pairs(wire.keys) do
      if key ~= "mode" then ours[key] = kind end
    end
    assert.are.same(theirs, ours)
  end)
end)
