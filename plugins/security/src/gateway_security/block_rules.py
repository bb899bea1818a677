"""The plugin `block-rules`: refuse requests that a pattern is found in.

Owns rules, where they look, and what becomes of a request that one of them finds. How patterns are searched is
`rule_patterns`, in what forms a path or a query is looked at `written_forms`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from gateway import App, ClientError, Exchange, Headers, PluginConfig, Size, hookimpl
from gateway_security.body_start import read_start
from gateway_security.builtin_rules import BUILTIN, BuiltinName
from gateway_security.refusal_log import RefusalLog
from gateway_security.written_forms import path_forms, text_forms

if TYPE_CHECKING:
    from gateway_security.rule_patterns import PatternSet

PLUGIN = "block-rules"
MOST_REMEMBERED = 4096
LONGEST_REMEMBERED = 256
"""Paths in which nothing was found: so many, of so many bytes; when there are more, all of them are forgotten."""

_PLACES = ("path", "query", "method", "headers", "body")
_HEADER = "header:"
_NEEDS_RE2 = "block-rules needs the package 'google-re2': pip install 'gateway-security[block-rules]'"


def _check_place(value: str) -> str:
    if value in _PLACES:
        return value
    name = value.removeprefix(_HEADER).lower()
    if value.startswith(_HEADER):
        Headers().add(name, "")
        return _HEADER + name
    named = ", ".join(f'"{place}"' for place in _PLACES)
    raise ValueError(f'expected {named} or "header:NAME", not {value!r}')


def _check_pattern(value: str) -> str:
    try:
        from gateway_security.rule_patterns import check_pattern
    except ModuleNotFoundError:
        raise ValueError(_NEEDS_RE2) from None
    return check_pattern(value)


def _check_builtin(value: object) -> object:
    """Told here in one line: of a choice of types pydantic has an error for each."""
    listed = () if isinstance(value, bool) else value if isinstance(value, list | tuple) else (value,)
    for name in listed:
        if name not in BUILTIN:
            raise ValueError(f"expected true, false or a list of {', '.join(map(repr, BUILTIN))}, not {name!r}")
    return value


def _as_list(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Place = Annotated[str, AfterValidator(_check_place)]
Pattern = Annotated[str, AfterValidator(_check_pattern)]


class Rule(PluginConfig):
    """One rule: where it looks, what for, and what the client gets."""

    where: Annotated[tuple[Place, ...], BeforeValidator(_as_list), Field(min_length=1)]
    """`"path"`, `"query"`, `"method"`, `"header:NAME"`, `"headers"` (all of them), `"body"`, or a list of these."""
    patterns: Annotated[tuple[Pattern, ...], BeforeValidator(_as_list), Field(min_length=1)]
    """Regular expressions of RE2; the rule finds a request if one of them is found in one place."""
    status: Annotated[int, Field(ge=400, le=599)] = 403
    """What the client gets."""
    case_sensitive: bool = False
    """Whether capitals are told from small letters."""
    log_only: bool = False
    """Let the request pass, and only log and count it."""


class BlockRules:
    """Refuse requests in which a rule finds something.

    The rules of one place are searched for all at once, in linear time. Paths are looked at as they came, decoded,
    tidied and resolved; queries and bodies as they came and decoded. A body is read for rules that look at bodies
    only, and is forwarded unchanged.
    """

    api = 1

    class Config(PluginConfig):
        """The rules, and how they look at bodies."""

        rules: dict[str, Rule] = {}
        """Rules by name. Of those that refuse at one place the first, in this order, gives the status."""
        builtin: Annotated[tuple[BuiltinName, ...] | bool, BeforeValidator(_check_builtin)] = False
        """The rules that come with the plugin: all of them, none, or those of the list."""
        log_only: bool = False
        """Let every request pass, and only log and count what is found."""
        max_body: Annotated[Size, Field(gt=0)] = 64 * 1024
        """How much of a body is looked at."""
        larger_body: Literal["refuse", "look-at-start"] = "refuse"
        """What becomes of a body over `max_body`: 413, or only its beginning is looked at."""
        encoded_body: Literal["refuse", "pass"] = "refuse"
        """What becomes of a body with a Content-Encoding, in which nothing can be found: 415, or it passes."""

    def __init__(self, config: Config) -> None:
        """Compile every rule. Raises ValueError."""
        self._config = config
        self._log = RefusalLog(PLUGIN)
        self._clean: set[bytes] = set()
        self._bodies_refused = 0
        rules = config.rules | {f"builtin/{name}": _builtin(name) for name in _chosen(config.builtin)}
        self._watches = [Watch(name, rule, config.log_only) for name, rule in rules.items()]
        places: dict[str, list[Watch]] = {}
        for watch in self._watches:
            for place in dict.fromkeys(watch.rule.where):
                places.setdefault(place, []).append(watch)
        searches = {place: Search(place, watches) for place, watches in places.items()}
        self._path, self._query, self._method, self._headers, self._body = map(searches.get, _PLACES)
        self._fields = {
            place.removeprefix(_HEADER).encode(): search
            for place, search in searches.items()
            if place.startswith(_HEADER)
        }
        if not searches:
            self.on_request = None  # type: ignore[assignment,method-assign]  # there is nothing to look for

    @hookimpl
    def startup(self, app: App) -> None:
        """Show what is counted."""
        for watch in self._watches:
            app.metrics.counter(
                "block_rules_found",
                "Requests that a rule of block-rules found",
                partial(getattr, watch, "found"),
                rule=watch.name,
                action="refused" if watch.is_enforced else "logged",
            )
        app.metrics.counter(
            "block_rules_bodies_refused",
            "Requests that block-rules refused because it could not look at their bodies",
            lambda: self._bodies_refused,
        )

    @hookimpl
    def shutdown(self, app: App) -> None:
        """Say what the log has left out."""
        self._log.close()

    @hookimpl
    def on_request(self, exchange: Exchange) -> Awaitable[None] | None:
        """Refuse what a rule finds; wait for the body if a rule looks at it."""
        # hot: l7-balancer
        request = exchange.request
        if self._path is not None and request.raw_path not in self._clean:
            self._look_at_path(exchange, self._path)
        if self._query is not None and request.query:
            self._settle(exchange, self._query.found_in(text_forms(request.query)))
        if self._method is not None:
            self._settle(exchange, self._method.found_in((request.method.encode("latin-1"),)))
        if self._fields:
            self._look_at_fields(exchange)
        if self._headers is not None:
            self._settle(exchange, self._headers.found_in((_lines(request.headers),)))
        if self._body is not None and request.body is not None:
            return self._look_at_body(exchange, self._body)
        return None

    def _look_at_path(self, exchange: Exchange, search: Search) -> None:
        raw = exchange.request.raw_path
        found = search.found_in(path_forms(raw))
        if found:
            self._settle(exchange, found)
        elif len(raw) <= LONGEST_REMEMBERED:
            if len(self._clean) >= MOST_REMEMBERED:
                self._clean.clear()
            self._clean.add(raw)

    def _look_at_fields(self, exchange: Exchange) -> None:
        fields, values = self._fields, dict[bytes, list[bytes]]()
        for name, value in exchange.request.headers.raw:
            if name in fields:
                values.setdefault(name, []).append(value)
        for name, several in values.items():
            if len(several) > 1:
                several.append(b", ".join(several))  # as one who puts them together has it (RFC 9110 5.3)
            self._settle(exchange, fields[name].found_in(several))

    async def _look_at_body(self, exchange: Exchange, search: Search) -> None:
        request, config = exchange.request, self._config
        coding = b", ".join(request.headers.get_all(b"content-encoding")).strip().lower()
        if coding not in (b"", b"identity"):
            if config.encoded_body == "refuse":
                self._refuse_body(exchange, search, "the body has a Content-Encoding", 415)
            return
        length = request.headers.get(b"content-length", b"")
        is_whole = not (length.isdigit() and int(length) > config.max_body)
        if is_whole or config.larger_body != "refuse" or not search.is_enforced:
            start, is_whole = await read_start(request, config.max_body)
            self._settle(exchange, search.found_in(text_forms(start)))
        if not is_whole and config.larger_body == "refuse":
            self._refuse_body(exchange, search, f"the body is over {config.max_body} bytes", 413)

    def _refuse_body(self, exchange: Exchange, search: Search, why: str, status: int) -> None:
        """Refuse a body that cannot be looked at, unless all that would have looked at it only log."""
        if search.is_enforced:
            self._bodies_refused += 1
            self._refuse(exchange, why, status)
        self._let_pass(exchange, why)

    def _settle(self, exchange: Exchange, found: Iterable[Watch]) -> None:
        """Count what was found. Raises ClientError for the first rule that refuses."""
        for watch in found:
            watch.found += 1
            why = f"rule {watch.name!r}"
            if watch.is_enforced:
                self._refuse(exchange, why, watch.rule.status)
            self._let_pass(exchange, why)

    def _refuse(self, exchange: Exchange, why: str, status: int) -> None:
        exchange.note(PLUGIN, f"refused: {why}")
        self._log.tell(exchange, "refused", why)
        raise ClientError(f"{PLUGIN}: {why}", status=status)

    def _let_pass(self, exchange: Exchange, why: str) -> None:
        exchange.note(PLUGIN, f"would refuse: {why}")
        self._log.tell(exchange, "would refuse", why)

    def __repr__(self) -> str:
        return f"<BlockRules: {len(self._watches)} rules>"


class Watch:
    """One rule, and how often it has found something."""

    __slots__ = ("found", "is_enforced", "name", "rule")

    def __init__(self, name: str, rule: Rule, log_only: bool) -> None:
        self.name = name
        self.rule = rule
        self.is_enforced = not (log_only or rule.log_only)
        self.found = 0

    def __repr__(self) -> str:
        return f"<Watch {self.name}: {self.found} found>"


class Search:
    """The rules that look at one place."""

    __slots__ = ("_owners", "_patterns", "is_enforced")

    def __init__(self, place: str, watches: Sequence[Watch]) -> None:
        try:
            from gateway_security.rule_patterns import PatternSet
        except ModuleNotFoundError:
            raise ValueError(_NEEDS_RE2) from None
        pairs = [(pattern, watch) for watch in watches for pattern in watch.rule.patterns]
        self._owners = [watch for _, watch in pairs]
        self.is_enforced = any(watch.is_enforced for watch in watches)
        try:
            self._patterns: PatternSet = PatternSet(
                [(pattern, watch.rule.case_sensitive) for pattern, watch in pairs], by_line=place == "headers"
            )
        except ValueError as error:
            raise ValueError(f"rules for {place!r}: {error}") from None

    def found_in(self, forms: Iterable[bytes]) -> Iterable[Watch]:
        """The rules that find something in one of these texts, each once, in order."""
        # hot: l7-balancer
        numbers: set[int] | None = None
        for form in forms:
            found = self._patterns.found_in(form)
            if found:
                numbers = {*(numbers or ()), *found}
        return () if numbers is None else dict.fromkeys(self._owners[number] for number in sorted(numbers))


def _builtin(name: BuiltinName) -> Rule:
    return Rule(where=("path",), patterns=BUILTIN[name])


def _chosen(builtin: tuple[BuiltinName, ...] | bool) -> Iterable[BuiltinName]:
    if isinstance(builtin, bool):
        return BUILTIN if builtin else ()
    return dict.fromkeys(builtin)


def _lines(headers: Headers) -> bytes:
    """Every field as `name: value`, a line each; those of one name on one line, too."""
    lines = [name + b": " + value for name, value in headers.raw]
    by_name: dict[bytes, list[bytes]] = {}
    for name, value in headers.raw:
        by_name.setdefault(name, []).append(value)
    lines += [name + b": " + b", ".join(values) for name, values in by_name.items() if len(values) > 1]
    return b"\n".join(lines)
