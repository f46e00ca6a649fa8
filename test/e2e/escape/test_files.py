"""Files: the code mount, the Runtime, /proc, devices, what was left open, and the way up."""
import json
import pathlib
import platform as machine
import re
import subprocess

import pytest
from harness import function
from victims import SECRET

HERE = pathlib.Path(__file__).parent

READ_ONLY = ["/var/task/index.py", "/var/task/new", "/usr/bin/new", "/new", "/etc/hosts", "/etc/passwd", "/run/new",
             "/run/rouse/new", "/dev/new", "/sys/new", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe",
             "/proc/sys/net/ipv4/ip_forward", "/proc/sys/vm/drop_caches", "/proc/sys/vm/overcommit_memory",
             "/proc/sys/fs/binfmt_misc/register", "/proc/sys/kernel/ns_last_pid", "/proc/sys/user/max_user_namespaces"]

# runc's and docker's lists, and what else tells of the node.
HIDDEN = ["acpi", "asound", "bus", "cmdline", "config.gz", "consoles", "diskstats", "dma", "driver", "fs", "interrupts", "iomem",
          "ioports", "irq", "kallsyms", "kcore", "key-users", "keys", "kmsg", "latency_stats", "modules", "mtrr", "partitions",
          "pressure", "sched_debug", "scsi", "softirqs", "swaps", "sysrq-trigger", "timer_list", "timer_stats", "tty", "vmallocinfo"]


def test_writing_where_nothing_may_be_written(attack):
    seen = attack("opens", dict.fromkeys(READ_ONLY, "new")).json
    # Absent below /proc/sys: a name cannot be made there at all.
    assert {p: e for p, e in seen.items() if e not in ("EROFS", "ENOENT")} == {}
    assert [p for p, e in seen.items() if e == "ENOENT"] == [p for p in READ_ONLY if not visible(p)]
    assert attack("opens", {"/tmp/new": "new", "/dev/shm/new": "new", "/dev/null": "w"}).json == {
        "/tmp/new": "OK", "/dev/shm/new": "OK", "/dev/null": "OK"}


def visible(path):
    """binfmt_misc is not mounted inside, and a kernel may lack the others."""
    return not path.startswith("/proc/") or ("binfmt_misc" not in path and pathlib.Path(path).exists())


@pytest.mark.parametrize("target", ["/var/task/index.py", "/run/rouse/runtime.sock", "/usr/bin/python3.11", "/etc/passwd",
                                    "/dev/null"])
def test_names_that_are_not_ones_own(attack, target):
    seen = attack("changes", target).json
    assert [seen.pop(k) for k in ("rename away", "replace")] == ["EXDEV"] * 2    # what a race over a link is made of
    assert set(seen.values()) == {"EROFS"}, seen


def test_what_of_proc_is_the_nodes(attack):
    assert attack("hidden", [f"/proc/{n}" for n in HIDDEN]).json == {f"/proc/{n}": "hidden" for n in HIDDEN}
    # What runtimes read is there.
    needed = ["cpuinfo", "meminfo", "stat", "loadavg", "uptime", "self/status", "sys/kernel/pid_max", "net/dev"]
    assert set(attack("opens", {f"/proc/{n}": "r" for n in needed}).json.values()) == {"OK"}


def test_what_belongs_to_root_cannot_be_read(attack):
    paths = ["kpagecount", "kpageflags", "kpagecgroup", "slabinfo", "pagetypeinfo", "self/pagemap"]
    seen = attack("opens", {f"/proc/{n}": "r" for n in paths}).json
    assert seen.pop("/proc/self/pagemap") == "OK"     # without frame numbers, which take a capability
    assert set(seen.values()) <= {"EACCES", "ENOENT", "OK"}
    assert {p for p, r in seen.items() if r == "OK"} <= {"/proc/pagetypeinfo"}    # hidden under /dev/null


def test_devices(attack):
    paths = ["mem", "kmem", "port", "sda", "vda", "kvm", "fuse", "net/tun", "console", "tty", "ptmx", "pts", "userfaultfd", "kmsg",
             "vhost-net", "loop-control", "mapper/control", "input", "dri"]
    assert set(attack("opens", {f"/dev/{n}": "rw" for n in paths}).json.values()) == {"ENOENT"}


