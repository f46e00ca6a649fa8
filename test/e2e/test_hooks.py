"""spec.lifecycle with real functions: an initializer before the first request, a preStop before the end."""
import subprocess
import threading

import pytest
from harness import BIN, EXAMPLES, TOP, function, wait_until

INIT = {
    "python3": """
state = []
def init(context):
    print("warming up", context.function_name)
    state.append("init")
def slow(context):
    import time
    time.sleep(3600)
def fail(context):
    raise ConnectionError("no database")
def stop(context):
    print("cooling down after", len(state))
def handler(event, context):
    state.append("call")
    print("called")
    return state
""",
    "nodejs": """
const state = [];
exports.init = async (context) => {
  await new Promise((r) => setTimeout(r, 1));
  console.log('warming up', context.functionName);
  state.push('init');
};
exports.slow = () => new Promise(() => setTimeout(() => {}, 3600e3));
exports.fail = async () => { const e = new Error('no database'); e.name = 'ConnectionError'; throw e; };
exports.stop = () => console.log('cooling down after', state.length);
exports.handler = async () => { state.push('call'); console.log('called'); return state; };
""",
}


@pytest.fixture(params=["python3", "nodejs"])
def runtime(request):
    return request.param


class Logs:
    """`rouse logs -f`: what a function says while it lives, and as it ends."""

    def __init__(self, platform, name):
        self.text = ""
        self.process = subprocess.Popen([BIN / "rouse", "logs", "-f", name], env=platform.env, text=True, cwd=TOP,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.text += line

    def close(self):
        self.process.kill()
        self.thread.join()
        self.process.wait()


@pytest.mark.parametrize("concurrency", [1, 4])
def test_the_initializer_runs_once_before_the_first_request(platform, runtime, concurrency):
    name = f"init-{runtime}-{concurrency}"
    platform.apply(function(name, INIT[runtime], runtime=runtime, concurrency=concurrency,
                            scaling={"max": 1}, lifecycle={"initializer": "index.init"}))
    assert platform.call(f"/{name}").json == ["init", "call"]
    assert platform.call(f"/{name}").json == ["init", "call", "call"]
    wait_until("its line", lambda: f"warming up {name}" in platform.rouse("logs", name).stdout)
    revision = platform.get(name)["status"]["latestRevision"]
    platform.apply(function(name, INIT[runtime], runtime=runtime, concurrency=concurrency,
                            lifecycle={"initializer": "index.init", "initializerTimeout": "20s"}))
    wait_until("a revision of its own", lambda: platform.get(name)["status"]["latestRevision"] != revision)
    platform.delete(name)


def degraded(platform, name):
    f = platform.get(name)
    return next((c for c in f["status"].get("conditions", []) if c["type"] == "Degraded" and c["status"] == "True"), None)


@pytest.mark.parametrize("hook,reason,text", [
    ("index.fail", "InitFailed", "ConnectionError: no database"),
    ("index.slow", "InitializerTimeout", "the initializer 'index.slow' did not end within 0.3 s"),
    ("index.nothing", "InitFailed", "Runtime.NoSuchHook: module 'index'"),
])
def test_an_initializer_that_fails_says_why(platform, runtime, hook, reason, text):
    name = f"bad-{runtime}-{hook.partition('.')[2]}"
    platform.apply(function(name, INIT[runtime], runtime=runtime,
                            lifecycle={"initializer": hook, "initializerTimeout": "300ms"}))
    r = platform.call(f"/{name}")
    assert r.status == 502 and r.json["reason"] == "InitFailed", r
    why = wait_until("the condition", lambda: degraded(platform, name))
    assert why["reason"] == reason and text in why["message"], why
    platform.delete(name)


def test_pre_stop_on_scale_down(platform, runtime):
    name = f"down-{runtime}"
    platform.apply(function(name, INIT[runtime], runtime=runtime, scaling={"idleTimeout": "1s"},
                            lifecycle={"initializer": "index.init", "preStop": "index.stop"}))
    assert platform.call(f"/{name}").status == 200
    wait_until("scale to zero", lambda: not platform.instances(name))
    wait_until("its last line", lambda: "cooling down after 2" in platform.rouse("logs", name).stdout)
    platform.delete(name)


def test_pre_stop_on_delete(platform, runtime):
    name = f"gone-{runtime}"
    platform.apply(function(name, INIT[runtime], runtime=runtime, scaling={"max": 1}, lifecycle={"preStop": "index.stop"}))
    assert platform.call(f"/{name}").status == 200
    logs = Logs(platform, name)
    try:
        platform.call(f"/{name}")
        wait_until("both calls are followed", lambda: logs.text.count("called") == 2)
        platform.delete(name)
        wait_until("its last line", lambda: "cooling down after 2" in logs.text)
    finally:
        logs.close()


def test_a_pre_stop_that_hangs_is_not_waited_for(platform):
    platform.apply(function("hangs", INIT["python3"], timeout="300ms", lifecycle={"preStop": "index.slow"}))
    assert platform.call("/hangs").status == 200
    platform.delete("hangs")
    wait_until("its end", lambda: not platform.instances("hangs"))


def test_hooks_of_a_lambda_bootstrap(platform):
    bootstrap = (EXAMPLES / "hello-lambda/bootstrap").read_text()
    platform.apply(function("hookless", {"inline": {"bootstrap": bootstrap, "handler.sh": "true\n"}},
                            runtime="provided", handler="handler.x", lifecycle={"preStop": "stop"}))
    assert platform.call("/hookless").status == 502
    assert "which has no hooks" in wait_until("the condition", lambda: degraded(platform, "hookless"))["message"]
    platform.delete("hookless")
