"""Candidates: which endpoints may be picked, by state, priority, zone, and in a panic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import Endpoint, EndpointState
from gateway.config.model import EndpointSettings, Preferences
from gateway.upstream.candidates import candidates, reasons

STATES = dict(zip("urdm", EndpointState, strict=True))


def endpoints(described: str) -> list[Endpoint]:
    """`u0 d0 u1:eu`: state, priority and zone of each; they are called e1, e2 and so on."""
    found = []
    for number, word in enumerate(described.split(), 1):
        head, _, zone = word.partition(":")
        settings = EndpointSettings(url=f"http://e{number}", priority=int(head[1:] or 0), zone=zone)
        endpoint = Endpoint(settings)
        endpoint.mark("test", STATES[head[0]], "test")
        found.append(endpoint)
    return found


def picked(described: str, **prefer: object) -> str:
    chosen = candidates(endpoints(described), Preferences.model_validate(prefer))
    return " ".join(endpoint.host for endpoint in chosen)


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        ("u u u", "e1 e2 e3"),
        ("u d r m", "e1"),
        ("d d", ""),
        ("u0 u0 u1", "e1 e2"),
        ("d0 u0 u1", "e2"),  # half of them are enough
        ("d0 d0 u0 u1", "e3 e4"),  # a third is not
        ("d0 d0 u1", "e3"),
        ("d0 d0 d1 u2", "e4"),
        ("u1 u0", "e2"),  # the order in the file does not matter
        ("u5 u7", "e1"),
        ("m0 m0 u1 u2", "e3"),  # the second is as it should be: the third is not needed
        ("d0 d0 u0 d1 u1 u2", "e3 e5"),
        ("d0 d0 u0 d1 d1 u1 u2 u3", "e3 e6 e7"),
        ("d0 d0 d0 d0 d0 u1 u2", "e6"),  # however many the first ones were
    ],
)
def test_backups_help_out_when_too_few_are_left(described, expected):
    assert picked(described) == expected


def test_backups_can_be_kept_for_the_very_end():
    assert picked("d0 d0 d0 u0 u1", enough=0) == "e4"
    assert picked("d0 d0 d0 d0 u1", enough=0) == "e5"
    assert picked("d0 d0 d1 u1 u2", enough=0) == "e4"


def test_a_backup_that_is_not_needed_is_told_whose_being_up_is_enough():
    known = endpoints("d0 d0 u1 u2 m2")
    told = {endpoint.host: why for endpoint, why in reasons(known, Preferences()).items()}
    assert told["e4"] == "a backup: enough endpoints of priority 1 are up"
    assert told["e1"] == "down (test: test)"
    assert told["e5"] == "maintenance (test: test)"


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        ("u:a u:b u:a", "e1 e3"),
        ("u:b u:b", "e1 e2"),  # nobody is near
        ("d:a u:a u:b", "e2"),
        ("d:a d:a u:a u:b", "e3 e4"),  # too few are near
        ("d:a u:b", "e2"),
        ("u1:a u0:b", "e2"),  # priority comes first
    ],
)
def test_the_own_zone_is_preferred_while_enough_of_it_is_up(described, expected):
    assert picked(described, zone="a") == expected


def test_in_a_panic_those_that_are_down_are_asked_too_but_not_who_was_taken_out():
    assert picked("u d d d m r", panic=0.3) == "e1 e2 e3 e4"
    assert picked("u u d d", panic=0.3) == "e1 e2"
    assert picked("d d", panic=0.1) == "e1 e2"


@given(
    st.lists(st.sampled_from(["u0", "d0", "r0", "m0", "u1", "d1", "u0:a", "d0:a", "u1:a"]), max_size=12),
    st.floats(0, 1),
    st.sampled_from(["", "a"]),
)
def test_whoever_is_up_somewhere_is_reason_enough_to_have_a_candidate(words, enough, zone):
    described = " ".join(words)
    known = endpoints(described)
    chosen = candidates(known, Preferences(enough=enough, zone=zone))
    assert bool(chosen) == any(endpoint.is_available for endpoint in known)
    assert all(endpoint.is_available for endpoint in chosen)
    assert list(chosen) == [endpoint for endpoint in known if endpoint in chosen]
