"""The scheduler beside Go's: what tasks cost, what they keep, how fair they are, and an HTTP echo on them.

bench_sched.py [PART]...: tasks switch parked starved compute http, or the name of one of the tasks' figures; all without."""
import os
import subprocess
import sys

from lib import bench, median, ratio, skipped
from servers import BENCH, Field, Skipped, go_build, go_program, ours, program

ROUNDS = 5
TASKS = ("spawn", "yield2", "yield1000", "pingpong", "buffered", "skynet", "fib", "mutex")
GO = "yardstick_gosched"
CPUS = os.cpu_count()


def figures(who, procs, *args, cpus=None):
    """What one run of a program prints, with that many processors on as many cpus."""
    cpus = cpus or f"0-{min(procs, CPUS) - 1}"
    command = ["taskset", "-c", cpus, BENCH / who, *args]
    r = subprocess.run([str(c) for c in command], text=True, capture_output=True, timeout=120,
                       env={**os.environ, "GOMAXPROCS": str(procs), "ROUSE_MAXPROCS": str(procs)})
    if r.returncode or not r.stdout:
        raise SystemExit(f"bench: {who} {' '.join(map(str, args))}: {r.stderr or r.stdout}")
    return [float(x) for x in r.stdout.split()]


def beside(program_, go, procs, args, passes=1, **options):
    """[(ours, Go's)] of each round. A round is `passes` times there and back: ours, Go's, Go's, ours."""
    rounds = []
    for _ in range(ROUNDS):
        runs = {program_: [], GO: []}
        for who in [program_, GO, GO, program_] * passes if go else [program_]:
            runs[who].append(figures(who, procs, *args[who], **options))
        rounds.append([[sum(x) / len(x) for x in zip(*runs[w])] for w in (program_, GO)])
    return rounds


def part_tasks(names, go):
    for name in names:
        for procs in {CPUS, 1}:
            suffix = "" if procs == CPUS else "_1p"
            rounds = beside("sched_tasks", go, procs, {"sched_tasks": [name], GO: [name]})
            us = [r[0][0] for r in rounds]
            median(f"sched_{name}{suffix}", us, "ns")
            if go:
                theirs = [r[1][0] for r in rounds]
                median(f"sched_{name}_go{suffix}", theirs, "ns")
                ratio(f"sched_{name}_vs_go{suffix}", us, theirs)
            else:
                skipped(f"sched_{name}_vs_go{suffix}", "Go is not there")


def part_switch():
    rounds = [[figures("sched_switch", 1, who)[0] for who in ("ours", "asm")] for _ in range(ROUNDS)]
    us, asm = zip(*rounds)
    median("sched_switch", us, "ns")
    median("sched_switch_asm", asm, "ns")
    ratio("sched_switch_vs_asm", us, asm)


def part_parked(go):
    for who, prefix in (("sched_fair", "sched_parked"), (GO, "sched_parked_go")):
        if who == "sched_fair" or go:
            pages, tables = figures(who, CPUS, "parked", 1000000)
            bench(prefix, pages, "bytes", "resident, each of 1,000,000 tasks")
            bench(prefix + "_tables", tables, "bytes", "of page tables")


def part_starved(go):
    """The one processor's thread and the endless one's share a cpu, then have one each. In the second pair of lines
    the endless task yields every 50 ms, and gets a processor that must be taken from it again."""
    for suffix, cpus, yields in (("", "0", 0), ("_two_cpus", "0,1", 0), ("_again", "0", 50)):
        args = ["starved", yields]
        for who, prefix in (("sched_fair", "sched_starved"), (GO, "sched_starved_go")):
            if who == "sched_fair" or go:
                rows = [figures(who, 1, *args, cpus=cpus) for _ in range(ROUNDS)]
                for q, values in zip(("p50", "p99"), zip(*rows)):
                    median(f"{prefix}_{q}{suffix}", values, "ms")


def part_compute(go):
    """On one processor, and on all cpus: what blocks needs no cpu."""
    for how in ("declared", "undeclared", "busy"):
        suffix = "" if how == "undeclared" else "_" + how
        left, ramp = zip(*(figures("sched_fair", 1, "compute", how, 100, cpus=f"0-{CPUS - 1}") for _ in range(ROUNDS)))
        median(f"sched_compute_left{suffix}", left, "of_1")
        median(f"sched_compute_ramp{suffix}", ramp, "ms")
    if go:
        median("sched_compute_left_go", [figures(GO, 1, "compute", 100, cpus=f"0-{CPUS - 1}")[0] for _ in range(ROUNDS)], "of_1")


def part_http():
    one = {"ROUSE_MAXPROCS": "1", "GOMAXPROCS": "1"}
    if not (BENCH / "sched_http").exists():
        skipped("sched_http_cpu_vs_reactor", "sched_http is not there")
        return
    with Field(tasks=lambda: program("sched_http", env=one), reactor=lambda: ours("reactor_http"),
               gohttp=lambda: go_program(GO, "http", env=one)) as field:
        for connections, suffix in ((64, ""), (1000, "_1000")):
            results = field.rounds(["tasks", "reactor", "gohttp"], ROUNDS, connections=connections, seconds=0.15, warmup=0.08)
            us = {n: [r["cpu_us"][0] for r in rows] for n, rows in results.items()}
            for n, values in us.items():
                median(f"sched_http_cpu_{n}{suffix}", values, "us")
            for n in ("reactor", "gohttp"):
                name = f"sched_http_cpu_vs_{n}{suffix}"
                if n in us:
                    ratio(name, us["tasks"], us[n])
                else:
                    skipped(name, field.why[n])


def main(parts):
    try:
        go = go_build(GO)
    except Skipped as e:
        go = None
        skipped("sched_*_go", e)
    names = [n for n in TASKS if n in parts or "tasks" in parts]
    if names:
        part_tasks(names, go)
    if "switch" in parts:
        part_switch()
    for name, part in (("parked", part_parked), ("starved", part_starved), ("compute", part_compute)):
        if name in parts:
            part(go)
    if "http" in parts:
        part_http()


main(sys.argv[1:] or ["tasks", "switch", "parked", "starved", "compute", "http"])
