"""What is encoded for whom, and what that means for the fields."""

from __future__ import annotations

import pytest
from gateway_compression import Compression
from gateway_compression.decisions import NOTHING, Decision, Judge
from gateway_compression.fields import (
    forbids_transforming,
    recoded,
    weakened_if_asked,
    with_strong_if_match,
    with_vary,
    without_weak_range,
)
from gateway_compression.media_types import MediaTypes
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway import Headers

ALL = [b"gzip, br, zstd"]
HTML = ("content-type", "text/html")
VARIES = Decision(varies=True)


def decide(accepts, *fields, status=200, size=None, forbids=False, decodes=False, codings=("zstd", "br", "gzip")):
    judge = Judge(codings, MediaTypes(("text/*",)), 100, decodes)
    return judge.decide(accepts, forbids, status, Headers(fields), size)


@pytest.mark.parametrize(
    ("accepts", "coding"),
    [
        (ALL, b"zstd"),
        ([b"gzip", b"br"], b"br"),
        ([b"gzip, br;q=0.9"], b"gzip"),
        ([b"x-gzip"], b"gzip"),
        ([b"*"], b"zstd"),
        ([b"*, zstd;q=0"], b"br"),
        ([b"br;q=nonsense, ;;, gzip"], b"gzip"),
        ([b"gzip, identity;q=0"], b"gzip"),
        ([b"identity;q=0"], None),
        ([b"*;q=0"], None),
        ([b"identity, gzip;q=0.5"], None),
        ([b"deflate"], None),
        ([b""], None),
        ([], None),
    ],
)
def test_the_client_gets_the_coding_that_it_likes_best(accepts, coding):
    assert decide(accepts, HTML) == Decision(None, coding, varies=True)


def test_of_those_that_a_client_likes_equally_the_configured_order_decides():
    assert decide(ALL, HTML, codings=("gzip", "zstd")).encode == b"gzip"


@pytest.mark.parametrize("status", [101, 204, 205])
def test_what_has_no_body_is_left_alone(status):
    assert decide(ALL, HTML, status=status) is NOTHING


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ([("content-type", "image/png")], None),
        ([], None),
        ([HTML], 99),
        ([HTML, ("content-encoding", "br")], None),
        ([HTML, ("content-encoding", "gzip, br")], None),
        ([HTML, ("content-encoding", "compress")], None),
        ([HTML, ("cache-control", "max-age=5, No-Transform")], None),
        ([HTML, ("cache-control", "max-age=5"), ("cache-control", "no-transform")], None),
    ],
)
def test_what_is_encoded_for_nobody_does_not_vary(fields, size):
    assert decide(ALL, *fields, size=size) is NOTHING


def test_parts_vary_and_stay_as_they_are():
    assert decide(ALL, HTML, status=206) == VARIES
    assert decide(ALL, HTML, ("content-range", "bytes 0-1/2")) == VARIES
    assert decide(ALL, HTML, forbids=True) == VARIES


def test_a_304_varies_if_the_whole_response_may():
    assert decide(ALL, HTML, status=304) == VARIES
    assert decide(ALL, status=304) == VARIES
    assert decide(ALL, ("content-type", "image/png"), status=304) is NOTHING


def test_an_identity_that_is_said_aloud_is_none():
    assert decide(ALL, HTML, ("content-encoding", "Identity")).encode == b"zstd"


@pytest.mark.parametrize(
    ("accepts", "present", "decision"),
    [
        ([b"br"], "br", VARIES),
        ([b"gzip;q=0.1, *;q=0"], "x-gzip", VARIES),
        ([], "br", Decision(b"br", None, True)),
        ([b"gzip"], "br", Decision(b"br", b"gzip", True)),
        ([b"deflate"], "zstd", Decision(b"zstd", None, True)),
        ([b"gzip"], "compress", NOTHING),
        ([b"gzip"], "br, br", NOTHING),
    ],
)
def test_what_an_endpoint_encoded_is_decoded_for_those_who_cannot(accepts, present, decision):
    assert decide(accepts, HTML, ("content-encoding", present), size=10, decodes=True) == decision


def test_a_picture_may_be_decoded_and_is_not_encoded_anew():
    fields = [("content-type", "image/png"), ("content-encoding", "br")]
    assert decide([b"gzip"], *fields, decodes=True) == Decision(b"br", None, True)


