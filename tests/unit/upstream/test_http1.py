"""What is a response, where it ends, whether the connection may serve again: literal bytes in, a decision out."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadResponse, GatewayError, ResponseCut, UpstreamClosed

LARGE = b"0123456789abcdef" * 5000
"""More than is parsed byte by byte."""


async def outcome(line, pieces: list[bytes], method: str = "GET", error: Exception | None = None) -> tuple:
    """Feed a response in pieces, then the end: (status, fields, length, body, can serve again).

    An error stands where it came up: instead of everything, or at the end.
    """
    connection = line.connection
    connection.begin(method)
    line.feed(*pieces)
    is_reusable = connection.is_usable
    if not connection.is_complete:
        line.lose(error)
    try:
        await connection.head()
        head = (connection.status, tuple(connection.headers), connection.announced_length)
    except GatewayError as failure:
        line.lose()
        return (type(failure),)
    body = b""
    try:
        while data := await connection.read():
            body += data
    except GatewayError as failure:
        return (*head, body, type(failure))
    finally:
        line.lose()
    return (*head, body, is_reusable)


GOOD = {
    "a length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", (200, (), b"5", b"hello", True)),
    "no body": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", (200, (), b"0", b"", True)),
    "no reason": (b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhello", (200, (), b"5", b"hello", True)),
    "chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n",
        (200, (), None, b"hello", True),
    ),
    "trailers": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\nX-U: 2\r\n\r\n",
        (200, (), None, b"hello", True),
    ),
    "204": (b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n", (204, ((b"x-a", b"1"),), None, b"", True)),
    "304 with a length": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", (304, (), b"5", b"", True)),
    "interim responses": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        (200, (), b"5", b"hello", True),
    ),
    "close": (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        (200, (), b"5", b"hello", False),
    ),
    "the end of the connection": (b"HTTP/1.1 200 OK\r\n\r\nhello", (200, (), None, b"hello", False)),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", (200, (), b"5", b"hello", False)),
    "HTTP/1.0 that stays": (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
        (200, (), b"5", b"hello", True),
    ),
    "repeats and high bytes": (
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nX:caf\xe9\r\nset-cookie: b c\r\nContent-Length: 0\r\n\r\n",
        (200, ((b"set-cookie", b"a"), (b"x", b"caf\xe9"), (b"set-cookie", b"b c")), b"0", b"", True),
    ),
    "fields of this hop": (
        b"HTTP/1.1 200 OK\r\nX-A: 1\r\nKeep-Alive: 5\r\nProxy-Authenticate: x\r\n"
        b"Connection: X-A, Content-Length\r\nX-B: 2\r\nContent-Length: 5\r\n\r\nhello",
        (200, ((b"x-b", b"2"),), b"5", b"hello", True),
    ),
    "more than promised": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP", (200, (), b"5", b"hello", False),
    ),
    "a second response": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        (200, (), b"5", b"hello", False),
    ),
}  # fmt: skip

BAD = {
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "no status line": b"hello world\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a status of two digits": b"HTTP/1.1 99 Odd\r\nContent-Length: 0\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 Odd\r\nContent-Length: 0\r\n\r\n",
    "a status over 599": b"HTTP/1.1 600 Odd\r\nContent-Length: 0\r\n\r\n",
    "a status under 100": b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n",
    "a switch that nobody asked for": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc",
    "a length twice": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "a listed length": b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
    "a signed length": b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
    "a length in hexadecimal": b"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello",
    "an empty length": b"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nhello",
    "a garbled length of a 304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: five\r\n\r\n",
    "length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "an unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
    "a coding beside chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "a NUL in a value": b"HTTP/1.1 200 OK\r\nX-A: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "a space before the colon": b"HTTP/1.1 200 OK\r\nX-A : b\r\nContent-Length: 0\r\n\r\n",
    "a field without a colon": b"HTTP/1.1 200 OK\r\nX-A\r\nContent-Length: 0\r\n\r\n",
    "a bare CR": b"HTTP/1.1 200 OK\r\nX-A: a\rb\r\nContent-Length: 0\r\n\r\n",
}

CUT = {
    "fewer bytes than promised": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
    "chunks without an end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "half a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello",
    "a chunk size that is none": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n",
    "a chunk that is too long": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXY0\r\n\r\n",
    "trailers without an end": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n"
    ),
}


@pytest.mark.parametrize("name", GOOD)
async def test_a_response_is_read_to_its_end(make_line, name):
    raw, expected = GOOD[name]
    assert await outcome(make_line(), [raw]) == expected


@pytest.mark.parametrize("name", BAD)
async def test_what_is_no_response_is_refused_and_the_connection_given_up(make_line, name):
    line = make_line()
    (failure,) = await outcome(line, [BAD[name]])
    assert failure is (UpstreamClosed if name == "nothing" else BadResponse)
    assert not line.connection.is_usable


@pytest.mark.parametrize("name", CUT)
async def test_a_body_that_is_cut_or_malformed_never_ends_cleanly(make_line, name):
    line = make_line()
    status, _, _, body, failure = await outcome(line, [CUT[name]])
    assert (status, body, failure) == (200, b"hello", ResponseCut)
    assert not line.connection.is_usable


@pytest.mark.parametrize("name", [*GOOD, *BAD, *CUT])
async def test_it_makes_no_difference_where_the_pieces_are_cut(make_line, name):
    raw = GOOD[name][0] if name in GOOD else {**BAD, **CUT}[name]
    whole = await outcome(make_line(), [raw])
    for cut in range(1, len(raw)):
        assert await outcome(make_line(), [raw[:cut], raw[cut:]]) == whole, raw[:cut]
    assert await outcome(make_line(), [raw[place : place + 1] for place in range(len(raw))]) == whole


@pytest.mark.parametrize("interim", [b"", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_tabs_around_a_value_are_taken_away_wherever_the_head_is_cut(make_line, interim):
    raw = interim + b"HTTP/1.1 200 OK\r\nX-A:\t a\tb \t\r\nX-B: c\t\r\nContent-Length:\t0\t\r\n\r\n"
    expected = (200, ((b"x-a", b"a\tb"), (b"x-b", b"c")), b"0", b"", True)
    for cut in range(len(raw)):
        pieces = [piece for piece in (raw[:cut], raw[cut:]) if piece]
        assert await outcome(make_line(), pieces) == expected, raw[:cut]


@given(st.sampled_from([*GOOD, *CUT]), st.sets(st.integers(1, 150), max_size=6))
async def test_it_makes_no_difference_into_how_many_pieces_a_response_is_cut(make_line, name, cuts):
    raw = GOOD[name][0] if name in GOOD else CUT[name]
    places = [0, *sorted(cut for cut in cuts if cut < len(raw)), len(raw)]
    pieces = [raw[start:end] for start, end in pairwise(places)]
    assert await outcome(make_line(), pieces) == await outcome(make_line(), [raw])


# Hypothesis draws from the constants of the code, too, whole responses among them: those are no garbage.
@given(st.binary(max_size=60).filter(lambda data: not data.startswith(b"HTTP/1.")), st.integers(0, 60))
async def test_garbage_is_an_upstream_error_wherever_it_is_cut(make_line, garbage, cut):
    result = await outcome(make_line(), [piece for piece in (garbage[:cut], garbage[cut:]) if piece])
    assert result[0] in (BadResponse, UpstreamClosed)


@given(st.binary(max_size=60), st.integers(1, 60))
async def test_any_bytes_in_place_of_a_status_line_give_a_response_or_an_upstream_error(make_line, garbage, cut):
    raw = b"HTTP/1." + garbage
    result = await outcome(make_line(), [piece for piece in (raw[:cut], raw[cut:]) if piece])
    assert result[0] in (*range(200, 600), BadResponse, UpstreamClosed, ResponseCut)


@given(st.binary(max_size=40))
async def test_any_bytes_in_place_of_a_head_field_give_a_response_or_an_upstream_error(make_line, garbage):
    result = await outcome(make_line(), [b"HTTP/1.1 200 OK\r\n" + garbage + b"\r\n\r\n"])
    assert result[0] in (200, BadResponse, ResponseCut)


@pytest.mark.parametrize("head", [b"Content-Length: 5", b"Transfer-Encoding: chunked", b"X-A: 1"])
async def test_a_response_to_head_ends_with_its_head(make_line, head):
    status, _, _, body, is_reusable = await outcome(
        make_line(), [b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n"], "HEAD"
    )
    assert (status, body, is_reusable) == (200, b"", True)


async def test_a_body_in_answer_to_head_is_dropped_and_the_connection_with_it(make_line):
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    assert (await outcome(make_line(), [raw], "HEAD"))[3:] == (b"", False)
    assert (await outcome(make_line(), [raw[:-5], raw[-5:]], "HEAD"))[3:] == (b"", False)


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_a_body_where_none_may_be_is_dropped_and_the_connection_with_it(make_line, status):
    _, _, _, body, is_reusable = await outcome(
        make_line(), [b"HTTP/1.1 " + status + b"\r\nContent-Length: 5\r\n\r\nhello"]
    )
    assert (body, is_reusable) == (b"", False)


@pytest.mark.parametrize("cut", [60, 1000, len(LARGE), len(LARGE) + 10])
@pytest.mark.parametrize(
    ("surplus", "fields", "is_reusable"),
    [(b"", b"", True), (b"x", b"", False), (b"", b"Connection: close\r\n", False)],
)
async def test_a_large_body_is_the_same_as_a_small_one(make_line, cut, surplus, fields, is_reusable):
    head = b"HTTP/1.1 200 OK\r\n" + fields + b"Content-Length: %d\r\n\r\n" % len(LARGE)
    raw = head + LARGE + surplus
    status, _, _, body, reusable = await outcome(make_line(), [raw[:cut], raw[cut:]])
    assert (status, body == LARGE, reusable) == (200, True, is_reusable)


async def test_a_large_body_that_is_cut_never_ends_cleanly(make_line):
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(LARGE) + LARGE[:-1]
    status, _, _, body, failure = await outcome(make_line(), [raw[:100], raw[100:]])
    assert (status, body == LARGE[:-1], failure) == (200, True, ResponseCut)


async def test_a_body_until_the_end_of_the_connection_is_cut_by_a_reset(make_line):
    raw = b"HTTP/1.1 200 OK\r\n\r\nhello"
    assert (await outcome(make_line(), [raw], error=ConnectionResetError()))[-1] is ResponseCut
