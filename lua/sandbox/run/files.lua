-- SPDX-License-Identifier: MIT
--- Files in and out of a box: what is sent to the helper, and what comes back. The helper runs in the guest, and what it read
-- was written by an attacker: each length, count and name is checked as it comes, and only what was asked for is taken.
-- @module sandbox.run.files
local core = require "sandbox.core"
local text = require "sandbox.text"

local M = {}

local PIECE = 65536

local function frame(kind, payload)
  local n = #payload
  return string.char(n % 256, math.floor(n / 256) % 256, math.floor(n / 65536) % 256, math.floor(n / 16777216)) .. kind .. payload
end

--- A piece of a file's content as the helper reads it.
-- @string bytes at most 64 KiB
-- @treturn string
function M.piece(bytes) return frame("D", bytes) end

local function request(kind, ...)
  local parts = { ... }
  for i, part in ipairs(parts) do parts[i] = part .. "\0" end
  return frame(kind, table.concat(parts))
end

--- The end of what is asked.
M.GO = frame("G", "")

--- One question as a whole: its kind as in guest_files.h, and its strings.
-- @string kind
-- @string ...
-- @treturn string
function M.ask(kind, ...) return request(kind, ...) .. M.GO end

--- The beginning of a file that goes in.
-- @string path
-- @string mode octal
-- @treturn string
function M.begin(path, mode) return request("P", path, mode) end

-- What comes from the host ------------------------------------------------------------------------------------------------

--- Looks at the host files that are to be given, as far as that can be done before they are read: they are regular, and how
-- much they are. Each gets `seen`: what will be read is this file, and no more of it than this.
-- @tparam {table,...} list of { path=, from= } and others
-- @tparam[opt] number limit bytes of all together
-- @treturn boolean true, or nil, message, code
function M.look(list, limit)
  local bytes = 0
  for _, file in ipairs(list) do
    local size = file.content and #file.content or 0
    if file.from then
      local handle, dev, ino
      handle, size, dev, ino = core.open_file(file.from)
      if not handle then return nil, "file " .. size, "bad_rootfs" end
      local first, why -- of what says that it is empty
      if size == 0 then first, why = handle:read(PIECE) end
      handle:close()
      if why then return nil, ("file %s: %s"):format(file.from, why), "bad_rootfs" end
      if first then return nil, ("file %s: it does not say how large it is, as files of /proc do not"):format(file.from), "bad_rootfs" end
      file.seen = { size = size, dev = dev, ino = ino }
    end
    bytes = bytes + size
    if limit and bytes > limit then
      return nil, ("files: more than the %s that they may be together"):format(text.bytes(limit)), "bad_rootfs"
    end
  end
  return true
end

--- Whether a path is in the root itself, and in none of what is writable beside it.
-- @string path
-- @tparam {table,...} mounts of the plan
-- @treturn boolean
function M.in_root(path, mounts)
  if text.is_below(path, "/work") or text.is_below(path, "/tmp") then return false end
  for _, m in ipairs(mounts) do
    if text.is_below(path, m.destination) then return false end
  end
  return true
end

--- Whether files may go where they are to go. One rule, whoever puts them there: a root that is read-only gets none.
-- @tparam {table,...} list of { path= }
-- @tparam table plan of the sandbox: `readonly`, `mounts`
-- @treturn boolean true, or nil, message, code
function M.may(list, plan)
  for _, file in ipairs(list) do
    if plan.readonly and M.in_root(file.path, plan.mounts) then
      return nil, ("cannot put file %s in place: the root is read-only; /work, /tmp and writable mounts are not, or set readonly = false"):format(file.path), "bad_rootfs"
    end
  end
  return true
end

-- The pieces of a host file that was looked at, then nil; or nil, message.
local function read_host(file)
  local handle, size, dev, ino = core.open_file(file.from)
  if not handle then return nil, size end
  local seen, left = file.seen, file.seen.size
  if dev ~= seen.dev or ino ~= seen.ino or size > left then
    handle:close()
    return nil, file.from .. ": it is another by now, or has grown"
  end
  return function()
    local piece, message
    if left > 0 then piece, message = handle:read(math.min(left, PIECE)) end
    if piece then left = left - #piece else handle:close() end
    return piece, message
  end
end

local function read_string(content)
  local at = 1
  return function()
    local piece = content:sub(at, at + PIECE - 1)
    at = at + PIECE
    return piece ~= "" and piece or nil
  end
end

