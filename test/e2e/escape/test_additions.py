"""A Runtime that adds calls to its list gets these and nothing else; one that asks for more than there is to have is left out."""
import json
import shutil

import pytest
from harness import TOP, Platform, left_behind, machine_state, wait_until

ADDED = {"mbind": "EINVAL", "name_to_handle_at": "EFAULT"}    # what the kernel itself says of the attempts


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    """With the Runtimes `provided`, which adds calls here, and `greedy`, which may not be."""
    runtimes = tmp_path_factory.mktemp("runtimes")
    built = TOP / "build/runtimes/provided"
    about = json.loads((built / "runtime.json").read_text())
    for name, calls in (("provided", list(ADDED)), ("greedy", ["mbind", "mount"])):
        (runtimes / name).mkdir()
        (runtimes / name / "rootfs").symlink_to((built / "rootfs").resolve())
        (runtimes / name / "runtime.json").write_text(json.dumps({**about, "name": name, "syscalls": calls}))
    for name in ("python3", "nodejs"):
        (runtimes / name).symlink_to((TOP / "build/runtimes" / name).resolve())
    before = machine_state()
    p = Platform(flags=["--runtimes", str(runtimes)])
    yield p
    p.down()
    left = left_behind(p, before)
    shutil.rmtree(p.state, ignore_errors=True)
    assert not left, f"left behind: {left}"


def test_what_it_adds_and_nothing_else(attackers):
    assert {n: attackers[n] for n in ADDED} == ADDED
    also = ("move_pages", "memfd_secret", "mount", "ptrace the init", "bpf", "setns to its own", "io_uring", "userfaultfd")
    assert {attackers[n] for n in also} == {"EPERM"}


def test_what_none_may_add(platform):
    log = platform.state / "logs/agent-node-1.log"
    wait_until("the reason in the log", lambda: "syscalls[1]: mount: no Runtime may add it" in log.read_text())
