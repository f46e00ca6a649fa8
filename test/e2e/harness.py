"""harness.py: a platform of the real programs for one test module, and what tests ask of it.

Everything a test starts lies below one temporary state directory; Platform.down()
stops it and `leftovers()` says what is still on the machine with its id.
"""
import contextlib
import http.client
import json
import os
import pathlib
import re
import socket
import subprocess
import tempfile
import textwrap
import threading
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
BIN = TOP / "build/release/bin"
EXAMPLES = TOP / "deploy/examples"


def wait_until(what, condition, seconds=20.0, every=0.02):
    """Calls condition() until it is true and returns its value; fails naming `what` at the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain for {what}")
        time.sleep(every)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.body[:200]!r}>"


def http_request(address, method, path, body=None, headers=None, timeout=40.0):
    host, port = address.rsplit("/", 1)[-1].rsplit(":", 1)
    conn = http.client.HTTPConnection(host, int(port), timeout=timeout)
    try:
        conn.request(method, path, body=body, headers=headers or {})
        r = conn.getresponse()
        return Answer(r.status, r.headers, r.read())
    finally:
        conn.close()


def samples(text, name):
    """[(labels, value)] of one metric, in what /metrics answered."""
    return [(dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or "")), float(value))
            for labels, value in re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)$", text, re.M)]


def total(text, name, **labels):
    wanted = {k: str(v) for k, v in labels.items()}.items()
    return sum(v for have, v in samples(text, name) if wanted <= have.items())


def free_offset():
    """A port offset at which all six default ports are free on loopback."""
    for offset in range(10000 + os.getpid() % 20000, 50000, 10):
        socks = []
        try:
            for port in (8080, 8081, 8082, 7080, 7081, 7082):
                s = socket.socket()
                socks.append(s)
                s.bind(("127.0.0.1", port + offset))
            return offset
        except OSError:
            continue
        finally:
            for s in socks:
                s.close()
    raise AssertionError("no free ports")


class Platform:
    """`rouse up` on a state directory of its own; several nodes are network namespaces."""

    def __init__(self, nodes=1, flags=(), environ=None):
        self.state = pathlib.Path(tempfile.mkdtemp(prefix="rouse-e2e-", dir="/tmp"))
        self.env = dict(os.environ, **(environ or {}), ROUSE_STATE=str(self.state))
        args = ["up", "--nodes", str(nodes), *flags]
        if nodes == 1:
            args += ["--port-offset", str(free_offset())]
        try:
            self.rouse(*args)
        except BaseException:
            self.down()
            raise
        self.info = json.loads((self.state / "platform.json").read_text())
        self.nodes = self.info["nodes"]
        self.gateway = self.nodes[0]["gateway"]
        token = self.state / "token"
        self.token = token.read_text().strip() if token.exists() else None

    def rouse(self, *args, check=True, input=None, timeout=90):
        r = subprocess.run([BIN / "rouse", *args], env=self.env, input=input, text=True, timeout=timeout,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=TOP)
        if check and r.returncode:
            raise AssertionError(f"rouse {' '.join(map(str, args))}: exit {r.returncode}\n{r.stdout}{r.stderr}"
                                 f"{self.daemon_logs()}")
        return r

    def daemon_logs(self, lines=30):
        out = []
        for f in sorted((self.state / "logs").glob("*.log")) if self.state.exists() else []:
            tail = f.read_text(errors="replace").splitlines()[-lines:]
            out.append(f"--- {f.name}\n" + "\n".join(tail))
        return "\n" + "\n".join(out)

    def api(self, method, path, body=None, headers=None, timeout=40.0):
        h = dict(headers or {})
        if self.token:
            h["Authorization"] = f"Bearer {self.token}"
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            h.setdefault("Content-Type", "application/json")
        return http_request(self.info["api"], method, path, body, h, timeout)

    def call(self, path, method="GET", body=None, headers=None, node=0, timeout=40.0):
        return http_request(self.nodes[node]["gateway"], method, path, body, headers, timeout)

    def front(self, path, method="GET", body=None, headers=None, timeout=40.0):
        return http_request(self.info["front"], method, path, body, headers, timeout)

    def metrics(self, node=None):
        if node is None:
            return self.api("GET", "/metrics").text
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return http_request(self.nodes[node]["metrics"], "GET", "/metrics", headers=headers).text

    def metric(self, name, node=None, **labels):
        """The sum of the samples of that name whose labels include the given ones."""
        return total(self.metrics(node), name, **labels)

    def get(self, name, kind="functions"):
        r = self.api("GET", f"/apis/rouse.dev/v1/namespaces/default/{kind}/{name}")
        return r.json if r.status == 200 else None

    def instances(self, function):
        r = self.api("GET", "/apis/rouse.dev/v1/namespaces/default/instances").json
        return [i for i in r["items"] if i["spec"].get("function") == function]

    def ready(self, function):
        f = self.get(function)
        return f["status"].get("readyInstances", 0) if f else 0

    def apply(self, *functions):
        self.rouse("apply", "-f", "-", input="\n---\n".join(json.dumps(f) for f in functions))

    def delete(self, name):
        self.rouse("delete", name)

    def pid(self, name):
        """Of "controller" or of a node's agent."""
        file = "controller" if name == "controller" else f"agent-{name}"
        return int((self.state / "run" / f"{file}.pid").read_text().split()[0])

    def down(self):
        r = subprocess.run([BIN / "rouse", "down"], env=self.env, text=True, timeout=60, capture_output=True)
        return r

    def leftovers(self):
        """What is still on this machine with this state directory's name or its ids in it."""
        left = []
        for p in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                cmd = (p / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(self.state) in cmd:
                left.append(f"process {p.name}: {cmd}")
        for line in pathlib.Path("/proc/mounts").read_text().splitlines():
            if str(self.state) in line:
                left.append(f"mount {line}")
        return left


def children(pid):
    """None of one that has just ended."""
    with contextlib.suppress(OSError):
        return [int(c) for c in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def platform_id(state):
    """What an agent names its cgroups, links and tables by: FNV-1a of its state directory, as agent/network/names.c."""
    h = 0xcbf29ce484222325
    for octet in os.path.realpath(state).encode():
        h = (h ^ octet) * 0x100000001b3 % (1 << 64)
    return f"{(h ^ (h >> 32)) % (1 << 32):08x}"


def neighbours(own):
    """Ids of other platforms' agents that live on this machine now."""
    found = set()
    for p in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            argv = p.read_bytes().decode(errors="replace").split("\0")
            if argv[0].endswith("rouse-agent") and "--state" in argv:
                state = pathlib.Path(argv[argv.index("--state") + 1])
                if own is None or not state.is_relative_to(own):
                    found.add(platform_id(state))
                    for d in state.parents:    # a cluster's names are in its platform.json
                        with contextlib.suppress(OSError, ValueError, KeyError):
                            found.add(json.loads((d / "platform.json").read_text())["id"])
    return found


def machine_state(own=None):
    """Names of cgroups, links, namespaces and nftables tables of Rouse platforms on this machine, but for those of others that
    live: all, or all beside the one whose state directory is `own`."""
    others = neighbours(own)
    links = {f"r{i[:6]}" for i in others}
    found = set()
    for folder, names, _ in os.walk("/sys/fs/cgroup"):    # which goes on where others' have just gone
        found |= {f"cgroup {folder}/{n}" for n in names if n.startswith("rouse-") and n[6:] not in others}
    for cmd in (["ip", "-o", "link"], ["ip", "netns", "list"], ["nft", "list", "tables"]):
        out = subprocess.run(cmd, text=True, capture_output=True).stdout
        for line in out.splitlines():
            name = line.split(":")[1].strip().split("@")[0] if cmd[1] == "-o" else line
            if name[:7] in links or any(i in name for i in others):
                continue
            if "rouse" in name or (cmd[1] == "-o" and name[:1] == "r" and name[1:7].isalnum() and len(name) > 7):
                found.add(f"{' '.join(cmd)}: {name}")
    return found


def left_behind(p, before):
    """What belongs to another platform goes, or is known to, within a moment."""
    left = []

    def nothing():
        left[:] = p.leftovers() + sorted(machine_state(p.state) - before)
        return not left

    with contextlib.suppress(AssertionError):
        wait_until("nothing to be left behind", nothing, seconds=10)
    return left


def function(name, code=None, path=None, runtime="python3", handler="index.handler", **spec):
    """A Function manifest; `code` is the source of index.py (or index.js for nodejs)."""
    file = "index.js" if runtime == "nodejs" else "index.py"
    if isinstance(code, str):
        code = {"inline": {file: textwrap.dedent(code)}}
    triggers = spec.pop("triggers", None) or [{"http": {"path": path or f"/{name}"}}]
    return {"apiVersion": "rouse.dev/v1", "kind": "Function", "metadata": {"name": name, "namespace": "default"},
            "spec": {"runtime": runtime, "handler": handler, "code": code, "triggers": triggers, **spec}}


class Load:
    """Threads that call one path until stopped; every answer's status is kept, and when it was asked for and had.

    A path that is callable is asked for each request's own. What a test that fails leaves running is ended after it
    (conftest.py)."""

    running = set()

    def __init__(self, platform, path, threads=4, nodes=(0,), timeout=40.0):
        self.answers, self.errors, self.times = [], [], []
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(platform.nodes[nodes[i % len(nodes)]]["gateway"],
                                                                  path, timeout), daemon=True)
                         for i in range(threads)]
        Load.running.add(self)
        for t in self._threads:
            t.start()

    def _run(self, address, path, timeout):
        host, port = address.rsplit("/", 1)[-1].rsplit(":", 1)
        conn = None
        while not self._stop.is_set():
            try:
                if conn is None:
                    conn = http.client.HTTPConnection(host, int(port), timeout=timeout)
                begun = time.monotonic()
                conn.request("GET", path() if callable(path) else path)
                r = conn.getresponse()
                body = r.read()
                with self._lock:
                    self.answers.append((r.status, body))
                    self.times.append((begun, time.monotonic()))
                if r.will_close:
                    conn.close()
                    conn = None
            except (OSError, http.client.HTTPException) as e:
                with self._lock:
                    self.errors.append(repr(e))
                conn = None
                self._stop.wait(0.05)

    def count(self):
        with self._lock:
            return len(self.answers)

    def stop(self):
        self._stop.set()
        for t in self._threads:
            t.join(timeout=60)
        if not any(t.is_alive() for t in self._threads):
            Load.running.discard(self)
        return self

    def all_well(self):
        """Stops it: every request was answered, with 200."""
        self.stop()
        assert not self.errors and set(self.statuses()) == {200}, (self.statuses(), self.errors[:3], self.bodies(502), self.bodies(503))

    @classmethod
    def stop_all(cls):
        """Those that cannot be stopped are returned."""
        for load in cls.running:
            load._stop.set()
        for load in list(cls.running):
            load.stop()
        return list(cls.running)

    def statuses(self):
        seen = {}
        for status, _ in self.answers:
            seen[status] = seen.get(status, 0) + 1
        return seen

    def bodies(self, status):
        return {body for s, body in self.answers if s == status}
