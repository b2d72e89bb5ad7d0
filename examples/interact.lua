-- SPDX-License-Identifier: MIT
-- An interactive judge: the judge thinks of a number, a submission asks for it, and neither can cheat: each has a sandbox of its own.
-- Exits with 1 where a verdict is not the one expected.
local sandbox = require "sandbox"

local LIMITS = { timeout = 3, memory = "64M", pids = 16, output = "64K" }

-- Says the range, answers `higher`, `lower` or `found`, and ends with 0 for whoever finds the number in time, else with words.
local JUDGE = [[
number, guesses = 389, 0
print("1 1000", flush=True)
while True:
    try:
        guess = int(input())
    except (EOFError, ValueError):
        raise SystemExit("that is no guess")
    guesses += 1
    if guess == number:
        print("found", flush=True)
        raise SystemExit(0)
    if guesses == 10:
        raise SystemExit("ten guesses are enough")
    print("higher" if number > guess else "lower", flush=True)
]]

local submissions = {
  { "halves", "accepted", [[
low, high = map(int, input().split())
while True:
    middle = (low + high) // 2
    print(middle, flush=True)
    word = input()
    if word == "found": break
    if word == "higher": low = middle + 1
    else: high = middle - 1
]] },
  { "counts", "wrong answer: ten guesses are enough", "input()\nfor i in range(1, 1001):\n    print(i, flush=True)\n    if input() == 'found': break\n" },
  { "says nothing", "wrong answer: that is no guess", "input()\n" },
  { "talks, never listens", "wrong answer: ten guesses are enough", "while True: print(1, flush=True)\n" },
  { "listens, never talks", "out of time", "while True: input()\n" },
  { "crashes", "signal SEGV", "import os\nos.kill(os.getpid(), 11)\n" },
}

local function verdict(judge, player)
  if judge.ok and player.ok then return "accepted" end
  if player.timed_out or judge.timed_out then return "out of time" end
  if player.status == "signaled" then return "signal " .. player.signal_name end
  if judge.status == "exited" then return "wrong answer: " .. judge.stderr:gsub("%s+$", "") end
  return tostring(player.message or judge.message)
end

local outcomes = sandbox.loop(function()
  return sandbox.map(submissions, 2, function(s)
    local judge, player, transcript = sandbox.interact({ "python3", "-c", JUDGE }, { "python3", "-c", s[3] }, { limits = LIMITS, transcript = "4K" })
    if not judge then error(player) end
    return { got = verdict(judge, player), transcript = transcript }
  end)
end)

local surprises = 0
for i, s in ipairs(submissions) do
  local as_expected = outcomes[i].got == s[2]
  if not as_expected then surprises = surprises + 1 end
  print(("%-22s %-40s %s"):format(s[1], outcomes[i].got, as_expected and "" or "expected: " .. s[2]))
end
print "what the judge (<) and the first submission (>) said:"
for _, said in ipairs(outcomes[1].transcript) do io.write(said.from == 1 and "< " or "> ", said.data) end
os.exit(surprises == 0 and 0 or 1)
