# SPDX-License-Identifier: MIT
# Who sits at a terminal and runs `sandbox attach`, argv, of a shell: leaves it, comes back to what it showed, and ends it.
import os, sys
from terminal_user import begin, end, expect, raw, same

pid, fd, before = begin(sys.argv[1:])
os.write(fd, b"x=5; echo U''P; stty size\n")
expect(fd, b"UP\r\n31 101\r\n")
same("raw", raw(fd), True)
os.write(fd, b"echo \20S''TAYS\n")    # ^P alone is the program's
expect(fd, b"STAYS\r\n")
os.write(fd, b"\20\21")
expect(fd, b"left, and goes on")
end(pid, fd, before, 0)

pid, fd, before = begin(sys.argv[1:])
expect(fd, b"STAYS\r\n")
os.write(fd, b"exit $x\n")
end(pid, fd, before, 5)
print("ok")
