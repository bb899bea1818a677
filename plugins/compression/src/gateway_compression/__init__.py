"""The plugin `compression`: responses in the coding that each client likes best.

Owns the hooks, and where in them a body is encoded. What is encoded is decided in `decisions`, what it means for
the fields is in `fields`, how it is done in `codecs`, `decoders` and `streaming`.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

from gateway import App, Exchange, Response, StateKey, hookimpl
from gateway_compression.codecs import CODECS, Codec
from gateway_compression.config import Levels, Settings
from gateway_compression.decisions import NOTHING, Decision, Judge
from gateway_compression.decoders import BoundedDecoder
from gateway_compression.fields import (
    forbids_transforming,
    recoded,
    weakened_if_asked,
    with_strong_if_match,
    with_vary,
    without_weak_range,
)
from gateway_compression.media_types import MediaTypes
from gateway_compression.streaming import decoded, encoded

__all__ = ["Compression", "Levels"]

_MOST_THREADS = 4


class Plan(NamedTuple):
    """What `wrap_response_body` has to do, for the response that it was made for."""

    response: Response
    decode: bytes | None
    codec: Codec | None


class Compression:
    """Encode responses with zstd, br or gzip, by what the client likes (Accept-Encoding).

    Bodies that are there are encoded at once; others, and large ones, while they are sent, and flushed whenever no
    more has come. Says `Vary: Accept-Encoding` of all that another client could get in another coding.
    """

    api = 1
    Config = Settings

    def __init__(self, config: Settings) -> None:
        self._config = config
        self._types = MediaTypes(config.types)
        self._judge = Judge(config.codings, self._types, config.min_size, config.decode)
        self._codecs = {name.encode(): CODECS[name](name, getattr(config.levels, name)) for name in config.codings}
        self._min_size = config.min_size
        self._threads = ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1), "compression")
        # Of this instance: a list may hold several, and each has its own part in an exchange.
        self._asked: StateKey[Iterable[tuple[bytes, bytes]]] = StateKey("compression.asked")
        self._plan: StateKey[Plan] = StateKey("compression.plan")
        self._answerers: dict[Any, frozenset[str | None] | None] = {}
        """By pipeline: who may have answered for a body to be encoded at once; None for anybody."""

    @hookimpl
    def startup(self, app: App) -> None:
        """Show what the codings did."""
        for codec in self._codecs.values():
            for name, meaning in _METRICS.items():
                app.metrics.counter(
                    f"compression_{name}", meaning, partial(getattr, codec, name), coding=codec.name
                )

    @hookimpl
    def shutdown(self, app: App) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False)

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Remember what the client asked for, whatever plugins behind make of it, and mend its conditions."""
        # hot: plugins
        raw = exchange.request.headers.raw
        fields = dict(raw)
        exchange[self._asked] = fields.items() if len(fields) == len(raw) else raw.copy()
        if b"if-range" in fields:
            raw[:] = without_weak_range(raw)
        if b"if-match" in fields and self._config.restore_if_match:
            raw[:] = with_strong_if_match(raw)

    @hookimpl
    def on_response(self, exchange: Exchange, response: Response) -> None:
        """Decide, change the fields, and encode what can be encoded at once."""
        # hot: plugins. Most responses that are not to be encoded are known by their size or type.
        body = response.body
        if type(body) is bytes and 0 < len(body) < self._min_size and not self._config.decode:
            return
        content_type = None
        for name, value in response.headers.raw:
            if name == b"content-type":
                content_type = value
                break
        if (
            self._types[content_type]
            or response.status == 304
            or (self._config.decode and b"content-encoding" in response.headers)
        ):
            self._treat(exchange, response)

    def _treat(self, exchange: Exchange, response: Response) -> None:
        if exchange.is_tunnel:
            return
        asked = exchange.get(self._asked, exchange.request.headers.raw)  # of a request that failed before us
        accepts = [value for name, value in asked if name == b"accept-encoding"]
        forbids = forbids_transforming(value for name, value in asked if name == b"cache-control")
        headers = response.headers
        decision = self._judge.decide(accepts, forbids, response.status, headers, _size(exchange, response))
        if decision is NOTHING:
            return
        if response.status == 304:
            headers.raw = weakened_if_asked(headers.raw, exchange.request.headers.get_all(b"if-none-match"))
        elif decision.changes_body and self._begin(exchange, response, decision):
            headers.raw = recoded(headers.raw, decision.encode)
        headers.raw = with_vary(headers.raw)

    def _begin(self, exchange: Exchange, response: Response, decision: Decision) -> bool:
        """Encode the body, or plan to; whether it is, or will be, in another coding."""
        body = response.body
        codec = None if decision.encode is None else self._codecs[decision.encode]
        if exchange.request.method == "HEAD":
            return True
        if codec is not None and decision.decode is None and self._is_to_be_encoded_now(exchange, body, codec):
            return _encode_now(response, codec)
        if exchange.error is not None:
            return False  # nobody wraps the body of an error's response
        exchange[self._plan] = Plan(response, decision.decode, codec)
        return True

    def _is_to_be_encoded_now(self, exchange: Exchange, body: object, codec: Codec) -> bool:
        """Whether a body is whole, not too large, and none of the plugins behind has yet to see it as it is.

        Those may wrap it, for instance to keep a copy, after all plugins have seen the response.
        """
        if not isinstance(body, bytes) or len(body) > codec.in_place_bytes:
            return False
        if exchange.error is not None:
            return True
        pipeline = exchange.route.pipeline
        if pipeline not in self._answerers:
            self._answerers[pipeline] = _answerers(pipeline, self)
        answerers = self._answerers[pipeline]
        return answerers is None or exchange.answered_by in answerers

    @hookimpl
    def wrap_response_body(self, exchange: Exchange, body: AsyncIterable[bytes]) -> AsyncIterable[bytes] | None:
        """Encode a body that arrives piece by piece, or is large."""
        # hot: plugins
        plan = exchange.get(self._plan)
        if plan is None or not _holds(plan):
            return None
        source: object = exchange.open_body
        has_data = exchange.open_body.has_data if exchange.open_body is not None and source is body else _never
        if plan.decode is not None:
            decoder = BoundedDecoder(plan.decode, self._config.max_decoded, self._config.max_ratio)
            body, has_data = decoded(body, decoder), _never
        return body if plan.codec is None else encoded(body, plan.codec, self._threads, has_data)

    def __repr__(self) -> str:
        return f"<Compression {', '.join(map(repr, self._codecs.values()))}>"


