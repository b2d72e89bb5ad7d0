-- SPDX-License-Identifier: MIT
--- Prints the option tables of the README and a definition file for editors, from the rows that validate.
--
--     lua scripts/docs.lua readme [README.md]    rewrites what lies between the markers
--     lua scripts/docs.lua luals [types/sandbox.lua]
--     lua scripts/docs.lua man [doc/sandbox.1]   rewrites the flags of the manual page
--     lua scripts/docs.lua check                 fails where README, types or manual page differ from the rows
-- @module docs
local schema = require "sandbox.options.schema"
local errors = require "sandbox.errors"

local M = {}

local kind_words = {
  size = "size", seconds = "seconds, float", cores = "cores, float", count = "integer", boolean = "boolean",
}

local function kind_of(row)
  if row.show then return row.show end
  if row[2] == "enum" then return '`"' .. table.concat(row.values, '"`, `"') .. '"`' end
  return kind_words[row[2]] or row[2]
end

local function default_of(row)
  if row.default_text then return row.default_text end
  if row.default == nil then return row[2] == "limits" and "" or "none" end
  return type(row.default) == "string" and '`"' .. row.default .. '"`' or "`" .. tostring(row.default) .. "`"
end

local function line(...)
  local cells = { ... }
  for i, cell in ipairs(cells) do cells[i] = cell:gsub("|", "\\|") end
  return "| " .. table.concat(cells, " | ") .. " |"
end

