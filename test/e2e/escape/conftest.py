"""The attackers: real functions on a real platform, one in C and one in Python, and the neighbour that they are after."""
import json
import pathlib
import subprocess
import sys

import pytest
from harness import TOP, function, wait_until

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from victims import SECRET  # noqa: E402

HERE = pathlib.Path(__file__).parent

# It answers with its address, and holds all that an attacker could want to find.
NEIGHBOUR = f"""
import os, socket, sys
SECRET = {SECRET!r}
tcp = socket.create_server(("", 4444))
abstract = socket.socket(socket.AF_UNIX)
abstract.bind("\\0neighbours-abstract-name")
abstract.listen()
for path in ("/tmp/secret", "/dev/shm/secret"):
    with open(path, "w") as f:
        f.write(SECRET)
def handler(event, context):
    print(SECRET)
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    probe.connect(("192.0.2.1", 9))
    return probe.getsockname()[0]
"""


@pytest.fixture(scope="session")
def landlock():
    """The ABI of this kernel's Landlock, 0 for none: which of two locks an attack meets first."""
    import ctypes
    return max(ctypes.CDLL(None).syscall(444, None, 0, 1), 0)


@pytest.fixture(scope="module")
def pool(platform):
    """Attackers and victims live in sandboxes that were made ahead, as they mostly do: of Python's they are a zygote's forks."""
    for runtime in ("python3", "nodejs", "provided"):
        wait_until(f"parked sandboxes of {runtime}",
                   lambda: platform.metric("rouse_agent_sandboxes_parked", node=0, runtime=runtime) >= 2)


@pytest.fixture(scope="module")
def neighbour(platform, pool):
    platform.apply(function("neighbour", NEIGHBOUR, env=[{"name": "SECRET", "value": SECRET}]))

    def call():
        r = platform.call("/neighbour")
        assert r.status == 200, r
        return r.text

    call()
    return call


@pytest.fixture(scope="module")
def attack(platform, neighbour):
    """Calls one of attacker.py's functions, and sees that the neighbour goes on."""
    source = (HERE / "attacker.py").read_text()
    platform.apply(function("inside", source, timeout="20s", cpu="1000m", memory="384Mi"))

    def call(what, argument=None, alone=None):
        name = "inside"
        if alone:  # in an instance that does not survive: a function of its own, so that its back-off is too
            name = f"lone-{alone}"
            platform.apply(function(name, source, timeout="2s"))
        r = platform.call(f"/{name}", method="POST", body=json.dumps([what, argument]).encode())
        neighbour()
        return r

    return call


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """attackers.c, in a folder of its own with its manifest."""
    folder = tmp_path_factory.mktemp("attackers")
    subprocess.run(["cc", "-O1", "-std=gnu17", "-D_GNU_SOURCE", "-static", "-pthread", f"-I{TOP}/runtime-sdk/include", "-o",
                    folder / "bootstrap", HERE / "attackers.c", TOP / "build/release/lib/librouse.a"], check=True)
    (folder / "attackers.yaml").write_text(json.dumps(function("attackers", {"path": "."}, runtime="provided", handler="x.y",
                                                               timeout="60s")))
    return folder


@pytest.fixture(scope="module")
def attackers(platform, neighbour, program):
    """What all attempts of attackers.c came to, by their names."""
    platform.rouse("apply", "-f", str(program / "attackers.yaml"))
    r = platform.call("/2015-03-31/functions/attackers/invocations", method="POST", body=b'"all"', timeout=80)
    assert r.status == 200, r
    neighbour()
    return r.json
