# SPDX-License-Identifier: MIT
# api.py TREE DIR local|REDIS-URL [COMMAND…]: the asynchronous API of examples/openresty on a free port, from a tree that its workers can
# read; DIR for its own. With a COMMAND that runs in place of the tests, with {url} as the service's, and {tree}.
import base64, contextlib, http.client, http.server, json, os, re, signal, socket, ssl, subprocess, sys, threading, time

tree, directory, mode, command = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
PATIENCE = 100  # seconds, for a machine that is busy


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


port = free_port()


def call(method, path, body=None, headers=(), raw=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    data = raw if raw is not None else None if body is None else json.dumps(body).encode()
    head = {"Content-Type": "application/json"} if data is not None else {}
    head.update(headers)
    connection.request(method, path, data, head)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    kind = answer.getheader("Content-Type") or ""
    value = json.loads(text) if "json" in kind else text.decode()
    if answer.status >= 400:
        assert kind == "application/problem+json", (method, path, answer.status, kind, text)
        assert value["status"] == answer.status and value["detail"] and value["code"], value
    return answer.status, value, answer.headers


def post(body, query="", **headers):
    return call("POST", "/api/v3/runs" + query, body, headers.get("headers", ()))


def ended(run, headers=()):
    limit = time.monotonic() + PATIENCE
    while run["state"] in ("queued", "running"):
        assert time.monotonic() < limit, run
        status, run, _ = call("GET", "/api/v3/runs/%s?wait=10" % run["id"], headers=headers)
        assert status == 200, run
    return run


def run(body, headers=()):
    status, value, _ = post(body, "?wait=30", headers=headers)
    assert status in (200, 202), value
    return ended(value, headers)


def events(path, headers=(), until=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("GET", path, headers=dict(headers))
    answer = connection.getresponse()
    assert answer.status == 200 and answer.getheader("Content-Type") == "text/event-stream", answer.status
    out, event = [], {}
    for line in answer:
        line = line.decode().rstrip("\n")
        if line == "" and "event" in event:
            out.append((int(event["id"]), event["event"], json.loads(event["data"])))
            if until and until(out):
                break
        if line == "":
            event = {}
        elif not line.startswith(":"):
            name, value = line.split(": ", 1)
            event[name] = value
    connection.close()
    return out


def text(list_, stream):
    return "".join(data["data"] for _, kind, data in list_ if kind == stream)


class Hook(http.server.BaseHTTPRequestHandler):
    seen = []

    def do_POST(self):
        Hook.seen.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
        self.send_response(302 if self.path.startswith("/hook/away") else 200)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *_):
        pass


def listen(certificate=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


hook = "http://127.0.0.1:%d" % listen()
# A site that is called hooks.test, by its own word, which nginx is told to believe.
certificate = directory + "/hooks.pem"
subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=hooks.test",
                "-addext", "subjectAltName=DNS:hooks.test", "-keyout", certificate, "-out", directory + "/cert.pem"], check=True, stderr=subprocess.DEVNULL)
with open(certificate, "a") as f:
    f.write(open(directory + "/cert.pem").read())
secure = listen(certificate)
ALICE = {"Authorization": "Bearer alice"}


