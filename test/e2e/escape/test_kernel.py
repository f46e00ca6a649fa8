"""What a function asks of the kernel to get out, and the answer that it gets: EPERM from the list of calls or for want of a
capability, ENOSYS for what the list does not know, EACCES from Landlock, ENOENT for what is not there to be seen."""
import os
import platform as machine
import re
import resource

import pytest
from harness import TOP, function
from victims import instance_processes

EPERM = """
    mount; mount cgroups; mount proc anew; remount the code; remount the root; remount /run; bind over the code; mount_setattr;
    umount; umount what hides; open_tree; open_tree_attr; move_mount; fsopen; fspick; fsconfig; fsmount; pivot_root; chroot;
    setns to its own; setns by pidfd;
    ptrace the init; seize the init; ptrace a parent; process_vm_readv; process_vm_writev; process_madvise; pidfd_getfd; kcmp;
    raw socket; raw socket of IPv6;
    io_uring; bpf; perf; userfaultfd; memfd_secret; keyctl; add_key; request_key; init_module; finit_module; delete_module;
    kexec; kexec of a file; open_by_handle_at; name_to_handle_at; mbind; move_pages; fanotify; reboot; swapon; acct; quotactl; syslog;
    sethostname; setdomainname; settimeofday; clock_settime; clock_adjtime; adjtimex;
    setuid; setgid; setgroups; capabilities; ambient capability; securebits; another map of its memory; another filter;
    more descriptors; real time; priority of the disk; map at null;
    type into a terminal; the same, by the low bits; paste into a console
"""
ENOSYS = """
    statmount; listmount; listns; flags of a file; a call of tomorrow;
    user namespace; user namespace, beside bits nobody reads; mount namespace; network namespace; time namespace;
    clone into namespaces; clone3;
    SCTP; DCCP; L2TP; MPTCP; packet socket; packet socket, beside bits nobody reads; vsock; AF_ALG; AF_XDP; bluetooth; netfilter; generic netlink; audit;
    uevents; no address randomisation
"""
ENOENT = """
    setns to the init's; memory of the init; descriptors of the init; root of the init; program of the init;
    environment of the init
"""
X86 = {"modify_ldt": "EPERM", "ioperm": "EPERM", "iopl": "EPERM", "by x32's number": "SIGSYS", "by i386's gate": "SIGSYS"}


def expected(landlock):
    wanted = {name.strip(): why for why, names in (("EPERM", EPERM), ("ENOSYS", ENOSYS), ("ENOENT", ENOENT))
              for name in names.split(";")}
    refused = "EACCES" if landlock >= 2 else None
    wanted |= {
        "device node": refused or "EPERM", "block device node": refused or "EPERM",
        # Without Landlock the kernel itself asks for capabilities; not for its own memory, which is no attack.
        "memory by its file": refused or "OK", "ids of its namespace": refused or "EPERM",
        "offsets of the clocks": refused or "EPERM",
        "spare me": "EACCES", "own program": "EACCES", "priority": "EACCES",
        "abstract socket of the neighbour": "ECONNREFUSED",    # the name is another network's
        "new privileges": "EINVAL",                            # that flag is never taken back
        "core dumps": "EDOM",                                  # it said yes, and did nothing
        "signals to the init": "OK",                           # the kernel drops them: it lives
    }
    return wanted | (X86 if machine.machine() == "x86_64" else {})


def test_calls(attackers, landlock):
    # What a pidfd says of namespaces depends on the kernel's age; none of them gives one.
    assert attackers.pop("a namespace of a pidfd") in ("EACCES", "EPERM", "ENOTTY", "EINVAL", "ENOENT")
    assert attackers == expected(landlock)


def test_privileges(attack):
    s = attack("status").json
    assert {s[c] for c in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert s["NoNewPrivs"] == "1" and s["Seccomp"] == "2" and "0" not in s["Uid"].split() + s["Gid"].split()
    assert s["Groups"].strip() == ""


def test_limits(attack):
    limits = attack("limits").json
    assert limits["RLIMIT_NOFILE"] == [1024, min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1])]
    assert limits["RLIMIT_CORE"] == [1, 1]
    assert [limits[f"RLIMIT_{n}"] for n in ("MEMLOCK", "MSGQUEUE", "SIGPENDING")] == [[8 << 20] * 2, [800 << 10] * 2, [4096] * 2]
    assert [limits[f"RLIMIT_{n}"] for n in ("NICE", "RTPRIO")] == [[0, 0]] * 2
    assert limits["RLIMIT_STACK"][0] == 8 << 20


def test_the_environment_is_what_was_specified(platform, neighbour):
    platform.apply(function("bare", "import os\ndef handler(event, context): return dict(os.environ)",
                            env=[{"name": "GREETING", "value": "hi"}]))
    env = platform.call("/bare").json
    assert env.pop("GREETING") == "hi"
    rows = re.findall(r"^\| (?:defaults|all functions|with events) \| (.*) \|$", (TOP / "README.md").read_text(), re.MULTILINE)
    assert set(env) == {name for row in rows for name in re.findall("`([A-Z_]+)`", row)}
    assert "STATE" not in str(env) and str(platform.state) not in str(env)


def test_this_was_in_pooled_sandboxes(platform, attack, attackers):
    assert platform.metric("rouse_agent_sandbox_starts_total", node=0, **{"from": "pool"}) >= 3


def test_kill_of_others(platform, attack, neighbour):
    """The neighbour, the node's own programs and everybody else: inside there are no such numbers."""
    neighbour()
    victims = instance_processes("neighbour")
    assert victims, "the neighbour's processes are not found"
    targets = victims + [platform.pid("node-1"), platform.pid("controller"), os.getpid()]
    seen = attack("signals", targets).json
    assert {way: why for way, why in seen.items() if why != ["ESRCH"]} == {}
    assert instance_processes("neighbour") == victims
    assert attack("forged").text == "EPERM"


@pytest.mark.parametrize("how", ["a signal to all", "terminating the init", "a crash"])
def test_ends_of_ones_own_making(attack, how):
    """Who ends his own instance has ended that and nothing else; the attack's fixture calls the neighbour."""
    r = attack("dies_of", how, alone=how.replace(" ", "-"))
    assert r.status == 502 and r.json["reason"] == "InstanceLost", r