@pytest.mark.parametrize(
    ("content_type", "is_matched"),
    [
        (b"text/html", True),
        (b"Text/HTML ; charset=utf-8", True),
        (b"application/problem+json", True),
        (b"application/json", False),
        (b"xtext/html", False),
        (b"text", False),
        (b"", False),
        (None, False),
    ],
)
def test_types_match_by_pattern(content_type, is_matched):
    types = MediaTypes(("text/*", "application/*+json"))
    assert types[content_type] is types[content_type] is is_matched


def test_types_that_endpoints_make_up_do_not_fill_the_memory():
    types = MediaTypes(("text/*",))
    for number in range(10_000):
        assert types[b"text/%d" % number]
    assert len(types) < 1000
    assert not MediaTypes(())[b"text/html"]


def test_what_the_new_coding_belies_goes_and_the_tag_becomes_weak():
    raw = Headers(
        [
            ("etag", '"a"'), ("content-length", "9"), ("content-md5", "x"), ("digest", "x"), ("repr-digest", "x"),
            ("content-digest", "x"), ("accept-ranges", "bytes"), ("content-encoding", "identity"), ("x", "y"),
        ]
    ).raw  # fmt: skip
    assert recoded(raw, b"br") == [(b"etag", b'W/"a"'), (b"x", b"y"), (b"content-encoding", b"br")]
    assert recoded([(b"etag", b'W/"a"')], None) == [(b"etag", b'W/"a"')]
    assert recoded([(b"etag", b"no tag")], None) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], [b"Accept-Encoding"]),
        ([b"Origin"], [b"Origin, Accept-Encoding"]),
        ([b"Origin", b"Cookie, "], [b"Origin", b"Cookie, Accept-Encoding"]),
        ([b""], [b"Accept-Encoding"]),
        ([b"*"], [b"*"]),
        ([b"Cookie, *"], [b"Cookie, *"]),
        ([b"ACCEPT-ENCODING, Origin"], [b"ACCEPT-ENCODING, Origin"]),
        ([b"x-accept-encoding"], [b"x-accept-encoding, Accept-Encoding"]),
    ],
)
def test_vary_is_merged(before, after):
    assert with_vary([(b"vary", value) for value in before]) == [(b"vary", value) for value in after]


def test_a_304_has_the_tag_that_the_client_asked_with():
    raw = [(b"etag", b'"a"')]
    assert weakened_if_asked(raw, [b'"z", W/"a"']) == [(b"etag", b'W/"a"')]
    assert weakened_if_asked(raw, [b'"a"']) == raw
    assert weakened_if_asked(raw, [b"*"]) == raw


def test_conditions_are_mended():
    assert with_strong_if_match([(b"if-match", b'W/"a", "W/b"')]) == [(b"if-match", b'"a", "W/b"')]
    ranged = [(b"range", b"bytes=0-1"), (b"if-range", b' W/"a"'), (b"x", b"y")]
    assert without_weak_range(ranged) == [(b"x", b"y")]
    strong = [(b"range", b"bytes=0-1"), (b"if-range", b'"a"')]
    assert without_weak_range(strong) == strong


@pytest.mark.parametrize(
    ("value", "forbids"),
    [(b"no-transform", True), (b"a,NO-TRANSFORM ,b", True), (b"x-no-transform", False), (b"no-transformer", False)],
)
def test_no_transform_is_a_word_of_its_own(value, forbids):
    assert forbids_transforming([b"public", value]) is forbids


@given(st.lists(st.tuples(st.sampled_from([b"vary", b"etag", b"if-match", b"if-range", b"x"]), st.binary())))
def test_any_fields_can_be_changed(raw):
    assert any(name == b"vary" for name, _ in with_vary(raw))
    assert recoded(raw, b"br")[-1] == (b"content-encoding", b"br")
    assert len(with_strong_if_match(raw)) == len(raw)
    assert len(without_weak_range(raw)) <= len(raw)
    assert with_vary(with_vary(raw)) == with_vary(raw)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"codings": ["deflate"]}, "codings"),
        ({"codings": []}, "at least one"),
        ({"codings": ["br", "br"]}, "br stands there twice"),
        ({"types": ["text"]}, "expected a media type"),
        ({"types": ["text/html; charset=utf-8"]}, "without parameters"),
        ({"levels": {"br": 12}}, r"levels\.br"),
        ({"levels": {"gzip": 0}}, r"levels\.gzip"),
        ({"min_size": "1 Kib"}, "expected a size"),
        ({"max_ratio": -1}, "max_ratio"),
        ({"level": {}}, "did you mean 'levels'"),
    ],
)
def test_what_cannot_be_is_refused_at_load(config, message):
    with pytest.raises(ValidationError, match=message):
        Compression.Config.model_validate(config)
