"""rate-limit: whose requests count together, what becomes of those that come too fast, and what the settings
refuse."""

from __future__ import annotations

import asyncio
import inspect
import threading
from types import SimpleNamespace

import pytest
from gateway_security import RateLimit, rate_limit, shared_file
from gateway_security.refused_error import Refused
from gateway_security.shared_locks import try_lock, unlock
from pydantic import ValidationError

from gateway import Exchange, Metrics, Request, Response
from gateway.pipeline import Pipeline


class Site:
    """The plugin in a worker without sockets, by a clock that stands still."""

    def __init__(self, clock: SimpleNamespace, **settings: object) -> None:
        self.clock = clock
        self.app = SimpleNamespace(metrics=Metrics())
        self.plugin = RateLimit(RateLimit.Config.model_validate(settings))
        self.plugin.startup(self.app)

    def exchange(
        self,
        *fields: tuple[str, str],
        route: str = "r",
        listener: str = "l",
        method: str = "GET",
        target: str = "/",
        client: str = "192.0.2.7",
        host: str = "a.example",
    ) -> Exchange:
        request = Request(method, target, [("host", host), *fields], client=client)
        exchange = Exchange(self.app, request, listener)
        exchange.route = SimpleNamespace(name=route)
        return exchange

    def passes(self, *fields: tuple[str, str], **options: str) -> bool:
        try:
            waiting = self.plugin.on_request(self.exchange(*fields, **options))
        except Refused:
            return False
        assert waiting is None
        return True

    def count(self, *fields: tuple[str, str], **options: str) -> int:
        """How many pass until one is refused."""
        number = 0
        while number < 200 and self.passes(*fields, **options):
            number += 1
        return number

    def refusal(self, **options: str) -> Response:
        """The response to a request that is refused."""
        exchange = self.exchange(**options)
        with pytest.raises(Refused) as caught:
            self.plugin.on_request(exchange)
        exchange.error = caught.value
        response = Response(caught.value.status, {"retry-after": "1"})
        self.plugin.on_response(exchange, response)
        return response

    def metric(self, name: str) -> float:
        return next(each["value"] for each in self.app.metrics.samples() if each["name"] == f"gateway_{name}")


@pytest.fixture
def clock(monkeypatch):
    standing = SimpleNamespace(now=10**12)
    monkeypatch.setattr(rate_limit, "_now", lambda: standing.now)
    return standing


@pytest.fixture
def serve(tmp_path, monkeypatch, clock):
    """`serve(rate="100/s")`: the plugin with these settings."""
    monkeypatch.setattr(shared_file, "_PLACES", (tmp_path,))
    sites = []

    def start(**settings: object) -> Site:
        sites.append(Site(clock, **settings))
        return sites[-1]

    yield start
    for site in sites:
        asyncio.run(site.plugin.shutdown(site.app))
    assert list((tmp_path).glob("*/*")) == []


def test_a_client_gets_as_many_as_the_rate_says_and_more_when_time_has_passed(serve, clock):
    site = serve(rate="100/m")
    assert site.count() == 100
    clock.now += 3 * 600_000_000
    assert site.count() == 3


@pytest.mark.parametrize(
    ("key", "same", "other"),
    [
        ("client", {"client": "192.0.2.7", "host": "b"}, {"client": "192.0.2.8"}),
        ("client", {"client": "::ffff:192.0.2.7"}, {"client": "::192.0.2.7"}),
        ("route", {"client": "192.0.2.8"}, {"route": "other"}),
        ("listener", {"route": "other"}, {"listener": "other"}),
        ("host", {"client": "192.0.2.8", "host": "A.example:8080"}, {"host": "b.example"}),
        ("path", {"target": "/?a=1"}, {"target": "/b"}),
        (["client", "route"], {"host": "b"}, {"client": "192.0.2.8"}),
        (["client", "route"], {"listener": "b"}, {"route": "other"}),
        (["host", "path"], {"client": "192.0.2.8"}, {"target": "/b"}),
    ],
)
def test_requests_with_the_same_key_count_together(serve, key, same, other):
    site = serve(rate="5/h", key=key)
    assert site.count() == 5
    assert not site.passes(**same)
    assert site.count(**other) == 5


@pytest.mark.parametrize(
    ("key", "mine", "same", "other"),
    [
        ("header:X-Key", ("x-key", "1"), ("x-key", "1"), ("x-key", "2")),
        ("cookie:user", ("cookie", "a=b; user=1"), ("cookie", "user=1;c=d"), ("cookie", "xuser=1; user=12")),
    ],
)
def test_a_header_or_a_cookie_can_be_the_key(serve, key, mine, same, other):
    site = serve(rate="5/h", key=key)
    assert site.count(mine) == 5
    assert not site.passes(same, client="192.0.2.8")
    assert site.count(other) == 5


