-- SPDX-License-Identifier: MIT
-- What is read back from a guest is regular files, by names as they are, in bounds (snekbox's tests; Judge0, CVE-2024-28185).
local env = require "support.harness"
local sb = env.sb

describe("collect", function()
  local before
  setup(function()
    assert(sb:run{ "true" })
    before = env.census()
  end)

  local function python(script, collect)
    local r, message, code = sb:run{ "python3", "-c", script, collect = collect, limits = { timeout = 60 * env.slow, memory = "256M" } }
    assert(r, tostring(code) .. ": " .. tostring(message))
    return r
  end

  it("opens no FIFO, socket, device or link, and waits for none", function()
    local r = python([[
import os, socket
os.mkfifo("f"); socket.socket(socket.AF_UNIX).bind("s"); os.symlink("/etc/passwd", "l"); os.link("l", "hard")
open("ok", "w").write("x")]], { "*", "/dev/zero", "/proc/1/mem" })
    assert.same({ ok = "x" }, r.files)
    for name, why in pairs{ f = "fifo", s = "socket", l = "link", hard = "link", ["/dev/zero"] = "device" } do assert.same({ name, why }, { name, r.files_skipped[name] }) end
    assert.truthy(r.files_skipped["/proc/1/mem"])
  end)

  it("takes names of any bytes", function()
    local r = python([[
for name in (b"a\xff\xfe", b"new\nline", b"q\"'\\", b"-rf", b"[a]", b" ", b"\x1b[31m", b"n" * 255): open(name, "w").write("v")]], { "*" })
    for _, name in ipairs{ "a\255\254", "new\nline", "q\"'\\", "-rf", "[a]", " ", "\27[31m", ("n"):rep(255) } do assert.same({ name, "v" }, { name, r.files[name] }) end
  end)

  it("is bounded by bytes, files and time, and says what is left out", function()
    local r = python([[
f = open("huge", "w"); f.truncate(1 << 40)
for i in range(60): open("s%d" % i, "w").write("x")]], { paths = { "huge", "s*" }, max_bytes = "1M", max_files = 10 })
    local n = 0
    for _ in pairs(r.files) do n = n + 1 end
    assert.same({ 10, "too big" }, { n, r.files_skipped.huge })
  end)

  it("believes no frame but our helper's", function()
    local r = python([[
import os
for fd in range(256):
  try: os.write(fd, b"\x05\x00\x00\x00Zhello\x00\x00\x00\x00Z")
  except OSError: pass
open("out", "w").write("real")]], { "out" })
    assert.same({ "exited", "real" }, { r.status, r.files.out })
  end)

  it("leaves nothing behind", function() assert.is_nil(env.leftovers(before)) end)
end)
