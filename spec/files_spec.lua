-- SPDX-License-Identifier: MIT
-- What comes out of a box is an attacker's.
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
  it("takes an answer apart", function()
    local entries = assert(files.parse(frame("F", s "a", s "644", s "5") .. frame("D", "he") .. frame("D", "llo") .. frame("S", s "b", s "link") .. Z))
    assert.same({ { kind = "F", path = "a", mode = "644", size = 5, content = "hello" }, { kind = "S", path = "b", reason = "link" } }, entries)
  end)

  it("refuses what is not whole", function()
    for _, wrong in ipairs{ "", frame("F", s "a", s "644", s "5"), Z .. Z, Z .. "x", frame("D", "x") .. Z, frame("F", s "a") .. Z, frame("F", s "a", s "1", s "2", s "3") .. Z,
                            frame("Q", "x") .. Z, frame("E", "no end") .. Z, "\255\255\255\255F", ("\0"):rep(4), frame("F", s "a", s "644", s "5"):sub(1, -2) } do
      local entries, message, code = files.parse(wrong)
      assert.same({ nil, "system" }, { entries, code })
      assert.truthy(message:find("tampered", 1, true))
    end
  end)

  local function result() return { files = {}, files_info = {}, files_skipped = {} } end

  it("takes only names that cannot go astray, and each once", function()
    local r = result()
    local answer = ""
    for _, name in ipairs{ "ok", "../up", "a/../../up", "./x", "..", "", ("x"):rep(5000) } do answer = answer .. frame("F", s(name), s "644", s "1") .. frame("D", "1") end
    answer = answer .. frame("F", s "ok", s "644", s "1") .. frame("D", "2") .. Z
    assert.is_true(files.take(answer, { max_bytes = 1000, max_files = 100 }, r))
    assert.same({ ok = "1" }, r.files)
  end)

  it("takes no more than was asked for", function()
    local answer = ""
    for i = 1, 5 do answer = answer .. frame("F", s("f" .. i), s "644", s "10") .. frame("D", ("x"):rep(10)) end
    local ok, _, code = files.take(answer .. Z, { max_bytes = 25, max_files = 100 }, result())
    assert.same({ nil, "too_big" }, { ok, code })
    ok, _, code = files.take(answer .. Z, { max_bytes = 1000, max_files = 3 }, result())
    assert.same({ nil, "too_big" }, { ok, code })
  end)
end)
