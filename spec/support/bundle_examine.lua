-- SPDX-License-Identifier: MIT
--- What must hold of whatever a stranger's config.json says: for the mutated ones of fuzz_spec.lua, and for libFuzzer (spec/fuzz/bundle.lua).
local bundle = require "sandbox.options.bundle"
local json = require "sandbox.json"

local M = {}

M.limits = { memory = 2 ^ 29, pids = 1024 }

-- Whatever may be in what runsc gets, and nothing else: written down apart from the reader's own rows.
local leaf, strings = true, { ["*"] = true }
local sets = { bounding = strings, effective = strings, inheritable = strings, permitted = strings, ambient = strings }
local output = {
  ociVersion = leaf, hostname = leaf, root = { path = leaf, readonly = leaf },
  process = { args = strings, env = strings, cwd = leaf, user = { uid = leaf, gid = leaf, additionalGids = strings }, capabilities = sets,
              rlimits = { ["*"] = { type = leaf, hard = leaf, soft = leaf } }, noNewPrivileges = leaf, terminal = leaf },
  mounts = { ["*"] = { destination = leaf, type = leaf, source = leaf, options = strings } },
}

local function check(value, shape, where)
  if shape == leaf then
    assert(type(value) ~= "table", where .. " is a table")
    assert(type(value) ~= "string" or not value:find("\0", 1, true), where .. " has a NUL")
    return
  end
  assert(type(value) == "table", where .. " is no table")
  for k, v in pairs(value) do
    local inner = type(k) == "number" and shape["*"] or shape[k]
    assert(inner, where .. "." .. tostring(k) .. " came through")
    check(v, inner, where .. "." .. tostring(k))
  end
end

--- Raises where it is not so.
-- @string text
-- @bool[opt] must_fail it is known to be none that may be taken
function M.examine(text, must_fail)
  local ok, spec, why = pcall(bundle.read, text, "/b", M.limits)
  assert(ok, "it raised: " .. tostring(spec))
  if not spec then return assert(type(why) == "string" and #why < 6000 and not why:find("\0", 1, true), "no good reason") end
  assert(not must_fail, "it was taken")
  check(spec, output, "spec")
  for _, m in ipairs(spec.mounts or {}) do
    assert(m.type ~= "bind" or m.source:sub(1, 1) ~= "/" and not ("/" .. m.source .. "/"):find("/../", 1, true), "a bind of " .. m.source)
  end
  assert(not ("/" .. spec.root.path .. "/"):find("/../", 1, true) and spec.root.path:sub(1, 1) ~= "/", "root.path")
  json.encode_spec(spec)
end

return M
