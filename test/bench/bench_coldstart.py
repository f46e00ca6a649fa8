"""Cold starts as a client sees them: functions at zero, their code cached, one first request each, one every 200 ms through
the router; by phase, from the agent's metrics. A burst of first requests. What sleeping instances cost, and waking them.

bench_coldstart.py [PART]...: c python node fork nopool burst memory frozen; all without. `frozen=1000` takes so many;
`c=5` (python, node, fork) tells the phases of the 5 slowest starts, for which it reads the metrics between the starts.
"""
import contextlib
import os
import pathlib
import re
import selectors
import socket
import subprocess
import sys
import time

from lib import TOP, apply_1000, bench, function, median_spread, percentile, platform, rss_mib, skipped, tree, wait_until
from packages import upload_hello

COUNT, APART, BURST, FROZEN = 200, 0.2, 100, 100
TEMPLATES = 25    # functions of `start: fork`; each is woken COUNT / TEMPLATES times
PHASES = ("schedule", "fetch", "sandbox", "runtime", "init", "first_byte")
COMMON = {"memory": "64Mi", "scaling": {"idleTimeout": "1s"}}
PYTHON = "def handler(e, c):\n    return 'hello'\n"
NODE = "exports.handler = async () => 'hello';\n"
HEAVY = ("import asyncio, ctypes, decimal, email.message, http.client, json, logging, sqlite3, ssl, unittest, urllib.request, "
         "xml.dom.minidom\n" + PYTHON)
AGENT = TOP / "build/release/bin/rouse-agent"


class Client:
    """One keep-alive connection to the gateway."""

    def __init__(self, gateway):
        host, port = gateway.rsplit("/", 1)[-1].rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data, self.began, self.took = b"", 0, None

    def send(self, path):
        self.data, self.took = b"", None
        self.began = time.perf_counter()
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())

    def receive(self):
        """Once the socket is readable; true when the answer is whole."""
        part = self.socket.recv(65536)
        assert part, "the gateway closed the connection"
        self.data += part
        head, end, body = self.data.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if end and len(body) >= int(length.group(1)):
            self.took = (time.perf_counter() - self.began) * 1000
        return self.took is not None

    def get(self, path):
        """Milliseconds."""
        self.send(path)
        while not self.receive():
            pass
        assert self.data.startswith(b"HTTP/1.1 200 "), self.data
        return self.took

    def close(self):
        self.socket.close()


def agent_knows(flag):
    return flag in subprocess.run([AGENT, "--help"], text=True, capture_output=True).stdout


