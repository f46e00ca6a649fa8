"""Our HTTP/1.1 codec against two others, Node's llhttp and h11: whatever we accept, they read the same.

    /usr/bin/python3 -m pytest test/compat/http_codec_test.py
    ROUSE_HTTP_SEED=N ROUSE_HTTP_CASES=N repeats a run, or makes a longer one

What they accept and we refuse is no finding: we are strict on purpose. What we accept and they refuse, or
read otherwise, is one, unless ALLOWED argues why no peer can be deceived by it.
"""
import collections
import json
import os
import random
import re
import struct
import subprocess
from pathlib import Path

import h11
import http_cases
import pytest

ROOT = Path(__file__).resolve().parents[2]
DRIVER = ROOT / "build/release/test/compat/http_codec_driver"
CASES = int(os.environ.get("ROUSE_HTTP_CASES", 8000))
SEEDS = [int(os.environ["ROUSE_HTTP_SEED"])] if "ROUSE_HTTP_SEED" in os.environ else [20240229, random.SystemRandom().randrange(1 << 32)]
REQUEST = "Q"
KNOWN_METHODS = set(subprocess.run(["node", "-p", "require('http').METHODS.join(' ')"], capture_output=True, text=True, timeout=60).stdout.split())
METHOD_OF = {"G": "GET", "H": "HEAD", "C": "CONNECT", "U": "GET", "V": "HEAD"}  # of the request that a response answers
UPGRADE = [("Connection", "upgrade"), ("Upgrade", "x")]  # what U and V ask for
PLAIN_TRAILERS = {"x-sum", "x-two", "x-high"}  # whatever else comes in a trailer section may be left out


def run(command, cases):
    """The reader's line for each case (kind, bytes)."""
    frames = b"".join(struct.pack("<Ic", len(data), kind.encode()) + data for kind, data in cases)
    done = subprocess.run([str(c) for c in command], input=frames, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    lines = done.stdout.decode("ascii").splitlines() if command[0] == DRIVER else done.stdout.decode().splitlines()
    assert len(lines) == len(cases)
    return [json.loads(line) for line in lines]


# ---- h11

def latin(value):
    return bytes(value).decode("latin-1")


def fields(headers):
    return [[latin(name), latin(value)] for name, value in headers.raw_items()]


def same_coding(headers):
    """h11 tells the transfer coding in lower case."""
    return [[n, v.lower() if n.lower() == "transfer-encoding" else v] for n, v in headers]


def h11_message(kind, data, start):
    """Reads one message from `start` on; (message or None, refusal or None)."""
    out = None
    try:
        if kind == REQUEST:
            c = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 17)
        else:
            c = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 17)
            c.send(h11.Request(method=METHOD_OF[kind], target="h:1" if kind == "C" else "/", headers=[("Host", "a")] + UPGRADE * (kind in "UV")))
            c.send(h11.EndOfMessage())
        c.receive_data(data[start:])
        if kind != REQUEST:
            c.receive_data(b"")
        while True:
            event = c.next_event()
            if event is h11.PAUSED and kind == "C":  # a tunnel begins behind the head
                out.update(complete=True, end=len(data) - len(c.trailing_data[0]))
            if event in (h11.NEED_DATA, h11.PAUSED):
                return out, None
            if isinstance(event, (h11.Request, h11.Response, h11.InformationalResponse)):
                out = {"headers": fields(event.headers), "trailers": [], "body": "", "complete": False,
                       "minor": int(event.http_version[2:])}
                if kind == REQUEST:
                    out.update(method=latin(event.method), target=latin(event.target))
                else:
                    out["status"] = event.status_code
            elif isinstance(event, h11.Data):
                out["body"] += latin(event.data)
            elif isinstance(event, h11.EndOfMessage):
                out["trailers"] = fields(event.headers)
            if isinstance(event, (h11.EndOfMessage, h11.InformationalResponse)):
                out.update(complete=True, end=len(data) - len(c.trailing_data[0]),
                           keep_alive=c.their_state is not h11.MUST_CLOSE)
                return out, None
    except h11.RemoteProtocolError as e:
        return out, str(e)


def read_h11(kind, data):
    messages, at = [], 0
    while at < len(data):
        message, why = h11_message(kind, data, at)
        if message:
            messages.append(message)
        if why or not message or not message["complete"] or message.get("status") == 101:
            return {"messages": messages, "end": "refused" if why else "incomplete", "why": why or ""}
        at = message["end"]
        if kind != REQUEST and message["status"] >= 200:
            break
    return {"messages": messages, "end": "complete", "why": ""}


# ---- the rule

def reduced(message):
    """The target in origin form and the host that it names, RFC 9112 3.2.2."""
    target, hosts = message["target"], [v for n, v in message["headers"] if n.lower() == "host"]
    form = re.fullmatch(r"https?://([^/?]*)(.*)", target, re.I | re.S)
    if message["method"] == "CONNECT":
        return target, target
    if form:
        return form[2] or "/", form[1]
    return target, hosts[0] if hosts else ""


