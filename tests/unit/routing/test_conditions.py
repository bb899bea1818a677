"""Each thing that a route may ask of a request: what fits, what does not, and how it says what it wanted."""

from __future__ import annotations

import pytest

from gateway import Request
from gateway.config.routes import Match
from gateway.routing import SeenBody
from gateway.routing.body import body_conditions
from gateway.routing.conditions import further_conditions, place_conditions


def fits(match: dict[str, object], request: Request) -> bool:
    settings = Match.model_validate(match)
    conditions = [*place_conditions(settings), *further_conditions(settings)]
    return all(condition.matches(request) for condition in conditions)


def wanted(match: dict[str, object]) -> list[str]:
    settings = Match.model_validate(match)
    told = [*place_conditions(settings), *further_conditions(settings), *body_conditions(settings)]
    return [condition.describe() for condition in told]


def request(target: str = "/", host: str = "a.example.com", **settings: object) -> Request:
    fields = [("host", host), *settings.pop("headers", [])]
    made = Request(settings.pop("method", "GET"), target, fields)
    for name, value in settings.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("wanted", "host", "is_fit"),
    [
        ("a.example.com", "a.example.com", True),
        ("a.example.com", "A.Example.com.:8080", True),
        ("a.example.com", "b.example.com", False),
        ("*.example.com", "a.b.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", ".example.com", False),
        (r"~^api\d+\.", "api17.example.com", True),
        (r"~^api\d+\.", "API1.example.com", True),
        (r"~^api\d+\.", "api.example.com", False),
        ("~example", "www.example.com", True),
        ("[::1]", "[::1]:80", True),
    ],
)
def test_a_host_is_exact_a_wildcard_or_an_expression(wanted, host, is_fit):
    assert fits({"host": wanted}, request(host=host)) is is_fit


@pytest.mark.parametrize(
    ("match", "target", "is_fit"),
    [
        ({"exact": "/x"}, "/x", True),
        ({"exact": "/x"}, "/x?y=1", True),
        ({"exact": "/x"}, "/x/", False),
        ({"exact": "/x"}, "/x/y", False),
        ({"exact": "/x"}, "//%78", True),
        ({"exact": "/x/"}, "/x/", True),
        ({"exact": "/x/"}, "/x", False),
        ({"exact": "/"}, "/", True),
        ({"path": "/%2A/"}, "/*/x", True),
        ({"path": "/%2a"}, "/%2A", True),
        ({"exact": "/%2A"}, "/a", False),
        ({"pattern": "/%2A/{id}"}, "/*/5", True),
        ({"pattern": "/users/{id}"}, "/users/5", True),
        ({"pattern": "/users/{id}"}, "/users/", False),
        ({"pattern": "/users/{id}"}, "/users/5/", False),
        ({"pattern": "/users/{id}"}, "/users/5/x", False),
        ({"pattern": "/users/{id}/"}, "/users/5/", True),
        ({"pattern": "/users/{id}"}, "/users/a%2Fb", True),
        ({"pattern": "/users/{id}"}, "/users/..", False),
        ({"pattern": "/us%65rs/{id}"}, "/u%73ers/5", True),
        ({"pattern": "/users/{id}/{rest:path}"}, "/users/5/", True),
        ({"pattern": "/users/{id}/{rest:path}"}, "/users/5/a/b/", True),
        ({"pattern": "/users/{id}/{rest:path}"}, "/users/5", False),
        ({"pattern": "/{rest:path}"}, "/", True),
        ({"pattern": "/"}, "/", True),
        ({"pattern": "/"}, "/x", False),
    ],
)
def test_a_path_is_a_prefix_exact_or_a_pattern(match, target, is_fit, routes):
    assert fits(match, request(target)) is is_fit
    assert (routes(match).match(request(target)) is not None) is is_fit


@pytest.mark.parametrize(
    ("match", "settings", "is_fit"),
    [
        ({"scheme": "https"}, {"scheme": "https"}, True),
        ({"scheme": "https"}, {"scheme": "wss"}, True),
        ({"scheme": "https"}, {"scheme": "http"}, False),
        ({"scheme": "http"}, {"scheme": "ws"}, True),
        ({"method": "GET"}, {}, True),
        ({"method": ["POST", "PUT"]}, {"method": "PUT"}, True),
        ({"method": ["GET"]}, {"method": "HEAD"}, False),
        ({"client": "10.0.0.0/8"}, {"client": "10.1.2.3"}, True),
        ({"client": ["10.0.0.0/8", "::1"]}, {"client": "::1"}, True),
        ({"client": "10.0.0.0/8"}, {"client": "::ffff:10.1.2.3"}, True),
        ({"client": "10.0.0.0/8"}, {"client": "11.1.2.3"}, False),
        ({"client": "0.0.0.0/0"}, {"client": ""}, False),
    ],
)
def test_scheme_method_and_client_are_compared(match, settings, is_fit):
    assert fits(match, request(**settings)) is is_fit


VALUES = [
    ("1", ["1"], True),
    ("1", ["11"], False),
    ("1", [], False),
    ("1", ["2", "1"], True),
    (1, ["1"], True),
    ("~^ab+$", ["abb"], True),
    ("~^ab+$", ["xabb"], False),
    ("~b", ["abc"], True),
    ("~b", [], False),
    (True, ["anything"], True),
    (True, [], False),
    (False, [], True),
    (False, ["x"], False),
    ({"present": True}, ["anything"], True),
    ({"present": True}, [], False),
    ({"present": False}, [], True),
    ({"present": False}, ["x"], False),
    ("true", ["true"], True),
    ("true", ["anything"], False),
]


