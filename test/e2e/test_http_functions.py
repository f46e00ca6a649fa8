"""Functions that are HTTP servers: any program that listens on $PORT, and every way an exchange can end."""
import base64
import concurrent.futures
import hashlib
import http.client
import json
import os
import re
import socket
import struct
import subprocess
import textwrap
import threading

import pytest
from harness import EXAMPLES, function, http_request, wait_until

SERVER = r'''
import hashlib, json, os, socket, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

barriers, events, left = {}, {}, set()
lock = threading.Lock()


def event(name):
    with lock:
        return events.setdefault(name, threading.Event())


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, value, status=200):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Server", "mine")
        self.send_header("Rouse-Refused", "busy")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def begin_chunks(self, content_type):
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def body(self):
        """The request's body in parts, however it is framed, then its trailers."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            left = int(self.headers.get("Content-Length", 0))
            while left:
                part = self.rfile.read(min(left, 65536))
                left -= len(part)
                yield part
            return
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while line := self.rfile.readline().strip():
            self.trailers.append(line.decode())

    def handle_request(self):
        url = urlsplit(self.path)
        what, q = url.path.rstrip("/").rsplit("/", 1)[-1], {k: v[0] for k, v in parse_qs(url.query).items()}
        self.trailers = []
        if what not in ("digest", "echo", "early"):
            for _ in self.body():
                pass
        if what == "say":
            self.answer({"method": self.command, "path": self.path, "headers": dict(self.headers), "pid": os.getpid(),
                         "instance": os.environ["ROUSE_INSTANCE"], "port": os.environ["PORT"],
                         "xff": self.headers.get_all("X-Forwarded-For")})
        elif what == "together":
            with lock:
                barrier = barriers.setdefault(q["n"], threading.Barrier(int(q["n"])))
            barrier.wait(timeout=20)
            self.answer(os.environ["ROUSE_INSTANCE"])
        elif what == "stream":
            self.begin_chunks("text/event-stream")
            self.chunk(b"data: first\n\n")
            event(q["name"]).wait(timeout=20)
            self.chunk(b"data: second\n\n")
            self.wfile.write(b"0\r\nX-Count: 2\r\n\r\n")
        elif what == "go":
            self.answer("gone")
            event(q["name"]).set()
        elif what == "digest":
            h, n, self.trailers = hashlib.sha256(), 0, []
            for part in self.body():
                h.update(part)
                n += len(part)
            self.answer({"size": n, "sha256": h.hexdigest(), "trailers": self.trailers})
        elif what == "hints":
            self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
            self.answer("hinted")
        elif what == "echo":
            self.begin_chunks("application/octet-stream")
            for part in self.body():
                self.chunk(part)
            self.wfile.write(b"0\r\n\r\n")
        elif what == "early":
            self.answer("no, thanks", 413)
            self.close_connection = True
        elif what == "big":
            self.send_response(200)
            self.send_header("Content-Length", str(int(q["mib"]) << 20))
            self.end_headers()
            for i in range(int(q["mib"])):
                self.wfile.write(bytes([i % 251]) * (1 << 20))
        elif what == "hold":
            print("holding", q["name"], flush=True)
            event("holding-" + q["name"]).set()
            self.connection.settimeout(20)
            if self.connection.recv(1) == b"":
                left.add(q["name"])
        elif what == "held":
            event("holding-" + q["name"]).wait(timeout=20)
            self.answer("held")
        elif what == "left":
            self.answer(q["name"] in left)
        elif what == "nothing":
            self.close_connection = True
        elif what == "half":
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.wfile.write(b"half")
            self.wfile.flush()
            event(q["name"]).wait(timeout=20)
            os._exit(3)
        elif what == "exit":
            print("about to leave", file=sys.stderr, flush=True)
            os._exit(4)
        elif what == "hang":
            time.sleep(60)
        elif what == "address":
            probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            probe.connect(("192.0.2.1", 9))
            self.answer(probe.getsockname()[0])
        else:
            self.answer({"unknown": what}, 404)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = handle_request

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


Server(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
'''


def server(name, source=SERVER, file="server.py", **spec):
    spec = {"port": 8000, "concurrency": 50, "timeout": "30s", "memory": "256Mi", "scaling": {"max": 1}, **spec}
    return function(name, code={"inline": {file: textwrap.dedent(source)}}, handler=file, **spec)


