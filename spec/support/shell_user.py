# SPDX-License-Identifier: MIT
# Who sits at a terminal and runs `sandbox shell`, argv: types, makes the window another size, ends it in two ways; looks at the terminal.
import os, signal, sys, termios
from terminal_user import begin, end, expect, raw, same, size

# An ordinary end.
pid, fd, before = begin(sys.argv[1:])
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
end(pid, fd, before, 9)

# Ended from outside.
pid, fd, before = begin(sys.argv[1:])
os.write(fd, b"echo U''P\n")
expect(fd, b"UP\r\n")
same("raw", raw(fd), True)
os.kill(pid, signal.SIGTERM)
status = os.waitpid(pid, 0)[1]
same("signal", os.WTERMSIG(status), signal.SIGTERM)
same("the terminal after TERM", termios.tcgetattr(fd), before)
print("ok")
