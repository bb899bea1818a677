"""The bus within one process: topics, subscribers, and one that fails."""

from __future__ import annotations

from gateway.bus import Bus


def test_a_message_reaches_every_subscriber_of_its_topic_and_no_other():
    bus, seen = Bus(), []
    bus.subscribe("purge", lambda message: seen.append(("one", message)))
    bus.subscribe("purge", lambda message: seen.append(("two", message)))
    bus.subscribe("drain", lambda message: seen.append(("other", message)))
    bus.publish("purge", {"key": "a"})
    assert seen == [("one", {"key": "a"}), ("two", {"key": "a"})]


def test_a_message_that_nobody_waits_for_is_no_failure():
    Bus().publish("nobody", None)


def test_a_subscriber_that_fails_is_logged_and_the_others_still_hear(caplog):
    bus, seen = Bus(), []
    bus.subscribe("t", lambda message: 1 / 0)
    bus.subscribe("t", seen.append)
    bus.publish("t", 1)
    assert seen == [1]
    assert "a subscriber of 't' failed" in caplog.text


def test_a_subscriber_may_subscribe_while_it_is_called():
    bus, seen = Bus(), []
    bus.subscribe("t", lambda message: bus.subscribe("t", seen.append))
    bus.publish("t", 1)
    assert seen == []
    bus.publish("t", 2)
    assert seen == [2]


class TestKept:
    def test_who_subscribes_later_hears_the_latest_of_each_key(self):
        bus, heard = Bus(), []
        for key, message in (("a", 1), ("b", 2), ("a", 3)):
            bus.publish("states", message, keep=key)
        bus.publish("states", 4)
        bus.subscribe("states", heard.append)
        assert heard == [3, 2]
        bus.publish("states", 5, keep="b")
        assert heard == [3, 2, 5]
        assert bus.kept("states") == (3, 5)

    def test_none_forgets(self):
        bus, heard = Bus(), []
        bus.publish("states", 1, keep="a")
        bus.publish("states", None, keep="a")
        bus.subscribe("states", heard.append)
        assert heard == []
        assert bus.kept("states") == ()
