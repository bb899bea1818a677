"""What crosses this hop: fields that end here, fields that we write, and the bytes of a request head."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import Headers, Request
from gateway.upstream.message import (
    FORWARDING,
    HOP_BY_HOP,
    end_forwarding,
    end_named,
    has_forwarding,
    incoming_headers,
    outgoing_headers,
    request_head,
    take_hop,
)

OURS = {b"host", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"}
TOKENS = st.sampled_from(
    ["x-a", "x-b", "accept", "cookie", "connection", "keep-alive", "te", "upgrade", "transfer-encoding", "trailer",
     "proxy-authorization", "content-length", "x-forwarded-for", "x-real-ip", "forwarded", "expect", "host"]
)  # fmt: skip
FIELDS = st.lists(st.tuples(TOKENS, st.sampled_from(["1", "close", "x-a", "X-B, te", "upgrade", ""])), max_size=8)


def sent(fields: list[tuple[str, str]], *, trusted: bool = False, host: bytes | None = None, scheme: str = "http"):
    """The fields that an endpoint gets, those of forwarding apart."""
    request = Request("GET", "/", [("host", "example.com"), *fields], scheme=scheme, client="192.0.2.7")
    if not trusted:
        end_forwarding(request.headers)
    return Headers.adopt(outgoing_headers(request, host, trusted))


def passed(*fields: tuple[str, str]) -> list[tuple[bytes, bytes]]:
    """The fields of a request that are not ours."""
    return [field for field in sent(list(fields)) if field[0] not in OURS]


class TestRequests:
    def test_fields_pass_in_order_with_their_repeats_and_bytes(self):
        assert passed(("x-b", "2"), ("x-a", "caf\xe9"), ("x-b", "3")) == [
            (b"x-b", b"2"), (b"x-a", b"caf\xe9"), (b"x-b", b"3"),
        ]  # fmt: skip

    @pytest.mark.parametrize("name", sorted(name.decode() for name in HOP_BY_HOP))
    def test_fields_of_this_hop_end_here(self, name):
        assert passed((name, "x"), ("x-a", "1")) == [(b"x-a", b"1")]

    def test_fields_that_connection_names_end_here(self):
        assert passed(("connection", "X-A, close"), ("x-a", "1"), ("x-b", "2")) == [(b"x-b", b"2")]

    def test_a_repeated_connection_names_them_all(self):
        assert passed(("connection", "x-a"), ("connection", " X-B "), ("x-a", "1"), ("x-b", "2"), ("x-c", "3")) == [
            (b"x-c", b"3")
        ]

    @pytest.mark.parametrize("name", ["cookie", "authorization", "content-type", "date"])
    def test_connection_cannot_take_away_what_carries_meaning(self, name):
        assert passed(("connection", name), (name, "1")) == [(name.encode(), b"1")]

    def test_connection_cannot_take_away_the_host(self):
        assert sent([("connection", "host, content-length")]).get("host") == b"example.com"

    @pytest.mark.parametrize("name", ["content-length", "transfer-encoding", "expect", "http2-settings"])
    def test_framing_and_what_is_answered_here_are_not_copied(self, name):
        assert passed((name, "5")) == []

    def test_the_host_is_kept_or_replaced_and_stands_once(self):
        assert sent([]).get_all("host") == [b"example.com"]
        assert sent([], host=b"app:80").get_all("host") == [b"app:80"]

    def test_the_request_itself_stays_as_it_is(self):
        request = Request("GET", "/", [("host", "a"), ("connection", "x-a"), ("x-a", "1")])
        before = list(request.headers)
        outgoing_headers(request, b"b", False)
        assert list(request.headers) == before

    def test_what_connection_names_is_gone_before_plugins_see_it_and_cannot_take_away_what_they_add(self):
        request = Request(
            "GET", "/", [("host", "a"), ("x-a", "1"), ("connection", "close, X-A, host"), ("x-b", "2")]
        )
        end_named(request.headers)
        assert request.headers.raw == [(b"host", b"a"), (b"x-b", b"2")]
        request.headers.set("x-a", "ours")
        assert (b"x-a", b"ours") in outgoing_headers(request, None, False)

    @pytest.mark.parametrize("value", ["close", "keep-alive, Upgrade", "upgrade", "", "host, cookie"])
    def test_a_connection_that_names_nothing_further_stays(self, value):
        request = Request("GET", "/", [("host", "a"), ("upgrade", "websocket"), ("connection", value)])
        before = list(request.headers)
        end_named(request.headers)
        assert list(request.headers) == before

    @given(FIELDS, st.booleans())
    def test_whatever_comes_nothing_of_this_hop_goes_out_and_forwarding_is_there_once(self, fields, trusted):
        headers = sent([field for field in fields if field[0] != "host"], trusted=trusted)
        names = [name for name, _ in headers]
        assert not set(names) & HOP_BY_HOP
        assert not set(names) & {b"content-length", b"expect"}
        assert all(names.count(name) == 1 for name in OURS)


class TestForwarding:
    def test_an_untrusted_client_is_not_believed(self):
        said = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "evil"),
                ("x-real-ip", "6.6.6.6"), ("forwarded", "for=6.6.6.6"), ("x-forwarded-port", "1")]  # fmt: skip
        headers = sent(said)
        assert headers.get_all("x-forwarded-for") == [b"192.0.2.7"]
        assert headers.get_all("x-forwarded-proto") == [b"http"]
        assert headers.get_all("x-forwarded-host") == [b"example.com"]
        assert not {b"x-real-ip", b"forwarded", b"x-forwarded-port"} & {name for name, _ in headers}

    @pytest.mark.parametrize("name", ["x_forwarded_for", "x.forwarded.proto", "x_real-ip", "x-forwarded-for"])
    def test_no_way_of_writing_it_helps(self, name):
        request = Request("GET", "/", [("host", "a"), ("x_other", "1"), (name, "6.6.6.6")])
        assert has_forwarding(dict(request.headers.raw))
        end_forwarding(request.headers)
        assert [field for field, _ in request.headers.raw] == [b"host", b"x_other"]

    def test_other_fields_are_not_taken_for_it(self):
        assert not has_forwarding({b"host": b"a", b"x_other": b"1", b"x.y": b"2"})

    def test_what_a_plugin_says_of_the_client_arrives(self):
        request = Request("GET", "/", [("host", "a"), ("x-real-ip", "6.6.6.6")])
        end_forwarding(request.headers)
        request.headers.set("x-real-ip", "192.0.2.7")
        assert Headers.adopt(outgoing_headers(request, None, False)).get_all("x-real-ip") == [b"192.0.2.7"]

    @pytest.mark.parametrize("name", sorted(FORWARDING - OURS))
    def test_what_proxies_tell_goes_on_if_it_is_a_trusted_one(self, name):
        said = [(name.decode(), "/evil")]
        assert name not in sent(said)
        assert sent(said, trusted=True).get_all(name) == [b"/evil"]

    def test_a_trusted_peer_is_believed_and_joins_the_chain(self):
        said = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2"), ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "public"), ("x-real-ip", "1.1.1.1")]  # fmt: skip
        headers = sent(said, trusted=True)
        assert headers.get_all("x-forwarded-for") == [b"1.1.1.1, 2.2.2.2, 192.0.2.7"]
        assert headers.get_all("x-forwarded-proto") == [b"https"]
        assert headers.get_all("x-forwarded-host") == [b"public"]
        assert headers.get_all("x-real-ip") == [b"1.1.1.1"]

    def test_a_trusted_peer_that_says_nothing_is_the_client(self):
        headers = sent([], trusted=True)
        assert headers.get("x-forwarded-for") == b"192.0.2.7"
        assert headers.get("x-forwarded-host") == b"example.com"

    @pytest.mark.parametrize(
        ("scheme", "proto"), [("http", b"http"), ("https", b"https"), ("ws", b"http"), ("wss", b"https")]
    )
    def test_the_scheme_is_the_clients(self, scheme, proto):
        assert sent([], scheme=scheme).get("x-forwarded-proto") == proto

    def test_the_hosts_of_client_and_endpoint_may_differ(self):
        assert sent([], host=b"app:80").get("x-forwarded-host") == b"example.com"


class TestHeads:
    def test_a_head_on_the_wire(self):
        fields = [(b"host", b"a"), (b"x-a", b"caf\xe9")]
        assert request_head(b"GET", b"/a%2Fb", fields, b"") == (
            b"GET /a%2Fb HTTP/1.1\r\nhost: a\r\nx-a: caf\xe9\r\n\r\n"
        )

    def test_a_head_with_query_and_framing(self):
        assert request_head(b"POST", b"/?x=1", [(b"host", b"a")], b"content-length: 5\r\n") == (
            b"POST /?x=1 HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n"
        )


class TestResponses:
    @pytest.mark.parametrize("name", [*sorted(HOP_BY_HOP), b"content-length"])
    def test_fields_of_this_hop_and_framing_end_here(self, name):
        assert incoming_headers([(name, b"x"), (b"x-a", b"1")]) == [(b"x-a", b"1")]

    def test_fields_that_connection_names_end_here_and_cookies_do_not(self):
        raw = [(b"connection", b"x-a, set-cookie"), (b"x-a", b"1"), (b"set-cookie", b"a"), (b"set-cookie", b"b")]
        assert incoming_headers(raw) == [(b"set-cookie", b"a"), (b"set-cookie", b"b")]


class TestMaxForwards:
    @pytest.mark.parametrize(
        ("given", "sent"),
        [
            (b"1", b"0"), (b"10", b"9"), (b"007", b"6"), (b"1000000000", b"999999999"), (b"9" * 5000, b"9" * 9),
            (b"-1", b"-1"), (b"", b""), (b"1, 2", b"1, 2"), (b"x", b"x"), (b"1.5", b"1.5"),
        ],
    )  # fmt: skip
    def test_one_less_goes_on_and_what_is_no_number_stays(self, given, sent):
        headers = Headers([(b"max-forwards", given)])
        assert take_hop(headers)
        assert headers.raw == [(b"max-forwards", sent)]

    @pytest.mark.parametrize("given", [b"0", b"00", b"0" * 5000])
    def test_at_nothing_it_ends(self, given):
        assert not take_hop(Headers([(b"max-forwards", given)]))

    def test_without_one_or_with_several_nothing_is_counted(self):
        for values in ((), (b"0", b"1")):
            headers = Headers([(b"max-forwards", value) for value in values])
            assert take_hop(headers)
            assert headers.get_all(b"max-forwards") == list(values)
