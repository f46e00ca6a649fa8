"""controller.py: a controller by itself, the functions that are applied to it, and agents made of values (agents/) on its
control channel."""
import contextlib
import http.client
import json
import multiprocessing
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

from lib import BIN, TOP, function, rss_mib, wait_until

BENCH = TOP / "build/release/bench"
FUNCTIONS = "/apis/rouse.dev/v1/namespaces/default/functions"


class Controller:
    """rouse-controller on any free ports, with a state directory of its own."""

    def __init__(self, *flags, prefix=()):
        self.state = pathlib.Path(tempfile.mkdtemp(prefix="rouse-bench-"))
        self.log = self.state / "log"
        any_port = "tcp://127.0.0.1:0"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*prefix, BIN / "rouse-controller", "--state", self.state / "store", "--api-address", any_port, "--front-address",
                 any_port, "--control-address", any_port, *flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            at = wait_until("the controller", lambda: re.search(r"api (\S+) front \S+ control (\S+)", self.log.read_text()), 120)
        except BaseException:
            self.__exit__()
            raise
        self.pid = self.process.pid
        self.api, self.control = at.group(1).rsplit("/", 1)[-1], at.group(2)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.state, ignore_errors=True)

    def cpu_s(self):
        """User and system time so far."""
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def cpu_percent(self, seconds):
        """Of one cpu, over so long."""
        began, before = time.monotonic(), self.cpu_s()
        time.sleep(seconds)
        return 100 * (self.cpu_s() - before) / (time.monotonic() - began)

    def rss_mib(self):
        return rss_mib(self.pid)

    def request(self, method, path, body=None, content_type="application/json"):
        return requests(self.api, [(method, path, json.dumps(body) if body is not None else None)], content_type)[0]

    def apply(self, names, connections=8, **spec):
        """Applies them over so many connections of processes of their own (0: one of this one), each one object a
        request; seconds."""
        wanted = [("POST", FUNCTIONS, json.dumps(function(n, "def handler(e, c):\n    return 'x'\n", **spec))) for n in names]
        began = time.monotonic()
        if not connections:
            requests(self.api, wanted)
            return time.monotonic() - began
        with multiprocessing.Pool(connections) as pool:
            pool.starmap(requests, [(self.api, wanted[k::connections]) for k in range(connections)])
        return time.monotonic() - began


def requests(address, wanted, content_type="application/json"):
    """One after the other on one connection; the answers as JSON."""
    c = http.client.HTTPConnection(address, timeout=60)
    out = []
    for method, path, body in wanted:
        c.request(method, path, body, {"Content-Type": content_type} if body is not None else {})
        r = c.getresponse()
        text = r.read()
        if r.status >= 300:
            raise SystemExit(f"bench: {method} {path}: {r.status} {text[:500]!r}")
        out.append(json.loads(text))
    c.close()
    return out


class Agents:
    """test/bench/agents: what it is asked and what it answers is in its main.c."""

    def __init__(self, controller, agents, functions, prefix=()):
        self.process = subprocess.Popen(
            [*prefix, BENCH / "agents", "--control", controller.control, "--agents", str(agents), "--functions", str(functions)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.joined = float(self.answer("joined")[0])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def answer(self, name):
        line = self.process.stdout.readline().split()
        if not line or line[0] != name:
            raise SystemExit(f"bench: agents: {name}: {' '.join(line)}")
        return line[1:]

    def ask(self, name, *args):
        self.process.stdin.write(" ".join([name, *map(str, args)]) + "\n")
        self.process.stdin.flush()
        return [float(v) for v in self.answer(name)]

    def cold(self, first, count, window):
        """One request each for `count` functions; a dict, times in us: ticket to Desired (placed), ticket to answer (done)."""
        v = self.ask("cold", first, count, window)
        keys = ("placed_p50", "placed_p99", "placed_max", "done_p50", "done_p99", "done_max")
        return {"seconds": v[0], "answered": int(v[1]), "refused": int(v[2]), **dict(zip(keys, v[3:]))}

    def instances(self, count):
        """Waits for them; (seconds that took, started since the agents joined)."""
        seconds, started = self.ask("instances", count)
        return seconds, int(started)

    def busy(self, count):
        self.ask("busy", count)
