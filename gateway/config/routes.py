"""The settings of a route: what a request must look like, and what becomes of it.

Owns names, types, and the mistakes that can be told at load. Does not match anything (`gateway.routing`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from gateway.config.actions import (
    REDIRECT_NAMES,
    MirrorSetting,
    RedirectSetting,
    Respond,
    Rewrite,
    Sticky,
    Weights,
)
from gateway.config.templates import names_of, parse_pattern, parse_template
from gateway.config.types import Model, Network, nearest
from gateway.headers import checked_name

_HOST = re.compile(r"(?:\*\.)?[a-z0-9!$&'()+,;=._~%-]+|\[[0-9a-f:.]+\]").fullmatch
_METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Z]+").fullmatch


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def read_expected(value: object) -> object:
    """Text, `~regular expression`, true for "it is there", false for "it is not". A number stands for its text.

    `{ present = true }` and `{ present = false }` say the latter two, as they do where true is a value.
    """
    if isinstance(value, dict) and list(value) == ["present"]:
        value = value["present"]
        if not isinstance(value, bool):
            raise ValueError(f"present: expected true or false, not {value!r}")
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return str(value)
    if not isinstance(value, str):
        raise ValueError('expected text, "~regular expression", true (is there) or false (is not there)')
    return check_expression(value)


def _read_json_expected(value: object) -> object:
    """The same for a value of JSON, among which are true and false."""
    if isinstance(value, bool):
        return "true" if value else "false"
    is_presence = isinstance(value, dict) and list(value) == ["present"]
    if not is_presence and not isinstance(value, str | int | float):
        raise ValueError('expected a value, "~regular expression" or { present = true }')
    return read_expected(value)


def check_expression(value: str) -> str:
    """What begins with `~` is a regular expression. Raises ValueError with what is wrong about it."""
    if value.startswith("~"):
        try:
            re.compile(value[1:])
        except re.error as error:
            raise ValueError(f"no regular expression: {error}, in {value!r}") from None
    return value


def _check_method(value: str) -> str:
    if not _METHOD(value):
        raise ValueError(f'a method is written in capitals, as in "GET", not {value!r}')
    return value


def _header_name(value: str) -> str:
    return checked_name(value).decode("ascii")


def _without_star(path: str, all_below: str) -> str:
    """A path of the configuration. Raises ValueError for a wildcard; `all_below` is how that is written instead."""
    if "*" in path:
        above = path[: path.index("*")].rpartition("/")[0]
        raise ValueError(
            f"a path has no wildcards: {all_below.format(above)} takes all that is below, match.pattern ="
            f' "{above}/{{name}}" any one segment, and a star itself is written "%2A"; not {path!r}'
        )
    return path


def _check_fields(value: str) -> str:
    if not all(value.split(".")):
        raise ValueError(f'expected fields joined by dots, as in "user.plan", not {value!r}')
    return value


_EXPECTED_SCHEMA = WithJsonSchema(
    {
        "type": ["string", "boolean", "number", "object"],
        "properties": {"present": {"type": "boolean"}},
        "required": ["present"],
        "additionalProperties": False,
    }
)
Expected = Annotated[bool | str, BeforeValidator(read_expected), _EXPECTED_SCHEMA]
JsonExpected = Annotated[bool | str, BeforeValidator(_read_json_expected), _EXPECTED_SCHEMA]
Methods = Annotated[tuple[Annotated[str, AfterValidator(_check_method)], ...], BeforeValidator(_listed)]
Networks = Annotated[tuple[Network, ...], BeforeValidator(_listed)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
FieldPath = Annotated[str, AfterValidator(_check_fields)]


class Match(Model):
    """What a request must look like: all of what is given.

    The most specific route wins: by host, then by path, then the one with more conditions, then the first in the
    file (see `precedence` in gateway/routing/route.py).
    """

    host: str = ""
    """Exact, `*.example.com`, or a regular expression that begins with `~`; empty means any."""
    path: str = "/"
    """A prefix by whole segments: `/v1` matches `/v1` and `/v1/users`, not `/v10`. No path has wildcards."""
    exact: str | None = None
    """Just this path."""
    pattern: str | None = None
    """A path with named parts, one segment each, and a last one that may take the rest:
    `/users/{id}/files/{name:path}`."""
    scheme: Literal["", "http", "https"] = ""
    """What the client speaks with us; WebSockets count as what they began as."""
    method: Methods = ()
    """One of these."""
    headers: dict[HeaderName, Expected] = {}
    """By name: text (the whole value), `~regular expression` (anywhere in it), true (is there) or false (is not).
    Of several fields of one name, one must fit. `{ present = true }` is another way to write true."""
    cookies: dict[str, Expected] = {}
    """As `headers`."""
    query: dict[str, Expected] = {}
    """As `headers`; names and values are decoded."""
    client: Networks = ()
    """The client's address is in one of these networks."""
    json_fields: dict[FieldPath, JsonExpected] = Field(default={}, alias="json")
    """By the path to a field of a JSON body (`user.plan`, `items.0.id`): text, a number, true or false, which are
    its value; `~regular expression`; `{ present = true }` (is there, whatever it is) or `{ present = false }` (is
    not). Numbers, true, false and null (`"null"`) are compared as JSON writes them."""
    body: Annotated[str, AfterValidator(check_expression)] = ""
    """Text that the body holds, or `~regular expression`."""

    @field_validator("host")
    @classmethod
    def _check_host(cls, value: str) -> str:
        if value.startswith("~"):
            return check_expression(value)
        value = value.lower()
        if value and not _HOST(value):
            raise ValueError(
                f'expected "example.com", "*.example.com" or "~regular expression" without a port, not {value!r}'
            )
        return value

    @field_validator("path", "exact")
    @classmethod
    def _check_path(cls, value: str | None) -> str | None:
        if value is None:
            return value
        if not value.startswith("/"):
            raise ValueError(f'a path begins with "/", not {value!r}')
        if "?" in value or "#" in value:
            raise ValueError(f"a path ends before its query, unlike {value!r}; there is match.query")
        return _without_star(value, 'match.path = "{}/"')

    @field_validator("pattern")
    @classmethod
    def _check_pattern(cls, value: str | None) -> str | None:
        if value is not None:
            parse_pattern(_without_star(value, '"{}/{{rest:path}}"'))
        return value

    @model_validator(mode="after")
    def _check_whole(self) -> Match:
        given = [key for key in ("path", "exact", "pattern") if key in self.model_fields_set]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other")
        both = sorted(self.names & REDIRECT_NAMES) or sorted(self.path_names & self.host_names)
        if both:
            raise ValueError(f"the name {both[0]!r} has a meaning already: choose another one")
        return self

    @property
    def names(self) -> set[str]:
        """The names of what is captured: parts of the path, named groups of the host."""
        return self.path_names | self.host_names

    @property
    def path_names(self) -> set[str]:
        """The named parts of the path."""
        return names_of(parse_pattern(self.pattern)) if self.pattern else set()

    @property
    def host_names(self) -> set[str]:
        """The named groups of the host's expression."""
        return set(re.compile(self.host[1:]).groupindex) if self.host.startswith("~") else set()

    def describe(self) -> str:
        """In one line: `api.example.com/v1/ GET,HEAD header:x-beta=1`."""
        path = self.pattern or (f"{self.exact} exactly" if self.exact else self.path)
        told = [f"{self.host or '*'}{path}"]
        if self.scheme:
            told.append(self.scheme)
        if self.method:
            told.append(",".join(self.method))
        for kind, fields in self._named():
            told += [f"{kind}:{name}={said(value)}" for name, value in fields.items()]
        if self.client:
            told.append(f"client={','.join(map(str, self.client))}")
        if self.body:
            told.append(f"body={self.body}")
        return " ".join(told)

    def identity(self) -> object:
        """Equal for matches that fit the same requests, as far as their text tells."""
        path = self.exact or (self.pattern and re.sub(r"\{\w+", "{", self.pattern)) or self.path.rstrip("/")
        kind = "exact" if self.exact else "pattern" if self.pattern else "prefix"
        fields = tuple(tuple(sorted(fields.items(), key=repr)) for _, fields in self._named())
        return (
            self.host, kind, path, self.scheme, frozenset(self.method), fields, frozenset(self.client), self.body
        )  # fmt: skip

    def _named(self) -> Sequence[tuple[str, dict[str, bool | str]]]:
        return (
            ("header", self.headers),
            ("cookie", self.cookies),
            ("query", self.query),
            ("json", self.json_fields),
        )


