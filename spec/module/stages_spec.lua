-- SPDX-License-Identifier: MIT
-- One sandbox after the other over the same /work, each with limits of its own.
local env = require "support.harness"
local sb = env.sb

describe("stages", function()
  local before
  setup(function()
    assert(sb:run{ "true" })
    before = env.census()
  end)

  it("compile, then run, each under limits of its own", function()
    local r = assert(sb:stages{
      { "sh", "-c", "cat main.txt >main; echo 'cat; basename $0' >>main; chmod 750 main; x=$(head -c 30000000 /dev/zero | tr '\\0' x); echo ${#x}", name = "compile",
        files = { ["main.txt"] = "#!/bin/sh\n" } },
      { "./main", name = "run", stdin = "in\n", limits = { memory = "24M", cpu_time = 5, pids = 8 }, collect = { "main.txt" } },
      limits = { memory = "256M", timeout = 60 * env.slow },
    }):check()
    assert.same({ true, 2, "30000000\n", "in\nmain\n" }, { r.ok, r.stage, r.compile.stdout, r.run.stdout })
    assert.same({ r[1], r[2], r[2] }, { r.compile, r.run, r.last })
    local mib = 1024 * 1024
    assert.same({ 256 * mib, 24 * mib, nil, 5, 8 }, { r[1].limits.memory.requested, r[2].limits.memory.requested, r[1].limits.cpu_time.requested,
      r[2].limits.cpu_time.requested, r[2].limits.pids.requested })
    assert.same({ ["main.txt"] = "#!/bin/sh\n" }, r.run.files)
    assert.equal("sandbox.stages (ok)", tostring(r))
  end)

  it("hold the second's memory and processor time #cgroup", function()
    local HOG = "x = []\nwhile True: x.append(bytearray(1 << 20))"
    local r = assert(sb:stages{ { "true" }, { "python3", "-c", HOG }, limits = { memory = "64M" } })
    assert.same({ false, 2, "oom_killed" }, { r.ok, r.stage, r.last.status })
    r = assert(sb:stages{ { "true" }, { "sh", "-c", "while :; do :; done", limits = { cpu_time = 0.2 } } })
    assert.same({ false, 2, "cpu_exceeded" }, { r.ok, r.stage, r.last.status })
  end)

  it("stop at the first that is not ok", function()
    local r = assert(sb:stages{ { "sh", "-c", "echo words >&2; exit 4", name = "compile" }, { "true", name = "run" } })
    assert.same({ false, 1, 1, 4, "words\n", nil }, { r.ok, r.stage, #r, r.compile.exit_code, r.last.stderr, r.run })
    assert.equal("stage 1 (compile): exited with 4", r.message)
    local ok, message = pcall(function() r:check() end)
    assert.is_false(ok)
    assert.truthy(message:find("stage 1 (compile): exited with 4", 1, true))
    local none, why, code, partial = sb:stages{ { "true" }, { "no-such-program" } }
    assert.same({ nil, "bad_command", 1, true }, { none, code, partial.stage, partial[1].ok })
    assert.truthy(why:find("^stage 2: "), why)
  end)

  local SHOW = [[
import os
for d, ds, fs in os.walk("."):
  for n in sorted(ds + fs):
    p = os.path.join(d, n); s = os.lstat(p)
    print(p, "%o" % s.st_mode, int(s.st_mtime) if p == "./s" else "", os.readlink(p) if os.path.islink(p) else "")
]]

  it("hand on files, directories and links as they are, and nothing else", function()
    local r = assert(sb:stages{
      { "python3", "-c", [[
import os, socket
os.makedirs("d/e"); open("d/e/f", "w").write("x\n"); os.chmod("d/e", 0o500); os.symlink("d/e/f", "in"); os.symlink("/etc/shadow", "out")
os.mkfifo("fifo"); socket.socket(socket.AF_UNIX).bind("sock")
open("s", "w").write("#!/bin/sh\necho hi\n"); os.chmod("s", 0o711); os.utime("s", (100, 100)); open("secret", "w").write("y"); os.chmod("secret", 0)
open(b"odd\xff\n", "w"); os.mkdir("empty"); os.chmod("empty", 0o2750)]] },
      { "sh", "-c", "python3 show.py; ./s; cat in; cat out", files = { ["show.py"] = SHOW } },
    })
    assert.equal(2, r.stage, tostring(r))
    local seen = "\n" .. r.last.stdout
    for _, want in ipairs{ "./d 40755", "./d/e 40500", "./d/e/f 100644", "./in 120777  d/e/f", "./out 120777  /etc/shadow", "./s 100711 100", "./secret 100000", "./empty 42750",
                           "hi", "x" } do
      assert.truthy(seen:find("\n" .. want, 1, true), want .. " in " .. seen)
    end
    assert.is_nil(seen:find("fifo", 1, true) or seen:find("sock", 1, true))
    assert.truthy(r.last.stderr:find("out", 1, true)) -- a link is a link of the second's: there is no such file to read
  end)

  it("let no file of the first stand in for one of the caller's", function()
    local r = assert(sb:stages{
      { "sh", "-c", "ln -s /tmp/elsewhere judge; ln -s / d; echo theirs >answer" },
      { "sh", "-c", "cat judge answer d/x; ls -d /x 2>/dev/null", files = { judge = "mine\n", answer = "42\n", ["d/x"] = "below\n" } },
    })
    assert.same({ 2, "mine\n42\nbelow\n" }, { r.stage, r.last.stdout })
  end)

  it("are bounded: what does not fit is the program's doing, and a result", function()
    local cases = {
      { { { "sh", "-c", "head -c 2000000 /dev/zero >big" }, { "true" }, max_bytes = "1M" }, 1, "stage 1: what it left in /work cannot go on: big: more than may go on" },
      { { { "sh", "-c", "mkdir a b c d" }, { "true" }, max_files = 3 }, 1, "more files than may go on" },
      { { { "python3", "-c", "import os\nfor i in range(250): os.mkdir('d'); os.chdir('d')" }, { "true" } }, 1, "than may go on" },
    }
    if env.root then
      cases[#cases + 1] = { { { "sh", "-c", "head -c 9000000 /dev/zero >big" }, { "true", limits = { disk = "4M" } } }, 1,
        "stage 2: what the stage before left in /work cannot be put in place: big: No space left on device" }
    end
    for _, case in ipairs(cases) do
      local r = assert(sb:stages(case[1]))
      assert.same({ false, case[2], true }, { r.ok, r.stage, r[1].ok }, tostring(r))
      assert.truthy(r.message:find(case[3], 1, true), r.message)
    end
  end)

  it("raise for wrong options, with the stage's number, before anything is run", function()
    for want, wrong in pairs{
      ["'stages[2].limits.memory': expected a size"] = { { "true" }, { "true", limits = { memory = "x" } } },
      ["'stages[1].name': expected a name"] = { { "true", name = "ok" } },
      ["'stages[2].name': expected each name once"] = { { "true", name = "a" }, { "true", name = "a" } },
      ["'stages[1].nme': no such key"] = { { "true", nme = 1 } },
      ["'stages[1].on_exit': it cannot go with stages"] = { { "true", on_exit = print } },
      ["'stages': expected at least one stage"] = {},
      ["'max_files': expected an integer"] = { { "true" }, max_files = 0 },
      ["'stages[1]': expected a table"] = { "true" },
    } do
      local ok, message = pcall(sb.stages, sb, wrong)
      assert.is_false(ok)
      assert.truthy(message:find(want, 1, true), message)
    end
  end)

  it("leave nothing behind", function() assert.is_nil(env.leftovers(before)) end)
end)
