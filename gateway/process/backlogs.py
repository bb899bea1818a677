"""Clients that wait to be accepted: what the system holds for listeners whose workers take no more.

Owns the looks and the words. That workers take no more is `max_connections`; the system itself says nothing of it.
"""

from __future__ import annotations

import logging
import socket
import struct
from collections.abc import Mapping

from gateway.metrics import Sample, sample_of

log = logging.getLogger("gateway.supervisor")

LOOK_SECONDS = 1.0
_WAITING = struct.Struct("24xI")
"""`tcpi_unacked` of tcp(7)'s TCP_INFO, which for a listening socket is the length of its queue."""


class Backlogs:
    """How many wait at each listener, by its address."""

    def __init__(self) -> None:
        self._waiting: dict[str, int] = {}

    def look(self, listening: Mapping[str, socket.socket]) -> None:
        """Count again. Told of, once, is who still waits at a second look: those of one look are just coming."""
        now = {url: waiting_at(bound) for url, bound in listening.items()}
        for url, count in now.items():
            before = self._waiting.get(url, 0)
            if count and before == 0:
                now[url] = -count  # not told of yet
            elif count and before < 0:
                log.warning(
                    "listener %s: clients wait to be accepted, %d at the moment: all workers hold max_connections"
                    " (or are too busy to accept)",
                    url,
                    count,
                )
            elif not count and before > 0:
                log.info("listener %s: clients are accepted at once again", url)
        self._waiting = now

    def samples(self) -> list[Sample]:
        """For `gateway metrics`."""
        meaning = "Clients that wait to be accepted, because workers hold max_connections or are too busy"
        return [
            sample_of("gauge", "listener_waiting", meaning, abs(count), listener=url)
            for url, count in self._waiting.items()
        ]


def waiting_at(bound: socket.socket) -> int:
    """How many connections a listening socket holds that nobody has accepted; 0 where the system does not say."""
    if bound.family == socket.AF_UNIX:
        return 0
    try:
        info = bound.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _WAITING.size)
        (count,) = _WAITING.unpack(info)
    except (OSError, struct.error):
        return 0
    return int(count)
