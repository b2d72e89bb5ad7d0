# SPDX-License-Identifier: MIT
"""Servers for real clients, all on 127.0.0.1 with a CA of their own, until stdin ends: DIR [all].

One HTTPS server is a page, a simple index for pip, a registry for npm and a git repository; one HTTP server is the page. `all`: sshd and
PostgreSQL, too, where this machine has them. Prints one line, NAME=PORT for dns, https, http, ssh, db (0: not here); in DIR are
ca.pem, key (of ssh) and known_hosts.
"""
import base64
import glob
import hashlib
import http.server
import io
import json
import os
import pwd
import shutil
import socket
import ssl
import subprocess
import sys
import tarfile
import threading
import zipfile

import net_peers

DIR = sys.argv[1]
ALL = len(sys.argv) > 2
HOSTS = ["web.test", "pypi.test", "npm.test", "git.test", "db.test"]
PAGE = b"hello from outside\n"
children = []


def run(*words, **more):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=DIR, **more)


def certificates():
    with open(DIR + "/ext", "w") as f:
        f.write("subjectAltName=" + ",".join("DNS:" + h for h in HOSTS))
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=a test's CA", "-days", "2")
    run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", "web.key", "-out", "web.csr", "-subj", "/CN=web.test")
    run("openssl", "x509", "-req", "-in", "web.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "web.pem", "-days", "2", "-extfile", "ext")


def wheel():
    out = io.BytesIO()
    info = "probe_pkg-1.0.dist-info/"
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("probe_pkg.py", "ANSWER = 42\n")
        z.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: probe-pkg\nVersion: 1.0\n")
        z.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr(info + "RECORD", "probe_pkg.py,,\n%sMETADATA,,\n%sWHEEL,,\n%sRECORD,,\n" % (info, info, info))
    return out.getvalue()


def package():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as t:
        for name, text in (("package/package.json", '{"name":"probe-npm","version":"1.0.0","main":"index.js"}'), ("package/index.js", "module.exports = 42\n")):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            t.addfile(member, io.BytesIO(text.encode()))
    return out.getvalue()


def repository():
    env = dict(os.environ, GIT_CONFIG_GLOBAL="/dev/null", GIT_AUTHOR_NAME="t", GIT_AUTHOR_EMAIL="t@t.test", GIT_COMMITTER_NAME="t", GIT_COMMITTER_EMAIL="t@t.test", HOME=DIR)
    run("git", "init", "-q", "-b", "main", "tree", env=env)
    with open(DIR + "/tree/answer", "w") as f:
        f.write("42\n")
    run("git", "-C", "tree", "add", "answer", env=env)
    run("git", "-C", "tree", "commit", "-q", "-m", "one", env=env)
    run("git", "clone", "-q", "--bare", "tree", "repo.git", env=env)
    run("git", "-C", "repo.git", "update-server-info", env=env)


class Web(http.server.BaseHTTPRequestHandler):
    files = {}

    def do_GET(self):
        path = self.path.split("?")[0]
        body = self.files.get(path)
        if body is None and path.startswith("/repo.git/") and ".." not in path:
            try:
                with open(DIR + path, "rb") as f:
                    body = f.read()
            except OSError:
                pass
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.send_header("Content-Type", "text/html" if path.endswith("/") else "application/json" if path == "/probe-npm" else "application/octet-stream")
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_):
        pass


def web(tls):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(DIR + "/web.pem", DIR + "/web.key")
        # Not in the accepting thread: a client that does not speak must hold up no other.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def await_port(port, child):
    while child.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return port
        except OSError:
            threading.Event().wait(0.05)
    return 0


def ssh():
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", ""))
    if not sshd:
        return 0
    for name in ("host", "key"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", name)
    shutil.copy(DIR + "/key.pub", DIR + "/authorized")
    port = free_port()
    with open(DIR + "/sshd.conf", "w") as f:
        f.write("Port %d\nListenAddress 127.0.0.1\nHostKey %s/host\nAuthorizedKeysFile %s/authorized\nStrictModes no\nUsePAM no\nPidFile none\n"
                "PasswordAuthentication no\nPermitRootLogin prohibit-password\n" % (port, DIR, DIR))
    with open(DIR + "/host.pub") as key, open(DIR + "/known_hosts", "w") as f:
        f.write("[git.test]:%d %s" % (port, key.read()))
    if os.getuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    child = subprocess.Popen([sshd, "-D", "-e", "-f", DIR + "/sshd.conf"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(DIR + "/sshd.log", "w"))
    children.append(child)
    return await_port(port, child)


def postgres():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"))
    if not found:
        return 0
    where = os.path.dirname(found[-1])
    drop = {}
    data = DIR + "/db"
    os.mkdir(data, 0o700)
    if os.getuid() == 0:  # it does not run as root
        who = pwd.getpwnam("nobody")
        os.chown(data, who.pw_uid, who.pw_gid)
        drop = {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}
    run(where + "/initdb", "-D", data, "-U", "probe", "-A", "trust", "-N", env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}, **drop)
    port = free_port()
    child = subprocess.Popen([where + "/postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", data], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, cwd=data, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}, **drop)
    children.append(child)
    return await_port(port, child)


def main():
    for name in HOSTS:
        net_peers.NAMES[name] = ["127.0.0.1"]
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind(("127.0.0.1", 0))
    threading.Thread(target=net_peers.dns, args=(names,), daemon=True).start()
    certificates()
    tls = web(True)
    plain = web(False)
    code, archive = wheel(), package()
    digest = hashlib.sha256(code).hexdigest()
    Web.files.update({
        "/": PAGE,
        "/simple/probe-pkg/": b'<!DOCTYPE html><a href="/files/probe_pkg-1.0-py3-none-any.whl#sha256=%s">probe_pkg-1.0-py3-none-any.whl</a>' % digest.encode(),
        "/files/probe_pkg-1.0-py3-none-any.whl": code,
        "/probe-npm.tgz": archive,
        "/probe-npm": json.dumps({"name": "probe-npm", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": {
            "name": "probe-npm", "version": "1.0.0", "dist": {
                "tarball": "https://npm.test:%d/probe-npm.tgz" % tls, "shasum": hashlib.sha1(archive).hexdigest(),
                "integrity": "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()}}}}).encode(),
    })
    if ALL:
        repository()
    print("dns=%d https=%d http=%d ssh=%d db=%d" % (names.getsockname()[1], tls, plain, ssh() if ALL else 0, postgres() if ALL else 0), flush=True)
    sys.stdin.read()
    for child in children:
        child.terminate()
    for child in children:
        child.wait()
    os._exit(0)


main()
