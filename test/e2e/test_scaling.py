"""Instances by requests per second, cpu, what they report and what a Prometheus says, and the API's word on it."""
import http.server
import json
import shutil
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
import urllib.parse

import pytest
from conftest import _platform
from harness import BIN, EXAMPLES, Load, function, wait_until

HELLO = "def handler(e, c):\n    return 'ok'\n"
BURN = "import time\ndef handler(e, c):\n    t = time.process_time()\n    while time.process_time() - t < .05: pass\n    return 'ok'\n"

# Reports what it is called with: /name?v=30. With ?hold it takes half a second, so that others get the next ones.
GAUGE = {
    "python3": """
import time
def handler(event, context):
    context.metric("jobs", float(event["queryStringParameters"]["v"]))
    if "hold" in event["queryStringParameters"]: time.sleep(0.5)
    return "ok"
""",
    "nodejs": """
exports.handler = async (event, context) => {
  context.metric('jobs', Number(event.queryStringParameters.v));
  return 'ok';
};
""",
    "c": r"""
#include <rouse/rouse.h>
#include <stdlib.h>
#include <string.h>
static int handle(const struct rouse_event *event, struct rouse_response *resp, struct rouse_context *ctx)
{
    const char *v = strstr(event->data, "\"rawQueryString\":\"v=");
    int r = v ? rouse_metric_set("jobs", strtod(v + 20, NULL)) : -1;
    (void)ctx;
    return r < 0 ? r : rouse_respond_text(resp, "ok");
}
int main(void)
{
    return rouse_start(handle) < 0;
}
""",
    "shell": """
gauge() {
  local v
  v=$(sed 's/.*"rawQueryString":"v=\\([0-9]*\\)".*/\\1/' <<<"$1")
  curl -sS -X POST "http://$AWS_LAMBDA_RUNTIME_API/rouse/v1/metrics" -d '{"jobs": '"$v"'}'
}
""",
}


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
    yield from _platform(1, ROUSE_PROMETHEUS=f"http://127.0.0.1:{prometheus.server.server_port}/")


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
    load.all_well()
    wait_until("zero", lambda: not platform.instances("rate"), seconds=40)
    changes = platform.metric("rouse_autoscaler_decisions_total")
    assert changes >= 2 and platform.metric("rouse_autoscaler_decisions_total", reason="Idle") >= 1


def test_cpu(platform):
    cpu = resource("cpu", type="Utilization", averageUtilization=30)
    platform.apply(small("burn", BURN, idleTimeout="30s", metrics=[cpu]))
    load = Load(platform, "/burn", threads=2)
    wait_until("a second instance", lambda: platform.ready("burn") >= 2, seconds=60)
    load.all_well()
    platform.delete("burn")


def jobs(platform, function):
    """What the agent shows of it: the sum over its instances."""
    return platform.metric("rouse_function_metric", node=0, function=function, metric="jobs")


def test_own_metric(platform):
    """One instance says 30 where 10 are wanted: three, since those that have said nothing yet count at nothing. All
    say 1: one is enough. What is frozen, and what is gone, is not forgotten and not counted."""
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 0}}
    platform.apply(function("gauge", GAUGE["python3"], memory="48Mi", concurrency=2,
                            scaling={"max": 6, "idleTimeout": "60s", "metrics": [pods("jobs", "10")], "behavior": behavior}))
    assert platform.call("/gauge?v=30").status == 200
    wait_until("three instances", lambda: platform.ready("gauge") == 3, seconds=40)
    assert jobs(platform, "gauge") == 30
    wait_until("all of them frozen", lambda: [i["status"]["state"] for i in platform.instances("gauge")] == ["Frozen"] * 3)
    assert platform.ready("gauge") == 3 and jobs(platform, "gauge") == 30

    def all_say_one():
        with ThreadPoolExecutor(5) as pool:
            assert {r.status for r in pool.map(lambda _: platform.call("/gauge?v=1&hold=1"), range(5))} == {200}
        return jobs(platform, "gauge") == 3

    wait_until("each to say 1", all_say_one, seconds=40)
    wait_until("one instance", lambda: platform.ready("gauge") == 1, seconds=40)
    wait_until("what is gone to say nothing", lambda: jobs(platform, "gauge") == 1)
    assert platform.metric("rouse_autoscaler_decisions_total", reason="Custom") >= 2
    platform.delete("gauge")


def of_shell(directory):
    shutil.copy(EXAMPLES / "hello-lambda/bootstrap", directory)
    (directory / "handler.sh").write_text(GAUGE["shell"])
    return function("gauge-shell", {"path": str(directory)}, runtime="provided", handler="handler.gauge")


def of_c(directory):
    subprocess.run([BIN / "rouse", "new", "c", "f"], cwd=directory, check=True, capture_output=True)
    (directory / "f/bootstrap.c").write_text(GAUGE["c"])
    subprocess.run([BIN / "rouse", "build", "f"], cwd=directory, check=True, capture_output=True)
    return function("gauge-c", {"path": str(directory / "f/build")}, runtime="provided", handler="bootstrap")


def test_own_metric_of_each_sdk(platform, tmp_path):
    """Node.js, C, and the runtime API by curl: what one instance says makes a second."""
    (tmp_path / "shell").mkdir()
    functions = [function("gauge-node", GAUGE["nodejs"], runtime="nodejs"), of_c(tmp_path), of_shell(tmp_path / "shell")]
    for f in functions:
        f["spec"].update(memory="64Mi", timeout="10s", scaling={"max": 4, "metrics": [pods("jobs", "10")]})
    platform.apply(*functions)
    for f in functions:
        assert platform.call(f["spec"]["triggers"][0]["http"]["path"] + "?v=17").status == 200
    for f in functions:
        name = f["metadata"]["name"]
        wait_until(f"two of {name}", lambda: platform.ready(name) == 2, seconds=40)
        assert jobs(platform, name) == 17
        platform.delete(name)


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
