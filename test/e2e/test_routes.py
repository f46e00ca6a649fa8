"""Routes: patterns, hosts, priorities, hostile paths, conflicts; ten thousand of them, changed while requests run."""
import json

import pytest
from harness import EXAMPLES, Load, function, wait_until

ECHO = """
import json
def handler(e, c):
    return json.dumps({"f": "%s", "key": e["routeKey"], "context": e["requestContext"]["routeKey"],
                       "params": e.get("pathParameters"), "path": e["rawPath"]})
"""
NODE_ECHO = """
exports.handler = async (e) => JSON.stringify({f: "%s", key: e.routeKey, context: e.requestContext.routeKey,
                                               params: e.pathParameters ?? null, path: e.rawPath})
"""
MANY, PER_FUNCTION = 10000, 250


def http(path, methods=None, hosts=None):
    t = {"path": path}
    if methods:
        t["methods"] = methods
    if hosts:
        t["hosts"] = hosts
    return {"http": t}


def echo(name, *triggers, **spec):
    return function(name, ECHO % name, triggers=list(triggers), **{"scaling": {"idleTimeout": "60s"}, **spec})


def condition(p, name, kind):
    f = p.get(name)
    return next((c for c in (f or {}).get("status", {}).get("conditions", []) if c["type"] == kind), None)


@pytest.fixture(scope="module", autouse=True)
def functions(platform):
    platform.apply(
        echo("user", http("/users/{id}", ["GET", "POST"]), http("/users/{id}/posts/{post}")),
        echo("me", http("/users/me")),
        echo("files", http("/files/*"), http("/files/{kind}/deep/*")),
        echo("api", http("/*", hosts=["api.example.com", "*.example.org"])),
        function("node", NODE_ECHO % "node", runtime="nodejs", triggers=[http("/node/{a}/{b}")]))


def ask(platform, path, way="call", **kw):
    r = getattr(platform, way)(path, **kw)
    assert r.status == 200, (path, r)
    return r.json


@pytest.mark.parametrize("way", ["call", "front"])
def test_parameters_reach_the_function(platform, way):
    """The front asks the activator for every request, the gateway knows the route once it has learned it."""
    r = ask(platform, "/users/a%2Fb%20c?x=1", way)
    assert r == {"f": "user", "key": "GET /users/{id}", "context": "GET /users/{id}", "params": {"id": "a/b c"},
                 "path": "/users/a%2Fb%20c"}
    r = ask(platform, "/users/7/posts/%C3%A9", way, method="PUT")
    assert r["key"] == "ANY /users/{id}/posts/{post}" and r["params"] == {"id": "7", "post": "\u00e9"}
    r = ask(platform, "/node/x%25/y", way)
    assert r["key"] == "ANY /node/{a}/{b}" and r["params"] == {"a": "x%", "b": "y"}
    r = ask(platform, "/function/default/user/users/7", way)
    assert r["key"] == r["context"] == "$default" and r["params"] is None and r["path"] == "/users/7"


def test_a_cold_and_unknown_path_has_its_parameters(platform):
    """The first request of a function that was applied a moment ago: the entry may not know its path."""
    for i in range(5):
        platform.apply(echo(f"fresh-{i}", http(f"/fresh-{i}/{{x}}")))
        r = ask(platform, f"/fresh-{i}/%41b")
        assert r["key"] == f"ANY /fresh-{i}/{{x}}" and r["params"] == {"x": "Ab"}
        platform.delete(f"fresh-{i}")


@pytest.mark.parametrize("way", ["call", "front"])
def test_the_most_particular_wins(platform, way):
    assert ask(platform, "/users/me", way)["f"] == "me"
    assert ask(platform, "/users/%6De", way)["f"] == "me"
    assert ask(platform, "/users/mee", way)["f"] == "user"
    assert ask(platform, "/files/", way)["key"] == "ANY /files/*"
    assert ask(platform, "/files/a/b/c", way)["key"] == "ANY /files/*"
    r = ask(platform, "/files/img/deep/x", way)
    assert r["key"] == "ANY /files/{kind}/deep/*" and r["params"] == {"kind": "img"}
    assert getattr(platform, way)("/files").status == 404
    assert getattr(platform, way)("/users//posts/1").status == 404


@pytest.mark.parametrize("way", ["call", "front"])
def test_hosts(platform, way):
    assert ask(platform, "/users/me", way, headers={"Host": "API.example.com:8080"})["f"] == "api"
    assert ask(platform, "/users/me", way, headers={"Host": "www.example.org"})["f"] == "api"
    assert ask(platform, "/users/me", way, headers={"Host": "a.b.example.org"})["f"] == "me"
    assert ask(platform, "/users/me", way, headers={"Host": "example.org"})["f"] == "me"


@pytest.mark.parametrize("way", ["call", "front"])
def test_methods_of_the_pattern(platform, way):
    r = getattr(platform, way)("/users/7", method="DELETE")
    assert r.status == 405 and r.headers["Allow"] == "GET, POST", r
    r = getattr(platform, way)("/users/7", method="DELETE", headers={"Host": "api.example.com"})
    assert r.status == 200


