"""What was answered 2xx is on disk: a trace of the order, and kill -9 at random points."""
import contextlib
import http.client
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import threading
import time

import pytest
from harness import Platform, function, wait_until


@pytest.fixture
def on_epoll(monkeypatch):
    """What a ring reads and writes is no system call that strace could show."""
    monkeypatch.setenv("ROUSE_REACTOR", "epoll")
    p = Platform()
    yield p
    p.down()
    shutil.rmtree(p.state, ignore_errors=True)


def test_commit_before_answer(on_epoll):
    """strace of the controller: an fdatasync (or fsync) returns between the request's read and the 201's write."""
    if not shutil.which("strace"):
        pytest.skip("no strace on this machine")
    out = on_epoll.state / "trace.txt"
    tracer = subprocess.Popen(["strace", "-f", "-qq", "-y", "-e", "trace=fdatasync,fsync,read,recvfrom,write,writev,sendmsg,sendto",
                               "-s", "64", "-o", str(out), "-p", str(on_epoll.pid("controller"))], stderr=subprocess.DEVNULL)
    try:
        def applied():
            name = f"traced{time.monotonic_ns()}"
            r = on_epoll.api("POST", "/apis/rouse.dev/v1/namespaces/default/functions", function(name, "x = 1\n"))
            assert r.status == 201
            return out.exists() and out.read_text().count("HTTP/1.1 201") >= 5
        wait_until("five traced 201s", applied)
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(10)
    # Requests come one after the other: each that was read and answered within the trace needs a sync of the
    # database of its own in between (a package's file does not count). A sync may return in a line of its own.
    windows, synced, syncing = [], None, set()
    for line in out.read_text().splitlines():
        pid = line.split()[0]
        if re.search(r"\bPOST /apis", line):
            synced = False
        elif re.search(r"\bf(data)?sync\(\d+<[^>]*store\.db[^>]*>", line):
            if "unfinished" in line:
                syncing.add(pid)
            elif synced is not None:
                synced = True
        elif re.search(r"f(data)?sync resumed", line) and pid in syncing:
            syncing.discard(pid)
            if synced is not None:
                synced = True
        elif "HTTP/1.1 201" in line and synced is not None:
            windows.append(synced)
            synced = None
    assert windows and all(windows), windows


def test_kill_at_random_points():
    p = Platform()
    rng = random.Random(11)
    sent, acked = {}, {}    # function -> version, which only grows
    try:
        for life in range(4):
            stop = threading.Event()

            def writer(k, first=life * 1000000):
                n = 0
                while not stop.is_set():
                    name, version = f"f{k}-{n % 20}", first + n
                    sent[name] = version
                    try:
                        r = p.api("PATCH", f"/apis/rouse.dev/v1/namespaces/default/functions/{name}?fieldManager=t&force=true",
                                  function(name, f"x = {version}\n"), {"Content-Type": "application/apply-patch+yaml"}, timeout=5)
                        if r.status in (200, 201):
                            acked[name] = version
                    except (OSError, http.client.HTTPException):
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
            for name, version in acked.items():
                f = p.get(name)
                assert f is not None, f"{name} was acknowledged and is gone"
                got = int(f["spec"]["code"]["inline"]["index.py"].removeprefix("x = "))
                # What was acknowledged, or the one write that was on its way when the controller died.
                assert got in (version, sent[name]), (life, name, got, version, sent[name])
                acked[name] = got
    finally:
        p.down()
        left = p.leftovers()
        shutil.rmtree(p.state, ignore_errors=True)
    assert acked and not left


def histories(p):
    with contextlib.closing(sqlite3.connect(f"file:{p.state}/controller/store.db?mode=ro", uri=True)) as db:
        (table,) = [name for (name,) in db.execute("select name from sqlite_master where type = 'table'")
                    if any(c[1] == "kind" for c in db.execute(f"pragma table_info({name})"))]
        return dict(db.execute(f"select key, json from {table} where kind = 'History'"))


def test_idle_times_outlive_the_controller():
    """What spec.scaling.predictive has learned is on disk when the controller has ended, and goes with the function."""
    p = Platform()
    try:
        p.apply(function("learned", "def handler(e, c):\n    return 'ok'\n", scaling={"predictive": True, "idleTimeout": "3s"}))
        for _ in range(2):
            assert p.call("/learned").status == 200
            wait_until("it to sleep", lambda: not p.instances("learned"), seconds=40)
        offset = str(p.info["api"].rsplit(":", 1)[1])
        p.down()
        assert histories(p) == {"default/learned": '{"beyond":0,"minutes":{"0":1}}'}
        p.rouse("up", "--nodes", "1", "--port-offset", str(int(offset) - 7080))
        assert p.call("/learned").status == 200
        p.down()
        assert histories(p) == {"default/learned": '{"beyond":0,"minutes":{"0":1}}'}  # of another life's call nothing is known
        p.rouse("up", "--nodes", "1", "--port-offset", str(int(offset) - 7080))
        p.delete("learned")
        wait_until("it to be gone", lambda: p.get("learned") is None)
        p.down()
        assert histories(p) == {}
    finally:
        p.down()
        shutil.rmtree(p.state, ignore_errors=True)
