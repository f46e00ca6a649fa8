"""A C function (hello.c) by itself, its agent being this script: its size, its start, and what one request costs it.

bench_sdk.py [PART]...: size start request; all without."""
import contextlib
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

from lib import SERVER_CPU, bench, median, skipped
from packages import hello_program

HELLO, INVOKE = 1, 2
FIN = 1
STARTS, REQUESTS, BATCH, ROUNDS = 20, 3000, 64, 5


def frame(kind, flags, ident, payload=b""):
    return struct.pack("<IBBHQ", len(payload), kind, flags, 0, ident) + payload


def invoke(ident):
    return frame(INVOKE, FIN, ident, struct.pack("<QHHI", 4102444800000, 3, 0, 0) + b"req{}")


class Function:
    """hello.c on SERVER_CPU, and the agent's end of its socket."""

    def __init__(self, program, concurrency=1, wrapper=()):
        self.dir = tempfile.mkdtemp(prefix="rouse-bench-sdk-")
        path = f"{self.dir}/s"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen(1)
            env = {"ROUSE_RUNTIME_SOCKET": path, "ROUSE_MAXPROCS": "1", "PATH": os.environ["PATH"]}
            self.process = subprocess.Popen([*wrapper, "taskset", "-c", SERVER_CPU, program], env=env, stderr=subprocess.DEVNULL)
            self.conn, _ = listener.accept()
        self.ident, self.rest = 0, b""
        self.frame()
        self.start_cpu = self.cpu()    # taskset's share is in it
        self.conn.sendall(frame(HELLO, 0, 0, b'{"protocol":1,"function":"f","namespace":"n","revision":"r","memory":1,'
                                             b'"concurrency":%d}' % concurrency))
        self.frame()
        self.ready_cpu = self.cpu()

    def cpu(self):
        return time.clock_gettime((~self.process.pid << 3) | 2)

    def frame(self):
        while len(self.rest) < 16 or len(self.rest) < 16 + struct.unpack_from("<I", self.rest)[0]:
            data = self.conn.recv(65536)
            assert data, "the function ended the connection"
            self.rest += data
        size = 16 + struct.unpack_from("<I", self.rest)[0]
        self.rest = self.rest[size:]

    def requests(self, count, at_once):
        """CPU microseconds of each."""
        before = self.cpu()
        for _ in range(count // at_once):
            self.conn.sendall(b"".join(invoke(self.ident + k + 1) for k in range(at_once)))
            self.ident += at_once
            for _ in range(at_once):
                self.frame()
        return (self.cpu() - before) / (count // at_once * at_once) * 1e6

    def close(self):
        self.conn.close()
        self.process.wait()
        shutil.rmtree(self.dir)


def size(program):
    bench("sdk_hello_size", program.stat().st_size, "bytes", "static, not stripped")
    with tempfile.NamedTemporaryFile() as f:
        subprocess.run(["strip", "-o", f.name, program], check=True)
        bench("sdk_hello_stripped", os.stat(f.name).st_size, "bytes")


def start(program):
    rows = []
    for _ in range(STARTS):
        with contextlib.closing(Function(program)) as f:
            rows.append((f.start_cpu * 1e3, f.ready_cpu * 1e3))
    median("sdk_start_cpu", [r[0] for r in rows], "ms")
    median("sdk_ready_cpu", [r[1] for r in rows], "ms")


def calls(program):
    """System calls of one request, of all threads."""
    if not shutil.which("strace"):
        return skipped("sdk_request_calls", "there is no strace")
    with tempfile.NamedTemporaryFile("r") as out:
        with contextlib.closing(Function(program, wrapper=("strace", "-f", "-c", "-o", out.name))) as f:
            for k in range(1000):
                f.requests(1, 1)
                time.sleep(0.0002 * (k % 10 == 0))
        counts = {m[2]: int(m[1]) for m in re.finditer(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+)(?: +\d+)? +(\w+)$", out.read(), re.M)}
    most = sorted(((n, name) for name, n in counts.items() if n > 50 and name != "total"), reverse=True)
    return bench("sdk_request_calls", sum(n for n, _ in most) / 1000, "calls", ", ".join(f"{name} {n / 1000:.2f}" for n, name in most))


def request(program):
    for name, concurrency, at_once in (("sdk_request_cpu", 1, 1), ("sdk_request_batched_cpu", BATCH, BATCH)):
        with contextlib.closing(Function(program, concurrency)) as f:
            f.requests(REQUESTS // 10, at_once)
            median(name, [f.requests(REQUESTS, at_once) for _ in range(ROUNDS)], "us")
    calls(program)


def main(parts):
    program = hello_program()
    for part in (size, start, request):
        if not parts or part.__name__ in parts:
            part(program)


main(sys.argv[1:])
