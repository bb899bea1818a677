"""Alerts of failed handshakes, and the words for a person, with OpenSSL on both sides."""

from __future__ import annotations

import ssl

import pytest

from gateway import HandshakeRefused, ServerContext
from gateway.handshakes import alert_of, reason_of
from gateway.testing import Authority


def fail(server: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLError:
    """What the server raises in a handshake over memory."""
    inbound, outbound = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = server.wrap_bio(inbound, outbound, server_side=True)
    there = client.wrap_bio(outbound, inbound, server_hostname="a.test")
    for _ in range(5):
        for side in (there, here):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                if side is here:
                    return error
    raise AssertionError("the handshake did not fail")


@pytest.fixture
def server(authority: Authority) -> ServerContext:
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    pair = authority.issue("a.test")
    context.load_cert_chain(pair.cert, pair.key)
    return context


@pytest.fixture
def client(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.cert))


def test_no_common_version(server, client):
    server.minimum_version = ssl.TLSVersion.TLSv1_3
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    error = fail(server, client)
    assert alert_of(error)[:1] == b"\x15"
    assert alert_of(error)[-2:] == b"\x02\x46"
    assert reason_of(error) == "unsupported protocol"


def test_a_certificate_that_nobody_knows(server, client, authority, tmp_path):
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(Authority(tmp_path, "Other").cert)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    pair = authority.issue("alice")
    client.load_cert_chain(pair.cert, pair.key)
    error = fail(server, client)
    assert alert_of(error)[-2:] == b"\x02\x30"
    assert reason_of(error) == "the client's certificate is not valid: self-signed certificate in certificate chain"


def test_a_client_that_does_not_trust_the_server(server):
    error = fail(server, ssl.create_default_context())
    assert reason_of(error) == "the client refuses: unknown ca"


def test_what_is_refused_before_there_is_a_handshake():
    error = HandshakeRefused("no such host", "unrecognized_name")
    assert alert_of(error) == b"\x15\x03\x01\x00\x02\x02\x70"
    assert reason_of(error) == "no such host"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("no PROXY header"), "no PROXY header"),
        (ConnectionResetError(), "the client left within the handshake"),
        (ConnectionResetError(104, "Connection reset by peer"), "Connection reset by peer"),
    ],
)
def test_other_failures_are_told_in_their_own_words_and_without_an_alert(error, reason):
    assert reason_of(error) == reason
    assert alert_of(error) == b""