def difference(kind, ours, theirs, refused, why):
    """How `theirs` reads one message otherwise than `ours`, whose body we `refused`; None if it does not."""
    if theirs is None:
        return f"refused: {why}"
    for key in ["method", "minor"] if kind == REQUEST else ["status", "minor"]:
        if ours[key] != theirs[key]:
            return f"{key}: {theirs[key]!r}"
    if same_coding(ours["headers"]) != same_coding(theirs["headers"]):
        return f"headers: {theirs['headers']!r}"
    if kind == REQUEST and (ours["target"], ours["host"]) != reduced(theirs):
        return f"target: {theirs['target']!r}"
    if not ours["complete"]:
        if theirs["complete"] and not refused:
            return f"ends at {theirs['end']}"
        short, long = sorted([ours["body"], theirs["body"]], key=len)
        return None if long.startswith(short) else f"body: {theirs['body']!r}"
    if not theirs["complete"]:
        return f"body refused: {why}" if why else "does not end"
    if ours["body"] != theirs["body"]:
        return f"body: {theirs['body']!r}"
    if ours["end"] != theirs["end"]:
        return f"ends at {theirs['end']}"
    if ours["trailers"] != [t for t in theirs["trailers"] if t[0].lower() in PLAIN_TRAILERS or t in ours["trailers"]]:
        return f"trailers: {theirs['trailers']!r}"
    if kind == REQUEST and ours["keep_alive"] and not theirs["keep_alive"]:
        return "closes"
    if kind == REQUEST and theirs.get("upgrade") and not ours["upgrade"] and ours["method"] != "CONNECT":
        return "upgrades"
    return None


# (why nobody is deceived, which difference it is)
ALLOWED = [
    ("llhttp knows a list of methods, and 'PRI' as the start of HTTP/2; a refused request is not misread",
     lambda reader, kind, ours, what: reader == "llhttp" and kind == REQUEST and ours["method"] not in KNOWN_METHODS
     and what.startswith(("refused: HPE_INVALID_METHOD", "refused: HPE_INVALID_VERSION: Expected HTTP/2"))),
    ("llhttp reads Proxy-Connection as Connection: it closes after a message that it read as we do",
     lambda reader, kind, ours, what: reader == "llhttp" and what == "closes"
     and any(n.lower() == "proxy-connection" for n, v in ours["headers"])),
    ("llhttp closes after an interim response that says so; the final one then never comes",
     lambda reader, kind, ours, what: reader == "llhttp" and kind != REQUEST and what.startswith("refused: HPE_CLOSED_CONNECTION")),
    ("llhttp takes an Upgrade from HTTP/1.0, which RFC 9110 7.8 says to ignore; the proxy does not pass it on",
     lambda reader, kind, ours, what: reader == "llhttp" and what == "upgrades" and ours["minor"] == 0),
    ("h11 keeps no connection of HTTP/1.0: the same",
     lambda reader, kind, ours, what: reader == "h11" and what == "closes" and ours["minor"] == 0),
    ("h11 as a client refuses an upgrade that it did not ask for; ours is dropped by the client's owner",
     lambda reader, kind, ours, what: reader == "h11" and what.startswith("refused") and ours.get("status") == 101),
]


def allowed(reader, kind, ours, what):
    for name, ok in ALLOWED:
        if ok(reader, kind, ours, what):
            return name
    return None


def findings(kind, data, ours, theirs, reader, counts):
    for i, message in enumerate(ours["messages"]):
        other = theirs["messages"][i] if i < len(theirs["messages"]) else None
        refused = not message["complete"] and ours["end"] == "refused"
        what = difference(kind, message, other, refused, theirs["why"])
        if what is None:
            counts["read the same"] += 1
            continue
        name = allowed(reader, kind, message, what)
        if name is None:
            yield f"{reader} {what}\n  ours: {message}\n  case: {kind} {data!r}"
            return
        counts[name] += 1
        if what.startswith(("refused", "body refused", "ends", "does not", "closes", "upgrades")):
            return  # it reads no further, or elsewhere


@pytest.mark.parametrize("seed", SEEDS)
def test_what_we_accept_others_read_the_same(seed):
    rng = random.Random(seed)
    cases = [(REQUEST, http_cases.requests(rng)) for _ in range(CASES)]
    cases += [(rng.choice("GGGHC"), http_cases.response(rng)) for _ in range(CASES // 2)]
    ours, llhttp = run([DRIVER], cases), run(["node", "--no-deprecation", Path(__file__).with_name("http_llhttp.js")], cases)
    found, counts = [], collections.Counter()
    for (kind, data), we, they in zip(cases, ours, llhttp):
        counts["messages"] += len(we["messages"])
        counts["refused by us"] += we["end"] == "refused"
        found += findings(kind, data, we, they, "llhttp", counts)
        found += findings(kind, data, we, read_h11(kind, data), "h11", counts)
    print(f"seed {seed}: {len(cases)} cases, {dict(counts)}")
    assert not found, f"seed {seed}: {len(found)} findings, the first ones:\n" + "\n".join(sorted(found, key=len)[:12])
    # A generator that made nothing acceptable, or nothing wrong, would find nothing.
    assert counts["messages"] > len(cases) // 2 and counts["refused by us"] > len(cases) // 5
