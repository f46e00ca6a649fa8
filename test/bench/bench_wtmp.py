"""Warm C function through the router, beside nginx proxying to a keep-alive nginx: interleaved, server and client on their own cpus."""
import pathlib
import shutil
import subprocess
import tempfile

from lib import SERVER_CPU, bench, cpu_seconds, free_offset, function, median_spread, pin, platform, tree, wait_until, wrk
from packages import upload_hello

ROUNDS = 4
NGINX = """daemon off; master_process off; pid {d}/pid; error_log {d}/error.log; worker_processes 1;
events {{ worker_connections 4096; }}
http {{ access_log off; client_body_temp_path {d}/b; proxy_temp_path {d}/p; fastcgi_temp_path {d}/f;
uwsgi_temp_path {d}/u; scgi_temp_path {d}/s; keepalive_requests 1000000;
upstream back {{ server 127.0.0.1:{back}; keepalive 128; keepalive_requests 1000000; }}
server {{ listen 127.0.0.1:{port}; location / {{ {what} }} }} }}
"""


def nginx(d, port, back, what):
    d.mkdir()
    (d / "conf").write_text(NGINX.format(d=d, port=port, back=back, what=what))
    return subprocess.Popen(["taskset", "-c", SERVER_CPU, "/usr/sbin/nginx", "-c", str(d / "conf"), "-p", str(d)],
                            stderr=subprocess.DEVNULL)


def main():
    tmp = pathlib.Path(tempfile.mkdtemp(prefix="rouse-bench-"))
    port = 21950    # clear of the platform's own
    servers = [nginx(tmp / "back", port + 1, port + 1, 'default_type application/json; return 200 "hello";'),
               nginx(tmp / "front", port, port + 1, "proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection '';")]
    try:
        with platform() as p:
            code = upload_hello(p)
            p.apply(function("warm", code=code, runtime="provided", handler="bootstrap", memory="32Mi", scaling={"min": 64, "max": 64}))
            wait_until("64 instances", lambda: p.ready("warm") == 64, seconds=60)
            ours = tree(p.pid(p.nodes[0]["name"]))
            pin(ours, SERVER_CPU)
            pin([p.pid("controller")], SERVER_CPU)
            rows = {"ours": [], "nginx": []}
            for _ in range(ROUNDS):
                for who, url, pids in (("ours", f"http://{p.gateway.rsplit('/', 1)[-1]}/warm", ours + [p.pid("controller")]),
                                       ("nginx", f"http://127.0.0.1:{port}/", [s.pid for s in servers])):
                    before = cpu_seconds(pids)
                    rps, p50, p99, n = wrk(url, seconds=2)
                    rows[who].append((rps, p50, p99, (cpu_seconds(pids) - before) / n * 1e6))
        for name, i, unit in (("warm_c_rps", 0, "per_s"), ("warm_c_p50", 1, "us"), ("warm_c_p99", 2, "us"), ("warm_c_cpu", 3, "us")):
            bench(name, *[(m, unit, s) for m, s in [median_spread([r[i] for r in rows["ours"]])]][0])
        for name, i, unit in (("proxy_nginx_rps", 0, "per_s"), ("proxy_nginx_p99", 2, "us"), ("proxy_nginx_cpu", 3, "us")):
            bench(name, *[(m, unit, s) for m, s in [median_spread([r[i] for r in rows["nginx"]])]][0])
        for name, i in (("warm_c_rps_vs_nginx", 0), ("warm_c_p99_vs_nginx", 2), ("warm_c_cpu_vs_nginx", 3)):
            m, s = median_spread([a[i] / b[i] for a, b in zip(rows["ours"], rows["nginx"])])
            bench(name, m, "x", s)
    finally:
        for s in servers:
            s.terminate()
            s.wait()
        shutil.rmtree(tmp, ignore_errors=True)


main()
