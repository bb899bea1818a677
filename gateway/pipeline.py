"""Freeze the hooks of one route into tuples, and know how each phase is run.

pluggy orders the implementations once, at load; nothing of it is left on the way of a request. Does not
load plugins and does not do I/O.
"""

from __future__ import annotations

import copy
import inspect
import logging
import reprlib
from collections.abc import AsyncIterable, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import pluggy

from gateway.errors import FAILURES, GatewayError, PluginError, is_cancelled
from gateway.hooks import HOOK_NAMES, PROJECT, REVERSED_HOOKS, HookSpecs
from gateway.light import as_task
from gateway.model import Exchange, Response

if TYPE_CHECKING:
    from gateway.upstream.endpoint import Endpoint, EndpointState

log = logging.getLogger("gateway.pipeline")


SEE_RESPONSES = ("on_upstream_response", "on_response", "on_error", "wrap_response_body")
SEE_REQUESTS = ("on_request", "on_select", "on_upstream_request", "wrap_request_body")
_ASKED_AND_RUN = ("on_request", "on_upstream_request", "on_upstream_response", "on_response")


class Step(NamedTuple):
    """One implementation of a hook."""

    call: Callable[..., Any]
    is_async: bool
    position: int
    """The plugin's place in the list, from 0."""
    plugin: str


class _PluginManager(pluggy.PluginManager):
    """pluggy's, which looks at every attribute of a plugin; here only at those that can be a hook."""

    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:
        return super().parse_hookimpl_opts(plugin, name) if name in HOOK_NAMES else None


def order_hooks(plugins: Sequence[tuple[str, object]]) -> dict[str, tuple[Step, ...]]:
    """Each hook's implementations in the order in which they run.

    pluggy calls the last registered first, so plugins are registered from the last to the first; `tryfirst`
    and `trylast` are its own. Hooks that pass back out run in exactly the reverse order.
    """
    manager = _PluginManager(PROJECT)
    manager.add_hookspecs(HookSpecs)
    positions: dict[int, tuple[int, str]] = {}
    for position, (name, plugin) in reversed(list(enumerate(plugins))):
        positions[id(plugin)] = (position, name)
        manager.register(plugin, name=f"{position}:{name}")
    ordered: dict[str, tuple[Step, ...]] = {}
    for hook in HOOK_NAMES:
        steps = [
            Step(impl.function, inspect.iscoroutinefunction(impl.function), *positions[id(impl.plugin)])
            for impl in reversed(getattr(manager.hook, hook).get_hookimpls())
        ]
        ordered[hook] = tuple(reversed(steps)) if hook in REVERSED_HOOKS else tuple(steps)
    return ordered


