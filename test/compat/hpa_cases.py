"""hpa_cases.py: random autoscaler specs and what they see every 15 s, in numbers on which two ways to do the
same arithmetic agree to the last digit; what they differ in otherwise is in autoscaler_test.py.

The real one cuts means off to whole thousandths, or percent, and its products miss whole numbers by a last digit.
So readings are multiples of MEAN, percentages are chosen for their means to be whole, and targets are powers of
two, where a division is exact, or primes of which no sum is a multiple, where no quotient is whole.
"""
import math

MEAN = 5 * math.lcm(*range(1, 31))  # thousandths: any mean of up to 30 readings is whole
PODS = 12
EXACT, PRIME = [2, 4, 8, 16, 32, 64, 128], [13, 17, 31, 61, 97, 127]  # more than there are pods, by which one is multiplied
CPU, MEMORY = 1000, 64 << 20  # what one asks for: thousandths of a cpu, bytes


def split(rng, total, n):
    """n numbers of 0 and more that add up to `total`."""
    cuts = sorted(rng.randint(0, total) for _ in range(n - 1))
    return [b - a for a, b in zip([0] + cuts, cuts + [total])]


class Metric:
    """One of spec.metrics. `target` is in percent, or in multiples of MEAN."""

    def __init__(self, rng, kind, name):
        self.kind, self.name = kind, name
        self.type = rng.choice({"cpu": ["Utilization", "AverageValue"], "memory": ["Utilization", "AverageValue"],
                                "pods": ["AverageValue"], "external": ["Value", "AverageValue"]}[kind])
        self.target = rng.choice(EXACT + PRIME)
        self.level = rng.uniform(0.2, 3)  # use by target

    def spec(self):
        field = {"Utilization": "averageUtilization", "AverageValue": "averageValue", "Value": "value"}[self.type]
        target = {"type": self.type, field: self.target if self.type == "Utilization" else str(self.target * MEAN // 1000)}
        if self.kind in ("cpu", "memory"):
            return {"type": "Resource", "resource": {"name": self.kind, "target": target}}
        if self.kind == "pods":
            return {"type": "Pods", "pods": {"metric": {"name": self.name}, "target": target}}
        return {"type": "External", "external": {"metric": {"name": self.name, "query": self.name}, "target": target}}

    def whole(self, total, targets=PRIME):
        return self.target in targets and total and total % self.target == 0

    def step(self, rng):
        self.level = min(8, max(0, self.level * rng.choice([0.3, 0.8, 1, 1, 1, 1.05, 1.3, 2.5]) + rng.choice([0, 0, 0, 0.1])))

    def outside(self, rng, n):
        total = round(self.level * self.target * (n if self.type == "AverageValue" else 1) * rng.uniform(0.9, 1.1))
        while self.whole(total):
            total += 1
        return total * MEAN

    def readings(self, rng, n, missing, unready):
        """Of n that count, as multiples of MEAN or percent; None: none that both would read the same."""
        for _ in range(60):
            total = round(self.level * self.target * n * rng.uniform(0.7, 1.3))
            if self.type == "Utilization":
                down = total + missing * max(100, self.target)
                if total % n or self.whole(total) or self.whole(down):
                    continue
                up = total > self.target * n
                if up and total % (n + missing + unready) or not up and down % (n + missing):
                    continue
            elif self.whole(total, EXACT + PRIME):  # a mean of a number that is no power of two is not exact
                continue
            return split(rng, total, n)
        return None

    def thousandths(self, reading):
        if self.type != "Utilization":
            return reading * MEAN
        return reading * (CPU // 100 if self.kind == "cpu" else MEMORY * 10)


def counted(metric, state):
    return state == "ready" or state in ("fresh", "unready") and metric.kind != "cpu"


def unready(metric, state):
    return state == "pending" or state in ("fresh", "unready") and metric.kind == "cpu"


def step(rng, metrics, states):
    pods = [{"state": rng.choice(states), "values": {}} for _ in range(rng.randint(1, PODS))]
    out = {"pods": pods, "external": {}}
    for m in metrics:
        m.step(rng)
        if rng.random() < 0.07:
            continue  # nothing is known of it
        if m.kind == "external":
            out["external"][m.name] = m.outside(rng, len(pods))
            continue
        mute = rng.choice([0, 0, 0, 0.2])
        have = [p for p in pods if counted(m, p["state"]) and (rng.random() >= mute or p["state"] != "ready")]
        late = sum(unready(m, p["state"]) for p in pods)
        lacking = sum(counted(m, p["state"]) for p in pods) - len(have)
        values = m.readings(rng, len(have), lacking, late) if have else None
        for pod, value in zip(have, values or []):
            pod["values"][m.name] = m.thousandths(value)
        for pod in pods:
            if values and m.kind == "cpu" and pod["state"] in ("fresh", "unready"):
                pod["values"][m.name] = rng.randint(0, 10**6)
            elif values and pod["state"] in ("failed", "deleted") and rng.random() < 0.5:
                pod["values"][m.name] = rng.randint(0, 10**6)
    return out


def window(rng):
    """Seconds that end between two looks: a value leaves our windows a 60th of them late, and is looked at then."""
    n = 15 * rng.choice([0, 0, 1, 2, 3, 8, 20])
    return rng.choice([0, n + rng.randint(1, 15 - math.ceil((n + 15) / 60))])


def rules(rng, up, longest, before=None):
    """Others than `before` keep its window: ours of another length begins anew."""
    r = {}
    if before is not None:
        r = {k: v for k, v in before.items() if k == "stabilizationWindowSeconds"}
    elif rng.random() < 0.7:
        r["stabilizationWindowSeconds"] = window(rng)
    elif not up:
        r["stabilizationWindowSeconds"] = 0
    if rng.random() < 0.7:
        r["selectPolicy"] = rng.choice(["Max", "Max", "Min", "Min", "Disabled"] if rng.random() < 0.5 else ["Max", "Min"])
    if rng.random() < 0.3:
        r["tolerance"] = rng.choice(["0", "0.05", "0.25", "0.5", "0.125"])
    if longest != 15 or rng.random() < 0.6:  # the defaults' period
        r["policies"] = []
        for i in range(rng.randint(1, 3)):
            percent = rng.random() < 0.5
            value = rng.choice([7, 13, 25, 50, 75, 93, 100] + [150, 200, 333] * up) if percent else rng.randint(1, 9)
            r["policies"].append({"type": "Percent" if percent else "Pods", "value": value,
                                  "periodSeconds": longest if i == 0 else rng.randint(1, longest)})
    return r


def case(low, high, metrics, theirs, ours, replicas, began, steps):
    """As both programs read it: `theirs` and `ours` are the behavior, None: none."""
    spec = {"minReplicas": low, "maxReplicas": high, "metrics": metrics}
    scaling = {"min": low, "max": high, "idleTimeout": "60s", "metrics": metrics}
    return {"spec": {**spec, "behavior": theirs}, "scaling": {**scaling, "behavior": ours}, "replicas": replicas, "began": began,
            "requests": {"cpu": CPU, "memory": MEMORY * 1000}, "steps": steps}


def scenario(rng):
    kinds = rng.choice([["cpu"], ["memory"], ["pods"], ["external"], ["cpu", "memory"], ["cpu", "external"],
                        ["pods", "external"], ["external", "external"], ["cpu", "memory", "external"], ["pods", "pods", "cpu"]])
    metrics = [Metric(rng, k, k if k in ("cpu", "memory") else f"{k}{i}") for i, k in enumerate(kinds)]
    states = ["ready"] * rng.choice([1, 4, 8, 12]) + ["fresh", "pending", "failed", "deleted"]
    if "pods" not in kinds:  # ours report nothing before they are ready
        states.append("unready")
    low = rng.randint(1, 3)
    high = rng.choice([low, 10, 30, 60, 99])
    # Of both directions: the real one forgets changes up by the longest period for up, which those for down may exceed.
    longest = rng.choice([15, 15, 30, 60, 100, 300])
    behavior = {"scaleUp": rules(rng, True, longest), "scaleDown": rules(rng, False, longest)} if rng.random() < 0.85 else None
    # Without one, the real controller goes by rules of its own, older than the documented defaults. 301: see window().
    theirs = behavior or {"scaleUp": {}, "scaleDown": {"stabilizationWindowSeconds": 301}}
    steps = [step(rng, metrics, states) for _ in range(rng.randint(1, 40))]
    for s in steps if behavior else []:
        if rng.random() < 0.04:
            s["behavior"] = {"scaleUp": rules(rng, True, longest, behavior["scaleUp"]), "scaleDown": rules(rng, False, longest, behavior["scaleDown"])}
    return case(low, high, [m.spec() for m in metrics], theirs, behavior, rng.randint(low, high), rng.randint(10**9, 10**9 + 10**6), steps)
