"""Many who want the same thing at the same time, workers that agree, and room that ends."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.testing import CutShort, Held, reply, wait_until

FRESH = b"Cache-Control: max-age=60"
CHUNKED = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n"


def all_at_once(case, count: int, *fields: str):
    """A pool's futures of so many requests, the first of which has reached the origin."""
    pool = ThreadPoolExecutor(count)
    asked = [pool.submit(case.get, *fields) for _ in range(count)]
    return pool, asked


def waiting_at(case, count: int) -> None:
    wait_until(lambda: case.in_flight() == count)


@pytest.fixture
def metrics(case):
    """How many exchanges the gateway has under way."""

    def in_flight() -> int:
        shown = case.site.command("metrics").stdout
        line = next(line for line in shown.splitlines() if line.startswith("gateway_exchanges_in_flight"))
        return int(float(line.split()[-1]))

    case.in_flight = in_flight
    return case


def test_one_request_is_made_for_all_who_want_a_cold_response(metrics):
    case, held = metrics, Held(reply(b"one", FRESH))
    case.origin.answer(held)
    pool, asked = all_at_once(case, 20)
    waiting_at(case, 20)
    held.released.set()
    answers = [future.result() for future in asked]
    pool.shutdown()
    assert case.asked == 1
    assert {answer.body for answer in answers} == {b"one"}
    collapsed = [case.told(answer) for answer in answers]
    assert collapsed.count("fwd=uri-miss; collapsed") == 19


def test_when_a_leader_fails_one_of_the_others_asks_for_all(metrics):
    case, held = metrics, Held(reply(b"one", FRESH))

    def first_fails(connection, request):
        if len(case.origin.requests) == 1:
            connection.wait_for(lambda: case.in_flight() == 10)
            connection.send(reply(b"", status=b"503 Not now"))
        else:
            held(connection, request)

    case.origin.answer(first_fails)
    pool, asked = all_at_once(case, 10)
    case.origin.wait_for_requests(2)
    waiting_at(case, 9)
    held.released.set()
    statuses = sorted(future.result().status for future in asked)
    pool.shutdown()
    assert (statuses, case.asked) == ([200] * 9 + [503], 2)


def test_what_turns_out_not_to_be_for_others_is_asked_for_by_each_at_the_same_time(metrics):
    case, at_once = metrics, threading.Barrier(5)

    def private(connection, request):
        if len(case.origin.requests) > 1:
            at_once.wait(10)
        connection.wait_for(lambda: len(case.origin.requests) > 1 or case.in_flight() == 6)
        connection.send(reply(b"mine", b"Cache-Control: private, max-age=60"))

    case.origin.answer(private)
    pool, asked = all_at_once(case, 6)
    assert {future.result().body for future in asked} == {b"mine"}
    pool.shutdown()
    assert case.asked == 6


def test_all_read_along_while_a_body_arrives(case):
    go_on = threading.Event()

    def slow(connection, request):
        connection.send(CHUNKED + b"3\r\none\r\n")
        connection.wait_for(go_on.is_set)
        connection.send(b"3\r\ntwo\r\n0\r\n\r\n")

    case.origin.answer(slow)
    request = f"GET {case.path} HTTP/1.1\r\nHost: a.example\r\n\r\n".encode()
    clients = [case.site.connect() for _ in range(3)]
    for client in clients:
        client.send(request)
        assert b"one" in client.wire.take_until(b"one\r\n")
    go_on.set()
    for client in clients:
        assert b"two" in client.wire.take_until(b"0\r\n\r\n")
        client.close()
    assert case.asked == 1
    assert case.get().body == b"onetwo"


def test_a_leader_that_leaves_does_not_end_what_others_read(case):
    go_on = threading.Event()

    def slow(connection, request):
        connection.send(CHUNKED + b"3\r\none\r\n")
        connection.wait_for(go_on.is_set)
        connection.send(b"3\r\ntwo\r\n0\r\n\r\n")

    case.origin.answer(slow)
    request = f"GET {case.path} HTTP/1.1\r\nHost: a.example\r\n\r\n".encode()
    leader, other = case.site.connect(), case.site.connect()
    for client in (leader, other):
        client.send(request)
        client.wire.take_until(b"one\r\n")
    leader.reset()
    go_on.set()
    assert b"two" in other.wire.take_until(b"0\r\n\r\n")
    other.close()
    wait_until(lambda: case.get().body == b"onetwo")
    assert case.asked == 1


def test_an_origin_that_dies_in_the_middle_cuts_all_and_leaves_nothing(case):
    die = threading.Event()

    def dying(connection, request):
        connection.send(CHUNKED + b"3\r\none\r\n")
        connection.wait_for(die.is_set)
        connection.close()

    case.origin.answer(dying)
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(case.get) for _ in range(3)]
        case.origin.wait_for_requests(1)
        die.set()
        for future in asked:
            assert isinstance(future.exception(), CutShort)
    case.answers(FRESH, body=b"whole")
    assert case.get().body == b"whole"


def test_a_slow_client_does_not_hold_up_the_others(case):
    body = bytes(200 * 1024)
    case.origin.answer(
        b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )
    with case.site.connect(receive_buffer=4096) as slow:
        slow.send(f"GET {case.path} HTTP/1.1\r\nHost: a.example\r\n\r\n".encode())
        case.origin.wait_for_requests(1)
        assert case.get().body == body
    assert case.asked == 1


def test_workers_forget_together_what_one_of_them_has_voided(gateway, module_origin):
    app = module_origin(reply(b"old", FRESH))
    site = gateway(endpoints=[app], workers=2, plugins=["cache"])
    request = b"%b / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"

    def bodies() -> set[bytes]:
        with ThreadPoolExecutor(8) as pool:
            return set(pool.map(lambda _: site.request(request % b"GET").body, range(16)))

    wait_until(lambda: bodies() and len(app.requests) >= 2)
    app.answer(reply(b"new", FRESH))
    site.request(request % b"POST")
    wait_until(lambda: bodies() == {b"new"})


def test_what_was_not_asked_for_the_longest_time_goes_first(gateway, module_origin):
    app = module_origin(reply(bytes(10_000), FRESH))
    site = gateway(endpoints=[app], workers=1, plugins=[{"use": "cache", "memory": "40kB"}])
    for path in ("/1", "/2", "/3", "/1", "/4"):
        site.get(path)
    assert len(app.requests) == 4
    site.get("/1")
    assert len(app.requests) == 4
    site.get("/2")
    assert len(app.requests) == 5
