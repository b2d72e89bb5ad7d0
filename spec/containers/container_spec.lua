-- SPDX-License-Identifier: MIT
-- The module in containers, made by podman with Debian's runc: their root is this machine's under a layer of its own, their profiles are
-- Docker's default and the one of examples/container. What fails there fails in words.
local core = require "sandbox.core"

local tree = assert(core.realpath ".")
local work = assert(os.getenv "TMPDIR")
local builds = assert(os.getenv "SANDBOX_RUNSC"):gsub("/%d+/runsc$", "") -- those of 2022, 2024 and 2026 are beside each other

local function shell(command)
  local pipe = io.popen(command .. " 2>&1; echo \"=$?\"")
  local text = pipe:read "*a"
  pipe:close()
  local out, status = text:match "^(.-)=(%d+)%s*$"
  return out, tonumber(status)
end

local function write(name, text)
  local path = work .. "/" .. name
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  os.execute("chmod 644 " .. path)
  return path
end

-- One run in a container; `code` is Lua with `sandbox` and `sb` there.
local script = write("in.lua", [[
local sandbox = require "sandbox"
local sb = sandbox.new{ state_dir = "/sandbox-state/s" }
assert((loadstring or load)(os.getenv "CODE", "=code"))(sandbox, sb)
]])
local hello = [[local sandbox, sb = ...
local r, message, code = sb:run{ "echo", "hi", limits = { memory = "64M" } }
print(r and r.stdout or code .. ": " .. message)]]

local function podman(flags, code, year)
  local line = ("podman run --rm --network none --runtime /usr/sbin/runc --ulimit nofile=1024:4096 --ulimit nproc=4096:4096 --tmpfs /sandbox-state:mode=1777,exec,notmpcopyup"
    .. " -e LUA_PATH='%s/lua/?.lua;%s/lua/?/init.lua;;' -e LUA_CPATH='%s/build/5.4/?.so;;' -e SANDBOX_RUNSC=%s -e CODE=\"$CODE\" %s -v %s:%s:ro --rootfs /:O lua5.4 %s")
    :format(tree, tree, tree, ("%s/%s/runsc"):format(builds, year or "2024"), flags, work, work, script)
  -- conmon notes an OOM kill in a file of its working directory.
  return shell(("cd %s; export CODE='%s'; %s"):format(work, code:gsub("'", "'\\''"), line))
end

local docker, ours
setup(function()
  docker = assert(os.getenv "SANDBOX_TEST_DOCKER_PROFILE", "Docker's default profile: scripts/test.sh fetches it")
  ours = work .. "/ours.json"
  local _, status = shell(("jq -f examples/container/seccomp.jq %s > %s"):format(docker, ours))
  assert(status == 0)
end)

describe("in a container", function()
  local function runs(name, flags, ...)
    for _, year in ipairs{ ... } do
      it("runs as " .. name .. ", " .. year, function()
        local out, status = podman(flags(), hello, year)
        assert.are.equal("hi\n\n", out)
        assert.are.equal(0, status)
      end)
    end
  end

  runs("an ordinary user under podman's default profile", function() return "--user 1000" end, "2024")
  runs("root with podman's default capabilities and profile", function() return "" end, "2026")
  runs("an ordinary user under the example's profile", function() return "--user 1000 --security-opt seccomp=" .. ours end, "2024", "2026")
  runs("root with the default capabilities under the example's profile", function() return "--security-opt seccomp=" .. ours end, "2024", "2026")
  runs("root with CAP_SYS_ADMIN", function() return "--cap-add SYS_ADMIN" end, "2024")
  runs("a user with no capabilities and no new privileges, on a read-only root", function()
    return "--user 1000 --cap-drop ALL --security-opt no-new-privileges --read-only --read-only-tmpfs=false --security-opt seccomp=" .. ours
  end, "2024", "2026")
  runs("root with CAP_SETFCAP alone", function() return "--cap-drop ALL --cap-add SETFCAP --security-opt seccomp=" .. ours end, "2026")
  runs("a user in a container of 64 tasks", function() return "--user 1000 --pids-limit 64 --security-opt seccomp=" .. ours end, "2024")
  runs("a user where /proc is not covered", function() return "--user 1000 --security-opt unmask=ALL" end, "2022")

  it("has root's sandboxes as what it may: rootless without CAP_SYS_ADMIN, with ids of their own where it has that", function()
    local code = [[local sandbox, sb = ...
      print(sb:version().rootless, sandbox.new{ state_dir = "/sandbox-state/s", rootless = false }:run{ "true" } ~= nil)]]
    assert.are.equal("true\tfalse\n", (podman("--security-opt seccomp=" .. ours, code)))
    assert.are.equal("false\ttrue\n", (podman("--cap-add SYS_ADMIN", code)))
  end)

  it("says of a /proc that is covered how to have it whole, where runsc of 2022 needs that", function()
    local out = podman("--user 1000", hello, "2022")
    assert.is_truthy(out:find "^runsc_failed: ", out)
    assert.is_truthy(out:find("unmask=ALL", 1, true), out)
  end)

  it("has boxes, files and networks under the example's profile", function()
    local out = podman("--user 1000 --cap-drop ALL --security-opt no-new-privileges --security-opt seccomp=" .. ours, [[local sandbox, sb = ...
      local box = assert(sb:start{})
      io.write(assert(box:run{ "echo", "box" }).stdout)
      box:close()
      io.write(assert(sb:run{ "cat", "/work/a", files = { a = "files\n" } }).stdout)
      io.write(assert(sb:run{ "echo", "net", network = { allow = {} } }).stdout)]], "2026")
    assert.are.equal("box\nfiles\nnet\n", out)
  end)

  it("is refused by Docker's default profile in words that name the profile", function()
    for _, user in ipairs{ "1000", "0" } do
      local out = podman("--user " .. user .. " --security-opt seccomp=" .. docker, hello)
      assert.is_truthy(out:find "^not_supported: ", out)
      assert.is_truthy(out:find("seccomp", 1, true), out)
    end
  end)

  it("is refused for root without capabilities in words that name CAP_SETFCAP", function()
    local out = podman("--cap-drop ALL --security-opt seccomp=" .. ours, hello)
    assert.is_truthy(out:find "^not_supported: ", out)
    assert.is_truthy(out:find("CAP_SETFCAP", 1, true), out)
  end)

  it("tells a container's memory limit as the container's", function()
    local out = podman("--user 1000 --memory 160m --security-opt seccomp=" .. ours, [[local sandbox, sb = ...
      local r, message, code = sb:run{ "python3", "-c", "x = bytearray(300 << 20)", limits = { memory = "512M" } }
      print(r and (tostring(r.oom_killed) .. " " .. tostring(r.runtime.killed_by)) or code .. ": " .. message)]])
    assert.is_falsy(out:find "^true nil", out)
    assert.is_truthy(out:find("cgroup", 1, true), out)
  end)

  it("judges", function()
    local out, status = podman("--user 1000 --security-opt seccomp=" .. ours, "dofile '" .. tree .. "/examples/judge.lua'")
    assert.are.equal(0, status, out)
  end)
end)
