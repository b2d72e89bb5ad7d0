-- SPDX-License-Identifier: MIT
--- Programs for `prepared` pools: an interpreter that has loaded its modules, says so, and waits for code.
--
-- A line on stdout says that it waits; the pool takes that line away. Then comes a line with two lengths, arguments (each ended by
-- NUL) and code: after "ready 3" on descriptor 3, which ends with them, after any other line on stdin, where the program's own stdin
-- follows. (`runsc exec` passes no descriptors. What a module prints on its way in may be taken for the line, so a loader that finds
-- nothing on 3 looks at stdin, byte by byte, so that not one is missing there. Without pipes of ours the interpreter, or a module, may
-- have one of its own there: that is one pipe, or comes later than we look.)
--
-- What a program does first is rehearsed before that line: compiling, running, flushing. Random state is seeded afresh after it.
-- Descriptor 4 takes the program's exit status, a byte, once all that a cold run would do at its end is done: what was written is
-- written, finalisers have run. The sandbox is killed then, and nobody waits for the interpreter to be dismantled. Whatever a loader
-- cannot do as the interpreter would (threads that live, what cannot be flushed, objects that nothing finalises before the very end,
-- a fork that comes here as well) it leaves to a real end.
-- @module sandbox.pool.prepared
local errors = require "sandbox.errors"
local oci = require "sandbox.run.oci"
local values = require "sandbox.options.values"

local M = {}

--- The line after which code goes to descriptor 3.
M.APART = "ready 3"

-- A traceback names the user's line, not the loader's. `finish` is Py_FinalizeEx in Python, as far as it goes; false: it goes on.
local PYTHON = [==[
def main():
    import os, sys
    import atexit, builtins, gc, linecache, random, stat, threading, traceback, types, _io, _signal, _thread, _weakref
    def pipe(fd):
        try: s = os.fstat(fd)
        except OSError: return None
        return (s.st_dev, s.st_ino) if stat.S_ISFIFO(s.st_mode) else None
    code, word, pid = pipe(3), pipe(4), os.getpid()
    if not code or not word or code == word: code = word = None
    for fd in (3, 4):
        if word: os.set_inheritable(fd, False)
    for name in sys.argv[1:]: __import__(name)
    def read(n):
        nonlocal code
        piece = os.read(3, n) if code else os.read(0, n)
        if not piece and code:
            code = None
            return b""
        if not piece: os._exit(0)
        return piece
    def take():
        data = bytearray()
        while b"\n" not in data: data += read(65536 if code else 1)
        head, _, data = data.partition(b"\n")
        args, size = (int(n) for n in head.split())
        while len(data) < args + size: data += read(args + size - len(data))
        return bytes(data[:args]), bytes(data[args:])
    def run(source):
        module = types.ModuleType("__main__")
        module.__dict__["__builtins__"] = builtins
        module.__file__, module.__cached__ = "main.py", None
        if "__annotations__" in own.__dict__: module.__annotations__ = {}
        sys.modules["__main__"] = module
        lines = source.decode("utf-8", "replace").split("\n")
        linecache.cache["main.py"] = (len(source), None, [line + "\n" for line in lines], "main.py")
        try:
            exec(compile(source, "main.py", "exec"), module.__dict__)
            return 0
        except SystemExit as x:
            if x.code is None: return 0
            if isinstance(x.code, int): return x.code & 255 if -2**63 <= x.code < 2**63 else 255
            print(x.code, file=sys.stderr)
            return 1
        except BaseException as x: e = x
        t = e.__traceback__.tb_next if e.__traceback__ else None
        e.__traceback__ = t
        sys.last_type, sys.last_value, sys.last_traceback = type(e), e, t
        if sys.excepthook is sys.__excepthook__: traceback.print_exception(type(e), e, t)
        else:
            try: sys.excepthook(type(e), e, t)
            except SystemExit as x: return x.code & 255 if isinstance(x.code, int) else x.code is not None
            except BaseException as x:
                print("Error in sys.excepthook:", file=sys.stderr)
                traceback.print_exception(type(x), x, x.__traceback__ and x.__traceback__.tb_next)
                print("\nOriginal exception was:", file=sys.stderr)
                traceback.print_exception(type(e), e, t)
        return -2 if isinstance(e, KeyboardInterrupt) else 1
    def flush():
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed: stream.flush()
    def dismantle(before):
        for o in gc.get_objects(): # of a file in a cycle the lowest layer may be finalised first
            if isinstance(o, (_io._TextIOBase, _io._BufferedIOBase)) and not o.closed: o.flush()
        for name in ("last_type", "last_value", "last_traceback", "last_exc"): sys.__dict__.pop(name, None)
        modules = [_weakref.ref(sys.modules.pop(n)) for n in list(sys.modules) if n not in before and isinstance(sys.modules[n], types.ModuleType)]
        gc.collect()
        for private in (True, False):
            for names in [m().__dict__ for m in reversed(modules) if m() is not None]:
                for n in list(names):
                    if (n[:1] == "_" and n[1:2] != "_") == private and n != "__builtins__": names[n] = None
        gc.collect()
        return not any(hasattr(type(o), "__del__") for o in gc.get_objects())
    def finish(before):
        try:
            threading._shutdown()
            atexit._run_exitfuncs()
            flush()
            if _thread._count() or not hasattr(gc, "freeze"): return False
            done = dismantle(before)
            flush()
            return done and os.getpid() == pid
        except BaseException: return False
    own = sys.modules["__main__"]
    run(b"x = ['%d' % n for n in range(9)]\ndef f(*a, **k): return len(a)\nclass C:\n  def m(self): return f(*x)\nC().m()\n")
    random.seed()
    flush()
    before = set(sys.modules) - {"__main__"}
    dismantle(before)
    sys.modules["__main__"] = own
    if hasattr(gc, "freeze"): gc.freeze()
    os.write(1, b"ready 3\n" if code else b"ready\n")
    args, source = take()
    if code: os.close(3)
    random.seed()
    sys.argv = ["main.py"] + [a.decode("utf-8", "surrogateescape") for a in args.split(b"\0")[:-1]]
    status = run(source)
    if status >= 0 and finish(before) and word and pipe(4) == word:
        os.write(4, bytes([status]))
        os._exit(status)
    if status < 0:
        finish(before)
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
        os.kill(os.getpid(), _signal.SIGINT)
    sys.exit(status)
main()
]==]

