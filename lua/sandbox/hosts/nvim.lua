-- SPDX-License-Identifier: MIT
--- Waiting in Neovim: in a coroutine without holding up the editor, in the main chunk through vim.wait.
-- @module sandbox.hosts.nvim
local vim = rawget(_G, "vim")
local core = require "sandbox.core"
local uv = vim.uv or vim.loop

-- A callback of libuv may not call the editor's API: the coroutine goes on in the main loop.
local host = require("sandbox.hosts.luv").adapter(uv, function(co, ready)
  vim.schedule(function()
    local ok, err = coroutine.resume(co, ready)
    if not ok then error(err, 0) end
  end)
end)
host.name = "nvim"

local yield_wait, yield_watch = host.wait, host.watch

function host.running() return uv ~= nil end

--- In the main chunk vim.wait lets the editor live on.
function host.wait(fd, events, seconds)
  local co, main = coroutine.running()
  if co and not main then return yield_wait(fd, events, seconds) end
  if vim.in_fast_event() then return core.poll(fd, events, seconds) end
  local ready, why
  local limit = seconds and core.now() + seconds
  repeat
    local left = limit and math.max(0, limit - core.now()) or 3600
    ready, why = vim.wait(math.ceil(math.min(left, 3600) * 1000), function() return fd >= 0 and core.poll(fd, events, 0) end, 5)
    if why == -2 then error("interrupted", 0) end -- CTRL-C
  until ready or (limit and core.now() >= limit)
  return ready
end

--- As in luv, but in the main loop.
function host.watch(fd, f, events)
  return yield_watch(fd, vim.schedule_wrap(f), events)
end

return host
