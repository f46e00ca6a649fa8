"""Agents with two event loops each: every request is answered whichever loop it comes to and wherever its instance is."""
import concurrent.futures
import os
import signal
import threading
import time

import pytest
from conftest import _platform
from harness import EXAMPLES, Load, function, wait_until
from test_operations import promtool

LOOPS = 2
SLOW = "import time\ndef handler(e, c):\n    time.sleep({s})\n    return '{v}'\n"
NODE = "exports.handler = async () => { await new Promise(r => setTimeout(r, 5)); return 'many'; };\n"


@pytest.fixture(scope="module", autouse=True)
def loops():
    """What `rouse up` and hack/cluster start inherits it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROUSE_LOOPS", str(LOOPS))
        yield


@pytest.fixture(scope="module")
def platform(loops):
    yield from _platform(1)


@pytest.fixture(scope="module")
def cluster(loops):
    yield from _platform(2)


def by_loop(p, name, node=0):
    return [p.metric(name, node=node, loop=str(i)) for i in range(LOOPS)]


def test_one_instance_is_reached_from_every_loop(platform):
    """... and the metrics of all loops add up to what was sent."""
    platform.apply(function("many", NODE, runtime="nodejs", concurrency=64, scaling={"max": 1}))
    assert platform.call("/many").text == "many"
    load = Load(platform, "/many", threads=32)
    wait_until("answers", lambda: load.count() > 1500, seconds=60)
    load.all_well()
    assert len(platform.instances("many")) == 1
    sent = load.count() + 1
    assert platform.metric("rouse_requests_total", node=0, function="many", code="200") == sent
    assert platform.metric("rouse_request_seconds_count", node=0) == sent
    local, sibling, remote = (platform.metric("rouse_gateway_dispatched_total", node=0, way=w)
                              for w in ("local", "sibling", "remote"))
    assert local > 100 and sibling > 100 and remote == 0, (local, sibling, remote)
    assert all(n > 0 for n in by_loop(platform, "rouse_loop_accepted_total")), platform.metrics(0)
    assert sorted(by_loop(platform, "rouse_loop_instances")) == [0, 1]
    assert platform.metric("rouse_in_flight", node=0) == 0
    promtool(platform.metrics(0))


def test_instances_are_spread_over_the_loops(platform):
    n = 64
    platform.apply(function("wide", SLOW.format(s=0.01, v="wide"), memory="32Mi", scaling={"min": n, "max": n}))
    wait_until(f"{n} instances", lambda: platform.ready("wide") == n, seconds=120)
    assert all(count >= n / LOOPS for count in by_loop(platform, "rouse_loop_instances"))
    load = Load(platform, "/wide", threads=48)
    wait_until("answers", lambda: load.count() > 2000, seconds=60)
    load.all_well()
    wait_until("the load is reported as one", lambda: platform.metric(
        "rouse_autoscaler_actual_instances", function="wide") == n)
    platform.delete("wide")
    wait_until("no instance", lambda: not platform.instances("wide"), seconds=60)


def test_from_zero_and_back(platform):
    platform.apply(function("slow", SLOW.format(s=0.4, v="ok"), scaling={"max": 8, "idleTimeout": "1s"}))
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: platform.call("/slow").status, range(48)))
    assert answers == [200] * 48
    wait_until("slow at zero", lambda: not platform.instances("slow"), seconds=40)
    assert platform.call("/slow").status == 200


def test_max_reached_queues_and_refuses_nothing(platform):
    """Tickets of either loop get the slot of the one instance, which is one loop's."""
    platform.apply(function("one", SLOW.format(s=0.03, v="one"), scaling={"max": 1}))
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: platform.call("/one").status, range(60)))
    assert answers == [200] * 60
    assert len(platform.instances("one")) == 1


