"""A refusal with the fields that its response is to have: the page is the gateway's own."""

from __future__ import annotations

from gateway import ClientError, Response


class Refused(ClientError):
    """The client does too much at once, or too fast; or who counts cannot be asked."""

    def __init__(self, by: object, message: str, status: int, fields: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        """`fields` are for the response; Retry-After takes the place of another one."""
        super().__init__(message, status)
        self.by = by
        """The plugin, which adds the fields in its `on_response`."""
        self._fields = fields

    def add_to(self, response: Response) -> None:
        """Add the fields."""
        if self._fields:
            response.headers.remove(b"retry-after")
            response.headers.raw += self._fields


__all__ = ["Refused"]
