"""Ranges: what is wanted, what is there, and the response with the parts."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import FileBody, OpenFile, Response, ResponseCut
from gateway.semantics import ByteRange, Unsatisfiable, parse_ranges, ranged

BODY = bytes(range(100))


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b"bytes=0-9", [(0, 10)]),
        (b"bytes=90-", [(90, 100)]),
        (b"bytes=-10", [(90, 100)]),
        (b"bytes=-1000", [(0, 100)]),
        (b"bytes=50-1000", [(50, 100)]),
        (b"Bytes = 0-0 , 99-99", [(0, 1), (99, 100)]),
        (b"bytes=20-29,0-9", [(20, 30), (0, 10)]),
        (b"bytes=0-9,200-", [(0, 10)]),
        (b"bytes=,0-9,", [(0, 10)]),
        (b"bytes=0-9,5-14", []),
        (b"bytes=" + b",".join(b"%d-%d" % (n, n) for n in range(17)), []),
        (b"bytes=9-0", []),
        (b"bytes=-", []),
        (b"bytes=", []),
        (b"bytes=a-b", []),
        (b"bytes=0-9;x", []),
        (b"items=0-9", []),
        (b"bytes=0x0-9", []),
        (b"bytes=1-99999999999999999999", []),
    ],
)
def test_a_field_names_parts_or_is_ignored(value, found):
    assert parse_ranges(value, 100) == found


@pytest.mark.parametrize("value", [b"bytes=100-", b"bytes=-0", b"bytes=100-200,300-"])
def test_parts_that_are_not_there_cannot_be_had(value):
    with pytest.raises(Unsatisfiable):
        parse_ranges(value, 100)


def test_nothing_of_an_empty_representation_can_be_had():
    with pytest.raises(Unsatisfiable):
        parse_ranges(b"bytes=0-", 0)


@given(st.binary(max_size=30).map(lambda tail: b"bytes=" + tail), st.integers(0, 1000))
def test_whatever_is_found_lies_within(value, size):
    try:
        found = parse_ranges(value, size)
    except Unsatisfiable:
        return
    assert all(0 <= part.start < part.end <= size for part in found)


def whole(body=BODY) -> Response:
    return Response(200, {"content-type": "text/x", "content-length": "100", "etag": '"a"'}, body)


@pytest.fixture
def file(tmp_path):
    (tmp_path / "file").write_bytes(BODY)
    return FileBody(OpenFile(tmp_path / "file"))


async def read(body) -> bytes:
    return body if isinstance(body, bytes) else b"".join([piece async for piece in body])


async def test_one_part_of_bytes_and_of_a_file(file):
    for body in (BODY, file):
        part = ranged(whole(body), b"bytes=10-19")
        assert (part.status, await read(part.body)) == (206, BODY[10:20])
        assert part.headers.get("content-range") == b"bytes 10-19/100"
        assert part.headers.get("content-length") == b"10"
        assert part.headers.get("etag") == b'"a"'


async def test_several_parts_of_bytes_and_of_a_file(file):
    for body in (BODY, file):
        part = ranged(whole(body), b"bytes=0-0,-1")
        kind = part.headers.get("content-type")
        boundary = re.fullmatch(rb"multipart/byteranges; boundary=(\w+)", kind)[1]
        wire = await read(part.body)
        assert part.headers.get("content-length") == b"%d" % len(wire)
        assert wire == (
            b"--%b\r\nContent-Type: text/x\r\nContent-Range: bytes 0-0/100\r\n\r\n\x00\r\n"
            b"--%b\r\nContent-Type: text/x\r\nContent-Range: bytes 99-99/100\r\n\r\n\x63\r\n--%b--\r\n"
        ) % (boundary, boundary, boundary)


def test_what_cannot_be_had_is_416_without_the_fields_of_the_representation():
    part = ranged(whole(), b"bytes=100-")
    assert (part.status, part.body) == (416, b"")
    assert part.headers.get("content-range") == b"bytes */100"
    assert part.headers.get("etag") is None


def test_a_field_that_is_ignored_leaves_the_whole():
    assert ranged(whole(), b"lines=1-2").status == 200


def test_parts_compare_as_tuples():
    assert ByteRange(0, 10) == (0, 10)
    assert ByteRange(5, 10).length == 5


async def test_a_part_of_a_part_of_a_file(file):
    inner = FileBody(file.file, 10, 50)
    part = ranged(whole(inner), b"bytes=5-9")
    assert await read(part.body) == BODY[15:20]


async def test_a_file_that_has_become_shorter_is_no_clean_end(tmp_path, file):
    (tmp_path / "file").write_bytes(b"short")
    with pytest.raises(ResponseCut):
        await read(file)
