"""An ordinary response that came in one piece is read without the parser, and just as the parser reads it."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.upstream.whole_response import MAX_KNOWN, whole_response

STATUS = b"HTTP/1.1 200 OK\r\n"

LINES = st.one_of(
    st.sampled_from(
        (
            b"Content-Length: 5", b"content-length:5", b"Content-Length: 05", b"Content-Length: 5 ",
            b"Content-Length: +5", b"Content-Length: 5, 5", b"Connection: keep-alive", b"Connection: Keep-Alive",
            b"Connection: close", b"Connection: X-A", b"Connection: upgrade", b"Keep-Alive: timeout=5",
            b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip", b"Upgrade: h2c", b"Server: nginx", b"X-A: 1",
            b"x-a:  2", b"X-A:", b"X-A : 1", b" folded", b"Set-Cookie: a=b; Path=/", b"X-\xe9: 1", b"X: \xe9\x80",
            b"X: a\tb", b"X: \x7f", b"X: \x01", b"X: a\nb", b"X: a\rb", b"Trailer: X", b"Proxy-Connection: close",
        )
    ),
    st.tuples(st.binary(max_size=6), st.binary(max_size=8)).map(b":".join),
)  # fmt: skip

STATUS_LINES = st.one_of(
    st.sampled_from(
        (
            b"HTTP/1.1 200 OK", b"HTTP/1.1 200 ", b"HTTP/1.1 200", b"HTTP/1.1 404 Not Found",
            b"HTTP/1.1 204 Nothing", b"HTTP/1.1 304 Not Modified", b"HTTP/1.0 200 OK", b"HTTP/1.1 100 Continue",
            b"HTTP/1.1 600 Odd",
            b"HTTP/1.1 2000 OK", b"http/1.1 200 OK", b"HTTP/2.0 200 OK", b"HTTP/1.1  200 OK",
        )
    ),
    st.binary(max_size=8).map(b"HTTP/1.1 200 ".__add__),
)  # fmt: skip


async def read(line, pieces: list[bytes], method: str) -> tuple:
    """What comes of these pieces: an error, or the response and whether the connection can serve again."""
    connection = line.connection
    connection.begin(method)
    line.feed(*pieces)
    is_reusable = connection.is_usable
    if not connection.is_complete:
        line.lose()
    try:
        await connection.head()
        head = (connection.status, connection.headers, connection.announced_length, connection.has_server)
        return (*head, await connection.read(), connection.is_complete, is_reusable)
    except GatewayError as failure:
        return (type(failure),)
    finally:
        line.lose()


@given(STATUS_LINES, st.lists(LINES, max_size=6), st.sampled_from((b"", b"hello", b"hello!")), st.booleans())
@example(b"HTTP/1.1 200 OK", [b"Content-Length: 5", b"Server: nginx", b"Connection: keep-alive"], b"hello", False)
async def test_it_is_read_as_the_parser_reads_it(make_line, status, lines, body, is_head):
    raw = b"\r\n".join((status, *lines, b"Content-Length: 5", b"", body))
    method = "HEAD" if is_head else "GET"
    assert await read(make_line(), [raw], method) == await read(make_line(), [raw[:1], raw[1:]], method)


@pytest.mark.parametrize("interim", [b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"])
async def test_a_response_for_the_parser_may_follow_one_that_was_not(make_line, interim):
    line = make_line()
    whole = STATUS + b"Server: a\r\nX-A: 1\r\nContent-Length: 5\r\n\r\nhello"
    chunked = interim + STATUS + b"X-B: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    for _ in range(2):
        line.connection.begin("GET")
        line.feed(whole)
        assert (line.connection.headers, line.connection.has_server) == ([(b"server", b"a"), (b"x-a", b"1")], True)
        assert line.connection.take_body() == b"hello"
        line.connection.end()
        line.connection.begin("GET")
        line.feed(chunked)
        assert (line.connection.headers, line.connection.has_server) == ([(b"x-b", b"2")], False)
        assert line.connection.announced_length is None
        assert line.connection.take_body() == b"ok"
        line.connection.end()
    assert line.connection.is_usable


async def test_bytes_behind_it_end_the_connection(make_line):
    line = make_line()
    line.connection.begin("GET")
    line.feed(STATUS + b"Content-Length: 0\r\n\r\n")
    line.connection.end()
    line.feed(STATUS + b"Content-Length: 0\r\n\r\n")
    assert not line.connection.is_usable
    assert line.wire.end == "aborted"


def test_a_head_over_the_limit_is_left_to_the_parser():
    raw = STATUS + b"Content-Length: 0\r\n\r\n"
    assert whole_response(raw, len(raw)) is not None
    assert whole_response(raw, len(raw) - 5) is None


def test_lines_that_never_come_again_do_no_harm():
    for number in range(MAX_KNOWN + 10):
        found = whole_response(STATUS + b"X-N: %d\r\nContent-Length: 0\r\n\r\n" % number, 1000)
        assert found is not None
        assert found[1] == [(b"x-n", b"%d" % number)]
