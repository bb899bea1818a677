"""When the next look is due, and what is told."""

from __future__ import annotations

import logging

import pytest
from gateway_discovery.lookup import Found, NotFound, Watch

from gateway import EndpointSettings

A, B = (EndpointSettings(url=f"http://{name}") for name in "ab")


class Answers:
    """A lookup that gives one answer after another."""

    def __init__(self, *answers: Found | str) -> None:
        self._answers = iter(answers)

    async def look(self) -> Found:
        answer = next(self._answers)
        if isinstance(answer, str):
            raise NotFound(answer)
        return answer


@pytest.fixture
def watch():
    told = []

    def make(*answers: Found | str) -> Watch:
        made = Watch(Answers(*answers), told.append, name="upstream 'app'", interval=(1, 300), retry=2)
        made.told = told
        return made

    return make


async def test_only_what_differs_is_told_whatever_its_order(watch):
    watched = watch(Found([A, B], 5), Found([B, A], 5), Found([B], 5))
    for _ in range(3):
        await watched.look()
    assert watched.told == [[A, B], [B]]


@pytest.mark.parametrize(("ttl", "wait"), [(5, 5), (0, 1), (3600, 300)])
async def test_the_next_look_is_due_when_the_time_to_live_is_over_within_bounds(watch, ttl, wait):
    assert await watch(Found([A], ttl)).look() == wait


async def test_what_is_known_stays_while_nothing_is_found_and_each_reason_is_told_once(watch, caplog):
    caplog.set_level(logging.INFO)
    watched = watch(Found([A], 5), "no answer", "no answer", Found([], 5), Found([], 5), "no answer", Found([A], 5))
    assert [await watched.look() for _ in range(7)] == [5, 2, 2, 2, 2, 2, 5]
    assert watched.told == [[A]]
    assert [record.message for record in caplog.records] == [
        "upstream 'app': no answer; the endpoints stay as they are",
        "upstream 'app': no endpoint in it; the endpoints stay as they are",
        "upstream 'app': no answer; the endpoints stay as they are",
        "upstream 'app': found again",
    ]
