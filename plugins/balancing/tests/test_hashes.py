"""ring-hash, maglev, rendezvous and source-hash: a key's endpoint, its share, and how few keys move."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from gateway_balancing import Maglev, Rendezvous, RingHash, SourceHash
from hypothesis import given
from hypothesis import strategies as st

KEYS = 4000
HASHES = ["ring-hash", "maglev", "rendezvous", "source-hash"]
UNEVENNESS = {"ring-hash": 0.25, "source-hash": 0.25, "maglev": 0.01, "rendezvous": 0.0}
"""How far an endpoint's part of all places may be from the one that it should have, as a part of that."""


def make(name: str, **settings: Any) -> Any:
    cls = {"ring-hash": RingHash, "maglev": Maglev, "rendezvous": Rendezvous, "source-hash": SourceHash}[name]
    return cls(cls.Config(**settings))


@pytest.fixture
def clients(ask):
    """Exchanges of different clients."""
    return [ask(client=f"10.{n >> 8}.{n & 255}.{n % 7}") for n in range(KEYS)]


@pytest.fixture
def owners(clients):
    """`owners(balancer, candidates)`: the name of the endpoint of each client."""
    return lambda balancer, candidates: [balancer.choose(exchange, candidates).name for exchange in clients]


def is_fair(name: str, count: int, wanted: float) -> bool:
    """Whether a count of keys is within the unevenness and four standard deviations."""
    return abs(count - wanted) <= UNEVENNESS[name] * wanted + 4 * wanted**0.5


def moved(before: list[str], after: list[str]) -> float:
    return sum(one != other for one, other in zip(before, after, strict=True)) / len(before)


@pytest.mark.parametrize("name", HASHES)
@pytest.mark.parametrize("weights", [(1,) * 10, (1, 2, 3, 4), (100, 50, 50), (7,)])
def test_shares_follow_weights(endpoints, owners, name, weights):
    candidates = endpoints(*weights)
    counts = Counter(owners(make(name), candidates))
    for one in candidates:
        assert is_fair(name, counts[one.name], KEYS * one.weight / sum(weights)), one.name


@pytest.mark.parametrize("name", HASHES)
@pytest.mark.parametrize(
    "key", ["user%d", "%08x", "/orders/%d/items", "%d@example.com", "session-%d-0123456789abcdef0123456789abcdef"]
)
def test_keys_that_look_alike_are_spread(endpoints, ask, name, key):
    if name == "source-hash":
        key, settings, headers = "", {}, [{}] * KEYS
    else:
        settings, headers = {"key": "header:x-key"}, [{"x-key": key % n} for n in range(KEYS)]
    candidates = endpoints(*[1] * 8)
    balancer = make(name, **settings)
    counts = Counter(
        balancer.choose(ask("/", fields, f"10.9.{n >> 8}.{n & 255}"), candidates).name
        for n, fields in enumerate(headers)
    )
    assert all(is_fair(name, counts[one.name], KEYS / 8) for one in candidates)


@pytest.mark.parametrize("name", HASHES)
@pytest.mark.parametrize("weights", [(1,) * 10, (1,) * 40, (3, 1, 2, 1, 3), (1, 5, 30, 2), (1, 1, 10)])
@pytest.mark.parametrize("gone", [0, 2, -1])
def test_the_keys_of_one_that_goes_down_move_and_they_come_back(endpoints, clients, owners, name, weights, gone):
    candidates = endpoints(*weights)
    missing = candidates[gone]
    for exchange in clients:
        exchange.upstream = SimpleNamespace(endpoints=candidates, available=candidates)
    balancer = make(name)
    before = owners(balancer, candidates)
    without = owners(balancer, tuple(one for one in candidates if one is not missing))
    assert missing.name not in without
    strays = sum(was != now and was != missing.name for was, now in zip(before, without, strict=True))
    assert strays <= (0.03 * KEYS if name == "maglev" else 0)
    assert owners(balancer, (*candidates,)) == before
    assert owners(make(name), (*candidates,)) == before


