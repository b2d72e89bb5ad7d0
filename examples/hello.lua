-- SPDX-License-Identifier: MIT
-- The shortest useful program: run some Python that nobody has read, and look at what became of it.
local sandbox = require "sandbox"

local r = assert(sandbox.run{ "python3", "-c", "print(6*7)", limits = { timeout = 10, memory = "128M", pids = 32 } })
if r.exit_code == 127 then -- no Python on this machine: the shell can multiply too
  r = assert(sandbox.run{ "sh", "-c", "echo $((6*7))" })
end
print("stdout    " .. r.stdout:gsub("%s+$", ""))
print("ok        " .. tostring(r.ok))
print("status    " .. r.status .. " " .. tostring(r.exit_code))
print(("boot      %.0f ms"):format(r.boot_duration * 1000))
print(("duration  %.0f ms"):format(r.duration * 1000))
print("runsc     " .. r.runtime.runsc .. ", " .. r.runtime.platform .. (r.runtime.rootless and ", rootless" or ""))

-- Files in, several streams out, a limit that is hit: the loop below would run for ever.
r = assert(sandbox.run{ "sh", "count.sh", "3",
  files = { ["count.sh"] = "i=0; while [ $i -lt $1 ]; do i=$((i+1)); echo line $i; done; echo done >&2; while :; do :; done\n" },
  limits = { timeout = 0.5 },
  on_stdout = function(chunk) io.write("   > ", (chunk:gsub("\n(.)", "\n   > %1"))) end,
})
print("stderr    " .. r.stderr:gsub("%s+$", ""))
print("ended by  " .. r.status .. ": " .. r.message)
if not r.timed_out then os.exit(1) end
