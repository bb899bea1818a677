"""Read one response after another from the bytes of a connection: parse, judge its framing, gather its body.

A parser's callbacks around httptools. Owns what a response is and where it ends (RFC 9112). Does not know the
transport, deadlines, or who waits: the connection that it is a part of does (`http1`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from gateway.errors import BadResponse, GatewayError, ResponseCut
from gateway.upstream.message import ENDS_HERE, without_named
from gateway.upstream.response_head import check_interim, framing, head_end, is_interim, keeps_alive, without_tabs
from gateway.upstream.whole_response import whole_response

if TYPE_CHECKING:
    from gateway.headers import RawHeaders

RAW_BODY_BYTES = 64 * 1024
"""From this Content-Length on the body passes by the parser: there is nothing in it to parse."""


class ResponseReader:
    """What has been read of the response under way."""

    __slots__ = (
        "_chunks", "_ending", "_error", "_head_bytes", "_held", "_is_head_request", "_is_in_trailers", "_length",
        "_max_head_bytes", "_must_renew", "_name", "_parser", "_raw_left", "_size", "_trailer_bytes",
        "announced_length", "has_served", "has_server", "headers", "is_complete", "is_head_done", "is_usable",
        "status",
    )  # fmt: skip

    def __init__(self, name: str, max_head_bytes: int) -> None:
        """`name` is that of the endpoint, for messages."""
        self._name = name
        self._max_head_bytes = max_head_bytes
        self.is_usable = False
        """Open, in step with the endpoint, and fit for a further exchange."""
        self.has_served = False
        self._error: GatewayError | None = None
        """What ended the exchange, and the connection with it."""
        self._parser = HttpResponseParser(self)
        self._must_renew = False
        self._chunks: list[bytes] = []
        self._size = 0
        self.headers: RawHeaders = []
        """The response's fields, without those that end at this hop."""
        self.announced_length: bytes | None = None
        """The response's Content-Length, as it came."""
        self.has_server = False
        """Whether the response says what made it."""
        self.expect("GET")
        self._begin_parsing()

    def expect(self, method: str) -> None:
        """Get ready for the response to a request with this method."""
        # hot: plain. The rest is reset when bytes come that the parser has to read.
        self.status = self._head_bytes = 0
        self.is_head_done = self.is_complete = False
        self._is_head_request = method == "HEAD"
        if self._chunks:
            self._chunks.clear()
            self._size = 0

    def _begin_parsing(self) -> None:
        if self._must_renew:
            self._parser = HttpResponseParser(self)
            self._must_renew = False
        self.headers = []
        self._ending: RawHeaders = []
        self.announced_length = None
        self.has_server = self._is_in_trailers = False
        self._length = -1
        self._raw_left = self._trailer_bytes = 0
        self._held = b""

    # -- what the connection does about it ---------------------------------------------------------------------

    def fail(self, error: GatewayError) -> None:
        """End the exchange with an error, now."""

    def surplus(self) -> None:
        """Bytes that nobody asked for have come."""

    def head_came(self) -> None:
        """The final head is there."""

    # -- bytes -------------------------------------------------------------------------------------------------

    def take_whole(self, data: bytes) -> bool:
        """Take the first bytes of a response if they are all of an ordinary one; then it is complete."""
        # hot: plain
        found = None if self._is_head_request else whole_response(data, self._max_head_bytes)
        if found is None:
            return False
        self.status, self.headers, self.announced_length, self.has_server, body = found
        self._head_bytes = len(data)
        self._chunks.append(body)
        self._size = len(body)
        self.is_head_done = self.is_complete = self.has_served = self.is_usable = True
        return True

    def feed_heads(self, data: bytes) -> None:
        """Give the parser whole heads only, one by one, until the final one has come."""
        if not self._head_bytes:
            self._begin_parsing()
        self._head_bytes += len(data)
        if self._held:
            data, self._held = self._held + data, b""
        try:
            end = head_end(data, self._max_head_bytes)
            while end > 0 and is_interim(data):
                self.feed(without_tabs(data[:end], end))
                data = data[end:]
                if self._head_bytes - len(data) > self._max_head_bytes:
                    raise ValueError("it sends interim responses without end")
                end = head_end(data, self._max_head_bytes) if data and self._error is None else -1
        except ValueError as error:
            self.fail(BadResponse(self._says(f"not a valid response: {error}")))
            return
        if end < 0:
            self._held = data
        else:
            self.feed(without_tabs(data, end))

    def trailers_are_too_long(self, data: bytes) -> bool:
        self._trailer_bytes += len(data)
        is_too_long = self._trailer_bytes > self._max_head_bytes
        if is_too_long:
            self.fail(ResponseCut(self._says("sends trailers without end")))
        return is_too_long

    def feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self.fail(BadResponse(self._says("switched protocols without being asked")))
        except HttpParserError as error:
            self._garbled(error)

    def _garbled(self, error: HttpParserError) -> None:
        cause = error.__context__ or error
        if self.is_complete:
            self.surplus()
        elif self._is_in_trailers:
            # Trailers are dropped anyway (RFC 9110 6.5.1), and the body is whole without them.
            self._finish()
            self.is_usable = False
        elif self.is_head_done:
            self.fail(ResponseCut(self._says(f"the body is malformed: {cause}")))
        else:
            self.fail(BadResponse(self._says(f"not a valid response: {cause}")))

    def take_raw(self, data: bytes) -> bytes:
        """Pass body bytes by the parser; what is left of `data` behind the body."""
        # hot: large
        left = self._raw_left
        piece, rest = (data, b"") if len(data) <= left else (data[:left], data[left:])
        self._raw_left = left - len(piece)
        self._chunks.append(piece)
        self._size += len(piece)
        if not self._raw_left:
            self._must_renew = True
            self._finish()
        return rest

    # -- for the parser ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A response begins; a second one was not asked for."""
        if self.is_complete:
            self.surplus()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field, or a trailer field, which is dropped."""
        if not self.is_head_done:
            name = name.lower()
            if name in ENDS_HERE:
                self._ending.append((name, value.strip(b" \t")))
            else:
                self.headers.append((name, value.strip(b" \t") if value[-1:].isspace() else value))
                if name == b"server":
                    self.has_server = True

    def on_headers_complete(self) -> None:
        """The head is there: interim ones are dropped, a final one is judged."""
        if self.is_complete:
            return
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            check_interim(self._ending, status)
            self.headers = []
            self._ending = []
            return
        if not 200 <= status <= 599:
            raise ValueError(f"status {status}")
        self._length = framing(self._ending, status, self._is_head_request)
        for name, value in self._ending:
            if name == b"content-length":
                self.announced_length = value
            elif name == b"connection":
                self.headers = without_named(self.headers, value)
        self.status = status
        self.is_head_done = True
        self.head_came()
        if self._is_head_request:
            self._must_renew = True
            self._finish()
        elif self._length >= RAW_BODY_BYTES:
            self._raw_left = self._length

    def on_chunk_header(self) -> None:
        """A chunk begins, or the trailers do: only of those can what follows be malformed."""
        self._is_in_trailers = True
        self._trailer_bytes = 0

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if self.is_complete:
            self.surplus()
            return
        self._chunks.append(body)
        self._size += len(body)
        self._is_in_trailers = False
        if self._raw_left:
            self._raw_left -= len(body)
            if not self._raw_left:
                self._must_renew = True
                self._finish()

    def on_message_complete(self) -> None:
        """The response is whole."""
        if self.is_head_done and not self.is_complete:
            self._finish()

    def _finish(self) -> None:
        self.is_complete = True
        self.has_served = True
        if self._must_renew:  # the parser has not seen the end
            self.is_usable = keeps_alive(self._ending, self._parser.get_http_version())
        else:
            self.is_usable = self._parser.should_keep_alive()

    def _says(self, what: str) -> str:
        return f"endpoint {self._name}: {what}"
