-- SPDX-License-Identifier: MIT
--- Images as roots: `image = "docker://…"` becomes a directory that is kept, and what the image says of its programs becomes options.
-- @module sandbox.image
local core = require "sandbox.core"
local errors = require "sandbox.errors"
local options_plan = require "sandbox.options.plan"
local pull = require "sandbox.image.pull"
local reference = require "sandbox.image.reference"
local store = require "sandbox.image.store"

local M = {}

local Images = {} -- methods of instances
M.methods = Images

local function own(host) return host.options, store.dir(core, host.options.image_dir) end

-- Whose the files of an image are on this host: the end of its key.
local function ids_of(rt) return rt.rootless and "user" or ("%.0f"):format(rt.map_base) end

local function words(options, dir)
  return { "dir=" .. dir, ("max_bytes=%.0f"):format(options.max_image_bytes), ("max_files=%.0f"):format(options.max_image_files) }
end

-- Starts to fetch what a reference stands for. `refresh`: whatever is known of it.
local function begin(host, ref, rt, how)
  local options, dir = own(host)
  if ref.file and not core.stat(ref.file) then
    return nil, ("image %s cannot be fetched: there is no %s"):format(ref.text, ref.file), "bad_rootfs"
  end
  local ids, args = ids_of(rt), words(options, dir)
  for _, arg in ipairs{ "reference=" .. ref.text, "name=" .. reference.record(ref.text), "kind=" .. ref.kind, "source=" .. ref.source,
                        "stamp=" .. store.stamp(core, ref), "ids=" .. ids } do args[#args + 1] = arg end
  if ref.tag then args[#args + 1] = "tag=" .. ref.tag end
  if how.refresh then args[#args + 1] = "refresh" end
  table.insert(args, 1, "pull")
  local p, message, code = pull.begin(host, args, {
    name = "image " .. ref.text, timeout = how.timeout or options.pull_timeout, on_progress = how.on_progress,
    finish = function(self)
      local image = store.kept(core, dir, self.last.key)
      if not image then return nil, self.name .. " was removed meanwhile", "not_found" end
      return store.describe(core, image, { ref.text })
    end,
  })
  return p, message, code
end

-- Seconds in which who removes images again and again is outrun.
local OUTRUN = 60

-- The image of a reference, fetched where it is not kept, and what holds it: nobody removes it before that is closed.
local function ensure(host, ref)
  local rt, message, code = host.runtime()
  if not rt then return nil, message, code end
  local _, dir = own(host)
  local limit = core.now() + OUTRUN
  repeat
    local image = store.look(core, dir, ref, ids_of(rt))
    if not image then
      local p
      p, message, code = begin(host, ref, rt, {})
      if not p then return nil, message, code end
      image, message, code = p:wait()
      if not image and code ~= "not_found" then return nil, message, code end
    end
    image = image and store.kept(core, dir, image.key)
    local hold = image and core.hold(image.dir)
    if hold then return image, hold end
    host.sleep(0.01) -- it is on its way out
  until core.now() > limit
  return nil, ("image %s is removed again and again before it can be used"):format(ref.text), "bad_rootfs"
end

local function merged(...)
  local out = {}
  for i = 1, select("#", ...) do
    for name, value in pairs((select(i, ...)) or {}) do out[name] = value end
  end
  return out
end

-- What the image says, below what the instance says, below what the call says.
local function filled(options, defaults, says, ref, program)
  local out = {}
  for k, v in next, options do out[k] = v end
  out.env = merged(says.env, defaults.env, options.env)
  for _, name in ipairs{ "cwd", "user" } do
    if out[name] == nil and defaults[name] == nil then out[name] = says[name] end
  end
  if program and rawget(options, 1) == nil then
    for i, word in ipairs(says.argv) do out[i] = word end
    if not says.argv[1] then return nil, ("image %s has neither Entrypoint nor Cmd: say what is to run"):format(ref.text), "bad_command" end
  end
  return out
end

-- What holds the images of resolved options.
local holds = setmetatable({}, { __mode = "k" })

--- Options with an image, of the call or the instance, as options with a root; others as they are. The image is held until `let_go`.
-- @tparam table host the instance's services
-- @string scope "run", "box" or "pool"; run has a program
-- @tparam table options checked here, which raises what is wrong with them
-- @bool[opt] spawning
-- @treturn table, or nil, message, code
function M.resolve(host, scope, options, spawning)
  if type(options) ~= "table" or options.image == nil and (host.defaults.image == nil or options.rootfs ~= nil or options.bundle ~= nil) then return options end
  options_plan[scope](options, host.defaults, { spawning = spawning })
  local ref = reference.parse(options.image or host.defaults.image)
  local image, hold, code = ensure(host, ref)
  if not image then return host.fail(hold, code) end
  local says, message = { env = {}, argv = {} }, nil
  local wants = options.image_defaults
  if wants == nil then wants = host.defaults.image_defaults end
  if wants ~= false then
    says, message = store.options(core, image)
    if not says then message, code = ("image %s: %s"):format(ref.text, message), "bad_rootfs" end
  end
  local out
  if says then out, message, code = filled(options, host.defaults, says, ref, scope == "run") end
  if not out then
    hold:close()
    return host.fail(message, code)
  end
  out.image, out.image_defaults, out.rootfs = nil, nil, image.rootfs
  holds[out] = hold
  return out
end

--- What holds the image of resolved options: whoever has it closes it when the sandbox holds the image itself.
-- @param options
-- @return with `close()`; nil: they have none
function M.hold_of(options) return holds[options] end

--- Lets go of the image of resolved options: its sandbox holds it by now, or there is none.
-- @param options
function M.let_go(options)
  if holds[options] then holds[options]:close() end
end

--- The directory of the image that a plan's root is of, which is held as long as the sandbox lives; nil: it is of none.
-- @tparam table options of the instance
-- @tparam table plan
-- @treturn string
function M.held(options, plan)
  if plan.bundle or plan.rootfs == "host" then return nil end
  return store.owner(store.dir(core, options.image_dir), plan.rootfs)
end

local function expect(name, method)
  local ref = reference.parse(name)
  if not ref then errors.argument(1, method, reference.FORMS, name) end
  return ref
end

--- Fetches an image, whether or not it is kept: what its name stands for now. Waits, in the way of the host.
-- @string name as the option `image`
-- @tparam[opt] table how { on_progress = function{ phase=, bytes=, image= }, which cancels it by giving false; timeout = seconds;
-- wait = false: gives the pull at once: `pull:wait([seconds])`, `pull:cancel()`, `pull:close()` }
-- @treturn table { digest=, references=, bytes=, files=, layers=, devices = left out, last_used=, rootfs= }, or nil, message, code
function Images:pull(name, how)
  local asked = options_plan.call("pull", how)
  local ref, host = expect(name, "pull"), self:services()
  local rt, message, code = host.runtime()
  if not rt then return nil, message, code end
  local p
  p, message, code = begin(host, ref, rt, { refresh = true, on_progress = asked.on_progress, timeout = asked.timeout })
  if not p or asked.wait == false then return p, message, code end
  local image
  image, message, code = p:wait()
  return image, message, code
end

--- The images that are kept, the last used first.
-- @treturn {table,...} each as `pull` gives it
function Images:images()
  local _, dir = own(self:services())
  return store.list(core, dir)
end

--- What an image says of its programs, as options of a run.
-- @tparam table image as `images` gives it
-- @treturn table { argv=, env=, cwd=, user= }, or nil and a message
function Images:image_options(image)
  local _, dir = own(self:services())
  local kept = store.kept(core, dir, type(image) == "table" and image.key)
  if not kept then return nil, "the image is not kept here" end
  local out, message = store.options(core, kept)
  return out, message
end

-- A task that ends with what it removed.
local function removing(host, args, name)
  local options = host.options
  local p, message, code = pull.begin(host, args, { name = name, timeout = options.pull_timeout, finish = function(self) return self.removed end })
  if not p then return nil, message, code end
  local removed
  removed, message, code = p:wait()
  if not removed then return nil, message, code end
  local bytes = 0
  for _, image in ipairs(removed) do bytes = bytes + image.bytes end
  return { images = #removed, bytes = bytes }
end

--- Packs an image or a directory into one EROFS file, which serves as `rootfs` (runsc of 2024 or later). Waits, in the way of the host.
-- @string source a name as of the option `image`, fetched where it is not kept, or the absolute path of a directory
-- @string path of the file
-- @treturn boolean true, or nil, message, code
function Images:pack_image(source, path)
  local host = self:services()
  local options, dir = own(host)
  if type(path) ~= "string" or path:sub(1, 1) ~= "/" or path:find "%z" then errors.argument(2, "pack_image", "an absolute path", path) end
  local from, ids, hold = source, nil, nil
  if type(source) ~= "string" or source:sub(1, 1) ~= "/" then
    local ref = expect(source, "pack_image")
    local image, code
    image, hold, code = ensure(host, ref)
    if not image then return nil, hold, code end
    from, ids = image.rootfs, image.key:match "%-(%w+)$"
  end
  local args = { "pack", "dir=" .. dir, "source=" .. from, "out=" .. path }
  if ids then args[#args + 1] = "ids=" .. ids end
  local p, message, code = pull.begin(host, args, { name = "the file " .. path, timeout = options.pull_timeout, finish = function() return true end })
  local ok
  if p then ok, message, code = p:wait() end
  if hold then hold:close() end
  return ok, message, code
end

--- Removes an image, which must not be in use; with another name that stands for it, only the name.
-- @string name as the option `image`, or "sha256:…" of `images`
-- @treturn table { images = how many were removed, bytes = on the disk }, or nil, message, code ("not_found", "busy")
function Images:remove_image(name)
  local host = self:services()
  local _, dir = own(host)
  local digest = type(name) == "string" and name:match("^sha256:(" .. ("%x"):rep(64) .. ")$")
  if not digest then
    local ref = expect(name, "remove_image")
    local out, message, code = removing(host, { "remove", "dir=" .. dir, "reference=" .. ref.text, "name=" .. reference.record(ref.text) }, "image " .. name)
    return out, message, code
  end
  for _, image in ipairs(store.list(core, dir)) do
    if image.key:sub(1, 64) == digest then
      local out, message, code = removing(host, { "remove", "dir=" .. dir, "key=" .. image.key }, "image " .. name)
      return out, message, code
    end
  end
  return nil, ("image %s is not kept here"):format(name), "not_found"
end

--- Removes images that no name stands for any more, that were not used for so long, and then the least lately used ones until the rest is
-- no larger than that. What is in use stays.
-- @tparam[opt] table how { max_bytes = size, unused_for = seconds }
-- @treturn table { images = how many were removed, bytes = }, or nil, message, code
function Images:prune_images(how)
  local asked, host = options_plan.call("prune_images", how), self:services()
  local _, dir = own(host)
  local args = { "prune", "dir=" .. dir }
  if asked.max_bytes then args[#args + 1] = ("max_bytes=%.0f"):format(asked.max_bytes) end
  if asked.unused_for then args[#args + 1] = ("unused_for=%.0f"):format(math.ceil(asked.unused_for)) end
  local out, message, code = removing(host, args, "the removal of images")
  return out, message, code
end

return M
