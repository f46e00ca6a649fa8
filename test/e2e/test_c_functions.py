"""The examples in C on a real platform: JSON with an initializer, and HTTP whose bodies are streams."""
import http.client
import json
import threading
import urllib.parse

import pytest
from harness import TOP, wait_until

EXAMPLES = TOP / "build/release/examples"


@pytest.fixture(scope="module")
def examples(platform):
    for name in ("json-c", "http-c"):
        platform.rouse("apply", "-f", str(EXAMPLES / name / "function.yaml"))
    return platform


def log(platform, name):
    return platform.rouse("logs", name).stdout


def invoke(platform, event):
    return platform.call("/2015-03-31/functions/json-c/invocations", method="POST", body=json.dumps(event).encode())


def test_json(examples):
    r = invoke(examples, {"numbers": [1, 2, 6], "title": "three"})
    assert r.json == {"title": "three", "sum": 9.0, "mean": 3.0}
    assert invoke(examples, {"numbers": []}).json == {"title": "untitled", "sum": 0.0, "mean": None}
    wait_until("the initializer's line", lambda: "json-c takes 1000 numbers" in log(examples, "json-c"))
    wait_until("preFreeze's line", lambda: "json-c goes to sleep" in log(examples, "json-c"))


@pytest.mark.parametrize("event, type_, message", [
    ({"numbers": [1], "title": 5}, "InvalidEvent", "title: wanted a string, found int"),
    ({"numbers": 1}, "InvalidEvent", "numbers: wanted an array"),
    ({"numbers": [1] * 1001}, "TooMany", "1001 numbers, more than 1000"),
])
def test_json_errors(examples, event, type_, message):
    assert invoke(examples, event).json["errorType"] == "Unhandled"    # the public is not told which
    wait_until("the error in the log", lambda: any(type_ in line and message in line
                                                   for line in log(examples, "json-c").splitlines()))


def connect(platform):
    return http.client.HTTPConnection(urllib.parse.urlsplit(platform.gateway).netloc, timeout=30)


def test_events_come_as_they_are_made(examples):
    c = connect(examples)
    c.request("GET", "/http/c?to=1000000")
    r = c.getresponse()
    assert (r.status, r.headers["content-type"]) == (200, "text/event-stream")
    assert [r.readline() for _ in range(4)] == [b"data: 1\n", b"\n", b"data: 2\n", b"\n"]
    r.close()
    c.close()    # the 999,998 others are not waited for: the handler is cancelled
    wait_until("the handler to notice", lambda: "nobody listens any more" in log(examples, "http-c"))


def test_both_bodies_are_streams(examples):
    c = connect(examples)
    c.putrequest("POST", "/http/c")
    c.putheader("Transfer-Encoding", "chunked")
    c.endheaders()
    c.send(b"5\r\nhello\r\n")
    r = http.client.HTTPResponse(c.sock, method="POST")
    r.begin()
    assert r.read1(5) == b"HELLO"    # while the request goes on
    part = b"x" * 65536
    size = 32 * len(part)
    sender = threading.Thread(target=lambda: [c.send(b"10000\r\n" + part + b"\r\n") for _ in range(32)] + [c.send(b"0\r\n\r\n")])
    sender.start()
    assert r.read() == b"X" * size
    sender.join()
    c.close()


def test_those_that_wait_share_an_instance(examples):
    connections = [connect(examples) for _ in range(60)]
    for c in connections:
        c.request("GET", "/http/c?to=3")
    for c in connections:
        assert c.getresponse().read() == b"data: 1\n\ndata: 2\n\ndata: 3\n\n"
        c.close()
    assert len(examples.instances("http-c")) == 1
