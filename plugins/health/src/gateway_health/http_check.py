"""A check by an HTTP/1.1 request: the status, and what the body says.

Owns the request and the judgement of the response. Bytes beyond the first 64 KiB are not read.
"""

from __future__ import annotations

import asyncio
import re

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from gateway_health.settings import Settings
from gateway_health.statuses import parse_statuses
from gateway_health.target import Target

MAX_BODY_BYTES = 64 * 1024
MAX_HEAD_BYTES = 64 * 1024
READ_BYTES = 16 * 1024


class HttpCheck:
    """Ask for a path and judge the answer."""

    def __init__(self, settings: Settings, host: str) -> None:
        """`host` is the Host to name; empty means the target's own."""
        self._start = f"{settings.method} {settings.path or '/'} HTTP/1.1\r\n".encode("latin-1")
        self._host = host
        fields = {"user-agent": "gateway-health", "accept": "*/*"}
        fields |= {name.lower(): value for name, value in settings.headers.items()}
        lines = [f"{name}: {value}\r\n".encode("latin-1") for name, value in fields.items()]
        length = [] if settings.method in ("GET", "HEAD", "OPTIONS") else [b"content-length: 0\r\n"]
        self._rest = b"".join([*lines, *length, b"connection: close\r\n\r\n"])
        self._statuses = parse_statuses(settings.status)
        self._expected = settings.status
        self._pattern = re.compile(settings.body.encode()) if settings.body else None

    async def __call__(self, target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        """What is wrong, or nothing."""
        answer = _Answer(wants_body=self._pattern is not None)
        writer.write(b"%bhost: %b\r\n%b" % (self._start, self._named(target), self._rest))
        try:
            await answer.read(reader)
        except HttpParserError as error:
            return f"not a valid HTTP response: {error.__context__ or error}"
        return self._judge(answer)

    def _named(self, target: Target) -> bytes:
        return (self._host or target.authority).encode("latin-1")

    def _judge(self, answer: _Answer) -> str:
        if answer.trouble:
            return answer.trouble
        if answer.status not in self._statuses:
            return f"status {answer.status}, not {self._expected}"
        if self._pattern is not None and not self._pattern.search(answer.body):
            return f"the body does not match {self._pattern.pattern.decode()!r}"
        return ""


class _Answer:
    """A response as it arrives: its status, and as much of its body as is wanted. Called back by the parser."""

    def __init__(self, wants_body: bool) -> None:
        self.status = 0
        self.body = b""
        self.trouble = ""
        self._wants_body = wants_body
        self._is_over = False
        self._has_end = False
        self._parser = HttpResponseParser(self)

    async def read(self, reader: asyncio.StreamReader) -> None:
        """Read as much as the judgement needs. Raises HttpParserError."""
        taken = 0
        while not self._is_over:
            data = await reader.read(READ_BYTES)
            if not data:
                self._end()
                return
            taken += len(data)
            try:
                self._parser.feed_data(data)
            except HttpParserUpgrade:
                return
            if not self.status and taken > MAX_HEAD_BYTES:
                self.trouble = f"no end of the response head within {MAX_HEAD_BYTES // 1024} KiB"
                return

    def _end(self) -> None:
        """The endpoint has closed the connection, which ends a body that has no length."""
        if not self.status:
            self.trouble = "closed the connection without a response"
        elif self._has_end:
            self.trouble = "closed the connection within the response"

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field: those that say how long the body is are of interest."""
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self._has_end = True

    def on_headers_complete(self) -> None:
        """The head is there. Those of interim responses but 101 are passed by (RFC 9110 15.2)."""
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self._has_end = False
            return
        self.status = status
        self._is_over = not self._wants_body

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self.body = (self.body + body)[:MAX_BODY_BYTES]
        if len(self.body) == MAX_BODY_BYTES:
            self._is_over = True

    def on_message_complete(self) -> None:
        """The response is whole, if it was not an interim one."""
        if self.status:
            self._is_over = True
