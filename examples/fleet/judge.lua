-- SPDX-License-Identifier: MIT
-- Judges many submissions by a fleet: judge.lua [URL [QUEUE [N]]]. Prints how many of each verdict there were, and what the queue says.
-- Exits with 1 where a verdict is not the one expected. `make fleet` starts a broker and workers, and this.
local sandbox = require "sandbox"

local fleet = sandbox.fleet{ redis = arg[1] or "redis://127.0.0.1:6379/0", queue = arg[2] or "judge" }
local N = tonumber(arg[3] or 1000)

-- Of a hundred submissions so many are of this kind: what they write, and the verdict expected.
local kinds = {
  { 80, "accepted", "read a b; echo $((a + b))" },
  { 12, "wrong answer", "read a b; echo $((a * b + 1))" },
  { 3, "exit 3", "exit 3" },
  { 2, "signal SEGV", "kill -SEGV $$" },
  { 1, "out of time", "while :; do :; done" },
  { 1, "out of memory", "dd if=/dev/zero of=/tmp/x bs=1M" },
  { 1, "too much output", "while :; do echo spam spam spam spam spam spam spam; done" },
}
local plan = {}
for _, kind in ipairs(kinds) do
  for _ = 1, kind[1] do plan[#plan + 1] = kind end
end

local function verdict(r, expected)
  if not r then return "no result" end
  if r.timed_out then return "out of time" end
  if r.oom_killed then return "out of memory" end
  if r.output_exceeded then return "too much output" end
  if r.status == "signaled" then return "signal " .. r.signal_name end
  if r.exit_code ~= 0 then return "exit " .. tostring(r.exit_code) end
  return r.stdout == expected .. "\n" and "accepted" or "wrong answer"
end

local function options(kind, a, b)
  return { "sh", "main.sh", files = { ["main.sh"] = kind[3] .. "\n" }, stdin = ("%d %d\n"):format(a, b), init = false,
           limits = { timeout = 2, memory = "64M", pids = 24, output = "64K", output_kill = true } }
end

-- Submits all, then asks for each; with a key it does no harm to submit one again.
local ids, run = {}, ("run-%d-%s"):format(os.time(), tostring({}):match "0x(%x+)" or "0")
for i = 1, N do
  local kind = plan[(i * 37) % #plan + 1]
  local id, message, code = fleet:submit(options(kind, i, i + 1), { key = run .. "-" .. i })
  while not id and code == "busy" do
    sandbox.sleep(0.2)
    id, message, code = fleet:submit(options(kind, i, i + 1), { key = run .. "-" .. i })
  end
  ids[i] = assert(id, message)
end
print(("%d submissions are in the queue %s"):format(N, fleet:stats().queue))

local count, surprises = {}, 0
for i = 1, N do
  local kind = plan[(i * 37) % #plan + 1]
  local r, message = fleet:result(ids[i])
  local got = verdict(r, ("%d"):format(2 * i + 1))
  count[got] = (count[got] or 0) + 1
  if got ~= kind[2] then
    surprises = surprises + 1
    print(("%s: %s, expected %s: %s"):format(ids[i], got, kind[2], tostring(r and r.message or message)))
  end
  if i % 100 == 0 then
    local stats = fleet:stats()
    print(("%5d judged; %d wait, the first for %.1f s; %d of %d slots busy"):format(i, stats.queued, stats.age, stats.busy, stats.slots))
  end
end

local names = {}
for name in pairs(count) do names[#names + 1] = name end
table.sort(names, function(a, b) return count[a] > count[b] end)
print()
for _, name in ipairs(names) do print(("%-16s %5d"):format(name, count[name])) end
local counts = fleet:stats().counts
print(("%d submitted, %d answered, %d as expected"):format(counts.submitted, counts.answered, N - surprises))
fleet:close()
os.exit(surprises == 0 and 0 or 1)