class Pipeline:
    """The compiled hooks of one route. Immutable once built.

    A phase that nobody implements is an empty tuple: its cost is one truth test.
    """

    __slots__ = (
        "first_wrapper",
        "is_synchronous",
        "on_attempt",
        "on_complete",
        "on_endpoint",
        "on_error",
        "on_request",
        "on_response",
        "on_select",
        "on_upstream_request",
        "on_upstream_response",
        "plugins",
        "steps",
        "unanswered",
        "wrap_request_body",
        "wrap_response_body",
    )

    def __init__(self, plugins: Sequence[tuple[str, object]] = ()) -> None:
        steps = order_hooks(plugins)
        self.steps = steps
        """Every hook's steps, for `check` and `explain`."""
        self.plugins = tuple(plugins)
        self.unanswered: tuple[Response | None, int] = (None, len(plugins))
        """What `ask` gives when no plugin answers: nobody's answer, which every plugin gets to see."""
        self.is_synchronous = not any(step.is_async for hook in _ASKED_AND_RUN for step in steps[hook])
        """Whether no hook on an exchange's way has to be awaited: then its phases are plain calls."""
        self.on_request = steps["on_request"]
        self.on_select = steps["on_select"]
        self.on_upstream_request = steps["on_upstream_request"]
        self.on_attempt = steps["on_attempt"]
        self.on_upstream_response = steps["on_upstream_response"]
        self.wrap_request_body = steps["wrap_request_body"]
        self.on_response = steps["on_response"]
        self.wrap_response_body = steps["wrap_response_body"]
        self.first_wrapper = min((step.position for step in self.wrap_response_body), default=len(plugins))
        """The position of the first plugin that wraps: an answer of one before it is wrapped by nobody."""
        self.on_error = steps["on_error"]
        self.on_complete = steps["on_complete"]
        self.on_endpoint = steps["on_endpoint"]

    async def ask(self, exchange: Exchange) -> tuple[Response | None, int]:
        """Run `on_request` until a plugin answers; the answer, and the answering plugin's position."""
        for call, is_async, position, plugin in self.on_request:
            try:
                if is_async:
                    await as_task()
                    response = await call(exchange)
                else:
                    response = call(exchange)
                    if _is_to_be_awaited(response):
                        await as_task()
                        response = await response
            except GatewayError:
                raise
            except FAILURES as error:
                if is_cancelled(error):
                    raise
                raise _failed(plugin, "on_request", error) from error
            if response is not None:
                return _answer(exchange, plugin, response), position
        return self.unanswered

    async def ask_on(
        self, exchange: Exchange, pending: Awaitable[Response | None], position: int
    ) -> tuple[Response | None, int]:
        """Wait for what the plugin at a position has to say, and go on with those behind it."""
        behind = copy.copy(self)
        places = [step.position for step in self.on_request]
        mine = places.index(position)
        step = self.on_request[mine]._replace(call=lambda _: pending)
        behind.on_request = (step, *self.on_request[mine + 1 :])
        return await behind.ask(exchange)

    def ask_now(self, exchange: Exchange) -> tuple[Response | Awaitable[Response | None] | None, int]:
        """`ask` for a pipeline that is synchronous. What has to be awaited goes on with `ask_on`."""
        # hot: l7-balancer
        plugin = ""
        try:
            for call, _, position, plugin in self.on_request:
                response = call(exchange)
                if response is not None:
                    if _is_to_be_awaited(response):
                        return response, position
                    return _answer(exchange, plugin, response), position
        except GatewayError:
            raise
        except FAILURES as error:
            raise _failed(plugin, "on_request", error) from error
        return self.unanswered

    def select(self, exchange: Exchange, endpoints: Sequence[Endpoint]) -> Endpoint | None:
        """Run `on_select`; the first endpoint wins."""
        for call, _, _, plugin in self.on_select:
            endpoint: Endpoint | None = None
            try:
                endpoint = call(exchange, endpoints)
                if endpoint is not None:
                    exchange.note(plugin, f"selected {endpoint.name}")
                    return endpoint
            except GatewayError:
                raise
            except FAILURES as error:
                if endpoint is not None:
                    raise PluginError(_not_a(plugin, "on_select", endpoint, "an Endpoint")) from error
                raise _failed(plugin, "on_select", error) from error
        return None

    def ask_error(self, exchange: Exchange, error: GatewayError) -> Response | None:
        """Run `on_error`; the first response wins. A failing hook is logged and passed over."""
        for call, _, _, plugin in self.on_error:
            try:
                response = call(exchange, error)
            except FAILURES:
                log.exception("plugin %r failed in on_error", plugin)
                continue
            if isinstance(response, Response):
                exchange.answered(plugin, f"{response.status} for {type(error).__name__}")
                return _own(response)
            if response is not None:
                log.error(_not_a(plugin, "on_error", response, "a Response"))
        return None

    def complete(self, exchange: Exchange) -> None:
        """Run `on_complete`, each implementation isolated from the others."""
        for call, _, _, plugin in self.on_complete:
            try:
                call(exchange)
            except FAILURES:
                log.exception("plugin %r failed in on_complete", plugin)

    def tell_endpoint(self, endpoint: Endpoint, old: EndpointState, new: EndpointState, reason: str) -> None:
        """Run `on_endpoint`, each implementation isolated from the others."""
        for call, _, _, plugin in self.on_endpoint:
            try:
                call(endpoint, old, new, reason)
            except FAILURES:
                log.exception("plugin %r failed in on_endpoint", plugin)

    def behind(self, plugin: object) -> Pipeline:
        """The pipeline of the plugins listed behind one of these."""
        places = [place for place, (_, listed) in enumerate(self.plugins) if listed is plugin]
        return Pipeline(self.plugins[places[0] + 1 :] if places else ())

    def __repr__(self) -> str:
        return f"<Pipeline {' → '.join(name for name, _ in self.plugins) or 'empty'}>"


def compiled(lists: Sequence[Sequence[tuple[str, object]]]) -> list[Pipeline]:
    """A pipeline for each list of plugins; lists of the same plugins share one, as most routes of a site do."""
    keys = [tuple(id(plugin) for _, plugin in plugins) for plugins in lists]
    made = {key: Pipeline(plugins) for key, plugins in dict(zip(keys, lists, strict=True)).items()}
    return [made[key] for key in keys]