def url(name, what):
    return f"/function/default/{name}/{what}"


def said(platform, name, what="say", **more):
    r = platform.call(url(name, what), **more)
    assert r.status == 200, r
    return r.json


def connect(address):
    host, port = address.rsplit("/", 1)[-1].rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=30)


def read_until(sock, what, seen=b""):
    while what not in seen:
        part = sock.recv(65536)
        assert part, f"the connection ended after {seen[-200:]!r}"
        seen += part
    return seen


@pytest.fixture(scope="module")
def web(platform):
    platform.apply(server("web", path="/web/say"))
    return platform


def rest_of(sock):
    """What still comes; a cut connection may say so."""
    seen = b""
    try:
        while part := sock.recv(65536):
            seen += part
    except ConnectionResetError:
        pass
    return seen


# ---------------------------------------------------------------- requests as they are

def test_from_zero_by_a_request(web):
    assert not web.instances("web")
    r = web.call("/web/say?a=%20b&c", method="POST", body=b"{}", headers={
        "X-Mine": "yes", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "X-Forwarded-For": "10.1.1.1", "Rouse-Slot": "7", "Connection": "x-hop", "X-Hop": "1"})
    assert r.status == 200 and r.headers["X-Server"] == "mine", r
    assert r.headers["Rouse-Refused"] is None, "the platform's names are not the function's to use"
    v = r.json
    h = {k.lower(): x for k, x in v["headers"].items()}
    assert v["method"] == "POST" and v["path"] == "/web/say?a=%20b&c" and v["port"] == "8000"
    assert h["x-mine"] == "yes" and h["traceparent"].startswith("00-0af7651916cd43dd8448eb211c80319c")
    assert h["host"] == web.gateway.rsplit("/", 1)[-1]
    assert v["xff"] == ["10.1.1.1, 127.0.0.1"]
    assert h["x-forwarded-proto"] == "http" and h["x-forwarded-host"] == h["host"]
    assert h["rouse-request-id"] == r.headers["Rouse-Request-Id"] and int(h["rouse-deadline"]) > 0
    assert "x-hop" not in h and "rouse-slot" not in h
    r = web.call("/web/say", headers={"traceparent": "00-junk", "tracestate": "a=1"})
    h = {k.lower(): x for k, x in r.json["headers"].items()}
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", h["traceparent"]) and "tracestate" not in h, h


def test_the_prefix_is_the_platforms(web):
    v = said(web, "web", "say?x=1")
    assert v["path"] == "/say?x=1"
    assert v["instance"] == said(web, "web")["instance"]


def test_head_and_other_methods(web):
    r = web.call(url("web", "say"), method="HEAD")
    assert r.status == 200 and r.body == b"" and int(r.headers["Content-Length"]) > 10
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        assert said(web, "web", method=method)["method"] == method
    assert web.call(url("web", "no-such")).status == 404


def test_no_events(web):
    r = web.call("/2015-03-31/functions/web/invocations", method="POST", body=b"{}")
    assert r.status == 400 and r.json["reason"] == "NoEvents", r


def test_fifty_at_once_in_one_instance(web):
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: web.call(url("web", "together?n=50")), range(50)))
    assert [a.status for a in answers] == [200] * 50, answers
    assert len({a.body for a in answers}) == 1 and len(web.instances("web")) == 1


