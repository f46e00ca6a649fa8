"""The table of faults.py, a test a cell.

A fault happens once to a platform on which one request of each state is held, so that the three
nodes need not be broken and mended for every cell. A function holds itself where its environment
or its query says, and the test lets it go, by a file in its /tmp: no state is reached by sleeping.
Instances are on node-3, the entry of all but `local` and `front` is node-1.
"""
import http.client
import io
import json
import os
import pathlib
import signal
import socket
import subprocess
import threading

import faults
import pytest
from harness import TOP, function, wait_until

ENTRY, OTHER, OWNER = 0, 1, 2

CODE = """
import os, time

def hold():
    open("/tmp/held", "w").close()
    while True:
        try:
            order = open("/tmp/held").read()
        except FileNotFoundError:
            return
        if order == "exit":
            os._exit(3)
        if order == "oom":
            taken = [bytes([1]) * (1 << 20) for _ in range(1 << 10)]
        time.sleep(0.005)

if os.environ["HOLD"] == "load":
    hold()

def handler(event, context):
    query = event["rawQueryString"]
    if query == "hold":
        hold()
    return os.environ["SAYS"] if query != "large" else "large" + "." * (5 << 20)
"""


class Client:
    """One connection with one request; a thread takes the answer in as it comes."""

    def __init__(self, address, path, body=None, slow=False):
        host, port = address.rsplit("/", 1)[-1].rsplit(":", 1)
        self.sock = socket.socket()
        if slow:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.connect((host, int(port)))
        head = f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
        if body:
            head += f"Content-Length: {len(body)}\r\n"
        self.rest = body[len(body) // 2:] if body else b""
        self.sock.sendall(head.encode() + b"\r\n" + (body or b"")[:len(body or b"") // 2])
        self.data = b""
        self.begun, self.read_on, self.ended = threading.Event(), threading.Event(), threading.Event()
        if not slow:
            self.read_on.set()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            while True:
                got = self.sock.recv(65536 if self.read_on.is_set() else 256)
                if not got:
                    break
                self.data += got
                if b"\r\n\r\nlarge" in self.data:
                    self.begun.set()
                    self.read_on.wait()
        except OSError:
            pass
        self.ended.set()

    def send_rest(self):
        try:
            self.sock.sendall(self.rest)
        except OSError:
            pass
        self.rest = b""

    def leave(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.read_on.set()
        self.sock.shutdown(socket.SHUT_RD)
        self.ended.wait(10)
        self.sock.close()

    def answer(self):
        """In the table's words."""
        if not self.data:
            return "none"
        r = http.client.HTTPResponse(self)
        try:
            r.begin()
            body = r.read()
        except http.client.HTTPException:
            return "cut"
        if r.status == 200:
            return "200 " + body.rstrip(b".").decode()
        if not r.headers.get("Rouse-Request-Id"):
            return f"{r.status} without Rouse-Request-Id"
        if r.status == 503 and not r.headers.get("Retry-After"):
            return "503 without Retry-After"
        return f"{r.status} {json.loads(body)['reason']}"

    def makefile(self, *_):
        return io.BytesIO(self.data)


class Scene:
    """One request in its state, with a function of its own."""

    def __init__(self, run, state):
        self.run, self.p, self.state = run, run.p, state
        self.name = f"{state}-{run.fault}"
        self.clients = []
        self.client = self.answer = self.after = None

    def manifest(self, says="old", hold=None):
        hold = ("load" if self.state in faults.COLD + ("granted",) else "") if hold is None else hold
        return function(self.name, CODE, memory="64Mi", timeout=self.run.timeout,
                        scaling={"max": 1, "idleTimeout": "60s"},
                        env=[{"name": "HOLD", "value": hold}, {"name": "SAYS", "value": says},
                             {"name": "SCENE", "value": self.name},
                             # One that was started ahead shows another environment in /proc.
                             {"name": "PYTHONUNBUFFERED", "value": "1"}])

    # ---- what is in its instances
    def roots(self, says=""):
        """The runtimes' root directories and pids, of all its instances; or of those of one revision."""
        marks = [b"\0SCENE=" + self.name.encode() + b"\0", b"\0SAYS=" + says.encode()]
        for p in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                environ = b"\0" + (p / "environ").read_bytes()
            except OSError:
                continue
            if all(m in environ for m in marks):
                yield p / "root/tmp", int(p.name)

    def wait_gone(self, says=""):
        wait_until(f"the end of the instances of {self.name}", lambda: not list(self.roots(says)))

    def held(self):
        return [tmp / "held" for tmp, _ in self.roots() if (tmp / "held").exists()]

    def order(self, what):
        """The file is the function's own: a file system of another user namespace lets nobody else make one."""
        for f in self.held():
            f.write_text(what)

    def kill(self):
        """Returns when they are gone; others may have come in their place."""
        pids = [pid for _, pid in self.roots()]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        wait_until(f"the end of the runtime of {self.name}", lambda: not {pid for _, pid in self.roots()} & set(pids))

    def wait_held(self):
        wait_until(f"{self.name} holds", self.held)

    # ---- its way into the state
    def ask(self, address, query="", **how):
        c = Client(address, f"/{self.name}{query}", **how)
        self.clients.append(c)
        return c

    def ask_and_wait(self, address, **how):
        had = self.run.tickets()
        c = self.ask(address, **how)
        wait_until(f"the ticket of {self.name}", lambda: self.run.tickets() > had)
        return c

    def passed_on(self):
        return self.p.metric("rouse_gateway_dispatched_total", node=ENTRY, way="remote")

    def endpoints(self):
        return self.p.metric("rouse_gateway_endpoints", node=ENTRY)

    def begin(self):
        entry, owner = self.p.nodes[ENTRY]["gateway"], self.p.nodes[OWNER]["gateway"]
        if self.state in faults.COLD:
            self.ask_and_wait(owner)         # where it is asked for first it is started
            self.wait_held()
            self.client = self.ask_and_wait(self.p.info["front"] if self.state == "front" else entry,
                                            body=b"b" * 2000 if self.state == "body" else None)
            return
        if self.state == "granted":
            had = self.passed_on()
            self.ask_and_wait(owner)
            self.wait_held()
            self.client = self.ask_and_wait(entry, body=b"b" * 2000)
            for f in self.held():
                f.unlink(missing_ok=True)
            wait_until("the way to another node", lambda: self.passed_on() > had)
            return
        known = self.endpoints()
        warm = self.p.call(f"/{self.name}", node=OWNER)
        assert warm.status == 200, warm
        wait_until("the entry knows the instance", lambda: self.endpoints() > known)
        if self.state == "upload":
            had = self.passed_on()
            self.client = self.ask(entry, body=b"b" * 2000)
            wait_until("the way to another node", lambda: self.passed_on() > had)
        elif self.state == "crowded":
            self.ask(entry, "?hold")
            self.wait_held()
            self.client = self.ask_and_wait(entry)
        elif self.state == "partly":
            self.client = self.ask(entry, "?large", slow=True)
            wait_until("a part of the answer", self.client.begun.is_set)
        else:
            self.client = self.ask(owner if self.state == "local" else entry, "?hold")
            self.wait_held()

    # ---- and out of it
    def release(self):
        """Lets go whatever holds the request, in all instances there are by now."""
        self.client.read_on.set()
        if self.client.rest:
            self.client.send_rest()
        for f in self.held():
            f.unlink(missing_ok=True)

    def collect(self, release=True):
        if self.answer:
            return
        ended = self.client.ended
        wait_until(f"the end of {self.name}", lambda: ended.is_set() or (release and self.release()) or ended.is_set(),
                   seconds=40)
        self.answer = self.client.answer()

    def recover(self):
        """Calls it until the revision that was applied last has the traffic: 200 all the way."""
        def moved():
            self.after = self.p.call(f"/{self.name}", node=OTHER)
            return self.after.status != 200 or self.after.text == "after"

        wait_until(f"the last revision of {self.name}", moved)

    def close(self):
        for c in self.clients:
            c.read_on.set()
            c.sock.close()


class Run:
    """One fault: the scenes of its cells, brought up, struck and collected."""

    def __init__(self, p, fault):
        self.p, self.fault = p, fault
        self.timeout = {"timeout": "2s", "silence": "1s"}.get(fault, "30s")
        self.scenes = {s: Scene(self, s) for s in faults.STATES if (s, fault) in faults.CELLS}
        self.broken = None

    def each(self, states=tuple(faults.STATES)):
        return [self.scenes[s] for s in states if s in self.scenes]

    def tickets(self):
        return self.p.metric("rouse_activator_tickets")

    def cluster(self, *args):
        subprocess.run([TOP / "hack/cluster", "--state", str(self.p.state), *args], check=True, timeout=60,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def node(self, index):
        return self.p.nodes[index]["name"]

    def ready_nodes(self):
        try:
            items = self.p.api("GET", "/apis/rouse.dev/v1/nodes").json["items"]
        except OSError:
            return -1
        return sum(c["type"] == "Ready" and c["status"] == "True" for n in items for c in n["status"]["conditions"])

    def all_ready(self):
        wait_until("three nodes", lambda: self.ready_nodes() == 3, seconds=30)

    def collect(self, states=tuple(faults.STATES), release=True):
        for s in self.each(states):
            s.collect(release)

    # ---- the faults
    def leave(self):
        starters = sum(s.state in faults.COLD for s in self.each())
        for s in self.each():
            s.client.leave()
        wait_until("the tickets of those who left are gone", lambda: self.tickets() == starters)
        for s in self.each():
            s.release()
        for index in range(3):
            wait_until("nothing runs", lambda i=index: self.p.metric("rouse_in_flight", node=i) == 0)
        for s in self.each():
            s.answer = "left"

    def exit(self):
        for s in self.each():
            s.order("exit")
        self.collect(faults.COLD + ("local", "remote"), release=False)

    def kill(self):
        for s in self.each():
            s.kill()
        self.collect(faults.COLD + ("local", "remote"), release=False)

    def oom(self):
        for s in self.each():
            s.order("oom")
        self.collect(faults.COLD + ("local", "remote"), release=False)

    def agent(self):
        self.cluster("kill", self.node(OWNER))
        self.collect()
        self.cluster("start", self.node(OWNER))

    def kill_entry(self):
        self.cluster("kill", self.node(ENTRY))
        self.collect()
        self.cluster("start", self.node(ENTRY))

    def partition(self):
        self.cluster("partition", self.node(OWNER))
        self.collect(faults.WAITING)
        for s in self.each(("upload", "local", "remote")):
            s.release()
        self.cluster("heal", self.node(OWNER))

    def silence(self):
        self.cluster("partition", self.node(OWNER))
        self.collect(release=False)
        self.cluster("heal", self.node(OWNER))

    def stop_agent(self, index):
        pid = self.p.pid(self.node(index))
        host, port = self.p.nodes[index]["gateway"].rsplit("/", 1)[-1].rsplit(":", 1)

        def refuses():
            with socket.socket() as s:
                return s.connect_ex((host, int(port))) != 0

        os.kill(pid, signal.SIGTERM)
        wait_until("the drain has begun", refuses)
        for s in self.each():
            s.release()
        self.collect()
        for s in self.each():                # the other clients of that agent end it sooner
            s.close()
        wait_until("the agent's end", lambda: not pathlib.Path(f"/proc/{pid}/root/tmp").exists())
        self.cluster("start", self.node(index))

    def drain(self):
        self.stop_agent(OWNER)

    def drain_entry(self):
        self.stop_agent(ENTRY)

    def controller(self):
        self.cluster("kill", "controller")
        self.cluster("start", "controller")
        self.all_ready()

    def delete(self):
        for s in self.each():
            self.p.delete(s.name)
        for s in self.each(("upload",)):
            s.wait_gone()
        self.collect(faults.WAITING, release=False)

    def update(self):
        self.p.apply(*(s.manifest(says="new", hold="") for s in self.each()))
        for s in self.each(("body",)):
            s.client.send_rest()
        for s in self.each(("upload",)):
            s.wait_gone("old")
        self.collect(faults.WAITING, release=False)

    def timeout_(self):
        self.collect(("local", "remote"), release=False)

    def deadline(self):
        self.collect(faults.WAITING, release=False)

    # ---- a run
    def strike(self):
        getattr(self, {"timeout": "timeout_"}.get(self.fault, self.fault.replace("-", "_")))()

    def go(self):
        restarted = restart_controller(self, ["--queue-deadline", "3s"]) if self.fault == "deadline" else None
        self.p.apply(*(s.manifest() for s in self.each()))
        for s in self.each():
            s.begin()
        self.strike()
        self.collect()
        if restarted:
            self.cluster("kill", "controller")
            restarted.wait()
            self.cluster("start", "controller")
        for s in self.each():
            s.release()
        self.all_ready()
        self.p.apply(*(s.manifest(says="after", hold="") for s in self.each()))
        for s in self.each():
            s.recover()

    def end(self):
        for s in self.each():
            s.close()
            self.p.rouse("delete", s.name, check=False)


def restart_controller(run, flags):
    """The running one with more flags; the command line has no way to say them."""
    pid = run.p.pid("controller")
    argv = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
    run.cluster("kill", "controller")
    wait_until("the controller's end", lambda: not pathlib.Path(f"/proc/{pid}/root/tmp").exists())
    with open(run.p.state / "logs/controller.log", "ab") as log:
        c = subprocess.Popen(argv + [f.encode() for f in flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                             start_new_session=True)
    started = pathlib.Path(f"/proc/{c.pid}/stat").read_text().rsplit(") ", 1)[1].split()[19]
    (run.p.state / "run/controller.pid").write_text(f"{c.pid} {started}\n")
    run.all_ready()
    return c


@pytest.fixture(scope="module")
def runs(cluster):
    """The run of a fault: made by the first test that asks for it, ended when the next fault's turn comes."""
    for n in cluster.nodes:                  # so that no answer of `partly` lies whole in the kernels' buffers
        for buffers in ("wmem", "rmem"):
            subprocess.run([TOP / "hack/cluster", "--state", str(cluster.state), "exec", n["name"], "sh", "-c",
                            f"echo 4096 16384 65536 >/proc/sys/net/ipv4/tcp_{buffers}"], check=True)
    cluster.apply(function("canary", "def handler(e, c):\n    return 'well'\n"))
    last = []

    def run_of(fault):
        if not last or last[0].fault != fault:
            if last:
                last.pop().end()
            last.append(Run(cluster, fault))
            try:
                last[0].go()
            except (AssertionError, OSError, subprocess.SubprocessError) as e:
                last[0].broken = e           # what was collected before still counts
        return last[0]

    yield run_of
    if last:
        last.pop().end()


@pytest.mark.parametrize("fault,state", [(f, s) for f in faults.FAULTS for s in faults.STATES if (s, f) in faults.CELLS])
def test_cell(cluster, runs, fault, state):
    want, why = faults.CELLS[state, fault]
    run = runs(fault)
    scene = run.scenes[state]
    assert scene.answer == want, f"{state} x {fault}: {scene.answer}, not {want}: {why}; {run.broken}"
    assert not run.broken, run.broken
    assert (scene.after.status, scene.after.text) == (200, "after"), scene.after
    assert [cluster.call("/canary", node=n).text for n in range(3)] == ["well"] * 3


def test_readme_has_the_table():
    assert faults.in_readme() == faults.render(), "python3 test/e2e/faults.py writes it anew"
