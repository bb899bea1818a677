"""The hook specifications: what a plugin may implement, when it runs, and what its result means.

Owns names and parameter lists. Does not run anything: `gateway.pipeline` freezes and calls them.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

import pluggy

if TYPE_CHECKING:
    from gateway.app import App
    from gateway.connection import Connection, Deny
    from gateway.errors import GatewayError
    from gateway.model import Attempt, Exchange, Response
    from gateway.registry import Registry
    from gateway.upstream.endpoint import Endpoint, EndpointState

F = TypeVar("F", bound=Callable[..., Any])

PROJECT = "gateway"
API_VERSION = 1
"""The version of this contract. A plugin may say `api = 1`; another number is refused at load."""

_hookspec = pluggy.HookspecMarker(PROJECT)
_marker = pluggy.HookimplMarker(PROJECT)


@overload
def hookimpl(function: F) -> F: ...
@overload
def hookimpl(*, tryfirst: bool = ..., trylast: bool = ...) -> Callable[[F], F]: ...
def hookimpl(function: F | None = None, *, tryfirst: bool = False, trylast: bool = False) -> F | Callable[[F], F]:
    """Mark a plugin's method as a hook. `tryfirst` and `trylast` move it within its phase, as in pluggy."""
    if function is None:
        return cast("Callable[[F], F]", _marker(tryfirst=tryfirst, trylast=trylast))
    return _marker(function, tryfirst=tryfirst, trylast=trylast)


