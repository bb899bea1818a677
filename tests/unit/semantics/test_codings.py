"""Accept-Encoding: which coding a client likes best."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.semantics import accepted_codings, choose_coding, quality

OFFERED = (b"zstd", b"br", b"gzip", b"identity")


@pytest.mark.parametrize(
    ("fields", "chosen"),
    [
        ([], b"zstd"),
        ([b""], b"identity"),
        ([b"gzip"], b"gzip"),
        ([b"gzip, deflate, br, zstd"], b"zstd"),
        ([b"gzip, br"], b"br"),
        ([b"gzip", b"br"], b"br"),
        ([b"gzip;q=1.0, br;q=0.5"], b"gzip"),
        ([b"gzip ; Q=0.8,br;q=0.9"], b"br"),
        ([b"*"], b"zstd"),
        ([b"*;q=0"], None),
        ([b"identity;q=0"], None),
        ([b"identity;q=0, *"], b"zstd"),
        ([b"gzip, identity;q=0"], b"gzip"),
        ([b"zstd;q=0, *;q=0.1"], b"br"),
        ([b"identity, gzip"], b"gzip"),
        ([b"identity;q=1, gzip;q=0.5"], b"identity"),
        ([b"x-gzip"], b"gzip"),
        ([b"GZIP"], b"gzip"),
        ([b"deflate"], b"identity"),
        ([b"gzip;q=nonsense, br;q=0.001"], b"br"),
        ([b"gzip;q=0.0001, ,;;, br;q=0.2"], b"br"),
        ([b"gzip;q=0, gzip"], b"identity"),
    ],
)
def test_the_coding_that_is_liked_best_is_chosen(fields, chosen):
    assert choose_coding(fields, OFFERED) == chosen


def test_without_a_field_everything_is_acceptable_and_without_a_name_only_identity():
    assert accepted_codings([]) is None
    assert quality(None, b"br") == 1000
    assert quality(accepted_codings([b"gzip;q=0.5"]), b"gzip") == 500
    assert quality(accepted_codings([b"gzip"]), b"br") == 0
    assert quality(accepted_codings([b"gzip"]), b"identity") > 0


@given(st.lists(st.binary(max_size=40) | st.text("gzipbr*q=;,.01 ", max_size=40).map(str.encode), max_size=3))
def test_any_fields_can_be_read(fields):
    chosen = choose_coding(fields, OFFERED)
    assert chosen is None or chosen in OFFERED
