"""Idle instances are frozen: no CPU, their hooks, and every way back, with one event loop and with two."""
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import textwrap
import threading
import time

import pytest
from conftest import _platform
from harness import EXAMPLES, TOP, Platform, children, function, left_behind, machine_state, wait_until
from test_http_functions import WebSocket, chat, connect, read_until, server, url

AFTER = "10ms"
CODE = {
    "python3": """
import threading
open("/tmp/marker-{name}", "w").close()
calls, freezes, spins = [0], [0], [0]
def spin():
    while True:
        spins[0] += 1
def freeze(context):
    freezes[0] += 1
    print("freezing for time", freezes[0])
def fail(context):
    raise ConnectionError("no collector")
def slow(context):
    import time
    time.sleep(3600)
def stop(context):
    print("stopped after", calls[0])
def handler(event, context):
    calls[0] += 1
    if event.get("rawQueryString") == "spin" and calls[0] == 1:
        threading.Thread(target=spin, daemon=True).start()
    return f"{{calls[0]}} {{freezes[0]}} {{spins[0]}}"
""",
    "nodejs": """
require('fs').writeFileSync('/tmp/marker-{name}', '');
let calls = 0, freezes = 0, spins = 0;
const spin = () => {{ for (let k = 0; k < 1e5; k++) spins++; setImmediate(spin); }};
exports.freeze = async () => console.log('freezing for time', ++freezes);
exports.stop = () => console.log('stopped after', calls);
exports.handler = async (event) => {{
  if (++calls === 1 && event.rawQueryString === 'spin') spin();
  return `${{calls}} ${{freezes}} ${{spins}}`;
}};
""",
}


