"""Hostile functions: what they try to reach, to use up and to say, each refused for the stated reason.

The attackers are real functions on a real platform; a well-behaved neighbour is called all the while.
"""
import json
import pathlib
import platform as machine
import socket
import subprocess

import pytest
from harness import function, wait_until

SECRET = "the-neighbours-secret"

NEIGHBOUR = f"""
import socket, threading
SECRET = {SECRET!r}
server = socket.create_server(("", 4444))
def handler(event, context):
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    probe.connect(("192.0.2.1", 9))
    return probe.getsockname()[0]
"""

ATTACKER = r'''
import ctypes, errno, fcntl, json, os, resource, socket, struct, threading, time

libc = ctypes.CDLL(None, use_errno=True)


def outcome(f, *args):
    """ "OK", or the errno's name. """
    try:
        f(*args)
        return "OK"
    except OSError as e:
        return errno.errorcode.get(e.errno, repr(e))


def call(number, *args):
    if libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in args]) == -1:
        raise OSError(ctypes.get_errno(), "")


def system_calls(table):
    return {name: outcome(call, *[a.encode() if isinstance(a, str) else a for a in args])
            for name, args in table.items()}


def write(path):
    with open(path, "wb", 0) as f:
        f.write(b"0")


def writes(paths):
    return {p: outcome(write, p) for p in paths}


def reads(paths):
    seen = {}
    for p in paths:
        try:
            with open(p, "rb", 0) as f:
                seen[p] = f.read(200).decode("latin1")
        except OSError as e:
            seen[p] = errno.errorcode[e.errno]
    return seen


def look_around(backwards):
    secret = backwards[::-1].encode()
    found = []
    for top in ("/proc", "/tmp", "/run", "/var", "/dev", "/etc", "/opt", "/sys", "/root"):
        for folder, _, files in os.walk(top, onerror=None):
            for name in files:
                path = os.path.join(folder, name)
                try:
                    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
                    try:
                        if secret in os.read(fd, 65536):
                            found.append(path)
                    finally:
                        os.close(fd)
                except OSError:
                    pass
    return {"found": found, "processes": sorted(int(p) for p in os.listdir("/proc") if p.isdigit()),
            "root": sorted(os.listdir("/")), "dev": sorted(os.listdir("/dev"))}


def status(_):
    with open("/proc/self/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f)


def gateway():
    with open("/proc/net/route") as f:
        for line in f.read().splitlines()[1:]:
            if line.split()[1] == "00000000":
                return socket.inet_ntoa(bytes.fromhex(line.split()[2])[::-1])


def connect(addresses):
    seen = {}

    def one(host, port):
        s = socket.socket()
        s.settimeout(1)
        try:
            s.connect((host or gateway(), port))
            seen[f"{host}:{port}"] = "CONNECTED"
        except OSError as e:
            seen[f"{host}:{port}"] = type(e).__name__
        s.close()

    threads = [threading.Thread(target=one, args=a) for a in addresses]
    [t.start() for t in threads]
    [t.join() for t in threads]
    return seen


def use_up(f):
    n = 0
    try:
        while n < 1000000:
            f(n)
            n += 1
    except OSError as e:
        return [n, errno.errorcode[e.errno]]
    return [n, "OK"]


def fork(_):
    if os.fork() == 0:
        time.sleep(3)
        os._exit(0)


def bombs(what):
    if what == "processes":
        return use_up(fork)
    if what == "descriptors":
        keep = []
        result = use_up(lambda n: keep.append(os.dup(0)))
        [os.close(fd) for fd in keep]
        return result
    if what == "tmp":
        fd = os.open("/tmp/big", os.O_WRONLY | os.O_CREAT)
        result = use_up(lambda n: os.write(fd, bytes(1 << 20)))
        os.unlink("/tmp/big")
        return result
    if what == "names":
        return use_up(lambda n: os.close(os.open(f"/tmp/{n}", os.O_CREAT, 0o600)))


def socket_memory(_):
    """Bytes that the kernel keeps for connections nobody reads."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (3000, 3000))
    server = socket.create_server(("127.0.0.1", 0), backlog=1000)
    kept, held = 0, []
    for _ in range(400):
        s = socket.create_connection(server.getsockname())
        held += [s, server.accept()[0]]
        s.setblocking(False)
        try:
            while True:
                kept += s.send(bytes(1 << 18))
        except BlockingIOError:
            pass
    return kept


def flows(count):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for i in range(count):
        try:
            s.sendto(b"x", ("192.0.2.%d" % (1 + i % 4), 1 + i // 4))
        except OSError:
            pass


def shout(seconds):
    n, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        n += os.write(1, b"\n" * 4096)
    return n


def frames(what):
    """Speaks over the bootstrap's own connection, and leaves the rest to it."""
    runtime = next(s for s in map(borrow, range(3, 64)) if s)
    frame = lambda kind, flags, ident, payload=b"": struct.pack("<IBBHQ", len(payload), kind, flags, 0, ident) + payload
    runtime.settimeout(5)
    try:
        if what == "garbage":
            runtime.sendall(b"GET / HTTP/1.1\r\n\r\n" * 10)
        if what == "huge":
            runtime.sendall(struct.pack("<IBBHQ", 0xffffffff, 5, 0, 0, 1))
        if what == "stranger":
            runtime.sendall(frame(5, 1, 1 << 60, b"{}"))
        if what == "body":
            runtime.sendall(frame(3, 0, 1, b"x"))
        if what == "invoke":
            runtime.sendall(frame(2, 1, 1, bytes(16)))
        if what == "hello":
            runtime.sendall(frame(1, 0, 0, b'{"protocol":1}'))
        if what == "endless":
            runtime.sendall(frame(5, 4, 1))
            while True:
                runtime.sendall(frame(3, 0, 1, bytes(1 << 20)))
        if what == "lines":
            while True:
                runtime.sendall(frame(10, 0, 1, b"\n" * 65536))
    except OSError:
        pass
    time.sleep(20)


def borrow(fd):
    try:
        s = socket.socket(fileno=os.dup(fd))
        if s.getpeername() == os.environ["ROUSE_RUNTIME_SOCKET"]:
            return s
        s.close()
    except OSError:
        return None


def foreign_call(_):
    libc.syscall(ctypes.c_long(0x40000000 + 39))  # getpid, as x32 numbers it


def background(_):
    if os.fork() == 0:
        import signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.setsid()
        time.sleep(1000)
    os._exit(0)


def many_values(n):
    return {"statusCode": 200, "x": [0] * n}


def handler(event, context):
    what, argument = json.loads(event["body"])
    return globals()[what](argument)
'''