@pytest.mark.parametrize("key", ["header:x-key", "cookie:user"])
def test_whoever_leaves_the_key_out_is_counted_by_address(serve, key):
    site = serve(rate="5/h", key=key)
    assert site.count() == 5
    assert site.count(client="192.0.2.8") == 5
    # Nor can anybody use up what another has by calling itself by the other's address.
    field = ("x-key", "4/c0000209") if key.startswith("header") else ("cookie", "user=4/c0000209")
    assert site.count(field, client="192.0.2.8") == 5
    assert site.count(client="192.0.2.9") == 5


def test_parts_of_a_key_do_not_run_into_each_other(serve):
    site = serve(rate="5/h", key=["header:a", "header:b"])
    assert site.count(("a", "12"), ("b", "3")) == 5
    assert site.count(("a", "1"), ("b", "23")) == 5


def test_clients_of_one_ipv6_network_count_together(serve):
    site = serve(rate="5/h")
    assert site.count(client="2001:db8::1") == 5
    assert not site.passes(client="2001:db8::ffff:1")
    assert site.count(client="2001:db8:0:1::1") == 5


def test_the_network_of_a_client_is_as_large_as_the_settings_say(serve):
    site = serve(rate="5/h", ipv4_prefix=24, ipv6_prefix=48)
    assert site.count(client="192.0.2.7") == 5
    assert not site.passes(client="192.0.2.200")
    assert site.count(client="2001:db8::1") == 5
    assert not site.passes(client="2001:db8:0:1::1")


def test_clients_without_an_address_are_one(serve):
    site = serve(rate="5/h")
    assert site.count(client="") == 5


def test_exempt_networks_and_methods_are_not_counted(serve):
    site = serve(rate="5/h", exempt_networks=["10.0.0.0/8", "fd00::/8"], exempt_methods=["OPTIONS"])
    assert site.count(client="10.1.2.3") == 200
    assert site.count(client="::ffff:10.1.2.3") == 200
    assert site.count(client="fd00::1") == 200
    assert site.count(method="OPTIONS") == 200
    assert site.count() == 5


def test_of_several_limits_each_has_to_be_kept(serve, clock):
    site = serve(rate="3/s", key="client", limits=[{"rate": "5/h", "key": "route"}])
    assert site.count() == 3
    assert site.count(client="192.0.2.8") == 2
    clock.now += 10**9 + 2  # a third of a second is rounded up
    assert site.count() == 0
    assert site.count(route="other") == 3


def test_another_limit_of_the_same_key_counts_for_itself(serve, clock):
    site = serve(rate="3/s", limits=[{"rate": "5/h"}])
    assert site.count() == 3
    clock.now += 10**9
    assert site.count() == 2


def test_a_refusal_says_when_to_come_again_and_what_is_left(serve):
    site = serve(rate="5/m", name="api")
    assert site.count() == 5
    assert site.refusal().headers.raw == [
        (b"retry-after", b"12"),
        (b"ratelimit-policy", b'"api";q=5;w=60'),
        (b"ratelimit", b'"api";r=0;t=12'),
    ]


def test_a_refusal_by_several_limits_says_when_all_are_kept(serve):
    site = serve(limits=[{"rate": "2/m", "name": "one"}, {"rate": "2/h", "name": "other"}])
    assert site.count() == 2
    response = site.refusal()
    assert response.headers.text("retry-after") == "1800"
    assert response.headers.text("ratelimit-policy") == '"one";q=2;w=60, "other";q=2;w=3600'
    assert response.headers.text("ratelimit") == '"one";r=0;t=30, "other";r=0;t=1800'


def test_fields_can_be_left_out_and_the_status_be_another(serve):
    site = serve(rate="1/m", fields="none", status=503)
    assert site.count() == 1
    response = site.refusal()
    assert response.status == 503
    assert response.headers.raw == [(b"retry-after", b"60")]


def test_every_response_can_say_what_is_left(serve):
    site = serve(rate="100/s", burst=3, fields="all")
    said = []
    for _ in range(3):
        exchange, response = site.exchange(), Response(200)
        site.plugin.on_request(exchange)
        site.plugin.on_response(exchange, response)
        said.append(response.headers.raw)
    assert said == [
        [(b"ratelimit-policy", b'"client 100/s";q=100;w=1'), (b"ratelimit", b'"client 100/s";r=%d;t=1' % left)]
        for left in (2, 1, 0)
    ]
    assert site.refusal().headers.get_all("ratelimit") == [b'"client 100/s";r=0;t=1']


def test_the_response_to_somebody_elses_refusal_is_left_alone(serve):
    site, other = serve(rate="1/m"), serve(rate="2/m")
    exchange, response = site.exchange(), Response(403)
    exchange.error = Refused(other.plugin, "no", 403, ((b"retry-after", b"9"),))
    site.plugin.on_response(exchange, response)
    assert response.headers.raw == []


