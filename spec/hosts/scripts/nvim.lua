-- SPDX-License-Identifier: MIT
-- nvim --headless --clean -c 'luafile …': main chunk first, then coroutines, then callbacks.
local vim = vim -- luacheck: ignore
local uv = vim.uv or vim.loop
local ok, err = pcall(function()
  local common = require "hosts.scripts.common"
  local sandbox, sb = common.new()
  local same = common.census(sb)
  common.serial(sandbox, sb) -- in the main chunk
  local ticks, finished, failure = 0, false, nil
  local timer = uv.new_timer()
  timer:start(20, 20, function() ticks = ticks + 1 end)
  local function spawn(f)
    local co = coroutine.create(f)
    local fine, message = coroutine.resume(co)
    if not fine then failure = message end
  end
  local function sleep(ms)
    local co = coroutine.running()
    vim.defer_fn(function() assert(coroutine.resume(co)) end, ms)
    coroutine.yield()
  end
  local function join(condition)
    while not condition() do sleep(10) end
  end
  spawn(function()
    local unchanged = common.census(sb)
    common.serial(sandbox, sb)
    common.connect(sb)
    vim.api.nvim_buf_line_count(0) -- the API may be used after a wait
    common.parallel(sb, spawn, join, function() return ticks end)
    common.shared(sb, spawn, join)
    unchanged()
    finished = true
  end)
  assert(vim.wait(120000, function() return finished or failure end, 20), "in time")
  assert(not failure, failure)
  local seen
  local job = assert(sb:spawn{ "sh", "-c", "exit 3", on_exit = function(r)
    vim.api.nvim_buf_line_count(0)
    seen = r and r.exit_code
  end })
  assert(vim.wait(60000, function() return seen end, 20) and seen == 3, "on_exit")
  job:close()
  timer:close()
  same()
  assert(not package.loaded.cjson, "the editor's own JSON is used")
  assert(sb:spawn{ "sleep", "1000" }) -- :qa with a job that runs leaves nothing
end)
io.stdout:write(ok and "passed\n" or "failed: " .. tostring(err) .. "\n")
vim.cmd(ok and "qa!" or "cquit")
