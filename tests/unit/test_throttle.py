"""So many lines in a period; the others are counted."""

from __future__ import annotations

import asyncio

from gateway.throttle import MAX_KINDS, OTHERS, Throttle


async def test_the_first_are_let_through_and_the_others_told_at_the_end():
    told: list[tuple[str, int]] = []
    ended = asyncio.Event()

    def tell(kind: str, count: int) -> None:
        told.append((kind, count))
        ended.set()

    throttle = Throttle(2, 0.01, tell)
    assert [throttle.admits(kind) for kind in "aabba"] == [True, True, False, False, False]
    assert throttle.is_counting
    async with asyncio.timeout(5):
        await ended.wait()
    assert (sorted(told), throttle.is_counting) == ([("a", 1), ("b", 2)], False)
    assert throttle.admits("b")
    throttle.close()


async def test_kinds_that_somebody_makes_up_are_counted_together():
    told: dict[str, int] = {}
    throttle = Throttle(0, 60, told.__setitem__)
    for number in range(100):
        assert not throttle.admits(str(number))
    throttle.close()
    assert len(told) == MAX_KINDS + 1
    assert told[OTHERS] == 100 - MAX_KINDS
    throttle.close()  # nothing is told twice
    assert sum(told.values()) == 100
