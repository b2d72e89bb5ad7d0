-- SPDX-License-Identifier: MIT
-- The host's end of files out of a sandbox: what the helper there may say, or somebody who has become it. The first byte says in which pieces.
local files = require "sandbox.run.files"

local LIMIT = 1000

return function(bytes)
  local collect = { paths = { "a", "d/b", "*.txt" }, max_bytes = LIMIT, max_files = 3 }
  local bounds = files.bounds(collect)
  local r = { files = {}, files_info = {}, files_skipped = {} }
  local taker = files.taker(collect, bounds, r)
  local size = ((bytes:byte(1) or 0) % 64) + 1
  for at = 2, #bytes, size do
    if not taker:feed(bytes:sub(at, at + size - 1)) then break end
  end
  taker:finish "out of time"
  local n, total = 0, 0
  for path, content in pairs(r.files) do
    n, total = n + 1, total + #content
    assert(type(content) == "string" and r.files_info[path], "a file without a word about it")
    assert(r.files_info[path].size == #content, "its size is another")
    for part in (path .. "/"):gmatch "([^/]*)/" do assert(part ~= ".." and part ~= ".", "a way out: " .. path) end
    assert(not path:find("%z"), "a name with NUL")
  end
  for path, info in pairs(r.files_info) do assert(r.files[path] and type(info.size) == "number", "words about no file: " .. path) end
  assert(n <= collect.max_files, "too many files")
  assert(total <= LIMIT, "too many bytes")
  local skipped = 0
  for path, reason in pairs(r.files_skipped) do
    skipped = skipped + 1
    assert(type(path) == "string" and type(reason) == "string", "no reason")
    assert(r.files[path] == nil, "left out, and there")
  end
  assert(skipped <= bounds.skips + #collect.paths + 10, "too many words")
  if not taker.reader.whole then
    for _, path in ipairs(collect.paths) do assert(r.files[path] or r.files_skipped[path], "no word about " .. path) end
  end
end
