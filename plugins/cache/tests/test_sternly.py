"""What caches are known to get wrong, in literal messages: each is a MUST, or somebody's page at risk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from gateway_cache.claims import Claims
from gateway_cache.keys import digest

from gateway.testing import CutShort, reply, wait_until

MODIFIED = b"Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"
HOUR = b"Cache-Control: max-age=3600"


# -- what must not come to others ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [
        b"private; max-age=60", b"no-store; max-age=60", b"no-store;", b"no-cache; foo, max-age=60",
        b'private="x-user, max-age=60', b"private;, max-age=60", b"no-cache no-store, max-age=60",
        b'max-age=60\r\nCache-Control: no-store="',
    ],
)  # fmt: skip
def test_a_word_that_restricts_counts_however_badly_it_is_written(case, written):
    case.answers(b"Cache-Control: " + written, MODIFIED)
    case.get()
    case.get()
    assert case.asked == 2


@pytest.mark.parametrize("wish", ["max-stale", "max-stale=999", "stale-if-error=999"])
@pytest.mark.parametrize("fields", [(b'ETag: W/"1"',), (b"Cache-Control: max-age=0", b'ETag: "1"')])
def test_what_was_never_fresh_is_nobody_elses_on_a_clients_word(case, wish, fields):
    case.answers(*fields, body=b"of alice")
    case.get()
    case.origin.answer(reply(b"", status=b"503 Down"))
    assert case.get(f"Cache-Control: {wish}").status == 503


@pytest.mark.parametrize("fields", [(), (b'ETag: "a"',), (b"Cache-Control: max-age=0", b'ETag: "a"')])
def test_what_was_never_fresh_is_nobody_elses_on_the_configurations_word(gateway, origin, fields):
    app = origin(reply(b"of alice", *fields))
    settings = {"use": "cache", "stale_while_revalidate": "30s", "stale_if_error": "30s"}
    site = gateway(endpoints=[app], workers=1, plugins=[settings])
    site.get("/")
    assert b"; hit" not in site.get("/").header("cache-status")
    app.answer(reply(b"", status=b"503 Down"))
    assert site.get("/").status == 503


def test_a_response_that_depends_on_what_the_gateway_writes_is_not_stored(case):
    case.answers(b"Cache-Control: max-age=60", b"Vary: X-Forwarded-For")
    case.get()
    case.get()
    assert case.asked == 2


@pytest.mark.parametrize("field", [b"Proxy-Authentication-Info: x=1", b"Keep-Alive: timeout=5", b"Upgrade: h2c"])
def test_a_field_of_one_hop_is_not_stored(case, field):
    case.answers(HOUR, field)
    case.get()
    answer = case.get()
    assert (case.told(answer), answer.header(field.partition(b":")[0].decode().lower())) == ("hit; ttl=", None)


# -- what a validation brings --------------------------------------------------------------------------------


@pytest.mark.parametrize("vary", [b"Accept-Language", b"*"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_confirmation_that_says_vary_changes_what_selects(case, vary, method):
    case.stale()
    if method == "GET":
        case.confirms(b'ETag: "a"', b"Cache-Control: max-age=60", b"Vary: " + vary)
    else:
        case.answers_to_head(b'ETag: "a"', b"Cache-Control: max-age=60", b"Vary: " + vary)
    case.get("Accept-Language: de", method=method)
    case.answers(b"Cache-Control: max-age=60", body=b"english")
    assert case.get("Accept-Language: en").body == b"english"


def test_what_a_confirmation_says_to_one_client_is_not_kept_from_him_nor_for_others(case):
    case.stale()
    case.confirms(b'ETag: "a"', b'Cache-Control: max-age=60, private="x-user"', b"X-User: ann")
    assert case.get().header("x-user") == b"ann"
    again = case.get()
    assert (case.told(again), again.header("x-user")) == ("hit; ttl=", None)


def test_a_cookie_that_comes_with_a_confirmation_is_given_to_its_client(case):
    case.stale()
    case.confirms(b'ETag: "a"', b"Cache-Control: max-age=60", b"Set-Cookie: s=1", b"X-New: 1")
    answer = case.get()
    assert (answer.body, answer.header("set-cookie"), answer.header("x-new")) == (b"one", b"s=1", b"1")
    assert case.get().header("set-cookie") == b"s=1"  # asked anew
    assert case.asked == 3


def test_a_confirmation_of_another_date_confirms_nothing(case):
    case.stale(b"Cache-Control: max-age=10", MODIFIED)
    case.confirms(b"Last-Modified: Mon, 07 Nov 1994 08:49:37 GMT", b"Cache-Control: max-age=60")
    case.get()
    case.answers(b"Cache-Control: max-age=60", body=b"two")
    assert case.get().body == b"two"


def test_an_answer_to_head_says_nothing_of_a_stored_error(case):
    case.answers(b"Cache-Control: max-age=10", b"Date: " + case.ago(50), b'ETag: "a"', status=b"404 No")
    case.get()
    case.answers_to_head(b"Cache-Control: max-age=60")
    case.get(method="HEAD")
    case.answers(b"Cache-Control: max-age=60", body=b"there")
    assert case.get().body == b"there"


def test_one_client_that_is_refused_takes_nothing_from_the_others(case):
    case.stale(b"Cache-Control: max-age=10, stale-if-error=600", b'ETag: "a"')
    case.answers(status=b"429 Slowly")
    assert case.get().status == 429
    case.origin.answer(reply(b"", status=b"503 Down"))
    assert case.get().body == b"one"


def test_a_client_with_authorization_confirms_for_all(case):
    case.stale()
    case.confirms(b'ETag: "a"', b"Cache-Control: max-age=60")
    assert case.get("Authorization: Basic x").body == b"one"
    assert case.told(case.get()) == "hit; ttl="


def test_a_part_that_comes_late_takes_nothing_from_what_is_newer(case):
    case.answers(HOUR, b'ETag: "b"', b"Date: " + case.ago(5), body=b"0123456789")
    case.get()
    late = (HOUR, b'ETag: "a"', b"Date: " + case.ago(60), b"Content-Range: bytes 0-2/10")
    case.answers(*late, body=b"old", status=b"206 Partial Content")
    case.get("Range: bytes=0-2", "Cache-Control: no-cache")
    assert case.get().body == b"0123456789"


# -- what a stored response says -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("since", "status"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 304),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 304),
        ("Sun Nov  6 08:49:37 1994", 304),
        ("Sun, 06 Nov 1994 08:49:36 GMT", 200),
        ("yesterday", 200),
    ],
)
def test_a_condition_by_date_is_read_in_all_its_forms(case, since, status):
    case.answers(HOUR, MODIFIED)
    case.get()
    assert case.get(f"If-Modified-Since: {since}").status == status
    assert case.asked == 1


def test_without_a_date_of_modification_the_date_of_the_response_counts(case):
    made = case.ago(5)
    case.answers(HOUR, b"Date: " + made)
    case.get()
    assert case.get(f"If-Modified-Since: {made.decode()}").status == 304
    assert case.get(f"If-Modified-Since: {case.ago(60).decode()}").status == 200


def test_conditions_are_for_responses_that_succeeded(case):
    case.answers(HOUR, b'ETag: "a"', b"Location: /x", status=b"301 Moved")
    case.get()
    assert (case.get('If-None-Match: "a"').status, case.asked) == (301, 1)


@pytest.mark.parametrize(
    ("fields", "status", "content_range"),
    [
        (["Range: bytes=9-20"], 206, b"bytes 9-9/10"),
        (["Range: bytes=-0"], 416, b"bytes */10"),
        (["Range: bytes=10-"], 416, b"bytes */10"),
        (["Range: items=0-1"], 200, None),
        (["Range: bytes=5-2"], 200, None),
        (["Range: bytes=0-1", 'If-Range: W/"a"'], 200, None),
    ],
)
def test_a_range_is_read_to_the_letter(case, fields, status, content_range):
    case.answers(HOUR, b'ETag: "a"', b"Vary: X-V", b"Content-Location: /y", body=b"0123456789")
    case.get()
    answer = case.get(*fields)
    assert (answer.status, answer.header("content-range"), case.asked) == (status, content_range, 1)
    if status == 206:
        assert [answer.header(name) for name in ("etag", "vary", "content-location")] == [b'"a"', b"X-V", b"/y"]


def test_a_range_is_for_get_alone(case):
    case.answers(HOUR, body=b"0123456789")
    case.get()
    assert case.get("Range: bytes=0-0", method="HEAD").status == 200


def test_no_length_is_said_of_what_has_none(case):
    case.answers(HOUR, body=b"", status=b"204 No Content")
    case.get()
    answer = case.get(method="HEAD")
    assert (case.told(answer), answer.header("content-length")) == ("hit; ttl=", None)


def test_what_is_immutable_is_not_confirmed_for_a_client_that_reloads(case):
    case.answers(b"Cache-Control: max-age=600, immutable", b'ETag: "a"', b"Date: " + case.ago(50))
    case.get()
    assert case.get("Cache-Control: max-age=0", 'If-None-Match: "a"').status == 304
    assert case.asked == 1
    case.get("Cache-Control: no-cache")
    assert case.asked == 2


def test_where_nobody_has_answered_no_status_is_told(gateway, origin):
    app = origin()
    url = app.url
    app.close()
    site = gateway(endpoints=[url], workers=1, plugins=["cache"])
    assert site.get("/").header("cache-status") == b"gateway; fwd=uri-miss"


def test_what_has_to_pass_says_so(case):
    case.answers(b"Cache-Control: max-age=60")
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        assert case.told(case.get("Content-Length: 0", method=method)) == "fwd=method; fwd-status=200"
    with_body = case.site.request(b"GET / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\nx")
    assert case.told(with_body) == "fwd=bypass; fwd-status=200"


# -- what is left behind -------------------------------------------------------------------------------------


def test_a_body_that_was_cut_is_known_as_cut_by_old_clients_too(case):
    def dying(connection, request):
        connection.send(
            b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 200000\r\n\r\n" + bytes(1000)
        )
        connection.close()

    case.origin.answer(dying)
    with pytest.raises(CutShort):
        case.site.request(f"GET {case.path} HTTP/1.0\r\nHost: a.example\r\n\r\n".encode())


def test_cut_bodies_leave_no_open_file(gateway, origin, tmp_path):
    def dying(connection, request):
        connection.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.send(b"40000\r\n" + bytes(0x40000))
        connection.close()

    settings = {"use": "cache", "disk": str(tmp_path / "store"), "max_entry": "100kB"}
    site = gateway(endpoints=[origin(dying)], workers=1, plugins=[settings])
    for number in range(20):
        with pytest.raises(CutShort):
            site.get(f"/{number}")
    (worker,) = site.workers

    def open_bodies() -> int:
        found = 0
        for entry in os.scandir(f"/proc/{worker}/fd"):
            try:
                found += "/bodies/" in os.readlink(entry.path)
            except FileNotFoundError:
                pass
        return found

    wait_until(lambda: open_bodies() == 0)
    assert list((tmp_path / "store" / "bodies").iterdir()) == []


def test_who_wants_something_newer_waits_for_no_other_worker(gateway, origin, tmp_path):
    app = origin(reply(b"one", b"Cache-Control: max-age=60"))
    folder = tmp_path / "store"
    site = gateway(endpoints=[app], workers=1, plugins=[{"use": "cache", "disk": str(folder)}])
    (folder / "claims" / digest(b"http://example.com/").hex()).touch()  # as another process would
    assert site.get("/", b"Cache-Control: no-cache").body == b"one"
    assert len(app.requests) == 1
    assert Claims(Path(folder / "claims")).take(b"http://example.com/") is None  # it still has it
