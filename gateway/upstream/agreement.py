"""What all workers hold of endpoints, whoever says it: which there are, their marks and their weights.

Owns the topics of the bus, their messages, and how they come to bear on the upstreams of this worker. The messages
are kept, so that workers that start later agree as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from gateway.bus import Bus
from gateway.config.model import EndpointSettings
from gateway.upstream.endpoint import EndpointState
from gateway.upstream.group import Upstream

ENDPOINTS, MARKS, WEIGHTS = "endpoints.set", "endpoints.mark", "endpoints.weight"

Publish: TypeAlias = Callable[[str, Any, str], None]
"""Of the bus: a topic, a message, and the key to keep it under."""


def publish_endpoints(publish: Publish, upstream: Upstream, endpoints: Iterable[EndpointSettings]) -> None:
    """Give an upstream just these endpoints, in every worker."""
    listed = [endpoint.model_dump() for endpoint in endpoints]
    # A reload may want something else of the upstream: then what was found for the old settings is void.
    message = {"upstream": upstream.name, "endpoints": listed, "settings": upstream.settings.fingerprint}
    publish(ENDPOINTS, message, upstream.name)


def publish_mark(
    publish: Publish,
    upstream: str,
    endpoint: str,
    source: str,
    state: EndpointState,
    reason: str,
    owner: str = "",
) -> None:
    """Tell every worker what a source holds an endpoint for. UP is what is held of those that nobody speaks of."""
    key = f"{upstream} {endpoint} {source}"
    place = {"upstream": upstream, "endpoint": endpoint, "source": source, "owner": owner}
    mark = {**place, "state": state.value, "reason": reason}
    if state is EndpointState.UP:
        publish(MARKS, mark, "")
        publish(MARKS, None, key)  # the former one is kept no longer
    else:
        publish(MARKS, mark, key)


def publish_weight(publish: Publish, upstream: str, endpoint: str, weight: int) -> None:
    """Weigh an endpoint in every worker."""
    publish(WEIGHTS, {"upstream": upstream, "endpoint": endpoint, "weight": weight}, f"{upstream} {endpoint}")


class Agreement:
    """Lets the upstreams of one worker follow what is said, from `begin` to `end`."""

    def __init__(self, bus: Bus, upstreams: Mapping[str, Upstream], plugins: frozenset[str]) -> None:
        """`plugins` are those that are loaded: a mark whose owner is not among them does not count."""
        self._bus = bus
        self._upstreams = upstreams
        self._plugins = plugins
        self._subscriptions: list[Callable[[], None]] = []

    def begin(self) -> None:
        """Take up what was said before, and listen."""
        topics = {ENDPOINTS: self._on_endpoints, MARKS: self._on_mark, WEIGHTS: self._on_weight}
        self._subscriptions = [self._bus.subscribe(topic, callback) for topic, callback in topics.items()]

    def end(self) -> None:
        """Listen no more."""
        for unsubscribe in self._subscriptions:
            unsubscribe()

    def _on_endpoints(self, message: dict[str, Any]) -> None:
        upstream = self._upstreams.get(message["upstream"])
        if upstream is not None and upstream.settings.fingerprint == message["settings"]:
            upstream.set_endpoints([EndpointSettings(**item) for item in message["endpoints"]])
            for mark in self._bus.kept(MARKS):
                self._on_mark(mark)
            for weight in self._bus.kept(WEIGHTS):
                self._on_weight(weight)

    def _on_mark(self, message: dict[str, Any] | None) -> None:
        if message is None:  # one that is no longer kept
            return
        if message["owner"] and message["owner"] not in self._plugins:
            return
        upstream = self._upstreams.get(message["upstream"])
        endpoint = upstream and upstream.find(message["endpoint"])
        if upstream and endpoint:
            upstream.mark(endpoint, message["source"], EndpointState(message["state"]), message["reason"])

    def _on_weight(self, message: dict[str, Any]) -> None:
        upstream = self._upstreams.get(message["upstream"])
        endpoint = upstream and upstream.find(message["endpoint"])
        if upstream and endpoint:
            upstream.set_weight(endpoint, message["weight"])
