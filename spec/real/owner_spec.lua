-- SPDX-License-Identifier: MIT
-- Whose the files of a guest are: its user's, as root and as an ordinary user, whatever kind of sandbox it is.
local h = require "support.harness"
local sb = h.sb

-- What programs do that look at the owner, or may do that to their own files alone; 2022 has no `stat` for new coreutils.
local WORK = [[set -e
git init -q . && git add -A && git -c user.email=a@b -c user.name=n commit -qm m
chmod +x run.sh; ./run.sh; touch -d @100 d/f; chmod 755 .
mkdir /tmp/s; echo 1 >/tmp/s/a; tar cf /tmp/x.tar -C /tmp/s .; tar xf /tmp/x.tar; cp -a /tmp/s/. .; cat a
python3 -c 'import os, shutil; shutil.copytree("/tmp/s", "/work", dirs_exist_ok=True)
print(*["%d:%d:%o" % (s.st_uid, s.st_gid, s.st_mode & 0o7777) for s in map(os.stat, ["d", "d/f", "/tmp/given", "a"])], os.stat("/work").st_uid, os.stat("d/f").st_mtime)'
grep -E "^(Uid|Gid|Groups|Cap[IPE])" /proc/self/status | tr -s "\t\n" "  "]]
local FILES = { ["run.sh"] = "#!/bin/sh\necho ran\n", ["d/f"] = { content = "x", mode = "640" }, ["/tmp/given"] = "x" }
-- Where `disk` is held as an ordinary user, /work is a part of the guest's own layer.
local disks = { false, (h.root or sb:version().flags.overlay_size) and "60M" or nil }

local function spawn(options)
  local job, message, code = sb:spawn(options)
  if not job then return nil, message, code end
  job:close_stdin()
  local r
  r, message, code = job:wait()
  job:close()
  return r, message, code
end

-- Each kind of sandbox, as a function that runs one program with the limit of disk.
local kinds = {
  run = function(o, disk)
    o.limits = { disk = disk }
    return sb:run(o)
  end,
  spawn = function(o, disk)
    o.limits = { disk = disk }
    return spawn(o)
  end,
  box = function(o, disk)
    local box = assert(sb:start{ limits = { disk = disk }, user = o.user })
    o.user = nil
    local r, message, code = box:run(o)
    box:stop()
    return r, message, code
  end,
}

describe("the files of a guest", function()
  local before
  setup(function()
    assert(sb:run{ "true" })
    before = h.census()
  end)

  it("are its user's, who is nobody else", function()
    local none = ("0"):rep(16)
    for name, run in pairs(kinds) do
      for _, disk in ipairs(disks) do
        local r = assert(run({ "sh", "-c", WORK, files = FILES, user = { uid = 1234, gid = 77, groups = { 5, 6 } } }, disk))
        assert.are.equal(("ran\n1\n1234:77:777 1234:77:640 1234:77:666 1234:77:644 1234 100.0\n"
          .. "Uid: 1234 1234 1234 1234 Gid: 77 77 77 77 Groups: 5 6 CapInh: %s CapPrm: %s CapEff: %s "):format(none, none, none),
          (r.stdout:gsub("  +", " ") .. r.stderr), name .. " " .. tostring(disk))
      end
    end
  end)

  it("do not hide what becomes of the program", function()
    local files = { ["data"] = "x", ["bad"] = { content = "no program", mode = "755" } }
    for argv, words in pairs{ [{ "absent" }] = "no such file", [{ "./data" }] = 'needs mode = "755"', [{ "/work/bad" }] = "exec" } do
      argv.files = files
      local r, message, code = spawn(argv)
      assert.same({ nil, "bad_command" }, { r, code }, message)
      assert.is_truthy(message:lower():find(words, 1, true), message)
    end
    local r = assert(spawn{ "sh", "-c", "cat data; kill -9 $$", files = files })
    assert.same({ "signaled", "KILL", "x" }, { r.status, r.signal_name, r.stdout })
    -- A command line that no trace can tell of.
    local long = { "sh", "-c", "echo $#; exit 127", files = files }
    for i = 4, 20000 do long[i] = "argument" end
    r = assert(spawn(long))
    assert.same({ "exited", 127, "19996\n", "" }, { r.status, r.exit_code, r.stdout, r.stderr })
  end)

  it("leave as many processes as `pids` says", function()
    local script = "import os\nn = 1\ntry:\n  while n < 20:\n    if os.fork() == 0: os.read(0, 1); os._exit(0)\n    n += 1\nexcept BlockingIOError: pass\nprint(n)"
    local r = assert(spawn{ "python3", "-c", script, files = { a = "x" }, limits = { pids = 6 } })
    assert.same({ "exited", 0, "6\n", true }, { r.status, r.exit_code, r.stdout, r.pids_exceeded })
    r = assert(spawn{ "echo", "one", files = { a = "x" }, limits = { pids = 1 } })
    assert.are.equal("one\n", r.stdout)
  end)

  it("may be many, which is no boot that takes too long", function()
    local files = {}
    for i = 1, 500 do files[("d%d/f%d"):format(i % 20, i)] = "x" end
    local r = assert(spawn{ "sh", "-c", "find . -user 65534 | wc -l; find . ! -user 65534 | wc -l", files = files })
    assert.are.equal("521\n0\n", r.stdout .. r.stderr)
  end)

  it("come with the capabilities that were asked for, or words", function()
    local r, message, code = spawn{ "sh", "-c", "grep Cap /proc/self/status", files = { a = "x" }, user = 1234, capabilities = { "CAP_NET_BIND_SERVICE" } }
    if h.build ~= "2026" then return assert.same({ nil, "not_supported" }, { r, code }, message) end
    assert.are.equal(("0000000000000400 "):rep(5), (r.stdout:gsub("%w+:%s*(%x+)\n", "%1 ")))
  end)

  it("leave nothing behind", function() assert.is_nil(h.leftovers(before)) end)
end)
