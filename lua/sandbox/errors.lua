-- SPDX-License-Identifier: MIT
--- Words for what goes wrong: one form for every bad option, one list of the codes that come as a third value.
-- @module sandbox.errors
local M = {}

--- The codes, in the order of the documentation.
M.codes = {
  { "runsc_missing", "not found, not executable, or not to be trusted (world-writable, foreign owner)" },
  { "runsc_failed", "runsc started and could not boot the sandbox; the message carries its own words" },
  { "boot_timeout", "runsc started and did not boot the sandbox in time" },
  { "not_supported", "this runsc, kernel, privilege or version of the module cannot do what was asked" },
  { "bad_command", "the program, its interpreter, or `cwd` does not exist or cannot be executed in the guest" },
  { "bad_rootfs", "rootfs, bundle, a file or a mount source missing, unreadable, or refused" },
  { "limit_unavailable", "a limit cannot be enforced here" },
  { "busy", "the queue is full, or `queue_timeout` passed" },
  { "closed", "the job, instance, box or pool is closed, or the box has died (the message says of what)" },
  { "timeout", "`job:wait(seconds)` and the like: not yet" },
  { "not_found", "a file of a box is not there" },
  { "too_big", "a file of a box, or what was collected, is larger than what was asked for" },
  { "wrong_phase", "a host's phase that cannot wait (nginx `header_filter`, `init`, …)" },
  { "supervisor_lost", "the supervisor ended without a result" },
  { "system", "what should not happen, with errno's name" },
  { "bad_option", "only from `sandbox.check`: elsewhere a wrong argument raises" },
}

local Bad = {}
Bad.__index = Bad
Bad.__tostring = function(self) return self.message end

--- How a value looks in a message: short, quoted, printable.
-- @param v anything
-- @return string
function M.show(v)
  local kind = type(v)
  if kind == "string" then
    local text = #v > 60 and v:sub(1, 57) .. "..." or v
    text = text:gsub("[%c\127-\255\"\\]", function(c)
      if c == "\n" then return "\\n" end
      if c == '"' or c == "\\" then return "\\" .. c end
      return ("\\x%02x"):format(c:byte())
    end)
    return '"' .. text .. '"'
  elseif kind == "number" then
    if v ~= v then return "nan" end
    if v == math.huge then return "inf" end
    if v == -math.huge then return "-inf" end
    return ("%.14g"):format(v)
  elseif kind == "nil" or kind == "boolean" then
    return tostring(v)
  end
  return "a " .. kind
end

--- Raises a bad option as an object, which `try` turns into words.
-- @string where the option's name, as `limits.memory`
-- @string expected what would have been right
-- @param got the value; leave it out where there is none to show
function M.bad(where, expected, ...)
  local text = ("bad option '%s': %s"):format(where, expected)
  if select("#", ...) > 0 then text = text .. ", got " .. M.show((...)) end
  error(setmetatable({ message = text }, Bad), 0)
end

--- Calls f and gives its value, or nil and the message of a bad option; any other error goes through.
-- @func f
-- @return f's first value, or nil, message, "bad_option"
function M.try(f, ...)
  local ok, value = pcall(f, ...)
  if ok then return value end
  if getmetatable(value) == Bad then return nil, value.message, "bad_option" end
  error(value, 0)
end

return M
