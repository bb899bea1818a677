"""Redirects, HSTS and header fields, without a socket."""

from __future__ import annotations

import pytest
from gateway_tls import TLS
from gateway_tls.certificates import ByName
from pydantic import ValidationError

from gateway import ClientError, Exchange, Request, Response


class Trusting:
    """An App that trusts one peer."""

    def is_trusted(self, request: Request) -> bool:
        return request.peer == "10.0.0.1"


def exchange(target: str = "/a?b=c", scheme: str = "http", client: str = "192.0.2.1", **headers: str) -> Exchange:
    fields = {"host": "example.com:8080", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Exchange(Trusting(), Request("GET", target, fields, scheme=scheme, client=client))  # type: ignore[arg-type]


def plugin(**settings: object) -> TLS:
    return TLS(TLS.Config.model_validate(settings))


@pytest.mark.parametrize(
    ("settings", "status", "location"),
    [
        ({}, 308, b"https://example.com/a?b=c"),
        ({"to_port": 8443}, 308, b"https://example.com:8443/a?b=c"),
        ({"status": 301}, 301, b"https://example.com/a?b=c"),
    ],
)
def test_plaintext_is_sent_to_tls(settings, status, location):
    answer = plugin(redirect=settings).on_request(exchange())
    assert (answer.status, answer.headers.get(b"location")) == (status, location)


def test_a_target_is_sent_on_as_it_came():
    answer = plugin(redirect={}).on_request(exchange("//evil.example/%2e%2e/%0d%0a?x"))
    assert answer.headers.get(b"location") == b"https://example.com//evil.example/%2e%2e/%0d%0a?x"


@pytest.mark.parametrize(("target", "host"), [("*", "a.test"), ("//evil.test/x", "")])
def test_what_has_no_place_with_tls_is_refused(target, host):
    asked = exchange(target)
    asked.request.headers.set("host", host)
    asked.request._host = None
    with pytest.raises(ClientError):
        plugin(redirect={}).on_request(asked)


def test_who_comes_by_tls_is_not_sent_away():
    redirecting = plugin(redirect={})
    assert redirecting.on_request(exchange(scheme="https")) is None
    assert redirecting.on_request(exchange(client="10.0.0.1", x_forwarded_proto="https")) is None
    assert redirecting.on_request(exchange(client="10.0.0.2", x_forwarded_proto="https")).status == 308


@pytest.mark.parametrize(
    ("settings", "value"),
    [
        ({"max_age": "365d"}, b"max-age=31536000"),
        ({"max_age": "5m", "include_subdomains": True}, b"max-age=300; includeSubDomains"),
        ({"max_age": 1, "include_subdomains": True, "preload": True}, b"max-age=1; includeSubDomains; preload"),
    ],
)
def test_hsts_is_said_over_tls_alone(settings, value):
    strict = plugin(hsts=settings)
    for scheme, said in (("https", value), ("http", None)):
        response = Response()
        strict.on_response(exchange(scheme=scheme), response)
        assert response.headers.get(b"strict-transport-security") == said


def test_what_an_application_says_of_hsts_stays():
    response = Response(headers={"strict-transport-security": "max-age=0"})
    plugin(hsts={"max_age": "1d"}).on_response(exchange(scheme="https"), response)
    assert response.headers.get_all(b"strict-transport-security") == [b"max-age=0"]


def test_a_plugin_with_nothing_to_do_costs_nothing():
    idle = plugin()
    assert idle.on_request is None
    assert idle.on_response is None


@pytest.mark.parametrize("name", ["host", "Content-Length", "a b", "a\r\nb", "ü"])
def test_an_identity_field_must_be_one(name):
    with pytest.raises(ValidationError):
        plugin(identity={"certificate": name})


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("a.test", "exact"), ("x.a.test", "wild"), ("y.a.test", "other"), ("x.y.a.test", None), (".a.test", "wild"),
        ("b.test", None), ("test", None), ("", None),
    ],
)  # fmt: skip
def test_the_exact_name_comes_before_the_wildcard(host, found):
    names = {"a.test": "exact", "*.a.test": "wild", "y.a.test": "other"}
    assert ByName(names).find(host) == found
