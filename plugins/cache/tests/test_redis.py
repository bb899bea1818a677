"""The store in Redis by itself, against a real one: what it finds, forgets, tells and bounds."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest
from gateway_cache import Cache
from gateway_cache.entry import Entry
from gateway_cache.policy import Terms
from gateway_cache.purging import Purge
from gateway_cache.stores import redis_database
from gateway_cache.stores.redis import RedisStore, useful_until

TERMS = Terms(60.0, False, True, 0.0, 5.0, frozenset())
URL = b"http://a.example/caf\xe9"
TEXT = URL.decode("latin-1")


def entry(body: bytes = b"one", born: float = 0.0, vary: bytes | None = None, tags: bytes = b"t1, t2", **terms):
    names = () if vary is None else (b"accept",)
    headers = [(b"content-type", b"text/x"), (b"x-latin", b"caf\xe9"), (b"cache-tag", tags)]
    selecting = () if vary is None else (vary,)
    made = Entry(("route", "app"), 200, headers, TERMS._replace(**terms), names, selecting, born or time.time())
    return made.with_body(body)


class Gateway:
    """One worker's store, and what it heard of others' purges."""

    def __init__(self, server, is_deaf: bool = False, **settings) -> None:
        """One that is deaf hears of purges when it reaches Redis, and of none from then on."""
        self.heard: list[dict] = []
        config = Cache.Config(redis=server.url, **{"redis_timeout": "10s", **settings})
        self.store = RedisStore(config, self.heard.append)
        if is_deaf:
            self.store._database.wait = _forever
        self.store.open()

    async def find(self, url: bytes = URL, is_wanted=lambda _: True):
        finding = self.store.find(url, is_wanted)
        return None if finding is None else await finding

    async def put(self, *entries: Entry, url: bytes = URL) -> None:
        """Store, and wait until that is done."""
        for each in entries:
            self.store.put(url, each)
        await until(lambda: not self.store._puts)

    async def purge(self, number: int = 1, **message) -> None:
        """Purge, and wait until Redis knows."""
        self.store.drop(Purge({"id": f"p{number}", **message}))
        await until(lambda: not self.store._purged.waiting)


async def _forever(_: int) -> None:
    await asyncio.Event().wait()


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@pytest.fixture
def server(redis_server):
    return redis_server()


@pytest.fixture
async def start(server):
    """`start()`: a worker's store, closed at the end."""
    made = []

    def begin(**settings) -> Gateway:
        made.append(Gateway(server, **settings))
        return made[-1]

    yield begin
    for each in made:
        await each.store.close()


async def test_what_was_put_is_found_by_everybody(start):
    one, other = start(), start()
    await one.put(entry())
    found = await other.find()
    assert (found.body, found.terms, found.headers, found.tags) == (b"one", TERMS, entry().headers, {b"t1", b"t2"})
    assert found.size == entry().size
    assert await other.find(b"http://a.example/y") is None


async def test_variants_lie_side_by_side_and_the_newest_wanted_one_is_found(start):
    one = start()
    now = time.time()
    await one.put(*(entry(b"%d" % place, now + place, vary) for place, vary in enumerate((b"a", b"b", b"a"))))
    assert (await one.find(is_wanted=lambda item: item.selecting == (b"a",))).body == b"2"
    assert (await one.find(is_wanted=lambda item: item.selecting == (b"b",))).body == b"1"
    assert (await one.find()).body == b"2"
    assert await one.find(is_wanted=lambda item: False) is None


async def test_the_oldest_variants_go_when_there_are_too_many(start, monkeypatch):
    monkeypatch.setattr(redis_database, "MAX_VARIANTS", 3)
    one = start()
    for vary in b"abcde":
        await one.put(entry(vary=bytes([vary])))
    found = await one.store._database.get(URL)
    assert {each.entry.selecting for each in found} == {(b"c",), (b"d",), (b"e",)}


async def test_variants_of_too_many_bytes_make_room_for_the_newest(start, monkeypatch):
    monkeypatch.setattr(redis_database, "MAX_BYTES_OF_URL", 3000)
    one = start()
    await one.put(entry(bytes(1000), vary=b"a"))
    await one.put(entry(bytes(5000), vary=b"b"))
    assert await one.find(is_wanted=lambda item: item.selecting == (b"a",)) is None
    assert len((await one.find()).body) == 5000


async def test_a_large_body_comes_whole(start):
    one, body = start(), bytes(range(256)) * 16384
    await one.put(entry(body))
    assert (await one.find()).body == body


async def test_a_key_expires_when_no_response_under_it_is_of_use(start, server):
    one = start()
    await one.put(entry(lifetime=100.0, if_error=20.0), entry(vary=b"a", lifetime=10.0, while_revalidating=3.0))
    (key,) = [word for word in server.ask("KEYS", "*url*").split() if b":" in word]
    left = int(server.ask("PTTL", key.decode())[1:])
    assert 115_000 < left <= 120_000


