"""One connection over time: exchange after exchange, limits, deadlines, back-pressure, and its end."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import BadResponse, GatewayError, ResponseCut, StaleConnection, UpstreamClosed, UpstreamTimeout

HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
LARGE = b"0123456789abcdef" * 5000


class TestLimits:
    HEAD = b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 2000 + b"\r\nContent-Length: 0\r\n\r\n"

    async def test_a_head_within_the_limit_is_read(self, make_line):
        line = make_line(max_response_header=4000)
        line.connection.begin("GET")
        line.feed(self.HEAD)
        await line.connection.head()
        assert line.connection.status == 200

    async def refused(self, line, *pieces: bytes) -> None:
        line.connection.begin("GET")
        line.feed(*pieces)
        assert line.wire.end == "aborted"
        with pytest.raises(BadResponse, match="too large"):
            await line.connection.head()

    async def test_a_head_over_the_limit_is_refused_in_pieces(self, make_line):
        pieces = [self.HEAD[:1500], self.HEAD[1500:]]
        await self.refused(make_line(max_response_header=1000), *pieces)

    async def test_a_head_over_the_limit_is_refused_in_one_piece(self, make_line):
        await self.refused(make_line(max_response_header=1000), self.HEAD)

    async def test_a_head_without_an_end_is_refused(self, make_line):
        line = make_line(max_response_header=1000)
        line.connection.begin("GET")
        line.feed(b"HTTP/1.1 200 OK\r\n", *[b"X-A: 1\r\n"] * 1000)
        with pytest.raises(BadResponse, match="too large"):
            await line.connection.head()
        assert line.wire.end == "aborted"

    async def test_trailers_without_an_end_are_refused(self, make_line):
        line = make_line(max_response_header=1000)
        line.connection.begin("GET")
        line.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-T: ", *[b"x" * 100] * 100)
        assert line.wire.end == "aborted"

    async def test_a_slow_reader_stops_the_endpoint_and_starts_it_again(self, make_line):
        line = make_line()
        line.connection.begin("GET")
        line.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n")
        piece = b"x" * 65536
        fed = 0
        while line.wire.is_reading:
            line.feed(piece)
            fed += len(piece)
            assert fed <= 1024 * 1024
        await line.connection.head()
        taken = 0
        while taken < fed:
            assert not line.wire.is_reading
            taken += len(await line.connection.read())
        assert taken == fed
        more = asyncio.create_task(line.connection.read())
        await asyncio.sleep(0)
        assert line.wire.is_reading
        line.feed(b"more")
        assert await more == b"more"


class TestAgain:
    """A connection serves one exchange after another."""

    @pytest.mark.parametrize(
        ("first", "status", "body"),
        [
            (HELLO, 200, b"hello"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 200, b"hi"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-T: 1\r\n\r\n", 200, b"hi"),
            (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
            (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, b""),
            (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi"),
        ],
    )
    async def test_a_second_response_is_read_like_the_first(self, make_line, first, status, body):
        line = make_line()
        connection = line.connection
        for raw, expected in ((first, (status, body)), (HELLO, (200, b"hello")), (first, (status, body))):
            connection.begin("GET")
            line.feed(raw)
            await connection.head()
            assert (connection.status, await connection.read()) == expected
            assert connection.is_usable
            connection.end()
        assert connection.has_served

    async def test_after_head_and_after_a_large_body_it_serves_again(self, make_line):
        line = make_line()
        connection = line.connection
        for method, body in (("HEAD", b""), ("GET", LARGE), ("GET", b"hi")):
            connection.begin(method)
            line.feed(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(body) or 7) + body)
            await connection.head()
            received = b""
            while data := await connection.read():
                received += data
            assert received == body
            assert connection.is_usable
            connection.end()

    async def test_bytes_while_nothing_was_asked_end_the_connection(self, make_line):
        line = make_line()
        connection = line.connection
        connection.begin("GET")
        line.feed(HELLO)
        connection.end()
        assert connection.pool.idle == [connection]
        line.feed(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        assert line.wire.end == "aborted"
        assert connection.pool.take() is None

    async def test_an_end_without_a_byte_is_a_stale_connection_only_if_it_served_before(self, make_line):
        line = make_line()
        line.connection.begin("GET")
        line.feed(HELLO)
        line.connection.end()
        line.connection.begin("GET")
        line.lose()
        with pytest.raises(StaleConnection):
            await line.connection.head()
        fresh = make_line()
        fresh.connection.begin("GET")
        fresh.lose()
        with pytest.raises(UpstreamClosed):
            await fresh.connection.head()

    async def test_a_connection_that_was_lost_before_the_request_says_so(self, make_line):
        line = make_line()
        line.connection.begin("GET")
        line.feed(HELLO)
        line.connection.end()
        line.lose()
        line.connection.begin("GET")
        with pytest.raises(StaleConnection):
            line.connection.write(b"GET / HTTP/1.1\r\n\r\n")

    async def test_an_exchange_that_ends_before_its_response_gives_the_connection_up(self, make_line):
        line = make_line()
        line.connection.begin("GET")
        line.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel")
        line.connection.end()
        assert line.wire.end == "aborted"
        assert line.connection.pool.idle == []


class TestTime:
    """Deadlines are looked at when the clock ticks."""

    async def test_no_head_in_time_is_a_timeout(self, make_line):
        line = make_line(timeouts={"response": 5})
        connection = line.connection
        connection.begin("GET")
        connection.tick(connection.deadline - 0.1)
        assert line.wire.end == ""
        connection.tick(connection.deadline + 0.1)
        assert line.wire.end == "aborted"
        with pytest.raises(UpstreamTimeout, match="no response head in time"):
            await connection.head()

    async def test_zero_is_no_deadline(self, make_line):
        line = make_line(timeouts={"response": 0})
        line.connection.begin("GET")
        line.connection.tick(1e12)
        assert line.wire.end == ""

    async def test_a_stalled_body_is_cut(self, make_line):
        line = make_line(timeouts={"idle": 5})
        connection = line.connection
        connection.begin("GET")
        line.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel")
        await connection.head()
        assert await connection.read() == b"hel"
        reading = asyncio.ensure_future(connection.read())
        await asyncio.sleep(0)
        connection.tick(connection.deadline + 0.1)
        with pytest.raises(ResponseCut, match="no further byte"):
            await reading

    async def test_a_head_that_is_long_in_coming_has_somebody_look_after_the_client_once(self, make_line):
        line, watched = make_line(), []
        line.connection.begin("GET", watched.append)
        now = line.connection.loop.time()
        line.connection.tick(now)
        assert watched == []
        line.connection.tick(now + 2)
        line.connection.tick(now + 3)
        assert len(watched) == 1

    async def test_whoever_fails_the_exchange_is_who_the_reader_hears(self, make_line):
        line = make_line()
        line.connection.begin("GET")
        line.connection.fail(GatewayError("the client left"))
        with pytest.raises(GatewayError, match="the client left"):
            await line.connection.head()
        assert line.wire.end == "aborted"

    async def test_writing_waits_for_a_slow_endpoint(self, make_line):
        line = make_line()
        line.connection.begin("POST")
        line.connection.write(b"x")
        line.connection.pause_writing()
        draining = asyncio.ensure_future(line.connection.drain())
        await asyncio.sleep(0)
        assert not draining.done()
        line.connection.resume_writing()
        await draining
        assert line.wire.written == b"x"

    async def test_writing_to_an_endpoint_that_left_fails(self, make_line):
        line = make_line()
        line.connection.begin("POST")
        line.connection.pause_writing()
        draining = asyncio.ensure_future(line.connection.drain())
        await asyncio.sleep(0)
        line.lose(ConnectionResetError())
        with pytest.raises(UpstreamClosed):
            await draining


async def test_a_response_over_a_real_socket_is_the_same(served, make_pool):
    pool = make_pool(served.url)
    connection = await pool.connect()
    for _ in range(2):
        connection.begin("GET")
        connection.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await connection.head()
        assert (connection.status, await connection.read()) == (200, b"ok")
    connection.end()
    pool.close()
    assert served.accepted == 1
