"""Explain: why a request goes where it goes, asked of a site file, of a running gateway, and by a live request."""

from __future__ import annotations

import json
import re

import pytest

from gateway.testing import reply, run_command, site_text, wait_until

SECRET = "only-we-know"
ROUTES = [
    {"name": "api", "match": {"host": "api.example.com", "path": "/v1/", "method": ["GET"]}, "upstream": "api"},
    {"name": "site", "upstream": "app"},
]


@pytest.fixture
def apps(origin):
    return [origin(reply(name)) for name in (b"one", b"two", b"three")]


@pytest.fixture
def settings(apps):
    one, two, three = (app.url for app in apps)
    return {
        "plugins": ["access-log", "request-id", "balancing"],
        "explain_secret": SECRET,
        "upstreams": {
            "app": {"endpoints": [one, {"url": two, "priority": 1}], "balancer": "round-robin"},
            "api": {"endpoints": [three]},
        },
        "routes": ROUTES,
    }


@pytest.fixture
def ask(tmp_path, settings):
    """What the command says about a request to a site that is not running."""
    (tmp_path / "site.toml").write_text(site_text(**settings))

    def run(*words: str):
        return run_command("explain", "site.toml", *words, directory=tmp_path)

    return run


def name_of(app) -> str:
    return app.url.removeprefix("http://")


@pytest.mark.parametrize("line", ["bogus", "GET users", "BAD GET /", "GET / x", "G@T /", "GET ", "", "GET *"])
def test_what_is_no_request_is_refused_with_how_one_is_written(ask, line):
    done = ask(line)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"a request is written 'GET /path', not {line!r}" in done.stderr


@pytest.mark.parametrize("line", ["/v1/users", "GET /v1/users", "GET /v1/users HTTP/1.1"])
def test_a_request_line_may_be_short_or_complete(ask, line):
    assert ask(line).stdout.startswith("GET localhost/v1/users\n")


def test_a_request_that_is_missing_is_asked_for(ask):
    done = ask()
    assert (done.returncode, done.stdout) == (2, "")
    assert "which request? Say it as in: gateway explain site.toml 'GET /path'" in done.stderr


def test_it_names_the_route_the_hooks_the_endpoints_and_the_pick(ask, apps):
    record = json.loads(ask("GET /v1/users?a=b", "-H", "Host: api.example.com", "--json").stdout)
    assert record["request"] == "GET api.example.com/v1/users?a=b"
    assert record["route"] == "api"
    assert record["routes"][0] == {"route": "api", "reason": "taken"}
    assert record["hooks"] == {
        "on_request": ["request-id"],
        "on_response": ["request-id"],
        "on_complete": ["access-log"],
    }
    assert (record["upstream"], record["balancer"], record["pick"]) == ("api", "first", name_of(apps[2]))
    assert record["picked_by"] == "balancer first"


def test_it_says_why_others_were_not_taken(ask, apps):
    record = json.loads(ask("POST /v1/users", "-H", "Host: api.example.com", "--json").stdout)
    assert record["routes"] == [
        {"route": "site", "reason": "taken"},
        {"route": "api", "reason": "method: wanted GET"},
    ]
    reasons = {item["endpoint"]: item["reason"] for item in record["endpoints"]}
    assert reasons == {
        name_of(apps[0]): "candidate",
        name_of(apps[1]): "a backup: enough endpoints of priority 0 are up",
    }


@pytest.fixture
def divided(ask, tmp_path, settings):
    """The same for a site whose routes split and redirect."""
    settings["routes"] = [
        {"match": {"path": "/keyed"}, "split": {"app": 90, "api": 10}, "sticky": "cookie:user"},
        {"match": {"path": "/drawn"}, "split": {"app": 0, "api": 10}},
        {"match": {"pattern": "/old/{rest:path}"}, "redirect": "https://{host}/new/{rest}{query}"},
        {"upstream": "app"},
    ]
    (tmp_path / "site.toml").write_text(site_text(**settings))
    return ask


def test_it_says_how_the_side_of_a_split_is_chosen(divided):
    keyed = json.loads(divided("/keyed", "-H", "Cookie: user=ann", "--json").stdout)
    assert keyed["split"] == {
        "weights": {"app": 90, "api": 10}, "took": keyed["upstream"], "why": "by cookie:user"
    }  # fmt: skip
    told = divided("/keyed").stdout
    assert re.search(r"Split app 90, api 10: took (app|api), drawn: the request has no cookie:user\n", told)
    assert "Split app 0, api 10: took api, drawn\n" in divided("/drawn").stdout
    assert "Split" not in divided("/").stdout


