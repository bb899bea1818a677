"""Lines: every field, both notations, and nothing that a client could forge."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from gateway_access_log import AccessLog
from gateway_access_log.fields import DEFAULT_FIELDS, FIELDS
from gateway_access_log.lines import COMBINED, MAX_KNOWN, json_lines, text_lines
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway import UpstreamError

NOON = 1714564800.0124


EVERY_FIELD = json_lines(tuple(FIELDS))


def clock() -> float:
    """The end of an exchange that came at noon."""
    return NOON


def as_json(exchange, fields=tuple(FIELDS)):
    return json.loads(json_lines(fields, clock)(exchange))


def test_a_json_line_has_every_field_in_order(make_exchange):
    line = as_json(make_exchange())
    assert line == {
        "time": "2024-05-01T12:00:00.000Z",
        "clf_time": "01/May/2024:12:00:00 +0000",
        "id": "3f9c4a1be0d27756",
        "client": "192.0.2.7",
        "user": None,
        "peer": "192.0.2.7",
        "listener": "main",
        "scheme": "http",
        "method": "GET",
        "host": "example.com",
        "target": "/orders?page=2",
        "protocol": "HTTP/1.1",
        "status": 200,
        "bytes_in": 0,
        "bytes_out": 5120,
        "duration_ms": 12.4,
        "route": "default",
        "upstream": "app",
        "endpoint": "10.0.0.1:8000",
        "attempts": 1,
        "upstream_ms": 11.9,
        "user_agent": "curl/8.5.0",
        "referer": None,
        "error": None,
        "answered_by": None,
    }
    assert list(line) == list(FIELDS)


def test_fields_and_their_order_can_be_chosen(make_exchange):
    assert json_lines(("status", "client"))(make_exchange()) == b'{"status":200,"client":"192.0.2.7"}\n'


@pytest.mark.parametrize("name", FIELDS)
def test_each_field_can_stand_alone(make_exchange, name):
    assert list(as_json(make_exchange(), (name,))) == [name]
    assert text_lines(f"{{{name}}}")(make_exchange()).endswith(b"\n")


def test_times_of_several_attempts_are_added_up(make_exchange):
    exchange = make_exchange()
    exchange.attempts.insert(0, SimpleNamespace(started=999.0, ended=999.10000001, endpoint=None))
    line = as_json(exchange)
    assert (line["attempts"], line["endpoint"]) == (2, "10.0.0.1:8000")
    assert line["upstream_ms"] == pytest.approx(111.9, abs=0.01)


def test_an_attempt_that_has_no_end_ended_with_the_exchange(make_exchange):
    exchange = make_exchange()
    exchange.attempts[0].ended = 0.0
    assert as_json(exchange)["upstream_ms"] == 12.3


def test_an_answer_of_a_plugin_names_it(make_exchange):
    exchange = make_exchange()
    exchange.attempts.clear()
    exchange.note("headers", "looked")
    exchange.answered("rate-limit", "429")
    line = as_json(exchange)
    assert line["answered_by"] == "rate-limit"
    assert (line["endpoint"], line["upstream"], line["attempts"], line["upstream_ms"]) == (None, None, 0, None)


def test_an_error_is_named(make_exchange):
    exchange = make_exchange()
    exchange.error = UpstreamError("it broke")
    assert as_json(exchange)["error"] == "UpstreamError: it broke"


def test_a_client_that_left_before_the_answer_has_status_499(make_exchange):
    exchange = make_exchange()
    exchange.response = None
    assert as_json(exchange)["status"] == 499


def test_a_route_that_nothing_matched_needs_no_upstream(make_exchange):
    exchange = make_exchange()
    exchange.attempts.clear()
    exchange.route = SimpleNamespace(name="none")
    assert as_json(exchange)["route"] == "none"


def test_bytes_that_are_no_text_are_written_as_what_they_are(make_exchange):
    line = as_json(make_exchange(b"/\xff\xc3\xa4", {"host": "a", "referer": b"\xfe"}))
    assert (line["target"], line["referer"]) == ("/\\xffä", "\\xfe")


def test_the_seconds_are_formatted_anew_when_they_change(make_exchange):
    times = iter([NOON, NOON + 1, NOON, NOON + 0.5])
    line = json_lines(("time",), lambda: next(times))
    seconds = [json.loads(line(make_exchange()))["time"][17:23] for _ in range(4)]
    assert seconds == ["00.000", "01.000", "00.000", "00.500"]


def test_the_default_text_is_the_combined_log_format(make_exchange):
    line = text_lines(COMBINED, clock)(make_exchange())
    expected = (
        b'192.0.2.7 - - [01/May/2024:12:00:00 +0000] "GET /orders?page=2 HTTP/1.1" 200 5120 "-" "curl/8.5.0"\n'
    )
    assert line == expected


@pytest.mark.parametrize(
    ("user", "text", "in_json"),
    [("", b"-", None), ("ana", b"ana", "ana"), ('x [y] "GET', b"x\\x20[y]\\x20\\x22GET", 'x [y] "GET')],
)
def test_who_has_proven_to_be_somebody_is_named(make_exchange, user, text, in_json):
    exchange = make_exchange()
    exchange.user = user
    assert text_lines(COMBINED)(exchange).split(b" ")[2] == text
    assert as_json(exchange)["user"] == in_json


def test_a_percent_sign_in_a_template_is_just_one(make_exchange):
    assert text_lines("100%s {status}")(make_exchange()) == b"100%s 200\n"


def test_a_quote_cannot_end_a_field_of_text(make_exchange):
    exchange = make_exchange("/", {"host": "a", "user-agent": 'x" 200 "\\\x1b[31m\x85'.encode("latin-1")})
    assert text_lines('"{user_agent}"')(exchange) == b'"x\\x22 200 \\x22\\x5c\\x1b[31m\\x5cx85"\n'


@settings(deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(target=st.binary(), agent=st.binary(), host=st.text(), who=st.text(st.characters(exclude_categories=["Cs"])))
def test_whatever_a_client_sends_is_one_line(make_exchange, target, agent, host, who):
    exchange = make_exchange("/", {"host": "a"})
    exchange.request.raw_path = target
    exchange.request.headers.raw.append((b"user-agent", agent))
    exchange.id = exchange.request.method = exchange.user = who
    exchange.request._host = host.encode("utf-8", "replace").decode()
    line = json_lines(DEFAULT_FIELDS)(exchange)
    assert line.count(b"\n") == 1
    assert json.loads(line)["id"] == who
    text = text_lines(COMBINED)(exchange)
    assert text.count(b"\n") == 1
    assert text.count(b'"') == 6
    assert text.split(b" ")[3].startswith(b"[")
    assert len(text.decode().splitlines()) == 1


@settings(deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fields=st.dictionaries(st.sampled_from(["user-agent", "referer", "host"]), st.binary()),
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=3, max_size=3),
)
@example({"user-agent": b"\xed\xa0\x80\xff"}, ["\udcff", "\x00\x7f\x85\u2028", '"\\'])
def test_a_line_is_json_whatever_is_in_it(make_exchange, fields, texts):
    exchange = make_exchange("/", {})
    exchange.request.headers.raw.extend((name.encode(), value) for name, value in fields.items())
    exchange.id, exchange.request.method, exchange.route.name = texts
    line = json.loads(EVERY_FIELD(exchange))
    assert (line["id"], line["method"], line["route"]) == tuple(texts)
    assert line["user_agent"] == (
        fields["user-agent"].decode("utf-8", "backslashreplace") if "user-agent" in fields else None
    )


def test_values_are_written_right_though_more_come_than_are_remembered(make_exchange):
    for number in range(MAX_KNOWN + 10):
        target = f"/{number}" if number % 7 else f"/{number}" + "x" * 300
        assert json.loads(EVERY_FIELD(make_exchange(target)))["target"] == target


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"fields": ["time", "statsu"]}, "unknown field 'statsu'; did you mean 'status'"),
        ({"fields": []}, "at least 1"),
        ({"template": "{clint}"}, "did you mean 'client'"),
        ({"template": "nothing"}, "at least one field"),
        ({"format": "xml"}, "'json' or 'text'"),
        ({"batch": 0}, "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_is_refused_at_load(config, message):
    with pytest.raises(ValidationError, match=message):
        AccessLog.Config.model_validate(config)


def test_the_readme_explains_every_field():
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    for name, field in FIELDS.items():
        assert f"| `{name}` | {field.meaning} | {'yes' if name in DEFAULT_FIELDS else 'no'} |" in readme
