"""Bad input of every kind at the real sockets: an error that names what is wrong, and the platform goes on."""
import random
import socket
import subprocess

import pytest
from harness import BIN, function


def raw(address, data, timeout=15.0):
    host, port = address.rsplit("/", 1)[-1].rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=timeout) as s:
        try:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
        except OSError:
            pass    # it has hung up already; what it said is still to be read
        got = b""
        while True:
            try:
                part = s.recv(65536)
            except (ConnectionResetError, TimeoutError):
                return got
            if not part:
                return got
            got += part


def alive(platform):
    return platform.call("/nothing").status == 404 and platform.api("GET", "/readyz").status == 200


@pytest.mark.parametrize("name,data,status", [
    ("two lengths", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", b" 400 "),
    ("length and chunked", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     b" 400 "),
    ("bare LF", b"GET / HTTP/1.1\nHost: a\n\n", b" 400 "),
    ("space before colon", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", b" 400 "),
    ("no host", b"GET / HTTP/1.1\r\n\r\n", b" 400 "),
    ("NUL", b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", b" 400 "),
    ("huge header", b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 70000 + b"\r\n\r\n", b" 431 "),
    ("huge target", b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", b" 414 "),
    ("h2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b" 505 "),
    ("garbage", bytes(range(256)) * 4, b" 400 "),
    ("tls hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 32, b" 400 "),
])
@pytest.mark.parametrize("where", ["gateway", "api", "front"])
def test_http(platform, where, name, data, status):
    address = platform.gateway if where == "gateway" else platform.info[where]
    got = raw(address, data)
    assert status in got.split(b"\r\n")[0] + b" ", (name, got[:200])


def test_truncated_http_leaks_nothing(platform):
    rng = random.Random(7)
    whole = b"POST /function/default/none/ HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n" + b"x" * 20
    for _ in range(200):
        raw(platform.gateway, whole[:rng.randrange(len(whole))])
    assert alive(platform)


@pytest.mark.parametrize("patch,field", [
    ({"runtime": 3}, "spec.runtime"),
    ({"memory": "1Mi"}, "spec.memory"),
    ({"timeout": "2h"}, "spec.timeout"),
    ({"concurrency": 0}, "spec.concurrency"),
    ({"scaling": {"min": 5, "max": 2}}, "spec.scaling"),
    ({"triggers": [{"http": {"path": "no-slash"}}]}, "spec.triggers[0].http.path"),
    ({"layers": ["x"]}, "spec.layers"),
    ({"lifecycle": {"preFreeze": "a b"}}, "spec.lifecycle.preFreeze"),
    ({"lifecycle": {"preStop": "a b"}}, "spec.lifecycle.preStop"),
    ({"lifecycle": {"initializer": "a.b", "initializerTimeout": "1h"}}, "spec.lifecycle.initializerTimeout"),
    ({"bogus": 1}, "spec.bogus"),
    ({"env": [{"name": "A=B", "value": "x"}]}, "spec.env[0].name"),
    ({"code": {"inline": {"../x": "y"}}}, "spec.code.inline"),
    ({"code": {"package": "sha256:" + "0" * 64}}, "spec.code.package"),
    ({"code": {}}, "spec.code"),
])
def test_specs(platform, patch, field):
    f = function("invalid", "x = 1\n")
    f["spec"].update(patch)
    r = platform.api("POST", "/apis/rouse.dev/v1/namespaces/default/functions?fieldValidation=Strict", f)
    assert r.status in (400, 422), r
    assert field in r.json["message"], r.json["message"]
    assert platform.get("invalid") is None


@pytest.mark.parametrize("body,status", [
    (b"", 400), (b"{", 400), (b"[1]", 400), (b'{"kind":"Function"}', 400), (b"\xff\xfe", 400),
    (b"[" * 100000, 400), (b"x" * (4 << 20), 413),
])
def test_api_bodies(platform, body, status):
    r = platform.api("POST", "/apis/rouse.dev/v1/namespaces/default/functions", body)
    assert r.status == status and r.json["kind"] == "Status", r


def test_packages(platform):
    r = platform.api("PUT", "/packages/sha256:" + "0" * 64, b"not that")
    assert r.status == 400 or r.status == 422, r
    assert platform.api("GET", "/packages/sha256:" + "0" * 64).status == 404
    assert platform.api("GET", "/packages/../../etc/passwd").status == 404


def test_foreign_host_and_origin_are_refused(platform):
    assert platform.api("GET", "/apis", headers={"Host": "evil.example"}).status == 403
    assert platform.api("GET", "/apis", headers={"Origin": "http://evil.example"}).status == 403


def test_peer_port_needs_the_secret(platform):
    peer = platform.nodes[0].get("peer")
    assert peer
    assert b" 403 " in raw(peer, b"GET / HTTP/1.1\r\nHost: a\r\nRouse-Function: default/hello\r\n\r\n").split(b"\r\n")[0]


def test_control_channel_garbage(platform):
    address = platform.info["control"]
    raw(address, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    raw(address, random.Random(1).randbytes(100000))
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    upgrade = (f"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
               "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: rouse.control.v1\r\n\r\n").encode()
    raw(address, upgrade + b"\x82\xfe\xff\xff" + random.Random(2).randbytes(70000))
    assert alive(platform)


@pytest.mark.parametrize("program,args,says", [
    ("rouse-controller", ["--api-address", "nonsense", "--state", "/tmp/x"], "--api-address"),
    ("rouse-controller", ["--bogus"], "--bogus"),
    ("rouse-controller", ["--state", "/tmp/x", "--api-address", "tcp://0.0.0.0:0"], "token"),
    ("rouse-agent", ["--bogus"], "--bogus"),
    ("rouse-agent", ["--state", "/tmp/x", "--node", "Bad_Name"], "--node"),
    ("rouse-agent", ["--state", "/tmp/x", "--node", "n", "--allocatable-memory", "much"], "--allocatable-memory"),
    ("rouse", ["bogus"], "bogus"),
    ("rouse", ["up", "--port-offset", "x"], "--port-offset"),
])
def test_flags(program, args, says):
    r = subprocess.run([BIN / program, *args], text=True, capture_output=True, timeout=20)
    assert r.returncode == 2, r
    assert says in r.stderr, r.stderr


def test_help_teaches():
    for program in ("rouse", "rouse-controller", "rouse-agent"):
        r = subprocess.run([BIN / program, "--help"], text=True, capture_output=True, timeout=20)
        assert r.returncode == 0 and "--state" in r.stdout, r
