"""Hashes and the files they stand in: what is accepted, what is refused and with which mend."""

from __future__ import annotations

import bcrypt
import pytest
from argon2 import PasswordHasher
from gateway_security.htpasswd import named_users, parse_users
from gateway_security.passwords import make_hash, parse_hash
from hypothesis import given, settings
from hypothesis import strategies as st

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
ARGON2 = CHEAP.hash("s3cret")
BCRYPT = bcrypt.hashpw(b"s3cret", bcrypt.gensalt(4)).decode()
HTPASSWD = BCRYPT.replace("$2b$", "$2y$")  # as htpasswd -B writes it
MD5 = "$apr1$gT1xyz12$kF0V1tP0r7pM0ZbD9jW2p/"


@pytest.mark.parametrize("text", [ARGON2, BCRYPT, HTPASSWD], ids=["argon2", "bcrypt", "htpasswd"])
def test_the_password_fits_and_others_do_not(text):
    hashed = parse_hash(text)
    assert hashed.fits(b"s3cret")
    assert not hashed.fits(b"s3cre")
    assert not hashed.fits(b"")
    assert text not in repr(hashed)


def test_bcrypt_takes_no_password_that_is_longer_than_it_reads():
    hashed = parse_hash(bcrypt.hashpw(b"a" * 72, bcrypt.gensalt(4)).decode())
    assert hashed.fits(b"a" * 72)
    assert not hashed.fits(b"a" * 73)


def test_a_hash_that_is_made_here_is_accepted_here():
    text = make_hash("s3cret")
    assert text.startswith("$argon2id$")
    assert parse_hash(text).fits(b"s3cret")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (MD5, "MD5 is not accepted"),
        ("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "SHA-1 is not accepted"),
        ("$6$salt$abc", "SHA-crypt is not accepted"),
        ("rqXexS6ZhobKA", "crypt, or a plain password is not accepted"),
        ("s3cret", "a plain password is not accepted"),
        ("", "a plain password is not accepted"),
        ("$2x$05$" + "a" * 53, "broken kind"),
        (BCRYPT[:-1], "cut or garbled"),
        ("$argon2id$v=19$m=8,t=1", "cut or garbled"),
        ("$argon2id$v=19$m=x,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA", "cut or garbled"),
        (ARGON2[:-36], "cut or garbled"),
    ],
    ids=[
        "md5", "sha-1", "sha-crypt", "crypt", "plain", "empty", "broken-kind", "cut-bcrypt", "cut-argon2",
        "no-number", "short-argon2",
    ],  # hashes are salted at random: each process of the tests would have its own names
)  # fmt: skip
def test_a_weak_or_broken_hash_is_refused_with_the_mend_and_not_shown(text, words):
    with pytest.raises(ValueError, match=r"line 2: user 'ana': .*`gateway passwd NAME`") as refused:
        parse_users(f"# users\nana:{text}\n".encode())
    assert words in str(refused.value)
    assert not text or text not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"ana", "line 1: expected a line NAME:HASH"),
        (f"ana:{BCRYPT}\nana:{BCRYPT}".encode(), "line 2: user 'ana' is there already"),
        (b"\xff:x", "not UTF-8"),
        (b":x", "cannot be a user's name"),
        (b"a\x07na:x", "cannot be a user's name"),
    ],
)
def test_a_line_that_is_none_is_refused(text, words):
    with pytest.raises(ValueError, match=words):
        parse_users(text)


def test_comments_blank_lines_and_further_fields_are_passed_over():
    text = f"\n# staff\n ana:{BCRYPT}:Ana\r\nzoë:{ARGON2}\n"
    assert list(parse_users(text.encode())) == [b"ana", "zoë".encode()]


@settings(deadline=None, database=None, max_examples=60)
@given(st.binary())
def test_any_file_is_users_or_one_clear_error(text):
    wrong, users = "line 1: ", {}
    try:
        users = parse_users(text)
    except ValueError as error:
        wrong = str(error)
    assert wrong == "not UTF-8" or wrong.startswith("line ")
    assert all(b":" not in name for name in users)


def test_users_of_the_settings_are_named_in_errors():
    assert list(named_users({"ana": BCRYPT})) == [b"ana"]
    with pytest.raises(ValueError, match="user 'ana': MD5"):
        named_users({"ana": MD5})
