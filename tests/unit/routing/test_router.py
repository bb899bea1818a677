"""Routing: the most specific host, then the longest path; and a path has one form in which it is matched."""

from __future__ import annotations

from types import SimpleNamespace
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway import Request
from gateway.config import model as config
from gateway.pipeline import Pipeline
from gateway.routing import Route, Router, matched_path
from gateway.routing.paths import raw_segments

UPSTREAM = SimpleNamespace(name="app")


def router(*matches: tuple[str, str]) -> Router:
    """A router of (host, path) pairs; each route is named by its number."""
    return Router(
        Route(
            config.Route(name=str(index), upstream="app", match=config.Match(host=host, path=path)),
            Pipeline(),
            UPSTREAM,
        )
        for index, (host, path) in enumerate(matches)
    )


def matched(table: Router, target: str | bytes, host: str = "example.com") -> str | None:
    route = table.match(Request("GET", target, {"host": host}))
    return route.name if route else None


class TestPrecedence:
    def test_the_longest_path_wins_whatever_the_order(self):
        table = router(("", "/"), ("", "/v1/users"), ("", "/v1"))
        assert [matched(table, path) for path in ("/x", "/v1/users/5", "/v1/x")] == ["0", "1", "2"]

    def test_a_prefix_ends_at_a_segment(self):
        table = router(("", "/v1"))
        assert [matched(table, path) for path in ("/v1", "/v1/", "/v1/x", "/v10", "/v", "/V1")] == [
            "0", "0", "0", None, None, None,
        ]  # fmt: skip

    def test_a_slash_at_the_end_of_a_prefix_makes_no_difference(self):
        table = router(("", "/v1/"))
        assert [matched(table, path) for path in ("/v1", "/v1/", "/v1/x", "/v10")] == ["0", "0", "0", None]

    def test_an_exact_host_goes_before_a_wildcard_and_that_before_any(self):
        table = router(("", "/"), ("*.example.com", "/"), ("a.example.com", "/"))
        hosts = ("a.example.com", "b.example.com", "c.b.example.com", "example.com", "other.org")
        assert [matched(table, "/", host) for host in hosts] == ["2", "1", "1", "0", "0"]

    def test_the_longer_wildcard_goes_before_the_shorter(self):
        table = router(("*.com", "/"), ("*.example.com", "/"))
        assert [matched(table, "/", host) for host in ("a.example.com", "a.com")] == ["1", "0"]

    def test_a_wildcard_needs_a_whole_label(self):
        table = router(("*.example.com", "/"))
        assert [matched(table, "/", host) for host in ("badexample.com", "example.com", ".example.com.x")] == [
            None
        ] * 3

    def test_a_host_without_the_path_leaves_it_to_the_less_specific(self):
        table = router(("", "/"), ("*.example.com", "/w"), ("a.example.com", "/e"))
        assert [matched(table, path, "a.example.com") for path in ("/e", "/w", "/x")] == ["2", "1", "0"]

    def test_hosts_are_compared_without_case_and_port(self):
        table = router(("API.Example.com", "/"))
        assert matched(table, "/", "api.example.COM:8080") == "0"

    def test_what_no_route_takes_has_none(self):
        assert matched(router(("a.example.com", "/")), "/", "b.example.com") is None
        assert matched(router(), "/") is None

    def test_of_two_equal_routes_the_first_wins(self):
        assert matched(router(("", "/a"), ("", "/a/")), "/a/x") == "0"

    def test_a_single_catch_all_route_takes_everything(self):
        table = router(("", "/"))
        assert table.only is table.routes[0]
        assert matched(table, "*") == "0"
        assert router(("", "/a")).only is None

    def test_a_path_of_the_configuration_is_matched_in_its_decoded_form(self):
        assert matched(router(("", "/caf%C3%A9")), "/café".encode()) == "0"
        assert matched(router(("", "/a b")), "/a%20b/c") == "0"


