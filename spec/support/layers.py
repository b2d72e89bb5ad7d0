# SPDX-License-Identifier: MIT
# layers.py DIR: layers of images, good ones and hostile ones, as tar archives in DIR.
import io, os, sys, tarfile

def member(name, kind=tarfile.REGTYPE, data=b"", mode=0o644, uid=0, gid=0, link="", pax=None):
    t = tarfile.TarInfo(name)
    t.type, t.mode, t.uid, t.gid, t.linkname, t.size = kind, mode, uid, gid, link, len(data)
    t.pax_headers = pax or {}
    return t, data

def archive(name, members, form=tarfile.PAX_FORMAT):
    with tarfile.open(os.path.join(sys.argv[1], name + ".tar"), "w", format=form) as tar:
        for t, data in members:
            tar.addfile(t, io.BytesIO(data))

def directory(name, mode=0o755, **more): return member(name, tarfile.DIRTYPE, mode=mode, **more)
def link(name, to): return member(name, tarfile.SYMTYPE, link=to, mode=0o777)
def hard(name, to): return member(name, tarfile.LNKTYPE, link=to)

busybox = open("/bin/busybox", "rb").read()
applets = "sh ls id cat echo env stat pwd find test".split()
passwd = b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/app:/bin/sh\n"
group = b"root:x:0:\napp:x:1001:\nextra:x:44:other,app\n"
archive("base", [directory("."), directory("bin"), member("bin/busybox", data=busybox, mode=0o755)] + [hard("bin/" + a, "bin/busybox") for a in applets] + [
    directory("etc"), member("etc/passwd", data=passwd), member("etc/group", data=group), directory("tmp", mode=0o1777), directory("root", mode=0o700),
    directory("app", uid=1000, gid=1001), member("app/own", data=b"own\n", mode=0o600, uid=1000, gid=1001), member("app/gone", data=b"gone\n"),
    directory("full"), member("full/old", data=b"old\n"), member("su", data=b"", mode=0o4755), link("out", "/etc"), link("up", "../../../../etc")])
archive("second", [directory("app", uid=1000, gid=1001), member("app/.wh.gone"), directory("full"), member("full/.wh..wh..opq"), member("full/new", data=b"new\n")])
archive("third", [directory("deep")] + [directory("/".join(["deep"] + ["d"] * i)) for i in range(1, 61)] + [member("top", data=b"third\n"), hard("same", "top")])
archive("through", [member("out/through", data=b"x\n"), member("up/climbed", data=b"x\n")])  # a link of a layer below
archive("device", [member("null", tarfile.CHRTYPE), member("disk", tarfile.BLKTYPE), member("fifo", tarfile.FIFOTYPE)])

# Each is refused, and its name is what the message has.
evil = {
    "leads out of the root@dotdot": [member("../escaped", data=b"x")],
    "leads out of the root@inner": [member("a/../../escaped", data=b"x")],
    "below a link@link": [link("x", "/tmp"), member("x/escaped", data=b"x")],
    "hard link out@hard": [hard("x", "../../../../etc/passwd")],
    "is no directory in@dot": [link(".", "/tmp"), member("escaped", data=b"x")],
    "whiteout of no name@whiteout": [member(".wh...")],
    "more than max_image_files@many": [member("f%d" % i) for i in range(3000)],
    "more than max_image_bytes@bomb": [member("zeros", data=b"\0" * (32 << 20))],
    "sparse@sparse": [member("s", pax={"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "1099511627776"})],
    "an attribute that is the host's@xattr": [member("x", pax={"SCHILY.xattr.trusted.overlay.redirect": "/etc"})],
    "too long@long": [member("/".join(["d"] * 300), data=b"x")],
}
for name, members in evil.items():
    archive("evil-" + name.split("@")[1], members)
    with open(os.path.join(sys.argv[1], "evil"), "a") as out:
        out.write(name + "\n")
base = open(os.path.join(sys.argv[1], "base.tar"), "rb").read()
torn = base[:512 * 2] + b"garbage" * 200
for name, words, data in (("torn", "is none", torn), ("short", "middle of an entry", base[:4000])):
    open(os.path.join(sys.argv[1], "evil-" + name + ".tar"), "wb").write(data)
    open(os.path.join(sys.argv[1], "evil"), "a").write(words + "@" + name + "\n")