class HookSpecs:
    """Every hook. Plugins nest like an onion: `on_request` runs in the listed order, `on_response` in reverse."""

    @_hookspec
    def register(self, registry: Registry) -> None:
        """At load, once: add strategies, matchers and CLI commands. Synchronous."""

    @_hookspec
    def on_check(self, app: App) -> None:
        """In `gateway check`, in the place of `startup`: raise for what that would refuse, and change nothing."""

    @_hookspec
    def startup(self, app: App) -> Awaitable[None] | None:
        """Once a worker and configuration, before the first exchange. May be async. Raising refuses the start."""

    @_hookspec
    def shutdown(self, app: App) -> Awaitable[None] | None:
        """Once, after the last exchange of this App, in reverse order. May be async."""

    @_hookspec
    def on_request(self, exchange: Exchange) -> Response | Awaitable[Response | None] | None:
        """Once an exchange, after routing. A Response ends the way in; raising means 500.

        May be async. One that seldom has to wait is better written as a plain function that returns a coroutine
        when it has to: exchanges that wait for nothing are cheaper.
        """

    @_hookspec
    def on_select(self, exchange: Exchange, endpoints: Sequence[Endpoint]) -> Endpoint | None:
        """Each attempt, before the balancer, with the available endpoints. The first Endpoint wins. Synchronous.

        `endpoints` leaves out those that failed in this exchange. An endpoint that is draining is not in it and may
        still be returned for a session that it has (`exchange.upstream.find(name)`, `endpoint.keeps_sessions`).
        """

    @_hookspec
    def on_upstream_request(self, exchange: Exchange, attempt: Attempt) -> Awaitable[None] | None:
        """Each attempt, before it is sent: `attempt.headers` may be changed for it alone. May be async.

        Has no result, and returning one is an error.
        """

    @_hookspec
    def on_attempt(self, exchange: Exchange, attempt: Attempt) -> None:
        """Each attempt, when its outcome is known (`attempt.status` or `attempt.error`). Synchronous."""

    @_hookspec
    def on_upstream_response(self, exchange: Exchange, response: Response) -> Awaitable[None] | None:
        """Once, for the final upstream response, in reverse order, before any `on_response`.

        May be async. May change the response; has no result, and returning one is an error.
        """

    @_hookspec
    def wrap_request_body(self, exchange: Exchange, body: AsyncIterable[bytes]) -> AsyncIterable[bytes] | None:
        """Once, if the request has a body: a new iterator around it, or None. Synchronous (the iterator is not).

        The length is no longer known afterwards: the body goes upstream in chunks.
        """

    @_hookspec
    def on_response(self, exchange: Exchange, response: Response) -> Awaitable[None] | None:
        """Every response, generated ones included, in reverse order. May be async.

        May change the response that it is given: status, headers, body (bytes or an asynchronous iterator of them).
        Has no result: returning one, such as another Response, is an error. Raising means 500.
        """

    @_hookspec
    def wrap_response_body(self, exchange: Exchange, body: AsyncIterable[bytes]) -> AsyncIterable[bytes] | None:
        """Once, in reverse order: a new iterator around the body, or None. Synchronous (the iterator is not).

        The core takes content-length away from a response whose body is wrapped, unless the iterator says by an
        attribute `passes_on`, the body that it was given, that it leaves the bytes as they are. `exchange.response`
        is still None here: what depends on the response is decided in `on_response`, which has run before, and kept
        under a key.

            PAGE: StateKey[bool] = StateKey("page")

            @hookimpl
            def on_response(self, exchange, response):
                kind, coding = (response.headers.text(name, "") for name in ("content-type", "content-encoding"))
                exchange[PAGE] = kind.startswith("text/html") and not coding

            @hookimpl
            def wrap_response_body(self, exchange, body):
                return self._rewritten(body) if exchange.get(PAGE) else None

            async def _rewritten(self, body):
                async for piece in body:  # which may end within a word
                    yield piece.replace(b"colour", b"color")

        Not called for HEAD, whose content-length goes in `on_response`, and not for the response to a failure. A
        body that is there as a whole, and that nobody behind has wrapped, is a `WholeBody`.
        """

    @_hookspec
    def on_error(self, exchange: Exchange, error: GatewayError) -> Response | None:
        """A failure is about to become visible; the first Response is sent instead of the standard page."""

    @_hookspec
    def on_complete(self, exchange: Exchange) -> None:
        """Always, once, after the last byte. Synchronous, isolated: a failure is logged, nothing more."""

    @_hookspec
    def on_endpoint(self, endpoint: Endpoint, old: EndpointState, new: EndpointState, reason: str) -> None:
        """An endpoint's state changed in this worker. Isolated."""

    @_hookspec
    def on_command(self, name: str, arguments: dict[str, Any]) -> dict[str, Any] | None:
        """An operator's command that is not the core's own, in every worker: what came of it, as plain data.

        None from everybody means that nobody knows the command. Numbers of several workers and plugins are added
        up. Raise ValueError for arguments that make no sense. Synchronous. The command itself, with its options, is
        a click command under the entry-point group `gateway.commands`.
        """

    @_hookspec
    def on_connect(self, connection: Connection) -> Deny | Awaitable[Deny | None] | None:
        """A peer came to a listener; nothing of what it says has been decrypted or answered yet.

        A Deny ends the connection without a word. So does a failure: whoever looks at connections guards something.
        """

    @_hookspec
    def on_disconnect(self, connection: Connection) -> None:
        """A connection that this plugin let pass is over, or a later plugin has denied it. Isolated.

        A plugin without `on_connect` lets pass every connection that comes to its place in the list.
        """


EXCHANGE_HOOKS = (
    "on_request", "on_select", "on_upstream_request", "wrap_request_body", "on_attempt", "on_upstream_response",
    "on_response", "wrap_response_body", "on_error", "on_complete",
)  # fmt: skip
"""The hooks on an exchange's way, in the order in which it meets them."""

HOOK_NAMES = frozenset(name for name in vars(HookSpecs) if not name.startswith("_"))

ASYNC_HOOKS = frozenset((
    "startup", "shutdown", "on_connect", "on_request", "on_upstream_request", "on_upstream_response", "on_response",
))  # fmt: skip
"""Hooks whose implementations may be coroutine functions."""

REVERSED_HOOKS = frozenset(("shutdown", "on_upstream_response", "on_response", "wrap_response_body"))
"""Hooks that run from the last listed plugin to the first."""


__all__ = [
    "API_VERSION",
    "ASYNC_HOOKS",
    "EXCHANGE_HOOKS",
    "HOOK_NAMES",
    "PROJECT",
    "REVERSED_HOOKS",
    "HookSpecs",
    "hookimpl",
]
