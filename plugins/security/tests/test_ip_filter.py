"""ip-filter: who may come in, by which of several lists, and what becomes of files that change or break."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from types import SimpleNamespace

import pytest
from gateway_security import IpFilter
from gateway_security.refusal_log import MOST, RefusalLog
from mmdb_writer import MMDBWriter
from netaddr import IPSet
from pydantic import ValidationError

from gateway import ClientError, Exchange, Metrics, Request
from gateway.lifecycle import Jobs
from gateway.pipeline import Pipeline
from gateway.testing import GatewayDied, wait_until


async def look_twice(plugin: IpFilter) -> None:
    """What has changed is read once it has stopped changing."""
    await plugin.look()
    await plugin.look()


def ip_filter(**settings: object) -> IpFilter:
    return IpFilter(IpFilter.Config.model_validate(settings))


def passes(plugin: IpFilter, client: str) -> bool:
    """Whether a request of this client goes on."""
    try:
        plugin.on_request(Exchange(None, Request("GET", "/x", {"host": "a"}, client=client)))
    except ClientError as error:
        return error.status != 403
    return True


def write_countries(path, kind="GeoLite2-Country", field="country", version=6, **countries: list[str]) -> None:
    """A MaxMind database: two letters = networks."""
    writer = MMDBWriter(version, kind, description="a test", ipv4_compatible=version == 6)
    for code, networks in countries.items():
        writer.insert_network(IPSet(networks), {field: {"iso_code": code}} if code != "none" else {"asn": "1"})
    writer.to_db_file(str(path))


@pytest.mark.parametrize(
    ("lists", "let_in", "refused"),
    [
        ({"deny": ["192.0.2.0/24"]}, ["192.0.3.1", "2001:db8::1"], ["192.0.2.0", "192.0.2.255"]),
        ({"allow": ["192.0.2.0/24", "2001:db8::/32"]}, ["192.0.2.9", "2001:db8::9"], ["192.0.3.1", "2001:db9::"]),
        ({"allow": ["10.0.0.0/8"], "deny": ["10.6.0.0/16"]}, ["10.5.0.1", "10.7.0.0"], ["10.6.0.1", "11.0.0.1"]),
        ({"allow": ["10.6.0.0/16"], "deny": ["10.0.0.0/8"]}, ["10.6.0.1"], ["10.5.0.1", "11.0.0.1"]),
        ({"allow": ["9.6.0.0/16"], "deny": ["9.0.0.0/8"], "default": "allow"}, ["9.6.0.1", "8.0.0.1"], ["9.5.0.1"]),
        ({"allow": ["10.0.0.0/8"], "deny": ["10.0.0.0/8"], "default": "allow"}, ["11.0.0.1"], ["10.0.0.1"]),
        ({"deny": ["0.0.0.0/0"], "allow": ["::/0"]}, ["::", "ffff::1"], ["0.0.0.0", "255.255.255.255"]),
        ({"deny": ["::/0", "255.255.255.255"]}, ["0.0.0.0"], ["::1", "255.255.255.255"]),
        ({"default": "deny"}, [], ["192.0.2.1", "::1"]),
    ],
)  # fmt: skip
def test_the_most_specific_network_decides_and_of_equals_the_denied_one(lists, let_in, refused):
    plugin = ip_filter(**lists)
    assert [client for client in let_in if not passes(plugin, client)] == []
    assert [client for client in refused if passes(plugin, client)] == []


def test_an_ipv4_address_in_ipv6_notation_is_the_ipv4_address():
    plugin = ip_filter(deny=["192.0.2.0/24", "::ffff:198.51.100.0/120"])
    assert not passes(plugin, "::ffff:192.0.2.1")
    assert not passes(plugin, "198.51.100.1")
    assert passes(plugin, "::192.0.2.1")


def test_a_zone_is_no_part_of_an_address():
    assert not passes(ip_filter(deny=["fe80::/10"]), "fe80::1%eth0")


@pytest.mark.parametrize(("lists", "is_let_in"), [({"deny": ["::/0"]}, True), ({"allow": ["::/0"]}, False)])
def test_a_client_of_a_unix_socket_is_in_no_list(lists, is_let_in):
    assert passes(ip_filter(**lists), "") is is_let_in


def test_what_is_no_address_is_refused_even_where_all_others_are_let_in():
    plugin = ip_filter(deny=["192.0.2.1"])
    assert not any(
        passes(plugin, client) for client in ("unknown", "1.2.3", "1.2.3.4.5", "01.2.3.4", "::g", "%", ":")
    )


def test_a_client_that_was_let_in_is_remembered_and_one_that_was_refused_is_asked_again():
    plugin = ip_filter(deny=["192.0.2.1"])
    for _ in range(2):
        assert passes(plugin, "192.0.2.2")
        assert not passes(plugin, "192.0.2.1")
    assert plugin._passed == {"192.0.2.2"}


def test_no_more_clients_are_remembered_than_there_is_room_for(monkeypatch):
    monkeypatch.setattr("gateway_security.ip_filter.MOST_REMEMBERED", 2)
    plugin = ip_filter(deny=["192.0.2.1"])
    assert all(passes(plugin, f"192.0.2.{number}") for number in (2, 3, 4))
    assert plugin._passed == {"192.0.2.4"}


@pytest.mark.parametrize("settings", [{}, {"allow": ["10.0.0.0/8"], "default": "allow"}])
def test_where_nobody_can_be_refused_there_is_no_hook(settings):
    assert not Pipeline([("ip-filter", ip_filter(**settings))]).on_request


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"deny": ["10.0.0.1/8"]}, r'deny\.0.*did you mean "10\.0\.0\.0/8"'),
        ({"allow": ["example.com"]}, r"allow\.0.*expected a network"),
        ({"default": "reject"}, "'allow' or 'deny'"),
        ({"deny_countries": ["DE"]}, "need a country_database"),
        ({"country_database": "x.mmdb"}, "needs allow_countries or deny_countries"),
        ({"deny_countries": ["Germany"]}, "expected two letters"),
        ({"deny_countries": ["UK"]}, "is 'GB'"),
        ({"deny_countries": ["de"], "allow_countries": ["DE"], "country_database": "x"}, "'DE' is in allow_c"),
        ({"check_interval": 0}, "check_interval"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_at_load(settings, message):
    with pytest.raises(ValidationError, match=rf"(?s){message}"):
        IpFilter.Config.model_validate(settings)


# -- files -------------------------------------------------------------------------------------------------------


def test_a_file_has_a_network_a_line_and_comments(tmp_path):
    listed = tmp_path / "bad.txt"
    listed.write_text("\ufeff# ours\n\n192.0.2.0/24  # of last night\n2001:db8::/32 ; SBL1\r\n 198.51.100.7\n")
    plugin = ip_filter(deny_files=[str(listed)])
    assert not any(passes(plugin, client) for client in ("192.0.2.1", "2001:db8::1", "198.51.100.7"))
    assert passes(plugin, "198.51.100.8")
    assert plugin.verdict_on("198.51.100.7").why == f"{listed} line 5"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"10.0.0.0/8\n10.0.0.256\n", "line 2: expected a network such as"),
        (b"10.0.0.0/33\n", "line 1: expected a network"),
        (b"10.0.0.0/\n", "line 1: expected a network"),
        (b"10.0.0.0/-1\n", "line 1: expected a network"),
        (b"::/129", "line 1: expected a network"),
        (b"::1%eth0", "line 1: expected a network"),
        (b"10.0.0.1-10.0.0.9", "line 1: expected a network"),
        (b"#\n10.0.0.1/8", "line 2: '10.0.0.1/8' has bits set behind its prefix"),
        (b"10.0.0.0/8\n\xff\xfe", "not text"),
        (b"10.0\0.0.0/8", "line 1: expected a network"),
    ],
)
def test_a_wrong_line_is_an_error_at_start_that_names_the_line(tmp_path, text, message):
    listed = tmp_path / "bad.txt"
    listed.write_bytes(text)
    with pytest.raises(ValueError, match=message) as caught:
        ip_filter(deny_files=[str(listed)])
    assert str(caught.value).startswith(f"deny_files: {listed}: ")


def test_a_file_that_is_not_there_is_an_error_at_start(tmp_path):
    with pytest.raises(ValueError, match=r"allow_files: .*gone\.txt: cannot be read: No such file"):
        ip_filter(allow_files=[str(tmp_path / "gone.txt")])


async def test_a_change_is_taken_up_and_a_wrong_file_keeps_what_was_read_before(tmp_path, caplog):
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    one.write_text("192.0.2.1\n")
    two.write_text("192.0.2.2\n")
    plugin = ip_filter(deny_files=[str(one), str(two)])
    assert passes(plugin, "192.0.2.3")
    one.write_text("192.0.2.1\n192.0.2.300\n")
    two.write_text("192.0.2.3\n")
    for _ in range(3):
        await look_twice(plugin)
    assert [passes(plugin, f"192.0.2.{number}") for number in (1, 2, 3)] == [False, True, False]
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert errors[0].startswith(f"deny_files: {one}: line 2: expected a network")
    assert errors[0].endswith("what was read before stays in force")
    one.unlink()
    await look_twice(plugin)
    assert not passes(plugin, "192.0.2.1")
    one.write_text("")
    await look_twice(plugin)
    assert passes(plugin, "192.0.2.1")


async def test_a_file_that_comes_back_just_as_it_was_is_read_again(tmp_path):
    listed = tmp_path / "bad.txt"
    listed.write_text("192.0.2.1\n")
    plugin = ip_filter(deny_files=[str(listed)])
    hidden = tmp_path / "hidden"
    os.rename(listed, hidden)
    await look_twice(plugin)
    assert not passes(plugin, "192.0.2.1")
    os.rename(hidden, listed)
    await look_twice(plugin)
    assert not passes(plugin, "192.0.2.1")


async def test_files_are_looked_at_until_shutdown_whatever_a_look_runs_into(tmp_path, monkeypatch, caplog):
    listed = tmp_path / "bad.txt"
    listed.write_text("192.0.2.1\n")
    plugin = ip_filter(deny_files=[str(listed)], check_interval="1ms")
    look, looks = plugin.look, []

    async def fails_once():
        looks.append(1)
        if len(looks) == 1:
            raise RuntimeError("a test")
        await look()

    monkeypatch.setattr(plugin, "look", fails_once)
    jobs = Jobs()
    await plugin.startup(SimpleNamespace(metrics=Metrics(), spawn=jobs.start))
    listed.write_text("192.0.2.2\n")
    await asyncio.to_thread(wait_until, lambda: not passes(plugin, "192.0.2.2"))
    await jobs.end()
    assert "ip-filter: files could not be looked at" in caplog.text


# -- countries ---------------------------------------------------------------------------------------------------


def test_the_country_decides_where_no_network_does(tmp_path):
    database = tmp_path / "c.mmdb"
    write_countries(database, DE=["192.0.2.0/24", "2001:db8::/32"], KP=["198.51.100.0/24"], FR=["203.0.113.0/24"])
    plugin = ip_filter(
        country_database=str(database), deny_countries=["kp"], allow_countries=["DE"],
        allow=["198.51.100.7"], deny=["192.0.2.8"],
    )  # fmt: skip
    clients = ["192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1", "198.51.100.7"]
    assert all(passes(plugin, client) for client in clients)
    refused = ["192.0.2.8", "198.51.100.8", "203.0.113.1", "10.0.0.1"]
    assert not any(passes(plugin, client) for client in refused)
    assert plugin.verdict_on("198.51.100.8").why == "country KP"
    assert plugin.verdict_on("203.0.113.1").why == "in no list, country FR"


def test_addresses_without_a_country_can_be_named(tmp_path):
    database = tmp_path / "c.mmdb"
    write_countries(database, KP=["198.51.100.0/24"])
    denied = ip_filter(country_database=str(database), deny_countries=["KP"])
    assert passes(denied, "10.0.0.1")
    assert not passes(ip_filter(country_database=str(database), deny_countries=["unknown"]), "10.0.0.1")


def test_a_database_of_ipv4_alone_knows_no_ipv6(tmp_path):
    database = tmp_path / "c.mmdb"
    write_countries(database, version=4, KP=["198.51.100.0/24"])
    plugin = ip_filter(country_database=str(database), deny_countries=["unknown"])
    assert passes(plugin, "198.51.100.1")
    assert not passes(plugin, "2001:db8::1")


def test_where_only_the_registration_is_known_it_counts(tmp_path):
    database = tmp_path / "c.mmdb"
    write_countries(database, field="registered_country", KP=["198.51.100.0/24"])
    assert not passes(ip_filter(country_database=str(database), deny_countries=["KP"]), "198.51.100.1")


@pytest.mark.parametrize("text", [b"", b"no database", None])
def test_what_is_no_database_of_countries_is_an_error_at_start(tmp_path, text):
    database = tmp_path / "c.mmdb"
    if text is None:
        write_countries(database, kind="GeoLite2-ASN", none=["198.51.100.0/24"])
    else:
        database.write_bytes(text)
    with pytest.raises(
        ValueError, match=r"country_database: .*c\.mmdb: (not a MaxMind database|.*without countries)"
    ):
        ip_filter(country_database=str(database), deny_countries=["KP"])


async def test_a_database_that_is_written_over_is_taken_up_and_one_that_breaks_is_not(tmp_path, caplog):
    database = tmp_path / "c.mmdb"
    write_countries(database, KP=["198.51.100.0/24"])
    plugin = ip_filter(country_database=str(database), deny_countries=["KP"])
    os.truncate(database, 100)
    assert not passes(plugin, "198.51.100.1")
    await look_twice(plugin)
    assert not passes(plugin, "198.51.100.1")
    assert "not a MaxMind database; what was read before stays in force" in caplog.text
    write_countries(database, KP=["192.0.2.0/24"])
    await look_twice(plugin)
    assert [passes(plugin, client) for client in ("198.51.100.1", "192.0.2.1")] == [True, False]


def test_without_the_library_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "maxminddb", None)
    monkeypatch.delitem(sys.modules, "gateway_security.country_database", raising=False)
    with pytest.raises(ValueError, match=r"'maxminddb': pip install 'gateway-security\[country\]'"):
        ip_filter(country_database=str(tmp_path / "c.mmdb"), deny_countries=["KP"])


# -- the log -----------------------------------------------------------------------------------------------------


def test_the_log_says_who_what_and_why(caplog):
    plugin = ip_filter(deny=["192.0.2.0/24"])
    exchange = Exchange(None, Request("GET", "/a\n?secret=1", {"host": "a"}, client="192.0.2.1"))
    with pytest.raises(ClientError):
        plugin.on_request(exchange)
    line = caplog.messages[0]
    assert line == f"ip-filter: refused 192.0.2.1: deny[0] (GET '/a\\n', request {exchange.id})"
    assert exchange.notes == [("ip-filter", "refused: deny[0]")]


def test_a_flood_does_not_flood_the_log(caplog):
    now = 100.0
    lines = RefusalLog("ip-filter", lambda: now)
    exchange = Exchange(None, Request())
    for _ in range(1000):
        lines.tell(exchange, "refused", "why")
    assert len(caplog.messages) == MOST
    now += 10.0
    lines.tell(exchange, "refused", "why")
    assert caplog.messages[MOST] == f"ip-filter: {1000 - MOST} more within 10 s, not shown"
    assert len(caplog.messages) == MOST + 2


# -- in a gateway ------------------------------------------------------------------------------------------------


def put(path, text: str) -> None:
    """Write a file in one step: a busy machine may look at it between its beginning and its end, twice."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def test_the_real_client_counts_a_file_is_watched_and_a_route_has_its_own_list(gateway, origin, tmp_path):
    app, listed = origin(), tmp_path / "bad.txt"
    listed.write_text("198.51.100.0/24\n")
    site = gateway(
        endpoints=[app],
        trusted_proxies=["127.0.0.1"],
        plugins=[{"use": "ip-filter", "deny_files": [str(listed)], "check_interval": "50ms"}],
        routes=[
            {"upstream": "app", "match": {"path": "/admin/"}, "plugins": {"ip-filter": {"allow": ["10.0.0.0/8"]}}},
            {"upstream": "app"},
        ],
    )

    def status(client: str, path: str = "/") -> int:
        return site.get(path, headers={"x-forwarded-for": client, "accept": "application/json"}).status

    assert [status("192.0.2.1"), status("198.51.100.1"), status("203.0.113.1, 198.51.100.1")] == [200, 403, 403]
    assert [status("192.0.2.1", "/admin/"), status("10.0.0.1", "/admin/")] == [403, 200]
    answer = site.get(headers={"x-forwarded-for": "198.51.100.1", "accept": "application/json"})
    assert answer.text.startswith('{"status":403,"error":"Forbidden","request_id":"')
    assert "ip-filter: refused 198.51.100.1" in site.log
    assert "gateway_ip_filter_refused_total 4" in site.command("metrics").stdout
    put(listed, "192.0.2.0/24\n")
    wait_until(lambda: status("192.0.2.1") == 403 and status("198.51.100.1") == 200)
    put(listed, "192.0.2.0/24\nwrong\n")
    wait_until(lambda: "line 2: expected a network" in site.log)
    assert status("192.0.2.1") == 403


def test_a_list_that_cannot_be_read_stops_the_start(gateway, origin):
    with pytest.raises(GatewayDied, match=r"plugins\[0\].*deny_files: .*gone\.txt: cannot be read"):
        gateway(endpoints=[origin()], plugins=[{"use": "ip-filter", "deny_files": ["gone.txt"]}])
