-- SPDX-License-Identifier: MIT
--- Random tables of options: right, nearly right and hostile ones. The same seed gives the same tables on every Lua.
local schema = require "sandbox.options.schema"

local M = {}

-- Park and Miller's generator: exact in doubles.
local Random = {}
Random.__index = Random

function Random:below(n)
  self.state = self.state * 16807 % 2147483647
  return self.state % n
end
function Random:pick(list) return list[self:below(#list) + 1] end
function Random:chance(n) return self:below(n) == 0 end

--- What no message may show.
M.SECRET = "s3cr3t-value"

local function raise() error({}) end
local function number() return 5 end

local metatables = {
  { __pairs = raise }, { __pairs = function() return function() return nil end end }, { __len = raise }, { __len = number }, { __index = raise },
  { __index = function(_, k) return k end }, { __index = { limits = { timeout = 1 }, [1] = "true" } }, { __tostring = raise }, { __tostring = number },
  { __metatable = 5 }, { __metatable = {} }, { __metatable = false, __index = raise }, { __eq = raise, __lt = raise, __le = raise, __concat = raise },
  { __call = number }, { __call = 5 }, { __newindex = raise }, { __mode = "kv" }, { __name = M.SECRET },
}

local numbers = { 0, -1, 1, 2, 0.5, 1e300, -1e300, 0 / 0, math.huge, -math.huge, 2 ^ 31, 2 ^ 53, 2 ^ 63, 65535, 65536, 64, 1e10 }
local strings = { "", "x", "true", "/", "/a", "/a/../b", "//a/./b/", "/proc/x", "/dev/null", "/etc/passwd", "host", "none", "64M", "1.5G", "64MiB", "64 mb", "0",
  "18014398509481985K", "99999999999999999999", "1e5", "-5M", "a\0b", "\255\254", "\237\160\128", "../x", "**/*.txt", "A=B", ("y"):rep(5000), "stdout", "head",
  "CAP_KILL", "65534:65534", "\n\27[31m", "%s%d%n" }

local function weird(r, depth)
  local kind = r:below(9)
  if kind == 0 then return r:pick(numbers) end
  if kind == 1 then return r:pick(strings) end
  if kind == 2 then return r:chance(2) end
  if kind == 3 then return r:pick{ raise, number, print, coroutine.create(number), io.stdout } end
  if kind == 4 then return setmetatable({ "true" }, r:pick(metatables)) end
  if kind == 5 then
    local t = {}
    t.t, t[1], t[t] = t, t, t
    return t
  end
  if kind == 6 and r:chance(20) then
    local t = {}
    for i = 1, 20000 do t[i] = r:chance(2) and "" or i end
    return t
  end
  local t = {}
  for _ = 1, depth > 0 and r:below(4) or 0 do
    local key = r:chance(2) and r:pick{ "from", "paths", "uid", "content", "destination", "source", "max_bytes", "timeout", "bogus", setmetatable({}, metatables[8]) }
      or r:pick(strings)
    t[key] = weird(r, depth - 1)
  end
  for i = 1, r:below(3) do t[i] = weird(r, depth - 1) end
  if r:chance(10) then setmetatable(t, r:pick(metatables)) end
  return t
end

local right = {
  stdin = function(r) return r:pick{ "x", ("x"):rep(1000), number } end,
  files = function(r) return { ["a" .. r:below(3)] = "1", ["d/b"] = { content = "2", mode = r:pick{ "644", "0755" } } } end,
  collect = function(r) return r:pick{ { "out/**" }, { paths = { "a", "b" }, max_bytes = "1M", max_files = 5 } } end,
  env = function(r) return { ["A" .. r:below(3)] = M.SECRET, HOME = r:chance(2) and "/x" or false } end,
  cwd = function(r) return r:pick{ "/work", "/tmp", "/", "/usr/../x" } end,
  user = function(r) return r:pick{ 0, 12345, "7", "7:8", { uid = 7, gid = 8, groups = { 9, 10 } } } end,
  capabilities = function(r) return r:pick{ {}, { "CAP_KILL", "CAP_CHOWN" } } end,
  rootfs = function(r) return r:pick{ "host", "/usr" } end,
  readonly = function(r) return r:chance(2) end,
  mounts = function(r) return { { type = "tmpfs", destination = "/m" .. r:below(3), size = "1M" }, { source = "/usr", destination = "/data" } } end,
  network = function(r) return r:pick{ "none", "host" } end,
  hostname = function(r) return r:pick{ "a", "a-b.c" } end,
  stderr = function() return "stdout" end,
  limits = function(r)
    return { timeout = r:pick{ 1, 0.5, false }, memory = r:pick{ "64M", "1.5G", "64MiB", 2 ^ 26 }, pids = r:pick{ 16, false }, cpus = r:pick{ 0.5, 2 },
             disk = r:pick{ "4M", false }, output = r:pick{ "1M", 10 }, open_files = 64, file_size = "1M", best_effort = r:chance(2) }
  end,
  on_stdout = function() return number end, on_stderr = function() return number end, on_exit = function() return number end,
  spec = function() return number end, bundle = function() return "/b" end,
}

--- A generator of tables of options.
-- @int seed
-- @treturn function() → options
function M.new(seed)
  local r = setmetatable({ state = seed % 2147483646 + 1 }, Random)
  local rows = schema.rows "run"
  return function()
    if r:chance(10) then return weird(r, 3) end
    local options = r:chance(20) and {} or { "true", r:chance(3) and "x" or nil }
    for _ = 1, r:below(6) do
      local name = r:pick(rows)[1]
      if name ~= "bundle" or r:chance(10) then
        if r:chance(4) then options[name] = weird(r, 2) elseif right[name] then options[name] = right[name](r) end
      end
    end
    if r:chance(20) then options[r:pick(strings)] = weird(r, 2) end
    if r:chance(30) then setmetatable(options, r:pick(metatables)) end
    return options
  end
end

return M