def test_no_cgroup_files(attack):
    """Neither to raise one's own limits nor to have the node run a program when the last process leaves."""
    files = [f"/sys/fs/cgroup/{n}" for n in ("release_agent", "cgroup.procs", "cgroup.subtree_control", "memory/release_agent",
                                             "memory/memory.limit_in_bytes", "unified/cgroup.procs", "memory.max")]
    assert set(attack("opens", dict.fromkeys(files, "w")).json.values()) == {"ENOENT"}
    assert attack("opens", {"/sys/fs": "r", "/sys/new": "new"}).json == {"/sys/fs": "ENOENT", "/sys/new": "EROFS"}


def test_the_neighbour_is_not_there(attack, neighbour):
    neighbour()
    seen = attack("look_around", SECRET[::-1]).json
    assert seen["found"] == []
    assert len(seen["processes"]) <= 3 and 1 not in seen["processes"]
    assert not {"home", "work", "srv", "boot", "mnt"} & set(seen["root"]), seen["root"]
    assert set(seen["dev"]) == {"fd", "full", "mqueue", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom", "zero"}


def test_the_nodes_state_is_not_there(platform, attack):
    """The mount table tells its path, which every kernel shows to whoever sees a part of a file system; it leads nowhere."""
    told = {m[0] for m in attack("holds").json["mounts"]}
    places = [str(platform.state), *(str(p) for p in platform.state.rglob("*") if p.is_dir()), *told - {"/"}]
    paths = [p for p in places if pathlib.PurePath(p).parts[1:2] not in (("tmp",), ("dev",), ("proc",), ("run",))]
    seen = attack("opens", dict.fromkeys(places, "r")).json
    inside = {p for p in told if p in ("/null", "/zero", "/full", "/random", "/urandom", "/sys")}
    assert {p: e for p, e in seen.items() if e != "ENOENT" and p not in inside} == {}, paths


def test_what_a_function_is_given(platform, attack):
    seen = attack("holds").json
    assert all(v.startswith(("pipe:[", "socket:[", "anon_inode:")) or v == "/dev/null" for v in seen["fds"].values()), seen["fds"]
    assert [seen["fds"].pop(n).split(":")[0] for n in "012"] == ["/dev/null", "pipe", "pipe"]
    assert len(seen["fds"]) <= 2, seen["fds"]                  # the runtime's socket, and what it polls with
    assert (seen["cwd"], seen["root"]) == ("/var/task", "/")
    assert seen["exe"].startswith("/usr/bin/python3")
    assert [c for c in seen["cgroups"] if not c.endswith(":/")] == []
    assert all(m.startswith(("/usr/", "/var/task", "/var/runtime", "/lib", "/opt", "[", "/etc/", "/dev/zero", "/memfd:"))
               for m in seen["maps"]), seen["maps"]
    assert str(platform.state) not in seen["born"] and "rouse-agent" not in seen["born"], seen["born"]
    assert not {"SUDO_USER", "SSH_CLIENT", "XDG_RUNTIME_DIR", "PWD"} & {v.split("=")[0] for v in seen["born"].split("\n")}
    kinds = {m[1]: m[3] for m in seen["mounts"]}
    assert not {"cgroup", "cgroup2", "sysfs", "devpts", "securityfs", "debugfs", "tracefs"} & set(kinds.values())
    writable = {m[1] for m in seen["mounts"] if "rw" in m[2].split(",") and not m[1].startswith("/proc")}
    assert writable == {"/tmp", "/dev/shm", "/dev/mqueue"}
    assert all("nosuid" in m[2] for m in seen["mounts"] if m[1] not in ("/proc/keys",) and m[3] != "devtmpfs"), seen["mounts"]


def test_what_a_fork_is_given(platform, neighbour):
    """A template's child: its own outputs and connection, and none of the template's or of a sibling's."""
    platform.apply(function("inside-fork", (HERE / "attacker.py").read_text(), start="fork"))
    body = json.dumps(["holds", None]).encode()
    seen = platform.call("/inside-fork", method="POST", body=body).json
    assert all(v.startswith(("pipe:[", "socket:[")) or v == "/dev/null" for v in seen["fds"].values()), seen["fds"]
    assert len(seen["fds"]) == 4 and (seen["cwd"], seen["root"]) == ("/var/task", "/"), seen["fds"]
    assert str(platform.state) not in seen["born"]
    s = platform.call("/inside-fork", method="POST", body=json.dumps(["status", None]).encode()).json
    assert (s["CapEff"], s["NoNewPrivs"], s["Seccomp"]) == ("0" * 16, "1", "2")
    secret = json.dumps(["look_around", SECRET[::-1]]).encode()
    assert platform.call("/inside-fork", method="POST", body=secret).json["found"] == []
    neighbour()


NODE = """
const fs = require("fs");
const links = (path) => Object.fromEntries(fs.readdirSync(path).map((n) => {
  try { return [n, fs.readlinkSync(`${path}/${n}`)]; } catch { return [n, "/dev/null"]; }  // the listing's own
}));
exports.handler = async () => ({
  fds: links("/proc/self/fd"), cwd: fs.readlinkSync("/proc/self/cwd"), root: fs.readlinkSync("/proc/self/root"),
  exe: fs.readlinkSync("/proc/self/exe"),
  born: ["environ", "cmdline", "comm"].map((n) => fs.readFileSync(`/proc/self/${n}`, "latin1")).join("\\n"),
  init: ["mem", "environ", "fd"].map((n) => { try { fs.openSync(`/proc/1/${n}`); } catch (e) { return e.code; } }),
  up: fs.readdirSync("/proc/self/cwd/../../../..").sort().join() === fs.readdirSync("/").sort().join(),
});
"""


def test_what_a_function_of_node_is_given(platform, neighbour):
    platform.apply(function("inside-node", NODE, runtime="nodejs"))
    seen = platform.call("/inside-node").json
    assert all(v.startswith(("pipe:[", "socket:[", "anon_inode:")) or v == "/dev/null" for v in seen["fds"].values()), seen["fds"]
    assert (seen["cwd"], seen["root"], seen["exe"]) == ("/var/task", "/", "/usr/bin/node")
    assert str(platform.state) not in seen["born"] and "rouse-agent" not in seen["born"], seen["born"]
    assert seen["init"] == ["ENOENT"] * 3 and seen["up"]
    neighbour()


def test_what_is_mapped_stays_as_it_is(attack):
    """A zygote's fork has the program and the list of calls of the next sandboxes in its memory."""
    seen = attack("mapped").json
    assert {k: v for k, v in seen.items() if k.startswith("write")} in ({}, {"write to /memfd:seccomp (deleted)": "EACCES"})
    # It takes a capability of the node's; ENOENT: that mapping has another size by now.
    assert {v for k, v in seen.items() if k.startswith("open")} <= {"EPERM", "ENOENT"}, seen
    assert "EPERM" in seen.values()


def test_the_way_up_ends_at_its_own_root(attack):
    tops = attack("climbs").json
    assert set(tops.values()) <= {True, "ENOTDIR", "ENOENT"}, tops
    assert [tops[w] for w in tops if w.startswith(("/proc/self/cwd", "/proc/self/root", "."))] == [True] * 3


def test_files_are_roots(platform, attack):
    """By a mount that maps ids: not on an overlay, nor on a tmpfs before Linux 6.3, where they are nobody's."""
    kind = subprocess.run(["stat", "-f", "-c", "%T", platform.state], text=True, capture_output=True).stdout.strip()
    release = tuple(map(int, re.findall(r"\d+", machine.release())[:2]))
    if kind == "overlayfs" or (kind == "tmpfs" and release < (6, 3)):
        pytest.skip(f"{kind} maps no ids here")
    assert attack("owners", ["/usr/bin", "/etc/passwd", "/var/task", "/var/task/index.py"]).json == {
        "/usr/bin": [0, 0], "/etc/passwd": [0, 0], "/var/task": [0, 0], "/var/task/index.py": [0, 0]}


WHO = r"""
#include <stdio.h>
#include <unistd.h>
int main(void) { return printf("%d %d %d\n", getuid(), geteuid(), getegid()) < 0; }
"""


def test_setuid_files(platform, tmp_path, attack):
    """Neither by its mode, which does not come out of the archive, nor by the mount, nor by no_new_privs."""
    (tmp_path / "who.c").write_text(WHO)
    subprocess.run(["cc", "-static", "-o", tmp_path / "who", tmp_path / "who.c"], check=True)
    (tmp_path / "who").chmod(0o6755)
    (tmp_path / "index.py").write_text((HERE / "attacker.py").read_text())
    manifest = tmp_path / "manifest.yaml"
    manifest.write_text(json.dumps(function("setuid", {"path": str(tmp_path)})))
    platform.rouse("apply", "-f", str(manifest))
    r = platform.call("/setuid", method="POST", body=json.dumps(["runs", ["/var/task/who"]]).encode())
    assert r.json == ["0o755", 0, "1000 1000 1000\n"], r
