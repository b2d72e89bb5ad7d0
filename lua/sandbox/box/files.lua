-- SPDX-License-Identifier: MIT
--- Files of a box, in and out: what the methods ask of our helper in it.
-- @module sandbox.box.files
local core = require "sandbox.core"
local errors = require "sandbox.errors"
local files = require "sandbox.run.files"
local helper = require "sandbox.box.helper"
local options_plan = require "sandbox.options.plan"
local streams = require "sandbox.box.streams"
local text = require "sandbox.text"

local Files = {} -- methods of boxes

-- The bytes that files given to this box may be together.
local function most(self)
  return self.plan.limits.disk or self.plan.limits.memory or nil
end

-- Puts host files and strings in place. true, or nil, message, code.
local function put(self, list, user)
  local source, state = files.put(list)
  local over -- what goes into a root that may be written goes there whoever the user is, as in a run
  for _, file in ipairs(self.plan.readonly and {} or list) do
    local path = file.path:sub(1, 1) == "/" and file.path or text.clean_path(self.usual.cwd .. "/" .. file.path)
    over = over or files.in_root(path, self.plan.mounts)
  end
  local entries, message, code = helper.entries(self, { stdin = source, output = 1024 * 1024, user = user, over = over })
  if state.failed then return nil, state.failed, "bad_rootfs" end
  if not entries then return nil, message, code end
  return true
end

--- For programs: puts files in place ahead of them.
-- @tparam {table,...} list as the schema made it
-- @tparam[opt] table user whose they are; by default the box's
-- @treturn boolean true, or nil, message, code
function Files:put_files(list, user)
  if #list == 0 then return true end
  local ok, message, code = files.may(list, self.plan)
  if not ok then return nil, message, code end
  ok, message, code = files.look(list, most(self))
  if ok then ok, message, code = put(self, list, user) end
  if ok then return true end
  if code == "closed" or code == "supervisor_lost" then return nil, message, code end
  return nil, "cannot put files in place: " .. message, "bad_rootfs"
end

--- Reads what a program left into a result: files, files_info, files_skipped. Whatever happens to it, the result stays.
-- @tparam table r
-- @tparam table collect as the schema made it
-- @tparam[opt] table user who reads them; by default the box's
function Files:collect_into(r, collect, user)
  local bounds = files.bounds(collect)
  local taker = files.taker(collect, bounds, r)
  local how = { stdin = files.collect(collect, bounds), output = bounds.output, timeout = bounds.timeout, alone = self.single, user = user }
  local ok, message = helper.run(self, how, function(chunk) return taker:feed(chunk) end)
  taker:finish(ok and files.BAD or message)
end

-- The methods ---------------------------------------------------------------------------------------------------------------

