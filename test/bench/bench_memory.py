"""Resident memory of both daemons: idle, and with 1,000 functions applied and none running."""
from lib import bench, function, platform, rss_mib, wait_until

with platform() as p:
    agent = p.nodes[0]["name"]
    p.call("/nothing")
    bench("rss_controller_idle", rss_mib(p.pid("controller")), "MiB")
    bench("rss_agent_idle", rss_mib(p.pid(agent)), "MiB")
    for at in range(0, 1000, 100):
        p.apply(*[function(f"f{i}", "def handler(e, c):\n    return 'x'\n") for i in range(at, at + 100)])
    wait_until("the last route", lambda: p.call("/f999").status == 200)
    wait_until("zero", lambda: not p.instances("f999"), seconds=120)
    bench("rss_controller_1000", rss_mib(p.pid("controller")), "MiB")
    bench("rss_agent_1000", rss_mib(p.pid(agent)), "MiB")
