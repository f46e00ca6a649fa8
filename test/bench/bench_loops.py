"""Agents of one and of two loops side by side, all on one cpu, the load on the other: CPU of the agent per warm request to a
C function where each loop has an instance, and where one instance serves both, so that every other request takes a hop."""
import os

from lib import SERVER_CPU, function, median, pin, platform, ratio, tree, wait_until
from packages import upload_hello
from servers import load

ROUNDS = 7
CONNECTIONS = 64


class Agent:
    """A platform whose agent has `loops` loops, with functions of two instances and of one."""

    def __init__(self, p):
        self.p, self.port = p, int(p.gateway.rsplit(":", 1)[-1])
        c = {"code": upload_hello(p), "runtime": "provided", "handler": "bootstrap", "memory": "32Mi", "concurrency": CONNECTIONS,
             "cpu": "2"}
        for name, n in (("two", 2), ("one", 1)):
            p.apply(function(name, scaling={"min": n, "max": n}, **c))
            wait_until(f"{n} instances of {name}", lambda name=name, n=n: p.ready(name) == n, seconds=60)
        self.agent = p.pid(p.nodes[0]["name"])
        self.below = tree(self.agent)
        pin([*self.below, p.pid("controller")], SERVER_CPU)

    def requests(self):
        return self.p.metric("rouse_gateway_requests_total", node=0)

    def hops(self):
        return self.p.metric("rouse_gateway_dispatched_total", node=0, way="sibling")

    def run(self, path):
        groups = [[self.agent], [pid for pid in self.below if pid != self.agent]]
        return load(self.port, path=path, connections=CONNECTIONS, seconds=0.8, warmup=0.2, cpu_of=groups)


def with_loops(n):
    os.environ["ROUSE_LOOPS"] = str(n)
    return platform()


def main():
    with with_loops(1) as first, with_loops(2) as second:
        one, two = Agent(first), Agent(second)
        shares = []    # of the requests to the one instance that came to the other loop
        rows = {"one_loop": [], "two_loops": [], "one_loop_one_instance": [], "two_loops_one_instance": []}
        for _ in range(ROUNDS):
            rows["one_loop"].append(one.run("/two"))
            rows["two_loops"].append(two.run("/two"))
            rows["one_loop_one_instance"].append(one.run("/one"))
            before = two.hops(), two.requests()
            rows["two_loops_one_instance"].append(two.run("/one"))
            shares.append((two.hops() - before[0]) / (two.requests() - before[1]))
        for name, of in rows.items():
            median(f"loops_{name}_agent_cpu", [r["cpu_us"][0] for r in of], "us")
            median(f"loops_{name}_instance_cpu", [r["cpu_us"][1] for r in of], "us")
            median(f"loops_{name}_rps", [r["rps"] for r in of], "per_s")
        agent = {name: [r["cpu_us"][0] for r in of] for name, of in rows.items()}
        ratio("loops_two_cpu_vs_one", agent["two_loops"], agent["one_loop"])
        median("loops_hop_share", shares, "of_1")
        median("loops_hop_cpu", [(a - b) / s for a, b, s in zip(agent["two_loops_one_instance"], agent["two_loops"], shares)], "us")


main()