async def test_what_is_of_no_use_any_more_is_not_stored(start, server):
    one = start()
    await one.put(entry(born=time.time() - 66))
    assert one.store.left_out == 1
    assert server.ask("DBSIZE") == b":0\r\n"


def test_a_response_with_a_validator_is_held_longer():
    plain = entry(born=1000.0)
    validated = Entry(("r", "u"), 200, [(b"etag", b'"x"')], TERMS, (), (), 1000.0)
    assert useful_until(plain) == 1065.0
    assert useful_until(validated) == 1060.0 + 24 * 3600


@pytest.mark.parametrize(
    "message",
    [{"urls": [TEXT]}, {"prefixes": ["http://a.example/caf\xe9"]}, {"tags": ["t0", "t2"]}, {"all": True}],
)
async def test_what_is_purged_is_not_found_from_that_moment_on_and_then_deleted(start, server, message):
    one, other = start(), start()
    await one.put(entry())
    await one.put(entry(tags=b"x"), url=b"http://b.example/")
    one.store.drop(Purge({"id": "p", **message}))
    assert await one.find() is None
    await until(lambda: other.heard)
    assert other.heard == [{"id": "p", **message}]
    assert await other.find() is None
    assert (await other.find(b"http://b.example/") is None) == ("all" in message)
    await until(lambda: server.ask("KEYS", "*url*").count(b"url:") == int("all" not in message))
    assert not one.heard
    await other.put(entry(b"new"))
    assert (await one.find()).body == (await other.find()).body == b"new"


async def test_a_new_response_with_an_age_is_found_after_a_purge(start):
    one = start()
    for number, message in enumerate(({"urls": [TEXT]}, {"tags": ["t1"]})):
        await one.purge(number, **message)
        await one.put(entry(b"new", born=time.time() - 50))
        assert (await one.find()).body == b"new"


async def test_a_purge_by_tag_takes_one_variant_and_leaves_the_other(start):
    one = start()
    await one.put(entry(vary=b"a", tags=b"x"), entry(vary=b"b", tags=b"y"))
    await one.purge(tags=["x"])
    await until(lambda: "sweep" not in one.store._tasks)
    assert (await one.find()).selecting == (b"b",)


async def test_a_purge_that_all_workers_of_a_gateway_hear_is_told_once(start, server):
    workers, other = [start() for _ in range(3)], start()
    for worker in workers:
        worker.store.drop(Purge({"id": "same", "urls": [TEXT]}))
    await until(lambda: not any(worker.store._purged.waiting for worker in workers))
    await until(lambda: other.heard)
    await workers[0].purge(2, urls=["http://a.example/2"])
    await until(lambda: len(other.heard) == 2)
    assert [message["id"] for message in other.heard] == ["same", "p2"]
    assert server.ask("XLEN", "gateway:cache:purges") == b":2\r\n"
    assert [len(worker.heard) for worker in workers] == [0, 1, 1]


async def test_a_late_worker_does_not_delete_what_came_after_its_purge(start):
    one, late = start(), start()
    await one.purge(urls=[TEXT])
    await one.put(entry(b"new"))
    await late.purge(urls=[TEXT])  # the same, heard over the bus
    assert (await late.find()).body == b"new"


async def test_what_concerns_this_worker_alone_is_deleted_and_not_told(start):
    one, other = start(), start()
    await one.put(entry())
    one.store.drop(Purge({"urls": [TEXT]}))
    await until(lambda: not one.store._purged.waiting)
    assert await other.find() is None
    await one.purge(urls=["http://a.example/told"])
    await until(lambda: other.heard)
    assert other.heard == [{"id": "p1", "urls": ["http://a.example/told"]}]


async def test_a_response_from_before_a_purge_that_is_not_heard_of_is_not_stored(start):
    one, deaf = start(), start(is_deaf=True)
    assert (await one.find(), await deaf.find()) == (None, None)
    await one.purge(urls=[TEXT])
    deaf.store.put(URL, entry(b"old"))
    await until(lambda: deaf.store._puts[0].tries == 1)
    assert await one.find() is None
    await deaf.store._reach()
    await until(lambda: not deaf.store._puts)
    assert deaf.heard
    assert deaf.store.left_out == 1
    assert await one.find() is None


async def test_one_question_is_asked_for_all_who_want_the_same(start, server):
    one = start()
    await one.put(entry())
    before = server.asked("hgetall")
    found = await asyncio.gather(*(one.find() for _ in range(1000)))
    assert server.asked("hgetall") == before + 1
    assert {id(each) for each in found} == {id(found[0])}
    await one.find()
    assert server.asked("hgetall") == before + 2


async def test_an_answer_from_before_a_purge_is_not_used(start):
    one = start()
    await one.put(entry())
    finding = asyncio.create_task(one.find())
    await asyncio.sleep(0)
    await one.purge(urls=[TEXT])
    assert await finding is None


