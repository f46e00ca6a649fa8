"""A function in Python that attacks: called with [what, argument], it runs what() and answers what came of it."""
import ctypes
import errno
import json
import os
import resource
import signal
import socket
import stat
import struct
import subprocess
import threading
import time

libc = ctypes.CDLL(None, use_errno=True)
FLAGS = {"r": os.O_RDONLY, "w": os.O_WRONLY, "rw": os.O_RDWR, "new": os.O_WRONLY | os.O_CREAT | os.O_TRUNC}


def outcome(f, *args):
    """ "OK", or the errno's name. """
    try:
        f(*args)
        return "OK"
    except OSError as e:
        return errno.errorcode.get(e.errno, repr(e))


# ---- files


def opens(wanted):
    """{path: how} -> {path: what came of it}."""
    return {path: outcome(lambda p, h: os.close(os.open(p, FLAGS[h] | os.O_NONBLOCK)), path, how)
            for path, how in wanted.items()}


def changes(target):
    """What one could do to a file that is not one's own, and to the directory that it is in."""
    directory = os.path.dirname(target)
    return {"unlink": outcome(os.unlink, target),
            "rename": outcome(os.rename, target, target + ".old"),
            "rename away": outcome(os.rename, target, "/tmp/stolen"),
            "replace": outcome(swap, target),
            "link": outcome(os.link, target, target + ".too"),
            "symlink": outcome(os.symlink, "/tmp", os.path.join(directory, "way-out")),
            "mkdir": outcome(os.mkdir, os.path.join(directory, "new")),
            "chmod": outcome(os.chmod, directory, 0o777),
            "chown": outcome(os.chown, directory, 1000, 1000),
            "times": outcome(os.utime, target),
            "attribute": outcome(os.setxattr, target, "user.x", b"x")}


def swap(target):
    """The exchange of two names, in a loop: what a race over a symbolic link is made of."""
    os.symlink("/tmp", "/tmp/bait")
    try:
        libc.renameat2.restype = ctypes.c_int
        for _ in range(1000):
            if libc.renameat2(-100, b"/tmp/bait", -100, target.encode(), 2):
                raise OSError(ctypes.get_errno(), "")
    finally:
        os.unlink("/tmp/bait")


def hidden(paths):
    """How each is hidden: absent, an empty device, an empty directory; else what it is."""
    def one(path):
        try:
            st = os.stat(path)
        except FileNotFoundError:
            return "hidden"
        if stat.S_ISCHR(st.st_mode) and st.st_rdev == os.makedev(1, 3):
            return "hidden"
        if stat.S_ISDIR(st.st_mode) and not os.listdir(path) and outcome(os.mkdir, path + "/x") != "OK":
            return "hidden"
        return oct(st.st_mode)
    return {p: one(p) for p in paths}


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


def holds(_):
    """What this process was given: descriptors, directories, names of what is mapped and mounted, variables."""
    fds = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            fds[fd] = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            pass    # the listing's own
    with open("/proc/self/maps") as f:
        maps = {line.split(None, 5)[5].strip() for line in f if len(line.split(None, 5)) == 6}
    with open("/proc/self/mountinfo") as f:
        mounts = [line.split() for line in f]
    with open("/proc/self/cgroup") as f:
        cgroups = f.read().split()
    return {"fds": fds, "cwd": os.readlink("/proc/self/cwd"), "root": os.readlink("/proc/self/root"),
            "exe": os.readlink("/proc/self/exe"), "maps": sorted(maps), "cgroups": cgroups, "env": dict(os.environ), "born": born(),
            "mounts": [[m[3], m[4], m[5], m[m.index("-") + 1]] for m in mounts]}


def born():
    """What the kernel keeps of the moment when the program was started, by whomever."""
    text = ""
    for name in ("environ", "cmdline", "comm"):
        with open(f"/proc/self/{name}", "rb") as f:
            text += f.read().replace(b"\0", b"\n").decode("latin1")
    return text


def mapped(_):
    """What is mapped here of others' files: to make the mapping writable, where it is shared, and to open what lies behind."""
    seen = {}
    with open("/proc/self/maps") as f:
        for line in f:
            fields = line.split(None, 5)
            if len(fields) == 6 and fields[5].startswith("/"):
                first, last = (int(a, 16) for a in fields[0].split("-"))
                name = fields[5].strip()
                if fields[1].endswith("s"):
                    seen[f"write to {name}"] = outcome(protect, first, last - first)
                seen[f"open {name}"] = outcome(os.open, f"/proc/self/map_files/{fields[0]}", os.O_RDWR)
    return seen


