-- SPDX-License-Identifier: MIT
-- Runtimes and tools as a user finds them: each does a real task with `rootfs = "host"` and no flag of its own, and says what it must.
-- What is not installed is left out; with SANDBOX_TEST_RUNTIMES, after `make runtimes` has installed all, that is a failure.
local h = require "support.harness"

local all = os.getenv "SANDBOX_TEST_RUNTIMES"

-- Named ones first: the file that tells whether it is here, the shell's line, files, and what comes of it.
local tasks = {
  { "java", "/usr/bin/javac", "java Main.java", { ["Main.java"] = [[
import java.util.*; import java.util.stream.*;
public class Main { public static void main(String[] a) throws Exception {
  Map<String, Long> m = Stream.of("b", "a", "b").collect(Collectors.groupingBy(s -> s, TreeMap::new, Collectors.counting()));
  Thread t = new Thread(() -> System.out.println(m)); t.start(); t.join();
  var node = java.util.prefs.Preferences.userRoot().node("sandbox"); node.put("k", "kept"); node.flush();
  System.out.println(System.getProperty("user.name") + " " + System.getProperty("user.home") + " " + node.get("k", "lost"));
  System.out.println(new java.text.SimpleDateFormat("yyyy").format(new Date(0)) + " " + String.format("%.2f", Math.PI)); } }]] },
    "{a=1, b=2}\nsandbox /tmp kept\n1970 3.14\n" },
  { "javac", "/usr/bin/javac", "javac -d out Main.java Other.java && jar -c -f m.jar -e Main -C out . && java -jar m.jar", {
    ["Main.java"] = "public class Main { public static void main(String[] a) { System.out.println(new Other().sum(1, 41)); } }\n",
    ["Other.java"] = "record Pair(int a, int b) { } class Other { int sum(int a, int b) { Pair p = new Pair(a, b); return p.a() + p.b(); } }\n" }, "42\n" },
  { "jshell", "/usr/bin/jshell", "jshell -s main.jsh", { ["main.jsh"] = 'int twice(int x) { return 2 * x; }\nSystem.out.println(twice(21))\n/exit\n' }, "42\n" },
  { "node", "/usr/bin/node", "node main.js", { ["main.js"] = [[
const os = require('os'), fs = require('fs'), { Worker } = require('worker_threads');
fs.writeFileSync('a.json', JSON.stringify({ x: 21 }));
const x = JSON.parse(fs.readFileSync('a.json')).x;
const w = new Worker(`require('worker_threads').parentPort.postMessage(${x} * 2)`, { eval: true });
w.on('message', m => console.log(m, os.userInfo().username, require('crypto').createHash('md5').update('').digest('hex').slice(0, 8),
  require('child_process').execSync('echo child').toString().trim()));]] }, "42 sandbox d41d8cd9 child\n" },
  { "npm", "/usr/bin/npm", "npm install --offline --no-audit --no-fund ./dep >/dev/null && npm run -s go", {
    ["package.json"] = '{"name":"m","version":"1.0.0","scripts":{"go":"node -e \\"console.log(require(\'dep\')(21))\\""}}',
    ["dep/package.json"] = '{"name":"dep","version":"1.0.0","main":"i.js"}', ["dep/i.js"] = "module.exports = x => 2 * x\n" }, "42\n" },
  { "python, numpy", "/usr/lib/python3/dist-packages/numpy/__init__.py", "/usr/bin/python3 main.py", { ["main.py"] = [[
import getpass, os, json, ssl, sqlite3, ctypes, zoneinfo, numpy as np
a = np.arange(10000, dtype=float).reshape(100, 100)
print(int(np.linalg.matrix_rank(a)), int((a @ a)[0, 0]), getpass.getuser(), sqlite3.connect(":memory:").execute("select 6*7").fetchone()[0])]] },
    "2 32835000 sandbox 42\n" },
  { "python, multiprocessing", "/usr/bin/python3", "/usr/bin/python3 main.py", { ["main.py"] = [[
from multiprocessing import Pool, Queue, Lock, shared_memory
from concurrent.futures import ThreadPoolExecutor
import tempfile, subprocess, socket
def f(x): return x * x
if __name__ == "__main__":
    with Pool(3) as p: print(p.map(f, range(5)))
    m = shared_memory.SharedMemory(create=True, size=16); m.buf[0] = 7; print(m.buf[0]); m.close(); m.unlink()
    with ThreadPoolExecutor(4) as t: print(sum(t.map(f, range(5))))
    s = socket.create_server(("localhost", 0)); c = socket.create_connection(s.getsockname()); a, _ = s.accept(); c.sendall(b"hi"); print(a.recv(2).decode())
    print(subprocess.run(["tr", "a", "b"], input="aa", text=True, capture_output=True).stdout)]] }, "[0, 1, 4, 9, 16]\n7\n30\nhi\nbb\n" },
  { "ruby", "/usr/bin/ruby", "ruby main.rb", { ["main.rb"] = [[
require 'json'; require 'digest'; require 'etc'; require 'tempfile'; require 'time'
puts JSON.generate({ a: [1, 2].map { |x| Thread.new { x * 2 }.value } }), Digest::MD5.hexdigest('')[0, 8], Etc.getlogin || Etc.getpwuid.name
Tempfile.create('x') { |f| f.write 'hi'; f.flush; puts File.size(f.path) }]] }, '{"a":[2,4]}\nd41d8cd9\nsandbox\n2\n' },
  { "php", "/usr/bin/php", "php main.php", { ["main.php"] = [[
<?php echo json_encode(['a' => mb_strtoupper("ä")], JSON_UNESCAPED_UNICODE), "\n", simplexml_load_string('<a><b>7</b></a>')->b, "\n",
  preg_replace('/(\d+)/', '<$1>', 'x12'), " ", ctype_digit("12") ? "digits" : "none", " ", posix_getpwuid(posix_getuid())['name'], "\n";]] },
    '{"a":"Ä"}\n7\nx<12> digits sandbox\n' },
  { "perl", "/usr/bin/perl", "perl main.pl", { ["main.pl"] = [[
use strict; use warnings; use POSIX; use JSON::PP; use Digest::SHA 'sha1_hex'; use File::Temp; use Time::Local;
my $f = File::Temp->new; print $f "x\n"; my $pid = fork; if (!$pid) { exit 7 } waitpid $pid, 0;
print JSON::PP->new->canonical->encode({ a => $? >> 8, b => substr(sha1_hex(""), 0, 6) }), " ", (getpwuid $<)[0], " ", strftime("%Y", gmtime 0), "\n";]] },
    '{"a":7,"b":"da39a3"} sandbox 1970\n' },
  { "R", "/usr/bin/Rscript", "Rscript main.R", { ["main.R"] = [[
d <- data.frame(x = 1:10, y = 2 * (1:10) + c(0.1, -0.1)); m <- lm(y ~ x, d)
cat(round(coef(m)["x"], 1), nrow(d), toupper("ok"), parallel::detectCores() > 0, "\n"); pdf("p.pdf"); plot(d); invisible(dev.off()); cat(file.size("p.pdf") > 1000, "\n")]] },
    "2 10 OK TRUE \nTRUE \n" },
  { "go build", "/usr/bin/go", "go build -o main . && ./main", { ["go.mod"] = "module m\n\ngo 1.19\n", ["main.go"] = [[
package main

import ("encoding/json"; "fmt"; "os/user"; "sync")

func main() {
	var wg sync.WaitGroup
	sums := make([]int, 4)
	for i := range sums { wg.Add(1); go func(i int) { defer wg.Done(); sums[i] = i * i }(i) }
	wg.Wait()
	u, err := user.Current()
	b, _ := json.Marshal(sums)
	fmt.Println(string(b), u.Username, err)
}
]] }, "[0,1,4,9] sandbox <nil>\n" },
  { "go run", "/usr/bin/go", "go run main.go", { ["main.go"] = 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println(6 * 7) }\n' }, "42\n" },
  { "rust", "/usr/bin/rustc", "rustc main.rs && ./main", { ["main.rs"] = [[
use std::{collections::BTreeMap, sync::mpsc, thread};
fn main() { let (s, r) = mpsc::channel(); for i in 0..3 { let s = s.clone(); thread::spawn(move || s.send((i, i * i)).unwrap()); } drop(s);
  println!("{:?}", r.iter().collect::<BTreeMap<i32, i32>>()); }]] }, "{0: 0, 1: 1, 2: 4}\n" },
  { "gcc", "/usr/bin/gcc", "gcc -O2 -Wall -pthread -o main main.c -lm && ./main", { ["main.c"] = [[
#include <math.h>
#include <pthread.h>
#include <stdio.h>
static void *f(void *p) { *(double *)p = sqrt(1764); return NULL; }
int main(void) { double d = 0; pthread_t t; pthread_create(&t, NULL, f, &d); pthread_join(t, NULL); printf("%.0f\n", d); return 0; }]] }, "42\n" },
  { "g++", "/usr/bin/g++", "g++ -std=c++20 -O1 -o main main.cc && ./main", { ["main.cc"] = [[
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <stdexcept>
#include <vector>
int main() { std::vector<int> v{3, 1, 2}; std::ranges::sort(v); for (int x : v) std::cout << x;
  try { throw std::runtime_error("caught"); } catch (const std::exception &e) { std::cout << ' ' << e.what(); }
  std::cout << ' ' << std::filesystem::exists("main.cc") << '\n'; }]] }, "123 caught 1\n" },
  { "fpc", "/usr/bin/fpc", "fpc -v0 main.pas >&2 && ./main", { ["main.pas"] = [[
program main; uses SysUtils, Classes; var l: TStringList;
begin l := TStringList.Create; l.Add('b'); l.Add('a'); l.Sort; WriteLn(l.CommaText, ' ', IntToStr(6 * 7)); l.Free; end.]] }, "a,b 42\n" },
  { "ocaml", "/usr/bin/ocamlopt", "ocaml main.ml && ocamlopt -o main main.ml && ./main", { ["main.ml"] =
    'let () = Printf.printf "%s\\n" (String.concat "," (List.map string_of_int (List.sort compare [3; 1; 2])))\n' }, "1,2,3\n1,2,3\n" },
  { "ghc", "/usr/bin/ghc", "ghc -v0 Main.hs && ./Main", { ["Main.hs"] =
    'import qualified Data.Map as M\nimport Data.List (sort)\nmain = print (M.toList (M.fromListWith (+) [(c, 1) | c <- sort "abb"]))\n' }, "[('a',1),('b',2)]\n" },
  { "swipl", "/usr/bin/swipl", "swipl -q -g main -t halt main.pl", { ["main.pl"] =
    ":- use_module(library(clpfd)).\nmain :- X #> 5, X #< 8, findall(X, label([X]), L), format('~w~n', [L]).\n" }, "[6,7]\n" },
  { "sbcl", "/usr/bin/sbcl", "sbcl --script main.lisp", { ["main.lisp"] =
    '(defun f (n) (if (< n 2) n (+ (f (- n 1)) (f (- n 2)))))\n(format t "~a ~a~%" (f 20) (expt 2 70))\n(require :sb-posix)\n' }, "6765 1180591620717411303424\n" },
  { "sqlite3", "/usr/bin/sqlite3", [[sqlite3 t.db 'PRAGMA journal_mode=WAL; CREATE TABLE t(a); INSERT INTO t VALUES(1),(41);' 'SELECT sum(a) FROM t;']], {}, "wal\n42\n" },
  { "git", "/usr/bin/git", [[git config --global user.email a@b && git config --global user.name n && git init -q -b main r && cd r && echo a >f && git add f && git commit -q -m one &&
    git checkout -q -b x && echo b >>f && git commit -q -am two && git checkout -q main && git merge -q x && cd .. && git clone -q r s && cd s && git log --format=%s && git gc -q && git fsck]], {},
    "two\none\n" },
  { "openssl", "/usr/bin/openssl", [[openssl req -x509 -newkey rsa:2048 -nodes -keyout k.pem -out c.pem -subj /CN=x -days 3650 2>/dev/null && openssl verify -CAfile c.pem c.pem &&
    openssl x509 -in c.pem -noout -subject && printf '' | openssl sha256 -r | cut -c1-8]], {}, "c.pem: OK\nsubject=CN = x\ne3b0c442\n" },
  { "ImageMagick", "/usr/bin/convert", [[convert -size 40x30 gradient:red-blue -font DejaVu-Sans -pointsize 12 -annotate +5+15 x a.png &&
    convert a.png -resize 50% b.jpg && identify -format '%m %w %h\n' a.png b.jpg]], {},
    "PNG 40 30\nJPEG 20 15\n" },
  { "graphviz", "/usr/bin/dot", [[echo 'digraph { "ä" -> b }' | dot -Tpng -o a.png && echo 'digraph { a -> b }' | dot -Tsvg | grep -c '<g id="node' && head -c 4 a.png | tail -c 3]], {}, "2\nPNG" },
  { "gdb", "/usr/bin/gdb", "gcc -g -o main main.c && gdb -q -nx -batch -ex 'set can-use-hw-watchpoints 0' -ex 'break f' -ex run -ex 'print x' -ex bt -ex 'watch y' -ex continue ./main 2>&1 |\n"
    .. "  grep -oE '^\\$1.*|in main.*|^New.*'", { ["main.c"] =
    "int y;\nint f(int x) { y = x; return y; }\nint main(void) { return f(42); }\n" }, "$1 = 42\nin main () at main.c:3\nNew value = 42\n" },
  { "valgrind", "/usr/bin/valgrind", "gcc -g -o main main.c && valgrind -q --leak-check=full ./main 2>&1 | grep -oE 'definitely lost|main.c:2'", { ["main.c"] =
    "#include <stdlib.h>\nint main(void) { char *p = malloc(5); p = NULL; return p != NULL; }\n" }, "definitely lost\nmain.c:2\n" },
  { "ssh-keygen", "/usr/bin/ssh-keygen", "ssh-keygen -q -t ed25519 -N '' -f k && cut -d' ' -f1,3 k.pub", {}, "ssh-ed25519 sandbox@sandbox\n" },
}

describe("with nothing but the host's own", function()
  local before
  setup(function()
    assert(h.sb:run{ "true" })
    before = h.census()
  end)

  for _, task in ipairs(tasks) do
    local name, probe, line, files, expected = task[1], task[2], task[3], task[4], task[5]
    if all or h.core.stat(probe) then
      it(name, function()
        local r = assert(h.sb:run{ "sh", "-c", line, files = files, limits = { timeout = 300, memory = "1G" } })
        if os.getenv "SANDBOX_TEST_TIMES" then print(("# %-24s %6.2f s  %4.0f MiB"):format(name, r.duration, (r.peak_memory or 0) / 1048576)) end
        local said = ("%s\n%s%s"):format(r.message or "", r.stdout, r.stderr)
        assert.are.equal(expected, r.stdout, said)
        assert.is_true(r.ok, said)
      end)
    end
  end

  -- Programs that make 600 MB of garbage and need little, within limits that they are told of and nothing else.
  local JAVA = [[public class G { static byte[] k; public static void main(String[] a) { for (int i = 0; i < 3000; i++) k = new byte[200000];
    System.out.println(Runtime.getRuntime().availableProcessors()); } }]]
  local lean = {
    { "java", "/usr/bin/javac", { "java", "-cp", ".", "G" } },
    { "node", "/usr/bin/node", { "node", "-e", "let k; for (let i = 0; i < 3000; i++) k = Buffer.alloc(200000, 1); console.log(require('os').cpus().length)" } },
    { "go", "/usr/bin/go", { "./g" }, [[package main; import "runtime"; var k []byte; func main() { for i := 0; i < 3000; i++ { k = make([]byte, 200000) }; print(runtime.NumCPU(), "\n") }]] },
    { "numpy", "/usr/lib/python3/dist-packages/numpy/__init__.py", { "/usr/bin/python3", "-c",
      "import numpy as np, os\nfor i in range(100): a = np.ones((400, 400)); a @ a\nprint(os.cpu_count() * os.sysconf('SC_NPROCESSORS_ONLN') * len(os.sched_getaffinity(0)))" } },
  }
  for _, row in ipairs(lean) do
    if all or h.core.stat(row[2]) then
      it(row[1] .. " lives within 128M and one processor", function()
        local made, name = {}, nil
        if row[1] == "java" then
          name, made = "G.class", assert(h.sb:run{ "javac", "G.java", files = { ["G.java"] = JAVA }, collect = { "G.class" }, limits = { timeout = 300, memory = "1G" } }).files
        elseif row[1] == "go" then
          name, made = "g", assert(h.sb:run{ "go", "build", "-o", "g", "g.go", files = { ["g.go"] = row[4] }, collect = { "g" }, limits = { timeout = 300, memory = "1G" } }).files
        end
        for _, memory in ipairs(all and { "128M", "256M", "512M" } or { "128M" }) do
          local o = { files = name and { [name] = { content = made[name], mode = "755" } }, limits = { memory = memory, cpus = 1, timeout = 300 } }
          for i, word in ipairs(row[3]) do o[i] = word end
          local r = assert(h.sb:run(o))
          assert.are.equal("1\n", r.stdout .. r.stderr, ("%s %s"):format(memory, r.message or ""))
          assert.is_true(r.ok)
        end
      end)
    end
  end

  it("leaves nothing behind", function() assert.is_nil(h.leftovers(before)) end)
end)
