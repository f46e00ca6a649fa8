"""kpa_cases.py: random loads by the second, for Knative's autoscaler and ours.

Loads and targets are whole: Knative rounds means to six digits. A delay is an odd number of seconds, up to a minute:
Knative keeps what it wanted in steps of 2 s, we in steps of 1 s. Less than the panic window goes unseen at a time: its
two windows begin anew by themselves after a gap of their own length, ours is one.
"""


def scenario(rng):
    stable = rng.choice([6, 10, 30, 60, 60, 60, 120])
    panic = rng.choice([max(1, stable // 10), rng.randint(1, stable)])
    length = rng.randint(20, 400)
    load, ready, level, pods = [], [], rng.choice([0, 1, 5, 40]), rng.choice([0, 1, 1, 2, 5, 20])
    target = rng.choice([1, 2, 3, 7, 10, 70, 100])
    unseen = 0
    for _ in range(length):
        if rng.random() < 0.05:
            level = rng.choice([0, 0, level // 2, level * 2, level * 10, rng.randint(0, 50 * target)]) % 100000
        if rng.random() < 0.03:
            pods = rng.choice([pods // 2, pods + 1, pods * 2, level // target]) % 2000
        unseen = unseen + 1 if load and unseen + 2 < panic and rng.random() < 0.04 else 0
        load.append(-1 if unseen else max(0, level + rng.randint(-level // 5, level // 5)))
        ready.append(pods)
    return {"target": target, "stable": stable, "panic": panic, "delay": rng.choice([0, 0, 2 * rng.randint(1, 29) + 1]),
            "ready": ready, "load": load}
