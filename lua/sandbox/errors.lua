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
  { "bad_snapshot", "a snapshot missing, unfinished, changed, somebody else's, or not one for the box that is asked for" },
  { "bad_rootfs", "rootfs, image, bundle, a file or a mount source missing, unreadable, or refused" },
  { "limit_unavailable", "a limit cannot be enforced here" },
  { "busy", "the queue is full, or `queue_timeout` passed; an image that is to be removed is in use" },
  { "closed", "the job, instance, box or pool is closed, or the box has died (the message says of what)" },
  { "paused", "the box is paused: nothing can be started in it before `box:resume()`" },
  { "timeout", "`job:wait(seconds)` and the like: not yet; an image that was not fetched within `pull_timeout`" },
  { "not_found", "a file of a box, or an image, is not there" },
  { "too_big", "a file of a box, or what was collected, is larger than what was asked for" },
  { "wrong_phase", "a host's phase that cannot wait (nginx `header_filter`, `init`, …)" },
  { "supervisor_lost", "the supervisor ended without a result" },
  { "lost", "a fleet's job under which as many workers ended as it may be tried; it is among the dead letters" },
  { "broker_lost", "a fleet's broker cannot be reached, or the connection ended: what was asked for may have been done. With a `key` it can be asked for again" },
  { "system", "what should not happen, with errno's name" },
  { "bad_option", "only from `sandbox.check`: elsewhere a wrong argument raises" },
}

local Bad = {}
Bad.__index = Bad
Bad.__tostring = function(self) return self.message end

-- Printable, and no longer than that.
local function cut(s, most)
  s = #s > most and s:sub(1, most - 3) .. "..." or s
  return (s:gsub("[%c\127-\255\"\\]", function(c)
    if c == "\n" then return "\\n" end
    if c == '"' or c == "\\" then return "\\" .. c end
    return ("\\x%02x"):format(c:byte())
  end))
end

--- How a value looks in a message: short, quoted, printable. Asks no metamethod.
-- @param v anything
-- @return string
function M.show(v)
  local kind = type(v)
  if kind == "string" then return '"' .. cut(v, 60) .. '"' end
  if kind == "number" then
    if v ~= v then return "nan" end
    if v == math.huge then return "inf" end
    if v == -math.huge then return "-inf" end
    return ("%.14g"):format(v)
  elseif kind == "nil" or kind == "boolean" then
    return tostring(v)
  end
  return "a " .. kind
end

--- The type of a value that may be a secret, for a message.
-- @param v anything
-- @return string
function M.kind(v)
  return v == nil and "nil" or "a " .. type(v)
end

--- The name of a field in a message: "limits.memory", "env[1]"; over-long names are cut.
-- @string where the table's name; "" for the options themselves
-- @param key anything
-- @return string
function M.field(where, key)
  if type(key) ~= "string" then return where .. "[" .. M.show(key) .. "]" end
  return (where == "" and "" or where .. ".") .. cut(key, 60)
end

--- How a key looks in a message: as it is where it is a short plain word, else quoted and cut.
-- @param k anything
-- @return string
function M.key(k)
  if type(k) == "string" and #k <= 60 and k:find("^[%w_.*/-]+$") then return k end
  return M.show(k)
end

-- Where the files of this package lie, as Lua names them in what it tells of a function.
local home = debug and debug.getinfo(1, "S").source:match("^(@.*[/\\])errors%.lua$")

-- "file:line: " of the first frame outside of this package: the caller's, however many layers lie between.
local function place()
  local level = 3
  local frame = home and debug.getinfo(level, "Sl")
  while frame do
    if frame.currentline > 0 and frame.source:sub(1, #home) ~= home then return ("%s:%d: "):format(frame.short_src, frame.currentline) end
    level = level + 1
    frame = debug.getinfo(level, "Sl")
  end
  return ""
end

--- Raises an error that names the place where this package was called.
-- @string message
function M.raise(message)
  error(place() .. message, 0)
end

--- Raises for a wrong argument of a method.
-- @int n which
-- @string method its name
-- @string expected
-- @param got the value
function M.argument(n, method, expected, got)
  error(("%sbad argument #%d to '%s' (expected %s, got %s)"):format(place(), n, method, expected, M.show(got)), 0)
end

--- Has the public methods of a class say what is wrong where they are called with a dot instead of a colon.
-- @tparam table class
-- @string name of such an object, for the message
-- @tparam[opt] table except set of methods which see to that themselves
function M.guard(class, name, except)
  for method, f in pairs(class) do
    if type(f) == "function" and not method:find("^__") and not (except and except[method]) then
      class[method] = function(self, ...)
        if getmetatable(self) ~= class then M.raise(("bad self: call %s:%s(…) with a colon"):format(name, method)) end
        return f(self, ...)
      end
    end
  end
end

--- Raises a bad option as an object, which `try` and `call` turn into words.
-- @string where the option's name, as `limits.memory`; what comes from outside in it has gone through `show` or `field`
-- @string expected what would have been right
-- @param got the value; leave it out where there is none to show, or where it may be a secret
function M.bad(where, expected, ...)
  local text = "bad option '" .. (#where > 200 and where:sub(1, 197) .. "..." or where) .. "': " .. expected
  if select("#", ...) > 0 then text = text .. ", got " .. M.show((...)) end
  error(setmetatable({ message = text }, Bad), 0)
end

-- Whatever else may be raised: a table with that metatable which is ours.
local function is_bad(value) return type(value) == "table" and rawequal(getmetatable(value), Bad) end

--- Calls f and gives its value, or nil and the message of a bad option; any other error goes through.
-- @func f
-- @return f's first value, or nil, message, "bad_option"
function M.try(f, ...)
  local ok, value = pcall(f, ...)
  if ok then return value end
  if is_bad(value) then return nil, value.message, "bad_option" end
  error(value, 0)
end

--- Calls f and gives its value; a bad option is raised at the place where this package was called.
-- @func f
-- @return f's first value
function M.call(f, ...)
  local ok, value = pcall(f, ...)
  if ok then return value end
  if is_bad(value) then error(place() .. value.message, 0) end
  error(value, 0)
end

--- Calls f, and raises nothing: what a metamethod of the caller's raises is a bad option, too.
-- @func f
-- @return f's first value, or nil, message, "bad_option"
function M.never(f, ...)
  local ok, value = pcall(f, ...)
  if ok then return value end
  if is_bad(value) then return nil, value.message, "bad_option" end
  return nil, "bad option 'options': to read them raises " .. (type(value) == "string" and cut(value, 200) or M.kind(value)), "bad_option"
end

return M
