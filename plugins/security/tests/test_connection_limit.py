"""connection-limit: what is counted, when it is given back, and what becomes of one request too many."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from gateway_security import ConnectionLimit, connection_limit, shared_file
from gateway_security.count_table import CountTable
from gateway_security.refused_error import Refused
from gateway_security.shared_locks import LockTimeout
from pydantic import ValidationError

from gateway import Connection, Deny, Exchange, Metrics, Request, Response
from gateway.pipeline import Pipeline


class Site:
    """The plugin in a worker without sockets."""

    def __init__(self, **settings: object) -> None:
        self.app = SimpleNamespace(metrics=Metrics())
        self.plugin = ConnectionLimit(ConnectionLimit.Config.model_validate(settings))
        self.plugin.startup(self.app)

    def begin(self, client: str = "192.0.2.7") -> Exchange:
        exchange = Exchange(self.app, Request("GET", "/", {"host": "a"}, client=client))
        self.plugin.on_request(exchange)
        return exchange

    def fill(self, count: int = 100, client: str = "192.0.2.7") -> list[Exchange]:
        """As many as are let in, of so many."""
        begun = []
        for _ in range(count):
            try:
                begun.append(self.begin(client))
            except Refused:
                pass
        return begun


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """`serve(requests=3)`: the plugin with these settings."""
    monkeypatch.setattr(shared_file, "_PLACES", (tmp_path,))
    sites = []

    def start(**settings: object) -> Site:
        sites.append(Site(**settings))
        return sites[-1]

    yield start
    for site in sites:
        site.plugin.shutdown(site.app)
    assert list(tmp_path.glob("*/*")) == []


def test_a_client_has_so_many_under_way_and_another_when_one_is_done(serve):
    site = serve(requests=3)
    begun = site.fill()
    assert len(begun) == 3
    site.plugin.on_complete(begun[0])
    assert len(site.fill()) == 1


def test_each_client_counts_for_itself(serve):
    site = serve(requests=3)
    assert [len(site.fill(client=client)) for client in ("192.0.2.7", "192.0.2.8", "2001:db8::1")] == [3, 3, 3]
    assert site.fill(client="2001:db8::2") == []


def test_one_that_was_refused_gives_nothing_back(serve):
    site = serve(requests=1)
    first = site.begin()
    refused = Exchange(site.app, Request("GET", "/", {"host": "a"}, client="192.0.2.7"))
    with pytest.raises(Refused) as caught:
        site.plugin.on_request(refused)
    site.plugin.on_complete(refused)
    assert site.fill() == []
    assert caught.value.status == 429
    refused.error = caught.value
    response = Response(429)
    site.plugin.on_response(refused, response)
    assert response.headers.raw == [(b"retry-after", b"1")]
    assert refused.notes == [("connection-limit", "refused it: 1 requests under way already")]
    site.plugin.on_complete(first)
    assert len(site.fill()) == 1


def test_workers_and_a_new_app_count_together_and_another_limit_by_itself(serve):
    one, other = serve(requests=3), serve(requests=3, status=503)
    begun = one.fill(2)
    assert len(other.fill()) == 1
    one.plugin.on_complete(begun[0])
    assert len(other.fill()) == 1
    assert len(serve(requests=5).fill()) == 5


def test_exempt_networks_are_not_counted(serve):
    site = serve(requests=3, exempt_networks=["10.0.0.0/8"])
    begun = site.fill(client="10.0.0.1")
    assert len(begun) == 100
    for exchange in begun:
        site.plugin.on_complete(exchange)


def test_more_clients_than_there_is_room_for_get_503_and_the_log_says_what_to_do(serve, caplog):
    site = serve(requests=3, clients=16)
    refused = []
    for number in range(200):
        try:
            site.begin(f"192.0.2.{number}")
        except Refused as error:
            refused.append(error.status)
    assert len(refused) >= 200 - 32
    assert set(refused) == {503}
    assert "raise `clients`" in caplog.text


def test_one_too_many_makes_us_look_for_workers_that_are_gone_but_not_each_time(serve, monkeypatch):
    looked, clock = [], [100.0]
    monkeypatch.setattr(CountTable, "sweep", lambda table: looked.append(clock[0]))
    monkeypatch.setattr(connection_limit.time, "monotonic", lambda: clock[0])
    site = serve(requests=1)
    looked.clear()
    site.fill(10)
    clock[0] += connection_limit.SWEEP_SECONDS
    site.fill(10)
    assert looked == [100.0, 101.0]


def test_a_count_that_cannot_be_given_back_at_once_is_given_back_later(serve, monkeypatch):
    site = serve(requests=1)
    exchange = site.begin()

    def stopped(table: CountTable, slot: int) -> None:
        raise LockTimeout

    with monkeypatch.context() as patch:
        patch.setattr(CountTable, "leave", stopped)
        site.plugin.on_complete(exchange)
    assert len(site.fill()) == 1


def test_while_nobody_can_count_requests_are_refused(serve, monkeypatch):
    def stopped(table: CountTable, place: object, most: int) -> int:
        raise LockTimeout("another worker has it")

    site = serve(requests=1)
    monkeypatch.setattr(CountTable, "enter", stopped)
    with pytest.raises(Refused) as caught:
        site.begin()
    assert caught.value.status == 503


def test_without_a_limit_nothing_is_done_at_all():
    plugin = ConnectionLimit(ConnectionLimit.Config())
    assert [hook for hook, steps in Pipeline([("connection-limit", plugin)]).steps.items() if steps] == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"requests": 70000}, "less than or equal to 65535"),
        ({"status": 500}, "429 or 503"),
        ({"key": "ip"}, "'ip'"),
    ],
)
def test_what_cannot_be_is_refused_at_load(settings, message):
    with pytest.raises(ValidationError, match=message):
        ConnectionLimit.Config.model_validate(settings)


def test_connections_are_counted_apart_from_requests(serve):
    site = serve(requests=1, connections=2)
    opened = [Connection("192.0.2.7", "192.0.2.7", port, "web") for port in range(3)]
    assert [site.plugin.on_connect(each) for each in opened[:2]] == [None, None]
    assert site.plugin.on_connect(opened[2]) == Deny("2 connections are open already")
    assert site.plugin.on_connect(Connection("192.0.2.8", "192.0.2.8", 1, "web")) is None
    assert len(site.fill()) == 1
    site.plugin.on_disconnect(opened[0])
    assert site.plugin.on_connect(opened[2]) is None
    site.plugin.on_disconnect(opened[0])  # it is gone already
    assert site.plugin.on_connect(opened[0]) == Deny("2 connections are open already")


def test_without_a_limit_on_connections_nobody_looks_at_them():
    assert ConnectionLimit(ConnectionLimit.Config(requests=1)).on_connect is None
    assert ConnectionLimit(ConnectionLimit.Config(connections=1)).on_request is None
