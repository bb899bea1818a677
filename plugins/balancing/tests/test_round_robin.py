"""round-robin: in turn, whatever the weights, and on behind the latest when endpoints change."""

from __future__ import annotations

import re
from pathlib import Path

import gateway_balancing
import pytest
from gateway_balancing import Balancing, RoundRobin

from gateway import Registry


def test_endpoints_take_turns(endpoints, take):
    assert take(RoundRobin(), endpoints(1, 1, 1), 7) == "abcabca"


def test_weights_make_no_difference(endpoints, take):
    assert take(RoundRobin(), endpoints(9, 1, 1), 6) == "abcabc"


def test_one_endpoint_is_taken_always(endpoints, take):
    assert take(RoundRobin(), endpoints(1), 3) == "aaa"


@pytest.mark.parametrize(
    ("turns", "kept", "then"),
    [
        (1, "abc", "bca"),
        (2, "acd", "cda"),
        (2, "ab", "aba"),
        (3, "ab", "aba"),
        (3, "bd", "dbd"),
        (4, "abcd", "abc"),
        (1, "bcd", "bcd"),
    ],
)
def test_the_round_goes_on_behind_the_latest_when_endpoints_go(endpoints, take, turns, kept, then):
    candidates = endpoints(1, 1, 1, 1)
    balancer = RoundRobin()
    take(balancer, candidates, turns)
    assert take(balancer, tuple(one for one in candidates if one.name in kept), 3) == then


def test_nothing_that_was_there_is_left(endpoints, take):
    balancer = RoundRobin()
    take(balancer, endpoints(1, 1), 1)
    assert take(balancer, endpoints(1, 1, 1), 3) == "abc"


def test_a_further_attempt_does_not_move_the_round(endpoints, exchange, retried):
    candidates = endpoints(1, 1, 1)
    balancer = RoundRobin()
    assert balancer.choose(exchange, candidates).name == "a"
    assert balancer.choose(retried, candidates[1:]).name in "bc"
    assert balancer.choose(exchange, candidates).name == "b"


def test_the_balancers_that_take_no_notice_of_weights_are_those_of_the_table():
    registry = Registry()
    Balancing().register(registry)
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    told = dict(re.findall(r"^\| \[`([a-z-]+)`\].* \| (yes|no) \|", readme, re.MULTILINE))
    assert sorted(told) == registry.names("balancer")
    classes = {name: getattr(gateway_balancing, name.title().replace("-", "")) for name in told}
    ignoring = {name for name, made in classes.items() if getattr(made, "ignores_weights", False)}
    assert ignoring == {name for name, takes in told.items() if takes == "no"}
