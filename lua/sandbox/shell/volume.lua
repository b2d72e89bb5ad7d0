-- SPDX-License-Identifier: MIT
--- The command `sandbox volume`: directories that are kept for sandboxes, at the shell.
-- @module sandbox.shell.volume
local task = require "sandbox.shell.task"
local text = require "sandbox.text"
local usage = require("sandbox.shell.flags").usage

local M = {}

--- What each says of itself: its arguments, and words.
M.tasks = { { "ls", "", "the volumes that there are" }, { "rm", "NAME...", "remove volumes, with all that is in them" } }

local run = {}

function run.ls(sb, args, how, emit)
  if args[1] then usage "sandbox volume ls takes no arguments" end
  return task.show(how, emit, { line = function(volume)
    local size = volume.size and text.bytes(volume.size) or ""
    return ("%-24s %-9s used %s  %s\n"):format(volume.name, size, os.date("%Y-%m-%d %H:%M", math.floor(volume.last_used)), text.line(volume.path))
  end }, sb:volumes())
end

function run.rm(sb, args)
  if not args[1] then usage "sandbox volume rm NAME..." end
  return task.each(args, function(name)
    if not text.is_name(name) then usage("sandbox volume rm: %s is no volume's name", name) end
    return sb:remove_volume(name)
  end)
end

--- Runs a task.
-- @tparam {string,...} words its name, and what follows its flags
-- @tparam table instance options
-- @tparam table how
-- @func emit writes to stdout, or raises
-- @treturn integer exit status
function M.main(words, instance, how, emit)
  return task.main("volume", M.tasks, run, words, instance, how, emit)
end

return M
