-- SPDX-License-Identifier: MIT
local plans = require "sandbox.options.plan"
local schema = require "sandbox.options.schema"
local values = require "sandbox.options.values"

describe("schema", function()
  local stat = values.stat
  before_each(function()
    values.stat = function(path)
      if path:find("^/dev/") then return { type = "char" } end
      if path == "/missing" then return nil, "No such file or directory", "ENOENT" end
      return { type = path:find("%.txt$") and "file" or "directory", size = 10 }
    end
  end)
  after_each(function() values.stat = stat end)

  local function refused(options, ...)
    local plan, message, code = plans.try("run", options)
    assert.is_nil(plan)
    assert.are.equal("bad_option", code)
    for _, words in ipairs{ ... } do assert.is_truthy(message:find(words, 1, true), message .. " lacks " .. words) end
  end

  it("fills in the defaults", function()
    local plan = plans.run{ "true" }
    assert.are.same({ "true" }, plan.argv)
    assert.are.same({ uid = 65534, gid = 65534, groups = {} }, plan.user)
    assert.are.equal("/work", plan.cwd)
    assert.are.equal("host", plan.rootfs)
    assert.is_true(plan.readonly)
    assert.are.equal("none", plan.network)
    assert.are.equal(30, plan.limits.timeout)
    assert.are.equal(512 * 1024 * 1024, plan.limits.memory)
    assert.are.equal(1024, plan.limits.pids)
    assert.are.equal(10 * 1024 * 1024, plan.limits.output)
    assert.is_nil(plan.limits.disk)
    assert.are.same({ "HOME=/tmp", "LANG=C.UTF-8", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" }, plan.env)
  end)

  it("shares no default between plans that either could change", function()
    local first = plans.run{ "true" }
    first.user.groups[1], first.user.uid, first.env[1], first.limits.pids = 1, 0, "HOME=/", 1
    first.files[1], first.mounts[1], first.capabilities[1] = {}, {}, "CAP_KILL"
    local second = plans.run{ "true" }
    assert.are.same({ uid = 65534, gid = 65534, groups = {} }, second.user)
    assert.are.equal("HOME=/tmp", second.env[1])
    assert.are.equal(1024, second.limits.pids)
    assert.are.same({ {}, {}, {} }, { second.files, second.mounts, second.capabilities })
  end)

  it("words what is wrong", function()
    local _, message = plans.try("run", { "a", limits = { memory = -1 } })
    assert.are.equal("bad option 'limits.memory': expected a size such as \"64M\", got -1", message)
    refused({ "a", foo = 1 }, "'foo'", "known are", "stdin")
    refused({ "a", limits = { mem = 1 } }, "'limits.mem'", "known are", "memory")
    assert.has_error(function() plans.run({ "a", cwd = 1 }, nil, 0) end)
  end)

  it("refuses bad argvs", function()
    refused({}, "argv")
    refused({ "a", nil, "c" }, "holes", "nil at 2")
    refused({ "" }, "argv[1]")
    refused({ "a\0b" }, "argv[1]", "NUL")
    refused({ "a", "\255" }, "argv[2]", "UTF-8")
    refused({ "a", "\237\160\128" }, "UTF-8") -- a surrogate
    refused({ "a", 5 }, "argv[2]", "got 5")
    refused({ "a", [1.5] = "b" }, "known are")
  end)

  it("refuses bad limits, whole tables of them", function()
    local nan, inf = 0 / 0, math.huge
    for _, name in ipairs{ "timeout", "cpu_time", "cpus", "memory", "pids", "output", "file_size", "disk", "inodes", "open_files", "stack", "address_space" } do
      for _, value in ipairs{ 0, -1, nan, inf, -inf, "x", "2T", "1.5", "1iB", "64 X", "", "0", true, {} } do
        refused({ "a", limits = { [name] = value } }, "limits." .. name)
      end
      assert.is_nil(plans.run{ "a", limits = { [name] = false } }.limits[name])
    end
    refused({ "a", limits = { timeout = 1e10 } }, "1e9")
    refused({ "a", limits = { memory = 2 ^ 41 } }, "1024G")
    refused({ "a", limits = { pids = 1.5 } }, "integer")
    refused({ "a", limits = { output_kill = 1 } }, "true or false")
    refused({ "a", limits = { output_keep = "middle" } }, '"head" or "tail"')
  end)

  it("reads sizes", function()
    local function size(v) return plans.run{ "a", limits = { memory = v } }.limits.memory end
    assert.are.equal(65536, size "64K")
    assert.are.equal(64 * 1024 * 1024, size "64M")
    assert.are.equal(1024 ^ 3, size "1G")
    assert.are.equal(12345, size(12345))
    assert.are.equal(1024 ^ 4, size "1024G")
    for _, form in ipairs{ "64m", "64MB", "64MiB", "64 MiB", "64mib", "0.0625G", "65536k", "67108864B" } do assert.are.equal(64 * 1024 * 1024, size(form)) end
    assert.are.equal(1.5 * 1024 ^ 3, size "1.5G")
    -- What an integer would wrap around to is small.
    for _, form in ipairs{ "18014398509481985K", "17592186044417M", ("9"):rep(30), ("9"):rep(400) .. "K" } do refused({ "a", limits = { memory = form } }, "limits.memory") end
  end)

  it("shows nothing of what is in env, and cuts a key", function()
    for _, e in ipairs{ "s3cr3t", { A = "s3cr3t\255" }, { A = "s3cr3t\0" }, { "A=s3cr3t" }, { ["A=s3cr3t"] = "x" }, { A = { "s3cr3t" } }, { [("k"):rep(1e5)] = "s3cr3t\0" } } do
      local plan, message = plans.try("run", { "a", env = e })
      assert.is_nil(plan)
      assert.is_true(#message < 300)
      assert.is_nil(message:find("s3cr3t", 1, true), message)
    end
  end)

  it("refuses bad names in env", function()
    refused({ "a", env = { ["A=B"] = "x" } }, "env", "'='")
    refused({ "a", env = { [""] = "x" } }, "env")
    refused({ "a", env = { A = 1 } }, "env.A", "got a number")
    refused({ "a", env = { A = "\0" } }, "env.A")
    refused({ "a", env = { "x" } }, "env[1]")
    assert.are.same({ "A=1", "LANG=C.UTF-8", "PATH=/bin" }, plans.run{ "a", env = { A = "1", HOME = false, PATH = "/bin" } }.env)
  end)

  it("refuses paths that are relative or climb", function()
    for _, key in ipairs{ "cwd", "rootfs", "bundle" } do
      for _, value in ipairs{ "rel", "./x", "", "/a/../b", "/a\0", "/\255", 7 } do
        local options = { [key] = value }
        if key ~= "bundle" then options[1] = "a" end
        refused(options, key)
      end
    end
    assert.are.equal("/a/b", plans.run{ "a", cwd = "//a/./b/" }.cwd)
  end)

  it("reads users", function()
    assert.are.same({ uid = 0, gid = 0, groups = {} }, plans.run{ "a", user = 0 }.user)
    assert.are.same({ uid = 7, gid = 7, groups = {} }, plans.run{ "a", user = "7" }.user)
    assert.are.same({ uid = 7, gid = 8, groups = {} }, plans.run{ "a", user = "7:8" }.user)
    assert.are.same({ uid = 7, gid = 8, groups = { 9 } }, plans.run{ "a", user = { uid = 7, gid = 8, groups = { 9 } } }.user)
    for _, user in ipairs{ -1, 65536, 1.5, "root", "1:2:3", { gid = 1 }, { uid = 1, name = "x" }, true } do refused({ "a", user = user }, "user") end
  end)

  it("reads mounts, the outer ones first", function()
    local mounts = plans.run{ "a", mounts = { { source = "/s", destination = "/data/in/" }, { type = "tmpfs", destination = "/data", size = "1M" } } }.mounts
    assert.are.same({ destination = "/data", type = "tmpfs", size = 1048576, readonly = false }, mounts[1])
    assert.are.same({ destination = "/data/in", type = "bind", source = "/s", source_type = "directory", readonly = true }, mounts[2])
  end)

  it("knows what tags stand for", function()
    local instance = plans.instance{ filesystems = { data = "/srv/data/", out = { source = "/srv/out", readonly = false } }, mounts = { { source = "data", destination = "/d" } } }
    local function source(mounts) return plans.run({ "a", mounts = mounts }, instance.defaults).mounts[1].source end
    assert.are.same({ "/srv/data", "/srv/out" }, { source(), source{ { source = "out", destination = "/o", readonly = false } } })
    assert.is_true(pcall(plans.run, { "a", mounts = { { source = "x", destination = "/x" } } }, nil, { elsewhere = true }))
    for _, filesystems in ipairs{ { [""] = "/a" }, { ["/a"] = "/a" }, { a = "b" }, { a = {} }, { a = { source = "/a", write = true } }, { ["a\0"] = "/a" }, { "/a" },
                                  { [("a"):rep(65)] = "/a" }, { a = { source = "/a", readonly = 1 } } } do
      assert.is_nil(plans.try("instance", { filesystems = filesystems }))
    end
    assert.is_nil(plans.try("instance", { mounts = { { source = "data", destination = "/d" } } }))
  end)

  it("refuses bad mounts", function()
    for _, m in ipairs{ {}, { destination = "/x" }, { destination = "x", source = "/s" }, { destination = "/", source = "/s" },
                        { destination = "/proc", source = "/s" }, { destination = "/dev/shm", source = "/s" }, { destination = "/sys/fs", source = "/s" },
                        { destination = "/x", source = "/a/../b" }, { destination = "/x", source = "/dev/sda" }, { destination = "/x", source = "/s", size = 1 },
                        { destination = "/x", type = "tmpfs", source = "/s" }, { destination = "/x", type = "proc" }, { destination = "/x", source = "/s", ro = true },
                        { destination = "/x", source = "/s", readonly = 1 }, { destination = "/x", type = "cow" }, { destination = "/x", type = "erofs" },
                        { destination = "/x", type = "cow", source = "/s", readonly = true }, { destination = "/x", type = "erofs", source = "/s", readonly = false },
                        { destination = "/x", type = "erofs", source = "/s", size = 1 }, { destination = "/x", type = "cow", source = "/s", size = 0 },
                        { destination = "/x", type = "volume", source = "v", size = "1023K" } } do
      refused({ "a", mounts = { m } }, "mounts[1]")
    end
    refused({ "a", mounts = { { destination = "/x", source = "/s" }, { destination = "/x/", source = "/t" } } }, "mounts[2].destination", "once")
    refused({ "a", mounts = { [2] = {} } }, "mounts", "holes")
    assert.is_truthy(plans.try("run", { "a", mounts = { { destination = "/x", source = "/missing" } } }))
  end)

  it("places files", function()
    local files = plans.run{ "a", cwd = "/tmp/x", files = { ["b/c.py"] = "1", ["/work/d"] = { from = "/h.txt", mode = "0644" } } }.files
    assert.are.same({ name = "/work/d", path = "/work/d", from = "/h.txt", mode = "644" }, files[1])
    assert.are.same({ name = "b/c.py", path = "/tmp/x/b/c.py", content = "1", mode = "666" }, files[2])
  end)

  it("refuses bad files", function()
    for _, files in ipairs{ { ["../x"] = "" }, { [""] = "" }, { ["x/"] = "" }, { x = 1 }, { x = {} }, { x = { content = "", from = "/h.txt" } },
                            { x = { content = "", mode = 420 } }, { x = { content = "", mode = "888" } }, { x = { content = "", mode = "4755" } },
                            { x = { from = "" } }, { x = { from = "/directory" } }, { ["/proc/x"] = "" }, { ["/dev/x"] = "" }, { x = "", ["x/y"] = "" },
                            { x = "", ["./x"] = "" }, { "x" }, { ["a\0"] = "" } } do
      refused({ "a", files = files }, "files")
    end
    refused({ "a", files = { x = ("x"):rep(2000) }, limits = { disk = "1K" } }, "limits.disk", "1 KiB")
    refused({ "a", files = { x = ("x"):rep(2000) }, limits = { memory = "1K" } }, "limits.memory")
    refused({ "a", files = { x = "" }, mounts = { { type = "tmpfs", destination = "/work" } } }, "hide")
  end)

  it("knows capabilities, enums, functions, host names, stdin", function()
    assert.are.same({ "CAP_CHOWN", "CAP_KILL" }, plans.run{ "a", capabilities = { "CAP_KILL", "CAP_CHOWN", "CAP_KILL" } }.capabilities)
    refused({ "a", capabilities = { "CAP_FLY" } }, "capabilities[1]")
    refused({ "a", capabilities = { "chown" } }, "capabilities[1]")
    refused({ "a", network = "bridge" }, "network", '"none" or "host" or "sandbox"')
    refused({ "a", stderr = "null" }, "stderr")
    refused({ "a", on_stdout = "x" }, "on_stdout")
    assert.is_truthy(plans.try("run", { "a", on_stdout = setmetatable({}, { __call = function() end }) }))
    for _, name in ipairs{ "", "-x", "a b", ("x"):rep(64), 5 } do refused({ "a", hostname = name }, "hostname") end
    for _, stdin in ipairs{ 5, true, {}, { from = 1 }, { path = "x" } } do refused({ "a", stdin = stdin }, "stdin") end
    refused({ "a", readonly = "yes" }, "readonly")
    refused({ "a", collect = { paths = { "x" }, max = 1 } }, "collect.max")
    refused({ "a", collect = { "../x" } }, "collect[1]")
  end)

  it("keeps a bundle apart from what makes a spec", function()
    assert.are.equal("/b", plans.run{ bundle = "/b", limits = { timeout = 1 } }.bundle)
    for _, key in ipairs{ "env", "cwd", "user", "rootfs", "readonly", "mounts", "network", "hostname", "files" } do
      local value = ({ env = {}, cwd = "/", user = 0, rootfs = "host", readonly = true, mounts = {}, network = "none", hostname = "a", files = {} })[key]
      refused({ bundle = "/b", [key] = value }, key, "bundle")
    end
    refused({ "a", bundle = "/b" }, "argv", "bundle")
  end)

  it("merges an instance's defaults key by key, and replaces lists", function()
    local instance = plans.instance{ limits = { memory = "64M", pids = false }, env = { A = "1", B = "2" }, mounts = { { type = "tmpfs", destination = "/m" } } }
    local plan = plans.run({ "a", limits = { timeout = 1, memory = false }, env = { B = false, C = "3" }, mounts = {} }, instance.defaults)
    assert.are.equal(1, plan.limits.timeout)
    assert.is_nil(plan.limits.memory)
    assert.is_nil(plan.limits.pids)
    assert.are.equal("A=1", plan.env[1])
    assert.are.equal("C=3", plan.env[2])
    assert.are.same({}, plan.mounts)
  end)

  it("checks an instance", function()
    local options = plans.instance{}
    assert.are.equal("auto", options.platform)
    assert.are.equal(10, options.boot_timeout)
    assert.is_true(options.queue)
    for key, value in pairs{ runsc = "runsc", platform = "xen", boot_timeout = 0, state_dir = "x", rootless = "yes", cgroup_parent = "x", max_concurrent = 0,
                             queue = -1, queue_timeout = 0, logger = 1, runsc_flags = { "x" }, wait = true, stdin = "x", nonsense = 1 } do
      local out, message, code = plans.try("instance", { [key] = value })
      assert.is_nil(out)
      assert.are.equal("bad_option", code)
      assert.is_truthy(message:find(key, 1, true), message)
    end
  end)

  it("documents every row", function()
    for _, row in ipairs(schema.options) do assert.is_string(row.doc) assert.is_string(row.lua) end
    local docs = dofile "scripts/docs.lua"
    local filled = docs.fill("a\n<!-- options:begin -->\nold\n<!-- options:end -->\nb")
    assert.is_truthy(filled:find("| `cwd` |", 1, true))
    assert.is_nil(filled:find("old", 1, true))
    assert.are.equal(filled, docs.fill(filled))
    assert.is_truthy(docs.luals():find("---@field memory? integer|string|false", 1, true))
  end)
end)
