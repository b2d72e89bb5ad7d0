-- SPDX-License-Identifier: MIT
--- Runs a worker's jobs in sandboxes: each in one of its own, or in one of a pool that it needs by name.
-- @module sandbox.fleet.runner
local core = require "sandbox.core"
local instance = require "sandbox.instance"
local message = require "sandbox.fleet.message"
local options_plan = require "sandbox.options.plan"
local schema = require "sandbox.options.schema"
local worker = require "sandbox.fleet.worker"

local M = {}

local Runner = {}
Runner.__index = Runner

-- What a job may have where nobody says otherwise: its output is held in memory here, and has to fit into an answer.
local MOST = { output = 16 * 1024 ^ 2 }

-- Programs that jobs may need by name.
local LANGUAGES = { "python3", "perl", "ruby", "node", "php", "java", "javac", "gcc", "g++", "clang", "go", "rustc", "ghc", "ocaml", "lua5.4", "luajit",
                    "awk", "bash", "sh" }

local rows = {}
for _, row in ipairs(schema.limits) do rows[row[1]] = row end

local function found_languages(has)
  for _, name in ipairs(LANGUAGES) do
    for _, dir in ipairs{ "/usr/bin/", "/bin/", "/usr/local/bin/" } do
      if core.access_x(dir .. name) then has[name] = true end
    end
  end
end

--- Makes one.
-- @tparam table options of an instance
-- @tparam table caps the most that a job may have of each limit, as in `limits`
-- @tparam {table,...} pools options of pools, each with a `name`
-- @tparam {string,...} words that jobs may need besides
-- @treturn Runner or nil, message, code
function M.new(options, caps, pools, words)
  local given = options_plan.limits(caps)
  local self = setmetatable({ options = options, caps = {}, pools = {}, has = {} }, Runner)
  for _, row in ipairs(schema.limits) do
    local name = row[1]
    if caps[name] ~= nil and caps[name] ~= false and type(given[name]) == "number" then self.caps[name] = given[name] end
  end
  for name, most in pairs(MOST) do self.caps[name] = self.caps[name] or most end
  self.home = instance.new(options)
  local version, why, code = self.home:version()
  if not version then return nil, why, code end
  self.version = version
  found_languages(self.has)
  self.has["runsc:" .. message.label(version.runsc)] = true
  for _, word in ipairs(words) do self.has[word] = true end
  for _, profile in ipairs(pools) do
    local own = {}
    for k, v in pairs(profile) do own[k] = v end
    own.name = nil
    local pool
    pool, why, code = self.home:pool(own)
    if not pool then return nil, why, code end
    self.pools[profile.name], self.has[profile.name] = pool, true
  end
  return self
end

-- The limits of a job below what this worker allows: a larger one is refused, none is the most. In a pool its sandboxes have theirs.
local function cap(self, options, pool)
  local limits = {}
  for k, v in pairs(options.limits or {}) do limits[k] = v end
  local asked = options_plan.limits(limits)
  for name, most in pairs(self.caps) do
    local wanted = limits[name]
    if wanted == false or wanted ~= nil and asked[name] > most then
      return nil, ("bad option 'limits.%s': this worker gives at most %.14g"):format(name, most), "bad_option"
    end
    local of_sandbox = pool and not schema.is_of(rows[name], "program")
    if not of_sandbox and (asked[name] == nil or asked[name] > most) then limits[name] = most end
  end
  options.limits = limits
  return true
end

-- Output comes piece by piece, so that it can be followed; kept from its tail it comes in the end.
local function collect(job, options)
  if options.limits.output_keep == "tail" then return function(r) return r end end
  local pieces = { stdout = {}, stderr = {} }
  for stream, list in pairs(pieces) do
    options["on_" .. stream] = function(chunk)
      list[#list + 1] = chunk
      worker.note(job, stream, chunk)
    end
  end
  return function(r)
    for stream, list in pairs(pieces) do
      if r[stream] == nil then r[stream] = table.concat(list) end
    end
    return r
  end
end

local function pool_of(self, needs)
  for word in needs:gmatch "[^,]+" do
    if self.pools[word] then return self.pools[word] end
  end
end

local function in_pool(job, pool, options)
  local box, why, code = pool:lease()
  if not box then return nil, why, code end
  job.kill = function() box:close() end
  local r
  if job.stopped then r, why, code = nil, "stopped", "closed" else r, why, code = box:run(options) end
  job.kill = nil
  box:close()
  return r, why, code
end

local function in_own(self, job, options)
  local sb = instance.new(self.options) -- closed with whatever runs in it
  job.kill = function() sb:close() end
  local r, why, code
  if job.stopped then r, why, code = nil, "stopped", "closed" else r, why, code = sb:run(options) end
  job.kill = nil
  sb:close()
  return r, why, code
end

--- Runs a job: its options are a stranger's.
-- @tparam table job of a worker, with `options`
-- @treturn table result, or nil, message, code
function Runner:run(job)
  local options = job.options
  local ok, why, code = self.home:check(options, { client = true })
  local pool = pool_of(self, job.needs)
  if ok then ok, why, code = cap(self, options, pool) end
  if ok and pool then ok, why, code = options_plan.try("program", pool.sample, options) end
  if not ok then return nil, why, code end
  local finish = collect(job, options)
  local r
  if pool then r, why, code = in_pool(job, pool, options) else r, why, code = in_own(self, job, options) end
  return r and finish(r), why, code
end

-- Bytes that a program could still have, as the kernel says.
local function free_memory()
  local file = io.open("/proc/meminfo", "rb")
  local text = file and file:read "*a" or ""
  if file then file:close() end
  return (tonumber(text:match "MemAvailable:%s*(%d+)") or 0) * 1024
end

--- What is said of this worker.
-- @treturn table
function Runner:about()
  local has = {}
  for word in pairs(self.has) do has[#has + 1] = word end
  table.sort(has)
  return { has = has, free_memory = free_memory(), runsc = self.version.runsc, platform = self.version.platform }
end

--- Ends what is kept ready.
function Runner:close()
  for _, pool in pairs(self.pools) do pool:close() end
  self.home:close()
end

return M
