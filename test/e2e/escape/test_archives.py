"""Archives that were made to do harm: each is refused with what is wrong, and its function says so."""
import hashlib
import io
import json
import os
import tarfile
import zipfile

import pytest
from harness import function, wait_until

CODE = ("index.py", b"def handler(event, context):\n    return 'served'\n")
BIG = 600 << 20


def tar(*entries, mode="w"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=tarfile.PAX_FORMAT) as t:
        for name, what in (CODE, *entries):
            i = tarfile.TarInfo(name)
            data = b""
            if isinstance(what, bytes):
                i.size, data = len(what), what
            else:
                i.type, i.linkname, i.devmajor, i.devminor = what[0], what[1], 1, 1
            t.addfile(i, io.BytesIO(data))
    return out.getvalue()


def zipped(*entries):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for name, data, mode in ((*CODE, 0o100644), *entries):
            i = zipfile.ZipInfo(name)
            i.compress_type, i.create_system, i.external_attr = zipfile.ZIP_DEFLATED, 3, mode << 16
            z.writestr(i, data)
    return out.getvalue()


ARCHIVES = {
    "up": (lambda: tar(("../../x", b"x")), 'the name has ".."'),
    "up in a zip": (lambda: zipped(("../x", b"x", 0o100644)), 'the name has ".."'),
    "absolute": (lambda: tar(("/etc/x", b"x")), "the name is absolute"),
    "link out": (lambda: tar(("l", (tarfile.SYMTYPE, "../../.."))), "the link to ../../.. leaves the package"),
    "link to a file": (lambda: tar(("l", (tarfile.SYMTYPE, "/etc/passwd"))), "the link to /etc/passwd is absolute"),
    "link in a zip": (lambda: zipped(("l", b"/etc/passwd", 0o120777)), "the link to /etc/passwd is absolute"),
    "through a link": (lambda: tar(("l", (tarfile.SYMTYPE, ".")), ("l/x", b"x")), "goes through l, which is not a directory"),
    "hard link out": (lambda: tar(("h", (tarfile.LNKTYPE, "/etc/passwd"))), "hard link: entry /etc/passwd: the name is absolute"),
    "hard link up": (lambda: tar(("h", (tarfile.LNKTYPE, "../../x"))), 'hard link: entry ../../x: the name has ".."'),
    "device": (lambda: tar(("d", (tarfile.CHRTYPE, ""))), "neither file, directory nor link"),
    "pipe": (lambda: tar(("d", (tarfile.FIFOTYPE, ""))), "neither file, directory nor link"),
    "twice": (lambda: tar(("x", b"x"), ("x", b"y")), "named twice"),
    "bomb": (lambda: tar(("z", bytes(BIG)), mode="w:gz"), "unpacks to more than"),
    "bomb in a zip": (lambda: zipped(("z", bytes(BIG), 0o100644)), "unpacks to more than"),
    "many": (lambda: tar(*((f"f{i}", b"") for i in range(20001)), mode="w:gz"), "more than 20000 entries"),
    "deep": (lambda: tar(("/".join("d" * 40), b"x")), "path components"),
    "long name": (lambda: tar(("n" * 256, b"x")), "a component is longer than 255 bytes"),
    "long path": (lambda: tar(("/".join(["n" * 200] * 30), b"x")), "is longer than 1024 bytes"),
    "name of two lines": (lambda: tar(("a\nb", b"x")), "has a byte 0x0a that is not allowed in a name"),
    "cut": (lambda: tar(mode="w:gz")[:-20], "truncated gzip input"),
    "no zip": (lambda: b"PK\3\4" + b"hello" * 1000, "Truncated ZIP file header"),
}


def degraded(platform, name):
    f = platform.get(name)
    return next((c["message"] for c in f["status"].get("conditions", []) if c["type"] == "Degraded" and c["status"] == "True"), None)


@pytest.mark.parametrize("kind", ARCHIVES)
def test_refused(platform, neighbour, kind):
    make, why = ARCHIVES[kind]
    data = make()
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    name = "archive-" + kind.replace(" ", "-")
    assert platform.api("PUT", f"/packages/{digest}", body=data).status == 201
    platform.apply(function(name, {"package": digest}))
    r = platform.call(f"/{name}")
    assert r.status in (502, 503) and r.json["reason"] in ("CrashLoop", "InitFailed"), r
    assert digest in wait_until("the reason", lambda: degraded(platform, name))    # the beginning of it
    log = (platform.state / "logs/agent-node-1.log").read_text().splitlines()
    said = next(line for line in log if digest in line)
    assert why in said, said
    cache = platform.state / "agents/node-1/cache"
    assert not list(cache.glob(digest[7:] + "*")), "what was refused is still there"
    neighbour()
    platform.delete(name)


@pytest.mark.parametrize("data", [b"", os.urandom(5000)], ids=["nothing", "noise"])
def test_no_archive_at_all(platform, data):
    r = platform.api("PUT", "/packages/sha256:" + hashlib.sha256(data).hexdigest(), body=data)
    assert r.status == 400 and r.json["message"].startswith("a package is a zip, or a tar"), r


def test_the_digest_is_what_counts(platform):
    data = tar()
    wrong = "sha256:" + hashlib.sha256(data + b"x").hexdigest()
    r = platform.api("PUT", f"/packages/{wrong}", body=data)
    assert r.status in (400, 422) and "digest" in json.dumps(r.json), r
    assert platform.api("HEAD", f"/packages/{wrong}").status == 404
