-- SPDX-License-Identifier: MIT
--- Many random option tables to `check`: fuzz_options.lua N [SEED [FILE]]. Tells how many passed, were refused and raised, and the
-- longest; with FILE the OCI specs of those that passed go there, one a line, for a validator of OCI's own schema.
local json = require "sandbox.json"
local random = require "support.random_options"
local sandbox = require "sandbox"

local rounds, seed = tonumber(arg[1] or 1000000), tonumber(arg[2] or 1)
local file = arg[3] and assert(io.open(arg[3], "wb"))
local sb = sandbox.new{ state_dir = "/tmp/unused" }
local next_options, passed, raised, longest = random.new(seed), 0, 0, 0
for i = 1, rounds do
  local options = next_options()
  local began = os.clock()
  local ok, good = pcall(sb.check, sb, options, i % 3 == 0 and { client = true } or nil)
  longest = math.max(longest, os.clock() - began)
  if not ok then
    raised = raised + 1
    print("round " .. i .. " raised")
  elseif good then
    passed = passed + 1
    if file and type(options) == "table" and not options.bundle and not options.spec then
      file:write(json.encode_spec(assert(sb:spec(options))), "\n")
    end
  end
end
if file then file:close() end
print(("%d tables: %d passed, %d refused, %d raised, the longest took %.3f s"):format(rounds, passed, rounds - passed - raised, raised, longest))
os.exit(raised == 0 and 0 or 1)
