"""The balancers in a real gateway: chosen by name, with weights, keys and settings, around one that is gone."""

from __future__ import annotations

import socket
from collections import Counter

import pytest

from gateway.testing import Held, reply, run_command, site_text, wait_until

AT_RANDOM = ["random", "two-choices", "least-time"]
BY_KEY = ["ring-hash", "maglev", "rendezvous"]
IN_TURN = ["round-robin", "weighted-round-robin", "least-connections"]
EVERY_ONE = [*IN_TURN, *AT_RANDOM, *BY_KEY, "source-hash"]
USERS = [f"user{number}" for number in range(24)]


def choice(name: str, **settings: object) -> dict[str, object]:
    return {"use": name, **({"key": "header:x-user"} if name in BY_KEY else {}), **settings}


@pytest.fixture
def site(gateway):
    """`site("ring-hash", endpoints, replicas=10)`: a gateway with this balancer."""

    def start(name, endpoints, **settings):
        upstream = {"balancer": choice(name, **settings), "endpoints": endpoints}
        return gateway(plugins=["balancing"], workers=1, upstreams={"app": upstream})

    return start


@pytest.fixture
def named(origin):
    """`named(3)`: three origins that answer with their numbers."""
    return lambda count: [origin(reply(b"%d" % number)) for number in range(count)]


