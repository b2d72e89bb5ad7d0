-- SPDX-License-Identifier: MIT
-- What every host must do, called inside a coroutine of it: `tick()` counts how often the host itself got its turn.
local M = {}

local function check(ok, what)
  if not ok then error("failed: " .. what, 2) end
end

-- One job after the other, in one coroutine. `alone`: the host's wait blocks, so two programs cannot be waited for at once.
function M.serial(sandbox, sb, alone)
  local r = assert(sb:run{ "python3", "-c", "print(input()[::-1])", stdin = "abc\n" })
  check(r.stdout == "cba\n" and r.ok, "run")
  -- It ends while its stdin is on its way: the result is not lost over that.
  for _ = 1, 5 do check(assert(sb:run{ "true", stdin = ("x"):rep(1000000) }).ok, "stdin that nobody reads") end
  local job = assert(sb:spawn{ "cat" })
  check(job:write("hello\n") and job:read("stdout") == "hello\n", "write and read")
  job:close_stdin()
  check(job:wait().ok, "wait")
  job:close()
  local n = 0
  r = assert(sb:run{ "head", "-c", "3000000", "/dev/zero", on_stdout = function(chunk) n = n + #chunk end })
  check(n == 3000000 and r.stdout == nil, "streaming")
  local _, _, code = sb:run{ "no-such-program" }
  check(code == "bad_command", "start error")
  job = assert(sb:spawn{ "sleep", "1000" })
  _, _, code = job:wait(0.05)
  check(code == "timeout", "wait with a time")
  job:kill()
  check(job:wait().status == "killed", "kill")
  job:close()
  job = assert(sb:spawn{ "sleep", "1000" })
  job:close()
  check(sandbox.check{ "true" }, "check")
  if not alone then M.several(sb) end
end

-- More than one program in one call, and sandboxes that are ready.
function M.several(sb)
  local a, b, said = sb:interact({ "sh", "-c", "echo one; read x; echo got $x >&2" }, { "sh", "-c", "read x; echo two" })
  check(a and a.stderr == "got two\n" and b.ok and #said == 2, "interact: " .. tostring(b))
  a, b = sb:interact({ "sleep", "1000", limits = { timeout = 0.3 } }, { "sleep", "1000" }, { grace = 0.1 })
  check(a.status == "timed_out" and b.status == "killed", "interact, where nobody says anything")
  local r = assert(sb:stages{ { "sh", "-c", "echo made >f" }, { "cat", "f" } })
  check(r.ok and r.last.stdout == "made\n", "stages: " .. tostring(r))
  local pool = assert(sb:pool{ size = 1 })
  local box = assert(pool:lease())
  check(box:run{ "echo", "leased" }.stdout == "leased\n", "a lease")
  box:close()
  local job = assert(pool:spawn{ "cat" })
  check(job:write "x" and job:read "stdout" == "x", "a pool's job")
  job:close_stdin()
  check(job:wait().ok and pool:stats().leased == 0, "the end of a pool's job")
  job:close()
  pool:close()
end

-- A server inside a box, spoken to over a stream.
local server = [[
import http.server
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello from inside" * 10000)
    def log_message(self, *a): pass
http.server.HTTPServer(("127.0.0.1", 8000), H).serve_forever()
]]
function M.connect(sb)
  local box = assert(sb:start{ limits = { memory = "256M" } })
  local job = assert(box:spawn{ "python3", "-c", server })
  local stream = assert(box:connect(8000, 60))
  check(stream:write "GET / HTTP/1.0\r\n\r\n", "write to a server inside")
  local parts = {}
  local piece = stream:read()
  while piece do
    parts[#parts + 1] = piece
    piece = stream:read()
  end
  local body = table.concat(parts):match "\r\n\r\n(.*)"
  check(body == ("hello from inside"):rep(10000), "an answer from inside")
  stream:close()
  job:close()
  box:stop()
end

-- Several at once; the host must have gone on meanwhile.
function M.parallel(sb, spawn, join, ticks)
  local before, done = ticks(), 0
  for i = 1, 4 do
    spawn(function()
      local r = assert(sb:run{ "sh", "-c", "sleep 0.4; echo " .. i })
      check(r.stdout == i .. "\n", "parallel")
      done = done + 1
    end)
  end
  join(function() return done == 4 end)
  check(done == 4, "all four")
  check(ticks() - before >= 5, "the host went on: " .. (ticks() - before) .. " turns")
end

-- Three coroutines wait for one job.
function M.shared(sb, spawn, join)
  local job = assert(sb:spawn{ "sh", "-c", "read x; exit 6" })
  local n = 0
  for _ = 1, 3 do
    spawn(function() if job:wait().exit_code == 6 then n = n + 1 end end)
  end
  job:write("go\n")
  join(function() return n == 3 end)
  check(n == 3, "three waiters")
  job:close()
end

function M.new(wait)
  local sandbox = require "sandbox"
  return sandbox, sandbox.new{ state_dir = os.getenv "SBX_STATE", boot_timeout = 60, runsc = os.getenv "SBX_RUNSC", wait = wait }
end

local function descriptors()
  collectgarbage()
  collectgarbage()
  return #require("sandbox.core").readdir "/proc/self/fd"
end

-- Once through every way of waiting, for what a host opens only once; the function that is returned fails where more
-- descriptors are open than then.
function M.census(sb)
  local job = assert(sb:spawn{ "cat" })
  job:wait(0.01)
  job:close()
  assert(sb:run{ "true" })
  local before = descriptors()
  return function()
    local now = descriptors()
    check(now == before, ("%d descriptors, %d before"):format(now, before))
  end
end

return M
