"""packages.py: the C function of the benchmarks as a package in a running platform."""
import hashlib
import io
import subprocess
import tarfile

from lib import TOP


def hello_program():
    out = TOP / "build/release/test/bench/hello"
    out.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cc", "-O2", "-static", "-I", TOP / "runtime-sdk/include", TOP / "test/bench/hello.c",
                    TOP / "build/release/lib/librouse.a", "-o", out], check=True)
    return out


def upload_hello(p):
    """Uploads it as the executable `bootstrap`; returns spec.code."""
    data = hello_program().read_bytes()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        m = tarfile.TarInfo("bootstrap")
        m.size, m.mode = len(data), 0o755
        t.addfile(m, io.BytesIO(data))
    digest = "sha256:" + hashlib.sha256(out.getvalue()).hexdigest()
    assert p.api("PUT", f"/packages/{digest}", out.getvalue()).status in (200, 201)
    return {"package": digest}
