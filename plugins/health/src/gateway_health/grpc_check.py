"""A check by the gRPC health checking protocol, over HTTP/2.

Owns the one call of that protocol (`grpc.health.v1.Health/Check`): two messages of one field each, which need no
protobuf library. Framing and header compression are those of `h2`. Without TLS, HTTP/2 is spoken at once.
Source: https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import chain

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import H2Error

from gateway_health.target import Target

PATH = "/grpc.health.v1.Health/Check"
SERVING = 1
STATES = {0: "UNKNOWN", SERVING: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
CODES = {"5": "the service is not known there", "12": "it has no health service"}
"""Statuses of a gRPC call that people will meet; the others come with a message."""

SERVICE_TAG, STATUS_TAG = 0x0A, 0x08
"""Field 1 as text, and field 1 as a number."""

MAX_ANSWER_BYTES = 4096
READ_BYTES = 16 * 1024


class GrpcCheck:
    """Ask whether a service is serving."""

    def __init__(self, service: str, seconds: float) -> None:
        """An empty `service` means the whole server. `seconds` is what the server is told of the deadline."""
        self._request = encode_request(service)
        self._timeout = f"{max(1, int(seconds * 1000))}m"

    async def __call__(self, target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        """What is wrong, or nothing."""
        call = _Call()
        try:
            writer.write(call.begin(target, self._request, self._timeout))
            while not call.is_over:
                data = await reader.read(READ_BYTES)
                if not data:
                    return "closed the connection without an answer"
                writer.write(call.receive(data))
        except H2Error as error:
            return f"not HTTP/2: {error}"
        return call.verdict()


class _Call:
    """One call, from its request to its trailers."""

    def __init__(self) -> None:
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding="latin-1"))
        self._fields: dict[str, str] = {}
        self._answer = b""
        self._broken = ""
        self._has_heard = False
        self.is_over = False

    def begin(self, target: Target, request: bytes, timeout: str) -> bytes:
        """The bytes that make the call."""
        fields = [
            (":method", "POST"),
            (":scheme", "https" if target.tls else "http"),
            (":path", PATH),
            (":authority", target.authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", "gateway-health"),
            ("grpc-timeout", timeout),
        ]
        self._h2.initiate_connection()
        self._h2.send_headers(1, fields)
        self._h2.send_data(1, request, end_stream=True)
        return self._h2.data_to_send()

    def receive(self, data: bytes) -> bytes:
        """Take what came; what is to be sent. Raises H2Error."""
        if not self._has_heard and data.startswith(b"HTTP/1"):  # to h2 it is the length of a frame to wait for
            self._break("it speaks HTTP/1")
            return b""
        self._has_heard = True
        for event in self._h2.receive_data(data):
            self._take(event)
        return self._h2.data_to_send()

    def _take(self, event: Event) -> None:
        match event:
            case ResponseReceived(headers=fields) | TrailersReceived(headers=fields):
                self._fields |= {str(name): str(value) for name, value in fields or ()}
            case DataReceived(data=data):
                self._answer += data or b""
                if len(self._answer) > MAX_ANSWER_BYTES:
                    self._break(f"more than {MAX_ANSWER_BYTES} bytes of an answer")
            case StreamEnded():
                self.is_over = True
            case StreamReset(error_code=code):
                self._break(f"the call was reset (HTTP/2 error {code})")
            case ConnectionTerminated(error_code=code) if code:
                self._break(f"the connection was ended (HTTP/2 error {code})")

    def _break(self, why: str) -> None:
        self._broken = self._broken or why
        self.is_over = True

    def verdict(self) -> str:
        """What is wrong, or nothing."""
        if self._broken:
            return self._broken
        if self._fields.get(":status") != "200":
            return f"status {self._fields.get(':status')} to a gRPC call"
        code = self._fields.get("grpc-status")
        if code != "0":
            said = self._fields.get("grpc-message", "")
            return f"gRPC status {code}: {CODES.get(code or '') or said}".rstrip(": ")
        try:
            state = decode_answer(self._answer)
        except ValueError as error:
            return f"not an answer of the gRPC health checking protocol: {error}"
        return "" if state == SERVING else STATES.get(state, f"state {state}")


def encode_request(service: str) -> bytes:
    """A HealthCheckRequest in its gRPC frame: `string service = 1`, left out if it is empty."""
    name = service.encode()
    message = bytes((SERVICE_TAG,)) + _varint(len(name)) + name if name else b""
    return b"\x00" + len(message).to_bytes(4, "big") + message


def decode_answer(frame: bytes) -> int:
    """The `ServingStatus status = 1` of a HealthCheckResponse in its gRPC frame. Raises ValueError."""
    message = frame[5:]
    if len(frame) < 5 or int.from_bytes(frame[1:5], "big") != len(message):
        raise ValueError("it is cut")
    if frame[0]:
        raise ValueError("it is compressed")
    state = 0
    data = iter(message)
    for first in data:
        tag = _take_varint(chain((first,), data))
        value = _take_field(data, tag & 7)
        if tag == STATUS_TAG:
            state = value
    return state


def _take_field(data: Iterator[int], wire_type: int) -> int:
    """The value of a field that is a number; others are passed by, as protobuf wants it of unknown ones."""
    if wire_type == 0:
        return _take_varint(data)
    sizes = {1: 8, 5: 4}
    if wire_type == 2:
        sizes[2] = _take_varint(data)
    if wire_type not in sizes:
        raise ValueError("an unknown field")
    for _ in range(sizes[wire_type]):
        _take_byte(data)
    return 0


def _take_varint(data: Iterator[int]) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = _take_byte(data)
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value
    raise ValueError("a number that is too long")


def _take_byte(data: Iterator[int]) -> int:
    byte = next(data, None)
    if byte is None:
        raise ValueError("it is cut")
    return byte


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
