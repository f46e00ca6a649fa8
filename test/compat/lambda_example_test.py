"""deploy/examples/hello-lambda as a real process against a Lambda Runtime API that this test serves.

    /usr/bin/python3 -m pytest test/compat/lambda_example_test.py
"""
import http.server
import json
import os
import queue
import subprocess
import threading
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "deploy" / "examples" / "hello-lambda"
PREFIX = "/2018-06-01/runtime/"


class Api:
    """/next hands out `events` and waits when there is none; what is posted is in `posts`."""

    def __init__(self):
        self.events, self.posts = queue.Queue(), queue.Queue()
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                item = api.events.get()
                if item is None:
                    self.close_connection = True
                    return
                request_id, event = item
                self.send_response(200)
                self.send_header("Lambda-Runtime-Aws-Request-Id", request_id)
                self.send_header("Lambda-Runtime-Deadline-Ms", "4102444800000")
                self.send_header("Content-Length", str(len(event)))
                self.end_headers()
                self.wfile.write(event)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                api.posts.put((self.path, self.headers, body))
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *words):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, request_id, event):
        self.events.put((request_id, event))
        return self.posts.get(timeout=30)


@pytest.fixture
def start(tmp_path_factory):
    running = []

    def begin(handler, root=EXAMPLE):
        api = Api()
        env = {"PATH": "/usr/bin:/bin", "AWS_LAMBDA_RUNTIME_API": api.address, "LAMBDA_TASK_ROOT": str(root),
               "_HANDLER": handler, "TMPDIR": str(tmp_path_factory.mktemp("tmp"))}
        process = subprocess.Popen([str(EXAMPLE / "bootstrap")], env=env, cwd=root, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        running.append((api, process))
        return api, process

    yield begin
    for api, process in running:
        api.events.put(None)
        process.kill()
        process.communicate()
        api.server.shutdown()
        api.server.server_close()


def test_hello(start):
    api, process = start("handler.hello")
    for request_id in ["8476a536-e9f4-11e8-9739-2dfe598c3fcd", "second"]:
        path, _, body = api.answer(request_id, b'{"version":"2.0"}')
        assert path == f"{PREFIX}invocation/{request_id}/response"
        assert json.loads(body) == {"statusCode": 200, "headers": {"content-type": "text/plain"},
                                    "body": "Hello from a shell\n"}
    assert process.stderr.readline() == b"an event of 17 bytes\n"


def test_a_failing_handler_is_reported_and_the_next_runs(start, tmp_path):
    (tmp_path / "handler.sh").write_text('hello() { [ "$1" != bad ] && echo "\\"$1\\""; }\n')
    api, _ = start("handler.hello", tmp_path)
    path, headers, body = api.answer("one", b"bad")
    assert path == f"{PREFIX}invocation/one/error"
    assert headers["Lambda-Runtime-Function-Error-Type"] == "Function.Failed"
    assert json.loads(body)["errorType"] == "Function.Failed"
    assert api.answer("two", b"good")[::2] == (f"{PREFIX}invocation/two/response", b'"good"\n')


def test_a_missing_handler_is_an_init_error(start, tmp_path):
    api, process = start("nonesuch.hello", tmp_path)
    path, headers, body = api.posts.get(timeout=30)
    assert path == f"{PREFIX}init/error"
    assert headers["Lambda-Runtime-Function-Error-Type"] == json.loads(body)["errorType"]
    assert process.wait(30) == 1


def test_the_end_of_the_agent_ends_it(start):
    api, process = start("handler.hello")
    api.answer("one", b"{}")
    api.events.put(None)
    assert process.wait(30) != 0


def test_bootstrap_is_executable():
    assert os.access(EXAMPLE / "bootstrap", os.X_OK)
