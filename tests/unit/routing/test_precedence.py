"""Of several routes that match, which one is taken; and what is said of the others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import Request
from gateway.config.routes import Match
from gateway.routing import WANTS_BODY, Router, SeenBody
from gateway.routing.conditions import further_conditions, place_conditions


def taken(
    router: Router, target: str = "/", host: str = "a.example.com", method: str = "GET", **headers: str
) -> str:
    found = router.match(Request(method, target, {"host": host, **headers}))
    return "none" if found is None else found.name


class TestHosts:
    def test_exact_then_the_longer_wildcard_then_an_expression_then_any(self, routes):
        router = routes(
            {}, {"host": "~example"}, {"host": "*.com"}, {"host": "*.example.com"}, {"host": "a.example.com"}
        )
        hosts = ("a.example.com", "b.example.com", "b.com", "example.org", "x.org")
        assert [taken(router, host=host) for host in hosts] == ["4", "3", "2", "1", "0"]

    def test_a_host_goes_before_any_path(self, routes):
        router = routes({"exact": "/x"}, {"host": "a.example.com"})
        assert taken(router, "/x") == "1"

    def test_a_more_specific_host_without_the_path_leaves_it_to_the_next(self, routes):
        router = routes({"host": "a.example.com", "path": "/a"}, {"host": "~^a", "path": "/b"}, {"path": "/c"})
        assert [taken(router, path) for path in ("/a", "/b", "/c", "/d")] == ["0", "1", "2", "none"]

    def test_of_several_expressions_the_path_decides(self, routes):
        router = routes(
            {"host": "~^a", "path": "/"}, {"host": "~example", "path": "/v1"}, {"host": "~x$", "path": "/v1/x"}
        )
        assert [taken(router, path) for path in ("/", "/v1/x")] == ["0", "1"]

    def test_a_dot_at_the_end_of_a_host_makes_no_difference(self, routes):
        router = routes({}, {"host": "*.b.com"}, {"host": "a.com"}, {"host": "~^re[.]com$"})
        assert [taken(router, host=host) for host in ("a.com.", "x.b.com.", "re.com.")] == ["2", "1", "3"]


class TestPaths:
    @pytest.mark.parametrize(
        ("first", "second", "target"),
        [
            ({"exact": "/users/5"}, {"path": "/users/5"}, "/users/5"),
            ({"exact": "/users/5"}, {"pattern": "/users/{id}"}, "/users/5"),
            ({"pattern": "/users/{id}"}, {"path": "/users/"}, "/users/5"),
            ({"path": "/users/5"}, {"pattern": "/users/{id}"}, "/users/5"),
            ({"pattern": "/users/{id}"}, {"pattern": "/users/{rest:path}"}, "/users/5"),
            ({"pattern": "/users/{rest:path}"}, {"path": "/users"}, "/users/5"),
            ({"pattern": "/users/{id}/orders"}, {"pattern": "/users/{id}/{what}"}, "/users/5/orders"),
            ({"pattern": "/a/longer/{x}"}, {"pattern": "/a/{x}/b"}, "/a/longer/b"),
            ({"path": "/a/b"}, {"path": "/a"}, "/a/b/c"),
        ],
    )
    def test_exact_goes_first_and_then_more_literal_characters(self, routes, first, second, target):
        assert taken(routes(first, second), target) == "0"
        assert taken(routes(second, first), target) == "1"

    def test_of_equal_patterns_the_first_in_the_file_is_taken(self, routes):
        one, other = {"pattern": "/{x}/b"}, {"pattern": "/b/{x}"}
        assert taken(routes(one, other), "/b/b") == taken(routes(other, one), "/b/b") == "0"


class TestConditions:
    def test_more_conditions_go_first_and_others_are_left_to_the_next(self, routes):
        router = routes(
            {"path": "/v1"},
            {"path": "/v1", "method": "GET"},
            {"path": "/v1", "method": "GET", "headers": {"x-beta": "1"}},
        )
        assert taken(router, "/v1", **{"x-beta": "1"}) == "2"
        assert taken(router, "/v1") == "1"
        assert taken(router, "/v1", method="POST") == "0"

    def test_a_longer_path_goes_before_more_conditions(self, routes):
        router = routes({"path": "/v1", "method": "GET", "query": {"x": False}}, {"path": "/v1/users"})
        assert taken(router, "/v1/users") == "1"

    def test_an_exact_path_whose_conditions_fail_is_left_to_the_tree(self, routes):
        router = routes({"exact": "/x", "method": "POST"}, {"path": "/"})
        assert [taken(router, "/x", method=method) for method in ("POST", "GET")] == ["0", "1"]

    def test_routes_are_listed_in_their_order(self, routes):
        router = routes({}, {"path": "/a", "method": "GET"}, {"host": "x.org"}, {"path": "/a"}, {"exact": "/"})
        assert [route.name for route in router.routes] == ["2", "4", "1", "3", "0"]


class TestBodies:
    MATCHES = ({"path": "/api", "method": "POST", "json": {"plan": "gold"}}, {"path": "/api"}, {})

    @staticmethod
    def post(target: str = "/api", method: str = "POST", has_body: bool = True) -> Request:
        request = Request(method, target, {"host": "a.example.com"})
        request.has_body = has_body
        return request

    def test_the_body_is_wanted_only_when_all_else_fits(self, routes):
        router = routes(*self.MATCHES)
        assert router.match(self.post()) is WANTS_BODY
        assert router.match(self.post(method="PUT")).name == "1"
        assert router.match(self.post("/other")).name == "2"
        assert router.match(self.post(has_body=False)).name == "1"

    @pytest.mark.parametrize(("data", "name"), [(b'{"plan": "gold"}', "0"), (b'{"plan": "tin"}', "1"), (None, "1")])
    def test_with_the_body_the_route_is_found(self, routes, data, name):
        assert routes(*self.MATCHES).match(self.post(), SeenBody(data)).name == name

    def test_a_route_that_comes_before_needs_no_body(self, routes):
        router = routes({"path": "/api/x"}, {"path": "/api", "body": "a"})
        assert router.match(self.post("/api/x/y")).name == "0"


class TestExplaining:
    def test_the_one_taken_comes_first_and_the_others_by_what_they_lack(self, routes):
        router = routes(
            {},
            {"host": "api.example.com", "path": "/v1/", "method": ["PUT", "POST"]},
            {"path": "/v1", "headers": {"x-beta": "1"}},
            {"path": "/v1/x", "json": {"plan": "gold"}},
        )
        told = [
            (route.name, reason) for route, reason in router.explain(Request("GET", "/v1/x", {"host": "a.com"}))
        ]
        assert told == [
            ("0", "taken"),
            ("3", "json plan: not looked at without a body"),
            ("2", "header x-beta: wanted 1"),
            ("1", "host: wanted api.example.com; method: wanted PUT, POST"),
        ]

    def test_a_route_that_only_comes_later_says_so(self, routes):
        router = routes({}, {"path": "/a"})
        told = [(route.name, reason) for route, reason in router.explain(Request("GET", "/a", {"host": "a.com"}))]
        assert told == [("1", "taken"), ("0", "another route comes before it")]

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"{}", "json plan: wanted gold"),
            (None, "json plan: the body is over limits.match_body"),
            (b'{"plan":"gold"}', "taken"),
        ],
    )
    def test_with_a_body_it_is_looked_at(self, routes, data, reason):
        router = routes({"json": {"plan": "gold"}})
        (verdict,) = router.explain(Request("POST", "/", {"host": "a.com"}), SeenBody(data))
        assert verdict.reason == reason


HOSTS = ["", "a.com", "b.a.com", "*.a.com", "*.com", "~^b", "~a", "~com$"]
SEGMENTS = st.sampled_from(["a", "b", "ab", "a%20b", "a b"])
LITERAL_PATHS = st.lists(SEGMENTS, max_size=3).map(lambda segments: "/" + "/".join(segments))
PATTERNS = st.tuples(
    st.lists(SEGMENTS | st.just("{}"), min_size=1, max_size=3), st.sampled_from(["", "/", "/{rest:path}"])
).map(lambda parts: "/" + "/".join(part.replace("{}", f"{{n{n}}}") for n, part in enumerate(parts[0])) + parts[1])
PLACES = (
    LITERAL_PATHS.map(lambda path: {"path": path})
    | LITERAL_PATHS.map(lambda path: {"path": path + "/"})
    | LITERAL_PATHS.map(lambda path: {"exact": path})
    | PATTERNS.map(lambda pattern: {"pattern": pattern})
)
CONDITIONS = st.sampled_from(
    [
        {},
        {},
        {"method": "GET"},
        {"headers": {"x": "1"}},
        {"headers": {"x": False}},
        {"method": "GET", "query": {"q": True}},
    ]
)
MATCHES = st.lists(
    st.builds(
        lambda host, place, more: {"host": host, **place, **more}, st.sampled_from(HOSTS), PLACES, CONDITIONS
    ),
    max_size=12,
)
TARGETS = st.tuples(
    st.lists(SEGMENTS | st.sampled_from(["", ".", "..", "%2e%2e", "c"]), max_size=5), st.sampled_from(["", "?q=1"])
).map(lambda parts: "/" + "/".join(parts[0]).replace(" ", "%20") + parts[1])


def naive(matches: list[dict[str, object]], request: Request) -> str:
    """Try every route, with the order as the documentation has it."""
    fitting: list[tuple[tuple[object, ...], str]] = []
    for index, written in enumerate(matches):
        match = Match.model_validate(written)
        further = further_conditions(match)
        if all(condition.matches(request) for condition in [*place_conditions(match), *further]):
            fitting.append(((*host_rank(match.host), *path_rank(match), -len(further), index), str(index)))
    return min(fitting, default=((), "none"))[1]


def host_rank(host: str) -> tuple[int, int]:
    kinds = [host != "" and host[0] not in "*~", host.startswith("*"), host.startswith("~"), True]
    return kinds.index(True), -len(host) if host.startswith("*") else 0


def path_rank(match: Match) -> tuple[int, int, int]:
    if match.exact is not None:
        return 0, 0, 0
    text = (match.pattern or match.path.rstrip("/")).replace("%20", " ")
    literal = text
    for part in ("{n0}", "{n1}", "{n2}", "{rest:path}"):
        literal = literal.replace(part, "")
    kind = 2 if match.pattern is None else 1 if text.endswith(":path}") else 0
    return 1, -len(literal), kind


@given(MATCHES, TARGETS, st.sampled_from(["a.com", "b.a.com", "c.b.a.com", "x.com", "a.org"]), st.booleans())
def test_the_tree_finds_what_trying_every_route_finds(routes, matches, target, host, is_beta):
    router = routes(*matches)
    request = Request("GET", target, [("host", host), *([("x", "1")] if is_beta else [])])
    found = router.match(request)
    assert (found.name if found else "none") == naive(matches, request)
    told = [verdict.route.name for verdict in router.explain(request) if verdict.reason == "taken"]
    assert told == ([found.name] if found else [])
