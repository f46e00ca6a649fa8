"""Three nodes in network namespaces: scaling over nodes, updates, deaths and partitions, under load."""
import os
import shutil
import signal
import subprocess
import threading
import time

import pytest
from harness import TOP, Load, function, http_request, wait_until

WORK = "import time, socket\ndef handler(e, c):\n    time.sleep({s})\n    return '{v} ' + socket.gethostname()\n"


def work(version, seconds=0.05, **spec):
    return function("work", WORK.format(s=seconds, v=version), path="/work",
                    **{"memory": "64Mi", "scaling": {"max": 12, "idleTimeout": "2s"}, **spec})


def cluster_cmd(p, *args):
    return subprocess.run([TOP / "hack/cluster", "--state", str(p.state), *args], check=True, text=True,
                          capture_output=True, timeout=60)


def nodes_ready(p):
    items = p.api("GET", "/apis/rouse.dev/v1/nodes").json["items"]
    return sum(1 for n in items for c in n["status"]["conditions"] if c["type"] == "Ready" and c["status"] == "True")


def nodes_of(p, name):
    return {i["spec"]["node"] for i in p.instances(name)}


def test_three_nodes_are_ready(cluster):
    wait_until("three nodes", lambda: nodes_ready(cluster) == 3)


def test_kubectl_without_a_token(cluster, tmp_path):
    """kubectl sends no token over plain http, so the controller's machine has an address that asks for none."""
    config = tmp_path / "config"
    config.write_text(cluster.rouse("kubeconfig").stdout)
    assert http_request(cluster.info["api"], "GET", "/apis").status == 401
    assert http_request(cluster.nodes[0]["metrics"], "GET", "/metrics").status == 401
    assert http_request(cluster.nodes[0]["metrics"], "GET", "/readyz").status == 200
    assert http_request(cluster.info["local_api"], "GET", "/apis").status == 200
    assert http_request(cluster.info["local_api"], "GET", "/apis", headers={"Host": "evil.example"}).status == 403
    if not shutil.which("kubectl"):
        pytest.skip("no kubectl on this machine")
    out = subprocess.run(["kubectl", f"--kubeconfig={config}", f"--cache-dir={tmp_path}/cache", "get", "nodes.rouse.dev"],
                         text=True, capture_output=True, timeout=60)
    assert out.returncode == 0 and "node-3" in out.stdout, out


def test_from_zero_over_nodes_to_zero(cluster):
    cluster.apply(work("v1"))
    load = Load(cluster, "/work", threads=9, nodes=(0, 1, 2))
    wait_until("instances on two nodes", lambda: len(nodes_of(cluster, "work")) >= 2, seconds=30)
    wait_until("answers", lambda: load.count() > 200, seconds=30)
    load.all_well()
    wait_until("zero", lambda: not cluster.instances("work"), seconds=40)


def test_remote_warm(cluster):
    """A node without an instance passes the request to one that has it."""
    cluster.apply(work("v1", scaling={"max": 1, "idleTimeout": "30s"}))
    hosts = {cluster.call("/work", node=n).text for n in (0, 1, 2)}
    assert len(hosts) == 1, hosts


def test_update_under_load(cluster):
    cluster.apply(work("old"))
    load = Load(cluster, "/work", threads=6, nodes=(0, 1, 2))
    wait_until("old answers", lambda: load.count() > 50, seconds=30)
    cluster.apply(work("new"))
    wait_until("new answers", lambda: any(b.startswith(b"new") for b in load.bodies(200)), seconds=30)
    time.sleep(1)    # the load goes on over the drain of the old instances
    load.all_well()


def test_controller_killed_and_restarted_under_load(cluster):
    cluster.apply(work("v1"))
    load = Load(cluster, "/work", threads=6, nodes=(0, 1, 2))
    wait_until("answers", lambda: load.count() > 50, seconds=30)
    cluster_cmd(cluster, "kill", "controller")
    before = load.count()
    wait_until("warm traffic goes on without the controller", lambda: load.count() > before + 50, seconds=30)
    waiting = []
    t = threading.Thread(target=lambda: waiting.append(cluster.call("/function/default/later/", timeout=60)))
    t.start()        # needs an instance: it waits until the controller is back
    cluster_cmd(cluster, "start", "controller")
    cluster.apply(function("later", "def handler(e, c):\n    return 'later'\n"))
    wait_until("nodes are back", lambda: nodes_ready(cluster) == 3)
    before = load.count()
    wait_until("answers after the restart", lambda: load.count() > before + 50, seconds=30)
    load.stop()
    t.join(60)
    load.all_well()
    assert waiting and waiting[0].status in (200, 404), waiting


