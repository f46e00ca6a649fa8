"""Interpreters that were started before their function was known: forks of Python's zygote, parked Nodes.

What a function sees there is what a start of its own would have shown it; and when there is no zygote, or when its
environment is none for a parked one, it is started as ever.
"""
import contextlib
import json
import os
import pathlib
import signal

import pytest
from harness import children, function, wait_until

# Read by an interpreter that starts, so a function with it is started; and it means nothing to either.
NOT_PARKED = {"python3": "PYTHONROUSETEST", "nodejs": "NODE_ROUSE_TEST"}

TELL = {
    "python3": r'''
import os, resource, signal, sys, time
def read(path):
    with open(path) as f:
        return f.read()
def status():
    wanted = ("Name", "Umask", "PPid", "Uid", "Gid", "Groups", "NSpid", "NSpgid", "NSsid", "NoNewPrivs", "Seccomp",
              "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb",
              "CoreDumping", "THP_enabled", "Threads", "Seccomp_filters", "Speculation_Store_Bypass")
    return {k: v.strip() for k, _, v in (line.partition(":") for line in read("/proc/self/status").splitlines())
            if k in wanted}
def descriptors():
    kinds = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            kinds[int(fd)] = os.readlink(f"/proc/self/fd/{fd}").split(":")[0]
        except OSError:
            pass  # listdir's own
    return kinds
def stream(s):
    return [type(s).__name__, s.name, s.mode, s.encoding, s.errors, s.line_buffering, type(s.buffer).__name__,
            s.fileno(), s.isatty()]
def tell():
    return {
        "environ": dict(os.environ), "cwd": os.getcwd(), "argv": sys.argv, "orig_argv": sys.orig_argv,
        "path": sys.path, "flags": str(sys.flags), "executable": sys.executable,
        "main": sys.modules["__main__"].__file__, "streams": [stream(sys.stdout), stream(sys.stderr), stream(sys.stdin)],
        "tz": [time.tzname, time.timezone], "status": status(), "descriptors": descriptors(),
        "handlers": {s: str(signal.getsignal(s)).split(" at ")[0] for s in range(1, 65)},
        "limits": read("/proc/self/limits"), "comm": read("/proc/self/comm"), "cmdline": read("/proc/self/cmdline"),
        "exe": os.readlink("/proc/self/exe"), "root": os.readlink("/proc/self/root"),
        "oom": read("/proc/self/oom_score_adj"), "policy": os.sched_getscheduler(0), "nice": os.nice(0),
        "owner": [os.stat("/proc/self/" + f).st_uid for f in ("", "maps", "environ", "fd")],
        "cgroup": read("/proc/self/cgroup"), "uids": read("/proc/self/uid_map").split()[::2],
        "mounts": [line.split()[4:6] for line in read("/proc/self/mountinfo").splitlines()],
        "processes": [read(f"/proc/{p}/comm") for p in os.listdir("/proc") if p.isdigit()],
        "hostname": [os.uname().nodename == os.environ["ROUSE_INSTANCE"], read("/etc/hosts").split()[2:4] ==
                     ["::1", "localhost"] or os.environ["ROUSE_INSTANCE"] in read("/etc/hosts")],
    }
at_load = tell()
def handler(event, context):
    return [at_load, tell(), "xml.etree.ElementTree" in sys.modules]
''',
    "nodejs": r'''
const fs = require('fs');
const read = (path) => fs.readFileSync(path, 'utf8');
const WANTED = ['Name', 'Umask', 'PPid', 'Uid', 'Gid', 'Groups', 'NSsid', 'NoNewPrivs', 'Seccomp', 'SigBlk', 'SigIgn',
  'SigCgt', 'CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb', 'Seccomp_filters'];
function tell() {
  const kinds = {};
  for (const fd of [0, 1, 2]) kinds[fd] = fs.readlinkSync(`/proc/self/fd/${fd}`).split(':')[0];
  return {
    environ: { ...process.env }, cwd: process.cwd(), argv: process.argv, execArgv: process.execArgv, title: process.title,
    execPath: process.execPath, umask: process.umask(), main: require.main.filename, paths: module.paths, kinds,
    listeners: process.eventNames().map((n) => [String(n), process.listenerCount(n)]),
    zone: [new Date(0).getTimezoneOffset(), Intl.DateTimeFormat().resolvedOptions().timeZone],
    globals: Object.getOwnPropertyNames(globalThis).sort(), limits: read('/proc/self/limits'),
    status: read('/proc/self/status').split('\n').filter((l) => WANTED.includes(l.split(':')[0])),
    comm: read('/proc/self/comm'), cmdline: read('/proc/self/cmdline'), oom: read('/proc/self/oom_score_adj'),
    cgroup: read('/proc/self/cgroup'), owner: ['', 'maps', 'environ'].map((f) => fs.statSync('/proc/self/' + f).uid),
    mounts: read('/proc/self/mountinfo').trim().split('\n').map((l) => l.split(' ').slice(4, 6)),
    heap: require('v8').getHeapStatistics().heap_size_limit,
    hostname: [require('os').hostname() === process.env.ROUSE_INSTANCE, read('/etc/hosts').includes(process.env.ROUSE_INSTANCE)],
  };
}
const atLoad = JSON.parse(JSON.stringify(tell()));
exports.handler = async () => [atLoad, tell(), process.moduleLoadList.includes('NativeModule https')];
''',
}


