-- SPDX-License-Identifier: MIT
--- Files in and out of a box: what is sent to the helper, and what comes back. The helper runs in the guest, so its answer
-- is an attacker's: each length, count and name is checked, and only what was asked for is taken.
-- @module sandbox.run.files
local core = require "sandbox.core"

local M = {}

local PIECE = 65536

local function frame(kind, payload)
  local n = #payload
  return string.char(n % 256, math.floor(n / 256) % 256, math.floor(n / 65536) % 256, math.floor(n / 16777216)) .. kind .. payload
end

local function add_content(out, content)
  for at = 1, #content, PIECE do out[#out + 1] = frame("D", content:sub(at, at + PIECE - 1)) end
end

--- Files that go in.
-- @tparam {table,...} list of { path=, mode=, content= } or { path=, mode=, from= }
-- @treturn function a stdin, piece by piece; or nil, message, code
function M.put(list)
  local out = {}
  for _, file in ipairs(list) do
    out[#out + 1] = frame("P", ("%s\0%s\0"):format(file.path, file.mode))
    if file.from then
      local st = core.stat(file.from)
      local handle = st and st.type == "file" and io.open(file.from, "rb")
      if not handle then return nil, ("file %s: it cannot be read"):format(file.from), "bad_rootfs" end
      local piece = handle:read(PIECE)
      while piece do
        out[#out + 1] = frame("D", piece)
        piece = handle:read(PIECE)
      end
      handle:close()
    else
      add_content(out, file.content)
    end
  end
  out[#out + 1] = frame("G", "")
  return table.concat(out)
end

local function request(kind, ...)
  local parts = { ... }
  for i, part in ipairs(parts) do parts[i] = part .. "\0" end
  return frame(kind, table.concat(parts)) .. frame("G", "")
end

--- The request for one file.
-- @string path
-- @int max bytes
function M.get(path, max) return request("g", path, ("%.0f"):format(max)) end
function M.list(path) return request("l", path) end
function M.remove(path) return request("r", path) end
--- The request for all that matches.
-- @tparam table collect { paths=, max_bytes=, max_files= }
function M.collect(collect)
  local unpack = rawget(table, "unpack") or rawget(_G, "unpack")
  return request("c", ("%.0f"):format(collect.max_bytes), ("%.0f"):format(collect.max_files), unpack(collect.paths))
end

local BAD = "the helper's answer is not whole: the guest has tampered with it"

local function strings(payload, n)
  local out = {}
  for s in payload:gmatch "([^%z]*)%z" do out[#out + 1] = s end
  return #out == n and out or nil
end

local parts = { F = 3, N = 4, E = 2, S = 2 }

local function entry_of(kind, payload)
  local s = strings(payload, parts[kind])
  if not s then return nil end
  if kind == "F" then return { kind = kind, path = s[1], mode = s[2], size = tonumber(s[3]), pieces = {} } end
  if kind == "N" then return { kind = kind, path = s[1], type = s[2], mode = s[3], size = tonumber(s[4]) } end
  return { kind = kind, path = s[1], reason = s[2] }
end

--- Takes an answer apart.
-- @string answer
-- @treturn {table,...} entries, or nil, message, "system"
function M.parse(answer)
  local entries, at, whole, last = {}, 1, false, nil
  while at <= #answer do
    if whole or at + 4 > #answer then return nil, BAD, "system" end
    local a, b, c, d = answer:byte(at, at + 3)
    local n, kind = a + b * 256 + c * 65536 + d * 16777216, answer:sub(at + 4, at + 4)
    local payload = answer:sub(at + 5, at + 4 + n)
    if n > PIECE * 4 or #payload ~= n then return nil, BAD, "system" end
    at = at + 5 + n
    if kind == "D" then
      if not last then return nil, BAD, "system" end
      last.pieces[#last.pieces + 1] = payload
    elseif kind == "Z" then
      whole = true
    elseif parts[kind] then
      local entry = entry_of(kind, payload)
      if not entry then return nil, BAD, "system" end
      entries[#entries + 1] = entry
      last = kind == "F" and entry or nil
    else
      return nil, BAD, "system"
    end
  end
  if not whole then return nil, BAD, "system" end
  for _, entry in ipairs(entries) do
    if entry.pieces then entry.content, entry.pieces = table.concat(entry.pieces), nil end
  end
  return entries
end

-- A name that may become one of the host: no way up, no NUL, no odd parts.
local function safe(path)
  if path == "" or #path > 4096 then return false end
  for part in (path .. "/"):gmatch "([^/]*)/" do
    if part == ".." or part == "." then return false end
  end
  return true
end

local function write_below(into, path, content)
  local relative = path:gsub("^/+", "")
  local dir = into
  for part in relative:gmatch "([^/]+)/" do
    dir = dir .. "/" .. part
    core.mkdir(dir, tonumber("755", 8))
    local st = core.lstat(dir)
    if not st or st.type ~= "directory" then return nil, dir .. ": no directory" end
  end
  local target = into .. "/" .. relative
  local st = core.lstat(target)
  if st and st.type ~= "file" then return nil, target .. ": something else is there" end
  if st then core.unlink(target) end
  local ok, message = core.write_file(target, content, tonumber("644", 8))
  return ok, message
end

--- Puts a collected answer into a result.
-- @string answer
-- @tparam table collect { paths=, max_bytes=, max_files=, into= }
-- @tparam table r the result: files, files_info, files_skipped are filled
-- @treturn boolean true, or nil, message, code
function M.take(answer, collect, r)
  local entries, message, code = M.parse(answer)
  if not entries then return nil, message, code end
  local bytes, count = 0, 0
  for _, entry in ipairs(entries) do
    if entry.kind == "F" and safe(entry.path) and not r.files_info[entry.path] then
      bytes, count = bytes + #entry.content, count + 1
      if bytes > collect.max_bytes or count > collect.max_files then return nil, "more came than was asked for", "too_big" end
      if collect.into then
        local ok, why = write_below(collect.into, entry.path, entry.content)
        if not ok then return nil, "collect.into: " .. tostring(why), "system" end
      else
        r.files[entry.path] = entry.content
      end
      r.files_info[entry.path] = { mode = entry.mode, size = #entry.content }
    elseif entry.kind == "S" then
      count = count + 1
      if count > collect.max_files * 2 + 100000 then break end
      r.files_skipped[entry.path] = entry.reason
    end
  end
  return true
end

return M
