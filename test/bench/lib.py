"""lib.py: what the benchmarks share: a platform, processes, and the output line."""
import contextlib
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from harness import BIN, TOP, Platform, free_offset, function, http_request, samples, total, wait_until  # noqa: E402,F401

SERVER_CPU, CLIENT_CPU = "1", "0"
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))    # what was started is stopped


def bench(name, value, unit, spread=None):
    note = f"  # {spread}" if spread else ""
    print(f"bench {name} {value:.4g} {unit}{note}", flush=True)


def median_spread(values):
    return statistics.median(values), f"{min(values):.4g} to {max(values):.4g}, {len(values)} runs"


def percentile(values, p):
    v = sorted(values)
    return v[min(len(v) - 1, int(len(v) * p / 100))]


@contextlib.contextmanager
def platform(**kw):
    p = Platform(**kw)
    try:
        yield p
    finally:
        p.down()
        shutil.rmtree(p.state, ignore_errors=True)


def tree(pid):
    """The process and all its descendants that have not ended."""
    children = {}
    for d in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            state, parent = d.joinpath("stat").read_text().rsplit(")", 1)[1].split()[:2]
            if state != "Z":
                children.setdefault(int(parent), []).append(int(d.name))
    out, todo = [], [pid]
    while todo:
        out.append(todo.pop())
        todo += children.get(out[-1], [])
    return out


def rss_mib(pid):
    kb = int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1))
    return kb / 1024


def apply_1000(p):
    """1,000 Python functions, of which one has run; all at zero."""
    for at in range(0, 1000, 100):
        p.apply(*[function(f"f{i}", "def handler(e, c):\n    return 'x'\n", scaling={"idleTimeout": "1s"})
                  for i in range(at, at + 100)])
    wait_until("the last route", lambda: p.call("/f999").status == 200)
    wait_until("zero", lambda: not p.instances("f999"), seconds=120)


def pin(pids, cpu):
    for pid in pids:
        subprocess.run(["taskset", "-acp", cpu, str(pid)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def skipped(name, why):
    print(f"bench {name} skipped: {why}", flush=True)


def ratio(name, ours, theirs):
    """`ours` and `theirs` are of the same rounds; the median of the rounds' ratios."""
    m, spread = median_spread([a / b for a, b in zip(ours, theirs)])
    bench(name, m, "x", spread)


def median(name, values, unit):
    m, spread = median_spread(values)
    bench(name, m, unit, spread)
