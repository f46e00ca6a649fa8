"""The way of a request, as a newcomer sees it: applied, woken from zero, called warm, put to sleep, deleted."""
import contextlib
import socket
import time

import pytest
from harness import EXAMPLES, function, wait_until


def test_hello_serverless(platform):
    platform.rouse("apply", "-f", str(EXAMPLES / "hello.yaml"))
    cold = platform.call("/hello/serverless")
    assert (cold.status, cold.text) == (200, "Hello Serverless")
    assert cold.headers["Content-Type"].startswith("text/plain")
    assert cold.headers["Rouse-Request-Id"]
    warm = platform.call("/hello/serverless")
    assert (warm.status, warm.text) == (200, "Hello Serverless")
    assert warm.headers["Rouse-Request-Id"] != cold.headers["Rouse-Request-Id"]
    assert len(platform.instances("hello")) == 1
    assert platform.metric("rouse_cold_starts_total", node=0) == 1


def test_by_function_path_and_front(platform):
    assert platform.call("/function/default/hello/").text == "Hello Serverless"
    assert platform.front("/hello/serverless").text == "Hello Serverless"


def test_unknown_path_and_method(platform):
    r = platform.call("/nothing/here")
    assert r.status == 404 and r.json["reason"] == "NotFound" and r.json["requestId"] == r.headers["Rouse-Request-Id"]
    r = platform.call("/hello/serverless", method="POST", body=b"{}")
    assert r.status == 405 and r.headers["Allow"] == "GET"
    assert platform.front("/nothing/here").status == 404


def test_sleeps_and_wakes(platform):
    platform.apply(function("sleepy", "def handler(e, c):\n    return 'awake'\n", scaling={"idleTimeout": "1s"}))
    assert platform.call("/sleepy").text == "awake"
    wait_until("no instance of sleepy", lambda: not platform.instances("sleepy"), seconds=30)
    f = platform.get("sleepy")
    assert f["status"]["instances"] == 0 and f["status"]["readyInstances"] == 0
    ready = [c for c in f["status"]["conditions"] if c["type"] == "Ready"][0]
    assert ready["status"] == "True"
    assert platform.call("/sleepy").text == "awake"


def test_calls_one_after_the_other_have_one_instance(platform):
    for _ in range(3):
        platform.apply(function("alone", "def handler(e, c):\n    return 'ok'\n"))
        for _ in range(8):
            assert platform.call("/alone").text == "ok"
            time.sleep(0.015)  # what a person's next command takes: within a lease, and after half of it
        assert len(platform.instances("alone")) == 1
        platform.delete("alone")
        wait_until("the instance has gone", lambda: not platform.instances("alone"))


def test_read_your_writes(platform):
    for i in range(10):
        platform.apply(function("ryw", f"def handler(e, c):\n    return 'v{i}'\n", path=f"/ryw/{i}"))
        assert platform.call(f"/ryw/{i}").text == f"v{i}"
        platform.delete("ryw")
        assert platform.call(f"/ryw/{i}").status == 404


def test_scales_with_load_and_back(platform):
    import threading
    platform.apply(function("slow", "import time\ndef handler(e, c):\n    time.sleep(0.5)\n    return 'ok'\n",
                            scaling={"max": 8, "idleTimeout": "1s"}))
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(platform.call("/slow"))) for _ in range(16)]
    began = time.monotonic()
    for t in threads:
        t.start()
    seen = 0
    while any(t.is_alive() for t in threads):
        seen = max(seen, len(platform.instances("slow")))
        time.sleep(0.02)
    assert [a.status for a in answers] == [200] * 16, answers
    assert 2 <= seen <= 8, f"{seen} instances in {time.monotonic() - began} s"
    wait_until("slow at zero", lambda: not platform.instances("slow"), seconds=40)


def test_max_reached_queues_and_refuses_nothing(platform):
    import concurrent.futures
    platform.apply(function("one", "import time\ndef handler(e, c):\n    time.sleep(0.05)\n    return 'ok'\n",
                            scaling={"max": 1}))
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: platform.call("/one").status, range(40)))
    assert answers == [200] * 40
    assert len(platform.instances("one")) == 1


def test_nothing_overtakes_where_the_activator_comes_and_goes(platform):
    """One instance, one at a time; requests from zero, in a burst, ever fewer, warm, and in a burst again: each is
    answered, and in the order in which they came."""
    platform.apply(function("fifo", """\
        import itertools, time
        count = itertools.count()
        def handler(e, c):
            time.sleep(float(e["rawQueryString"]))
            return str(next(count))
        """, scaling={"max": 1}))
    host, port = platform.gateway.rsplit("/", 1)[-1].split(":")
    burst, thin, warm = [0.002] * 60, [0.002] * 60, [0] * 20
    lines = []
    tickets = platform.metric("rouse_gateway_tickets_submitted_total", node=0)
    with contextlib.ExitStack() as sockets:
        for round_ in (burst, thin, warm, burst, warm):
            for took in round_:
                s = sockets.enter_context(socket.create_connection((host, int(port))))
                s.settimeout(40)
                s.sendall(f"GET /fifo?{took} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                lines.append(s)
                if round_ is thin:
                    time.sleep(0.003)    # slower than they are served: the queue becomes empty
            if round_ is warm:
                lines[-1].recv(1, socket.MSG_PEEK)    # answered: nobody waits
        answers = [s.makefile("rb").read().decode() for s in lines]
    assert [a.split(" ", 2)[1] for a in answers] == ["200"] * len(answers)
    assert [int(a.rsplit("\r\n\r\n", 1)[1]) for a in answers] == list(range(len(answers)))
    assert platform.metric("rouse_gateway_tickets_submitted_total", node=0) > tickets


def test_a_client_that_leaves_frees_its_ticket(platform):
    platform.apply(function("busy", "import time\ndef handler(e, c):\n    time.sleep(20)\n", timeout="30s", scaling={"max": 1}))
    host, port = platform.gateway.rsplit("/", 1)[-1].split(":")
    head = b"POST /busy HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000
    with contextlib.ExitStack() as sockets:
        def call():
            s = sockets.enter_context(socket.create_connection((host, int(port))))
            s.sendall(head)
            return s
        running = call()
        wait_until("it runs", lambda: platform.ready("busy") == 1 and platform.metric("rouse_activator_tickets") == 0)
        waiting = [call() for _ in range(3)]
        wait_until("three wait", lambda: platform.metric("rouse_activator_tickets") == 3)
        assert platform.metric("rouse_activator_held_bytes") > 3 * 5000
        for s in waiting:
            s.close()
        wait_until("nobody waits", lambda: platform.metric("rouse_activator_tickets") == 0)
        assert platform.metric("rouse_activator_held_bytes") == 0
        running.setblocking(False)
        with pytest.raises(BlockingIOError):    # the slot was never free
            running.recv(1)
    platform.delete("busy")


def test_get_and_status_print(platform):
    rows = [line.split() for line in platform.rouse("get", "functions").stdout.splitlines()]
    assert rows[0][:3] == ["NAME", "READY", "INSTANCES"]
    assert ["hello", "True"] in [r[:2] for r in rows[1:]], rows
    wait_until("the event of a start", lambda: "ScaledUp" in platform.rouse("get", "events").stdout)
    name = platform.rouse("get", "events", "-o", "name").stdout.splitlines()[0]
    assert name.startswith("event/") and platform.rouse("get", "ev", name.split("/")[1]).stdout
    status = platform.rouse("status").stdout
    assert str(platform.pid("controller")) in status and platform.gateway in status, status
