"""From nothing to a deployed function: rouse new, build, run and deploy, as an author types them."""
import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

import pytest
from harness import BIN, EXAMPLES, http_request, wait_until

FAULTY = r"""
#include <errno.h>
#include <rouse/rouse.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* Frames that are larger than a stack's guard, of which only the far end is touched. */
static int deep(int n)
{
    volatile char frame[100 << 10];
    frame[0] = (char)n;
    return n ? deep(n - 1) + frame[0] : 0;
}
static int handle(const struct rouse_event *event, struct rouse_response *resp, struct rouse_context *ctx)
{
    printf("on stdout\n");
    if (strstr(event->data, "=deep"))
        return deep(3);
    rouse_log(ctx, "in the log");
    if (strstr(event->data, "=segv"))
        raise_segv();
    if (strstr(event->data, "=exit"))
        exit(3);
    if (strstr(event->data, "=hang"))
        pause();
    if (strstr(event->data, "=fail"))
        return -ENOENT;
    return rouse_respond_text(resp, getenv("GREETING") ? getenv("GREETING") : "none");
}
int main(void)
{
    if (getenv("CHILD") && fork() == 0) {
        signal(SIGTERM, SIG_IGN);
        for (;;)
            pause();
    }
    fprintf(stderr, "begins\n");
    if (getenv("BROKEN")) {
        fprintf(stderr, "a last word\n");
        return 9;
    }
    return rouse_start(handle) < 0;
}
""".replace("raise_segv();", "*(volatile int *)0 = 1;")


def rouse(*args, cwd, env=None, input=None, check=False, **more):
    r = subprocess.run([BIN / "rouse", *args], cwd=cwd, env=dict(os.environ, **(env or {})), input=input, text=True,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, **more)
    if check:
        assert r.returncode == 0, f"rouse {' '.join(map(str, args))}: exit {r.returncode}\n{r.stdout}{r.stderr}"
    return r


def new_python(work, name, code):
    rouse("new", "python3", name, cwd=work, check=True)
    (work / name / "index.py").write_text(code)


def children(pid):
    """All below it: (pid, program)."""
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            with contextlib.suppress(OSError):
                found += [(child, os.readlink(f"/proc/{child}/exe")), *children(child)]
    return found


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


