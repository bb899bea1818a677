"""The guard before a store: in time or not at all, a pause after a failure, two lines in the log."""

from __future__ import annotations

import asyncio
import logging

import pytest
from gateway_persistence import StoreAway, StoreSettings
from gateway_persistence.stores.guarded import GuardedStore


class FakeStore:
    """A store that does what the test says."""

    opened = 0
    closed = 0
    error: Exception | None = None
    asked = 0
    is_stalled = False

    async def get(self, key):
        FakeStore.asked += 1
        if self.is_stalled:
            await asyncio.Event().wait()
        if self.error:
            raise self.error
        return "a"

    async def put(self, key, endpoint, replacing):
        return await self.get(key)

    async def close(self):
        FakeStore.closed += 1
        raise ValueError("closing is nobody's business")


@pytest.fixture
def fake():
    class Fresh(FakeStore):
        def __init__(self):
            FakeStore.opened += 1

    FakeStore.opened = FakeStore.closed = FakeStore.asked = 0
    FakeStore.error, FakeStore.is_stalled = None, False
    return Fresh


@pytest.fixture
def guarded(fake, clock):
    return GuardedStore(fake, StoreSettings(timeout=0.05, pause=1), clock)


async def test_the_answer_passes(guarded):
    assert await guarded.get("s") == "a"
    assert await guarded.put("s", "a", None) == "a"
    assert FakeStore.opened == 1
    assert not guarded.is_away


async def test_after_a_failure_it_is_left_alone_and_then_tried_with_one_question(guarded, clock, caplog):
    FakeStore.error = OSError("refused")
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            with pytest.raises(StoreAway):
                await guarded.get("s")
        assert (FakeStore.asked, guarded.state.failures, guarded.state.skipped) == (1, 1, 4)
        clock.now += 1
        results = await asyncio.gather(*(guarded.get("s") for _ in range(5)), return_exceptions=True)
        assert all(isinstance(result, StoreAway) for result in results)
        assert (FakeStore.asked, guarded.state.failures) == (2, 2)
        FakeStore.error = None
        clock.now += 1
        assert await guarded.get("s") == "a"
        assert await guarded.put("s", "a", "") == "a"
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert "is away (OSError: refused)" in lines[0]
    assert "is back after 2.0 s" in lines[1]


async def test_a_store_that_does_not_answer_is_given_up_in_time_and_its_connections_with_it(guarded, caplog):
    FakeStore.is_stalled = True
    with pytest.raises(StoreAway):
        await guarded.get("s")
    assert "no answer within 0.05 s" in caplog.text
    await guarded.close()
    assert FakeStore.closed == 1


async def test_a_client_that_leaves_is_no_failure_of_the_store(guarded):
    FakeStore.is_stalled = True
    question = asyncio.create_task(guarded.get("s"))
    await asyncio.sleep(0)
    question.cancel()
    with pytest.raises(asyncio.CancelledError):
        await question
    assert guarded.state.failures == 0


async def test_guards_of_one_worker_before_one_store_tell_of_it_and_count_it_once(
    fake, clock, site, make_site, upstream, caplog
):
    def guard(app, **options):
        made = GuardedStore(fake, StoreSettings(use="redis", url="redis://10.0.0.1", **options), clock)
        made.open(app)
        return made

    def shown(name):
        return [item["value"] for item in site.app.metrics.samples() if item["name"].endswith(name)]

    one, other = guard(site.app), guard(site.app, prefix="other:")
    assert [await guarded.get("s") for guarded in (one, other)] == ["a", "a"]
    patient = guard(site.app, timeout=9)
    elsewhere = guard(make_site(upstream, bus=site.bus).app)  # the App that takes over at a reload
    FakeStore.error = OSError("refused")
    with caplog.at_level(logging.WARNING):
        for guarded in (one, other, one):
            with pytest.raises(StoreAway):
                await guarded.get("s")
        assert (one.is_away, other.is_away, patient.is_away, elsewhere.is_away) == (True, True, False, False)
        assert (shown("store_away"), shown("failures_total"), shown("skipped_total")) == ([1, 0], [1, 0], [2, 0])
        FakeStore.error = None
        clock.now += 1
        assert await other.get("s") == "a"
        assert shown("store_away") == [0, 0]
    assert len(caplog.records) == 2
    assert FakeStore.opened == 3, "the connection of before the outage was used again"
    await one.close()
    fresh = guard(site.app)
    assert fresh.state is other.state
    for guarded in (other, fresh):
        await guarded.close()
    assert guard(site.app).state is not other.state


async def test_a_store_that_cannot_even_be_opened_is_away(clock):
    def cannot():
        raise RuntimeError("no")

    guarded = GuardedStore(cannot, StoreSettings(), clock)
    with pytest.raises(StoreAway):
        await guarded.get("s")
    await guarded.close()
