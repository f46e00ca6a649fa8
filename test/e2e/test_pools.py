"""Pools of nodes: 1 -> 4 -> 1 agents under load, a hook of the operator's, a controller that dies while a node is made."""
import contextlib
import json
import os
import pathlib
import signal
import stat
import subprocess
import textwrap
import time

from conftest import _platform
from harness import BIN, Load, function, wait_until

SMALL = {"memory": "160Mi", "cpu": "4"}
SLEEPER = """
    import time
    def handler(event, context):
        time.sleep(0.15)
        return 'ok'
    """


def pool(name="extra", provider="process", **spec):
    return {"apiVersion": "rouse.dev/v1", "kind": "NodePool", "metadata": {"name": name},
            "spec": {"provider": provider, "template": SMALL, "min": 0, "max": 3,
                     "scaleUp": {"window": "2s", "provisionTimeout": "30s", "backoff": "1s"},
                     "scaleDown": {"threshold": 60, "after": "2s", "delayAfterAdd": "2s", "delayAfterFailure": "1s",
                                   "drainTimeout": "30s", "unreadyAfter": "5s"}, **spec}}


def small_platform(**environ):
    """One node of 160Mi, and room in its network for more."""
    return contextlib.contextmanager(_platform)(1, ("--bridge",), **{
        "ROUSE_ALLOCATABLE_MEMORY": "160Mi", "ROUSE_ALLOCATABLE_CPU": "4", "ROUSE_STABLE_WINDOW": "6s",
        "ROUSE_PANIC_WINDOW": "2s", **environ})


def status(p, name="extra"):
    r = p.api("GET", f"/apis/rouse.dev/v1/nodepools/{name}")
    return r.json["status"] if r.status == 200 else None


def ready_nodes(p):
    return sorted(n["metadata"]["name"] for n in p.api("GET", "/apis/rouse.dev/v1/nodes").json["items"]
                  if n["status"]["state"] == "Ready")


def hardware(p):
    """Of the bridge, and of the second address of its network."""
    nodes = [n["netns"] for n in json.loads((p.state / "platform.json").read_text())["nodes"] if n["netns"].endswith("-2")]
    bridge = pathlib.Path("/sys/class/net", p.info["bridge"])
    shown = subprocess.run(["ip", "-n", nodes[0], "-j", "link", "show", "eth0"], text=True, capture_output=True, check=True)
    return (bridge / "address").read_text().strip(), json.loads(shown.stdout)[0]["address"]


def agents(p):
    """Agents that run, whatever the controller thinks."""
    found = set()
    for f in (p.state / "run").glob("agent-*.pid"):
        with contextlib.suppress(OSError, ValueError):
            if os.path.exists(f"/proc/{int(f.read_text().split()[0])}"):
                found.add(f.stem[len("agent-"):])
    return found


def test_from_one_node_to_four_and_back():
    with small_platform() as p:
        p.apply(pool())
        p.apply(function("f", SLEEPER, memory="64Mi", scaling={"max": 8, "idleTimeout": "2s"}))
        assert p.call("/f").status == 200
        assert len(ready_nodes(p)) == 1
        always = Load(p, "/f", threads=1)
        many = Load(p, "/f", threads=16)
        wait_until("four nodes", lambda: len(ready_nodes(p)) == 4, seconds=60)
        wait_until("instances on all of them",
                   lambda: len({i["spec"]["node"] for i in p.instances("f") if i["status"]["state"] == "Ready"}) == 4,
                   seconds=30)
        wait_until("the pool to say so", lambda: [status(p)[k] for k in ("nodes", "ready", "desired")] == [3, 3, 3])
        many.stop()
        wait_until("one node again", lambda: len(ready_nodes(p)) == 1, seconds=90)
        always.stop()
        for load in (always, many):
            load.all_well()
        wait_until("the pool to be empty", lambda: status(p)["nodes"] == 0)
        assert agents(p) == {"node-1"}
        assert p.metric("rouse_pool_steps_total", step="create") >= 3
        p.rouse("delete", "nodepool", "extra")
        assert status(p) is None


