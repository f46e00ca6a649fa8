"""kubectl against the API: the recorded requests always, the real program where there is one.

The API is that of a platform which this test starts (`rouse up`), or that at $ROUSE_API (host:port, without a token).
"""
import http.client
import json
import os
import pathlib
import re
import shutil
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]
import kubectl_scenario  # noqa: E402

RECORDING = HERE / "kubectl-1.32.json"
VOLATILE = {"managedFields", "labels", "annotations", "continue", "remainingItemCount"}


def shape(status, content_type, text):
    """What must be the same in every life of the server."""
    out = {"status": status, "type": (content_type or "").split(";")[0]}
    try:
        o = json.loads(text)
    except ValueError:
        return out
    out["kind"], out["apiVersion"] = o.get("kind"), o.get("apiVersion")
    out["keys"] = sorted(o)
    if out["kind"] == "Status":
        out["reason"], out["message"] = o.get("reason"), o.get("message")
        out["causes"] = [c.get("field") for c in o.get("details", {}).get("causes", [])]
    elif out["kind"] == "Table":
        out["columns"] = [(c["name"], c["type"], c["priority"]) for c in o["columnDefinitions"] or []]
    elif out["kind"] in ("APIResourceList", "APIGroupDiscoveryList", "APIGroupList"):
        out["names"] = sorted(set(re.findall(r'"(?:name|resource|subresource)": ?"([^"]+)"', text if isinstance(text, str) else text.decode())))
    elif "openapi" in o:
        out["schemas"] = sorted(o.get("components", {}).get("schemas", {}))
    metadata = o.get("metadata")
    if isinstance(metadata, dict):
        out["metadata"] = sorted(set(metadata) - VOLATILE)
        out["rv"] = metadata.get("resourceVersion")
    return out


class Api:
    def __init__(self, address, token=None):
        self.address, self.token = address, token

    def request(self, method, path, body=None, headers=None):
        c = http.client.HTTPConnection(self.address, timeout=30)
        h = dict(headers or {})
        if self.token:
            h["Authorization"] = f"Bearer {self.token}"
        c.request(method, path, body, h)
        r = c.getresponse()
        text = r.read()
        c.close()
        return r.status, r.headers["Content-Type"], text


@pytest.fixture(scope="module")
def api():
    if os.environ.get("ROUSE_API"):
        yield Api(os.environ["ROUSE_API"])
        return
    from harness import Platform
    platform = Platform()
    try:
        yield Api(re.sub(r"^\w+://", "", platform.info["api"]), platform.token)
    finally:
        platform.down()
        shutil.rmtree(platform.state, ignore_errors=True)


def forget(api):
    for name in ("kubectl-hello", "kubectl-dry"):
        path = f"/apis/rouse.dev/v1/namespaces/default/functions/{name}"
        if api.request("DELETE", path)[0] == 404:
            continue
        while api.request("GET", path)[0] != 404:
            pass


def again(api, r, path, body):
    """What kubectl does when the object's status was written since it read it: it reads it again."""
    current = json.loads(api.request("GET", path.split("?")[0])[2])["metadata"]["resourceVersion"]
    body = re.sub(r'("resourceVersion": ?")\d+"', lambda m: f'{m[1]}{current}"', body)
    return api.request(r["method"], path, body, r["headers"])


def test_recorded_requests(api):
    """Every request kubectl sent, in order. Versions that it took from an answer are those of this run's answer."""
    forget(api)
    versions, wrong, gone = {}, [], 0
    for n, r in enumerate(json.loads(RECORDING.read_text())):
        path, body, want = r["path"], r.get("body"), r["answer"]
        path = re.sub(r"resourceVersion=(\d+)", lambda m: f"resourceVersion={versions.get(m[1], m[1])}", path)
        if body:
            body = re.sub(r'("resourceVersion": ?")(\d+)"', lambda m: f'{m[1]}{versions.get(m[2], m[2])}"', body)
        if "watch=true" in path:
            path = re.sub(r"timeoutSeconds=\d+&?", "", path).replace("watch=true", "watch=true&timeoutSeconds=1")
        status, content_type, text = api.request(r["method"], path, body, r["headers"])
        if status == 409 and r["answer"]["status"] == 200 and '"resourceVersion"' in (body or ""):
            status, content_type, text = again(api, r, path, body)
        where = f"{n} {r['step']}: {r['method']} {r['path']}"
        if "watch=true" in path:
            assert status == 200, f"{where}: {status} {text}"
            for line in text.splitlines():
                event = json.loads(line)
                assert event["type"] in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK"), f"{where}: {line}"
                assert event["object"]["kind"] in ("Table", "Function", "Event"), f"{where}: {line}"
            continue
        got = json.loads(json.dumps(shape(status, content_type, text)))
        if want.get("rv") and got.get("rv"):
            versions[want["rv"]] = got["rv"]
        if r["step"] == "delete" and r["method"] == "GET" and got["status"] != want["status"]:
            gone += 1                    # it vanished sooner or later than it did then
            continue
        for key in want:
            if key != "rv" and got.get(key) != want[key]:
                wrong.append(f"{where}: {key} is {got.get(key)!r}, was {want[key]!r}")
    assert not wrong, "\n".join(wrong)
    assert gone <= 3


@pytest.mark.parametrize("version", sorted(kubectl_scenario.kubectls()) or [None])
def test_kubectl(api, version):
    if version is None:
        pytest.skip("kubectl is not installed: only its recorded requests were tried")
    forget(api)
    k = kubectl_scenario.Kubectl(kubectl_scenario.kubectls()[version], f"http://{api.address}", api.token)
    try:
        for name, run in kubectl_scenario.scenario(k):
            try:
                run()
            except AssertionError as e:
                raise AssertionError(f"{name}: {e}") from None
    finally:
        k.done()
