"""Functions that take HTTP over frames: bodies streamed both ways, on one node and through another."""
import json
import socket
import subprocess
import threading

import pytest
from harness import TOP, function, wait_until

SOURCE = TOP / "test/e2e/http_runtime.c"
LIBS = [TOP / f"build/release/lib/runtime-sdk/{name}.a" for name in ("wire", "base")]


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory):
    out = tmp_path_factory.mktemp("http") / "bootstrap"
    subprocess.run(["cc", "-O1", "-std=gnu17", "-D_GNU_SOURCE", "-static", f"-I{TOP}/runtime-sdk", "-o", out, SOURCE,
                    *LIBS], check=True)
    return out


def deploy(platform, bootstrap, name, **spec):
    """The program as a function of the path /NAME/*; `path` is what a client asks for."""
    f = function(name, {"path": str(bootstrap.parent)}, path=f"/{name}/*", runtime="provided", handler="x.y", **spec)
    manifest = bootstrap.parent / f"{name}.yaml"
    manifest.write_text(json.dumps(f))
    platform.rouse("apply", "-f", str(manifest))
    return f"/function/default/{name}"


class Client:
    """A connection by hand: requests in pieces, answers as they come."""

    def __init__(self, address, head):
        host, port = address.rsplit("/", 1)[-1].rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=40)
        self.socket.sendall(head)
        self.got = bytearray()

    def send(self, data):
        self.socket.sendall(data)

    def until(self, text):
        while text not in self.got:
            data = self.socket.recv(65536)
            assert data, f"the end instead of {text!r}: {bytes(self.got[-300:])!r}"
            self.got += data
        return self.got

    def rest(self):
        """To the connection's end, however it came."""
        try:
            while data := self.socket.recv(65536):
                self.got += data
        except ConnectionResetError:
            pass
        return self.got

    def close(self):
        self.socket.close()


def head_of(method, path, *headers):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: rouse.test", *headers, "", ""]).encode()


@pytest.fixture(scope="module")
def base(platform, bootstrap):
    return deploy(platform, bootstrap, "streams", concurrency=8, timeout="60s")


def test_the_head(platform, base):
    r = platform.call(base + "/head?a=1&b=%20", headers={"X-Who": "me", "Rouse-Trusted": "1"})
    h = r.json
    assert r.headers["Rouse-Request-Id"]
    assert (h["method"], h["path"], h["query"], h["scheme"], h["routeKey"]) == \
        ("GET", "/head", "a=1&b=%20", "http", "$default")
    assert ["x-who", "me"] in h["headers"] and not [n for n, _ in h["headers"] if n.startswith("rouse-")]
    assert h["sourceIp"] == "127.0.0.1"
    assert platform.call("/streams/x").status == 404, "the trigger's path is the function's"


def echo(address, path):
    """Each part is back before the next one is sent."""
    c = Client(address, head_of("POST", path, "Transfer-Encoding: chunked", "Trailer: X"))
    c.until(b"HTTP/1.1 200 OK\r\n")
    for part in (b"one", b"two", b"x" * 30000 + b"end"):
        c.send(b"%x\r\n%s\r\n" % (len(part), part))
        c.until(part[-3:])
    c.send(b"0\r\nX: dropped\r\n\r\n")
    got = c.until(b"\r\n0\r\n\r\n")
    assert got.count(b"x-mine:") == 2 and b"Transfer-Encoding: chunked" in got and b"dropped" not in got
    c.close()


def leave(address, base):
    """In the middle of both bodies."""
    c = Client(address, head_of("POST", base + "/echo", "Transfer-Encoding: chunked"))
    c.send(b"3\r\nabc\r\n")
    c.until(b"abc")
    c.close()


def test_echo_as_it_comes(platform, base):
    echo(platform.gateway, base + "/echo")


def test_expect_continue_and_http10(platform, base):
    c = Client(platform.gateway, head_of("POST", base + "/sink", "Content-Length: 5", "Expect: 100-continue"))
    c.until(b"HTTP/1.1 100 Continue\r\n\r\n")
    c.send(b"12345")
    c.until(b"\r\n1\r\n5\r\n")
    c.close()
    c = Client(platform.gateway, f"GET {base}/sink HTTP/1.0\r\nHost: h\r\n\r\n".encode())
    assert c.rest().endswith(b"\r\n\r\n0")
    c = Client(platform.gateway, head_of("HEAD", base + "/big", "Connection: close"))
    got = c.rest()
    assert b"Content-Length: 67108864\r\n" in got and got.endswith(b"\r\n\r\n")


def test_large_bodies(platform, base):
    def big():
        r = platform.call(base + "/big")
        assert r.status == 200 and len(r.body) == 64 << 20
    threads = [threading.Thread(target=big) for _ in range(3)]
    for t in threads:
        t.start()
    assert platform.call(base + "/sink", method="POST", body=b"x" * (5 << 20)).text == str(5 << 20)
    for t in threads:
        t.join()


