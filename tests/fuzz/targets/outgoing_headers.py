"""What an endpoint gets: no hop-by-hop field, one Host, our word on the client, and a head that is one head."""

from __future__ import annotations

from fuzz_input import fields, lines, path

from gateway.headers import Headers
from gateway.model import Request
from gateway.upstream.message import (
    FRAMING,
    HOP_BY_HOP,
    end_forwarding,
    end_named,
    incoming_headers,
    named_by_connection,
    outgoing_headers,
    request_head,
)


def check(data: bytes) -> None:
    asked, rest = lines(data, 2)
    target = path(asked)
    raw = fields(rest)
    connection = named_by_connection([value for name, value in raw if name == b"connection"])
    for is_trusted in (False, True):
        request = Request("GET", target, Headers.adopt(raw.copy()), client="192.0.2.1")
        end_named(request.headers)
        if not is_trusted:
            end_forwarding(request.headers)
        sent = outgoing_headers(request, b"app", is_trusted)
        names = [name for name, _ in sent]
        assert not (HOP_BY_HOP | FRAMING | connection) & set(names)
        assert names.count(b"host") == names.count(b"x-forwarded-for") == names.count(b"x-forwarded-proto") == 1
        told = dict(sent)[b"x-forwarded-for"]
        assert told.endswith(b"192.0.2.1") if is_trusted else told == b"192.0.2.1"
        head = request_head(b"GET", target, sent, b"")
        assert head.count(b"\r\n") == len(sent) + 2
        assert head.endswith(b"\r\n\r\n")
    assert not (HOP_BY_HOP | FRAMING | connection) & {name for name, _ in incoming_headers(raw)}
