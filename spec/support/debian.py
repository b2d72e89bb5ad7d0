# SPDX-License-Identifier: MIT
# debian.py DIR DEBIAN PROGRAM: DIR/2.tar and DIR/3.tar, layers above a Debian system, with what layers can say; PROGRAM is /listing in them.
import io, sys, tarfile

out, debian, program = sys.argv[1:]
R, D, S, H = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
app = (1000, 1001)

def write(name, *members):
    with tarfile.open("%s/%s.tar" % (out, name), "w", format=tarfile.PAX_FORMAT) as tar:
        for path, kind, mode, owner, *more in members:
            t = tarfile.TarInfo(path)
            t.type, t.mode, (t.uid, t.gid) = kind, mode, owner
            data = more[0] if more else b""
            if isinstance(data, str):
                t.linkname, data = data, b""
            t.pax_headers = more[1] if more[1:] else {}
            t.size = len(data)
            tar.addfile(t, io.BytesIO(data))

def read(path):
    with open(path, "rb") as f:
        return f.read()

def f(path, data=b"", mode=0o644, owner=(0, 0), pax=None): return path, R, mode, owner, data, pax or {}

write("2", f("etc/.wh.issue"), ("usr/share/doc", D, 0o755, (0, 0)), f("usr/share/doc/.wh..wh..opq"), f("usr/share/doc/one", b"one"),
      ("usr/share/doc/two", H, 0o644, (0, 0), "usr/share/doc/one"), f("etc/passwd", read(debian + "/etc/passwd") + b"app:x:1000:1001::/home/app:/bin/bash\n"),
      f("etc/group", read(debian + "/etc/group") + b"app:x:1001:\n"), ("home/app", D, 0o700, app), f("home/app/own", b"own", 0o600, app),
      ("var/spool/drop", D, 0o1777, (0, 0)), f("usr/local/bin/as-root", b"x", 0o4755), f("usr/local/bin/as-group", b"x", 0o2755, (0, 1001)),
      f("srv/noted", b"n", pax={"SCHILY.xattr.user.note": "v"}))
write("3", f("usr/share/.wh.zoneinfo"), f("etc/issue", b"again", 0o640, (7, 8)), f("etc/.wh.motd"), f("etc/skel", b"a file now"), ("media", S, 0o777, (0, 0), "mnt"),
      f("listing", read(program), 0o755))
