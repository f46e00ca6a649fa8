"""Every runtime with a real function, and every way in which a function can go wrong."""
import json
import re

import pytest
from harness import EXAMPLES, TOP, function, wait_until


def test_node(platform):
    platform.apply(function("njs", "exports.handler = async (event, context) => ({statusCode: 201, "
                            "headers: {'x-who': 'node'}, body: event.rawPath + '?' + event.rawQueryString});\n",
                            runtime="nodejs"))
    r = platform.call("/njs?a=1&b=%20x")
    assert (r.status, r.text, r.headers["x-who"]) == (201, "/njs?a=1&b=%20x", "node")


def test_c_sdk(platform):
    platform.rouse("apply", "-f", str(TOP / "build/release/examples/hello-c/function.yaml"))
    manifest = platform.get("hello-c")
    path = manifest["spec"]["triggers"][0]["http"]["path"]
    r = platform.call(path, method="POST", body=b"Hello C")
    assert r.status == 200 and r.json["body"] == "Hello C"


def test_shell_bootstrap_with_the_lambda_api(platform):
    platform.rouse("apply", "-f", str(EXAMPLES / "hello-lambda/function.yaml"))
    path = platform.get("hello-lambda")["spec"]["triggers"][0]["http"]["path"]
    first = platform.call(path)
    assert first.status == 200, first
    assert platform.call(path).status == 200


ECHO = """
import base64, json
def handler(event, context):
    return event
"""


def test_event_shape(platform):
    platform.apply(function("echo", ECHO))
    r = platform.call("/echo?x=1&y=2&x=3", method="POST", body="häß".encode(),
                      headers={"X-Test": "a", "Cookie": "k=v; l=w", "Content-Type": "text/plain", "Traceparent": "junk"})
    e = r.json
    assert e["version"] == "2.0" and e["rawPath"] == "/echo" and e["rawQueryString"] == "x=1&y=2&x=3"
    assert e["queryStringParameters"] == {"x": "1,3", "y": "2"}
    assert e["headers"]["x-test"] == "a" and e["cookies"] == ["k=v", "l=w"]
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", e["headers"]["traceparent"]), "not the client's junk"
    assert e["body"] == "häß" and e["isBase64Encoded"] is False
    http = e["requestContext"]["http"]
    assert http["method"] == "POST" and http["path"] == "/echo" and http["sourceIp"]
    assert e["requestContext"]["requestId"] == r.headers["Rouse-Request-Id"]
    binary = platform.call("/echo", method="POST", body=b"\xff\x00\x01").json
    assert binary["isBase64Encoded"] is True and binary["body"] == "/wAB"


RESULTS = """
def handler(event, context):
    what = event["rawQueryString"]
    return {"text": "a string", "bytes": b"\\x00\\xff", "json": {"a": [1, None]}, "none": None, "number": 3,
            "answer": {"statusCode": 418, "headers": {"x-a": "b"}, "cookies": ["c=d"], "body": "tea"},
            "b64": {"statusCode": 200, "body": "AP8=", "isBase64Encoded": True},
            "badstatus": {"statusCode": 9000}, "badheader": {"statusCode": 200, "headers": {"x": "a\\r\\nb: c"}}}[what]
"""


@pytest.mark.parametrize("what,status,ctype,body", [
    ("text", 200, "text/plain", b"a string"),
    ("bytes", 200, "application/octet-stream", b"\x00\xff"),
    ("json", 200, "application/json", b'{"a":[1,null]}'),
    ("none", 200, "application/json", b"null"),
    ("number", 200, "application/json", b"3"),
    ("answer", 418, None, b"tea"),
    ("b64", 200, None, b"\x00\xff"),
    ("badstatus", 502, "application/json", None),
    ("badheader", 502, "application/json", None),
])
def test_results(platform, what, status, ctype, body):
    if what == "text":
        platform.apply(function("results", RESULTS))
    r = platform.call(f"/results?{what}")
    assert r.status == status, r
    if ctype:
        assert r.headers["Content-Type"].startswith(ctype)
    if body is not None:
        assert (json.loads(r.body) == json.loads(body)) if what == "json" else r.body == body
    if what == "answer":
        assert r.headers["x-a"] == "b" and r.headers["Set-Cookie"] == "c=d"
    if what == "badheader":
        assert "b" not in r.headers


