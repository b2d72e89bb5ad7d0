-- SPDX-License-Identifier: MIT
--- `sandbox shell`: the user's terminal and that of a program in a sandbox, joined.
-- @module sandbox.shell.session
local M = {}

-- Where there is bash, that.
local SHELL = { "sh", "-c", "command -v bash >/dev/null && exec bash; exec sh" }

--- Fills in what a session has where nothing was said: a shell, no limit of time or of what is shown, the user's kind of terminal.
-- @tparam table options of a run
function M.fill(options)
  if options[1] == nil and not options.image then -- an image has a program of its own
    for i, word in ipairs(SHELL) do options[i] = word end
  end
  for _, name in ipairs{ "timeout", "output" } do
    if options.limits[name] == nil then options.limits[name] = false end
  end
  local term = os.getenv "TERM"
  options.pty = { term = term and #term <= 60 and term:find "^%w[%w.+_-]*$" and term or nil }
end

-- Carries what is typed, and each new size, until the program has ended.
local function carry(job, console, core)
  local open = true
  while true do
    local r, message, code = job:wait(0)
    if r or code ~= "timeout" then return r, message, code end
    local fds = { job:pollfd(), job:events(), console:pollfd(), "r" }
    if open then fds[5], fds[6] = 0, "r" end
    local ready = core.pollv(fds, 1)
    if ready and ready[4] ~= "" then job:resize(console:size()) end
    if ready and open and ready[6] ~= "" then
      local bytes = console:read()
      open = bytes ~= nil and job:write(bytes) ~= nil
      if not bytes then job:kill "HUP" end
    end
  end
end

--- Runs it to its end. The user's terminal is as it was then, whatever happened.
-- @tparam Instance sb
-- @tparam table options of a run
-- @tparam table core
-- @treturn table result, or nil, message, code
function M.run(sb, options, core)
  local console, why = core.console()
  if not console then return nil, "stdin is no terminal, which sandbox shell needs (" .. why .. "); sandbox run needs none", "system" end
  options.pty.rows, options.pty.cols = console:size()
  local job, message, code = sb:spawn(options)
  local ok, r = true, nil
  if job then
    ok, r, message, code = pcall(carry, job, console, core)
    if not ok then job:kill() end
    job:wait_gone()
    job:close()
  end
  console:close()
  if not ok then error(r, 0) end
  return r, message, code
end

return M
