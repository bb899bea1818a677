"""Routing over real sockets: every kind of match, the order among routes, and what becomes of a request."""

from __future__ import annotations

from collections import Counter

import pytest

from gateway.testing import GatewayProcess, Origin, reply, run_command
from gateway.testing.site import site_text


def answer(name: str, **match: object) -> dict[str, object]:
    """A route that answers with its name."""
    return {"name": name, "match": match, "respond": {"body": name}}


MATCHING = [
    answer("any"),
    answer("host", host="api.example.com"),
    answer("wildcard", host="*.example.com"),
    answer("expression", host=r"~^v\d+\.example\.org$"),
    answer("prefix", path="/v1/"),
    answer("exact", exact="/v1/exact"),
    answer("pattern", pattern="/v1/{id}/x"),
    answer("rest", pattern="/v1/{id}/files/{name:path}"),
    answer("methods", path="/m", method=["PUT", "DELETE"]),
    answer("header", path="/h", headers={"X-Beta": "1"}),
    answer("header-like", path="/h", headers={"X-Beta": "~^2"}),
    answer("header-there", path="/h/there", headers={"X-Beta": True}),
    answer("header-absent", path="/h/absent", headers={"X-Beta": False}),
    answer("cookie", path="/c", cookies={"beta": "yes"}),
    answer("query", path="/q", query={"beta": "a b"}),
    answer("here", path="/client", client=["127.0.0.0/8"]),
    answer("there", path="/client/there", client="10.0.0.0/8"),
    answer("scheme", path="/scheme", scheme="https"),
    answer("two", path="/h", headers={"X-Beta": "1"}, method="GET"),
]


@pytest.fixture(scope="module")
def matching(module_gateway) -> GatewayProcess:
    return module_gateway(site_text(routes=MATCHING))


def got(site: GatewayProcess, target: str, host: str = "example.net", method: str = "GET", *fields: str) -> str:
    head = "\r\n".join([f"{method} {target} HTTP/1.1", f"Host: {host}", *fields])
    return site.request(f"{head}\r\n\r\n".encode("latin-1")).body.decode()


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("api.example.com", "host"),
        ("API.EXAMPLE.COM:8080", "host"),
        ("api.example.com.", "host"),
        ("www.example.com", "wildcard"),
        ("example.com", "any"),
        ("v12.example.org", "expression"),
        ("v.example.org", "any"),
    ],
)
def test_a_host_leads_to_its_most_specific_route(matching, host, name):
    assert got(matching, "/", host) == name


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("/v1", "prefix"),
        ("/v1/a/b?x=1", "prefix"),
        ("/v10", "any"),
        ("/v1/exact", "exact"),
        ("/v1/exact/", "prefix"),
        ("/%76%31/./exact", "exact"),
        ("/v1/5/x", "pattern"),
        ("/v1//5/y/../x", "pattern"),
        ("/v1/5/x/", "prefix"),
        ("/v1/5/files/a/b", "rest"),
        ("/v1/5%2F6/files/", "rest"),
        ("/v1/5/files", "prefix"),
    ],
)
def test_a_path_leads_to_its_most_specific_route(matching, target, name):
    assert got(matching, target) == name


@pytest.mark.parametrize(
    ("request_line", "fields", "name"),
    [
        ("PUT /m", [], "methods"),
        ("GET /m", [], "any"),
        ("PUT /h", ["X-Beta: 1"], "header"),
        ("GET /h", ["x-beta: 1"], "two"),
        ("GET /h", ["X-Beta: 22"], "header-like"),
        ("GET /h", ["X-Beta: 3"], "any"),
        ("GET /h", ["X-Beta: 3", "X-Beta: 2"], "header-like"),
        ("GET /h/there", ["X-Beta:"], "header-there"),
        ("GET /h/absent", [], "header-absent"),
        ("GET /h/absent", ["X-Beta: 9"], "any"),
        ("GET /c", ["Cookie: a=1; beta=yes"], "cookie"),
        ("GET /c", ["Cookie: a=beta=yes"], "any"),
        ("GET /q?a&beta=a+b", [], "query"),
        ("GET /q?b%65ta=a%20b", [], "query"),
        ("GET /q?beta=a", [], "any"),
        ("GET /client/there", [], "here"),
        ("GET /scheme", [], "any"),
    ],
)
def test_the_other_conditions_choose_among_routes_of_one_path(matching, request_line, fields, name):
    method, target = request_line.split()
    assert got(matching, target, "example.net", method, *fields) == name


def test_over_tls_the_scheme_is_https(module_gateway, authority):
    issued = authority.issue("127.0.0.1")
    listeners = [{"bind": "127.0.0.1:0", "tls": {"cert": str(issued.cert), "key": str(issued.key)}}]
    site = module_gateway(site_text(routes=MATCHING, listeners=listeners))
    with site.connect(tls=issued.client_context(), server_name="127.0.0.1") as client:
        assert client.request(b"GET /scheme HTTP/1.1\r\nHost: a\r\n\r\n").body == b"scheme"


