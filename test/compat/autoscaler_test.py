"""Our autoscaler against the real ones: Kubernetes' HorizontalController and Knative's autoscaler, as Go modules.

    /usr/bin/python3 -m pytest test/compat/autoscaler_test.py
    ROUSE_AUTOSCALER_SEED=N ROUSE_AUTOSCALER_CASES=N repeats a run, or makes a longer one

Both see the same readings in the same order, and want the same number of instances at each step. Where they differ on
purpose is in controller/autoscaler/README.md and in DIFFERENT; hpa_cases.py and kpa_cases.py make no such readings.
"""
import json
import os
import random

import go_peer
import hpa_cases
import kpa_cases
import pytest

CASES = int(os.environ.get("ROUSE_AUTOSCALER_CASES", 1500))
SEEDS = [int(os.environ["ROUSE_AUTOSCALER_SEED"])] if "ROUSE_AUTOSCALER_SEED" in os.environ else [20240229, random.SystemRandom().randrange(1 << 32)]


def compare(seed, cases, ours, theirs):
    steps = sum(len(t) for t in theirs)
    changes = sum(a != b for t in theirs for a, b in zip(t, t[1:]))
    print(f"seed {seed}: {len(cases)} cases, {steps} steps, {changes} changes")
    found = [(at, i) for i, (a, b) in enumerate(zip(ours, theirs)) if (at := go_peer.first_difference(a, b)) is not None]
    for at, i in sorted(found)[:3]:
        print(f"case {i}, step {at}\n ours   {ours[i][:at + 1]}\n theirs {theirs[i][:at + 1]}\n {json.dumps(cases[i])}")
    assert not found, f"seed {seed}: {len(found)} of {len(cases)} cases differ"
    assert len(ours) == len(cases) and [len(a) for a in ours] == [len(b) for b in theirs]
    return steps, changes


@pytest.mark.parametrize("seed", SEEDS)
def test_as_kubernetes_horizontal_pod_autoscaler(seed):
    rng = random.Random(seed)
    cases = [hpa_cases.scenario(rng) for _ in range(CASES)]
    theirs = go_peer.answers(go_peer.build("hpa", "test", "-c"), cases)
    ours = go_peer.answers(go_peer.OUT / "hpa_driver", cases)
    steps, changes = compare(seed, cases, ours, theirs)
    # Readings that were always within the tolerance, or always held back, would show nothing.
    held = sum(a == b for case, t in zip(cases, theirs) for a, b in zip(t, t[1:]) if case["spec"]["minReplicas"] < a < case["spec"]["maxReplicas"])
    assert changes > steps // 12 and held > steps // 12


def queue(replicas, readings, behavior):
    """An external metric of which one instance should have 1."""
    metric = {"type": "External", "external": {"metric": {"name": "q", "query": "q"}, "target": {"type": "AverageValue", "averageValue": "1"}}}
    return hpa_cases.case(1, 500, [metric], behavior, behavior, replicas, 10**9,
                          [{"pods": [{"state": "ready", "values": {}}], "external": {"q": 1000 * n}} for n in readings])


AT_ONCE = {"stabilizationWindowSeconds": 0}


def instances(metric, *pods):
    """One look at (state, thousandths or None) of each."""
    behavior = {"scaleDown": AT_ONCE}
    seen = [{"state": state, "values": {} if n is None else {"cpu": n, "jobs": n}} for state, n in pods]
    return hpa_cases.case(1, 500, [metric], behavior, behavior, len(pods), 10**9, [{"pods": seen, "external": {}}])


CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}}
JOBS = {"type": "Pods", "pods": {"metric": {"name": "jobs"}, "target": {"type": "AverageValue", "averageValue": "1"}}}
DIFFERENT = {  # what the README says of the real one: (case, theirs, ours)
    "a utilisation is cut off to a whole percent": (instances(CPU, ("ready", 779), ("ready", 779)), [2], [3]),
    "what is not ready may report": (instances(JOBS, ("ready", 1000), ("unready", 5000)), [6], [2]),
    "what is not ready may be missing": (instances(CPU, ("ready", 140), ("ready", 140), ("unready", None)), [2], [1]),
    "products are rounded up by a last digit": (
        queue(100, [200], {"scaleUp": {"policies": [{"type": "Percent", "value": 10, "periodSeconds": 15}]}, "scaleDown": AT_ONCE}), [111], [110]),
    "changes down are forgotten by the longest period for down": (
        queue(30, [10, 6, 3, 50], {"scaleUp": {"policies": [{"type": "Pods", "value": 4, "periodSeconds": 60}]}, "scaleDown": AT_ONCE}),
        [10, 6, 3, 14], [10, 6, 3, 34]),
    "no behavior is not the default behavior": (queue(1, [50], None), [4], [5]),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_where_kubernetes_differs(name):
    case, theirs, ours = DIFFERENT[name]
    assert go_peer.answers(go_peer.build("hpa", "test", "-c"), [case]) == [theirs]
    assert go_peer.answers(go_peer.OUT / "hpa_driver", [case]) == [ours]


@pytest.mark.parametrize("seed", SEEDS)
def test_as_knative_autoscaler(seed):
    rng = random.Random(seed)
    cases = [kpa_cases.scenario(rng) for _ in range(CASES)]
    theirs = go_peer.answers(go_peer.build("kpa", "build"), cases)
    ours = go_peer.answers(go_peer.OUT / "kpa_driver", cases)
    # Their way to zero goes by the windows, ours by idleTimeout.
    steps, changes = compare(seed, cases, ours, [[max(1, n) for n in t] for t in theirs])
    assert changes > steps // 20
