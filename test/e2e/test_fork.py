"""spec.start: fork with real functions: instances that are forks of one that was initialised."""
import os
import time

import pytest
from harness import EXAMPLES, function, wait_until

CODE = """
import json, os, random, signal, subprocess, sys, threading, time, uuid
random.seed(1)
state = ["module"]

def init(context):
    state.append("init")
    print("initialising")

def after(context):
    state.append("after")

def fail(context):
    raise ConnectionError("no database")

def threads(context):
    threading.Thread(target=time.sleep, args=(3600,), daemon=True, name="sleeper").start()

def handler(event, context):
    query = event.get("queryStringParameters") or {}
    return globals()["do_" + query.get("do", "who")](query)

def do_who(query):
    return {"state": state, "pid": os.getpid(), "parent": os.getppid(), "random": random.random(),
            "uuid": str(uuid.uuid4()), "instance": os.environ["ROUSE_INSTANCE"], "revision": os.environ["ROUSE_REVISION"]}

# All forks of a node see one /tmp.
def count(kind):
    return sum(name.startswith(kind) for name in os.listdir("/tmp"))

def until(kind, n=1):
    while count(kind) < n:
        time.sleep(0.002)

def do_wait(query):
    open(f"/tmp/waits.{os.getpid()}", "w").close()
    until("go")
    return do_who(query)

def do_go(query):
    until("waits", int(query.get("n", 1)))
    open("/tmp/go", "w").close()
    return do_who(query)

def do_eat(query):
    until("waits")
    eaten = []
    while True:
        eaten.append(bytearray(1 << 20))

def do_spin(query):
    until("waits")
    while True:
        pass

def do_print(query):
    print("by print")
    os.write(1, b"by write\\n")
    subprocess.run(["sh", "-c", "echo by a child; echo to its stderr > /dev/stderr"])
    return "printed"

def do_exit(query):
    os._exit(7)

def do_kill(query):
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(3600)

def do_left(query):
    child = os.fork() if query.get("make") else None
    if child == 0:
        time.sleep(3600)
    return {"child": child, "pids": [int(n) for n in os.listdir("/proc") if n.isdigit()]}
"""
# Who meets in /tmp must have one template, and each loop has its own.
ONE_LOOP = pytest.mark.skipif(os.environ.get("ROUSE_LOOPS", "1") not in ("0", "1"), reason="several loops, several templates")
HOOKED = {"initializer": "index.init", "afterFork": "index.after"}


def fork(name, code=CODE, **spec):
    spec = {"lifecycle": {"initializer": "index.init"}, "scaling": {"idleTimeout": "1s"}, "timeout": "20s", **spec}
    return function(name, code, start="fork", **spec)


def call(platform, name, **query):
    return platform.call(f"/{name}?" + "&".join(f"{k}={v}" for k, v in query.items()))


def who(platform, name, **query):
    r = call(platform, name, **query)
    assert r.status == 200, r
    return r.json


def names(platform, name):
    return {i["metadata"]["name"] for i in platform.instances(name)}


def asleep(platform, name):
    wait_until("scale to zero", lambda: not platform.instances(name))


def templates(platform):
    return platform.metric("rouse_templates", node=0) or 0


def logs(platform, name):
    return platform.rouse("logs", name).stdout


@pytest.fixture(autouse=True)
def no_template_is_left(platform):
    yield
    for f in platform.api("GET", "/apis/rouse.dev/v1/namespaces/default/functions").json["items"]:
        platform.delete(f["metadata"]["name"])
    wait_until("templates end with their functions", lambda: templates(platform) == 0)


def test_instances_are_forks_of_one_that_was_initialised(platform):
    platform.apply(fork("plain", lifecycle=HOOKED))
    forks = platform.metric("rouse_forks_total", node=0) or 0
    seen = []
    for _ in range(3):
        seen.append(who(platform, "plain"))
        again = who(platform, "plain")
        assert again["pid"] == seen[-1]["pid"] and again["state"] == ["module", "init", "after"]
        asleep(platform, "plain")
    for field in ("pid", "random", "uuid", "instance"):
        assert len({s[field] for s in seen}) == 3, (field, seen)
    assert len({s["parent"] for s in seen}) == 1
    assert templates(platform) == 1
    assert platform.metric("rouse_forks_total", node=0) == forks + 3
    assert logs(platform, "plain").count("initialising") == 1


def test_the_example(platform):
    text = (EXAMPLES / "fork.yaml").read_text()
    platform.rouse("apply", "-f", "-", input=text.replace("  start: fork", "  start: fork\n  scaling: {idleTimeout: 1s}"))
    answers = []
    for _ in range(2):
        answers.append(who(platform, "forked"))
        asleep(platform, "forked")
    assert [a["answer"] for a in answers] == [42, 42]
    assert answers[0]["worker"] != answers[1]["worker"] and answers[0]["pid"] != answers[1]["pid"]


