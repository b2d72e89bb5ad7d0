# SPDX-License-Identifier: MIT
"""Who a sandbox's network is tried with, all on 127.0.0.1: a name server and TCP servers, until stdin ends.

Prints one line: NAME=PORT for dns, echo (gives back what comes), mute (never reads), rude (closes in the middle), http.
"""
import http.server
import os
import socket
import struct
import sys
import threading

ADDRESS = sys.argv[1] if __name__ == "__main__" and len(sys.argv) > 1 else "127.0.0.1"
NAMES = {
    "echo.test": [ADDRESS], "www.echo.test": [ADDRESS], "loop.test": ["127.0.0.1"], "meta.test": ["169.254.169.254"], "private.test": ["10.0.0.1"],
    "public.test": ["93.184.216.34"], "mixed.test": ["10.0.0.1", "93.184.216.34"], "many.test": ["10.0.%d.%d" % (i // 250, i % 250 + 1) for i in range(25)],
}
NAMES.update({"inner.test": ["127.0.0.2"], "alias.test": ["127.0.0.2"], "zero.test": ["0.0.0.0"], "cast.test": ["224.0.0.1"], "edge.test": ["198.18.0.3"],
              "bad.echo.test": [ADDRESS], "guest.test": ["198.18.0.2"], "rebind.test": ["127.0.0.2"]})
SIX = {"six.test": ["::1"], "mapped.test": ["::ffff:127.0.0.1"], "mapped2.test": ["::ffff:127.0.0.2"], "ula.test": ["fd00::1"], "nat64.test": ["64:ff9b::7f00:2"]}
ALIASES = {"alias.test": b"\5inner\4test\0"}  # a name that is another's
FIRST = {"rebind.test": ["192.31.196.1"]}  # what is said only once, and is good for no time


def answer(packet):
    """The reply to a query; None for a name that nobody answers for."""
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode())
        at += 1 + packet[at]
    question = packet[12:at + 5]
    kind = struct.unpack(">H", packet[at + 1:at + 3])[0]
    name = ".".join(labels).lower()
    if name == "silent.test":
        return None
    if name == "liar.test":  # another's id, then another's question
        return b"\xff\xff\x81\x80\0\1\0\1\0\0\0\0" + question + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1"
    if name == "garbage.test":
        return packet[:2] + b"\x81\x80\0\1\xff\xff\0\0\0\0" + question + b"\xc0\x0c" * 8
    found = FIRST.pop(name, None) if kind == 1 else None
    if found:
        return packet[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + question + b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + socket.inet_aton(found[0])
    found = NAMES.get(name, []) if kind == 1 else SIX.get(name, []) if kind == 28 else []
    code = 0 if name in NAMES or name in SIX else 3
    records = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, 4 if kind == 1 else 16)
                       + socket.inet_pton(socket.AF_INET if kind == 1 else socket.AF_INET6, a) for a in found)
    if name in ALIASES and found:
        other = ALIASES[name]
        records = b"\xc0\x0c" + struct.pack(">HHIH", 5, 1, 60, len(other)) + other + b"".join(
            other + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(a) for a in found)
    return packet[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(found) + (name in ALIASES and len(found) > 0), 0, 0) + question + records


def dns(sock):
    while True:
        packet, peer = sock.recvfrom(4096)
        try:
            reply = answer(packet)
        except (IndexError, UnicodeDecodeError):
            reply = None
        if reply:
            sock.sendto(reply, peer)


def echo(conn):
    with conn:
        try:
            while True:
                data = conn.recv(65536)
                if not data:
                    break
                conn.sendall(data)
        except OSError:
            pass  # whoever was there went


def mute(conn):
    threading.Event().wait()
    conn.close()


def rude(conn):
    conn.recv(10)
    conn.sendall(b"half of")
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()


def serve(handler, address=ADDRESS, port=0):
    server = socket.create_server((address, port), backlog=256, family=socket.AF_INET6 if ":" in address else socket.AF_INET)

    def loop():
        while True:
            conn, _ = server.accept()
            threading.Thread(target=handler, args=(conn,), daemon=True).start()
    threading.Thread(target=loop, daemon=True).start()
    return server.getsockname()[1]


class Quiet(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"hello from outside\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    names.bind(("127.0.0.1", 0))
    threading.Thread(target=dns, args=(names,), daemon=True).start()
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    echoes = serve(echo)
    # The same port at other addresses of the loopback, so that what gets there is seen.
    for other in ("127.0.0.2", "::1"):
        try:
            serve(echo, other, echoes)
        except OSError:
            pass
    print("dns=%d echo=%d mute=%d rude=%d http=%d" % (names.getsockname()[1], echoes, serve(mute), serve(rude), web.server_address[1]), flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
