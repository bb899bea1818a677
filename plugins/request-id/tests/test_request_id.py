"""request-id: whose id is kept, and where it shows."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from gateway_request_id import RequestId
from pydantic import ValidationError

from gateway import Exchange, Request, Response
from gateway.pipeline import Pipeline
from gateway.testing import reply


def make(is_trusted=False, **settings):
    """A plugin, and a function that makes an exchange from a request's headers."""

    def exchange(*fields: tuple[str, str]) -> Exchange:
        app = SimpleNamespace(is_trusted=lambda request: is_trusted)
        return Exchange(app, Request("GET", "/", [("host", "a"), *fields]))

    return RequestId(RequestId.Config(**settings)), exchange


def test_a_new_id_goes_upstream_and_is_the_exchanges():
    plugin, make_exchange = make()
    exchange = make_exchange()
    plugin.on_request(exchange)
    assert re.fullmatch("[0-9a-f]{16}", exchange.id)
    assert exchange.request.headers.get_all("x-request-id") == [exchange.id.encode()]


def test_an_id_that_a_plugin_has_set_is_kept():
    plugin, make_exchange = make()
    exchange = make_exchange()
    exchange.id = "mine"
    plugin.on_request(exchange)
    assert exchange.request.headers.get("x-request-id") == b"mine"


@pytest.mark.parametrize(
    ("accept", "is_trusted", "is_kept"),
    [
        ("never", True, False),
        ("never", False, False),
        ("trusted", True, True),
        ("trusted", False, False),
        ("always", True, True),
        ("always", False, True),
    ],
)
def test_whose_id_is_kept(accept, is_trusted, is_kept):
    plugin, make_exchange = make(is_trusted, accept=accept)
    exchange = make_exchange(("x-request-id", "from-the-client"))
    plugin.on_request(exchange)
    assert (exchange.id == "from-the-client") is is_kept
    assert exchange.request.headers.get_all("x-request-id") == [exchange.id.encode()]


@pytest.mark.parametrize("given", ["a b", "", 'a"b', "a\tb", "ä", "x" * 129, "<script>", "a,b", "a\x1b[31m"])
def test_an_id_that_is_not_well_formed_is_replaced_everywhere(given):
    plugin, make_exchange = make(accept="always")
    exchange = make_exchange(("x-request-id", given))
    plugin.on_request(exchange)
    assert re.fullmatch("[0-9a-f]{16}", exchange.id)
    assert exchange.request.headers.get_all("x-request-id") == [exchange.id.encode()]


@pytest.mark.parametrize(
    "given", ["3f9c", "550e8400-e29b-41d4-a716-446655440000", "Root=1-67891233:a/b+c=@~._", "x" * 128]
)
def test_a_well_formed_id_is_kept_as_it_is(given):
    plugin, make_exchange = make(accept="always")
    exchange = make_exchange(("x-request-id", given))
    plugin.on_request(exchange)
    assert exchange.id == given


def test_of_repeated_ids_the_first_is_the_one():
    plugin, make_exchange = make(accept="always")
    exchange = make_exchange(("x-request-id", "one"), ("x-request-id", "two"))
    plugin.on_request(exchange)
    assert exchange.request.headers.get_all("x-request-id") == [b"one"]


def test_the_client_gets_the_id_in_the_place_of_the_endpoints():
    plugin, make_exchange = make()
    exchange, response = make_exchange(), Response(200, {"x-request-id": "the endpoint's"})
    plugin.on_response(exchange, response)
    assert response.headers.get_all("x-request-id") == [exchange.id.encode()]


def test_the_client_gets_no_id_if_it_shall_not():
    plugin, _ = make(respond=False)
    assert not Pipeline([("request-id", plugin)]).on_response


def test_the_header_can_have_another_name():
    plugin, make_exchange = make(header="X-Correlation-Id")
    exchange = make_exchange()
    plugin.on_request(exchange)
    assert exchange.request.headers.get("x-correlation-id") == exchange.id.encode()


def test_a_name_that_is_no_header_is_refused():
    with pytest.raises(ValidationError, match="is not a token"):
        RequestId.Config(header="x request id")


def test_client_endpoint_and_error_page_see_the_same_id(gateway, origin):
    app = origin(reply(b"ok"))
    site = gateway(plugins=["request-id"], endpoints=[app])
    response = site.get("/", b"X-Request-Id: forged")
    assert response.header("x-request-id") == app.last.header("x-request-id") != b"forged"
    app.close()
    response = site.get("/", b"Accept: application/json")
    assert response.status == 502
    assert response.header("x-request-id") in response.body
