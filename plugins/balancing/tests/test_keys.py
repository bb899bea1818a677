"""The key of an exchange: where each form of it is found, and what is no key."""

from __future__ import annotations

import pytest
from gateway_balancing import RingHash
from gateway_balancing.keys import key_function
from gateway_balancing.source_hash import network_function

from gateway import ConfigurationError
from gateway.registry import configured


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("source", b"10.1.2.3"),
        ("path", b"/a%20b"),
        ("uri", b"/a%20b?user=x&page=2"),
        ("query:user", b"x"),
        ("query:page", b"2"),
        ("query:age", None),
        ("header:X-User", b"first"),
        ("header:x-none", None),
        ("header:x-empty", None),
        ("cookie:sid", b"17"),
        ("cookie:id", None),
        ("cookie:theme", b"dark"),
        ("cookie:last", b"a=b"),
        ("cookie:empty", None),
    ],
)
def test_a_key_is_found(ask, key, expected):
    headers = [
        ("x-user", "first"),
        ("x-user", "second"),
        ("x-empty", ""),
        ("cookie", "sid=17; theme=dark;empty="),
        ("cookie", "last=a=b"),
    ]
    assert key_function(key)(ask("/a%20b?user=x&page=2", headers, "10.1.2.3")) == expected


@pytest.mark.parametrize("query", ["user=a%20b", "user=a+b", "x=1&user=a%20b&user=c", "superuser=1&user=%61%20b"])
def test_a_value_of_the_query_is_decoded(ask, query):
    assert key_function("query:user")(ask(f"/?{query}")) == b"a b"


@pytest.mark.parametrize("key", ["source", "query:user", "header:x-user", "cookie:sid"])
def test_what_is_not_there_is_no_key(ask, key):
    assert key_function(key)(ask("/", {}, client="")) is None


@pytest.mark.parametrize(
    "key", ["", "user", "header", "header:", "cookie:", "query:", "source:x", "Path", "body:x"]
)
def test_another_key_is_refused_with_what_is_allowed(key):
    with pytest.raises(ConfigurationError) as refused:
        configured(RingHash, {"key": key}, "site.toml: upstreams.app.balancer")
    for allowed in ("upstreams.app.balancer", "source", "header:NAME", "cookie:NAME", "path", "query:NAME", "uri"):
        assert allowed in str(refused.value)


@pytest.mark.parametrize("key", ["header:x user", "header:x:user", "cookie:a=b"])
def test_a_name_that_cannot_be_is_refused(key):
    with pytest.raises(ConfigurationError, match="not a token"):
        configured(RingHash, {"key": key}, "site.toml")


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("10.1.2.3", "10.1.2.99", True),
        ("10.1.2.3", "10.1.3.3", False),
        ("2001:db8:1::1", "2001:db8:1:ff::2", True),
        ("2001:db8:1::1", "2001:db8:2::1", False),
        ("2001:db8:1::1", "2001:0db8:0001:0:0:0:0:1", True),
        ("::ffff:10.1.2.3", "10.1.2.77", True),
        ("fe80::1%eth0", "fe80::2", True),
        ("not an address", "not an address", True),
        ("not an address", "nor this", False),
    ],
)
def test_clients_of_a_network_have_the_same_key(ask, one, other, is_same):
    network = network_function(24, 48)
    assert (network(ask(client=one)) == network(ask(client=other))) is is_same


def test_a_network_that_is_one_address_is_the_address(ask):
    network = network_function(32, 128)
    assert network(ask(client="10.1.2.3")) == bytes([10, 1, 2, 3])
    assert network(ask(client="::1")) == b"\0" * 15 + b"\1"
    assert network(ask(client="")) is None