def said(value: bool | str) -> str:
    """An expected value in words."""
    return {True: "present", False: "absent"}[value] if isinstance(value, bool) else value


class PluginUse(Model):
    """One plugin of an ordered list, with its configuration and where it was named."""

    use: str
    config: dict[str, Any] = {}
    where: str = ""


class Route(Model):
    """A match on the request, its plugins, and what becomes of the request.

    Just one of `upstream`, `split`, `redirect` and `respond`.
    """

    name: str = ""
    """What logs and `gateway explain` call it; empty means its match."""
    match: Match = Match()
    upstream: str = ""
    """The name of the upstream that gets the request."""
    split: Weights = {}
    """Several upstreams and the weight of each: `{ stable = 95, canary = 5 }`."""
    sticky: Sticky = ""
    """What keeps a client on its side of a split: `cookie:NAME`, `header:NAME`, `query:NAME` or `source` (its
    address). A request without it goes to either side."""
    rewrite: Rewrite | None = None
    mirror: MirrorSetting = None
    redirect: RedirectSetting = None
    respond: Respond | None = None
    plugins: tuple[PluginUse, ...] = ()
    """What this route has otherwise than `plugins` at the top level say."""

    @property
    def label(self) -> str:
        """The name, or what it matches."""
        return self.name or self.match.describe()

    def upstreams(self) -> dict[str, str]:
        """Every upstream that it names, by the key that names it."""
        named = {"upstream": self.upstream} if self.upstream else {}
        named |= {f"split.{name}": name for name in self.split}
        return named | ({"mirror.upstream": self.mirror.upstream} if self.mirror else {})

    def describe(self) -> str:
        """What becomes of a request, in one line: `upstream app, path rewritten to /internal/`."""
        if self.redirect:
            return f"redirect {self.redirect.status} to {self.redirect.to}"
        if self.respond:
            return f"respond {self.respond.status}"
        told = f"upstream {self.upstream}"
        if self.split:
            told = "split " + ", ".join(f"{name} {weight:g}" for name, weight in self.split.items())
        if self.sticky:
            told += f" (sticky by {self.sticky})"
        if self.rewrite:
            told += f", path rewritten to {self.rewrite.prefix or self.rewrite.pattern}"
        if self.mirror:
            told += f", {self.mirror.share * 100:g} % mirrored to {self.mirror.upstream}"
        return told

    @model_validator(mode="after")
    def _check_whole(self) -> Route:
        ways = [key for key in ("upstream", "split", "redirect", "respond") if getattr(self, key)]
        if not ways:
            raise ValueError("says not what becomes of a request: give upstream, split, redirect or respond")
        if len(ways) > 1:
            raise ValueError(f"{' and '.join(ways)} exclude each other")
        for key in ("rewrite", "mirror"):
            if getattr(self, key) and ways[0] in ("redirect", "respond"):
                raise ValueError(f"{key} goes with upstream or split, not with {ways[0]}")
        if self.sticky and not self.split:
            raise ValueError("sticky goes with split")
        if self.split and not sum(self.split.values()):
            raise ValueError("split: at least one weight is more than 0")
        self._check_names()
        return self

    def _check_names(self) -> None:
        """What templates name must be there, and only the host may say where a redirect leads."""
        if self.rewrite and self.rewrite.prefix and (self.match.exact or self.match.pattern):
            raise ValueError("rewrite.prefix takes the place of match.path; use rewrite.pattern here")
        if self.rewrite and self.rewrite.pattern:
            _check_known("rewrite.pattern", names_of(parse_template(self.rewrite.pattern)), self.match.names)
        if self.redirect:
            known = self.match.names | REDIRECT_NAMES
            _check_known("redirect.to", names_of(parse_template(self.redirect.to)), known)
            strange = sorted(self.redirect.authority_names() - self.match.host_names - {"host"})
            if strange:
                raise ValueError(
                    f"redirect.to: {{{strange[0]}}} comes from the path, so clients could be sent to any host"
                )


def _check_known(key: str, named: set[str], known: Iterable[str]) -> None:
    for name in sorted(named - set(known)):
        raise ValueError(f"{key}: nothing is captured as {{{name}}}{nearest(name, known)}")


def check_routes(routes: Sequence[Route], upstreams: Iterable[str]) -> None:
    """Raise ValueError for an upstream that is not defined, and for two routes of one match."""
    known = sorted(upstreams)
    seen: dict[object, tuple[int, Route]] = {}
    for index, route in enumerate(routes):
        for key, name in route.upstreams().items():
            if name not in known:
                raise ValueError(f"routes[{index}].{key}: no upstream {name!r}{nearest(name, known)}")
        first, other = seen.setdefault(route.match.identity(), (index, route))
        if other is not route:
            raise ValueError(
                f"routes[{first}] ({other.label!r}) and routes[{index}] ({route.label!r}) have the same match:"
                f" the second would never be taken"
            )
