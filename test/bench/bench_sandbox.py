"""Sandboxes: what a start costs, ours beside the bare calls, bubblewrap, crun and runc; and what one from the pool costs.

Every start is of the same static program, in the same root file system, to its end and removal. All run on one cpu,
in turns of a few starts each; `_spaced` is one every 40 ms.

bench_sandbox.py [PART]...: calls compare spaced pool; all without. `compare=0,1` (spaced): on these cpus.
"""
import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import oci
from harness import platform_id
from lib import SERVER_CPU, TOP, bench, percentile, ratio, skipped

BENCH = TOP / "build/release/bench"
ROOT = (TOP / "build/runtimes/provided/rootfs").resolve()
STARTS, TURN, SPACED, SPACED_TURN, APART_US = 200, 20, 200, 25, 40000
PARKED, FILL_US = 32, 1000000
BOTH = f"{SERVER_CPU},0"


class Starter:
    """A program of starts.h, pinned."""

    def __init__(self, command, cpu=SERVER_CPU, ready=False):
        self.process = subprocess.Popen(["taskset", "-c", cpu, *map(str, command)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        if ready:
            assert self.process.stdout.readline() == "ready\n", command

    def order(self, count, argument, lines=None):
        """So many lines of the answer, milliseconds."""
        self.process.stdin.write(f"{count} {argument}\n")
        self.process.stdin.flush()
        out = [self.process.stdout.readline() for _ in range(count if lines is None else lines)]
        if not all(out):
            raise SystemExit(f"bench: {self.process.args} ended early")
        return [int(line) / 1e6 for line in out]

    def stop(self):
        self.process.stdin.close()
        self.process.wait(30)


def compile_static(source, out, *flags):
    subprocess.run(["cc", "-O2", "-static", *flags, "-x", "c", "-", "-o", out], check=True, input=source, text=True)



# What agent/cgroup/limit.c writes for a sandbox of 64 MiB, one cpu and 257 processes.
LIMITS = {"memory.max": 64 << 20, "memory.high": (64 << 20) - (1 << 19), "memory.swap.max": 0, "memory.oom.group": 1,
          "memory.limit_in_bytes": 64 << 20, "memory.memsw.limit_in_bytes": 64 << 20, "memory.swappiness": 0,
          "memory.kmem.tcp.limit_in_bytes": 16 << 20, "cpu.max": "100000 100000", "cpu.weight": 39,
          "cpu.cfs_quota_us": 100000, "pids.max": 257}


@contextlib.contextmanager
def yardstick_cgroups(state, code, cpus):
    """Directories beside ours, in the same hierarchies, as arguments of yardstick_clone3."""
    ours = Starter([BENCH / "sandbox_starts", state, ROOT, code, "/var/task/true", "whole"], cpus, ready=True)
    mine = [d for d in pathlib.Path("/sys/fs/cgroup").rglob(f"rouse-{platform_id(state)}") if d.is_dir()]
    made, arguments = [], []
    try:
        for d in mine:
            beside = d.parent / f"bench-{os.getpid()}"
            beside.mkdir()
            made.append(beside)
            if (d / "cgroup.subtree_control").exists():
                (beside / "cgroup.subtree_control").write_text(
                    " ".join(f"+{c}" for c in (d / "cgroup.subtree_control").read_text().split()))
            probe = beside / "one"
            probe.mkdir()
            limits = [f"{f}={v}" for f, v in LIMITS.items() if (probe / f).exists()]
            probe.rmdir()
            arguments += ["v2" if (d / "cgroup.freeze").exists() else "v1", beside, *limits]
        yield ours, arguments
    finally:
        ours.stop()
        for d in made:
            d.rmdir()


BWRAP = ["bwrap", "--unshare-all", "--unshare-user", "--unshare-cgroup", "--cap-drop", "ALL", "--uid", "1000", "--gid", "1000",
         "--hostname", "bench", "--new-session", "--die-with-parent", "--clearenv", "--setenv", "PATH", "/bin",
         "--ro-bind", ROOT, "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/run"]


# crun takes a hybrid layout for v1 only without controllers on the unified tree: it is not shown that one. Nor the place
# of it, where it would leave directories behind.
VIEW = ("t=$(mktemp -d) && mount -t tmpfs tmpfs $t && for h in HIERARCHIES; do "
        "mkdir $t/$h && mount --bind /sys/fs/cgroup/$h $t/$h || exit 1; done && "
        "mount --rbind $t /sys/fs/cgroup && umount -l $t && rmdir $t && exec \"$@\"")
LIMITED = ("cpu", "memory", "pids", "freezer")


def seeing(only=None):
    """What crun is run under: with the hierarchies of v1 alone, of these those that are named."""
    there = [d.name for d in pathlib.Path("/sys/fs/cgroup").glob("*/") if (d / "tasks").exists() and not d.is_symlink()]
    shown = [h for h in there if not only or h in only]
    return ["unshare", "-m", "sh", "-c", VIEW.replace("HIERARCHIES", " ".join(shown)), "-"]


def peers(scratch, code):
    """(name, what its starter is run under, command); absent ones are skipped."""
    commands = {"bwrap": [*BWRAP, "--ro-bind", code, "/var/task", "--chdir", "/var/task", "/var/task/true"]}
    hybrid = pathlib.Path("/sys/fs/cgroup/unified/cgroup.controllers").exists()
    views = {"crun": seeing(), "crun_few": seeing(LIMITED)} if hybrid else {}
    for name in ("crun", *(["crun_few"] if hybrid else []), "runc"):
        bundle, program = scratch / name, name.partition("_")[0]
        oci.write_bundle(bundle, program, ROOT, code, "/var/task/true", f"/bench-{os.getpid()}-{name}")
        commands[name] = [program, "--root", scratch / f"{name}-state", "run", "--bundle", bundle, f"bench-{os.getpid()}"]
    for name, command in commands.items():
        if not shutil.which(command[0], path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            skipped(f"sandbox_vs_{name}", f"no {command[0]} here (hack/install-deps bench)")
            continue
        under = views.get(name, [])
        r = subprocess.run([*under, *command], capture_output=True, text=True)
        if r.returncode:
            skipped(f"sandbox_vs_{name}", f"it fails here: {(r.stderr or r.stdout).strip().splitlines()[-1:]}")
            continue
        yield name, under, command


def measure(starters, count, turn, apart_us):
    """name -> per turn its times; a turn of each, then the next turn in another order."""
    times = {name: [] for name in starters}
    order = list(starters)
    for name in order:
        starters[name].order(3, 0)
    for at in range(0, count, turn):
        order = order[1:] + order[:1]
        for name in order:
            times[name].append(starters[name].order(min(turn, count - at), apart_us))
    return times


def flat(turns):
    return [t for turn in turns for t in turn]


def told(name, times):
    v = flat(times)
    bench(f"sandbox_{name}_p50", percentile(v, 50), "ms", f"{min(v):.3g} to {max(v):.3g}, {len(v)} starts")
    bench(f"sandbox_{name}_p99", percentile(v, 99), "ms")


def compare(suffix, times):
    for name in times:
        told(name + suffix, times[name])
    medians = {name: [percentile(turn, 50) for turn in turns] for name, turns in times.items()}
    for name in times:
        if name != "ours":
            ratio(f"sandbox{suffix}_vs_{name}", medians["ours"], medians[name])


def counted(command, scratch):
    """System calls of one start, all processes of it together: call -> how many."""
    def run(n):
        out = scratch / "calls"
        subprocess.run(["strace", "-f", "-qq", "-c", "-U", "name,calls", "-o", out, *map(str, command)], input=f"{n} 0\n",
                       text=True, stdout=subprocess.DEVNULL, check=True)
        rows = [line.split() for line in out.read_text().splitlines()]
        return {r[0]: int(r[1]) for r in rows if len(r) == 2 and r[1].isdigit()}
    few, many = run(5), run(25)
    return {call: round((many[call] - few.get(call, 0)) / 20, 1) for call in many}


def calls(scratch, code, cgroups):
    """That both do the same work: what one does more often than the other is told."""
    if not shutil.which("strace"):
        skipped("sandbox_calls", "no strace here (hack/install-deps check)")
        return
    (scratch / "traced").mkdir()
    ours = counted([BENCH / "sandbox_starts", scratch / "traced", ROOT, code, "/var/task/true", "whole"], scratch)
    bare = counted([BENCH / "yardstick_clone3", ROOT, code, "/var/task/true", *cgroups], scratch)
    more = {c: ours.get(c, 0) - bare.get(c, 0) for c in sorted({*ours, *bare} - {"total"})}
    note = ", ".join(f"{c} {n:+.3g}" for c, n in more.items() if abs(n) >= 0.5)
    bench("sandbox_calls", ours["total"], "calls", f"clone3 {bare['total']:.4g}; ours beside it: {note}")


def pooled(state, code):
    """The pool has had time to fill before the first start, and fills again beside the others."""
    starts = Starter([BENCH / "sandbox_starts", state, ROOT, code, "/var/task/first_word", "first", PARKED], BOTH, ready=True)
    try:
        starts.order(2, FILL_US)
        spaced = starts.order(SPACED, APART_US)
        bench("sandbox_pool_p50", percentile(spaced, 50), "ms",
              f"{min(spaced):.3g} to {max(spaced):.3g}, {len(spaced)} starts, one every {APART_US // 1000} ms")
        bench("sandbox_pool_p99", percentile(spaced, 99), "ms")
        told("pool_back_to_back", [starts.order(STARTS, 0)])
    finally:
        starts.stop()
    rate = Starter([BENCH / "sandbox_starts", state, ROOT, code, "/var/task/true", "rate", PARKED], BOTH, ready=True)
    try:
        time.sleep(FILL_US / 1e6)
        rates = [500 / rate.order(500, 16, lines=1)[0] * 1000 for _ in range(3)]
        bench("sandbox_rate", sorted(rates)[1], "per_s", f"{min(rates):.4g} to {max(rates):.4g}, 3 runs, 16 at once")
    finally:
        rate.stop()


def side_by_side(ours, cgroups, scratch, code, cpus, parts):
    starters = {"ours": ours, "clone3": Starter([BENCH / "yardstick_clone3", ROOT, code, "/var/task/true", *cgroups], cpus)}
    try:
        for name, under, command in peers(scratch, code):
            starters[name] = Starter([*under, BENCH / "command_starts", *command], cpus)
        if "compare" in parts:
            compare("", measure(starters, STARTS, TURN, 0))
        if "spaced" in parts:
            compare("_spaced", measure(starters, SPACED, SPACED_TURN, APART_US))
    finally:
        for name in starters.keys() - {"ours"}:
            starters[name].stop()


def main():
    asked = sys.argv[1:] or ["calls", "compare", "spaced", "pool"]
    parts = {a.partition("=")[0]: a.partition("=")[2] or SERVER_CPU for a in asked}
    if os.geteuid() != 0:
        skipped("sandbox", "not root")
        return
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="rouse-bench-", dir="/tmp"))
    code, state = scratch / "code", scratch / "state"
    code.mkdir()
    state.mkdir()
    scratch.chmod(0o755)
    try:
        compile_static("int main(void) { return 0; }\n", code / "true")
        compile_static((TOP / "test/bench/first_word.c").read_text(), code / "first_word", "-nostdlib", "-ffreestanding",
                       "-fno-stack-protector")
        cpus = parts.get("compare", parts.get("spaced", SERVER_CPU))
        with yardstick_cgroups(state, code, cpus) as (ours, cgroups):
            if "calls" in parts:
                calls(scratch, code, cgroups)
            if parts.keys() & {"compare", "spaced"}:
                side_by_side(ours, cgroups, scratch, code, cpus, parts)
        if "pool" in parts:
            pooled(state, code)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


main()