def test_it_shows_where_a_redirect_leads(divided):
    shown = divided("/old/a%20b?c", "-H", "Host: a.example:81").stdout
    assert "Answer redirect 308 to https://{host}/new/{rest}{query}\n" in shown
    assert "Location https://a.example/new/a%20b?c\n" in shown


def test_people_read_it_as_text(ask, apps):
    shown = ask("/v1/users").stdout
    assert shown.startswith("GET localhost/v1/users\n")
    assert "✓ site: taken" in shown
    assert "✗ api: host: wanted api.example.com" in shown
    assert "on_request: request-id" in shown
    assert f"Pick {name_of(apps[0])}, by balancer round-robin" in shown


def test_nothing_is_sent(ask, apps):
    ask("/")
    assert [app.requests for app in apps] == [[], [], []]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("CONNECT /",), "Refused 405"),
        (("/", "-H", "Host: a b"), "Refused 400: Host is missing, empty or malformed"),
    ],
)
def test_a_request_that_is_refused_is_told_so(ask, words, said):
    done = ask(*words)
    assert done.returncode == 0
    assert said in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("/", "-H", "nonsense"), "a header is written 'name: value', not 'nonsense'"),
        (("/", "-H", "a b: c"), "not a request: header name b'a b' is not a token"),
    ],
)
def test_what_is_no_request_is_one_line_and_exit_status_2(ask, words, said):
    done = ask(*words)
    assert (done.returncode, done.stderr) == (2, f"gateway: {said}\n")


def test_a_running_gateway_tells_how_its_endpoints_stand_now(gateway, settings, apps):
    site = gateway(workers=2, **settings)
    assert site.command("maintenance", "app", name_of(apps[0]), "--reason", "new disk").returncode == 0
    words = ("explain", "site.toml", "/", "--live", "--json")

    def is_known() -> bool:
        return json.loads(site.command(*words).stdout)["pick"] == name_of(apps[1])

    wait_until(is_known)
    record = json.loads(site.command(*words).stdout)
    reasons = {item["endpoint"]: item["reason"] for item in record["endpoints"]}
    assert reasons[name_of(apps[0])] == "maintenance (operator: new disk)"
    assert json.loads(site.command(*words[:2], "/", "--json").stdout)["pick"] == name_of(apps[0])


class TestLive:
    def request(self, secret: str) -> bytes:
        return f"GET /here HTTP/1.1\r\nHost: a.example\r\nX-Gateway-Explain: {secret}\r\n\r\n".encode()

    def test_the_secret_brings_the_record_as_a_header_and_in_the_log(self, gateway, settings, apps):
        site = gateway(**settings)
        response = site.request(self.request(SECRET))
        record = json.loads(response.header("x-gateway-explain"))
        assert (record["route"], record["upstream"]) == ("site", "app")
        assert [item["outcome"] for item in record["attempts"]] == [200]
        assert record["passed_over"] == {name_of(apps[1]): "a backup: enough endpoints of priority 0 are up"}
        spent = [(hook, plugin) for hook, plugin, _ in record["hooks_us"]]
        assert spent == [("on_request", "request-id"), ("on_response", "request-id")]
        assert all(us > 0 for _, _, us in record["hooks_us"])
        assert record["id"] == response.header("x-request-id").decode()
        site.wait_for_log("gateway.explain")
        (line,) = re.findall(r"gateway\.explain: request \w+: (\{.*\})", site.log)
        assert [hook for hook, _, _ in json.loads(line)["hooks_us"]][-1] == "on_complete"
        assert apps[0].last.header("x-gateway-explain") is None

    def test_nobody_else_gets_it_and_the_guess_goes_no_further(self, gateway, settings, apps):
        site = gateway(**settings)
        response = site.request(self.request("a-guess"))
        assert response.status == 200
        assert response.header("x-gateway-explain") is None
        assert apps[0].last.header("x-gateway-explain") is None
        assert "gateway.explain" not in site.log

    def test_a_failure_is_explained_too(self, gateway, settings, apps):
        site = gateway(**settings)
        apps[0].stop_listening()
        record = json.loads(site.request(self.request(SECRET)).header("x-gateway-explain"))
        assert "refused" in record["attempts"][0]["outcome"].lower()
