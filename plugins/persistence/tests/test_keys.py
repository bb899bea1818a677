"""Keys: ids that cannot be read, seals that cannot be forged, one random secret for all workers."""

from __future__ import annotations

import re
from types import SimpleNamespace

from gateway_persistence.endpoint_ids import EndpointIds
from gateway_persistence.keys import ID_CHARACTERS, SEAL_CHARACTERS, Key, KeyRing
from hypothesis import given
from hypothesis import strategies as st

from gateway.bus import Bus
from gateway.config.model import EndpointSettings


def test_an_id_is_of_one_key_one_upstream_and_one_endpoint():
    one, other = Key("one secret"), Key("another secret")
    ids = [
        one.id_of("app", "10.0.0.1:80"),
        one.id_of("app", "10.0.0.2:80"),
        one.id_of("api", "10.0.0.1:80"),
        one.id_of("app 10.0.0.1:80", ""),
        other.id_of("app", "10.0.0.1:80"),
    ]
    assert len(set(ids)) == len(ids)
    assert one.id_of("app", "10.0.0.1:80") == ids[0]
    assert all(re.fullmatch(rb"[0-9a-f]{%d}" % ID_CHARACTERS, value) for value in ids)


@given(st.binary(max_size=64))
def test_what_was_sealed_is_genuine(payload):
    key = Key("one secret")
    assert key.is_genuine(key.sealed(payload))
    assert not Key("another secret").is_genuine(key.sealed(payload))


@given(st.binary(max_size=120))
def test_what_was_not_sealed_is_not(value):
    assert not Key("one secret").is_genuine(value)


@given(st.data())
def test_no_changed_byte_goes_unnoticed(data):
    sealed = Key("one secret").sealed(b"0123456789abcdef00000000")
    place = data.draw(st.integers(0, len(sealed) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != sealed[place]))
    assert not Key("one secret").is_genuine(sealed[:place] + bytes([byte]) + sealed[place + 1 :])
    assert not Key("one secret").is_genuine(sealed[:-1])
    assert len(sealed) == 24 + SEAL_CHARACTERS


def worker(bus, number):
    return SimpleNamespace(bus=bus, once=lambda name: number == 0)


def test_the_first_worker_makes_a_secret_and_the_others_take_it():
    bus = Bus()
    second, first, later = KeyRing(()), KeyRing(()), KeyRing(())
    second.open(worker(bus, 1))
    assert second.keys == ()
    first.open(worker(bus, 0))
    later.open(worker(bus, 2))
    ids = {ring.keys[0].id_of("app", "a") for ring in (first, second, later)}
    assert len(ids) == 1


def test_a_reload_keeps_the_random_secret():
    bus = Bus()
    before, after = KeyRing(()), KeyRing(())
    before.open(worker(bus, 0))
    after.open(worker(bus, 0))
    before.close()
    assert before.keys[0].id_of("app", "a") == after.keys[0].id_of("app", "a")


def test_with_a_secret_nothing_is_shared():
    bus = Bus()
    ring = KeyRing(("a secret of ours",))
    ring.open(worker(bus, 0))
    assert bus.kept("persistence.secret") == ()


def test_the_table_follows_the_endpoints_and_the_keys(upstream):
    ring = KeyRing(())
    ids = EndpointIds(ring)
    assert ids.of(upstream).by_id == {}
    ring.open(worker(Bus(), 0))
    table = ids.of(upstream)
    assert ids.of(upstream) is table
    assert [table.by_id[table.ids[endpoint]][0] for endpoint in upstream.endpoints] == list(upstream.endpoints)
    gone, kept = upstream.endpoints[0], upstream.endpoints[1]
    upstream.set_endpoints([EndpointSettings(url=str(kept.name)), EndpointSettings(url="10.0.0.9:80")])
    changed = ids.of(upstream)
    assert changed.ids[kept] == table.ids[kept]
    assert gone not in changed.ids
    assert table.ids[gone] not in changed.by_id
