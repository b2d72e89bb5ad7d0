-- SPDX-License-Identifier: MIT
--- The command `sandbox image`: images that are kept, at the shell.
-- @module sandbox.shell.image
local flags = require "sandbox.shell.flags"
local json = require "sandbox.json"
local task = require "sandbox.shell.task"
local text = require "sandbox.text"

local M = {}
local usage, failed = flags.usage, task.failed

--- What each says of itself: its arguments, and words.
M.tasks = {
  { "pull", "IMAGE", "fetch an image, whether or not it is kept" }, { "ls", "", "the images that are kept" }, { "rm", "IMAGE|DIGEST...", "remove images" },
  { "prune", "", "remove what no name stands for, --unused-for SECONDS, and down to --max-bytes SIZE" },
  { "inspect", "IMAGE", "all that is known of an image, as JSON" }, { "build", "--erofs FILE IMAGE|DIR", "pack an image or a directory into one file, for --rootfs" },
}

local function only(args, n, what)
  if #args ~= n then usage("sandbox image %s", what) end
  return args[1]
end

local run = {}

function run.pull(sb, args, how, emit)
  local last
  local image, message, code = sb:pull(only(args, 1, "pull IMAGE"), { on_progress = function(e)
    if how.json then return end
    local line = ("%s %s"):format(e.phase, e.bytes > 0 and text.bytes(e.bytes) or "")
    if line ~= last then io.stderr:write(line, "\n") end
    last = line
  end })
  if not image then return failed(message, code) end
  emit(how.json and json.encode(image) or image.digest, "\n")
  return 0
end

function run.ls(sb, args, how, emit)
  only(args, 0, "ls takes no arguments")
  return task.show(how, emit, { line = function(image)
    return ("%s  %10s  %7d files  used %s  %s\n"):format(image.digest:sub(8, 19), text.bytes(image.bytes), image.files,
      os.date("%Y-%m-%d %H:%M", math.floor(image.last_used)), text.line(table.concat(image.references, " ")))
  end }, sb:images())
end

function run.rm(sb, args)
  if not args[1] then usage "sandbox image rm IMAGE|DIGEST..." end
  return task.each(args, function(name) return sb:remove_image(name) end)
end

function run.prune(sb, args, how, emit)
  only(args, 0, "prune takes no arguments")
  local out, message, code = sb:prune_images{ max_bytes = how.max_bytes, unused_for = how.unused_for }
  if not out then return failed(message, code) end
  emit(("%d removed, %s\n"):format(out.images, text.bytes(out.bytes)))
  return 0
end

function run.inspect(sb, args, _, emit)
  local name = only(args, 1, "inspect IMAGE")
  for _, image in ipairs(sb:images()) do
    local found = image.digest == name
    for _, reference in ipairs(image.references) do found = found or reference == name end
    if found then
      image.defaults = sb:image_options(image)
      emit(json.encode(image), "\n")
      return 0
    end
  end
  return failed(("image %s is not kept here"):format(name), "not_found")
end

function run.build(sb, args, how, emit)
  local source = only(args, 1, "build --erofs FILE IMAGE|DIR")
  if not how.erofs then usage "sandbox image build --erofs FILE IMAGE|DIR" end
  local file = how.erofs:sub(1, 1) == "/" and how.erofs or (require("sandbox.core").realpath "." or "") .. "/" .. how.erofs
  local ok, message, code = sb:pack_image(source, file)
  if not ok then return failed(message, code) end
  emit(how.erofs, "\n")
  return 0
end

--- Runs a task.
-- @tparam {string,...} words its name, and what follows its flags
-- @tparam table instance options
-- @tparam table how
-- @func emit writes to stdout, or raises
-- @treturn integer exit status
function M.main(words, instance, how, emit)
  return task.main("image", M.tasks, run, words, instance, how, emit, flags.here)
end

return M
