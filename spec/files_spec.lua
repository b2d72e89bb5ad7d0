-- SPDX-License-Identifier: MIT
-- What comes out of a box is an attacker's.
local core = require "sandbox.core"
local files = require "sandbox.run.files"

local function frame(kind, ...)
  local payload = ""
  for _, part in ipairs{ ... } do payload = payload .. part end
  local n = #payload
  return string.char(n % 256, math.floor(n / 256) % 256, math.floor(n / 65536) % 256, 0) .. kind .. payload
end
local function s(text) return text .. "\0" end
local Z = frame "Z"

describe("sandbox.run.files", function()
  -- Reads an answer in pieces of n bytes: its entries, and whether it was whole.
  local function parse(answer, n)
    local entries = {}
    local reader = files.reader(function(entry) entries[#entries + 1] = entry end, function(piece)
      entries[#entries].content = (entries[#entries].content or "") .. piece
    end)
    for at = 1, #answer, n do
      if not reader:feed(answer:sub(at, at + n - 1)) then break end
    end
    return entries, reader.whole
  end

  it("takes an answer apart, in whatever pieces it comes", function()
    local answer = frame("F", s "a", s "644", s "5") .. frame("D", "he") .. frame("D", "llo") .. frame("S", s "b", s "link") .. Z
    for _, n in ipairs{ 1, 2, 3, 7, 1000 } do
      local entries, whole = parse(answer, n)
      assert.is_true(whole)
      assert.same({ { kind = "F", path = "a", mode = "644", size = 5, content = "hello" }, { kind = "S", path = "b", reason = "link" } }, entries)
    end
  end)

  it("refuses what is not whole", function()
    for _, wrong in ipairs{ "", frame("F", s "a", s "644", s "5"), Z .. Z, Z .. "x", frame("D", "x") .. Z, frame("F", s "a") .. Z, frame("F", s "a", s "1", s "2", s "3") .. Z,
                            frame("Q", "x") .. Z, frame("E", "no end") .. Z, "\255\255\255\255F", ("\0"):rep(4), frame("F", s "a", s "644", s "5"):sub(1, -2) } do
      for _, n in ipairs{ 1, 1000 } do assert.is_false((select(2, parse(wrong, n)))) end
    end
  end)

  -- What a result has after an answer, which ends for this reason.
  local function take(answer, collect, reason)
    local r = { files = {}, files_info = {}, files_skipped = {} }
    collect.paths = collect.paths or { "*" }
    local taker = files.taker(collect, files.bounds(collect), r)
    taker:feed(answer)
    taker:finish(reason or "lost")
    return r
  end

  it("takes only names that cannot go astray, and each once", function()
    local answer = ""
    for _, name in ipairs{ "ok", "../up", "a/../../up", "./x", "..", "", ("x"):rep(5000) } do answer = answer .. frame("F", s(name), s "644", s "1") .. frame("D", "1") end
    answer = answer .. frame("F", s "ok", s "644", s "1") .. frame("D", "2") .. Z
    local r = take(answer, { max_bytes = 1000, max_files = 100 })
    assert.same({ { ok = "1" }, {} }, { r.files, r.files_skipped })
  end)

  it("takes no more than was asked for, and says so", function()
    local answer = ""
    for i = 1, 5 do answer = answer .. frame("F", s("f" .. i), s "644", s "10") .. frame("D", ("x"):rep(10)) end
    local ten = ("x"):rep(10)
    local r = take(answer .. Z, { max_bytes = 25, max_files = 100 })
    assert.same({ { f1 = ten, f2 = ten }, { f3 = "too big", f4 = "too big", f5 = "too big" } }, { r.files, r.files_skipped })
    r = take(answer .. Z, { max_bytes = 1000, max_files = 3 })
    assert.same({ { f1 = ten, f2 = ten, f3 = ten }, { f4 = "too many", f5 = "too many" } }, { r.files, r.files_skipped })
    answer = ""
    for i = 1, 5000 do answer = answer .. frame("S", s("f" .. i), s "link") end
    local n = 0
    for _ in pairs(take(answer .. Z, { max_bytes = 1000, max_files = 3 }).files_skipped) do n = n + 1 end
    assert.equal(1001, n)
  end)

  it("keeps what came before an answer broke off, and says of the rest why", function()
    local begun = frame("F", s "a", s "644", s "1") .. frame("D", "1") .. frame("F", s "b", s "644", s "9") .. frame("D", "half")
    local r = take(begun, { max_bytes = 1000, max_files = 100, paths = { "a", "b", "c*" } }, "out of time")
    assert.same({ { a = "1" }, { b = "out of time", ["c*"] = "out of time" } }, { r.files, r.files_skipped })
    r = take(begun .. frame("S", s "b", s "out of time") .. Z, { max_bytes = 1000, max_files = 100, paths = { "a", "b" } })
    assert.same({ { a = "1" }, { b = "out of time" }, { a = { mode = "644", size = 1 } } }, { r.files, r.files_skipped, r.files_info })
  end)

  it("gives a host's file as it was looked at, and no more of it", function()
    local dir = os.tmpname()
    os.remove(dir)
    assert(core.mkdir(dir, 448))
    local path = dir .. "/f"
    local function write(bytes)
      os.remove(path)
      assert(core.write_file(path, bytes, 384))
    end
    local function all(list)
      local source, state = files.put(list)
      local out, piece = {}, source()
      while piece do out[#out + 1], piece = piece, source() end
      return table.concat(out), state.failed
    end
    write "0123456789"
    local list = { { path = "x", mode = "644", from = path } }
    assert.is_true(files.look(list, 10))
    local whole = all(list)
    assert.truthy(whole:find("0123456789", 1, true))
    assert.equal(files.GO, whole:sub(-5))
    write "01234567890"
    local bytes, failed = all(list)
    assert.truthy(failed:find("another", 1, true))
    assert.is_nil(bytes:find(files.GO, 1, true))
    assert.equal("bad_rootfs", (select(3, files.look(list, 10))))
    for _, from in ipairs{ "/proc/self/pagemap", "/proc/self/status", "/dev/zero", dir, dir .. "/none" } do
      local ok, message, code = files.look({ { path = "x", from = from } }, 1e9)
      assert.same({ nil, "bad_rootfs" }, { ok, code })
      assert.truthy(message:find(from, 1, true))
    end
    os.remove(path)
    core.rmdir(dir)
  end)

  it("writes below a directory, by way of no link", function()
    local dir = os.tmpname()
    os.remove(dir)
    assert(core.mkdir(dir, 448))
    assert(core.mkdir(dir .. "/into", 448))
    assert(core.mkdir(dir .. "/out", 448))
    os.execute(("ln -s ../out %s/into/link && ln -s ../out/f %s/into/f"):format(dir, dir))
    local answer = ""
    for _, name in ipairs{ "a/b/c", "/abs", "link/x", "f" } do answer = answer .. frame("F", s(name), s "644", s "1") .. frame("D", "1") end
    local r = take(answer .. Z, { max_bytes = 1000, max_files = 100, into = dir .. "/into" })
    assert.same({}, r.files)
    assert.same({ size = 1, mode = "644" }, r.files_info["a/b/c"])
    assert.truthy(core.stat(dir .. "/into/a/b/c") and core.stat(dir .. "/into/abs"))
    assert.truthy(r.files_skipped["link/x"]:find("collect.into", 1, true) and r.files_skipped.f:find("collect.into", 1, true))
    assert.same({}, core.readdir(dir .. "/out"))
    os.execute("rm -r " .. dir)
  end)
end)