def protect(address, size):
    if libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(size), 3):
        raise OSError(ctypes.get_errno(), "")


def climbs(_):
    """Up from everything that is a directory here, and through /proc's links: what one finds at the top."""
    tops = {}
    up = "/.." * 40
    ways = [f"/proc/self/{link}{up}" for link in ("cwd", "root")] + ["/proc/self/task/../cwd" + up, "." + up]
    for fd in os.listdir("/proc/self/fd"):
        ways += [f"/proc/self/fd/{fd}{up}", f"/dev/fd/{fd}/.."]
    for way in ways:
        try:
            top = os.open(way, os.O_RDONLY | os.O_DIRECTORY)
            tops[way] = [os.fstat(top).st_dev, os.fstat(top).st_ino] == [os.stat("/").st_dev, os.stat("/").st_ino]
            os.close(top)
        except OSError as e:
            tops[way] = errno.errorcode[e.errno]
    return tops


def owners(paths):
    return {p: [os.stat(p).st_uid, os.stat(p).st_gid] for p in paths}


def runs(argv):
    r = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return [oct(os.stat(argv[0]).st_mode & 0o7777), r.returncode, r.stdout]


def status(_):
    with open("/proc/self/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f)


def limits(_):
    return {n: resource.getrlimit(getattr(resource, n)) for n in dir(resource) if n.startswith("RLIMIT_")}


def signals(pids):
    """To processes of others, by the numbers that the node knows them by: every way to harm one of them by its number."""
    ways = {"kill": lambda p: os.kill(p, signal.SIGKILL), "kill its group": lambda p: os.killpg(p, signal.SIGKILL),
            "pidfd": os.pidfd_open, "limit": lambda p: resource.prlimit(p, resource.RLIMIT_NOFILE, (0, 0)),
            "slow down": lambda p: os.setpriority(os.PRIO_PROCESS, p, 19), "pin": lambda p: os.sched_setaffinity(p, [0]),
            "schedule": lambda p: os.sched_setscheduler(p, os.SCHED_IDLE, os.sched_param(0))}
    return {way: sorted({outcome(f, p) for p in pids}) for way, f in ways.items()}


def forged(_):
    """Who sends a message is said by the kernel."""
    one, _other = socket.socketpair()
    return outcome(lambda: one.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, struct.pack("iII", 1, 0, 0))]))


# ---- the network


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


# ---- using up


def use_up(f):
    n = 0
    try:
        while n < 1000000:
            f(n)
            n += 1
    except OSError as e:
        return [n, errno.errorcode[e.errno]]
    return [n, "OK"]


def processes():
    """As many as there may be, all at once."""
    release, go = os.pipe()
    result = use_up(lambda n: os.fork() or (os.close(go), os.read(release, 1), os._exit(0)))
    os.close(go)
    os.close(release)
    for _ in range(result[0]):
        os.wait()
    return result


def fill(path):
    fd = os.open(path + "/big", os.O_WRONLY | os.O_CREAT)
    result = use_up(lambda n: os.write(fd, bytes(1 << 20)))
    os.close(fd)
    os.unlink(path + "/big")
    return result


def names(path):
    os.mkdir(path + "/many")
    result = use_up(lambda n: os.close(os.open(f"{path}/many/{n}", os.O_CREAT, 0o600)))
    for n in range(result[0]):
        os.unlink(f"{path}/many/{n}")
    os.rmdir(path + "/many")
    return result


def bombs(what):
    if what == "processes":
        return processes()
    if what == "threads":
        return use_up_threads()
    if what == "descriptors":
        keep = []
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        result = use_up(lambda n: keep.append(os.dup(0)))
        [os.close(fd) for fd in keep]
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return result
    if what == "pipes":
        keep = []
        result = use_up(lambda n: keep.extend(os.pipe()))
        [os.close(fd) for fd in keep]
        return result
    if what == "queues":    # System V's
        libc.msgget.restype = ctypes.c_int

        def one(_):
            if libc.msgget(0, 0o1600) < 0:
                raise OSError(ctypes.get_errno(), "")

        result = use_up(one)
        return result
    if what in ("tmp", "shm"):
        return fill({"tmp": "/tmp", "shm": "/dev/shm"}[what])
    if what in ("names", "names in shm"):
        return names("/tmp" if what == "names" else "/dev/shm")


