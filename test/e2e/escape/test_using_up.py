"""Using up what all share: each attempt ends at the attacker's own limit. And what the neighbour feels of it."""
import ctypes
import json
import os
import pathlib
import resource
import time

import pytest
from harness import function, wait_until
from victims import agent_memory

HERE = pathlib.Path(__file__).parent


@pytest.mark.parametrize("what,least,most,error", [
    ("processes", 100, 256, "EAGAIN"),
    ("threads", 100, 256, "EAGAIN"),
    ("descriptors", 1000, 65536, "EMFILE"),
    ("pipes", 400, 1024, "EMFILE"),
    ("tmp", 60, 65, "ENOSPC"),
    ("shm", 60, 65, "ENOSPC"),
    ("names", 60000, 65536, "ENOSPC"),
    ("names in shm", 4000, 4096, "ENOSPC"),
    ("queues", 1000, 32000, "ENOSPC"),
])
def test_bombs(attack, what, least, most, error):
    n, stopped_by = attack("bombs", what).json
    assert stopped_by == error and least <= n <= most, (n, stopped_by)


def test_what_the_kernel_counts_by_user(platform, attack):
    """Inotify instances and message queues are counted for the maker of a user namespace too: one must not have another's share."""
    free = ctypes.CDLL(None, use_errno=True)
    (watchers, why), (queues, why_no_queue) = attack("watchers", False).json
    assert why == "EMFILE" and watchers <= 128 and why_no_queue in ("EMFILE", "ENOSPC") and queues > 1
    try:
        platform.apply(function("other", (HERE / "attacker.py").read_text(), timeout="20s"))
        seen = platform.call("/other", method="POST", body=json.dumps(["watchers", False]).encode()).json
        assert seen == [[watchers, "EMFILE"], [queues, why_no_queue]]
        mine = free.inotify_init1(0)
        assert mine >= 0, "none is left for the node's own programs"
        os.close(mine)
    finally:
        attack("watchers", True)
        platform.delete("other")


def test_memory(attack):
    r = attack("memory", alone="memory")
    assert (r.status, r.json["reason"]) == (502, "OOMKilled"), r


def test_kernel_memory_of_sockets(attack):
    """Without a limit 400 connections that nobody reads take some 300 MiB, outside of every account."""
    assert attack("socket_memory").json < 160 << 20


def test_kernel_memory_of_datagrams(attack):
    """3,000 sockets that nobody reads could hold 600 MiB of what all of the node's UDP shares."""
    assert attack("datagrams").json * resource.getpagesize() < 160 << 20


def test_the_connection_table_is_shared(attack):
    count = pathlib.Path("/proc/sys/net/netfilter/nf_conntrack_count")
    if not count.exists():
        pytest.skip("no connection tracking here")
    before = int(count.read_text())
    assert attack("flows", 30000).json > 20000
    assert int(count.read_text()) - before < 10000


def log_sizes(platform):
    return sum(f.stat().st_size for f in platform.state.glob("agents/*/logs/default.inside.log*"))


def test_logs_at_full_speed(platform, attack):
    before = agent_memory(platform, anew=True)
    written = attack("shout", 2).json
    # A burst, a little more, and what the pipe holds: it waits in write(2) meanwhile.
    assert written < 1 << 20
    assert agent_memory(platform) - before < 32
    wait_until("the logs to be written", lambda: log_sizes(platform))
    assert log_sizes(platform) < 21 << 20


def test_answers_of_many_values(platform, attack):
    before = agent_memory(platform, anew=True)
    r = attack("many_values", 1500000)
    assert r.status == 502 and r.json["reason"] == "InvalidAnswer" and "values" in r.json["message"], r
    assert agent_memory(platform) - before < 48
    event = b"[" + b"0," * 2000000 + b"0]"
    r = platform.call("/2015-03-31/functions/neighbour/invocations", method="POST", body=event)
    assert r.status == 200, r
    assert agent_memory(platform) - before < 80


NOISE = {"nothing": None, "cpu": ("burn", 2), "forks": ("fork_storm", 2), "memory": ("churn_memory", 2), "disk": ("churn_disk", 2),
         "logs": ("shout", 2), "sockets": ("socket_memory", None)}


def test_beside_a_noisy_one(platform, attack, neighbour, capsys, together):
    """Only that the neighbour is answered, and rightly; how late it is depends on the machine, and is printed."""
    address = neighbour()
    for what, call in NOISE.items():
        noise = together(platform.call, "/inside", method="POST", body=json.dumps(call).encode()) if call else None
        took = []
        while len(took) < 60 or (noise and not noise.done()):
            began = time.monotonic()
            r = platform.call("/neighbour")
            took.append((time.monotonic() - began) * 1e3)
            assert (r.status, r.text) == (200, address), r
            time.sleep(0.01)
        assert not noise or noise.result().status == 200, (what, noise.result())
        took.sort()
        with capsys.disabled():
            print()
            for name, value in (("p50", took[len(took) // 2]), ("p99", took[len(took) * 99 // 100])):
                print(f"bench neighbour_beside_{what}_{name} {value:.2f} ms")