def test_the_address_behind_a_trusted_proxy_is_the_client(gateway):
    site = gateway(site_text(routes=MATCHING, trusted_proxies=["127.0.0.0/8"]))
    assert got(site, "/client/there", "a", "GET", "X-Forwarded-For: 10.1.2.3") == "there"
    assert got(site, "/client/there", "a", "GET", "X-Forwarded-For: 11.1.2.3") == "any"


def test_check_prints_the_routes_in_the_order_in_which_they_are_tried(matching):
    done = run_command("check", str(matching.site_file), directory=matching.directory)
    assert done.returncode == 0, done.stderr
    listed = done.stdout.partition("\nRoutes\n")[2].partition("\n\n")[0].splitlines()
    assert listed[:6] == [
        "host: api.example.com/ → respond 200",
        "wildcard: *.example.com/ → respond 200",
        r"expression: ~^v\d+\.example\.org$/ → respond 200",
        "exact: */v1/exact exactly → respond 200",
        "there: */client/there client=10.0.0.0/8 → respond 200",
        "rest: */v1/{id}/files/{name:path} → respond 200",
    ]
    assert listed[-1] == "any: */ → respond 200"


def test_a_changed_order_is_taken_up_by_a_reload(gateway):
    site = gateway(site_text(routes=[answer("old")]))
    site.site_file.write_text(site_text(routes=[answer("new"), answer("x", path="/x")]))
    done = site.command("reload")
    assert done.returncode == 0, done.stderr
    assert [got(site, target) for target in ("/", "/x")] == ["new", "x"]


# -- what becomes of a request -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def app_of_actions(module_origin) -> Origin:
    return module_origin()


ACTIONS = [
    {"match": {"path": "/v1/"}, "upstream": "app", "rewrite": {"prefix": "/internal/"}},
    {
        "match": {"pattern": "/users/{id}/orders/{rest:path}"},
        "upstream": "app",
        "rewrite": {"pattern": "/u/{id}/o/{rest}"},
    },
    {"match": {"path": "/old"}, "redirect": "https://{host}{path}{query}"},
    {"match": {"pattern": "/moved/{rest:path}"}, "redirect": {"to": "/new/{rest}", "status": 301}},
    {
        "match": {"exact": "/health"},
        "respond": {"body": '{"ok": true}', "headers": {"Content-Type": "application/json", "X-Answer": "a"}},
    },
    {"match": {"path": "/gone"}, "respond": {"status": 410}},
    {"match": {"path": "/guarded"}, "redirect": "/elsewhere", "plugins": ["./guard.py:Guard"]},
    {"upstream": "app"},
]

GUARD = """
from gateway import Response, hookimpl

class Guard:
    @hookimpl
    def on_request(self, exchange):
        if "x-key" not in exchange.request.headers:
            return Response(403, body="no key")
    @hookimpl
    def on_response(self, exchange, response):
        response.headers.set("x-guard", exchange.captures.get("id", "-"))
"""


@pytest.fixture(scope="module")
def actions(module_gateway, app_of_actions) -> GatewayProcess:
    return module_gateway(endpoints=[app_of_actions], routes=ACTIONS, files={"guard.py": GUARD})


@pytest.fixture
def app(app_of_actions) -> Origin:
    app_of_actions.reset()
    return app_of_actions


@pytest.mark.parametrize(
    ("target", "seen"),
    [
        (b"/v1/users?x=%31&", b"/internal/users?x=%31&"),
        (b"/v1", b"/internal"),
        (b"/v1/a%2Fb%20c;x=1/", b"/internal/a%2Fb%20c;x=1/"),
        (b"//v1/x/../y", b"/internal/y"),
        (b"/users/5%20/orders/a/b%2F?q", b"/u/5%20/o/a/b%2F?q"),
        (b"/other//a/../b%2F?", b"/other//a/../b%2F"),
    ],
)
def test_an_endpoint_sees_the_rewritten_path_and_the_query_as_it_came(actions, app, target, seen):
    actions.request(b"GET " + target + b" HTTP/1.1\r\nHost: a.example\r\n\r\n")
    assert app.last.target == seen
    assert app.last.header_all("host") == [b"a.example"]