-- What was made first is finalised last: `last` is, when the state is closed, and it tells. PUC's 5.1 closes it at an end of its own only.
local LUA = [==[
local function descriptor(n, mode) return io.open("/proc/self/fd/" .. n, mode) end
local function pid()
  local file = io.open("/proc/self/stat", "rb")
  local id = file and file:read("*l"):match("^%d+")
  if file then file:close() end
  return id
end
local code, word, random, own = descriptor(3, "rb"), descriptor(4, "wb"), io.open("/dev/urandom", "rb"), pid()
if word then word:setvbuf("no") end
if random then random:setvbuf("no") end
for i = 1, #modules do require(modules[i]) end
local status
local function tell()
  if status and word and own and pid() == own and (io.type(io.stdout) == "closed file" or io.stdout:flush()) then word:write(string.char(status)) end
end
local last = newproxy and newproxy(true) or setmetatable({}, { __gc = tell })
if newproxy then getmetatable(last).__gc = tell end
local load = loadstring or load
assert(load("local t = {} for i = 1, 9 do t[i] = tostring(i):rep(2) end return #table.concat(t)", "@main.lua"))()
io.stdin:setvbuf("no")
collectgarbage()
io.stdout:write(code and word and "ready 3\n" or "ready\n") io.stdout:flush()
local from, head = code, code and word and code:read("*l")
if not head then from, head = io.stdin, io.stdin:read("*l") end
if not head then os.exit(0) end
local n, size = head:match("^(%d+) (%d+)$")
local packed = tonumber(n) > 0 and from:read(tonumber(n)) or ""
local source = tonumber(size) > 0 and from:read(tonumber(size)) or ""
if code then code:close() end
local argv = { [0] = "main.lua" }
for a in packed:gmatch("([^%z]*)%z") do argv[#argv + 1] = a end
arg = argv
if random then
  local a, b, c, d = random:read(4):byte(1, 4)
  random:close()
  math.randomseed(a + b * 256 + c * 65536 + d % 64 * 16777216)
end
local chunk, message = load(source:gsub("^#[^\n]*", ""), "@main.lua")
local ok = false
if chunk then
  ok, message = xpcall(function() return chunk((table.unpack or unpack)(argv)) end, function(e)
    if type(e) ~= "string" and type(e) ~= "number" then
      local words = debug.getmetatable(e)
      if words and words.__tostring then return tostring(e) end
      e = "(error object is a " .. type(e) .. " value)"
    end
    return debug.traceback(tostring(e), 2)
  end)
end
if not ok then io.stderr:write(interpreter, ": ", message, "\n") end
chunk, message = nil, nil
status = ok and 0 or 1
if _VERSION ~= "Lua 5.1" or jit then os.exit(status, true) end
if not ok then error() end
]==]

-- The status is told when `exit` has been emitted to all; what was not caught is printed only after that, and ends really.
local NODE = [==[
const fs = require("fs"), vm = require("vm"), Module = require("module");
function pipe(fd) {
  try {
    const s = fs.fstatSync(fd);
    return s.isFIFO() ? s.dev + ":" + s.ino : null;
  } catch (e) { return null; }
}
const word = pipe(3) && pipe(3) !== pipe(4) && pipe(4);
for (const name of process.argv.slice(1)) require(name);
const emit = process.emit;
let code = word ? 3 : 0, raised = false;
Object.defineProperty(process, "emit", { configurable: true, writable: true, enumerable: false, value: function (event, status) {
  if (event === "uncaughtExceptionMonitor") raised = true;
  const r = emit.apply(this, arguments);
  if (event === "exit" && process._exiting && !raised && leased) {
    const own = process.exitCode === undefined ? status : Number(process.exitCode);
    if (word && pipe(4) === word && Number.isInteger(own)) fs.writeSync(4, Buffer.from([own & 255]));
  }
  return r;
} });
let leased = false;
function read(b, at, n) {
  for (;;) {
    try {
      const got = fs.readSync(code, b, at, n, null);
      if (!got && code) { code = 0; return 0; }
      if (!got) process.exit(0);
      return got;
    } catch (e) { if (e.code !== "EAGAIN") throw e; }
  }
}
function exactly(n) {
  const b = Buffer.alloc(n);
  for (let at = 0; at < n;) at += read(b, at, n - at);
  return b;
}
function compile(source) {
  return vm.compileFunction(source, ["exports", "require", "module", "__filename", "__dirname"],
    { filename: "main.js", importModuleDynamically: vm.constants && vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER });
}
compile("const f = (...a) => a.map(String).join(); f(1, 2);")();
process.stdout; process.stderr;
fs.writeSync(1, code ? "ready 3\n" : "ready\n");
let head = "";
while (!head.endsWith("\n")) head += exactly(1).toString("latin1");
const [args, size] = head.trim().split(" ").map(Number);
const argv = exactly(args).toString("utf8").split("\0").slice(0, -1);
const source = exactly(size).toString("utf8");
if (code) fs.closeSync(3);
process.argv = [process.argv[0], "main.js", ...argv];
const m = new Module(".", null);
m.filename = process.cwd() + "/main.js";
m.paths = Module._nodeModulePaths(process.cwd());
process.mainModule = m;
leased = true;
compile(source).call(m.exports, m.exports, Module.createRequire(m.filename), m, m.filename, process.cwd());
]==]

-- A shell can neither read so many bytes nor hold a NUL: our helper in the sandbox makes text of the lease, which `eval` takes. What
-- follows is stdin. A shell ends as soon as it can: it has nothing to dismantle, and no way to tell that does not show in the program
-- (a trap, a descriptor that is its own to use).
local SH = ([==[
exec 3<&- 4>&-
code=$(%s true); eval "unset code; :"
echo ready
code=$(%s shell) || exit 0
eval "unset code; $code"
]==]):format(oci.HELPER, oci.HELPER)

-- argv and the names of modules after it.
local function with(loader, argv, modules, ...)
  if select("#", ...) > 0 then errors.raise(("bad call: sandbox.prepared.%s{ … } takes a dot, not a colon, and one list"):format(loader)) end
  if modules == nil then return argv end
  local names, message = errors.try(values.strings, "modules", modules, "a list of names of modules")
  if not names then errors.raise(message) end
  for _, name in ipairs(names) do argv[#argv + 1] = name end
  return argv
end

--- A Python that has imported modules.
-- @tparam[opt] {string,...} modules
-- @treturn {string,...} an argv for `prepared`
function M.python(...) return with("python", { "python3", "-c", PYTHON }, ...) end
--- A Lua that has required modules.
-- @tparam[opt] {string,...} modules
-- @string[opt="lua5.4"] interpreter
-- @treturn {string,...}
function M.lua(modules, interpreter)
  local names = with("lua", {}, modules)
  if interpreter ~= nil and type(interpreter) ~= "string" then errors.argument(2, "lua", "the name of an interpreter", interpreter) end
  for i, name in ipairs(names) do names[i] = ("%q"):format(name) end
  interpreter = interpreter or "lua5.4"
  return { interpreter, "-e", ("local interpreter, modules = %q, {%s}\n"):format(interpreter, table.concat(names, ",")) .. LUA }
end

--- A Node that has required modules.
-- @tparam[opt] {string,...} modules
-- @treturn {string,...}
function M.node(...) return with("node", { "node", "-e", NODE, "--" }, ...) end
--- A POSIX shell.
-- @treturn {string,...}
function M.sh(...) return with("sh", { "sh", "-c", SH }, ...) end

--- What a prepared program gets before its own stdin.
-- @string code
-- @tparam[opt] {string,...} argv
-- @treturn string
function M.encode(code, argv)
  local packed = ""
  for _, a in ipairs(argv or {}) do packed = packed .. a .. "\0" end
  return #packed .. " " .. #code .. "\n" .. packed .. code -- no format: on 5.1 it stops at a NUL
end

return M
