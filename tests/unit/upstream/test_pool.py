"""The connections of one endpoint: last in, first out; bounded; with a queue that has a deadline."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

import pytest

from gateway.errors import ConnectFailed, ConnectTimeout, NoEndpoint, Overloaded, ShuttingDown
from gateway.upstream.pool import reason


async def exchange(connection) -> bytes:
    """One request and its response over a connection, which stays taken."""
    connection.begin("GET")
    connection.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await connection.head()
    return await connection.read()


async def served_once(pool, count: int = 1) -> list:
    """So many connections that have served an exchange and are idle now, in the order of their release."""
    connections = [await pool.connect() for _ in range(count)]
    for connection in connections:
        assert await exchange(connection) == b"ok"
        connection.end()
    return connections


async def queued(pool, count: int = 1) -> list[asyncio.Task]:
    """So many tasks that wait for a connection."""
    tasks = [asyncio.ensure_future(pool.connect()) for _ in range(count)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)
    return tasks


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until a condition holds."""
    for _ in range(5000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("condition not met")


class TestReuse:
    async def test_without_an_idle_connection_there_is_none_to_take(self, make_pool):
        assert make_pool().take() is None

    async def test_the_connection_that_was_released_last_is_taken_first(self, served, make_pool):
        pool = make_pool(served.url)
        one, two, three = await served_once(pool, 3)
        assert [pool.take(), pool.take(), pool.take(), pool.take()] == [three, two, one, None]
        pool.close()

    async def test_a_kept_connection_serves_the_next_exchange(self, served, make_pool):
        pool = make_pool(served.url)
        (first,) = await served_once(pool)
        assert pool.take() is first
        assert await exchange(first) == b"ok"
        assert (served.accepted, first.has_served) == (1, True)

    async def test_a_connection_that_the_endpoint_closed_while_idle_is_not_taken(self, served, make_pool):
        pool = make_pool(served.url)
        await served_once(pool)
        served.writers[0].close()
        await until(lambda: not pool.idle)
        assert pool.take() is None

    async def test_no_more_than_max_idle_are_kept(self, served, make_pool):
        pool = make_pool(served.url, pool={"max_idle": 1})
        one, two = await served_once(pool, 2)
        assert pool.idle == [one]
        assert not two.is_usable

    async def test_what_idles_too_long_is_closed_and_the_rest_is_kept(self, served, make_pool):
        pool = make_pool(served.url, pool={"idle_timeout": "60s"})
        one, two = await served_once(pool, 2)
        one.idle_since, two.idle_since = 100.0, 130.0
        pool.tick(160.0)
        assert pool.idle == [one, two]
        pool.tick(161.0)
        assert pool.idle == [two]
        assert not one.is_usable

    async def test_zero_keeps_idle_connections_for_ever(self, served, make_pool):
        pool = make_pool(served.url, pool={"idle_timeout": 0})
        await served_once(pool)
        pool.tick(1e12)
        assert len(pool.idle) == 1

    async def test_an_unusable_connection_is_closed_and_not_kept(self, served, make_pool):
        pool = make_pool(served.url)
        connection = await pool.connect()
        connection.begin("GET")
        connection.end()
        assert (pool.idle, len(pool.busy)) == ([], 0)

    async def test_a_closed_pool_keeps_nothing_and_lets_the_busy_end(self, served, make_pool):
        pool = make_pool(served.url)
        busy, idle = await pool.connect(), await pool.connect()
        await exchange(idle)
        idle.end()
        pool.close()
        assert not idle.is_usable
        assert await exchange(busy) == b"ok"
        busy.end()
        assert (pool.idle, len(pool.busy), busy.is_usable) == ([], 0, False)

    async def test_the_repr_counts(self, served, make_pool):
        pool = make_pool(served.url)
        await served_once(pool, 2)
        pool.take()
        assert repr(pool) == f"<ConnectionPool {served.url.removeprefix('http://')}: 1 busy, 1 idle, 0 waiting>"


class TestQueue:
    async def test_there_are_never_more_than_max_connections(self, served, make_pool):
        pool = make_pool(served.url, pool={"max_connections": 3})

        async def use() -> None:
            connection = pool.take() or await pool.connect()
            assert len(pool.busy) + len(pool.idle) <= 3
            assert await exchange(connection) == b"ok"
            connection.end()

        await asyncio.gather(*(use() for _ in range(50)))
        assert served.accepted <= 3
        assert len(pool.busy) == 0

    async def test_who_waits_gets_the_next_connection_that_is_released(self, served, make_pool):
        pool = make_pool(served.url, pool={"max_connections": 1})
        taken = await pool.connect()
        (waiting,) = await queued(pool)
        await exchange(taken)
        taken.end()
        assert await waiting is taken
        assert (served.accepted, len(pool.busy)) == (1, 1)

    async def test_who_waits_longest_is_served_first(self, served, make_pool):
        pool = make_pool(served.url, pool={"max_connections": 1})
        taken = await pool.connect()
        first, second = await queued(pool, 2)
        await exchange(taken)
        taken.end()
        assert await first is taken
        assert not second.done()
        await exchange(taken)
        taken.end()
        assert await second is taken

    async def test_a_connection_that_breaks_leaves_its_place_to_who_waits(self, served, make_pool):
        pool = make_pool(served.url, pool={"max_connections": 1})
        taken = await pool.connect()
        (waiting,) = await queued(pool)
        taken.begin("GET")
        taken.end()
        fresh = await waiting
        assert fresh is not taken
        assert await exchange(fresh) == b"ok"

    async def test_a_connect_that_fails_leaves_its_place_to_who_waits(self, served, make_pool, monkeypatch):
        pool = make_pool(served.url, pool={"max_connections": 1})
        loop, refuse = asyncio.get_running_loop(), asyncio.Event()
        connect = loop.create_connection

        async def refused(*_: object, **__: object) -> None:
            monkeypatch.setattr(loop, "create_connection", connect)
            await refuse.wait()
            raise ConnectionRefusedError(111, "Connection refused")

        monkeypatch.setattr(loop, "create_connection", refused)
        failing, waiting = await queued(pool, 2)
        refuse.set()
        with pytest.raises(ConnectFailed, match="Connection refused"):
            await failing
        assert await exchange(await waiting) == b"ok"

    async def test_a_full_queue_refuses_at_once(self, served, make_pool):
        pool = make_pool(served.url, pool={"max_connections": 1, "queue": 2})
        await pool.connect()
        tasks = await queued(pool, 2)
        with pytest.raises(Overloaded, match="all connections are taken and 2 exchanges wait already") as caught:
            await pool.connect()
        assert caught.value.status == 503
        for task in tasks:
            task.cancel()

    async def test_waiting_has_a_deadline(self, served, make_pool):
        pool = make_pool(served.url, pool={"max_connections": 1, "queue_timeout": "10ms"})
        taken = await pool.connect()
        with pytest.raises(Overloaded, match=r"no connection got free within 0\.01 s"):
            await pool.connect()
        await exchange(taken)
        taken.end()
        assert pool.idle == [taken]

    async def test_who_gives_up_waiting_is_passed_over(self, served, make_pool):
        pool = make_pool(served.url, pool={"max_connections": 1})
        taken = await pool.connect()
        first, second = await queued(pool, 2)
        first.cancel()
        await asyncio.sleep(0)
        await exchange(taken)
        taken.end()
        assert await second is taken

    async def test_who_is_cancelled_with_a_connection_in_hand_gives_it_on(self, served, make_pool):
        pool = make_pool(served.url, pool={"max_connections": 1})
        taken = await pool.connect()
        first, second = await queued(pool, 2)
        await exchange(taken)
        taken.end()  # it is the first one's now, which has not yet heard of it
        first.cancel()
        assert await second is taken
        with pytest.raises(asyncio.CancelledError):
            await first

    async def test_who_is_cancelled_with_a_place_in_hand_gives_it_on(self, served, make_pool):
        pool = make_pool(served.url, pool={"max_connections": 1})
        taken = await pool.connect()
        first, second = await queued(pool, 2)
        taken.begin("GET")
        taken.end()
        first.cancel()
        assert await exchange(await second) == b"ok"

    async def test_a_connection_that_comes_together_with_the_deadline_is_not_lost(self, served, make_pool):
        pool = make_pool(served.url, pool={"max_connections": 1, "queue_timeout": "20ms"})
        taken = await pool.connect()
        await exchange(taken)
        loop = asyncio.get_running_loop()
        (waiting,) = await queued(pool)
        due = loop.time() + 0.03

        def release() -> None:
            while loop.time() < due:  # hold the loop: the deadline and the release are then due in one turn of it
                pass
            loop.call_soon(taken.end)

        loop.call_soon(release)
        try:
            assert await waiting is taken
        except NoEndpoint:
            assert (pool.idle, len(pool.busy)) == ([taken], 0)

    async def test_a_connect_that_is_cancelled_leaves_its_place(self, served, make_pool, monkeypatch):
        pool = make_pool(served.url, pool={"max_connections": 1})
        loop = asyncio.get_running_loop()
        connect = loop.create_connection
        monkeypatch.setattr(loop, "create_connection", lambda *_, **__: loop.create_future())
        (connecting,) = await queued(pool)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        monkeypatch.setattr(loop, "create_connection", connect)
        assert await exchange(await pool.connect()) == b"ok"


class TestConnecting:
    async def test_a_refused_connection_is_named(self, unused_tcp_port, make_pool):
        pool = make_pool(f"http://127.0.0.1:{unused_tcp_port}")
        with pytest.raises(ConnectFailed, match=f"endpoint 127.0.0.1:{unused_tcp_port}: ") as caught:
            await pool.connect()
        assert caught.value.is_retryable

    async def test_a_name_that_nobody_has_is_a_failed_connect(self, make_pool, monkeypatch):
        async def unknown(*_: object, **__: object) -> None:
            raise OSError(-2, "Name or service not known")

        monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", unknown)
        with pytest.raises(ConnectFailed, match="endpoint nobody:80: Name or service not known"):
            await make_pool("http://nobody").connect()

    async def test_connecting_has_a_deadline(self, make_pool, monkeypatch):
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "create_connection", lambda *_, **__: loop.create_future())
        with pytest.raises(ConnectTimeout, match=r"no connection within 0\.01 s") as caught:
            await make_pool(timeouts={"connect": "10ms"}).connect()
        assert caught.value.status == 504

    @pytest.mark.parametrize("seconds", ["30s", "0s"])
    async def test_who_is_connecting_when_all_is_cut_is_told_why(self, make_pool, monkeypatch, seconds):
        loop, begun = asyncio.get_running_loop(), asyncio.Event()

        def hang(*_: object, **__: object) -> asyncio.Future[None]:
            begun.set()
            return loop.create_future()

        monkeypatch.setattr(loop, "create_connection", hang)
        pool = make_pool(timeouts={"connect": seconds})
        connecting = asyncio.create_task(pool.connect())
        await begun.wait()
        pool.fail(ShuttingDown())
        with pytest.raises(ShuttingDown):
            await connecting

    async def test_a_unix_socket_is_an_endpoint(self, served, make_pool, tmp_path):
        server = await asyncio.start_unix_server(served.accept, str(tmp_path / "app.sock"))
        pool = make_pool(f"unix:{tmp_path}/app.sock")
        await served_once(pool)
        assert len(pool.idle) == 1
        server.close()

    def test_a_system_error_is_told_in_its_own_words(self):
        assert reason(OSError(111, "Connection refused")) == "Connection refused"
        assert reason(ssl.SSLError("handshake")) != ""
        assert reason(TimeoutError()) == "TimeoutError"
