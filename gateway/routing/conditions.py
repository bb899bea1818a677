"""What a route asks of a request: one small object for each condition, which can also say what it wanted.

Owns how each thing is read and compared. Does not know routes or their order.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Protocol
from urllib.parse import unquote_plus

from gateway.config.routes import Match, said
from gateway.config.templates import parse_pattern
from gateway.config.types import Network
from gateway.headers import cookies_of
from gateway.model import Request
from gateway.routing.paths import literal_segments, matched_path, pattern_segments


class Condition(Protocol):
    """One thing that is asked of a request."""

    def matches(self, request: Request) -> bool:
        """Whether the request is so."""
        ...

    def describe(self) -> str:
        """What was wanted: `method: wanted GET, HEAD`."""
        ...


class Expectation:
    """What the values of one name must be."""

    __slots__ = ("_expression", "_wanted")

    def __init__(self, wanted: bool | str) -> None:
        is_expression = isinstance(wanted, str) and wanted.startswith("~")
        self._wanted = wanted
        self._expression = re.compile(str(wanted)[1:]).search if is_expression else None

    def accepts(self, values: Sequence[str]) -> bool:
        """Whether one of the values fits; of none, whether none is wanted."""
        if self._expression is not None:
            return any(self._expression(value) for value in values)
        if isinstance(self._wanted, bool):
            return bool(values) is self._wanted
        return self._wanted in values

    def __str__(self) -> str:
        return said(self._wanted)


# -- where it goes -------------------------------------------------------------------------------------------------


class HostCondition:
    """The host is this one, one below it (`*.example.com`), or fits an expression (`~…`)."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._expression = re.compile(host[1:]).search if host.startswith("~") else None

    def matches(self, request: Request) -> bool:
        """Compare; a dot at the end of the host makes no difference."""
        host = request.host.removesuffix(".")
        if self._expression is not None:
            return self._expression(host) is not None
        if self._host.startswith("*"):
            return host.endswith(self._host[1:]) and not host.startswith(self._host[1:])
        return host == self._host

    def describe(self) -> str:
        """What was wanted."""
        return f"host: wanted {self._host}"


class PrefixCondition:
    """The path begins with these segments."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._segments = [segment for segment in literal_segments(path) if segment]

    def matches(self, request: Request) -> bool:
        """Compare by whole segments."""
        return segments_of(request)[: len(self._segments)] == self._segments

    def describe(self) -> str:
        """What was wanted."""
        return f"path: wanted {self._path}"


class ExactCondition:
    """The path is this one."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._segments = literal_segments(path)

    def matches(self, request: Request) -> bool:
        """Compare the whole path."""
        return segments_of(request) == self._segments

    def describe(self) -> str:
        """What was wanted."""
        return f"path: wanted {self._path} exactly"


class PatternCondition:
    """The path has these segments, and something where the named parts are."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._segments = pattern_segments(parse_pattern(pattern))
        last = self._segments[-1]
        self._is_open = not isinstance(last, bytes) and last.takes_rest

    def matches(self, request: Request) -> bool:
        """Compare segment by segment; a named part is never empty, but for one that takes the rest."""
        segments, wanted = segments_of(request), self._segments
        if self._is_open:
            if len(segments) < len(wanted):
                return False
            wanted = wanted[:-1]
        elif len(segments) != len(wanted):
            return False
        return all(
            segment == piece if isinstance(piece, bytes) else segment
            for segment, piece in zip(segments, wanted, strict=False)
        )

    def describe(self) -> str:
        """What was wanted."""
        return f"path: wanted {self._pattern}"


def segments_of(request: Request) -> list[bytes]:
    """The segments of a request's path in the form in which they are matched."""
    return (b"/" if request.raw_path == b"*" else matched_path(request.raw_path)).split(b"/")[1:]


# -- what it says --------------------------------------------------------------------------------------------------


class SchemeCondition:
    """The client speaks http (or ws), or https (or wss)."""

    def __init__(self, scheme: str) -> None:
        self._scheme = scheme
        self._schemes = {"http": ("http", "ws"), "https": ("https", "wss")}[scheme]

    def matches(self, request: Request) -> bool:
        """Compare."""
        return request.scheme in self._schemes

    def describe(self) -> str:
        """What was wanted."""
        return f"scheme: wanted {self._scheme}"


