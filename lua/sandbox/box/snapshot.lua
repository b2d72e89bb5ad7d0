-- SPDX-License-Identifier: MIT
--- What is in a box, kept in a directory of the host's, or given to copies of the box.
--
-- Files alone. gVisor can save the memory of what runs, too, but when it restores a sandbox it kills whatever was started in one that
-- was running already (runsc/boot/restore.go: kernel.OriginExec), and that is every program of a box: so what runs is never left out in
-- silence. The files are those of the guest's own file systems; our helper packs them, and unpacks them in the other box, as the guest.
--
-- A snapshot is a directory: what our helper packed, a file for each tree, and manifest.json, which appears last. Both may come
-- from a stranger. The packed files are read by nobody but the guest that they are for; of the manifest only what is listed here is
-- taken, and it names nothing of the host.
-- @module sandbox.box.snapshot
local core = require "sandbox.core"
local errors = require "sandbox.errors"
local json = require "sandbox.json"
local oci = require "sandbox.run.oci"
local options_plan = require "sandbox.options.plan"
local schema = require "sandbox.options.schema"
local strict = require "sandbox.options.strict_json"
local text = require "sandbox.text"

local M = {}
local Snapshot = {} -- methods of boxes

local FORMAT = 1
local MANIFEST, UNFINISHED = "manifest.json", "manifest.json.part"
local MANIFEST_MAX = 65536
local TREES_MAX = 1000
local FILES_MAX = 1000000
local COPIES_MAX = 256
local PIECE = 65536
local QUIET_SECONDS = 0.5 -- that a program which has just ended may still be listed

local NO_MEMORY = "gVisor ends what was started in a running sandbox when it restores that, so the memory of programs cannot be kept; "

-- What is in it ---------------------------------------------------------------------------------------------------------

-- The guest's own file systems: places by path, for a plan.
local function places(plan)
  local out, covered = { ["/work"] = true, ["/tmp"] = true, ["/dev/shm"] = true }, {}
  for _, m in ipairs(plan.mounts) do
    covered[m.destination] = true
    out[m.destination] = m.type == "tmpfs" and not m.readonly or nil
  end
  return out, covered
end

