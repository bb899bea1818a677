"""Which fields of a response tell what an upstream is made of, and what becomes of each field by its name.

Owns the built-in list. Does not see responses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

F = TypeVar("F")

BUILT_IN = (
    # What it runs on, and in which version. Server itself is replaced rather than taken away.
    "liferay-portal", "microsoftsharepointteamservices", "oraclecommercecloud-version", "pega-host", "powered-by",
    "product", "x-aspnet-version", "x-aspnetmvc-version", "x-cf-powered-by", "x-cms", "x-cocoon-version",
    "x-content-encoded-by", "x-drupal-*", "x-framework", "x-generated-by", "x-generator", "x-jitsi-release",
    "x-joomla-version", "x-litespeed-*", "x-mod-pagespeed", "x-owa-version", "x-page-speed", "x-php-*",
    "x-powered-by", "x-powered-by-*", "x-powered-cms", "x-redirect-by", "x-server-powered-by",
    "x-turbo-charged-by", "x-umbraco-version",
    # Which machine answered, and how it was reached. RFC 9110 7.6.3 asks the same of Via at the edge of a network.
    "host-header", "via", "x-backend", "x-backend-*", "x-backside-transport", "x-beserver", "x-calculatedbetarget",
    "x-envoy-*", "x-feserver", "x-host", "x-hostname", "x-kubernetes-pf-*", "x-server", "x-server-name",
    "x-served-by", "x-upstream", "x-upstream-*", "x-varnish", "x-varnish-*",
    # What helps to debug it: times, traces, files.
    "x-atmosphere-*", "x-b3-*", "x-clockwork-*", "x-debug", "x-debug-*", "x-debugbar-*", "x-diaginfo",
    "x-dtagentid", "x-dthealthcheck", "x-dtinjectedservlet", "x-oneagent-*", "x-profiler-*", "x-ruxit-*",
    "x-runtime", "x-sourcefiles",
    # What it says to a proxy rather than to a client.
    "x-accel-*", "x-pad", "x-sendfile",
)  # fmt: skip
"""Names, and beginnings of names that end in a star."""


class Fates(dict[bytes, F | bool]):
    """What becomes of a field, by its name: True for kept, False for gone, or what rewrites its value.

    Names are decided when they are first seen. Only so many are remembered: an upstream may send what it likes.
    """

    MOST = 4096

    def __init__(self, hidden: Iterable[str], kept: Iterable[str], rewritten: Mapping[bytes, F]) -> None:
        super().__init__()
        self._hidden, self._hidden_beginnings = _sorted_out(hidden)
        self._kept, self._kept_beginnings = _sorted_out(kept)
        self._rewritten = rewritten

    def __missing__(self, name: bytes) -> F | bool:
        fate: F | bool = False if self._is_hidden(name) else self._rewritten.get(name, True)
        if len(self) < self.MOST:
            self[name] = fate
        return fate

    def _is_hidden(self, name: bytes) -> bool:
        if name in self._kept or name.startswith(self._kept_beginnings):
            return False
        return name in self._hidden or name.startswith(self._hidden_beginnings)


def _sorted_out(names: Iterable[str]) -> tuple[frozenset[bytes], tuple[bytes, ...]]:
    raw = [name.encode() for name in names]
    exact = frozenset(name for name in raw if not name.endswith(b"*"))
    return exact, tuple(name[:-1] for name in raw if name.endswith(b"*"))
