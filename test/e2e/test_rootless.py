"""`rouse up` without root: the README's commands as a user who has nothing but a home, and what the one warning says."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import stat
import subprocess
import tempfile

import pytest
from harness import BIN, EXAMPLES, TOP, free_offset, function, http_request, machine_state, platform_id, wait_until

LOOK = r'''
import os, socket
def handler(event, context):
    seen = {"uid": os.getuid(), "processes": sorted(int(p) for p in os.listdir("/proc") if p.isdigit()),
            "root": sorted(os.listdir("/")), "links": [l.split(":")[0].strip() for l in open("/proc/net/dev")][2:]}
    for name, path in {"home": HOME, "code": "/var/task/index.py"}.items():
        try:
            open(path, "a" if name == "code" else "r")
            seen[name] = "opened"
        except OSError as e:
            seen[name] = type(e).__name__
    try:
        socket.create_connection(("192.0.2.1", 80), 1)
    except OSError as e:
        seen["outside"] = os.strerror(e.errno) if e.errno else "waited"
    return seen
'''


class User:
    """Somebody with an id of his own, no name and a home below /tmp."""

    def __init__(self, subids=None):
        self.id = 61000 + os.getpid() % 4000 + (5000 if subids else 0)
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="rouse-user-", dir="/tmp"))
        os.chown(self.home, self.id, self.id)
        self.state = self.home / ".local/state/rouse"
        self.env = {"HOME": str(self.home), "PATH": f"{BIN}:/usr/bin:/bin:/usr/sbin:/sbin"}
        self.become = ["setpriv", "--reuid", str(self.id), "--regid", str(self.id), "--clear-groups"]
        if subids:
            self.have_subids(subids)

    def have_subids(self, first):
        """A name and a range of ids, in a mount namespace of the user's own."""
        etc = self.home.with_suffix(".etc")
        etc.mkdir()
        for name in ("subuid", "subgid"):
            (etc / name).write_text(f"roland:{first}:1000\n")
        (etc / "passwd").write_text(pathlib.Path("/etc/passwd").read_text() + f"roland:x:{self.id}:{self.id}::{self.home}:/bin/sh\n")
        over = f"mount -t overlay rouse-test -o lowerdir={etc}:/etc /etc"
        self.become = ["unshare", "-m", "--propagation", "private", "sh", "-c", f'{over} && exec "$@"', "sh", *self.become]

    def run(self, *args, check=True, cwd=None, timeout=90):
        r = subprocess.run([*self.become, *map(str, args)],
                           env=self.env, cwd=cwd or self.home, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           timeout=timeout)
        assert not check or r.returncode == 0, f"{args}: exit {r.returncode}\n{r.stdout}\n{self.log()}"
        return r.stdout

    def remove(self):
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.rmtree(self.home.with_suffix(".etc"), ignore_errors=True)

    def log(self):
        path = self.state / "logs/agent-node-1.log"
        return path.read_text() if path.exists() else ""


def processes_of(uid):
    mine = []
    for p in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if p.stat().st_uid == uid and (p / "cmdline").read_bytes():
                mine.append(int(p.name))
    return mine


@pytest.fixture(scope="module")
def user():
    if not shutil.which("setpriv"):
        pytest.skip("no setpriv here")
    u = User()
    yield from platform_of(u)


def platform_of(u):
    if subprocess.run([*u.become, "unshare", "-Ur", "cat", str(BIN / "rouse")], stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL).returncode:
        u.remove()
        pytest.skip("users make no user namespaces here, or cannot read the programs")
    u.said = u.run("rouse", "up", "--port-offset", free_offset())
    u.info = json.loads((u.state / "platform.json").read_text())
    u.gateway = u.info["nodes"][0]["gateway"]
    yield u
    u.run("rouse", "down", check=False)
    left = processes_of(u.id)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    own = (u.info["id"], platform_id(u.state / "agents/node-1"))
    machine = [x for x in machine_state() if any(i in x for i in own)]
    u.remove()
    assert not left and not machine, (left, machine)


@pytest.fixture(scope="module")
def user_with_ids():
    for program in ("setpriv", "newuidmap", "newgidmap"):
        if not shutil.which(program):
            pytest.skip(f"no {program} here")
    yield from platform_of(User(subids=3000000))


def call(user, path):
    return http_request(user.gateway, "GET", path)


def apply(user, *functions):
    file = user.home / "functions.yaml"
    file.write_text("\n---\n".join(json.dumps(f) for f in functions))
    user.run("rouse", "apply", "-f", file)


def test_what_cannot_be_enforced_is_said_once(user):
    warnings = [line for line in user.log().splitlines() if " warn " in line]
    assert len(warnings) == 1 and "not root: instances have " in warnings[0], warnings
    for what in ("memory", "cpu", "network", "port"):
        assert f"no {what}" in warnings[0] or f"with a {what}" in warnings[0], warnings
    said = [line for line in user.said.splitlines() if "ot root" in line]
    assert len(said) == 1 and said[0] == "node-1: " + warnings[0][warnings[0].index("not root"):], (said, warnings)


def test_the_commands_of_the_readme(user):
    for example, path in (("hello.yaml", "/hello/serverless"), ("hello-node.yaml", "/hello/node")):
        user.run("rouse", "apply", "-f", EXAMPLES / example)
        assert call(user, path).text.strip() == "Hello Serverless"
    assert "hello-node" in user.run("rouse", "get", "functions")
    assert "somebody called" in user.run("rouse", "logs", "hello")
    assert "Hello Serverless" in user.run("rouse", "invoke", "hello", "-d", '{"name": "you"}')
    user.run("rouse", "kubeconfig", "--write", user.home / "kubeconfig")
    assert stat.S_IMODE((user.home / "kubeconfig").stat().st_mode) == 0o600
    assert "Ready" in user.run("rouse", "status")


