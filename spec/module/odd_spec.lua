-- SPDX-License-Identifier: MIT
-- Names that mean something to JSON, to mount options, to shells or to flags go through as they are, or are refused at the option.
local env = require "support.harness"
local core, sandbox = env.core, env.sandbox

local ODD = [[a"b\c,d e:f'g$h=i;j#k%sl\054-ü]]

describe("odd names", function()
  local before, dir, remove
  setup(function()
    env.sb:run{ "true" }
    before = env.census()
  end)
  before_each(function()
    dir, remove = env.tmpdir()
    for _, d in ipairs{ "/-r,o:o\\t", "/-r,o:o\\t/bin", "/" .. ODD } do core.mkdir(dir .. d, tonumber("755", 8)) end
    os.execute(("cp /bin/busybox '%s/-r,o:o\\t/bin/sh'"):format(dir))
    env.write(dir .. "/" .. ODD .. "/f", "data\n")
  end)
  after_each(function() remove() end)

  it("of rootfs, mounts, cwd, files, env and argv go through", function()
    for _, disk in ipairs{ false, "4M" } do
      local r, message = env.sb:run{ "/bin/sh", "-c", 'pwd; cat "$1/f"; cat "./$2"; echo "$3"; echo "$' .. 'ODD"', "-x", "/m/" .. ODD, ODD, ODD .. "\n\t", rootfs = dir .. "/-r,o:o\\t", user = 0,
                                     readonly = not disk, cwd = "/work/" .. ODD, files = { [ODD] = "given\n" }, env = { ODD = ODD .. "\n" }, limits = { disk = disk },
                                     mounts = { { destination = "/m/" .. ODD, source = dir .. "/" .. ODD } } }
      assert.same({ ("/work/%s\ndata\ngiven\n%s\n\t\n%s\n\n"):format(ODD, ODD, ODD), "" }, { r and r.stdout or message, r and r.stderr })
    end
  end)

  it("of state_dir go through, or are refused in words", function()
    local short = (os.getenv "TMPDIR" or "/tmp") .. "/" .. core.random_hex(2)
    for _, name in ipairs{ [[a"b\c]], [[,:;' x]], [[\054$%s]] } do
      local sb = sandbox.new{ state_dir = short .. name, boot_timeout = 30, platform = "ptrace" }
      local r, message = sb:run{ "sh", "-c", "echo x >/w; cat /w", readonly = false, user = 0, limits = { disk = "4M" } }
      assert.same({ name, "x\n" }, { name, r and r.stdout or message })
      local box = assert(sb:start{})
      assert.equal("y\n", assert(box:run{ "echo", "y" }).stdout)
      box:stop()
      sb:shutdown()
      os.execute(('rm -rf "%s"'):format((short .. name):gsub('[\\"$`]', "\\%0")))
    end
    for _, name in ipairs{ "a\nb", "a\tb", "a\0b", "a\127b", ("x"):rep(60), "\255" } do
      local ok, why = pcall(sandbox.new, { state_dir = short .. name })
      assert.is_false(ok)
      assert.truthy(why:find("state_dir", 1, true), why)
    end
  end)

  it("and many of them are no more trouble than one", function()
    local flags, files = {}, {}
    for i = 1, 400 do
      flags[i], files["f" .. i] = "--debug=false", "x"
    end
    local sb = sandbox.new{ state_dir = env.state_dir, boot_timeout = 30, runsc_flags = flags }
    local r, message = sb:run{ "sh", "-c", "echo $#; ls | wc -l", "x", "--", files = files }
    assert.equal("1\n400\n", r and r.stdout or message)
    sb:shutdown()
    for i = 1, 20000 do flags[i] = ("--debug-log=%060d"):format(i) end
    sb = sandbox.new{ state_dir = env.state_dir, boot_timeout = 30, runsc_flags = flags }
    local got, why, code = sb:run{ "true" }
    assert.same({ nil, "not_supported" }, { got, code })
    assert.truthy(why:find("1 MiB", 1, true), why)
    sb:close()
  end)

  it("leave nothing behind", function()
    assert.is_nil(env.leftovers(before))
  end)
end)