DRAWS = """
import ctypes, os, random, secrets, socket, ssl, tempfile, time, uuid
libc = ctypes.CDLL(None)

def of_the_kernel():
    drawn = ctypes.create_string_buffer(16)
    libc.getrandom(drawn, 16, 0)
    return drawn.raw.hex()

def draw():
    return {"os": os.urandom(8).hex(), "random": random.random(), "SystemRandom": random.SystemRandom().random(), "uuid1": uuid.uuid1().hex,
            "uuid4": uuid.uuid4().hex, "ssl": ssl.RAND_bytes(8).hex(), "secrets": secrets.token_hex(8), "getrandom": of_the_kernel(),
            "tempfile": next(tempfile._get_candidate_names())}

def init(context):
    global server, shared, born
    random.seed(1)
    draw()
    server = socket.create_server(("127.0.0.1", 0))
    shared = socket.create_connection(server.getsockname())
    born = time.monotonic()

def after(context):
    global own, first
    own = socket.create_connection(server.getsockname())
    first = draw()

def handler(event, context):
    inode = lambda s: os.fstat(s.fileno()).st_ino
    return {"first": first, "then": draw(), "shared": inode(shared), "own": inode(own), "born": born, "monotonic": time.monotonic(),
            "boot": time.clock_gettime(time.CLOCK_BOOTTIME), "real": time.time()}
"""


def test_what_is_each_forks_own(platform):
    """As runtime-sdk/python/fork.md has it: randomness is, the initializer's connections are not, clocks are the node's."""
    clocks = {"monotonic": time.monotonic, "real": time.time, "boot": lambda: time.clock_gettime(time.CLOCK_BOOTTIME)}
    platform.apply(fork("draws", DRAWS, lifecycle=HOOKED))
    forks = []
    for _ in range(3):
        before = {name: clock() for name, clock in clocks.items()}
        forks.append(who(platform, "draws"))
        for name, clock in clocks.items():
            assert before[name] <= forks[-1][name] <= clock(), name
        asleep(platform, "draws")
    for at in ("first", "then"):
        for kind in forks[0][at]:
            assert len({f[at][kind] for f in forks}) == 3, (at, kind, forks)
    assert [len({f[what] for f in forks}) for what in ("born", "shared", "own")] == [1, 1, 3], forks


@ONE_LOOP
def test_two_at_once_are_two_processes(platform, together):
    platform.apply(fork("two", lifecycle=HOOKED))
    one, other = together(who, platform, "two", do="wait"), together(who, platform, "two", do="go")
    one, other = one.result(), other.result()
    for field in ("pid", "random", "uuid", "instance"):
        assert one[field] != other[field], field
    assert one["parent"] == other["parent"]
    assert one["state"] == other["state"] == ["module", "init", "after"]


@ONE_LOOP
def test_a_burst_of_first_requests(platform, together):
    """While the template is made all wait for it; then each has its fork."""
    platform.apply(fork("burst"))
    answers = [together(who, platform, "burst", do="wait") for _ in range(5)]
    go = who(platform, "burst", do="go", n=5)
    pids = {a.result()["pid"] for a in answers} | {go["pid"]}
    assert len(pids) == 6
    assert logs(platform, "burst").count("initialising") == 1


def test_outputs_are_the_forks_own(platform):
    platform.apply(fork("printing"))
    for _ in range(2):
        assert call(platform, "printing", do="print").status == 200
        asleep(platform, "printing")
    for line in ("by print", "by write", "by a child", "to its stderr"):
        wait_until(line, lambda line=line: logs(platform, "printing").count(line) == 2)


@ONE_LOOP
def test_oom_of_one_does_not_end_the_other(platform, together):
    platform.apply(fork("oom", memory="64Mi"))
    other = together(who, platform, "oom", do="wait")
    r = call(platform, "oom", do="eat")
    assert r.status == 502 and r.json["reason"] == "OOMKilled", r
    go = who(platform, "oom", do="go")
    assert other.result()["pid"] != go["pid"]
    assert templates(platform) == 1


@ONE_LOOP
def test_a_timeout_ends_its_own_instance(platform, together):
    platform.apply(fork("late", timeout="3s", scaling={"min": 2, "max": 2}))    # none drained as one too many
    one = together(who, platform, "late", do="wait")
    both = {who(platform, "late", do="go")["instance"], one.result()["instance"]}
    assert len(both) == 2
    r = call(platform, "late", do="spin")
    assert r.status == 504, r
    wait_until("the end of one", lambda: len(both & names(platform, "late")) == 1)
    # The one that is left would have ended with it, or with the template.
    state = wait_until("the other one", lambda: [i["status"]["state"] for i in platform.instances("late")
                                                 if i["metadata"]["name"] in both])
    assert state in (["Ready"], ["Frozen"])
    assert templates(platform) == 1


