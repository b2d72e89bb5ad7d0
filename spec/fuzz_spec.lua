-- SPDX-License-Identifier: MIT
-- Mutated config.json: a second of them in the tests, `make fuzz` for longer. What fails is printed with its seed.
local bundle = require "sandbox.options.bundle"
local core = require "sandbox.core"
local examiner = require "support.bundle_examine"
local json = require "sandbox.json"
local strict = require "sandbox.options.strict_json"

local SECONDS = tonumber(os.getenv "SANDBOX_FUZZ_SECONDS") or 1
local SEED = tonumber(os.getenv "SANDBOX_FUZZ_SEED") or math.floor(core.now() * 1000) % 2147483647

-- Not Lua's own, which differs by version: a seed is the same case everywhere (Park and Miller's).
local state
local function random(n)
  state = state * 16807 % 2147483647
  return state % n + 1
end
local function pick(list) return list[random(#list)] end

local RICH = [[{"ociVersion":"1.0.2","process":{"args":["/x","y"],"env":["A=1"],"cwd":"/w","user":{"uid":7,"gid":8,"additionalGids":[9],"umask":18},
  "capabilities":{"bounding":["CAP_KILL"],"effective":[],"permitted":[],"ambient":[]},"rlimits":[{"type":"RLIMIT_AS","hard":4096,"soft":4096}],"noNewPrivileges":false,
  "terminal":true,"consoleSize":{"height":1,"width":2},"oomScoreAdj":5,"apparmorProfile":""},"root":{"path":"rootfs","readonly":true},"hostname":"h",
  "mounts":[{"destination":"/t","type":"tmpfs","source":"x","options":["size=64k","mode=1777"]},{"destination":"/d","type":"bind","source":"data","options":["bind","ro"]}],
  "annotations":{"a.b":"c"},"hooks":{},"linux":{"namespaces":[{"type":"pid","path":""}],"maskedPaths":["/proc/kcore"],"cgroupsPath":"/x","uidMappings":[],
  "resources":{"devices":[{"allow":false,"access":"rwm"}],"memory":{"limit":1073741824},"pids":{"limit":4096},"cpu":{"quota":-1,"period":0}},"rootfsPropagation":"slave"}}]]

local function read(path)
  local file = assert(io.open(path, "rb"))
  local bytes = file:read "*a"
  file:close()
  return bytes
end
local corpus = { RICH, read "spec/support/bundles/runc.json", read "spec/support/bundles/umoci.json" }
-- Bytes ---------------------------------------------------------------------------------------------------------------

local bits = { '"', "\\", "{", "}", "[", "]", ":", ",", "null", "\0", "\\u0000", "\\ud800", "1e999", "-0", "\255", "\195\169", '"hooks":{"prestart":[{"path":"/x"}]},', '"Hooks":{},', "..",
               '"annotations":{"dev.gvisor.x":"y"},', "\\u0068ooks", "18446744073709551616", "true", " ", "/" }
local function mutate(s)
  for _ = 1, random(4) do
    local at = random(#s + 1)
    local to = math.min(#s, at + random(8))
    local how = random(4)
    if how == 1 then s = s:sub(1, at - 1) .. pick(bits) .. s:sub(at)
    elseif how == 2 then s = s:sub(1, at - 1) .. s:sub(to)
    elseif how == 3 then s = s:sub(1, at - 1) .. string.char(random(256) - 1) .. s:sub(at + 1)
    else s = s:sub(1, to) .. s:sub(at) end
    if s == "" then s = "{" end
  end
  return s
end

-- Trees ---------------------------------------------------------------------------------------------------------------

local function is_list(t) return #t > 0 end
local function encode(v)
  if v == strict.null then return "null" end
  if type(v) == "string" then return '"' .. v:gsub('[%c"\\]', function(c) return ("\\u%04x"):format(c:byte()) end) .. '"' end
  if type(v) ~= "table" then return type(v) == "number" and ("%.0f"):format(v) or tostring(v) end
  local parts = {}
  if is_list(v) then
    for i, item in ipairs(v) do parts[i] = encode(item) end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  local keys = {}
  for k in pairs(v) do keys[#keys + 1] = k end
  table.sort(keys)
  for i, k in ipairs(keys) do parts[i] = encode(k) .. ":" .. encode(v[k]) end
  return "{" .. table.concat(parts, ",") .. "}"
end

-- Objects whose keys are the specification's, with one key at least.
local function objects(v, out)
  if type(v) ~= "table" or v == strict.null then return out end
  if not is_list(v) and next(v) then out[#out + 1] = v end
  for k, item in pairs(v) do
    if k ~= "annotations" then objects(item, out) end
  end
  return out
end

local function key_of(object)
  local keys = {}
  for k in pairs(object) do keys[#keys + 1] = k end
  table.sort(keys)
  return pick(keys)
end

local function other_case(key)
  local at = random(#key)
  local c = key:sub(at, at)
  return key:sub(1, at - 1) .. (c:lower() == c and c:upper() or c:lower()) .. key:sub(at + 1)
end

-- One key too many, or in another case: always refused.
local function spoil(text)
  local tree = strict.decode(text)
  local object = pick(objects(tree, {}))
  local key = key_of(object)
  local name = random(3) == 1 and key .. pick{ "x", "\0", " ", "s", "\226\132\170" } or other_case(key)
  if name == key then name = key .. "x" end
  object[name] = random(2) == 1 and object[key] or strict.null
  if random(2) == 1 and name ~= key then object[key] = nil end
  return encode(tree)
end

-- Made anew each time: a table that lay in a tree twice could come to lie in itself, which has no end.
local function values()
  return { 0, -1, 1, 65536, 1e15, "", "x", "/", "/etc", "../x", "a\0b", true, false, strict.null, {}, { 1 }, { "x" }, { a = "b" }, ("k"):rep(5000) }
end
local function replace(text)
  local tree = strict.decode(text)
  for _ = 1, random(3) do
    local object = pick(objects(tree, {}))
    object[key_of(object)] = pick(values())
    if not next(tree) then break end
  end
  return encode(tree)
end

describe("a mutated config.json", function()
  it("never raises, never comes through where it should not, and means one thing", function()
    local finish, n, taken = core.now() + SECONDS, 0, 0
    for _, text in ipairs(corpus) do assert.is_table(bundle.read(text, "/b", examiner.limits)) end
    repeat
      local seed = SEED + n
      state = seed % 2147483645 + 1
      n = n + 1
      local base = pick(corpus)
      local kind = random(3)
      local text = kind == 1 and mutate(base) or kind == 2 and replace(base) or spoil(base)
      local ok, err = pcall(examiner.examine, text, kind == 3)
      if not ok then error(("seed %d: %s: %s"):format(seed, tostring(err), text), 0) end
      -- What is read strictly is read by others in the same way.
      if strict.decode(text) and kind == 1 then
        taken = taken + 1
        assert(json.decode(text) ~= nil, ("seed %d: only the strict reader takes it: %s"):format(seed, text))
      end
    until n % 16 == 0 and core.now() > finish
    if os.getenv "SANDBOX_FUZZ_SECONDS" then print(("# %d cases from seed %d, %d of them still JSON"):format(n, SEED, taken)) end
    assert.is_true(n > 0)
  end)
end)
