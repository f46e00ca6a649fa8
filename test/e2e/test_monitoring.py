"""deploy/monitoring: what promtool accepts, what each alert is for, and that all of it is about metrics that are there."""
import json
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
import xml.etree.ElementTree

import pytest
import yaml
from conftest import _platform
from harness import TOP, Load, function, wait_until

MONITORING = TOP / "deploy/monitoring"
POOL = {"apiVersion": "rouse.dev/v1", "kind": "NodePool", "metadata": {"name": "none"},
        "spec": {"provider": "hook", "hook": {"command": "fails"}, "max": 1, "template": {"memory": "512Mi", "cpu": "1"}}}
# Of Prometheus itself.
FOREIGN = {"up"}
needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")


def promtool(*args, input=None):
    r = subprocess.run(["promtool", *args], cwd=MONITORING, input=input, text=True, capture_output=True, timeout=60)
    assert r.returncode == 0, r.stdout + r.stderr


def alerts():
    return [r for g in yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"] for r in g["rules"]]


def dashboard():
    return json.loads((MONITORING / "dashboard.json").read_text())


def panels():
    return [p for p in dashboard()["panels"] if p["type"] != "row"]


def expressions():
    """(where, PromQL) of the dashboard, its variables put in."""
    out = [(f"{p['title']} {t['refId']}", t["expr"]) for p in panels() for t in p["targets"]]
    return [(where, e.replace("$__rate_interval", "1m").replace("$namespace", ".*").replace("$function", ".*"))
            for where, e in out]


def names(expr):
    """The metrics that an expression is about: words before a selector or a range, and what else looks like one of ours."""
    bare = re.sub(r'"[^"]*"', '""', expr)
    return set(re.findall(r"\b(?:rouse|process)_[a-z_]+|\bup\b", bare))


@needs_promtool
def test_promtool_accepts_them():
    promtool("check", "rules", "alerts.yaml")
    promtool("check", "config", "prometheus.yaml")


def seconds(duration):
    return sum(int(n) * {"m": 60, "s": 1}[unit] for n, unit in re.findall(r"(\d+)([ms])", duration))


@needs_promtool
def test_each_alert_fires_when_it_should():
    promtool("test", "rules", "alerts_test.yaml")
    file = yaml.safe_load((MONITORING / "alerts_test.yaml").read_text())
    asked = [(a["alertname"], seconds(a["eval_time"]), bool(a.get("exp_alerts"))) for t in file["tests"] for a in t["alert_rule_test"]]
    fires = {name: t for name, t, fired in asked if fired}
    assert fires.keys() == {r["alert"] for r in alerts()}
    before = seconds(file["evaluation_interval"])
    assert not [name for name, t in fires.items() if (name, t - before, False) not in asked]


@needs_promtool
def test_expressions_of_the_dashboard(tmp_path):
    rules = [{"record": f"panel:{i}", "expr": e} for i, (_, e) in enumerate(expressions())]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", str(file))


def test_the_page_has_each_alert():
    page = (MONITORING / "README.md").read_text()
    assert set(re.findall(r"`(Rouse\w+)`", page)) == {r["alert"] for r in alerts()}


def test_the_picture_is_one():
    svg = xml.etree.ElementTree.fromstring((MONITORING / "scale-up.svg").read_text())
    lines = [e for e in svg.iter() if e.tag.endswith("polyline")]
    assert len(lines) == 6 and all(len(e.get("points").split()) > 3 for e in lines)
    assert "(deploy/monitoring/scale-up.svg)" in (TOP / "README.md").read_text()


def test_shape_of_the_dashboard():
    d = dashboard()
    assert d["schemaVersion"] >= 36 and d["uid"] and d["title"]
    ids = [p["id"] for p in d["panels"]]
    assert len(ids) == len(set(ids))
    variables = {v["name"] for v in d["templating"]["list"]}
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(d))) - {"__rate_interval", "__all"} <= variables
    taken = set()
    for p in d["panels"]:
        g = p["gridPos"]
        cells = {(x, y) for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])}
        assert not cells & taken and g["x"] + g["w"] <= 24, f"{p['title']} lies over another panel"
        taken |= cells
        if p["type"] != "row":
            assert p["targets"] and len({t["refId"] for t in p["targets"]}) == len(p["targets"])


def told(p, name):
    """Reasons of the function's Events, with their messages."""
    events = p.api("GET", f"/api/v1/namespaces/default/events?fieldSelector=involvedObject.name={name}").json["items"]
    return {e["reason"]: e["message"] for e in events}


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    hooks = tmp_path_factory.mktemp("hooks")
    (hooks / "fails").write_text("#!/bin/sh\nexit 1\n")
    (hooks / "fails").chmod(0o755)
    # So that questions for external metrics, and pools, are counted.
    yield from _platform(1, ROUSE_PROMETHEUS="http://127.0.0.1:1/", ROUSE_NODE_HOOKS=str(hooks))


