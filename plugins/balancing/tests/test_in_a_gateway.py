"""The balancers in a real gateway: chosen by name, with weights, around an endpoint that is gone."""

from __future__ import annotations

import socket
from collections import Counter

import pytest

from gateway.testing import GatewayDied, reply

NAMES = ["random", "round-robin", "weighted-round-robin", "least-connections"]


@pytest.mark.parametrize("balancer", NAMES)
def test_every_endpoint_gets_its_part(gateway, origin, balancer):
    names = (b"one", b"two")
    endpoints = [origin(reply(name)).url for name in names]
    site = gateway(plugins=["balancing"], upstreams={"app": {"balancer": balancer, "endpoints": endpoints}})
    counts = Counter(site.get().body for _ in range(40))
    assert set(counts) == set(names)
    if balancer != "random":
        assert counts[b"one"] == counts[b"two"]


@pytest.mark.parametrize("balancer", ["weighted-round-robin", "least-connections"])
def test_weights_hold(gateway, origin, balancer):
    endpoints = [{"url": origin(reply(b"one")).url, "weight": 3}, origin(reply(b"two")).url]
    site = gateway(plugins=["balancing"], upstreams={"app": {"balancer": balancer, "endpoints": endpoints}})
    assert Counter(site.get().body for _ in range(40)) == {b"one": 30, b"two": 10}


@pytest.mark.parametrize("balancer", NAMES)
def test_no_request_is_lost_when_an_endpoint_refuses(gateway, origin, balancer):
    with socket.create_server(("127.0.0.1", 0)) as server:
        gone = f"http://127.0.0.1:{server.getsockname()[1]}"
    endpoints = [gone, origin().url, origin().url]
    site = gateway(plugins=["balancing"], upstreams={"app": {"balancer": balancer, "endpoints": endpoints}})
    assert {site.get().status for _ in range(20)} == {200}


def test_a_wrong_name_is_refused_with_a_hint(gateway, origin):
    with pytest.raises(GatewayDied, match="did you mean 'round-robin'"):
        gateway(plugins=["balancing"], upstreams={"app": {"balancer": "round-robbin", "endpoints": [origin().url]}})
