"""Names: what a path stands for, and every path that stands for no file."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from gateway_static.names import ROOT, file_name
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"/", ""),
        (b"/a.txt", "a.txt"),
        (b"/a/b/c.txt", "a/b/c.txt"),
        (b"/a/", "a/"),
        (b"/a%20b", "a b"),
        (b"/%C3%A4", "ä"),
        ("/ä".encode(), "ä"),
        (b"/%2541", "%41"),
        (b"/a%3Fb", "a?b"),
        (b"/a..b", "a..b"),
        (b"/...", None),
        (b"/a/b..", "a/b.."),
        (b"/.well-known/security.txt", ".well-known/security.txt"),
        (b"/.well-known/", ".well-known/"),
        (b"/.well-known", ".well-known"),
        (b"/%2Ewell-known/x", ".well-known/x"),
    ],
)
def test_a_path_is_decoded_exactly_once(path, name):
    assert file_name(path) == name


@pytest.mark.parametrize(
    "path",
    [
        b"", b"*", b"a", b"//", b"//etc/passwd", b"/a//b", b"/a//", b"/.", b"/..", b"/../a", b"/a/..",
        b"/a/../b", b"/a/./b", b"/%2e%2e/a", b"/%2E%2e/a", b"/.%2e/a", b"/%2e./a", b"/a%2fb", b"/a%2Fb",
        b"/..%2fa", b"/%2fetc", b"/a\\b", b"/a%5cb", b"/..%5ca", b"/a%00", b"/a\x00b", b"/a%0a", b"/a%7f",
        b"/a%", b"/a%4", b"/a%zz", b"/%u002e", b"/%c0%ae%c0%ae/a", b"/%c0%af", b"/%e0%80%ae", b"/%ff", b"/\xff",
        b"/%ed%a0%80", b"/.git/config", b"/a/.env", b"/%2egit", b"/a/.well-known/x", b"/.well-known/.x",
        b"/.well-known/..", b"/.well-known//", b"/.well-known2",
    ],
)  # fmt: skip
def test_a_path_in_doubt_is_the_name_of_nothing(path):
    assert file_name(path) is None


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"/as/sets/a", "a"),
        (b"/as/sets/", ""),
        (b"/as/sets", ROOT),
        (b"/as/s%65ts/a", "a"),
        (b"/as/setsa", None),
        (b"/as", None),
        (b"/", None),
        (b"/as/sets/../a", None),
        (b"/as/sets//a", None),
    ],
)
def test_a_prefix_is_taken_off_by_whole_segments(path, name):
    assert file_name(path, ("as", "sets")) == name


def test_hidden_names_are_served_only_if_that_is_asked_for():
    assert file_name(b"/.env", is_hidden_served=True) == ".env"
    assert file_name(b"/..", is_hidden_served=True) is None


@given(st.binary(max_size=40))
def test_no_path_leads_out_of_the_root(tail):
    for hidden in (False, True):
        name = file_name(b"/" + tail, is_hidden_served=hidden)
        if name is not None:
            assert not name.startswith("/")
            assert not {".", ".."} & set(name.split("/"))
            assert "" not in name.split("/")[:-1]
            assert not any(ord(character) < 32 or character == "\\" for character in name)


@given(st.lists(st.sampled_from([b".", b"..", b"/", b"%2e", b"%2f", b"%5c", b"%25", b"2e", b"a", b"\\", b"%00"])))
def test_no_row_of_dots_and_slashes_leads_out_of_the_root(parts):
    name = file_name(b"/" + b"".join(parts), is_hidden_served=True)
    assert name is None or not {".", ".."} & set(name.split("/"))


CHARACTERS = st.characters(codec="utf-8", categories=("L", "N", "P", "S"))
NAMES = st.text(CHARACTERS, min_size=1, max_size=12).filter(lambda text: not text.startswith("."))


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_every_ordinary_name_has_a_path(segments):
    segments = [segment.replace("/", "_").replace("\\", "_") for segment in segments]
    path = "/" + "/".join(quote(segment, safe="") for segment in segments)
    assert file_name(path.encode()) == "/".join(segments)
