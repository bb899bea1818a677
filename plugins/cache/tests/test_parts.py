"""Parts are stored, combined with others of the same bytes, and serve who wants no more (RFC 9111 3.3, 3.4)."""

from __future__ import annotations

import pytest
from gateway_cache.partial import Parts
from hypothesis import given
from hypothesis import strategies as st

from gateway import ByteRange

WHOLE = b"0123456789"
FRESH = (b"Cache-Control: max-age=60", b'ETag: "a"')


def part(case, first: int, last: int, *fields: bytes, total: bytes = b"10", body: bytes | None = None) -> None:
    """What the origin answers from now on to a range."""
    case.answers(
        *(fields or FRESH),
        b"Content-Range: bytes %d-%d/%b" % (first, last, total),
        body=WHOLE[first : last + 1] if body is None else body,
        status=b"206 Partial Content",
    )


def wanted(case, wanted: str, *fields: str):
    answer = case.get(f"Range: bytes={wanted}", *fields)
    return answer.status, answer.body, answer.header("content-range"), case.told(answer).split("; fwd-status")[0]


def test_a_part_serves_what_lies_within_it(case):
    part(case, 2, 6)
    first = case.get("Range: bytes=2-6")
    assert (first.status, case.told(first)) == (206, "fwd=uri-miss; fwd-status=206; stored")
    assert wanted(case, "2-6") == (206, b"23456", b"bytes 2-6/10", "hit; ttl=")
    assert wanted(case, "3-4") == (206, b"34", b"bytes 3-4/10", "hit; ttl=")
    assert case.get("Range: bytes=3-4").header("content-length") == b"2"
    assert case.asked == 1


@pytest.mark.parametrize("field", ["Range: bytes=5-8", "Range: bytes=2-3,5-6", "Range: items=1-2", "X-No-Range: 1"])
def test_who_wants_more_than_is_there_asks_the_origin(case, field):
    part(case, 2, 6)
    case.get("Range: bytes=2-6")
    case.answers(b"Cache-Control: no-store", body=WHOLE)
    assert case.told(case.get(field)) == "fwd=partial; fwd-status=200"


def test_parts_of_the_same_bytes_are_combined_and_make_a_whole_at_last(case):
    for first, last in ((0, 2), (6, 9)):
        part(case, first, last)
        case.get(f"Range: bytes={first}-{last}")
    assert wanted(case, "1-2")[1:] == (b"12", b"bytes 1-2/10", "hit; ttl=")
    assert wanted(case, "-3")[1:] == (b"789", b"bytes 7-9/10", "hit; ttl=")
    part(case, 2, 7)
    assert wanted(case, "2-7")[3] == "fwd=partial"
    answer = case.get()
    assert (answer.status, answer.body, case.told(answer)) == (200, WHOLE, "hit; ttl=")
    assert answer.header("content-range") is None
    assert case.asked == 3


def test_a_part_of_other_bytes_takes_the_place_of_what_is_there(case):
    part(case, 0, 4)
    case.get("Range: bytes=0-4")
    part(case, 5, 9, b"Cache-Control: max-age=60", b'ETag: "b"', body=b"vwxyz")
    assert wanted(case, "5-9")[1] == b"vwxyz"
    assert wanted(case, "6-7")[1:] == (b"wx", b"bytes 6-7/10", "hit; ttl=")
    part(case, 0, 4, b"Cache-Control: max-age=60", b'ETag: "b"', body=b"qrstu")
    assert wanted(case, "0-4")[1:] == (b"qrstu", b"bytes 0-4/10", "fwd=partial")
    assert case.get().body == b"qrstuvwxyz"


@pytest.mark.parametrize(
    "fields",
    [
        (b"Cache-Control: max-age=60", b'ETag: W/"a"'),
        (b"Cache-Control: max-age=60",),
        (b"Cache-Control: no-store", b'ETag: "a"'),
        (b"Cache-Control: private", b'ETag: "a"'),
    ],
)
def test_a_part_that_nobody_could_use_is_not_stored(case, fields):
    part(case, 0, 4, *fields)
    case.get("Range: bytes=0-4")
    assert wanted(case, "0-4")[3] == "fwd=uri-miss"


