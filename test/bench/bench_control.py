"""The controller's decisions: from the request that finds nothing to the placement, without sockets; what they cost in
instructions, which must not grow with the functions that sleep and hardly with the nodes; and a real controller with
10,000 functions and up to 1,000 agents made of values (agents/). Parts: times costs sockets many."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

from controller import Agents, Controller
from lib import TOP, bench, median, percentile, skipped

BIN = TOP / "build/release/bench"
ROUNDS = 5
DECISIONS = 1000
FUNCTIONS = 10000


def run(program, *args):
    return [int(v) for v in subprocess.check_output([BIN / program, *map(str, args)], text=True).split()]


def instructions(program, *args):
    """Of one decision."""
    r = subprocess.run(["valgrind", "--tool=callgrind", "--toggle-collect=decide", "--callgrind-out-file=/dev/null",
                        BIN / program, *map(str, args)], text=True, capture_output=True, check=True)
    return int(re.search(r"Collected : (\d+)", r.stderr).group(1)) / int(args[-1])


def times():
    rows = [run("control_core", 10000, 100, DECISIONS) for _ in range(ROUNDS)]
    median("decision_median", [r[0] / 1e6 for r in rows], "ms")
    median("decision_p99", [r[1] / 1e6 for r in rows], "ms")
    median("decision_apply_core", [r[3] / 1e3 for r in rows], "us")
    for nodes in (100, 1000, 10000):
        rows = [run("control_place", nodes, 10000) for _ in range(ROUNDS)]
        median(f"place_{nodes}_nodes", [r[0] / 1e3 for r in rows], "us")


def costs():
    if not shutil.which("valgrind"):
        skipped("decision_instructions", "no valgrind")
        return
    few, many = (instructions("control_core", n, 100, 300) for n in (1000, 10000))
    bench("decision_instructions_10000", many, "instructions")
    bench("decision_instructions_10000_vs_1000", many / few, "x", "functions that sleep; at most 1.1")
    nodes = instructions("control_core", 10000, 1000, 300)
    bench("decision_instructions_1000_nodes_vs_100", nodes / many, "x", "at 10,000 functions")
    last = instructions("control_core", 10000, 100, 3000)
    bench("decision_instructions_3000_vs_300", last / many, "x", "decisions, each of which leaves an instance behind")
    of = {n: instructions("control_place", n, 1000) for n in (100, 1000, 10000)}
    for n, value in of.items():
        bench(f"place_instructions_{n}_nodes", value, "instructions")
    bench("place_instructions_10000_vs_100", of[10000] / of[100], "x", "nodes")


def fsync_ms(directory, rounds=200):
    """What the disk takes for 4 KiB and a fdatasync, by itself."""
    took = []
    with tempfile.TemporaryFile(dir=directory) as f:
        for _ in range(rounds):
            f.write(b"x" * 4096)
            f.flush()
            began = time.monotonic()
            os.fdatasync(f.fileno())
            took.append((time.monotonic() - began) * 1e3)
    return took


def apply_all(c):
    """10,000 functions, each a POST of its own, on 8 connections at once; then what one takes when nothing else comes."""
    cpu = c.cpu_s()
    took = c.apply([f"f{k}" for k in range(FUNCTIONS)], scaling={"idleTimeout": "1s"})
    bench("apply_10000", took, "s", f"{FUNCTIONS / took:.0f} per s, of it {(c.cpu_s() - cpu) / FUNCTIONS * 1e6:.0f} us of CPU each")
    one = []
    for k in range(200):
        one.append(c.apply([f"one{k}"], connections=0) * 1e3)
    disk = fsync_ms(c.state)
    bench("apply_one_p50", percentile(one, 50), "ms", f"p99 {percentile(one, 99):.3g}; a fdatasync by itself "
          f"{percentile(disk, 50):.3g}, p99 {percentile(disk, 99):.3g}")


def sockets():
    with Controller() as c:
        apply_all(c)
        with Agents(c, 100, FUNCTIONS) as agents:
            rows = []
            for k in range(ROUNDS):
                rows.append(agents.cold(k * 300, 300, 1))
            median("decision_socket_p50", [r["placed_p50"] / 1e3 for r in rows], "ms")
            median("decision_socket_p99", [r["placed_p99"] / 1e3 for r in rows], "ms")
            agents.instances(0)
            rates, cpus = [], []
            for _ in range(3):
                cpu = c.cpu_s()
                r = agents.cold(0, FUNCTIONS, 256)
                rates.append((r["answered"] - r["refused"]) / r["seconds"])
                cpus.append((c.cpu_s() - cpu) / FUNCTIONS * 1e6)
                agents.instances(0)
            median("place_rate", rates, "per_s")
            median("place_cpu", cpus, "us")


def many():
    """10,000 functions, 1,000 agents."""
    with Controller() as c:
        c.apply([f"f{k}" for k in range(FUNCTIONS)], scaling={"idleTimeout": "30s"})
        with Agents(c, 1000, FUNCTIONS) as agents:
            bench("join_1000", agents.joined, "s")
            time.sleep(2)
            bench("cpu_controller_10000", c.cpu_percent(5), "percent")
            bench("rss_controller_10000", c.rss_mib(), "MiB")
            agents.busy(1000)
            agents.cold(0, 1000, 100)
            time.sleep(2)
            bench("cpu_controller_10000_busy", c.cpu_percent(5), "percent", "of them 1,000 have an instance and are called each second")
            bench("rss_controller_10000_busy", c.rss_mib(), "MiB")


PARTS = {"times": times, "costs": costs, "sockets": sockets, "many": many}
for part in sys.argv[1:] or PARTS:
    PARTS[part]()
