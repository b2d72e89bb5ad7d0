-- SPDX-License-Identifier: MIT
-- Runs the code block under the cursor in a sandbox; its output appears in a split as it comes, and the editor goes on.
-- Needs the module where Neovim's Lua finds it (luarocks, make install), or package.path and package.cpath set.
local M = {
  --- Defaults of every run; `require("sandbox_run").limits.timeout = 60` changes one.
  limits = { timeout = 10, memory = "256M", pids = 64, output = "1M" },
  --- How a language of a fence, or a filetype, is run.
  commands = {
    python = { "python3", "main.py" }, py = { "python3", "main.py" }, lua = { "lua5.4", "main.lua" }, sh = { "sh", "main.sh" }, bash = { "bash", "main.sh" },
    perl = { "perl", "main.pl" }, awk = { "awk", "-f", "main.awk" }, javascript = { "node", "main.js" }, js = { "node", "main.js" },
  },
}

local job, buffer

local function fence(line)
  return line:match("^%s*```+%s*([%w_+-]*)") or line:match("^%s*~~~+%s*([%w_+-]*)")
end

--- The block around a line: language, text. Outside of Markdown that is the whole buffer.
function M.block()
  local lines = vim.api.nvim_buf_get_lines(0, 0, -1, false)
  local filetype = vim.bo.filetype
  if filetype ~= "markdown" then return filetype, table.concat(lines, "\n") .. "\n" end
  local row, open, language = vim.api.nvim_win_get_cursor(0)[1], nil, nil
  for i, line in ipairs(lines) do
    local found = fence(line)
    if found and not open then
      open, language = i, found
    elseif found then
      if row >= open and row <= i then return language, table.concat(lines, "\n", open + 1, i - 1) .. "\n" end
      open = nil
    end
  end
end

-- A scratch buffer in a split, reused; the cursor stays where it is.
local function output_buffer()
  if not (buffer and vim.api.nvim_buf_is_valid(buffer)) then
    buffer = vim.api.nvim_create_buf(false, true)
    vim.api.nvim_buf_set_name(buffer, "sandbox://output")
  end
  if vim.fn.bufwinid(buffer) == -1 then
    local here = vim.api.nvim_get_current_win()
    vim.cmd("botright 10split")
    vim.api.nvim_win_set_buf(0, buffer)
    vim.api.nvim_set_current_win(here)
  end
  vim.api.nvim_buf_set_lines(buffer, 0, -1, false, { "" })
  return buffer
end

-- Chunks end anywhere: the last line of the buffer is the one that is still being written.
local function append(text)
  if not vim.api.nvim_buf_is_valid(buffer) then return end
  local last = vim.api.nvim_buf_line_count(buffer)
  local lines = vim.split(vim.api.nvim_buf_get_lines(buffer, last - 1, last, false)[1] .. text:gsub("%z", "?"), "\n", { plain = true })
  vim.api.nvim_buf_set_lines(buffer, last - 1, last, false, lines)
  local window = vim.fn.bufwinid(buffer)
  if window ~= -1 then vim.api.nvim_win_set_cursor(window, { vim.api.nvim_buf_line_count(buffer), 0 }) end
end

local function say(form, ...)
  local last = vim.api.nvim_buf_is_valid(buffer) and vim.api.nvim_buf_get_lines(buffer, -2, -1, false)[1] or ""
  append((last == "" and "" or "\n") .. "-- " .. form:format(...))
end

function M.run()
  local language, text = M.block()
  local command = language and M.commands[language]
  if not command then
    local why = not language and "no code block here" or "no command for " .. (language == "" and "a block without a language" or language)
    return vim.notify("sandbox: " .. why, vim.log.levels.WARN)
  end
  M.stop()
  output_buffer()
  local options = { files = { [command[#command]] = text }, limits = M.limits, stderr = "stdout" }
  for i, word in ipairs(command) do options[i] = word end
  local mine
  options.on_stdout = function(chunk) if mine == job then append(chunk) end end
  options.on_exit = function(r, message)
    if mine ~= job then return end
    job = nil
    if not r then
      say("%s", tostring(message))
    else
      say("%s, %.2f s", r.message or "ok", r.duration)
    end
  end
  local message
  mine, message = require("sandbox").spawn(options)
  job = mine
  if not mine then say("%s", tostring(message)) end
end

--- Ends what runs; its last lines stay.
function M.stop()
  if job then job:kill() end
end

return M
