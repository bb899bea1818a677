"""What becomes of a request: captures, rewritten paths, redirects, fixed answers and splits."""

from __future__ import annotations

import random
from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway import ClientError, Exchange, Request, Response
from gateway.config.routes import Route as RouteSettings
from gateway.pipeline import Pipeline
from gateway.routing import Route, Router, build_route
from gateway.routing.actions import Split, leads_astray, sticky_key
from gateway.routing.paths import matched_path


def upstream(name: str) -> SimpleNamespace:
    return SimpleNamespace(name=name, available=("an endpoint",))


UPSTREAMS = {name: upstream(name) for name in ("app", "stable", "canary", "third")}


def built(**settings: object) -> Route:
    return build_route(RouteSettings.model_validate(settings), Pipeline(), UPSTREAMS, random.Random(1))


def took(route: Route, target: str | bytes, headers: object = None) -> Exchange:
    exchange = Exchange(SimpleNamespace(), Request("GET", target, headers or {"host": "a.example.com"}))
    assert Router([route]).match(exchange.request) is route
    route.take(exchange)
    return exchange


class TestCaptures:
    @pytest.mark.parametrize(
        ("target", "found"),
        [
            ("/users/5/orders/a/b", {"id": "5", "rest": "a/b"}),
            ("/users/5/orders/", {"id": "5", "rest": ""}),
            ("/users/a%20b%2Fc/orders/x%3Fy/", {"id": "a%20b%2Fc", "rest": "x%3Fy/"}),
            ("//users/./5/x/../orders//a/%2e%2e/b", {"id": "5", "rest": "b"}),
            (b"/users/\xff/orders/", {"id": "\xff", "rest": ""}),
            ("/users/5/orders/?id=6", {"id": "5", "rest": ""}),
        ],
    )
    def test_named_parts_are_as_they_came_without_dot_segments(self, target, found):
        route = built(upstream="app", match={"pattern": "/users/{id}/orders/{rest:path}"})
        assert took(route, target).captures == found

    def test_groups_of_a_host_are_captured_too(self):
        route = built(upstream="app", match={"host": r"~^(?P<tenant>\w+)\.(?P<zone>eu|us)?", "pattern": "/{id}"})
        assert took(route, "/5", {"host": "ACME.eu.example.com:80"}).captures == {
            "tenant": "acme",
            "zone": "eu",
            "id": "5",
        }
        assert took(route, "/5", {"host": "acme.example.com"}).captures["zone"] == ""

    def test_a_match_without_names_captures_nothing(self):
        assert took(built(upstream="app"), "/x").captures == {}


