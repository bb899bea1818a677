"""What DNS records mean for an upstream."""

from __future__ import annotations

import pytest
from gateway_discovery.dns import AddressLookup, ServiceLookup, make_resolver
from gateway_discovery.lookup import NotFound


def told(found) -> list[tuple[str, int, int]]:
    return sorted((item.url, item.weight, item.priority) for item in found.endpoints)


async def test_each_address_of_a_name_is_an_endpoint(names):
    names.a("app.test", "127.0.0.1", "127.0.0.2", ttl=30)
    names.records["app.test", "AAAA"] = (20, ["::1"])
    found = await AddressLookup(make_resolver([names.address], 5), "app.test:8000", "http").look()
    assert told(found) == [
        ("http://127.0.0.1:8000", 1, 0),
        ("http://127.0.0.2:8000", 1, 0),
        ("http://[::1]:8000", 1, 0),
    ]
    assert found.seconds == 20


async def test_a_service_has_ports_priorities_and_weights(names):
    names.records["_http._tcp.app.test", "SRV"] = (
        60,
        ["10 5 8001 one.test.", "10 0 8002 two.test.", "700 1 8003 one.test."],
    )
    names.a("one.test", "127.0.0.1", ttl=40)
    names.a("two.test", "127.0.0.2", "127.0.0.3", ttl=90)
    found = await ServiceLookup(make_resolver([names.address], 5), "_http._tcp.app.test", "https").look()
    assert told(found) == [
        ("https://127.0.0.1:8001", 5, 0),
        ("https://127.0.0.1:8003", 1, 1),
        ("https://127.0.0.2:8002", 1, 0),
        ("https://127.0.0.3:8002", 1, 0),
    ]
    assert found.seconds == 40


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ({}, "app.test cannot be resolved: The DNS query name does not exist"),
        ({("app.test", "TXT"): (1, ["x"])}, "app.test has no address"),
    ],
)
async def test_a_name_without_an_address_is_not_found(names, records, said):
    names.records.update(records)
    with pytest.raises(NotFound, match=said):
        await AddressLookup(make_resolver([names.address], 5), "app.test:80", "http").look()


HOSTS = """
127.0.0.1 localhost app.test
# 127.0.0.9 app.test
::1       localhost App.Test other.test  # not 127.0.0.8
fe80::1%lo0 app.test
127.0.0.1 app.test
"""


async def test_a_file_of_hosts_goes_before_the_name_servers_of_the_system(names, tmp_path):
    names.a("app.test", "127.0.0.5", ttl=30)
    resolver = make_resolver([names.address], 5)
    assert told(await AddressLookup(resolver, "app.test:80", "http").look()) == [("http://127.0.0.5:80", 1, 0)]
    resolver.hosts = tmp_path / "hosts"
    assert told(await AddressLookup(resolver, "app.test:80", "http").look()) == [("http://127.0.0.5:80", 1, 0)]
    resolver.hosts.write_text(HOSTS)
    found = await AddressLookup(resolver, "app.test.:80", "http").look()
    assert told(found) == [("http://127.0.0.1:80", 1, 0), ("http://[::1]:80", 1, 0)]
    assert found.seconds == 10
    names.records["_http._tcp.app.test", "SRV"] = (60, ["0 1 8001 other.test."])
    service = await ServiceLookup(resolver, "_http._tcp.app.test", "http").look()
    assert (told(service), service.seconds) == ([("http://[::1]:8001", 1, 0)], 10)


def test_servers_of_the_configuration_are_asked_and_nobody_else():
    assert make_resolver(["127.0.0.1"], 5).hosts is None


async def test_a_service_that_is_decidedly_not_there_has_no_endpoints(names):
    names.records["_http._tcp.app.test", "SRV"] = (60, ["0 0 0 ."])
    found = await ServiceLookup(make_resolver([names.address], 5), "_http._tcp.app.test", "http").look()
    assert found.endpoints == []


async def test_a_server_that_does_not_answer_is_not_waited_for_long(names):
    names.is_silent = True
    with pytest.raises(NotFound, match=r"app\.test cannot be resolved: no answer in time from 127\.0\.0\.1$"):
        await AddressLookup(make_resolver([names.address], 0.05), "app.test:80", "http").look()


@pytest.mark.parametrize(
    ("server", "address", "port"),
    [
        ("10.0.0.1", "10.0.0.1", 53),
        ("10.0.0.1:5353", "10.0.0.1", 5353),
        ("::1", "::1", 53),
        ("[::1]:5353", "::1", 5353),
        ("[::1]", "::1", 53),
    ],
)
def test_resolvers_are_addresses_with_or_without_a_port(server, address, port):
    resolver = make_resolver([server], 5)
    assert resolver.nameservers == [address]
    assert resolver.nameserver_ports == {address: port}


@pytest.mark.parametrize("server", ["nonsense", "10.0.0.1:port"])
def test_what_is_no_address_is_refused(server):
    with pytest.raises(ValueError, match=r"nameserver|int\(\)"):
        make_resolver([server], 5)
