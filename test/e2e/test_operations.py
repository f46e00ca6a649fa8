"""What an operator does: metrics, two platforms side by side, up twice, down, kubectl, a dirty death."""
import os
import re
import shutil
import signal
import subprocess

import pytest
from harness import EXAMPLES, Platform, function, left_behind, machine_state, wait_until


def promtool(text):
    if not shutil.which("promtool"):
        pytest.skip("no promtool on this machine")
    r = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True)
    assert r.returncode == 0 and not r.stderr.strip(), r.stdout + r.stderr


CONTROLLER = """rouse_autoscaler_desired_instances rouse_autoscaler_requested_instances rouse_autoscaler_actual_instances
rouse_autoscaler_ready_instances rouse_autoscaler_stable_request_concurrency rouse_autoscaler_panic_request_concurrency
rouse_autoscaler_target_concurrency_per_instance rouse_autoscaler_panic_mode rouse_activator_tickets rouse_activator_held_bytes
rouse_activator_wait_seconds_bucket rouse_activator_refused_total rouse_nodes process_cpu_seconds_total
rouse_api_timeouts_total rouse_front_timeouts_total rouse_front_requests_total
rouse_http_client_calls_total{client="front"}""".split()
AGENT = """rouse_requests_total rouse_request_seconds_bucket rouse_in_flight rouse_cold_starts_total
rouse_cold_start_seconds_bucket process_resident_memory_bytes rouse_gateway_timeouts_total rouse_peer_timeouts_total
rouse_http_client_calls_total{client="gateway"}""".split()


def test_metrics(platform):
    platform.apply(function("m", "def handler(e, c):\n    return 'm'\n"))
    assert platform.call("/m").status == 200
    assert platform.call("/nowhere").status == 404
    controller, agent = platform.metrics(), platform.metrics(0)
    for name in CONTROLLER:
        assert f"\n{name}" in "\n" + controller, name
    for name in AGENT:
        assert f"\n{name}" in "\n" + agent, name
    assert platform.metric("rouse_requests_total", node=0, function="m", code="200") == 1
    for phase in ("schedule", "fetch", "sandbox", "runtime", "init", "first_byte"):
        assert f'phase="{phase}"' in agent, phase
    for text, loops in ((controller, ("brain", "front", "api")), (agent, ("0",))):
        for loop in loops:
            assert re.search(rf'^rouse_loop_info{{loop="{loop}",backend="(epoll|io_uring)"}} 1$', text, re.M), loop
            assert re.search(rf'^rouse_loop_turns_total{{loop="{loop}"}} [1-9]', text, re.M), loop
    promtool(controller)
    promtool(agent)


def test_up_again_says_so(platform):
    r = platform.rouse("up")
    assert "already" in r.stdout + r.stderr


def test_two_platforms_side_by_side(platform):
    platform.apply(function("first", "def handler(e, c):\n    return 'first'\n"))
    assert platform.call("/first").text == "first"
    before = machine_state()
    other = Platform()
    try:
        other.apply(function("first", "def handler(e, c):\n    return 'other'\n"))
        assert other.call("/first").text == "other"
        assert platform.call("/first").text == "first"
    finally:
        other.down()
        left = left_behind(other, before)
        shutil.rmtree(other.state, ignore_errors=True)
    assert not left, left
    assert platform.call("/first").text == "first"


def test_killed_agent_is_cleaned_by_its_next_life():
    before = machine_state()
    p = Platform()
    try:
        p.apply(function("k", "def handler(e, c):\n    return 'k'\n"))
        assert p.call("/k").text == "k"
        for _ in range(5):    # the old launcher still cleans up while the next one starts
            os.kill(p.pid(p.nodes[0]["name"]), signal.SIGKILL)
            p.rouse("up")
            assert p.call("/k").text == "k"
            # The entry serves its ticket as the slot appears; the controller hears of it at the same time.
            wait_until("its instance to be ready", lambda: p.instances("k")[-1]["status"]["state"] in ("Ready", "Frozen"))
    finally:
        p.down()
        left = left_behind(p, before)
        shutil.rmtree(p.state, ignore_errors=True)
    assert not left, left


def test_kubectl(platform, tmp_path):
    if not shutil.which("kubectl"):
        pytest.skip("no kubectl on this machine; test/compat replays its requests")
    config = tmp_path / "config"
    config.write_text(platform.rouse("kubeconfig").stdout)

    def kubectl(*args, check=True, **kw):
        r = subprocess.run(["kubectl", f"--kubeconfig={config}", f"--cache-dir={tmp_path}/cache", *args], text=True,
                           capture_output=True, timeout=60, **kw)
        assert not check or r.returncode == 0, r.stdout + r.stderr
        return r.stdout + r.stderr

    assert "created" in kubectl("apply", "-f", str(EXAMPLES / "hello.yaml"))
    assert platform.call("/hello/serverless").text == "Hello Serverless"
    assert "unchanged" in kubectl("apply", "-f", str(EXAMPLES / "hello.yaml"))
    assert "condition met" in kubectl("wait", "--for=condition=Ready", "fn/hello", "--timeout=10s")
    assert "hello" in kubectl("get", "fn", "-o", "wide")
    assert "handler: index.handler" in kubectl("get", "fn", "hello", "-o", "yaml")
    assert "Hello Serverless" in kubectl("describe", "fn", "hello")
    assert "labeled" in kubectl("label", "fn", "hello", "a=b")
    assert "scaled" in kubectl("scale", "fn", "hello", "--replicas=2")
    wait_until("two ready", lambda: platform.ready("hello") >= 2)
    assert "rouse.dev/v1" in kubectl("api-resources")
    assert "memory" in kubectl("explain", "fn.spec")
    assert "node" in kubectl("get", "nodes.rouse.dev").lower()
    assert "deleted" in kubectl("delete", "fn", "hello", "--wait")
    assert platform.call("/hello/serverless").status == 404
