# SPDX-License-Identifier: MIT
"""Runs inside a sandbox: tries each destination of stdin, "KIND HOST PORT" a line, and says what came of it.

echo: our bytes came back. refused: it was said at once. nothing: neither, for kinds that know no refusal. no name. no socket:
the stack does not give such a one. Whatever takes longer than SECONDS is "time-out".
"""
import errno
import socket
import sys

SECONDS = 20
AT_ONCE = {errno.ECONNREFUSED, errno.ECONNRESET, errno.ENOTCONN, errno.EPIPE, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EPERM,
           errno.EADDRNOTAVAIL, errno.EINVAL, errno.ENETDOWN, errno.EAFNOSUPPORT}


def tcp(host, port):
    family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, proto) as s:
        s.settimeout(SECONDS)
        s.connect(address)
        s.sendall(b"ping")
        s.shutdown(socket.SHUT_WR)
        data = b""
        while len(data) < 4:
            piece = s.recv(100)
            if not piece:
                break
            data += piece
    return "echo" if data == b"ping" else "closed after %r" % data


def udp(host, port):
    family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, proto) as s:
        s.settimeout(0.5)
        s.connect(address)
        try:
            s.send(b"ping")
            return "echo" if s.recv(100) == b"ping" else "answered"
        except TimeoutError:
            return "nothing"


def icmp(host, _):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as s:
        s.settimeout(0.5)
        try:
            s.sendto(b"\x08\0\xf7\xff\0\0\0\0", (host, 0))
            return "echo" if s.recv(100) else "answered"
        except TimeoutError:
            return "nothing"


def raw(_, protocol):
    socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol).close()
    return "given"


def packet(_, protocol):
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol)).close()
    return "given"


def attempt(kind, host, port):
    try:
        return globals()[kind](host, int(port))
    except socket.gaierror:
        return "no name"
    except UnicodeError:
        return "no name"
    except TimeoutError:
        return "time-out"
    except OSError as e:
        if kind in ("raw", "packet", "icmp") and e.errno != errno.ECONNREFUSED:
            return "no socket"
        return "refused" if e.errno in AT_ONCE else str(e)


for line in sys.stdin:
    print(line.strip(), "->", attempt(*line.split()), flush=True)
