"""Four nodes: bursts from zero, who may wait, load that doubles, halves and stops, a deploy in the middle of it, a node that is cut off."""
import collections
import contextlib
import http.client
import itertools
import json
import math
import os
import pathlib
import socket
import threading

import pytest
from conftest import _platform
from harness import Load, function, wait_until
from test_cluster import cluster_cmd, nodes_ready

ENTRIES = (0, 1, 2)
SAYS = """
    import os, time
    print("up")
    def handler(event, context):
        time.sleep({seconds})
        return '{says} ' + os.environ['ROUSE_NODE'] + ' ' + os.environ['ROUSE_INSTANCE']
    """


@pytest.fixture(scope="module")
def cluster():
    yield from _platform(4, ROUSE_STABLE_WINDOW="6s", ROUSE_PANIC_WINDOW="2s", ROUSE_ALLOCATABLE_MEMORY="512Mi")


def says(name, seconds, text="v1", **spec):
    return function(name, SAYS.format(seconds=seconds, says=text), **{"memory": "64Mi", "cpu": "50m", **spec})


def burst(p, path, n, nodes=range(4)):
    """n requests that leave at the same time, over connections that are there already: [(status, body)]."""
    socks = []
    for i in range(n):
        host, port = p.nodes[nodes[i % len(nodes)]]["gateway"].rsplit("/", 1)[-1].rsplit(":", 1)
        socks.append(socket.create_connection((host, int(port)), timeout=60))
    for s in socks:
        s.sendall(f"GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n".encode())
    answers = []
    for s in socks:
        r = http.client.HTTPResponse(s)
        r.begin()
        answers.append((r.status, r.read().decode()))
        s.close()
    return answers


