"""Origins as people name them, and whether one that a browser sends is among them (Fetch 3.2).

Owns the four ways of naming them and their checks. Does not know what an origin may do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

ANY = "*"
OPAQUE = "null"
"""What browsers send for pages without an origin: local files, and every page in a sandboxed frame."""

_PLAIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\*\.)?([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?").fullmatch
_USUAL_PORTS = {"http": "80", "https": "443"}
_FIRST_LABELS = rb"(?:[a-z0-9_-]+\.)+"
_A_STRANGER = b"https://stranger.invalid"


def check_origin(text: str) -> str:
    """The same, if it is a way to name origins. Raises ValueError with the mend."""
    if text in (ANY, OPAQUE):
        return text
    if text.startswith("~"):
        try:
            re.compile(text[1:].encode())
        except re.error as error:
            raise ValueError(f"expected a regular expression behind the ~: {error}") from None
        return text
    match = _PLAIN(text)
    if match is None:
        raise ValueError(
            f'expected "https://app.example.com", "https://*.example.com", "~REGULAR EXPRESSION", "null" or "*",'
            f" not {text!r}; an origin is in lower case and has no path"
        )
    scheme, star, host, port = match.groups()
    if star and host.startswith("["):
        raise ValueError(f"an address has no subdomains, as in {text!r}")
    if port and _USUAL_PORTS.get(scheme) == port:
        raise ValueError(f'browsers leave out the usual port: write "{text.removesuffix(f":{port}")}"')
    return text


def lets_in_anybody(text: str) -> bool:
    """Whether any site can come as this one: `*`, `null` (a sandboxed frame will do), or a wide expression."""
    if text.startswith("~"):
        return re.compile(text[1:].encode()).fullmatch(_A_STRANGER) is not None
    return text in (ANY, OPAQUE)


class Origins:
    """A set of origins; `origin in origins` for what stands in a request."""

    def __init__(self, named: Iterable[str]) -> None:
        self._named: set[bytes] = set()
        self._matching: list[Callable[[bytes], object]] = []
        for text in named:
            if text.startswith("~"):
                self._matching.append(re.compile(text[1:].encode()).fullmatch)
            elif "://*." in text:
                scheme, _, rest = text.encode().partition(b"*.")
                self._matching.append(re.compile(re.escape(scheme) + _FIRST_LABELS + re.escape(rest)).fullmatch)
            else:
                self._named.add(text.encode())

    def __contains__(self, origin: bytes) -> bool:
        if origin in self._named:
            return True
        # No expression is taken at its word on this one: whoever means it names it.
        return origin != b"null" and any(matches(origin) is not None for matches in self._matching)
