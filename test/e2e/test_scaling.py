"""Instances by requests per second, cpu and what a Prometheus says, and the API's word on it."""
import http.server
import json
import os
import threading
import urllib.parse

import pytest
from conftest import _platform
from harness import Load, function, wait_until

HELLO = "def handler(e, c):\n    return 'ok'\n"
BURN = "import time\ndef handler(e, c):\n    t = time.process_time()\n    while time.process_time() - t < .05: pass\n    return 'ok'\n"


class Prometheus:
    """One number for every query; the queries are kept."""

    def __init__(self):
        prometheus = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                prometheus.queries.append((self.path, form["query"][0]))
                result = [{"metric": {}, "value": [0, str(prometheus.value)]}]
                body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.value, self.queries = 0, []
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def prometheus():
    p = Prometheus()
    yield p
    p.server.shutdown()
    p.server.server_close()


@pytest.fixture(scope="module")
def platform(prometheus):
    os.environ["ROUSE_PROMETHEUS"] = f"http://127.0.0.1:{prometheus.server.server_port}/"
    try:
        yield from _platform(1)
    finally:
        del os.environ["ROUSE_PROMETHEUS"]


def pods(name, target):
    return {"type": "Pods", "pods": {"metric": {"name": name}, "target": {"type": "AverageValue", "averageValue": target}}}


def resource(name, **target):
    return {"type": "Resource", "resource": {"name": name, "target": target}}


def outside(query, target):
    return {"type": "External", "external": {"metric": {"name": "jobs", "query": query},
                                             "target": {"type": "AverageValue", "averageValue": target}}}


def small(name, code, **scaling):
    return function(name, code, memory="48Mi", concurrency=50, scaling={"max": 4, "idleTimeout": "3s", **scaling})


def test_requests_per_second(platform):
    """Fifty at once would fit into one instance, twenty requests a second do not."""
    platform.apply(small("rate", HELLO, window="6s", metrics=[pods("requests_per_second", "20")]))
    load = Load(platform, "/rate", threads=4)
    wait_until("four instances", lambda: platform.ready("rate") == 4, seconds=40)
    assert platform.get("rate")["status"]["desiredInstances"] == 4
    assert platform.metric("rouse_autoscaler_target_requests_per_second", function="rate") == 20
    assert platform.metric("rouse_autoscaler_stable_requests_per_second", function="rate") > 60
    load.stop()
    assert not load.errors and set(load.statuses()) == {200}, (load.statuses(), load.errors[:3])
    wait_until("zero", lambda: not platform.instances("rate"), seconds=40)
    changes = platform.metric("rouse_autoscaler_decisions_total")
    assert changes >= 2 and platform.metric("rouse_autoscaler_decisions_total", reason="Idle") >= 1


def test_cpu(platform):
    cpu = resource("cpu", type="Utilization", averageUtilization=30)
    platform.apply(small("burn", BURN, idleTimeout="30s", metrics=[cpu]))
    load = Load(platform, "/burn", threads=2)
    wait_until("a second instance", lambda: platform.ready("burn") >= 2, seconds=60)
    load.stop()
    assert not load.errors and set(load.statuses()) == {200}, (load.statuses(), load.errors[:3])
    platform.delete("burn")


def test_external(platform, prometheus):
    """A queue outside fills: instances come though nobody calls; it is empty: they go."""
    platform.apply(small("jobs", HELLO, metrics=[outside("sum(jobs)", "10")]))
    wait_until("it is asked", lambda: ("/api/v1/query", "sum(jobs)") in prometheus.queries, seconds=30)
    assert not platform.instances("jobs")
    prometheus.value = 25
    wait_until("three instances", lambda: platform.ready("jobs") == 3, seconds=40)
    prometheus.value = 0
    wait_until("zero", lambda: not platform.instances("jobs"), seconds=40)
    assert platform.metric("rouse_autoscaler_external_queries_total", result="answered") >= 2


def test_initial_and_activation(platform):
    platform.apply(small("first", HELLO, idleTimeout="1s", initial=2))
    wait_until("two before any request", lambda: platform.ready("first") == 2)
    wait_until("zero", lambda: not platform.instances("first"), seconds=40)
    platform.apply(small("awake", HELLO, activation=3))
    assert platform.call("/awake").status == 200
    wait_until("three with the first request", lambda: platform.ready("awake") == 3)


def test_explained_and_refused(platform):
    out = platform.rouse("apply", "-f", "-", check=False,
                         input=json.dumps(small("no", HELLO, metrics=[pods("Own", "1")])))
    assert out.returncode and "spec.scaling.metrics[0].pods.metric.name" in out.stderr, out
    schema = platform.api("GET", "/openapi/v3/apis/rouse.dev/v1").text
    assert "what it does not say has the defaults of autoscaling/v2" in schema