def test_one_at_a_time(platform):
    platform.apply(server("single", concurrency=1, scaling={"max": 2}))
    with connect(platform.gateway) as s:
        s.sendall(f"GET {url('single', 'stream?name=a')} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        read_until(s, b"first")
        busy = {i["metadata"]["name"] for i in platform.instances("single")}
        assert said(platform, "single")["instance"] not in busy


# ---------------------------------------------------------------- streams and sizes

def test_the_first_bytes_come_before_the_last(web):
    host, port = web.gateway.rsplit("/", 1)[-1].rsplit(":", 1)
    conn = http.client.HTTPConnection(host, int(port), timeout=30)
    conn.request("GET", url("web", "stream?name=sse"))
    r = conn.getresponse()
    assert r.status == 200 and r.headers["Content-Type"] == "text/event-stream"
    assert r.readline() == b"data: first\n"
    assert web.call(url("web", "go?name=sse")).status == 200
    assert b"data: second" in r.read()
    conn.close()


def test_trailers_of_the_answer(web):
    web.call(url("web", "go?name=trailers"))
    with connect(web.gateway) as s:
        s.sendall(f"GET {url('web', 'stream?name=trailers')} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert b"\r\n0\r\nX-Count: 2\r\n\r\n" in read_until(s, b"X-Count: 2\r\n\r\n")


def test_trailers_of_the_request(web):
    with connect(web.gateway) as s:
        s.sendall(f"POST {url('web', 'digest')} HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n"
                  "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n".encode())
        assert b'"size": 3' in (seen := read_until(s, b"]}")) and b"X-Sum: 6" in seen, seen


def test_early_hints(web):
    with connect(web.gateway) as s:
        s.sendall(f"GET {url('web', 'hints')} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        seen = read_until(s, b"hinted")
        assert seen.startswith(b"HTTP/1.1 103 ") and b"rel=preload" in seen.split(b"\r\n\r\n")[0]
        assert b"HTTP/1.1 200 " in seen


FIFTY = 50 << 20


def test_fifty_mebibytes_up(web):
    body = os.urandom(1 << 20) * 50
    assert said(web, "web", "digest", method="POST", body=body) == {
        "size": FIFTY, "sha256": hashlib.sha256(body).hexdigest(), "trailers": []}


def test_fifty_mebibytes_up_in_chunks(web):
    part = os.urandom(1 << 20)
    r = web.call(url("web", "digest"), method="POST", body=(part for _ in range(50)))
    assert r.json == {"size": FIFTY, "sha256": hashlib.sha256(part * 50).hexdigest(), "trailers": []}


def test_fifty_mebibytes_down(web):
    body = web.call(url("web", "big?mib=50")).body
    assert len(body) == FIFTY and body[-1] == 49


def test_a_slow_reader_is_no_ones_memory(web):
    """The answer waits in the function, not in the agent."""
    agent = web.pid("node-1")

    def rss():
        with open(f"/proc/{agent}/statm") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    before = rss()
    with connect(web.gateway) as s:
        s.sendall(f"GET {url('web', 'big?mib=400')} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        read_until(s, b"\r\n\r\n")
        for _ in range(3):
            said(web, "web")
        assert rss() - before < 32 << 20


def test_both_ways_at_once(web):
    with connect(web.gateway) as s:
        s.sendall(f"POST {url('web', 'echo')} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        s.sendall(b"4\r\nping\r\n")
        seen = read_until(s, b"4\r\nping\r\n")
        assert seen.startswith(b"HTTP/1.1 200 ")
        s.sendall(b"4\r\npong\r\n0\r\n\r\n")
        read_until(s, b"4\r\npong\r\n0\r\n\r\n")


def test_an_answer_before_the_body_is_through(web):
    with connect(web.gateway) as s:
        s.sendall(f"POST {url('web', 'early')} HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n".encode())
        s.sendall(b"x" * 100)
        assert read_until(s, b"no, thanks").startswith(b"HTTP/1.1 413 ")


def test_an_expectation_is_met(web):
    with connect(web.gateway) as s:
        s.sendall(f"POST {url('web', 'digest')} HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n"
                  "Expect: 100-continue\r\n\r\n".encode())
        read_until(s, b"HTTP/1.1 100 Continue\r\n\r\n")
        s.sendall(b"y" * 100000)
        assert b'"size": 100000' in read_until(s, b"}")


# ---------------------------------------------------------------- ends that nobody wanted

def test_the_client_leaves(web):
    with connect(web.gateway) as s:
        s.sendall(f"GET {url('web', 'hold?name=leaver')} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        said(web, "web", "held?name=leaver")
    wait_until("the server to see its client leave", lambda: said(web, "web", "left?name=leaver"))


def test_closed_without_an_answer(web):
    before = said(web, "web")["instance"]
    r = web.call(url("web", "nothing"))
    assert r.status == 502 and r.json["reason"] == "FunctionError", r
    assert said(web, "web")["instance"] == before
    wait_until("a line in the log", lambda: any(
        r.headers["Rouse-Request-Id"] in x and "without an answer" in x
        for x in web.rouse("logs", "web").stdout.splitlines()))


def test_the_program_ends(platform):
    platform.apply(server("ends"))
    r = platform.call(url("ends", "exit"))
    assert r.status == 502 and r.json["reason"] == "InstanceLost" and "exit code 4" in r.json["message"], r
    assert said(platform, "ends")["pid"]
    assert "about to leave" in platform.rouse("logs", "ends").stdout
    with connect(platform.gateway) as s:
        s.sendall(f"GET {url('ends', 'half?name=h')} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        read_until(s, b"half")
        assert platform.call(url("ends", "go?name=h")).status == 200
        assert rest_of(s) == b""
    # What was sent to it while it ended is lost with it; then there is a new one.
    wait_until("a new instance", lambda: platform.call(url("ends", "say")).status == 200)


def test_the_time_out_of_one_at_a_time(platform):
    """It may be stuck, and the next request would wait for it: it goes."""
    platform.apply(server("late", concurrency=1, timeout="1s"))
    first = said(platform, "late")["instance"]
    r = platform.call(url("late", "hang"))
    assert r.status == 504 and r.json["reason"] == "Timeout", r
    assert said(platform, "late")["instance"] != first


def test_stuck_servers_are_replaced(platform):
    """A server that answered none of as many in a row as it takes at once is not asked again."""
    platform.apply(server("stuck", concurrency=2, timeout="1s"))
    first = said(platform, "stuck")["instance"]
    assert platform.call(url("stuck", "hang")).status == 504
    assert said(platform, "stuck")["instance"] == first, "one that is late does not end the others"
    for _ in range(2):
        assert platform.call(url("stuck", "hang")).status == 504
    assert said(platform, "stuck")["instance"] != first


def test_a_stream_ends_with_the_time_out(platform):
    platform.apply(server("slow", timeout="1s"))
    said(platform, "slow")
    with connect(platform.gateway) as s:
        s.sendall(f"GET {url('slow', 'stream?name=never')} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        read_until(s, b"first")
        rest = rest_of(s)
        assert b"second" not in rest and b"0\r\n\r\n" not in rest


def test_never_listens(platform):
    platform.apply(server("silent", "import time\nprint('up', flush=True)\ntime.sleep(60)\n"))
    r = platform.call(url("silent", ""), timeout=60)
    assert r.status in (502, 503), r
    degraded = wait_until("Degraded", lambda: [c for c in platform.get("silent")["status"]["conditions"]
                                               if c["type"] == "Degraded" and c["status"] == "True"])
    assert "not ready after 10.0 s" in degraded[0]["message"], degraded
    platform.delete("silent")


def test_ends_before_it_listens(platform):
    platform.apply(server("broken", "raise SystemExit('no configuration')\n"))
    r = platform.call(url("broken", ""))
    assert r.status in (502, 503), r
    degraded = wait_until("Degraded", lambda: [c for c in platform.get("broken")["status"]["conditions"]
                                               if c["type"] == "Degraded" and c["status"] == "True"])
    assert "no configuration" in degraded[0]["message"], degraded
    platform.delete("broken")


# ---------------------------------------------------------------- runtimes and programs

def test_without_a_network(platform):
    platform.apply(server("lonely", network="none"))
    assert said(platform, "lonely")["path"] == "/say"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::"])
def test_whatever_it_listens_on(platform, host):
    name = {"127.0.0.1": "four", "::1": "six", "::": "all"}[host]
    platform.apply(function(name, runtime="nodejs", handler="server.mjs", port=3000, code={"inline": {"server.mjs": f"""
import http from 'node:http';
http.createServer((q, r) => r.end('here')).listen(process.env.PORT, '{host}');
"""}}))
    assert platform.call(f"/{name}").text == "here"


C_SERVER = r"""
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(getenv("PORT")))};
    int s = socket(AF_INET, SOCK_STREAM, 0);

    signal(SIGPIPE, SIG_IGN);
    if (bind(s, (struct sockaddr *)&at, sizeof(at)) || listen(s, 64))
        return 1;
    for (;;) {
        char text[4096];
        int c = accept(s, NULL, NULL);
        ssize_t n = read(c, text, sizeof(text) - 1);

        if (n > 0)
            dprintf(c, "HTTP/1.0 200 OK\r\n\r\nC says %.*s", (int)strcspn(text, "\r\n"), text);
        close(c);
    }
}
"""


def test_a_static_program_that_speaks_http_1_0(platform, tmp_path):
    code = tmp_path / "code"
    (code / "bin").mkdir(parents=True)
    (tmp_path / "server.c").write_text(C_SERVER)
    subprocess.run(["cc", "-static", "-O2", "-o", code / "bin/server", tmp_path / "server.c"], check=True)
    manifest = function("static-c", runtime="provided", handler="bin/server", port=8080, code={"path": "code"})
    (tmp_path / "function.json").write_text(json.dumps(manifest))
    platform.rouse("apply", "-f", str(tmp_path / "function.json"))
    for _ in range(3):
        r = platform.call("/static-c?x")
        assert r.status == 200 and r.text == "C says GET /static-c?x HTTP/1.1", r


def test_a_shell_script_that_starts_the_server(platform):
    platform.apply(function("script", handler="bootstrap", port=8000, code={"inline": {
        "bootstrap": "#!/bin/sh\nexec python3 -m http.server --directory /var/task/www $PORT\n",
        "www/index.html": "a page\n"}}))
    assert platform.call(url("script", "")).text == "a page\n"


def test_a_program_that_cannot_be_run(platform):
    platform.apply(function("absent", handler="bin/none", port=8000, code={"inline": {"a": "b"}}))
    r = platform.call("/absent")
    assert r.status in (502, 503), r
    degraded = wait_until("Degraded", lambda: [c for c in platform.get("absent")["status"]["conditions"]
                                               if c["type"] == "Degraded" and c["status"] == "True"])
    assert "exec /var/task/bin/none" in degraded[0]["message"], degraded
    platform.delete("absent")


def test_the_python_example(platform):
    platform.rouse("apply", "-f", str(EXAMPLES / "python-http.yaml"))
    assert platform.call("/visitors").text == "visitor 1, for 127.0.0.1\n"
    assert platform.call("/visitors").text == "visitor 2, for 127.0.0.1\n"
    with connect(platform.gateway) as s:
        s.sendall(f"GET {url('python-http', 'clock')} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        read_until(s, b"data: ")


# ---------------------------------------------------------------- WebSocket

class WebSocket:
    """A client by hand (RFC 6455)."""

    def __init__(self, address, path="/chat"):
        key = base64.b64encode(os.urandom(16)).decode()
        self.sock = connect(address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: chat\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
                          f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            part = self.sock.recv(1)
            assert part, head
            head += part
        assert head.startswith(b"HTTP/1.1 101 "), head
        accept = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        assert b"sec-websocket-accept: " + base64.b64encode(accept).lower() in head.lower(), head
        assert b"rouse-request-id: " in head.lower()
        self.stream = self.sock.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.close()
        self.sock.close()

    def send(self, data, type=2):
        n = len(data)
        head = struct.pack("!BB", 128 | type, 128 | n) if n < 126 else \
            struct.pack("!BBH", 128 | type, 128 | 126, n) if n < 65536 else struct.pack("!BBQ", 128 | type, 128 | 127, n)
        mask = os.urandom(4)
        bits = int.from_bytes(data, "big") ^ int.from_bytes((mask * (n // 4 + 1))[:n], "big")
        self.sock.sendall(head + mask + bits.to_bytes(n, "big"))

    def receive(self):
        """(type, data), or None at the end."""
        head = self.stream.read(2)
        if len(head) < 2:
            return None
        n = head[1]
        if n > 125:
            n = int.from_bytes(self.stream.read(2 if n == 126 else 8), "big")
        return head[0] & 15, self.stream.read(n)

    def echo(self, data, type=2):
        self.send(data, type)
        return self.receive() == (type, data)


def chat(name="chat", **spec):
    source = (EXAMPLES / "node-websocket/server.js").read_text()
    return function(name, runtime="nodejs", handler="server.js", code={"inline": {"server.js": source}},
                    **{"port": 3000, "concurrency": 3, "timeout": "1s", "scaling": {"max": 1, "idleTimeout": "1s"}, **spec})


def in_flight(platform):
    return sum(platform.metric("rouse_in_flight", node=n) for n in range(len(platform.nodes)))


def test_the_websocket_example(platform):
    platform.rouse("apply", "-f", str(EXAMPLES / "node-websocket/function.yaml"))
    assert "<title>chat</title>" in platform.call("/chat").text
    with WebSocket(platform.gateway) as a, WebSocket(platform.gateway) as b:
        a.send("häß".encode(), type=1)
        assert a.receive() == b.receive() == (1, "häß".encode())
        assert "<title>chat</title>" in platform.call("/chat").text
    platform.delete("node-websocket")


def test_many_frames(platform):
    platform.apply(chat("frames"))
    with WebSocket(platform.gateway, "/frames") as ws:
        for n in (0, 1, 125, 126, 65535, 65536, 1 << 20):
            assert ws.echo(os.urandom(n)), n
        frames = [os.urandom(i % 700) for i in range(3000)]
        sender = threading.Thread(target=lambda: [ws.send(f) for f in frames])
        sender.start()
        for f in frames:
            assert ws.receive() == (2, f)
        sender.join()
        ws.send(b"are you there", type=9)
        assert ws.receive() == (10, b"are you there")
        ws.send(struct.pack("!H", 1000), type=8)
        assert ws.receive() == (8, struct.pack("!H", 1000)) and ws.receive() is None


def test_a_websocket_holds_its_slot(platform):
    platform.apply(chat("slots", concurrency=2))
    with WebSocket(platform.gateway, "/slots") as one:
        with WebSocket(platform.gateway, "/slots"):
            assert in_flight(platform) == 2
            with connect(platform.gateway) as s:
                s.sendall(b"GET /slots HTTP/1.1\r\nHost: a\r\n\r\n")
                assert platform.call("/healthz-of-nobody").status == 404
                one.sock.shutdown(socket.SHUT_RDWR)
                assert read_until(s, b"</script>").startswith(b"HTTP/1.1 200 "), "a slot became free"
        wait_until("both to be gone", lambda: in_flight(platform) == 0)


def test_a_websocket_keeps_its_instance(platform):
    """It is no idle instance, and no time-out of the function's ends it."""
    platform.apply(chat("stays"), chat("goes"))
    platform.call("/goes")
    with WebSocket(platform.gateway, "/stays") as ws:
        before = {i["metadata"]["name"] for i in platform.instances("stays")}
        wait_until("an idle one to go", lambda: not platform.instances("goes"))
        assert ws.echo(b"still here") and {i["metadata"]["name"] for i in platform.instances("stays")} == before
    wait_until("this one to go, too", lambda: not platform.instances("stays"))


def test_a_drain_ends_a_websocket(platform):
    platform.apply(chat("ends-well"))
    with WebSocket(platform.gateway, "/ends-well") as ws:
        platform.delete("ends-well")
        assert ws.echo(b"not at once")
        assert ws.receive() == (8, struct.pack("!H", 1001)), "the server was told by SIGTERM"
        assert ws.receive() is None


def test_an_upgrade_that_is_refused(platform):
    platform.apply(chat("refuses"))
    with connect(platform.gateway) as s:
        s.sendall(b"GET /refuses HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert read_until(s, b"\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    platform.apply(function("plain", "def handler(e, c):\n    return 'an event'\n"))
    r = platform.call("/plain", headers={"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "x"})
    assert r.status == 200 and r.text == "an event"


# ---------------------------------------------------------------- who may come

def test_nobody_but_the_agent_reaches_the_port(web):
    address = said(web, "web", "address")
    with pytest.raises(TimeoutError):
        socket.create_connection((address, 8000), timeout=1)
    web.apply(function("neighbour", f"""
        import socket
        def handler(event, context):
            try:
                socket.create_connection(({address!r}, 8000), timeout=1)
                return "reached"
            except OSError as e:
                return type(e).__name__
    """))
    assert web.call("/neighbour").text == "TimeoutError"


# ---------------------------------------------------------------- the manifest

@pytest.mark.parametrize("spec,field", [
    ({"port": 80}, "spec.port"), ({"port": 65536}, "spec.port"), ({"port": "8000"}, "spec.port"),
    ({"handler": "/bin/sh"}, "spec.handler"), ({"handler": "../server.py"}, "spec.handler"),
])
def test_what_is_refused(platform, spec, field):
    manifest = server("wrong")
    manifest["spec"].update(spec)
    r = platform.rouse("apply", "-f", "-", input=json.dumps(manifest), check=False)
    assert r.returncode != 0 and field in r.stderr, r
    assert platform.get("wrong") is None


def test_the_port_is_part_of_the_revision(platform):
    platform.apply(server("moves"))
    before = platform.get("moves")["status"]["latestRevision"]
    assert said(platform, "moves")["port"] == "8000"
    platform.apply(server("moves", port=8001))
    after = wait_until("a new revision", lambda: (r := platform.get("moves")["status"]["latestRevision"]) != before and r)
    assert after and wait_until("the new port", lambda: said(platform, "moves")["port"] == "8001")


def test_metrics(web):
    assert web.metric("rouse_cold_start_seconds_count", node=0, phase="runtime") >= 1
    assert web.metric("rouse_requests_total", node=0, namespace="default", function="web", code="200") >= 1


# ---------------------------------------------------------------- through another node

@pytest.fixture(scope="module")
def far(cluster):
    """A cluster, and a node that has no instance of the server."""
    cluster.apply(server("web"))
    here = said(cluster, "web", node=0)["instance"]
    host = wait_until("the instance", lambda: [i["spec"]["node"] for i in cluster.instances("web")
                                               if i["metadata"]["name"] == here])[0]
    names = [n["name"] for n in cluster.nodes]
    return cluster, next(k for k, n in enumerate(names) if n != host)


def test_through_another_node(far):
    cluster, node = far
    v = said(cluster, "web", node=node, headers={"X-Forwarded-For": "10.9.9.9"})
    h = {k.lower(): x for k, x in v["headers"].items()}
    assert len(v["xff"]) == 1 and v["xff"][0].startswith("10.9.9.9, ") and v["xff"][0].count(",") == 1
    assert v["path"] == "/say" and h["host"] == cluster.nodes[node]["gateway"].rsplit("/", 1)[-1]
    assert not [k for k in h if k.startswith("rouse-") and k not in ("rouse-request-id", "rouse-deadline")]
    assert said(cluster, "web", node=node)["pid"] == v["pid"]


def test_big_bodies_through_another_node(far):
    cluster, node = far
    body = os.urandom(1 << 20) * 50
    assert said(cluster, "web", "digest", method="POST", body=body, node=node)["sha256"] == \
        hashlib.sha256(body).hexdigest()
    assert len(cluster.call(url("web", "big?mib=50"), node=node).body) == FIFTY


def test_streams_through_another_node(far):
    cluster, node = far
    with connect(cluster.nodes[node]["gateway"]) as s:
        s.sendall(f"GET {url('web', 'stream?name=far')} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        seen = read_until(s, b"first")
        assert cluster.call(url("web", "go?name=far"), node=node).status == 200
        read_until(s, b"X-Count: 2\r\n\r\n", seen)


def test_the_client_of_another_node_leaves(far):
    cluster, node = far
    with connect(cluster.nodes[node]["gateway"]) as s:
        s.sendall(f"GET {url('web', 'hold?name=far')} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        said(cluster, "web", "held?name=far")
    wait_until("the server to see its client leave", lambda: said(cluster, "web", "left?name=far"))


def test_through_the_controllers_front(far):
    cluster, _ = far
    r = cluster.front(url("web", "say?front"))
    assert r.status == 200 and r.json["path"] == "/say?front", r


def test_websocket_through_another_node(far):
    cluster, _ = far
    cluster.apply(chat())
    assert cluster.call("/chat", node=0).status == 200
    with WebSocket(cluster.nodes[0]["gateway"]) as a, WebSocket(cluster.nodes[1]["gateway"]) as b, \
            WebSocket(cluster.nodes[2]["gateway"]) as c:
        for data in (b"hello", os.urandom(200000)):
            a.send(data)
            assert a.receive() == b.receive() == c.receive() == (2, data)
        assert in_flight(cluster) == 3
    wait_until("all to be gone", lambda: in_flight(cluster) == 0)


def test_websocket_through_the_controllers_front(far):
    cluster, _ = far
    with WebSocket(cluster.info["front"]) as ws:
        assert ws.echo(b"hello") and ws.echo(os.urandom(100000))