def test_what_a_fork_started_ends_with_it(platform):
    platform.apply(fork("left"))
    made = who(platform, "left", do="left", make=1)
    assert made["child"] in made["pids"]
    asleep(platform, "left")
    # Its zombie may be seen once: the sandbox's init, which reaps it, sleeps as the template does.
    wait_until("its end", lambda: made["child"] not in who(platform, "left", do="left")["pids"])


def test_exit_codes_are_told_and_crashes_back_off(platform):
    platform.apply(fork("crash"))
    assert call(platform, "crash", do="exit").status == 502
    def degraded():
        call(platform, "crash", do="exit")
        f = platform.get("crash")
        return next((c for c in f["status"].get("conditions", []) if c["type"] == "Degraded" and c["status"] == "True"),
                    None)
    why = wait_until("the crash loop", degraded)
    assert "exit code 7" in why["message"], why


@pytest.mark.parametrize("hook,text", [
    ("index.fail", "the afterFork hook 'index.fail' failed: ConnectionError: no database"),
    ("index.nothing", "Runtime.NoSuchHook"),
])
def test_an_after_fork_hook_that_fails_says_why(platform, hook, text):
    platform.apply(fork("unhooked", lifecycle={"afterFork": hook}))
    r = call(platform, "unhooked")
    assert r.status == 502 and r.json["reason"] == "InitFailed", r
    def why():
        f = platform.get("unhooked")
        return next((c["message"] for c in f["status"].get("conditions", []) if c["type"] == "Degraded"), "")
    wait_until("the condition", lambda: text in why())


def test_a_template_with_threads_is_none(platform):
    platform.apply(fork("threads", lifecycle={"initializer": "index.threads"}))
    assert who(platform, "threads")["parent"] == 1
    asleep(platform, "threads")
    assert who(platform, "threads")["parent"] == 1
    said = logs(platform, "threads")
    assert said.count("this instance starts as others do") == 1 and "sleeper" in said, said
    assert templates(platform) == 0


def test_a_template_that_was_killed_is_made_anew(platform):
    platform.apply(fork("killed"))
    first = who(platform, "killed")
    assert call(platform, "killed", do="kill").status == 502  # with all of its forks
    wait_until("another", lambda: call(platform, "killed").status == 200)
    wait_until("its line", lambda: logs(platform, "killed").count("initialising") == 2)
    assert who(platform, "killed")["instance"] != first["instance"]
    wait_until("the first one's end", lambda: templates(platform) == 1)


def test_a_new_revision_ends_the_template_of_the_old(platform):
    platform.apply(fork("changing"))
    old = who(platform, "changing")
    platform.apply(fork("changing", env=[{"name": "X", "value": "1"}]))
    new = wait_until("the new one", lambda: (lambda w: w["revision"] != old["revision"] and w)(who(platform, "changing")))
    assert new["parent"] > 0
    wait_until("one template is left", lambda: templates(platform) == 1)
    assert logs(platform, "changing").count("initialising") == 2


HOSTILE = """
import json, os, socket, struct, time

def hello(token):
    text = json.dumps({"protocol": 1, "runtime": "x", "pid": 1, "fork": token}).encode()
    return struct.pack("<IBBHQ", len(text), 1, 0, 0, 0) + text

def knock():
    # For ever: connections that say nothing, nonsense, and ids that nobody asked for.
    kept, n = [], 0
    while True:
        n += 1
        try:
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(1)
            s.connect(os.environ["ROUSE_RUNTIME_SOCKET"])
            s.sendall([b"", b"\\xff" * 64, hello(1 << 40), hello(-1), hello("x")][n % 5])
            kept.append(s)
        except OSError:
            time.sleep(0.001)
        del kept[:-50]

def init(context):
    for _ in range(2):
        if not os.fork():
            knock()

def steal(context):
    # Ids are easy to guess: who says the right one first is the fork, with a fork's limits.
    if not os.fork():
        kept = []
        while True:
            for token in range(1, 8):
                try:
                    s = socket.socket(socket.AF_UNIX)
                    s.settimeout(1)
                    s.connect(os.environ["ROUSE_RUNTIME_SOCKET"])
                    s.sendall(hello(token))
                    kept.append(s)
                except OSError:
                    time.sleep(0.001)
            del kept[:-50]

def lie(context):
    import sys
    runtime = sys._getframe(1).f_locals["self"]
    runtime.__class__.fork = lambda self, ident: None

def handler(event, context):
    return {"instance": os.environ["ROUSE_INSTANCE"], "pid": os.getpid()}
"""


@pytest.mark.parametrize("hook", ["init", "steal", "lie"])
def test_a_hostile_template_harms_its_own_function_alone(platform, hook):
    platform.apply(fork("neighbour"), fork("hostile", HOSTILE, lifecycle={"initializer": f"index.{hook}"}, timeout="3s"))
    pid = platform.pid("node-1")
    who(platform, "neighbour")
    for _ in range(3):
        assert call(platform, "hostile").status in (200, 502, 503, 504)
        who(platform, "neighbour")
    assert platform.pid("node-1") == pid
    assert call(platform, "neighbour").status == 200
