"""The sockets around a box: the agent's, which it speaks to, and everybody else's, which it does not reach."""
import socket
import subprocess

import pytest
from harness import function, wait_until
from victims import agent_memory, instance_processes


def test_network(platform, attack, neighbour):
    address = neighbour()
    ports = [int(a.rsplit(":", 1)[1]) for a in [platform.info[k] for k in ("api", "front", "control")] +
             [platform.nodes[0][k] for k in ("gateway", "peer", "metrics")]]
    with socket.create_server(("0.0.0.0", 0)) as open_to_all:
        port = open_to_all.getsockname()[1]
        own = subprocess.run(["hostname", "-I"], text=True, capture_output=True).stdout.split()
        targets = [(None, p) for p in [port, *ports]]                                # the node's end of the link
        targets += [(a, port) for a in own if "." in a]                              # the node's other addresses
        targets += [(address, 4444), ("169.254.169.254", 80), ("100.100.100.200", 80)]
        seen = attack("connect", targets).json
    # Dropped, not answered: nothing tells what is there.
    assert set(seen.values()) == {"TimeoutError"}, seen
    assert len(seen) == len(set(targets))
    assert attack("connect", [("127.0.0.1", p) for p in ports]).json.popitem()[1] == "ConnectionRefusedError"


@pytest.mark.parametrize("what,status,reason,says", [
    ("garbage", 502, "InstanceLost", "frame"),
    ("huge", 502, "InstanceLost", "a frame over"),
    ("stranger", 502, "InstanceLost", "which awaits none"),
    ("body", 502, "InstanceLost", "no open body"),
    ("invoke", 502, "InstanceLost", "INVOKE from a runtime"),
    ("hello", 502, "InstanceLost", "a second HELLO"),
    ("endless", 504, "Timeout", "timed out"),
    ("lines", 504, "Timeout", "timed out"),
    ("silence", 504, "Timeout", "timed out"),
])
def test_frames(platform, attack, what, status, reason, says):
    before = agent_memory(platform, anew=True)
    r = attack("frames", what, alone=what)
    assert (r.status, r.json["reason"]) == (status, reason) and says in r.json["message"], r
    assert agent_memory(platform) - before < 48


@pytest.mark.parametrize("hello", [{}, {"protocol": 1}, {"protocol": 1, "parked": True}, {"protocol": 1, "fork": 1}],
                         ids=["empty", "plain", "parked", "fork"])
def test_a_second_runtime(attack, hello):
    """The socket takes one runtime: another connection from the box learns nothing, and the first is served on."""
    how, said = attack("second_runtime", hello).json
    assert how in ("closed", "silent", "ECONNRESET", "EPIPE", "ECONNREFUSED", "EAGAIN") and said == 0, (how, said)
    assert attack("status").status == 200


def test_what_stays_behind_ends_with_the_instance(platform, attack):
    r = attack("background", alone="background")
    assert r.status == 502 and r.json["reason"] == "InstanceLost", r
    platform.delete("lone-background")
    wait_until("its processes to go", lambda: not instance_processes("lone-background"))


LAMBDA = r"""#!/bin/bash
{hostile}
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
while true; do
  curl -sS -o /tmp/event -D /tmp/head "$api/invocation/next" || exit 7
  id=$(sed -n 's/\r$//; s/^[Ll]ambda-[Rr]untime-[Aa]ws-[Rr]equest-[Ii]d: *//p' /tmp/head)
  curl -sS -o /dev/null -X POST "$api/invocation/$id/response" -d '"served"'
done
"""
HOLD = r"""
hold() {
  exec {fd}<>/dev/tcp/127.0.0.1/9001
  (printf "$1"; head -c "$2" /dev/zero | tr '\0' x) >&$fd &
  fds+=("$fd")
}
let_go() {
  sleep 1
  kill $(jobs -p)
  for fd in "${fds[@]}"; do exec {fd}>&-; done
}
"""
POSTS = HOLD + r"""
P='POST /2018-06-01/runtime'
H='HTTP/1.1\r\nHost: a\r\nContent-Length: 6000000\r\n\r\n'
for i in {1..30}; do hold "$P/invocation/stranger/response $H" 5900000; done
for i in {1..30}; do hold "$P/init/error $H" 900000; done
let_go
"""
HEADS = HOLD + r"""
for i in {1..60}; do hold 'GET / HTTP/1.1\r\nHost: a\r\nX: ' 60000; done
let_go
"""


@pytest.mark.parametrize("name,hostile", [
    ("posts", POSTS),
    ("heads", HEADS),
    ("closes-its-outputs", "exec >/dev/null 2>&1"),
    ("ignores-sigterm", "trap '' TERM; setsid sleep 1000 &"),
], ids=["posts", "heads", "closes-its-outputs", "ignores-sigterm"])
def test_lambda_api(platform, tmp_path, name, hostile):
    bootstrap = tmp_path / "bootstrap"
    bootstrap.write_text(LAMBDA.replace("{hostile}", hostile))
    bootstrap.chmod(0o755)
    before = agent_memory(platform, anew=True)
    platform.apply(function(name, code={"path": str(tmp_path)}, runtime="provided", timeout="20s"))
    for _ in range(2):
        r = platform.call(f"/{name}")
        assert (r.status, r.text) == (200, "served"), r
    assert agent_memory(platform) - before < 48
    assert instance_processes(name)
    platform.delete(name)
    wait_until("its processes to go", lambda: not instance_processes(name))
