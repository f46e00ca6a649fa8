"""The bootstraps of Python and Node, and the C example, as real processes; this test plays their agent.

    /usr/bin/python3 -m pytest test/compat/bootstrap_test.py

Every exchange is by proto/frames.md and its golden bytes. Sockets time out after 30 s, so that a bootstrap
that says nothing is a failure and not a hang.
"""
import importlib.util
import json
import os
import socket
import struct
import subprocess
import time
from collections import namedtuple
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "proto" / "frames.golden"
PYTHON_BOOTSTRAP = ROOT / "runtime-sdk" / "python" / "bootstrap.py"
NODE_BOOTSTRAP = ROOT / "runtime-sdk" / "nodejs" / "bootstrap.js"
C_EXAMPLE = ROOT / "build" / os.environ.get("VARIANT", "release") / "examples" / "hello-c" / "bootstrap"

HELLO, INVOKE, BODY, END, RESPONSE, ERROR, CREDIT, CANCEL, HOOK, LOG = range(1, 11)
METRIC = 12
FIN, TEXT, BYTES, ANSWER, FATAL = 1, 2, 4, 8, 16
MIB = 1 << 20

Frame = namedtuple("Frame", "type flags id payload")
COMMANDS = {
    "python": ["/usr/bin/python3", "-I", "-S", "-B", "-X", "utf8", str(PYTHON_BOOTSTRAP)],
    "node": ["/usr/bin/node", str(NODE_BOOTSTRAP)],
    "c": [str(C_EXAMPLE)],
}


def encode(kind, flags, ident, payload=b""):
    return struct.pack("<IBBHQ", len(payload), kind, flags, 0, ident) + payload


def invoke_payload(event, deadline, request_id=b"req-1", trace=b"Root=1"):
    return struct.pack("<QHHI", deadline, len(request_id), len(trace), 0) + request_id + trace + event