@pytest.mark.parametrize("way", ["call", "front"])
def test_no_path_escapes(platform, way):
    for path in ("/files/../users/me", "/files/%2e%2e/users/me", "/files/..%2fusers%2fme", "/files/a%2F..%2F..%2Fx",
                 "/files/./a", "/files/%zz", "/users/..", "/function/default/user/../me/x", "/%66unction/default/me"):
        r = getattr(platform, way)(path)
        assert r.status == 404, (path, r)
        r = getattr(platform, way)(path, headers={"Host": "api.example.com"})
        assert r.status == 404, (path, r)


def test_what_is_wrong_is_said(platform):
    for path, why in (("/a/{id", "is not closed"), ("/{a}/{a}", 'two parameters are called "a"'),
                      ("/*/a", "* is not the last segment"), ("/a//b", "an empty segment")):
        body = echo("wrong", http(path))
        r = platform.api("POST", "/apis/rouse.dev/v1/namespaces/default/functions", body)
        assert r.status == 422 and "spec.triggers[0].http.path" in r.text and why in r.json["message"], r
    r = platform.api("POST", "/apis/rouse.dev/v1/namespaces/default/functions", echo("wrong", http("/a", hosts=["A"])))
    assert r.status == 422 and "spec.triggers[0].http.hosts[0]" in r.text and "lower-case" in r.text, r


def test_the_same_pattern_is_a_conflict(platform):
    platform.apply(echo("first", http("/same/{a}")))
    platform.apply(echo("second", http("/same/{b}"), http("/other/{b}")))
    c = wait_until("the conflict", lambda: (condition(platform, "second", "RouteConflict") or {}).get("status") == "True"
                   and condition(platform, "second", "RouteConflict"))
    assert "/same/{b}" in c["message"] and "default/first" in c["message"]
    assert ask(platform, "/same/1")["f"] == "first" and ask(platform, "/other/1")["f"] == "second"
    platform.delete("first")
    wait_until("the path passes on", lambda: platform.call("/same/1").status == 200 and ask(platform, "/same/1")["f"] == "second")
    r = ask(platform, "/same/1")
    assert r["key"] == "ANY /same/{b}" and r["params"] == {"b": "1"}
    assert wait_until("no conflict", lambda: condition(platform, "second", "RouteConflict")["status"] == "False")


def test_the_example(platform):
    platform.delete("user")  # it has the example's paths
    platform.rouse("apply", "-f", str(EXAMPLES / "routes.yaml"))
    r = wait_until("the older function's paths", lambda: (a := platform.call("/users/7/posts/first%20one")).status == 200 and a)
    assert r.json == {"route": "ANY /users/{id}/posts/{post}", "parameters": {"id": "7", "post": "first one"}}
    r = platform.call("/users/7", method="DELETE")
    assert r.status == 405 and r.headers["Allow"] == "GET, PUT", r
    r = platform.call("/any/page", headers={"Host": "www.example.com"})
    assert r.status == 200 and r.text == "www.example.com/any/page", r
    platform.delete("users")
    platform.delete("site")
    platform.apply(echo("user", http("/users/{id}", ["GET", "POST"]), http("/users/{id}/posts/{post}")))


def test_a_change_of_routes_makes_no_revision(platform):
    before = platform.get("me")["status"]["latestRevision"]
    platform.apply(echo("me", http("/users/me"), http("/me/*", hosts=["me.example.net"])))
    assert wait_until("the new path", lambda: platform.call("/me/x", headers={"Host": "me.example.net"}).status == 200)
    assert platform.get("me")["status"]["latestRevision"] == before


def many(round_):
    """10,000 routes of 40 functions; every round moves them a bit."""
    out = []
    for f in range(MANY // PER_FUNCTION):
        triggers = []
        for i in range(PER_FUNCTION):
            n = f * PER_FUNCTION + i
            triggers.append(http([f"/many/{n}", f"/many/{n}/{{id}}", f"/tree/{n}/*"][n % 3]))
        triggers.append(http(f"/round-{round_}/{f}"))
        out.append(echo(f"many-{f}", *triggers))
    return out


def test_ten_thousand_routes_change_under_load(platform):
    platform.apply(*many(0))
    wait_until("all of them at the gateway", lambda: platform.metric("rouse_gateway_paths", node=0) >= MANY)
    for n in (0, 1, 2, 4999, 5000, 9998, 9999):
        path = [f"/many/{n}", f"/many/{n}/x", f"/tree/{n}/x/y"][n % 3]
        assert ask(platform, path)["f"] == f"many-{n // PER_FUNCTION}"
    loads = [Load(platform, path, threads=1) for path in ("/users/me", "/users/9", "/many/0", "/many/1/x")]
    began = sum(load.count() for load in loads)
    for round_ in range(1, 4):
        platform.apply(*many(round_)[:20])
        wait_until(f"round {round_}", lambda: platform.call(f"/round-{round_}/19").status == 200)
        assert platform.call(f"/round-{round_ - 1}/3").status == 404
    wait_until("answers", lambda: sum(load.count() for load in loads) > began + 400)
    for load in loads:
        load.all_well()
    assert platform.metric("rouse_gateway_routes_refused", node=0) == 0
    assert {json.loads(body)["f"] for _, body in loads[2].answers} == {"many-0"}
    for f in range(MANY // PER_FUNCTION):
        platform.delete(f"many-{f}")
    wait_until("they are gone", lambda: platform.metric("rouse_gateway_paths", node=0) < 100)
    assert platform.call("/many/0").status == 404