def test_no_room_anywhere_makes_a_node_and_the_request_waits_for_it():
    with small_platform() as p:
        p.apply(pool(template={"memory": "512Mi", "cpu": "2", "labels": {"size": "large"}}))
        p.apply(function("big", SLEEPER, memory="300Mi", scaling={"max": 1}))
        assert p.call("/big").status == 200    # larger than the one node there was
        assert len(ready_nodes(p)) == 2
        # What could not start again without it keeps it.
        p.api("PATCH", "/apis/rouse.dev/v1/namespaces/default/functions/big", {"spec": {"scaling": {"idleTimeout": "1s"}}},
              {"Content-Type": "application/merge-patch+json"})
        wait_until("it to sleep", lambda: not p.instances("big"), seconds=40)
        time.sleep(6)
        assert len(ready_nodes(p)) == 2
        p.delete("big")
        wait_until("one node again", lambda: agents(p) == {"node-1"}, seconds=40)


def test_a_controller_killed_in_the_middle_of_a_creation_leaves_no_orphan():
    with small_platform() as p:
        p.apply(pool(min=2))
        for k in range(4):    # at another moment each time
            wait_until("something to be made", lambda: len(json.loads((p.state / "platform.json").read_text())["nodes"]) > 1
                       or k > 0)
            time.sleep(0.05 * k)
            os.kill(p.pid("controller"), signal.SIGKILL)
            p.rouse("up", "--bridge")
        wait_until("two nodes beside the first", lambda: (status(p) or {}).get("ready") == 2, seconds=60)
        wait_until("nothing else", lambda: agents(p) == set(ready_nodes(p)) and len(agents(p)) == 3, seconds=60)
        p.rouse("delete", "nodepool", "extra")
        wait_until("the first one alone", lambda: agents(p) == {"node-1"}, seconds=60)


def test_a_controller_killed_while_a_pool_is_removed_leaves_no_orphan():
    """Its nodes are emptied first, by this controller or the next: no request fails."""
    with small_platform() as p:
        p.apply(pool(min=2))
        wait_until("two nodes beside the first", lambda: status(p)["ready"] == 2, seconds=60)
        p.apply(function("f", SLEEPER, memory="64Mi", scaling={"min": 2, "max": 2}))
        wait_until("two of them", lambda: p.ready("f") == 2, seconds=30)
        assert {i["spec"]["node"] for i in p.instances("f")} != {"node-1"}
        load = Load(p, "/f", threads=2)
        p.api("DELETE", "/apis/rouse.dev/v1/nodepools/extra")

        def emptied():
            nodes = p.api("GET", "/apis/rouse.dev/v1/nodes").json["items"]
            return any(n["spec"].get("unschedulable") for n in nodes)

        for what, phase in (("a node to be emptied", emptied), ("a node to be gone", lambda: len(agents(p)) <= 2)):
            wait_until(what, phase, seconds=30)
            os.kill(p.pid("controller"), signal.SIGKILL)
            p.rouse("up", "--bridge")
        wait_until("the first one alone", lambda: agents(p) == {"node-1"} == set(ready_nodes(p)), seconds=60)
        wait_until("the pool's end", lambda: status(p) is None)
        load.all_well()
        assert {i["spec"]["node"] for i in p.instances("f")} == {"node-1"}


def test_an_address_keeps_its_hardware():
    """Who comes and goes changes nothing for the others: where a request goes is not asked anew of a link that is gone."""
    with small_platform() as p:
        def second():
            wait_until("a second node", lambda: len(ready_nodes(p)) == 2, seconds=30)
            return hardware(p)

        p.apply(pool(min=1))
        first = second()
        p.rouse("delete", "nodepool", "extra")
        wait_until("the first one alone", lambda: agents(p) == {"node-1"}, seconds=40)
        p.apply(pool(min=3, name="other"))
        assert second() == first
        wait_until("four nodes", lambda: len(ready_nodes(p)) == 4, seconds=30)
        assert hardware(p) == first


