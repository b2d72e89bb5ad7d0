-- SPDX-License-Identifier: MIT
-- A bundle's config.json is a stranger's: what is not known by its exact name goes nowhere.
local bundle = require "sandbox.options.bundle"
local json = require "sandbox.json"
local oci = require "sandbox.run.oci"
local request = require "sandbox.run.request"
local plans = require "sandbox.options.plan"
local strict = require "sandbox.options.strict_json"

local MINIMAL = [["process":{"args":["/x"]},"root":{"path":"rootfs"}]]

local function read(more, limits)
  local spec, why = bundle.read("{" .. MINIMAL .. (more and "," .. more or "") .. "}", "/b", limits or {})
  return spec, why
end

-- The reason, which must name the key.
local function refused(more, name, limits)
  local spec, why = read(more, limits)
  assert.is_nil(spec, more)
  assert.is_string(why)
  assert.is_truthy(why:find(name, 1, true), why .. " does not name " .. name)
  return why
end

local function with_process(fields)
  local spec, why = bundle.read(([[{"process":{"args":["/x"],%s},"root":{"path":"rootfs"}}]]):format(fields), "/b", {})
  return spec, why
end

describe("strict JSON", function()
  local function bad(s, what)
    local value, why = strict.decode(s)
    assert.is_nil(value, s)
    assert.is_truthy(why:find(what, 1, true), s .. ": " .. why)
  end

  it("reads what JSON is", function()
    assert.are.same({ a = { 1, -2.5, 1e3, true, false, "x" }, b = {} }, strict.decode ' { "a" : [ 1 , -2.5, 1e3,true,false,"x" ], "b":{}} \n')
    assert.are.equal("\"\\/\b\f\n\r\t\195\169\226\130\172\240\159\152\128", strict.decode [["\"\\\/\b\f\n\r\t\u00e9\u20ac\ud83d\ude00"]])
    assert.are.equal("a\0b", strict.decode [["a\u0000b"]])
    assert.are.equal(strict.null, strict.decode "null")
    assert.are.equal(strict.null, strict.decode '{"a":null}'.a)
  end)

  it("refuses a key that comes twice, however it is written", function()
    bad('{"a":1,"a":1}', "the key a a second time")
    bad('{"hooks":null,"\\u0068ooks":{}}', "the key hooks a second time")
    bad('{"x":{"":1,"":2}}', "a second time")
    bad('{"' .. ("k"):rep(5000) .. '":1,"' .. ("k"):rep(5000) .. '":1}', "kkk...")
    assert.is_true(#select(2, strict.decode('{"' .. ("k"):rep(5000) .. '":1,"' .. ("k"):rep(5000) .. '":1}')) < 200)
  end)

  it("refuses what parsers do not agree on", function()
    for s, what in pairs{
      [""] = "no value", ["{"] = "no key", ["[1,]"] = "no value", ['{"a":1,}'] = "no key", ["{'a':1}"] = "no key", ["[1 2]"] = "no ','", ['{"a" 1}'] = "no ':'",
      ["01"] = "after the end", ["+1"] = "no value", ["1."] = "after", [".5"] = "no value", ["0x10"] = "after", ["1e999"] = "range", ["NaN"] = "no value", ["nul"] = "no value",
      ["Infinity"] = "no value", ['"\\x"'] = "escape", ['"\\u12"'] = "escape", ['"\\ud800"'] = "surrogate", ['"\\udc00\\ud800"'] = "surrogate", ['"a\nb"'] = "control",
      ['"a\0b"'] = "control", ['"a'] = "without an end", ['"\255"'] = "UTF-8", ["\239\187\191{}"] = "no value", ["{} x"] = "after the end", ["/**/{}"] = "no value",
      [("["):rep(40)] = "more than 32 levels", ["1\0"] = "after the end", [("9"):rep(100)] = "range",
    } do bad(s, what) end
    bad((" "):rep(3 * 2 ^ 20), "more than 2 MiB")
    bad("[" .. ("0,"):rep(300000) .. "0]", "more than 200000 values")
  end)
end)

describe("bundle", function()
  it("takes what it knows and writes all of it anew", function()
    local spec = assert(bundle.read([[{"ociVersion":"1.0.2-dev","process":{"args":["/x","y"],"env":["A=1"],"cwd":"/w/./d","user":{"uid":7,"gid":8,"additionalGids":[9]},
      "capabilities":{"bounding":["CAP_KILL"],"ambient":[]},"rlimits":[{"type":"RLIMIT_AS","hard":18446744073709551615,"soft":4096}],"noNewPrivileges":false,"terminal":true},
      "root":{"path":"rootfs","readonly":true},"hostname":"h","mounts":[{"destination":"/t","type":"tmpfs","source":"x","options":["size=64k","mode=1777","strictatime"]},
      {"destination":"/d","type":"bind","source":"data","options":["bind","ro"]},{"destination":"/e","source":"/b/e","options":["rbind"]}],
      "annotations":{"org.opencontainers.image.os":"linux"},"linux":{"namespaces":[{"type":"pid"},{"type":"user"}],"maskedPaths":["/proc/kcore"],"cgroupsPath":"/x"}}]], "/b", {}))
    assert.are.same({ ociVersion = "1.0.2", hostname = "h", root = { path = "rootfs", readonly = true },
      process = { args = { "/x", "y" }, env = { "A=1" }, cwd = "/w/d", user = { uid = 7, gid = 8, additionalGids = { 9 } }, capabilities = { bounding = { "CAP_KILL" }, ambient = {} },
                  rlimits = { { type = "RLIMIT_AS", hard = 18446744073709551615.0, soft = 4096 } }, noNewPrivileges = true, terminal = false },
      mounts = { { destination = "/t", type = "tmpfs", source = "tmpfs", options = { "nosuid", "mode=1777", "size=65536" } },
                 { destination = "/d", type = "bind", source = "data", options = { "rbind", "ro", "nosuid", "nodev" } },
                 { destination = "/e", type = "bind", source = "e", options = { "rbind", "rw", "nosuid", "nodev" } } } }, spec)
  end)

  it("refuses a key in another case, and one that it does not know, at every level", function()
    for _, key in ipairs{ "Hooks", "HOOKS", "hOOKS", "Process", "Linux", "Annotations", "Mounts", "Root", "new", "hoo\\u212As", "hooks\\u0000" } do
      local spec, why = read(('"%s":{}'):format(key))
      assert.is_nil(spec, key)
      assert.is_truthy(why:find(key:match "^%w+", 1, true), why)
    end
    for path, more in pairs{
      ["linux.UidMappings"] = '"linux":{"UidMappings":[]}', ["linux.namespaces[1].Path"] = '"linux":{"namespaces":[{"type":"pid","Path":""}]}',
      ["linux.resources.Memory"] = '"linux":{"resources":{"Memory":{}}}', ["mounts[1].Source"] = '"mounts":[{"destination":"/x","type":"tmpfs","Source":"/"}]',
      ["linux.resources.devices[1].Allow"] = '"linux":{"resources":{"devices":[{"Allow":true}]}}', ["Hooks"] = '"Hooks":null',
    } do refused(more, path) end
    for path, fields in pairs{ ["process.Capabilities"] = '"Capabilities":{}', ["process.user.UID"] = '"user":{"UID":0}', ["process.capabilities.Effective"] = '"capabilities":{"Effective":[]}',
                               ["process.rlimits[1].Type"] = '"rlimits":[{"Type":"RLIMIT_AS"}]', ["process.consoleSize.x"] = '"consoleSize":{"x":1}' } do
      local spec, why = with_process(fields)
      assert.is_nil(spec)
      assert.is_truthy(why:find(path, 1, true), why)
    end
    assert.is_true(#refused('"' .. ("k"):rep(1e6) .. '":1', "kkk...") < 200)
  end)

  it("refuses what reaches the host", function()
    refused('"hooks":{"prestart":[{"path":"/x"}]}', "hooks")
    for _, key in ipairs{ "dev.gvisor.flag.host-uds", "dev.gvisor.spec.mount.x.source", "dev.gvisor.", "Dev.gVisor.flag.debug", "dev.gvisor.\\u0066lag.x" } do
      assert.is_truthy(refused(('"annotations":{"a":"b","%s":"x"}'):format(key), "annotations"):lower():find("dev.gvisor.", 1, true))
    end
    refused('"linux":{"uidMappings":[{"containerID":0,"hostID":0,"size":1}]}', "linux.uidMappings")
    refused('"linux":{"gidMappings":[{"containerID":0,"hostID":0,"size":1}]}', "linux.gidMappings")
    refused('"linux":{"namespaces":[{"type":"network","path":"/proc/1/ns/net"}]}', "linux.namespaces[1].path")
    refused('"linux":{"devices":[{"path":"/dev/sda","type":"b","major":8,"minor":0}]}', "linux.devices")
    refused('"windows":{"x":1}', "windows")
    refused('"vm":{"x":1}', "vm")
    refused('"linux":{"intelRdt":{"closID":"x"}}', "linux.intelRdt")
  end)

  it("refuses what gVisor would ignore in silence", function()
    refused('"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ERRNO"}}', "linux.seccomp")
    refused('"linux":{"sysctl":{"net.ipv4.ip_forward":"1"}}', "linux.sysctl")
    refused('"linux":{"maskedPaths":["/etc/secret"]}', "linux.maskedPaths[1]")
    refused('"linux":{"readonlyPaths":["/proc/sys","/var"]}', "linux.readonlyPaths[2]")
    refused('"linux":{"rootfsPropagation":"shared"}', "linux.rootfsPropagation")
    assert.is_truthy(select(2, with_process '"user":{"umask":63}'):find("process.user.umask", 1, true))
    assert.is_table((with_process '"user":{"umask":18},"oomScoreAdj":0,"apparmorProfile":"","selinuxLabel":""'))
    assert.is_truthy(select(2, with_process '"apparmorProfile":"x"'):find("process.apparmorProfile", 1, true))
    assert.is_truthy(select(2, with_process '"oomScoreAdj":-1000'):find("process.oomScoreAdj", 1, true))
  end)

  it("measures what is asked of cgroups by the run's own limits", function()
    local limits = { memory = 64 * 2 ^ 20, pids = 100, cpus = 0.5 }
    assert.is_table((read('"linux":{"resources":{"devices":[{"allow":false,"access":"rwm"}],"memory":{"limit":134217728},"pids":{"limit":2048},"cpu":{"quota":50000,"period":100000}}}', limits)))
    refused('"linux":{"resources":{"memory":{"limit":1048576}}}', "limits.memory", limits)
    refused('"linux":{"resources":{"pids":{"limit":10}}}', "limits.pids", limits)
    refused('"linux":{"resources":{"cpu":{"quota":10000,"period":100000}}}', "limits.cpus", limits)
    refused('"linux":{"resources":{"memory":{"limit":1048576}}}', "limits.memory", {})
    assert.are.equal("size=67108864", read('"mounts":[{"destination":"/t","type":"tmpfs","options":["size=1g"]}]', limits).mounts[1].options[2])
  end)

  it("takes no types but its own", function()
    for path, fields in pairs{
      ["process.user.uid"] = '"user":{"uid":{"a":1}}', ["process.user.gid"] = '"user":{"gid":65536}', ["process.user.additionalGids[1]"] = '"user":{"additionalGids":[-1]}',
      ["process.cwd"] = '"cwd":"/\\u0000runsc=/x"', ["process.env[1]"] = '"env":["s3cr3t"]', ["process.env"] = '"env":{"A":"1"}', ["process.rlimits[1]"] = '"rlimits":[null]',
      ["process.rlimits[2].type"] = '"rlimits":[{"type":"RLIMIT_AS","hard":1,"soft":1},{"type":"RLIMIT_AS","hard":2,"soft":1}]',
      ["process.rlimits[1].soft"] = '"rlimits":[{"type":"RLIMIT_AS","hard":1,"soft":2}]',
      ["process.rlimits[1].type"] = '"rlimits":[{"type":"RLIMIT_X","hard":1,"soft":1}]', ["process.capabilities.effective[1]"] = '"capabilities":{"effective":["CAP_X"]}', ["process.terminal"] = '"terminal":1',
    } do
      local spec, why = with_process(fields)
      assert.is_nil(spec, fields)
      assert.is_truthy(why:find(path, 1, true), why)
      assert.is_nil(why:find("s3cr3t", 1, true))
    end
    for _, whole in ipairs{ "[]", "1", '"x"', "null", "{}", '{"process":null,"root":{"path":"r"}}', '{"process":{"args":[]},"root":{"path":"r"}}', '{"process":{"args":[""]},"root":{"path":"r"}}',
                            '{"process":{"args":["a\\u0000b"]},"root":{"path":"r"}}', '{"process":{"args":["x"]},"root":{}}', '{"process":{"args":["x"]},"root":"r"}' } do
      local spec, why = bundle.read(whole, "/b", {})
      assert.are.same({ nil, "string" }, { spec, type(why) })
    end
  end)

  it("binds nothing that is not the bundle's, and mounts nothing that it does not know", function()
    local function mount(fields, name) refused(('"mounts":[{"destination":"/x",%s}]'):format(fields), name) end
    for _, source in ipairs{ "/etc", "/", "../x", "a/../../x", "/b/../etc", "/bb", "a\\u000ab" } do mount(('"type":"bind","source":"%s"'):format(source), "mounts[1].source") end
    for _, kind in ipairs{ "overlay", "ext4", "erofs", "9p", "nfs", "BIND", "Bind", "none", "devtmpfs" } do mount(('"type":"%s","source":"x"'):format(kind), "mounts[1].type") end
    for _, option in ipairs{ "shared", "rshared", "lowerdir=/etc", "ifd=3", "remount", "size=0", "size=50%", "mode=9", "trans=fd", "idmap", "uid=99999", "Bind", "a,b", "nr_inodes=1" } do
      mount(('"type":"tmpfs","options":["%s"]'):format(option), "mounts[1].options[1]")
    end
    mount('"type":"tmpfs","options":["rbind"]', "mounts[1].options")
    mount('"type":"proc","source":"/","options":["nosuid","bind"]', "mounts[1].options")
    for _, place in ipairs{ "x", "/a/../b", "/", "//", "/a\\u0000b" } do refused(('"mounts":[{"destination":"%s","type":"tmpfs"}]'):format(place), "mounts[1].destination") end
    for _, place in ipairs{ "/proc/x", "/sys" } do refused(('"mounts":[{"destination":"%s","type":"tmpfs"}]'):format(place), "mounts[1].destination") end
    refused('"mounts":[{"destination":"/x","type":"tmpfs"},{"destination":"//x/","type":"tmpfs"}]', "mounts[2].destination")
    local many = {}
    for i = 1, 101 do many[i] = ('{"destination":"/m/%d","type":"bind","source":"x"}'):format(i) end
    refused('"mounts":[' .. table.concat(many, ",") .. "]", "at most 100 binds")
    for _, path in ipairs{ "/", "/etc", "..", "a/../../b", "/b/../c" } do
      local spec, why = bundle.read(('{"process":{"args":["x"]},"root":{"path":"%s"}}'):format(path), "/b", {})
      assert.is_nil(spec, path)
      assert.is_truthy(why:find("root.path", 1, true), why)
    end
  end)
end)

describe("what the function spec gives", function()
  local rt = { rootless = false, platform = "systrap", flags = {}, state_dir = "/run/s", boot_timeout = 10 }
  local function after(f)
    local plan = plans.run{ "a", limits = { pids = 5 }, env = { A = "1" } }
    plan.spec = f
    local spec, why, code = request.spec(plan, rt, "/run/s/run-1")
    return spec, why, code
  end

  it("is what was given where nothing is changed", function()
    local plan = plans.run{ "a", user = { uid = 1, gid = 2, groups = { 3 } }, capabilities = { "CAP_KILL" } }
    local given = oci.build(plan, rt, "/run/s/run-1")
    local spec = assert(bundle.check(json.decode(json.encode_spec(given)), given))
    local function plain(s) -- the order of a mount's options says nothing
      s = json.decode(json.encode_spec(s))
      for _, m in ipairs(s.mounts) do table.sort(m.options) end
      return s
    end
    assert.are.same(plain(given), plain(spec))
  end)

  it("may change what a bundle may have, and bind any path", function()
    local spec = assert(after(function(s)
      s.hostname = "changed"
      s.process.args[2] = "b"
      s.mounts[#s.mounts + 1] = { destination = "/m", type = "bind", source = "/srv/x", options = { "ro" } }
      s.process.rlimits[#s.process.rlimits + 1] = { type = "RLIMIT_STACK", hard = 1048576, soft = 1048576 }
    end))
    assert.are.same({ "changed", "b", "/srv/x" }, { spec.hostname, spec.process.args[2], spec.mounts[#spec.mounts].source })
  end)

  it("is refused with the key's name", function()
    for name, f in pairs{
      hooks = function(s) s.hooks = { prestart = { { path = "/bin/true" } } } end, Hooks = function(s) s.Hooks = {} end,
      ["linux.uidMappings"] = function(s) s.linux.uidMappings = nil end, ["linux.devices"] = function(s) s.linux.devices = { { path = "/dev/sda" } } end,
      ["linux.maskedPaths"] = function(s) s.linux.maskedPaths = { "/etc" } end, ["root.path"] = function(s) s.root.path = "/" end,
      ["RLIMIT_NPROC"] = function(s) s.process.rlimits = {} end, ["dev.gvisor.flag.x"] = function(s) s.annotations = { ["dev.gvisor.flag.x"] = "1" } end,
      ["process.oomScoreAdj"] = function(s) s.process.oomScoreAdj = -1000 end, ["process.user.umask"] = function(s) s.process.user.umask = 63 end,
      ["process.args"] = function(s) s.process.args = nil end, ["mounts[1]"] = function(s) s.mounts[1] = 5 end, ["process.env[2]"] = function(s) s.process.env[2] = "x=\0" end,
      ["process.noNewPrivileges"] = function(s) s.process.noNewPrivileges = false end, ["got a number"] = function() return 5 end,
      ["process"] = function(s) s.process = s end, ["process.cwd"] = function(s) s.process.cwd = setmetatable({}, { __tostring = error }) end,
    } do
      local spec, why, code = after(f)
      assert.are.same({ nil, "bad_rootfs" }, { spec, code }, name)
      assert.is_truthy(why:find(name, 1, true), why .. " does not name " .. name)
    end
  end)
end)