@pytest.fixture(scope="module")
def attack(platform):
    platform.apply(function("neighbour", NEIGHBOUR, env=[{"name": "SECRET", "value": SECRET}]),
                   function("inside", ATTACKER, timeout="20s", cpu="1000m", memory="384Mi"))

    def call(what, argument=None, alone=None):
        name = "inside"
        if alone:  # in an instance that does not survive: a function of its own, so that its back-off is too
            name = f"lone-{alone}"
            platform.apply(function(name, ATTACKER, timeout="2s"))
        r = platform.call(f"/{name}", method="POST", body=json.dumps([what, argument]).encode())
        neighbour = platform.call("/neighbour")
        assert neighbour.status == 200, neighbour
        return r

    return call


def test_system_calls(attack):
    if machine.machine() != "x86_64":
        pytest.skip("system call numbers of x86_64")
    refused = {
        "mount": [165, "none", "/tmp", "tmpfs", 0, 0], "remount the code": [165, 0, "/var/task", 0, 0x1020, 0],
        "umount": [166, "/var/task", 2], "pivot_root": [155, "/tmp", "/tmp"], "chroot": [161, "/tmp"],
        "open_tree": [428, -100, "/", 1], "fsopen": [430, "tmpfs", 0],
        "move_mount": [429, -100, "/", -100, "/tmp", 0], "mount_setattr": [442, -100, "/var/task", 0, 0, 0],
        "setns": [308, 0, 0], "ptrace": [101, 16, 1, 0, 0], "seize": [101, 0x4206, 1, 0, 0],
        "process_vm_readv": [310, 1, 0, 0, 0, 0, 0], "pidfd_getfd": [438, 0, 0, 0],
        "mknod": [133, "/tmp/mem", 0o20666, 0x101], "raw socket": [41, 2, 3, 1], "io_uring": [425, 1, 0],
        "bpf": [321, 0, 0, 0], "perf": [298, 0, 0, -1, -1, 0], "keyctl": [250, 0, -3, 0],
        "add_key": [248, "user", "a", "b", 1, -3], "userfaultfd": [323, 0], "setuid": [105, 0], "setgid": [106, 0],
        "setgroups": [116, 0, 0], "reboot": [169, 0, 0, 0, 0], "syslog": [103, 10, 0, 0],
        "open_by_handle_at": [304, 0, 0, 0], "init_module": [175, 0, 0, ""], "kexec": [246, 0, 0, 0, 0],
        "sethostname": [170, "x", 1], "clock_settime": [227, 0, 0], "quotactl": [179, 0, 0, 0, 0],
        "type into a terminal": [16, 0, 0x5412, "x"], "the same, by the low bits": [16, 0, 0x700005412, "x"],
    }
    unknown = {
        "user namespace": [272, 0x10000000], "mount namespace": [272, 0x20000], "network namespace": [272, 0x40000000],
        "clone into namespaces": [56, 0x10000000 | 17, 0, 0, 0, 0], "clone3": [435, 0, 0],
        "packet socket": [41, 17, 3, 0], "netfilter": [41, 16, 3, 12], "audit": [41, 16, 3, 9],
        "generic netlink": [41, 16, 3, 16], "vsock": [41, 40, 1, 0], "AF_ALG": [41, 38, 5, 0],
        "bluetooth": [41, 31, 3, 1], "xdp": [41, 44, 3, 0], "no address randomisation": [135, 0x40000],
        "a call of tomorrow": [600],
    }
    seen = attack("system_calls", {**refused, **unknown}).json
    assert {k: v for k, v in seen.items() if k in refused} == dict.fromkeys(refused, "EPERM")
    assert {k: v for k, v in seen.items() if k in unknown} == dict.fromkeys(unknown, "ENOSYS")


