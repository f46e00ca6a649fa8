"""go_peer.py: builds and runs the programs around others' Go code, test/compat/NAME, and our NAME_driver beside them."""
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "build/release/test/compat"


def build(name, *how):
    """The program, built with `go HOW`. Skips where there is no Go, or where its modules cannot be had in time."""
    out, source = OUT / name, ROOT / "test/compat" / name
    if out.exists() and out.stat().st_mtime > max(f.stat().st_mtime for f in source.iterdir()):
        return out
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    if not go:
        pytest.skip("Go is not there")
    env = {"HOME": str(OUT), **os.environ, "GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false"}
    try:
        r = subprocess.run([go, "list", "-deps", "-test", "."], cwd=source, env=env, capture_output=True, text=True, timeout=60)
        if r.returncode:
            pytest.skip("its modules cannot be had: " + r.stderr.strip().splitlines()[-1][:200])
        r = subprocess.run([go, *how, "-o", out, "."], cwd=source, env=env, capture_output=True, text=True, timeout=150)
    except subprocess.TimeoutExpired:
        pytest.skip("it could not be fetched and built in time")
    assert r.returncode == 0, r.stderr[-2000:]
    return out


def answers(program, cases):
    """The numbers of its line for each case."""
    done = subprocess.run([program], input="".join(json.dumps(c) + "\n" for c in cases), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (done.stderr or done.stdout)[-2000:]
    lines = [line[1:].split() for line in done.stdout.splitlines() if line.startswith("=")]
    assert len(lines) == len(cases)
    return [[int(n) for n in line] for line in lines]


def first_difference(ours, theirs):
    """The step of the first one; None: there is none."""
    return next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), None)
