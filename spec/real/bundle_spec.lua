-- SPDX-License-Identifier: MIT
-- Bundles: ordinary ones run, and a hostile one reaches nothing of the host.
local env = require "support.harness"
local core, sb = env.core, env.sb

describe("a bundle", function()
  local before, dir, remove
  setup(function()
    sb:run{ "true" }
    before = env.census()
  end)
  before_each(function()
    dir, remove = env.tmpdir()
    for _, d in ipairs{ "/rootfs", "/rootfs/bin", "/data" } do core.mkdir(dir .. d, tonumber("755", 8)) end
    os.execute(("cp /bin/busybox %s/rootfs/bin/sh"):format(dir))
    env.write(dir .. "/data/f", "of the bundle\n")
  end)
  after_each(function() remove() end)

  local function config(text)
    core.unlink(dir .. "/config.json")
    env.write(dir .. "/config.json", text)
  end

  local function run(text, limits)
    config(text)
    local r, message, code = sb:run{ bundle = dir, limits = limits }
    return r, message, code
  end

  local function shell(script, more)
    return ([[{"ociVersion":"1.0.2","process":{"args":["/bin/sh","-c",%s],"env":["PATH=/bin"],"cwd":"/","user":{"uid":0,"gid":0}},"root":{"path":"rootfs"}%s}]]):format(
      '"' .. script:gsub('[\\"]', "\\%0") .. '"', more and "," .. more or "")
  end

  it("of each common maker runs as it was written", function()
    local texts = { runc = env.read "spec/support/bundles/runc.json", umoci = env.read "spec/support/bundles/umoci.json" }
    os.execute(("cd %s && %s spec -- sh -c 'echo hi' && mv config.json runsc.json"):format(dir, os.getenv "SANDBOX_RUNSC"))
    texts.runsc = env.read(dir .. "/runsc.json")
    for name, text in pairs(texts) do
      config((text:gsub('"sh"%s*%]', '"sh", "-c", "echo hi"]')))
      local r, message = sb:run{ bundle = dir }
      assert.same({ name, "hi\n", 0 }, { name, r and r.stdout or message, r and r.exit_code })
    end
  end)

  it("runs nothing on the host, however its keys are written", function()
    local marker = dir .. "/hooked"
    env.write(dir .. "/rootfs/evil", "#!/bin/sh\necho x >" .. marker .. "\n", "755")
    local hook = ('[{"path":"%s/rootfs/evil"}]'):format(dir)
    for _, key in ipairs{ "hooks", "Hooks", "HOOKS", "hoo\\u006bs", "hoo\226\132\170s" } do
      local r, message, code = run(shell("exit 0", ('"%s":{"prestart":%s,"createRuntime":%s,"poststop":%s}'):format(key, hook, hook, hook)))
      assert.same({ key, nil, "bad_rootfs", "string" }, { key, r, code, type(message) })
    end
    local r, _, code = run((shell("exit 0"):gsub('"cwd":"/"', ('"cwd":"/\\u0000runsc=%s/rootfs/evil"'):format(dir))))
    assert.same({ nil, "bad_rootfs" }, { r, code })
    assert.is_nil(core.lstat(marker))
  end)

  it("gets no capability, mapping or annotation past the check", function()
    for key, more in pairs{
      Process = '"Process":{"args":["/bin/sh"],"capabilities":{"effective":["CAP_SYS_ADMIN"]}}', Linux = '"Linux":{"uidMappings":[{"containerID":0,"hostID":0,"size":1}]}',
      ["linux.uidMappings"] = '"linux":{"uidMappings":[{"containerID":0,"hostID":0,"size":65536}]}', ["dev.gvisor.flag.debug"] = '"annotations":{"dev.gvisor.flag.debug":"true"}',
      ["linux.namespaces[1].path"] = '"linux":{"namespaces":[{"type":"network","path":"/proc/1/ns/net"}]}', process = '"process":{"args":["/bin/sh"]}',
    } do
      local r, message, code = run(shell("exit 0", more))
      assert.same({ key, nil, "bad_rootfs" }, { key, r, code })
      assert.truthy(message:find(key, 1, true), message)
    end
  end)

  it("binds what is its own, and nothing else", function()
    local r, message = run(shell("read x </d/f; echo $x; echo y >/d/g; echo z >/w/g && exit 3", '"mounts":[{"destination":"/d","type":"bind","source":"data","options":["ro"]},'
      .. '{"destination":"/w","type":"tmpfs","source":"tmpfs"}]'))
    assert.same({ "of the bundle\n", 3 }, { r and r.stdout or message, r and r.exit_code })
    assert.same({ "f" }, core.readdir(dir .. "/data"))
    os.execute(("ln -s /etc %s/out; ln -s ../../../../../../../etc %s/up"):format(dir, dir))
    for _, source in ipairs{ "/etc", "out", "up", "../..", "none" } do
      local got, why, code = run(shell("exit 0", ('"mounts":[{"destination":"/d","type":"bind","source":"%s"}]'):format(source)))
      assert.same({ source, nil, "bad_rootfs", "string" }, { source, got, code, type(why) })
    end
    for _, root in ipairs{ "/", "out", "up", "..", "none", "data/f" } do
      local got, why, code = run((shell("exit 0"):gsub('"rootfs"', '"' .. root .. '"')))
      assert.same({ root, nil, "bad_rootfs", "string" }, { root, got, code, type(why) })
    end
  end)

  it("with a config.json that is no file is refused at once", function()
    core.unlink(dir .. "/config.json")
    os.execute("mkfifo " .. dir .. "/config.json")
    local r, message, code = sb:run{ bundle = dir }
    assert.same({ nil, "bad_rootfs", "string" }, { r, code, type(message) })
    core.unlink(dir .. "/config.json")
    os.execute(("ln -s /dev/zero %s/config.json"):format(dir))
    assert.same({ nil, "bad_rootfs" }, { (sb:run{ bundle = dir }), select(3, sb:run{ bundle = dir }) })
    -- One of the host's would be told in words.
    core.unlink(dir .. "/config.json")
    env.write(dir .. "/data/other", '{"s3cr3t":1}')
    os.execute(("ln -s data/other %s/config.json"):format(dir))
    r, message, code = sb:run{ bundle = dir }
    assert.same({ nil, "bad_rootfs" }, { r, code })
    assert.is_nil(message:find("s3cr3t", 1, true))
    assert.truthy(message:find("a link", 1, true), message)
  end)

  it("leaves nothing behind", function()
    assert.is_nil(env.leftovers(before))
  end)
end)