@pytest.mark.parametrize("name", HASHES)
@pytest.mark.parametrize("count", [2, 10, 40])
def test_one_of_n_that_is_taken_away_moves_no_more_than_its_part(endpoints, owners, name, count):
    candidates = endpoints(*[1] * count)
    before, after = owners(make(name), candidates), owners(make(name), candidates[1:])
    assert moved(before, after) <= 1 / count + 0.03


@pytest.mark.parametrize("name", HASHES)
@pytest.mark.parametrize("gone", [0, 1])
def test_with_weights_one_that_is_taken_away_moves_at_most_twice_its_part(endpoints, owners, name, gone):
    """The others are counted anew against their average."""
    candidates = endpoints(3, 1, 2, 1, 3)
    before = owners(make(name), candidates)
    after = owners(make(name), tuple(one for one in candidates if one is not candidates[gone]))
    assert moved(before, after) <= 2 * max(before.count("ab"[gone]) / KEYS, 1 / 5)


@pytest.mark.parametrize("name", HASHES)
def test_the_order_of_the_list_makes_no_difference(endpoints, owners, name):
    candidates = endpoints(1, 2, 1, 3, 1)
    assert owners(make(name), candidates[::-1]) == owners(make(name), candidates)


@pytest.mark.parametrize("name", HASHES)
@pytest.mark.parametrize("weights", [(1, 1, 1, 1), (3, 1, 2, 7)])
def test_a_slow_start_moves_only_the_keys_of_the_one_that_starts(endpoints, owners, name, weights):
    candidates = endpoints(*weights)
    balancer = make(name)
    whole = owners(balancer, candidates)
    shares = []
    for step in (1, 4, 9):
        for one in candidates:
            one.weight = one.base_weight * 10
        candidates[3].weight = candidates[3].base_weight * step
        now = owners(balancer, (*candidates,))
        tolerated = 0.03 if name == "maglev" else 0.0
        strays = sum(was != new and was != "d" for was, new in zip(whole, now, strict=True))
        assert strays <= tolerated * KEYS
        shares.append(now.count("d"))
    assert shares == sorted(shares)
    assert shares[0] < whole.count("d") / 2
    for one in candidates:
        one.weight = one.base_weight * 10
    assert owners(balancer, (*candidates,)) == whole


@pytest.mark.parametrize("name", ["ring-hash", "maglev", "rendezvous"])
def test_keys_belong_to_the_same_endpoints_for_ever(endpoints, ask, name):
    """Literal, since workers, machines and the next release have to agree."""
    candidates = endpoints(1, 1, 1, 1, 1, 1, 1, 1)
    balancer = make(name, key="header:x-user")
    users = [f"user{n}" for n in range(24)]
    found = "".join(balancer.choose(ask("/", {"x-user": user}), candidates).name for user in users)
    assert found == KNOWN[name]


KNOWN = {
    "ring-hash": "dedcdecbfachgedehffaecga",
    "maglev": "adfhdagdebehcfaaffagcbdf",
    "rendezvous": "aehdeahhgfaghadecdchhagf",
}


