"""Sessions in a real gateway of two workers: each stays at its endpoint, through drains, failures and restarts."""

from __future__ import annotations

import os
import re
import signal

import pytest

from gateway.testing import GatewayDied, reply, wait_until

REQUESTS = 10_000
SESSIONS = 40
EACH = REQUESTS // SESSIONS
SOURCES = [f"127.0.0.{number}" for number in range(2, 2 + SESSIONS)]


def operate(site, *words: str) -> None:
    done = site.command(*words)
    assert done.returncode == 0, done.stderr


def name_of(app) -> str:
    return app.url.removeprefix("http://")


def bodies(responses) -> set[bytes]:
    return {response.body for response in responses}


def cookie_of(response) -> str:
    (value,) = response.header_all("set-cookie")
    return value.decode().partition(";")[0]


@pytest.fixture
def session_apps(origin):
    """Three applications that set `sid` and say who they are."""

    def application(number: int):
        count = iter(range(1_000_000))

        def answer(connection, request):
            connection.read_body(request)
            has_one = b"sid=" in (request.header("cookie") or b"")
            fields = [] if has_one else [b"Set-Cookie: sid=%d-%d; Path=/" % (number, next(count))]
            connection.send(reply(b"%d" % number, *fields))

        return answer

    return [origin(application(number)) for number in range(3)]


# -- stay ---------------------------------------------------------------------------------------------------------


def test_by_cookie_every_request_of_a_session_goes_to_its_endpoint(persistent, crowd, apps):
    clients = crowd(persistent())
    sessions = []
    for _ in range(SESSIONS):
        (first,) = clients.ask()
        sessions.append((cookie_of(first), first.body))
    assert {body for _, body in sessions} == {b"0", b"1", b"2"}
    for cookie, body in sessions:
        for response in clients.ask(f"Cookie: a=1; {cookie}", count=EACH):
            assert response.body == body
            assert response.header("set-cookie") is None
    assert {app.last.header("cookie") for app in apps} == {b"a=1"}


def test_by_prefix_every_request_of_a_session_goes_to_its_endpoint(persistent, crowd, session_apps):
    clients = crowd(persistent(endpoints=session_apps, method="prefix", name="sid"))
    sessions = []
    for _ in range(SESSIONS):
        (first,) = clients.ask()
        assert re.fullmatch(rb"sid=gw~[0-9a-f]{16}~\d-\d+; Path=/", first.header("set-cookie"))
        sessions.append((cookie_of(first), first.body))
    for cookie, body in sessions:
        assert bodies(clients.ask(f"Cookie: {cookie}", count=EACH)) == {body}
    for number, app in enumerate(session_apps):
        assert re.fullmatch(rb"sid=%d-\d+" % number, app.last.header("cookie"))


@pytest.mark.parametrize("use", ["memory", "redis", "memcached"])
def test_learned_every_request_of_a_session_goes_to_its_endpoint(persistent, crowd, session_apps, server, use):
    store = use if use == "memory" else {"use": use, "url": server(use).url, "timeout": "5s"}
    site = persistent(endpoints=session_apps, method="learned", name="sid", store=store)
    clients = crowd(site)
    sessions = []
    for _ in range(SESSIONS):
        (first,) = clients.ask()
        sessions.append((cookie_of(first), first.body))
    settle(lambda: all(clients.ask_both(f"Cookie: {cookie}") == {body} for cookie, body in sessions), use)
    for cookie, body in sessions:
        assert bodies(clients.ask(f"Cookie: {cookie}", count=EACH if use != "memcached" else 25)) == {body}
    assert site.log.count("away") == 0


@pytest.mark.parametrize("use", ["memory", "redis", "memcached"])
def test_by_source_every_request_of_a_client_goes_to_its_endpoint(persistent, crowd, server, use):
    store = use if use == "memory" else {"use": use, "url": server(use).url, "timeout": "5s"}
    site = persistent(method="source", store=store)
    clients = crowd(site, sources=SOURCES)
    firsts = {source: clients.ask(source=source)[0].body for source in SOURCES}
    assert set(firsts.values()) == {b"0", b"1", b"2"}
    settle(lambda: all(clients.ask_both(source=source) == {body} for source, body in firsts.items()), use)
    for source, body in firsts.items():
        assert bodies(clients.ask(source=source, count=EACH if use != "memcached" else 25)) == {body}
    assert site.log.count("away") == 0


def settle(condition, use: str) -> None:
    """With `memory` the workers have to hear of new sessions; a store knows them before the client does."""
    if use == "memory":
        wait_until(condition)
    assert condition()


def test_by_header_every_request_of_a_session_goes_to_its_endpoint(persistent, crowd):
    clients = crowd(persistent(method="header", name="Authorization"))
    fields = [f"Authorization: Bearer {number}" for number in range(SESSIONS)]
    firsts = {field: clients.ask(field)[0].body for field in fields}
    settle(lambda: all(clients.ask_both(field) == {body} for field, body in firsts.items()), "memory")
    for field, body in firsts.items():
        assert bodies(clients.ask(field, count=25)) == {body}


