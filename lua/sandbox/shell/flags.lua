-- SPDX-License-Identifier: MIT
--- The flags of the command `sandbox`: the schema's rows, as words at a shell.
-- @module sandbox.shell.flags
local schema = require "sandbox.options.schema"

local M = {}

--- A mistake on the command line, as an error object with a `message`.
local Usage = {}
Usage.__index = Usage

--- Raises one.
-- @string form as of string.format, and what goes into it
function M.usage(form, ...)
  error(setmetatable({ message = form:format(...) }, Usage), 0)
end

--- The message of what was raised, if it was a mistake on the command line.
-- @param err
-- @treturn string or nil
function M.mistake(err) return type(err) == "table" and getmetatable(err) == Usage and err.message or nil end

local usage = M.usage

-- From a word to a value, one function a kind; a flag that is given again adds to `before` where the value is a list or a map. What is
-- wrong with the value itself is told by the schema's own checks.
local take = {}

local function number(flag, word)
  return tonumber(word) or usage("%s: expected a number, got %s", flag, word)
end
take.seconds, take.cores, take.count = number, number, number

function take.auto_boolean(_, word)
  if word == "true" or word == "false" then return word == "true" end
  return word
end

local function append(before, value)
  local list = before or {}
  list[#list + 1] = value
  return list
end
local function as_list(_, word, before) return append(before, word) end
take.capabilities, take.flags, take.collect, take.words = as_list, as_list, as_list, as_list

function take.env(flag, word, before)
  local name, value = word:match "^([^=]+)=(.*)$"
  if not name then usage("%s: expected NAME=VALUE", flag) end
  local map = before or {}
  map[name] = value
  return map
end

function take.files(flag, word, before)
  local name, from = word:match "^([^=]+)=(.+)$"
  if not name then name, from = word:match "([^/]+)$", word end
  if not name then usage("%s: expected the path of a file, got %s", flag, word) end
  local map = before or {}
  map[name] = { from = from }
  return map
end

function take.filesystems(flag, word, before)
  local tag, source, mode = word:match "^([^=]+)=([^:]+):?(%a*)$"
  if not tag or not (mode == "" or mode == "ro" or mode == "rw" or mode == "cow") then usage("%s: expected TAG=DIR[:rw|cow], got %s", flag, word) end
  local map = before or {}
  map[tag] = { source = source, readonly = mode ~= "rw", cow = mode == "cow" }
  return map
end

-- --allow and --deny make a policy, whatever --network has said.
function take.network(flag, word, before)
  if flag == "--network" then return word == "sandbox" and { public = true, allow = {}, deny = {} } or word end
  local policy = type(before) == "table" and before or { allow = {}, deny = {} }
  append(policy[flag:sub(3)], word)
  return policy
end

local mount_modes = { [""] = { readonly = true }, ro = { readonly = true }, rw = { readonly = false }, cow = { type = "cow" }, erofs = { type = "erofs" } }

function take.mounts(flag, word, before)
  if flag == "--tmpfs" then
    local destination, size = word:match "^([^:]+):?(.*)$"
    if not destination then usage("--tmpfs: expected DEST[:SIZE], got %s", word) end
    return append(before, { type = "tmpfs", destination = destination, size = size ~= "" and size or nil })
  end
  if flag == "--volume" then
    local name, place, more = word:match "^([^:]+):([^:]+)(.*)$"
    local mode = more and more:match "^:r[ow]" or ""
    local rest = more and more:sub(#mode + 1) or "?"
    if not (rest:find "^:?$" or rest:find "^:%d[%w.]*$") then usage("--volume: expected NAME:DEST[:ro][:SIZE], got %s", word) end
    return append(before, { type = "volume", source = name, destination = place, readonly = mode == ":ro", size = rest:match "%d.*" })
  end
  local source, destination, mode = word:match "^([^:]+):([^:]+):?(%a*)$"
  local mount = source and mount_modes[mode]
  if not mount then usage("%s: expected SOURCE:DEST[:rw|cow|erofs], got %s", flag, word) end
  return append(before, { source = source, destination = destination, type = mount.type, readonly = mount.readonly })
end

--- What names a file of an image from here, as an absolute path: at a shell that is what is meant.
-- @string word
-- @treturn string
function M.here(word)
  local kind, path = word:match "^(oci[%l-]*:)([^/].*)$"
  if not kind then kind, path = word:match "^(docker%-archive:)([^/].*)$" end
  if not kind then kind, path = "", word:match "^%.%.?/?.*$" end
  local here = path and require("sandbox.core").realpath "."
  if not here then return word end
  while path:find "^%.%./" do here, path = here:match "^(.*)/[^/]*$" or "", path:sub(4) end
  return kind .. here .. "/" .. path:gsub("^%./", "")
end
function take.image(_, word) return M.here(word) end

local function as_it_is(_, word) return word end

-- Where the flags of a row put their values: the options of the run, its limits, or the instance.
local flags, order = {}, {}

local function define(where, row, cli)
  local switch = cli.value ~= nil
  flags[cli[1]] = { where = where, mode = row.mode, key = row[1], kind = row[2], value = cli.value, what = not switch and cli[2] or nil, words = cli[switch and 2 or 3] }
  order[#order + 1] = cli[1]
end

local value_words = { size = "SIZE", seconds = "SECONDS", cores = "CORES", count = "N", guest_path = "PATH", host_path = "PATH" }

-- A row that says nothing of flags has one of its own name, if its value is one word.
local function flags_of(row)
  local name, words = "--" .. row[1]:gsub("_", "-"), (row.doc or row.at):match("^[^.;]*"):gsub("`", "")
  if row[2] == "boolean" then return row.default == false and { { name, words, value = true } } or {} end
  local what = row[2] == "enum" and table.concat(row.values, "|") or value_words[row[2]]
  return what and { { name, what, words } } or {}
end

for _, row in ipairs(schema.options) do
  local where = schema.is_of(row, "run") and "run" or schema.is_of(row, "instance") and "instance"
  for _, cli in ipairs(where and (row.cli or flags_of(row)) or {}) do
    define(where, row, cli)
  end
end

for _, row in ipairs(schema.limits) do
  local cli = flags_of(row)[1]
  if cli.value == nil then cli[3] = "limit: " .. cli[3] end
  define("limits", row, cli)
end

define("how", { "into", "host_path" }, { "--into", "DIR", "where --collect puts files (default: here)" })
define("how", { "json", "boolean" }, { "--json", "print the result as JSON instead of passing output through", value = true })
define("image", { "max_bytes", "size" }, { "--max-bytes", "SIZE", "prune: what may be left" })
define("image", { "unused_for", "seconds" }, { "--unused-for", "SECONDS", "prune: what was not used for so long goes" })
define("image", { "erofs", "host_path" }, { "--erofs", "FILE", "build: an EROFS file" })
define("how", { "help", "boolean" }, { "--help", "say this", value = true })
-- Of `sandbox worker` alone; its limits are the most that a job may have.
for _, row in ipairs{
  { "redis", "redis", { "--redis", "URL", "where the broker is (redis://127.0.0.1:6379/0)" } },
  { "queue", "queue", { "--queue", "NAME", "which queue (sandbox)" } },
  { "slots", "count", { "--slots", "N", "jobs at once (1)" } },
  { "pool", "words", { "--pool", "FILE", "keep a pool ready: options of sandbox.pool as JSON, and its name (repeatable)" } },
  { "has", "words", { "--has", "WORD", "what a job may need, besides the languages found here (repeatable)" } },
  { "lease", "count", { "--lease", "SECONDS", "silence after which a job is another worker's (30)" } },
  { "attempts", "count", { "--attempts", "N", "workers that may end under a job before it is given up (3)" } },
  { "keep", "count", { "--keep", "SECONDS", "how long answers are kept (3600)" } },
  { "metrics", "words_of", { "--metrics", "FILE|[HOST]:PORT", "figures for Prometheus, to a file or on request" } },
} do
  define("worker", row, row[3])
end
table.sort(order)

-- What a run has and no session: its output is read back, or nobody sits at it.
local no_session = { collect = true, init = true, bundle = true, stderr = true, into = true, json = true }

-- Which flags go with a command.
local function goes_with(flag, name, command)
  if flag.where == "instance" or name == "--help" then return true end
  if command == "worker" then return flag.where == "worker" or flag.where == "limits" and not flag.mode end
  if command == "image" then return flag.where == "image" or name == "--json" end
  if command == "volume" or command == "ps" then return name == "--json" end
  return flag.where ~= "worker" and flag.where ~= "image" and (command == "run" or command == "shell" and not no_session[flag.key])
end

--- The flags of a command, in order.
-- @string[opt] command `shell` takes those of `run` that go with a session; all but these and `worker` take only those of the instance
-- @treturn {table,...} of { name=, what= or nil for a switch, words= }
function M.list(command)
  local out = {}
  for _, name in ipairs(order) do
    local flag = flags[name]
    if goes_with(flag, name, command) then out[#out + 1] = { name = name, what = flag.what, words = flag.words } end
  end
  return out
end

local function flag_of(word, command)
  if word == "-h" then word = "--help" end
  local name, value = word:match "^(%-%-[%w-]+)=(.*)$"
  name = name or word
  local flag = flags[name]
  if not flag or flag.value ~= nil and value then usage("unknown flag %s (see sandbox %s --help)", word, command) end
  if not goes_with(flag, name, command) then
    local owner = (flag.where == "worker" or flag.where == "image") and flag.where or "run"
    usage("%s goes with sandbox %s, not with sandbox %s", name, owner, command)
  end
  return name, flag, value
end

--- Reads the words after a command.
-- @string command
-- @tparam {string,...} args
-- @treturn table options of the run; the array part is what follows the flags
-- @treturn table options of the instance
-- @treturn table how: json, help, into; of a worker its own
function M.parse(command, args)
  local options, instance, how = { limits = {} }, {}, {}
  local places = { run = options, limits = options.limits, instance = instance, how = how, worker = how, image = how }
  local i = 1
  while i <= #args and args[i]:sub(1, 1) == "-" do
    if args[i] == "--" then
      i = i + 1
      break
    end
    local name, flag, word = flag_of(args[i], command)
    local place = places[flag.where]
    if flag.value ~= nil then
      place[flag.key] = flag.value
    else
      if not word then
        i = i + 1
        word = args[i] or usage("%s: expected %s", name, flag.what)
      end
      if flag.where == "limits" and word == "off" then -- as false does in Lua
        place[flag.key] = false
      else
        place[flag.key] = (take[flag.kind] or as_it_is)(name, word, place[flag.key])
      end
    end
    i = i + 1
  end
  for k = i, #args do options[#options + 1] = args[k] end
  return options, instance, how
end

return M