class Run:
    """`rouse run` with a free port; what it said is in `text`."""

    def __init__(self, *args, cwd, env=None):
        self.process = subprocess.Popen([BIN / "rouse", "run", "--port", "0", *args], cwd=cwd, text=True,
                                        env=dict(os.environ, **(env or {})), stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        self.text = ""
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        wait_until("its address, or its end", lambda: "/function/" in self.text or self.process.poll() is not None)
        found = re.search(r"http://[^/]*", self.text)
        self.address = found and found.group()

    def _read(self):
        for line in self.process.stdout:
            self.text += line

    def __enter__(self):
        assert self.address, self.text
        return self

    def __exit__(self, *_):
        self.end()

    def call(self, path, method="GET", body=None, headers=None):
        return http_request(self.address, method, path, body, headers)

    def says(self, pattern):
        wait_until(f"{pattern!r} in:\n{self.text}", lambda: re.search(pattern, self.text))
        return True

    def end(self, sig=signal.SIGINT):
        if self.process.poll() is None:
            self.process.send_signal(sig)
        status = self.process.wait(20)
        self.reader.join(20)
        return status


@pytest.fixture
def work(tmp_path):
    """A directory to work in, and one for temporary files, in which nothing may stay."""
    (tmp_path / "tmp").mkdir()
    yield tmp_path
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.fixture
def env(work):
    return {"TMPDIR": str(work / "tmp")}


@pytest.fixture
def faulty(work):
    rouse("new", "c", "faulty", cwd=work, check=True)
    (work / "faulty/bootstrap.c").write_text(FAULTY)
    rouse("build", cwd=work / "faulty", check=True)
    return work / "faulty"


def edit(file, before, after):
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


# ---------------------------------------------------------------- new


@pytest.mark.parametrize("language, source", [("c", "bootstrap.c"), ("python3", "index.py"), ("nodejs", "index.js")])
def test_the_way_of_an_author(work, env, platform, language, source):
    """new, build, run --event, run, deploy, invoke: nothing is edited in between."""
    name = f"first-{language}"
    said = rouse("new", language, name, cwd=work, check=True).stdout
    directory = work / name
    assert {source, "function.yaml", "README.md", ".gitignore"} == {f.name for f in directory.iterdir()}
    for command in (f"cd {name}", "rouse run", "rouse deploy", f"rouse invoke {name}"):
        assert command in said
    rouse("build", cwd=directory, check=True)

    once = rouse("run", "--event", "-", cwd=directory, env=env, input='{"a": 1}')
    assert (once.returncode, once.stdout) == (0, f"Hello from {name}\n"), once.stderr
    assert "an event" in once.stderr

    with Run(cwd=directory, env=env) as run:
        answer = run.call(f"/{name}?x=1")
        assert (answer.status, answer.text) == (200, f"Hello from {name}\n")
        tail = answer.headers["Rouse-Request-Id"][-8:]
        assert run.says(rf"{tail} GET /{name}\?x=1 200 ")
        assert re.search(r" an event", run.text)
        assert run.call(f"/function/default/{name}/x").status == 200
        assert run.call("/elsewhere").json["reason"] == "NotFound"
        assert run.call("/function/default/other/").status == 404
        invoked = rouse("invoke", name, "--gateway", run.address, "-d", "{}", cwd=work)
        assert invoked.stdout == f"Hello from {name}\n"
        assert run.end() == 0

    deployed = subprocess.run([BIN / "rouse", "deploy", name], cwd=work, env=platform.env, text=True,
                              capture_output=True, timeout=60)
    assert deployed.returncode == 0, deployed.stderr
    assert f"curl {platform.gateway}/{name}" in deployed.stdout and f"rouse invoke {name}" in deployed.stdout
    assert platform.rouse("invoke", name).stdout == f"Hello from {name}\n"
    assert platform.call(f"/{name}").text == f"Hello from {name}\n"
    # Applying the manifest is the same thing.
    assert "unchanged" in platform.rouse("apply", "-f", directory / "function.yaml").stdout
    platform.rouse("delete", "function", name)


@pytest.mark.parametrize("language", ["python3", "nodejs"])
def test_a_server_is_passed_its_requests(work, env, language):
    rouse("new", language, "site", "--http", cwd=work, check=True)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    edit(work / "site/function.yaml", "port: 8080", f"port: {port}")
    with Run(cwd=work / "site", env=env) as run:
        assert run.call("/site/a?b=1").text == "Hello from site, at /site/a?b=1\n"
        assert run.call("/function/default/site/c").text == "Hello from site, at /c\n"
        assert run.says(r"GET /site/a\?b=1 200 ")
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", port))
        s.listen()
        r = rouse("run", "--port", "0", cwd=work / "site", env=env)
        assert r.returncode == 1 and f"port {port}, which spec.port says" in r.stderr
    r = rouse("run", "--event", "{}", cwd=work / "site", env=env)
    assert r.returncode == 2 and "takes requests and no events" in r.stderr


def test_http_in_c_streams(work, env):
    """`rouse new c --http`, and one that answers with what it is sent, as it comes."""
    rouse("new", "c", "site", "--http", cwd=work, check=True)
    with Run(cwd=work / "site", env=env) as run:
        assert run.call("/site/a?b=1").text == "Hello from site\n"
        assert run.says(r" GET /site/a\n(.*\n)*.* GET /site/a\?b=1 200 ")
    edit(work / "site/bootstrap.c", "    static const char text[]",
         "    char part[4096];\n    ssize_t n;\n\n    while ((n = rouse_http_read(req, part, sizeof(part), ROUSE_NEVER)) > 0)\n"
         "        rouse_http_write(resp, part, (size_t)n, ROUSE_NEVER);\n    static const char text[]")
    body = os.urandom(3 << 20)
    with Run(cwd=work / "site", env=env) as run:
        assert run.call("/site", "POST", body=body).body == body + b"Hello from site\n"
        host, port = run.address.rsplit("/", 1)[1].split(":")
        with socket.create_connection((host, int(port)), timeout=20) as s:
            s.sendall(b"POST /site HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\nConnection: close\r\n\r\nabc")
            said = b""
            while b"abc" not in said:  # it comes before the rest is sent
                said += s.recv(4096)
            s.sendall(b"def")
            while part := s.recv(4096):
                said += part
        assert b"def" in said and b"Hello from site" in said
    once = rouse("run", "--event", '{"a": 1}', cwd=work / "site", env=env, check=True)
    assert once.stdout == '{"a": 1}Hello from site\n'


def test_what_new_refuses(work):
    (work / "there").mkdir()
    (work / "there/kept").write_text("x")
    for args, status, words in [
        (["c", "there"], 1, "there is there already"),
        (["c", "Upper"], 2, "metadata.name consists of lower case letters"),
        (["c", "-x-"], 2, "metadata.name consists"),
        (["c", "a/b"], 2, "metadata.name consists"),
        (["c", "a" * 64], 2, "a name of 64 characters: metadata.name takes 63 at most"),
        (["cobol", "x"], 2, "c, python3, nodejs"),
        (["c"], 2, "name the function, too"),
        ([], 2, "name the language (c, python3, nodejs)"),
        (["c", "x", "--https"], 2, "--https"),
    ]:
        r = rouse("new", *(["--", *args] if "-x-" in args else args), cwd=work)
        assert r.returncode == status and words in r.stderr, (args, r.stderr)
    assert [f.name for f in (work / "there").iterdir()] == ["kept"]
    assert sorted(f.name for f in work.iterdir()) == ["there", "tmp"]
    rouse("new", "c", "a" * 63, cwd=work, check=True)


# ---------------------------------------------------------------- build


def test_build_compiles_what_has_changed(work):
    rouse("new", "c", "parts", cwd=work, check=True)
    directory = work / "parts"
    first = rouse("build", cwd=directory, check=True)
    assert re.search(r"built build/bootstrap: \d+ KiB in ", first.stdout)
    program = directory / "build/bootstrap"
    before = program.stat().st_mtime_ns
    assert "up to date" in rouse("build", cwd=directory, check=True).stdout
    assert program.stat().st_mtime_ns == before
    (directory / "more.h").write_text("const char *greeting(void);\n")
    (directory / "-more.c").write_text('#include "more.h"\nconst char *greeting(void) { return "from a second file"; }\n')
    edit(directory / "bootstrap.c", "#include <rouse/rouse.h>", '#include <rouse/rouse.h>\n#include "more.h"')
    edit(directory / "bootstrap.c", '"Hello from parts\\n"', "greeting()")
    r = rouse("run", "--event", "{}", cwd=work, check=False)
    assert r.returncode == 1 and "has no function.yaml" in r.stderr
    assert rouse("run", "parts", "--event", "{}", cwd=work, check=True).stdout == "from a second file"
    assert "up to date" in rouse("build", "parts", cwd=work, check=True).stdout
    assert "built" in rouse("build", "-B", "parts", cwd=work, check=True).stdout
    assert [f.name for f in (directory / "build").iterdir()] == ["bootstrap"]


def test_the_sdk_is_found_where_it_was_installed(work):
    """Below the PREFIX of the program, else by pkg-config."""
    top = BIN.parents[2]
    rouse("new", "c", "f", cwd=work, check=True)
    prefix = work / "prefix"
    for d in (prefix / "bin", prefix / "lib", work / "alone/bin"):
        d.mkdir(parents=True)
    shutil.copy(BIN / "rouse", prefix / "bin")
    shutil.copy(BIN / "rouse", work / "alone/bin")
    shutil.copy(BIN.parent / "lib/librouse.a", prefix / "lib")
    shutil.copytree(top / "runtime-sdk/include/rouse", prefix / "include/rouse")

    def build(program, **env):
        return subprocess.run([work / program, "build", "-B"], cwd=work / "f", env=dict(os.environ, **env), text=True,
                              capture_output=True, timeout=60)

    assert "built build/bootstrap" in build("prefix/bin/rouse").stdout
    r = build("alone/bin/rouse", PKG_CONFIG_PATH="", PKG_CONFIG_LIBDIR="/nowhere")
    assert r.returncode == 1 and "the C SDK is not here" in r.stderr
    if not shutil.which("pkg-config"):
        pytest.skip("pkg-config is not installed")
    libs = " ".join(re.findall(r"^LIBS_\$\(R\)/(?:sdk|sched|wire|base) *:= *(.*)", (top / "Makefile").read_text(), re.M))
    pc = (top / "runtime-sdk/sdk/rouse.pc.in").read_text().replace("@PREFIX@", str(prefix)).replace("@LIBS@", libs)
    (work / "rouse.pc").write_text(pc)
    assert "built build/bootstrap" in build("alone/bin/rouse", PKG_CONFIG_PATH=str(work)).stdout


def test_a_library_that_is_not_used_need_not_be_there(work):
    """json-c, which the SDK's handlers of JSON call."""
    compiler = work / "cc-without-json-c"
    compiler.write_text('#!/bin/sh\ncase "$*" in\n-print-file-name=*) echo "${1#-print-file-name=}" ;;\n'
                        '*-ljson-c*) echo "there is no json-c" >&2; exit 1 ;;\n*) exec cc "$@" ;;\nesac\n')
    compiler.chmod(0o755)
    rouse("new", "c", "f", cwd=work, check=True)
    rouse("build", "f", cwd=work, env={"CC": str(compiler)}, check=True)
    (work / "f/bootstrap.c").write_text(
        "#include <json-c/json.h>\n#include <rouse/rouse.h>\n"
        "static struct json_object *handle(struct json_object *event) { return json_object_get(event); }\n"
        "int main(void) { return rouse_start(handle) < 0; }\n")
    r = rouse("build", "f", cwd=work, env={"CC": str(compiler)})
    assert r.returncode == 1 and "json" in r.stderr
    assert rouse("run", "f", "--event", '{"a":[1]}', cwd=work, check=True).stdout == '{"a":[1]}'


def test_a_compile_error_is_the_compilers(work):
    rouse("new", "c", "wrong", cwd=work, check=True)
    rouse("build", cwd=work / "wrong", check=True)
    edit(work / "wrong/bootstrap.c", "return strdup", "retrun strdup")
    for command in ("build", "run", "deploy"):
        r = rouse(command, cwd=work / "wrong")
        assert r.returncode == 1 and re.search(r"^bootstrap\.c:\d+:\d+: error:", r.stderr, re.M), r.stderr
    # What was built before is not half overwritten.
    assert [f.name for f in (work / "wrong/build").iterdir()] == ["bootstrap"]
    r = rouse("build", cwd=work / "wrong", env={"CC": "no-such-compiler"})
    assert r.returncode == 1 and "no-such-compiler: No such file" in r.stderr and "$CC" in r.stderr


@pytest.mark.parametrize("language, source, text", [("python3", "index.py", "def ("), ("nodejs", "index.js", "let (")])
def test_a_syntax_error_is_shown(work, env, language, source, text):
    rouse("new", language, "wrong", cwd=work, check=True)
    (work / "wrong" / source).write_text(text)
    for command in (["build"], ["run", "--event", "{}"]):
        r = rouse(*command, cwd=work / "wrong", env=env)
        assert r.returncode == 1 and "SyntaxError" in r.stderr and source in r.stderr, r.stderr
        assert "do not compile" in r.stderr
    assert not (work / "wrong/__pycache__").exists()


def test_a_manifest_that_cannot_be_run(work, env):
    rouse("new", "python3", "bad", cwd=work, check=True)
    manifest = work / "bad/function.yaml"
    good = manifest.read_text()
    for before, after, words in [
        ("timeout: 3s", "timeout: 3d", "spec.timeout: a duration from 100ms to 1h"),
        ("concurrency: 1 ", "concurrency: 0 ", "spec.concurrency: a number from 1 to 1000"),
        ("runtime: python3", "runtime: cobol", 'spec.runtime: "cobol" cannot be built here'),
        ("path: /bad", "path: bad", "spec.triggers[0].http.path: "),
        ("code: {path: .}", "code: {package: x}", "spec.code: "),
        ("env: []", "env: [{value: x}]", "spec.env[0]: a name is required"),
        ("kind: Function", "kind: Fun", "kind"),
        ("name: bad\n", "name: b/a d\n", "metadata.name consists of"),
        ("memory: 128Mi", "memory: much", "spec.memory: "),
    ]:
        assert before in good
        manifest.write_text(good.replace(before, after))
        r = rouse("run", "--event", "{}", cwd=work / "bad", env=env)
        assert r.returncode == 1 and words in r.stderr, (after, r.stderr)


# ---------------------------------------------------------------- run


def test_lifecycle_hooks(work, env):
    new_python(
        work, "hooked",
        "import os\nready = False\n"
        "def init(context):\n    global ready\n    ready = True\n    print('initialised')\n"
        "    if os.environ.get('REFUSE'):\n        raise RuntimeError('not today')\n"
        "def stop(context):\n    print('stopped')\n"
        "def handler(event, context):\n    return str(ready)\n")
    edit(work / "hooked/function.yaml", "  timeout:",
         "  lifecycle: {initializer: index.init, preStop: index.stop}\n  timeout:")
    with Run(cwd=work / "hooked", env=env) as run:
        assert run.call("/hooked").text == "True"
        assert run.end() == 0
        assert "initialised" in run.text and "stopped" in run.text
    index = work / "hooked/index.py"
    index.write_text(index.read_text() + "def after(context):\n    print('after', ready)\n"
                     "    if os.environ.get('LATER'):\n        raise RuntimeError('not now')\n")
    edit(work / "hooked/function.yaml", "  lifecycle: {", "  start: fork\n  lifecycle: {afterFork: index.after, ")
    with Run(cwd=work / "hooked", env=env) as run:
        assert run.call("/hooked").text == "True"
        assert run.end() == 0
        assert run.text.index("initialised") < run.text.index("after True") < run.text.index("stopped")
    r = rouse("run", "--event", "{}", "--env", "LATER=1", cwd=work / "hooked", env=env)
    assert r.returncode == 1 and "did not start: the afterFork hook 'index.after' failed: RuntimeError: not now\n" in r.stderr
    r = rouse("run", "--event", "{}", "--env", "REFUSE=1", cwd=work / "hooked", env=env)
    assert r.returncode == 1 and "did not start: the initializer 'index.init' failed: RuntimeError: not today\n" in r.stderr


def test_metrics_are_shown(work, env):
    """What the function reports of itself: each new value a line, what is over a limit by its name."""
    new_python(
        work, "gauge",
        "def handler(event, context):\n"
        "    q = event['queryStringParameters']\n"
        "    try:\n        context.metric(q['name'], float(q['value']))\n"
        "    except ValueError as e:\n        return str(e)\n"
        "    return 'ok'\n")
    with Run(cwd=work / "gauge", env=env) as run:
        for value in ("12", "12", "0.5"):
            assert run.call(f"/gauge?name=jobs&value={value}").text == "ok"
        assert run.says("metric jobs = 0.5\n") and run.text.count("metric jobs = 12\n") == 1
        assert "the platform's own" in run.call("/gauge?name=concurrency&value=1").text
        assert run.end() == 0


def test_one_event(faulty, env):
    r = rouse("run", "--event", '{"what": "=ok"}', "--env", "GREETING=hi", cwd=faulty, env=env)
    assert (r.returncode, r.stdout) == (0, "hi") and "in the log" in r.stderr
    r = rouse("run", "--event", "-", "--env", "GREETING", cwd=faulty, env={**env, "GREETING": "mine"}, input="{}")
    assert (r.returncode, r.stdout) == (0, "mine")
    (faulty / "event.json").write_text('{"what": "=fail"}')
    r = rouse("run", "--event", "event.json", cwd=faulty, env=env)
    assert (r.returncode, r.stdout) == (1, "") and re.search("rouse: the function failed: .*No such file", r.stderr)
    r = rouse("run", "--event", '{"what": "=segv"}', cwd=faulty, env=env)
    assert r.returncode == 1 and "Runtime.Crash: the function crashed: SIGSEGV" in r.stderr
    r = rouse("run", "--event", '{"what": "=deep"}', cwd=faulty, env=env)
    assert r.returncode == 1 and "Runtime.StackOverflow: the function used more stack" in r.stderr
    r = rouse("run", "--event", "{not json", cwd=faulty, env=env)
    assert r.returncode == 1 and "not valid JSON" in r.stderr
    r = rouse("run", "--event", "{}", "--env", "BROKEN=1", cwd=faulty, env=env)
    assert r.returncode == 1 and "a last word" in r.stderr and "it exited with status 9" in r.stderr
    r = rouse("run", "--event", "no-such-file", cwd=faulty, env=env)
    assert r.returncode == 1 and "no-such-file: No such file" in r.stderr
    r = rouse("run", "--event", "{}", "--env", "SURELY_NOT_SET", cwd=faulty, env=env)
    assert r.returncode == 1 and "SURELY_NOT_SET is not in the environment" in r.stderr


def test_what_the_function_is_given(work, env):
    new_python(
        work, "given",
        "import os\ndef handler(event, context):\n    return [dict(os.environ), os.getcwd(), context.get_remaining_time_in_millis()]\n")
    edit(work / "given/function.yaml", "env: []  ", "env: [{name: A, value: spec}, {name: B, value: spec}]  ")
    r = rouse("run", "--event", "{}", "--env", "B=mine", cwd=work / "given", env={**env, "NOT_FOR_IT": "1"}, check=True)
    given, cwd, left = json.loads(r.stdout)
    assert (given["A"], given["B"]) == ("spec", "mine")
    assert given["ROUSE_FUNCTION"] == "given" and given["ROUSE_RUNTIME_SOCKET"].startswith(str(work / "tmp"))
    assert "NOT_FOR_IT" not in given and given["PATH"].endswith(os.environ["PATH"])
    assert cwd == str(work / "given") and 0 < left <= 3000


def test_a_crash_is_told_and_the_function_goes_on(faulty, env):
    with Run("--env", "GREETING=hi", cwd=faulty, env=env) as run:
        assert run.call("/faulty").text == "hi"
        crashed = run.call("/faulty?what=segv")
        assert crashed.status == 502 and crashed.json["errorType"] == "Runtime.Crash"
        assert run.says(r"the function ended: it was killed by SIGSEGV \(Segmentation fault\); it is started again")
        tail = crashed.headers["Rouse-Request-Id"][-8:]
        assert run.says(rf"{tail} Runtime.Crash: .*\n(.*\n)*{tail} GET /faulty\?what=segv 502 ")
        wait_until("its second life, for which nobody asks", lambda: run.text.count("begins") == 2)
        assert run.call("/faulty").text == "hi"
        assert run.call("/faulty?what=exit").json["errorType"] == "Runtime.ExitError"
        assert run.says(r"it exited with status 3; it is started again")
        assert run.call("/faulty").text == "hi"


def test_one_that_does_not_start_does_not_spin(faulty, env):
    with Run("--env", "BROKEN=1", cwd=faulty, env=env) as run:
        assert run.says(r"a last word\n(.*\n)*rouse: the function did not start: it exited with status 9")
        answer = run.call("/faulty")
        assert answer.status == 502 and answer.json["reason"] == "InitFailed"
        wait_until("a second start", lambda: run.text.count("did not start") >= 2)
        assert run.end() == 0
        assert run.text.count("a last word") == 2


@pytest.mark.parametrize("concurrency", [1, 10])
def test_the_timeout_holds(faulty, env, concurrency):
    edit(faulty / "function.yaml", "timeout: 3s", "timeout: 300ms")
    edit(faulty / "function.yaml", "concurrency: 100", f"concurrency: {concurrency}")
    with Run(cwd=faulty, env=env) as run:
        answer = run.call("/faulty?what=hang")
        assert (answer.status, answer.json["reason"]) == (504, "Timeout")
        assert run.says(r"Task timed out after 0.30 seconds")
        assert run.says(r"the function was ended; it is started again")
        assert run.call("/faulty").status == 200


def test_concurrency_is_the_specs(work, env):
    """Two are let in, the third waits."""
    new_python(
        work, "pair",
        "import os, threading\n"
        "inside, most, lock, meet = 0, 0, threading.Lock(), threading.Barrier(2)\n"
        "def handler(event, context):\n"
        "    global inside, most\n"
        "    with lock:\n"
        "        inside += 1\n"
        "        most = max(most, inside)\n"
        "    meet.wait(10)\n"
        "    with lock:\n"
        "        inside -= 1\n"
        "    return str(most)\n")
    edit(work / "pair/function.yaml", "concurrency: 1 ", "concurrency: 2 ")
    edit(work / "pair/function.yaml", "timeout: 3s", "timeout: 30s")
    with Run(cwd=work / "pair", env=env) as run:
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(run.call("/pair").text)) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(30)
        assert answers == ["2"] * 4


