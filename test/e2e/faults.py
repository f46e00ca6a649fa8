"""faults.py: the table (state of a request x fault) -> answer, as the real programs give it.

test_faults.py has one test a cell. `python3 test/e2e/faults.py` writes the table into README.md,
and a test sees that it is there as it is here. The same table at the level of the router alone,
with every word between its parts under control, is test/unit/agent/router/faults_test.c.

An answer is the status with its body (200) or its reason, or one of:
  none  nothing: the client's entry died with the request
  cut   a beginning, then the connection's end
  left  nobody to answer: the client went, and what it held is free again
"""
import pathlib

STATES = {
    "body": "waits at an agent for an instance that starts; half of its body has come",
    "starting": "waits at an agent for an instance that starts",
    "front": "waits at the controller's own front (7081) for an instance that starts",
    "upload": "half of its body has come; an instance on another node is free for the rest",
    "granted": "half of its body has come; it was granted an instance that waits for the rest",
    "crowded": "waits at an agent; `scaling.max` is reached and the one slot is taken",
    "local": "runs on the node of its entry",
    "remote": "runs on another node than its entry's",
    "partly": "answered from another node, its reader took a part and stopped",
}

FAULTS = {
    "leave": "the client leaves",
    "exit": "the instance ends by itself",
    "kill": "the instance's runtime gets SIGKILL",
    "oom": "the instance takes more memory than it may",
    "agent": "the agent of the instance gets SIGKILL",
    "partition": "the node of the instance is cut off, and comes back after it was missed",
    "silence": "the node of the instance is cut off for longer than the function's time-out",
    "drain": "the agent of the instance gets SIGTERM",
    "drain-entry": "the agent that waits for the answer gets SIGTERM",
    "kill-entry": "the agent that waits for the answer gets SIGKILL",
    "controller": "the controller gets SIGKILL and is started again",
    "delete": "the function is deleted",
    "update": "the function gets a new revision",
    "timeout": "the function's time-out passes",
    "deadline": "the queue's deadline passes",
}

WAITING = ("body", "starting", "front", "crowded")
AT_AGENT = ("body", "starting", "crowded")
COLD = ("body", "starting", "front")

