-- SPDX-License-Identifier: MIT
-- How long runs hold up Neovim's main loop: the gaps between the ticks of a timer of 5 ms, first with nothing else, then while
-- another editor has 20 runs (what the machine does to a process without any), then with 20 of its own, four coroutines at a
-- time. From the tree, after make:
--   LUA_PATH='lua/?.lua;lua/?/init.lua;;' LUA_CPATH='build/5.1/?.so;;' nvim --headless --clean -c 'luafile bench/nvim.lua'
local vim = vim -- luacheck: ignore
local uv = vim.uv or vim.loop

local other = os.getenv "SBX_BENCH_OTHER" -- this is that other editor
local gaps, last = {}, nil
local timer = uv.new_timer()
timer:start(5, 5, function()
  local now = uv.hrtime()
  if last then gaps[#gaps + 1] = (now - last) / 1e6 end
  last = now
end)

local function report(what)
  table.sort(gaps)
  local function at(part) return gaps[math.max(1, math.ceil(#gaps * part))] end
  io.stdout:write(("%-20s %6d ticks   p50 %7.3f   p99 %7.3f   largest gap %7.3f ms\n"):format(what, #gaps, at(0.5), at(0.99), at(1)))
  gaps, last = {}, nil
end

local ok, err = pcall(function()
  local sb = require("sandbox").new{ boot_timeout = 300 }
  assert(sb:run{ "true" }) -- finds out about runsc, once
  gaps, last = {}, nil
  if not other then
    vim.wait(10000, function() return false end, 1000)
    report "nothing else"
    local status
    local id = vim.fn.jobstart({ vim.v.progpath, "--headless", "--clean", "-c", "luafile bench/nvim.lua" }, {
      env = { SBX_BENCH_OTHER = "1" }, on_exit = function(_, code) status = code end })
    assert(id > 0 and vim.wait(600000, function() return status end, 1000) and status == 0, "the other editor")
    report "20 runs elsewhere"
  end
  local left, done, failure = 20, 0, nil
  for _ = 1, 4 do
    coroutine.wrap(function()
      while left > 0 do
        left = left - 1
        local r, message = sb:run{ "sh", "-c", "for i in 1 2 3 4 5; do echo $i; sleep 0.1; done", on_stdout = function() end }
        if not (r and r.ok) then failure = message or r.message end
        done = done + 1
      end
    end)()
  end
  assert(vim.wait(600000, function() return done == 20 or failure end, 1000) and not failure, failure)
  report "20 runs"
end)
if not ok then io.stdout:write("failed: ", tostring(err), "\n") end
vim.cmd(ok and "qa!" or "cquit!")