--- Files that go in, as a stdin that is read piece by piece.
-- @tparam {table,...} list of { path=, mode=, content= }, { path=, mode=, from=, seen= } or { path=, directory=true }
-- @treturn function a stdin
-- @treturn table its `failed` says, once it is at its end, which host file could not be read
function M.put(list)
  local at, pieces, state = 0, nil, {}
  local function fail(message)
    state.failed, pieces, at = "file " .. message, nil, #list + 1 -- without the end: the helper gives up
  end
  return function()
    if pieces then
      local piece, why = pieces()
      if piece then return frame("D", piece) end
      pieces = nil
      if why then return fail(list[at].from .. ": " .. why) end
    end
    at = at + 1
    local file, message = list[at], nil
    if not file then return at == #list + 1 and M.GO or nil end
    if file.directory then return request("m", file.path) end
    if file.from then pieces, message = read_host(file) else pieces = read_string(file.content) end
    if not pieces then return fail(message) end
    return M.begin(file.path, file.mode)
  end, state
end

-- What is collected --------------------------------------------------------------------------------------------------------

-- How long the helper may take, and its answer; and what the names may be. Of 64 MiB all is over within 2 s.
local SECONDS, RATE, MARGIN = 1.2, 256 * 1024 * 1024, 0.35
local SKIPS, NAMES, NAME = 1000, 4 * 1024 * 1024, 128

--- What bounds a collection: seconds of the helper's own and of ours, files left out that are named, bytes of names, of all.
-- @tparam table collect { paths=, max_bytes=, max_files= }
-- @number[opt] least seconds, where no end of a program waits for it
-- @treturn table
function M.bounds(collect, least)
  local seconds = (least or SECONDS) + collect.max_bytes / RATE
  local skips, names = math.max(SKIPS, collect.max_files), NAMES + NAME * collect.max_files
  return { seconds = seconds, timeout = seconds + MARGIN, skips = skips, names = names,
           output = math.floor(collect.max_bytes * (1 + 5 / PIECE)) + 2 * names + 64 * (collect.max_files + skips + 1000) + PIECE }
end

