"""servers.py: the servers that are measured side by side, and the load on them. The server side runs on SERVER_CPU, the load on CLIENT_CPU."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time

from lib import CLIENT_CPU, SERVER_CPU, TOP, bench, median_spread

BENCH = TOP / "build/release/bench"
NGINX = """daemon off; master_process off; pid {d}/pid; error_log {d}/error.log; worker_processes 1;
events {{ worker_connections 20000; }}
http {{ access_log off; client_body_temp_path {d}/b; proxy_temp_path {d}/p; fastcgi_temp_path {d}/f;
uwsgi_temp_path {d}/u; scgi_temp_path {d}/s; keepalive_requests 1000000000; keepalive_timeout 300s; {more}
server {{ listen 127.0.0.1:{port} backlog=4096 reuseport; location / {{ {what} }} }} }}
"""


class Skipped(Exception):
    """This machine cannot run it; the text says why."""


def free_port():
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """One server process on one port."""

    def __init__(self, name, command, port, env=None, cpu=SERVER_CPU, directory=None):
        self.name, self.port, self.directory = name, port, directory
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(["taskset", "-c", cpu, *map(str, command)], stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log, env={**os.environ, **(env or {})})
        self.pid = self.process.pid
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.log.seek(0)
                self.stop()
                raise SystemExit(f"bench: {name} does not answer: {self.log.read()}")
            time.sleep(0.01)

    def stop(self):
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def program(name, *args, env=None, label=None, cpu=SERVER_CPU, port=0):
    """One of build/release/bench; they all take --port."""
    port = port or free_port()
    return Server(label or name, [BENCH / name, "--port", port, *args], port, env, cpu)


def nginx(what='default_type text/plain; return 200 "Hello";', more="", label="nginx", cpu=SERVER_CPU):
    if not pathlib.Path("/usr/sbin/nginx").exists():
        raise Skipped("nginx is not there")
    d, port = pathlib.Path(tempfile.mkdtemp(prefix="rouse-bench-")), free_port()
    (d / "conf").write_text(NGINX.format(d=d, port=port, what=what, more=more))
    return Server(label, ["/usr/sbin/nginx", "-c", d / "conf", "-p", d], port, cpu=cpu, directory=d)


def go_build(name):
    """The program of test/bench/NAME, a Go module, built in build/: its sources are not touched."""
    out = BENCH / name
    source = TOP / "test/bench" / name
    newest = max(f.stat().st_mtime for f in source.iterdir())
    if not out.exists() or out.stat().st_mtime < newest:
        go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
        if not go:
            raise Skipped("Go is not there")
        scratch = BENCH / "go" / name
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(source, scratch)
        try:
            r = subprocess.run([go, "build", "-o", out, "."], cwd=scratch, text=True, capture_output=True, timeout=100,
                               env={"HOME": str(scratch), **os.environ, "GOFLAGS": "-mod=readonly -buildvcs=false"})
        except subprocess.TimeoutExpired:
            raise Skipped("it could not be fetched and built in 100 s") from None
        if r.returncode:
            raise Skipped("it could not be built: " + r.stderr.strip().splitlines()[-1][:200])
    return out


def go_program(name, *args, env=None):
    go_build(name)
    return program(name, *args, env=env)


def load(port, *args, cpu_of=(), cpu=CLIENT_CPU, **options):
    """One run of load/; the JSON it prints, with cpu_us: CPU microseconds per request of each group in
    `cpu_of`, a list of lists of process ids."""
    pids = [str(p) for group in cpu_of for p in group]
    command = ["taskset", "-c", cpu, BENCH / "load", "--port", port, *args]
    for k, v in options.items():
        command += ["--" + k, v]
    if pids:
        command += ["--cpu-of", ",".join(pids)]
    r = subprocess.run([str(c) for c in command], text=True, capture_output=True, timeout=150)
    if r.returncode or not r.stdout:
        raise SystemExit(f"bench: load on port {port}: {r.stderr or r.stdout}")
    result = json.loads(r.stdout)
    cpu_ns = iter(result["cpu_ns"])
    result["cpu_us"] = [sum(next(cpu_ns) for _ in group) / 1e3 / max(1, result["requests"]) for group in cpu_of]
    return result


@contextlib.contextmanager
def idle(port, connections):
    """So many connections, each of which served one request, held open until the end of the block."""
    p = subprocess.Popen(["taskset", "-c", CLIENT_CPU, str(BENCH / "load"), "--port", str(port), "--connections",
                          str(connections), "--each", "1", "--hold"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if not p.stdout.readline():
            raise SystemExit("bench: the idle connections could not be opened")
        yield
    finally:
        p.stdin.close()
        p.wait(20)


def system_calls(server, requests_each=200, connections=64, **options):
    """{name: calls per request} by strace, while the load runs; slow, so nothing else is measured in it."""
    if not shutil.which("strace"):
        raise Skipped("strace is not there")
    with tempfile.NamedTemporaryFile("r") as out:
        s = subprocess.Popen(["strace", "-c", "-f", "-o", out.name, "-p", str(server.pid)], stderr=subprocess.PIPE, text=True)
        if "attached" not in s.stderr.readline():
            s.wait(5)
            raise Skipped("strace may not attach here")
        load(server.port, connections=connections, each=requests_each, **options)
        s.send_signal(signal.SIGINT)
        s.wait(10)
        rows = re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", out.read(), re.M)
    return {name: int(n) / (requests_each * connections) for n, name in rows if name != "total"}


def calls_text(calls, least=0.005):
    text = ", ".join(f"{n} {c:.2f}" for n, c in sorted(calls.items(), key=lambda x: -x[1]) if c >= least)
    return f"{sum(calls.values()):.2f} = {text}"


def memory_bytes(pid):
    """Proportional set size: what the process itself keeps resident, shared pages divided."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+)", text, re.M).group(1)) * 1024