_METRICS = {
    "bytes_in": "Bytes of response bodies that were encoded, before",
    "bytes_out": "Bytes of response bodies that were encoded, after",
}


def _size(exchange: Exchange, response: Response) -> int | None:
    """Of the body, as far as it is known; to HEAD, of the one that GET would bring."""
    if isinstance(response.body, bytes) and exchange.request.method != "HEAD":
        return len(response.body)
    length = response.headers.get(b"content-length", b"")
    return int(length) if length.isdigit() else None


def _encode_now(response: Response, codec: Codec) -> bool:
    body = response.body
    assert isinstance(body, bytes)
    data = codec.encode(body)
    codec.bytes_in += len(body)
    codec.bytes_out += min(len(data), len(body))
    if len(data) >= len(body):
        return False  # what does not become smaller stays as it is
    response.body = data
    return True


def _answerers(pipeline: Any, plugin: object) -> frozenset[str | None] | None:
    """Whose answers no plugin behind this one will wrap; None if it is so of everybody's, the endpoint's too."""
    places = [(place, name) for place, (name, _) in enumerate(pipeline.plugins)]
    mine = min((place for place, (_, listed) in enumerate(pipeline.plugins) if listed is plugin), default=-1)
    wrapping = [step.position for step in pipeline.wrap_response_body if step.position > mine]
    if not wrapping:
        return None
    behind = {name for place, name in places if place > min(wrapping)}
    return frozenset(name for place, name in places if name not in behind)


def _holds(plan: Plan) -> bool:
    """Whether the response still is what was decided on: a plugin before may have made it a 304 of its own."""
    response = plan.response
    wanted = None if plan.codec is None else plan.codec.name.encode()
    return response.status not in (204, 205, 304) and response.headers.get(b"content-encoding") == wanted


def _never() -> bool:
    return False
