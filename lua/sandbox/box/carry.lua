-- SPDX-License-Identifier: MIT
--- /work, or another directory, from one sandbox to the next. Our helper packs it in the one and unpacks it in the other, both times as
-- the guest that its user is: the host reads nothing of what it carries, and a hostile link or name leads nowhere where the guest could
-- not go by itself.
-- @module sandbox.box.carry
local oci = require "sandbox.run.oci"
local options_plan = require "sandbox.options.plan"

local Carry = {} -- methods of boxes

local WORK = "/work"
local SECONDS = 30
local TREE_SECONDS = 600 -- what nobody waits for within a run may take longer

-- The helper at work. What went wrong is the guest's doing (`refused`, in words), or nil, message, code.
local function helper(self, argv, stdin, output, user, feed)
  argv.stdin, argv.on_stdout, argv.limits = stdin, feed, { timeout = argv.seconds or SECONDS, output = output }
  argv.seconds = nil
  local plan = options_plan.run(argv)
  plan.user, plan.capabilities, plan.runtime, plan.env, plan.cwd = user, {}, self.rt, {}, "/"
  plan.limits.memory, plan.quiet = self.plan.limits.memory, true
  local job, message, code = self:exec(options_plan.stamp(plan), plan.argv)
  local r
  if job then
    r, message, code = job:wait()
    job:close()
  end
  if r and r.ok then return r.stdout or "" end
  if r then
    local said = r.stderr and r.stderr:match "^[^\n]+" or r.message
    return nil, nil, nil, (said:sub(1, 300):gsub("[%c\127-\255]", "?"))
  end
  local _, why, kind = self:outcome(nil, message, code)
  if kind == "closed" and self:ready() == nil then return nil, nil, nil, why end -- of what the guest has done
  return nil, why, kind
end

--- What is in /work, as bytes for `unpack_work` of another box.
-- @tparam table user whose rights are used
-- @int bytes at most so many
-- @int files at most so many files, directories and links
-- @return bytes; or nil, message, code; or nil, nil, nil and why what the guest left cannot go on
function Carry:pack_work(user, bytes, files)
  local argv = { oci.HELPER, "pack", WORK, ("%.0f"):format(bytes), ("%.0f"):format(files) }
  local packed, message, code, refused = helper(self, argv, nil, bytes + 65536, user)
  return packed, message, code, refused
end

--- Puts it in place.
-- @string packed
-- @tparam table user whose it becomes
-- @return true; or nil, message, code; or nil, nil, nil and why it does not fit
function Carry:unpack_work(packed, user)
  local done, message, code, refused = helper(self, { oci.HELPER, "unpack", WORK }, packed, 65536, user)
  return done and true, message, code, refused
end

--- What is below a directory, piece by piece.
-- @tparam table tree { path =, without = paths below it that are left out, as what is mounted there }
-- @int bytes at most so many
-- @int files at most so many files, directories and links
-- @func feed gets a piece; false ends it
-- @return true; or nil, message, code; or nil, nil, nil and why what the guest left cannot go on
function Carry:pack_tree(tree, bytes, files, feed)
  local argv = { oci.HELPER, "pack", tree.path, ("%.0f"):format(bytes), ("%.0f"):format(files), seconds = TREE_SECONDS }
  for _, path in ipairs(tree.without) do argv[#argv + 1] = path end
  local packed, message, code, refused = helper(self, argv, nil, bytes + 65536, self.plan.user, feed)
  return packed and true, message, code, refused
end

--- Puts that in place.
-- @string path of the directory
-- @func source gives the next piece, nil at the end
-- @return true; or nil, message, code; or nil, nil, nil and why it does not fit
function Carry:unpack_tree(path, source)
  local done, message, code, refused = helper(self, { oci.HELPER, "unpack", path, seconds = TREE_SECONDS }, source, 65536, self.plan.user)
  return done and true, message, code, refused
end

return Carry
