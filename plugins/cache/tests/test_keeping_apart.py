"""One client's response never becomes another's, and what is purged stays away, whatever is under way."""

from __future__ import annotations

import asyncio
from threading import Thread

import pytest
from gateway_cache.entry import Entry
from gateway_cache.fetching import Fetch
from gateway_cache.policy import Terms
from gateway_cache.stores.disk import Disk

from gateway import ResponseCut
from gateway.testing import Held, reply

FRESH = b"Cache-Control: max-age=60"


@pytest.mark.parametrize("fields", [(), (b"Cache-Control: no-cache",), (b"Cache-Control: max-age=0",)])
def test_a_response_that_has_to_be_validated_is_not_shared(case, fields):
    """An ETag without a word on freshness is what many frameworks send with pages of their users."""
    case.origin.answer(reply(b"first", b'ETag: "x"', *fields))
    assert case.get("Cookie: user=alice").body == b"first"
    case.origin.answer(Held(reply(b"page of alice", b'ETag: "y"', *fields)))
    held = case.origin._script
    answers: list[bytes] = []
    threads = [
        Thread(target=lambda user=user: answers.append(case.get(f"Cookie: user={user}").body))
        for user in ("alice", "bob")
    ]
    for thread in threads:
        thread.start()
    case.origin.wait_for_requests(3)  # bob asks for himself
    held.released.set()
    for thread in threads:
        thread.join()
    assert answers == [b"page of alice"] * 2  # each from a request of its own
    assert len(case.origin.requests) == 3


@pytest.mark.parametrize(
    ("field", "status"), [('If-Match: "z"', b"412 Precondition Failed"), ("Range: bytes=99-", b"416 Range")]
)
def test_an_answer_to_a_condition_is_not_stored(case, field, status):
    case.answers(FRESH, status=status)
    case.get(field)
    case.answers(FRESH, body=b"all")
    answer = case.get()
    assert (answer.status, answer.body) == (200, b"all")


@pytest.mark.parametrize(
    "fields", [('If-None-Match: "0"',), ("Authorization: Basic eA==",), ("Cache-Control: no-cache",)]
)
def test_what_was_asked_for_before_a_purge_is_not_stored_after_it(case, fields):
    def answer(connection, request):
        if request.method == "POST":
            connection.send(reply(b""))
        else:
            held(connection, request)

    held = Held(reply(b"old", b"Cache-Control: max-age=60, public"))
    case.origin.answer(answer)
    first = Thread(target=case.get, args=fields)
    first.start()
    case.origin.wait_for_requests(1)
    case.get("Content-Length: 0", method="POST")
    held.released.set()
    first.join()
    case.answers(FRESH, body=b"new")
    assert case.get().body == b"new"


def test_a_304_that_was_asked_for_before_a_purge_confirms_nothing(case):
    case.answers(FRESH, b'ETag: "1"', body=b"old")
    case.get()
    held = Held(b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\nCache-Control: max-age=60\r\n\r\n')
    case.origin.answer(
        lambda connection, request: (held if request.method == "GET" else reply_empty)(connection, request)
    )
    first = Thread(target=case.get, args=("Cache-Control: max-age=0",))
    first.start()
    case.origin.wait_for_requests(2)
    case.get("Content-Length: 0", method="POST")
    held.released.set()
    first.join()
    case.answers(FRESH, body=b"new")
    assert case.get().body == b"new"


def reply_empty(connection, request):
    connection.send(reply(b""))


def test_a_304_with_another_etag_confirms_nothing(case):
    case.answers(b"Cache-Control: max-age=10", b"Date: " + case.ago(50), b'ETag: "1"')
    case.get()
    case.origin.answer(b'HTTP/1.1 304 Not Modified\r\nETag: "2"\r\nCache-Control: max-age=60\r\n\r\n')
    case.get()
    case.answers(FRESH, body=b"two")
    assert case.get().body == b"two"


def test_what_has_become_private_stands_in_for_nothing(case):
    case.answers(b"Cache-Control: max-age=10", b"Date: " + case.ago(50), b'ETag: "1"', body=b"public")
    case.get()
    case.answers(b"Cache-Control: private", body=b"mine")
    case.get()
    case.answers(status=b"503 Busy")
    assert case.get().status == 503


def test_a_coding_that_we_do_not_know_is_not_given_to_others(case):
    case.answers(FRESH, b"Vary: Accept-Encoding", b"Content-Encoding: lzma")
    case.get("Accept-Encoding: lzma")
    assert case.told(case.get("Accept-Encoding: foo")).startswith("fwd=")


@pytest.mark.parametrize("field", ["Cache-Control: a=" + " " * 30_000 + '"', "User-Agent: x" + " " * 30_000 + "y"])
def test_a_field_full_of_spaces_is_read_in_no_time(case, field):
    case.answers(FRESH, b"Vary: User-Agent")
    case.get()
    assert case.get(field).status == 200


async def test_a_reader_that_leaves_while_it_waits_for_a_slower_one_is_let_go():
    go_on = asyncio.Event()

    async def body():
        for _ in range(40):
            yield bytes(64 * 1024)
        await go_on.wait()

    entry = Entry(("r", "u"), 200, [], Terms(60.0, False, False, 0.0, 0.0, frozenset()), (), (), 0.0)
    ended = []
    fetch = Fetch(entry, body(), None, 100_000, ended.append)
    fast, slow = fetch.reader(), fetch.reader()
    await anext(slow)

    async def read():
        async for _ in fast:
            pass

    reading = asyncio.create_task(read())
    while not reading.done() and len(fetch._readers) == 2 and not fetch._moved.is_set():
        await asyncio.sleep(0)
        if fast.place > 10:
            break
    fast.fail(ResponseCut("left"))
    with pytest.raises(ResponseCut):
        await asyncio.wait_for(reading, 5)
    slow.fail(ResponseCut("left"))
    for _ in range(100):
        await asyncio.sleep(0)
    assert ended == [fetch]
    assert not fetch.is_complete


def test_one_response_that_comes_again_and_again_fills_no_database(tmp_path):
    disk = Disk(tmp_path / "cache", 256 * 1024)
    disk.open()
    for number in range(6000):
        entry = Entry(
            ("r", "u"), 200, [], Terms(60.0, False, False, 0.0, 0.0, frozenset()), (), (), float(number + 1)
        )
        disk._put(disk._database, b"http://a/", entry.with_body(b"x" * 100), number)
    assert disk.find(b"http://a/", lambda _: True).born == 6000
    with disk._database.environment.begin(disk._database.order) as transaction:
        assert transaction.stat(disk._database.order)["entries"] == 1
    asyncio.run(disk.close())