HELD = []


def watchers(let_go):
    """Inotify instances, and then POSIX message queues: [how many, why no more], held until we are told to let go."""
    if let_go:
        [os.close(fd) for fd in HELD]
        HELD.clear()
        return None

    def queue(n):
        name = f"/q{n}".encode()
        fd = made(libc.mq_open(name, os.O_CREAT | os.O_RDWR, 0o600, None))
        libc.mq_unlink(name)
        HELD.append(fd)

    return [use_up(lambda n: HELD.append(made(libc.inotify_init1(0)))), use_up(queue)]


def made(fd):
    if fd < 0:
        raise OSError(ctypes.get_errno(), "")
    return fd


def use_up_threads():
    release, started = threading.Event(), []
    try:
        while len(started) < 1000:
            t = threading.Thread(target=release.wait)
            t.start()
            started.append(t)
        return [len(started), "OK"]
    except RuntimeError:    # can't start new thread
        return [len(started), "EAGAIN"]
    finally:
        release.set()
        [t.join() for t in started]


def memory(_):
    kept = []
    while True:
        kept.append(b"x" * (1 << 20))


def burn(seconds):
    """All processors, with as many processes as there may be of them."""
    end = time.monotonic() + seconds
    for _ in range(8):
        if os.fork() == 0:
            while time.monotonic() < end:
                pass
            os._exit(0)
    while time.monotonic() < end:
        pass
    return "burnt"


def fork_storm(seconds):
    end, n = time.monotonic() + seconds, 0
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        while time.monotonic() < end:
            try:
                if os.fork() == 0:
                    os._exit(0)
                n += 1
            except OSError:
                pass
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    return n


def churn_memory(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        bytearray(200 << 20)
    return "churned"


def churn_disk(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        fill("/tmp")
    return "churned"


def socket_memory(_):
    """Bytes that the kernel keeps for connections nobody reads."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (3000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
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


def datagrams(_):
    """Pages that the kernel keeps for datagrams nobody reads: its count is one for all."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (6000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    held = []
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for _ in range(3000):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind(("127.0.0.1", 0))
        held.append(s)
        for _ in range(8):
            try:
                sender.sendto(bytes(60000), s.getsockname())
            except OSError:
                pass
    with open("/proc/net/sockstat") as f:
        pages = next(line for line in f if line.startswith("UDP:")).split()
    return int(pages[pages.index("mem") + 1])


def flows(count):
    """How many went out."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sent = 0
    for i in range(count):
        try:
            sent += s.sendto(b"x", ("192.0.2.%d" % (1 + i % 4), 1 + i // 4))
        except OSError:
            pass
    return sent


def shout(seconds):
    n, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        n += os.write(1, b"\n" * 4096)
    return n


# ---- the agent's socket


def frame(kind, flags, ident, payload=b""):
    return struct.pack("<IBBHQ", len(payload), kind, flags, 0, ident) + payload


def frames(what):
    """Speaks over the bootstrap's own connection, and leaves the rest to it."""
    runtime = next(s for s in map(borrow, range(3, 64)) if s)
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


def second_runtime(hello):
    """Another connection to the agent: what it answers to a HELLO of ours within a second, and whether it hangs up."""
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(1)
    said = b""
    try:
        s.connect(os.environ["ROUSE_RUNTIME_SOCKET"])
        s.sendall(frame(1, 0, 0, json.dumps(hello).encode()))
        while part := s.recv(65536):
            said += part
        return ["closed", len(said)]
    except TimeoutError:
        return ["silent", len(said)]
    except OSError as e:
        return [errno.errorcode[e.errno], len(said)]


# ---- what ends the instance


def dies_of(what):
    if what == "a signal to all" and os.fork() == 0:
        os.kill(-1, signal.SIGKILL)    # all but the init and the one that sends it
        os._exit(0)
    if what == "terminating the init":
        os.kill(1, signal.SIGTERM)
        time.sleep(1)
    if what == "a crash":
        ctypes.string_at(0)
    time.sleep(20)


def background(_):
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.setsid()
        time.sleep(1000)
    os._exit(0)


def many_values(n):
    return {"statusCode": 200, "x": [0] * n}


def handler(event, context):
    what, argument = json.loads(event["body"])
    return globals()[what](argument)
