# SPDX-License-Identifier: MIT
# Who sits at a terminal and runs a command there: begins it, types, makes the window another size, looks at the terminal.
import fcntl, os, pty, select, signal, struct, sys, termios

def begin(argv):
    pid, fd = pty.fork()
    if pid == 0:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
        os.read(0, 1)
        os.execvp(argv[0], argv)
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

def end(pid, fd, before, expected):
    status = os.waitpid(pid, 0)[1]
    same("status", os.WEXITSTATUS(status), expected)
    same("the terminal", termios.tcgetattr(fd), before)
    os.close(fd)
