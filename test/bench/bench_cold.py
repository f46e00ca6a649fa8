"""Cold starts from the client's side: functions at zero, one first request each, by phase."""
import time

from packages import upload_hello
from lib import bench, function, percentile, platform, wait_until

COUNT = 201    # the first one only brings the code into the cache
PHASES = ("schedule", "fetch", "sandbox", "runtime", "init", "first_byte")


def measure(kind, make):
    with platform() as p:
        p.apply(*[make(p, i) for i in range(COUNT)])
        p.call("/bench/0")       # the code is the same for all: fetched once, then cached
        before = {ph: p.metric("rouse_cold_start_seconds_sum", node=0, phase=ph) for ph in PHASES}
        times = []
        for i in range(1, COUNT):
            began = time.perf_counter()
            r = p.call(f"/bench/{i}")
            times.append((time.perf_counter() - began) * 1000)
            assert r.status == 200, r
            if i % 40 == 0:      # keep the number of live instances bounded
                wait_until("zero", lambda: len(p.api("GET", "/apis/rouse.dev/v1/instances").json["items"]) < 20, seconds=60)
        bench(f"cold_start_{kind}_p50", percentile(times, 50), "ms", f"{min(times):.3g} to {max(times):.3g}, {len(times)} starts")
        bench(f"cold_start_{kind}_p99", percentile(times, 99), "ms")
        for ph in PHASES:
            spent = p.metric("rouse_cold_start_seconds_sum", node=0, phase=ph) - before[ph]
            bench(f"cold_start_{kind}_{ph}_mean", spent / len(times) * 1000, "ms")


COMMON = {"memory": "64Mi", "scaling": {"idleTimeout": "2s"}}
package = {}


def c_function(p, i):
    if not package:
        package.update(upload_hello(p))
    return function(f"c{i}", code=dict(package), path=f"/bench/{i}", runtime="provided", handler="bootstrap", **COMMON)


measure("c", c_function)
measure("python", lambda p, i: function(f"p{i}", "def handler(e, c):\n    return 'hello'\n", path=f"/bench/{i}", **COMMON))
measure("node", lambda p, i: function(f"n{i}", "exports.handler = async () => 'hello';\n", path=f"/bench/{i}",
                                      runtime="nodejs", **COMMON))
