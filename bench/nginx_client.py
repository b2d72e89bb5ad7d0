# SPDX-License-Identifier: MIT
"""bench/nginx.sh's client: /fast over one connection for a while, then again while RUNS sandboxes run; SOCKET RUNS COMMAND…, a command
that runs as many in a process of its own."""
import http.client, socket, subprocess, sys, threading, time

path, runs = sys.argv[1], int(sys.argv[2])


class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)


def get(connection, what):
    connection.request("GET", what)
    return connection.getresponse().read().decode()


kept = Connection("x")


def fast(goes_on):
    connection, times = kept, []
    while goes_on():
        began = time.perf_counter()
        assert get(connection, "/fast") == "fast"
        times.append((time.perf_counter() - began) * 1000)
        time.sleep(0.0005)
    return sorted(times)


def say(what, times):
    print("%-36s %6d   p50 %7.3f   p99 %7.3f   worst %7.3f ms" % (what, len(times), times[len(times) // 2], times[len(times) * 99 // 100], times[-1]))


def run():
    return get(Connection("x", timeout=600), "/run")


def report():
    print(get(Connection("x"), "/report"))


def for_seconds(seconds):
    until = time.monotonic() + seconds
    return lambda: time.monotonic() < until


assert run() == "0"
get(Connection("x"), "/report")
say("/fast, nothing else", fast(for_seconds(10)))

# What the machine does to a process that has nothing to do with the sandboxes.
other = subprocess.Popen(sys.argv[3:])
say("/fast, %d of another process" % runs, fast(lambda: other.poll() is None))
assert other.returncode == 0

print("\n%d runs, one by one" % min(runs, 20))
for _ in range(min(runs, 20)):
    assert run() == "0"
report()

# The first rush finds code that LuaJIT has not compiled yet.
for rush in range(3):
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(run())) for _ in range(runs)]
    began = time.monotonic()
    for t in threads:
        t.start()
    say("/fast, %d sandboxes" % runs, fast(lambda: any(t.is_alive() for t in threads)))
    assert answers == ["0"] * runs, answers
    print("%d runs in %.1f s" % (runs, time.monotonic() - began))
    report()