@pytest.fixture(params=["python3", "nodejs"])
def runtime(request):
    return request.param


def zygotes(platform):
    """The processes of the node's launcher that are in a cgroup called so."""
    found = []
    for launcher in children(platform.pid("node-1")):
        for pid in children(launcher):
            with contextlib.suppress(OSError):
                if "/_zygote-" in pathlib.Path(f"/proc/{pid}/cgroup").read_text():
                    found.append(pid)
    return found


def executable(pid):
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/exe")


def builders_of(platform, pid):
    """None of a zygote that has just ended."""
    exe = executable(pid)
    return exe and [p for launcher in children(platform.pid("node-1")) for p in children(launcher) if p != pid and executable(p) == exe]


def zygote_at_work(platform):
    """One that serves: somebody was made by it."""
    return next((z for z in zygotes(platform) if builders_of(platform, z)), None)


def test_a_function_cannot_tell(platform, runtime):
    if runtime == "python3":
        wait_until("the zygote", lambda: zygote_at_work(platform))
    told, name = {}, NOT_PARKED[runtime]
    for parked in (False, True):
        env = [{"name": "TZ", "value": "Asia/Kolkata"}, {"name": "SAY", "value": "Grüße\n=\"x"}]
        env += [] if parked else [{"name": name, "value": "1"}]
        f = function(f"tell-{runtime}-{parked}".lower(), TELL[runtime], runtime=runtime, env=env)

        def tell():
            """Until it was a fork of the zygote, where it shall be: there may be none left for a moment."""
            platform.apply(f)
            r = platform.call(f["spec"]["triggers"][0]["http"]["path"])
            assert r.status == 200, r
            platform.delete(f["metadata"]["name"])
            return r.json if r.json[2] == parked else None

        told[parked] = wait_until("one that was started so", tell)
    for at in range(2):
        a, b = told[False][at], told[True][at]
        assert a["environ"].pop(name) == "1"
        for environ in (a["environ"], b["environ"]):
            for own in list(environ):
                if own.startswith(("ROUSE_", "AWS_LAMBDA_")):
                    environ[own] = environ[own].replace("-false", "-x").replace("-true", "-x")
            assert environ.pop("ROUSE_INSTANCE") == environ.pop("AWS_LAMBDA_LOG_STREAM_NAME")
            environ.pop("ROUSE_REVISION")
        for what, value in a.items():
            assert b[what] == value, what
        assert b["environ"]["SAY"] == "Grüße\n=\"x" and "ROUSE_PARKED" not in b["environ"]