class TestRewriting:
    @pytest.mark.parametrize(
        ("path", "prefix", "target", "forwarded"),
        [
            ("/v1/", "/internal/", "/v1/users?x=1", b"/internal/users"),
            ("/v1", "/internal", "/v1/users/", b"/internal/users/"),
            ("/v1/", "/internal/", "/v1", b"/internal"),
            ("/v1/", "/internal/", "/v1/", b"/internal/"),
            ("/v1", "/", "/v1", b"/"),
            ("/v1", "/", "/v1/a%2Fb%20c", b"/a%2Fb%20c"),
            ("/v1", "/", b"/v1/\xff;p=1", b"/\xff;p=1"),
            ("/", "/app", "/x/y", b"/app/x/y"),
            ("/", "/app", "/", b"/app"),
            ("/a b", "/c%20d", "/a%20b/x", b"/c%20d/x"),
            ("/v1", "/internal", "//v1/./x/../y/", b"/internal/y/"),
            ("/v1", "/internal", "/v%31/%2e%2e/v1/%7Eme", b"/internal/%7Eme"),
            ("/", "/app", "/../../x", b"/app/x"),
        ],
    )
    def test_a_prefix_takes_the_place_of_the_matched_one(self, path, prefix, target, forwarded):
        exchange = took(built(upstream="app", match={"path": path}, rewrite={"prefix": prefix}), target)
        assert exchange.forwarded_path == forwarded
        assert exchange.request.target == (target.encode() if isinstance(target, str) else target)

    @pytest.mark.parametrize(
        ("target", "forwarded"),
        [
            ("/users/5/orders/a/b", b"/u/5/o/a/b"),
            ("/users/5/orders/", b"/u/5/o/"),
            ("/users/%35/orders/%7B", b"/u/%35/o/%7B"),
            ("/users/5/orders/a/../../orders/b", b"/u/5/o/b"),
        ],
    )
    def test_a_pattern_is_filled_with_what_was_captured(self, target, forwarded):
        match = {"pattern": "/users/{id}/orders/{rest:path}"}
        assert (
            took(built(upstream="app", match=match, rewrite={"pattern": "/u/{id}/o/{rest}"}), target).forwarded_path
            == forwarded
        )

    @pytest.mark.parametrize(
        "target", ["/v1/..%2Fadmin", "/v1/a%2f%2e%2e%2f%2e%2e%2fb", "/v1/x%5C..%5Cy", "/v1/a\\..\\b"]
    )
    def test_what_would_lead_elsewhere_behind_encoded_slashes_is_refused(self, target):
        with pytest.raises(ClientError, match="cannot be rewritten"):
            took(built(upstream="app", match={"path": "/v1"}, rewrite={"prefix": "/internal"}), target)

    def test_a_group_of_the_host_cannot_lead_elsewhere_either(self):
        route = built(upstream="app", match={"host": "~^(?P<t>.*)$"}, rewrite={"pattern": "/tenants/{t}/"})
        with pytest.raises(ClientError, match="cannot be rewritten"):
            took(route, "/", {"host": "x%2f..%2fy"})

    def test_without_rewriting_nothing_is_changed(self):
        assert took(built(upstream="app"), "/a/..%2F//b").forwarded_path is None

    def test_the_asterisk_stays(self):
        assert took(built(upstream="app", rewrite={"prefix": "/x"}), "*").forwarded_path == b"*"

    @given(
        st.lists(
            st.sampled_from(
                [b"/", b".", b"..", b"%2e", b"%2E", b"%2f", b"%5c", b"\\", b"a", b"%", b"v1", b"%00", b"\xff"]
            ),
            max_size=12,
        ).map(lambda pieces: b"/v1/" + b"".join(pieces))
    )
    @example(b"/v1/%2e%2e/v1/..%2f")
    def test_a_rewritten_path_stays_below_its_new_prefix(self, target):
        route = built(upstream="app", match={"path": "/v1"}, rewrite={"prefix": "/internal/x"})
        exchange = Exchange(SimpleNamespace(), Request("GET", target, {"host": "a"}))
        if Router([route]).match(exchange.request) is None:
            return
        try:
            route.take(exchange)
        except ClientError:
            assert b".." in matched_path(target) or b"%" in target or b"\\" in target
            return
        path = exchange.forwarded_path
        assert (path + b"/").startswith(b"/internal/x/")
        assert not leads_astray(path)
        assert matched_path(path) == b"/internal/x" + matched_path(target)[len("/v1") :]


