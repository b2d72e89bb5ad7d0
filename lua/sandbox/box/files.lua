-- SPDX-License-Identifier: MIT
--- Files of a box, in and out: what the methods ask of our helper in it, which runs as the box's user.
-- @module sandbox.box.files
local files = require "sandbox.run.files"
local oci = require "sandbox.run.oci"
local errors = require "sandbox.errors"
local options_plan = require "sandbox.options.plan"

local Files = {} -- methods of boxes

-- The helper as a program, of the box's user or another: what it prints, bounded, or nil, message, code.
local function helper(self, input, limit, user)
  local plan = options_plan.run({ oci.HELPER, "files", stdin = input, limits = { timeout = 30, output = limit } })
  plan.user, plan.capabilities, plan.runtime, plan.env, plan.cwd = user or self.plan.user, self.plan.capabilities, self.rt, {}, self.programs.cwd
  plan.quiet = true
  local job, message, code = self:exec(options_plan.stamp(plan), plan.argv)
  if not job then return self:outcome(nil, message, code) end
  local r
  r, message, code = job:wait()
  job:close()
  if not r then return self:outcome(nil, message, code) end
  if not r.ok then
    local closed = r.status == "oom_killed" and "closed" or "system"
    return self:outcome(nil, "the box's files cannot be reached: " .. tostring(r.message), closed)
  end
  if r.stdout_truncated then return nil, "more than " .. limit .. " bytes came", "too_big" end
  return r.stdout
end

-- The same taken apart, or nil, message, code.
local function answer_of(self, input, limit, user)
  local answer, message, code = helper(self, input, limit, user)
  if not answer then return nil, message, code end
  local entries
  entries, message, code = files.parse(answer)
  return entries, message, code
end

--- For programs: puts files in place ahead of them.
-- @tparam {table,...} list as the schema made it
-- @tparam[opt] table user whose they are; by default the box's
-- @treturn boolean true, or nil, message, code
function Files:put_files(list, user)
  if #list == 0 then return true end
  local input, message, code = files.put(list)
  if not input then return nil, message, code end
  local entries
  entries, message, code = answer_of(self, input, 1024 * 1024, user)
  if not entries then return nil, message, code end
  for _, entry in ipairs(entries) do
    if entry.kind == "E" then return nil, ("cannot put file %s in place: %s"):format(entry.path, entry.reason), "bad_rootfs" end
  end
  return true
end

--- Reads what a program left into a result: files, files_info, files_skipped.
-- @tparam table r
-- @tparam table collect as the schema made it
-- @tparam[opt] table user who reads them; by default the box's
-- @treturn boolean true, or nil, message, code
function Files:collect_into(r, collect, user)
  local answer, message, code = helper(self, files.collect(collect), collect.max_bytes + collect.max_files * 8192 + 1024 * 1024, user)
  if not answer then return nil, message, code end
  local ok
  ok, message, code = files.take(answer, collect, r)
  return ok, message, code
end

local function check_path(name, path)
  if type(path) ~= "string" or path == "" or path:find("\0", 1, true) or #path > 4000 then
    errors.argument(1, name, "a path of at most 4000 bytes", path)
  end
end

-- One request to the helper and its entries.
local function ask(self, path, input, limit)
  local ok, message, code = self:await()
  if not ok then return nil, message, code end
  local entries
  entries, message, code = answer_of(self, input, limit)
  if not entries then return nil, message, code end
  for _, entry in ipairs(entries) do
    if entry.kind == "E" then
      return nil, ("%s: %s"):format(path, entry.reason), entry.reason == "missing" and "not_found" or entry.reason == "too big" and "too_big" or "system"
    end
  end
  return entries
end

--- Writes a file as the box's user; directories above are made.
-- @string path relative to the box's cwd, or absolute
-- @string content
-- @tparam[opt] table options { mode = "666" }
-- @treturn boolean true, or nil, message, code
function Files:write_file(path, content, options)
  check_path("write_file", path)
  if type(content) ~= "string" then errors.raise("bad argument #2 to 'write_file' (expected a string, got " .. errors.kind(content) .. ")") end
  local mode = options_plan.call("write_file", options).mode
  local entries, message, code = ask(self, path, (files.put{ { path = path, mode = mode, content = content } }), 65536)
  if not entries then return nil, message, code end
  return true
end

--- Reads a regular file.
-- @string path
-- @tparam[opt] table options { max = "64M" }
-- @treturn string or nil, message, code: "not_found", "too_big", "system" for what is no regular file
function Files:read_file(path, options)
  check_path("read_file", path)
  local max = options_plan.call("read_file", options).max
  local entries, message, code = ask(self, path, files.get(path, max), max + 65536)
  if not entries then return nil, message, code end
  local entry = entries[1]
  if not entry or entry.kind ~= "F" then return nil, path .. ": it could not be read", "system" end
  return entry.content
end

--- Lists a directory.
-- @string[opt="."] path
-- @treturn {table,...} of { name=, type=, mode=, size= } in order of their names, or nil, message, code
function Files:list(path)
  if path == nil then path = "." end
  check_path("list", path)
  local entries, message, code = ask(self, path, files.list(path), 16 * 1024 * 1024)
  if not entries then return nil, message, code end
  local out = {}
  for _, entry in ipairs(entries) do
    if entry.kind == "N" then out[#out + 1] = { name = entry.path, type = entry.type, mode = entry.mode, size = entry.size } end
  end
  table.sort(out, function(a, b) return a.name < b.name end)
  return out
end

--- Removes a file, or a directory with all that is in it.
-- @string path
-- @treturn boolean true, or nil, message, code
function Files:remove(path)
  check_path("remove", path)
  local entries, message, code = ask(self, path, files.remove(path), 65536)
  if not entries then return nil, message, code end
  return true
end

return Files