def test_methods_and_patterns(work, env):
    new_python(
        work, "users",
        "def handler(event, context):\n    return [event['routeKey'], event.get('pathParameters'), event.get('body')]\n")
    edit(work / "users/function.yaml", "  - http: {path: /users}",
         '  - http: {path: "/users/{id}", methods: [GET, PUT]}\n  - http: {path: /*, hosts: [www.example.com]}')
    with Run(cwd=work / "users", env=env) as run:
        assert run.call("/users/7").json == ["GET /users/{id}", {"id": "7"}, None]
        assert run.call("/users/7", "PUT", body="x").json == ["PUT /users/{id}", {"id": "7"}, "x"]
        refused = run.call("/users/7", "DELETE")
        assert refused.status == 405 and refused.headers["Allow"] == "GET, PUT"
        assert run.call("/else").status == 404
        assert run.call("/else", headers={"Host": "www.example.com"}).status == 200
        assert run.says(r"/users/\{id\}  GET, PUT\n") and run.says(r"/\*  Host: www.example.com\n")


def test_a_port_in_use(work, env):
    rouse("new", "python3", "second", cwd=work, check=True)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        r = rouse("run", "--port", str(port), cwd=work / "second", env=env)
    assert r.returncode == 1 and f"port {port} of 127.0.0.1 is in use; --port N takes another one" in r.stderr


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_nothing_stays(faulty, env, sig):
    """Its child and grandchild end with it, and its files go (the fixture looks), though a request runs."""
    with Run("--env", "CHILD=1", cwd=faulty, env=env) as run:
        assert run.call("/faulty").status == 200
        below = children(run.process.pid)
        assert len(below) == 2, below
        conn = http.client.HTTPConnection(run.address.rsplit("/", 1)[1], timeout=20)
        conn.request("GET", "/faulty?what=hang")
        wait_until("the request to run", lambda: run.text.count("in the log") == 2)
        assert run.end(sig) == 0
        conn.close()
        for pid, _ in below:
            wait_until(f"the end of {pid}", lambda: not is_alive(pid))


