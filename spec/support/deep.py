# SPDX-License-Identifier: MIT
# deep.py DIR PROGRAM: DIR/oci, an image of 64 layers with all that layers can say, which runs PROGRAM, a static one, as a user by name. No layer of it
# has an entry for the root directory itself, as those of many images have none, nor for what is on the way to one of the files.
import hashlib, io, json, os, sys, tarfile

out, program = sys.argv[1], open(sys.argv[2], "rb").read()
blobs = os.path.join(out, "oci/blobs/sha256")
os.makedirs(blobs)

def blob(data, kind):
    digest = hashlib.sha256(data).hexdigest()
    with open(os.path.join(blobs, digest), "wb") as f:
        f.write(data)
    return {"mediaType": "application/vnd.oci.image." + kind, "digest": "sha256:" + digest, "size": len(data)}

def layer(*members):
    bytes = io.BytesIO()
    with tarfile.open(fileobj=bytes, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, mode, owner, more in members:
            t = tarfile.TarInfo(name)
            t.type, t.mode, (t.uid, t.gid) = kind, mode, owner
            data = more if kind == tarfile.REGTYPE else b""
            if isinstance(more, str):
                t.linkname = more
            if isinstance(more, tuple):
                data, t.pax_headers = more
            t.size = len(data)
            tar.addfile(t, io.BytesIO(data))
    return bytes.getvalue()

def d(name, mode=0o755, owner=(0, 0)): return name, tarfile.DIRTYPE, mode, owner, None
def f(name, data=b"", mode=0o644, owner=(0, 0)): return name, tarfile.REGTYPE, mode, owner, data
def attributes(name, data, **pairs): return name, tarfile.REGTYPE, 0o644, (0, 0), (data, {"SCHILY.xattr.user." + k: v for k, v in pairs.items()})
def hard(name, to): return name, tarfile.LNKTYPE, 0o644, (0, 0), to
def link(name, to): return name, tarfile.SYMTYPE, 0o777, (0, 0), to

app = (1000, 1001)
layers = [
    layer(d("bin"), f("bin/listing", program, 0o755), d("etc"), f("etc/passwd", b"root:x:0:0::/:/bin/sh\napp:x:1000:1001::/:/bin/sh\n"),
          f("etc/group", b"root:x:0:\napp:x:1001:\n"), d("tmp", 0o1777), d("proc"), d("sys"), d("dev"), d("drop", 0o1777), d("team", 0o2775, app),
          d("opaque"), f("opaque/a"), d("opaque/b"), f("opaque/b/c"), f("gone"), d("away"), f("away/x"), f("becomes-dir"), d("becomes-file"),
          f("becomes-file/x"), d("becomes-link"), f("becomes-link/x"), f("one", b"same"), hard("two", "one"), f("changed", b"old", owner=app),
          attributes("noted", b"n", note="v1"), f("back", b"1"), f("nobody/spoke/of", b"it", owner=app)),
    layer(f(".wh.gone"), f(".wh.away"), d("opaque"), f("opaque/.wh..wh..opq"), f("opaque/new", b"new"), f("set-user", b"", 0o4755), f("set-group", b"", 0o2755, (0, 1001)),
          d("becomes-dir"), f("becomes-dir/in", b"in"), f("becomes-file", b"now"), link("becomes-link", "opaque/new"), f("own", b"own", 0o600, app), f(".wh.back")),
    layer(f("changed", b"newer", 0o640, (7, 8)), f("back", b"22"), attributes("noted", b"nn", note="v2"), d("shut", 0o700), f("shut/x"),
          f("odd \xe9\u20ac name", b"o"), f("large-ids", b"", owner=(65534, 60000))),
]
layers += [layer(d("deep"), f("deep/n%d" % i, b"%d" % i, owner=(i, i)), f("deep/.wh.n%d" % (i - 1))) for i in range(4, 65)]
config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(l).hexdigest() for l in layers]},
          "config": {"User": "app", "Entrypoint": ["/bin/listing", "/"] + "./proc ./sys ./dev ./tmp ./work ./run ./etc/hosts ./etc/resolv.conf ./etc/hostname ./etc/mtab".split()}}
manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": blob(json.dumps(config).encode(), "config.v1+json"),
            "layers": [blob(l, "layer.v1.tar") for l in layers]}
entry = blob(json.dumps(manifest).encode(), "manifest.v1+json")
entry["annotations"] = {"org.opencontainers.image.ref.name": "deep"}
for name, value in (("oci-layout", {"imageLayoutVersion": "1.0.0"}), ("index.json", {"schemaVersion": 2, "manifests": [entry]})):
    with open(os.path.join(out, "oci", name), "w") as file:
        json.dump(value, file)
