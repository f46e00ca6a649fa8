"""What was answered 2xx is on disk: a trace of the order, and kill -9 at random points."""
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest
from harness import Platform, function, wait_until


def test_commit_before_answer(platform):
    """strace of the controller: an fdatasync (or fsync) returns between the request's read and the 201's write."""
    if not shutil.which("strace"):
        pytest.skip("no strace on this machine")
    out = platform.state / "trace.txt"
    tracer = subprocess.Popen(["strace", "-f", "-qq", "-y", "-e", "trace=fdatasync,fsync,read,recvfrom,write,writev,sendmsg,sendto",
                               "-s", "64", "-o", str(out), "-p", str(platform.pid("controller"))], stderr=subprocess.DEVNULL)
    try:
        def applied():
            name = f"traced{time.monotonic_ns()}"
            r = platform.api("POST", "/apis/rouse.dev/v1/namespaces/default/functions", function(name, "x = 1\n"))
            assert r.status == 201
            return out.exists() and "HTTP/1.1 201" in out.read_text()
        wait_until("a traced 201", applied)
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(10)
    events = []
    for line in out.read_text().splitlines():
        if re.search(r"\bPOST /apis", line):
            events.append("request")
        elif re.search(r"\b(fdatasync|fsync)\(\d+<[^>]*(wal|db)[^>]*>|(fdatasync|fsync) resumed", line):
            events.append("sync")
        elif "HTTP/1.1 201" in line:
            events.append("answer")
    at = len(events) - 1 - events[::-1].index("answer")
    assert "sync" in events[events.index("request") if at < 2 else max(0, at - 10):at], events


def test_kill_at_random_points():
    p = Platform()
    rng = random.Random(11)
    acked = {}
    try:
        for life in range(4):
            stop = threading.Event()

            def writer(k):
                n = 0
                while not stop.is_set():
                    name = f"f{k}-{n % 20}"
                    try:
                        r = p.api("PATCH", f"/apis/rouse.dev/v1/namespaces/default/functions/{name}?fieldManager=t&force=true",
                                  function(name, f"x = {life}{n}\n"), {"Content-Type": "application/apply-patch+yaml"}, timeout=5)
                        if r.status in (200, 201):
                            acked[name] = f"x = {life}{n}\n"
                    except OSError:
                        return
                    n += 1

            threads = [threading.Thread(target=writer, args=(k,)) for k in range(3)]
            for t in threads:
                t.start()
            stop.wait(0.2 + rng.random() * 0.6)
            os.kill(p.pid("controller"), signal.SIGKILL)
            stop.set()
            for t in threads:
                t.join()
            p.rouse("up")
            for name, code in acked.items():
                f = p.get(name)
                assert f is not None, f"{name} was acknowledged and is gone"
                got = f["spec"]["code"]["inline"]["index.py"]
                assert int(got[4:]) >= 0 and (got == code or got > code or len(got) > len(code)), (name, got, code)
    finally:
        p.down()
        left = p.leftovers()
        shutil.rmtree(p.state, ignore_errors=True)
    assert acked and not left