def test_a_body_goes_to_the_rewritten_path(actions, app):
    actions.request(b"POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
    assert (app.last.target, app.last.body) == (b"/internal/x", b"hello")


@pytest.mark.parametrize("target", [b"/v1/..%2f..%2fadmin", b"/users/..%5C../orders/x"])
def test_a_path_that_could_lead_elsewhere_is_refused(actions, app, target):
    assert actions.request(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n").status == 400
    assert app.requests == []


@pytest.mark.parametrize(
    ("target", "status", "location"),
    [
        (b"/old/a%20b?x=1", 308, b"https://a.example/old/a%20b?x=1"),
        (b"/old", 308, b"https://a.example/old"),
        (b"//old//x", 308, b"https://a.example/old//x"),
        (b"/moved/x/y", 301, b"/new/x/y"),
        (b"/moved//evil.example/x", 301, b"/new/evil.example/x"),
        (b"/moved/%0d%0aX-Evil:%201", 301, b"/new/%0d%0aX-Evil:%201"),
    ],
)
def test_a_redirect_names_the_new_place(actions, app, target, status, location):
    found = actions.request(b"GET " + target + b" HTTP/1.1\r\nHost: A.example:8080\r\n\r\n")
    assert (found.status, found.header_all("location"), found.body) == (status, [location], b"")
    assert app.requests == []


def test_a_fixed_answer_has_its_fields_and_a_head_has_no_body(actions, app):
    found = actions.get("/health")
    assert (found.status, found.body) == (200, b'{"ok": true}')
    assert (found.header_all("content-type"), found.header_all("x-answer")) == ([b"application/json"], [b"a"])
    assert found.header_all("server") == [b"gateway"]
    assert actions.request(b"HEAD /health HTTP/1.1\r\nHost: a\r\n\r\n").body == b""
    assert actions.get("/gone").status == 410
    assert app.requests == []


def test_plugins_come_before_a_redirect_and_see_it_pass(actions):
    refused = actions.get("/guarded")
    assert (refused.status, refused.body) == (403, b"no key")
    passed = actions.get("/guarded", headers={"x-key": "1"})
    assert (passed.status, passed.header_all("location")) == (308, [b"/elsewhere"])
    assert passed.header_all("x-guard") == [b"-"]


def explained(site: GatewayProcess, *words: str) -> str:
    return run_command("explain", str(site.site_file), *words, directory=site.directory).stdout


def test_explain_tells_of_answers_rewritten_paths_and_expressions(actions, matching):
    assert "Answer redirect 301 to /new/{rest}\n" in explained(actions, "/moved/x")
    assert "Path rewritten to /internal/x\n" in explained(actions, "/v1/x")
    told = explained(matching, "PUT /h", "-H", "Host: v1.example.org", "-H", "X-Beta: 2")
    assert "✓ expression: taken" in told
    assert "✗ header-like: another route comes before it" in told
    assert r"host: wanted ~^v\d+\.example\.org$" in explained(matching, "/v1/exact")


def test_captures_are_there_for_plugins(gateway):
    route = {"match": {"pattern": "/users/{id}"}, "respond": {}, "plugins": ["./guard.py:Guard"]}
    site = gateway(site_text(routes=[route]), files={"guard.py": GUARD})
    assert site.get("/users/a%20b", headers={"x-key": "1"}).header_all("x-guard") == [b"a%20b"]


# -- splits --------------------------------------------------------------------------------------------------------


@pytest.fixture
def two_sides(gateway, origin):
    """A gateway of two workers whose route splits between two origins, and what makes its site file."""
    sides = {name: {"endpoints": [origin(reply(name.encode())).url]} for name in ("stable", "canary")}

    def text(weights: dict[str, int], **route: object) -> str:
        return site_text(workers=2, upstreams=sides, routes=[{"split": weights, **route}])

    def start(weights: dict[str, int], **route: object) -> GatewayProcess:
        return gateway(text(weights, **route))

    start.text = text
    return start


def asked(site: GatewayProcess, requests: list[bytes], on_each: int = 20) -> list[str]:
    """Who answered each request; a fresh connection every few requests, so that both workers are asked."""
    names: list[str] = []
    for start in range(0, len(requests), on_each):
        with site.connect() as client:
            names += [client.request(data).body.decode() for data in requests[start : start + on_each]]
    return names


def of_users(count: int) -> list[bytes]:
    return [b"GET / HTTP/1.1\r\nHost: a\r\nCookie: user=u%d\r\n\r\n" % n for n in range(count)]


def test_a_split_sends_each_side_its_share(two_sides):
    site = two_sides({"stable": 80, "canary": 20})
    counts = Counter(asked(site, [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"] * 2000))
    assert 280 < counts["canary"] < 520  # more than six standard deviations either way
    assert counts["stable"] == 2000 - counts["canary"]


def test_a_sticky_split_keeps_each_client_on_its_side_in_every_worker_and_moves_few_after_a_reload(two_sides):
    site = two_sides({"stable": 95, "canary": 5}, sticky="cookie:user")
    before = asked(site, of_users(600))
    assert 5 < before.count("canary") < 80
    assert asked(site, of_users(600), on_each=7) == before
    site.site_file.write_text(two_sides.text({"stable": 80, "canary": 20}, sticky="cookie:user"))
    assert site.command("reload").returncode == 0
    after = asked(site, of_users(600))
    moved = {(old, new) for old, new in zip(before, after, strict=True) if old != new}
    assert moved == {("stable", "canary")}
    assert after.count("canary") > before.count("canary")
