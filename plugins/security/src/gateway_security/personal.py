"""Keep responses that were made for one user out of shared caches.

Owns what RFC 9111 3.5 says of `Authorization`, for requests whose credentials a cache cannot see: they stand in a
cookie, or were taken off before it. Does not store anything.
"""

from __future__ import annotations

from gateway import Response

_SAID = frozenset((b"public", b"s-maxage", b"must-revalidate", b"private", b"no-store"))
"""What allows a shared cache to store a response to credentials, and what already keeps it from that."""


def keep_private(response: Response) -> None:
    """Say `private`, unless the upstream has said who may store its response."""
    # hot: once for every response of an upstream
    raw = response.headers.raw
    said = [value for name, value in raw if name == b"cache-control"]
    if not said:
        raw.append((b"cache-control", b"private"))
        return
    directives = b",".join(said)
    if _SAID.isdisjoint(word.partition(b"=")[0].strip() for word in directives.lower().split(b",")):
        response.headers.set(b"cache-control", b", ".join([*said, b"private"]))