def test_waiting_request_survives_the_controller(cluster):
    cluster.apply(function("waiter", WORK.format(s=1.5, v="w"), scaling={"max": 1, "idleTimeout": "30s"}))
    assert cluster.call("/waiter").status == 200
    answers = []
    threads = [threading.Thread(target=lambda n=n: answers.append(cluster.call("/waiter", node=n))) for n in (0, 1, 2)]
    for t in threads:
        t.start()
    wait_until("tickets wait", lambda: cluster.metric("rouse_activator_tickets") >= 1)
    cluster_cmd(cluster, "kill", "controller")
    cluster_cmd(cluster, "start", "controller")
    for t in threads:
        t.join(60)
    assert [a.status for a in answers] == [200] * 3, answers


def test_node_killed_under_load(cluster):
    cluster.apply(work("v1", seconds=0.2))
    load = Load(cluster, "/work", threads=8, nodes=(0, 1))
    wait_until("an instance on node 3", lambda: cluster.nodes[2]["name"] in nodes_of(cluster, "work"), seconds=30)
    victim = cluster.nodes[2]["name"]
    cluster_cmd(cluster, "kill", victim)
    before = load.count()
    wait_until("answers without node 3", lambda: load.count() > before + 100, seconds=40)
    load.stop()
    statuses = load.statuses()
    assert not load.errors, load.errors[:3]
    assert set(statuses) <= {200, 502}, (statuses, load.bodies(503), load.bodies(504))
    assert statuses.get(502, 0) <= 8, statuses
    assert all(b"InstanceLost" in b for b in load.bodies(502)), load.bodies(502)
    wait_until("node 3 is not ready", lambda: nodes_ready(cluster) == 2, seconds=30)
    cluster_cmd(cluster, "start", victim)
    wait_until("node 3 is back", lambda: nodes_ready(cluster) == 3, seconds=30)

    def links():
        lines = cluster_cmd(cluster, "exec", victim, "ip", "-o", "link").stdout.splitlines()
        return sum(1 for line in lines if "veth" in line or ": r" in line)

    def sandboxes():
        parked = cluster.metric("rouse_agent_sandboxes_parked", node=2)
        return parked + len([i for i in cluster.instances("work") if i["spec"]["node"] == victim])

    wait_until("no link but its own and its sandboxes'", lambda: links() <= 1 + sandboxes(), seconds=30)


def test_partition_and_return(cluster):
    cluster.apply(work("v1", seconds=0.05))
    victim = cluster.nodes[2]["name"]
    assert cluster.call("/work").status == 200
    cluster_cmd(cluster, "partition", victim)
    wait_until("the node is not ready", lambda: nodes_ready(cluster) == 2, seconds=40)
    assert cluster.call("/work").status == 200
    cluster_cmd(cluster, "heal", victim)
    wait_until("the node is ready again", lambda: nodes_ready(cluster) == 3, seconds=40)
    assert cluster.call("/work", node=2).status == 200


def test_agent_stopped_and_started_leaves_nothing(cluster):
    """A restart with SIGTERM: running requests finish, instances go, the node comes back."""
    cluster.apply(work("v1", seconds=0.05))
    victim = cluster.nodes[1]["name"]
    load = Load(cluster, "/work", threads=4, nodes=(0,))
    wait_until("answers", lambda: load.count() > 20, seconds=30)
    agent = cluster.pid(victim)
    os.kill(agent, signal.SIGTERM)
    wait_until("the node is gone", lambda: nodes_ready(cluster) == 2, seconds=30)
    wait_until("the agent's end", lambda: not os.path.exists(f"/proc/{agent}"), seconds=30)
    cluster_cmd(cluster, "start", victim)
    wait_until("the node is back", lambda: nodes_ready(cluster) == 3, seconds=30)
    load.all_well()
