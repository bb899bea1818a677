"""Templates: what the names stand for, what is refused at load, what can never get out."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from gateway_headers.template import ON_REQUEST, ON_RESPONSE, compile_template
from hypothesis import given
from hypothesis import strategies as st

from gateway import Exchange, Request


def make_exchange(target: str = "/a%20b?c=d", host: str = "Example.com:8080") -> Exchange:
    exchange = Exchange(None, Request("GET", target, {"host": host}, client="192.0.2.7", scheme="https"), "main")
    exchange.request.peer = "10.0.0.1"
    exchange.route = SimpleNamespace(name="default")
    exchange.id = "3f9c"
    exchange.attempts.append(SimpleNamespace(endpoint=SimpleNamespace(name="10.0.0.2:80")))
    return exchange


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{client}", b"192.0.2.7"),
        ("{endpoint}", b"10.0.0.2:80"),
        ("{host}", b"example.com"),
        ("{listener}", b"main"),
        ("{method}", b"GET"),
        ("{path}", b"/a%20b"),
        ("{peer}", b"10.0.0.1"),
        ("{request_id}", b"3f9c"),
        ("{route}", b"default"),
        ("{scheme}", b"https"),
        ("for={client};proto={scheme}", b"for=192.0.2.7;proto=https"),
        ("{{{method}}}", b"{GET}"),
    ],
)
def test_what_a_template_comes_to(template, expected):
    assert compile_template(template, ON_RESPONSE)(make_exchange()) == expected


def test_every_name_is_tried_above():
    assert set(ON_RESPONSE) == {
        "client", "endpoint", "host", "listener", "method", "path", "peer", "request_id", "route", "scheme",
    }  # fmt: skip


@pytest.mark.parametrize(("text", "value"), [("plain", b"plain"), ("", b""), ("{{x}}", b"{x}"), ("é", b"\xe9")])
def test_a_value_without_names_is_made_at_once(text, value):
    assert compile_template(text, ON_REQUEST) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{clinet}", r"unknown name \{clinet\}; did you mean \{client\}\?"),
        ("{qqq}", r"unknown name \{qqq\} \(known: client, host"),
        ("{}", "unknown name"),
        ("{client.__class__}", "unknown name"),
        ("{client!r}", "unknown name"),
        ("{endpoint}", "only|not known yet"),
        ("a{b", "a lone '{'"),
        ("a}b", "a lone '}'"),
        ("a\r\nb", "control character"),
        ("a\0b", "control character"),
        ("€", "Latin-1"),
    ],
)
def test_what_cannot_be_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        compile_template(text, ON_REQUEST)


@given(st.text(), st.text())
def test_what_a_client_sent_never_ends_a_header(host, path):
    exchange = make_exchange()
    exchange.request._host = host
    exchange.id = path
    value = compile_template("a {host} b {request_id} c", ON_REQUEST)(exchange)
    assert not set(value) & set(b"\r\n\0")