local function options_table(rows)
  local out = { "| key | type | default | meaning |", "|---|---|---|---|" }
  for _, row in ipairs(rows) do out[#out + 1] = line("`" .. row[1] .. "`", kind_of(row), default_of(row), row.doc) end
  return table.concat(out, "\n")
end

--- Markdown of each marked part.
M.parts = {}

for _, scope in ipairs{ "pool", "lease" } do
  M.parts[scope] = function()
    local rows = {}
    for _, row in ipairs(schema.rows(scope)) do
      if not (schema.is_of(row, "run") or schema.is_of(row, "box") and scope == "pool") then rows[#rows + 1] = row end
    end
    return options_table(rows)
  end
end

function M.parts.stages() return options_table(schema.rows "stages") end
function M.parts.fleet() return options_table(schema.rows "fleet") end
function M.parts.submit() return options_table(schema.rows "submit") end
function M.parts.interact() return options_table(schema.rows "interact") end

function M.parts.pull() return options_table(schema.rows "pull") end
function M.parts.prune_images() return options_table(schema.rows "prune_images") end

function M.parts.options() return options_table(schema.rows "run") end

function M.parts.limits()
  local out = { "| `limits` key | type | default | what happens at the limit | flag |", "|---|---|---|---|---|" }
  for _, row in ipairs(schema.limits) do out[#out + 1] = line("`" .. row[1] .. "`", kind_of(row), default_of(row), row.at, row.flag) end
  return table.concat(out, "\n")
end

function M.parts.instance()
  local rows = {}
  for _, row in ipairs(schema.rows "instance") do
    if not schema.is_of(row, "run") then rows[#rows + 1] = row end
  end
  return options_table(rows)
end

function M.parts.results()
  local out = { "| field | meaning |", "|---|---|" }
  for _, row in ipairs(schema.result) do
    out[#out + 1] = line("`" .. row[1] .. "`", row[3] ~= "" and row[3] or "boolean, always present")
  end
  return table.concat(out, "\n")
end

function M.parts.errors()
  local out = { "| code | when |", "|---|---|" }
  for _, row in ipairs(errors.codes) do out[#out + 1] = line("`" .. row[1] .. "`", row[2]) end
  return table.concat(out, "\n")
end

--- Puts the tables between the markers of a text, <!-- options:begin --> and <!-- options:end --> and the like.
-- @string text
-- @treturn string
function M.fill(text)
  for name, part in pairs(M.parts) do
    local open, close = "<!-- " .. name .. ":begin -->", "<!-- " .. name .. ":end -->"
    local first, last = text:find(open, 1, true)
    local stop = last and text:find(close, last, true)
    if first and stop then text = text:sub(1, last) .. "\n" .. part() .. "\n" .. text:sub(stop) end
  end
  return text
end

local function fields(out, class, rows, type_of, words)
  out[#out + 1] = "---@class " .. class
  for _, row in ipairs(rows) do
    out[#out + 1] = ("---@field %s%s %s %s"):format(row[1], class == "sandbox.Result" and "" or "?", type_of(row), words(row)):gsub("%s+$", "")
  end
  out[#out + 1] = ""
end

local limit_types = { size = "integer|string|false", seconds = "number|false", cores = "number|false", count = "integer|false", boolean = "boolean" }

-- The classes of options, by scope; `list`: the array part is a command line.
local scope_classes = {
  { "run", "sandbox.Options", list = true }, { "program", "sandbox.ProgramOptions", list = true }, { "box", "sandbox.StartOptions" },
  { "pool", "sandbox.PoolOptions" }, { "lease", "sandbox.Lease" }, { "instance", "sandbox.InstanceOptions" },
  { "stages", "sandbox.StagesOptions : sandbox.Options" }, { "stage", "sandbox.Stage : sandbox.Options" }, { "interact", "sandbox.InteractOptions" },
  { "read_file", "sandbox.ReadFileOptions" }, { "write_file", "sandbox.WriteFileOptions" },
  { "open_write", "sandbox.OpenWriteOptions" }, { "list", "sandbox.ListOptions" }, { "get", "sandbox.GetOptions" },
  { "attach", "sandbox.AttachOptions" }, { "snapshot", "sandbox.SnapshotOptions" }, { "check", "sandbox.CheckOptions" },
  { "pull", "sandbox.PullOptions" }, { "prune_images", "sandbox.PruneOptions" },
  { "fleet", "sandbox.FleetOptions" }, { "submit", "sandbox.SubmitOptions" },
}

--- The definition file for the Lua language server.
-- @treturn string
function M.luals()
  local out = { "---@meta sandbox", "-- SPDX-License-Identifier: MIT", "-- Made by scripts/docs.lua from lua/sandbox/options/schema.lua; do not edit.", "" }
  fields(out, "sandbox.Limits", schema.limits, function(row)
    return limit_types[row[2]] or '"' .. table.concat(row.values, '"|"') .. '"'
  end, function(row) return row.at end)
  for _, name in ipairs{ "collect", "file", "mount", "stdin", "user" } do
    local shape = schema.shapes[name]
    out[#out + 1] = "---@class " .. shape.class
    for _, row in ipairs(shape) do out[#out + 1] = ("---@field %s%s %s"):format(row[1], row.required and "" or "?", row[2]) end
    out[#out + 1] = ""
  end
  for _, record in ipairs(schema.records) do
    out[#out + 1] = "---@class " .. record[1]
    for i = 2, #record do out[#out + 1] = ("---@field %s %s %s"):format(record[i][1], record[i][2], record[i][3] or ""):gsub(" $", "") end
    out[#out + 1] = ""
  end
  for _, class in ipairs(scope_classes) do
    fields(out, class[2], schema.rows(class[1]), function(row) return row.lua end, function(row) return row.doc end)
    if class.list then out[#out] = "---@field [integer] string the program and its arguments\n" end
  end
  fields(out, "sandbox.Result", schema.result, function(row) return row[2] end, function(row) return row[3] end)
  out[#out + 1] = [[
local Result = {}
---@return sandbox.Result
function Result:check() end

---@class sandbox.Transcript
---@field bytes integer all that was said
---@field truncated boolean
---@field [integer] { from: 1|2, at: number, data: string }

---@class sandbox.Stages what comes of sandbox.stages: results by number and by name, too
---@field ok boolean
---@field stage integer the number of the last that ran
---@field last sandbox.Result? its result
---@field message string?
---@field [integer] sandbox.Result
---@field [string] any
local Stages = {}
---@return sandbox.Stages
function Stages:check() end

---@class sandbox.Job
---@field id string
local Job = {}
---@param s string
---@return boolean? ok, string? message, string? code
function Job:write(s) end
---@return boolean?
function Job:close_stdin() end
---Makes its terminal another size.
---@param rows integer
---@param cols integer
---@return boolean? ok, string? message, string? code
function Job:resize(rows, cols) end
---@param stream? "stdout"|"stderr"
---@return string? stream_or_chunk, string? chunk_or_message, string? code
function Job:read(stream) end
---@param stream? "stdout"|"stderr"
---@return fun():string?
function Job:lines(stream) end
---@return fun():string?, string?
function Job:chunks() end
---@param seconds? number
---@return sandbox.Result?, string? message, string? code
function Job:wait(seconds) end
---Waits until nothing is left of it on this machine.
---@param seconds? number
---@return boolean? gone, string? message, string? code
function Job:wait_gone(seconds) end
---@param signal? string|integer
---@return boolean?
function Job:kill(signal) end
function Job:close() end
---@return integer?
function Job:pid() end
---Of a detached program: where in its output the next piece begins.
---@return integer
function Job:offset() end
---@param port integer
---@param seconds? number
---@return sandbox.Stream?, string? message, string? code
function Job:connect(port, seconds) end
---@return integer
function Job:pollfd() end
---@return string?
function Job:events() end
---@return number?
function Job:timeout() end

---@class sandbox.Prepared loaders for `prepared` pools
---@field python fun(modules?: string[]): string[]
---@field lua fun(modules?: string[], interpreter?: string): string[]
---@field node fun(modules?: string[]): string[]
---@field sh fun(): string[]

---@class sandbox.Box
---@field id string
local Box = {}
---@param options sandbox.ProgramOptions
---@return sandbox.Result?, string? message, string? code
function Box:run(options) end
---@param options sandbox.ProgramOptions
---@return sandbox.Job?, string? message, string? code
function Box:spawn(options) end
---@param path string
---@param content string|sandbox.WriteFileOptions
---@param options? sandbox.WriteFileOptions
---@return boolean?, string? message, string? code
function Box:write_file(path, content, options) end
---@param path string
---@param options? sandbox.ReadFileOptions
---@return string?, string? message, string? code
function Box:read_file(path, options) end
---@param path? string|sandbox.ListOptions
---@return sandbox.DirectoryEntry[]?, string? message, string? code
function Box:list(path) end
---@param path string
---@return sandbox.DirectoryEntry?, string? message, string? code
function Box:stat(path) end
---@param path string
---@return boolean?, string? message, string? code
function Box:exists(path) end
---@param path string
---@return boolean?, string? message, string? code
function Box:mkdir(path) end
---@param from string
---@param to string
---@return boolean?, string? message, string? code
function Box:rename(from, to) end
---@param from string
---@param to string
---@return boolean?, string? message, string? code
function Box:copy(from, to) end
---@param from string
---@param path string
---@return boolean?, table|string skipped, string? code
function Box:put(from, path) end
---@param path string
---@param into string
---@param options? sandbox.GetOptions
---@return table<string, table>?, table|string skipped, string? code
function Box:get(path, into, options) end
---@param path string
---@param options? sandbox.OpenWriteOptions
---@return table?, string? message, string? code
function Box:open_write(path, options) end
---@param path string
---@return table?, string? message, string? code
function Box:open_read(path) end
---@param path string
---@return boolean?, string? message, string? code
function Box:remove(path) end
---Its detached programs.
---@return sandbox.Program[]?, string? message, string? code
function Box:programs() end
---@param which string name or id
---@param options? sandbox.AttachOptions
---@return sandbox.Job?, string? message, string? code
function Box:attach(which, options) end
---@return sandbox.BoxStats?, string? message, string? code
function Box:stats() end
---@return sandbox.Process[]?, string? message, string? code
function Box:processes() end
---@param pid integer
---@param signal? string|integer
---@return boolean?, string? message, string? code
function Box:signal(pid, signal) end
---@return boolean?, string? message, string? code
function Box:pause() end
---@return boolean?, string? message, string? code
function Box:resume() end
---@param options sandbox.ProgramOptions
---@return sandbox.Stream?, string? message, string? code
function Box:stream(options) end
---@param port integer
---@param seconds? number
---@return sandbox.Stream?, string? message, string? code
function Box:connect(port, seconds) end
---@param policy sandbox.Network
---@return boolean?, string? message, string? code
function Box:network(policy) end
---@param dir string
---@param options? sandbox.SnapshotOptions
---@return sandbox.Snapshot?, string? message, string? code
function Box:snapshot(dir, options) end
---@param n? integer
---@param options? sandbox.SnapshotOptions
---@return sandbox.Box|sandbox.Box[]|nil copies, string? message, string? code
function Box:fork(n, options) end
---@param grace? number
---@return boolean
function Box:stop(grace) end
function Box:close() end

---@class sandbox.Stream two ways, each with an end of its own
local Stream = {}
---@param n? integer
---@return string?, string? message, string? code
function Stream:read(n) end
---@param bytes string
---@return boolean?, string? message, string? code
function Stream:write(bytes) end
function Stream:close_write() end
function Stream:close() end
---@return integer
function Stream:pollfd() end

---@class sandbox.Pull an image that is being fetched
local Pull = {}
---@param seconds? number
---@return sandbox.Image?, string? message, string? code
function Pull:wait(seconds) end
function Pull:cancel() end
function Pull:close() end
---@return integer
function Pull:pollfd() end
---@return string?
function Pull:events() end

---@class sandbox.Pool
local Pool = {}
---@param options sandbox.ProgramOptions|sandbox.Lease
---@return sandbox.Result?, string? message, string? code
function Pool:run(options) end
---@param options sandbox.Options
---@return sandbox.Job?, string? message, string? code
function Pool:spawn(options) end
---@return sandbox.Box?, string? message, string? code
function Pool:lease() end
---@param seconds? number
---@return boolean?, string? message, string? code
function Pool:ready(seconds) end
---@return sandbox.PoolStats
function Pool:stats() end
function Pool:close() end

---@class sandbox.Fleet
local Fleet = {}
---@param options sandbox.Options
---@param how? sandbox.SubmitOptions
---@return string? id, string? message, string? code
function Fleet:submit(options, how) end
---@param key string
---@return string? id, string? note_or_message, string? code
function Fleet:find(key) end
---@param options sandbox.Options
---@param how? sandbox.SubmitOptions
---@return sandbox.Result?, string? message, string? code
function Fleet:run(options, how) end
---@param id string
---@param seconds? number
---@return sandbox.Result?, string? message, string? code
function Fleet:result(id, seconds) end
---@param id string
---@return boolean?, string? message, string? code
function Fleet:cancel(id) end
---@param id string
---@return sandbox.Follower
function Fleet:follow(id) end
---@return sandbox.FleetStats?, string? message, string? code
function Fleet:stats() end
function Fleet:close() end

---@class sandbox.Follower a job's output while it runs
---@overload fun():string?, string?, integer?
local Follower = {}
---@return string? stream, string? chunk_or_message, integer|string? attempt_or_code
function Follower:read() end
---@return sandbox.Result?, string? message, string? code
function Follower:result() end

---@class sandbox.Task
local Task = {}
---Waits for its end: what it returned, or nil and what it raised.
---@return any ...
function Task:join() end
---Where it failed, for a log.
---@return string?
function Task:traceback() end

---@class sandbox.Instance
local Instance = {}
---@param options sandbox.StartOptions
---@return sandbox.Box?, string? message, string? code
function Instance:start(options) end
---@param dir string
---@param options? sandbox.StartOptions
---@return sandbox.Box?, string? message, string? code
function Instance:restore(dir, options) end
---@param id string `box.id` of a box with `keep`
---@return sandbox.Box?, string? message, string? code
function Instance:attach(id) end
---@return sandbox.KeptBox[]?, string? message, string? code
function Instance:boxes() end
---@param options sandbox.PoolOptions
---@return sandbox.Pool?, string? message, string? code
function Instance:pool(options) end
---@param stages sandbox.StagesOptions a list of sandbox.Stage, and options of all
---@return sandbox.Stages?, string? message, string? code, sandbox.Stages? partial
function Instance:stages(stages) end
---@param first sandbox.Options
---@param second sandbox.Options
---@param options? sandbox.InteractOptions
---@return sandbox.Result? first, sandbox.Result|string second, sandbox.Transcript|string? transcript
function Instance:interact(first, second, options) end
---@return sandbox.Image[]
function Instance:images() end
---@param image string
---@param options? sandbox.PullOptions
---@return sandbox.Image|sandbox.Pull|nil, string? message, string? code
function Instance:pull(image, options) end
---@param image string
---@return { images: integer, bytes: integer }?, string? message, string? code
function Instance:remove_image(image) end
---@return sandbox.Volume[]?, string? message, string? code
function Instance:volumes() end
---@param name string
---@return boolean?, string? message, string? code
function Instance:remove_volume(name) end
---@param options? sandbox.PruneOptions
---@return { images: integer, bytes: integer }?, string? message, string? code
function Instance:prune_images(options) end
---@param source string
---@param path string
---@return boolean?, string? message, string? code
function Instance:pack_image(source, path) end
---@param image sandbox.Image
---@return { argv: string[], env: table<string, string>, cwd: string?, user: sandbox.User? }?, string? message
function Instance:image_options(image) end
---@param options sandbox.Options
---@return sandbox.Result?, string? message, string? code
function Instance:run(options) end
---@param options sandbox.Options
---@return sandbox.Job?, string? message, string? code
function Instance:spawn(options) end
---@param options sandbox.Options
---@return table?, string? message, string? code
function Instance:spec(options) end
---@param options sandbox.Options
---@param how? sandbox.CheckOptions
---@return boolean?, string? message, string? code
function Instance:check(options, how) end
---@param limits? sandbox.Limits
---@return { file: string, value: string, version: string }[]
function Instance:cgroup_entries(limits) end
---@return sandbox.Version?, string? message, string? code
function Instance:version() end
---@return integer
function Instance:active() end
---@return integer?, string? message, string? code
function Instance:cleanup_stale() end
---@return sandbox.Metrics
function Instance:metrics() end
---@return sandbox.Doctor
function Instance:doctor() end
---@param grace? number
---@return boolean
function Instance:shutdown(grace) end
function Instance:close() end

---@class sandbox
---@field _VERSION string
---@field prepared sandbox.Prepared
local sandbox = {}
---@param options sandbox.StartOptions
---@return sandbox.Box?, string? message, string? code
function sandbox.start(options) end
---@param dir string
---@param options? sandbox.StartOptions
---@return sandbox.Box?, string? message, string? code
function sandbox.restore(dir, options) end
---@param id string `box.id` of a box with `keep`
---@return sandbox.Box?, string? message, string? code
function sandbox.attach(id) end
---@return sandbox.KeptBox[]?, string? message, string? code
function sandbox.boxes() end
---@param options sandbox.PoolOptions
---@return sandbox.Pool?, string? message, string? code
function sandbox.pool(options) end
---@param stages sandbox.StagesOptions a list of sandbox.Stage, and options of all
---@return sandbox.Stages?, string? message, string? code, sandbox.Stages? partial
function sandbox.stages(stages) end
---@param first sandbox.Options
---@param second sandbox.Options
---@param options? sandbox.InteractOptions
---@return sandbox.Result? first, sandbox.Result|string second, sandbox.Transcript|string? transcript
function sandbox.interact(first, second, options) end
---@param options? sandbox.InstanceOptions
---@return sandbox.Instance
function sandbox.new(options) end
---@return sandbox.Image[]
function sandbox.images() end
---@param image string
---@param options? sandbox.PullOptions
---@return sandbox.Image|sandbox.Pull|nil, string? message, string? code
function sandbox.pull(image, options) end
---@param image string
---@return { images: integer, bytes: integer }?, string? message, string? code
function sandbox.remove_image(image) end
---@return sandbox.Volume[]?, string? message, string? code
function sandbox.volumes() end
---@param name string
---@return boolean?, string? message, string? code
function sandbox.remove_volume(name) end
---@param options? sandbox.PruneOptions
---@return { images: integer, bytes: integer }?, string? message, string? code
function sandbox.prune_images(options) end
---@param source string
---@param path string
---@return boolean?, string? message, string? code
function sandbox.pack_image(source, path) end
---@param image sandbox.Image
---@return { argv: string[], env: table<string, string>, cwd: string?, user: sandbox.User? }?, string? message
function sandbox.image_options(image) end
---@param options sandbox.Options
---@return sandbox.Result?, string? message, string? code
function sandbox.run(options) end
---@param options sandbox.Options
---@return sandbox.Job?, string? message, string? code
function sandbox.spawn(options) end
---@param options sandbox.Options
---@return table?, string? message, string? code
function sandbox.spec(options) end
---@param options sandbox.Options
---@param how? sandbox.CheckOptions
---@return boolean?, string? message, string? code
function sandbox.check(options, how) end
---@param limits? sandbox.Limits
---@return { file: string, value: string, version: string }[]
function sandbox.cgroup_entries(limits) end
---@return sandbox.Version?, string? message, string? code
function sandbox.version() end
---@return integer
function sandbox.active() end
---@return integer?, string? message, string? code
function sandbox.cleanup_stale() end
---@return sandbox.Metrics
function sandbox.metrics() end
---@return sandbox.Doctor
function sandbox.doctor() end
---@param grace? number
---@return boolean
function sandbox.shutdown(grace) end
function sandbox.close() end
---@param options? sandbox.FleetOptions
---@return sandbox.Fleet
function sandbox.fleet(options) end
---@generic T
---@param f fun():T
---@return T
function sandbox.loop(f) end
---@param f fun(...)
---@return sandbox.Task
function sandbox.go(f, ...) end
---@param seconds number
function sandbox.sleep(seconds) end
---@param list any[]
---@param n integer
---@param f fun(item:any, index:integer):any
---@return any[] results, table<integer, { ok: false, message: string, code: string? }> failed those alone that gave none, by index
function sandbox.map(list, n, f) end

return sandbox]]
  return table.concat(out, "\n") .. "\n"
end

local function between(text, name, lines)
  local _, last = text:find('.\\" ' .. name .. ":begin\n", 1, true)
  return text:sub(1, last) .. table.concat(lines, "\n") .. "\n" .. text:sub((text:find('.\\" ' .. name .. ":end", last, true)))
end

--- Puts the flags between the markers of the manual page.
-- @string text
-- @treturn string
function M.man(text)
  local flags = require "sandbox.shell.flags"
  local of_all, of_run, out, worker = {}, {}, {}, {}
  for _, flag in ipairs(flags.list()) do of_all[flag.name] = true end
  local function plain(s) return (s:gsub("\\", "\\e"):gsub("%-", "\\-"):gsub("^%.", "\\&.")) end
  local function entry(flag, mark) return (".TP\n.BR %s%s%s\n%s"):format(plain(flag.name), flag.what and ' " " ' .. plain(flag.what) or "", mark, plain(flag.words)) end
  for _, flag in ipairs(flags.list "run") do
    of_run[flag.name] = true
    out[#out + 1] = entry(flag, of_all[flag.name] and flag.name ~= "--help" and ' " *"' or "")
  end
  for _, flag in ipairs(flags.list "worker") do
    if not of_run[flag.name] then worker[#worker + 1] = entry(flag, "") end
  end
  return between(between(text, "flags", out), "worker", worker)
end

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

--- The command line.
-- @string what readme, luals, man or check
-- @string[opt] path
-- @treturn integer exit status
function M.main(what, path)
  if what == "readme" then
    path = path or "README.md"
    write(path, M.fill(read(path)))
  elseif what == "luals" then
    write(path or "types/sandbox.lua", M.luals())
  elseif what == "man" then
    path = path or "doc/sandbox.1"
    write(path, M.man(read(path)))
  elseif what == "check" then
    if M.fill(read("README.md")) ~= read("README.md") or M.luals() ~= read("types/sandbox.lua") or M.man(read("doc/sandbox.1")) ~= read("doc/sandbox.1") then
      io.stderr:write("README.md, types/sandbox.lua or doc/sandbox.1 differ from lua/sandbox/options/schema.lua: make docs\n")
      return 1
    end
  else
    io.stderr:write("usage: docs.lua readme [README.md] | luals [types/sandbox.lua] | man [doc/sandbox.1] | check\n")
    return 2
  end
  return 0
end

if arg and arg[0] and arg[0]:match("docs%.lua$") then os.exit(M.main(arg[1], arg[2])) end

return M
