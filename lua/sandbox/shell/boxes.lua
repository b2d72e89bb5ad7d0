-- SPDX-License-Identifier: MIT
--- The commands `sandbox ps`, `sandbox attach` and `sandbox stop`: boxes that stay, at the shell.
-- @module sandbox.shell.boxes
local session = require "sandbox.shell.session"
local task = require "sandbox.shell.task"
local text = require "sandbox.text"
local usage = require("sandbox.shell.flags").usage

local M = {}

local LINE = "%-32s  %-9s %9s %9s %5s  %s\n"

local function seconds(n) return n and ("%.0f s"):format(n) or "-" end

--- Lists them.
-- @tparam Instance sb
-- @tparam {string,...} args none
-- @tparam table how json
-- @func emit writes to stdout, or raises
-- @treturn integer exit status
function M.ps(sb, args, how, emit)
  if args[1] then usage("sandbox ps takes no arguments, got %s", args[1]) end
  return task.show(how, emit, { heading = LINE:format("ID", "STATE", "AGE", "KEEP", "HOSTS", "PROGRAMS"), line = function(box)
    return LINE:format(box.id, text.line(box.state or "?"), seconds(box.seconds), seconds(box.keep), tostring(box.hosts or "?"), table.concat(box.programs, " "))
  end }, sb:boxes())
end

--- Ends them, for everybody that is attached.
-- @tparam Instance sb
-- @tparam {string,...} args their ids
-- @treturn integer exit status
function M.stop(sb, args)
  if not args[1] then usage "sandbox stop ID..." end
  return task.each(args, function(id)
    local box, message, code = sb:attach(id)
    if not box then return nil, message, code end
    return box:stop()
  end)
end

-- The program that is meant: by its name or id, else the only one that is at work.
local function choose(box, name)
  local found, names = nil, {}
  local programs, message, code = box:programs()
  if not programs then return nil, message, code end
  for _, program in ipairs(programs) do
    local own = program.name or program.id
    if name and (program.name == name or program.id == name) then return program end
    if not name and program.state ~= "ended" then found, names[#names + 1] = program, text.line(own) end
  end
  if name then return nil, ("the box has no detached program %s"):format(text.line(name)), "not_found" end
  if #names == 1 then return found end
  if #names == 0 then return nil, "the box has no detached program at work", "not_found" end
  return nil, ("the box has several detached programs, name one: %s"):format(table.concat(names, ", ")), "not_found"
end

--- Joins the user's terminal and a detached program's; one without a terminal is only watched.
-- @tparam Instance sb
-- @tparam {string,...} args the box's id, and the program's name or id if it has several
-- @tparam table core
-- @func on_stdout gets what it shows
-- @func on_stderr the same
-- @treturn table result, `true` where it was left and goes on, or nil, message, code
function M.attach(sb, args, core, on_stdout, on_stderr)
  if not args[1] or args[3] then usage "sandbox attach ID [PROGRAM]" end
  local box, message, code = sb:attach(args[1])
  if not box then return nil, message, code end
  local program
  program, message, code = choose(box, args[2])
  if not program then
    box:close()
    return nil, message, code
  end
  local how = { from = "start", write = program.pty, on_stdout = on_stdout, on_stderr = on_stderr }
  local r
  r, message, code = session.attach(box, program, how, core)
  box:close()
  return r, message, code
end

return M
