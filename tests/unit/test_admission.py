"""What is refused before a route is looked for, and whose word on the client's address is believed."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import ClientError, Headers, Request
from gateway.admission import TrustedProxies, check, host_name
from gateway.config.model import Limits

HOST = {"host": "example.com"}


def refusal(request: Request, limits: Limits | None = None) -> int:
    with pytest.raises(ClientError) as caught:
        check(request, limits or Limits())
    return caught.value.status


def passes(request: Request, **limits: object) -> None:
    check(request, Limits.model_validate(limits))


@pytest.mark.parametrize("length", [b"", b"+5", b"-5", b"5, 5", b"0x5", b" 5", b"5_0"])
def test_a_length_is_made_of_digits(length):
    """Granian lets an empty one through in HTTP/2."""
    assert refusal(Request("POST", headers={**HOST, "content-length": length}, http_version="2")) == 400


def test_a_length_of_more_digits_than_python_reads_is_over_any_limit():
    request = Request("POST", headers={**HOST, "content-length": "9" * 5000}, http_version="2")
    assert refusal(request) == 413
    assert refusal(request, Limits(max_body=0)) == 413


class TestHosts:
    @pytest.mark.parametrize(
        "value",
        [
            b"example.com", b"example.com:8080", b"EXAMPLE.com:", b"localhost", b"127.0.0.1:1", b"[::1]",
            b"[::1]:443",
            b"a_b.example", b"xn--caf-dma.example", b"a.:65535", b"a~b!c$",
        ],
    )  # fmt: skip
    def test_a_host_with_or_without_a_port_is_one(self, value):
        assert host_name(value) == Request(headers={"host": value}).host

    @pytest.mark.parametrize(
        "value",
        [
            b"", b":80", b"a b", b"a/b", b"a@b", b"a#b", b"a\\b", b"a\tb", b"a\x00b", b"a\x7f", b"caf\xe9", b"a:b",
            b"a:80:80", b"a:-1", b"a:65536", b"a:999999", b"[::1", b"::1]", b"[]", b"[::1]x", b"[x]", b"a?b",
            b"a,b c",
            b"\"a\"", b"<a>", b"a\n", b"a:80\n", b" a", b"a ",
        ],
    )  # fmt: skip
    def test_what_no_host_looks_like_is_none(self, value):
        assert host_name(value) is None

    def test_http_1_0_needs_no_host_but_if_there_is_one_it_has_to_be_one(self):
        for fields in ({}, {"host": ""}):
            request = Request(headers=fields, http_version="1.0")
            passes(request)
            assert request.host == ""
        twice = [("host", "a"), ("host", "")]
        for version, fields in (("1.1", {}), ("2", {}), ("1.0", {"host": "a b"}), ("1.0", twice)):
            assert refusal(Request(headers=fields, http_version=version)) == 400

    @given(st.binary(max_size=12))
    def test_only_characters_that_a_host_may_have_pass(self, value):
        if host_name(value):
            assert not set(value) & set(b' "#/<>?@\\^`{|}') | {byte for byte in value if byte <= 32 or byte >= 127}

    @given(st.from_regex(rb"[a-z0-9-]{1,9}(\.[a-z0-9-]{1,9}){0,3}", fullmatch=True), st.integers(0, 99999))
    def test_a_port_is_at_most_65535(self, host, port):
        assert host_name(host) == host.decode()
        assert host_name(host + b":%d" % port) == (host.decode() if port <= 65535 else None)


class TestRefusals:
    def test_an_ordinary_request_passes(self):
        passes(Request("GET", "/a?b", HOST))

    @pytest.mark.parametrize(
        "headers",
        [[], [("host", "")], [("host", "a"), ("host", "a")], [("host", "a"), ("host", "b")], [("host", "a/b")]],
    )
    def test_a_host_that_is_missing_empty_repeated_or_malformed_is_400(self, headers):
        assert refusal(Request(headers=headers)) == 400

    @pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
    def test_connect_and_trace_are_405(self, method):
        assert refusal(Request(method, "/", HOST)) == 405

    @pytest.mark.parametrize("method", ["GET", "PURGE", "trace", "M-SEARCH"])
    def test_other_methods_pass_even_if_unknown(self, method):
        passes(Request(method, "/", HOST))

    @pytest.mark.parametrize("target", ["", "x", "http://a/", "*"])
    def test_a_target_that_is_no_path_is_400(self, target):
        assert refusal(Request("GET", target, HOST)) == 400

    def test_options_may_ask_for_the_server(self):
        passes(Request("OPTIONS", "*", HOST))

    @pytest.mark.parametrize("coding", ["gzip, chunked", "gzip", "identity", "chunked, chunked", "xchunked", ""])
    def test_a_transfer_coding_other_than_chunked_is_501(self, coding):
        assert refusal(Request("POST", "/", {**HOST, "transfer-encoding": coding})) == 501

    def test_a_repeated_transfer_coding_is_501(self):
        headers = [("host", "a"), ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")]
        assert refusal(Request("POST", "/", headers)) == 501

    @pytest.mark.parametrize("coding", ["chunked", "Chunked", " chunked\t"])
    def test_chunked_passes(self, coding):
        passes(Request("POST", "/", {**HOST, "transfer-encoding": coding}))

    def test_repeated_fields_of_other_names_pass(self):
        passes(Request("GET", "/", [("host", "a"), ("cookie", "a"), ("cookie", "b")]))


class TestLimits:
    @pytest.mark.parametrize("target", ["/" + 9 * "a", "/" + 4 * "a" + "?" + 4 * "b"])
    def test_a_uri_of_exactly_the_limit_passes(self, target):
        passes(Request("GET", target, HOST), max_uri=10)

    @pytest.mark.parametrize("target", ["/" + 10 * "a", "/" + 4 * "a" + "?" + 5 * "b"])
    def test_a_uri_over_the_limit_is_414(self, target):
        assert refusal(Request("GET", target, HOST), Limits(max_uri=10)) == 414

    def test_a_header_block_over_the_limit_is_431(self):
        headers = Headers({"host": "a", "x-a": "b" * 20})  # with ": " and line ends 9 + 27 bytes
        passes(Request(headers=headers), max_header=36)
        assert refusal(Request(headers=headers), Limits(max_header=35)) == 431

    def test_a_body_that_announces_to_be_over_the_limit_is_413(self):
        passes(Request("POST", "/", {**HOST, "content-length": "5"}), max_body=5)
        assert refusal(Request("POST", "/", {**HOST, "content-length": "6"}), Limits(max_body=5)) == 413

    def test_zero_is_no_limit(self):
        headers = {**HOST, "content-length": str(2**62), "x-a": "b" * 100_000}
        passes(Request("POST", "/" + "a" * 100_000, headers), max_uri=0, max_body=0, max_header=0)


def networks(*names: str) -> TrustedProxies:
    return TrustedProxies(tuple(ipaddress.ip_network(name) for name in names))


def client(trusted: TrustedProxies, peer: str, *values: str) -> str:
    return trusted.client_of(Request(headers=[("x-forwarded-for", value) for value in values], client=peer))


class TestTrustedProxies:
    def test_without_any_nobody_is_trusted(self):
        assert networks().is_empty
        assert "127.0.0.1" not in networks()
        assert client(networks(), "10.0.0.1", "1.1.1.1") == "10.0.0.1"

    def test_an_untrusted_peer_is_the_client_whatever_it_says(self):
        assert client(networks("10.0.0.0/8"), "9.9.9.9", "1.1.1.1") == "9.9.9.9"

    def test_a_trusted_peer_names_the_client(self):
        assert client(networks("10.0.0.0/8"), "10.0.0.1", "1.1.1.1") == "1.1.1.1"

    def test_the_last_address_that_is_not_trusted_is_the_client(self):
        assert client(networks("10.0.0.0/8"), "10.0.0.1", "6.6.6.6, 1.1.1.1, 10.0.0.2") == "1.1.1.1"
        assert client(networks("10.0.0.0/8"), "10.0.0.1", "6.6.6.6", "1.1.1.1", "10.0.0.2") == "1.1.1.1"

    def test_if_all_are_trusted_the_first_is_the_client(self):
        assert client(networks("10.0.0.0/8"), "10.0.0.1", "10.0.0.3, 10.0.0.2") == "10.0.0.3"

    @pytest.mark.parametrize(
        "value", ["unknown", "", "1.1.1.1:80", "evil, , ", "1.1.1.1, _hidden", "fe80::1%eth0", "::1%<b> x"]
    )
    def test_what_is_no_address_ends_the_chain(self, value):
        assert client(networks("10.0.0.0/8"), "10.0.0.1", value) == "10.0.0.1"

    def test_a_trusted_peer_without_a_word_is_the_client(self):
        assert client(networks("10.0.0.0/8"), "10.0.0.1") == "10.0.0.1"

    def test_ipv6_and_mapped_ipv4_are_understood(self):
        trusted = networks("10.0.0.0/8", "fd00::/8")
        assert "fd00::5" in trusted
        assert "::ffff:10.0.0.1" in trusted
        assert "::ffff:9.0.0.1" not in trusted

    def test_a_unix_socket_has_no_address_to_trust(self):
        assert "" not in networks("0.0.0.0/0", "::/0")

    @given(st.lists(st.ip_addresses(v=4).map(str), max_size=5), st.ip_addresses(v=4).map(str))
    def test_the_client_is_never_a_trusted_one_unless_all_are(self, chain, peer):
        trusted = networks("0.0.0.0/1")
        found = client(trusted, peer, ", ".join(chain))
        assert found in {peer, *chain}
        if found in trusted:
            assert all(address in trusted for address in (*chain, peer))