-- A path in the spellings and bounds of `files`. below: no directory itself.
local function checked(n, method, path, below)
  if type(path) ~= "string" then errors.argument(n, method, "a path", path) end
  local clean, wrong = text.clean_path(path), nil
  if path:find("\0", 1, true) then wrong = "a path without NUL" end
  if not clean then wrong = 'a path without ".."' end
  if clean and (path == "" or (clean == "" or clean == "/") and below) then wrong = "the path of a file" end
  if clean and (#clean > 4000 or select(2, clean:gsub("/", "")) > 100) then wrong = "a path of at most 4000 bytes and 100 directories" end
  if wrong then errors.argument(n, method, wrong, path) end
  return clean == "" and "." or clean
end

-- One question, once the box has booted.
local function ask(self, name, how)
  local ok, message, code = self:await()
  if not ok then return nil, message, code end
  local entries
  entries, message, code = helper.entries(self, how, name)
  return entries, message, code
end

-- Of those that answer with nothing.
local function done(self, name, kind, ...)
  local entries, message, code = ask(self, name, { stdin = files.ask(kind, ...), output = 65536 })
  if not entries then return nil, message, code end
  return true
end

-- What is to be written, as an entry of `files`.
local function given(path, content, options)
  if type(content) == "table" and options == nil then
    options = {}
    for k, v in next, content do options[k] = v end
    content, options.content = options.content, nil
  end
  options = options_plan.call("write_file", options)
  if options.from and content ~= nil then errors.raise "bad option 'from': expected either a content or from" end
  if not options.from and type(content) ~= "string" then
    errors.raise("bad argument #2 to 'write_file' (expected a string, or { from=, mode= }, got " .. errors.kind(content) .. ")")
  end
  return { path = checked(1, "write_file", path, true), mode = options.mode, content = content, from = options.from }
end

--- Writes a file as the box's user; directories above are made.
-- @string path relative to the box's cwd, or absolute; spelled as in `files`
-- @param content a string, or { from = a host file, mode = "666" }
-- @tparam[opt] table options { mode = "666" }
-- @treturn boolean true, or nil, message, code
function Files:write_file(path, content, options)
  local list = { given(path, content, options) }
  local ok, message, code = files.look(list, list[1].from and most(self))
  if ok then ok, message, code = self:await() end
  if ok then ok, message, code = put(self, list) end
  return ok, message, code
end

--- Reads a regular file.
-- @string path
-- @tparam[opt] table options { max = "64M" }
-- @treturn string or nil, message, code: "not_found", "too_big", "system" for what is no regular file
function Files:read_file(path, options)
  local name, max = checked(1, "read_file", path, true), options_plan.call("read_file", options).max
  local how = { stdin = files.ask("g", name, ("%.0f"):format(max)), output = max + math.floor(max / 8192) + 65536 }
  local entries, message, code = ask(self, path, how)
  if not entries then return nil, message, code end
  local entry = entries[1]
  if not entry or entry.kind ~= "F" then return nil, path .. ": it could not be read", "system" end
  return entry.content
end

local function entry_for_caller(entry)
  return { name = entry.path, type = entry.type, mode = entry.mode, size = entry.size, target = entry.target }
end

-- The most entries that a list has.
local LIST_MAX = 100000

--- Lists a directory.
-- @param[opt="."] path or { path=, depth= 1 }: with a depth of more, what lies in directories below is named by its path from this one
-- @treturn {table,...} of { name=, type=, mode=, size=, target= of a link } in order of their names, or nil, message, code
-- ("too_big": more than 100,000 entries; "timeout": they would take very much longer than half a minute)
function Files:list(path)
  local options = {}
  if type(path) == "table" then
    for k, v in next, path do options[k] = v end
    path, options.path = options.path, nil
  end
  if path == nil then path = "." end
  local name, depth = checked(1, "list", path), options_plan.call("list", options).depth
  local how = { stdin = files.ask("l", name, ("%d"):format(depth), ("%d"):format(LIST_MAX)), output = 64 * 1024 * 1024 }
  local entries, message, code = ask(self, path, how)
  if not entries then return nil, message, code end
  local out = {}
  for _, entry in ipairs(entries) do
    if entry.kind == "N" then out[#out + 1] = entry_for_caller(entry) end
  end
  table.sort(out, function(a, b) return a.name < b.name end)
  return out
end

--- What a path is; of a link, the link itself.
-- @string path
-- @treturn table { name=, type=, mode=, size=, mtime=, target= }, or nil, message, code
function Files:stat(path)
  local entries, message, code = ask(self, path, { stdin = files.ask("s", checked(1, "stat", path)), output = 65536 })
  if not entries then return nil, message, code end
  if not entries[1] or entries[1].kind ~= "N" then return nil, files.BAD, "system" end
  local out = entry_for_caller(entries[1])
  out.mtime = entries[1].mtime
  return out
end

--- Whether something is there, be it a link to nothing.
-- @string path
-- @treturn boolean or nil, message, code
function Files:exists(path)
  local name = checked(1, "exists", path)
  local entries, message, code = ask(self, path, { stdin = files.ask("s", name), output = 65536 })
  if entries then return true end
  if code == "not_found" then return false end
  return nil, message, code
end

--- Makes a directory, and those above it; one that is there is no error.
-- @string path
-- @treturn boolean true, or nil, message, code
function Files:mkdir(path)
  local ok, message, code = done(self, path, "m", checked(1, "mkdir", path, true))
  return ok, message, code
end

--- Removes a file, or a directory with all that is in it.
-- @string path
-- @treturn boolean true, or nil, message, code
function Files:remove(path)
  local ok, message, code = done(self, path, "r", checked(1, "remove", path, true))
  return ok, message, code
end

--- Renames; directories above the new name are made, a file of that name is replaced.
-- @string from
-- @string to
-- @treturn boolean true, or nil, message, code
function Files:rename(from, to)
  local ok, message, code = done(self, from, "v", checked(1, "rename", from, true), checked(2, "rename", to, true))
  return ok, message, code
end

--- Copies a file, or a directory with the files, directories and links below it, within the box.
-- @string from
-- @string to
-- @treturn boolean true, or nil, message, code
function Files:copy(from, to)
  local ok, message, code = done(self, from, "y", checked(1, "copy", from, true), checked(2, "copy", to, true))
  return ok, message, code
end

--- Opens a file to be written piece by piece; directories above are made.
-- @string path
-- @tparam[opt] table options { mode = "666" }
-- @return a stream: `write(bytes)` and `close()`, each true or nil, message, code: only `close` tells that all is there
function Files:open_write(path, options)
  local name, mode = checked(1, "open_write", path, true), options_plan.call("open_write", options).mode
  local ok, message, code = self:await()
  if not ok then return nil, message, code end
  local stream
  stream, message, code = streams.writer(self, path, files.begin(name, mode))
  return stream, message, code
end

--- Opens a regular file to be read piece by piece.
-- @string path
-- @return a stream: `read([n])` gives bytes, nil at the end, or nil, message, code; `close()`. Or nil, message, code
function Files:open_read(path)
  local name = checked(1, "open_read", path, true)
  local ok, message, code = self:await()
  if not ok then return nil, message, code end
  local stream
  stream, message, code = streams.reader(self, path, name)
  return stream, message, code
end

-- The regular files and directories below a host directory, as entries of `files`, in order; what is left out by its name there.
local function host_tree(from, to, list, skipped, depth)
  local names, why = core.readdir(from)
  if not names then return nil, why, "bad_rootfs" end
  table.sort(names)
  list[#list + 1] = { path = to, directory = true }
  for _, name in ipairs(names) do
    local path, target = from .. "/" .. name, to .. "/" .. name
    local st = core.lstat(path)
    if st and st.type == "file" then
      list[#list + 1] = { path = target, from = path, mode = ("%03o"):format(st.mode % 512) }
    elseif st and st.type == "directory" and depth < 100 then
      local ok, message, code = host_tree(path, target, list, skipped, depth + 1)
      if not ok then return nil, message, code end
    else
      skipped[path] = st and (st.type == "directory" and "too deep" or st.type) or "missing"
    end
  end
  return true
end

--- Puts a host file, or a host directory with the files and directories below it, into the box.
-- @string from on the host
-- @string path in the box
-- @treturn boolean true and a table of what was left out (links and other kinds), with the reason; or nil, message, code
function Files:put(from, path)
  if type(from) ~= "string" or from == "" or from:find "%z" then errors.argument(1, "put", "the path of a host file or directory", from) end
  local name, list, skipped = checked(2, "put", path), {}, {}
  local st, ok, message, code = core.stat(from), true, nil, nil
  if st and st.type == "directory" then
    ok, message, code = host_tree(from, name, list, skipped, 0)
  else
    list[1] = { path = name, from = from, mode = st and ("%03o"):format(st.mode % 512) or "666" }
  end
  if ok then ok, message, code = files.look(list, most(self)) end
  if ok then ok, message, code = self:await() end
  if ok then ok, message, code = put(self, list) end
  if not ok then return nil, message, code end
  return true, skipped
end

--- Reads a file, or a directory with the files below it, into a directory of the host's. No link is followed on either side.
-- @string path in the box
-- @string into a directory on the host that is there
-- @tparam[opt] table options { max_bytes = "1G", max_files = 100000 }
-- @treturn table what came, by its name below: { mode=, size= }; and a table of what was left out, with the reason. Or nil, message, code
function Files:get(path, into, options)
  options = options_plan.call("get", options)
  local name = checked(1, "get", path)
  if type(into) ~= "string" or into == "" or into:find "%z" then errors.argument(2, "get", "the path of a host directory", into) end
  local st = core.stat(into)
  if not st or st.type ~= "directory" then return nil, into .. " is no directory", "bad_rootfs" end
  local ok, message, code = self:await()
  if not ok then return nil, message, code end
  local is
  is, message, code = ask(self, path, { stdin = files.ask("s", name), output = 65536 })
  if not is then return nil, message, code end
  local whole = is[1] and is[1].type == "directory"
  local collect = { paths = { whole and name .. "/**" or name }, max_bytes = options.max_bytes, max_files = options.max_files, into = into,
                    strip = whole and #name + 2 or #name - #name:match "[^/]*$" + 1 }
  local bounds = files.bounds(collect, 20)
  local r = { files = {}, files_info = {}, files_skipped = {} }
  local taker = files.taker(collect, bounds, r)
  local how = { stdin = files.collect(collect, bounds), output = bounds.output, timeout = bounds.timeout }
  ok, message = helper.run(self, how, function(chunk) return taker:feed(chunk) end)
  taker:finish(ok and files.BAD or message)
  return r.files_info, r.files_skipped
end

return Files
