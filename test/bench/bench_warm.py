"""Warm functions through the router, beside nginx proxying to a keep-alive nginx: agent and instances on one cpu, as nginx
and its backend are; the load on the other.

bench_warm.py [PART]...: c batched crowded languages latency; all without. crowded: far more requests than slots, so that
each takes a ticket."""
import sys
import time

from lib import SERVER_CPU, function, median, pin, platform, ratio, skipped, tree, wait_until
from packages import upload_hello
from servers import Field, latencies, load, nginx, nginx_proxy

ROUNDS = 5
CONNECTIONS = 64
NODE = "exports.handler = async () => 'hello';\n"
PYTHON = "def handler(event, context):\n    return 'hello'\n"


class Warm:
    """One function with `instances` ready ones, all of the platform pinned to SERVER_CPU."""

    def __init__(self, p, name, instances, **spec):
        self.p, self.path, self.instances = p, f"/{name}", instances
        p.apply(function(name, scaling={"min": instances, "max": instances}, **spec))
        wait_until(f"{instances} instances of {name}", lambda: p.ready(name) == instances, seconds=60)
        self.agent, self.controller = p.pid(p.nodes[0]["name"]), p.pid("controller")
        self.port = int(p.gateway.rsplit(":", 1)[-1])

    def groups(self):
        """The agent; what it runs, when as much is parked again as the start took; the controller."""
        below = None
        while below != (now := sorted(tree(self.agent))):
            below = now
            time.sleep(0.3)
        pin([*below, self.controller], SERVER_CPU)
        return [[self.agent], [pid for pid in below if pid != self.agent], [self.controller]]

    def run(self, groups, connections):
        return load(self.port, path=self.path, connections=connections, seconds=0.8, warmup=0.2, cpu_of=groups)


class Proxied:
    """nginx proxying to nginx, both on SERVER_CPU."""

    def __init__(self, field):
        self.back, self.front = field.servers["back"], nginx_proxy(field.servers["back"].port)

    def run(self):
        return load(self.front.port, connections=CONNECTIONS, seconds=0.8, warmup=0.2, cpu_of=[[self.front.pid], [self.back.pid]])


def versus(warm, proxied, name):
    """Interleaved rounds of both; the three ratios."""
    rows = {"ours": [], "nginx": []}
    groups = warm.groups()
    for _ in range(ROUNDS):
        rows["ours"].append(warm.run(groups, CONNECTIONS))
        if proxied:
            rows["nginx"].append(proxied.run())
    for who, label in (("ours", name), ("nginx", f"{name}_nginx")):
        if rows[who]:
            median(f"{label}_rps", [r["rps"] for r in rows[who]], "per_s")
            median(f"{label}_p50", [r["p50_us"] for r in rows[who]], "us")
            median(f"{label}_p99", [r["p99_us"] for r in rows[who]], "us")
            median(f"{label}_cpu", [sum(r["cpu_us"]) for r in rows[who]], "us")
    median(f"{name}_agent_cpu", [r["cpu_us"][0] for r in rows["ours"]], "us")
    median(f"{name}_instance_cpu", [r["cpu_us"][1] for r in rows["ours"]], "us")
    if proxied:
        ratio(f"{name}_rps_vs_nginx", [r["rps"] for r in rows["ours"]], [r["rps"] for r in rows["nginx"]])
        ratio(f"{name}_p99_vs_nginx", [r["p99_us"] for r in rows["ours"]], [r["p99_us"] for r in rows["nginx"]])
        ratio(f"{name}_cpu_vs_nginx", [sum(r["cpu_us"]) for r in rows["ours"]], [sum(r["cpu_us"]) for r in rows["nginx"]])


def language(warm, name):
    """What the platform adds to a function that an interpreter runs: the agent, and no part of the instance."""
    groups = warm.groups()
    rows = [warm.run(groups, warm.instances) for _ in range(3)]
    median(f"{name}_rps", [r["rps"] for r in rows], "per_s")
    median(f"{name}_platform_cpu", [r["cpu_us"][0] + r["cpu_us"][2] for r in rows], "us")
    median(f"{name}_instance_cpu", [r["cpu_us"][1] for r in rows], "us")
    median(f"{name}_platform_share", [(r["cpu_us"][0] + r["cpu_us"][2]) / sum(r["cpu_us"]) for r in rows], "of_1")


def crowded(p, **spec):
    """1,000 connections, one slot: what a request costs agent and controller that waits with a ticket."""
    warm = Warm(p, "crowded", 1, **spec)
    groups, rows, shares = warm.groups(), [], []
    for _ in range(ROUNDS):
        before = p.metric("rouse_gateway_tickets_submitted_total", node=0)
        rows.append(load(warm.port, path=warm.path, connections=1000, seconds=2, warmup=0, cpu_of=[groups[0], groups[2]]))
        shares.append((p.metric("rouse_gateway_tickets_submitted_total", node=0) - before) / rows[-1]["requests"])
    median("crowded_rps", [r["rps"] for r in rows], "per_s")
    median("crowded_agent_cpu", [r["cpu_us"][0] for r in rows], "us")
    median("crowded_controller_cpu", [r["cpu_us"][1] for r in rows], "us")
    median("crowded_tickets", shares, "per_request")
    p.delete("crowded")


def measure(p, field, parts):
    proxied = Proxied(field) if "back" in field.servers else None
    if not proxied:
        skipped("warm_c_cpu_vs_nginx", field.why["back"])
    try:
        code = upload_hello(p)
        c = {"code": code, "runtime": "provided", "handler": "bootstrap", "memory": "32Mi"}
        if "c" in parts or "latency" in parts:
            warm = Warm(p, "warm-c", CONNECTIONS, **c)
            if "c" in parts:
                versus(warm, proxied, "warm_c")
            if "latency" in parts:
                warm.groups()
                latencies({"warm_c_": (warm.port, warm.path), **({"warm_c_nginx_": (proxied.front.port, "/")} if proxied else {})})
            p.delete("warm-c")
        if "batched" in parts:
            versus(Warm(p, "batched", 1, concurrency=CONNECTIONS, cpu="2", **c), proxied, "warm_c_batched")
            p.delete("batched")
        if "crowded" in parts:
            crowded(p, **c)
        if "languages" in parts:
            for name, runtime, source in (("warm_python", "python3", PYTHON), ("warm_node", "nodejs", NODE)):
                language(Warm(p, name.replace("_", "-"), 8, code=source, runtime=runtime), name)
                p.delete(name.replace("_", "-"))
    finally:
        if proxied:
            proxied.front.stop()


def main(parts):
    with Field(back=lambda: nginx('default_type text/plain; return 200 "hello";')) as field, platform() as p:
        measure(p, field, parts)


main(sys.argv[1:] or ["c", "batched", "crowded", "languages", "latency"])
