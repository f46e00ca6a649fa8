"""What functions on a cluster do not reach: the platform's own ports, on whatever node; and what they do."""
import json
import shutil
import socket
import subprocess
import threading

import pytest
from harness import Platform, function, platform_id, wait_until

PROBE = r'''
import json, socket, threading
def handler(event, context):
    seen = {}
    def one(host, port):
        try:
            socket.create_connection((host, port), 1).close()
            seen[f"{host}:{port}"] = "CONNECTED"
        except OSError as e:
            seen[f"{host}:{port}"] = type(e).__name__
    threads = [threading.Thread(target=one, args=a) for a in json.loads(event["body"])]
    [t.start() for t in threads]
    [t.join() for t in threads]
    return seen
'''


def address(url):
    host, port = url.rsplit("/", 1)[-1].rsplit(":", 1)
    return [host, int(port)]


def table(netns):
    return subprocess.run(["nsenter", f"--net=/run/netns/{netns}", "nft", "list", "ruleset"], text=True,
                          capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def probe(cluster):
    cluster.apply(function("probe", PROBE, timeout="10s"))

    def call(targets, node=0):
        r = cluster.call("/probe", method="POST", body=json.dumps(targets).encode(), node=node)
        assert r.status == 200, r
        return r.json

    return call


def test_the_platforms_ports_on_all_nodes(cluster, probe):
    ports = [address(n[k]) for n in cluster.nodes for k in ("gateway", "peer")]
    ports += [address(cluster.info[k]) for k in ("api", "front", "control")]
    for n in cluster.nodes:
        wait_until(f"{n['name']} to know the others",
                   lambda n=n: all(" . ".join(map(str, address(o["peer"]))) in table(n["netns"]) for o in cluster.nodes if o is not n))
    seen = probe(ports)
    assert set(seen.values()) == {"TimeoutError"} and len(seen) == len(ports), seen


def test_what_else_listens_on_the_controllers_machine_is_reached(cluster, probe):
    """Only the platform's ports are denied, not the machines that have them."""
    bridge = address(cluster.info["api"])[0]
    with socket.create_server((bridge, 0)) as s:
        port = s.getsockname()[1]
        t = threading.Thread(target=lambda: s.accept()[0].close(), daemon=True)
        t.start()
        assert probe([[bridge, port]]) == {f"{bridge}:{port}": "CONNECTED"}
        t.join(5)


LINKS = """
def handler(event, context):
    return [line.split(":")[0].strip() for line in open("/proc/net/dev")][2:]
"""


def test_what_the_operator_denies(monkeypatch):
    monkeypatch.setenv("ROUSE_DENY_EGRESS", "10.0.0.0/8,fd00::/8")
    monkeypatch.setenv("ROUSE_ALLOW_EGRESS", "10.1.0.0/16")
    p = Platform()
    try:
        name = f"rouse-{platform_id(p.state / 'agents/node-1')}"
        sets = {s: subprocess.run(["nft", "list", "set", "inet", name, s], text=True, capture_output=True, check=True).stdout
                for s in ("deny4", "deny6", "allow4")}
        assert "10.0.0.0/8" in sets["deny4"] and "10.1.0.0/16" in sets["allow4"], sets
        assert "fd00::/8" in sets["deny6"] and "64:ff9b::a00:0/104" in sets["deny6"], sets
        p.apply(function("linked", LINKS), function("alone", LINKS, network="none"))
        assert p.call("/linked").json == ["lo", "eth0"]
        assert p.call("/alone").json == ["lo"]
    finally:
        p.down()
        left = p.leftovers()
        shutil.rmtree(p.state, ignore_errors=True)
    assert not left, left
