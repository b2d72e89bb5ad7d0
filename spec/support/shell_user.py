# SPDX-License-Identifier: MIT
# Who sits at a terminal and runs `sandbox shell`, argv: types, makes the window another size, ends it in two ways; looks at the terminal.
import fcntl, os, pty, select, signal, struct, sys, termios

def begin():
    pid, fd = pty.fork()
    if pid == 0:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
        os.read(0, 1)
        os.execvp(sys.argv[1], sys.argv[1:])
    size(fd, 31, 101)
    before = termios.tcgetattr(fd)
    os.write(fd, b"\n")
    return pid, fd, before

def size(fd, rows, cols):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

seen = b""

def expect(fd, words):
    global seen
    while words not in seen:
        if not select.select([fd], [], [], 100)[0]: sys.exit("never seen: %r, but %r" % (words, seen))
        seen += os.read(fd, 65536)
    seen = seen[seen.index(words) + len(words):]

def same(what, a, b):
    if a != b: sys.exit("%s: %r, expected %r" % (what, a, b))

def raw(fd):
    return not termios.tcgetattr(fd)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)

# An ordinary end.
pid, fd, before = begin()
os.write(fd, b"stty size; echo U''P\n")
expect(fd, b"31 101\r\nUP\r\n")
same("raw", raw(fd), True)
size(fd, 42, 132)
os.write(fd, b"trap 'stty size' WINCH; while :; do [ \"$(stty size)\" = '42 132' ] && break; done; echo SI''ZED\n")
expect(fd, b"SIZED")
os.write(fd, b"sh -c 'echo O''N; exec sleep 1000'\n")
expect(fd, b"ON\r\n")
os.write(fd, b"\3")
os.write(fd, b"exit 9\n")
status = os.waitpid(pid, 0)[1]
same("status", os.WEXITSTATUS(status), 9)
same("the terminal", termios.tcgetattr(fd), before)
os.close(fd)

# Ended from outside.
seen = b""
pid, fd, before = begin()
os.write(fd, b"echo U''P\n")
expect(fd, b"UP\r\n")
same("raw", raw(fd), True)
os.kill(pid, signal.SIGTERM)
status = os.waitpid(pid, 0)[1]
same("signal", os.WTERMSIG(status), signal.SIGTERM)
same("the terminal after TERM", termios.tcgetattr(fd), before)
print("ok")