def test_ctrl_c_while_it_compiles(faulty, env):
    compiler = faulty.parent / "slow-cc"
    compiler.write_text("#!/bin/sh\ncase $1 in -print*) exit ;; esac\necho compiling\nexec sleep 1000\n")
    compiler.chmod(0o755)
    (faulty / "bootstrap.c").touch()
    p = subprocess.Popen([BIN / "rouse", "run", "--port", "0"], cwd=faulty, text=True, stdout=subprocess.PIPE,
                         env=dict(os.environ, CC=str(compiler), **env), stderr=subprocess.STDOUT, start_new_session=True)
    try:
        assert p.stdout.readline() == "compiling\n"
        os.killpg(p.pid, signal.SIGINT)  # as a terminal does
        assert p.wait(20) == 1
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(p.pid, signal.SIGKILL)
        p.stdout.close()


def test_the_function_does_not_outlive_a_kill(faulty, tmp_path):
    """One that would not notice by itself: its handler waits."""
    with Run(cwd=faulty, env={"TMPDIR": str(tmp_path)}) as run:
        conn = http.client.HTTPConnection(run.address.rsplit("/", 1)[1], timeout=20)
        conn.request("GET", "/faulty?what=hang")
        wait_until("the request to run", lambda: "in the log" in run.text)
        below = children(run.process.pid)
        run.end(signal.SIGKILL)
        conn.close()
        assert below
        for pid, _ in below:
            wait_until(f"the end of {pid}", lambda: not is_alive(pid))


