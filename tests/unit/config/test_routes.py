"""The settings of routes: what is refused at load, and how a mistake is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.loader import load
from gateway.config.routes import Match
from gateway.config.templates import Part, names_of, parse_pattern, parse_template
from gateway.errors import ConfigurationError

SITE = """
listeners = [{ bind = "127.0.0.1:0" }]
upstreams.app.endpoints = ["http://127.0.0.1:9"]
upstreams.new.endpoints = ["http://127.0.0.1:9"]
"""


@pytest.fixture
def complaint(site):
    """What is said about a route, or some, that cannot be used."""

    def of(routes: str) -> str:
        with pytest.raises(ConfigurationError) as caught:
            load(str(site(SITE + f"routes = [{routes}]"))).settings()
        return str(caught.value).rpartition("site.toml: ")[2]

    return of


class TestMatches:
    @pytest.mark.parametrize(
        ("match", "said"),
        [
            ("host = '~^('", ".host: no regular expression: missing ), unterminated subpattern"),
            (
                "host = 'a:80'",
                '.host: expected "example.com", "*.example.com" or "~regular expression"',
            ),
            (
                "path = '/a?b'",
                ".path: a path ends before its query, unlike '/a?b'; there is match.query",
            ),
            (
                "path = '/a/*'",
                '.path: a path has no wildcards: match.path = "/a/" takes all that is below, match.pattern ='
                ' "/a/{name}" any one segment, and a star itself is written "%2A"; not \'/a/*\'',
            ),
            ("path = '/*'", '.path: a path has no wildcards: match.path = "/" takes all that is below'),
            ("path = '/a/b*/c'", '.path: a path has no wildcards: match.path = "/a/" takes all that is below'),
            ("exact = '/*.css'", ".exact: a path has no wildcards"),
            ("pattern = '/{a}/*'", '.pattern: a path has no wildcards: "/{a}/{rest:path}" takes all that is below'),
            ("exact = 'a'", ".exact: a path begins with \"/\", not 'a'"),
            ("path = '/a', exact = '/a'", ": path and exact exclude each other"),
            ("pattern = '/a{b}'", '.pattern: a named part is a whole segment, "{id}"'),
            ("pattern = '/{b:rest}'", ".pattern: a named part is a whole segment"),
            (
                "pattern = '/{a:path}/b'",
                ".pattern: {a:path} takes all that is left: it can only come",
            ),
            ("pattern = '/{a}/{a}'", ".pattern: {a} stands twice in '/{a}/{a}'"),
            ("pattern = '/a//b'", ".pattern: paths are matched without empty and dot segments"),
            ("pattern = '/a/..'", ".pattern: paths are matched without empty and dot segments"),
            ("pattern = '/{path}'", ": the name 'path' has a meaning already: choose another one"),
            ("host = '~(?P<a>x)', pattern = '/{a}'", ": the name 'a' has a meaning already"),
            (
                "method = 'get'",
                ".method[0]: a method is written in capitals, as in \"GET\", not 'get'",
            ),
            (
                "headers = { x-a = '~[' }",
                ".headers.x-a: no regular expression: unterminated character",
            ),
            (
                "headers = { x-a = ['1'] }",
                '.headers.x-a: expected text, "~regular expression", true',
            ),
            ("headers = { x-a = { present = 1 } }", ".headers.x-a: present: expected true or false, not 1"),
            ("json = { a = { presnt = true } }", '.json.a: expected a value, "~regular'),
            ("json = { a = ['1'] }", '.json.a: expected a value, "~regular expression" or { present = true }'),
            ("headers = { 'x a' = '1' }", ".headers.x a.[key]: header name b'x a' is not a token"),
            ("client = 'here'", '.client[0]: expected a network such as "10.0.0.0/8"'),
            ("json = { 'a..b' = 1 }", ".json.a..b.[key]: expected fields joined by dots"),
            ("body = '~*'", ".body: no regular expression: nothing to repeat at position 0"),
            ("scheme = 'ftp'", ".scheme: input should be '', 'http' or 'https', not 'ftp'"),
            ("hosts = 'a'", ": unknown key 'hosts'; did you mean 'host'?"),
        ],
    )
    def test_a_mistake_is_named_with_its_key(self, complaint, match, said):
        assert complaint(f"{{ upstream = 'app', match = {{ {match} }} }}").startswith(f"routes[0].match{said}")

    def test_a_match_is_told_in_one_line(self):
        match = {
            "host": "API.example.com",
            "pattern": "/users/{id}",
            "scheme": "https",
            "method": ["GET", "HEAD"],
            "headers": {"X-Beta": True},
            "json": {"plan": "gold", "vip": True, "old": {"present": False}},
            "client": "10.0.0.0/8",
            "body": "~x",
        }
        told = "api.example.com/users/{id} https GET,HEAD header:x-beta=present json:plan=gold"
        told += " json:vip=true json:old=absent"
        told += " client=10.0.0.0/8 body=~x"
        assert Match.model_validate(match).describe() == told
        assert Match(exact="/x").describe() == "*/x exactly"
        assert Match().describe() == "*/"

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("path = '/v1'", "path = '/v1/'"),
            ("pattern = '/a/{b}'", "pattern = '/a/{c}'"),
            ("host = 'A.com'", "host = 'a.com'"),
            ("method = ['GET', 'HEAD']", "method = ['HEAD', 'GET']"),
            ("headers = { a = '1', b = true }", "headers = { B = true, A = 1 }"),
            ("client = '10.0.0.1'", "client = ['10.0.0.1/32']"),
            ("headers = { a = true }", "headers = { a = { present = true } }"),
            ("json = { a = true }", "json = { a = 'true' }"),
        ],
    )
    def test_two_routes_of_one_match_are_refused_and_both_named(self, complaint, one, other):
        said = complaint(
            f"{{ name = 'a', upstream = 'app', match = {{ {one} }} }},"
            f"{{ name = 'b', upstream = 'new', match = {{ {other} }} }}"
        )
        assert said == "routes[0] ('a') and routes[1] ('b') have the same match: the second would never be taken"

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("path = '/v1'", "exact = '/v1'"),
            ("pattern = '/a/{b}'", "pattern = '/a/{b:path}'"),
            ("pattern = '/a'", "exact = '/a'"),
            ("headers = { a = true }", "headers = { a = 'True' }"),
            ("headers = { a = '1' }", "query = { a = '1' }"),
            ("json = { a = true }", "json = { a = { present = true } }"),
            ("", "scheme = 'http'"),
        ],
    )
    def test_routes_that_differ_stand_side_by_side(self, site, one, other):
        text = f"{{ upstream = 'app', match = {{ {one} }} }}, {{ upstream = 'app', match = {{ {other} }} }}"
        assert len(load(str(site(SITE + f"routes = [{text}]"))).settings().routes) == 2


class TestActions:
    @pytest.mark.parametrize(
        ("route", "said"),
        [
            ("", ": says not what becomes of a request: give upstream, split, redirect or respond"),
            ("upstream = 'app', redirect = '/x'", ": upstream and redirect exclude each other"),
            ("split = { app = 1 }, respond = {}", ": split and respond exclude each other"),
            (
                "respond = {}, rewrite = { prefix = '/x' }",
                ": rewrite goes with upstream or split, not with respond",
            ),
            ("redirect = '/x', mirror = 'app'", ": mirror goes with upstream or split, not with redirect"),
            ("upstream = 'app', sticky = 'source'", ": sticky goes with split"),
            ("split = { app = 0 }", ": split: at least one weight is more than 0"),
            ("split = { app = -1 }", ".split.app: input should be greater than or equal to 0, not -1"),
            (
                "split = { app = 1 }, sticky = 'user'",
                '.sticky: expected "cookie:NAME", "header:NAME", "query:NAME" or',
            ),
            ("upstream = 'app', rewrite = {}", ".rewrite: give either prefix or pattern"),
            (
                "upstream = 'app', rewrite = { prefix = 'x' }",
                '.rewrite.prefix: expected a path that begins with "/"',
            ),
            (
                "upstream = 'app', rewrite = { prefix = '/a b' }",
                ".rewrite.prefix: expected a path that begins with",
            ),
            (
                "upstream = 'app', rewrite = { pattern = '/a?b' }",
                ".rewrite.pattern: expected a path that begins with",
            ),
            (
                "upstream = 'app', rewrite = { prefix = '/{a}' }",
                ".rewrite.prefix: names belong into rewrite.pattern",
            ),
            (
                "upstream = 'app', rewrite = { pattern = '/{ids}' }, match = { pattern = '/{id}' }",
                ": rewrite.pattern: nothing is captured as {ids}; did you mean 'id'?",
            ),
            (
                "upstream = 'app', rewrite = { prefix = '/x' }, match = { exact = '/y' }",
                ": rewrite.prefix takes the place of match.path; use rewrite.pattern here",
            ),
            ("redirect = 'new.example.com'", '.redirect.to: a target begins with "/"'),
            ("redirect = '//new.example.com'", '.redirect.to: a target begins with "/"'),
            ("redirect = 'https://a b'", ".redirect.to: a target holds no blanks and only ASCII"),
            (
                "redirect = { to = '/', status = 200 }",
                ".redirect.status: input should be 301, 302, 303, 307 or 308",
            ),
            ("redirect = '/{id}'", ": redirect.to: nothing is captured as {id} (known: host, path, query)"),
            (
                "redirect = 'https://{id}.example.com/', match = { pattern = '/{id}' }",
                ": redirect.to: {id} comes from the path, so clients could be sent to any host",
            ),
            ("respond = { status = 99 }", ".respond.status: input should be greater than or equal to 200, not 99"),
            ("respond = { status = 204, body = 'x' }", ".respond: a response of status 204 has no body"),
            ('respond = { headers = { a = "x\\ny" } }', ".respond.headers: header value b"),
            ("respond = { headers = { Connection = 'close' } }", ".respond.headers: Connection is written by the"),
            (
                "upstream = 'app', mirror = { upstream = 'new', share = 2 }",
                ".mirror.share: input should be less than",
            ),
        ],
    )
    def test_a_mistake_is_named_with_its_key(self, complaint, route, said):
        assert complaint(f"{{ {route} }}").startswith(f"routes[0]{said}")

    @pytest.mark.parametrize(
        ("key", "route"),
        [
            ("upstream", "upstream = 'ap'"),
            ("split.ap", "split = { app = 1, ap = 1 }"),
            ("mirror.upstream", "upstream = 'app', mirror = 'ap'"),
        ],
    )
    def test_an_upstream_that_is_not_defined_is_named_wherever_it_stands(self, complaint, key, route):
        assert complaint(f"{{ {route} }}") == f"routes[0].{key}: no upstream 'ap'; did you mean 'app'?"

    @pytest.mark.parametrize(
        "route",
        [
            "redirect = 'https://{tenant}.example.com{path}', match = { host = '~^(?P<tenant>[a-z]+)' }",
            "redirect = 'https://{host}/{id}{query}', match = { pattern = '/{id}' }",
            "redirect = 'https://www.example.com?from={id}', match = { pattern = '/{id}' }",
        ],
    )
    def test_the_host_and_what_follows_it_may_come_from_the_request(self, site, route):
        assert load(str(site(SITE + f"routes = [{{ {route} }}]"))).settings().routes[0].redirect


class TestNotation:
    def test_a_pattern_is_its_segments(self):
        assert parse_pattern("/users/{id}/{rest:path}") == ("users", Part("id"), Part("rest", takes_rest=True))
        assert parse_pattern("/a/") == ("a", "")
        assert names_of(parse_pattern("/{a}/b/{c}")) == {"a", "c"}

    def test_a_template_is_text_and_names(self):
        assert parse_template("https://{host}:1{path}") == ("https://", Part("host"), ":1", Part("path"))

    @pytest.mark.parametrize("text", ["{", "}", "{}", "{a", "a}", "{A}", "{a b}", "{{a}}", "{a:path}", "{1}"])
    def test_braces_that_hold_no_name_are_refused(self, text):
        with pytest.raises(ValueError, match="brace"):
            parse_template(text)

    @given(st.text("/{}a:path.", max_size=12))
    def test_any_text_is_a_pattern_or_a_value_error(self, text):
        try:
            segments = parse_pattern(text)
        except ValueError:
            return
        written = [
            f"{{{segment.name}{':path' * segment.takes_rest}}}" if isinstance(segment, Part) else segment
            for segment in segments
        ]
        assert "/" + "/".join(written) == text
