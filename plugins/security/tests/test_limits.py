"""The plugin `limits`: what it refuses from the head, with which status, and what it holds bodies to."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from gateway_security import Limits
from hypothesis import given
from hypothesis import strategies as st

from gateway import ClientError, Exchange, Request, Response
from gateway.admission import Bounds
from gateway.config.model import Limits as CoreLimits

APP = SimpleNamespace(bounds=Bounds(CoreLimits()))


def exchange(target="/", headers=(), *, method="GET", body=None):
    fields = [("host", "example.com"), *headers]
    return Exchange(APP, Request(method, target, fields, body=body))


def plugin(**settings):
    made = Limits(Limits.Config.model_validate(settings))
    made.startup(APP)
    return made


def refused(made, asked):
    with pytest.raises(ClientError) as caught:
        made.on_request(asked)
    assert ("limits", f"refused: {caught.value}") in asked.notes
    return caught.value.status


def post(*headers, **settings):
    return exchange(method="POST", headers=headers, body=SimpleNamespace(), **settings)


def test_an_ordinary_request_passes():
    asked = exchange("/a/b?c=d", [("accept", "*/*")])
    assert plugin().on_request(asked) is None
    assert asked.notes == ()
    assert asked.bounds is None


@pytest.mark.parametrize(
    ("settings", "at_most", "too_much", "status"),
    [
        ({"max_uri": 10}, "/345678?0", "/345678?012", 414),
        ({"max_query": 5}, "/long/path?12345", "/?123456", 414),
    ],
)
def test_a_target_over_the_limit_is_refused(settings, at_most, too_much, status):
    made = plugin(**settings)
    made.on_request(exchange(at_most))
    assert refused(made, exchange(too_much)) == status


def test_too_many_fields_are_refused():
    made = plugin(max_fields=3)
    made.on_request(exchange(headers=[("a", "1"), ("b", "2")]))
    assert refused(made, exchange(headers=[("a", "1"), ("a", "2"), ("a", "3")])) == 431


@given(st.lists(st.tuples(st.from_regex(r"[a-z]{1,9}", fullmatch=True), st.text("xyz", max_size=30)), max_size=20))
def test_header_bytes_are_counted_as_they_stand_on_the_wire(fields):
    asked = exchange(headers=fields)
    size = len(b"".join(b"%b: %b\r\n" % field for field in asked.request.headers.raw))
    plugin(max_header=size).on_request(asked)
    assert refused(plugin(max_header=size - 1), exchange(headers=fields)) == 431


def test_a_method_that_is_not_listed_gets_405_with_those_that_are():
    made = plugin(methods=["GET", "POST"])
    asked = exchange(method="PUT")
    assert refused(made, asked) == 405
    response = Response(405, {"allow": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"})
    made.on_response(asked, response)
    assert response.headers.get_all(b"allow") == [b"GET, POST, HEAD"]


def test_head_goes_with_get_and_alone_it_is_listed_once():
    plugin(methods=["GET"]).on_request(exchange(method="HEAD"))
    assert plugin(methods=["GET", "HEAD"])._allow == b"GET, HEAD"
    assert refused(plugin(methods=["POST"]), exchange(method="HEAD")) == 405


def test_an_endpoints_own_405_keeps_its_allow():
    made = plugin(methods=["GET"])
    asked = exchange()
    made.on_request(asked)
    response = Response(405, {"allow": "PATCH"})
    made.on_response(asked, response)
    assert response.headers.get(b"allow") == b"PATCH"


def test_without_methods_it_does_not_look_at_responses():
    assert plugin().on_response is None


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "image/png"])
def test_a_type_that_is_listed_passes(kind):
    plugin(content_types=["application/json", "IMAGE/*"]).on_request(post(("content-type", kind)))


@pytest.mark.parametrize(
    "fields",
    [
        (),
        (("content-type", ""),),
        (("content-type", "text/html"),),
        (("content-type", "application/jsonp"),),
        (("content-type", "imagehack"),),
        (("content-type", "application/json"), ("content-type", "text/html")),
    ],
)
def test_another_type_or_none_or_two_are_refused(fields):
    assert refused(plugin(content_types=["application/json", "image/*"]), post(*fields)) == 415


def test_a_request_without_a_body_needs_no_type():
    plugin(content_types=["application/json"]).on_request(exchange())


def test_an_announced_body_over_the_limit_is_refused_and_one_at_the_limit_is_not():
    made = plugin(max_body="1KiB")
    made.on_request(post(("content-length", "1024")))
    assert refused(made, post(("content-length", "1025"))) == 413


def test_bodies_are_held_to_the_stricter_of_these_limits_and_the_cores():
    asked = post(("transfer-encoding", "chunked"))
    plugin(max_body="1KiB", body_timeout="1h", body_rate="1KiB", body_time="5s").on_request(asked)
    bounds = asked.bounds
    assert (bounds.max_body, bounds.body_timeout, bounds.body_rate, bounds.body_time) == (1024, 30.0, 1024, 5.0)
    assert APP.bounds.max_body == 1024**3, "the App's own stay as they are"


def test_zero_leaves_it_to_the_core():
    made = plugin(max_body=0, max_header=0, max_fields=0, max_uri=0, max_query=0)
    asked = post(("content-length", "999999999"), target="/" + "x" * 10_000 + "?" + "y" * 10_000)
    made.on_request(asked)
    assert asked.bounds.max_body == 1024**3


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"methods": ["get"]}, "methods are case-sensitive: 'GET', not 'get'"),
        ({"methods": ["G T"]}, 'expected a method such as "GET"'),
        ({"content_types": ["json"]}, 'expected a media type such as "application/json"'),
        ({"content_types": ["*/*"]}, 'expected a media type such as "application/json"'),
        ({"max_fields": 200}, "less than or equal to 100"),
        ({"max_bod": 1}, "did you mean 'max_body'"),
    ],
)
def test_a_mistake_in_the_configuration_is_named(settings, says):
    with pytest.raises(ValueError, match=says.replace("*", r"\*")):
        Limits.Config.model_validate(settings)
