-- SPDX-License-Identifier: MIT
-- examples/nvim in the editor: nvim --headless --clean --cmd 'set rtp+=examples/nvim' -c 'luafile …'.
local vim = vim -- luacheck: ignore
local common = require "hosts.scripts.common"

local text = [[
# A document

```python
for i in range(3):
    print("line", i)
```

Nothing here.

```sh
echo out; echo err >&2; printf unended; exit 4
```

```python
print("turning", flush=True)
while True: pass
```

```cobol
STOP RUN.
```
]]

local function lines() return vim.api.nvim_buf_get_lines(vim.fn.bufnr "sandbox://output", 0, -1, false) end

local function wait_for(what, condition)
  if not vim.wait(120000, condition, 5) then error(what .. "; there is: " .. table.concat(lines(), "|"), 0) end
end

-- Puts the cursor on the line that has these words, and runs what is there.
local function run_at(words)
  vim.fn.cursor(vim.fn.search("\\V" .. words, "cw"), 1)
  vim.cmd "SandboxRun"
end

local function finished() return (lines()[#lines()] or ""):match "^%-%- " end

local function expect(...)
  local want, got = { ... }, lines()
  for i = 1, math.max(#want, #got) do
    if not (got[i] and want[i] and got[i]:find(want[i])) then
      error(("line %d is %q, not %q"):format(i, tostring(got[i]), tostring(want[i])), 0)
    end
  end
end

local ok, err = pcall(function()
  assert(vim.fn.exists ":SandboxRun" == 2 and vim.fn.exists ":SandboxStop" == 2, "the commands")
  -- The instance whose state the census sees; the rest of the module as it is.
  local sandbox, sb = common.new()
  sandbox.spawn = function(options) return sb:spawn(options) end
  require("sandbox_run").limits.timeout = false -- what ends a program here is what is tested

  vim.api.nvim_buf_set_lines(0, 0, -1, false, vim.split(text, "\n"))
  vim.api.nvim_buf_set_option(0, "filetype", "markdown")
  local window = vim.api.nvim_get_current_win()

  run_at 'print("line"'
  wait_for("the end", finished)
  expect("^line 0$", "^line 1$", "^line 2$", "^%-%- ok, %d+%.%d%d s$")
  assert(vim.fn.bufwinid "sandbox://output" ~= -1 and #vim.api.nvim_list_wins() == 2, "a split")
  assert(vim.api.nvim_get_current_win() == window, "the cursor stays")

  run_at "echo out"
  wait_for("the end", finished)
  expect("^out$", "^err$", "^unended$", "^%-%- exited with 4, %d+%.%d%d s$")
  assert(#vim.api.nvim_list_wins() == 2, "the same split")

  -- Output is there while the program still runs, and the editor is free to stop it.
  run_at "while True"
  wait_for("the first line", function() return lines()[1] == "turning" and lines()[2] == "" end)
  assert(not finished(), "still running")
  vim.cmd "SandboxStop"
  wait_for("the end", finished)
  expect("^turning$", "^%-%- killed on request, %d+%.%d%d s$")
  vim.cmd "SandboxStop" -- nothing runs: no error

  local notes = {}
  vim.notify = function(note) notes[#notes + 1] = note end -- luacheck: ignore
  run_at "Nothing here"
  run_at "STOP RUN"
  assert(notes[1] and notes[1]:find "no code block here" and notes[2]:find "no command for cobol", table.concat(notes, "|"))

  run_at "while True" -- :qa with a program that runs leaves nothing
  wait_for("the first line", function() return lines()[1] == "turning" end)
end)
io.stdout:write(ok and "passed\n" or "failed: " .. tostring(err) .. "\n")
vim.cmd(ok and "qa!" or "cquit!")