def start(directory):
    os.makedirs(tree + "/build/serve", exist_ok=True)
    os.makedirs(directory + "/run", exist_ok=True)
    if os.getuid() == 0:
        import pwd

        os.chown(directory + "/run", pwd.getpwnam("www-data").pw_uid, -1)
    os.chmod(directory + "/run", 0o700)
    with open(directory + "/settings.lua", "w") as f:
        digest = "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90"  # of "alice"
        f.write("""return { slots = 2, patience = %d, anonymous = { rate = 10000, concurrent = 200, stored = 400 }, webhooks = { { url = "%s/hook/" },
            { url = "https://hooks.test:%d/hook/", address = "127.0.0.1" }, { url = "https://others.test:%d/hook/", address = "127.0.0.1" } },
          keys = { { name = "alice", sha256 = "%s", rate = 1000, concurrent = 2, stored = 4, readers = 2, limits = { timeout = 2 } },
                   { name = "bob", sha256 = "81b637d8fcd2c6da6359e6963113a1170de795e4b725b84d1e0b4cfd9ec58ce9", rate = 1 } } }""" % (1 if command else 300, hook, secure, secure, digest))  # who tries everything waits for nothing
    conf = open(tree + "/examples/openresty/nginx.conf").read()
    for old, new in (("127.0.0.1:2000", "127.0.0.1:%d" % port), ("env SANDBOX_RUNSC;", "env SANDBOX_RUNSC; env XDG_RUNTIME_DIR;"),
                     ("client_body_timeout 10s", "client_body_timeout 1s"), ("code_runs 64m", "code_runs 400m"),
                     ("/etc/ssl/certs/ca-certificates.crt", globals()["directory"] + "/cert.pem"), ('"app").init() }', '"app").init() require("v3.store").ALIVE = 20 }'),
                     ("pid build/serve/nginx.pid", "pid %s/nginx.pid" % directory)):
        assert old in conf, old
        conf = conf.replace(old, new)
    with open(directory + "/nginx.conf", "w") as f:
        f.write(conf)
    env = dict(os.environ, SANDBOX_RUNSC=tree + "/build/runsc/2024/runsc", XDG_RUNTIME_DIR=directory + "/run", SANDBOX_API_SETTINGS=directory + "/settings.lua",
               SANDBOX_FLEET="" if mode == "local" else mode)
    user = " user www-data;" if os.getuid() == 0 else ""
    nginx = subprocess.Popen(["nginx", "-p", tree + "/", "-c", directory + "/nginx.conf", "-g", "daemon off;" + user], env=env, stdout=open(directory + "/nginx.log", "w"),
                             stderr=subprocess.STDOUT)
    limit = time.monotonic() + PATIENCE
    while True:
        try:
            assert call("GET", "/api/v3/service")[0] == 200
            return nginx
        except (OSError, http.client.HTTPException):
            assert time.monotonic() < limit and nginx.poll() is None, open(directory + "/nginx.log").read()
            time.sleep(0.05)


SLOW = {"language": "python", "code": "import time\nfor i in range(90): print(i, '\u00e4', flush=True); time.sleep(0.1)", "limits": {"timeout": 10}}


def test_service():
    _, service, _ = call("GET", "/api/v3/service")
    assert service["runs"] == ("local" if mode == "local" else "fleet") and service["authentication"] == "none"
    assert "python" in [row["language"] for row in service["languages"]]
    status, page, headers = call("GET", "/api/v3/openapi.yaml")
    assert status == 200 and page.startswith("# SPDX") and "script-src 'self';" in headers["Content-Security-Policy"]


def test_results():
    program = "import sys\nprint(open('d/x').read(), sys.argv[1:], input(), flush=True)\nsys.stdout.buffer.write(b'\\xff\\xc3')\nsys.stderr.write('\u00e4' * 9)\nsys.exit(3)"
    asked = {"language": "py", "code": program, "files": {"d/x": {"base64": "aGk="}}, "stdin": "in\n", "args": ["a b", "\u00e4"]}
    done = run(asked)
    r = done["result"]
    assert (done["state"], r["status"], r["exit_code"], r["ok"]) == ("finished", "exited", 3, False), done
    assert r["stdout"] == "hi ['a b', '\u00e4'] in\n\ufffd\ufffd" and r["stderr"] == "\u00e4" * 9 and r["limits"]["timeout"] == {"requested": 3, "hit": False}, r
    r = run(dict(asked, encoding="base64"))["result"]
    assert base64.b64decode(r["stdout"]).endswith(b" in\n\xff\xc3"), r
    r = run({"language": "c", "code": '#include <stdio.h>\n#include "h.h"\nint main(int c, char **v) { puts(v[1]); return SEVEN; }', "files": {"h.h": "#define SEVEN 7"}, "args": ["$(id)"],
             "limits": {"timeout": 10}})["result"]
    assert (r["stdout"], r["exit_code"]) == ("$(id)\n", 7), r