class TestRedirects:
    @pytest.mark.parametrize(
        ("match", "to", "target", "location"),
        [
            ({}, "https://{host}{path}{query}", "/a%20b/?x=%26", b"https://a.example.com/a%20b/?x=%26"),
            ({}, "https://{host}{path}{query}", "/", b"https://a.example.com/"),
            ({}, "https://new.example.com/", "/a?b", b"https://new.example.com/"),
            ({"pattern": "/old/{rest:path}"}, "/new/{rest}", "/old/a/b", b"/new/a/b"),
            ({"pattern": "/old/{rest:path}"}, "/{rest}", "/old//evil.example", b"/evil.example"),
            ({"pattern": "/old/{rest:path}"}, "/{rest}", "/old/\\evil.example", b"/%5Cevil.example"),
            ({}, "{path}", "//evil.example/x", b"/evil.example/x"),
            ({}, "{path}", "/\\evil.example/x", b"/evil.example/x"),
            ({}, "{path}", b'/a\xff"<>', b"/a%FF%22%3C%3E"),
            ({}, "https://{host}{path}", "//x", b"https://a.example.com/x"),
        ],
    )
    def test_a_location_is_made_of_the_request(self, match, to, target, location):
        exchange = took(built(match=match, redirect=to), target)
        response = exchange.route.act(exchange)
        assert (response.status, response.headers.get("location")) == (308, location)

    def test_a_location_is_not_made_of_a_host_that_is_missing(self):
        exchange = took(built(redirect="https://{host}{path}"), "/", {"host": ""})
        with pytest.raises(ClientError, match="needs a Host"):
            exchange.route.act(exchange)
        exchange = took(built(redirect="{path}"), "/x", {"host": ""})
        assert exchange.route.act(exchange).headers.get("location") == b"/x"

    def test_a_location_has_the_status_that_is_wanted(self):
        exchange = took(built(redirect={"to": "/x", "status": 302}), "/")
        assert exchange.route.act(exchange).status == 302
        assert exchange.notes == [("route", "answered 302")]

    @given(st.binary(max_size=20).map(lambda raw: b"/" + raw.replace(b"?", b"")), st.binary(max_size=10))
    @example(b"/\r\nx: y", b"\r\nx: y")
    @example(b"/\\\\evil.example", b"")
    def test_no_request_gets_a_header_into_it_or_leaves_the_site(self, path, query):
        exchange = took(built(redirect="{path}{query}"), path + b"?" + query)
        location = exchange.route.act(exchange).headers.get("location")
        assert location.isascii()
        assert not any(byte <= 0x20 or byte == 0x7F or byte == ord("\\") for byte in location)
        assert location.startswith(b"/")
        assert not location.startswith(b"//")


class TestAnswers:
    def test_an_answer_is_made_anew_for_each_request(self):
        route = built(respond={"status": 404, "body": "no", "headers": {"Cache-Control": "no-store"}})
        first, second = (route.act(took(route, "/")) for _ in range(2))
        assert isinstance(first, Response)
        first.headers.set("x-seen", "1")
        assert second.headers.raw == [
            (b"cache-control", b"no-store"),
            (b"content-type", b"text/plain; charset=utf-8"),
        ]
        assert (second.status, second.body) == (404, b"no")

    def test_an_answer_may_name_its_own_type_or_be_empty(self):
        route = built(respond={"body": "{}", "headers": {"content-type": "application/json"}})
        assert route.act(took(route, "/")).headers.get_all("content-type") == [b"application/json"]
        assert built(respond={"status": 204}).act(took(route, "/")).headers.raw == []


def split(sticky: str = "", **weights: float) -> Split:
    sides = {name: (UPSTREAMS[name], weight) for name, weight in weights.items()}
    return Split(sides, sticky_key(sticky), random.Random(1))


def request(headers: object = (), target: str = "/", client: str = "10.0.0.1") -> Request:
    return Request("GET", target, [("host", "a"), *headers], client=client)


def sides(split: Split, count: int = 10000) -> list[str]:
    return [split.choose(request([("x-user", f"u{n}")])).name for n in range(count)]


