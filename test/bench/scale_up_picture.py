#!/usr/bin/env python3
"""scale_up_picture [FILE]: a real scale-up, and down, on three nodes, drawn from what controller and agents export.

Clients, each with one request at a time, come and go; /metrics of all is read ten times a second for 85 s. The
picture goes to deploy/monitoring/scale-up.svg.
"""
import http.client
import pathlib
import sys
import threading
import time

from lib import TOP, function, platform, samples, total, wait_until
from svg import Picture

EVERY, SECONDS = 0.1, 85
# From that second on so many clients.
CLIENTS = [(0, 0), (5, 6), (20, 48), (45, 12), (60, 0)]
# Half a second to load, as with a few large imports; a fifth of one for each request.
SLEEPS = "import time\ntime.sleep(0.5)\ndef handler(event, context):\n    time.sleep(0.2)\n    return 'ok'\n"
SPEC = {"concurrency": 4, "memory": "64Mi", "cpu": "50m", "scaling": {"max": 40, "idleTimeout": "8s", "window": "10s"}}


def wanted(t):
    return [n for at, n in CLIENTS if at <= t][-1]


class Clients:
    """As many as are wanted call the function, one request each, through all nodes in turn."""

    def __init__(self, platform):
        self.nodes = [n["gateway"].rsplit("/", 1)[-1].rsplit(":", 1) for n in platform.nodes]
        self.began, self.done, self.bad, self.count = time.monotonic(), False, [], 0
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(max(n for _, n in CLIENTS))]
        for t in self.threads:
            t.start()

    def now(self):
        return time.monotonic() - self.began

    def run(self, i):
        host, port = self.nodes[i % len(self.nodes)]
        conn = http.client.HTTPConnection(host, int(port), timeout=40)
        while not self.done:
            if i >= wanted(self.now()):
                time.sleep(0.02)
                continue
            try:
                conn.request("GET", "/busy")
                r = conn.getresponse()
                r.read()
                self.count += 1
                if r.status != 200:
                    self.bad.append(r.status)
            except (OSError, http.client.HTTPException) as e:
                self.bad.append(repr(e))
                conn.close()


def observe(p, clients):
    """One point: (t, figures) of the function, from the controller's and the agents' /metrics."""
    t, brain = clients.now(), p.metrics()
    answered = sum(p.metric("rouse_requests_total", node=i, function="busy") for i in range(len(p.nodes)))
    reason = [s["reason"] for s, _ in samples(brain, "rouse_autoscaler_reason") if s["function"] == "busy"]
    of = {"function": "busy"}
    return t, {"want": total(brain, "rouse_autoscaler_rule_instances", rule="metrics", **of),
               "asked": total(brain, "rouse_autoscaler_requested_instances", **of),
               "ready": total(brain, "rouse_autoscaler_ready_instances", **of),
               "waiting": total(brain, "rouse_activator_tickets"), "answered": answered,
               "reason": reason[0] if reason else "asleep"}


def record():
    with platform(nodes=3) as p:
        p.apply(function("busy", SLEEPS, **SPEC))
        wait_until("it is known everywhere", lambda: all(p.metric("rouse_gateway_functions", node=i) for i in range(3)))
        clients, points = Clients(p), []
        while clients.now() < SECONDS:
            points.append(observe(p, clients))
            time.sleep(max(0, EVERY * len(points) - clients.now()))
        clients.done = True
        for t in clients.threads:
            t.join()
        return points, clients


def spans(points):
    out = []
    for t, f in points:
        if out and out[-1][2] == f["reason"]:
            out[-1][1] = t
        else:
            if out:
                out[-1][1] = t
            out.append([t, t, f["reason"]])
    return out


def draw(points, clients):
    def of(name):
        return [(t, f[name]) for t, f in points]

    each = points[::10]
    rate = [(b[0], (b[1]["answered"] - a[1]["answered"]) / (b[0] - a[0])) for a, b in zip(each, each[1:])]
    offered = [(t, wanted(t)) for t, _ in points]
    pic = Picture(f"{clients.count} requests to a function that sleeps at zero and takes 0.5 s to load, on three nodes: {len(clients.bad)} failed", SECONDS)
    pic.panel("Requests", [("offered at once", 1, offered, True, True), ("wait for a slot", 2, of("waiting"), True, False)])
    pic.panel("Instances, 4 requests each", [("its concurrency wants", 3, of("want"), True, False),
                                             ("ready", 1, of("ready"), True, True), ("asked for", 2, of("asked"), True, False)])
    pic.strip("reason", spans(points))
    pic.panel("Answers per second", [("of all nodes", 1, rate, False, True)])
    return pic.text_of()


if __name__ == "__main__":
    to = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else TOP / "deploy/monitoring/scale-up.svg"
    recorded, made_by = record()
    if made_by.bad:
        print(f"{len(made_by.bad)} requests failed: {sorted(set(map(str, made_by.bad)))[:5]}", file=sys.stderr)
    to.write_text(draw(recorded, made_by))
    print(f"{to}: {len(recorded)} points, {made_by.count} requests")
