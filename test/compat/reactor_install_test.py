"""The reactor by itself: what `make install-reactor` puts below a DESTDIR is enough to build and run a server, in C and for C++."""
import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
STRICT = ["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    root = tmp_path_factory.mktemp("dest")
    subprocess.run(["make", "-s", "install-reactor", f"DESTDIR={root}", "PREFIX=/opt/rouse"], cwd=TOP, check=True, timeout=500)
    return root


def flags(root, *what):
    env = {**os.environ, "PKG_CONFIG_PATH": str(root / "opt/rouse/lib/pkgconfig"), "PKG_CONFIG_SYSROOT_DIR": str(root)}
    return subprocess.run(["pkg-config", *what, "rouse-reactor"], env=env, text=True, capture_output=True, check=True).stdout.split()


def build(root, source, out):
    subprocess.run(["cc", *STRICT, "-O2", "-o", out, source, *flags(root, "--cflags", "--libs")], check=True, cwd=root, timeout=100)


class Server:
    def __init__(self, *command):
        self.process = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self.process

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def expect_echo(s, text):
    s.settimeout(20)
    s.sendall(text)
    got = b""
    while len(got) < len(text):
        more = s.recv(65536)
        assert more
        got += more
    assert got == text


def test_the_example_runs_on_what_is_installed(installed, tmp_path):
    build(installed, TOP / "deploy/examples/reactor-echo/echo.c", tmp_path / "echo")
    with Server(tmp_path / "echo", "tcp4://localhost:0", "udp4://localhost:0", f"unix://{tmp_path}/sock") as p:
        ports = [int(p.stdout.readline().rsplit(":", 1)[1]) for _ in range(2)]
        with socket.create_connection(("127.0.0.1", ports[0])) as s:
            expect_echo(s, b"stream" * 10000)
        with socket.socket(type=socket.SOCK_DGRAM) as s:
            s.connect(("127.0.0.1", ports[1]))
            expect_echo(s, b"packet")
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(f"{tmp_path}/sock")
            expect_echo(s, b"file")
        p.send_signal(signal.SIGTERM)
        assert p.wait(20) == 0


def test_an_error_names_the_address(installed, tmp_path):
    build(installed, TOP / "deploy/examples/reactor-echo/echo.c", tmp_path / "echo")
    r = subprocess.run([tmp_path / "echo", "tcp://nowhere:1"], text=True, capture_output=True, timeout=20)
    assert r.returncode == 1 and "tcp://nowhere:1: " in r.stderr


def c_block(path):
    return next(b for b in re.findall(r"^```c\n(.*?)^```", (TOP / path).read_text(), re.M | re.S) if "rouse_serve" in b)


def test_the_readmes_server(installed, tmp_path):
    source = tmp_path / "readme.c"
    source.write_text(c_block("runtime-sdk/README.md"))
    build(installed, source, tmp_path / "readme")
    with Server(tmp_path / "readme") as p:
        port = int(p.stdout.readline().rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port)) as s:
            expect_echo(s, b"one line\n")
            s.sendall(b"half")
            s.sendall(b" a line\nquit\n")
            s.settimeout(20)
            got = b""
            while more := s.recv(100):
                got += more
            assert got == b"half a line\nbye\n"


def test_the_header_by_itself(installed, tmp_path):
    for compiler, language in (("cc", "c"), ("clang++", "c++")):
        if not shutil.which(compiler):
            pytest.skip(f"no {compiler}")
        r = subprocess.run([compiler, "-x", language, "-fsyntax-only", "-Wall", "-Wextra", "-Werror", *flags(installed, "--cflags"), "-"],
                           input="#include <rouse/reactor.h>\nint main(void) { return (int)rouse_serve(0, 0, 0, 0); }\n", text=True)
        assert r.returncode == 0


def test_only_its_own_names_are_global(installed):
    out = subprocess.run(["nm", "-g", "--defined-only", installed / "opt/rouse/lib/librouse-reactor.a"], text=True, capture_output=True,
                         check=True).stdout
    names = re.findall(r"^[0-9a-f]+ [A-Z] (\w+)$", out, re.M)
    assert "rouse_serve" in names
    assert [n for n in names if not n.startswith("rouse_")] == []
