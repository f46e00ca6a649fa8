"""The reactor beside a bare epoll loop, libuv, libevent, evio, gnet and nginx: CPU time and system calls per request, memory per idle connection.

bench_reactor.py [PART]...: http echo idle loops calls; all without."""
import sys

from lib import bench, median, ratio, skipped
from servers import Field, Skipped, calls_text, go_program, idle, load, memory_bytes, nginx, ours, program, system_calls

ROUNDS = 5
YARDSTICKS = ("epoll", "libuv", "libevent", "evio", "gnet")
OTHERS = ("ring", "nginx", "ours", "uring")


def makers(kind):
    echo = ["--echo"] if kind == "echo" else []
    m = {y: (lambda y=y: (go_program if y in ("evio", "gnet") else program)(f"yardstick_{y}", *echo)) for y in YARDSTICKS}
    m["ring"] = lambda: program("yardstick_uring", *echo)
    if kind == "http":
        m["nginx"] = nginx
    m["ours"] = lambda: ours(f"reactor_{kind}")
    m["uring"] = lambda: ours(f"reactor_{kind}", backend="io_uring")
    return m


def cpu(results):
    return {n: [r["cpu_us"][0] for r in rows] for n, rows in results.items()}


def compare(field, kind, suffix, **options):
    """CPU per request of all; ours, on both backends, over theirs."""
    results = field.rounds([*YARDSTICKS, *OTHERS], ROUNDS, **options)
    us = cpu(results)
    for n, values in us.items():
        median(f"{kind}_cpu_{n}{suffix}", values, "us")
    for n in YARDSTICKS:
        for who, prefix in (("ours", "reactor_"), ("uring", "reactor_uring_")):
            name = f"{prefix}{kind}_cpu_vs_{n}{suffix}"
            if n in us and who in us:
                ratio(name, us[who], us[n])
            elif who in us or n == "epoll":
                skipped(name, field.why.get(n) or field.why[who])
    busy = max(r["client_busy"] for rows in results.values() for r in rows)
    bench(f"{kind}_client_busy{suffix}", busy, "of_1", "the load's share of its own cpu, at most")


def part_http(field):
    compare(field, "http", "", connections=64, seconds=0.15, warmup=0.08)
    compare(field, "http", "_1000", connections=1000, seconds=0.15, warmup=0.08)


def part_echo(field):
    compare(field, "echo", "", connections=64, echo=64, seconds=0.15, warmup=0.05)
    for n, rows in field.rounds(field.servers, 3, passes=1, connections=64, echo=64, depth=16, seconds=0.25, warmup=0.1).items():
        median(f"echo_16_in_flight_{n}", [r["rps"] for r in rows], "per_s")


def part_idle():
    for name, make in (("reactor_idle_conn", lambda: ours("reactor_http")), ("http_idle_conn", lambda: ours("http_hello")),
                       ("reactor_uring_idle_conn", lambda: ours("reactor_http", backend="io_uring")),
                       ("http_uring_idle_conn", lambda: ours("http_hello", backend="io_uring")),
                       ("idle_conn_nginx", nginx), ("idle_conn_libuv", lambda: program("yardstick_libuv"))):
        try:
            with make() as s:
                load(s.port, connections=64, each=50)
                before = memory_bytes(s.pid)
                with idle(s.port, 10000):
                    bench(name, (memory_bytes(s.pid) - before) / 10000, "bytes", "10,000 connections, one request each")
        except Skipped as e:
            skipped(name, e)


def part_loops():
    """On one cpu, as everything else here: what the second loop costs. On both cpus the load shares one of them, which
    costs more than any loop does; two processes of one loop each, on the same port, show how much of it."""
    with Field(one=lambda: ours("reactor_http"), two=lambda: ours("reactor_http", "--loops", 2)) as field:
        us = cpu(field.rounds(["one", "two"], ROUNDS, connections=64, seconds=0.25, warmup=0.08))
        ratio("reactor_two_loops_cpu_vs_one", us["two"], us["one"])
    with ours("reactor_http", "--loops", 2, cpus="0,1") as two, ours("reactor_http", "--reuseport", cpus="0,1") as a, \
            ours("reactor_http", "--reuseport", cpus="0,1", port=a.port) as b:
        rows = [(load(two.port, cpu_of=[[two.pid]], seconds=0.4, warmup=0.1)["cpu_us"][0],
                 sum(load(a.port, cpu_of=[[a.pid], [b.pid]], seconds=0.4, warmup=0.1)["cpu_us"])) for _ in range(ROUNDS)]
        ratio("reactor_two_loops_cpu_vs_two_processes", *zip(*rows))


def part_calls(http, echo):
    for kind, field, options in (("http", http, {}), ("echo", echo, {"echo": 64})):
        for n in ("epoll", "libuv", "gnet", *OTHERS):
            if n in field.servers:
                try:
                    calls = system_calls(field.servers[n], **options)
                    bench(f"{kind}_calls_{n}", sum(calls.values()), "per_request", calls_text(calls))
                except Skipped as e:
                    skipped(f"{kind}_calls_{n}", e)


def main(parts):
    with Field(**makers("http")) as http, Field(**makers("echo")) as echo:
        if "http" in parts:
            part_http(http)
        if "echo" in parts:
            part_echo(echo)
        if "calls" in parts:
            part_calls(http, echo)
    if "idle" in parts:
        part_idle()
    if "loops" in parts:
        part_loops()


main(sys.argv[1:] or ["http", "echo", "calls", "idle", "loops"])
