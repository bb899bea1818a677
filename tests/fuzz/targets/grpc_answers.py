"""What endpoints say to a gRPC health check: a verdict of one line, or an error of HTTP/2."""

from __future__ import annotations

from gateway_health.grpc_check import MAX_ANSWER_BYTES, _Call, decode_answer
from gateway_health.target import Target
from h2.exceptions import H2Error

TARGET = Target("10.0.0.1", 8000, "", "10.0.0.1:8000", None, "")
MESSAGE = b"\x00\x00\x00\x00"


def check(data: bytes) -> None:
    try:
        assert decode_answer(MESSAGE + bytes((len(data) % 256,)) + data) >= 0
    except ValueError:
        pass
    call = _Call()
    call.begin(TARGET, b"", "1000m")
    try:
        assert len(call.receive(data)) <= 100 * len(data) + 1000
    except H2Error:
        return
    assert len(call.verdict().splitlines()) <= 1
    assert len(call._answer) <= MAX_ANSWER_BYTES + len(data)
