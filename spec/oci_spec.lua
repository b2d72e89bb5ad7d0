-- SPDX-License-Identifier: MIT
local plans = require "sandbox.options.plan"
local values = require "sandbox.options.values"
local oci = require "sandbox.run.oci"
local json = require "sandbox.json"
local host_layout = require "sandbox.run.host_layout"
local request = require "sandbox.run.request"

describe("oci", function()
  local stat = values.stat
  before_each(function() values.stat = function() return { type = "directory", size = 1 } end end)
  after_each(function() values.stat = stat end)

  local root, user = { rootless = false, platform = "systrap", flags = { directfs = true }, map_base = 200000 }, { rootless = true, platform = "ptrace", flags = {} }

  local function build(options, rt)
    return oci.build(plans.run(options), rt or root, "/run/x/run-1")
  end

  local function mount(spec, destination)
    for _, m in ipairs(spec.mounts) do
      if m.destination == destination then return m end
    end
  end

  local function has(list, value)
    for _, v in ipairs(list) do
      if v == value then return true end
    end
    return false
  end

  it("gives the program nothing but what was asked", function()
    local spec = build{ "a", "b" }
    assert.are.same({ "a", "b" }, spec.process.args)
    assert.is_nil(spec.process.capabilities)
    assert.is_true(spec.process.noNewPrivileges)
    assert.are.same({ uid = 65534, gid = 65534 }, spec.process.user)
    assert.are.same({ path = "/run/x/run-1/m/root", readonly = true }, spec.root)
    assert.are.same({ { type = "RLIMIT_NPROC", hard = 1024, soft = 1024 }, { type = "RLIMIT_NOFILE", hard = 1024, soft = 1024 },
                      { type = "RLIMIT_CORE", hard = 0, soft = 0 } }, spec.process.rlimits)
  end)

  it("maps ids as root, and leaves that to runsc as a user", function()
    local spec = build{ "a" }
    assert.are.same({ { containerID = 0, hostID = 200000, size = 65536 } }, spec.linux.uidMappings)
    assert.is_true(has({ spec.linux.namespaces[#spec.linux.namespaces].type }, "user"))
    assert.is_nil(build({ "a" }, user).linux.uidMappings)
  end)

  it("forbids user namespaces", function()
    local function calls(options)
      local spec, names = { linux = {} }, {}
      oci.guard(spec, plans.run(options))
      for i, rule in ipairs(spec.linux.seccomp and spec.linux.seccomp.syscalls or {}) do names[i] = rule.names[1] end
      return table.concat(names, " ")
    end
    assert.are.equal("unshare clone clone3", calls{ "a" })
    assert.are.equal("unshare clone clone3 ptrace ptrace ptrace", calls{ "a", limits = { disk = "1M" } })
    assert.are.equal("", calls{ "a", user_namespaces = true, limits = { pids = false } })
  end)

  it("lists a network namespace for none, and not for host", function()
    local function listed(spec)
      for _, ns in ipairs(spec.linux.namespaces) do
        if ns.type == "network" then return true end
      end
      return false
    end
    assert.is_true(listed(build{ "a" }))
    assert.is_false(listed(build{ "a", network = "host" }))
  end)

  it("bounds every tmpfs and forbids set-uid and devices", function()
    local spec = build{ "a", limits = { memory = "8M" }, mounts = { { type = "tmpfs", destination = "/x" }, { destination = "/y", source = "/s" }, { destination = "/z", source = "/s", readonly = false } } }
    for _, m in ipairs(spec.mounts) do
      if m.type ~= "proc" then assert.is_true(has(m.options, "nosuid"), m.destination) end
      if m.type == "tmpfs" then assert.is_true(has(m.options, "size=8388608"), m.destination) end
      if m.destination ~= "/dev" then assert.is_true(has(m.options, "nodev"), m.destination) end
    end
    assert.is_true(has(mount(spec, "/y").options, "ro"))
    assert.is_true(has(mount(spec, "/z").options, "rw"))
    assert.is_true(has(mount(build{ "a", limits = { memory = false } }, "/dev").options, "size=67108864"))
  end)

  it("keeps what `disk` counts in one place", function()
    local spec = build{ "a", limits = { disk = "1M" } }
    assert.are.equal("/run/x/run-1/m/tmp", mount(spec, "/tmp").source)
    assert.are.equal("/run/x/run-1/m/tmp", mount(spec, "/dev/shm").source)
    assert.are.equal("/run/x/run-1/m/work", mount(spec, "/work").source)
    assert.are.equal("tmpfs", mount(build{ "a" }, "/tmp").type)
    assert.are.equal("bind", mount(build{ "a", files = { ["/tmp/x"] = "" } }, "/tmp").type)
  end)

  it("writes all five capability sets", function()
    local sets = build{ "a", capabilities = { "CAP_CHOWN" } }.process.capabilities
    for _, name in ipairs{ "bounding", "effective", "inheritable", "permitted", "ambient" } do assert.are.same({ "CAP_CHOWN" }, sets[name]) end
  end)

  it("encodes no empty table, and no number that runsc cannot read", function()
    local text = json.encode_spec{ a = {}, b = { c = {} }, d = 2 ^ 63, e = { 1, 2 } }
    assert.is_nil(text:find("{}", 1, true))
    assert.is_nil(text:find("e+", 1, true))
    assert.are.same({ 1, 2 }, json.decode(text).e)
  end)

  it("adopts a bundle", function()
    local plan = plans.run{ bundle = "/b", limits = { pids = 5 } }
    local spec = { process = { args = { "x" }, rlimits = { { type = "RLIMIT_NPROC", hard = 1, soft = 1 }, { type = "RLIMIT_AS", hard = 1, soft = 1 } } }, root = { path = "rootfs" } }
    assert.are.equal("rootfs", oci.adopt(spec, plan, root, "/run/r"))
    assert.are.equal("/run/r/m/root", spec.root.path)
    assert.are.equal("RLIMIT_AS", spec.process.rlimits[1].type)
    assert.are.equal(5, spec.process.rlimits[2].hard)
    assert.are.same(build({ "a" }).linux, spec.linux)
  end)
end)

describe("request", function()
  local function node(kind, mode) return { type = kind, mode = tonumber(mode, 8), size = 1 } end
  local tree = {
    ["/bin"] = node("link", "777"), ["/lib"] = node("directory", "755"), ["/etc/services"] = node("file", "644"), ["/etc/protocols"] = node("file", "640"),
    ["/etc/alternatives"] = node("directory", "755"), ["/etc/ssl/certs"] = node("directory", "750"), ["/etc/python3"] = node("directory", "755"),
    ["/data/f"] = node("file", "644"),
  }
  local core = {
    stat = function(p) return tree[p] end,
    kind = function(p)
      if tree[p] then return tree[p].type, tree[p].mode end
    end,
    realpath = function(p) return p == "/bin" and "/usr/bin" or p end,
    readdir = function() return { "passwd", "python3", "shadow", "hosts" } end,
  }
  local result = require "sandbox.run.result"
  local rt = { runsc = "/usr/bin/runsc", version = "x", flags = { directfs = true }, platform = "systrap", rootless = false, state_dir = "/run/s", trace = true, boot_timeout = 10, cgroup_parent = "auto" }
  local stat = values.stat
  before_each(function() values.stat = core.stat end)
  after_each(function() values.stat = stat end)

  it("takes of the host only what all may read", function()
    local layout = host_layout.of(core, "none")
    assert.are.same({ "/bin usr/bin" }, layout.symlink)
    assert.are.same({ "/usr", "/lib", "/etc/alternatives", "/etc/python3" }, layout.bind)
    assert.are.same({ "/etc/services" }, layout.etc)
    local function top(l) return (table.concat(l.etc_hide, " "):gsub("%S+/%S+ ?", "")) end
    assert.are.equal("hosts passwd shadow ", top(layout))
    assert.are.equal("passwd shadow ", top(host_layout.of(core, "host")))
  end)

  it("looks anew when anything of that has changed, and not before", function()
    local looked, names, stamps = 0, { "python3" }, {} -- it is listed twice each time
    local function stamp(...)
      local out, newest = {}, 0
      for i, p in ipairs{ ... } do
        out[i] = stamps[p] or "-"
        newest = math.max(newest, tonumber(out[i]) or 0)
      end
      return table.concat(out, " "), newest
    end
    local counting = setmetatable({
      readdir = function()
        looked = looked + 1
        return names
      end,
      kind = function(p)
        if p == "/etc/perl" then return "directory", tonumber("755", 8) end
        return core.kind(p)
      end,
      stamp = stamp,
    }, { __index = core })
    local function binds() return table.concat(host_layout.of(counting, "none").bind, " ") end
    local function changes(path, time) stamps[path] = tostring(time) end
    assert.are.equal("/usr /lib /etc/alternatives /etc/python3", binds())
    tree["/etc/python3"] = node("directory", "750")
    changes("/etc/python3", 100)
    assert.are.equal("/usr /lib /etc/alternatives", binds())
    tree["/etc/python3"] = node("directory", "755")
    changes("/etc/python3", 101)
    assert.are.equal("/usr /lib /etc/alternatives /etc/python3", binds())
    assert.are.equal(6, looked)
    assert.are.equal(host_layout.of(counting, "none"), host_layout.of(counting, "none"))
    assert.are.equal(6, looked)
    host_layout.of(counting, "host")
    assert.are.equal(8, looked)
    names = { "python3", "perl" }
    changes("/etc", 102)
    assert.are.equal("/usr /lib /etc/alternatives /etc/perl /etc/python3", binds())
    assert.are.equal(10, looked)
    for _, dir in ipairs{ "/", "/var/lib", "/var/cache", "/nix", "/etc/ssl", "/etc/pki", "/etc/services" } do -- where one may come, or be another
      changes(dir, 103)
      binds()
      binds()
    end
    assert.are.equal(24, looked)
    changes("/etc", os.time()) -- it may change again at what its clock takes for the same time
    binds()
    names = { "python3" }
    assert.are.equal("/usr /lib /etc/alternatives /etc/python3", binds())
  end)

  it("says all that the supervisor must know", function()
    local plan = plans.run{ "a", limits = { cpus = 0.5, disk = "1M" }, stderr = "stdout", stdin = "x", files = { ["a.py"] = "1" }, mounts = { { destination = "/m/f", source = "/data/f" } } }
    local req = request.build(plan, rt, "00ff", core)
    local keys = result.parse(req.r)
    assert.are.equal("run", keys.mode)
    assert.are.equal("0.5", keys.cpus)
    assert.are.equal("1048576", keys.disk)
    assert.are.equal("536870912", keys.memory)
    assert.are.equal("open", keys.stdin)
    assert.are.equal("stdout", keys.stderr)
    assert.are.equal("host", keys.tmp)
    assert.are.equal("ro /data/f", keys.source)
    assert.are.equal("/m/f", keys.place)
    assert.is_truthy(req.config:find("run-00ff\\/m\\/s\\/0", 1, true))
    assert.is_nil(req.config:find("\\/data\\/f", 1, true))
    assert.is_truthy(req.r:find("arg=--overlay2=root:memory\0", 1, true))
    assert.is_truthy(req.r:find("arg=--directfs=false\0", 1, true))
    assert.are.equal("/work/a.py", req.files[2].path)
    assert.are.equal("/etc/hosts", req.files[1].path)
  end)

  it("chooses the overlay by who runs and what is written", function()
    local function flags(options, rootless)
      local plan = plans.run(options)
      local r = {}
      for k, v in pairs(rt) do r[k] = v end
      r.rootless = rootless
      return table.concat(request.flags(plan, r, request.pin(oci.build(plan, r, "/d"), "/d")), " ")
    end
    assert.is_truthy(flags({ "a" }, true):find("--overlay2=all:memory", 1, true))
    assert.is_truthy(flags({ "a" }, false):find("--overlay2=root:memory", 1, true))
    assert.is_truthy(flags({ "a", mounts = { { destination = "/m", source = "/data/f", readonly = false } } }, true):find("--overlay2=root:memory", 1, true))
    assert.is_truthy(flags({ "a" }, true):find("--rootless", 1, true))
  end)
end)
