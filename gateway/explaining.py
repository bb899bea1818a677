"""Why an exchange goes where it goes: the route, the hooks, each endpoint and the reason for or against it.

Owns that record, for a request that is only asked about and for a live one that carries the secret. Decides
nothing: it asks the same code that serves.
"""

from __future__ import annotations

import copy
import hmac
import inspect
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from gateway.errors import GatewayError
from gateway.forward import pick
from gateway.hooks import EXCHANGE_HOOKS
from gateway.model import Attempt, Exchange, Request, Response
from gateway.pipeline import Pipeline, Step
from gateway.routing import SeenBody
from gateway.state import StateKey
from gateway.upstream.candidates import reasons

if TYPE_CHECKING:
    from gateway.app import App
    from gateway.routing import Route
    from gateway.routing.actions import Act
    from gateway.upstream.group import Upstream

log = logging.getLogger("gateway.explain")

HEADER = b"x-gateway-explain"
"""The request header that carries the secret, and the response header that carries the record."""

NEAREST = 5
"""Routes that are told of beside the one that matched."""

Spent = list[tuple[str, str, float]]
SPENT: StateKey[Spent] = StateKey("explain")
"""Hook, plugin and µs of each call."""


def read_request(data: Mapping[str, Any]) -> tuple[Request, bytes]:
    """A request and its body from plain data such as the admin socket brings. Raises ValueError."""
    body = (data.get("body") or "").encode()
    request = Request(
        data["method"],
        data["target"],
        [(name, value) for name, value in data.get("headers", ())],
        scheme=data.get("scheme", "http"),
        client=data.get("client", "127.0.0.1"),
    )
    if body:
        request.has_body = True
        request.headers.set_default("content-length", str(len(body)))
    return request, body


def explain(app: App, request: Request, body: bytes) -> dict[str, Any]:
    """What would become of a request: as plain data. Nothing is sent and no hook runs but `on_select`."""
    exchange = Exchange(app, request)
    record: dict[str, Any] = {"request": f"{request.method} {request.host}{request.target.decode('latin-1')}"}
    seen = SeenBody(body)
    record["routes"] = _routes(app, request, seen)
    try:
        route = app.admit(exchange, seen)
    except GatewayError as error:
        return record | {"refused": f"{error.status}: {error}"}
    record |= {"route": route.name, "hooks": _hooks(route.pipeline)}
    if route.is_answering and route.act is not None:
        return record | {"answer": route.destination} | _location(exchange, route.act)
    if route.split is not None:
        record["split"] = {
            "weights": route.split.weights, "took": exchange.upstream.name, "why": route.split.why(request)
        }  # fmt: skip
    if exchange.forwarded_path is not None:
        record["forwarded_path"] = exchange.forwarded_path.decode("latin-1")
    return record | _destination(exchange, exchange.upstream)


def explain_unstarted(app: App, request: Request, body: bytes) -> dict[str, Any]:
    """The same of an App that does not run: with the endpoints of files, and a note where only a lookup tells them.

    A plugin's table `discovery` gives what is at hand by `endpoints_at_hand()`, which returns endpoints, or None if
    it would have to ask somebody, or raises ValueError.
    """
    notes = {name: _take_at_hand(app, upstream) for name, upstream in app.upstreams.items()}
    record = explain(app, request, body)
    note = notes.get(record.get("upstream", ""))
    if note:
        record["note"] = note
        if not record["endpoints"]:
            record.pop("refused", None)  # nobody knows
    return record


def _take_at_hand(app: App, upstream: Upstream) -> str:
    """Give an upstream the endpoints that are at hand; what is to be noted if there may be others."""
    table = app.tables["discovery"].get(upstream.name)
    if not upstream.settings.discovery or table is None:
        return ""
    about = f"endpoints of upstream {upstream.name!r} are discovered ({table})"
    try:
        found = table.endpoints_at_hand() if hasattr(table, "endpoints_at_hand") else None
    except ValueError as error:
        return f"{about}: {error}"
    if found:
        upstream.set_endpoints(found)
        return ""
    return f"{about}: no endpoint in it" if found is not None else f"{about}: not known without --live"


def _routes(app: App, request: Request, body: SeenBody) -> list[dict[str, str]]:
    verdicts = app.router.explain(request, body)
    return [{"route": verdict.route.name, "reason": verdict.reason} for verdict in verdicts[: NEAREST + 1]]


