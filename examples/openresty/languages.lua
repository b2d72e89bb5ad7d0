-- SPDX-License-Identifier: MIT
-- The languages: what each is called, which program it is, and the versions that this machine has; and those of settings.lua, which are images.
local settings = require "settings"

local M = { list = {} }

-- What runs is the first file, and for what is compiled what became of all that end so. `needs` is what a fleet's worker must have.
local catalogue = {
  { language = "python", aliases = { "py", "py3", "python3" }, binary = "/usr/bin/python3", flag = "--version", name = "main.py", run = { "python3" } },
  { language = "lua", aliases = { "lua5.4" }, binary = "/usr/bin/lua5.4", flag = "-v", name = "main.lua", run = { "lua5.4" } },
  { language = "perl", aliases = { "pl" }, binary = "/usr/bin/perl", flag = "-e 'printf q(%vd), $^V'", name = "main.pl", run = { "perl" } },
  { language = "javascript", aliases = { "js", "node" }, binary = "/usr/bin/node", flag = "--version", name = "main.js", run = { "node" } },
  { language = "bash", aliases = { "sh" }, binary = "/usr/bin/bash", flag = "--version", name = "main.sh", run = { "bash" } },
  { language = "c", aliases = { "gcc" }, binary = "/usr/bin/gcc", flag = "-dumpfullversion", name = "main.c", ending = "%.c$",
    compile = { "gcc", "-O1", "-o", "a.out", "-x", "c" }, run = { "./a.out" } },
  { language = "awk", aliases = {}, binary = "/usr/bin/awk", flag = "-W version", name = "main.awk", run = { "awk", "-f" } },
}

local here, anywhere = {}, {}

local function version_of(entry)
  local file = io.open(entry.binary, "rb")
  if not file then return nil end
  file:close()
  local pipe = io.popen(entry.binary .. " " .. entry.flag .. " </dev/null 2>&1")
  local text = pipe and pipe:read("*a") or ""
  if pipe then pipe:close() end
  local a, b, c = text:match("(%d+)%.(%d+)%.?(%d*)")
  return a and ("%s.%s.%s"):format(a, b, c == "" and "0" or c) or "0.0.0"
end

local function offer(entry)
  M.list[#M.list + 1] = entry
  here[entry.language] = entry
  for _, alias in ipairs(entry.aliases) do here[alias] = entry end
end

--- In the master: what a version command says does not change while the service runs.
function M.init()
  for _, entry in ipairs(catalogue) do
    entry.version = version_of(entry)
    anywhere[entry.language] = entry
    for _, alias in ipairs(entry.aliases) do anywhere[alias] = entry end
    if entry.version then offer(entry) end
  end
  for _, entry in ipairs(settings.images) do offer(entry) end
end

--- Options of one program, which were checked as a client's, with what the language is: an image's program is in that, and in /work all the same.
function M.placed(options, entry)
  if entry.image then options.image, options.cwd = entry.image, "/work" end
  return options
end

--- A language of this machine by its name or an alias.
function M.here(name) return here[name] end

--- One that a fleet's workers may have, whatever this machine has.
function M.anywhere(name) return anywhere[name] end

--- All that a fleet may have.
function M.all() return catalogue end

return M
