-- SPDX-License-Identifier: MIT
-- What is in a box, kept in a directory and given to others.
local env = require "support.harness"
local sb, core = env.sb, env.core

local MAKE = [[
cd /work; umask 027; echo a >a; mkdir -p d/e; ln -s ../a d/l; touch -d @1000 d/e; chmod 0 a; mkfifo fifo
echo t >/tmp/t; echo s >/dev/shm/s; echo m >/data/m; head -c 100000 /dev/zero >ro/z
]]
local SHOW = [[
cd /work; chmod u+r a; find a d d/e d/l -maxdepth 0 -printf '%p %m %y\n'; find d/e -maxdepth 0 -printf '%Ts\n'; cat a /tmp/t /dev/shm/s /data/m; readlink d/l; ls; id -u
]]
local SHOWN = "a 400 f\nd 750 d\nd/e 750 d\nd/l 777 l\n1000\na\nt\ns\nm\n../a\na\nd\nro\n1000\n"

describe("snapshots", function()
  local before, top, remove
  setup(function()
    assert(sb:run{ "true" })
    before = env.census()
    top, remove = env.tmpdir()
  end)

  local function put(name, bytes)
    core.unlink(top .. "/" .. name)
    env.write(top .. "/" .. name, bytes)
  end

  it("keep the files of a box, and copies have them, each its own", function()
    local mounts = { { type = "tmpfs", destination = "/data" }, { type = "tmpfs", destination = "/work/ro" } }
    local box = assert(sb:start{ limits = { memory = "200M", pids = 77 }, user = 1000, mounts = mounts })
    local made = assert(box:run{ "sh", "-c", MAKE })
    assert.same({ "exited", 0, "" }, { made.status, made.exit_code, made.stderr })
    local s = assert(box:snapshot(top .. "/one"))
    assert.is_false(s.memory)
    assert.equal(tonumber("700", 8), core.lstat(top .. "/one").mode)
    local paths, bytes = {}, 0
    for i, tree in ipairs(s.trees) do
      local st = core.lstat(top .. "/one/tree-" .. i)
      paths[i], bytes = tree.path, bytes + st.size
      assert.same({ tree.bytes, tonumber("600", 8) }, { st.size, st.mode })
    end
    assert.same({ { "/data", "/dev/shm", "/tmp", "/work", "/work/ro" }, s.bytes }, { paths, bytes })
    assert.is_true(s.trees[4].bytes < 5000 and s.trees[5].bytes > 100000) -- each once
    assert.equal(tonumber("600", 8), core.lstat(top .. "/one/manifest.json").mode)

    local boxes = assert(box:fork(2))
    boxes[3] = assert(sb:restore(top .. "/one", { mounts = mounts, limits = { pids = 66 } }))
    box:run{ "sh", "-c", "chmod 600 a; echo other >a" } -- the original goes on, and is nobody else's
    for i, other in ipairs(boxes) do
      local r = assert(other:run{ "sh", "-c", SHOW })
      assert.same({ i, "", SHOWN }, { i, r.stderr, r.stdout })
      assert.same({ i, 200 * 2 ^ 20, i < 3 and 77 or 66 }, { i, r.limits.memory.requested, r.limits.pids.requested })
      other:stop()
    end
    box:stop()
  end)

  it("are made of a pool's sandbox, with the limits that it has", function()
    local pool = assert(sb:pool{ size = 1, limits = { cpus = 1, memory = "90M" } })
    local leased = assert(pool:lease())
    assert(leased:write_file("f", "of the pool's"))
    local copy = assert(leased:fork())
    local r = assert(copy:run{ "cat", "f" })
    assert.same({ "of the pool's", 1, 90 * 2 ^ 20 }, { r.stdout, r.limits.cpus.requested, r.limits.memory.requested })
    copy:stop()
    leased:close()
    pool:close()
  end)

  it("say what they do not keep", function()
    local box = assert(sb:start{ limits = { memory = "100M" } })
    local job = assert(box:spawn{ "sh", "-c", "echo here >/work/f; echo; exec sleep 1000" })
    assert.truthy(job:read())
    for _, call in ipairs{ function() return box:fork() end, function() return box:snapshot(top .. "/run") end } do
      local none, message, code = call()
      assert.same({ nil, "not_supported" }, { none, code })
      assert.truthy(message:find("1 process runs in the box", 1, true) and message:find("memory = false", 1, true), message)
    end
    assert.is_nil(core.lstat(top .. "/run"))
    local copy = assert(box:fork({ memory = false }))
    assert.same({ "here\n", 0 }, { copy:read_file "f", #copy:processes() })
    copy:stop()
    assert.same({ 1, "not_supported" }, { #box:processes(), select(3, box:snapshot(top .. "/run", { memory = true })) }) -- which goes on
    job:close()
    box:run{ "sh", "-c", "head -c 3000000 /dev/zero >f" }
    local none, message, code = box:snapshot(top .. "/run", { max_bytes = "2M", memory = false })
    assert.same({ nil, "/work: f: more than may be in the snapshot", "too_big" }, { none, message, code })
    assert.is_nil(core.lstat(top .. "/run"))
    box:pause()
    assert.equal("paused", select(3, box:snapshot(top .. "/run", { memory = false })))
    box:resume()
    assert(box:snapshot(top .. "/run", { memory = false }))
    box:stop()
    assert.equal("closed", select(3, box:fork()))
    for _, options in ipairs{ { readonly = false }, { user = 0, mounts = { { type = "cow", source = top, destination = "/cow" } } } } do
      box = assert(sb:start(options))
      none, message, code = box:snapshot(top .. "/root")
      assert.same({ nil, "not_supported", true }, { none, code, message:find("readonly = true", 1, true) ~= nil })
      box:stop()
    end
    none, message, code = sb:restore(top .. "/run", { limits = { memory = "2M" } })
    assert.same({ nil, "too_big", true }, { none, code, message:find("limits.memory is 2 MiB", 1, true) ~= nil })
  end)

  it("are not written over, and not finished is none", function()
    local box = assert(sb:start{})
    local function said(dir)
      local _, message, code = box:snapshot(dir)
      return { message, code }
    end
    assert.same({ "there is a snapshot in " .. top .. "/run already", "bad_snapshot" }, said(top .. "/run"))
    assert(core.mkdir(top .. "/full", tonumber("700", 8)))
    put("full/mine", "x")
    assert.same({ top .. "/full is not empty", "bad_snapshot" }, said(top .. "/full"))
    assert(core.mkdir(top .. "/open", tonumber("777", 8)))
    assert.truthy(said(top .. "/open")[1]:find("chmod 700", 1, true))
    assert.equal("bad_snapshot", said(top .. "/no/where")[2])
    assert(core.mkdir(top .. "/part", tonumber("700", 8)))
    put("part/tree-1", "left of one that was killed")
    local _, message, code = sb:restore(top .. "/part")
    assert.same({ "bad_snapshot", true }, { code, message:find("never finished", 1, true) ~= nil })
    assert(box:snapshot(top .. "/part"))
    box:stop()
  end)

  it("of strangers are believed nothing, and refused before anything starts", function()
    local good = env.read(top .. "/run/manifest.json")
    sb.start = function() error "it was started" end
    local function refused(words)
      local box, message, code = sb:restore(top .. "/run")
      if box then box:stop() end
      assert.same({ words, nil, "bad_snapshot", true }, { words, box, code, tostring(message):find(words, 1, true) ~= nil }, message)
    end
    local function changed(from, to, words)
      local bytes, n = good:gsub(from, to)
      assert.equal(1, n)
      put("run/manifest.json", bytes)
      refused(words)
    end
    changed('"format":1', '"format":2', "another version of this module")
    changed('"format":1', '"format":1,"format":1', "no JSON object")
    changed('"format":1', '"format":1,"rootfs":"/"', "a key that is not known")
    changed('"kind":"files"', '"kind":"memory"', "kind is missing or no such thing")
    changed('"uid":65534', '"uid":-1', "user is missing or no such thing")
    changed('"uid":65534', '"uid":65534,"groups":"x"', "user")
    changed('"memory":%d+', '"memory":"lots"', "limits")
    changed('"memory":%d+', '"memory":1,"timeout":{}', "limits")
    changed('"path":"\\/work"', '"path":"/etc"', "no place of the restored box's own")
    changed('"path":"\\/work"', '"path":"/work/.."', "trees")
    changed('"path":"\\/work"', '"path":"/tmp"', "trees")
    changed('"root":"host"', '"root":"other"', "say which one the restored box gets")
    changed('"trees":%[{', '"trees":[{"bytes":0,"path":"/a"},{', "its file tree-1 is missing, or has another size")
    put("run/manifest.json", ("["):rep(60000))
    refused "no JSON object"
    put("run/manifest.json", (" "):rep(70000))
    refused "too large"
    core.unlink(top .. "/run/manifest.json")
    os.execute("mkfifo " .. top .. "/run/manifest.json")
    refused "cannot be read"
    put("run/manifest.json", good)
    core.rename(top .. "/run/tree-1", top .. "/run/other")
    refused "tree-1 is missing"
    os.execute(("ln -s other %s/run/tree-1"):format(top))
    refused "tree-1 is missing"
    core.unlink(top .. "/run/tree-1")
    core.rename(top .. "/run/other", top .. "/run/tree-1")
    os.execute(("chmod 770 %s/run"):format(top))
    refused "others may write to it"
    os.execute(("chmod 700 %s/run"):format(top))
    sb.start = nil
    local size = core.lstat(top .. "/run/tree-3").size
    put("run/tree-3", ("\255"):rep(size)) -- a box of its own reads it, as its guest
    refused "cannot be put into the box"
    assert.has_error(function() sb:restore(top .. "/run", { nonsense = 1 }) end)
    assert.has_error(function() sb:restore("a\0b") end)
    assert.equal("bad_snapshot", select(3, sb:restore(top .. "/nowhere")))
  end)

  local HOST = [[
package.path, package.cpath = %q, %q
local sb = require("sandbox").new{ state_dir = %q, boot_timeout = 30 }
local box = assert(sb:start{})
box:run{ "sh", "-c", "head -c 30000000 /dev/zero >big" }
io.write("up\n") io.flush()
while true do for _, copy in ipairs(assert(box:fork(2))) do copy:close() end end
]]

  it("and copies leave nothing behind when their host is killed", function()
    local i = 0
    while arg[i - 1] do i = i - 1 end
    env.write(top .. "/host.lua", HOST:format(package.path, package.cpath, env.state_dir))
    local pipe = io.popen(("echo $$; exec %s %s/host.lua 2>&1"):format(core.realpath "/proc/self/exe" or arg[i], top))
    local pid = pipe:read "*l"
    assert.equal("up", pipe:read "*l")
    core.poll(-1, "r", 0.3) -- in the middle of it, or not: the moment is the test's subject
    os.execute("kill -9 " .. pid)
    pipe:close()
    assert.is_nil(env.leftovers(before))
  end)

  it("leave nothing behind", function()
    remove()
    assert.is_nil(env.leftovers(before))
  end)
end)
