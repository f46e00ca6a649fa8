"""oci.py: a bundle for crun and runc, with the namespaces, mounts and limits that agent/sandbox gives a sandbox.

What they have no word for, and do not do: Landlock; runc no time namespace and no limit of socket buffers, either. What
they do beside it: /dev/tty, and a cgroup in each hierarchy of v1 that they see.
"""
import json
import os
import pathlib
import re
import resource

from lib import TOP

FIRST_ID, IDS = 0x6e000000, 65536
MEMORY = 64 << 20
# As agent/sandbox/privilege.c; the hard limit at most what the caller may.
RLIMITS = {"NOFILE": (1024, 65536), "CORE": (1, 1), "STACK": (8 << 20, 1 << 62), "MEMLOCK": (8 << 20, 8 << 20),
           "MSGQUEUE": (800 << 10, 800 << 10), "SIGPENDING": (4096, 4096), "NICE": (0, 0), "RTPRIO": (0, 0)}


def words(file, declaration):
    """Of the strings of one list in agent/sandbox."""
    source = (TOP / "agent/sandbox" / file).read_text()
    body = re.search(rf"static const char {re.escape(declaration)} =(.*?);\n", source, re.S).group(1)
    return sorted(set(" ".join(re.findall(r'"([^"]*)"', body)).split()))


def names(which):
    return words("syscall_list.c", f"{which}[]")


def masked():
    return [f"/proc/{f}" for kind in ("files", "dirs") for f in words("root.c", f"*const proc_hidden_{kind}[]")]


def rlimits():
    for name, (soft, hard) in RLIMITS.items():
        ours = resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[1] if hasattr(resource, f"RLIMIT_{name}") else hard
        hard = hard if ours == resource.RLIM_INFINITY else min(hard, ours)
        yield {"type": f"RLIMIT_{name}", "soft": min(soft, hard), "hard": hard}


def memory(program):
    """What agent/cgroup/limit.c writes."""
    limits = {"limit": MEMORY, "swap": MEMORY}
    if pathlib.Path("/sys/fs/cgroup/memory").exists():
        limits |= {"swappiness": 0} | ({"kernelTCP": MEMORY // 4} if program == "crun" else {})
    return limits


def namespaces(program):
    types = ["user", "pid", "mount", "network", "uts", "ipc", "cgroup"] + (["time"] if program == "crun" else [])
    return [{"type": t} for t in types]


def tmpfs(at, *options):
    return {"destination": at, "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", *options]}


def bind(at, source):
    return {"destination": at, "type": "bind", "source": str(source), "options": ["bind", "ro", "nosuid", "nodev", "noexec"]}


def write_bundle(bundle, runtime, root, code, program, cgroup):
    """The bundle's directory, for `runtime`; the runtime root is mounted as it is, read-only."""
    os.makedirs(bundle, exist_ok=True)
    (bundle / "hosts").write_text("127.0.0.1 localhost bench\n")
    (bundle / "hostname").write_text("bench\n")
    config = {
        "ociVersion": "1.0.2",
        "hostname": "bench",
        "root": {"path": str(root), "readonly": True},
        "process": {
            "terminal": False, "cwd": "/var/task", "args": [program], "env": ["PATH=/bin"], "noNewPrivileges": True,
            "user": {"uid": 1000, "gid": 1000, "umask": 0o22}, "oomScoreAdj": 500,
            "capabilities": {k: [] for k in ("bounding", "effective", "inheritable", "permitted", "ambient")},
            "rlimits": list(rlimits())},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev", "hidepid=2"]},
            tmpfs("/dev", "noexec", "mode=755", "size=64k"), tmpfs("/dev/shm", "noexec", "mode=1777", "size=64m"),
            tmpfs("/tmp", "mode=1777", "size=64m"), tmpfs("/run", "noexec", "mode=755", "size=64k"),
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "nodev", "noexec"]},
            bind("/etc/hosts", bundle / "hosts"), bind("/etc/hostname", bundle / "hostname"),
            {"destination": "/var/task", "type": "bind", "source": str(code), "options": ["rbind", "ro", "nosuid", "nodev"]}],
        "linux": {
            "uidMappings": [{"containerID": 0, "hostID": FIRST_ID, "size": IDS}],
            "gidMappings": [{"containerID": 0, "hostID": FIRST_ID, "size": IDS}],
            "namespaces": namespaces(runtime),
            "cgroupsPath": cgroup,
            "resources": {"memory": memory(runtime), "cpu": {"quota": 100000, "period": 100000}, "pids": {"limit": 257}},
            "maskedPaths": masked(), "readonlyPaths": ["/proc/sys"],
            "seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"],
                        "syscalls": [{"names": names("allowed") + ["clone", "socket", "socketpair", "unshare"],
                                      "action": "SCMP_ACT_ALLOW"},
                                     {"names": names("refused"), "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]}}}
    (bundle / "config.json").write_text(json.dumps(config, indent=1))
