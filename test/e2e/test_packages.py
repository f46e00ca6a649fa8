"""Code as archives: every shape through the command line to an answer, and what a node keeps of it."""
import io
import json
import lzma
import os
import shutil
import signal
import subprocess
import tarfile
import zipfile

import pytest
from harness import Platform, function, left_behind, machine_state, wait_until

SOURCE = b"import os\ndef handler(event, context):\n    return open(os.path.dirname(__file__) + '/data/%s').read()\n"
SHAPES = ["zip", "tar", "tar.gz", "tar.xz", "tar.zst"]


def tar_of(files, mode="w", **tar):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, **tar) as t:
        for name, data in files.items():
            m = tarfile.TarInfo(name)
            m.size, m.mode = len(data), 0o4755    # set-user-id is dropped
            t.addfile(m, io.BytesIO(data))
    return out.getvalue()


def pack(shape, name):
    files = {"index.py": SOURCE % name.encode(), f"data/{name}": f"said by {name}".encode()}
    if shape == "zip":
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
            for n, data in files.items():
                z.writestr(n, data)
        return out.getvalue()
    if shape == "tar.gz":
        return tar_of(files, "w:gz")
    if shape == "tar.xz":
        return lzma.compress(tar_of(files))
    if shape == "tar.zst":
        if not shutil.which("zstd"):
            pytest.skip("no zstd on this machine")
        return subprocess.run(["zstd", "-q", "-c"], input=tar_of(files), stdout=subprocess.PIPE, check=True).stdout
    return tar_of(files)


def apply_file(p, tmp_path, name, data, file):
    (tmp_path / file).write_bytes(data)
    f = function(name, code={"path": str(tmp_path / file)}, scaling={"idleTimeout": "0s"})
    p.apply(f)


@pytest.mark.parametrize("shape", SHAPES)
def test_an_archive_as_it_is(platform, tmp_path, shape):
    name = "a-" + shape.replace(".", "-")
    apply_file(platform, tmp_path, name, pack(shape, name), f"{name}.{shape}")
    r = platform.call(f"/{name}")
    assert r.status == 200 and r.text == f"said by {name}", r


def test_what_is_no_archive(platform, tmp_path):
    (tmp_path / "code.zip").write_bytes(b"hello" * 1000)
    f = function("none", code={"path": str(tmp_path / "code.zip")})
    r = platform.rouse("apply", "-f", "-", input=json.dumps(f), check=False)
    assert r.returncode and "is neither a directory nor a zip nor a tar" in r.stderr, r
    assert platform.get("none") is None


def test_a_node_keeps_what_it_unpacked(tmp_path):
    before = machine_state()
    p = Platform()
    node = p.nodes[0]["name"]
    try:
        apply_file(p, tmp_path, "kept", pack("zip", "kept"), "kept.zip")
        assert p.call("/kept").text == "said by kept"
        wait_until("the instance to go", lambda: not p.instances("kept"))
        assert p.metric("rouse_code_cache_misses_total", node=0) == 1
        assert p.call("/kept").text == "said by kept"
        assert p.metric("rouse_code_cache_hits_total", node=0) == 1
        assert p.metric("rouse_code_cache_packages", node=0) == 1
        assert 0 < p.metric("rouse_code_cache_bytes", node=0) < 100000

        # Unpacked for whoever runs it, root's, without set-user-id, and taken over by the agent's next life.
        [package] = (p.state / "agents" / node / "cache").iterdir()
        wait_until("the package to be on the disk", lambda: not package.stat().st_mode & 0o1000)
        for f in [package, *package.rglob("*")]:
            assert f.stat().st_uid == 0 and f.stat().st_mode & 0o7777 in (0o644, 0o755), f
        os.kill(p.pid(node), signal.SIGKILL)
        p.rouse("up", "--node", node)
        wait_until("an answer", lambda: p.call("/kept").status == 200)
        assert p.metric("rouse_code_cache_misses_total", node=0) == 0
    finally:
        p.down()
        shutil.rmtree(p.state, ignore_errors=True)
    assert not left_behind(p, before)
