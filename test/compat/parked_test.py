"""Interpreters that were parked: what a function sees there is what a start of its own would have shown it.

    /usr/bin/python3 -m pytest test/compat/parked_test.py

The same function is started both ways and tells of its process; this test plays their agent.
"""
import functools
import json

import pytest
from bootstrap_test import ERROR, FATAL, HELLO, TEXT

ENVIRONMENT = {"TZ": "Asia/Kolkata", "GREETING": "Grüße\n=x", "EMPTY": "", "HOME": "/tmp"}

TELL = {
    "python": {"index.py": '''
import gc, os, resource, signal, sys, time
def descriptors():
    kinds = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            kinds[int(fd)] = os.readlink(f"/proc/self/fd/{fd}").split(":")[0]
        except OSError:
            pass  # listdir's own
    return kinds
def stream(s):
    return [type(s).__name__, s.name, s.mode, s.encoding, s.errors, s.line_buffering, s.write_through,
            type(s.buffer).__name__, s.fileno(), s.isatty()]
def tell():
    return {
        "environ": dict(os.environ), "environb": sorted(map(repr, os.environb)), "cwd": os.getcwd(),
        "argv": sys.argv, "orig_argv": sys.orig_argv, "path": sys.path, "flags": str(sys.flags),
        "xoptions": sys._xoptions, "executable": sys.executable, "main": sys.modules["__main__"].__file__,
        "hooks": [sys.excepthook is sys.__excepthook__, sys.displayhook is sys.__displayhook__],
        "streams": [stream(sys.stdout), stream(sys.stderr), sys.stdin.fileno()],
        "umask": os.umask(0o22), "tzname": time.tzname, "offset": time.timezone,
        "handlers": {s: str(signal.getsignal(s)).split(" at ")[0] for s in range(1, 65)},
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "limits": {n: resource.getrlimit(getattr(resource, n)) for n in dir(resource) if n.startswith("RLIMIT_")},
        "descriptors": descriptors(), "gc": [gc.isenabled(), gc.get_threshold()],
        "recursion": sys.getrecursionlimit(), "switch": sys.getswitchinterval(),
        "threads": len(os.listdir("/proc/self/task")), "warnings": len(sys.warnoptions),
        "ids": [os.getresuid(), os.getresgid(), os.getgroups()],
    }
at_load = tell()
def handler(event, context):
    return [at_load, tell(), context.memory_limit_in_mb]
'''},
    "node": {"index.js": '''
const fs = require('fs');
function tell() {
  const kinds = {};
  for (const fd of [0, 1, 2]) kinds[fd] = fs.readlinkSync(`/proc/self/fd/${fd}`).split(':')[0];
  const status = fs.readFileSync('/proc/self/status', 'utf8').split('\\n')
    .filter((line) => /^(Sig(Blk|Ign|Cgt)|Cap|Seccomp|NoNewPrivs|Umask|Groups)/.test(line));
  return {
    environ: process.env, names: Object.keys(process.env), cwd: process.cwd(), argv: process.argv,
    execArgv: process.execArgv, execPath: process.execPath, title: process.title, umask: process.umask(),
    exitCode: process.exitCode === undefined, main: require.main.filename, paths: module.paths, status,
    listeners: process.eventNames().map((n) => [String(n), process.listenerCount(n)]),
    offset: new Date(0).getTimezoneOffset(), zone: Intl.DateTimeFormat().resolvedOptions().timeZone,
    globals: Object.getOwnPropertyNames(globalThis).sort(), kinds,
    limits: fs.readFileSync('/proc/self/limits', 'utf8'), heap: require('v8').getHeapStatistics().heap_size_limit,
  };
}
const atLoad = JSON.parse(JSON.stringify(tell()));
exports.handler = async (event, context) => [atLoad, tell(), context.memoryLimitInMB];
'''},
}


@pytest.fixture
def start(start):
    return functools.partial(start, parked=True)


