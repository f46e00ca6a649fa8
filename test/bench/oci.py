"""oci.py: a bundle for crun and runc, with the namespaces, mounts and limits that agent/sandbox gives a sandbox."""
import json
import os
import re
import resource

from lib import TOP

FIRST_ID, IDS = 0x6e000000, 65536
MASKED = ("acpi", "asound", "kcore", "keys", "key-users", "latency_stats", "timer_list", "scsi", "sched_debug", "kallsyms",
          "sysrq-trigger", "kmsg", "driver")


def names(which):
    """Of the system calls in one of the lists of agent/sandbox/syscall_list.c."""
    source = (TOP / "agent/sandbox/syscall_list.c").read_text()
    body = re.search(rf"static const char {which}\[\] =(.*?);\n", source, re.S).group(1)
    return sorted(set(" ".join(re.findall(r'"([^"]*)"', body)).split()))


def tmpfs(at, *options):
    return {"destination": at, "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", *options]}


def write_bundle(bundle, root, code, program, cgroup):
    """The bundle's directory; the runtime root is mounted as it is, read-only."""
    files = min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    config = {
        "ociVersion": "1.0.2",
        "hostname": "bench",
        "root": {"path": str(root), "readonly": True},
        "process": {
            "terminal": False, "cwd": "/var/task", "args": [program], "env": ["PATH=/bin"], "noNewPrivileges": True,
            "user": {"uid": 1000, "gid": 1000, "umask": 0o22}, "oomScoreAdj": 500,
            "capabilities": {k: [] for k in ("bounding", "effective", "inheritable", "permitted", "ambient")},
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": files},
                        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev", "hidepid=2"]},
            tmpfs("/dev", "noexec", "mode=755", "size=64k"), tmpfs("/dev/shm", "noexec", "mode=1777", "size=64m"),
            tmpfs("/tmp", "mode=1777", "size=64m"), tmpfs("/run", "noexec", "mode=755", "size=64k"),
            {"destination": "/var/task", "type": "bind", "source": str(code), "options": ["rbind", "ro", "nosuid", "nodev"]}],
        "linux": {
            "uidMappings": [{"containerID": 0, "hostID": FIRST_ID, "size": IDS}],
            "gidMappings": [{"containerID": 0, "hostID": FIRST_ID, "size": IDS}],
            "namespaces": [{"type": t} for t in ("user", "pid", "mount", "network", "uts", "ipc", "cgroup")],
            "cgroupsPath": cgroup,
            "resources": {"memory": {"limit": 64 << 20}, "cpu": {"quota": 100000, "period": 100000}, "pids": {"limit": 257}},
            "maskedPaths": [f"/proc/{f}" for f in MASKED],
            "readonlyPaths": [f"/proc/{f}" for f in ("sys", "irq", "bus", "fs")],
            "seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"],
                        "syscalls": [{"names": names("allowed") + ["clone", "socket", "socketpair", "unshare"],
                                      "action": "SCMP_ACT_ALLOW"},
                                     {"names": names("refused"), "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]}}}
    os.makedirs(bundle, exist_ok=True)
    (bundle / "config.json").write_text(json.dumps(config, indent=1))