def test_a_function_in_c_from_nothing(user):
    user.run("rouse", "new", "c", "greet")
    project = user.home / "greet"
    assert "greet" in user.run("rouse", "run", "--event", "{}", cwd=project)
    user.run("rouse", "deploy", cwd=project)
    assert "greet" in user.run("rouse", "invoke", "greet")


def test_what_a_function_sees(user):
    secret = user.home / "secret"
    secret.write_text("mine")
    apply(user, function("look", f"HOME = {str(secret)!r}\n" + LOOK))
    seen = call(user, "/look").json
    assert seen["uid"] == 1000 and seen["home"] == "FileNotFoundError" and seen["code"] == "OSError", seen
    assert seen["links"] == ["lo"] and seen["outside"] == "Network is unreachable", seen
    assert len(seen["processes"]) <= 3 and not {"home", "root", "work", "mnt"} & set(seen["root"]) - {"root"}, seen


OUTPUT = """
import os, time
def handler(event, context):
    with open("/dev/stdout", "w") as f:
        f.write("through the name\\n")
    return {"uid": os.getuid(), "map": open("/proc/self/uid_map").read().split(), "groups": os.getgroups()}
"""


def test_functions_have_ids_of_their_own(user_with_ids):
    """With ranges in /etc/subuid, two functions are two users, neither of which is the agent's."""
    user = user_with_ids
    warnings = [line for line in user.log().splitlines() if " warn " in line]
    assert len(warnings) == 1 and "ids" not in warnings[0], warnings
    apply(user, function("one", OUTPUT), function("two", OUTPUT))
    one, two = call(user, "/one").json, call(user, "/two").json
    assert one["uid"] == two["uid"] == 1000 and one["groups"] == []
    maps = [[int(x) for x in seen["map"]] for seen in (one, two)]
    outside = [m[m.index(1000) + 1] for m in maps]
    assert all(3000000 <= n < 3001000 for n in outside) and outside[0] != outside[1], maps
    wait_until("the line to be logged", lambda: "through the name" in user.run("rouse", "logs", "one"))
    assert all(processes_of(n) for n in outside)
    secret = user.home / "secret"
    secret.write_text("mine")
    apply(user, function("look", f"HOME = {str(secret)!r}\n" + LOOK))
    assert call(user, "/look").json["links"] == ["lo"]
    user.run("rouse", "apply", "-f", EXAMPLES / "hello-node.yaml")
    assert call(user, "/hello/node").text.strip() == "Hello Serverless"


FORKED = """
import os, sys
def init(context):
    print("initialising")
def handler(event, context):
    with open("/dev/stderr", "w") as f:
        f.write("by a fork\\n")
    return os.getpid(), os.getppid()
"""


@pytest.mark.parametrize("who", ["user", "user_with_ids"])
def test_forks(request, who):
    user = request.getfixturevalue(who)
    apply(user, function("forked", FORKED, start="fork", scaling={"idleTimeout": "1s"},
                         lifecycle={"initializer": "index.init"}))
    pid, parent = call(user, "/forked").json
    wait_until("scale to zero", lambda: "forked" not in user.run("rouse", "get", "instances"))
    other = call(user, "/forked").json
    assert other[0] != pid and other[1] == parent, user.run("rouse", "logs", "forked") + user.log()
    log = user.run("rouse", "logs", "forked")
    assert log.count("initialising") == 1 and "by a fork" in log, log
    user.run("rouse", "delete", "forked")


def test_a_port_is_refused_with_the_reason(user):
    server = "import http.server, os\nhttp.server.HTTPServer(('', int(os.environ['PORT'])), " \
             "http.server.SimpleHTTPRequestHandler).serve_forever()"
    apply(user, function("server", {"inline": {"server.py": server}}, handler="server.py", port=8000))
    assert call(user, "/server").status == 502
    text = wait_until("the condition", lambda: (t := user.run("rouse", "get", "functions", "server", "-o", "yaml"))
                      and "root" in t and t)
    assert "a function with a port needs an agent that runs as root" in text, text


def test_files_are_the_users_own(user):
    for path in [user.state, *user.state.rglob("*")]:
        s = path.lstat()
        assert s.st_uid == user.id, path
        if not stat.S_ISLNK(s.st_mode) and not stat.S_ISSOCK(s.st_mode):
            assert not s.st_mode & 0o022, f"{path}: {stat.filemode(s.st_mode)}"
    for private in ("agents", "controller"):
        assert stat.S_IMODE((user.state / private).stat().st_mode) == 0o700


def test_nodes_need_root(user):
    out = user.run("rouse", "up", "--nodes", "2", "--state", user.home / "other", check=False)
    assert "need root" in out, out


def test_down_and_up_again(user):
    user.run("rouse", "down")
    wait_until("all processes to end", lambda: not processes_of(user.id))
    offset = int(re.search(r":(\d+)$", user.gateway)[1]) - 8080
    user.run("rouse", "up", "--port-offset", offset)
    assert call(user, "/hello/serverless").text.strip() == "Hello Serverless"


def test_the_checkout_is_as_it_was(user):
    """Nothing is installed or written beside the state directory and what was asked for."""
    found = subprocess.run(["find", str(TOP), "-xdev", "-user", str(user.id), "-not", "-path", "*/.git/*"], text=True,
                           capture_output=True).stdout
    assert found == ""
    mine = {p.name for p in user.home.iterdir()}
    assert mine <= {".local", "greet", "functions.yaml", "kubeconfig", "secret", ".cache"}, mine