def test_without_root(faulty):
    """As a user who owns nothing here but the function."""
    nobody = 65534
    with tempfile.TemporaryDirectory(prefix="rouse-e2e-", dir="/tmp") as d:
        os.chmod(d, 0o755)
        own = shutil.copytree(faulty, pathlib.Path(d) / "faulty")
        for f in [own, *own.rglob("*")]:
            os.chown(f, nobody, nobody)
        try:
            r = subprocess.run([BIN / "rouse", "run", "--event", "{}"], cwd=own, env={"PATH": os.environ["PATH"]},
                               text=True, capture_output=True, timeout=60, user=nobody, group=nobody, extra_groups=[])
        except PermissionError:
            pytest.skip("another user may not enter this tree")
        assert (r.returncode, r.stdout) == (0, "none"), r.stderr


def test_examples_run_as_they_are(env, work):
    r = rouse("run", EXAMPLES / "hello.yaml", "--event", "{}", cwd=work, env=env, check=True)
    assert "Hello" in r.stdout
    for directory in ("hello-c", "hello-lambda"):
        shutil.copytree(EXAMPLES / directory, work / directory)
        with Run(directory, cwd=work, env=env) as run:
            path = re.search(r"http://[^/]*(/hello/\w+)", run.text).group(1)
            assert run.call(path, "POST", body="x").status == 200