@pytest.fixture(scope="module")
def platform(bare):
    bare.rouse("apply", "-f", "-", input=json.dumps(POOL))
    bare.apply(function("seen", "def handler(e, c):\n    return 'ok'\n"), function("broken", "import nothing_of_that_name\n"))
    assert bare.call("/seen").status == 200
    assert bare.call("/broken").status == 502
    wait_until("it is told of", lambda: "ScaledUp" in told(bare, "seen"))
    wait_until("a decision", lambda: bare.metric("rouse_autoscaler_rule_instances", function="seen") > 0)
    return bare


def test_events_say_why(platform):
    assert re.match(r"from 0 to [12] instances: \w+$", told(platform, "seen")["ScaledUp"])
    broken = told(platform, "broken")
    assert "nothing_of_that_name" in broken["InitFailed"] and "10 s" in broken["BackOff"]


def test_status_says_why(platform):
    scaling = wait_until("it is told", lambda: platform.get("seen")["status"].get("scaling"))
    assert scaling["reason"] in ("Waiting", "Concurrency", "Active", "Idle") and scaling["lastScaleTime"].endswith("Z")
    conditions = {c["type"]: c for c in scaling["conditions"]}
    assert set(conditions) == {"AbleToScale", "ScalingActive", "ScalingLimited"}
    assert conditions["ScalingLimited"] == {"type": "ScalingLimited", "status": "False", "reason": "DesiredWithinRange"}
    head, *rows = platform.rouse("get", "functions", "-o", "wide").stdout.splitlines()
    seen = next(r for r in rows if r.startswith("seen"))
    assert "REASON" in head and scaling["reason"] in seen


def test_metrics_are_there(platform):
    both = platform.metrics() + platform.metrics(0)
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", both, re.M))
    there = set(kinds) | FOREIGN
    there |= {n + s for n, kind in kinds.items() if kind == "histogram" for s in ("_bucket", "_sum", "_count")}
    wanted = [(f"alert {r['alert']}", r["expr"]) for r in alerts()] + expressions()
    missing = [f"{where}: {n}" for where, e in wanted for n in names(e) if n not in there]
    assert not missing
    labels = {}
    for name, inside in re.findall(r"^(\w+)\{(.*)\} \S+$", both, re.M):
        labels.setdefault(name, set()).update(re.findall(r'(\w+)="', inside))
    for where, e in wanted:
        for name, inside in re.findall(r"\b(\w+)\{([^}]*)\}", e):
            if name in labels:
                assert set(re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", inside)) - {"job"} <= labels[name], where


@needs_promtool
def test_metrics_are_well_formed(platform):
    promtool("check", "metrics", input=platform.metrics())
    promtool("check", "metrics", input=platform.metrics(0))


@pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is not installed")
def test_a_real_prometheus(platform, tmp_path):
    """It scrapes both with the configuration as it is, but for ports and pace, and knows an answer to every panel."""
    text = (MONITORING / "prometheus.yaml").read_text()
    for ours, theirs in (("127.0.0.1:7080", platform.info["api"]), ("127.0.0.1:8082", platform.nodes[0]["metrics"]),
                         ("scrape_interval: 5s", "scrape_interval: 1s"), ("alerts.yaml", str(MONITORING / "alerts.yaml"))):
        assert ours in text
        text = text.replace(ours, theirs.removeprefix("http://"))
    (tmp_path / "prometheus.yaml").write_text(text)
    log = tmp_path / "log"
    with log.open("w") as out:
        p = subprocess.Popen(["prometheus", f"--config.file={tmp_path}/prometheus.yaml", f"--storage.tsdb.path={tmp_path}/data",
                              "--web.listen-address=127.0.0.1:0", "--log.level=info"], stdout=out, stderr=out)
    load = Load(platform, "/seen", threads=1)
    try:
        address = wait_until("it listens", lambda: re.search(r"Listening on\W+address=(\S+)", log.read_text()))[1]

        def query(expr):
            q = urllib.parse.urlencode({"query": expr})
            with urllib.request.urlopen(f"http://{address}/api/v1/query?{q}", timeout=20) as r:
                return json.load(r)["data"]["result"]

        wait_until("it is ready", lambda: "Server is ready" in log.read_text())
        wait_until("both are scraped", lambda: len(query("count_over_time(up[1m]) >= 3")) == 2)
        wait_until("a rate is known", lambda: query("sum(rate(rouse_requests_total[1m])) > 0"))
        assert query('max_over_time(rouse_function_crash_loop{function="broken"}[5m])')
        assert not [where for where, e in expressions() if not query(e) and "> 0" not in e]
    finally:
        load.stop()
        p.terminate()
        p.wait(timeout=30)
