"""The Python runtime as a template: it forks children that become instances; this test plays their agent.

    /usr/bin/python3 -m pytest test/compat/fork_test.py

What is there is by proto/frames.md, "Fork". Sockets time out after 30 s: what says nothing fails.
"""
import json
import os
import select
import signal
import socket
import struct
import time
from contextlib import contextmanager

import pytest
from bootstrap_test import COMMANDS, CREDIT, END, ERROR, HELLO, HOOK, Instance, encode

FORK = 11
AFTER_FORK = 4

INDEX = '''
import ctypes, os, random, signal, sys, threading, time, uuid
random.seed(1)
state = []
def init(context):
    state.append(os.getpid())
def threads(context):
    threading.Thread(target=time.sleep, args=(100,), daemon=True, name="sleeper").start()
def child(context):
    global mine
    signal.signal(signal.SIGCHLD, lambda *_: state.append("child"))
def after(context):
    state.append("after")
def handler(event, context):
    if event == "state": return state
    if event == "who": return [os.getpid(), random.random(), str(uuid.uuid4()), os.urandom(8).hex()]
    if event == "environment": return dict(os.environ)
    if event == "revision": return context.revision
    if event == "sigchld": return callable(signal.getsignal(signal.SIGCHLD))
    if event == "session": return [os.getsid(0), os.getpid(), os.getpgid(0)]
    if event == "descriptors": return sorted(os.readlink(f"/proc/self/fd/{n}").split(":")[0] for n in (0, 1, 2))
    if event == "print":
        print("by print")
        ctypes.CDLL(None).puts(b"by puts")
        ctypes.CDLL(None).fflush(None)
        os.write(2, b"by write\\n")
        return "done"
    if event == "exit": os._exit(7)
    if event == "wait":
        pid = os.fork()
        if not pid: os._exit(9)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
'''


class Child(Instance):
    """A child that a template forked, from its connection on."""

    def __init__(self, connection):
        self.socket = connection
        self.socket.settimeout(30)
        self.reader = self.socket.makefile("rb")
        frame = self.receive()
        assert (frame.type, frame.flags, frame.id) == (HELLO, 0, 0)
        self.introduction = json.loads(frame.payload)

    def become(self, ident, environment=None, hello=None):
        self.outputs = []
        writers = []
        for _ in range(2):
            reader, writer = os.pipe()
            self.outputs.append(reader)
            writers.append(writer)
        payload = json.dumps({"environment": environment or {}}).encode()
        socket.send_fds(self.socket, [encode(FORK, 0, ident, payload)], writers)
        for writer in writers:
            os.close(writer)
        self.send(HELLO, 0, 0, json.dumps(hello).encode())
        return self.ready(hello["concurrency"])

    def written(self, n):
        """What came to its standard output (0) or error (1) until now."""
        text = b""
        while select.select([self.outputs[n]], [], [], 0)[0]:
            part = os.read(self.outputs[n], 65536)
            if not part:
                break
            text += part
        return text.decode()

    def close(self):
        self.reader.close()
        self.socket.close()
        for fd in getattr(self, "outputs", []):
            os.close(fd)


class Template(Instance):
    """The bootstrap with a listener that stays open."""

    def __init__(self, directory, initializer="index.init", **options):
        self.children = []
        super().__init__(directory, COMMANDS["python"], {"index.py": INDEX}, **options)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.settimeout(30)
        self.listener.bind("s")
        self.listener.listen()
        self.ready(self.hello["concurrency"])
        self.hook(1, initializer, ident=1)

    def hook(self, kind, name, ident):
        self.send(HOOK, 0, ident, struct.pack("<QB7s", 1 << 50, kind, b"") + name.encode())
        frame = self.receive()
        assert (frame.type, frame.id) == (END, ident), frame

    def fork(self, ident):
        self.send(FORK, 0, ident)
        child = Child(self.listener.accept()[0])
        self.children.append(child)
        assert child.introduction["fork"] == ident
        return child

    def instance(self, ident, **environment):
        return self.fork(ident).become(ident, environment, self.hello)

    def close(self):
        for child in self.children:
            child.close()
        self.listener.close()
        super().close()


