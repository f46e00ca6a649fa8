"""What the attacks are after, and what they leave behind on the node."""
import contextlib
import pathlib

SECRET = "the-neighbours-secret"


def agent_memory(platform, anew=False):
    """MiB, the most so far, or since it was last asked for `anew`."""
    process = pathlib.Path(f"/proc/{platform.pid('node-1')}")
    if anew:
        (process / "clear_refs").write_text("5")
    return int((process / "status").read_text().split("VmHWM:")[1].split()[0]) >> 10


def instance_processes(function_name):
    """Of all instances of a function, by the hostname that each has; the parked ones' is none of these."""
    found = []
    for p in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (p / "root/etc/hostname").read_text().startswith(function_name + "-") and "/rouse-" in (p / "cgroup").read_text():
                found.append(int(p.name))
    return found
