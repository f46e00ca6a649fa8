"""The benchmarks' agents made of values (test/bench/agents) against the real controller: so that they go on speaking the
protocol that agents speak."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "bench"))
from controller import Agents, Controller  # noqa: E402
from harness import wait_until  # noqa: E402

INSTANCES = "/apis/rouse.dev/v1/namespaces/default/instances"


def test_requests_at_many_agents_start_what_was_asked_for_and_no_more():
    with Controller() as c:
        c.apply([f"f{k}" for k in range(20)], connections=2, scaling={"idleTimeout": "1s"})
        with Agents(c, 5, 20) as agents:
            r = agents.cold(0, 20, 4)
            assert (r["answered"], r["refused"]) == (20, 0)
            there = c.request("GET", INSTANCES)["items"]
            assert {i["spec"]["function"] for i in there} == {f"f{k}" for k in range(20)}
            assert len(there) == 20 and len({i["spec"]["node"] for i in there}) == 5
            assert {i["status"]["state"] for i in there} <= {"Ready", "Frozen"}
            assert agents.instances(0)[1] == 20
            wait_until("no instance in the API", lambda: c.request("GET", INSTANCES)["items"] == [])
