"""Who answers no ping is told of, and then killed; pings are counted, and no clock is asked."""

from __future__ import annotations

import pytest

from gateway.process.member import SILENT_PINGS, Member, NoAnswer
from gateway.process.pulse import Pulse


class Worker(Member):
    """One without a process: it runs, says nothing, and notes what is done to it."""

    is_running = True

    def __init__(self, index: int = 0) -> None:
        super().__init__(index, None, {}, [], None, {})
        self.pid = 100 + index
        self.is_ready = True
        self.sent: list[str] = []
        self.is_killed = False

    def send(self, topic: str, message: object, keep: str = "") -> None:
        self.sent.append(topic)

    def kill(self) -> None:
        self.is_killed = True


class Workers:
    """A crew as a pulse sees it."""

    is_over = False

    def __init__(self, *living: Worker, leaving: tuple[Worker, ...] = ()) -> None:
        self.living, self.leaving = living, leaving


def looked(times: int, crew: Workers, patience: float = 30.0) -> None:
    pulse = Pulse(crew, lambda: patience)
    for _ in range(times):
        pulse.look()


def test_one_that_answers_is_asked_each_time_and_left_alone(caplog):
    worker = Worker()
    for _ in range(100):
        looked(1, Workers(worker), patience=1.0)
        worker._heard()
    assert worker.sent == ["supervisor.ping"] * 100
    assert not worker.is_killed
    assert caplog.text == ""


def test_one_that_says_nothing_is_told_of_and_then_killed_once(caplog):
    worker = Worker()
    looked(30, Workers(worker))
    assert worker.sent == ["supervisor.ping"]  # no heap of pings is left for it
    assert not worker.is_killed
    assert caplog.messages == [
        "worker 0 (pid 100) has not answered for 5 s; after 30 s it is killed"
        "; what it does for all (health checks, discovery) rests"
    ]
    looked(10, Workers(worker))
    assert worker.is_killed
    assert worker.ending == "killed, for it had not answered for 30 s"
    assert caplog.messages[1:] == ["worker 0 (pid 100) has not answered for 30 s, and is killed"]


def test_without_a_limit_it_is_told_of_and_never_killed(caplog):
    worker = Worker(1)
    looked(1000, Workers(worker), patience=0.0)
    assert not worker.is_killed
    assert caplog.messages == [
        "worker 1 (pid 101) has not answered for 5 s; it is left alone, as worker_timeout is 0"
    ]
    worker._heard()
    assert caplog.messages[1:] == ["worker 1 (pid 101) answers again, after 999 s"]


@pytest.mark.parametrize("state", [{"is_ready": False}, {"is_preparing": True}])
def test_one_whose_plugins_start_is_not_asked(state):
    worker = Worker()
    vars(worker).update(state)
    looked(100, Workers(worker), patience=1.0)
    assert worker.sent == []
    assert not worker.is_killed


def test_one_that_has_heard_that_it_is_to_leave_has_its_time(caplog):
    worker = Worker()
    worker.ping()
    worker._heard()
    looked(100, Workers(leaving=(worker,)), patience=1.0)
    assert not worker.is_killed


@pytest.mark.parametrize(("patience", "pings"), [(30.0, SILENT_PINGS), (2.0, 2)])
def test_one_that_has_not_even_heard_that_is_killed_soon(patience, pings):
    worker = Worker()
    worker.ping()
    looked(pings - 1, Workers(leaving=(worker,)), patience)
    assert not worker.is_killed
    looked(1, Workers(leaving=(worker,)), patience)
    assert worker.is_killed


def test_one_that_has_not_heard_it_keeps_its_time_where_nobody_is_killed():
    worker = Worker()
    worker.ping()
    looked(100, Workers(leaving=(worker,)), patience=0.0)
    assert not worker.is_killed


async def test_one_that_is_known_to_be_silent_is_asked_nothing():
    worker = Worker()
    looked(SILENT_PINGS + 1, Workers(worker))
    for question in (worker.ask("endpoints"), worker.check()):
        with pytest.raises(NoAnswer, match=r"worker 0 \(pid 100\) does not answer"):
            await question
    assert worker.sent == ["supervisor.ping"]
