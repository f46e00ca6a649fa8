"""The HTTP server and the reverse proxy by themselves: CPU time and system calls per request, latency at a fixed rate; nginx beside them.

bench_http.py [PART]...: cpu proxy calls latency; all without."""
import sys

from lib import bench, median, ratio, skipped
from servers import Field, Skipped, calls_text, latencies, nginx, nginx_proxy, ours, program, proxy_load, system_calls

ROUNDS = 5
SERVERS = {
    "epoll": lambda: program("yardstick_epoll"),
    "evhttp": lambda: program("yardstick_libevent"),
    "nginx": nginx,
    "ours": lambda: ours("http_hello"),
    "uring": lambda: ours("http_hello", backend="io_uring"),
}


def part_cpu(field):
    for suffix, connections in (("", 64), ("_1000", 1000)):
        results = field.rounds(SERVERS, ROUNDS, connections=connections, seconds=0.2, warmup=0.08)
        us = {n: [r["cpu_us"][0] for r in rows] for n, rows in results.items()}
        for n, values in us.items():
            median(f"http_server_cpu_{n}{suffix}", values, "us")
        for n in ("epoll", "evhttp", "nginx"):
            for who, name in (("ours", f"http_server_cpu_vs_{n}{suffix}"), ("uring", f"http_server_uring_cpu_vs_{n}{suffix}")):
                if n in us and who in us:
                    ratio(name, us[who], us[n])
                elif who in us or n == "epoll":
                    skipped(name, field.why.get(n) or field.why[who])


def part_proxy():
    """A proxy and the keep-alive nginx behind it, on one cpu."""
    with Field(back=nginx) as field:
        if "back" not in field.servers:
            return skipped("http_proxy_cpu_vs_nginx", field.why["back"])
        back = field.servers["back"]
        upstream = f"tcp://127.0.0.1:{back.port}"
        with Field(nginx=lambda: nginx_proxy(back.port), ours=lambda: ours("http_proxy", "--upstream", upstream),
                   uring=lambda: ours("http_proxy", "--upstream", upstream, backend="io_uring")) as fronts:
            rows = {n: [] for n in fronts.servers}
            for _ in range(ROUNDS):
                for n, s in fronts.servers.items():
                    rows[n].append(proxy_load(s, back))
            for n, r in rows.items():
                median(f"http_proxy_cpu_{n}", [x["cpu_us"][0] for x in r], "us")
                median(f"http_proxy_rps_{n}", [x["rps"] for x in r], "per_s")
            for n, name in (("ours", "http_proxy_cpu_vs_nginx"), ("uring", "http_proxy_uring_cpu_vs_nginx")):
                if n in rows:
                    ratio(name, [x["cpu_us"][0] for x in rows[n]], [x["cpu_us"][0] for x in rows["nginx"]])
                else:
                    skipped(name, fronts.why[n])


def part_calls(field):
    for n in ("epoll", "nginx", "ours", "uring"):
        if n in field.servers:
            try:
                calls = system_calls(field.servers[n])
                bench(f"http_server_calls_{n}", sum(calls.values()), "per_request", calls_text(calls))
            except Skipped as e:
                skipped(f"http_server_calls_{n}", e)


def main(parts):
    with Field(**SERVERS) as field:
        if "cpu" in parts:
            part_cpu(field)
        if "calls" in parts:
            part_calls(field)
        if "latency" in parts:
            latencies({p: (field.servers[n].port, "/") for p, n in (("", "ours"), ("uring_", "uring"), ("nginx_", "nginx"))
                       if n in field.servers})
    if "proxy" in parts:
        part_proxy()


main(sys.argv[1:] or ["cpu", "calls", "latency", "proxy"])
