-- SPDX-License-Identifier: MIT
--- `sandbox shell` and `sandbox attach`: the user's terminal and that of a program in a sandbox, joined.
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

-- What lets go of a program that stays: ^P ^Q, as docker attach has it. A ^P that nothing of the kind follows is typed with what does.
local LEAVE = "\16\17"

-- Carries what is typed, and each new size, until the program has ended. `stays`: whether it may be left; true where it was, or where
-- there is nobody any more who types.
local function carry(job, console, core, stays)
  local open, kept = true, ""
  while true do
    local r, message, code = job:wait(0)
    if r or code ~= "timeout" then return r, message, code end
    local fds = { job:pollfd(), job:events(), console:pollfd(), "r" }
    if open then fds[5], fds[6] = 0, "r" end
    local ready = core.pollv(fds, 1)
    if ready and ready[4] ~= "" then job:resize(console:size()) end
    if ready and open and ready[6] ~= "" then
      local bytes = console:read()
      if stays then
        local typed = kept .. (bytes or "")
        if not bytes or typed:find(LEAVE, 1, true) then return true end
        kept = typed:sub(-1) == LEAVE:sub(1, 1) and typed:sub(-1) or ""
        bytes = typed:sub(1, #typed - #kept)
      end
      open = bytes ~= nil and (bytes == "" or job:write(bytes) ~= nil)
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

--- Attaches to a detached program until it ends or is left. One without a terminal is watched, and left with the process.
-- @tparam Box box
-- @tparam table program of `box:programs`
-- @tparam table how of `box:attach`
-- @tparam table core
-- @treturn table result, `true` where it was left, or nil, message, code
function M.attach(box, program, how, core)
  local console, why
  if program.pty then
    console, why = core.console()
    if not console then return nil, "stdin is no terminal, which a program at a terminal needs (" .. why .. ")", "system" end
  end
  local job, message, code = box:attach(program.id, how)
  local ok, r = true, nil
  if job and console then
    job:resize(console:size())
    ok, r, message, code = pcall(carry, job, console, core, true)
  elseif job then
    r, message, code = job:wait()
  end
  if job then job:close() end
  if console then console:close() end
  if not ok then error(r, 0) end
  return r, message, code
end

return M
