-- SPDX-License-Identifier: MIT
-- What an operator decides. SANDBOX_API_SETTINGS names a Lua file that returns a table with what is to be otherwise; a wrong word in it
-- keeps the service from starting. SANDBOX_FLEET alone moves the runs of /api/v3 to a fleet.
local M = {}

local MIB = 1024 * 1024

-- Of one key: requests a second, runs that wait or run, runs that are remembered, readers of events, and the most of each limit.
local KEY = { rate = 50, concurrent = 32, stored = 64, readers = 16, limits = {} }

local defaults = {
  fleet = false, -- "redis://…": runs go to a fleet's workers there; false: they run on this machine
  queue = "sandbox", -- the fleet's
  slots = 4, -- runs at once in each of nginx's workers, on this machine
  followed = 64, -- the same with a fleet, where a run is a connection to its broker
  keep = 3600, -- seconds for which an ended run is remembered, while its key has room
  patience = 300, -- seconds after which a run that has not ended is given up
  anonymous = KEY, -- who comes without a key; false: nobody may
  images = {}, -- languages that are images, here only: { language =, image = "docker://…", version =, run = words, … as in languages.lua }
  image_dir = false, -- where images are kept; false: the usual place of the user whom nginx's workers are
  keys = {}, -- { name =, sha256 = hex of the key, … as KEY }
  webhooks = {}, -- { url = prefix that a webhook must have, address = where that is (else it is resolved), private = true }
  limits = { timeout = { default = 3, maximum = 10 }, cpu_time = { maximum = 10 }, memory = { default = 256 * MIB, maximum = 512 * MIB },
             output = { default = 65536, maximum = 65536 }, pids = { default = 64, maximum = 64 } },
}

local function wrong(form, ...) error("settings: " .. form:format(...), 0) end

local function merged(base, given, where)
  if type(given) ~= "table" then wrong("%s must be a table", where) end
  local out = {}
  for name, value in pairs(base) do out[name] = value end
  for name, value in pairs(given) do
    if base[name] == nil then wrong("%s.%s is not known", where, tostring(name)) end
    local kind = (name == "fleet" or name == "image_dir") and "string" or type(base[name])
    if type(value) ~= kind and not (value == false and (base[name] == false or name == "anonymous")) then wrong("%s.%s must be a %s", where, name, kind) end
    if type(value) == "number" and not (value >= 1 and value < 2 ^ 31) then wrong("%s.%s must be from 1 to 2^31", where, name) end
    out[name] = value
  end
  return out
end

local function key_of(given, where, maxima)
  local name, digest, own = given.name, given.sha256, {}
  for k, v in pairs(given) do
    if k ~= "name" and k ~= "sha256" then own[k] = v end
  end
  local key = merged(KEY, own, where)
  if key.stored < 2 * key.concurrent then wrong("%s.stored must be twice concurrent, or more", where) end
  for limit, most in pairs(key.limits) do
    local row = maxima[limit]
    if not row or type(most) ~= "number" or most > row.maximum then wrong("%s.limits.%s must be a limit, and not above its maximum", where, tostring(limit)) end
  end
  key.name, key.sha256 = name, digest
  return key
end

local function limits_of(given)
  local out = {}
  for name, row in pairs(defaults.limits) do
    out[name] = merged({ default = row.default or row.maximum, maximum = row.maximum }, given[name] or {}, "limits." .. name)
    if not (given[name] and given[name].default) then out[name].default = row.default and math.min(row.default, out[name].maximum) end
  end
  for name in pairs(given) do
    if not out[name] then wrong("limits.%s is not known", tostring(name)) end
  end
  return out
end

local function keys_of(list, maxima)
  local by_digest = {}
  for i, given in ipairs(list) do
    local where = ("keys[%d]"):format(i)
    if type(given) ~= "table" or type(given.name) ~= "string" or not given.name:find "^[%w_.-]+$" or #given.name > 40 or given.name == "anonymous" then
      wrong("%s.name must be letters, digits, '_', '.' and '-', and at most 40", where)
    end
    if type(given.sha256) ~= "string" or not given.sha256:find("^" .. ("%x"):rep(64) .. "$") then
      wrong("%s.sha256 must be 64 hexadecimal digits: printf %%s KEY | sha256sum", where)
    end
    by_digest[given.sha256:lower()] = key_of(given, where, maxima)
  end
  return by_digest
end

-- Bytes of the shared memory that a run takes at most: its output twice, for what its pieces and the rounding of each add, and its record.
local function bytes_of_run(maxima) return 4 * maxima.output.maximum + 64 * 1024 end

local function check_room(settings, capacity)
  local stored = settings.anonymous and settings.anonymous.stored or 0
  for _, key in pairs(settings.keys) do stored = stored + key.stored end
  local need = stored * bytes_of_run(settings.limits)
  if need > capacity / 2 then
    wrong("%d runs that are remembered may need %d MiB: make `lua_shared_dict code_runs` in nginx.conf %dm, or `stored` of the keys less", stored,
      need / MIB, 2 * need / MIB + 1)
  end
end

-- Languages that are images: as the catalogue's in languages.lua, with an image, and a version that is said, for nothing is asked of it.
local function images_of(list)
  local out = {}
  for i, given in ipairs(list) do
    local where = ("images[%d]"):format(i)
    if type(given) ~= "table" then wrong("%s must be a table", where) end
    for _, name in ipairs{ "language", "image", "version", "name" } do
      if type(given[name]) ~= "string" then wrong("%s.%s must be a string", where, name) end
    end
    if not given.version:find "^%d+%.%d+%.%d+$" then wrong("%s.version must be three numbers with dots between", where) end
    if type(given.run) ~= "table" or type(given.run[1]) ~= "string" then wrong("%s.run must be a list of words", where) end
    if given.compile and (type(given.compile) ~= "table" or type(given.ending) ~= "string") then
      wrong("%s.compile must be a list of words, and ending a pattern", where)
    end
    out[i] = { language = given.language, aliases = given.aliases or {}, image = given.image, version = given.version, name = given.name, run = given.run,
               compile = given.compile, ending = given.ending, binary = given.run[1] }
  end
  return out
end

local function given_settings()
  local path = os.getenv "SANDBOX_API_SETTINGS"
  if not path or path == "" then return {} end
  local chunk, why = loadfile(path)
  if not chunk then wrong("%s", why) end
  return chunk()
end

--- Reads them, once, in the master. `capacity`: bytes of the shared memory for runs.
function M.load(capacity)
  local given = given_settings()
  local settings = merged(defaults, given, "settings")
  settings.fleet = given.fleet or os.getenv "SANDBOX_FLEET" or false
  if settings.fleet == "" then settings.fleet = false end
  settings.limits = limits_of(given.limits or {})
  settings.keys, settings.images = keys_of(settings.keys, settings.limits), images_of(settings.images)
  if settings.anonymous then
    settings.anonymous = key_of(settings.anonymous, "anonymous", settings.limits)
    settings.anonymous.name = "anonymous"
  end
  check_room(settings, capacity)
  for name, value in pairs(settings) do M[name] = value end
  return M
end

return M
