-- SPDX-License-Identifier: MIT
-- :SandboxRun runs the code block under the cursor (a fenced block of Markdown, else the whole buffer), :SandboxStop ends it.
if vim.g.loaded_sandbox_run then return end
vim.g.loaded_sandbox_run = true
vim.cmd [[
  command! SandboxRun lua require("sandbox_run").run()
  command! SandboxStop lua require("sandbox_run").stop()
]]
