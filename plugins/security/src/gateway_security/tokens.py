"""Check a token: its signature, whom it is from and for, when it holds, and what it says of its bearer.

Owns the rules (RFC 7519, RFC 8725). Does not know HTTP, and where keys come from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from gateway_security.jwt_keys import Key

MAX_TOKEN_BYTES = 16 * 1024
MAX_TRIES = 8
"""Keys that a token without a kid is checked with."""

_SHAPE = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+").fullmatch
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]").search
_ENDS_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class BadToken(Exception):
    """It is not valid; the message is for the log."""


class UnknownKey(BadToken):
    """No key at hand is the one that it was signed with."""


class Insufficient(Exception):
    """It is valid, and does not allow this; the message is for the log."""


class Rules:
    """What a token has to keep."""

    def __init__(
        self,
        *,
        algorithms: Collection[str],
        issuers: Collection[str],
        audiences: Collection[str],
        leeway: float,
        required: Iterable[str],
        scopes: Iterable[str],
        claims: Mapping[str, Collection[str]],
    ) -> None:
        self._algorithms = frozenset(algorithms)
        self._issuers = list(issuers) or None
        self._audiences = list(audiences) or None
        self._leeway = leeway
        self._scopes = frozenset(scopes)
        self._claims = {name: frozenset(values) for name, values in claims.items()}
        self._options: Any = {"require": list(required), "enforce_minimum_key_length": True}

    def verify(self, token: bytes, keys: Iterable[Key]) -> dict[str, Any]:
        """The claims of a token that is valid. Raises BadToken, UnknownKey if another key might help."""
        if len(token) > MAX_TOKEN_BYTES or not _SHAPE(token):
            raise BadToken("it has not the form of a signed token")
        header = _header(token)
        algorithm, kid = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise BadToken(f"algorithm {str(algorithm)[:20]!r} is not allowed")
        if "crit" in header:
            raise BadToken("it needs extensions that nobody here knows")  # RFC 7515 4.1.11
        fitting = [key for key in keys if algorithm in key.algorithms and _may_be(key, kid)]
        for key in fitting[:MAX_TRIES]:
            claims = self._decoded(token, key)
            if claims is not None:
                return claims
        if kid is not None and any(key.kid == kid for key in fitting):
            raise BadToken("its signature is wrong")
        asked = f"{algorithm} and no kid" if kid is None else f"{algorithm} and kid {str(kid)[:60]!r}"
        if fitting:
            raise UnknownKey(f"its signature is wrong for every key that may be meant by {asked}")
        raise UnknownKey(f"there is no key for {asked}")

    def _decoded(self, token: bytes, key: Key) -> dict[str, Any] | None:
        """The claims; None if the token was not signed with this key."""
        import jwt

        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key.material,
                algorithms=list(key.algorithms),
                audience=self._audiences,
                issuer=self._issuers,
                leeway=self._leeway,
                options=self._options,
            )
        except jwt.InvalidSignatureError:
            return None
        except Exception as error:
            raise BadToken(_told(error)) from None
        return claims

    def authorize(self, claims: Mapping[str, Any]) -> None:
        """See whether the claims allow what this is about. Raises Insufficient."""
        if self._scopes:
            missing = self._scopes - scopes_of(claims)
            if missing:
                raise Insufficient(f"it lacks the scope {' '.join(sorted(missing))}")
        for name, wanted in self._claims.items():
            found = find_claim(claims, name)
            values = found if isinstance(found, list) else [found]
            if not any(_text(value) in wanted for value in values if isinstance(value, str | int | float)):
                raise Insufficient(f"its claim {name!r} is none of those that are wanted")


def _header(token: bytes) -> dict[str, Any]:
    import jwt

    try:
        return jwt.get_unverified_header(token)
    except Exception as error:
        raise BadToken(_told(error)) from None


def _told(error: Exception) -> str:
    """What the library says, on one line: it quotes what stands in the token, and anybody can write one."""
    return f"{type(error).__name__}: {_ENDS_LINE.sub(' ', str(error)[:100])}"


def _may_be(key: Key, kid: str | None) -> bool:
    return key.kid is None or kid is None or key.kid == kid


def scopes_of(claims: Mapping[str, Any]) -> frozenset[str]:
    """What `scope` (RFC 8693 4.2), or in its stead `scp`, names: words in a text, or a list."""
    said = claims.get("scope", claims.get("scp", ""))
    words = said.split(" ") if isinstance(said, str) else said if isinstance(said, list) else []
    return frozenset(word for word in words if isinstance(word, str))


def find_claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name, or by the names on the way to it: `realm_access.roles`. None if it is not there."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        if not isinstance(found, dict):
            return None
        found = found.get(part)
    return found


def header_value(value: Any) -> bytes | None:
    """A claim as a header tells it; None if there is nothing to tell. Raises BadToken for what a header cannot say.

    The members of a list are separated by commas, so none of them may have one; an object is JSON.
    """
    if value is None:
        return None
    if isinstance(value, dict):
        return json.dumps(value, separators=(",", ":")).encode()
    if isinstance(value, list):
        members = [_text(member) for member in value]
        if any("," in member for member in members):
            raise BadToken("a member of a list in a claim has a comma")
        text = ",".join(members)
    else:
        text = _text(value)
    if _CONTROLS(text):
        raise BadToken("a claim has control characters")
    return text.encode("utf-8", "replace").strip()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
