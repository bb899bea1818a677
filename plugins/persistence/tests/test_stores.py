"""redis and memcached: what the protocol of a store promises, at the real ones."""

from __future__ import annotations

import asyncio

import pytest
from gateway_persistence import Persistence
from gateway_persistence.stores.opening import store_opener

STORES = pytest.mark.parametrize("use", ["redis", "memcached"])


def settings_for(server, use, **options):
    store = {"use": use, "url": server.url, "timeout": "2s"}
    return Persistence.Config(method="source", store=store, **options)


@STORES
async def test_a_binding_holds_and_moves_only_from_where_it_is(server, use):
    store = store_opener(settings_for(server(use), use))()
    assert await store.get("s") == ""
    assert await store.put("s", "a", "") == "a"
    assert await store.put("s", "a", "") == "a"
    assert await store.put("s", "b", "") == "a"
    assert await store.put("s", "b", "x") == "a"
    assert await store.put("s", "b", "a") == "b"
    assert await store.put("s", "c", None) == "c"
    assert await store.get("s") == "c"
    assert await store.put("t", "d", "a") == "d"
    assert await store.put("u", "e", None) == "e"
    await store.close()


@STORES
async def test_of_many_at_once_one_is_the_first(server, use):
    config = settings_for(server(use), use)
    stores = [store_opener(config)() for _ in range(3)]
    held = await asyncio.gather(*(store.put("s", f"e{n}", "") for n, store in enumerate(stores * 7)))
    assert len(set(held)) == 1
    assert {await store.get("s") for store in stores} == set(held)
    for store in stores:
        await store.close()


@STORES
async def test_looking_up_begins_the_time_to_live_anew(server, use):
    running = server(use)
    store = store_opener(settings_for(running, use, ttl="1h"))()
    short = store_opener(settings_for(running, use, ttl="1000s"))()
    await short.put("s", "a", "")
    assert await store.get("s") == "a"
    if use == "redis":
        left = int(running.ask("TTL gateway:s").removeprefix(b":"))
    else:
        left = int(running.ask("mg gateway:s t").removeprefix(b"HD t"))
    assert 3500 < left <= 3600
    await store.close()
    await short.close()


@STORES
async def test_a_question_that_is_given_up_does_not_leave_its_answer_to_another(server, use):
    running = server(use)
    store = store_opener(settings_for(running, use))()
    for number in range(20):
        await store.put(f"s{number}", f"e{number}", "")
    for pause in range(20):
        questions = [asyncio.create_task(store.get(f"s{number}")) for number in range(20)]
        for _ in range(pause):
            await asyncio.sleep(0)
        for question in questions[::2]:
            question.cancel()
        answers = await asyncio.gather(*questions, return_exceptions=True)
        assert answers[1::2] == [f"e{number}" for number in range(1, 20, 2)]
    assert [await store.get(f"s{number}") for number in range(20)] == [f"e{number}" for number in range(20)]
    await store.close()
