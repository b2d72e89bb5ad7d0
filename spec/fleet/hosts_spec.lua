-- SPDX-License-Identifier: MIT
-- The same client of a fleet in every host, in a process of its own.
local h = require "support.harness"
local fleets = require "support.fleet"
local core = h.core

local interpreters = { "lua5.4", "luajit" }

local function path_for(interpreter)
  local abi = interpreter == "lua5.4" and "5.4" or "5.1"
  local extra = interpreter == "lua5.4" and "/usr/share/lua/5.1/?.lua;" or "" -- Debian's copas, pure Lua
  return ("LUA_PATH='lua/?.lua;lua/?/init.lua;spec/?.lua;;%s' LUA_CPATH='build/%s/?.so;;'"):format(extra, abi)
end

local function run(command)
  local pipe = io.popen(command .. " 2>&1")
  local out = pipe:read "*a"
  pipe:close()
  return out
end

describe("a fleet's client", function()
  local broker, before
  setup(function()
    before = h.census()
    broker = fleets.broker()
    broker:worker("hosts", 2, 60)
  end)
  teardown(function()
    broker:stop()
    assert.is_nil(h.leftovers(before))
  end)

  for _, interpreter in ipairs(interpreters) do
    for _, host in ipairs{ "plain", "loop", "cqueues", "copas", "luv" } do
      it(host .. " on " .. interpreter, function()
        assert.equal("passed\n", run(("%s timeout -k 5 100 %s spec/support/fleet_host.lua %s %s hosts"):format(path_for(interpreter), interpreter, host, broker.url)))
      end)
    end
  end

  it("Neovim says that it cannot", function()
    local script = h.write(broker.dir .. "/nvim.lua", [[
      local ok, r, message, code = pcall(function() return require("sandbox").fleet{}:submit{ "true" } end)
      io.stdout:write(tostring(ok), " ", tostring(r), " ", tostring(message), " ", tostring(code))
      vim.cmd "qa!"
    ]])
    local out = run(("%s HOME=/tmp timeout -k 5 100 nvim --headless --clean -c 'luafile %s'"):format(path_for "luajit", script))
    assert.truthy(out:find "^true nil a fleet's client does not work inside of Neovim.* not_supported$", out)
  end)

  it("nginx", function()
    local dir, remove = h.tmpdir()
    for _, name in ipairs{ "logs", "tmp" } do core.mkdir(dir .. "/" .. name, tonumber("777", 8)) end
    local tree = run("pwd"):match "[^\n]+"
    local conf = ([[
      daemon off; worker_processes 1; error_log logs/error.log warn; pid logs/nginx.pid; @USER@
      load_module /usr/lib/nginx/modules/ndk_http_module.so;
      load_module /usr/lib/nginx/modules/ngx_http_lua_module.so;
      events { worker_connections 256; }
      http {
        access_log off;
        client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
        lua_package_path "@TREE@/lua/?.lua;@TREE@/lua/?/init.lua;@TREE@/spec/?.lua;;";
        lua_package_cpath "@TREE@/build/5.1/?.so;;";
        server {
          listen unix:@DIR@/logs/http.sock;
          location = / { content_by_lua_block {
            local ticks, over = 0, false
            ngx.thread.spawn(function() while not over do ngx.sleep(0.02) ticks = ticks + 1 end end)
            local ok, said = xpcall(require("support.fleet_client"), debug.traceback, "@URL@", "hosts", function() return ticks end)
            over = true
            ngx.say(said)
          } }
        }
      }
    ]]):gsub("@(%w+)@", { TREE = tree, DIR = dir, URL = broker.url, USER = h.root and "user root;" or "" })
    h.write(dir .. "/nginx.conf", conf)
    local pid = fleets.background(("exec nginx -p %s/ -c %s/nginx.conf"):format(dir, dir), dir .. "/logs/out")
    assert.is_true(h.eventually(function() return core.lstat(dir .. "/logs/http.sock") ~= nil end), h.slurp(dir .. "/logs/out"))
    for _ = 1, 2 do -- the second with the connections of the first
      local out = run(("curl -s --max-time 100 --unix-socket %s/logs/http.sock http://x/"):format(dir))
      assert.equal("passed\n", out, h.slurp(dir .. "/logs/error.log"))
    end
    fleets.signal(pid, "QUIT")
    assert.is_true(fleets.gone(pid))
    remove()
  end)
end)
