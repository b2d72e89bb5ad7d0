-- SPDX-License-Identifier: MIT
-- How a prepared program ends: as a cold run of the same code does, in whatever way that is.
local env = require "support.harness"
local sandbox, sb = env.sandbox, env.sb

-- Each row is code; what it gives cold it gives prepared. A configuration of the tests takes every sixth, and they are six.
local rows = {
  python = {
    { "falls off its end", "print('out')" },
    { "sys.exit with a number", "import sys; print('out', end=''); sys.exit(7)" },
    { "sys.exit with words", "import sys; sys.exit('words')" },
    { "sys.exit with what a byte cannot hold", "import sys; sys.exit(2**70 + 1)" },
    { "sys.exit with -1", "import sys; sys.exit(-1)" },
    { "an exception", "def f():\n  raise ValueError('mine')\nf()" },
    { "a chain of exceptions", "try: 1 / 0\nexcept ZeroDivisionError: {}['x']" },
    { "code that does not compile", "print('x'\n" },
    { "an excepthook of its own", "import sys\nsys.excepthook = lambda t, e, b: print('hook', e, b.tb_lineno)\nraise ValueError(1)" },
    { "os._exit", "import os\nprint('lost')\nos._exit(9)" },
    { "a signal", "import os\nos.kill(os.getpid(), 15)" },
    { "KeyboardInterrupt", "raise KeyboardInterrupt" },
    { "atexit", "import atexit\natexit.register(print, 'second')\natexit.register(print, 'first')\nprint('body')" },
    { "atexit that raises", "import atexit\ndef f(): raise ValueError('at exit')\natexit.register(f)\natexit.register(print, 'x')", lines = true },
    { "a thread that is waited for", "import threading\ndef f():\n  threading.main_thread().join()\n  print('thread')\nthreading.Thread(target=f).start()\nprint('main')" },
    { "a daemon that lives", "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\nprint('main')" },
    { "a child that lives", "import os, time\nif os.fork() == 0:\n  os.close(1); os.close(2); time.sleep(1000)\nprint('parent')" },
    { "a child that ends first", "import os, sys\np = os.fork()\nif p: os.waitpid(p, 0); print('parent'); sys.exit(4)" },
    { "a file that nobody closed", "f = open('o', 'w')\nf.write('kept')\ndef g(): return f", file = "o" },
    { "a file that a module holds", "import sys\nsys.kept = open('o', 'w')\nsys.kept.write('kept')", file = "o" },
    { "a finaliser of a global", "class A:\n  def __del__(self): print('finaliser')\na = A()" },
    { "a finaliser of a cycle", "class A:\n  def __del__(self): print('finaliser')\na = A()\na.a = a\ndef f(): return a" },
    { "a finaliser that raises", "class A:\n  def __del__(self): raise ValueError('in it')\na = A()", lines = true },
    { "output without a newline", "import sys\nsys.stdout.write('x' * 100000)" },
    { "stdout that is closed below it", "import os\nprint('x')\nos.close(1)" },
    { "stdout that it closed", "import sys\nprint('x')\nsys.stdout.close()" },
    { "stdout of its own", "import io, os, sys\nsys.stdout = io.TextIOWrapper(open(os.dup(1), 'wb'))\nprint('mine')" },
    { "descriptors that it closed and took", "import os\nos.closerange(3, 64)\nfor i in range(8): f = os.open('o', os.O_CREAT | os.O_WRONLY)\nprint('ok')", file = "o" },
    { "stdin that is all its own", "import sys\nprint(repr(sys.stdin.read()))", stdin = "a\0b\nc" },
    { "stdout that it replaced", "import sys, io\nprint('x', end='')\nsys.stdout = io.StringIO()\nprint('y')" },
    { "a generator that is suspended", "def g():\n  try: yield 1\n  finally: print('fin')\nx = g(); next(x)" },
    { "the same, kept by the library", "import json\ndef g():\n  try: yield 1\n  finally: print('fin')\njson.kept = g(); next(json.kept)" },
    { "a thread pool", "from concurrent.futures import ThreadPoolExecutor as P\nimport time\nP(2).submit(lambda: (time.sleep(.1), print('done')))" },
    { "a process of multiprocessing", "import multiprocessing as m\nm.Process(target=print, args=('child',)).start()" },
    { "an excepthook that is none", "import sys\nsys.excepthook = None\nraise ValueError(1)" },
    { "what it finds in its module", "print(sorted(globals()), ascii('\233'))", head = "# coding: latin-1\n" },
    { "a mark of UTF-8", "print('bom')", head = "\239\187\191" },
    { "descriptors that it has", "import os\nprint(os.listdir('/proc/self/fd')[:3])\nos.execvp('sh', ['sh', '-c', 'ls /proc/self/fd | wc -l'])" },
    { "a runaway recursion", "def f(): f()\ntry: f()\nexcept RecursionError: print('deep')" },
  },
  lua = {
    { "falls off its end", "print 'out'" },
    { "os.exit with a number", "io.write 'out' os.exit(7)" },
    { "os.exit that closes", "setmetatable({}, { __gc = function() print 'gc' end }) os.exit(3, true)" },
    { "an error", "local function f() error 'mine' end\nf()" },
    { "an error that is a table", "error{}" },
    { "an error that is nil", "error()", not_luajit = true },
    { "an error with words of its own", "error(setmetatable({}, { __tostring = function() return 'own' end }))" },
    { "code that does not compile", "print(" },
    { "a finaliser of a global", "g = setmetatable({}, { __gc = function() print 'gc' end }) io.write 'x'" },
    { "a file that nobody closed", "f = io.open('o', 'w') f:write 'kept'", file = "o" },
    { "a default output of its own", "io.output 'o' io.write 'kept'", file = "o" },
    { "a process that is still read", "p = io.popen('cat >/dev/null; echo x', 'w') io.write 'y'" },
    { "output without a newline", "io.stdout:setvbuf('full') io.write(('x'):rep(100000))" },
    { "stdout that it closed", "io.write 'x' io.stdout:close()" },
    { "a finaliser that ends it", "setmetatable({}, { __gc = function() os.exit(9) end })" },
    { "a first line of a script", "#!/usr/bin/lua\nprint(debug.getinfo(1).currentline)" },
    { "stdin that is all its own", "print(('%q'):format(io.read '*a'))", stdin = "ab\nc" },
  },
  node = {
    { "falls off its end", "console.log('out')" },
    { "process.exit", "console.log('out'); process.exit(7)" },
    { "process.exitCode", "process.exitCode = 3" },
    { "listeners of exit", "process.on('exit', (c) => { console.log('one', c); process.exitCode = 5 }); process.on('exit', () => console.log('two'))" },
    { "an exception", "function f() { throw new Error('mine') }\nf()", first = true },
    { "an exception that is handled", "process.on('uncaughtException', (e) => console.log(e.message)); throw new Error('mine')" },
    { "exit that it emits itself", "process.emit('exit', 0); console.log('still'); process.exitCode = 3" },
    { "an exit while it exits", "process.on('exit', () => process.exit(5))" },
    { "a promise that nobody keeps", "Promise.reject(new Error('mine'))", first = true },
    { "what a main module has", "console.log(require.main === module, module.id, Object.keys(require).join(), typeof require.resolve)" },
    { "a first line of a script", "#!/usr/bin/node\nthrow null" },
    { "a timer", "setTimeout(() => console.log('late'), 50); console.log('soon')" },
    { "much output", "process.stdout.write('x'.repeat(300000))" },
    { "stdin that is all its own", "process.stdin.on('data', (d) => process.stdout.write(JSON.stringify(String(d))))", stdin = "a\nb" },
  },
  sh = {
    { "falls off its end", "echo out" },
    { "exit", "echo out; exit 7" },
    { "a trap of exit", "trap 'echo trap; exit 4' EXIT; echo out" },
    { "a signal", "kill -9 $$" },
    { "exec", "exec sh -c 'echo x; exit 5'" },
    { "a child that lives", "sleep 1000 >/dev/null 2>&1 & echo x" },
    { "stdin that is all its own", "cat", stdin = "a\0b" },
    { "descriptors that it has", "ls /proc/self/fd | wc -l; if (echo x >&4) 2>/dev/null; then echo 4; fi" },
  },
}
local programs = { -- cold
  python = { "python3", "main.py" }, lua = { "lua5.4", "main.lua" }, node = { "node", "main.js" }, sh = { "sh", "main.sh" },
}

