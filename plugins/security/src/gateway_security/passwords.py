"""Password hashes as they stand beside a user's name: argon2 and bcrypt, and no other.

Owns their notations and the words for those that are refused. Does not know users, and does not care what it costs:
a check takes tens of milliseconds.
"""

from __future__ import annotations

import logging
import re
from typing import Protocol

log = logging.getLogger("gateway.security")

MIN_ARGON2_BYTES = 16
"""A shorter hash is a cut one."""
BCRYPT_BYTES = 72
"""bcrypt does not look at what follows. A longer password is refused rather than shortened."""

_BCRYPT = re.compile(r"\$2[aby]\$(?:0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}").fullmatch
_WEAK = (
    (re.compile(r"\$(apr1|1)\$"), "MD5"),
    (re.compile(r"\{SHA\}"), "SHA-1"),
    (re.compile(r"\$[56]\$"), "SHA-crypt"),
    (re.compile(r"\$2x\$"), "bcrypt of the broken kind $2x$"),
    (re.compile(r"\$"), "a hash of an unknown kind"),
    (re.compile(r"[./A-Za-z0-9]{13}\Z"), "crypt, or a plain password"),
)
MEND = "make an argon2 hash with `gateway passwd NAME`, or a bcrypt one with `htpasswd -B`"


class PasswordHash(Protocol):
    """What a password is checked against."""

    def fits(self, password: bytes) -> bool:
        """Whether it is the password; takes as long whether it is or not."""
        ...


def parse_hash(text: str) -> PasswordHash:
    """The hash that a text is. Raises ValueError, without the text, for what is none or too weak."""
    if text.startswith("$argon2"):
        return Argon2Hash(text)
    if _BCRYPT(text):
        return BcryptHash(text)
    if text.startswith(("$2a$", "$2b$", "$2y$")):
        raise ValueError(f"a bcrypt hash that is cut or garbled; {MEND}")
    kind = next((kind for pattern, kind in _WEAK if pattern.match(text)), "a plain password")
    raise ValueError(f"{kind} is not accepted; {MEND}")


class Argon2Hash:
    """A hash in the notation of the argon2 reference: `$argon2id$v=19$m=…,t=…,p=…$salt$hash`."""

    __slots__ = ("_text", "_verify", "_wrong")

    def __init__(self, text: str) -> None:
        try:
            import argon2
        except ImportError:
            raise _missing("argon2-cffi") from None
        try:
            found = argon2.extract_parameters(text)
            if found.hash_len < MIN_ARGON2_BYTES:
                raise ValueError
        except Exception:
            raise ValueError(f"an argon2 hash that is cut or garbled; {MEND}") from None
        self._text = text
        self._verify = argon2.PasswordHasher().verify
        self._wrong = argon2.exceptions.VerifyMismatchError

    def fits(self, password: bytes) -> bool:
        """Whether it is the password."""
        try:
            return self._verify(self._text, password)
        except self._wrong:
            return False
        except Exception as error:
            log.error("basic-auth: an argon2 hash cannot be checked: %s", type(error).__name__)
            return False

    def __repr__(self) -> str:
        return "<Argon2Hash>"


class BcryptHash:
    """A hash as `htpasswd -B` makes it."""

    __slots__ = ("_text", "_verify")

    def __init__(self, text: str) -> None:
        try:
            import bcrypt
        except ImportError:
            raise _missing("bcrypt") from None
        self._text = text.encode()
        self._verify = bcrypt.checkpw

    def fits(self, password: bytes) -> bool:
        """Whether it is the password."""
        try:
            is_right = self._verify(password[:BCRYPT_BYTES], self._text)
        except Exception as error:
            log.error("basic-auth: a bcrypt hash cannot be checked: %s", type(error).__name__)
            return False
        return is_right and len(password) <= BCRYPT_BYTES

    def __repr__(self) -> str:
        return "<BcryptHash>"


def make_hash(password: str) -> str:
    """A fresh argon2id hash, with the parameters that the library recommends (RFC 9106)."""
    try:
        import argon2
    except ImportError:
        raise _missing("argon2-cffi") from None
    return argon2.PasswordHasher().hash(password)


def _missing(library: str) -> ValueError:
    return ValueError(f"needs {library}: pip install 'gateway-security[basic-auth]'")