def test_limits():
    flood = run({"language": "bash", "code": "while :; do echo 0123456789012345678901234567890123456789; done", "limits": {"timeout": 10}})
    assert flood["result"]["status"] == "output_exceeded" and 0 < len(flood["result"]["stdout"]) <= 65536, flood
    assert len(events("/api/v3/runs/%s/events" % flood["id"])) < 600
    assert run({"language": "bash", "code": "sleep 9", "limits": {"timeout": 0.1}})["result"]["status"] == "timed_out"


def test_events_and_cancel():
    status, value, headers = post(SLOW)
    assert status == 202 and headers["Location"] == "/api/v3/runs/" + value["id"], value
    path = headers["Location"]
    seen = events(path + "/events", until=lambda list_: len(text(list_, "stdout")) >= 12)
    assert [kind for _, kind, _ in seen[:2]] == ["state", "state"] and [n for n, _, _ in seen] == list(range(1, len(seen) + 1)), seen
    assert call("DELETE", path)[0] == 202
    rest = events(path + "/events", {"Last-Event-ID": str(seen[-1][0])})
    assert [n for n, _, _ in rest] == list(range(seen[-1][0] + 1, seen[-1][0] + 1 + len(rest))), rest
    n, kind, last = rest[-1]
    assert kind == "end" and last["state"] == "cancelled" and (last["result"] is None or "stdout" not in last["result"]), rest
    _, value, _ = call("GET", path)
    if value["result"]:
        assert value["result"]["stdout"] == text(seen + rest, "stdout") != "", value
    assert call("GET", path + "/events", headers={"Last-Event-ID": str(n)})[0] == 204
    assert call("DELETE", path)[0] == 200
    assert call("GET", path + "/events?after=x")[0] == 400


def test_idempotency():
    asked, answers = {"language": "lua", "code": "print(1)"}, []
    threads = [threading.Thread(target=lambda: answers.append(post(asked, headers={"Idempotency-Key": "one"}))) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len({value["id"] for status, value, _ in answers if status in (200, 202)}) == 1, answers
    assert all(status in (200, 202, 409) for status, _, _ in answers), answers
    assert post(asked, headers={"Idempotency-Key": "one"})[2]["Idempotency-Replayed"] == "true"
    status, value, _ = post({"language": "lua", "code": "print(2)"}, headers={"Idempotency-Key": "one"})
    assert status == 409 and "another body" in value["detail"], value
    for bad in ("", "a b", "x" * 256):
        assert post(asked, headers={"Idempotency-Key": bad})[0] == 400, bad
    # What was refused holds no key.
    for _ in range(2):
        assert post({"language": "cobol", "code": ""}, headers={"Idempotency-Key": "two"})[0] == 422
    # Alice has room for four: the oldest goes, and its key with it.
    first = run(asked, dict(ALICE, **{"Idempotency-Key": "k"}))
    for i in range(4):
        run(asked, dict(ALICE, **{"Idempotency-Key": "k%d" % i}))
    assert call("GET", "/api/v3/runs/" + first["id"], headers=ALICE)[0] == (404 if mode == "local" else 200)  # a fleet knows it for longer
    assert run(asked, dict(ALICE, **{"Idempotency-Key": "k"}))["id"] != first["id"]


def test_keys():
    status, value, headers = call("GET", "/api/v3/runs/" + "0" * 32, headers={"Authorization": "Bearer bogus"})
    assert status == 401 and headers["WWW-Authenticate"] == "Bearer", value
    mine = run({"language": "lua", "code": "print(1)"}, ALICE)
    assert call("GET", "/api/v3/runs/" + mine["id"])[0] == 404 and call("DELETE", "/api/v3/runs/" + mine["id"])[0] == 404
    status, value, _ = post({"language": "lua", "code": "", "limits": {"timeout": 3}}, headers=ALICE)
    assert status == 403 and value["pointer"] == "#/limits/timeout", value
    bob = [call("GET", "/api/v3/runs/" + "0" * 32, headers={"Authorization": "Bearer bob"}) for _ in range(20)]
    assert any(status == 429 and headers["Retry-After"] == "1" for status, _, headers in bob), bob


def test_readers():
    status, value, _ = call("POST", "/api/v3/runs", dict(SLOW, limits={"timeout": 2}), ALICE)
    path = "/api/v3/runs/%s/events" % value["id"]
    readers = []
    for _ in range(2):
        readers.append(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE))
        readers[-1].sendall(("GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer alice\r\n\r\n" % path).encode())
        assert b" 200 " in readers[-1].recv(15)
    status, value, _ = call("GET", path, headers=ALICE)
    assert (status, value["code"]) == (429, "readers") or "end" in str(value), value  # that the run has ended frees them, too
    for reader in readers:
        reader.close()
    limit = time.monotonic() + PATIENCE
    while call("GET", path, headers=ALICE)[0] == 429:
        assert time.monotonic() < limit
        time.sleep(0.05)