class Field:
    """Servers that run at the same time, asleep but for the one that is measured; what cannot run here says why."""

    def __init__(self, **makers):
        self.servers, self.why = {}, {}
        try:
            for name, make in makers.items():
                try:
                    self.servers[name] = make()
                except Skipped as e:
                    self.why[name] = str(e)
        except BaseException:
            self.stop()
            raise

    def stop(self):
        for s in self.servers.values():
            s.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def rounds(self, names, count, passes=3, **options):
        """{name: [result of each round]}. A round is `passes` turns through all servers, each turn beginning with
        another one: what drifts on the machine, drifts for all."""
        names = [n for n in names if n in self.servers]
        results = {n: [] for n in names}
        for _ in range(count):
            runs = {n: [] for n in names}
            for i in range(passes):
                for n in names[i * len(names) // passes:] + names[:i * len(names) // passes]:
                    s = self.servers[n]
                    runs[n].append(load(s.port, cpu_of=[[s.pid]], **options))
            for n in names:
                results[n].append(joined(runs[n]))
        return results


def joined(runs):
    """Several runs as one: CPU time by requests; throughput and latency are means."""
    requests = sum(r["requests"] for r in runs)
    one = {k: sum(r[k] for r in runs) / len(runs) for k in ("rps", "client_busy", "p50_us", "p99_us")}
    return {**one, "requests": requests,
            "cpu_us": [sum(r["cpu_us"][i] * r["requests"] for r in runs) / requests for i in range(len(runs[0]["cpu_us"]))]}


def ours(name, *args, backend="epoll", cpus=SERVER_CPU, port=0):
    """One of our own servers on that backend of the reactor."""
    s = program(name, *args, env={"ROUSE_REACTOR": backend}, label=f"{name} {backend}", cpu=cpus, port=port)
    rings = [f for f in pathlib.Path(f"/proc/{s.pid}/fd").iterdir() if os.readlink(f) == "anon_inode:[io_uring]"]
    if (backend == "io_uring") != bool(rings):
        s.stop()
        raise Skipped(f"{name} does not run on {backend} here")
    return s


def nginx_proxy(back, label="nginx proxy"):
    """nginx proxying to a keep-alive backend on port `back`."""
    return nginx('proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection "";',
                 f"upstream back {{ server 127.0.0.1:{back}; keepalive 1024; keepalive_requests 1000000000; }}", label)


def proxy_load(front, back):
    """One round on a proxy; cpu_us[0] is its own, cpu_us[1] that of the server behind it."""
    return load(front.port, connections=64, seconds=0.6, warmup=0.15, cpu_of=[[front.pid], [back.pid]])


def latencies(targets, rounds=3):
    """Latency at 20 % and 70 % of what each target ({prefix: (port, path)}) serves in a closed loop on 64
    connections, over 64 and over 1,000. Prints PREFIXlatency_p50_at_20 and so on, at rates of each one's own."""
    top = {p: statistics.median(load(port, path=path, seconds=0.5)["rps"] for _ in range(3)) for p, (port, path) in targets.items()}
    for connections, suffix in ((64, ""), (1000, "_1000")):
        for share in (20, 70):
            rate = {p: int(top[p] * share / 100) for p in targets}
            rows = {p: [] for p in targets}
            for _ in range(rounds):
                for p, (port, path) in targets.items():
                    rows[p].append(load(port, path=path, connections=connections, seconds=0.8, warmup=0.2, rate=rate[p]))
            for p, r in rows.items():
                lost = sum(x["unfinished"] for x in r)
                late = statistics.median(x["late_p99_us"] for x in r)
                for q in ("p50", "p99", "p999"):
                    m, spread = median_spread([x[q + "_us"] for x in r])
                    bench(f"{p}latency_{q}_at_{share}{suffix}", m, "us", f"{spread}, at {rate[p]} per s, of it the load's own p99 {late:.3g} us"
                          + (f", {lost} of them never answered" if lost else ""))
