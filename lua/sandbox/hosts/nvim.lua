-- SPDX-License-Identifier: MIT
--- Waiting in Neovim: in a coroutine without holding up the editor, elsewhere through vim.wait.
-- @module sandbox.hosts.nvim
local vim = rawget(_G, "vim")
local core = require "sandbox.core"

-- A callback of libuv may not call the editor's API: coroutines go on in the main loop.
local host = require("sandbox.hosts.luv").adapter(vim.uv or vim.loop, vim.schedule)
host.name = "nvim"

--- Where nothing can be yielded vim.wait lets the editor live on.
-- @int fd
-- @string events
-- @number[opt] seconds
-- @func woken whether to look again
-- @treturn boolean
function host.block(fd, events, seconds, woken)
  if vim.in_fast_event() then return core.poll(fd, events, seconds) end
  local ready, why
  local limit = seconds and core.now() + seconds
  repeat
    local left = limit and math.max(0, limit - core.now()) or 3600
    ready, why = vim.wait(math.ceil(math.min(left, 3600) * 1000), function() return woken() or fd >= 0 and core.poll(fd, events, 0) end, 5)
    if why == -2 then error("interrupted", 0) end -- CTRL-C
  until ready or (limit and core.now() >= limit)
  return ready
end

return host
