"""packages.py: a program as a package in a running platform."""
import hashlib
import io
import tarfile


def upload_bootstrap(p, program):
    """Uploads `program` as the executable `bootstrap`; returns spec.code."""
    data = program.read_bytes()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        m = tarfile.TarInfo("bootstrap")
        m.size, m.mode = len(data), 0o755
        t.addfile(m, io.BytesIO(data))
    digest = "sha256:" + hashlib.sha256(out.getvalue()).hexdigest()
    assert p.api("PUT", f"/packages/{digest}", out.getvalue()).status in (200, 201)
    return {"package": digest}