class Desired:
    """Looks at how many instances are requested and there until it is closed: the largest number of each."""

    def __init__(self, p, name):
        self.p, self.name, self.requested, self.there = p, name, 0, 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self):
        while not self._end.wait(0.05):
            self.requested = max(self.requested, requested(self.p, self.name))
            self.there = max(self.there, len(self.p.instances(self.name)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join(10)


def requested(p, name):
    return p.metric("rouse_autoscaler_requested_instances", function=name)


@pytest.mark.parametrize("n,concurrency,most,memory", [(50, 1, 12, "64Mi"), (50, 10, 100, "192Mi"), (1000, 10, 6, "128Mi")])
def test_a_burst_from_zero(cluster, n, concurrency, most, memory):
    """All are answered, on several nodes as one has no room, by no more instances than max and 70 % of their concurrency allow."""
    name = f"burst-{n}-{concurrency}"
    cluster.apply(says(name, 0.3 if n == 50 else 0.05, concurrency=concurrency, memory=memory, scaling={"max": most}))
    with Desired(cluster, name) as seen:
        answers = burst(cluster, f"/{name}", n)
    assert [status for status, _ in answers] == [200] * n, answers
    bound = min(most, math.ceil(n / (0.7 * concurrency)))
    assert len({text.split()[1] for _, text in answers}) > 1, "one node alone answered"
    assert 1 < len({text for _, text in answers}) <= bound
    assert seen.requested <= bound and seen.there <= bound, (seen.requested, seen.there, bound)
    cluster.delete(name)


def test_none_waits_while_one_is_idle(cluster):
    """As many requests as instances of one slot, all at one node: each has one of its own, wherever that is."""
    cluster.apply(says("idle", 1, scaling={"min": 8, "max": 8}))
    wait_until("eight", lambda: cluster.ready("idle") == 8, seconds=30)
    answers = burst(cluster, "/idle", 8, nodes=(0,))
    assert [status for status, _ in answers] == [200] * 8, answers
    assert len({text for _, text in answers}) == 8, answers
    cluster.delete("idle")


def test_nothing_stands_beside_an_instance(cluster):
    """One agent a node, which has no more threads for more instances; in a sandbox are its init and the function."""
    agents = [cluster.pid(n["name"]) for n in cluster.nodes]

    def apply(n):
        # One that was started ahead would show another environment in /proc.
        cluster.apply(says("alone", 0, env=[{"name": "PYTHONUNBUFFERED", "value": "1"}], scaling={"min": n}))
        wait_until("as many on each", lambda: sorted(
            sum(i["spec"]["node"] == node["name"] for i in cluster.instances("alone")) for node in cluster.nodes) == [n // 4] * 4
            and cluster.ready("alone") == n, seconds=30)

    def threads():
        return [len(list(pathlib.Path(f"/proc/{pid}/task").iterdir())) for pid in agents]

    def sandboxes():
        """Of all processes, by their namespace: how many there are, where one is the function's."""
        spaces, own = collections.Counter(), set()
        for p in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                space = (p / "ns/pid").readlink()
                spaces[space] += 1
                if b"\0ROUSE_FUNCTION=alone\0" in b"\0" + (p / "environ").read_bytes():
                    own.add(space)
        return [spaces[space] for space in own]

    apply(4)
    before = threads()
    apply(20)
    assert threads() == before
    assert sandboxes() == [2] * 20
    cluster.delete("alone")


def test_load_doubles_halves_and_stops(cluster):
    cluster.apply(says("steps", 0.1, scaling={"max": 20, "idleTimeout": "1s"}))

    def settles(clients):
        """On what so many need at once, or on 70 % of them in use."""
        wait_until(f"instances for {clients}", lambda: clients <= requested(cluster, "steps") <= math.ceil(clients / 0.7)
                   and clients <= cluster.ready("steps") == len(cluster.instances("steps")) <= math.ceil(clients / 0.7),
                   seconds=40)

    with Desired(cluster, "steps") as seen:
        loads = [Load(cluster, "/steps", threads=2, nodes=ENTRIES) for _ in range(2)]
        settles(4)
        loads += [Load(cluster, "/steps", threads=2, nodes=ENTRIES) for _ in range(2)]
        settles(8)
        for load in loads[1:]:
            load.stop()
        settles(2)
        before = loads[0].count()
        wait_until("answers", lambda: loads[0].count() > before + 10)
        loads[0].stop()
        wait_until("zero", lambda: not cluster.instances("steps"), seconds=30)
    for load in loads:
        load.all_well()
    assert seen.requested <= math.ceil(8 / 0.7)


def test_a_deploy_under_load(cluster):
    """No request fails, and a node that has answered with the new revision never goes back to the old one."""
    cluster.apply(says("deploy", 0.05, "old", scaling={"max": 20, "idleTimeout": "1s"}))
    loads = [Load(cluster, "/deploy", threads=3, nodes=(n,)) for n in ENTRIES]

    def answers(word):
        return all(any(body.startswith(word) for body in load.bodies(200)) for load in loads)

    wait_until("old answers on each", lambda: answers(b"old"), seconds=30)
    cluster.apply(says("deploy", 0.05, "new", scaling={"max": 20, "idleTimeout": "1s"}))
    wait_until("new answers on each", lambda: answers(b"new"), seconds=30)
    revision = cluster.get("deploy")["status"]["latestRevision"]
    wait_until("the old ones' end", lambda: {i["spec"]["revision"] for i in cluster.instances("deploy")} == {revision}, seconds=30)
    for load in loads:
        load.all_well()
        words = [body.split()[0] for _, body in load.answers]
        assert set(words) == {b"old", b"new"}
        switched = load.times[words.index(b"new")][1]
        late = [t for t, word in zip(load.times, words) if word == b"old" and t[0] > switched]
        assert not late, (switched, late)


def test_a_node_cut_off_under_load(cluster):
    """Only what was on its way to it or ran there fails; what it had is replaced; it runs nothing twice when it is back."""
    numbers, lock, clients = itertools.count(), threading.Lock(), 8
    code = """
        import os, time
        def handler(event, context):
            print('ran ' + event['rawQueryString'])
            time.sleep(0.1)
            return event['rawQueryString'] + ' ' + os.environ['ROUSE_NODE']
        """

    def path():
        with lock:
            return f"/cut?{next(numbers)}"

    cluster.apply(function("cut", code, memory="64Mi", cpu="50m", timeout="1s",
                           scaling={"min": 8, "max": 12, "idleTimeout": "1s"}))
    victim = cluster.nodes[3]["name"]

    def at(node):
        return [i for i in cluster.instances("cut") if i["spec"]["node"] == node]

    wait_until("eight of them", lambda: cluster.ready("cut") == 8 and at(victim), seconds=30)
    load = Load(cluster, path, threads=clients, nodes=(0, 1))
    wait_until("answers of that node", lambda: any(victim.encode() in b for b in load.bodies(200)), seconds=30)
    cluster_cmd(cluster, "partition", victim)
    try:
        wait_until("it is not ready", lambda: nodes_ready(cluster) == 3, seconds=40)
        wait_until("its instances are others", lambda: not at(victim) and cluster.ready("cut") >= 8, seconds=40)
        before = load.count()
        wait_until("answers without it", lambda: load.count() > before + 50, seconds=30)
    finally:
        cluster_cmd(cluster, "heal", victim)
    wait_until("it is ready again", lambda: nodes_ready(cluster) == 4, seconds=40)
    wait_until("eight to twelve in all", lambda: 8 <= cluster.ready("cut") == len(cluster.instances("cut")) <= 12, seconds=30)
    load.stop()
    statuses = load.statuses()
    assert not load.errors and set(statuses) <= {200, 502, 504}, (statuses, load.errors[:3], load.bodies(503))
    reasons = {json.loads(b)["reason"] for b in load.bodies(502) | load.bodies(504)}
    assert reasons <= {"InstanceLost", "Timeout"}, reasons
    # Each connection that was there carries one request into the dark, and no new one is made.
    assert len(load.answers) - statuses[200] <= clients, statuses
    ran = [line.split()[-1] for line in cluster.rouse("logs", "cut").stdout.splitlines() if " ran " in line]
    answered = {body.split()[0].decode() for body in load.bodies(200)}
    assert len(ran) == len(set(ran)), "one of them ran twice"
    assert len(answered) == statuses[200] and answered <= set(ran)