def test_foreign_call_numbers_kill(attack):
    if machine.machine() != "x86_64":
        pytest.skip("x32 is x86_64's")
    r = attack("foreign_call", alone="x32")
    assert r.status == 502 and "Bad system call" in r.json["message"], r


def test_signals_do_not_leave(attack):
    assert attack("system_calls", {"kill the init": [62, 1, 9]}).json == {"kill the init": "OK"}  # and it lives
    assert attack("look_around", "").json["processes"][:1] == [2]


def test_files(attack):
    read_only = ["/var/task/index.py", "/usr/bin/new", "/new", "/etc/hosts", "/etc/passwd", "/run/new", "/dev/new", "/sys/new",
                 "/proc/sys/kernel/core_pattern", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/vm/drop_caches"]
    seen = attack("writes", read_only + ["/tmp/new", "/dev/shm/new"]).json
    assert [seen.pop("/tmp/new"), seen.pop("/dev/shm/new")] == ["OK", "OK"]
    assert set(seen.values()) == {"EROFS"}, seen
    hidden = attack("reads", ["/proc/1/environ", "/proc/1/mem", "/proc/1/maps", "/proc/kcore", "/proc/kallsyms",
                              "/proc/keys", "/proc/timer_list", "/proc/sysrq-trigger", "/proc/kmsg"]).json
    assert set(hidden.values()) <= {"", "ENOENT", "EACCES", "EPERM"}, hidden


def test_privileges(attack):
    s = attack("status").json
    assert {s[c] for c in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert s["NoNewPrivs"] == "1" and s["Seccomp"] == "2" and "0" not in s["Uid"].split()


def test_the_neighbour_is_not_there(attack):
    seen = attack("look_around", SECRET[::-1]).json
    assert seen["found"] == []
    assert len(seen["processes"]) <= 3
    assert not {"home", "work", "srv", "boot", "mnt"} & set(seen["root"]), seen["root"]
    assert set(seen["dev"]) == {"fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom", "zero"}


def test_network(platform, attack):
    neighbour = platform.call("/neighbour").text
    ports = [int(a.rsplit(":", 1)[1]) for a in [platform.info[k] for k in ("api", "front", "control")] +
             [platform.nodes[0][k] for k in ("gateway", "peer", "metrics")]]
    with socket.create_server(("0.0.0.0", 0)) as open_to_all:
        port = open_to_all.getsockname()[1]
        own = subprocess.run(["hostname", "-I"], text=True, capture_output=True).stdout.split()
        targets = [(None, p) for p in [port, *ports]]                                # the node's end of the link
        targets += [(a, port) for a in own if "." in a]                              # the node's other addresses
        targets += [(neighbour, 4444), ("169.254.169.254", 80), ("100.100.100.200", 80)]
        seen = attack("connect", targets).json
    # Dropped, not answered: nothing tells what is there.
    assert set(seen.values()) == {"TimeoutError"}, seen
    assert len(seen) == len(set(targets))
    assert attack("connect", [("127.0.0.1", p) for p in ports]).json.popitem()[1] == "ConnectionRefusedError"


@pytest.mark.parametrize("what,least,most,error", [
    ("processes", 100, 256, "EAGAIN"),
    ("descriptors", 100, 1024, "EMFILE"),
    ("tmp", 60, 65, "ENOSPC"),
    ("names", 60000, 65536, "ENOSPC"),
])
def test_bombs(attack, what, least, most, error):
    n, stopped_by = attack("bombs", what).json
    assert stopped_by == error and least <= n <= most, (n, stopped_by)


def test_kernel_memory_of_sockets(attack):
    """Without a limit 400 connections that nobody reads take some 300 MiB, outside of every account."""
    assert attack("socket_memory").json < 160 << 20


def test_the_connection_table_is_shared(attack):
    count = pathlib.Path("/proc/sys/net/netfilter/nf_conntrack_count")
    if not count.exists():
        pytest.skip("no connection tracking here")
    before = int(count.read_text())
    attack("flows", 30000)
    assert int(count.read_text()) - before < 10000


def agent_memory(platform):
    """MiB, the most so far."""
    status = pathlib.Path(f"/proc/{platform.pid('node-1')}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) >> 10


def log_sizes(platform):
    return sum(f.stat().st_size for f in platform.state.glob("agents/*/logs/default.inside.log*"))


def test_logs_at_full_speed(platform, attack):
    before = agent_memory(platform)
    written = attack("shout", 2).json
    # A burst, a little more, and what the pipe holds: it waits in write(2) meanwhile.
    assert written < 1 << 20
    assert agent_memory(platform) - before < 32
    wait_until("the logs to be written", lambda: log_sizes(platform))
    assert log_sizes(platform) < 21 << 20


@pytest.mark.parametrize("what,status,reason,says", [
    ("garbage", 502, "InstanceLost", "frame"),
    ("huge", 502, "InstanceLost", "a frame over"),
    ("stranger", 502, "InstanceLost", "which awaits none"),
    ("body", 502, "InstanceLost", "no open body"),
    ("invoke", 502, "InstanceLost", "INVOKE from a runtime"),
    ("hello", 502, "InstanceLost", "a second HELLO"),
    ("endless", 504, "Timeout", "timed out"),
    ("lines", 504, "Timeout", "timed out"),
    ("silence", 504, "Timeout", "timed out"),
])
def test_frames(platform, attack, what, status, reason, says):
    before = agent_memory(platform)
    r = attack("frames", what, alone=what)
    assert (r.status, r.json["reason"]) == (status, reason) and says in r.json["message"], r
    assert agent_memory(platform) - before < 48


def test_answers_of_many_values(platform, attack):
    before = agent_memory(platform)
    r = attack("many_values", 1500000)
    assert r.status == 502 and r.json["reason"] == "InvalidAnswer" and "values" in r.json["message"], r
    assert agent_memory(platform) - before < 48
    event = b"[" + b"0," * 2000000 + b"0]"
    r = platform.call("/2015-03-31/functions/neighbour/invocations", method="POST", body=event)
    assert r.status == 200, r
    assert agent_memory(platform) - before < 80


def test_what_stays_behind_ends_with_the_instance(platform, attack):
    r = attack("background", alone="background")
    assert r.status == 502 and r.json["reason"] == "InstanceLost", r
    platform.delete("lone-background")
    wait_until("its cgroup to go", lambda: not instance_cgroups("lone-background"))


def instance_cgroups(function_name):
    """A cgroup can only be removed when no process is in it."""
    found = subprocess.run(["find", "/sys/fs/cgroup", "-type", "d", "-path", f"*/rouse-*/{function_name}-*"],
                           text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return found.stdout.split()


LAMBDA = r"""#!/bin/bash
{hostile}
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
while true; do
  curl -sS -o /tmp/event -D /tmp/head "$api/invocation/next" || exit 7
  id=$(sed -n 's/\r$//; s/^[Ll]ambda-[Rr]untime-[Aa]ws-[Rr]equest-[Ii]d: *//p' /tmp/head)
  curl -sS -o /dev/null -X POST "$api/invocation/$id/response" -d '"served"'
done
"""
HOLD = r"""
hold() {
  exec {fd}<>/dev/tcp/127.0.0.1/9001
  (printf "$1"; head -c "$2" /dev/zero | tr '\0' x) >&$fd &
  fds+=("$fd")
}
let_go() {
  sleep 1
  kill $(jobs -p)
  for fd in "${fds[@]}"; do exec {fd}>&-; done
}
"""
POSTS = HOLD + r"""
P='POST /2018-06-01/runtime'
H='HTTP/1.1\r\nHost: a\r\nContent-Length: 6000000\r\n\r\n'
for i in {1..30}; do hold "$P/invocation/stranger/response $H" 5900000; done
for i in {1..30}; do hold "$P/init/error $H" 900000; done
let_go
"""
HEADS = HOLD + r"""
for i in {1..60}; do hold 'GET / HTTP/1.1\r\nHost: a\r\nX: ' 60000; done
let_go
"""


@pytest.mark.parametrize("name,hostile", [
    ("posts", POSTS),
    ("heads", HEADS),
    ("closes-its-outputs", "exec >/dev/null 2>&1"),
    ("ignores-sigterm", "trap '' TERM; setsid sleep 1000 &"),
], ids=["posts", "heads", "closes-its-outputs", "ignores-sigterm"])
def test_lambda_api(platform, tmp_path, name, hostile):
    bootstrap = tmp_path / "bootstrap"
    bootstrap.write_text(LAMBDA.replace("{hostile}", hostile))
    bootstrap.chmod(0o755)
    before = agent_memory(platform)
    platform.apply(function(name, code={"path": str(tmp_path)}, runtime="provided", timeout="20s"))
    for _ in range(2):
        r = platform.call(f"/{name}")
        assert (r.status, r.text) == (200, "served"), r
    assert agent_memory(platform) - before < 48
    platform.delete(name)
    wait_until("its cgroup to go", lambda: not instance_cgroups(name))
