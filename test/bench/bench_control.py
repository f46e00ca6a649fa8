"""The controller's decisions: from the request that finds nothing to the placement, without sockets; and what they cost
in instructions, which must not grow with the functions that sleep and hardly with the nodes."""
import re
import shutil
import subprocess

from lib import TOP, bench, median, skipped

BIN = TOP / "build/release/bench"
ROUNDS = 5
DECISIONS = 1000


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
    of = {n: instructions("control_place", n, 1000) for n in (100, 1000, 10000)}
    for n, value in of.items():
        bench(f"place_instructions_{n}_nodes", value, "instructions")
    bench("place_instructions_10000_vs_100", of[10000] / of[100], "x", "nodes")


times()
costs()
