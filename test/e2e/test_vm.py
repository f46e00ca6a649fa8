"""cgroup v2 alone, on Debian's kernel: the sandbox tests and a whole platform inside a small virtual machine."""
import subprocess

import pytest
from harness import TOP

SANDBOX_TEST = "build/release/test/unit/agent/sandbox/sandbox_test"

PLATFORM = r"""
set -e
rouse up --state /run/rouse-state
rouse status --state /run/rouse-state
rouse apply -f build/release/examples/hello-c/function.yaml
wget -q -O - --post-data='Hello C' http://127.0.0.1:8080/hello/c; echo
wget -q -O - --post-data='Hello C' http://127.0.0.1:8080/hello/c; echo
echo "memory.max $(cat /sys/fs/cgroup/rouse-*/hello-c*/memory.max)"
rouse down --state /run/rouse-state
find /sys/fs/cgroup -name 'rouse-*'
echo platform-done
"""


def vm(script, *files, seconds=240):
    path = TOP / "build/vm"
    path.mkdir(parents=True, exist_ok=True)
    (path / "script.sh").write_text(script)
    r = subprocess.run([TOP / "hack/vm", path / "script.sh", *files], cwd=TOP, text=True, capture_output=True,
                       timeout=seconds + 60, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "VM_SECONDS": str(seconds)})
    if r.returncode == 77:
        pytest.skip(r.stderr.strip())
    assert r.returncode == 0, r.stdout[-6000:] + r.stderr[-2000:]
    return r.stdout


def test_sandboxes_on_cgroup_v2():
    subprocess.run(["make", "-s", SANDBOX_TEST], cwd=TOP, check=True)
    out = vm("mkdir -p /usr/bin; cp /bin/busybox /usr/bin/busybox\n"
             f"CK_TIMEOUT_MULTIPLIER=10 {SANDBOX_TEST}\n", SANDBOX_TEST)
    assert "Failures: 0, Errors: 0" in out and "100%" in out
    assert [x for x in out.splitlines() if "skipped:" in x and "no cgroup v1" not in x] == [], out[-3000:]


def test_platform_on_cgroup_v2():
    out = vm(PLATFORM, "build/release/bin", "build/release/examples/hello-c", "build/runtimes/provided")
    assert "platform-done" in out and out.count("Hello") >= 2, out[-4000:]
    assert "memory.max 33554432" in out, out[-4000:]
    assert "rouse-" not in out.split("memory.max")[-1].split("platform-done")[0], out[-3000:]