def test_a_function_cannot_tell(start, language):
    told = {}
    for parked in (False, True):
        instance = start(language, TELL[language], parked=parked, environment=ENVIRONMENT)
        assert instance.introduction.get("parked", False) is parked
        flags, body = instance.ready(1).call(None)
        told[parked] = json.loads(body)
        assert instance.end()[0] == 0
    for at in range(2):
        for what, value in told[False][at].items():
            assert told[True][at][what] == value, what
    assert told[True] == told[False]
    assert told[True][0]["environ"]["GREETING"] == ENVIRONMENT["GREETING"]
    assert "ROUSE_PARKED" not in told[True][0]["environ"]
    assert told[True][0]["offset"] in (-19800, -330)


def test_children_have_the_environment(start, language):
    code = {"python": {"index.py": "import subprocess\ndef handler(e, c): return subprocess.check_output(['env'], text=True)"},
            "node": {"index.js": "exports.handler = () => require('child_process').execFileSync('env').toString();"}}
    instance = start(language, code[language], environment={"GREETING": "hi"}).ready(1)
    lines = dict(line.split("=", 1) for line in instance.call(None)[1].decode().splitlines())
    assert lines.pop("_", None) is None and lines == instance.hello["environment"]


def test_modules_of_the_function_come_first(start):
    """Some of these are imported ahead, and json by what is: the function's own are found nevertheless."""
    files = {f"{name}.py": f"ours = '{name}'" for name in ("json", "threading", "queue", "traceback")}
    files["re/__init__.py"] = "ours = 're'"
    files["index.py"] = ("import json, threading, queue, traceback, re\n"
                         "def handler(e, c): return [m.ours for m in (json, threading, queue, traceback, re)]")
    instance = start("python", files).ready(1)
    assert json.loads(instance.call({})[1]) == ["json", "threading", "queue", "traceback", "re"]


@pytest.mark.parametrize("concurrency", [1, 4])
def test_concurrency(start, language, concurrency):
    code = {"python": {"index.py": "def handler(e, c):\n  print('said')\n  return c.request_id"},
            "node": {"index.js": "exports.handler = async (e, c) => { console.log('said'); return c.requestId; };"}}
    instance = start(language, code[language], concurrency=concurrency).ready(concurrency)
    for n in range(1, 5):
        instance.invoke(n)
        if concurrency > 1:
            assert instance.receive().payload == b"said"
        assert instance.result() == (TEXT, b"req-1")
    status, out, err = instance.end()
    assert (status, out, err) == (0, "said\n" * 4 if concurrency == 1 else "", "")


def test_load_failure(start, language):
    instance = start(language, {}, handler="nothing.handler")
    frame = instance.receive()
    assert (frame.type, frame.flags, frame.id) == (ERROR, FATAL, 0)
    assert json.loads(frame.payload)["errorType"] == "Runtime.ImportModuleError"
    assert instance.end()[0] == 1


def test_a_code_directory_that_cannot_be_entered(start, language):
    instance = start(language, {}, environment={"ROUSE_TASK_ROOT": "/nowhere"})
    frame = instance.receive()
    assert (frame.type, frame.flags, frame.id) == (ERROR, FATAL, 0)
    assert "/nowhere" in json.loads(frame.payload)["errorMessage"]


def test_a_hello_without_environment(start, language):
    instance = start(language, {}, greet=False)
    assert json.loads(instance.receive().payload)["parked"] is True
    instance.send(HELLO, 0, 0, json.dumps({"protocol": 1, "handler": "index.handler"}).encode())
    assert instance.receive() is None
    status, _, err = instance.end()
    assert status == 1 and "without an environment" in err


def test_parked_ones_that_nobody_takes_end_quietly(start, language):
    instance = start(language, {}, greet=False)
    assert instance.receive().type == HELLO
    assert instance.end() == (0, "", "")