def test_update_under_load(platform):
    platform.apply(function("work", SLOW.format(s=0.02, v="old"), scaling={"max": 6}))
    load = Load(platform, "/work", threads=8)
    wait_until("old answers", lambda: load.count() > 100, seconds=30)
    platform.apply(function("work", SLOW.format(s=0.02, v="new"), scaling={"max": 6}))
    wait_until("new answers", lambda: b"new" in load.bodies(200), seconds=30)
    time.sleep(0.5)    # the load goes on over the drain of the old instances
    load.all_well()


def test_controller_restarts_under_load(platform):
    platform.apply(function("work", SLOW.format(s=0.02, v="new"), scaling={"min": 4, "max": 6}))
    wait_until("instances", lambda: platform.ready("work") >= 4, seconds=30)
    before = {i["metadata"]["name"] for i in platform.instances("work")}
    load = Load(platform, "/work", threads=4)
    wait_until("answers", lambda: load.count() > 50, seconds=30)
    os.kill(platform.pid("controller"), signal.SIGKILL)
    seen = load.count()
    wait_until("warm traffic without the controller", lambda: load.count() > seen + 100, seconds=30)
    platform.rouse("up")
    seen = load.count()
    wait_until("answers after the restart", lambda: load.count() > seen + 100, seconds=30)
    load.all_well()
    # What the loops hold was adopted, not made anew.
    wait_until("the same instances", lambda: before <= {i["metadata"]["name"] for i in platform.instances("work")})
    assert platform.metric("rouse_gateway_controller_connected", node=0) == 1


def test_logs_of_all_instances_are_one(platform):
    code = "import time\ndef handler(e, c):\n    print('said ' + e['rawQueryString'])\n    time.sleep(0.1)\n    return 'x'\n"
    platform.apply(function("talk", code, scaling={"min": 4, "max": 4}))
    wait_until("instances", lambda: platform.ready("talk") == 4, seconds=30)
    ids = {}

    def call(i):
        ids[platform.call(f"/talk?n={i}").headers["Rouse-Request-Id"]] = f"said n={i}"

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(call, range(40)))
    lines = platform.rouse("logs", "talk").stdout.splitlines()
    said = {line.split(" ", 2)[1]: line.split(" ", 2)[2] for line in lines if "said" in line}
    assert said == ids
    stamps = [line.split(" ", 1)[0] for line in lines]
    assert stamps == sorted(stamps)


def test_peers_reach_the_loop_that_has_the_slot(cluster):
    """A request from another node comes to any loop of the peer address."""
    cluster.apply(function("far", NODE, runtime="nodejs", concurrency=64, scaling={"max": 1}))
    assert cluster.call("/far").text == "many"
    node = cluster.instances("far")[0]["spec"]["node"]
    entry = next(i for i, n in enumerate(cluster.nodes) if n["name"] != node)
    owner = 1 - entry
    load = Load(cluster, "/far", threads=16, nodes=(entry,))
    wait_until("answers", lambda: load.count() > 500, seconds=60)
    load.all_well()
    assert cluster.metric("rouse_gateway_dispatched_total", node=entry, way="remote") > 400
    calls = cluster.metric("rouse_peer_calls_total", node=owner)
    passed = cluster.metric("rouse_peer_passed_on_total", node=owner)
    assert 0 < passed < calls, (passed, calls)


def test_a_drain_finishes_what_runs_on_every_loop(platform):
    platform.apply(function("long", SLOW.format(s=1.5, v="done"), scaling={"min": 4, "max": 4}))
    wait_until("instances", lambda: platform.ready("long") == 4, seconds=30)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(platform.call("/long"))) for _ in range(4)]
    for t in threads:
        t.start()
    wait_until("all run", lambda: platform.metric("rouse_in_flight", node=0) == 4)
    agent = platform.pid(platform.nodes[0]["name"])
    os.kill(agent, signal.SIGTERM)
    for t in threads:
        t.join(30)
    assert [(a.status, a.text) for a in answers] == [(200, "done")] * 4, answers
    wait_until("the agent's end", lambda: not os.path.exists(f"/proc/{agent}"))
    platform.rouse("up")
    platform.rouse("apply", "-f", str(EXAMPLES / "hello.yaml"))
    assert platform.call("/hello/serverless").text == "Hello Serverless"