BAD = """
import os, sys, time
def handler(event, context):
    what = event["rawQueryString"]
    print("doing", what, flush=True)
    if what == "raise": raise ValueError("no such thing")
    if what == "exit": os._exit(3)
    if what == "segv": os.kill(os.getpid(), 11)
    if what == "oom":
        hold = []
        while True: hold.append(bytearray(8 << 20))
    if what == "spin":
        while True: pass
    if what == "sleep": time.sleep(30)
    return "fine"
"""


@pytest.mark.parametrize("what,status,reason", [
    ("raise", 502, "FunctionError"),
    ("exit", 502, "InstanceLost"),
    ("segv", 502, "InstanceLost"),
    ("oom", 502, "OOMKilled"),
    ("spin", 504, "Timeout"),
    ("sleep", 504, "Timeout"),
])
def test_failures(platform, what, status, reason):
    if what == "raise":
        platform.apply(function("bad", BAD, timeout="2s", memory="64Mi"))
    r = platform.call(f"/bad?{what}")
    assert r.status == status, r
    assert r.json["reason"] == reason and r.json["requestId"] == r.headers["Rouse-Request-Id"]
    assert platform.call("/bad?fine").text == "fine"
    log = wait_until("the line in the log", lambda: [x for x in platform.rouse("logs", "bad").stdout.splitlines()
                                                      if f"doing {what}" in x])
    assert r.headers["Rouse-Request-Id"] in log[-1]


def test_init_failure_answers_quickly(platform):
    platform.apply(function("broken", "def handler(:\n"))
    r = platform.call("/broken", timeout=20)
    assert r.status in (502, 503), r
    assert "Init" in r.json["reason"] or "Crash" in r.json["reason"], r
    degraded = wait_until("Degraded", lambda: [c for c in platform.get("broken")["status"]["conditions"]
                                               if c["type"] == "Degraded" and c["status"] == "True"])
    assert "SyntaxError" in degraded[0]["message"]


def test_bodies_up_to_the_limit(platform):
    platform.apply(function("size", "def handler(e, c):\n    return 'x' * (len(e['body']) if 'body' in e else 0)\n",
                            memory="512Mi", timeout="20s"))
    big = b"a" * (6 << 20)
    r = platform.call("/size", method="POST", body=big, headers={"Content-Type": "text/plain"})
    assert r.status == 200 and len(r.body) == 6 << 20
    r = platform.call("/size", method="POST", body=big + b"a")
    assert r.status == 413 and f"limit: {len(big)} bytes" in r.json["message"], r


def test_concurrency_in_one_instance(platform):
    import concurrent.futures
    platform.apply(function("many", "exports.handler = async () => { await new Promise(r => setTimeout(r, 200)); "
                            "return 'ok'; };\n", runtime="nodejs", concurrency=20, scaling={"max": 1}))
    assert platform.call("/many").status == 200
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        assert set(pool.map(lambda _: platform.call("/many").status, range(20))) == {200}
    assert len(platform.instances("many")) == 1


def test_environment_and_identity(platform):
    code = """
    import os, socket
    def handler(event, context):
        return {"uid": os.getuid(), "pid": os.getpid() < 10, "greeting": os.environ.get("GREETING"),
                "name": context.function_name, "memory": context.memory_limit_in_mb,
                "remaining": 0 < context.get_remaining_time_in_millis() <= 3000,
                "root": sorted(os.listdir("/")), "sys": os.listdir("/sys"), "writable": os.access("/var/task", os.W_OK),
                "tmp": os.access("/tmp", os.W_OK)}
    """
    platform.apply(function("who", code, env=[{"name": "GREETING", "value": "hi"}]))
    r = platform.call("/who").json
    assert r["uid"] != 0 and r["pid"] and r["greeting"] == "hi" and r["name"] == "who"
    assert int(r["memory"]) == 128 and r["remaining"] and r["tmp"] and not r["writable"]
    assert "home" not in r["root"] and r["sys"] == []


def test_invoke_and_logs(platform):
    platform.apply(function("inv", "def handler(e, c):\n    print('got', e)\n    return {'sum': e['a'] + e['b']}\n"))
    r = platform.rouse("invoke", "inv", "-d", '{"a": 2, "b": 3}')
    assert json.loads(r.stdout) == {"sum": 5}
    assert "got {'a': 2, 'b': 3}" in wait_until("log", lambda: platform.rouse("logs", "inv").stdout)
    bad = platform.rouse("invoke", "nosuch", check=False)
    assert bad.returncode == 1 and "NotFound" in bad.stderr
