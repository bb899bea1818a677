"""The pieces of a body that are in memory just now, found by where they begin."""

from __future__ import annotations

from bisect import bisect_right


class Window:
    """Pieces side by side, from `start` up to `end`, in bytes of the body."""

    __slots__ = ("_pieces", "_starts", "end")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._starts: list[int] = []
        self.end = 0
        """How many bytes have come."""

    @property
    def start(self) -> int:
        """The first byte that is still there."""
        return self._starts[0] if self._starts else self.end

    def add(self, piece: bytes) -> None:
        """The next piece, which is not empty."""
        self._pieces.append(piece)
        self._starts.append(self.end)
        self.end += len(piece)

    def drop(self, before: int) -> None:
        """Let go of pieces that lie before this byte as a whole."""
        count = bisect_right(self._starts, before) - 1 if before < self.end else len(self._pieces)
        if count > 0:
            del self._pieces[:count]
            del self._starts[:count]

    def at(self, place: int) -> bytes:
        """What there is of the piece that this byte is in, from there on. The byte is within the window."""
        index = bisect_right(self._starts, place) - 1
        piece, skipped = self._pieces[index], place - self._starts[index]
        return piece[skipped:] if skipped else piece

    def since(self, place: int) -> list[bytes]:
        """All pieces from this byte on, with which one begins."""
        return self._pieces[bisect_right(self._starts, place) - 1 :] if place < self.end else []

    def join(self) -> bytes:
        """All of them as one."""
        return b"".join(self._pieces)

    def __repr__(self) -> str:
        return f"<Window {self.start} to {self.end}>"


__all__ = ["Window"]
