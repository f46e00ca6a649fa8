"""Look-ups of the route table: nanoseconds each at 10, 1,000 and 10,000 routes."""
import subprocess

from lib import TOP, bench

out = subprocess.run([TOP / "build/release/bench/route_lookup"], capture_output=True, text=True, check=True).stdout
for line in out.splitlines():
    name, value = line.split()
    bench(name, float(value), "ns")