async def test_a_request_that_comes_too_early_is_held_back_for_as_long_as_it_takes(serve, clock, monkeypatch):
    slept = []

    async def sleep(seconds: float) -> None:
        slept.append(round(seconds, 6))

    monkeypatch.setattr(rate_limit.asyncio, "sleep", sleep)
    site = serve(rate="10/s", burst=2, delay="250ms")
    notes = []
    for _ in range(4):
        exchange = site.exchange()
        waiting = site.plugin.on_request(exchange)
        if waiting is not None:
            assert inspect.isawaitable(waiting)
            assert await waiting is None
        notes += exchange.notes
    assert slept == [0.1, 0.2]
    assert notes == [("rate-limit", "held it back for 0.100 s"), ("rate-limit", "held it back for 0.200 s")]
    # The next would have to wait for 300 ms: 50 more than it may.
    assert site.refusal().headers.text("retry-after") == "1"
    clock.now += 50_000_000
    await site.plugin.on_request(site.exchange())
    assert slept[2:] == [0.25]
    assert site.metric("rate_limit_delayed_total") == 3
    assert site.metric("rate_limit_refused_total") == 1


def test_the_log_names_client_and_limit_and_does_not_overflow(serve, caplog):
    site = serve(rate="1/m", name="logins")
    exchange = site.exchange(target="/login")
    site.passes()
    for _ in range(100):
        site.passes(target="/login")
    lines = [record.getMessage() for record in caplog.records if record.name == "gateway.security"]
    assert lines[0].startswith("rate-limit: refused 192.0.2.7: over the limit 'logins' (GET '/login', request ")
    assert len(lines) == 20
    with pytest.raises(Refused):
        site.plugin.on_request(exchange)
    assert exchange.notes == [("rate-limit", "refused it: over the limit 'logins'")]


@pytest.mark.parametrize("further", [[], [{"rate": "9/h", "key": "host"}]])
def test_while_nobody_can_count_requests_are_refused(serve, further):
    site = serve(rate="5/h", limits=further)
    lock = site.plugin._places[0](site.exchange()).lock
    held = threading.Thread(target=lambda: try_lock(lock))  # and it ends with it: as a worker that dies
    held.start()
    held.join()
    assert site.passes()
    assert try_lock(lock) == 0  # and keeps it: as a worker that is stopped
    response = site.refusal()
    unlock(lock)
    assert response.status == 503
    assert site.passes()


def test_without_a_limit_nothing_is_done_at_all():
    plugin = RateLimit(RateLimit.Config())
    assert [hook for hook, steps in Pipeline([("rate-limit", plugin)]).steps.items() if steps] == []


def test_the_same_limits_go_on_counting_in_a_new_app_and_others_begin_anew(serve):
    site = serve(rate="5/h")
    assert site.count() == 5
    assert serve(rate="5/h", status=503, fields="none").count() == 0
    assert serve(rate="6/h").count() == 6
    assert serve(rate="5/h", key="host").count() == 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate": "fast"}, 'expected a rate such as "100/s", "30/m" or "1000/h", not \'fast\''),
        ({"rate": "1/s", "key": "ip"}, 'expected "client", "header:NAME", .* not \'ip\''),
        ({"rate": "1/s", "key": []}, 'expected "client"'),
        ({"rate": "1/s", "key": "header:"}, "not 'header:'"),
        ({"rate": "1/s", "key": "header:a b"}, "not a token"),
        ({"rate": "1/s", "burst": 0}, "greater than or equal to 1"),
        ({"rate": "1/s", "delay": "2m"}, "less than or equal to 60"),
        ({"rate": "1/s", "name": 'a"b'}, "without quotation marks"),
        ({"burst": 5}, "rate: is missing beside burst"),
        ({"limits": [{"burst": 5}]}, "Field required"),
        ({"rate": "1/s", "limits": [{"rate": "1/s"}]}, "two are called 'client 1/s'"),
        ({"limits": [{"rate": f"{number}/s"} for number in range(1, 10)]}, "up to 8 limits in all, not 9"),
        ({"rate": "1/s", "store": "redis"}, 'wants one such as "redis://127.0.0.1:6379"'),
        ({"rate": "1/s", "store": {"use": "redis", "url": "http://a"}}, "wants one such as"),
        ({"rate": "1/s", "store": "memcached"}, "'memory' or 'redis'"),
        ({"rate": "1/s", "exempt_networks": ["10.0.0.1/8"]}, 'did you mean "10.0.0.0/8"'),
    ],
)
def test_what_cannot_be_is_refused_at_load(settings, message):
    with pytest.raises(ValidationError, match=message):
        RateLimit.Config.model_validate(settings)
