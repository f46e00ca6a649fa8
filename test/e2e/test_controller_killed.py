"""The controller gets SIGKILL in every phase of what it does: afterwards all is as it was wanted, and warm requests never noticed."""
import os
import select
import signal
import threading

import pytest
from conftest import _platform
from harness import Load, function, wait_until
from test_cluster import nodes_of, nodes_ready

NODES = 3
CODE = """
    import time
    time.sleep({start})
    def handler(event, context):
        time.sleep({seconds})
        return '{says}'
    def stop(context):
        time.sleep({stop})
    """


@pytest.fixture(scope="module")
def cluster():
    yield from _platform(NODES, ROUSE_STABLE_WINDOW="6s", ROUSE_PANIC_WINDOW="2s")


def slow(name, start=0.0, seconds=0.05, stop=0.0, text="old", **spec):
    return function(name, CODE.format(start=start, seconds=seconds, stop=stop, says=text), memory="64Mi", cpu="50m",
                    lifecycle={"preStop": "index.stop"} if stop else {}, **{"scaling": {"max": 6, "idleTimeout": "1s"}, **spec})


def kill(p):
    """And starts it again; returns when all nodes have told it what they have."""
    fd = os.pidfd_open(p.pid("controller"))
    signal.pidfd_send_signal(fd, signal.SIGKILL)
    select.select([fd], [], [])  # one that still ends is one that runs, to `rouse up`
    os.close(fd)
    p.rouse("up")
    wait_until("nodes are back", lambda: nodes_ready(p) == NODES, seconds=30)


def states(p, name):
    return [i["status"]["state"] for i in p.instances(name)]


def in_state(p, name, state):
    wait_until(f"one of {name} that is {state}", lambda: state in states(p, name), seconds=30)


def nothing_astray(p):
    """Every node's agent has as many instances as the controller says."""
    def agree():
        items = p.api("GET", "/apis/rouse.dev/v1/namespaces/default/instances").json["items"]
        return all(p.metric("rouse_loop_instances", node=k) == sum(i["spec"]["node"] == n["name"] for i in items)
                   for k, n in enumerate(p.nodes))

    wait_until("nodes and controller to agree", agree, seconds=30)


class Crowd:
    """Requests that wait, one a thread."""

    def __init__(self, p, path, n):
        self.statuses = []
        self.threads = [threading.Thread(target=lambda k=k: self.statuses.append(p.call(path, node=k % NODES, timeout=60).status))
                        for k in range(n)]
        for t in self.threads:
            t.start()

    def join(self):
        for t in self.threads:
            t.join(60)
        return self.statuses


def scale_up(p):
    p.apply(slow("up", start=0.7))
    crowd = Crowd(p, "/up", 6)
    in_state(p, "up", "Initializing")
    kill(p)
    assert crowd.join() == [200] * 6
    # It does not know how many nodes there are: what waits may get another instance before all of them have told of theirs.
    wait_until("no more than max", lambda: len(states(p, "up")) <= 6)
    wait_until("zero", lambda: not states(p, "up"), seconds=30)


def scale_down(p):
    p.apply(slow("down", stop=1.0, timeout="5s"))
    Crowd(p, "/down", 4).join()
    in_state(p, "down", "Draining")
    kill(p)
    wait_until("zero", lambda: not states(p, "down"), seconds=30)
    assert p.call("/down").status == 200


def drain(p):
    p.apply(slow("moved", start=0.5, stop=0.7, scaling={"min": 6}))
    wait_until("two on each", lambda: p.ready("moved") == 6, seconds=30)
    assert "node-2" in nodes_of(p, "moved")
    load = Load(p, "/moved", threads=3, nodes=range(NODES))
    p.api("PATCH", "/apis/rouse.dev/v1/nodes/node-2", {"spec": {"unschedulable": True, "drain": True}},
          {"Content-Type": "application/merge-patch+json"})
    for state in ("Initializing", "Draining"):    # those that come, those that go
        in_state(p, "moved", state)
        kill(p)
    wait_until("six elsewhere", lambda: p.ready("moved") >= 6 and "node-2" not in nodes_of(p, "moved"), seconds=30)
    p.rouse("uncordon", "node-2")
    load.all_well()


def deploy(p):
    p.apply(slow("new"))
    load = Load(p, "/new", threads=3, nodes=range(NODES))
    wait_until("old answers", lambda: load.count() > 20, seconds=30)
    p.apply(slow("new", start=0.7, text="new"))
    in_state(p, "new", "Initializing")
    kill(p)
    wait_until("new answers", lambda: b"new" in load.bodies(200), seconds=30)
    revision = p.get("new")["status"]["latestRevision"]
    wait_until("the old ones' end", lambda: {i["spec"]["revision"] for i in p.instances("new")} == {revision}, seconds=30)
    before = load.count()
    wait_until("more answers", lambda: load.count() > before + 20)
    assert all(body == b"new" for _, body in load.answers[before + 3:])
    load.all_well()


def deletion(p):
    p.apply(slow("gone", stop=1.0, timeout="5s", scaling={"min": 3}))
    wait_until("three", lambda: p.ready("gone") == 3, seconds=30)
    p.api("DELETE", "/apis/rouse.dev/v1/namespaces/default/functions/gone")
    in_state(p, "gone", "Draining")
    kill(p)
    wait_until("nothing of it", lambda: not states(p, "gone") and p.get("gone") is None, seconds=30)
    assert [p.call("/gone", node=k).status for k in range(NODES)] == [404] * NODES


def test_a_restart_starts_nothing(cluster):
    """What has a minimum keeps the instances it has; what had its initial ones, and sleeps, sleeps on."""
    def names(function):
        return {i["metadata"]["name"] for i in cluster.instances(function)}

    cluster.apply(slow("kept", scaling={"min": 6}), slow("once", scaling={"initial": 2, "idleTimeout": "1s"}), slow("last"))
    wait_until("six, and two", lambda: cluster.ready("kept") == 6 and cluster.ready("once") == 2, seconds=30)
    wait_until("it sleeps", lambda: not names("once"), seconds=30)
    before = names("kept")
    assert cluster.call("/last").status == 200
    kill(cluster)
    # Nothing goes before the time is over in which it only listens to what its nodes have.
    wait_until("the end of what is idle", lambda: not names("last"), seconds=30)
    assert names("kept") == before
    assert not names("once")
    for name in ("kept", "once", "last"):
        cluster.delete(name)


@pytest.mark.parametrize("phase", [scale_up, scale_down, drain, deploy, deletion], ids=lambda f: f.__name__)
def test_phase(cluster, phase):
    cluster.apply(slow("warm", scaling={"min": NODES}))
    wait_until("warm ones", lambda: cluster.ready("warm") >= NODES, seconds=30)
    load = Load(cluster, "/warm", threads=2, nodes=(0, 2))
    phase(cluster)
    load.all_well()
    nothing_astray(cluster)
    for name in ("up", "down", "moved", "new"):
        cluster.rouse("delete", name, check=False)