async def run(steps: tuple[Step, ...], exchange: Exchange, subject: Any, hook: str, limit: int) -> None:
    """Run the steps of plugins before position `limit`, in order, on an exchange and its subject.

    A failure becomes a PluginError, which names the plugin and means 500 for the client. So does a result: these
    hooks have none, and whoever returns one believes that something comes of it.
    """
    for call, is_async, position, plugin in steps:
        if position < limit:
            try:
                if is_async:
                    await as_task()
                    result = await call(exchange, subject)
                else:
                    result = call(exchange, subject)
            except GatewayError:
                raise
            except FAILURES as error:
                if is_cancelled(error):
                    raise
                raise _failed(plugin, hook, error) from error
            if result is not None:
                raise _has_no_result(plugin, hook, result)


def run_now(steps: tuple[Step, ...], exchange: Exchange, subject: Any, hook: str, limit: int) -> None:
    """`run` for a pipeline that is synchronous."""
    # hot: l7-balancer
    plugin = ""
    try:
        for call, _, position, plugin in steps:
            if position < limit:
                result = call(exchange, subject)
                if result is not None:
                    raise _has_no_result(plugin, hook, result)
    except GatewayError:
        raise
    except FAILURES as error:
        raise _failed(plugin, hook, error) from error


def tell(steps: tuple[Step, ...], exchange: Exchange, subject: Any, hook: str) -> None:
    """Run synchronous observers, each isolated: a failure is logged and nothing else is disturbed."""
    for call, _, _, plugin in steps:
        try:
            call(exchange, subject)
        except FAILURES:
            log.exception("plugin %r failed in %s", plugin, hook)


def wrap(
    steps: tuple[Step, ...], exchange: Exchange, body: AsyncIterable[bytes], hook: str, limit: int
) -> AsyncIterable[bytes]:
    """Let plugins before position `limit` put their iterators around a body."""
    for call, _, position, plugin in steps:
        if position < limit:
            try:
                wrapped = call(exchange, body)
            except GatewayError:
                raise
            except FAILURES as error:
                raise _failed(plugin, hook, error) from error
            if wrapped is not None:
                if not hasattr(wrapped, "__aiter__"):
                    raise PluginError(_not_a(plugin, hook, wrapped, "an asynchronous iterator"))
                body = wrapped
    return body


def suspects(exchange: Exchange, hooks: Sequence[str] = SEE_RESPONSES) -> str:
    """The plugins that had a response or request in their hands, where nobody knows which of them spoiled it."""
    steps = exchange.route.pipeline.steps
    names = dict.fromkeys(step.plugin for hook in hooks for step in steps[hook])
    if exchange.answered_by not in (None, "route"):
        names[exchange.answered_by] = None
    if len(names) == 1:
        return f"plugin {next(iter(names))!r}"
    return f"one of the plugins {', '.join(map(repr, names))}" if names else "somebody"


def _is_to_be_awaited(answer: object) -> bool:
    return answer is not None and not isinstance(answer, Response) and inspect.isawaitable(answer)


def _answer(exchange: Exchange, plugin: str, response: object) -> Response:
    if not isinstance(response, Response):
        raise PluginError(_not_a(plugin, "on_request", response, "a Response"))
    exchange.answered(plugin, str(response.status))
    return _own(response)


def _own(response: Response) -> Response:
    """An answer as this exchange's own: a plugin may give one object to all, and others change what they get."""
    # hot: cache-hit
    if response.is_for_one:
        response.is_for_one = False  # whoever keeps it and gives it again gives it to others, too
        return response
    return Response.adopt(response.status, response.headers.raw.copy(), response.body)


def _failed(plugin: str, hook: str, error: BaseException) -> PluginError:
    return PluginError(f"plugin {plugin!r} failed in {hook}: {error!r}")


def _not_a(plugin: str, hook: str, answer: object, wanted: str) -> str:
    return f"plugin {plugin!r} answered in {hook} with {_shown(answer)}, not {wanted}"


def _has_no_result(plugin: str, hook: str, result: object) -> PluginError:
    if inspect.iscoroutine(result):
        result.close()  # else Python warns of it, too
        mend = "write async def"
    elif hook == "on_upstream_request":
        mend = "change attempt.headers"
    else:
        mend = "change the response that it is given: status, headers, body"
    return PluginError(f"plugin {plugin!r} returned {_shown(result)} from {hook}, which has no result; {mend}")


def _shown(value: object) -> str:
    """A value in a message, which may be a whole page."""
    return reprlib.repr(value)
