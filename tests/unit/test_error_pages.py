"""Errors as the client sees them: small, in the form that it asked for, and without a word of the inside."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import ClientError, GatewayError, NoEndpoint
from gateway.error_pages import error_response


def page(make_exchange, error: GatewayError, accept: str | None = None, request_id: str = "abc"):
    exchange = make_exchange(headers={"host": "a"} if accept is None else {"host": "a", "accept": accept})
    exchange.id = request_id
    return error_response(exchange, error)


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "text/plain; charset=utf-8"),
        ("*/*", "text/plain; charset=utf-8"),
        ("image/png", "text/plain; charset=utf-8"),
        ("application/json", "application/json"),
        ("APPLICATION/JSON; q=0.9", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8"),
        ("application/json, text/html", "application/json"),
        ("text/plain, text/html", "text/plain; charset=utf-8"),
    ],
)
def test_an_error_follows_accept(make_exchange, accept, content_type):
    assert page(make_exchange, GatewayError("x"), accept).headers.text("content-type") == content_type


@pytest.mark.parametrize("accept", ["text/plain", "application/json", "text/html"])
def test_an_error_carries_status_phrase_and_request_id_and_nothing_of_the_inside(make_exchange, accept):
    response = page(make_exchange, NoEndpoint("upstream 'app': 10.0.0.1 refused"), accept, "id-42")
    assert response.status == 503
    assert b"Service Unavailable" in response.body
    assert b"id-42" in response.body
    assert b"10.0.0.1" not in response.body
    assert b"app" not in response.body.replace(b"application", b"")


def test_the_names_of_statuses_are_those_of_rfc_9110(make_exchange):
    assert page(make_exchange, ClientError("x", status=413)).body.startswith(b"413 Content Too Large\n")


def test_json_has_three_fields(make_exchange):
    response = page(make_exchange, ClientError("x", status=404), "application/json")
    assert orjson.loads(response.body) == {"status": 404, "error": "Not Found", "request_id": "abc"}


def test_a_request_id_cannot_become_markup(make_exchange):
    body = page(make_exchange, GatewayError("x"), "text/html", "<script>&").body
    assert b"<script>" not in body
    assert b"&lt;script&gt;&amp;" in body


def test_an_unavailable_upstream_says_when_to_come_again(make_exchange):
    assert page(make_exchange, NoEndpoint("x")).headers.get("retry-after") is not None
    assert page(make_exchange, GatewayError("x")).headers.get("retry-after") is None


def test_errors_are_not_stored(make_exchange):
    assert page(make_exchange, GatewayError("x")).headers.get("cache-control") == b"no-store"


@given(st.integers(-10, 2000), st.text(max_size=20).filter(lambda text: text.isascii() and text.isprintable()))
def test_any_status_and_any_accept_give_an_answer(make_exchange, status, accept):
    response = page(make_exchange, ClientError("x", status=status), accept)
    assert response.status == (status if 400 <= status <= 599 else 500)
    assert response.body