class TestFurtherAttempts:
    @pytest.mark.parametrize("name", HASHES)
    def test_the_next_in_line_is_taken_and_is_the_same_each_time(self, endpoints, ask, name):
        candidates = endpoints(1, 1, 1, 1, 1)
        balancer = make(name)
        seconds = set()
        for n in range(200):
            exchange, again = ask(client=f"10.0.0.{n}"), ask(client=f"10.0.0.{n}", failed=True)
            first = balancer.choose(exchange, candidates)
            others = [tuple(one for one in candidates if one is not first) for _ in range(2)]
            second, once_more = (balancer.choose(again, rest) for rest in others)
            assert second is once_more
            assert second is not first
            third = balancer.choose(again, tuple(one for one in others[0] if one is not second))
            assert len({first, second, third}) == 3
            seconds.add((first.name, second.name))
        assert len(seconds) > 12  # the keys of one are spread over the others

    @pytest.mark.parametrize("name", HASHES)
    def test_the_next_in_line_is_who_gets_the_key_when_the_first_goes(self, endpoints, ask, name):
        candidates = endpoints(1, 1, 1, 1, 1)
        balancer, agreed = make(name), 0
        for n in range(100):
            first = balancer.choose(ask(client=f"10.0.0.{n}"), candidates)
            rest = tuple(one for one in candidates if one is not first)
            second = balancer.choose(ask(client=f"10.0.0.{n}", failed=True), rest)
            agreed += make(name).choose(ask(client=f"10.0.0.{n}"), rest) is second
        if name == "maglev":
            assert agreed > 10
        else:
            assert agreed == 100

    @pytest.mark.parametrize("name", HASHES)
    def test_one_that_comes_first_of_all_gets_an_endpoint(self, endpoints, ask, name):
        candidates = endpoints(1, 1)
        assert make(name).choose(ask(failed=True), candidates) in candidates

    @pytest.mark.parametrize("name", HASHES)
    def test_candidates_that_the_table_does_not_know_are_no_trouble(self, endpoints, ask, name):
        balancer, others = make(name), endpoints(1, 2, 3)
        balancer.choose(ask(), endpoints(1, 1))
        assert balancer.choose(ask(failed=True), others) in others

    def test_at_another_upstream_the_key_decides_too(self, endpoints, ask):
        """A plugin may send an exchange that failed elsewhere: nobody has failed there yet."""
        candidates = endpoints(1, 1, 1, 1, 1)
        for n in range(20):
            exchange = ask(client=f"10.0.0.{n}", failed=True)
            exchange.upstream = SimpleNamespace(endpoints=candidates, available=candidates)
            expected = make("ring-hash").choose(ask(client=f"10.0.0.{n}"), candidates)
            assert make("ring-hash").choose(exchange, candidates) is expected


class TestTables:
    @pytest.fixture
    def counted(self):
        """A balancer and how many tables it has made."""
        balancer, made = make("ring-hash"), []
        original = balancer._make_table
        balancer._make_table = lambda shares: made.append(shares) or original(shares)
        return balancer, made

    def test_further_attempts_make_none(self, endpoints, ask, counted):
        balancer, made = counted
        candidates = endpoints(1, 1, 1)
        for n in range(20):
            balancer.choose(ask(), candidates)
            balancer.choose(ask(failed=True), candidates[n % 2 :][:2])
        assert len(made) == 1

    def test_two_sets_in_turn_make_two(self, endpoints, ask, counted):
        balancer, made = counted
        candidates = endpoints(1, 1, 1)
        fewer = candidates[:2]
        for _ in range(20):
            balancer.choose(ask(), candidates)
            balancer.choose(ask(), fewer)
        assert len(made) == 2

    def test_an_endpoint_that_flaps_makes_two(self, endpoints, ask, counted):
        balancer, made = counted
        candidates = endpoints(1, 1, 1)
        for _ in range(20):
            balancer.choose(ask(), (*candidates,))
            balancer.choose(ask(), (*candidates[:2],))
        assert len(made) == 2

    def test_weights_that_are_scaled_make_none(self, endpoints, ask, counted):
        balancer, made = counted
        candidates = endpoints(3, 7, 11)
        balancer.choose(ask(), candidates)
        for one in candidates:
            one.weight *= 10
        balancer.choose(ask(), (*candidates,))
        assert len(made) == 1

    def test_another_weight_makes_one(self, endpoints, ask, counted):
        balancer, made = counted
        candidates = endpoints(1, 1)
        balancer.choose(ask(), candidates)
        candidates[0].weight = candidates[0].base_weight = 2
        balancer.choose(ask(), (*candidates,))
        assert len(made) == 2

    def test_a_new_endpoint_of_the_same_name_makes_one(self, endpoints, ask, counted):
        balancer, made = counted
        balancer.choose(ask(), endpoints(1, 1))
        candidates = endpoints(1, 1)
        assert balancer.choose(ask(), candidates) in candidates
        assert len(made) == 2

    def test_the_memory_of_those_that_are_gone_is_bounded(self, endpoints, ask):
        balancer = make("ring-hash")
        points = balancer._make_table.__self__._points
        for number in range(50):
            candidates = endpoints(1, 2)
            for one in candidates:
                one.name += str(number)
            balancer.choose(ask(), candidates)
            points = balancer._make_table.__self__._points
        assert len(points) == 2
        assert len(balancer._kept) == 2