# -- move ---------------------------------------------------------------------------------------------------------

METHODS = pytest.mark.parametrize("method", ["cookie", "source", "remote"])


class Begun:
    """A session that has begun."""

    def __init__(self, clients) -> None:
        self.clients = clients
        self.fields: list[str] = []
        self.ask(1)
        wait_until(lambda: len(self.ask()) == 1)

    def ask(self, count: int = 30) -> set[bytes]:
        """Who answers, over connections to all workers; a cookie that is set is kept."""
        bodies = set()
        for _ in range(count):
            (response,) = self.clients.ask(*self.fields)
            if response.header("set-cookie"):
                self.fields = [f"Cookie: {cookie_of(response)}"]
            bodies.add(response.body)
        return bodies


@pytest.fixture
def begun(persistent, crowd, server, method):
    """A gateway, and a session in it."""
    options = {"cookie": {}, "source": {"method": "source"}}.get(method)
    if options is None:
        store = {"use": "redis", "url": server("redis").url, "timeout": "5s"}
        options = {"method": "source", "store": store}
    site = persistent(**options)
    return site, Begun(crowd(site))


@METHODS
def test_a_session_moves_from_an_endpoint_in_maintenance_and_stays_moved(begun, apps, method):
    site, session = begun
    (before,) = session.ask()
    operate(site, "maintenance", "app", name_of(apps[int(before)]))
    wait_until(lambda: before not in session.ask())
    wait_until(lambda: len(session.ask()) == 1)
    (after,) = session.ask()
    operate(site, "enable", "app", name_of(apps[int(before)]))
    assert session.ask(100) == {after}


@METHODS
def test_a_session_moves_from_an_endpoint_that_refuses_without_a_failed_request(begun, apps, method):
    _, session = begun
    (before,) = session.ask()
    apps[int(before)].close()
    assert before not in session.ask()
    wait_until(lambda: len(session.ask()) == 1)


@METHODS
def test_a_draining_endpoint_keeps_its_sessions_and_gets_no_new_ones(begun, apps, method, crowd):
    site, session = begun
    (mine,) = session.ask()
    operate(site, "drain", "app", name_of(apps[int(mine)]))
    for sources in (SOURCES[:20], SOURCES[20:]):
        others = crowd(site, sources=sources)
        wait_until(lambda others=others, sources=sources: mine not in newcomers(others, sources))
    assert session.ask() == {mine}


def newcomers(clients, sources) -> set[bytes]:
    """Who answers to those who are new."""
    return {clients.ask(source=source)[0].body for source in sources}


def test_an_endpoint_of_weight_zero_keeps_its_sessions_and_gets_no_new_ones(persistent, crowd, apps):
    site = persistent()
    clients = crowd(site)
    (first,) = clients.ask()
    operate(site, "weight", "app", name_of(apps[int(first.body)]), "0")
    wait_until(lambda: first.body not in bodies(clients.ask(count=30)))
    assert bodies(clients.ask(f"Cookie: {cookie_of(first)}", count=30)) == {first.body}


# -- last ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["cookie", "source"])
def test_sessions_outlive_reloads_restarts_and_the_death_of_a_worker(begun, method, crowd):
    site, session = begun
    (mine,) = session.ask()

    def kill_a_worker() -> None:
        os.kill(fresh.workers[0], signal.SIGKILL)
        site.wait_for_log("is back")

    for change in (site.reload, site.restart, kill_a_worker, site.reload):
        change()
        fresh = crowd(site, *session.fields)
        wait_until(lambda fresh=fresh: fresh.ask_both(*session.fields) == {mine})  # a new worker has to hear of it
        assert bodies(fresh.ask(*session.fields, count=50)) == {mine}


def test_without_a_secret_the_log_says_once_what_that_means(persistent, crowd):
    site = persistent()
    crowd(site).ask()
    assert site.log.count("no secret is set") == 1


def test_over_tls_the_cookie_is_secure(gateway, origin, authority):
    certificate = authority.issue("localhost", "127.0.0.1")
    listener = {"bind": "127.0.0.1:0", "tls": {"cert": certificate.cert, "key": certificate.key}}
    site = gateway(plugins=["persistence"], endpoints=[origin()], listeners=[listener])
    with site.connect(tls=certificate.client_context(), server_name="localhost") as client:
        response = client.request(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert response.header("set-cookie").endswith(b"; HttpOnly; SameSite=Lax; Secure")


def test_a_secret_that_is_too_short_refuses_the_start_and_is_not_shown(gateway, origin):
    with pytest.raises(GatewayDied, match="at least 16 characters") as raised:
        gateway(plugins=[{"use": "persistence", "secret": "hush-hush"}], endpoints=[origin()])
    assert "hush-hush" not in str(raised.value)
