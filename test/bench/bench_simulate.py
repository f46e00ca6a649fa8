"""The simulator's rows beside each other: what ours makes of a workload, and what Knative's and the HPA's rules do."""
import subprocess

from lib import TOP, bench, skipped

FLAGS = ["--functions", "300", "--time", "6h", "--rate-max", "1", "--node-min", "4", "--node-max", "40", "--node-memory", "8Gi"]
SEEDS = (1, 2, 3, 4, 5)
COLUMNS = ("calls", "cold", "p99", "p999", "refused", "starts", "instance_h", "idle_h", "gib_h", "most_gib", "node_h", "nodes")
# The bench's name and the column: shares are of the calls, the rest is a sum.
FIGURES = (("cold_share", "cold"), ("waste", "idle_h"), ("node_hours", "node_h"), ("refused", "refused"))


def rows(seed):
    out = subprocess.check_output([TOP / "build/release/bin/rouse-controller", "simulate", *FLAGS, "--seed", str(seed)],
                                  text=True, stderr=subprocess.DEVNULL)
    lines = [line.split() for line in out.splitlines()[1:]]
    table = {line[0]: dict(zip(COLUMNS, (float(v.rstrip("%")) for v in line[1:]), strict=True)) for line in lines}
    for row in table.values():
        row["refused"] /= row["calls"] + row["refused"]
    return table


def compare(tables, other):
    for name, column in FIGURES:
        ours, theirs = [t["rouse"][column] for t in tables], [t[other][column] for t in tables]
        name = f"sim_{name}_vs_{other}"
        means = f"{sum(ours) / len(SEEDS):.3g} and {sum(theirs) / len(SEEDS):.3g}"
        each = [a / b for a, b in zip(ours, theirs) if b]
        if not each:            # a ratio to nothing is none: both are said
            skipped(name, f"{other} has none: {means}")
            continue
        bench(name, sum(ours) / sum(theirs), "x", f"{min(each):.3g} to {max(each):.3g} in {len(each)} of {len(SEEDS)} seeds; {means}")


tables = [rows(seed) for seed in SEEDS]
for other in ("knative", "hpa"):
    compare(tables, other)