async def test_a_damaged_record_is_a_miss(start, server):
    one = start()
    for place in (0, 16, 40, -1):
        await one.put(entry())
        client = one.store._database._patient
        (key,) = [key async for key in client.scan_iter("*url:*")]
        for name, value in (await client.hgetall(key)).items():
            if len(name) == 16:
                damaged = bytearray(value)
                damaged[place] ^= 0xFF
                await client.hset(key, name, bytes(damaged) if place else b"")
        assert await one.find() is None
    await one.put(entry(b"again"))
    assert (await one.find()).body == b"again"


async def test_what_is_no_hash_of_ours_is_a_miss_that_is_told_of_once(start, caplog):
    one = start()
    await one.put(entry())
    client = one.store._database._patient
    (key,) = [key async for key in client.scan_iter("*url:*")]
    await client.set(key, b"something else")
    assert [await one.find() for _ in range(3)] == [None] * 3
    assert not one.store.is_away
    assert caplog.text.count("refuses") == 1
    assert one.store.failures == 3


async def test_a_full_redis_stores_nothing_and_is_no_outage(start, server, caplog):
    one = start()
    await one.put(entry())
    server.ask("CONFIG", "SET", "maxmemory", "1")
    await one.put(entry(b"two"))
    assert (await one.find()).body == b"one"
    assert caplog.text.count("refuses") == 1
    one.store.drop(Purge({"id": "p", "urls": [TEXT]}))
    assert await one.find() is None
    server.ask("CONFIG", "SET", "maxmemory", "0")
    await until(lambda: not one.store._purged.waiting)  # it was tried again
    assert await one.find() is None


async def test_a_redis_that_is_away_costs_nobody_anything_and_hears_of_purges_when_it_is_back(
    start, server, caplog
):
    caplog.set_level(logging.WARNING)
    one, other = start(), start()
    await one.put(entry())
    await other.find()
    server.kill()
    await until(lambda: one.store.is_away and other.store.is_away)
    assert one.store.find(URL, lambda _: True) is None  # not even a coroutine
    one.store.put(URL, entry())
    assert one.store.left_out == 1
    one.store.drop(Purge({"id": "p", "urls": [TEXT]}))
    server.start()
    await until(lambda: not (one.store.is_away or other.store.is_away))
    await until(lambda: other.heard)
    assert caplog.text.count("is away") == caplog.text.count("is back after") == 2
    await one.put(entry(b"two"))
    assert (await other.find()).body == b"two"


async def test_one_that_does_not_answer_is_a_miss_after_the_timeout(start, server):
    one = start(redis_timeout="100ms")
    await one.put(entry())
    server.freeze()
    began = time.monotonic()
    assert await one.find() is None
    assert time.monotonic() - began < 1
    assert one.store.is_away
    server.thaw()
    await until(lambda: not one.store.is_away)
    assert (await one.find()).body == b"one"


async def test_one_that_comes_later_is_used_from_then_on(start, server):
    server.kill()
    one = start(redis_timeout="100ms")
    await until(lambda: one.store.is_away)
    server.start()
    await until(lambda: not one.store.is_away)
    await one.put(entry())
    assert (await one.find()).body == b"one"


async def test_who_has_missed_purges_forgets_everything(start, server):
    one = start()
    await one.purge(1, urls=["http://a.example/1"])
    other = start(is_deaf=True)
    await until(lambda: other.heard)
    for number in (2, 3):
        await one.purge(number, urls=[f"http://a.example/{number}"])
    server.ask("XTRIM", "gateway:cache:purges", "MAXLEN", "1")
    await other.store._reach()
    assert other.heard[1:] == [{"all": True}]


async def test_gateways_with_another_prefix_share_nothing(start):
    one, other = start(), start(redis_prefix="[x]*:")
    await one.put(entry(b"one"))
    await other.put(entry(b"two"))
    await other.purge(all=True)
    await until(lambda: "sweep" not in other.store._tasks)
    assert (await one.find()).body == b"one"
    assert await other.find() is None
    assert not one.heard


async def test_what_waits_is_bounded_and_written_before_the_end(start, server, monkeypatch):
    from gateway_cache.stores import redis

    monkeypatch.setattr(redis, "MAX_WAITING_BYTES", 20_000)
    one, other = start(), start()
    for number in range(20):
        one.store.put(b"http://a.example/%d" % number, entry(bytes(4000)))
    assert one.store.left_out == 17
    await one.store.close()
    assert len((await other.find(b"http://a.example/2")).body) == 4000


def test_purges_that_cannot_be_told_become_one_of_everything(monkeypatch):
    from gateway_cache.stores import purged

    monkeypatch.setattr(purged, "MAX_WAITING", 3)
    known = purged.Purged()
    for number in range(5):
        known.drop(Purge({"id": str(number), "urls": [f"http://a.example/{number}"]}))
    assert [purge.is_all for purge in known.waiting] == [True, False]
    assert known.takes(URL, entry(), 1, known.count)
    assert known.is_ours(known.waiting[0])