def test_debug_runs_it_in_gdb(faulty, env):
    """Its commands are gdb's; a request waits for the program, and no time-out ends it."""
    if not shutil.which("gdb"):
        pytest.skip("gdb is not installed")
    edit(faulty / "function.yaml", "timeout: 3s", "timeout: 100ms")
    p = subprocess.Popen([BIN / "rouse", "run", "--debug", "--port", "0"], cwd=faulty, env=dict(os.environ, **env),
                         text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text = []
    reader = threading.Thread(target=lambda: text.extend(iter(lambda: p.stdout.readline(), "")), daemon=True)
    reader.start()
    wait_until("its address", lambda: "/function/" in "".join(text))
    address = re.search(r"http://[^/]*", "".join(text)).group()
    answers = []
    t = threading.Thread(target=lambda: answers.append(http_request(address, "GET", "/faulty")))
    t.start()
    p.stdin.write("break handle\nrun\nprintf \"stopped in %s\\n\", \"handle\"\nshell sleep 0.3\ncontinue\n")
    p.stdin.flush()
    t.join(30)
    assert answers and answers[0].status == 200, "".join(text)
    assert "Breakpoint 1, handle" in "".join(text)
    p.send_signal(signal.SIGTERM)
    p.stdin.close()
    p.wait(20)
    no_gdb = faulty.parent / "bin"
    no_gdb.mkdir()
    for tool in ("cc", "gcc", "as", "ld"):
        (no_gdb / tool).symlink_to(shutil.which(tool))
    r = rouse("run", "--debug", cwd=faulty, env={**env, "PATH": str(no_gdb), "CC": "cc"})
    assert r.returncode == 1 and "--debug needs gdb" in r.stderr
    shutil.copytree(EXAMPLES / "hello-lambda", faulty.parent / "script")
    r = rouse("run", "--debug", cwd=faulty.parent / "script", env=env)
    assert r.returncode == 1 and "--debug runs what C sources" in r.stderr
