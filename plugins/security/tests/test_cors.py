"""cors: whom a browser lets read what, after the Fetch standard; in the end with a browser."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from gateway_security import Cors
from gateway_security.origins import Origins, check_origin
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import sync_playwright
from pydantic import ValidationError

from gateway import ClientError, Exchange, Request, Response
from gateway.pipeline import Pipeline
from gateway.testing import reply, require_program

PAGE = "https://app.example.com"
OTHER = "https://evil.example"
ALONE = SimpleNamespace(has_trusted_proxies=False)


def cors(**config: object) -> Cors:
    return Cors(Cors.Config.model_validate({"origins": [PAGE], **config}))


def exchange(method: str = "GET", **headers: str) -> Exchange:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return Exchange(ALONE, Request(method, "/", {"host": "api.example.com", **fields}))


def preflight(plugin: Cors, origin: str = PAGE, method: str = "PUT", **headers: str) -> dict[str, str]:
    """The fields of the answer to a preflight, by name."""
    asking = exchange("OPTIONS", origin=origin, access_control_request_method=method, **headers)
    answer = plugin.on_request(asking)
    assert (answer.status, answer.body) == (204, b"")
    return fields_of(answer)


def fields_of(response: Response) -> dict[str, str]:
    names = [name for name, _ in response.headers.raw]
    assert len(set(names)) == len(names)
    return {name.decode(): value.decode() for name, value in response.headers.raw}


def answered(plugin: Cors, origin: str | None = PAGE, fields: dict[str, str] | None = None) -> dict[str, str]:
    """The fields of a response after the plugin has seen it."""
    response = Response(200, fields)
    plugin.on_response(exchange(**({} if origin is None else {"origin": origin})), response)
    return fields_of(response)


# -- origins -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "origin", "is_among"),
    [
        ("https://a.example", "https://a.example", True),
        ("https://a.example", "http://a.example", False),
        ("https://a.example", "https://a.example:8443", False),
        ("https://a.example", "https://a.example.evil.example", False),
        ("https://*.a.example", "https://x.a.example", True),
        ("https://*.a.example", "https://x.y.a.example", True),
        ("https://*.a.example", "https://a.example", False),
        ("https://*.a.example", "https://evila.example", False),
        ("https://*.a.example", "https://evil.example/.a.example", False),
        ("https://*.a.example", "https://evil.example#.a.example", False),
        ("https://*.a.example", "https://.a.example", False),
        ("https://*.a.example:8443", "https://x.a.example:8443", True),
        ("https://*.a.example:8443", "https://x.a.example", False),
        ("https://*.a.example", "https://x.aXexample", False),
        ("~https://pr-[0-9]+[.]a[.]example", "https://pr-12.a.example", True),
        ("~https://pr-[0-9]+[.]a[.]example", "https://pr-12.a.example.evil.example", False),
        ("~https://pr-[0-9]+[.]a[.]example", "x https://pr-12.a.example", False),
        ("~.*", "null", False),
        ("null", "null", True),
        ("https://a.example", "null", False),
        ("chrome-extension://abcdef", "chrome-extension://abcdef", True),
        ("http://[::1]:3000", "http://[::1]:3000", True),
    ],
)
def test_an_origin_is_among_those_named_or_not(named, origin, is_among):
    assert (origin.encode() in Origins([check_origin(named)])) is is_among


@given(st.binary(max_size=60))
def test_no_prefix_and_no_suffix_makes_another_origin_one_of_ours(noise):
    ours = Origins(["https://a.example", "https://*.b.example", "~https://c[.]example"])
    for origin in (b"https://a.example", b"https://c.example", b"https://x.b.example"):
        if noise:
            assert origin + noise not in ours
            assert noise + origin not in ours


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"origins": ["*", PAGE]}, "leave out the others"),
        ({"origins": ["*"], "credentials": True}, "any site could act"),
        ({"origins": ["null"], "credentials": True}, "any site could act"),
        ({"origins": ["~https://.*"], "credentials": True}, "any site could act"),
        ({"origins": ["*"], "refuse": True}, "nobody to refuse"),
        ({"exposed": ["*"], "credentials": True}, "name the headers"),
        ({"origins": ["https://a.example/"]}, "has no path"),
        ({"origins": ["https://A.example"]}, "lower case"),
        ({"origins": ["a.example"]}, "expected"),
        ({"origins": ["https://a.*.example"]}, "expected"),
        ({"origins": ["https://a.example:443"]}, 'write "https://a.example"'),
        ({"origins": ["https://*.[::1]"]}, "no subdomains"),
        ({"origins": ["~("]}, "regular expression"),
        ({"methods": ["patch"]}, "write 'PATCH'"),
        ({"methods": ["P T"]}, "not a token"),
        ({"headers": ["x y"]}, "not a token"),
        ({"max_age": "2d"}, "86400"),
    ],
)
def test_what_cannot_be_is_refused_at_load(config, message):
    with pytest.raises(ValidationError, match=message):
        Cors.Config.model_validate({"origins": [PAGE], **config})


def test_without_origins_it_does_nothing_and_costs_nothing():
    assert not any(Pipeline([("cors", cors(origins=[]))]).steps.values())


# -- preflights ----------------------------------------------------------------------------------------------------


def test_a_preflight_is_answered_with_all_that_is_allowed():
    plugin = cors(methods=["GET", "PUT"], headers=["content-type", "x-a"], exposed=["x-b"], credentials=True)
    assert preflight(plugin) == {
        "access-control-allow-origin": PAGE,
        "access-control-allow-credentials": "true",
        "access-control-max-age": "600",
        "access-control-allow-methods": "GET, PUT",
        "access-control-allow-headers": "content-type, x-a",
        "vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
    }


def test_a_preflight_from_elsewhere_is_told_nothing():
    assert list(preflight(cors(), OTHER)) == ["vary"]


def test_a_star_allows_by_name_since_it_means_less_to_browsers():
    plugin = cors(methods=["*"], headers=["*"], credentials=True)
    told = preflight(plugin, method="PURGE", access_control_request_headers="authorization, x-a")
    assert told["access-control-allow-methods"] == "PURGE"
    assert told["access-control-allow-headers"] == "authorization, x-a"
    told = preflight(plugin, method="P T", access_control_request_headers="a b")
    assert "access-control-allow-methods" not in told
    assert "access-control-allow-headers" not in told


def test_any_origin_is_answered_with_a_star():
    assert preflight(cors(origins=["*"]), OTHER)["access-control-allow-origin"] == "*"


def test_a_private_network_is_opened_only_on_demand():
    asked = {"access_control_request_private_network": "true"}
    assert "access-control-allow-private-network" not in preflight(cors(), **asked)
    told = preflight(cors(private_network=True), **asked)
    assert told["access-control-allow-private-network"] == "true"
    assert told["vary"].endswith("Access-Control-Request-Private-Network")
    assert "access-control-allow-private-network" not in preflight(cors(private_network=True))


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("OPTIONS", {"origin": PAGE}),
        ("OPTIONS", {"access_control_request_method": "PUT"}),
        ("GET", {"origin": PAGE, "access_control_request_method": "PUT"}),
    ],
)
def test_what_is_no_preflight_goes_on_to_the_upstream(method, headers):
    assert cors().on_request(exchange(method, **headers)) is None


# -- responses -----------------------------------------------------------------------------------------------------


def test_a_page_that_is_named_may_read_the_response():
    told = answered(cors(credentials=True, exposed=["x-a", "x-b"]))
    assert told == {
        "access-control-allow-origin": PAGE,
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "x-a, x-b",
        "vary": "Origin",
    }


@pytest.mark.parametrize("origin", [None, OTHER, "null", ""])
def test_others_may_not_and_caches_are_told_all_the_same(origin):
    assert answered(cors(), origin) == {"vary": "Origin"}


@pytest.mark.parametrize("origin", [None, OTHER, "null"])
def test_a_star_is_the_same_for_everybody(origin):
    told = answered(cors(origins=["*"], exposed=["*"]), origin)
    assert told == {"access-control-allow-origin": "*", "access-control-expose-headers": "*"}


@pytest.mark.parametrize("origin", [PAGE, OTHER])
def test_what_the_upstream_says_of_cors_is_replaced(origin):
    fields = {
        "a": "1",
        "Access-Control-Allow-Origin": OTHER,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Max-Age": "5",
    }
    told = answered(cors(), origin, fields)
    assert told.pop("access-control-allow-origin", None) == (PAGE if origin == PAGE else None)
    assert told == {"a": "1", "vary": "Origin"}


@pytest.mark.parametrize("vary", ["*", "Accept, origin"])
def test_a_vary_that_says_it_already_is_not_doubled(vary):
    assert answered(cors(), OTHER, {"vary": vary}) == {"vary": vary}


def test_a_vary_that_says_something_else_gets_a_companion():
    response = Response(200, {"vary": "Accept"})
    cors().on_response(exchange(origin=PAGE), response)
    assert response.headers.get_all("vary") == [b"Accept", b"Origin"]


# -- refusing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_another_site_is_refused_if_that_is_wanted(method, caplog):
    with pytest.raises(ClientError) as refusal:
        cors(refuse=True).on_request(exchange(method, origin=OTHER, access_control_request_method="PUT"))
    assert refusal.value.status == 403
    assert OTHER in caplog.text
    assert OTHER not in str(refusal.value)


@pytest.mark.parametrize(
    "origin", [PAGE, "http://api.example.com", "https://api.example.com", "https://api.example.com:443"]
)
def test_the_site_itself_and_those_named_are_not_refused(origin):
    assert cors(refuse=True).on_request(exchange("POST", origin=origin)) is None


def test_a_request_of_no_page_is_not_refused():
    assert cors(refuse=True).on_request(exchange("POST")) is None


@pytest.mark.parametrize("origin", ["null", "https://api.example.com:8443", "https://api.example.com.evil.example"])
def test_what_only_looks_like_the_site_itself_is_refused(origin):
    with pytest.raises(ClientError):
        cors(refuse=True).on_request(exchange("POST", origin=origin))


# -- with a browser ------------------------------------------------------------------------------------------------

ASK = """([url, options]) => fetch(url, options).then(
    async answer => [answer.status, answer.headers.get("x-shown"), await answer.text()], error => "blocked")"""


def test_a_browser_lets_the_page_read_what_is_allowed_and_nothing_else(gateway, origin):
    program = require_program("chromium")
    pages = origin(reply(b"<p>page", b"Content-Type: text/html"))
    strangers = origin(reply(b"<p>stranger", b"Content-Type: text/html"))
    app = origin(reply(b"data", b"Access-Control-Allow-Origin: *", b"X-Shown: yes", b"X-Hidden: no"))
    allowed = {"origins": [pages.url], "methods": ["PUT"], "headers": ["x-token"], "exposed": ["x-shown"]}
    site = gateway(endpoints=[app], plugins=[{"use": "cors", "credentials": True, **allowed}])
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        page, stranger = browser.new_page(), browser.new_page()
        page.goto(pages.url)
        stranger.goto(strangers.url)

        def ask(who, **options):
            return who.evaluate(ASK, [f"{site.url}/", {"credentials": "include", **options}])

        assert ask(page) == [200, "yes", "data"]
        assert ask(page, method="PUT", headers={"x-token": "1"}) == [200, "yes", "data"]
        assert ask(page, method="DELETE") == "blocked"
        assert ask(page, headers={"x-other": "1"}) == "blocked"
        assert ask(stranger) == "blocked"
        browser.close()
    methods = [seen.method for seen in app.requests]
    assert sorted(methods) == ["GET", "GET", "PUT"]