-- The directories whose files are kept, and what is mounted below each: that is another's, or has a turn of its own.
local function trees(plan, rt)
  local own, covered = places(plan)
  local list = {}
  if plan.limits.disk and oci.disk_by(plan, rt) == "store" or oci.inodes_held(plan, rt) then own["/dev/shm"] = covered["/dev/shm"] and own["/dev/shm"] end -- it is /tmp
  for path in pairs(own) do
    covered[path] = true
    list[#list + 1] = { path = path, without = {} }
  end
  table.sort(list, function(a, b) return a.path < b.path end)
  for path in pairs(covered) do
    for _, tree in ipairs(list) do
      if path ~= tree.path and text.is_below(path, tree.path) then table.insert(tree.without, path:sub(#tree.path + 2)) end
    end
  end
  return list
end

-- Whether what the options ask for can be kept: true, or nil, message, code.
local function check(self, options)
  if options.memory then return nil, NO_MEMORY .. "say memory = false, or leave it out where no program runs", "not_supported" end
  local layer = self.plan.readonly == false and "its root"
  for _, m in ipairs(self.plan.mounts) do layer = m.type == "cow" and m.destination or layer end
  if layer then
    return nil, ("the box may write anywhere in %s, and what it wrote there cannot be told from what was there: start it with readonly = true and no "
      .. "mount of the type cow, and a tmpfs in `mounts` for each other place that it writes to"):format(layer), "not_supported"
  end
  local ok, message, code = self:await()
  if not ok or options.memory == false then return ok, message, code end
  local limit, list = core.now() + QUIET_SECONDS, nil
  repeat
    if list then self.host.sleep(0.02) end
    list, message, code = self:processes()
  until not list or #list == 0 or core.now() > limit
  if not list then return nil, message, code end
  if #list == 0 then return true end
  return nil, ("%d %s in the box. %send what runs, or keep the files alone with memory = false"):format(#list, #list == 1 and "process runs" or "processes run",
    NO_MEMORY), "not_supported"
end

-- How many bytes it may be.
local function budget(self, options)
  return options.max_bytes or self.plan.limits.disk or self.plan.limits.memory or 2 ^ 40
end

-- Packs all trees. `open(i)` gives where the i-th one goes: write(bytes) and close(), each true or nil, message.
local function pack(self, options, open)
  local list, total = trees(self.plan, self.rt), 0
  local most = budget(self, options)
  for i, tree in ipairs(list) do
    local bytes, failed = 0, nil
    local to, why = open(i)
    if not to then return nil, why, "system" end
    local ok, message, code, refused = self:pack_tree(tree, most - total, FILES_MAX, function(piece)
      local done
      done, failed = to.write(piece)
      bytes = bytes + #piece
      return done and true or false
    end)
    local closed, wrong = to.close()
    failed = failed or not closed and wrong
    if failed then return nil, "the snapshot cannot be written: " .. tostring(failed), "system" end
    if refused then
      local large = refused:find "may go on$" ~= nil
      return nil, ("%s: %s"):format(tree.path, large and refused:gsub("may go on$", "may be in the snapshot") or refused), large and "too_big" or "system"
    end
    if not ok then return nil, message, code end
    total, tree.bytes = total + bytes, bytes
  end
  return list, total
end

-- Unpacks one tree; `read(n)` gives the next piece.
local function unpack_one(box, path, read)
  local ok, message, code, refused = box:unpack_tree(path, function() return read(PIECE) end)
  if refused then return nil, ("the files of %s cannot be put into the box: %s"):format(path, refused), "bad_snapshot" end
  return ok, message, code
end

-- Writing ---------------------------------------------------------------------------------------------------------------

local function tree_name(i) return "tree-" .. i end

local function is_ours(name)
  return name == UNFINISHED or name:find "^tree%-%d+$" ~= nil
end

-- Whether nobody but us, or root, could have written it.
local function is_private(st)
  return (st.uid == core.getuid() or st.uid == 0) and math.floor(st.mode / 2) % 2 == 0 and math.floor(st.mode / 16) % 2 == 0
end

local function remove(dir, made)
  for _, name in ipairs(core.readdir(dir) or {}) do
    if is_ours(name) then core.unlink(dir .. "/" .. name) end
  end
  if made then core.rmdir(dir) end
end

-- The directory of a new snapshot: made, or empty, or what one that was never finished has left. Whether it was made is a second value.
local function make_dir(dir)
  local st = core.lstat(dir)
  if not st then
    local ok, why = core.mkdir(dir, tonumber("700", 8))
    if not ok then return nil, "no directory for the snapshot can be made: " .. tostring(why), "bad_snapshot" end
    return true, true
  end
  if st.type ~= "directory" or not is_private(st) then
    return nil, dir .. (st.type == "directory" and " is somebody else's, or others may write to it (chmod 700)" or " is there, and no directory"), "bad_snapshot"
  end
  local names, why = core.readdir(dir)
  if not names then return nil, why, "bad_snapshot" end
  for _, name in ipairs(names) do
    if name == MANIFEST then return nil, "there is a snapshot in " .. dir .. " already", "bad_snapshot" end
    if not is_ours(name) then return nil, dir .. " is not empty", "bad_snapshot" end
  end
  remove(dir)
  return true, false
end

-- What the restored box has where its caller does not say otherwise: whose the files are, and the limits that held here.
local function manifest_of(self, list, total)
  local limits = {}
  for _, row in ipairs(schema.limits) do
    local name = row[1]
    local whole = schema.is_of(row, "box")
    local value = (whole and self.plan or self.usual).limits[name]
    if name == "timeout" and not self.usual.timed or name == "inodes" and not self.plan.inodes_asked then
      limits[name] = nil -- nobody asked for it
    elseif not row.mode then
      limits[name] = value or false
    end
  end
  local out = {}
  for i, tree in ipairs(list) do out[i] = { path = tree.path, bytes = tree.bytes } end
  local user, root = self.plan.user, self.plan.rootfs == "host" and "host" or "other"
  return { format = FORMAT, kind = "files", made = os.time(), runsc = text.scrub(self.rt.version), platform = self.rt.platform, root = root,
           bytes = total, trees = out, limits = limits, user = { uid = user.uid, gid = user.gid, groups = #user.groups > 0 and user.groups or nil } }
end

local function expect_dir(dir, method)
  if type(dir) ~= "string" or dir == "" or dir:find("%z") or #dir > 4000 then errors.argument(1, method, "the path of a directory", dir) end
end

--- Keeps what is in the box in a directory, from which `sandbox.restore` makes boxes: the files below /work, /tmp, /dev/shm and each tmpfs
-- that the box was given. The box goes on. What writes meanwhile may be caught halfway through; what is no file, directory or link is
-- left out. Only the owner can read the directory: what programs wrote is in it, secrets too.
-- @string dir on the host: not there yet, or empty
-- @tparam[opt] table options { memory = false, max_bytes = }
-- @treturn table { bytes =, memory = false, trees = { { path =, bytes = }, … } }, or nil, message, code
function Snapshot:snapshot(dir, options)
  expect_dir(dir, "snapshot")
  options = options_plan.call("snapshot", options)
  local ok, message, code = check(self, options)
  if not ok then return nil, message, code end
  local made
  ok, made, code = make_dir(dir)
  if not ok then return nil, made, code end
  local below, list, total
  below, message = core.open_below(dir)
  list, total, code = nil, message, "bad_snapshot"
  if below then
    list, total, code = pack(self, options, function(i)
      local file, why = below:create(tree_name(i), tonumber("600", 8))
      if not file then return nil, why end
      return { write = function(bytes) return file:write(bytes) end, close = function() return file:close() end }
    end)
    below:close()
  end
  if list then
    local manifest = manifest_of(self, list, total)
    ok, message = core.write_file(dir .. "/" .. UNFINISHED, json.encode(manifest) .. "\n", tonumber("600", 8))
    if ok then ok, message = core.rename(dir .. "/" .. UNFINISHED, dir .. "/" .. MANIFEST) end
    if ok then return { bytes = total, memory = false, trees = manifest.trees } end
    total, code = "the snapshot cannot be written: " .. tostring(message), "system"
  end
  remove(dir, made)
  return nil, total, code
end

-- Reading ---------------------------------------------------------------------------------------------------------------

local function is_count(v, most) return type(v) == "number" and v >= 0 and v <= most and v % 1 == 0 end

local function is_user(v)
  if type(v) ~= "table" or not is_count(v.uid, 2 ^ 32 - 2) or not is_count(v.gid, 2 ^ 32 - 2) then return false end
  for key in pairs(v) do
    if key ~= "uid" and key ~= "gid" and key ~= "groups" then return false end
  end
  return v.groups == nil or type(v.groups) == "table"
end

local function is_trees(v)
  if type(v) ~= "table" or #v > TREES_MAX then return false end
  local n, seen = 0, {}
  for key, tree in pairs(v) do
    n = n + 1
    if type(key) ~= "number" or type(tree) ~= "table" or type(tree.path) ~= "string" or seen[tree.path] or not is_count(tree.bytes, 2 ^ 50) then return false end
    if tree.path:sub(1, 1) ~= "/" or #tree.path > 4000 or tree.path:find "%z" or text.clean_path(tree.path) ~= tree.path then return false end
    for name in pairs(tree) do
      if name ~= "path" and name ~= "bytes" then return false end
    end
    seen[tree.path] = true
  end
  return n == #v
end

local function is_word(v) return type(v) == "string" and #v <= 200 end

-- Every key of a manifest, and what it may be.
local KEYS = {
  format = function(v) return v == FORMAT end,
  kind = function(v) return v == "files" end,
  made = function(v) return is_count(v, 2 ^ 50) end,
  runsc = is_word, platform = is_word, root = is_word,
  bytes = function(v) return is_count(v, 2 ^ 50) end,
  trees = is_trees,
  limits = function(v) return type(v) == "table" and options_plan.never("limits", v) ~= nil end,
  user = is_user,
}

local function parse(bytes)
  local m, why = strict.decode(bytes)
  if type(m) ~= "table" then return nil, "its manifest is no JSON object" .. (why and ": " .. tostring(why) or "") end
  if m.format ~= FORMAT then return nil, "it is of another version of this module (its format is " .. errors.show(m.format) .. ", known is 1)" end
  for key in pairs(m) do
    if not KEYS[key] then return nil, "its manifest has a key that is not known, " .. errors.show(key) end
  end
  for key, valid in pairs(KEYS) do
    if m[key] == nil or not valid(m[key]) then return nil, ("in its manifest %s is missing or no such thing"):format(key) end
  end
  local total = 0
  for _, tree in ipairs(m.trees) do total = total + tree.bytes end
  if total ~= m.bytes then return nil, "its manifest does not add up" end
  return m
end

-- The first bytes of a file, which is opened without following a link; nil, why.
local function read_small(path, most)
  local reader, why, name = core.reader(path, true)
  if not reader then return nil, why, name end
  local parts, size = {}, 0
  local piece = reader:read(PIECE)
  while piece and size <= most do
    parts[#parts + 1], size = piece, size + #piece
    piece = reader:read(PIECE)
  end
  reader:close()
  if size > most then return nil, "it is too large" end
  return table.concat(parts)
end

-- The manifest of a snapshot whose files are as it says; nil, message.
local function read(dir)
  local st, why = core.stat(dir)
  if not st then return nil, tostring(why) end
  if st.type ~= "directory" then return nil, "it is no directory" end
  if not is_private(st) then return nil, "it is somebody else's, or others may write to it (chown, chmod 700)" end
  local bytes, message, name = read_small(dir .. "/" .. MANIFEST, MANIFEST_MAX)
  if not bytes then
    return nil, name == "ENOENT" and "it has no manifest.json: it was never finished, or is none" or "its manifest cannot be read: " .. tostring(message)
  end
  local m
  m, message = parse(bytes)
  if not m then return nil, message end
  for i, tree in ipairs(m.trees) do
    st = core.lstat(dir .. "/" .. tree_name(i))
    if not st or st.type ~= "file" or st.size ~= tree.bytes then return nil, ("its file %s is missing, or has another size than it had"):format(tree_name(i)) end
  end
  return m
end

-- Whether a box of these options can take what is in it: true, or message, code.
local function fits(m, plan, asked)
  if m.root ~= "host" and plan.rootfs == "host" and not plan.image and asked.rootfs == nil then
    return nil, "its box had a root of its own: say which one the restored box gets, with rootfs or image", "bad_snapshot"
  end
  local own, covered = places(plan)
  for _, tree in ipairs(m.trees) do
    if not own[tree.path] then
      return nil, ("it has files for %s, %s"):format(errors.show(tree.path), covered[tree.path] and "which one of your mounts covers"
        or "which is no place of the restored box's own: give it a tmpfs there, in mounts"), "bad_snapshot"
    end
  end
  local name = plan.limits.disk and "disk" or plan.limits.memory and "memory"
  if name and m.bytes > plan.limits[name] then
    return nil, ("it has %s of files, and limits.%s is %s"):format(text.bytes(m.bytes), name, text.bytes(plan.limits[name])), "too_big"
  end
  return true
end

--- Reads a snapshot, before anything is started.
-- @string dir
-- @tparam ?table options of `start`, for the restored box
-- @tparam table defaults of the instance
-- @treturn table { manifest =, options = of `start`, with what the snapshot has }, or nil, message, code
function M.open(dir, options, defaults)
  expect_dir(dir, "restore")
  if options ~= nil and type(options) ~= "table" then errors.argument(2, "restore", "the options of sandbox.start", options) end
  options_plan.box(options or {}, defaults)
  local function bad(message, code) return nil, ("the snapshot in %s cannot be restored: %s"):format(dir, message), code or "bad_snapshot" end
  local m, message = read(dir)
  if not m then return bad(message) end
  local code
  local own, limits = {}, {}
  for key, value in next, options or {} do own[key] = value end
  for name, value in pairs(m.limits) do limits[name] = value end
  for name, value in next, own.limits or {} do limits[name] = value end
  own.limits, own.user = limits, own.user == nil and m.user or own.user
  local made
  made, message = options_plan.try("box", own, defaults)
  if not made then return bad(message) end
  made, message, code = fits(m, made.plan, own)
  if not made then return bad(message, code) end
  return { manifest = m, options = own }
end

--- Puts the files of a snapshot into a box that has just booted.
-- @tparam Box box
-- @string dir
-- @tparam table m its manifest
-- @treturn boolean true, or nil, message, code
function M.fill(box, dir, m)
  for i, tree in ipairs(m.trees) do
    local reader, why = core.reader(dir .. "/" .. tree_name(i), true)
    if not reader then return nil, tostring(why), "bad_snapshot" end
    local left = tree.bytes -- a file that grows meanwhile is read no further
    local ok, message, code = unpack_one(box, tree.path, function(n)
      local piece = left > 0 and reader:read(math.min(n, left)) or nil
      left = left - (piece and #piece or 0)
      return piece
    end)
    reader:close()
    if not ok then return nil, message, code end
  end
  return true
end

-- Copies ----------------------------------------------------------------------------------------------------------------

-- Files that nobody can name, and that go with us.
local function spool(self, options)
  local files = {}
  local list, message, code = pack(self, options, function(i)
    local file, why = io.tmpfile()
    if not file then return nil, "no temporary file: " .. tostring(why) end
    files[i] = file
    return { write = function(bytes) return file:write(bytes) end, close = function() return file:flush() end }
  end)
  return list, message, code, files
end

local function copy_into(box, list, files)
  local ok, message, code = box:wait_ready()
  if ok then box:throttle() end -- where it is a pool's
  for i, tree in ipairs(list) do
    if ok then
      files[i]:seek("set", 0)
      ok, message, code = unpack_one(box, tree.path, function(n) return files[i]:read(n) end)
    end
  end
  return ok, message, code
end

--- Makes copies of the box: others of the same options, with the same files, as of `snapshot`. The box goes on.
-- @int[opt] n how many
-- @tparam[opt] table options of `snapshot`
-- @return the copy; where n is given, a list of so many; or nil, message, code
function Snapshot:fork(n, options)
  if type(n) == "table" and options == nil then n, options = nil, n end
  if n ~= nil and not (is_count(n, COPIES_MAX) and n > 0) then errors.argument(1, "fork", "how many copies, 1 to " .. COPIES_MAX, n) end
  options = options_plan.call("snapshot", options)
  local ok, message, code = check(self, options)
  if not ok then return nil, message, code end
  local list, why, kind, files = spool(self, options)
  local copies = {}
  ok, message, code = list ~= nil, why, kind
  for i = 1, ok and n or ok and 1 or 0 do
    if ok then
      copies[i], message, code = self:another()
      ok = copies[i] ~= nil
    end
  end
  for _, copy in ipairs(copies) do
    if ok then ok, message, code = copy_into(copy, list, files) end
  end
  for _, file in ipairs(files) do file:close() end
  if not ok then
    for _, copy in ipairs(copies) do copy:discard() end
    return nil, message, code
  end
  if n then return copies end
  return copies[1]
end

M.methods = Snapshot
return M
