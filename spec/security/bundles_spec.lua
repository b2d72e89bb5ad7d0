-- SPDX-License-Identifier: MIT
-- Bundles, specs and option tables of strangers: refused in words, with nothing run, read or made on the host.
local env = require "support.harness"
local core, sb = env.core, env.sb

describe("a stranger's", function()
  local before, dir, remove
  setup(function()
    assert(sb:run{ "true" })
    before = env.census()
  end)
  before_each(function()
    dir, remove = env.tmpdir()
    for _, d in ipairs{ "/rootfs", "/rootfs/bin", "/data" } do assert(core.mkdir(dir .. d, tonumber("755", 8))) end
    os.execute(("cp /bin/busybox %s/rootfs/bin/sh"):format(dir))
  end)
  after_each(function() remove() end)

  local HOOK = [[{"prestart":[{"path":"/bin/sh","args":["sh","-c","touch %s/canary"]}]}]]
  local function config(bytes)
    core.unlink(dir .. "/config.json")
    env.write(dir .. "/config.json", bytes)
  end
  local function bundle(more, process)
    config(([[{"process":{"args":["/bin/sh","-c","exit 0"]%s},"root":{"path":"rootfs"}%s}]]):format(
      process and "," .. process or "", more and "," .. more or ""))
    local r, message, code = sb:run{ bundle = dir }
    return r, message, code
  end
  local function refused(name, r, message, code)
    assert.same({ name, nil, "bad_rootfs" }, { name, r, code }, message)
    assert.truthy(message:find(name, 1, true), message)
    assert.is_nil(core.lstat(dir .. "/canary"))
  end

  -- Found here: Go's decoder takes a key in any case, and the last of two.
  it("hooks run nowhere, however they are written", function()
    local hook = HOOK:format(dir)
    for key, told in pairs{ ["hooks"] = "hooks", ["Hooks"] = "Hooks", ["h\\u006foks"] = "hooks", ["HOOK\\u0053"] = "HOOKS", ["hoo\\u212as"] = "hoo" } do
      refused(told, bundle(('"%s":%s'):format(key, hook)))
    end
    refused("hostname a second time", bundle('"hostname":"a","h\\u006fstname":"b"'))
    config "\239\187\191{}" -- a mark that some readers skip
    refused("no value", sb:run{ bundle = dir })
  end)

  it("request is no request of ours", function()
    refused("process.cwd", bundle(nil, '"cwd":"/\\u0000runsc=/bin/sh"'))
    refused("process.user.uid", bundle(nil, '"user":{"uid":"0\\u0000mkdir=/x","gid":0}'))
    refused("process.user.uid", bundle(nil, '"user":{"uid":18446744073709551616,"gid":0}'))
    refused("dev.gvisor.", bundle('"annotations":{"dev.gvisor.flag.debug-log":"/tmp/"}'))
  end)

  -- CVE-2021-30465 and its kind: a link where a path is looked at and then used.
  it("links lead to nothing of the host's", function()
    env.write(dir .. "/outside", "of the host\n")
    local link = [=["mounts":[{"destination":"/d","type":"bind","source":"%s"}]]=]
    os.execute(("ln -s /etc %s/out; ln -s / %s/r2"):format(dir, dir))
    refused("leads out of the bundle", bundle(link:format "out"))
    config [[{"process":{"args":["/bin/sh"]},"root":{"path":"r2"}}]]
    refused("leads out of the bundle", sb:run{ bundle = dir })
    core.unlink(dir .. "/config.json")
    os.execute(("ln -s /etc/passwd %s/config.json"):format(dir))
    refused("a link", sb:run{ bundle = dir })
    core.unlink(dir .. "/config.json")
    os.execute(("ln -s %s %s/rootfs/l"):format(dir, dir)) -- a mount's place below a link
    local r, message, code = bundle '"mounts":[{"destination":"/l/made/here","type":"tmpfs"}]'
    assert.is_true(r ~= nil or code == "bad_rootfs", message)
    assert.is_nil(core.lstat(dir .. "/made"))
  end)

  it("function for the spec has no more to say than a bundle", function()
    for name, f in pairs{
      hooks = function(s) s.hooks = { prestart = { { path = "/bin/true" } } } return s end,
      ["Dev.gvisor."] = function(s) s.annotations = { ["Dev.gvisor.flag.x"] = "y" } return s end,
      ["root.path"] = function(s) s.root.path = "/" return s end,
      ["process.env"] = function(s) s.process.env = s return s end,
      ["process.cwd"] = function(s) s.process.cwd = "/\0runsc=/x" return s end,
      ["process.user.uid"] = function(s) s.process.user.uid = 0 / 0 return s end,
      process = function(s) return setmetatable({}, { __index = s, __pairs = function() return next, s end }) end,
      linux = function(s) s.linux = setmetatable({}, { __index = s.linux }) return s end,
    } do refused(name, sb:run{ "true", spec = f }) end
  end)

  it("options are refused by check, which never raises", function()
    local raises = function() error "boom" end
    for _, options in ipairs{
      setmetatable({}, { __index = raises }), setmetatable({}, { __pairs = raises, __len = raises, __tostring = raises, __metatable = 5 }),
      { "true", env = { ["A\0B"] = "x" } }, { "true", files = { ["../x"] = "y" } }, { "true", files = { ["/proc/self/oom_score_adj"] = "y" } },
      { "true", files = { x = { from = "/dev/zero" } } }, { "a\0b" }, { "true", hostname = "a\n1.2.3.4 evil" }, { "true", user = 4294967295 },
      { "true", cwd = "/work/../.." }, { "true", mounts = { { source = "/dev/null", destination = "/n" } } }, { "true", limits = { memory = "18014398509481985K" } },
      { "true", network = { allow = { "x\0.allowed.com" } } }, { "true", network = { allow = { "*" } } }, { "true", network = { alow = {} } },
    } do
      local ok, fine, message, code = pcall(sb.check, sb, options)
      assert.same({ true, nil, "bad_option" }, { ok, fine, code }, message)
    end
  end)

  it("work leaves nothing behind", function() assert.is_nil(env.leftovers(before)) end)
end)