class Instance:
    """A bootstrap that runs, and the agent's end of its socket."""

    def __init__(self, directory, command, files=None, handler="index.handler", concurrency=1, greet=True,
                 environment=None, parked=False):
        (directory / "task").mkdir(exist_ok=True)
        for name, text in (files or {}).items():
            path = directory / "task" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        listener = socket.socket(socket.AF_UNIX)
        listener.settimeout(30)
        listener.bind("s")  # relative, and the fixture changed to the directory: sun_path holds 107 bytes
        listener.listen()
        base = {"ROUSE_RUNTIME_SOCKET": str(directory / "s"), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
        environment = {**base, "ROUSE_TASK_ROOT": str(directory / "task"), **(environment or {})}
        self.process = subprocess.Popen(command, env={**base, "ROUSE_PARKED": "1"} if parked else environment,
                                        cwd=directory if parked else directory / "task", stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.socket, _ = listener.accept()
        listener.close()
        os.unlink("s")
        self.socket.settimeout(30)
        self.reader = self.socket.makefile("rb")
        self.hello = {"protocol": 1, "function": "hello", "namespace": "default", "revision": "r1",
                      "handler": handler, "concurrency": concurrency, "timeout": 3000, "memory": 128 * MIB}
        if parked:
            self.hello["environment"] = environment
        if greet:
            frame = self.receive()
            assert (frame.type, frame.flags, frame.id) == (HELLO, 0, 0)
            self.introduction = json.loads(frame.payload)
            self.send(HELLO, 0, 0, json.dumps(self.hello).encode())

    def raw(self, data):
        self.socket.sendall(data)

    def send(self, kind, flags, ident, payload=b""):
        self.raw(encode(kind, flags, ident, payload))

    def receive(self):
        """The next frame, or None at the end (ECONNRESET is one: the peer left bytes unread)."""
        try:
            header = self.reader.read(16)
            if len(header) < 16:
                return None
            length, kind, flags, zero, ident = struct.unpack("<IBBHQ", header)
            assert zero == 0 and length <= MIB
            return Frame(kind, flags, ident, self.reader.read(length) if length else b"")
        except ConnectionResetError:
            return None

    def ready(self, credit):
        assert self.receive() == Frame(CREDIT, 0, 0, struct.pack("<I", credit))
        return self

    def invoke(self, ident, event=b"null", deadline=None):
        deadline = deadline or int(time.time() * 1000) + 60_000
        self.send(INVOKE, FIN, ident, invoke_payload(event, deadline))

    def result(self):
        """(flags without FIN, body) of the next answer, or its ERROR as a dict."""
        frame = self.receive()
        if frame.type == ERROR:
            return json.loads(frame.payload)
        assert frame.type == RESPONSE
        flags, ident, body = frame.flags & ~FIN, frame.id, frame.payload
        while not frame.flags & FIN:
            frame = self.receive()
            assert frame.type == BODY and frame.id == ident and frame.flags in (0, FIN)
            body += frame.payload
        return flags, body

    def call(self, what):
        self.invoke(1, json.dumps(what).encode())
        return self.result()

    def end(self):
        """Ends the connection; (exit status, stdout, stderr)."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        out, err = self.process.communicate(timeout=30)
        self.close()
        return self.process.returncode, out.decode(), err.decode()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()
        self.reader.close()
        self.socket.close()


# The same function twice: the event says what to do.
OBEY = {
    "python": {"index.py": '''
import sys, time
def handler(event, context):
    what = event["do"] if isinstance(event, dict) else event
    if what == "text": return "Grüße"
    if what == "bytes": return b"\\x00\\xff\\n"
    if what == "bytes2": return bytearray(b"\\x00\\xff\\n")
    if what == "empty": return ""
    if what == "nobytes": return b""
    if what == "json": return {"ok": True, "n": [1, 2.5, None], "s": "é\\n"}
    if what == "list": return [1, "a"]
    if what == "number": return 7
    if what == "answer": return {"statusCode": 201, "body": "x"}
    if what == "fail": raise ValueError("no \\"x\\" é")
    if what == "unserialisable": return {1, 2}
    if what == "exit": print("bye"); sys.exit(3)
    if what == "print": print("out"); print("err", file=sys.stderr); print("half", end=""); return "done"
    if what == "log": context.log("a", 1); return "done"
    if what == "metric":
        context.metric("queue_length", 12.5); context.metric("queue_length", 12.5); return "done"
    if what == "metrics":
        refused = []
        for name, value in event["all"]:
            try: context.metric(name, value)
            except ValueError as e: refused.append(f"{type(e).__name__}: {e}")
        return refused
    if what == "echo": return event["text"]
    if what == "big": return b"x" * event["size"]
    if what == "context":
        return [context.request_id, context.aws_request_id, context.trace_id, context.function_name,
                context.memory_limit_in_mb, context.deadline, context.get_remaining_time_in_millis()]
    return None
'''},
    "node": {"index.js": '''
exports.handler = async (event, context) => {
  const what = event !== null && typeof event === 'object' ? event.do : event;
  switch (what) {
    case 'text': return 'Grüße';
    case 'bytes': return Buffer.from([0, 255, 10]);
    case 'bytes2': return new Uint8Array([9, 0, 255, 10, 9]).subarray(1, 4);
    case 'empty': return '';
    case 'nobytes': return Buffer.alloc(0);
    case 'json': return { ok: true, n: [1, 2.5, null], s: 'é\\n' };
    case 'list': return [1, 'a'];
    case 'number': return 7;
    case 'answer': return { statusCode: 201, body: 'x' };
    case 'fail': { const e = new Error('no "x" é'); e.name = 'ValueError'; throw e; }
    case 'unserialisable': return { n: 1n };
    case 'exit': console.log('bye'); process.exit(3);
    case 'print': console.log('out'); console.error('err'); process.stdout.write('half'); return 'done';
    case 'log': context.log('a', 1); return 'done';
    case 'metric': context.metric('queue_length', 12.5); context.metric('queue_length', 12.5); return 'done';
    case 'metrics': {
      const refused = [];
      for (const [name, value] of event.all) {
        try { context.metric(name, value); } catch (e) { refused.push(`${e.name}: ${e.message}`); }
      }
      return refused;
    }
    case 'echo': return event.text;
    case 'big': return Buffer.alloc(event.size, 'x');
    case 'context':
      return [context.requestId, context.awsRequestId, context.traceId, context.functionName,
              context.memoryLimitInMB, context.deadline, context.getRemainingTimeInMillis()];
    default: return undefined;
  }
};
'''},
}
# Waits for its invocation number `n` to be told to go on by a file; says so first.
MEET = {
    "python": {"index.py": '''
import os, time
def handler(event, context):
    print("begin", event["n"])
    while not os.path.exists(event["file"]): time.sleep(0.002)
    print("end", event["n"])
    return str(event["n"])
'''},
    "node": {"index.js": '''
const fs = require('fs');
exports.handler = async (event) => {
  console.log('begin', event.n);
  while (!fs.existsSync(event.file)) await new Promise((r) => setTimeout(r, 2));
  console.log('end', event.n);
  return String(event.n);
};
'''},
}


# ---------------------------------------------------------------- golden bytes


def golden():
    for line in GOLDEN.read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, digits = line.partition(" ")
            yield name, bytes.fromhex(digits)


def golden_python():
    spec = importlib.util.spec_from_file_location("bootstrap", PYTHON_BOOTSTRAP)
    bootstrap = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bootstrap)
    results = {}
    for name, data in golden():
        try:
            length, kind, flags, ident = bootstrap.decode_header(data[:16])
            payload = data[16:]
            invoke = None
            if kind == INVOKE:
                deadline, request_id, trace, event = bootstrap.decode_invoke(payload)
                invoke = [str(deadline), request_id, trace, event.hex()]
            if kind == HOOK:
                deadline, hook, text = bootstrap.decode_hook(payload)
                invoke = [str(deadline), hook, text]
            results[name] = [length, kind, flags, str(ident), payload.hex(), invoke,
                             bootstrap.encode(kind, flags, ident, payload).hex()]
        except bootstrap.ProtocolError:
            results[name] = "refused"
    return results


def golden_node():
    script = """
const b = require(process.argv[1]);
const results = {};
for (const [name, hex] of JSON.parse(require('fs').readFileSync(0))) {
  const data = Buffer.from(hex, 'hex');
  try {
    let f;
    const parser = new b.Parser((frame) => { f = frame; });
    for (let i = 0; i < data.length; i++) parser.feed(data.subarray(i, i + 1));
    let invoke = null;
    if (f.type === 2) {
      const i = b.decodeInvoke(f.payload);
      invoke = [String(i.deadline), i.requestId, i.trace, i.event.toString('hex')];
    }
    if (f.type === 9) {
      const h = b.decodeHook(f.payload);
      invoke = [String(h.deadline), h.hook, h.name];
    }
    results[name] = [f.length, f.type, f.flags, String(f.id), f.payload.toString('hex'), invoke,
                     b.encode(f.type, f.flags, f.id, f.payload).toString('hex')];
  } catch (e) {
    results[name] = e.constructor.name === 'ProtocolError' ? 'refused' : String(e);
  }
}
console.log(JSON.stringify(results));
"""
    given = json.dumps([[name, data.hex()] for name, data in golden()])
    done = subprocess.run(["/usr/bin/node", "-e", script, str(NODE_BOOTSTRAP)], input=given, text=True,
                          capture_output=True, timeout=60, check=True)
    return json.loads(done.stdout)


def test_golden(language):
    results = golden_python() if language == "python" else golden_node()
    assert len(results) >= 30
    for name, data in golden():
        if name.startswith("bad"):
            assert results[name] == "refused", name
            continue
        length, kind, flags, zero, ident = struct.unpack("<IBBHQ", data[:16])
        assert results[name][:5] == [length, kind, flags, str(ident), data[16:].hex()], name
        assert results[name][6] == data.hex(), name
    assert results["hello-runtime"][1:4] == [HELLO, 0, "0"]
    assert results["response-open"][1:5] == [RESPONSE, BYTES, str(2**64 - 1), "01"]
    assert results["error-fatal"][1:4] == [ERROR, FATAL, "0"]
    assert results["unknown"][1:3] == [200, 128]
    assert results["invoke-fin"][5] == ["1583348638390", "req-1", "Root=1", b'{"a":1}'.hex()]
    assert results["invoke-empty"][5] == ["0", "", "", ""]
    assert results["hook-initializer"][5] == ["1583348638390", 1, "index.init"]
    assert results["hook-pre-stop"][5] == ["1583348638390", 3, "é.stop"]
    assert results["invoke-open"][5] == [str(2**64 - 1), "é", "", b'{"b":'.hex()]


# ---------------------------------------------------------------- an invocation


def test_hello(start, language):
    instance = start(language, OBEY[language])
    assert instance.introduction["protocol"] == 1
    assert instance.introduction["runtime"] == {"python": "python3", "node": "nodejs"}[language]
    assert instance.introduction["pid"] == instance.process.pid
    instance.ready(1)
    assert instance.call("text") == (TEXT, "Grüße".encode())
    assert instance.end() == (0, "", "")


def test_results(start, language):
    instance = start(language, OBEY[language]).ready(1)
    assert instance.call("bytes") == (BYTES, b"\x00\xff\n")
    assert instance.call("bytes2") == (BYTES, b"\x00\xff\n")
    assert instance.call("empty") == (TEXT, b"")
    assert instance.call("nobytes") == (BYTES, b"")
    flags, body = instance.call("json")
    assert flags == 0 and json.loads(body) == {"ok": True, "n": [1, 2.5, None], "s": "é\n"}
    assert instance.call("list") == (0, b'[1,"a"]')
    assert instance.call("number") == (0, b"7")
    assert instance.call("nothing") == (0, b"null")
    flags, body = instance.call("answer")
    assert flags == ANSWER and json.loads(body) == {"statusCode": 201, "body": "x"}


def test_events(start, language):
    instance = start(language, OBEY[language]).ready(1)
    for text in ["", "plain", "é ü 🙂", '"\\\n\x7f', "x" * 100_000]:
        assert instance.call({"do": "echo", "text": text}) == (TEXT, text.encode())
    instance.invoke(1, b' {"do":\n"text"} ')
    assert instance.result() == (TEXT, "Grüße".encode())
    instance.invoke(1, b'{"do": "echo", "text": "\\u00e9\\ud83d\\ude42"}')
    assert instance.result() == (TEXT, "é🙂".encode())
    instance.invoke(1, b"")  # no event at all
    assert instance.result() == (0, b"null")


def test_malformed_events(start, language):
    instance = start(language, OBEY[language]).ready(1)
    for event in [b"{", b'{"do":}', b"[1,2", b"nothing", b'{"do":1} x', b"\xff\xfe", b"[" * 100_000]:
        instance.invoke(1, event)
        assert instance.result()["errorType"] == "Runtime.UnmarshalError", event[:20]
    assert instance.call("number") == (0, b"7")


def test_context(start, language):
    instance = start(language, OBEY[language]).ready(1)
    deadline = int(time.time() * 1000) + 60_000
    instance.invoke(1, b'"context"', deadline)
    request_id, aws_request_id, trace, name, memory, told, remaining = json.loads(instance.result()[1])
    assert (request_id, aws_request_id, trace, name, memory, told) == (
        "req-1", "req-1", "Root=1", "hello", 128, deadline)
    assert 0 < remaining <= 60_000
    instance.invoke(1, b'"context"', 1)
    assert json.loads(instance.result()[1])[6] == 0


def test_failure(start, language):
    instance = start(language, OBEY[language]).ready(1)
    error = instance.call("fail")
    assert error["errorType"] == "ValueError" and error["errorMessage"] == 'no "x" é'
    assert "index." in error["stackTrace"][0] and "bootstrap" not in "".join(error["stackTrace"])
    assert instance.call("unserialisable")["errorType"] == "Runtime.MarshalError"
    assert instance.call("number") == (0, b"7")
    assert instance.end()[0] == 0


def test_big_bodies(start, language):
    instance = start(language, OBEY[language]).ready(1)
    text = ("0123456789abcdef" * (3 * MIB // 16)) + "é"
    event = json.dumps({"do": "echo", "text": text}, ensure_ascii=False).encode()
    payload = invoke_payload(event[:100], 2**63)
    instance.send(INVOKE, 0, 5, payload)
    for at in range(100, len(event), MIB):
        instance.send(BODY, FIN if at + MIB >= len(event) else 0, 5, event[at : at + MIB])
    assert instance.result() == (TEXT, text.encode())
    # in pieces that cut headers and characters, ended by END
    stream = encode(INVOKE, 0, 6, payload) + encode(BODY, 0, 6, event[100 : 100 + MIB])
    stream += encode(BODY, 0, 6, event[100 + MIB : 100 + 2 * MIB]) + encode(BODY, 0, 6, event[100 + 2 * MIB :])
    stream += encode(END, 0, 6)
    for at in range(0, len(stream), 77_777):
        instance.raw(stream[at : at + 77_777])
    assert instance.result() == (TEXT, text.encode())


@pytest.mark.parametrize("size", [MIB - 1, MIB, MIB + 1, 2 * MIB, 3 * MIB])
def test_big_results(start, language, size):
    instance = start(language, OBEY[language]).ready(1)
    assert instance.call({"do": "big", "size": size}) == (BYTES, b"x" * size)


def test_output_comes_before_the_answer(start, language):
    instance = start(language, OBEY[language]).ready(1)
    instance.call("print")
    # it is in the pipes now, not in a buffer of the process: read without waiting
    for stream, expected in [(instance.process.stdout, b"out\nhalf"), (instance.process.stderr, b"err\n")]:
        os.set_blocking(stream.fileno(), False)
        assert os.read(stream.fileno(), 100) == expected


def metric(name, value):
    return Frame(METRIC, 0, 0, struct.pack("<d", value) + name.encode())


def test_metric(start, language):
    instance = start(language, OBEY[language]).ready(1)
    instance.invoke(1, b'"metric"')
    assert instance.receive() == metric("queue_length", 12.5)  # once: the same again is no news
    assert instance.result() == (TEXT, b"done")
    bad = [["A", 1], ["", 1], ["0a", 1], ["a-b", 1], ["é", 1], ["x" * 64, 1], ["concurrency", 1],
           ["requests_per_second", 1], ["a", -1], ["a", 1.1e18]]
    instance.invoke(2, json.dumps({"do": "metrics", "all": bad}).encode())
    refused = json.loads(instance.result()[1])
    assert len(refused) == len(bad)
    kind = {"python": "ValueError", "node": "RangeError"}[language]
    assert all(text.startswith(f"{kind}: a metric's name is [a-z_][a-z0-9_]{{0,62}}, not ") for text in refused[:6])
    assert refused[6:8] == [f"{kind}: {name} is the platform's own" for name in ("concurrency", "requests_per_second")]
    assert all(text.startswith(f"{kind}: a metric's value is a number from 0 to 1e18, not ") for text in refused[8:])
    many = [[f"m{i}", i] for i in range(17)] + [["queue_length", 0]]
    instance.invoke(3, json.dumps({"do": "metrics", "all": many}).encode())
    for name, value in many[:15] + many[-1:]:
        assert instance.receive() == metric(name, value)
    assert json.loads(instance.result()[1]) == [f"{kind}: an instance has at most 16 metrics"] * 2
    assert instance.end()[0] == 0


def test_log(start, language):
    instance = start(language, OBEY[language]).ready(1)
    instance.invoke(9, b'"log"')
    assert instance.receive() == Frame(LOG, 0, 9, b"a 1")
    assert instance.result() == (TEXT, b"done")


def test_exit_in_the_handler(start, language):
    instance = start(language, OBEY[language]).ready(1)
    instance.invoke(4, b'"exit"')
    frame = instance.receive()
    assert (frame.type, frame.flags, frame.id) == (ERROR, FATAL, 4)
    assert json.loads(frame.payload)["errorType"] == "Runtime.ExitError"
    assert instance.receive() is None
    assert instance.end()[:2] == (3, "bye\n")


# ---------------------------------------------------------------- loading

LOAD_FAILURES = [
    ("python", {}, "index.handler", "Runtime.ImportModuleError"),
    ("python", {"index.py": "import nonesuch"}, "index.handler", "Runtime.ImportModuleError"),
    ("python", {"index.py": "def handler(:"}, "index.handler", "Runtime.UserCodeSyntaxError"),
    ("python", {"index.py": "x = 1"}, "index.handler", "Runtime.HandlerNotFound"),
    ("python", {"index.py": "handler = 1"}, "index.handler", "Runtime.HandlerNotFound"),
    ("python", {"index.py": ""}, "index", "Runtime.MalformedHandlerName"),
    ("python", {"index.py": ""}, "", "Runtime.MalformedHandlerName"),
    ("python", {"index.py": "1/0"}, "index.handler", "ZeroDivisionError"),
    ("python", {"index.py": "raise SystemExit(0)"}, "index.handler", "Runtime.ExitError"),
    ("node", {}, "index.handler", "Runtime.ImportModuleError"),
    ("node", {"index.js": "require('nonesuch')"}, "index.handler", "Runtime.ImportModuleError"),
    ("node", {"index.js": "function ("}, "index.handler", "Runtime.UserCodeSyntaxError"),
    ("node", {"index.js": ""}, "index.handler", "Runtime.HandlerNotFound"),
    ("node", {"index.js": "exports.handler = 1"}, "index.handler", "Runtime.HandlerNotFound"),
    ("node", {"index.js": ""}, "index", "Runtime.MalformedHandlerName"),
    ("node", {"index.js": ""}, "", "Runtime.MalformedHandlerName"),
    ("node", {"index.js": "null.x"}, "index.handler", "TypeError"),
    ("node", {"index.js": "process.exit(0)"}, "index.handler", "Runtime.ExitError"),
    ("node", {"index.mjs": "await Promise.reject(new RangeError('x'))"}, "index.handler", "RangeError"),
]


@pytest.mark.parametrize("language,files,handler,kind", LOAD_FAILURES)
def test_load_failure(start, language, files, handler, kind):
    instance = start(language, files, handler=handler)
    frame = instance.receive()
    assert (frame.type, frame.flags, frame.id) == (ERROR, FATAL, 0)
    error = json.loads(frame.payload)
    assert error["errorType"] == kind and error["errorMessage"]
    assert instance.receive() is None
    status = instance.end()[0]
    assert status == (0 if "process.exit" in "".join(files.values()) else 1)


@pytest.mark.parametrize("language,files,handler", [
    ("python", {"pkg/__init__.py": "", "pkg/mod.py": "def f(e, c): return 'in a package'"}, "pkg.mod.f"),
    ("python", {"pkg/mod.py": "from . import other\ndef f(e, c): return other.x",
                "pkg/other.py": "x = 'in a package'"}, "pkg/mod.f"),
    ("python", {"index.py": "async def f(e, c): return 'in a package'"}, "index.f"),
    ("node", {"pkg/mod.js": "exports.f = () => 'in a package'"}, "pkg/mod.f"),
    ("node", {"index.mjs": "export const f = async () => 'in a package'"}, "index.f"),
    ("node", {"index.js": "export const f = () => 'in a package'", "package.json": '{"type": "module"}'}, "index.f"),
    ("node", {"index.cjs": "exports.f = () => Promise.resolve('in a package')"}, "index.f"),
])
def test_forms_of_a_handler(start, language, files, handler):
    instance = start(language, files, handler=handler).ready(1)
    assert instance.call(None) == (TEXT, b"in a package")


def test_a_forked_child_says_nothing(start):
    code = ("import os, sys\ndef handler(event, context):\n    pid = os.fork()\n    if pid == 0: sys.exit(5)\n"
            "    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])")
    instance = start("python", {"index.py": code}).ready(1)
    assert instance.call(None) == (0, b"5")
    assert instance.call(None) == (0, b"5")


def test_rejection_nobody_handles_ends_the_instance(start):
    code = "exports.handler = () => { Promise.reject(new Error('lost')); return new Promise(() => {}); };"
    instance = start("node", {"index.js": code}).ready(1)
    instance.invoke(8)
    frame = instance.receive()
    assert (frame.type, frame.flags, frame.id) == (ERROR, FATAL, 8)
    assert json.loads(frame.payload)["errorMessage"] == "lost"
    assert instance.receive() is None
    status, _, err = instance.end()
    assert status == 1 and "lost" in err


# ---------------------------------------------------------------- several at once


def test_concurrency(start, language, tmp_path):
    """All run at once, end in any order, and every printed line carries its own id."""
    count = 8
    instance = start(language, MEET[language], concurrency=count).ready(count)
    for n in range(1, count + 1):
        instance.invoke(n, json.dumps({"n": n, "file": str(tmp_path / f"go{n}")}).encode())
    begun = {instance.receive() for _ in range(count)}
    assert begun == {Frame(LOG, 0, n, f"begin {n}".encode()) for n in range(1, count + 1)}
    for n in reversed(range(1, count + 1)):
        (tmp_path / f"go{n}").touch()
        assert instance.receive() == Frame(LOG, 0, n, f"end {n}".encode())
        assert instance.receive() == Frame(RESPONSE, FIN | TEXT, n, str(n).encode())
    instance.invoke(99, json.dumps({"n": 99, "file": str(tmp_path / "go1")}).encode())
    assert [instance.receive().payload for _ in range(3)] == [b"begin 99", b"end 99", b"99"]
    assert instance.end() == (0, "", "")


def test_partial_lines_above_concurrency_one(start, language):
    instance = start(language, OBEY[language], concurrency=2).ready(2)
    instance.invoke(3, b'"print"')
    lines = [instance.receive() for _ in range(3)]
    assert all((f.type, f.id) == (LOG, 3) for f in lines)
    assert sorted(f.payload for f in lines) == [b"err", b"half", b"out"] and lines[2].payload == b"half"
    assert instance.result() == (TEXT, b"done")


def test_exit_above_concurrency_one(start, language):
    instance = start(language, OBEY[language], concurrency=2).ready(2)
    instance.invoke(3, b'"exit"')
    frames = iter(instance.receive, None)
    errors = [f for f in frames if f.type == ERROR]
    assert [(f.flags, f.id) for f in errors] == [(FATAL, 3)]
    assert instance.end()[0] == 3


@pytest.mark.parametrize("last", ["now", "exit"])
def test_node_ends_with_several(start, last):
    """Nobody knows whose it was: each has its ERROR, and FATAL is on the last, behind which nothing counts."""
    code = """
exports.handler = (event) => new Promise(() => {
  if (event === 'now') setImmediate(() => { throw new TypeError('nobody catches it'); });
  if (event === 'exit') process.exit(4);
});
"""
    instance = start("node", {"index.js": code}, concurrency=3).ready(3)
    instance.invoke(1, b'"wait"')
    instance.invoke(2, b'"wait"')
    instance.invoke(3, json.dumps(last).encode())
    errors = [f for f in iter(instance.receive, None) if f.type == ERROR]
    assert [(f.flags, f.id) for f in errors] == [(0, 1), (0, 2), (FATAL, 3)]
    assert {json.loads(f.payload)["errorType"] for f in errors} == \
        {"TypeError" if last == "now" else "Runtime.ExitError"}


# ---------------------------------------------------------------- the agent's other frames


def test_unknown_frames_are_skipped(start, language):
    instance = start(language, OBEY[language]).ready(1)
    instance.send(200, 0xFF, 1, b"a later version")
    instance.send(CANCEL, 0, 77)
    instance.send(BODY, FIN, 77, b"nobody's")
    instance.send(END, 0, 77)
    instance.send(CREDIT, 0, 77, struct.pack("<I", 65536))
    instance.send(INVOKE, FIN | 0xC0, 1, invoke_payload(b'"number"', 2**63))  # flags of a later version
    assert instance.result() == (0, b"7")


# ---------------------------------------------------------------- hooks

HOOKS = {
    "python": {"index.py": """
import hooks
state = []
def init(context):
    print("init")
    state.append(context.get_remaining_time_in_millis() > 0)
async def slow(context): state.append("slow")
def fail(context): raise ValueError("no database")
def leave(context): print("bye"); raise SystemExit(3)
number = 7
def handler(event, context): return state
""", "hooks.py": "def other(context):\n  import index\n  index.state.append(context.function_name)\n",
               "broken.py": "def init(context): pass\nx = (\n"},
    "node": {"index.js": """
const state = exports.state = [];
exports.init = (context) => { console.log('init'); state.push(context.getRemainingTimeInMillis() > 0); };
exports.slow = async () => { await new Promise((r) => setImmediate(r)); state.push('slow'); };
exports.fail = () => { const e = new Error('no database'); e.name = 'ValueError'; throw e; };
exports.leave = () => { console.log('bye'); process.exit(3); };
exports.number = 7;
exports.handler = () => state;
""", "hooks.js": "exports.other = (context) => require('./index').state.push(context.functionName);\n",
             "broken.js": "exports.init = () => (\n"},
}


def hook_payload(kind, name, deadline=2**63):
    return struct.pack("<QB7x", deadline, kind) + name.encode()


def call_hook(instance, ident, kind, name):
    instance.send(HOOK, 0, ident, hook_payload(kind, name))
    return instance.receive()


@pytest.mark.parametrize("concurrency", [1, 4])
def test_hooks(start, language, concurrency):
    instance = start(language, HOOKS[language], concurrency=concurrency).ready(concurrency)
    frame = call_hook(instance, 1, 1, "index.init")
    if concurrency > 1:  # its lines are told from those of others by its id
        assert frame == Frame(LOG, 0, 1, b"init")
        frame = instance.receive()
    assert frame == Frame(END, 0, 1, b"")
    assert call_hook(instance, 2, 2, "index.slow") == Frame(END, 0, 2, b"")
    assert call_hook(instance, 3, 3, "hooks.other") == Frame(END, 0, 3, b"")
    instance.invoke(4)
    assert instance.result() == (0, b'[true,"slow","hello"]')
    status, out, _ = instance.end()
    assert status == 0 and out == ("init\n" if concurrency == 1 else "")


@pytest.mark.parametrize("name,kind,message", [
    ("index.fail", "ValueError", "no database"),
    ("index.nothing", "Runtime.NoSuchHook", "no function 'nothing'"),
    ("index.number", "Runtime.NoSuchHook", "no function 'number'"),
    ("nowhere.init", "Runtime.NoSuchHook", "nowhere"),
    ("broken.init", "Runtime.NoSuchHook", ""),
    ("init", "Runtime.NoSuchHook", "hook 'init' is not of the form"),
])
def test_hooks_that_fail(start, language, name, kind, message):
    instance = start(language, HOOKS[language]).ready(1)
    frame = call_hook(instance, 9, 1, name)
    assert (frame.type, frame.flags, frame.id) == (ERROR, 0, 9)
    error = json.loads(frame.payload)
    assert error["errorType"] == kind and message in error["errorMessage"], error
    instance.invoke(10)  # what follows is the agent's to decide
    assert instance.result() == (0, b"[]")


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_hook_that_ends_the_process(start, language, concurrency):
    instance = start(language, HOOKS[language], concurrency=concurrency).ready(concurrency)
    frame = call_hook(instance, 9, 3, "index.leave")
    if frame.type == LOG:
        frame = instance.receive()
    assert (frame.type, frame.flags, frame.id) == (ERROR, FATAL, 9)
    assert json.loads(frame.payload)["errorType"] == "Runtime.ExitError"
    assert instance.end()[0] == 3


GARBAGE = {
    "hook": encode(HOOK, 0, 1, b"\x01"),
    "noise": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "type 0": encode(0, 0, 1),
    "zero field": b"\0\0\0\0\x04\0\x01\0" + b"\0" * 8,
    "length": struct.pack("<IBBHQ", MIB + 1, BODY, 0, 0, 1),
    "largest length": struct.pack("<IBBHQ", 2**32 - 1, BODY, 0, 0, 1),
    "short invoke": encode(INVOKE, FIN, 1, b"x" * 15),
    "texts": encode(INVOKE, FIN, 1, struct.pack("<QHHI", 0, 65535, 65535, 0)),
    "id 0": encode(INVOKE, FIN, 0, invoke_payload(b"1", 0)),
    "taken id": encode(INVOKE, 0, 1, invoke_payload(b"1", 0)) * 2,
    "beyond the credit": encode(INVOKE, 0, 1, invoke_payload(b"1", 0)) + encode(INVOKE, 0, 2, invoke_payload(b"1", 0)),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_ends_the_instance(start, language, name):
    instance = start(language, OBEY[language]).ready(1)
    instance.raw(GARBAGE[name])
    assert instance.receive() is None
    status, _, err = instance.end()
    assert status == 1 and "rouse: the connection to the agent broke" in err


def test_first_frame_is_not_hello(start, language):
    instance = start(language, OBEY[language], greet=False)
    assert instance.receive().type == HELLO
    instance.send(END, 0, 1)
    assert instance.receive() is None
    assert instance.end()[0] == 1


@pytest.mark.parametrize("cut", [0, 1, 15, 16, 20])
def test_the_end_of_the_connection_ends_the_instance(start, language, cut):
    instance = start(language, OBEY[language]).ready(1)
    instance.raw(encode(INVOKE, FIN, 1, invoke_payload(b'"text"', 0))[:cut])
    instance.socket.shutdown(socket.SHUT_WR)
    assert instance.receive() is None
    assert instance.end() == (0, "", "")


# ---------------------------------------------------------------- the C example


@pytest.fixture
def c_example(start):
    if not C_EXAMPLE.exists():
        pytest.skip(f"{C_EXAMPLE} is not built: run make")
    return start("c")


def test_c_example(c_example):
    c_example.ready(1)
    c_example.invoke(1, b'{"a": 1}')
    frame = c_example.receive()
    assert (frame.type, frame.id) == (LOG, 1) and b"hello: an event of 8 bytes" in frame.payload
    assert c_example.result() == (0, b'{"a": 1}')
    c_example.invoke(2, b"")
    assert c_example.receive().type == LOG
    assert c_example.result()["errorType"] == "EmptyEvent"
    event = b'"' + b"x" * (3 * MIB) + b'"'
    c_example.send(INVOKE, 0, 3, invoke_payload(event[:100], 2**63))
    for at in range(100, len(event), MIB):
        c_example.send(BODY, FIN if at + MIB >= len(event) else 0, 3, event[at : at + MIB])
    assert c_example.receive().type == LOG
    assert c_example.result() == (0, event)
    assert c_example.end() == (0, "", "")


def test_c_example_garbage(c_example):
    c_example.ready(1)
    c_example.raw(GARBAGE["noise"])
    assert c_example.receive() is None
    assert c_example.end()[0] == 1
