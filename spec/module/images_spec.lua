-- SPDX-License-Identifier: MIT
-- Images: made here by umoci and skopeo, of layers that support/layers.py writes, good ones and hostile ones.
local h = require "support.harness"
local core = h.core
local ROUNDS = tonumber(os.getenv "SANDBOX_TEST_KILLS") or os.getenv "SANDBOX_TEST_ALL" and 50 or 4

local function sh(command)
  local pipe = io.popen("( " .. command .. " ) 2>&1; echo \" $?\"")
  local out = pipe:read "*a"
  pipe:close()
  local text, status = out:match "^(.*) (%d+)\n$"
  return text, tonumber(status)
end

local function must(command)
  local text, status = sh(command)
  assert(status == 0, command .. ": " .. text)
  return text
end

describe("images", function()
  local dir, remove, before, sb, store

  local function new(options)
    local all = { state_dir = h.state_dir, boot_timeout = 30, image_dir = store, control = h.control }
    for k, v in pairs(options or {}) do all[k] = v end
    return h.sandbox.new(all)
  end

  -- An image of these layers; `config`: flags of `umoci config`.
  local function image(name, layers, config)
    local at = ("%s/oci:%s"):format(dir, name)
    must("umoci new --image " .. at)
    for _, layer in ipairs(layers) do must(("umoci raw add-layer --image %s %s/%s.tar"):format(at, dir, layer)) end
    if config then must(("umoci config --image %s %s"):format(at, config)) end
    return "oci:" .. at
  end

  local function kept() return #(core.readdir(store .. "/images") or {}) end

  setup(function()
    dir, remove = h.tmpdir()
    store = dir .. "/store"
    must(("python3 spec/support/layers.py %s && umoci init --layout %s/oci"):format(dir, dir))
    image("good", { "base", "second", "third" }, "--config.env A=image --config.env B=image --config.workingdir /app --config.user app"
      .. " --config.entrypoint /bin/sh --config.entrypoint -c --config.cmd 'id; pwd; echo $A $B'")
    assert(h.sb:run{ "true" })
    sb = new()
    before = h.census()
  end)
  teardown(function()
    sb:close()
    sh("chmod -R u+rwX " .. dir) -- an image's directories may forbid their owner to go in
    remove()
  end)

  local function good() return ("oci:%s/oci:good"):format(dir) end

  it("are a root, with what they say of their programs as defaults", function()
    local r = assert(sb:run{ image = good() })
    assert.same({ "uid=1000(app) gid=1001(app) groups=44(extra)\n/app\nimage image\n", "", true }, { r.stdout, r.stderr, r.ok })
    r = assert(sb:run{ "sh", "-c", "id -u; pwd; echo $A $B", image = good(), user = 7, cwd = "/", env = { A = "call", B = false } })
    assert.equal("7\n/\ncall\n", r.stdout)
    r = assert(sb:run{ "sh", "-c", "id -u; pwd; echo $A", image = good(), image_defaults = false })
    assert.equal("65534\n/work\n\n", r.stdout)
    assert.is_false(pcall(sb.run, sb, { image = good(), image_defaults = false }))
  end)

  it("are their layers one above the other, with owners and modes", function()
    local r = assert(sb:run{ "sh", "-c", [[cd /
      ls app full; cat full/new top same; stat -c '%a %u %g %n' app/own tmp root su bin/busybox
      test top -ef same && echo one; find deep | wc -l]], image = good(), user = 0, cwd = "/" })
    local owner = h.root and "1000 1001" or "0 0" -- as an ordinary user there is one owner only
    assert.equal(("app:\nown\n\nfull:\nnew\nnew\nthird\nthird\n600 %s app/own\n1777 0 0 tmp\n700 0 0 root\n4755 0 0 su\n755 0 0 bin/busybox\none\n61\n"):format(owner),
      r.stdout:gsub("sh: wc: not found\n", ""):gsub("\n *61\n", "\n61\n"), r.stderr)
    r = assert(sb:run{ "cat", "/app/own", image = good() })
    assert.equal(h.root and "own\n" or "", r.stdout) -- its owner's alone
    r = assert(sb:run{ "sh", "-c", "echo x >/app/new && cat /app/new", image = good(), readonly = false })
    assert.equal(h.root and "x\n" or "", r.stdout)
  end)

  it("serve boxes and pools, stages and instances", function()
    local box = assert(sb:start{ image = good() })
    assert.equal("1000\nimage\n", assert(box:run{ "sh", "-c", "id -u; echo $A" }).stdout)
    box:stop()
    local pool = assert(sb:pool{ image = good(), size = 1 })
    assert.equal("/app\n", assert(pool:run{ "pwd" }).stdout)
    pool:close()
    local own = new{ image = good() }
    assert.equal("image\n", assert(own:run{ "sh", "-c", "echo $A" }).stdout)
    assert.equal("", assert(own:run{ "sh", "-c", "echo -n $A", rootfs = "host" }).stdout)
    local s = assert(sb:stages{ { "sh", "-c", "echo $A >/work/f", image = good() }, { "cat", "/work/f" } })
    assert.equal("image\n", s[2].stdout)
    own:shutdown()
  end)

  it("are fetched once, and anew when their source is another", function()
    image("change", { "base" }, "--config.cmd cat --config.cmd /top")
    local name = ("oci:%s/oci:change"):format(dir)
    assert.is_false(assert(sb:run{ image = name }).ok)
    local n = kept()
    os.rename(dir .. "/oci/blobs", dir .. "/oci/away") -- nobody looks
    assert.is_false(assert(sb:run{ image = name }).ok)
    os.rename(dir .. "/oci/away", dir .. "/oci/blobs")
    must(("umoci raw add-layer --image %s/oci:change %s/third.tar"):format(dir, dir))
    assert.equal("third\n", assert(sb:run{ image = name }).stdout)
    assert.equal(n + 1, kept())
    local gone = assert(sb:prune_images()) -- no name stands for the first any more
    assert.equal(1, gone.images)
    assert.is_true(gone.bytes > 1e6)
    assert.equal(n, kept())
  end)

  it("come from archives, and from names with odd letters", function()
    must(("cd %s && mkdir 'a b;c' && cp -r oci 'a b;c/x:y' && skopeo copy -q oci:oci:good oci-archive:oci.tar && skopeo copy -q oci:oci:good docker-archive:docker.tar"):format(dir))
    for _, name in ipairs{ "oci-archive:" .. dir .. "/oci.tar", "docker-archive:" .. dir .. "/docker.tar", "oci:" .. dir .. "/a b;c/x:y:good" } do
      local r, message = sb:run{ "cat", "/top", image = name }
      assert.equal("third\n", r and r.stdout or message)
    end
  end)

  it("are told of, pulled and removed", function()
    local seen = {}
    local got = assert(sb:pull(good(), { on_progress = function(e) seen[#seen + 1] = e.phase end }))
    assert.equal("fetch", seen[1])
    assert.is_truthy(got.digest:find("^sha256:" .. ("%x"):rep(64) .. "$") and got.layers == 3 and got.files > 60 and got.bytes > 1e6)
    local found
    for _, each in ipairs(sb:images()) do
      if each.digest == got.digest then found = each end
    end
    assert.is_truthy(found and found.rootfs == got.rootfs)
    assert.is_truthy(table.concat(found.references, " "):find(good(), 1, true))
    local box = assert(sb:start{ image = good() })
    assert.equal("busy", select(3, sb:remove_image(got.digest)))
    assert(sb:prune_images{ max_bytes = 1 })
    assert.equal(1, kept())
    assert.equal("/app\n", assert(box:run{ "pwd" }).stdout)
    box:stop()
    assert.is_true(h.eventually(function() return sb:remove_image(got.digest) ~= nil end))
    assert.equal("not_found", select(3, sb:remove_image(good())))
    assert.equal(0, kept())
  end)

  it("refuse what is no image, in words", function()
    for _, name in ipairs{ "python:3.12", "docker://-x", "docker://a//b", "docker://x:a b", "docker://x@sha256:1", "oci:rel", "oci:/x/../y", "oci:/", "dir:/x", "oci:/a\0b",
                           "oci:/x\n", "docker://u:p@h/x", ("docker://" .. ("x"):rep(2000)) } do
      local ok, message = sb:check{ image = name }
      assert.is_truthy(not ok and message:find("bad option 'image': expected an image", 1, true), name)
      assert.is_false((pcall(sb.pull, sb, name)))
    end
    assert.is_true(sb:check{ image = "docker://r.example:5000/a/b_c:1.2-x@sha256:" .. ("a"):rep(64) })
    assert.is_truthy(select(2, sb:check({ image = good() }, { client = true })):find("a client may not", 1, true))
    assert.is_falsy(sb:check{ "x", image = good(), rootfs = "/" })
    local r, message, code = sb:run{ image = "oci:" .. dir .. "/nothing" }
    assert.same({ nil, "bad_rootfs" }, { r, code })
    assert.is_truthy(message:find(dir .. "/nothing", 1, true))
    image("user", { "base" }, "--config.user nobody-here --config.cmd id")
    assert.is_truthy(select(2, sb:run{ image = ("oci:%s/oci:user"):format(dir) }):find("nobody-here", 1, true))
    image("none", { "base" })
    assert.same({ nil, "bad_command" }, { (sb:run{ image = ("oci:%s/oci:none"):format(dir) }), select(3, sb:run{ image = ("oci:%s/oci:none"):format(dir) }) })
  end)

  it("that are hostile are refused before anything is unpacked", function()
    local small = new{ max_image_bytes = "16M", max_image_files = 1000 }
    local n = kept()
    for line in io.lines(dir .. "/evil") do
      local words, name = line:match "^(.*)@(.*)$"
      local r, message, code = small:run{ "true", image = image(name, { "evil-" .. name }) }
      assert.same({ nil, "bad_rootfs" }, { r, code }, name)
      assert.is_truthy(message:find(words, 1, true), name .. ": " .. message)
    end
    small:shutdown()
    assert.equal(n, kept())
    for _, place in ipairs{ dir, store, store .. "/images", "/tmp" } do assert.is_nil((core.lstat(place .. "/escaped"))) end
  end)

  it("have what goes through a link of theirs within them, and no device nodes", function()
    local r = assert(sb:run{ "cat", "/etc/through", "/etc/climbed", image = image("through", { "base", "through" }) })
    assert.equal("x\nx\n", r.stdout)
    assert.is_nil(core.lstat "/etc/through" or core.lstat "/etc/climbed")
    local got = assert(sb:pull(image("device", { "base", "device" })))
    assert.equal(2, got.devices)
    if h.root then assert.is_nil(core.lstat(got.rootfs .. "/null") or core.lstat(got.rootfs .. "/disk")) end
    assert.is_not.equal("char", (core.lstat(got.rootfs .. "/null") or {}).type)
  end)

  -- A process of its own that does this with `sb`, and what it said.
  local function script(body)
    local path = ("%s/script-%s.lua"):format(dir, core.random_hex(4))
    h.write(path, ([[local sandbox = require "sandbox"
local core = require "sandbox.core"
local sb = sandbox.new{ state_dir = %q, boot_timeout = 30, image_dir = %q }
local image = ...
%s]]):format(h.state_dir, store, body))
    return ("%s %s"):format(core.realpath "/proc/self/exe", path)
  end

  it("are whole or not there, whenever who makes them is killed", function()
    local name = image("killed", { "base", "third" }, "--config.cmd cat --config.cmd /top")
    local command = script [[
local left, phase, whom = tonumber(arg[2]), arg[3], arg[4]
sb:pull(image, { on_progress = function(e)
  if e.phase ~= phase then return end
  local pid = core.getpid()
  if whom == "host" then os.execute("kill -9 " .. pid) end
  for p in io.popen("pgrep -f '^[^ ]*sandbox-image pull dir=" .. sb.options.image_dir .. "'"):lines() do os.execute("kill -9 " .. p) end
end })]]
    for round = 1, ROUNDS do
      local phase, whom = ({ "fetch", "check", "unpack" })[round % 3 + 1], round % 2 == 0 and "host" or "image"
      sh(("%s %s %d %s %s"):format(command, name, round, phase, whom))
      for _, key in ipairs(core.readdir(store .. "/images")) do
        for _, file in ipairs{ "rootfs/bin/busybox", "info.json", "config.json", "passwd" } do
          assert.is_truthy(core.lstat(("%s/images/%s/%s"):format(store, key, file)), key .. " is half an image")
        end
      end
      local r, message = sb:run{ image = name }
      assert.equal("third\n", r and r.stdout or message)
      assert.is_true(h.eventually(function() r, message = sb:remove_image(name) return r ~= nil end), message)
    end
    assert.is_true(h.eventually(function()
      sb:prune_images()
      return #core.readdir(store .. "/tmp") == 0
    end), "what the dead left is swept")
  end)

  it("are unpacked by one of twenty that want the same", function()
    local name = image("twenty", { "base", "third" }, "--config.cmd cat --config.cmd /top")
    local command = script [[
local r, message = sb:run{ image = image }
print(r and r.stdout or message)]]
    local hosts = os.getenv "SANDBOX_TEST_ALL" and 20 or 3
    local out = must(("for i in $(seq %d); do %s %s & done; wait"):format(hosts, command, name))
    assert.equal(hosts, select(2, out:gsub("third\n", "")), out)
    assert(sb:remove_image(name) or h.eventually(function() return sb:remove_image(name) ~= nil end))
    local program = require("sandbox.run.request").beside "sandbox-image"
    out = must(("for i in $(seq 20); do %s pull dir=%s reference=x name=twenty kind=oci source=%s/oci tag=twenty stamp= ids=user max_bytes=99999999 max_files=9999 </dev/null & done; wait"):format(
      program, store, dir))
    assert.equal(20, select(2, out:gsub('"event":"done"', "")), out)
    assert.equal(1, select(2, out:gsub('"fresh":true', "")), out)
  end)

  it("are never taken away under a start, however often they are pruned", function()
    local name = image("pruned", { "base", "third" }, "--config.cmd cat --config.cmd /top")
    local stop = dir .. "/stop"
    local pruner = io.popen(script [[
local n = 0
while not core.lstat(arg[2]) do n = n + assert(sb:prune_images{ max_bytes = 1 }).images end
print(n)]] .. (" %s %s 2>&1"):format(name, stop))
    finally(function() sh("touch " .. stop) end)
    local box = assert(sb:start{ image = good() })
    local pool = assert(sb:pool{ image = name, size = 1 })
    for round = 1, math.max(2, ROUNDS / 4) do
      local r, message
      if round % 2 == 1 then
        r, message = sb:run{ image = name }
      else
        local job = assert(sb:spawn{ image = name })
        r, message = job:wait()
        job:close()
      end
      assert.equal("third\n", r and r.stdout or message)
      r, message = pool:run{ "cat", "/top" }
      assert.equal("third\n", r and r.stdout or message)
    end
    pool:close()
    assert.equal("third\n", assert(box:run{ "cat", "/top" }).stdout)
    box:stop()
    sh("touch " .. stop)
    local out = pruner:read "*a"
    pruner:close()
    assert.is_truthy(tonumber(out) and tonumber(out) > 0, out)
  end)

  it("come from a registry, with progress, and are cancelled", function()
    local port = 20000 + core.getpid() % 12000 -- below those that connections are given
    local home = dir .. "/home"
    must(("mkdir -p %s/.config/containers && head -c 3000000 /dev/urandom >%s/noise && tar -C %s -cf %s/noise.tar noise"):format(home, dir, dir, dir))
    h.write(home .. "/.config/containers/registries.conf", ('[[registry]]\nlocation = "127.0.0.1:%d"\ninsecure = true\n'):format(port))
    h.write(dir .. "/registry.yml", ("version: 0.1\nlog: { level: error }\nstorage: { filesystem: { rootdirectory: %s/registry } }\nhttp: { addr: '127.0.0.1:%d' }\n"):format(dir, port))
    image("remote", { "base", "noise" }, "--config.cmd ls --config.cmd /noise")
    local pid = must(("docker-registry serve %s/registry.yml >/dev/null 2>&1 & echo $!"):format(dir)):match "%d+"
    finally(function() if pid then sh("kill -9 " .. pid) end end)
    local remote = ("docker://127.0.0.1:%d/test/image:1"):format(port)
    local ready = h.eventually(function()
      return select(2, sh(("HOME=%s XDG_RUNTIME_DIR=%s skopeo copy -q --dest-tls-verify=false oci:%s/oci:remote %s"):format(home, home, dir, remote))) == 0
    end)
    local command = script [[
local phases, cancelled = {}, false
print(select(3, sb:pull(image, { on_progress = function() return false end })))
local p = assert(sb:pull(image, { wait = false }))
print(select(3, p:wait(0)))
p:cancel()
print(select(3, p:wait()))
local got = assert(sb:pull(image, { on_progress = function(e) phases[e.phase] = true end }))
print(phases.fetch, phases.check, phases.unpack, got.layers)
print(sb:run{ image = image }.stdout)]]
    local out = sh(("HOME=%s XDG_CONFIG_HOME= %s %s"):format(home, command, remote))
    must("kill -9 " .. pid)
    pid = nil
    assert.is_true(ready, "the registry serves")
    assert.equal("closed\ntimeout\nclosed\ntrue\ttrue\ttrue\t2\n/noise\n\n", out)
    -- What is kept needs no registry.
    assert.equal("/noise\n", assert(sb:run{ image = remote }).stdout)
    local _, message, code = sb:pull(remote)
    assert.equal("bad_rootfs", code)
    assert.is_truthy(message:find(remote, 1, true))
  end)

  it("are kept and run at the shell", function()
    local function command(line) return sh(("SANDBOX_RUNSC=%s %s bin/sandbox %s"):format(os.getenv "SANDBOX_RUNSC", core.realpath "/proc/self/exe", line)) end
    local where = ("--image-dir %s --state-dir %s"):format(store, h.state_dir)
    local name = image("shell", { "base", "third" }, "--config.cmd cat --config.cmd /top --config.env A=shell")
    local digest = command(("image pull %s %s 2>/dev/null"):format(where, name)):match "^(sha256:%x+)\n$"
    assert.is_truthy(digest)
    assert.same({ "third\n", 0 }, { command(("run %s --image %s"):format(where, name)) })
    assert.same({ "shell\n", 0 }, { command(("run %s --image %s -- sh -c 'echo $A'"):format(where, name)) })
    assert.same({ "\n", 0 }, { command(("run %s --no-image-defaults --image %s -- sh -c 'echo $A'"):format(where, name)) })
    assert.is_truthy(command("image ls " .. where):find(digest:sub(8, 19), 1, true))
    assert.is_truthy(command(("image inspect %s %s"):format(where, digest)):find('"A":"shell"', 1, true))
    local _, status = command(("image rm %s oci:nothing"):format(where))
    assert.equal(125, status)
    assert.is_true(h.eventually(function() return select(2, command(("image rm %s %s"):format(where, name))) == 0 end))
    assert.is_truthy(command("image prune --max-bytes 1T --unused-for 9999 " .. where):find "^%d+ removed")
    -- The example is on the default instance, whose images are below $XDG_CACHE_HOME of an ordinary user.
    if not h.root then
      local example = ("XDG_CACHE_HOME=%s/cache SANDBOX_RUNSC=%s %s examples/images.lua %s"):format(dir, os.getenv "SANDBOX_RUNSC", core.realpath "/proc/self/exe", name)
      assert.is_truthy(sh(example):find "unpack.*third\n")
      assert.same({ "third\n", 0 }, { sh(example) })
    end
    for _, wrong in ipairs{ "image", "image what", "image ls x", "image pull", "image build x", "run --max-bytes 1M true", "image prune --memory 1M" } do
      assert.equal(125, select(2, command(wrong)), wrong)
    end
  end)

  it("are packed into files that are roots, where the build takes them", function()
    local file = dir .. "/root.erofs"
    assert(sb:pack_image(good(), file))
    local r, message, code = sb:run{ "sh", "-c", "cat /top /full/new; ls -a /app; cat f; echo x >/new", rootfs = file, files = { f = "file" } }
    if h.build == "2022" then
      assert.same({ nil, "not_supported" }, { r, code })
    else
      assert.equal("third\nnew\n.\n..\nown\nfile", r and r.stdout or message)
      assert.is_truthy(r.stderr:find "[Rr]ead%-only")
      r = assert(sb:run{ "sh", "-c", "echo x >/new && cat /new; stat -c '%u %g %a' /app/own", rootfs = file, user = 0, readonly = false })
      assert.equal("x\n" .. (h.root and "1000 1001" or "0 0") .. " 600\n", r.stdout)
      if h.build == "2026" then -- beside another that is mounted
        r, message = sb:run{ "sh", "-c", "cat /top /data/top; echo x >/data/new", rootfs = file, user = 0, readonly = false,
                             mounts = { { type = "erofs", source = file, destination = "/data" } } }
        assert.equal("third\nthird\n", r and r.stdout or message)
        assert.is_truthy(r.stderr:find "[Rr]ead%-only" or r.stderr:find "cannot create")
      end
      local box = assert(sb:start{ rootfs = file })
      assert.equal("third\n", assert(box:run{ "cat", "/top" }).stdout)
      box:stop()
    end
    h.write(dir .. "/text.erofs", "no image")
    assert.is_truthy(select(3, sb:run{ "true", rootfs = dir .. "/text.erofs" }):find "^bad_rootfs" or h.build == "2022")
    assert.equal("bad_rootfs", select(3, sb:pack_image(dir .. "/nothing", file)))
  end)

  it("leave nothing behind", function() assert.is_nil(h.leftovers(before)) end)
end)
