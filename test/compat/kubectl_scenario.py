"""What a person does with kubectl, as steps: the live test runs them, the recorder records them."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

HELLO = """apiVersion: rouse.dev/v1
kind: Function
metadata: {name: kubectl-hello}
spec:
  runtime: python3
  handler: index.handler
  code:
    inline: {index.py: "def handler(event, context):\\n    return 'Hello Serverless'\\n"}
  triggers:
  - http: {path: /kubectl/hello, methods: [GET]}
"""
CHANGED = HELLO.replace("handler: index.handler", "handler: index.other")


def kubectls():
    """Every kubectl of this machine, by version: the one in PATH and its siblings kubectl.1.NN."""
    found = {}
    path = shutil.which("kubectl")
    if path:
        real = pathlib.Path(path).resolve()
        for p in [real, *real.parent.glob("kubectl.1.*")]:
            m = re.search(r"kubectl\.(1\.\d+)$", p.name)
            found[m.group(1) if m else "path"] = str(p)
    if len(found) > 1:
        found.pop("path", None)          # a dispatcher to one of the others
    return found


class Kubectl:
    def __init__(self, program, server, token=None):
        self.program = program
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="rouse-kubectl-"))
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "r",
            "clusters": [{"name": "r", "cluster": {"server": server}}],
            "contexts": [{"name": "r", "context": {"cluster": "r", "user": "r"}}],
            "users": [{"name": "r", "user": {"token": token} if token else {}}],
        }
        (self.home / "config").write_text(json.dumps(config))
        self.env = dict(os.environ, KUBECONFIG=str(self.home / "config"), HOME=str(self.home), LC_ALL="C.UTF-8")

    def __call__(self, *args, stdin=None, fails=False, env=None):
        p = subprocess.run([self.program, *args], input=stdin, text=True, capture_output=True, timeout=60,
                           env=dict(self.env, **(env or {})))
        assert (p.returncode != 0) == fails, f"kubectl {' '.join(args)}: {p.returncode}\n{p.stdout}{p.stderr}"
        return p.stdout + p.stderr

    def file(self, text):
        path = self.home / "manifest.yaml"
        path.write_text(text)
        return str(path)

    def done(self):
        shutil.rmtree(self.home, ignore_errors=True)


def want(text, *parts):
    for part in parts:
        assert part in text, f"{part!r} is not in:\n{text}"


def watch(k):
    """get -w shows what there is, then what changes; it does not end by itself."""
    p = subprocess.Popen([k.program, "get", "-w", "fn", "kubectl-hello"], stdout=subprocess.PIPE, text=True, env=k.env)
    try:
        want(p.stdout.readline(), "NAME", "READY", "INSTANCES", "REVISION", "PATH", "AGE")
        want(p.stdout.readline(), "kubectl-hello", "/kubectl/hello")
        k("annotate", "fn", "kubectl-hello", f"rouse.dev/seen={time.time_ns()}")
        want(p.stdout.readline(), "kubectl-hello")
        assert p.poll() is None
    finally:
        p.kill()
        p.wait()


def events(k, f):
    want(k("get", "events", "--field-selector", f"involvedObject.name={f}"), "LAST SEEN", "TYPE", "REASON", "OBJECT",
         "MESSAGE", "function/" + f, "RevisionActive", "has the traffic that")
    want(k("events", "--for", f"function/{f}"), "RevisionActive", "Function/" + f)
    want(k("get", "events", "-A", "-o", "wide"), "COUNT", "rouse-controller", "NodeReady", "node/")


def events_watch(k):
    p = subprocess.Popen([k.program, "get", "-w", "events"], stdout=subprocess.PIPE, text=True, env=k.env)
    try:
        want(p.stdout.readline(), "LAST SEEN", "REASON")
        want(p.stdout.readline(), "Normal")
        assert p.poll() is None
    finally:
        p.kill()
        p.wait()


def edit(k):
    script = k.home / "editor"
    script.write_text("#!/bin/sh\nsed -i 's/index.other/index.edited/' \"$1\"\n")
    script.chmod(0o755)
    want(k("edit", "fn", "kubectl-hello", env={"EDITOR": str(script)}), "edited")


def scenario(k):
    """(name, function of no arguments) in order; each leaves what the next one needs."""
    f = "kubectl-hello"

    def get(path):
        return k("get", "fn", f, "-o", f"jsonpath={{{path}}}")

    return [
        ("apply", lambda: want(k("apply", "-f", k.file(HELLO)), "created")),
        ("apply-again", lambda: want(k("apply", "-f", k.file(HELLO)), "unchanged")),
        ("apply-changed", lambda: (want(k("apply", "-f", k.file(CHANGED)), "configured"),
                                   want(get(".metadata.generation"), "2"), want(get(".spec.handler"), "index.other"))),
        ("get", lambda: want(k("get", "fn"), "NAME", "READY", "INSTANCES", "REVISION", "PATH", "AGE", f)),
        ("get-wide", lambda: want(k("get", "fn", "-o", "wide"), "RUNTIME", "MEMORY", "CONCURRENCY", "REASON", "URL", "128Mi")),
        ("get-yaml", lambda: want(k("get", "fn", f, "-o", "yaml"), "kind: Function", "memory: 128Mi", "idleTimeout: 60s")),
        ("get-all-namespaces", lambda: want(k("get", "fn", "-A"), "NAMESPACE", "default")),
        ("get-all", lambda: want(k("get", "all"), f)),
        ("get-watch", lambda: watch(k)),
        ("describe", lambda: want(k("describe", "fn", f), "Handler:", "index.other", "Events:", "RevisionActive")),
        ("edit", lambda: edit(k)),
        ("scale", lambda: (want(k("scale", "fn", f, "--replicas=1"), "scaled"), want(get(".spec.scaling.min"), "1"))),
        ("scale-current", lambda: want(k("scale", "fn", f, "--current-replicas=1", "--replicas=0"), "scaled")),
        ("label", lambda: (want(k("label", "fn", f, "team=a"), "labeled"), want(k("get", "fn", "-l", "team=a"), f),
                           want(k("get", "fn", "-l", "team notin (a)"), "No resources found"))),
        ("diff", lambda: want(k("diff", "-f", k.file(HELLO), fails=True), "-  handler: index.edited",
                              "+  handler: index.handler")),
        ("wait", lambda: want(k("wait", "fn", f, "--for=condition=Ready", "--timeout=20s"), "condition met")),
        ("explain", lambda: want(k("explain", "fn.spec.scaling"), "idleTimeout", "<string>")),
        ("api-resources", lambda: want(k("api-resources"), "functions", "fn", "revisions", "instances", "nodes")),
        ("server-side-apply-conflict",
         lambda: want(k("apply", "--server-side", "-f", k.file(HELLO), fails=True), "conflict", ".spec.handler")),
        ("server-side-apply", lambda: want(k("apply", "--server-side", "--force-conflicts", "-f", k.file(HELLO)),
                                           "serverside-applied")),
        ("patch-merge", lambda: want(k("patch", "fn", f, "--type=merge", "-p", '{"spec":{"timeout":"5s"}}'), "patched")),
        ("patch-json", lambda: (want(k("patch", "fn", f, "--type=json", "-p",
                                       '[{"op":"replace","path":"/spec/timeout","value":"6s"}]'), "patched"),
                                want(get(".spec.timeout"), "6s"))),
        ("patch-strategic", lambda: want(k("patch", "fn", f, "-p", '{"spec":{"timeout":"5s"}}', fails=True),
                                         "accepted media types")),
        ("create-dry-run", lambda: (want(k("create", "--dry-run=server", "-f", k.file(HELLO.replace("hello}", "dry}"))),
                                         "created (server dry run)"), want(k("get", "fn", "kubectl-dry", fails=True), "not found"))),
        ("create-exists", lambda: want(k("create", "-f", k.file(HELLO), fails=True), "already exists")),
        ("replace", lambda: want(k("replace", "-f", k.file(HELLO)), "replaced")),
        ("unknown-field", lambda: want(k("apply", "-f", k.file(HELLO.replace("spec:\n", "spec:\n  bogus: 1\n")), fails=True),
                                       'unknown field "spec.bogus"')),
        ("invalid", lambda: want(k("apply", "-f", k.file(HELLO.replace("spec:\n", "spec:\n  memory: 1Mi\n")), fails=True),
                                 "spec.memory: Invalid value")),
        ("not-in-this-version", lambda: want(
            k("apply", "-f", k.file(HELLO.replace("spec:\n", "spec:\n  layers: [x]\n")), fails=True), "spec.layers: Forbidden")),
        ("read-only-kinds", lambda: k("get", "revisions,nodes,instances", "-A")),
        ("namespaces", lambda: want(k("get", "ns"), "default")),
        ("raw", lambda: want(k("get", "--raw", "/metrics"), "rouse_store_commits_total")),
        ("events", lambda: events(k, f)),
        ("events-watch", lambda: events_watch(k)),
        ("delete", lambda: (want(k("delete", "fn", f, "--wait=true", "--timeout=30s"), "deleted"),
                            want(k("get", "fn", f, fails=True), "NotFound"))),
    ]