def _hooks(pipeline: Pipeline) -> dict[str, list[str]]:
    return {hook: [step.plugin for step in pipeline.steps[hook]] for hook in EXCHANGE_HOOKS if pipeline.steps[hook]}


def _location(exchange: Exchange, act: Act) -> dict[str, str]:
    try:
        response = act(exchange)
    except GatewayError as error:
        return {"refused": f"{error.status}: {error}"}
    location = response.headers.get(b"location") if response is not None else None
    return {"location": location.decode("latin-1")} if location is not None else {}


def _destination(exchange: Exchange, upstream: Upstream) -> dict[str, Any]:
    against = reasons(upstream.endpoints, upstream.settings.prefer)
    endpoints = [
        {**endpoint.describe(), "reason": against.get(endpoint, "candidate")} for endpoint in upstream.endpoints
    ]
    found = {"upstream": upstream.name, "balancer": upstream.settings.balancer.use, "endpoints": endpoints}
    try:
        picked = pick(exchange, upstream, [])
    except GatewayError as error:
        return found | {"refused": f"{error.status}: {error}"}
    who = next((who for who, what in exchange.notes if what.startswith("selected")), "")
    return found | {"pick": picked.name, "picked_by": who or f"balancer {upstream.settings.balancer.use}"}


class LiveExplainer:
    """Records what becomes of exchanges that carry the secret: as a response header, and as a line in the log.

    They run through a pipeline of their own, whose steps are timed; all others are not touched.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self._watched: dict[Route, Route] = {}

    def route(self, exchange: Exchange, route: Route) -> Route:
        """The route of an exchange: the same, or one that is watched. The secret goes no further."""
        headers = exchange.request.headers
        given = headers.get(HEADER)
        if given is None:
            return route
        headers.remove(HEADER)
        if not hmac.compare_digest(given, self._secret):
            return route
        exchange[SPENT] = []
        if route not in self._watched:
            self._watched[route] = watched = copy.copy(route)
            watched.pipeline = timed(route.pipeline)
        return self._watched[route]


def timed(pipeline: Pipeline) -> Pipeline:
    """The same pipeline, whose steps take down how long they took, and which tells of it at the end."""
    found = copy.copy(pipeline)
    found.steps = dict(pipeline.steps)
    for hook in EXCHANGE_HOOKS:
        found.steps[hook] = tuple(_timed(step, hook) for step in pipeline.steps[hook])
    found.steps["on_response"] += (Step(_add_header, False, -1, "explain"),)
    found.steps["on_complete"] += (Step(_log, False, -1, "explain"),)
    for hook in EXCHANGE_HOOKS:
        setattr(found, hook, found.steps[hook])
    return found


def _timed(step: Step, hook: str) -> Step:
    call: Callable[..., Any] = step.call

    def plain(exchange: Exchange, *rest: Any) -> Any:
        started = time.perf_counter()
        try:
            return call(exchange, *rest)
        finally:
            exchange[SPENT].append((hook, step.plugin, _microseconds(started)))

    async def awaited(exchange: Exchange, *rest: Any) -> Any:
        started = time.perf_counter()
        try:
            return await call(exchange, *rest)
        finally:
            exchange[SPENT].append((hook, step.plugin, _microseconds(started)))

    return step._replace(call=awaited if inspect.iscoroutinefunction(call) else plain)


def _microseconds(started: float) -> float:
    return round((time.perf_counter() - started) * 1e6, 1)


def _add_header(exchange: Exchange, response: Response) -> None:
    response.headers.set(HEADER, json.dumps(record_of(exchange), separators=(",", ":")))


def _log(exchange: Exchange) -> None:
    log.info("request %s: %s", exchange.id, json.dumps(record_of(exchange)))


def record_of(exchange: Exchange) -> dict[str, Any]:
    """What became of an exchange, as plain data."""
    upstream = exchange.upstream
    against = reasons(upstream.endpoints, upstream.settings.prefer)
    return {
        "id": exchange.id,
        "route": exchange.route.name,
        "decided": [f"{who}: {what}" for who, what in exchange.notes],
        "upstream": upstream.name,
        "attempts": [_attempt(attempt) for attempt in exchange.attempts],
        "passed_over": {endpoint.name: reason for endpoint, reason in against.items()},
        "hooks_us": [list(spent) for spent in exchange[SPENT]],
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    outcome = str(attempt.error) if attempt.error else attempt.status
    seconds = (attempt.ended or time.monotonic()) - attempt.started
    return {"endpoint": attempt.endpoint.name, "outcome": outcome, "ms": round(seconds * 1e3, 3)}
