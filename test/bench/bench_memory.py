"""Resident memory of both daemons: idle, and with 1,000 functions applied and none running."""
from lib import apply_1000, bench, platform, rss_mib

with platform() as p:
    agent = p.nodes[0]["name"]
    p.call("/nothing")
    bench("rss_controller_idle", rss_mib(p.pid("controller")), "MiB")
    bench("rss_agent_idle", rss_mib(p.pid(agent)), "MiB")
    apply_1000(p)
    bench("rss_controller_1000", rss_mib(p.pid("controller")), "MiB")
    bench("rss_agent_1000", rss_mib(p.pid(agent)), "MiB")
