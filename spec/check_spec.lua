-- SPDX-License-Identifier: MIT
local json = require "sandbox.json"
local random = require "support.random_options"
local sandbox = require "sandbox"

local ROUNDS = 3000

-- What OCI asks of the parts that we write: types, and what must be there.
local function check_spec(spec)
  local process = spec.process
  assert.are.equal("string", type(spec.ociVersion))
  assert.are.equal("string", type(spec.root.path))
  assert.is_truthy(#process.args > 0 and process.cwd:sub(1, 1) == "/")
  for _, list in ipairs{ process.args, process.env } do
    for _, s in ipairs(list) do assert.is_truthy(type(s) == "string" and not s:find("\0", 1, true)) end
  end
  for _, name in ipairs{ "uid", "gid" } do
    assert.is_truthy(process.user[name] >= 0 and process.user[name] <= 65535 and process.user[name] % 1 == 0)
  end
  for _, name in ipairs{ "uidMappings", "gidMappings" } do
    for _, m in ipairs(spec.linux[name] or {}) do assert.is_truthy(m.containerID >= 0 and m.hostID >= 0 and m.size > 0) end
  end
  for _, limit in ipairs(process.rlimits or {}) do
    assert.is_truthy(limit.type:find "^RLIMIT_" and limit.hard >= limit.soft and limit.soft >= 0 and limit.soft % 1 == 0)
  end
  for _, m in ipairs(spec.mounts or {}) do
    assert.is_truthy(m.destination:sub(1, 1) == "/" and type(m.type) == "string")
    for _, option in ipairs(m.options or {}) do assert.are.equal("string", type(option)) end
  end
  assert.is_truthy(json.decode(json.encode_spec(spec)))
end

describe("sandbox.check", function()
  it("raises nothing, whatever the table; what passes makes a spec", function()
    local sb = sandbox.new{ state_dir = "/tmp/unused" }
    local next_options, passed = random.new(20261130), 0
    for i = 1, ROUNDS do
      local options = next_options()
      local began = os.clock()
      local ok, good, message, code = pcall(sb.check, sb, options, i % 3 == 0 and { client = true } or nil)
      assert.is_truthy(os.clock() - began < 1, "round " .. i .. " took too long")
      assert.is_true(ok, "round " .. i)
      if good then
        passed = passed + 1
        if type(options) == "table" and not rawget(options, "bundle") and not rawget(options, "spec") then check_spec(assert(sb:spec(options))) end
      else
        assert.are.equal("bad_option", code)
        assert.is_truthy(#message < 2000 and not message:find "%c", message)
        assert.is_nil(message:find(random.SECRET, 1, true), message)
      end
    end
    assert.is_truthy(passed > ROUNDS / 10, passed .. " passed")
    sb:close()
  end)

  it("is linear in arguments and files", function()
    local argv, files = { "true" }, {}
    for i = 2, 200000 do argv[i] = "" end
    for i = 1, 4000 do files["d/" .. i] = "x" end
    local began = os.clock()
    assert.is_true(sandbox.check(argv))
    assert.is_true(sandbox.check{ "true", files = files })
    assert.is_truthy(os.clock() - began < 5)
    files["d/7/x"] = "x"
    assert.is_nil(sandbox.check{ "true", files = files })
  end)

  it("takes of a client nothing that names this host", function()
    local f = function() end
    local client = { client = true }
    for name, options in pairs{
      rootfs = { "a", rootfs = "/x" }, ["rootfs "] = { "a", rootfs = "host" }, bundle = { bundle = "/b" }, mounts = { "a", mounts = { { source = "/x", destination = "/y" } } },
      spec = { "a", spec = f }, on_stdout = { "a", on_stdout = f }, on_stderr = { "a", on_stderr = f }, on_exit = { "a", on_exit = f }, stdin = { "a", stdin = f },
      ["stdin.from"] = { "a", stdin = { from = "/x" } }, ['files["x"].from'] = { "a", files = { x = { from = "/x" } } },
      ["collect.into"] = { "a", collect = { paths = { "x" }, into = "/x" } }, network = { "a", network = "host" },
    } do
      local ok, message, code = sandbox.check(options, client)
      assert.is_nil(ok, name)
      assert.are.equal("bad_option", code)
      assert.is_truthy(message:find("'" .. name:gsub(" ", "") .. "': it names something of this host", 1, true), message)
    end
    for _, key in ipairs{ "runsc_flags", "runsc", "state_dir", "wait", "logger", "cgroup_parent" } do
      assert.is_nil(sandbox.check({ "a", [key] = { "--x" } }, client))
    end
    assert.is_true(sandbox.check({ "a", stdin = "x", files = { x = "1" }, env = { A = "1" }, collect = { "x" }, network = "none", limits = { timeout = 1 } }, client))
    -- What the instance says itself stays.
    assert.is_true(sandbox.new{ mounts = { { type = "tmpfs", destination = "/x" } }, on_stdout = f }:check({ "a" }, client))
    -- And it may give names to what a client may have.
    local named = sandbox.new{ filesystems = { data = "/srv/data", out = { source = "/srv/out", readonly = false }, copy = { source = "/srv/copy", cow = true } } }
    local function may(mount, of)
      mount.destination = mount.destination or "/x"
      local ok, message = (of or named):check({ "a", mounts = { mount } }, client)
      return ok or message:match "^bad option '([^']*)'"
    end
    for _, mount in ipairs{ { source = "data" }, { source = "copy", type = "cow" }, { source = "out", type = "cow" }, { source = "out", readonly = false }, { source = "data", type = "erofs" } } do
      assert.is_true(may(mount))
    end
    assert.same({ "mounts", "mounts", "mounts[1].source", "mounts[1].readonly", "mounts[1].size", "mounts[1].type", "mounts[1].source", "mounts" },
      { may{ source = "/srv/data" }, may{ type = "tmpfs" }, may{ source = "what" }, may{ source = "data", readonly = false }, may{ source = "copy", type = "cow", size = "1G" },
        may{ source = "data", type = "cow" }, may({ source = "data" }, sandbox.new{}), may{ source = "../data" } })
    assert.is_nil(sandbox.check({ "a" }, { clients = true }))
    assert.is_nil(sandbox.check({ "a" }, "client"))
    assert.is_true(sandbox.check{ "a", rootfs = "/x" })
  end)

  it("shows no secret, and no key as long as somebody likes", function()
    local secret = random.SECRET
    for _, options in ipairs{ { "a", env = { A = secret .. "\255" } }, { "a", env = { A = secret .. "\0" } }, { "a", env = { "A=" .. secret } },
                              { "a", env = { ["A=" .. secret] = "x" } }, { "a", secret .. "\255" }, { "a", stdin = { secret } },
                              { "a", files = { x = { content = { secret } } } } } do
      local ok, message = sandbox.check(options)
      assert.is_nil(ok)
      assert.is_nil(message:find(secret, 1, true), message)
    end
    for _, options in ipairs{ { "a", [("k"):rep(1e6)] = 1 }, { "a", limits = { [("k"):rep(1e6)] = 1 } }, { "a", env = { [("k"):rep(1e6)] = 1 } },
                              { "a", files = { [("k"):rep(1e6)] = 1 } }, { "a", [("k\n"):rep(1e3)] = 1 } } do
      local _, message = sandbox.check(options)
      assert.is_truthy(#message < 600, #message)
    end
  end)

  it("says that a module takes a dot, and an object a colon", function()
    local ok, message = pcall(function() local r = sandbox:run{ "true" } return r end)
    assert.is_false(ok)
    assert.is_truthy(message:find("check_spec.lua:%d+: .*sandbox%.run.*dot"), message)
    assert.are.equal("bad_option", select(3, sandbox:check{ "true" }))
    local sb = sandbox.new{}
    ok, message = pcall(function() local r = sb.run{ "true" } return r end)
    assert.is_false(ok)
    assert.is_truthy(message:find("check_spec.lua:%d+: .*sb:run.*colon"), message)
    assert.are.equal("bad_option", select(3, sb.check{ "true" }))
    for _, f in ipairs{ function() return sandbox.prepared.python "json" end, function() return sandbox.prepared:python{ "json" } end,
                        function() return sandbox.prepared.lua({}, {}) end, function() return sandbox.prepared.node{ json = true } end } do
      assert.is_false((pcall(f)))
    end
    assert.are.equal("json", sandbox.prepared.python{ "json" }[4])
  end)
end)
