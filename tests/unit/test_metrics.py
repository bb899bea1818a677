"""Metrics: named numbers, added up over workers, in the text format of Prometheus."""

from __future__ import annotations

import pytest

from gateway.metrics import Metrics, added_up, exposition


def test_a_number_is_read_when_somebody_asks():
    metrics, count = Metrics(), [1]
    metrics.counter("requests", "How many came", lambda: count[0], route="a")
    count[0] = 7
    assert metrics.samples() == [
        {
            "name": "gateway_requests_total",
            "kind": "counter",
            "meaning": "How many came",
            "labels": {"route": "a"},
            "value": 7,
        }
    ]


@pytest.mark.parametrize("name", ["refused", "refused_total"])
def test_the_suffix_of_counters_stands_there_once(name):
    metrics = Metrics()
    metrics.counter(name, "Refused ones", lambda: 1)
    (sample,) = metrics.samples()
    assert sample["name"] == "gateway_refused_total"


def test_workers_are_added_up_label_by_label():
    metrics = Metrics()
    metrics.gauge("open", "Open ones", lambda: 2, upstream="a")
    metrics.gauge("open", "Open ones", lambda: 3, upstream="b")
    summed = added_up([metrics.samples(), metrics.samples(), []])
    assert [(sample["labels"], sample["value"]) for sample in summed] == [
        ({"upstream": "a"}, 4),
        ({"upstream": "b"}, 6),
    ]
    assert [sample["value"] for sample in metrics.samples()] == [2, 3], (
        "what was added up must not change the source"
    )


def test_of_a_moment_the_least_of_all_workers_counts():
    lists = []
    for value in (30.0, 10.0, 20.0):
        metrics = Metrics()
        metrics.least("expiry", "When it ends", lambda value=value: value)
        metrics.gauge("open", "How many", lambda value=value: value)
        lists.append(metrics.samples())
    assert [sample["value"] for sample in added_up(lists)] == [10.0, 60.0]
    assert "# TYPE gateway_expiry gauge\ngateway_expiry 10\n" in exposition(added_up(lists))


def test_the_text_has_each_name_once_with_its_kind_and_meaning():
    metrics = Metrics()
    metrics.gauge("open", "Open\nones", lambda: 2.5, upstream='a "b" \\')
    metrics.counter("seen", "Seen ones", lambda: 12345678901234567)
    metrics.gauge("open", "Open\nones", lambda: 0, upstream="c")
    assert exposition(metrics.samples()) == (
        "# HELP gateway_open Open\\nones\n"
        "# TYPE gateway_open gauge\n"
        'gateway_open{upstream="a \\"b\\" \\\\"} 2.5\n'
        'gateway_open{upstream="c"} 0\n'
        "# HELP gateway_seen_total Seen ones\n"
        "# TYPE gateway_seen_total counter\n"
        "gateway_seen_total 12345678901234568\n"
    )


@pytest.mark.parametrize("name", ["", "Requests", "a-b", "a b", "1a"])
def test_a_name_that_prometheus_does_not_know_is_refused(name):
    with pytest.raises(ValueError, match="letters a to z"):
        Metrics().gauge(name, "", lambda: 0)


def test_a_number_that_cannot_be_read_is_named_and_left_out(caplog):
    metrics = Metrics()
    for name, value in (("nan", float("nan")), ("inf", float("inf")), ("text", "a"), ("none", None)):
        metrics.gauge(name, "Wrong", lambda value=value: value)
    metrics.gauge("broken", "Wrong", lambda: 1 / 0)
    metrics.gauge("right", "Right", lambda: 1)
    assert [sample["name"] for sample in metrics.samples()] == ["gateway_right"]
    for name in ("nan", "inf", "text", "none", "broken"):
        assert f"metric gateway_{name} cannot be read" in caplog.text


def test_mistakes_are_refused_when_a_metric_is_added():
    metrics = Metrics()
    metrics.counter("exchanges", "Requests", lambda: 1, code=200)
    metrics.counter("exchanges", "Requests", lambda: 1, code="404")
    assert [sample["labels"]["code"] for sample in metrics.samples()] == ["200", "404"]
    with pytest.raises(ValueError, match="expected a function that gives the number, not 1"):
        metrics.counter("x", "", 1)
    with pytest.raises(ValueError, match="'exchanges_total': the name is taken by another counter"):
        metrics.gauge("exchanges_total", "Mine", lambda: 1)
    with pytest.raises(ValueError, match="'a-b' is no name"):
        metrics.counter("a-b", "", lambda: 1)
