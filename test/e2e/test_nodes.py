"""What an operator does with nodes: cordon, drain, and where functions are placed. Three nodes."""
import shutil
import subprocess

from harness import Load, Platform, function, left_behind, machine_state, wait_until
from test_cluster import cluster_cmd, nodes_of, nodes_ready, work

PATCH = {"Content-Type": "application/merge-patch+json"}


def node(p, name):
    return p.api("GET", f"/apis/rouse.dev/v1/nodes/{name}").json


def steady(p, name, n):
    p.apply(function(name, "def handler(e, c):\n    return 'x'\n", memory="64Mi", scaling={"min": n, "idleTimeout": "1s"}))
    wait_until(f"{n} of {name}", lambda: p.ready(name) == n, seconds=40)


def test_a_drain_under_load_fails_no_request(cluster):
    cluster.apply(work("v1", scaling={"min": 3, "max": 50, "idleTimeout": "2s"}))
    wait_until("an instance on each", lambda: len(nodes_of(cluster, "work")) == 3, seconds=40)
    load = Load(cluster, "/work", threads=6, nodes=(0, 1, 2))
    wait_until("answers", lambda: load.count() > 100, seconds=30)
    out = cluster.rouse("drain", "node-2").stdout
    assert out == "node.rouse.dev/node-2 drained\n"
    assert "node-2" not in nodes_of(cluster, "work")
    assert node(cluster, "node-2")["spec"] == {"unschedulable": True, "drain": True}
    before = load.count()
    wanted = []
    wait_until("more answers", lambda: wanted.append(cluster.get("work")["status"]["desiredInstances"])
               or load.count() > before + 100, seconds=30)
    load.all_well()
    assert max(wanted) <= 20, wanted  # six at once need nine; those that make way are no need
    cluster.delete("work")


def test_it_holds_until_somebody_ends_it(cluster):
    cluster_cmd(cluster, "kill", "controller")
    cluster_cmd(cluster, "start", "controller")
    wait_until("nodes are back", lambda: nodes_ready(cluster) == 3, seconds=30)
    assert node(cluster, "node-2")["spec"]["unschedulable"] is True
    steady(cluster, "early", 6)
    assert nodes_of(cluster, "early") == {"node-1", "node-3"}
    cluster.rouse("uncordon", "node-2")
    steady(cluster, "late", 6)
    assert "node-2" in nodes_of(cluster, "late")
    cluster.delete("early")
    cluster.delete("late")


def test_kubectl_patches_a_node(cluster, tmp_path):
    patch = '{"spec":{"unschedulable":%s}}'
    if not shutil.which("kubectl"):
        assert cluster.api("PATCH", "/apis/rouse.dev/v1/nodes/node-3", patch % "true", PATCH).status == 200
        assert cluster.api("PATCH", "/apis/rouse.dev/v1/nodes/node-3", patch % "false", PATCH).status == 200
        return
    config = tmp_path / "config"
    config.write_text(cluster.rouse("kubeconfig").stdout)
    for value in ("true", "false"):
        r = subprocess.run(["kubectl", f"--kubeconfig={config}", f"--cache-dir={tmp_path}/cache", "patch",
                            "nodes.rouse.dev", "node-3", "--type=merge", "-p", patch % value],
                           text=True, capture_output=True, timeout=60)
        assert r.returncode == 0, r
        assert node(cluster, "node-3")["spec"]["unschedulable"] is (value == "true")


def test_a_node_that_is_gone_is_deleted(cluster):
    refused = cluster.rouse("delete", "node", "node-3", check=False)
    assert refused.returncode and "rouse drain node-3" in refused.stderr, refused
    cluster.rouse("cordon", "node-3")
    cluster_cmd(cluster, "kill", "node-3")
    wait_until("its end is seen", lambda: nodes_ready(cluster) == 2, seconds=20)
    assert cluster.rouse("delete", "node", "node-3").stdout == 'node.rouse.dev "node-3" deleted\n'
    assert cluster.api("GET", "/apis/rouse.dev/v1/nodes/node-3").status == 404
    cluster_cmd(cluster, "start", "node-3")
    wait_until("it is back", lambda: nodes_ready(cluster) == 3, seconds=30)
    assert node(cluster, "node-3")["spec"]["unschedulable"] is False


def test_a_function_runs_where_it_asks_to(cluster):
    here = {"nodeSelector": {"rouse.dev/node": "node-3"}}
    cluster.apply(function("there", "def handler(e, c):\n    return 'there'\n", path="/there", placement=here))
    assert {cluster.call("/there", node=n).text for n in (0, 1, 2)} == {"there"}
    assert nodes_of(cluster, "there") == {"node-3"}
    nowhere = {"nodeSelector": {"disk": "ssd"}}
    cluster.apply(function("nowhere", "def handler(e, c):\n    return 'x'\n", path="/nowhere", placement=nowhere))
    answer = cluster.call("/nowhere")
    assert answer.status == 503 and "spec.placement" in answer.text, answer
    cluster.delete("there")
    cluster.delete("nowhere")


def test_labels_and_taints_of_an_agent(monkeypatch):
    monkeypatch.setenv("ROUSE_LABEL", "disk=ssd,example.com/rack=r1")
    monkeypatch.setenv("ROUSE_TAINT", "gpu=a100:NoSchedule")
    before = machine_state()
    p = Platform()
    try:
        labels = p.api("GET", "/apis/rouse.dev/v1/nodes").json["items"][0]["metadata"]["labels"]
        assert labels["disk"] == "ssd" and labels["example.com/rack"] == "r1", labels
        code = "def handler(e, c):\n    return 'x'\n"
        tolerations = [{"key": "gpu", "value": "a100", "effect": "NoSchedule"}]
        p.apply(function("kept", code), function("wrong", code, placement={"tolerations": [{"key": "gpu", "value": "h100"}]}),
                function("let", code, placement={"tolerations": tolerations, "nodeSelector": {"example.com/rack": "r1"}}))
        assert p.call("/let").status == 200
        for name in ("kept", "wrong"):
            answer = p.call(f"/{name}")
            assert answer.status == 503 and "taint" in answer.text, answer
    finally:
        p.down()
        left = left_behind(p, before)
        shutil.rmtree(p.state, ignore_errors=True)
    assert not left, left
