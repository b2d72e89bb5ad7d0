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

  it("fails where its own streams do", function()
    is("sandbox: stdout: No space left on device\n", 125, "$S -- echo hi >/dev/full", "&1")
    is("sandbox: stdout: No space left on device\n", 125, "$S --json -- echo hi >/dev/full", "&1")
    is("", 125, "$S --help >/dev/full")
    is("", 125, "$S -- sh -c 'echo hi >&2' 2>/dev/full")
    is("sandbox: stdout is closed\n", 125, "$S -- echo hi >&-", "&1")
    is("sandbox: stdin is a directory\n", 125, "$S -- cat </", "&1")
    is("sandbox: stdin is a directory\n", 125, "$S --json -- cat </", "&1")
    is("hi\n", 0, "$S -- echo hi <&- 2>&-")
  end)

  it("reads files back", function()
    is("hello\n5 x", 0, ("mkdir %s/into; printf x | $S --collect 'out/**' --collect b --into %s/into -- sh -c 'mkdir -p out/d; (printf \"5 \"; cat) >out/d/a; echo hello'; cat %s/into/out/d/a")
      :format(dir, dir, dir))
    local out = shell "$S --json --collect x -- sh -c 'echo 7 >x'"
    assert.same({ x = "7\n" }, require("sandbox.json").decode(out).files)
    is("", 125, "$S --into / -- true")
    is("", 125, "$S --collect x --into /nonexistent -- true")
  end)

  it("helps, and takes no flag in silence", function()
    for _, command in ipairs{ "run", "shell", "doctor", "bench", "version", "ps", "attach", "stop" } do
      local pipe = io.popen(("%s bin/sandbox %s --help; echo =$?"):format(interpreter, command))
      local out = pipe:read "*a"
      pipe:close()
      assert.truthy(out:find("^usage: sandbox " .. command) and out:find "%-%-state%-dir DIR" and out:find "=0\n$", out)
      assert.equal(command == "run" or command == "shell", out:find("--memory SIZE", 1, true) ~= nil)
    end
    is("sandbox: --memory goes with sandbox run, not with sandbox doctor\n", 125, interpreter .. " bin/sandbox doctor --memory 5", "&1")
    is("", 125, interpreter .. " bin/sandbox version now")
    is("", 125, "$S --writable=5 -- true")
    is("A B\n", 0, "$S --env=X='A B' -- sh -c 'echo $X'")
    -- Every limit, and whatever has flags in the schema.
    local schema, flags = require "sandbox.options.schema", {}
    for _, flag in ipairs(require("sandbox.shell.flags").list "run") do flags[flag.name] = true end
    for _, row in ipairs(schema.limits) do assert.is_true(flags["--" .. row[1]:gsub("_", "-")], row[1]) end
  end)

  it("is a shell at the user's terminal, which it leaves as it was", function()
    local out, status = shell(("python3 spec/support/shell_user.py %s bin/sandbox shell --boot-timeout 30 --state-dir %s -- sh"):format(interpreter, env.state_dir), "&1")
    assert.same({ "ok\n", 0 }, { out, status })
    is("", 125, interpreter .. " bin/sandbox shell </dev/null")
    is("", 125, interpreter .. " bin/sandbox shell --json")
    assert.is_nil(env.leftovers(before))
  end)

  it("lists boxes that stay, comes to their programs, and stops them", function()
    local json = require "sandbox.json"
    local flags = ("--boot-timeout 60 --state-dir %s"):format(env.state_dir)
    local function command(words, stderr) return shell(("%s bin/sandbox %s"):format(interpreter, words), stderr) end
    is("[]\n", 0, ("%s bin/sandbox ps --json %s"):format(interpreter, flags))
    local box = assert(env.sb:start{ keep = 600 })
    assert(box:spawn{ "sh", detach = true, name = "shell", pty = true }):close()
    assert(box:spawn{ "sh", "-c", "echo seen; echo said >&2; exit 3", detach = true, name = "short" }):close()
    local listed = json.decode((command("ps --json " .. flags)))
    assert.same({ 1, box.id, 600 }, { #listed, listed[1].id, listed[1].keep })
    assert.truthy(command("ps " .. flags):find(box.id, 1, true))
    assert.same({ "seen\nsaid\n", 3 }, { command(("attach %s %s short"):format(flags, box.id), "&1") })
    local out, status = command(("attach %s %s nobody"):format(flags, box.id), "&1")
    assert.same({ "sandbox: the box has no detached program nobody (not_found)\n", 125 }, { out, status })
    out, status = shell(("python3 spec/support/attach_user.py %s bin/sandbox attach %s %s"):format(interpreter, flags, box.id), "&1")
    assert.same({ "ok\n", 0 }, { out, status })
    assert.same({ "", 0 }, { command(("stop %s %s"):format(flags, box.id), "&1") })
    assert.same({ nil, "closed" }, { (box:run{ "true" }), (select(3, box:run{ "true" })) })
    assert.equal(125, select(2, command(("stop %s %s"):format(flags, box.id))))
    box:close()
    assert.is_nil(env.leftovers(before))
  end)

  it("is interrupted, and leaves nothing", function()
    local out = shell(("$S -- sh -c 'echo up; sleep 1000' >%s/int & until grep -q up %s/int 2>/dev/null; do :; done; kill -INT $!; wait $!; echo $?"):format(dir, dir))
    assert.equal("130\n", out)
    assert.is_nil(env.leftovers(before))
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