class TestWithoutAKey:
    @pytest.mark.parametrize("name", ["ring-hash", "maglev", "rendezvous"])
    def test_exchanges_are_spread(self, endpoints, ask, name):
        candidates = endpoints(1, 1, 1, 1)
        balancer = make(name, key="cookie:sid")
        assert {balancer.choose(ask(), candidates).name for _ in range(200)} == set("abcd")

    def test_another_balancer_can_be_chosen(self, endpoints, ask):
        candidates = endpoints(1, 1, 1)
        balancer = make("ring-hash", key="cookie:sid", without_key="round-robin")
        names = "".join(balancer.choose(ask(), candidates).name for _ in range(6))
        assert names == "abcabc"
        assert balancer.choose(ask(failed=True), candidates[1:]).name in "bc"

    @pytest.mark.parametrize(
        "other", ["random", "round-robin", "weighted-round-robin", "least-connections", "two-choices"]
    )
    def test_each_of_those_allowed_works(self, endpoints, ask, other):
        candidates = endpoints(2, 1, 1)
        balancer = make("maglev", key="header:x-user", without_key=other)
        assert {balancer.choose(ask(), candidates).name for _ in range(100)} <= set("abc")

    def test_clients_without_an_address_are_spread(self, endpoints, ask):
        balancer, candidates = make("source-hash"), endpoints(1, 1)
        assert {balancer.choose(ask(client=""), candidates).name for _ in range(100)} == set("ab")


@pytest.mark.parametrize("name", HASHES)
@given(
    weights=st.lists(st.integers(1, 65535), min_size=1, max_size=12),
    data=st.data(),
)
def test_whatever_the_weights_and_the_subset_one_of_them_is_chosen(endpoints, ask, name, weights, data):
    candidates = endpoints(*weights)
    settings = {"balance_factor": data.draw(st.sampled_from([0, 1, 1.25, 2]))}
    if name == "maglev":
        settings["size"] = 1021
    balancer = make(name, **settings)
    for _ in range(3):
        chosen = data.draw(st.sets(st.integers(0, len(weights) - 1), min_size=1))
        subset = tuple(candidates[n] for n in sorted(chosen))
        for one in candidates:
            one.in_flight = data.draw(st.integers(0, 9))
        client = data.draw(st.sampled_from(["", "10.0.0.1", "10.0.0.2", "::1"]))
        assert balancer.choose(ask(client=client, failed=data.draw(st.booleans())), subset) in subset


@pytest.mark.parametrize("size", [0, 7, 16384, 2**21 + 1])
def test_a_table_that_is_no_prime_is_refused(size):
    with pytest.raises(ValueError, match="expected a prime such as"):
        Maglev.Config(size=size)


@pytest.mark.parametrize(
    ("cls", "setting", "value"),
    [
        (RingHash, "replicas", 0),
        (RingHash, "replicas", 5000),
        (SourceHash, "prefix_v4", 33),
        (SourceHash, "prefix_v6", 0),
        (Rendezvous, "without_key", "least-time"),
    ],
)
def test_settings_that_cannot_be_are_refused(cls, setting, value):
    with pytest.raises(ValueError, match=setting):
        cls.Config(**{setting: value})


def test_more_replicas_are_more_even(endpoints, owners):
    def spread(replicas: int) -> int:
        counts = Counter(owners(make("ring-hash", replicas=replicas), endpoints(*[1] * 8)))
        return max(counts.values()) - min(counts.values())

    assert spread(1000) < spread(100) < spread(10)


def test_a_network_stays_together(endpoints, ask):
    candidates = endpoints(*[1] * 8)
    balancer = make("source-hash", prefix_v4=24, prefix_v6=48)
    for network in ("10.1.2.%d", "10.1.3.%d", "2001:db8:7:%x::1"):
        assert len({balancer.choose(ask(client=network % n), candidates) for n in range(250)}) == 1
    whole = make("source-hash")
    assert len({whole.choose(ask(client=f"10.1.2.{n}"), candidates) for n in range(250)}) == 8