def test_up_leaves_a_node_alone_that_is_being_deleted():
    with small_platform() as p:
        p.apply(pool(min=1))
        wait_until("a second node", lambda: len(ready_nodes(p)) == 2, seconds=30)
        name = (agents(p) - {"node-1"}).pop()
        agent = p.pid(name)
        provider = subprocess.Popen([BIN / "rouse", "node-provider", "--state", p.state], text=True,
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        os.kill(agent, signal.SIGSTOP)    # it ends when the provider stands still
        try:
            provider.stdin.write(json.dumps({"protocol": "rouse.provider.v1", "verb": "delete", "pool": "extra", "node": name}))
            provider.stdin.close()
            wait_until("its SIGTERM", lambda: int(next(
                line for line in pathlib.Path(f"/proc/{agent}/status").read_text().splitlines()
                if line.startswith("ShdPnd")).split()[1], 16) & 1 << signal.SIGTERM - 1)
            os.kill(provider.pid, signal.SIGSTOP)
        finally:
            os.kill(agent, signal.SIGCONT)
        wait_until("the agent's end", lambda: name not in agents(p))
        try:
            p.rouse("up", "--bridge")
            assert name not in agents(p)
        finally:
            os.kill(provider.pid, signal.SIGCONT)
        assert json.loads(provider.stdout.read()) == {} and provider.wait() == 0
        assert name not in agents(p)


HOOK = """\
    #!/bin/sh
    # Notes what it is asked, and has `rouse node-provider` do it.
    read -r question
    echo "$question" >>{log}
    [ -e {broken} ] && {{ echo "no credit left" >&2; exit 1; }}
    echo "$question" | {rouse} node-provider --state "$ROUSE_TEST_STATE"
    """


def test_a_hook_makes_the_nodes(tmp_path):
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    log, broken = tmp_path / "log", tmp_path / "broken"
    script = hooks / "cloud"
    with small_platform(ROUSE_NODE_HOOKS=str(hooks)) as p:
        text = HOOK.format(log=log, broken=broken, rouse=BIN / "rouse").replace("$ROUSE_TEST_STATE", str(p.state))
        script.write_text(textwrap.dedent(text))
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        broken.touch()
        hooked = pool(provider="hook", hook={"command": "cloud", "timeout": "20s"}, min=1)
        p.apply(hooked)
        condition = wait_until("the failure to be told", lambda: next(
            (c for c in (status(p) or {}).get("conditions", []) if c["type"] == "Ready" and c["status"] == "False"
             and "no credit left" in c["message"]), None))
        assert condition["reason"] in ("ProviderFailed", "BackOff")
        broken.unlink()
        wait_until("its node", lambda: status(p)["ready"] == 1, seconds=40)
        asked = [json.loads(line) for line in log.read_text().splitlines()]
        assert {q["verb"] for q in asked} >= {"list", "create"}
        create = next(q for q in asked if q["verb"] == "create")
        assert create["pool"] == "extra" and create["node"].startswith("extra-") and create["template"] == SMALL
        # Only what lies in that directory, only where there is one.
        r = p.rouse("apply", "-f", "-", input=json.dumps(pool("other", "hook", hook={"command": "../cloud"})), check=False)
        assert r.returncode and "spec.hook.command" in r.stderr
        p.rouse("delete", "nodepool", "extra")
        wait_until("the first one alone", lambda: agents(p) == {"node-1"}, seconds=40)


def test_without_hooks_they_are_refused(platform):
    r = platform.rouse("apply", "-f", "-", input=json.dumps(pool("x", "hook", hook={"command": "cloud"})), check=False)
    assert r.returncode and "--node-hooks" in r.stderr