@pytest.fixture
def template(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = []

    def make(*args, **options):
        made.append(Template(tmp_path, *args, **options))
        return made[-1]

    yield make
    for t in made:
        t.close()


@contextmanager
def ended(pid):
    """That process ends within, and is reaped."""
    fd = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    yield
    assert poll.poll(30_000)
    deadline = time.monotonic() + 30
    while os.path.exists(f"/proc/{pid}"):
        assert time.monotonic() < deadline, "nobody waited for it"
        time.sleep(0.002)
    os.close(fd)


def value(child, what):
    return json.loads(child.call(what)[1])


def test_children_have_what_was_initialised_and_differ_else(template):
    t = template()
    a, b = t.instance(5, ROUSE_INSTANCE="a"), t.instance(6, ROUSE_INSTANCE="b")
    assert value(a, "state") == value(b, "state") == [t.process.pid]
    who = [value(a, "who"), value(b, "who")]
    for mine, other in zip(*who):
        assert mine != other
    assert t.process.pid not in (who[0][0], who[1][0])
    assert value(a, "environment")["ROUSE_INSTANCE"] == "a"
    assert value(b, "environment")["ROUSE_INSTANCE"] == "b"
    assert value(a, "environment")["LANG"] == "C.UTF-8"  # the rest is the template's


def test_a_child_hears_its_own_hello(template):
    t = template()
    child = t.fork(5)
    child.become(5, {}, {**t.hello, "revision": "r2"})
    assert child.call("revision")[1] == b"r2"


def test_outputs_are_the_childs_own(template):
    t = template()
    a, b = t.instance(5), t.instance(6)
    assert a.call("print")[1] == b"done"
    assert a.written(0) == "by print\nby puts\n" and a.written(1) == "by write\n"
    assert b.written(0) == b.written(1) == ""


def test_after_fork_is_a_hook_of_the_child(template):
    t = template()
    a, b = t.instance(5), t.instance(6)
    a.hook = Template.hook.__get__(a)
    a.hook(AFTER_FORK, "index.after", ident=9)
    assert value(a, "state") == [t.process.pid, "after"]
    assert value(b, "state") == [t.process.pid]


def test_several_at_once_in_a_child(template):
    t = template(concurrency=4)
    child = t.instance(5)
    for ident in (11, 12, 13):
        child.invoke(ident, b'"session"')
    sessions = {child.result()[1] for _ in range(3)}
    assert len(sessions) == 1
    sid, pid, pgid = json.loads(sessions.pop())
    assert sid == pid == pgid


def test_signals_and_children_are_the_functions_own(template):
    t = template(initializer="index.child")
    child = t.instance(5)
    assert value(child, "sigchld") is True
    assert value(child, "wait") == 9
    assert "child" in value(child, "state")


def test_what_it_forked_is_reaped_without_it(template):
    t = template()
    child = t.instance(5)
    pid = value(child, "who")[0]
    t.process.send_signal(signal.SIGSTOP)
    try:
        with ended(pid):
            child.invoke(7, b'"exit"')
            assert child.receive() is None
    finally:
        t.process.send_signal(signal.SIGCONT)
    t.instance(6)  # and goes on


def test_a_template_that_is_an_instance_after_all_waits_for_its_children(template):
    t = template(initializer="index.child")
    with ended(t.fork(5).introduction["pid"]):
        t.children[0].socket.shutdown(socket.SHUT_RDWR)
    assert value(t, "wait") == 9
    assert value(t, "sigchld") is True


def test_a_template_with_threads_does_not_fork(template):
    t = template(initializer="index.threads")
    t.send(FORK, 0, 5)
    frame = t.receive()
    assert (frame.type, frame.flags, frame.id) == (ERROR, 0, 5)
    error = json.loads(frame.payload)
    assert error["errorType"] == "Runtime.CannotFork"
    assert "1 threads run beside the main one" in error["errorMessage"] and "sleeper" in error["errorMessage"]
    assert value(t, "state") == []  # and is an instance like any other


def test_a_child_that_is_not_wanted_ends(template):
    t = template()
    child = t.fork(5)
    with ended(child.introduction["pid"]):
        child.socket.shutdown(socket.SHUT_RDWR)
    t.instance(6)


def test_a_child_without_outputs_ends(template):
    t = template()
    child = t.fork(5)
    child.send(FORK, 0, 5, b"{}")
    assert child.receive() is None
    _, _, err = t.end()
    assert "a child's first frame is not FORK with its outputs" in err


def test_children_outlive_their_template(template):
    t = template()
    child = t.instance(5)
    t.socket.shutdown(socket.SHUT_RDWR)
    assert t.process.wait(timeout=30) == 0
    assert value(child, "state") == [t.process.pid]


def test_memory_is_shared_and_frames_in_one_write_are_all_heard(template):
    t = template()
    t.raw(encode(FORK, 0, 5) + encode(FORK, 0, 6) + encode(FORK, 0, 7))
    found = set()
    for _ in range(3):
        child = Child(t.listener.accept()[0])
        t.children.append(child)
        found.add(child.introduction["fork"])
    assert found == {5, 6, 7}
