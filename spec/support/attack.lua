-- SPDX-License-Identifier: MIT
-- The hostile program of spec/security, compiled, and a run of it.
local env = require "support.harness"

local M = {}

--- Compiles it into a directory of its own.
-- @return its path, and a function that removes it
function M.compile()
  local dir, remove = env.tmpdir()
  assert(os.execute(("gcc -std=gnu11 -O1 -static -o %s/attack spec/support/attack.c"):format(dir)))
  return dir .. "/attack", remove
end

--- Options of a run: attack NAME NUMBER, with these limits.
function M.options(path, argv, limits)
  local options = { "./attack", files = { attack = { from = path, mode = "755" } }, limits = limits or {} }
  for _, word in ipairs(argv) do options[#options + 1] = tostring(word) end
  options.limits.timeout = options.limits.timeout or 60 * env.slow
  return options
end

return M