def agent_again(p, *flags):
    """The node's agent anew, with more flags than `rouse up` gives it."""
    name = p.nodes[0]["name"]
    pid = p.pid(name)
    argv = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]
    os.kill(pid, 15)
    wait_until("the agent's end", lambda: not pathlib.Path(f"/proc/{pid}").exists())
    with open(p.state / "logs" / f"agent-{name}.log", "ab") as log:
        new = subprocess.Popen([*argv, *map(str, flags)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    started = pathlib.Path(f"/proc/{new.pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    (p.state / "run" / f"agent-{name}.pid").write_text(f"{new.pid} {started}\n")

    def ready():
        assert new.poll() is None, p.daemon_logs()
        with contextlib.suppress(OSError):
            return p.metric("rouse_agent_connected", node=0) or "rouse_" in p.metrics(0)
    wait_until("the agent", ready)
    # What it adopts and what its pool makes ahead is not the measurement's.
    time.sleep(3)


@contextlib.contextmanager
def big_platform(*flags):
    """A node that takes more instances than its cpus and its memory stand for."""
    with platform() as p:
        agent_again(p, "--allocatable-cpu", "4000", "--allocatable-memory", "200Gi", *flags)
        try:
            yield p
        finally:
            with contextlib.suppress(OSError):
                os.kill(p.pid(p.nodes[0]["name"]), 15)
                os.waitpid(p.pid(p.nodes[0]["name"]), 0)


def phases(p):
    return {ph: (p.metric("rouse_cold_start_seconds_sum", node=0, phase=ph), p.metric("rouse_cold_start_seconds_count", node=0, phase=ph))
            for ph in PHASES}


def from_pool(p):
    return p.metric("rouse_agent_sandbox_starts_total", node=0, **{"from": "pool"})


def at_zero(p):
    wait_until("zero", lambda: not p.api("GET", "/apis/rouse.dev/v1/instances").json["items"], seconds=120, every=0.1)


def spent(before, after):
    """Milliseconds of the starts between the two, by phase."""
    return {ph: (after[ph][0] - before[ph][0]) * 1000 for ph in PHASES}


def tell_slowest(times, each, count):
    for i in sorted(range(len(times)), key=times.__getitem__)[:-count - 1:-1]:
        parts = " + ".join(f"{ph} {ms:.3g}" for ph, ms in each[i].items())
        print(f"# start {i}: {times[i]:.3g} ms = {parts} + the rest {times[i] - sum(each[i].values()):.3g}", flush=True)


def one_by_one(p, label, paths, rounds=1, slowest=0):
    """A first request to each, APART seconds one from the other; all sleep again between two rounds."""
    client, times, before, pooled = Client(p.gateway), [], phases(p), from_pool(p)
    each, last = [], before
    for turn in range(rounds):
        if turn:
            at_zero(p)
        next_at = time.monotonic()
        for path in paths:
            times.append(client.get(path))
            if slowest:
                time.sleep(APART / 3)    # the refill is over
                now = phases(p)
                each.append(spent(last, now))
                last = now
            next_at += APART
            time.sleep(max(0.0, next_at - time.monotonic()))
    client.close()
    after = phases(p)
    cold = after["init"][1] - before["init"][1]
    bench(f"cold_start_{label}_p50", percentile(times, 50), "ms",
          f"{min(times):.3g} to {max(times):.3g}, {len(times)} starts, {from_pool(p) - pooled:.0f} from the pool")
    bench(f"cold_start_{label}_p99", percentile(times, 99), "ms")
    means = {ph: ms / max(1, after[ph][1] - before[ph][1]) for ph, ms in spent(before, after).items()}
    total = sum(times) / len(times)
    bench(f"cold_start_{label}_mean", total, "ms",
          " + ".join(f"{ph} {ms:.3g}" for ph, ms in means.items()) + f" + the rest {total - sum(means.values()):.3g}")
    tell_slowest(times, each, slowest)
    if cold != len(times):
        print(f"# of {len(times)} requests only {cold:.0f} were first ones", flush=True)


class Kinds:
    """How the functions of each kind are made."""

    def __init__(self, p):
        self.p, self.package = p, None

    def make(self, kind, i, prefix=""):
        name = f"{prefix}{kind}{i}"
        common = {"path": f"/{name}", **COMMON}
        if kind == "c":
            self.package = self.package or upload_hello(self.p)
            return function(name, code=dict(self.package), runtime="provided", handler="bootstrap", **common)
        if kind == "node":
            return function(name, NODE, runtime="nodejs", **common)
        if kind == "fork":
            return function(name, HEAVY, start="fork", timeout="30s", **common)
        return function(name, PYTHON, **common)

    def apply(self, kind, count, prefix=""):
        """Paths; the code of all is the same, and cached after the first, which is not among them."""
        for at in range(0, count + 1, 101):
            self.p.apply(*[self.make(kind, i, prefix) for i in range(at, min(at + 101, count + 1))])
        client = Client(self.p.gateway)
        client.get(f"/{prefix}{kind}{count}")
        client.close()
        return [f"/{prefix}{kind}{i}" for i in range(count)]


def forked(p, kinds, slowest):
    try:
        paths = kinds.apply("fork", TEMPLATES)
    except AssertionError as e:
        said = [line for line in str(e).splitlines() if "start" in line]
        skipped("cold_start_fork_p50", f"no spec.start: {said[0] if said else e}")
        return
    client = Client(p.gateway)
    for path in paths:    # the first instance of each is its template
        client.get(path)
    client.close()
    at_zero(p)
    one_by_one(p, "fork", paths, COUNT // TEMPLATES, slowest)


def burst(p, label, paths):
    """All at once, each on a connection of its own that is open already."""
    clients, pooled = [Client(p.gateway) for _ in paths], from_pool(p)
    waiting = selectors.DefaultSelector()
    began = time.perf_counter()
    for client, path in zip(clients, paths):
        waiting.register(client.socket, selectors.EVENT_READ, client)
        client.send(path)
    while waiting.get_map():
        for key, _ in waiting.select():
            if key.data.receive():
                waiting.unregister(key.fd)
    total = (time.perf_counter() - began) * 1000
    refused = [c.data[:80] for c in clients if not c.data.startswith(b"HTTP/1.1 200 ")]
    for client in clients:
        client.close()
    took = [c.took for c in clients]
    bench(f"{label}_total", total, "ms", f"{len(paths)} first requests at once, {from_pool(p) - pooled:.0f} from the pool, {len(refused)} refused "
                                    f"{refused[:1] or ''}")
    bench(f"{label}_p50", percentile(took, 50), "ms", f"{min(took):.3g} to {max(took):.3g}")
    bench(f"{label}_p99", percentile(took, 99), "ms")


def pss_mib(pid):
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"Pss:\s+(\d+)", text).group(1)) / 1024


def with_code(agent, file):
    """Processes below the agent that have a function's code at /var/task and are no init."""
    for pid in tree(agent):
        d = pathlib.Path(f"/proc/{pid}")
        with contextlib.suppress(OSError):
            if (d / f"root/var/task/{file}").exists() and (d / "comm").read_text() != "rouse-init\n":
                yield pid


def hostname(pid):
    """Begins with its function's name."""
    return pathlib.Path(f"/proc/{pid}/root/etc/hostname").read_text()


def memory(p, kinds):
    spec = {"memory": "64Mi", "scaling": {"idleTimeout": "600s"}}
    names = [f"idle{i}" for i in range(50)]
    at_zero(p)
    p.apply(*[function(n, PYTHON, path=f"/{n}", **spec) for n in names])
    client = Client(p.gateway)
    for n in names:
        client.get(f"/{n}")
    client.close()
    # Templates, and the forks that they keep ready, have code, too.
    pids = [pid for pid in with_code(p.pid(p.nodes[0]["name"]), "index.py") if hostname(pid).startswith("idle")]
    m, spread = median_spread([pss_mib(pid) for pid in pids])
    bench("instance_pss_python", m, "MiB", spread.replace("runs", "instances"))
    for n in names:
        p.delete(n)


def run_ns(pid):
    """What its threads have run."""
    return sum(int(t.read_text().split()[0]) for t in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"))


def frozen(p, count):
    """`count` instances that sleep as frozen ones, and a request to each."""
    if not agent_knows("--freeze-after"):
        skipped("wake_frozen_p50", "instances are not frozen yet")
        return
    package = upload_hello(p)
    names = [f"z{i}" for i in range(count)]
    for at in range(0, count, 100):
        p.apply(*[function(n, code=dict(package), path=f"/{n}", runtime="provided", handler="bootstrap", memory="64Mi",
                           scaling={"idleTimeout": "1h"}) for n in names[at:at + 100]])
    client = Client(p.gateway)
    for n in names:
        client.get(f"/{n}")

    def sleeping():
        items = p.api("GET", "/apis/rouse.dev/v1/instances").json["items"]
        return sum(i["status"].get("state", i["status"].get("phase")) == "Frozen" for i in items) >= count
    wait_until("all to be frozen", sleeping, seconds=60, every=0.2)
    daemons = {"agent": p.pid(p.nodes[0]["name"]), "controller": p.pid("controller")}
    before, began = {d: run_ns(pid) for d, pid in daemons.items()}, time.monotonic_ns()
    time.sleep(5)
    for d, pid in daemons.items():
        bench(f"frozen_cpu_{d}", 1e3 * (run_ns(pid) - before[d]) / (time.monotonic_ns() - began), "ms/s", f"{count} frozen instances")
    times = []
    for n in names:
        times.append(client.get(f"/{n}"))
        time.sleep(0.01)
    client.close()
    bench("wake_frozen_p50", percentile(times, 50), "ms", f"{min(times):.3g} to {max(times):.3g}, {count} frozen instances")
    bench("wake_frozen_p99", percentile(times, 99), "ms")
    agent = p.pid(p.nodes[0]["name"])
    pids = list(with_code(agent, "bootstrap"))
    bench("frozen_pss_c", median_spread([pss_mib(pid) for pid in pids])[0], "MiB", f"{len(pids)} processes")


def agent_of_1000():
    """Its own platform: what 1,000 functions cost an agent that runs none of them, without its pool."""
    with platform() as p:
        if agent_knows("--pool "):
            agent_again(p, "--pool", "0")
        apply_1000(p)
        bench("rss_agent_1000", rss_mib(p.pid(p.nodes[0]["name"])), "MiB")


def main():
    asked = sys.argv[1:] or ["c", "python", "node", "fork", "burst", "memory", "nopool", "frozen"]
    parts = {a.partition("=")[0]: a.partition("=")[2] for a in asked}
    if parts.keys() & {"c", "python", "node", "fork", "burst", "memory"}:
        with big_platform() as p:
            kinds = Kinds(p)
            for kind in ("c", "python", "node"):
                if kind in parts:
                    one_by_one(p, kind, kinds.apply(kind, COUNT), slowest=int(parts[kind] or 0))
            if "fork" in parts:
                forked(p, kinds, int(parts["fork"] or 0))
            if "burst" in parts:
                for kind, label in (("c", f"burst{BURST}"), ("python", f"burst{BURST}_python")):
                    paths = kinds.apply(kind, BURST, "burst")
                    at_zero(p)
                    time.sleep(2)    # the pool is what it is when nothing happens
                    burst(p, label, paths)
            if "memory" in parts:
                memory(p, kinds)
    if "nopool" in parts and not agent_knows("--pool "):
        skipped("cold_start_c_nopool_p50", "there is no pool yet: the figures above are without one")
    elif "nopool" in parts:
        with big_platform("--pool", "0") as p:
            kinds = Kinds(p)
            for kind in ("c", "python", "node"):
                one_by_one(p, f"{kind}_nopool", kinds.apply(kind, COUNT // 4))
    if "frozen" in parts:
        with big_platform() as p:
            frozen(p, int(parts["frozen"] or FROZEN))
    if "memory" in parts:
        agent_of_1000()


main()
