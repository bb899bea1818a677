"""Accept-Encoding: weights are 0 to 1000, what is refused is not chosen, and the cache's form chooses the same."""

from __future__ import annotations

from gateway_cache.selecting import CODINGS, normal_codings

from gateway.semantics.codings import accepted_codings, choose_coding, quality

OFFERED = (*CODINGS, b"identity")


def weights(field: bytes) -> dict[bytes, int]:
    accepted = accepted_codings([field])
    return {coding: quality(accepted, coding) for coding in OFFERED}


def check(data: bytes) -> None:
    accepted = accepted_codings([data])
    assert accepted is not None
    assert all(0 <= weight <= 1000 and coding == coding.lower() for coding, weight in accepted.items())
    found = weights(data)
    chosen = choose_coding([data], OFFERED)
    assert (chosen is None) == (max(found.values()) == 0)
    assert chosen is None or found[chosen] == max(found.values())
    normal = normal_codings(data)
    assert len(normal) < 100
    named = [group.split(b",") for group in normal.removesuffix(b"identity refused").split(b";") if group]
    assert {coding for group in named for coding in group} == {
        coding
        for coding in OFFERED
        if found[coding] and (coding != b"identity" or found[coding] > 1 or b"identity" in accepted)
    }
    assert normal.endswith(b"identity refused") == (found[b"identity"] == 0)
