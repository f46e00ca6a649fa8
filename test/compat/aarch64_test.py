"""The scheduler on AArch64: its unit tests, built by a cross compiler, under qemu-user."""
import concurrent.futures
import os
import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
TESTS = sorted(p.relative_to(TOP).with_suffix("") for p in TOP.glob("test/unit/runtime-sdk/sched/*_test.c"))
COMPILER, QEMU = "aarch64-linux-gnu-gcc", "qemu-aarch64-static"


def under_qemu(test):
    # -cpu max: pointer authentication and branch targets are checked
    return subprocess.run([QEMU, "-cpu", "max", f"build/aarch64/{test}"], capture_output=True, text=True, timeout=600, cwd=TOP,
                          env={**os.environ, "ROUSE_EMULATED": "1"})


@pytest.fixture(scope="module")
def runs():
    """What each came to; as many run at once as there are cpus."""
    for tool in (COMPILER, QEMU):
        if not shutil.which(tool):
            pytest.skip(f"no {tool}")
    done = subprocess.run(["make", "-s", f"-j{os.cpu_count()}", "VARIANT=aarch64", *(f"build/aarch64/{t}" for t in TESTS)],
                          cwd=TOP, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {t: pool.submit(under_qemu, t) for t in TESTS}


def test_there_are_tests():
    assert len(TESTS) >= 2


@pytest.mark.parametrize("test", TESTS, ids=lambda t: t.name)
def test_under_qemu(runs, test):
    done = runs[test].result()
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert "Failures: 0, Errors: 0" in done.stdout