class TestSplits:
    def test_requests_are_spread_by_weight(self):
        counts = Counter(split(stable=95, canary=5).choose(request()).name for _ in range(1))
        assert sum(counts.values()) == 1
        drawn = split(stable=90, canary=10, third=0)
        counts = Counter(drawn.choose(request()).name for _ in range(10000))
        assert set(counts) == {"stable", "canary"}
        assert 850 < counts["canary"] < 1150

    def test_keys_are_spread_by_weight_too(self):
        counts = Counter(sides(split("header:x-user", stable=70, canary=20, third=10)))
        assert 6700 < counts["stable"] < 7300
        assert 1800 < counts["canary"] < 2200
        assert 800 < counts["third"] < 1200

    def test_the_same_key_stays_on_its_side_whatever_the_order(self):
        one, other = split("header:x-user", stable=1, canary=1), split("header:x-user", canary=1, stable=1)
        assert sides(one, 200) == sides(other, 200) == sides(one, 200)

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ({"stable": 95, "canary": 5}, {"stable": 90, "canary": 10}),
            ({"stable": 95, "canary": 5}, {"stable": 95, "canary": 50}),
            ({"stable": 99.5, "canary": 0.5}, {"stable": 0, "canary": 1}),
        ],
    )
    def test_a_greater_weight_moves_only_keys_to_it(self, before, after):
        moved = zip(sides(split("header:x-user", **before)), sides(split("header:x-user", **after)), strict=True)
        assert {pair for pair in moved if pair[0] != pair[1]} == {("stable", "canary")}

    def test_with_a_third_side_none_moves_between_the_others(self):
        before = sides(split("header:x-user", stable=60, canary=5, third=35))
        after = sides(split("header:x-user", stable=60, canary=20, third=35))
        assert {new for old, new in zip(before, after, strict=True) if old != new} == {"canary"}

    @pytest.mark.parametrize(
        ("sticky", "one", "other"),
        [
            ("cookie:user", request([("cookie", "a=1; user=u{}")]), request([("cookie", "user=u{};b=1")])),
            ("header:X-User", request([("x-user", "u{}")]), request([("x-user", "u{}"), ("x-user", "other")])),
            ("query:user", request(target="/?user=u{}"), request(target="/x?a=1&us%65r=u{}")),
            ("source", request(client="10.0.0.{}"), request(client="10.0.0.{}", target="/x")),
        ],
    )
    def test_the_key_is_what_sticky_names(self, sticky, one, other):
        def numbered(made: Request, number: int) -> bytes:
            fields = [(name, value.replace(b"{}", b"%d" % number)) for name, value in made.headers.raw]
            target = made.target.decode().replace("{}", str(number))
            return sticky_key(sticky)(Request("GET", target, fields, client=made.client.replace("{}", str(number))))

        assert numbered(one, 1) == numbered(other, 1) != numbered(one, 2)

    @pytest.mark.parametrize("sticky", ["cookie:user", "header:x-user", "query:user"])
    def test_a_request_without_the_key_goes_to_either_side(self, sticky):
        drawn = split(sticky, stable=1, canary=1)
        assert {drawn.choose(request()).name for _ in range(100)} == {"stable", "canary"}

    @pytest.mark.parametrize("sticky", ["", "header:x-user"])
    def test_a_side_without_an_endpoint_leaves_its_requests_to_the_others_and_gets_them_back(self, sticky):
        up = {name: upstream(name) for name in ("stable", "canary", "third")}
        weighted = {"stable": (up["stable"], 50), "canary": (up["canary"], 20), "third": (up["third"], 30)}
        drawn = Split(weighted, sticky_key(sticky), random.Random(1))
        before = sides(drawn)
        up["canary"].available = ()
        during = sides(drawn)
        counts = Counter(during)
        assert set(counts) == {"stable", "third"}
        assert 5950 < counts["stable"] < 6550  # 50 of 80
        if sticky:
            moved = {old for old, new in zip(before, during, strict=True) if old != new}
            assert moved == {"canary"}
        up["canary"].available = ("an endpoint",)
        assert Counter(sides(drawn))["canary"] > 1800
        for side in up.values():
            side.available = ()
        assert set(sides(drawn, 100)) == {"stable", "canary", "third"}, "then the error page says who is not there"

    def test_a_route_with_a_split_chooses_for_each_exchange_and_notes_it(self):
        route = built(split={"stable": 1, "canary": 1})
        exchanges = [took(route, "/") for _ in range(100)]
        assert {exchange.upstream.name for exchange in exchanges} == {"stable", "canary"}
        assert exchanges[0].notes == [("split", f"took {exchanges[0].upstream.name}")]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"upstream": "app"}, "upstream app"),
        ({"upstream": "app", "rewrite": {"prefix": "/x/"}}, "upstream app, path rewritten to /x/"),
        ({"split": {"stable": 95, "canary": 5}}, "split stable 95, canary 5"),
        ({"split": {"stable": 1}, "sticky": "source"}, "split stable 1 (sticky by source)"),
        ({"redirect": "https://{host}{path}"}, "redirect 308 to https://{host}{path}"),
        ({"respond": {"status": 404}}, "respond 404"),
        (
            {"upstream": "app", "mirror": {"upstream": "canary", "share": 0.1}},
            "upstream app, 10 % mirrored to canary",
        ),
    ],
)
def test_what_becomes_of_a_request_is_told_in_one_line(settings, said):
    assert built(**settings).destination == said
