-- SPDX-License-Identifier: MIT
-- The command `sandbox`, as a shell runs it.
local env = require "support.harness"
local core = env.core

describe("the command", function()
  local before, dir, remove
  local interpreter = core.realpath "/proc/self/exe"
  setup(function()
    assert(env.sb:run{ "true" })
    dir, remove = env.tmpdir()
    before = env.census()
  end)
  teardown(function() remove() end)

  -- What a shell's line prints, with $S for the command and its usual flags, and the exit status.
  local function shell(line, stderr)
    local command = ("S='%s bin/sandbox run --boot-timeout 30 --state-dir %s'; { %s\n} 2>%s; echo \"=$?\""):format(interpreter, env.state_dir, line, stderr or "/dev/null")
    local pipe = io.popen(command)
    local out, status = pipe:read("*a"):match "^(.*)=(%d+)\n$"
    pipe:close()
    return out, tonumber(status)
  end
  local function is(expected, status, line, stderr)
    local out, got = shell(line, stderr)
    assert.same({ expected, status }, { out, got }, line)
  end

  it("passes stdin, stdout, stderr and the exit status through", function()
    is("abc", 7, "printf abc | $S -- sh -c 'cat; echo no >&2; exit 7'")
    is("no\n", 0, "$S -- sh -c 'echo no >&2'", "&1")
    is("of a file\n", 0, ("echo of a file >%s/in; $S -- cat <%s/in"):format(dir, dir))
    is("", 0, "$S -- cat <&-")
    is("hi 5\n", 0, ("echo 'echo hi $X' >%s/main.sh; $S --env X=5 --file %s/main.sh -- sh main.sh"):format(dir, dir))
    is("12000000\n", 0, "$S -- head -c 12000000 /dev/zero | wc -c")
  end)

  it("ends as timeout, env and shells do", function()
    is("", 124, "$S --timeout 0.3 -- sleep 1000")
    is("", 124, "$S --cpu-time 0.2 -- sh -c 'while :; do :; done'")
    is("", 137, "$S --memory 32M -- sh -c 'dd if=/dev/zero of=/tmp/x bs=1M; sleep 1000'")
    is("", 139, "$S -- sh -c 'kill -SEGV $$'")
    is("", 127, "$S -- no-such-program")
    is("", 126, "$S -- /etc/passwd")
    is("", 125, "$S --no-such-flag -- true")
    is("", 125, "$S --memory nonsense -- true")
    is("", 125, "$S --runsc /nonexistent -- true")
  end)

  it("tells on stderr what neither output nor status tells", function()
    is("sandbox: killed: not done after 0.3 s\n", 124, "$S --timeout 0.3 -- sleep 1000", "&1")
    is("sandbox: stdout: more than limits.output was dropped, 100000 bytes came\n", 0, "$S --output 64K -- head -c 100000 /dev/zero 2>&1 >/dev/null", "&1")
    local out = shell("$S -- no-such-program", "&1")
    assert.truthy(out:find "^sandbox: .*no%-such%-program.* %(bad_command%)\n$", out)
  end)

  it("prints the result as JSON", function()
    local out, status = shell "$S --json --memory 64M -- sh -c 'echo hi; exit 3'"
    local r = require("sandbox.json").decode(out)
    assert.same({ 3, "exited", 3, "hi\n", 64 * 1024 * 1024 }, { status, r.status, r.exit_code, r.stdout, r.limits.memory.requested })
    out, status = shell "$S --json -- no-such-program"
    assert.same({ 127, "bad_command" }, { status, require("sandbox.json").decode(out).code })
  end)

  it("stops when nobody reads on", function()
    is("y\n", 0, "$S --timeout 60 -- yes | head -n 1")
  end)

  it("leaves nothing when it is ended", function()
    local out = shell(("$S -- sh -c 'echo up; sleep 1000' >%s/out & until grep -q up %s/out 2>/dev/null; do :; done; kill $!; wait $!; echo $?"):format(dir, dir))
    assert.equal("143\n", out)
    assert.is_nil(env.leftovers(before))
  end)

  it("says what works here", function()
    local pipe = io.popen(("%s bin/sandbox doctor --state-dir %s; echo =$?"):format(interpreter, env.state_dir))
    local out = pipe:read "*a"
    pipe:close()
    assert.truthy(out:find "=0\n$", out)
    for _, name in ipairs{ "kernel", "runsc", "cgroup", "memory", "run" } do assert.truthy(out:find("%f[%w]" .. name .. "%f[%W]"), name .. ": " .. out) end
    pipe = io.popen(("%s bin/sandbox doctor --runsc /nonexistent --state-dir %s; echo =$?"):format(interpreter, env.state_dir))
    out = pipe:read "*a"
    pipe:close()
    assert.truthy(out:find "=1\n$", out)
  end)

  it("leaves nothing behind", function()
    assert.is_nil(env.leftovers(before))
  end)
end)
