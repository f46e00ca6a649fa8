"""hack/mkruntime: what a runtime's root holds, that it runs by itself, and how it is replaced.

    /usr/bin/python3 -m pytest test/compat/runtime_test.py

Programs run in the roots by chroot: as root, or in a user namespace of their own.
"""
import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["python3", "nodejs", "provided"]


def mkruntime(source, name, outdir):
    return subprocess.run([str(source / "hack" / "mkruntime"), name, str(outdir)], capture_output=True, text=True,
                          timeout=300)


@pytest.fixture(scope="session")
def runtimes(tmp_path_factory):
    outdir = tmp_path_factory.mktemp("runtimes")
    for name in NAMES:
        done = mkruntime(ROOT, name, outdir)
        assert done.returncode == 0, done.stderr
    return outdir


@pytest.fixture(params=NAMES)
def runtime(request, runtimes):
    return runtimes / request.param


def inside(runtime, *argv):
    """Runs a program in the runtime's root, with nothing of this process's environment."""
    command = ["/usr/sbin/chroot", str(runtime / "rootfs"), *argv]
    if os.geteuid() != 0:
        if subprocess.run(["unshare", "-r", "true"], capture_output=True).returncode != 0:
            pytest.skip("needs root or user namespaces")
        command = ["unshare", "-r", *command]
    env = json.loads((runtime / "runtime.json").read_text())["env"]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)


def output(runtime, *argv):
    done = inside(runtime, *argv)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_description(runtime):
    told = json.loads((runtime / "runtime.json").read_text())
    assert told["name"] == runtime.name and told["version"][0].isdigit()
    assert told["digest"].startswith("sha256:") and len(told["digest"]) == 71
    assert told["protocol"] == ("any" if runtime.name == "provided" else "frames")
    assert told.get("park") == {"python3": "zygote", "nodejs": "interpreter"}.get(runtime.name)
    assert told["argv"][0].startswith("/") and told["env"]["PATH"]
    for path in [p for p in told["argv"] if p.startswith(("/usr/", "/var/runtime/"))]:
        assert (runtime / "rootfs" / path[1:]).is_file(), path


def test_mount_points(runtime):
    root = runtime / "rootfs"
    for directory in ["proc", "dev", "tmp", "run", "run/rouse", "var/task", "var/runtime", "opt", "etc"]:
        assert (root / directory).is_dir() and not (root / directory).is_symlink(), directory
    for file in ["resolv.conf", "hosts", "hostname", "passwd", "group"]:
        assert (root / "etc" / file).is_file(), file
    for link in ["bin", "sbin", "lib", "lib64"]:
        assert os.readlink(root / link) == f"usr/{link}"
    assert "function:x:1000:" in (root / "etc/passwd").read_text()


def test_nothing_else_of_the_host(runtime):
    root = runtime / "rootfs"
    assert not (root / "usr/share/doc").exists() and not (root / "usr/include").exists()
    programs = set(os.listdir(root / "usr/bin"))
    assert not programs & {"gcc", "perl", "apt-get", "dpkg", "git", "su", "mount", "npm"}
    for directory, _, files in os.walk(root):
        for name in files:
            path = Path(directory, name)
            assert not path.lstat().st_mode & (stat.S_ISUID | stat.S_ISGID), path
            if path.is_symlink():
                target = os.readlink(path)
                there = root / target[1:] if target.startswith("/") else path.parent / target
                assert os.path.lexists(there), f"{path} leads nowhere: {target}"


def test_python(runtimes):
    code = ("import json, ssl, sqlite3, asyncio, zoneinfo, ctypes, bz2, lzma, uuid, decimal, urllib.request\n"
            "zoneinfo.ZoneInfo('Asia/Shanghai')\n"
            "print(len(ssl.create_default_context().get_ca_certs()) > 50, json.__spec__.cached)")
    cached = output(runtimes / "python3", "/usr/bin/python3", "-I", "-S", "-B", "-c", code)
    assert cached.startswith("True ") and cached.endswith(".pyc")
    root = runtimes / "python3" / "rootfs"
    for compiled in [root / cached.split()[1][1:], root / "var/runtime/bootstrap.pyc"]:
        assert compiled.read_bytes()[4:8] == b"\1\0\0\0", "not an unchecked hash"


def test_node(runtimes):
    code = ("require('https'); import('fs').then(() => fetch('http://127.0.0.1:2/')).catch((e) => "
            "console.log(e.cause.code, new Intl.DateTimeFormat('zh', {timeZone: 'Asia/Shanghai'}).format(0)))")
    assert output(runtimes / "nodejs", "/usr/bin/node", "-e", code) == "ECONNREFUSED 1970/1/1"


def test_provided(runtimes):
    script = ("curl --version | head -n 1 | cut -c 1-5; echo a | sed s/a/b/ | grep b; awk 'BEGIN {print 1 + 1}'; "
              "TZ=Asia/Tokyo date -d @0 +%H; find /opt; sh -c 'echo sh'")
    assert output(runtimes / "provided", "/bin/bash", "-c", script).split() == ["curl", "b", "2", "09", "/opt", "sh"]
    refused = inside(runtimes / "provided", "/usr/bin/curl", "-sS", "https://127.0.0.1:2/")
    assert refused.returncode == 7, "curl cannot read the certificates"


@pytest.fixture
def source(tmp_path):
    """The part of the source tree that mkruntime reads, to be changed."""
    copy = tmp_path / "source"
    for path in ["hack/mkruntime", "runtime-sdk/python/bootstrap.py"]:
        (copy / path).parent.mkdir(parents=True)
        shutil.copy2(ROOT / path, copy / path)
    return copy


def test_replacing(source, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    killed = out / ".python3.AbCd12"  # what a killed build leaves
    killed.mkdir()
    assert mkruntime(source, "python3", out).returncode == 0
    assert not killed.exists()
    first, told = (out / "python3").stat().st_ino, (out / "python3/runtime.json").read_text()

    done = mkruntime(source, "python3", out)
    assert (done.returncode, done.stdout) == (0, "")
    assert (out / "python3").stat().st_ino == first, "built again although nothing has changed"

    with open(source / "runtime-sdk/python/bootstrap.py", "a") as file:
        file.write("# changed\n")
    assert mkruntime(source, "python3", out).returncode == 0
    assert (out / "python3").stat().st_ino != first
    assert (out / "python3/runtime.json").read_text() != told
    assert (out / ".python3.previous").stat().st_ino == first, "instances that run lose their root"


def test_a_broken_bootstrap_replaces_nothing(source, tmp_path):
    out = tmp_path / "out"
    assert mkruntime(source, "python3", out).returncode == 0
    first = (out / "python3").stat().st_ino
    (source / "runtime-sdk/python/bootstrap.py").write_text("def (")
    assert mkruntime(source, "python3", out).returncode != 0
    assert (out / "python3").stat().st_ino == first
    assert sorted(p.name for p in out.iterdir()) == [".python3.lock", "python3"]


def test_usage(tmp_path):
    done = mkruntime(ROOT, "cobol", tmp_path)
    assert done.returncode == 1 and "python3, nodejs or provided" in done.stderr
    assert list(tmp_path.iterdir()) == []
    done = subprocess.run([str(ROOT / "hack/mkruntime")], capture_output=True, text=True)
    assert done.returncode == 2 and "usage" in done.stderr
