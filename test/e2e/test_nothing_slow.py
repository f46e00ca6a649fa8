"""What lies between the request that wakes a function and its handler, call by call: nothing there may wait.

The processes of the node and of the controller are traced from before the request until its answer: those that are
there, what they start, and the sandboxes that are parked.
"""
import contextlib
import json
import pathlib
import re
import shutil
import subprocess
import time

import pytest
from harness import TOP, children, function, wait_until

TRACED = ("fsync,fdatasync,sync,syncfs,sync_file_range,msync,execve,execveat,fork,vfork,clone,clone3,open,openat,"
          "connect,sendto,sendmsg,nanosleep,clock_nanosleep")
SLOW = r"(fsync|fdatasync|sync|syncfs|sync_file_range|msync|nanosleep|clock_nanosleep)\("
LINE = re.compile(r"^(\d+) +(\d+\.\d+) (.*)$")


def below(pid):
    """It and all its descendants."""
    return [pid, *(p for child in children(pid) for p in below(child))]


@contextlib.contextmanager
def traced(pids, out):
    """strace of all these; yields a function that ends it and returns [(pid, seconds, call)]."""
    command = ["strace", "-f", "-ttt", "-s", "64", "-e", "trace=" + TRACED, "-o", str(out)]
    for pid in pids:
        command += ["-p", str(pid)]
    s = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    left = set(pids)
    try:
        while left:    # one of them may have ended meanwhile, a builder: that is said, too
            line = s.stderr.readline()
            assert line, f"strace ended: {left}"
            left -= {int(n) for n in re.findall(r"\d+", line)}

        def end():
            s.terminate()
            s.communicate()
            found = [LINE.match(line) for line in out.read_text().splitlines()]
            return [(int(m[1]), float(m[2]), m[3]) for m in found if m]

        yield end
    finally:
        if s.poll() is None:
            s.terminate()
            s.communicate()


def deploy(platform, kind, tmp_path):
    if kind == "python3":
        platform.apply(function("slow", "def handler(event, context):\n    return 'awake'\n", scaling={"idleTimeout": "1s"}))
        return
    shutil.copy(TOP / "build/release/examples/hello-c/bootstrap", tmp_path / "code")
    f = function("slow", {"path": str(tmp_path / "code")}, runtime="provided", handler="x.y", scaling={"idleTimeout": "1s"})
    (tmp_path / "slow.yaml").write_text(json.dumps(f))
    platform.rouse("apply", "-f", str(tmp_path / "slow.yaml"))


@pytest.mark.skipif(not shutil.which("strace"), reason="there is no strace")
@pytest.mark.parametrize("kind", ["python3", "provided"])    # the next Node may be on its way to be parked, with all that it loads
def test_nothing_slow_before_the_handler(platform, tmp_path, kind):
    (tmp_path / "code").mkdir()
    deploy(platform, kind, tmp_path)
    assert platform.call("/slow").status == 200    # fetched, and unpacked
    wait_until("zero", lambda: not platform.instances("slow"))
    agent, controller = platform.pid("node-1"), platform.pid("controller")
    wait_until("parked sandboxes", lambda: platform.metric("rouse_agent_sandboxes_parked", node=0, runtime=kind) >= 4)
    with traced([*below(agent), controller], tmp_path / "trace") as end:
        r = platform.call("/slow")
        answered = time.time()
        calls = [c for c in end() if c[1] <= answered]
    assert r.status == 200
    platform.delete("slow")
    assert [c for c in calls if re.match(r"(sendmsg|sendto)\(", c[2])], "nothing was traced"
    assert not [c for c in calls if re.match(SLOW, c[2])]
    assert not [c for c in calls if "htons(53)" in c[2]]
    # What a function's own program loads is its affair; a parked interpreter has loaded what it needs.
    assert not [c for c in calls if re.match(r"open(at)?\(", c[2]) and re.search(r'\.so(\.[\d.]+)?"', c[2])]
    execs = [c for c in calls if re.match(r"execve(at)?\(", c[2])]
    assert len(execs) == (1 if kind == "provided" else 0), execs
    assert all('"/var/task/bootstrap"' in c[2] for c in execs)
    # Neither daemon forks: the launcher and what it has made do.
    assert not [c for c in calls if c[0] in (agent, controller) and re.match(r"(fork|vfork|clone3?)\(", c[2])]
    assert pathlib.Path(f"/proc/{agent}").exists()
