-- SPDX-License-Identifier: MIT
-- A judge: submissions in the languages of this machine, well-meant and otherwise, several at once, and a table of verdicts.
-- Exits with 1 where a verdict is not the one expected.
local sandbox = require "sandbox"

local AT_ONCE = 2
-- A loop is judged by the processor time that it had, however busy this machine is; what only sleeps, by the clock.
local LIMITS = { cpu_time = 2, timeout = 15, memory = "96M", pids = 24, output = "64K", output_kill = true, open_files = 64 }
local INPUT = "19 23\n"
local ANSWER = "42"

local function exists(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

-- How a language is compiled or checked before it runs (if it can be), and how it runs.
local COMPILE = { timeout = 20, memory = "512M", pids = 64, open_files = 1024 }
local languages = {
  sh = { binary = "/usr/bin/sh", file = "main.sh", compile = { "sh", "-n", "main.sh" }, run = { "sh", "main.sh" } },
  awk = { binary = "/usr/bin/awk", file = "main.awk", run = { "awk", "-f", "main.awk" } },
  perl = { binary = "/usr/bin/perl", file = "main.pl", compile = { "perl", "-c", "main.pl" }, run = { "perl", "main.pl" } },
  lua = { binary = "/usr/bin/lua5.4", file = "main.lua", run = { "lua5.4", "main.lua" } },
  luajit = { binary = "/usr/bin/luajit", file = "main.lua", run = { "luajit", "main.lua" } },
  python = { binary = "/usr/bin/python3", file = "main.py", compile = { "python3", "-m", "py_compile", "main.py" }, run = { "python3", "main.py" } },
  node = { binary = "/usr/bin/node", file = "main.js", run = { "node", "main.js" }, limits = { memory = "512M", pids = 64 } },
  c = { binary = "/usr/bin/gcc", file = "main.c", compile = { "gcc", "-O1", "-o", "main", "main.c" }, run = { "./main" } },
}

-- name, language, expected verdict, source, limits of its own. A submission in a language that this machine lacks is left out.
local submissions = {
  { "adds", "sh", "accepted", "read a b\necho $((a + b))\n" },
  { "adds", "awk", "accepted", "{ print $1 + $2 }\n" },
  { "adds", "perl", "accepted", "my ($x, $y) = split ' ', <STDIN>;\nprint $x + $y, qq(\\n);\n" },
  { "adds", "lua", "accepted", "print(math.tointeger(io.read('n') + io.read('n')))\n" },
  { "adds", "luajit", "accepted", "print(io.read('*n') + io.read('*n'))\n" },
  { "adds", "python", "accepted", "print(sum(map(int, input().split())))\n" },
  { "adds", "node", "accepted", "console.log(require('fs').readFileSync(0, 'utf8').split(' ').reduce((a, b) => +a + +b))\n" },
  { "adds", "c", "accepted", "#include <stdio.h>\nint main(void) { int a, b; scanf(\"%d%d\", &a, &b); printf(\"%d\\n\", a + b); return 0; }\n" },
  { "multiplies", "sh", "wrong answer", "read a b\necho $((a * b))\n" },
  { "gives up", "sh", "exit 3", "exit 3\n" },
  { "gives up", "python", "exit 1", "raise SystemExit('I do not know')\n" },
  { "loops", "sh", "out of time", "while :; do :; done\n" },
  { "loops", "lua", "out of time", "while true do end\n" },
  { "sleeps", "sh", "out of time", "sleep 60\n", { timeout = 2 } },
  { "eats memory", "awk", "out of memory", "BEGIN { s = \"0123456789abcdef\"; while (1) { s = s s; t[n++] = s \"x\" } }\n" },
  { "eats memory", "python", "out of memory", "hoard = []\nwhile True: hoard.append(bytearray(1 << 20))\n" },
  { "floods stdout", "sh", "too much output", "while :; do echo spam spam spam spam spam spam spam spam spam spam spam; done\n" },
  { "forks for ever", "sh", "too many processes", "f() { while :; do f & done; }\nf\n" },
  { "forks for ever", "python", "too many processes", "import os\nwhile True: os.fork()\n", { memory = "512M" } },
  { "crashes", "sh", "signal SEGV", "kill -SEGV $$\n" },
  { "crashes", "c", "signal SEGV", "int main(void) { volatile int *p = 0; return *p; }\n" },
  { "aborts", "perl", "signal ABRT", "kill 'ABRT', $$; sleep 5;\n" },
  { "does not parse", "sh", "compile error", "if then fi\n" },
  { "does not parse", "python", "compile error", "def def\n" },
  { "does not parse", "c", "compile error", "int main(void) { return }\n" },
  { "reads the host", "sh", "exit 1", "ls /root /home /etc/shadow >/dev/null 2>&1 && echo 42 || exit 1\n" },
}

local function merged(...)
  local limits = {}
  for i = 1, select("#", ...) do
    for k, v in pairs((select(i, ...)) or {}) do limits[k] = v end
  end
  return limits
end

local function verdict(r)
  if (r.timed_out or r.cpu_exceeded) and not r.pids_exceeded then return "out of time" end
  if r.oom_killed then return "out of memory" end
  if r.pids_exceeded then return "too many processes" end
  if r.output_exceeded then return "too much output" end
  if r.status == "signaled" then return "signal " .. r.signal_name end
  if r.exit_code ~= 0 then return "exit " .. tostring(r.exit_code) end
  return r.stdout:match("^%s*(.-)%s*$") == ANSWER and "accepted" or "wrong answer"
end

-- Compiling needs room that running does not: each has limits of its own, over the same /work.
local function judge(s)
  local language = languages[s[2]]
  local run = { stdin = INPUT, limits = merged(LIMITS, language.limits, s[5]), name = "run" }
  for i, word in ipairs(language.run) do run[i] = word end
  local stages, first = { run }, run
  if language.compile then
    first = { limits = COMPILE, name = "compile" }
    for i, word in ipairs(language.compile) do first[i] = word end
    stages = { first, run }
  end
  first.files = { [language.file] = s[4] }
  local r = assert(sandbox.stages(stages))
  return { got = r.run and verdict(r.run) or "compile error", r = r.last }
end

local queue = {}
for _, s in ipairs(submissions) do
  if exists(languages[s[2]].binary) then queue[#queue + 1] = s end
end

local outcomes = sandbox.loop(function() return sandbox.map(queue, AT_ONCE, judge) end)

local form = "%-16s %-8s %-20s %9s %9s %9s  %s"
print(form:format("submission", "in", "verdict", "time", "cpu", "memory", ""))
local surprises = 0
for i, s in ipairs(queue) do
  local got, r = outcomes[i].got, outcomes[i].r
  local as_expected = got == s[3]
  if not as_expected then surprises = surprises + 1 end
  print(form:format(s[1], s[2], got, ("%.0f ms"):format(r.duration * 1000), r.cpu_time and ("%.0f ms"):format(r.cpu_time * 1000) or "-",
    r.peak_memory and ("%.1f MB"):format(r.peak_memory / 1e6) or "-", as_expected and "" or "expected: " .. s[3] .. "; " .. tostring(r.message)))
end
print(("%d submissions, %d as expected"):format(#queue, #queue - surprises))
os.exit(surprises == 0 and 0 or 1)