@pytest.mark.parametrize(("value", "sent", "is_fit"), VALUES)
def test_values_are_texts_expressions_or_only_there_or_not(value, sent, is_fit):
    headers = [("x-beta", each) for each in sent]
    assert fits({"headers": {"X-Beta": value}}, request(headers=headers)) is is_fit
    cookies = [("cookie", f"a=0; beta={each}; c=3") for each in sent]
    assert fits({"cookies": {"beta": value}}, request(headers=cookies)) is is_fit
    query = "&".join(["a=0", *(f"be%74a={each}" for each in sent)])
    assert fits({"query": {"beta": value}}, request(f"/?{query}")) is is_fit


def test_a_header_without_a_value_is_there():
    assert fits({"headers": {"x-beta": True}}, request(headers=[("x-beta", "")]))
    assert fits({"headers": {"x-beta": ""}}, request(headers=[("x-beta", "")]))


def test_a_header_that_is_no_latin_1_is_compared_as_utf_8():
    assert fits({"headers": {"x-name": "ř"}}, request(headers=[("x-name", "ř".encode())]))


def test_cookies_of_several_fields_are_one_list_and_names_are_whole():
    sent = request(headers=[("cookie", "a=1;b = 2"), ("cookie", "xa=3; flag")])
    assert fits({"cookies": {"b": "2"}}, sent)
    assert fits({"cookies": {"xa": "3", "a": "1"}}, sent)
    assert not fits({"cookies": {"a": "3"}}, sent)
    assert not fits({"cookies": {"flag": True}}, sent)


def test_a_query_is_decoded_and_a_name_alone_is_there():
    assert fits({"query": {"q": "a b&ř"}}, request("/?q=a+b%26%C5%99"))
    assert fits({"query": {"debug": True, "q": ""}}, request("/?debug&q="))
    assert not fits({"query": {"": True}}, request("/"))


DOCUMENT = b'{"user": {"plan": "gold", "age": 5, "vip": true, "ref": null}, "items": [{"id": 7}, {"id": 8}]}'


@pytest.mark.parametrize(
    ("match", "body", "is_fit"),
    [
        ({"user.plan": "gold"}, DOCUMENT, True),
        ({"user.plan": "~^go"}, DOCUMENT, True),
        ({"user.plan": "silver"}, DOCUMENT, False),
        ({"user.plan": {"present": True}}, DOCUMENT, True),
        ({"user.plan": {"present": False}}, DOCUMENT, False),
        ({"user.plan": True}, DOCUMENT, False),
        ({"user.age": 5}, DOCUMENT, True),
        ({"user.vip": "true"}, DOCUMENT, True),
        ({"user.vip": True}, DOCUMENT, True),
        ({"user.vip": False}, DOCUMENT, False),
        ({"user.vip": {"present": True}}, DOCUMENT, True),
        ({"t": True}, b'{"t": false}', False),
        ({"t": False}, b'{"t": false}', True),
        ({"t": False}, b'{"t": null}', False),
        ({"t": {"present": True}}, b'{"t": false}', True),
        ({"user.ref": {"present": True}}, DOCUMENT, True),
        ({"user.ref": "null"}, DOCUMENT, True),
        ({"items.1.id": 8}, DOCUMENT, True),
        ({"items.2.id": {"present": True}}, DOCUMENT, False),
        ({"items.x": {"present": True}}, DOCUMENT, False),
        ({"user.plan.x": {"present": True}}, DOCUMENT, False),
        ({"user.none": False}, DOCUMENT, False),
        ({"user.none": {"present": False}}, DOCUMENT, True),
        ({"user.none": {"present": False}}, b"no JSON", False),
        ({"user.none": {"present": False}}, b"", False),
        ({"user.none": {"present": False}}, b'"text"', False),
        ({"0": "a"}, b'["a"]', True),
        ({"a": {"present": True}}, b"[" * 10000, False),
    ],
)
def test_a_field_of_a_json_body_is_found_by_its_path(match, body, is_fit):
    conditions = body_conditions(Match.model_validate({"json": match}))
    assert all(condition.matches(SeenBody(body)) for condition in conditions) is is_fit


@pytest.mark.parametrize(
    ("wanted", "body", "is_fit"),
    [
        ("<order>", b"x<order>y", True),
        ("<order>", b"x<Order>y", False),
        ("ř", "kuř".encode(), True),
        (r"~<(?i:order)\s", b"<ORDER id=1>", True),
        ("~^$", b"", True),
        ("a", b"\xff", False),
    ],
)
def test_a_text_or_an_expression_is_looked_for_in_the_whole_body(wanted, body, is_fit):
    (condition,) = body_conditions(Match(body=wanted))
    assert condition.matches(SeenBody(body)) is is_fit


def test_every_condition_says_what_it_wanted():
    match = {
        "host": "api.example.com",
        "path": "/v1/",
        "scheme": "https",
        "method": ["GET", "HEAD"],
        "client": ["10.0.0.0/8", "::1"],
        "headers": {"x-beta": True, "x-old": False},
        "query": {"q": "~^a"},
        "cookies": {"c": "1"},
        "json": {"user.plan": "gold"},
        "body": "<order>",
    }
    assert wanted(match) == [
        "host: wanted api.example.com",
        "path: wanted /v1/",
        "scheme: wanted https",
        "method: wanted GET, HEAD",
        "client: wanted 10.0.0.0/8, ::1/128",
        "header x-beta: wanted present",
        "header x-old: wanted absent",
        "query q: wanted ~^a",
        "cookie c: wanted 1",
        "json user.plan: wanted gold",
        "body: wanted <order>",
    ]
    assert wanted({"exact": "/x"}) == ["path: wanted /x exactly"]
    assert wanted({"pattern": "/{x}"}) == ["path: wanted /{x}"]
