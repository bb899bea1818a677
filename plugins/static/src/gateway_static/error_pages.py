"""Pages of the site's own in place of the gateway's: read once, sent with the status of the error.

Owns their content. Reading waits for the disk: it belongs in a thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway import ConfigurationError, Exchange, Response
from gateway_static.content_types import ContentTypes
from gateway_static.representation import read_whole
from gateway_static.roots import Root

MAX_PAGE_BYTES = 1024 * 1024

_OF_THE_CONTENT = frozenset(
    (
        "accept-ranges", "cache-control", "content-disposition", "content-encoding", "content-language",
        "content-length", "content-range", "content-type", "etag", "expires", "last-modified",
    )
)  # fmt: skip


class ErrorPages:
    """The page of each status that has one."""

    __slots__ = ("_pages",)

    def __init__(self) -> None:
        self._pages: dict[int, tuple[bytes, bytes]] = {}

    def read(self, files: Mapping[int, str], roots: Sequence[Root], types: ContentTypes) -> None:
        """Read them. Raises ConfigurationError for one that cannot be read."""
        self._pages = {status: (types.of(name), _read(status, name, roots)) for status, name in files.items()}

    def response(self, exchange: Exchange, status: int) -> Response | None:
        """The page for an error; None if there is none."""
        page = self._pages.get(status)
        if page is None:
            return None
        kind, content = page
        fields = [(b"content-type", kind), (b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]
        if exchange.request.method == "HEAD":
            return Response.adopt(status, [*fields, (b"content-length", b"%d" % len(content))], b"")
        return Response.adopt(status, fields, content)

    def replace(self, exchange: Exchange, response: Response) -> None:
        """Put the page in the place of what an upstream said of an error, whose other fields stay."""
        page = self.response(exchange, response.status)
        if page is not None:
            gone = {name.encode() for name in _OF_THE_CONTENT}
            kept = [field for field in response.headers.raw if field[0] not in gone]
            response.headers.raw[:] = [*kept, *page.headers.raw]
            response.body = page.body


def _read(status: int, name: str, roots: Sequence[Root]) -> bytes:
    for root in roots:
        try:
            file = root.open(name)
        except OSError:
            continue
        if file.size > MAX_PAGE_BYTES:
            raise ConfigurationError(f"error_pages.{status}: {name} is larger than {MAX_PAGE_BYTES} bytes")
        content = read_whole(file)
        if content is not None:
            return content
    places = ", ".join(str(root.path) for root in roots)
    raise ConfigurationError(f"error_pages.{status}: no file {name} that can be read below {places}")
