"""The gRPC health checking protocol: the bytes of its messages, and what is said of every answer."""

from __future__ import annotations

import pytest
from gateway_health import Settings
from gateway_health.asking import ask, make_check
from gateway_health.grpc_check import decode_answer, encode_request
from gateway_health.target import Target
from hypothesis import given
from hypothesis import strategies as st

from gateway import Endpoint, EndpointSettings, client_context
from gateway.config.model import UpstreamTLS
from gateway.testing import OK


async def trouble(url: str, tls: UpstreamTLS | None = None, **settings: object) -> str:
    """What a check says of a server."""
    chosen = Settings(**{"check": "grpc", "timeout": 5, **settings})
    target = Target.of(Endpoint(EndpointSettings(url=url)), 0, _context(tls), "")
    return await ask(make_check(chosen, ""), target, chosen.timeout)


def _context(tls):
    context = client_context(tls) if tls else None
    if context:
        context.set_alpn_protocols(["h2"])
    return context


def test_the_request_is_written_as_protobuf_writes_it():
    assert encode_request("") == b"\x00\x00\x00\x00\x00"
    assert encode_request("shop.Orders") == b"\x00\x00\x00\x00\x0d\x0a\x0bshop.Orders"
    assert encode_request("x" * 300) == b"\x00\x00\x00\x01\x2f\x0a\xac\x02" + b"x" * 300


@pytest.mark.parametrize(
    ("payload", "state"),
    [
        (b"", 0),
        (b"\x08\x01", 1),
        (b"\x08\x02", 2),
        (b"\x08\x80\x02", 256),
        (b"\x08\x02\x08\x01", 1),
        (b"\x12\x03abc\x08\x01", 1),
        (b"\x19" + bytes(8) + b"\x25" + bytes(4) + b"\x08\x01", 1),
        (b"\x80\x08\x05\x08\x01", 1),
    ],
)
def test_the_answer_is_read_as_protobuf_reads_it(payload, state):
    assert decode_answer(b"\x00" + len(payload).to_bytes(4, "big") + payload) == state


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (b"", "cut"),
        (b"\x00\x00\x00\x00\x02\x08", "cut"),
        (b"\x00\x00\x00\x00\x01\x08", "cut"),
        (b"\x00\x00\x00\x00\x02\x12\x09", "cut"),
        (b"\x01\x00\x00\x00\x02\x08\x01", "compressed"),
        (b"\x00\x00\x00\x00\x01\x0b", "unknown"),
        (b"\x00\x00\x00\x00\x0c\x08" + b"\xff" * 11, "too long"),
    ],
)
def test_what_is_no_answer_is_refused(frame, said):
    with pytest.raises(ValueError, match=said):
        decode_answer(frame)


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(payload):
    try:
        assert decode_answer(b"\x00" + len(payload).to_bytes(4, "big") + payload) >= 0
    except ValueError:
        pass


async def test_a_server_that_serves_passes(grpc):
    server = grpc()
    assert await trouble(server.url, service="shop.Orders", timeout="1500ms") == ""
    ((fields, data),) = server.asked
    assert data == encode_request("shop.Orders")
    assert fields[":path"] == "/grpc.health.v1.Health/Check"
    assert (fields[":method"], fields[":scheme"]) == ("POST", "http")
    assert fields[":authority"] == server.url.removeprefix("http://")
    assert (fields["content-type"], fields["te"]) == ("application/grpc", "trailers")
    assert fields["grpc-timeout"] == "1500m"


@pytest.mark.parametrize(
    ("state", "said"), [(0, "UNKNOWN"), (2, "NOT_SERVING"), (3, "SERVICE_UNKNOWN"), (7, "state 7")]
)
async def test_any_other_state_fails(grpc, state, said):
    server = grpc()
    server.say(state)
    assert await trouble(server.url) == said


@pytest.mark.parametrize(
    ("trailers", "said"),
    [
        ([("grpc-status", "5")], "gRPC status 5: the service is not known there"),
        ([("grpc-status", "12"), ("grpc-message", "no")], "gRPC status 12: it has no health service"),
        ([("grpc-status", "14"), ("grpc-message", "busy")], "gRPC status 14: busy"),
        ([("grpc-status", "2")], "gRPC status 2"),
        ([("x-other", "1")], "gRPC status None"),
    ],
)
async def test_a_call_that_fails_is_told_by_its_status(grpc, trailers, said):
    server = grpc()
    server.data, server.trailers = b"", trailers
    assert await trouble(server.url) == said


async def test_a_response_of_trailers_only_is_understood(grpc):
    server = grpc()
    server.fields += [("grpc-status", "12")]
    server.data, server.trailers = b"", []
    assert await trouble(server.url) == "gRPC status 12: it has no health service"


async def test_another_http_status_is_told(grpc):
    server = grpc()
    server.fields = [(":status", "404")]
    server.data, server.trailers = b"not here", []
    assert await trouble(server.url) == "status 404 to a gRPC call"


@pytest.mark.parametrize("data", [b"\x00\x00\x00\x00\x02\x08", b""])
async def test_an_answer_that_is_cut_fails(grpc, data):
    server = grpc()
    server.data = data
    assert (await trouble(server.url)).startswith("not an answer of the gRPC health checking protocol: ")


async def test_an_answer_without_end_is_read_no_further(grpc):
    server = grpc()
    server.data = bytes(8000)
    assert await trouble(server.url) == "more than 4096 bytes of an answer"


async def test_who_does_not_speak_http_2_fails(origin):
    def http_1(connection, request):
        connection.send(OK)
        connection.close()

    assert await trouble(origin(http_1).url) == "it speaks HTTP/1"


async def test_what_is_no_frame_is_told(origin):
    def noise(connection, request):
        connection.send(b"\x00\x00\x01" + bytes(20))
        connection.stall()

    assert (await trouble(origin(noise).url)).startswith("not HTTP/2: ")


async def test_over_tls_http_2_is_agreed_upon_and_the_certificate_verified(grpc, authority):
    server = grpc(authority.issue("127.0.0.1"))
    assert await trouble(server.url, UpstreamTLS(ca=authority.cert)) == ""
    assert server.protocols == ["h2"]
    assert server.asked[0][0][":scheme"] == "https"
    assert (await trouble(server.url, UpstreamTLS())).startswith("the certificate is not accepted: ")
