-- SPDX-License-Identifier: MIT
--- Our helper in a box as a job: asked a question in frames, its answer read as it comes. It acts with the rights of the box's
-- user, but bears another uid, so that no program of the box can end it or speak for it (src/guest/guest_self.h).
-- @module sandbox.box.helper
local files = require "sandbox.run.files"
local oci = require "sandbox.run.oci"
local options_plan = require "sandbox.options.plan"

local M = {}

local SECONDS = 30

--- Starts it.
-- @tparam Box self
-- @tparam table how { stdin=, stdin_open=, output= bytes, timeout= seconds or false, on_stdout=, alone= all else is killed first, user= another than the box's,
-- over= it may write what that one may not }
-- @treturn Job or nil, message, code
function M.start(self, how)
  local user = how.user or self.plan.user
  local plan = options_plan.run({ oci.HELPER, "files", ("%.0f"):format(user.uid), how.alone and "alone" or nil, stdin = how.stdin, on_stdout = how.on_stdout,
                              limits = { timeout = how.timeout == nil and SECONDS or how.timeout, output = how.output } })
  plan.user = { uid = 0, gid = user.gid, groups = user.groups } -- it becomes another at once; older builds give capabilities to 0 alone
  plan.capabilities = { "CAP_SETUID", how.alone and "CAP_KILL" or nil }
  if how.over then plan.capabilities[#plan.capabilities + 1] = "CAP_DAC_OVERRIDE" end
  plan.runtime, plan.env, plan.cwd, plan.quiet, plan.stdin_open = self.rt, {}, self.usual.cwd, true, how.stdin_open
  local job, message, code = self:exec(options_plan.stamp(plan), plan.argv)
  return job, message, code
end

local function words(r)
  if r.stdout_truncated then return "more came than was asked for", "too_big" end
  if r.status == "timed_out" then return "out of time", "timeout" end
  return "the box's files cannot be reached: " .. tostring(r.message or files.BAD), r.status == "oom_killed" and "closed" or "system"
end

--- Runs it to its end.
-- @tparam Box self
-- @tparam table how as of `start`
-- @func feed gets its answer as it comes
-- @treturn boolean true, or nil, message, code
function M.run(self, how, feed)
  how.on_stdout = feed
  local job, message, code = M.start(self, how)
  if not job then return self:outcome(nil, message, code) end
  local r
  r, message, code = job:wait()
  job:close()
  if not r then return self:outcome(nil, message, code) end
  if not r.ok or r.stdout_truncated then return self:outcome(nil, words(r)) end
  return true
end

local codes = { missing = "not_found", ["too big"] = "too_big", ["out of time"] = "timeout" }

--- What the helper's refusal is for the caller.
-- @tparam table entry an E
-- @string[opt] name as the caller said it
-- @return nil, message, code
function M.refusal(entry, name)
  return nil, ("%s: %s"):format(name or entry.path, entry.reason), codes[entry.reason] or "system"
end

--- One question and its entries; a refusal among them is an error.
-- @tparam Box self
-- @tparam table how as of `start`
-- @string[opt] name as the caller said it
-- @treturn {table,...} or nil, message, code
function M.entries(self, how, name)
  local entries, refused, pieces = {}, nil, nil
  local reader = files.reader(function(entry)
    if pieces then entries[#entries].content, pieces = table.concat(pieces), nil end
    if entry.kind == "E" then refused = refused or entry else entries[#entries + 1] = entry end
    if entry.kind == "F" then pieces = {} end
  end, function(piece) pieces[#pieces + 1] = piece end)
  local ok, message, code = M.run(self, how, function(chunk) return reader:feed(chunk) end)
  if not ok then return nil, message, code end
  if not reader.whole then return nil, files.BAD, "system" end
  if pieces then entries[#entries].content = table.concat(pieces) end
  if refused then return M.refusal(refused, name) end
  return entries
end

return M