def test_direct_calls(platform, base):
    assert platform.rouse("invoke", "streams", "-d", '{"a":1}').stdout.strip() == '{"a":1}'


def is_broken(got):
    """Cut; or a 502, where the error overtook the head, which then was never sent."""
    return got.startswith(b"HTTP/1.1 502") or not got.endswith(b"0\r\n\r\n")


def test_an_error_in_the_middle_cuts(platform, base):
    c = Client(platform.gateway, head_of("GET", base + "/fail", "Connection: close"))
    assert is_broken(c.rest())
    wait_until("the error in the log", lambda: "Broken: in the middle" in platform.rouse("logs", "streams").stdout)


def test_a_client_that_leaves_is_told(platform, base):
    before = int(platform.call(base + "/cancels").text)
    leave(platform.gateway, base)
    wait_until("CANCEL", lambda: int(platform.call(base + "/cancels").text) == before + 1)


@pytest.mark.parametrize("how", ["crash", "kill"])
def test_what_runs_beside_a_crash(platform, base, how):
    """Those that wait have their answer at once, not at their time-out of a minute."""
    waiting = [Client(platform.gateway, head_of("GET", base + "/wait")) for _ in range(5)]
    c = Client(platform.gateway, head_of("POST", base + "/echo", "Content-Length: 10"))
    c.send(b"abc")
    c.until(b"abc")
    r = platform.call(f"{base}/{how}")
    assert r.status == 502 and r.json["reason"] == ("FunctionError" if how == "crash" else "InstanceLost"), r
    for w in waiting:
        assert b"InstanceLost" in w.until(b"\r\n\r\n{") + w.until(b"}")
        w.close()
    assert not c.rest().endswith(b"0\r\n\r\n"), "cut, not ended"
    assert platform.call(base + "/cancels").text == "0", "a new instance serves"


def test_hooks_of_a_program(platform, bootstrap):
    path = deploy(platform, bootstrap, "hooked", lifecycle={"initializer": "warm", "preStop": "cool"})
    assert platform.call(path + "/cancels").text == "0"
    wait_until("the hook", lambda: "hook warm" in platform.rouse("logs", "hooked").stdout)
    platform.delete("hooked")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The same on the SDK."""
    out = tmp_path_factory.mktemp("sdk") / "bootstrap"
    subprocess.run(["cc", "-O1", "-std=gnu17", "-static", f"-I{TOP}/runtime-sdk/include", "-o", out,
                    TOP / "test/e2e/http_function.c", TOP / "build/release/lib/librouse.a", "-lpthread"], check=True)
    return out


def test_the_sdk(platform, program):
    path = deploy(platform, program, "sdk", concurrency=8, timeout="60s", lifecycle={"initializer": "warm"})
    assert platform.call(path + "/warm").text == "1"
    assert "hook warm" in wait_until("its log", lambda: platform.rouse("logs", "sdk").stdout)
    c = Client(platform.gateway, head_of("POST", path + "/echo", "Transfer-Encoding: chunked"))
    for part in (b"one", b"two", b"x" * 30000 + b"end"):
        c.send(b"%x\r\n%s\r\n" % (len(part), part))
        c.until(part[-3:])
    c.send(b"0\r\n\r\n")
    c.until(b"\r\n0\r\n\r\n")
    big = Client(platform.gateway, head_of("GET", path + "/big", "Connection: close"))
    assert platform.call(path + "/sink", method="POST", body=b"x" * (5 << 20)).text == str(5 << 20)
    assert len(big.rest().split(b"\r\n\r\n", 1)[1]) == 64 << 20
    half = Client(platform.gateway, head_of("POST", path + "/echo", "Content-Length: 10"))
    half.send(b"abc")
    half.until(b"abc")
    r = platform.call(path + "/crash")
    assert r.status == 502 and r.json["reason"] == "FunctionError", r
    assert is_broken(half.rest()), "lost with the crash, at once"
    assert platform.call(path + "/warm").text == "1", "a new instance serves"


def test_through_another_node(cluster, bootstrap):
    path = deploy(cluster, bootstrap, "far", concurrency=4, timeout="60s", scaling={"min": 1, "max": 1})
    wait_until("ready", lambda: cluster.ready("far") == 1)
    home = cluster.instances("far")[0]["spec"]["node"]
    for n in cluster.nodes:
        echo(n["gateway"], path + "/echo")
    other = next(n for n in cluster.nodes if n["name"] != home)
    c = Client(other["gateway"], head_of("GET", path + "/big", "Connection: close"))
    assert len(c.rest().split(b"\r\n\r\n", 1)[1]) == 64 << 20
    c = Client(other["gateway"], head_of("GET", path + "/fail", "Connection: close"))
    assert is_broken(c.rest())
    leave(other["gateway"], path)
    wait_until("CANCEL", lambda: int(cluster.call(path + "/cancels").text) >= 1)
