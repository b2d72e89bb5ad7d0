-- SPDX-License-Identifier: MIT
--- What the commands share that show what there is, and do the same to several: `sandbox image`, `sandbox volume`, `sandbox ps` and `stop`.
-- @module sandbox.shell.task
local json = require "sandbox.json"
local usage = require("sandbox.shell.flags").usage

local M = {}

--- Says on stderr what could not be done.
-- @string message
-- @string code
-- @treturn integer exit status
function M.failed(message, code)
  io.stderr:write("sandbox: ", tostring(message), " (", tostring(code), ")\n")
  return 125
end

--- Does the same to each, whatever comes of the others.
-- @tparam {string,...} args
-- @func act gets one; true, or nil, message, code
-- @treturn integer exit status
function M.each(args, act)
  local status = 0
  for _, name in ipairs(args) do
    local ok, message, code = act(name)
    if not ok then status = M.failed(message, code) end
  end
  return status
end

--- Shows what there is, as JSON where that is asked for.
-- @tparam table how json
-- @func emit writes to stdout, or raises
-- @tparam table form { line = function(item) that gives its line, heading = the line above them }
-- @tparam ?table list nil: `message` and `code` say why there is none
-- @string[opt] message
-- @string[opt] code
-- @treturn integer exit status
function M.show(how, emit, form, list, message, code)
  if not list then return M.failed(message, code) end
  if how.json then
    emit(list[1] and json.encode(list) or "[]", "\n")
    return 0
  end
  if form.heading then emit(form.heading) end
  for _, item in ipairs(list) do emit(form.line(item)) end
  return 0
end

local function names(tasks)
  local out = {}
  for i, task in ipairs(tasks) do out[i] = task[1] end
  local last = table.remove(out)
  return table.concat(out, ", ") .. " or " .. last
end

--- Runs one.
-- @string command "image"
-- @tparam {table,...} tasks what each says of itself
-- @tparam table run a function for each, by name
-- @tparam {string,...} words its name, and what follows its flags
-- @tparam table instance options
-- @tparam table how
-- @func emit writes to stdout, or raises
-- @func[opt] given what a word stands for; else itself
-- @treturn integer exit status
function M.main(command, tasks, run, words, instance, how, emit, given)
  local task = words[1]
  if not run[task or ""] then usage("sandbox %s: expected %s, got %s", command, names(tasks), tostring(task)) end
  local sb = require("sandbox").new(instance)
  local args = {}
  for i = 2, #words do args[i - 1] = given and given(words[i]) or words[i] end
  return run[task](sb, args, how, emit)
end

return M