--- The request for all that matches.
-- @tparam table collect
-- @tparam table bounds
-- @treturn string
function M.collect(collect, bounds)
  local parts = { ("%.3f"):format(bounds.seconds) }
  for _, n in ipairs{ collect.max_bytes, collect.max_files, bounds.skips, bounds.names } do parts[#parts + 1] = ("%.0f"):format(n) end
  -- What is asked for by its name is found at once, and must not wait behind a search.
  for _, glob in ipairs{ false, true } do
    for _, path in ipairs(collect.paths) do
      if (path:find "[*?[]" ~= nil) == glob then parts[#parts + 1] = path end
    end
  end
  return M.ask("c", (rawget(table, "unpack") or rawget(_G, "unpack"))(parts))
end

-- Answers ------------------------------------------------------------------------------------------------------------------

M.BAD = "the helper's answer is not whole: the guest has tampered with it"

local function strings(payload, n)
  local out = {}
  for s in payload:gmatch "([^%z]*)%z" do out[#out + 1] = s end
  return #out == n and out or nil
end

local parts = { F = 3, N = 6, E = 2, S = 2 }

local function entry_of(kind, payload)
  local s = strings(payload, parts[kind])
  if not s then return nil end
  if kind == "F" then return { kind = kind, path = s[1], mode = s[2], size = tonumber(s[3]) } end
  if kind == "N" then
    return { kind = kind, path = s[1], type = s[2], mode = s[3], size = tonumber(s[4]), mtime = tonumber(s[5]), target = s[2] == "link" and s[6] or nil }
  end
  return { kind = kind, path = s[1], reason = s[2] }
end

local Reader = {}
Reader.__index = Reader

--- Reads an answer as it comes.
-- @func on_entry called with each { kind = "F", "N", "E" or "S", path=, … }
-- @func[opt] on_piece called with each piece of the content of the last F
-- @treturn Reader its `whole` says whether the end has come, its `bad` that it was no answer
function M.reader(on_entry, on_piece)
  return setmetatable({ rest = "", on_entry = on_entry, on_piece = on_piece or function() end, whole = false, bad = false }, Reader)
end

-- Takes one frame; false: it is none of ours.
function Reader:take(kind, payload)
  if self.whole then return false end
  if kind == "D" then
    if self.open then self.on_piece(payload) end
    return self.open
  end
  self.open = kind == "F"
  if kind == "Z" then
    self.whole = true
    return true
  end
  local entry = parts[kind] and entry_of(kind, payload)
  if entry then self.on_entry(entry) end
  return entry ~= nil and entry ~= false
end

--- Takes what has come.
-- @string chunk
-- @treturn boolean false when it is no answer: it is not to go on
function Reader:feed(chunk)
  local bytes, at = self.rest .. chunk, 1
  while not self.bad and at + 4 <= #bytes do
    local a, b, c, d = bytes:byte(at, at + 3)
    local n = a + b * 256 + c * 65536 + d * 16777216
    if n > PIECE * 4 then
      self.bad = true
    elseif at + 4 + n > #bytes then
      break
    else
      self.bad = not self:take(bytes:sub(at + 4, at + 4), bytes:sub(at + 5, at + 4 + n))
      at = at + 5 + n
    end
  end
  self.bad = self.bad or self.whole and at <= #bytes
  self.rest = self.bad and "" or bytes:sub(at)
  self.whole = self.whole and not self.bad
  return not self.bad
end

-- A name that may become one of the host: no way up, no NUL, no odd parts.
local function safe(path)
  if path == "" or #path > 4096 then return false end
  for part in (path .. "/"):gmatch "([^/]*)/" do
    if part == ".." or part == "." then return false end
  end
  return true
end

local Taker = {}
Taker.__index = Taker

--- Puts what is collected into a result, as it comes: files, files_info, files_skipped. Whatever happens, the result stays.
-- @tparam table collect { paths=, max_bytes=, max_files=, into=, strip= names begin here }
-- @tparam table bounds
-- @tparam table r
-- @treturn Taker with `feed` and `finish`
function M.taker(collect, bounds, r)
  local self = setmetatable({ collect = collect, r = r, bytes = 0, files = 0, skips = bounds.skips + #collect.paths }, Taker)
  self.reader = M.reader(function(entry) self:entry(entry) end, function(piece) self:piece(piece) end)
  return self
end

function Taker:skip(path, reason)
  local r = self.r
  r.files[path], r.files_info[path] = nil, nil
  if r.files_skipped[path] == nil then
    if self.skips <= 0 then return end
    self.skips = self.skips - 1
  end
  r.files_skipped[path] = reason
end

-- Begins a file: what its pieces go to. Of two words about one path the first counts.
function Taker:begin(entry)
  local into, r = self.collect.into, self.r
  if not safe(entry.path) or r.files_info[entry.path] or r.files_skipped[entry.path] ~= nil then return nil end
  self.files = self.files + 1
  if self.files > self.collect.max_files then
    self:skip(entry.path, "too many")
    return nil
  end
  local file, message = { path = entry.path, mode = entry.mode, size = 0, told = entry.size, pieces = {} }, nil
  if into then
    if not self.below then self.below, message = core.open_below(into) end
    if self.below then file.out, message = self.below:create((entry.path:gsub("/+", "/"):gsub("^/", ""))) end
    if not file.out then
      self:skip(entry.path, "collect.into: " .. tostring(message))
      return nil
    end
  end
  return file
end

-- Ends the file that is under way; `reason`: it is left out after all.
function Taker:finish_file(reason)
  local file = self.current
  self.current = nil
  if not file then return end
  if file.out then
    local ok, message = file.out:close()
    if not ok then reason = reason or "collect.into: " .. message end
  end
  if reason then
    if file.out then self.below:remove((file.path:gsub("/+", "/"):gsub("^/", ""))) end
    self:skip(file.path, reason)
    return
  end
  if not file.out then self.r.files[file.path] = table.concat(file.pieces) end
  self.r.files_info[file.path] = { mode = file.mode, size = file.size }
end

function Taker:entry(entry)
  if self.collect.strip and entry.path ~= self.collect.paths[1] then entry.path = entry.path:sub(self.collect.strip) end
  local again = entry.kind == "S" and self.current and self.current.path == entry.path
  self:finish_file(again and entry.reason or nil)
  if entry.kind == "F" then
    self.current = self:begin(entry)
  elseif entry.kind == "S" and not again and #entry.path <= 4096 and not self.r.files_info[entry.path] then
    self:skip(entry.path, entry.reason)
  end
end

function Taker:piece(bytes)
  local file = self.current
  if not file then return end
  self.bytes, file.size = self.bytes + #bytes, file.size + #bytes
  if self.bytes > self.collect.max_bytes then return self:finish_file "too big" end
  if not file.out then
    file.pieces[#file.pieces + 1] = bytes
    return
  end
  local ok, message = file.out:write(bytes)
  if not ok then self:finish_file("collect.into: " .. message) end
end

--- Takes what has come.
-- @string chunk
-- @treturn boolean false: it is not to go on
function Taker:feed(chunk) return self.reader:feed(chunk) end

--- Ends it. What was asked for and has not been answered is left out, with this reason.
-- @string reason
function Taker:finish(reason)
  local whole = self.reader.whole
  self:finish_file(not whole and reason or nil)
  if self.below then self.below:close() end
  if whole then return end
  for _, path in ipairs(self.collect.paths) do
    if not self.r.files_info[path] and self.r.files_skipped[path] == nil then self.r.files_skipped[path] = reason end
  end
end

return M