@pytest.mark.parametrize(
    "target",
    [
        b"/admin", b"/admin/", b"/%61dmin", b"//admin", b"/x/../admin", b"/x/%2e%2e/admin", b"/./admin",
        b"/%2e/admin", b"///x/..//admin/x", b"/admin/.", b"/x/.%2E/admin", b"/../admin", b"/../../%61dmin",
        b"/x%00/../admin",
    ],
)  # fmt: skip
def test_no_way_of_writing_a_path_passes_by_the_route_that_guards_it(target):
    assert matched(router(("", "/"), ("", "/admin")), target) == "1"


@pytest.mark.parametrize("target", [b"/admin/../x", b"/x%2Fadmin", b"/x/admin", b"/adminx", b"/%2Fadmin"])
def test_what_only_looks_like_a_guarded_path_is_another_one(target):
    assert matched(router(("", "/"), ("", "/admin")), target) == "0"


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/", b"/"),
        (b"/a/b/", b"/a/b/"),
        (b"/a/./b", b"/a/b"),
        (b"/a/../b", b"/b"),
        (b"/a/..", b"/"),
        (b"/a/b/..", b"/a/"),
        (b"/a/b/.", b"/a/b/"),
        (b"/..", b"/"),
        (b"/../../a", b"/a"),
        (b"/a//b", b"/a/b"),
        (b"//a", b"/a"),
        (b"/a%2Fb", b"/a%2Fb"),
        (b"/a%2fb", b"/a%2Fb"),
        (b"/%7Eme", b"/~me"),
        (b"/a%zz%", b"/a%zz%"),
        (b"/.well-known/x", b"/.well-known/x"),
        (b"/a..b/...", b"/a..b/..."),
    ],
)
def test_a_path_is_matched_without_encoding_dots_and_doubled_slashes(raw, path):
    assert matched_path(raw) == path


PIECES = st.sampled_from(
    [
        b"/",
        b".",
        b"..",
        b"%2e",
        b"%2E",
        b"%2f",
        b"%2F",
        b"%5c",
        b"%",
        b"%25",
        b"%00",
        b"a",
        b"b%20",
        b"\xff",
        b"%ff",
    ]
)
PATHS = st.lists(PIECES, max_size=12).map(lambda pieces: b"/" + b"".join(pieces))


@given(PATHS | st.binary(max_size=12).map(lambda raw: b"/" + raw))
@example(b"/a%00/../b")
@example(b"//..//")
def test_no_dot_segment_and_no_empty_one_is_ever_matched(raw):
    path = matched_path(raw)
    assert path.startswith(b"/")
    segments = path.split(b"/")[1:]
    assert b".." not in segments
    assert b"." not in segments
    assert b"" not in segments[:-1]


@given(PATHS)
def test_a_path_in_its_matched_form_stays_as_it_is(raw):
    path = matched_path(raw)
    if b"%" not in path:  # decoding twice would be another path
        assert matched_path(path) == path


@given(st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=4))
def test_percent_encoding_of_any_letter_makes_no_difference(segments):
    plain = "/" + "/".join(segments)
    encoded = "/" + "/".join("".join(f"%{ord(letter):02x}" for letter in segment) for segment in segments)
    assert matched_path(encoded.encode()) == matched_path(plain.encode()) == plain.encode()


@given(st.binary(min_size=1, max_size=8).filter(lambda raw: raw not in (b".", b"..") and b"/" not in raw))
def test_a_segment_that_is_encoded_as_a_whole_is_matched_decoded(segment):
    quoted = quote_from_bytes(segment, safe="")
    assert matched_path(f"/{quoted}".encode()) == b"/" + segment


@given(PATHS)
@example(b"/a/%2e%2e/b%20c/")
@example(b"/%2F/..%2F")
def test_the_segments_of_a_path_as_it_came_are_those_that_are_matched(raw):
    segments = raw_segments(raw)
    assert matched_path(b"/" + b"/".join(segments)) == matched_path(raw)
    assert [matched_path(b"/" + segment)[1:] for segment in segments] == matched_path(raw)[1:].split(b"/")[
        : len(segments)
    ]
    assert all(segment in raw for segment in segments)


def test_a_route_is_named_by_what_it_matches():
    route = Route(config.Route(upstream="app", match=config.Match(host="a.org", path="/x")), Pipeline(), UPSTREAM)
    assert repr(route) == "<Route a.org/x → app>"