def test_piston():
    client = subprocess.run(["node", "spec/hosts/scripts/piston.mjs", os.getcwd() + "/build/npm", "http://127.0.0.1:%d" % port], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert client.stdout == "client passed\n", client.stdout
    assert re.search(r'^sandbox_fleet_jobs_total\{queue="sandbox",event="answered"\} [1-9]', call("GET", "/metrics")[1], re.M)


@contextlib.contextmanager
def another():
    """Another nginx for the same fleet, which is asked meanwhile."""
    global port
    was, port = port, free_port()
    place = directory + "/another"
    os.makedirs(place)
    server = start(place)
    port, there = was, port

    @contextlib.contextmanager
    def asked():
        global port
        port = there
        yield
        port = was

    try:
        yield asked
    finally:
        port = was
        server.send_signal(signal.SIGQUIT)
        server.wait()


def kill_workers():
    for pid in open("/proc/%d/task/%d/children" % (nginx.pid, nginx.pid)).read().split():
        os.kill(int(pid), signal.SIGKILL)


def test_any_nginx():
    with another() as there:
        asked = {"language": "lua", "code": "io.write(('ab'):rep(20000), io.read())", "stdin": "c", "encoding": "base64"}
        done, slow = run(asked), post(SLOW)[1]
        path = "/api/v3/runs/" + slow["id"]
        with there():
            assert call("GET", "/api/v3/runs/" + done["id"], headers=ALICE)[0] == 404
            assert call("GET", "/api/v3/runs/" + "0" * 32)[0] == 404
            same = ended(call("GET", "/api/v3/runs/" + done["id"])[1])
            assert (same["created"], same["result"]) == (done["created"], done["result"]), (same, done)
            seen = events(path + "/events", until=lambda list_: len(text(list_, "stdout")) >= 12)
            assert seen[0][0] > 100000, seen
        # A reader who comes from there begins anew, and misses nothing.
        again = events(path + "/events", {"Last-Event-ID": str(seen[-1][0])}, until=lambda list_: len(text(list_, "stdout")) >= 12)
        assert again[0][:2] == (0, "restart") and text(again, "stdout").startswith("0 \u00e4\n1 \u00e4\n"), again
        with there():
            assert call("DELETE", path)[0] == 202
            assert ended(slow)["state"] == "cancelled"
        assert ended(slow)["state"] == "cancelled"
        # One that dies takes nothing along.
        slow = post({"language": "python", "code": "import time; print(1, flush=True); time.sleep(2); print(2)"})[1]
        kill_workers()
        with there():
            assert ended(slow)["result"]["stdout"] == "1\n2\n"


def test_batch():
    one = {"language": "python", "code": "import time; time.sleep(1.5)"}
    assert call("POST", "/api/v3/runs/batch", {"runs": [one] * 3}, ALICE)[1]["code"] == "concurrent"  # all or none
    status, value, _ = call("POST", "/api/v3/runs/batch", {"runs": [one] * 2}, ALICE)
    assert status == 202 and len(value["runs"]) == 2, value
    for each in value["runs"]:
        call("DELETE", "/api/v3/runs/" + each["id"], headers=ALICE)
        ended(each, ALICE)
    status, value, _ = call("POST", "/api/v3/runs/batch", {"runs": [one, {"language": "python"}]})
    assert status == 422 and value["pointer"] == "#/runs/1/code", value
    assert call("POST", "/api/v3/runs/batch", {"runs": [one] * 17})[0] == 422


def test_lost():
    """Of what went on when nginx's workers were killed, before the other tests."""
    value = ended(lost)
    assert (value["state"], value["error"]["code"], value["result"]) == ("failed", "lost", None), value


def test_webhooks():
    asked = {"language": "lua", "code": "print(1)"}
    for to in ("/", "/hoo", "@elsewhere/hook/", "/hook/../x", "/hook/%2e%2e/x"):
        assert post(dict(asked, webhook=hook + to))[0] in (403, 422), to
    done, away = run(dict(asked, webhook=hook + "/hook/a")), run(dict(asked, webhook=hook + "/hook/away"))
    limit = time.monotonic() + PATIENCE
    while len(Hook.seen) < 2 and time.monotonic() < limit:
        time.sleep(0.05)
    assert sorted((path, value["id"]) for path, value in Hook.seen) == [("/hook/a", done["id"]), ("/hook/away", away["id"])], Hook.seen
    assert [value["result"]["stdout"] for _, value in Hook.seen] == ["1\n", "1\n"], Hook.seen
    # By TLS: to whom it is that it says, and to nobody else (test_metrics).
    done = run(dict(asked, webhook="https://hooks.test:%d/hook/c" % secure))
    while len(Hook.seen) < 3:
        assert time.monotonic() < limit, Hook.seen
        time.sleep(0.05)
    assert [(path, value["id"]) for path, value in Hook.seen[2:]] == [("/hook/c", done["id"])], Hook.seen


def test_hostile():
    def wrong(status, words, raw, headers=()):
        got = call("POST", "/api/v3/runs", raw=raw, headers=headers)
        assert got[0] == status and words in got[1]["detail"], (raw[:80], got)

    head = b'{"language":"lua","code":""'
    wrong(400, "UTF-8", head + b',"stdin":"\xff"}')
    wrong(400, "levels", b"[" * 100000)
    wrong(400, "second time", head + b',"code":"x"}')
    wrong(400, "surrogate", head + b',"stdin":"\\ud800"}')
    wrong(400, "range", head + b',"limits":{"timeout":1e999}}')
    wrong(400, "not JSON", b"")
    wrong(422, "object", b"[]")
    wrong(422, "object", b"null")
    wrong(422, "object", b"false")
    wrong(422, "string", head + b',"stdin":null}')
    wrong(422, "not known", head + b',"\\u0000~/x":1}')
    wrong(422, "array", head + b',"args":{}}')
    wrong(422, "object", head + b',"files":[]}')
    wrong(422, "NUL", head + b',"args":["a\\u0000b"]}')
    wrong(422, "from", head + b',"limits":{"memory":1}}')
    for name in ("../x", "/x", "a//b", "-x", ".x", "a/..", "\\u0000", "x" * 256, "", "$(id).c"):
        wrong(422, "a name is", head + b',"files":{"%s":""}}' % name.encode())
    wrong(422, "`code` is put", head + b',"files":{"main.lua":""}}')
    wrong(422, "base64", head + b',"files":{"a":{"base64":"!"}}}')
    wrong(422, "characters", head + b',"stdin":"%s"}' % (b"x" * 200001))
    wrong(413, "Large", b" " * 1100000)
    wrong(415, "application/json", head + b"}", {"Content-Type": "text/plain"})
    wrong(403, "another origin", head + b"}", {"Origin": "http://elsewhere"})
    for method, path, allow in (("PUT", "/api/v3/runs", "POST"), ("TRACE", "/api/v3/runs/" + "0" * 32, "GET, DELETE"), ("POST", "/metrics", "GET")):
        status, _, headers = call(method, path)
        assert status == 405 and headers["Allow"] == allow, (method, path)
    for path in ("/api/v3/runs/x", "/api/v3/runs/" + "0" * 32 + "/x", "/api/v3/runs//events", "/nowhere", "/../nginx.conf", "/%2e%2e/nginx.conf"):
        assert call("GET", path)[0] in (400, 404), path
    # A body that does not come, and one that ends early.
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as s:
        s.sendall(b"POST /api/v3/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
        got = s.recv(65536)
        assert got == b"" or b" 408 " in got.split(b"\r\n")[0], got
    assert call("GET", "/api/v3/service")[0] == 200


def test_metrics():
    limit, page = time.monotonic() + PATIENCE, ""
    while 'webhooks_total{outcome="failed"} 1\n' not in page:
        assert time.monotonic() < limit, page
        _, page, _ = call("GET", "/metrics")
    assert "/hook/b" not in [path for path, _ in Hook.seen]
    types = re.findall(r"^# TYPE (\S+)", page, re.M)
    assert len(types) == len(set(types)), page
    for line in page.splitlines():
        assert line.startswith("#") or re.fullmatch(r'[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [0-9.e+-]+', line), line
    assert re.search(r'^code_api_runs_total\{key="anonymous",language="lua",state="finished"\} \d', page, re.M), page
    assert re.search(r'^code_api_live\{key="alice"\} 0$', page, re.M) and re.search(r'^code_webhooks_total\{outcome="delivered"\} 2$', page, re.M), page
    assert re.search(r"^sandbox_started_total\{worker=" if mode == "local" else r"^sandbox_fleet_slots", page, re.M), page


HERE = [test_service, test_results, test_limits, test_events_and_cancel, test_idempotency, test_keys, test_readers, test_batch, test_webhooks, test_hostile, test_lost, test_metrics]
FLEET = [test_service, test_results, test_limits, test_events_and_cancel, test_idempotency, test_webhooks, test_metrics, test_piston, test_any_nginx]

nginx = start(directory)
try:
    if mode == "local" and not command:
        lost = post(SLOW)[1]
        kill_workers()
    if command:
        # A body that is too large is refused by its size, which schemathesis does not take for a refusal by itself.
        with open(directory + "/schemathesis.toml", "w") as f:
            f.write("[checks.negative_data_rejection]\nexpected-statuses = [400, 401, 403, 404, 405, 409, 413, 415, 422, 429]\n")
        subprocess.run([word.replace("{url}", "http://127.0.0.1:%d" % port).replace("{tree}", tree) for word in command], check=True, cwd=directory)
    if not command:
        assert post({"language": "lua", "code": "", "webhook": "https://others.test:%d/hook/b" % secure})[0] in (200, 202)
    for test in () if command else HERE if mode == "local" else FLEET:
        began = time.monotonic()
        test()
        print("ok", test.__name__, "%.1f s" % (time.monotonic() - began), flush=True)
    # What has ended leaves nothing.
    limit = time.monotonic() + PATIENCE
    while [name for _, names, _ in os.walk(directory + "/run") for name in names if name.startswith("run-")]:
        assert time.monotonic() < limit, "runs are left"
        time.sleep(0.05)
    print("passed")
except BaseException:
    print(open(directory + "/nginx.log").read()[-6000:])
    raise
finally:
    nginx.send_signal(signal.SIGQUIT)
    nginx.wait()