def test_a_date_of_a_modification_that_was_over_tells_parts_apart_where_there_is_no_etag(case):
    modified = b"Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"
    part(case, 0, 4, b"Cache-Control: max-age=60", modified, b"Date: " + case.ago(5))
    case.get("Range: bytes=0-4")
    assert wanted(case, "1-2")[3] == "hit; ttl="


@pytest.mark.parametrize(
    ("total", "range_", "body"), [(b"*", (0, 4), None), (b"10", (0, 5), b"01234"), (b"4", (0, 4), None)]
)
def test_a_part_whose_place_is_not_known_for_certain_is_not_stored(case, total, range_, body):
    part(case, *range_, total=total, body=body)
    case.get("Range: bytes=0-4")
    assert wanted(case, "0-4")[3] == "fwd=uri-miss"


def test_a_part_that_nobody_has_asked_for_is_not_stored(case):
    part(case, 0, 4)
    case.get()
    assert wanted(case, "0-4")[3] == "fwd=uri-miss"


@pytest.mark.parametrize(("given", "told"), [('"a"', "hit; ttl="), ('"b"', "fwd=partial")])
def test_if_range_is_looked_at(case, given, told):
    part(case, 0, 4)
    case.get("Range: bytes=0-4")
    assert wanted(case, "0-4", f"If-Range: {given}")[3] == told


def test_a_condition_is_answered_from_a_part(case):
    part(case, 0, 4)
    case.get("Range: bytes=0-4")
    assert case.get("Range: bytes=0-4", 'If-None-Match: "a"').status == 304
    assert case.asked == 1


def test_a_stale_part_is_confirmed(case):
    part(case, 0, 4, b"Cache-Control: max-age=10", b'ETag: "a"', b"Date: " + case.ago(50))
    case.get("Range: bytes=0-4")
    case.origin.answer(b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nCache-Control: max-age=60\r\n\r\n')
    assert wanted(case, "1-2") == (206, b"12", b"bytes 1-2/10", "fwd=stale")
    assert case.origin.last.header("range") is None
    assert wanted(case, "1-2")[3] == "hit; ttl="


def test_a_part_freshens_a_whole_of_the_same_bytes(case):
    case.answers(b"Cache-Control: max-age=60", b'ETag: "a"', b"X-New: 0", body=WHOLE)
    case.get()
    part(case, 0, 4, *FRESH, b"X-New: 1")
    assert wanted(case, "0-4", "Cache-Control: no-cache")[3] == "fwd=request"
    answer = case.get()
    assert (case.told(answer), answer.body) == ("hit; ttl=", WHOLE)


def test_a_part_is_no_answer_to_head(case):
    part(case, 0, 4)
    case.get("Range: bytes=0-4")
    case.answers(*FRESH)
    assert case.told(case.get("Range: bytes=0-4", method="HEAD")).startswith("fwd=partial")


def test_a_whole_for_some_clients_serves_beside_a_part(case):
    case.answers(*FRESH, b"Vary: Accept", body=WHOLE)
    case.get("Accept: text/x")
    part(case, 0, 4)
    case.get("Accept: text/y", "Range: bytes=0-4")
    answer = case.get("Accept: text/x")
    assert (case.told(answer), answer.body) == ("hit; ttl=", WHOLE)


spans = st.lists(st.tuples(st.integers(0, 39), st.integers(1, 12)), min_size=1, max_size=12)


@given(spans, st.integers(0, 39), st.integers(1, 12))
def test_what_is_there_is_what_was_put_and_nothing_else(put, start, length):
    whole = bytes(range(40))
    pieces = [Parts(40, ((at, whole[at : at + size]),)) for at, size in put]
    parts = pieces[0]
    for other in pieces[1:]:
        parts = parts.with_others(other)
    there = {place for at, size in put for place in range(at, min(40, at + size))}
    wanted = ByteRange(start, min(40, start + length))
    expected = whole[wanted.start : wanted.end] if there.issuperset(range(*wanted)) else None
    assert parts.cut(wanted) == expected
    assert parts.size == len(there)
    assert (parts.whole == whole) is (len(there) == 40)
