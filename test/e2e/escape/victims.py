"""What the attacks are after, and what they leave behind on the node."""
import pathlib
import subprocess

SECRET = "the-neighbours-secret"


def agent_memory(platform):
    """MiB, the most so far."""
    status = pathlib.Path(f"/proc/{platform.pid('node-1')}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) >> 10


def instance_cgroups(function_name):
    """A cgroup can only be removed when no process is in it."""
    found = subprocess.run(["find", "/sys/fs/cgroup", "-type", "d", "-path", f"*/rouse-*/{function_name}-*"],
                           text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return found.stdout.split()
