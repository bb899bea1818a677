"""Headers that only the gateway sets: a client neither forges one nor takes one away."""

from __future__ import annotations

import pytest
from gateway_security.own_headers import OwnHeaders, check_own_header
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import Headers

OWN = OwnHeaders(["x-auth-user"])


def cleared(*fields: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    headers = Headers.adopt(list(fields))
    OWN.clear(headers)
    return headers.raw


@pytest.mark.parametrize("name", [b"x-auth-user", b"x_auth_user", b"x_auth-user", b"x.auth~user"])
def test_what_means_the_same_behind_is_taken_away(name):
    assert cleared((b"host", b"a"), (name, b"root"), (b"x-auth-users", b"b"), (name, b"c")) == [
        (b"host", b"a"),
        (b"x-auth-users", b"b"),
    ]


@pytest.mark.parametrize(
    ("value", "left"),
    [
        (b"x-auth-user", []),
        (b"close, X-Auth-User", [b"close"]),
        (b"x-other,x_auth_user , te", [b"x-other, te"]),
        (b"keep-alive", [b"keep-alive"]),
    ],
)
def test_connection_cannot_name_them(value, left):
    assert cleared((b"connection", value)) == [(b"connection", each) for each in left]


@settings(deadline=None, database=None, max_examples=60)
@given(st.lists(st.tuples(st.from_regex(rb"[xX][-_.][a-z-_]{1,9}", fullmatch=True), st.binary(max_size=3))))
def test_all_others_stay_in_their_order(fields):
    assert cleared(*fields) == [field for field in fields if field[0].replace(b"_", b"-") != b"x-auth-user"]


@pytest.mark.parametrize("name", ["Connection", "x-forwarded-for", "Host", "a b", ""])
def test_names_that_are_spoken_for_are_refused(name):
    with pytest.raises(ValueError, match=r"is set by the gateway|is not a token"):
        check_own_header(name)