@pytest.fixture(scope="module")
def served_by_all(module_gateway, module_origin):
    """A gateway with an upstream for each balancer: `/NAME/…` is balanced so.

    Of its four endpoints the first has three times the weight of the others. Under `/gone/NAME/…` an endpoint
    refuses, and two are there.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        gone = f"http://127.0.0.1:{server.getsockname()[1]}"
    first, *others = [module_origin(reply(b"%d" % number)).url for number in range(4)]
    upstreams, routes = {}, []
    for name in EVERY_ONE:
        upstreams[name] = {"balancer": choice(name), "endpoints": [{"url": first, "weight": 3}, *others]}
        upstreams[f"gone-{name}"] = {"balancer": choice(name), "endpoints": [gone, *others[:2]]}
        routes.append({"match": {"path": f"/{name}/"}, "upstream": name})
        routes.append({"match": {"path": f"/gone/{name}/"}, "upstream": f"gone-{name}"})

    def start(workers: int):
        return module_gateway(plugins=["balancing"], workers=workers, upstreams=upstreams, routes=routes)

    return start


@pytest.fixture(scope="module")
def one_worker(served_by_all):
    return served_by_all(1)


@pytest.fixture(scope="module")
def two_workers(served_by_all):
    return served_by_all(2)


@pytest.mark.parametrize("name", ["weighted-round-robin", "least-connections"])
def test_each_endpoint_gets_its_turn_by_weight(one_worker, name):
    counts = Counter(one_worker.get(f"/{name}/").body for _ in range(36))
    assert counts == {b"0": 18, b"1": 6, b"2": 6, b"3": 6}


def test_without_weights_each_endpoint_gets_its_turn(one_worker):
    counts = Counter(one_worker.get("/round-robin/").body for _ in range(36))
    assert counts == {b"0": 9, b"1": 9, b"2": 9, b"3": 9}


@pytest.mark.parametrize("name", AT_RANDOM)
def test_each_endpoint_gets_some(one_worker, name):
    assert {one_worker.get(f"/{name}/").body for _ in range(90)} == {b"0", b"1", b"2", b"3"}


@pytest.mark.parametrize("name", EVERY_ONE)
def test_no_request_is_lost_when_an_endpoint_refuses(one_worker, name):
    assert {one_worker.get(f"/gone/{name}/", headers={"x-user": user}).status for user in USERS} == {200}


@pytest.mark.parametrize("name", BY_KEY)
def test_the_same_key_comes_to_the_same_endpoint_whichever_worker_has_it(two_workers, name):
    """Every request is a new connection, so both workers get some."""
    homes = {
        user: {two_workers.get(f"/{name}/", headers={"x-user": user}).body for _ in range(6)} for user in USERS
    }
    assert all(len(home) == 1 for home in homes.values())
    assert len(set.union(*homes.values())) > 2


@pytest.mark.parametrize("name", BY_KEY)
def test_a_key_that_lost_its_endpoint_has_one_new_home_and_the_others_stay(site, named, name):
    origins = named(4)
    gateway = site(name, origins)
    before = {user: gateway.get(headers={"x-user": user}).body for user in USERS}
    lost = before[USERS[0]]
    origins[int(lost)].close()
    after = {user: {gateway.get(headers={"x-user": user}).body for _ in range(3)} for user in USERS}
    for user in USERS:
        assert len(after[user]) == 1
        assert after[user] == {before[user]} or before[user] == lost
        assert lost not in after[user]


@pytest.mark.parametrize(
    ("key", "ask"),
    [
        ("cookie:sid", lambda user: {"headers": {"cookie": f"theme=dark; sid={user}"}}),
        ("query:user", lambda user: {"target": f"/any?page=1&user={user}"}),
        ("path", lambda user: {"target": f"/{user}"}),
        ("uri", lambda user: {"target": f"/?{user}"}),
    ],
)
def test_other_parts_of_a_request_are_keys_too(site, named, key, ask):
    gateway = site("ring-hash", named(4), key=key)
    homes = [{gateway.get(**ask(user)).body for _ in range(3)} for user in USERS]
    assert all(len(home) == 1 for home in homes)
    assert len(set.union(*homes)) > 2


def test_requests_without_the_key_are_spread_as_configured(site, named):
    gateway = site("maglev", named(3), without_key="round-robin")
    assert Counter(gateway.get().body for _ in range(12)) == {b"0": 4, b"1": 4, b"2": 4}


def test_the_same_client_comes_to_the_same_endpoint(two_workers):
    def ask(source: str) -> bytes:
        with two_workers.connect(source=source) as client:
            return client.request(b"GET /source-hash/ HTTP/1.1\r\nHost: a\r\n\r\n").body

    homes = [{ask(f"127.0.0.{number}") for _ in range(4)} for number in range(2, 26)]
    assert all(len(home) == 1 for home in homes)
    assert len(set.union(*homes)) > 2


@pytest.mark.parametrize("name", ["two-choices", "least-time", "least-connections"])
def test_an_endpoint_at_work_is_passed_by_while_another_is_idle(site, origin, name):
    held = Held(reply(b"held"), target=b"/held")
    busy, idle = origin(held), origin(reply(b"idle"))
    gateway = site(name, [busy, idle])
    # Whoever gets the first one: the other endpoint answers it, or holds it.
    clients = []
    while not [request for request in busy.requests if request.target == b"/held"]:
        client = gateway.connect()
        client.send(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
        clients.append(client)
        wait_until(lambda: len(busy.requests) + len(idle.requests) >= len(clients))
    assert {gateway.get().body for _ in range(20)} == {b"idle"}
    held.released.set()
    for client in clients:
        assert client.read_response().status == 200
        client.close()


def test_by_time_an_endpoint_that_fails_fast_is_not_taken_for_a_fast_one(site, origin):
    gateway = site("least-time", [origin(reply(status=b"503 Service Unavailable")), origin(reply(b"well"))])
    counts = Counter(gateway.get().status for _ in range(40))
    assert counts[503] <= 1


@pytest.mark.parametrize("name", BY_KEY)
def test_with_bounded_loads_the_next_in_line_helps_out(site, origin, name):
    held = Held(target=b"/held")
    origins = [origin(held) for _ in range(3)]
    gateway = site(name, origins, balance_factor=1)
    with gateway.connect() as client:
        client.send(b"GET /held HTTP/1.1\r\nHost: a\r\nx-user: one\r\n\r\n")
        wait_until(lambda: any(one.requests for one in origins))
        (home,) = [one for one in origins if one.requests]
        for _ in range(6):
            gateway.get(headers={"x-user": "one"})
        assert len(home.requests) == 1
        (next_in_line,) = [one for one in origins if one.requests and one is not home]
        assert len(next_in_line.requests) == 6
        held.released.set()
        assert client.read_response().status == 200
    gateway.get(headers={"x-user": "one"})
    assert len(home.requests) == 2


def test_settings_are_those_of_the_balancer(site, origin):
    gateway = site("ring-hash", [origin()], key="cookie:sid", replicas=16, balance_factor=1.25)
    assert gateway.get().status == 200


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("round-robbin", {}, "did you mean 'round-robin'"),
        ("ring-hash", {"key": "head:x-user"}, "header:NAME"),
        ("ring-hash", {"replica": 10}, "did you mean 'replicas'"),
        ("two-choices", {"key": "path"}, "has no settings"),
    ],
)
def test_a_mistake_is_refused_with_a_hint(tmp_path, name, settings, said):
    upstream = {"balancer": choice(name, **settings), "endpoints": ["http://127.0.0.1:1"]}
    (tmp_path / "site.toml").write_text(site_text(plugins=["balancing"], upstreams={"app": upstream}))
    done = run_command("check", "site.toml", directory=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
