"""headers: what is removed, set and added, on the way in and on the way out."""

from __future__ import annotations

import pytest
from gateway_headers import ChangeHeaders
from pydantic import ValidationError

from gateway import Exchange, Request, Response
from gateway.pipeline import Pipeline
from gateway.testing import GatewayDied, reply


def changed(fields: list[tuple[str, str]], **changes: object) -> list[tuple[bytes, bytes]]:
    """A response's headers after these changes."""
    plugin = ChangeHeaders(ChangeHeaders.Config.model_validate({"response": changes}))
    response = Response(200, fields)
    plugin.on_response(Exchange(None, Request("GET", "/", {"host": "a"})), response)
    return response.headers.raw


def test_set_takes_the_place_of_what_is_there():
    fields = [("a", "1"), ("b", "2"), ("a", "3")]
    assert changed(fields, set={"A": "new"}) == [(b"b", b"2"), (b"a", b"new")]


def test_add_keeps_what_is_there():
    assert changed([("a", "1")], add={"a": ["2", "3"]}) == [(b"a", b"1"), (b"a", b"2"), (b"a", b"3")]


def test_remove_takes_all_of_a_name():
    assert changed([("a", "1"), ("b", "2"), ("A", "3")], remove=["A", "x"]) == [(b"b", b"2")]


def test_first_removed_then_set_then_added():
    changes = {"remove": ["a", "b"], "set": {"a": "set"}, "add": {"a": "added", "b": "new"}}
    assert changed([("a", "1"), ("b", "2")], **changes) == [(b"a", b"set"), (b"a", b"added"), (b"b", b"new")]


def test_a_value_that_comes_out_empty_leaves_its_header_out():
    assert changed([("x-endpoint", "forged")], set={"x-endpoint": "{endpoint}", "x-host": "{host}"}) == [
        (b"x-host", b"a")
    ]


def test_a_way_without_changes_costs_nothing():
    changes = {"remove": ["a"]}
    for config, hooks in (
        ({}, []),
        ({"request": changes}, ["on_request"]),
        ({"response": changes}, ["on_response"]),
    ):
        plugin = ChangeHeaders(ChangeHeaders.Config.model_validate(config))
        assert [hook for hook, steps in Pipeline([("headers", plugin)]).steps.items() if steps] == hooks


def test_the_request_is_changed_before_it_goes_on():
    config = {"request": {"set": {"x-client": "{client}"}, "remove": ["cookie"]}}
    plugin = ChangeHeaders(ChangeHeaders.Config.model_validate(config))
    exchange = Exchange(None, Request("GET", "/", {"host": "a", "cookie": "b"}, client="192.0.2.7"))
    plugin.on_request(exchange)
    assert exchange.request.headers.raw == [(b"host", b"a"), (b"x-client", b"192.0.2.7")]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"response": {"set": {"a b": "x"}}}, "is not a token"),
        ({"response": {"set": {"Content-Length": "1"}}}, "the gateway's own"),
        ({"response": {"remove": ["transfer-encoding"]}}, "the gateway's own"),
        ({"request": {"set": {"Host": "a"}}}, r"upstreams\.NAME\.host"),
        ({"request": {"set": {"a": "{endpoint}"}}}, "not known yet"),
        ({"request": {"sett": {"a": "b"}}}, "did you mean 'set'"),
        ({"response": {"add": {"a": [1]}}}, "valid string"),
    ],
)
def test_what_cannot_be_is_refused_at_load(config, message):
    with pytest.raises(ValidationError, match=message):
        ChangeHeaders.Config.model_validate(config)


def test_endpoint_and_client_see_the_changes(gateway, origin):
    app = origin(reply(b"ok", b"Server: secret", b"X-Old: 1"))
    config = {
        "use": "headers",
        "request": {"set": {"x-from": "{client} to {host}"}, "remove": ["x-secret"]},
        "response": {"set": {"x-served-by": "{endpoint}"}, "remove": ["server", "x-old"]},
    }
    site = gateway(endpoints=[app], plugins=[config])
    response = site.get("/", b"X-Secret: 1", b"X-From: forged")
    assert app.last.header_all("x-from") == [b"127.0.0.1 to example.com"]
    assert app.last.header("x-secret") is None
    assert response.header("x-served-by") == app.url.removeprefix("http://").encode()
    assert response.header("x-old") is None
    assert response.header("server") != b"secret"


def test_a_wrong_name_stops_the_start_and_says_where(gateway, origin):
    with pytest.raises(GatewayDied, match=r"plugins\[0\].*: response\.set\.x-a: .*did you mean \{client\}"):
        gateway(endpoints=[origin()], plugins=[{"use": "headers", "response": {"set": {"x-a": "{clinet}"}}}])