@pytest.mark.parametrize("concurrency", [1, 4])
def test_no_two_are_the_same(platform, concurrency):
    """Copies of one process: what is random in one is not so in the next."""
    code = """
    import os, random, secrets, ssl, sys, tempfile, uuid
    drawn = [random.random(), uuid.uuid4().hex, ssl.RAND_bytes(8).hex(), secrets.token_hex(8), random.SystemRandom().random(),
             next(tempfile._get_candidate_names()), random.Random().random()]
    def handler(event, context):
        return drawn
    """
    drawn = []
    for i in range(3):
        platform.apply(function(f"random-{concurrency}-{i}", code, concurrency=concurrency))
        drawn.append(platform.call(f"/random-{concurrency}-{i}").json)
        platform.delete(f"random-{concurrency}-{i}")
    for kind in zip(*drawn):
        assert len(set(kind)) == 3, kind


def test_modules_of_the_function_come_first(platform):
    """What the zygote has imported is not the function's, where that has a module of the name."""
    code = {"inline": {"queue.py": "ours = 'queue'\n", "logging/__init__.py": "ours = 'logging'\n", "uuid.py": "ours = 'uuid'\n",
                       "index.py": "import queue, logging, uuid\n"
                                   "def handler(e, c): return [m.ours for m in (queue, logging, uuid)]\n"}}
    platform.apply(function("shadow", code))
    assert platform.call("/shadow").json == ["queue", "logging", "uuid"]
    platform.delete("shadow")


def test_without_the_zygote(platform):
    """It is killed, and with it its builders: functions start all the while, and it comes back."""
    code = "import sys\ndef handler(event, context):\n    return 'xml.etree.ElementTree' in sys.modules\n"
    first = wait_until("the zygote", lambda: zygote_at_work(platform))
    os.kill(first, signal.SIGKILL)
    for i in range(12):
        platform.apply(function(f"orphan-{i}", code))
        r = platform.call(f"/orphan-{i}")
        assert r.status == 200 and r.json in (True, False), r
    again = wait_until("another one", lambda: zygote_at_work(platform))
    assert again != first
    assert "the zygote of" in platform.daemon_logs(200)

    def forked():
        platform.apply(function("forked", code))
        r = platform.call("/forked")
        assert r.status == 200, r
        platform.delete("forked")
        return r.json
    wait_until("its forks", forked)
    for i in range(12):
        platform.delete(f"orphan-{i}")


def test_the_zygote_sees_nothing_of_the_node(platform):
    pid = wait_until("the zygote", lambda: zygote_at_work(platform))
    mounts = [line.split()[4] for line in pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
    assert sorted(mounts) == sorted(["/", "/proc", "/dev", "/dev/shm", "/dev/mqueue", "/dev/null", "/dev/zero", "/dev/full", "/dev/random",
                                     "/dev/urandom"])
    root = next(line for line in pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines() if line.split()[4] == "/")
    assert {"ro", "nosuid", "nodev"} <= set(root.split()[5].split(","))
    assert os.readlink(f"/proc/{pid}/ns/ipc") != os.readlink("/proc/self/ns/ipc")    # whose queues /dev/mqueue shows
    kinds = {int(fd): os.readlink(f"/proc/{pid}/fd/{fd}").split(":")[0] for fd in os.listdir(f"/proc/{pid}/fd")}
    assert kinds == {0: "/dev/null", 1: "pipe", 2: "pipe", 3: "socket"}


@pytest.mark.parametrize("code,reason", [
    ("import nothing_of_that_name\n", "Runtime.ImportModuleError"),
    ("def handler(:\n", "Runtime.UserCodeSyntaxError"),
    ("raise SystemExit(7)\n", "Runtime.ExitError"),
    ("import os\nos.abort()\n", "Aborted"),
])
def test_crash_loops(platform, code, reason):
    name = "crash-" + reason.lower().replace(".", "-")
    platform.apply(function(name, code))
    assert platform.call(f"/{name}").status == 502

    def degraded():
        f = platform.get(name)
        return next((c for c in f["status"].get("conditions", []) if c["type"] == "Degraded" and c["status"] == "True"), None)
    why = wait_until("the condition", degraded)
    assert reason in json.dumps(why), why
    platform.delete(name)