# (states, fault, answer, why)
_ROWS = [
    (tuple(STATES), "leave", "left", "a client that leaves frees its ticket or its slot at once"),

    (COLD, ("exit", "kill", "oom"), "502 InitFailed", "what fails while it starts would fail again: nobody waits on"),
    (("upload", "granted"), "kill", "200 old", "nothing was sent to it: the request goes elsewhere, here to a new one"),
    ("crowded", ("exit", "kill", "oom"), "200 old", "only the request that ran is lost; a new instance serves the queue"),
    (("local", "remote"), ("exit", "kill"), "502 InstanceLost", "INVOKE was written: it is never run twice"),
    (("local", "remote"), "oom", "502 OOMKilled", "as every loss, and an OOM kill is told as one"),
    ("partly", "kill", "200 large", "the instance has said all: its agent has the answer"),

    (("upload", "granted"), "agent", "200 old", "nothing was sent to it: the request goes elsewhere"),
    ("upload", "partition", "200 old", "the rest of the way is made when there is one"),
    (("upload", "granted"), ("drain", "drain-entry", "controller"), "200 old", "as one that runs: nothing of this is its client's business"),
    ("upload", "kill-entry", "none", "its entry died"),
    ("upload", "delete", "404 NotFound", "what has not begun finds no function any more"),
    ("upload", "update", "200 new", "what has not begun goes to the revision that has the traffic"),
    ("upload", "timeout", "200 old", "the time-out begins with INVOKE"),
    ("upload", "deadline", "200 old", "it does not queue"),
    ("granted", "deadline", "200 old", "the grant waits for no slow client and is lost; what the upload takes is not time in the queue"),

    (WAITING, "agent", "200 old", "nothing ran: the ticket gets an instance on another node"),
    ("local", "agent", "none", "its entry died with it"),
    ("remote", "agent", "502 InstanceLost", "the entry lives and answers for the lost node"),
    ("partly", "agent", "cut", "the head is out: all that can be told is the end"),

    (WAITING, "partition", "200 old", "a silent node's instances do not count for those who wait"),
    ("local", "partition", "200 old", "client and entry are parted, not dead: TCP brings the answer later"),
    ("remote", "partition", "200 old", "back before the time-out: the answer comes late"),
    ("partly", "partition", "200 large", "back before the write time-out: the rest comes late"),
    ("remote", "silence", "504 Timeout", "the entry cannot tell a silent node from a slow function"),

    (WAITING + ("local", "remote"), "drain", "200 old",
     "no 5xx because of a drain: who waits goes elsewhere, what runs ends"),
    ("partly", "drain", "200 large", "a drain lets answers out"),
    (AT_AGENT, "drain-entry", "200 old", "a drained entry keeps its clients as long as it lives: 5 s"),
    ("remote", "drain-entry", "200 old", "a drained entry waits for what it passed on"),
    ("partly", "drain-entry", "200 large", "a drained entry lets answers out"),
    (AT_AGENT, "kill-entry", "none", "its entry died; the ticket went with it"),
    ("remote", "kill-entry", "none", "its entry died; the instance is free again"),
    ("partly", "kill-entry", "cut", "its entry died"),

    (AT_AGENT, "controller", "200 old", "the entry keeps the client and submits its ticket again"),
    ("front", "controller", "none", "its entry died: here the controller is the entry"),
    (("local", "remote"), "controller", "200 old", "warm traffic never needed the controller"),
    ("partly", "controller", "200 large", "warm traffic never needed the controller"),

    (WAITING, "delete", "404 NotFound", "what has not begun finds no function any more"),
    (("local", "remote"), "delete", "200 old", "unrouted, drained until its own requests are done, then stopped"),
    ("partly", "delete", "200 large", "unrouted, drained until its own requests are done, then stopped"),

    (WAITING, "update", "200 new", "the new revision takes over when it is ready, at once from one that is not"),
    (("local", "remote"), "update", "200 old", "a revision is immutable: what runs ends as it began"),
    ("partly", "update", "200 large", "a revision is immutable: what runs ends as it began"),

    (WAITING, "timeout", "200 old", "the time-out is the function's, not the queue's"),
    (("local", "remote"), "timeout", "504 Timeout", "the function's time-out"),
    ("partly", "timeout", "200 large", "the function was in time; its reader has 60 s a write"),

    (WAITING, "deadline", "503 DeadlineExceeded", "the queue's deadline, with Retry-After"),
    (("local", "remote"), "deadline", "200 old", "it is the queue's: what runs is past it"),
    ("partly", "deadline", "200 large", "it is the queue's: what runs is past it"),
]


def _tuple(x):
    return x if isinstance(x, tuple) else (x,)


CELLS = {}
for _states, _faults, _answer, _why in _ROWS:
    for _fault in _tuple(_faults):
        for _state in _tuple(_states):
            assert (_state, _fault) not in CELLS, (_state, _fault)
            assert _state in STATES and _fault in FAULTS, (_state, _fault)
            CELLS[_state, _fault] = (_answer, _why)

README = pathlib.Path(__file__).with_name("README.md")
BEGIN, END = "<!-- faults.py: begin -->\n", "<!-- faults.py: end -->\n"


def render():
    out = ["| state | the request |", "|---|---|"]
    out += [f"| {name} | {text} |" for name, text in STATES.items()]
    out += ["", "| fault | " + " | ".join(STATES) + " |", "|---|" + "---|" * len(STATES)]
    for fault, text in FAULTS.items():
        cells = [CELLS.get((state, fault), ("",))[0] for state in STATES]
        out.append(f"| {fault}: {text} | " + " | ".join(cells) + " |")
    out += ["", "Why:", ""]
    for states, faults, answer, why in _ROWS:
        out.append(f"- {', '.join(_tuple(states))} x {', '.join(_tuple(faults))}: {answer}: {why}")
    return "\n".join(out) + "\n"


def in_readme():
    text = README.read_text()
    return text[text.index(BEGIN) + len(BEGIN):text.index(END)]


def main():
    text = README.read_text()
    head, tail = text[:text.index(BEGIN) + len(BEGIN)], text[text.index(END):]
    README.write_text(head + render() + tail)


if __name__ == "__main__":
    main()
