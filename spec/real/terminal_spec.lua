-- SPDX-License-Identifier: MIT
-- Terminals: what a person, or a program that acts for one, does at them, for a sandbox's only program and for one in a box.
local env = require "support.harness"
local sb = env.sb

-- What this build's terminals do not know: nothing of ours can make up for a line that is edited, or an input that ends, in the kernel.
local edits_lines = env.build ~= "2022"
local LIMITS = { timeout = 120 * env.slow }

-- Who sits at one: types, and looks for what is to be seen next.
local Person = {}
Person.__index = Person

local function sit(spawn, options)
  options.pty = options.pty or true
  options.limits = LIMITS
  return setmetatable({ job = assert(spawn(options)), seen = "", all = {} }, Person)
end

function Person:type(s)
  assert(self.job:write(s))
  return self
end

function Person:expect(words)
  local first, last
  repeat
    first, last = self.seen:find(words, 1, true)
    if not first then
      local chunk, why = self.job:read "stdout"
      if not chunk then error(("%q was never seen, but %q (%s)"):format(words, self.seen:sub(-400), tostring(why)), 2) end
      self.seen = self.seen .. chunk
      self.all[#self.all + 1] = chunk
    end
  until first
  local before = self.seen:sub(1, first - 1)
  self.seen = self.seen:sub(last + 1)
  return before
end

-- A command to a shell, whose prompt is %: what it showed.
function Person:ask(command)
  self:type(command .. "; echo DO''NE\n"):expect "DO''NE"
  local shown = self:expect "DONE\r\n"
  self:expect "% "
  return (shown:gsub("\27%[%?2004[lh]", ""):gsub("^[\r\n]+", ""):gsub("\r", ""))
end

-- Says when it runs, and when it has come back to the foreground.
local WORKER = [[
import os, signal, time
def back(*_):
    while os.tcgetpgrp(2) != os.getpgrp(): time.sleep(0.01)
    print("FRONT", flush=True)
signal.signal(signal.SIGCONT, back)
print("ON", flush=True)
while True: signal.pause()
]]
local WINCH = [[
import os, signal, sys, time
def size(*_):
    w = os.get_terminal_size(0)
    os.write(1, b"size %dx%d\r\n" % (w.lines, w.columns))
signal.signal(signal.SIGWINCH, size)
size()
]]
local DEAF = WINCH .. [[
import termios, tty
tty.setraw(0, termios.TCSANOW)
os.write(1, b"deaf\r\n")
signal.signal(signal.SIGUSR1, lambda *_: None)
signal.pause()
while True:
    signal.pause()
    if os.get_terminal_size(0).lines == 11: break
n = 0
while n < int(sys.argv[1]): n += len(os.read(0, 65536))
os.write(1, b"got %d\r\n" % n)
]]
local FULL = [[
import curses
def main(s):
    while True:
        s.erase(); s.addstr(0, 0, "full %dx%d" % s.getmaxyx()); s.refresh()
        k = s.getch()
        if k == ord("q"): break
        if k == curses.KEY_UP: s.addstr(2, 0, "arrow"); s.refresh(); s.getch()
curses.wrapper(main)
print("left")
]]

describe("a terminal", function()
  local before, box

  setup(function()
    assert(sb:run{ "true" })
    before = env.census()
    box = assert(sb:start{})
  end)
  teardown(function()
    box:stop()
    assert.is_nil(env.leftovers(before))
  end)

  local ways = {
    ["of a program in a box"] = function(options) return box:spawn(options) end,
    ["of a sandbox's only program"] = function(options) return sb:spawn(options) end,
  }
  for way, spawn in pairs(ways) do
    describe(way, function()
      it("is one for a shell: its name, size and kind; jobs, ^C, ^Z, a password, a flood, its status", function()
        local p = sit(spawn, { "bash", "--norc", "--noprofile", "-i", env = { PS1 = "% ", W = WORKER }, pty = { rows = 30, cols = 200 } })
        p:expect "% "
        assert.is_truthy(p:ask "tty":find "^/dev/pts/%d+\n$")
        assert.same("30 200\n", p:ask "stty size")
        assert.same("xterm-256color\n", p:ask "echo $TERM")
        assert.same("yes\n", p:ask "test -t 0 && test -t 1 && test -t 2 && echo yes")
        assert.same("isig icanon echo\n", p:ask "stty -a | grep -ow -e isig -e icanon -e echo | xargs")
        -- ^C ends what is in the foreground, and that alone.
        p:type "sleep 1000 & sh -c 'echo O''N; exec sleep 1001'\n":expect "ON\r\n"
        p:type "\3":expect "% "
        assert.same("130\n", p:ask "echo $?")
        assert.same("1\n", p:ask "jobs -r | wc -l")
        p:ask "kill %1; wait"
        -- ^Z stops it; it goes on in the background, and comes back.
        p:type("python3 -c \"$W\"\n"):expect "ON\r\n"
        p:type "\26":expect "Stopped"
        p:expect "% "
        assert.is_truthy(p:ask "bg; jobs":find "Running")
        p:type "fg\n":expect "FRONT\r\n"
        p:type "\28":expect "% "
        assert.same("131\n", p:ask "echo $?")
        -- What is typed at a password's prompt is not shown.
        p:type "read -rs -p 'Pass''word: ' x; echo; echo \"<${#x}>\"\n":expect "Password: "
        assert.is_nil(p:type "geheim\n":expect "<6>":find "geheim")
        p:expect "% "
        -- A flood comes through whole.
        assert.same(100000, select(2, p:ask "seq 100000":gsub("\n", "")))
        p.job:resize(41, 132)
        assert.same("41 132\n", p:ask "stty size")
        p:type "exit 7\n"
        local r = assert(p.job:wait())
        assert.same({ "exited", 7, "", 0 }, { r.status, r.exit_code, r.stderr, r.stderr_bytes })
      end)

      if edits_lines then it("edits lines, and has an end to be typed", function()
        local p = sit(spawn, { "sh", "-c", "cat; echo ended; cat; echo again" })
        p:type "ab\n":expect "ab\r\nab\r\n"
        p:type "xyz\127\127\127gx\127h\n":expect "gh\r\n"
        p:type "never\21ij\n":expect "ij\r\n"
        p.job:close_stdin()
        p:expect "ended"
        p:type "half"
        p.job:close_stdin() -- the line, and then the end
        p:expect "halfhalfagain"
        assert.same(0, assert(p.job:wait()).exit_code)
        local r = assert(sit(spawn, { "cat", stdin = "one\ntwo\n" }).job:wait())
        assert.same({ "exited", 20 }, { r.status, #r.stdout }) -- shown as typed and as written, in whatever order
      end) end

      it("tells of its size, also past what a program does not read, which waits for it", function()
        local typed = 400000
        local p = sit(spawn, { "python3", "-c", DEAF, tostring(typed), pty = { rows = 10, cols = 20 } })
        p:expect "size 10x20"
        p:expect "deaf"
        p:type(("x"):rep(typed))
        p.job:resize(12, 34)
        p:expect "size 12x34"
        p.job:resize(11, 34)
        p:expect "size 11x34"
        p:expect("got " .. typed)
        assert.is_true(assert(p.job:wait()).ok)
      end)

      it("bears a whole screen", function()
        local p = sit(spawn, { "python3", "-c", FULL, pty = { rows = 20, cols = 60 } })
        p:expect "full 20x60"
        p.job:resize(25, 70)
        p:expect "full 25x70"
        p:type "\27OA":expect "arrow"
        p:type "xq":expect "left"
        assert.is_true(assert(p.job:wait()).ok)
      end)

      it("says what could not be started, and how a program died", function()
        local r, message, code = sit(spawn, { "/no/such/program" }).job:wait()
        assert.same({ nil, "/no/such/program: the program cannot be executed in the guest: No such file or directory", "bad_command" }, { r, message, code })
        r = assert(sit(spawn, { "sh", "-c", "kill -SEGV $$" }).job:wait())
        assert.same({ "signaled", "SEGV" }, { r.status, r.signal_name })
      end)

      it("hangs up, and goes with its job", function()
        local p = sit(spawn, { "sh", "-c", "sleep 1000 & echo up; cat; cat; sleep 1001" })
        p:expect "up"
        assert.is_true(p.job:kill "HUP")
        local r = assert(p.job:wait())
        assert.same({ "signaled", "HUP" }, { r.status, r.signal_name })
        p = sit(spawn, { "sh", "-c", "trap '' HUP; echo up; sleep 1003" })
        p:expect "up"
        p.job:close()
        assert.is_true(env.eventually(function()
          for _, process in ipairs(box:processes()) do
            if process.command:find "sleep" or process.command:find "^sh" then return false end
          end
          return true
        end))
      end)
    end)
  end

  it("is asked for, and used, in one way only", function()
    for pty, words in pairs{ [1] = "expected true or", [{ rows = 0 }] = "pty.rows", [{ cols = 65536 }] = "pty.cols", [{ term = "a b" }] = "pty.term", [{ lines = 2 }] = "pty.lines" } do
      local ok, message = pcall(sb.spawn, sb, { "true", pty = pty })
      assert.is_false(ok)
      assert.is_truthy(message:find(words, 1, true), message)
    end
    local job = assert(box:spawn{ "cat" })
    assert.is_truthy(select(2, pcall(job.resize, job, 1, 1)):find("pty = true", 1, true))
    job:close()
    job = assert(box:spawn{ "true", pty = true, stderr = "stdout" })
    assert.is_truthy(select(2, pcall(job.resize, job, 0, 1)):find("bad argument #1 to 'resize'", 1, true))
    assert.is_true(assert(job:wait()).ok)
    local done, why, code = job:resize(1, 1)
    assert.same({ nil, "the program has ended", "closed" }, { done, why, code })
  end)
end)
