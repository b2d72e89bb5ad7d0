-- SPDX-License-Identifier: MIT
-- The same things in every host, in a process of its own.
local env = require "support.harness"
local core = env.core

local interpreters = { "lua5.4", "luajit" }
local runsc = os.getenv "SANDBOX_RUNSC"

local function path_for(interpreter)
  local abi = interpreter == "lua5.4" and "5.4" or "5.1"
  local extra = interpreter == "lua5.4" and "/usr/share/lua/5.1/?.lua;" or "" -- Debian's copas, pure Lua
  return ("LUA_PATH='lua/?.lua;lua/?/init.lua;spec/?.lua;;%s' LUA_CPATH='build/%s/?.so;;' SBX_STATE=%s SBX_RUNSC=%s"):format(extra, abi, env.state_dir, runsc)
end

local function passes(command)
  local pipe = io.popen(command .. " 2>&1")
  local out = pipe:read "*a"
  pipe:close()
  assert.truthy(out:find("^passed\n") or out:find("\npassed\n"), out)
end

describe("the host", function()
  local before
  setup(function()
    assert(env.sb:run{ "true" })
    before = env.census()
  end)

  for _, interpreter in ipairs(interpreters) do
    for _, host in ipairs{ "cqueues", "copas", "luv", "select", "loop", "plain" } do
      it(host .. " on " .. interpreter, function()
        passes(("%s timeout -k 5 150 %s spec/hosts/scripts/%s.lua"):format(path_for(interpreter), interpreter, host))
        assert.is_nil(env.leftovers(before))
      end)
    end
  end

  -- Each way to leave a wait leaves nothing behind. (By hand with 200 rounds: SBX_ROUNDS.) LuaJIT has the coroutines of 5.4 and the
  -- binary of 5.1; Neovim below is of LuaJIT.
  local loops = { "plain", "loop", "luv", "cqueues", "copas" }
  for interpreter, hosts in pairs{ ["lua5.4"] = loops, ["lua5.1"] = loops, luajit = os.getenv "SANDBOX_TEST_ALL" and loops or { "plain" } } do
    for _, host in ipairs(hosts) do
      it(("%s on %s after each way to leave a wait"):format(host, interpreter), function()
        passes(("%s timeout -k 5 250 %s spec/hosts/scripts/leaving.lua %s %s"):format(path_for(interpreter), interpreter, host, os.getenv "SBX_ROUNDS" or 2))
        assert.is_nil(env.leftovers(before))
      end)
    end
  end

  for _, interpreter in ipairs(interpreters) do
    for _, row in ipairs{ { "ignored", "--ignore-signal=CHLD,PIPE" }, { "blocked", "--block-signal" } } do
      it(("with signals %s on %s"):format(row[1], interpreter), function()
        passes(("%s SBX_SIGNALS=%s timeout -k 5 150 env %s %s spec/hosts/scripts/plain.lua"):format(path_for(interpreter), row[1], row[2], interpreter))
        assert.is_nil(env.leftovers(before))
      end)
    end
  end

  -- Debian 12's lua-posix is for LuaJIT, not for Lua 5.4.
  for _, host in ipairs{ "reap", "fork" } do
    it("with " .. host, function()
      passes(("%s timeout -k 5 150 luajit spec/hosts/scripts/%s.lua"):format(path_for "luajit", host))
      assert.is_nil(env.leftovers(before))
    end)
  end

  for _, nvim in ipairs{ "nvim", "build/nvim-trixie/nvim" } do
    it("Neovim: " .. nvim, function()
      passes(("%s HOME=/tmp timeout -k 5 200 %s --headless --clean -c 'luafile spec/hosts/scripts/nvim.lua'"):format(path_for "luajit", nvim))
      assert.is_nil(env.leftovers(before))
    end)
  end

  for _, nvim in ipairs{ "nvim", "build/nvim-trixie/nvim" } do
    it("Neovim after each way to leave a wait: " .. nvim, function()
      passes(("%s SBX_LEAVING=nvim SBX_ROUNDS=%s HOME=/tmp timeout -k 5 250 %s --headless --clean -c 'luafile spec/hosts/scripts/leaving.lua' -c 'qa!'"):format(
        path_for "luajit", os.getenv "SBX_ROUNDS" or 2, nvim))
      assert.is_nil(env.leftovers(before))
    end)
  end

  it("nginx", function()
    local dir, remove = env.tmpdir()
    for _, name in ipairs{ "logs", "tmp" } do core.mkdir(dir .. "/" .. name, tonumber("777", 8)) end
    os.execute("chmod 777 " .. dir)
    local root = os.getenv "SANDBOX_TEST_TREE" or io.popen("pwd"):read "*l"
    local runner = os.getenv "SANDBOX_TEST_TREE" and root .. "/build/runsc/2024/runsc" or runsc
    local template = env.read "spec/hosts/scripts/nginx.conf"
    env.write(dir .. "/nginx.conf", (template:gsub("@(%w+)@", { TREE = root, RUNSC = runner, STATE = dir .. "/state", DIR = dir, USER = env.root and "user www-data;" or "" })))
    core.mkdir(dir .. "/state", tonumber("700", 8))
    if env.root then os.execute("chown www-data " .. dir .. "/state") end
    passes(("timeout -k 5 400 bash spec/hosts/scripts/nginx.sh %s"):format(dir))
    remove()
    assert.is_nil(env.leftovers(before))
  end)

  it("leaves nothing behind", function()
    assert.is_nil(env.leftovers(before))
  end)
end)