class MethodCondition:
    """The method is one of these."""

    def __init__(self, methods: Sequence[str]) -> None:
        self._methods = tuple(methods)

    def matches(self, request: Request) -> bool:
        """Compare; methods are case-sensitive (RFC 9110 9.1)."""
        return request.method in self._methods

    def describe(self) -> str:
        """What was wanted."""
        return f"method: wanted {', '.join(self._methods)}"


class HeaderCondition:
    """A header field has an expected value."""

    def __init__(self, name: str, wanted: bool | str) -> None:
        self._name = name.encode()
        self._expected = Expectation(wanted)
        is_literal = isinstance(wanted, str) and not wanted.startswith("~")
        self._field = (self._name, _value_bytes(str(wanted))) if is_literal else None

    def matches(self, request: Request) -> bool:
        """Look at every field of that name; values are latin-1 text."""
        # hot: routing
        if self._field is not None:
            return self._field in request.headers.raw
        wanted = self._name
        values = [value.decode("latin-1") for name, value in request.headers.raw if name == wanted]
        return self._expected.accepts(values)

    def describe(self) -> str:
        """What was wanted."""
        return f"header {self._name.decode()}: wanted {self._expected}"


def _value_bytes(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()


class CookieCondition:
    """A cookie has an expected value."""

    def __init__(self, name: str, wanted: bool | str) -> None:
        self._name = name
        self._expected = Expectation(wanted)

    def matches(self, request: Request) -> bool:
        """Look at every cookie of that name."""
        return self._expected.accepts(list(cookies_of(request.headers.raw, self._name)))

    def describe(self) -> str:
        """What was wanted."""
        return f"cookie {self._name}: wanted {self._expected}"


class QueryCondition:
    """A parameter of the query has an expected value."""

    def __init__(self, name: str, wanted: bool | str) -> None:
        self._name = name
        self._expected = Expectation(wanted)

    def matches(self, request: Request) -> bool:
        """Look at every parameter of that name, decoded."""
        return self._expected.accepts(list(parameters_of(request, self._name)))

    def describe(self) -> str:
        """What was wanted."""
        return f"query {self._name}: wanted {self._expected}"


class ClientCondition:
    """The client's address is in one of these networks."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = tuple(networks)
        self._contains: Callable[[str], bool] = lru_cache(maxsize=4096)(self._look_up)

    def matches(self, request: Request) -> bool:
        """Look the address up; one that came over a Unix socket has none."""
        return self._contains(request.client)

    def _look_up(self, client: str) -> bool:
        try:
            address = ipaddress.ip_address(client)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)

    def describe(self) -> str:
        """What was wanted."""
        return f"client: wanted {', '.join(map(str, self._networks))}"


def parameters_of(request: Request, name: str) -> Iterator[str]:
    """The values of the query's parameters of a name, decoded."""
    if request.query:
        for pair in request.query.decode("latin-1").split("&"):
            key, _, content = pair.partition("=")
            if pair and unquote_plus(key) == name:
                yield unquote_plus(content)


# -- from the settings ---------------------------------------------------------------------------------------------


def place_conditions(match: Match) -> list[Condition]:
    """What a match asks of host and path. A router finds these by look-up; `explain` asks them one by one."""
    found: list[Condition] = [HostCondition(match.host)] if match.host else []
    if match.exact is not None:
        found.append(ExactCondition(match.exact))
    elif match.pattern is not None:
        found.append(PatternCondition(match.pattern))
    else:
        found.append(PrefixCondition(match.path))
    return found


def further_conditions(match: Match) -> list[Condition]:
    """What a match asks beyond host and path, the cheapest first."""
    found: list[Condition] = []
    if match.scheme:
        found.append(SchemeCondition(match.scheme))
    if match.method:
        found.append(MethodCondition(match.method))
    if match.client:
        found.append(ClientCondition(match.client))
    found += [HeaderCondition(name, wanted) for name, wanted in match.headers.items()]
    found += [QueryCondition(name, wanted) for name, wanted in match.query.items()]
    found += [CookieCondition(name, wanted) for name, wanted in match.cookies.items()]
    return found