@pytest.fixture(scope="module", params=[1, 2], ids=["one-loop", "two-loops"])
def platform(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROUSE_LOOPS", str(request.param))
        patch.setenv("ROUSE_FREEZE_AFTER", AFTER)
        yield from _platform(1)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    out = tmp_path_factory.mktemp("freeze") / "bootstrap"
    subprocess.run(["cc", "-O1", "-std=gnu17", "-D_GNU_SOURCE", "-static", f"-I{TOP}/runtime-sdk/include", "-o", out,
                    TOP / "test/e2e/freeze_function.c", TOP / "build/release/lib/librouse.a", "-lpthread"], check=True)
    return out


def deploy(platform, name, runtime, program=None, **spec):
    """A function that answers "CALLS FREEZES SPINS"; its hooks' names differ by language."""
    spec = {"scaling": {"max": 1}, **spec}
    if runtime == "provided":
        f = function(name, {"path": str(program.parent)}, runtime=runtime, handler="x.y", **spec)
        manifest = program.parent / f"{name}.yaml"
        manifest.write_text(json.dumps(f))
        platform.rouse("apply", "-f", str(manifest))
    else:
        platform.apply(function(name, CODE[runtime].format(name=name), runtime=runtime, **spec))


def states(platform, name):
    return [i["status"]["state"] for i in platform.instances(name)]


def frozen(platform, name, n=1):
    wait_until(f"{n} frozen of {name}", lambda: states(platform, name) == ["Frozen"] * n)


def awake(platform, name):
    """The controller hears of a thaw after the request has gone its way."""
    wait_until(f"{name} to be ready", lambda: states(platform, name) == ["Ready"])


def call(platform, name, query=""):
    r = platform.call(f"/{name}{query}")
    assert r.status == 200, r
    return [int(n) for n in r.text.split()]


def marked(name):
    """Pids that see the file system in which `name` has left its marker."""
    found = []
    for p in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (p / "root/tmp" / f"marker-{name}").exists():
                found.append(int(p.name))
    return found


def cpu(pids):
    """Nanoseconds that all their threads have run."""
    total = 0
    for pid in pids:
        for t in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"):
            total += int(t.read_text().split()[0])
    return total


# ---------------------------------------------------------------- the states

@pytest.mark.parametrize("runtime", ["python3", "nodejs", "provided"])
def test_what_spins_gets_no_cpu(platform, program, runtime):
    name = {"python3": "py", "nodejs": "js", "provided": "c"}[runtime]
    hook = "freeze" if runtime == "provided" else "index.freeze"
    deploy(platform, name, runtime, program, lifecycle={"preFreeze": hook})
    assert call(platform, name, "?spin")[0] == 1
    frozen(platform, name)
    pids = marked(name)
    assert pids

    def stand_still():    # the state is told before the freezer has caught all of them
        before = cpu(pids)
        for _ in range(100):
            assert platform.call("/no-such-path").status == 404
        return cpu(pids) == before > 0

    wait_until("its threads to get no time while a hundred requests pass", stand_still)
    first = call(platform, name)
    assert first[0] == 2
    wait_until("it to go on where it was", lambda: call(platform, name)[2] > first[2])
    while call(platform, name)[1] < 10:
        frozen(platform, name)
    wait_until("its hook's lines", lambda: "freezing for time 10" in platform.rouse("logs", name).stdout)
    platform.delete(name)


def test_frozen_is_shown_and_counts_as_ready(platform):
    deploy(platform, "shown", "python3", scaling={"min": 2, "max": 2})
    wait_until("two", lambda: platform.ready("shown") == 2)
    frozen(platform, "shown", 2)
    assert platform.ready("shown") == 2
    assert platform.rouse("get", "instances").stdout.count("Frozen") >= 2
    f = platform.get("shown")
    assert {c["type"]: c["status"] for c in f["status"]["conditions"]}["Active"] == "True", f["status"]
    assert platform.metric("rouse_instances_frozen", node=0) >= 2
    freezes, thaws = (platform.metric(f"rouse_{w}_total", node=0) for w in ("freezes", "thaws"))
    assert call(platform, "shown")[0] == 1
    wait_until("one freeze more", lambda: platform.metric("rouse_freezes_total", node=0) == freezes + 1)
    assert platform.metric("rouse_thaws_total", node=0) == thaws + 1
    assert platform.metric("rouse_thaw_seconds_count", node=0) == thaws + 1
    # A new revision takes over from frozen instances.
    code = "def handler(e, c):\n    return 'two'\n"
    platform.apply(function("shown", code, scaling={"min": 2, "max": 2}))
    wait_until("the new revision", lambda: platform.call("/shown").text == "two")
    frozen(platform, "shown", 2)
    platform.delete("shown")


@pytest.mark.parametrize("hook,line", [
    ("index.fail", "ConnectionError: no collector"),
    ("index.slow", "the preFreeze hook 'index.slow' did not end within 0.3 s"),
    ("index.nothing", "Runtime.NoSuchHook"),
])
def test_a_hook_that_fails_is_logged(platform, hook, line):
    name = f"bad-{hook.partition('.')[2]}"
    deploy(platform, name, "python3", timeout="300ms", lifecycle={"preFreeze": hook})
    assert platform.call(f"/{name}").status == 200
    frozen(platform, name)
    wait_until("the line", lambda: line in platform.rouse("logs", name).stdout)
    platform.delete(name)


def test_requests_race_with_the_freezer(platform):
    """Gaps around the time that it takes to be frozen, from several clients; with a hook and without."""
    hooks = {"race": {}, "race-hook": {"lifecycle": {"preFreeze": "index.freeze"}}}
    for name, spec in hooks.items():
        deploy(platform, name, "python3", **spec)
    before = platform.metric("rouse_freezes_total", node=0)
    bad, rounds = [], 150

    def client(name, seed):
        rng = random.Random(seed)
        for _ in range(rounds):
            r = platform.call(f"/{name}")
            if r.status != 200:
                bad.append((name, r))
            time.sleep(rng.uniform(0.005, 0.04))

    threads = [threading.Thread(target=client, args=(name, k)) for k, name in enumerate([*hooks, *hooks])]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not bad, bad[:3]
    for name in hooks:
        assert call(platform, name)[0] == 2 * rounds + 1
    assert platform.metric("rouse_freezes_total", node=0) > before + 50
    for name in hooks:
        platform.delete(name)


def test_no_time_out_runs_meanwhile(platform):
    code = """
    def handler(event, context):
        return str(context.get_remaining_time_in_millis())
    """
    platform.apply(function("times", code, timeout="300ms", scaling={"max": 1}))
    assert platform.call("/times").status == 200
    frozen(platform, "times")
    instance = platform.instances("times")[0]["metadata"]["name"]
    since = time.monotonic()
    wait_until("longer than its time-out", lambda: time.monotonic() - since > 0.8)
    r = platform.call("/times")
    assert r.status == 200 and 0 < int(r.text) <= 300, r
    assert [i["metadata"]["name"] for i in platform.instances("times")] == [instance]
    platform.delete("times")


# ---------------------------------------------------------------- other interfaces

def test_lambda_runtime_api(platform):
    """Its bootstrap sleeps in the midst of a request, for the next event."""
    files = {f: (EXAMPLES / "hello-lambda" / f).read_text() for f in ("bootstrap", "handler.sh")}
    platform.apply(function("lambda", {"inline": files}, runtime="provided", handler="handler.hello", timeout="10s",
                            scaling={"max": 1}))
    for _ in range(4):
        assert platform.call("/lambda").text == "Hello from a shell\n"
        frozen(platform, "lambda")
    assert len(platform.instances("lambda")) == 1
    platform.delete("lambda")


def pass_time(platform):
    """Until another instance was frozen a few times."""
    until = platform.metric("rouse_freezes_total", node=0) + 4
    while platform.metric("rouse_freezes_total", node=0) < until:
        call(platform, "clock")
        frozen(platform, "clock")


def test_http_servers(platform):
    platform.apply(server("web"))
    deploy(platform, "clock", "python3")
    for _ in range(8):    # its connections are kept for a second
        assert platform.call(url("web", "say")).status == 200
        frozen(platform, "web")
    with connect(platform.gateway) as s:
        s.sendall(f"GET {url('web', 'stream?name=f')} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        seen = read_until(s, b"first")
        awake(platform, "web")
        pass_time(platform)
        assert states(platform, "web") == ["Ready"]    # a stream is open
        assert platform.call(url("web", "go?name=f")).status == 200
        read_until(s, b"X-Count: 2", seen)
    frozen(platform, "web")
    with connect(platform.gateway) as s:    # by a client that leaves
        s.sendall(f"GET {url('web', 'hold?name=l')} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert platform.call(url("web", "held?name=l")).status == 200
    frozen(platform, "web")
    assert len(platform.instances("web")) == 1
    platform.delete("web")
    platform.delete("clock")


def test_websockets(platform):
    platform.apply(chat("ws", scaling={"max": 1}))
    deploy(platform, "clock", "python3")
    for _ in range(2):
        with WebSocket(platform.gateway, "/ws") as w:
            assert w.echo(b"x")
            awake(platform, "ws")
            pass_time(platform)
            assert states(platform, "ws") == ["Ready"]
            assert w.echo(b"y")
        frozen(platform, "ws")
    platform.delete("ws")
    platform.delete("clock")


def test_forks_of_one_template(platform):
    """Each is frozen alone, and ends alone."""
    deploy(platform, "forked", "python3", start="fork", scaling={"min": 2, "max": 2},
           lifecycle={"preFreeze": "index.freeze", "preStop": "index.stop"})
    wait_until("two", lambda: platform.ready("forked") == 2)
    frozen(platform, "forked", 2)
    for _ in range(20):
        call(platform, "forked")
        frozen(platform, "forked", 2)
    wait_until("hooks of both", lambda: platform.rouse("logs", "forked").stdout.count("freezing for time 1\n") == 2)
    platform.delete("forked")
    wait_until("the end of its processes", lambda: not marked("forked"))


# ---------------------------------------------------------------- ends

def test_stops_thaw(platform):
    deploy(platform, "idle", "python3", lifecycle={"preStop": "index.stop"}, scaling={"idleTimeout": "1s"})
    freezes = platform.metric("rouse_freezes_total", node=0)
    call(platform, "idle")
    wait_until("a freeze", lambda: platform.metric("rouse_freezes_total", node=0) > freezes)
    wait_until("scale to zero", lambda: not platform.instances("idle"))
    wait_until("its last line", lambda: "stopped after 1" in platform.rouse("logs", "idle").stdout)
    platform.delete("idle")
    deploy(platform, "ends", "python3", lifecycle={"preStop": "index.stop"})
    call(platform, "ends")
    frozen(platform, "ends")
    pids = marked("ends")
    platform.delete("ends")
    wait_until("the end of its processes", lambda: not marked("ends"))
    assert pids


def test_a_frozen_process_can_be_killed(platform):
    deploy(platform, "killed", "python3")
    call(platform, "killed")
    frozen(platform, "killed")
    first = platform.instances("killed")[0]["metadata"]["name"]
    pids = marked("killed")
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    # Its successor leaves the same mark.
    wait_until("the end of its processes", lambda: not set(pids) & set(marked("killed")))
    assert pids

    def told():
        return first not in [i["metadata"]["name"] for i in platform.instances("killed") if i["status"]["state"] != "Failed"]

    wait_until("its agent to have told of it", told)
    assert call(platform, "killed")[0] == 1
    platform.delete("killed")


@pytest.mark.parametrize("who", ["agent", "launcher"])
def test_nothing_stays_frozen_behind_a_dead(who):
    before = machine_state()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROUSE_FREEZE_AFTER", AFTER)
        p = Platform()
        try:
            deploy(p, "left", "python3")
            call(p, "left")
            frozen(p, "left")
            pids = marked("left")
            agent = p.pid(p.nodes[0]["name"])
            victim = agent if who == "agent" else next(
                c for c in children(agent) if pathlib.Path(f"/proc/{c}/comm").read_text() == "rouse-launcher\n")
            os.kill(victim, signal.SIGKILL)
            wait_until("the end of its processes", lambda: not marked("left"))
            assert pids
            wait_until("the agent's end", lambda: not pathlib.Path(f"/proc/{agent}").exists())
            p.rouse("up")    # a dead launcher removes nothing: the next one does
            assert call(p, "left")[0] == 1
        finally:
            p.down()
            left = left_behind(p, before)
            shutil.rmtree(p.state, ignore_errors=True)
    assert not left, left


@contextlib.contextmanager
def memory_limit(mib):
    """What is started inside has a memory limit together, in a cgroup below our own."""
    v1 = pathlib.Path("/sys/fs/cgroup/memory")
    own = next((line.split(":", 2) for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines()
                if "memory" in line.split(":")[1].split(",")), None)
    if not own or not (v1 / "memory.limit_in_bytes").exists() and not (v1 / "cgroup.procs").exists():
        pytest.skip("no v1 memory hierarchy; test_vm.py has the other")
    parent = v1 / own[2].lstrip("/")
    group = parent / f"e2e-freeze-{os.getpid()}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(mib << 20))
        (group / "cgroup.procs").write_text(str(os.getpid()))
        try:
            yield
        finally:
            (parent / "cgroup.procs").write_text(str(os.getpid()))
    finally:
        wait_until("the cgroup to be empty", lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


def test_memory_is_given_back(tmp_path):
    """The agent's cgroup is short of memory: page cache of a frozen instance goes, and what it holds does not."""
    code = """
    held = bytearray(os.urandom(1 << 20)) * 300
    def handler(event, context):
        size = len(open("/var/task/blob", "rb").read()) if event.get("rawQueryString") else 0
        return f"{size} {sum(held[:1000])}"
    """
    (tmp_path / "index.py").write_text("import os\n" + textwrap.dedent(code))
    (tmp_path / "blob").write_bytes(os.urandom(1 << 20) * 20)
    manifest = tmp_path.parent / "fat.yaml"
    manifest.write_text(json.dumps(function("fat", {"path": str(tmp_path)}, memory="400Mi", timeout="20s", scaling={"max": 1})))
    before = machine_state()
    with pytest.MonkeyPatch.context() as patch, memory_limit(600):
        patch.setenv("ROUSE_FREEZE_AFTER", AFTER)
        patch.setenv("ROUSE_RECLAIM_BELOW", "50")
        p = Platform()
        try:
            p.rouse("apply", "-f", str(manifest))
            first = p.call("/fat").text
            for blob in p.state.rglob("cache/*/blob"):    # whoever reads it pays for it
                fd = os.open(blob, os.O_RDONLY)
                os.fsync(fd)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(fd)
            assert p.call("/fat?read").text.split()[0] == str(20 << 20)
            frozen(p, "fat")
            wait_until("memory to come back", lambda: p.metric("rouse_reclaimed_bytes_total", node=0) > 10 << 20)
            assert p.call("/fat").text == first
        finally:
            p.down()
            left = left_behind(p, before)
            shutil.rmtree(p.state, ignore_errors=True)
    assert not left, left


def test_never():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROUSE_FREEZE_AFTER", "never")
        with contextlib.contextmanager(_platform)(1) as p:
            deploy(p, "awake", "python3")
            spins = call(p, "awake", "?spin")[2]
            wait_until("it to spin on", lambda: call(p, "awake")[2] > spins + 1000)
            assert p.metric("rouse_freezes_total", node=0) == 0