-- Where something is said from differs: the loader's own frames, addresses, the path of a main program that is no file.
local function normal(text, row)
  text = text:gsub("/work/", ""):gsub("0x%x+", "0x"):gsub("main%.sh: %d+: ", "")
  text = text:gsub("stack traceback:.*", ""):gsub("\n +[~^]+\n", "\n") -- Python 3.11 draws them in two ways
  if row.lines then text = text:gsub("\n    [^\n]*", "") end -- the source is shown where the file can be read
  if row.first then text = text:match "Error: [^\n]*" or text end
  return text
end

local shares = os.getenv "SANDBOX_TEST_ALL" and 1 or 6
local share = (({ ["2022"] = 0, ["2024"] = 2, ["2026"] = 4 })[os.getenv "SANDBOX_TEST_BUILD"] or 0) + (env.root and 0 or 1)

local function share_of(list)
  local mine = {}
  for i, row in ipairs(list) do
    if (i + share) % shares == 0 then mine[#mine + 1] = row end
  end
  return mine
end

local function seen(r, row)
  return { r.status, r.exit_code or r.signal, normal(r.stdout, row), normal(r.stderr, row), env.flags_of(r), row.file and r.files[row.file] }
end

describe("a prepared program ends as a cold one", function()
  local before
  setup(function()
    assert(sb:run{ "true" })
    before = env.census()
  end)

  for name, list in pairs(rows) do
    it("in " .. name, function()
      local limits, wrong = { timeout = 60 * env.slow, memory = "300M" }, {}
      local pool = assert(sb:pool{ size = 1, prepared = sandbox.prepared[name](), limits = limits })
      local box = assert(sb:start{ limits = limits })
      local argv = programs[name]
      for _, row in ipairs(share_of(list)) do
        local collect, code = row.file and { row.file } or nil, (row.head or "") .. row[2]
        local cold = assert(box:run{ argv[1], argv[2], files = { [argv[2]] = code }, stdin = row.stdin or "", collect = collect })
        local warm = assert(pool:run{ code = code, stdin = row.stdin or "", collect = collect })
        local a, b = seen(cold, row), seen(warm, row)
        for i = 1, 6 do
          if a[i] ~= b[i] then wrong[#wrong + 1] = ("%s: cold %q, prepared %q"):format(row[1], tostring(a[i]):sub(1, 600), tostring(b[i]):sub(1, 600)) end
        end
        if row.file then box:run{ "rm", "-f", row.file } end
      end
      box:stop()
      pool:close()
      assert.equal("", table.concat(wrong, "\n"))
    end)
  end

  -- What would hold up a real end for ever does not hold up one that was told.
  local endless = {
    python = "import os, time\nos._exit = lambda s: time.sleep(1000)\nprint('out')",
    node = "process.reallyExit = () => { for (;;); }; console.log('out'); process.exit(0)",
  }
  if not env.control then
    for name, code in pairs(endless) do
      it("and tells so itself in " .. name, function()
        local pool = assert(sb:pool{ size = 1, prepared = sandbox.prepared[name](), limits = { timeout = 60 * env.slow } })
        local r = assert(pool:run{ code = code })
        assert.same({ "exited", 0, "out\n" }, { r.status, r.exit_code, r.stdout })
        pool:close()
      end)
    end

    it("whatever program it is that tells", function()
      local own = { "sh", "-c", "echo ready 3; cat <&3 >/work/code; printf '\\003' >&4; sleep 1000" }
      local pool = assert(sb:pool{ size = 1, prepared = own, limits = { timeout = 60 * env.slow } })
      local r = assert(pool:run{ code = "any", argv = { "x" }, collect = { "code" } })
      assert.same({ "exited", 3, "2 3\nx\0any" }, { r.status, r.exit_code, r.files.code })
      pool:close()
    end)

    it("also where a module prints on its way in, or nobody reads the code", function()
      local pool = assert(sb:pool{ size = 1, prepared = { "sh", "-c", "echo module; IFS= read -r head; cat" } })
      local r = assert(pool:run{ code = "c", stdin = "i" })
      assert.same({ "exited", 0, "ci" }, { r.status, r.exit_code, r.stdout })
      pool:close()
      pool = assert(sb:pool{ size = 1, prepared = { "sh", "-c", "echo ready 3; exec 3<&-; cat" } })
      r = assert(pool:run{ code = ("c"):rep(300000), stdin = "i" })
      assert.same({ "exited", 0, "i" }, { r.status, r.exit_code, r.stdout })
      pool:close()
    end)
  end

  it("with all that it has used, and every flag", function()
    local pool = assert(sb:pool{ size = 1, prepared = sandbox.prepared.python(), limits = { timeout = 60 * env.slow, pids = 12, disk = env.root and "4M" or nil } })
    local r = assert(pool:run{ code = "import os, time\ntry:\n  while True:\n    if os.fork() == 0: time.sleep(1000)\nexcept OSError: print('full')" })
    assert.same({ "exited", "full\n", "pids_exceeded" }, { r.status, r.stdout, env.flags_of(r) })
    if env.root then
      r = assert(pool:run{ code = "try:\n  with open('x', 'w') as f: f.write('x' * (8 << 20))\nexcept OSError: print('full')" })
      assert.same({ "exited", "full\n", true }, { r.status, r.stdout, r.disk_exceeded })
    end
    r = assert(pool:run{ code = "import time\nx = bytearray(50 << 20)\nwhile time.process_time() < 0.3: pass" })
    assert.is_true(r.peak_memory > 50 * 2 ^ 20)
    assert.is_true(r.cpu_time > 0.05)
    pool:close()
  end)

  it("leaves nothing behind", function()
    assert.is_nil(env.leftovers(before))
  end)
end)
