-- SPDX-License-Identifier: MIT
--- Programs for `prepared` pools: an interpreter that has loaded its modules, says so, and waits for code.
--
-- On stdin comes a line with two lengths, arguments (each ended by NUL) and code; what follows is the program's own stdin. The
-- loader reads byte-exactly and unbuffered, so that not a byte of it is missing there. "ready" and a newline on stdout say that
-- it waits; the pool takes that line away. Random state is seeded afresh after the wait.
-- @module sandbox.pool.prepared
local errors = require "sandbox.errors"
local oci = require "sandbox.run.oci"
local values = require "sandbox.options.values"

local M = {}

-- A traceback names the user's line, not the loader's. Exit handlers run; the interpreter's own dismantling is left out.
local PYTHON = [==[
import os, sys
for name in sys.argv[1:]: __import__(name)
def main():
    import atexit, builtins, linecache, random, threading, traceback, types
    os.write(1, b"ready\n")
    def read(n):
        data = b""
        while len(data) < n:
            piece = os.read(0, n - len(data))
            if not piece: os._exit(0)
            data += piece
        return data
    head = b""
    while not head.endswith(b"\n"): head += read(1)
    args, size = (int(n) for n in head.split())
    argv = [a.decode("utf-8", "surrogateescape") for a in read(args).split(b"\0")[:-1]]
    source = read(size).decode("utf-8", "surrogateescape")
    random.seed()
    sys.argv = ["main.py"] + argv
    module = types.ModuleType("__main__")
    module.__dict__["__builtins__"] = builtins
    module.__file__ = "main.py"
    sys.modules["__main__"] = module
    linecache.cache["main.py"] = (len(source), None, source.splitlines(True), "main.py")
    status = 0
    try:
        exec(compile(source, "main.py", "exec"), module.__dict__)
    except SystemExit as e:
        if e.code is None: status = 0
        elif isinstance(e.code, int): status = e.code & 255
        else:
            print(e.code, file=sys.stderr)
            status = 1
    except BaseException as e:
        t = e.__traceback__.tb_next if e.__traceback__ else None
        traceback.print_exception(type(e), e, t)
        status = 130 if isinstance(e, KeyboardInterrupt) else 1
    try:
        threading._shutdown()
        atexit._run_exitfuncs()
    except BaseException: pass
    for stream in (sys.stdout, sys.stderr):
        try: stream.flush()
        except BaseException: pass
    os._exit(status)
main()
]==]

local LUA = [==[
for i = 1, #modules do require(modules[i]) end
io.stdin:setvbuf("no")
io.stdout:write("ready\n") io.stdout:flush()
local head = io.stdin:read("*l")
if not head then os.exit(0) end
local n, size = head:match("^(%d+) (%d+)$")
local packed = tonumber(n) > 0 and io.stdin:read(tonumber(n)) or ""
local source = tonumber(size) > 0 and io.stdin:read(tonumber(size)) or ""
local argv = { [0] = "main.lua" }
for a in packed:gmatch("([^%z]*)%z") do argv[#argv + 1] = a end
arg = argv
local file = io.open("/dev/urandom", "rb")
if file then
  local a, b, c, d = file:read(4):byte(1, 4)
  file:close()
  math.randomseed(a + b * 256 + c * 65536 + d % 64 * 16777216)
end
local chunk, message = (loadstring or load)(source, "@main.lua")
if not chunk then io.stderr:write("lua: ", message, "\n") os.exit(1) end
local ok, err = xpcall(function() return chunk((table.unpack or unpack)(argv)) end, function(e)
  return debug.traceback(tostring(e), 2)
end)
if not ok then io.stderr:write("lua: ", err, "\n") end
io.stdout:flush()
os.exit(ok and 0 or 1)
]==]

local NODE = [==[
for (const name of process.argv.slice(1)) require(name);
const fs = require("fs"), vm = require("vm"), Module = require("module");
fs.writeSync(1, "ready\n");
function read(n) {
  const b = Buffer.alloc(n);
  let at = 0;
  while (at < n) {
    let got = 0;
    try { got = fs.readSync(0, b, at, n - at, null); } catch (e) { if (e.code !== "EAGAIN") throw e; continue; }
    if (!got) process.exit(0);
    at += got;
  }
  return b;
}
let head = "";
while (!head.endsWith("\n")) head += read(1).toString("latin1");
const [args, size] = head.trim().split(" ").map(Number);
const argv = read(args).toString("utf8").split("\0").slice(0, -1);
const source = read(size).toString("utf8");
process.argv = [process.argv[0], "main.js", ...argv];
const m = new Module("main.js", null);
m.filename = process.cwd() + "/main.js";
m.paths = Module._nodeModulePaths(process.cwd());
require.main = m;
const f = vm.runInThisContext(Module.wrap(source), { filename: "main.js" });
f.call(m.exports, m.exports, (id) => m.require(id), m, m.filename, process.cwd());
]==]

-- A shell can neither read so many bytes nor hold a NUL: our helper in the sandbox makes text of the lease, which `eval` takes. What
-- follows is stdin.
local SH = ([==[
echo ready
code=$(%s shell) || exit 0
eval "unset code; $code"
]==]):format(oci.HELPER)

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
  return { interpreter or "lua5.4", "-e", "local modules = {" .. table.concat(names, ",") .. "}\n" .. LUA }
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
