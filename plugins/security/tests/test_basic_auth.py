"""basic-auth: who comes in, what the upstream learns, and what guessing costs."""

from __future__ import annotations

import asyncio
import base64
import logging
import threading
from types import SimpleNamespace

import bcrypt
import pytest
from argon2 import PasswordHasher
from click.testing import CliRunner
from gateway_security.basic_auth import BasicAuth, read_credentials
from gateway_security.checking import Busy, Checker
from gateway_security.passwd_command import passwd
from gateway_security.passwords import parse_hash
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway import Exchange, Request, Response, hookimpl
from gateway.lifecycle import Jobs
from gateway.pipeline import Pipeline
from gateway.testing import reply, wait_until

ANA = bcrypt.hashpw(b"s3cret", bcrypt.gensalt(4)).decode()
ZOE = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("päss:word")


def basic(pair: str) -> str:
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def made(**settings: object) -> BasicAuth:
    return BasicAuth(BasicAuth.Config.model_validate({"users": {"ana": ANA, "zoë": ZOE}, **settings}))


def asked(*fields: tuple[str, str], method: str = "GET") -> Exchange:
    return Exchange(None, Request(method, "/", [("host", "a.example"), *fields]))


async def answer(plugin: BasicAuth, exchange: Exchange) -> Response | None:
    said = plugin.on_request(exchange)
    return said if said is None or isinstance(said, Response) else await said


@pytest.mark.parametrize(("pair", "name"), [("ana:s3cret", b"ana"), ("zoë:päss:word", "zoë".encode())])
async def test_a_user_comes_in_and_the_upstream_learns_the_name_and_not_the_password(pair, name):
    exchange = asked(("authorization", basic(pair)), ("X-Auth-User", "root"), ("x_auth_user", "root"))
    assert await answer(made(), exchange) is None
    assert exchange.request.headers.raw == [(b"host", b"a.example"), (b"x-auth-user", name)]
    assert exchange.notes == [("basic-auth", f"user {name.decode()}")]
    assert exchange.user == name.decode()


@pytest.mark.parametrize(
    "given",
    [
        basic("ana:wrong"),
        basic("bob:s3cret"),
        basic("ana:"),
        basic(":s3cret"),
        basic("ana"),
        basic("ana:s3cret\n"),
        "Basic",
        "Basic !!!",
        "Bearer abc",
        "",
    ],
)
async def test_nobody_else_does(given, caplog):
    exchange = asked(("authorization", given), ("x-auth-user", "root"))
    response = await answer(made(realm="staff"), exchange)
    assert response.status == 401
    assert response.headers.get_all("www-authenticate") == [b'Basic realm="staff", charset="UTF-8"']
    assert b"x-auth-user" not in exchange.request.headers
    assert "basic-auth: answered 401 to 127.0.0.1: " in caplog.text
    assert f"(GET '/', request {exchange.id})" in caplog.text
    assert "s3cret" not in caplog.text


async def test_without_credentials_or_with_two_of_them_nobody_comes_in():
    for fields in ([], [("authorization", basic("ana:s3cret")), ("authorization", basic("ana:s3cret"))]):
        response = await answer(made(), asked(*fields))
        assert response.status == 401


async def test_a_pair_that_was_right_is_not_checked_again_and_needs_no_waiting():
    plugin = made()
    await answer(plugin, asked(("authorization", basic("ana:s3cret"))))
    exchange = asked(("authorization", basic("ana:s3cret")))
    assert plugin.on_request(exchange) is None
    assert exchange.request.headers.get("x-auth-user") == b"ana"


async def test_nothing_is_remembered_when_that_is_wanted():
    plugin = made(remember=0)
    for _ in range(2):
        said = plugin.on_request(asked(("authorization", basic("ana:s3cret"))))
        assert asyncio.iscoroutine(said)
        assert await said is None


async def test_preflights_pass_only_where_that_is_set_and_never_with_a_name():
    fields = [("origin", "https://b"), ("access-control-request-method", "PUT"), ("x-auth-user", "root")]
    assert (await answer(made(), asked(*fields, method="OPTIONS"))).status == 401
    exchange = asked(*fields, method="OPTIONS")
    assert await answer(made(allow_preflight=True), exchange) is None
    assert b"x-auth-user" not in exchange.request.headers
    assert (await answer(made(allow_preflight=True), asked(method="OPTIONS"))).status == 401
    assert (await answer(made(allow_preflight=True), asked(*fields))).status == 401


async def test_the_upstream_gets_the_password_if_that_is_wanted():
    exchange = asked(("authorization", basic("ana:s3cret")))
    assert await answer(made(forward_authorization=True, user_header=""), exchange) is None
    assert exchange.request.headers.raw[1:] == [(b"authorization", basic("ana:s3cret").encode())]


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ([], [b"private"]),
        (["no-cache", "max-age=1"], [b"no-cache, max-age=1, private"]),
        (["Public, max-age=60"], [b"Public, max-age=60"]),
        (["max-age=1", "s-maxage=60"], [b"max-age=1", b"s-maxage=60"]),
        (["x-public"], [b"x-public, private"]),
    ],
)
def test_a_response_without_the_password_in_its_request_is_for_one_user(said, wanted):
    response = Response(200, [("cache-control", value) for value in said])
    made().on_upstream_response(asked(), response)
    assert response.headers.get_all("cache-control") == wanted


def test_it_says_so_before_a_cache_that_stands_behind_it_stores():
    class Storing:
        @hookimpl
        def on_upstream_response(self, exchange, response): ...

    steps = Pipeline([("basic-auth", made()), ("cache", Storing())]).on_upstream_response
    assert [step.plugin for step in steps] == ["basic-auth", "cache"]
    assert not Pipeline([("basic-auth", made(forward_authorization=True))]).on_upstream_response


class Slow:
    """A hash whose check ends when the test says so."""

    def __init__(self) -> None:
        self.go, self.checks = threading.Event(), 0

    def fits(self, password: bytes) -> bool:
        self.checks += 1
        return self.go.wait(10) and password == b"right"


def checker(hashed: object, **settings: object) -> Checker:
    return Checker({b"ana": hashed}, **{"threads": 1, "max_waiting": 4, "seconds": 60, "max_known": 8, **settings})


async def test_the_same_pair_is_checked_once_at_a_time():
    slow = Slow()
    check = checker(slow)
    waiting = [asyncio.create_task(check.check(b"1", b"ana", b"right", "192.0.2.1")) for _ in range(9)]
    await asyncio.sleep(0)
    slow.go.set()
    assert await asyncio.gather(*waiting) == [b"ana"] * 9
    assert slow.checks == 1
    assert check.known(b"1") == b"ana"
    check.close()


async def test_a_client_that_guesses_takes_half_of_the_places_and_the_rest_is_refused():
    slow = Slow()
    check = checker(slow)
    guesses = [asyncio.create_task(check.check(bytes([n]), b"ana", b"guess", "192.0.2.1")) for n in range(3)]
    await asyncio.sleep(0)
    assert [task.done() for task in guesses] == [False, False, True]
    assert isinstance(guesses[2].exception(), Busy)
    mine = asyncio.create_task(check.check(b"mine", b"ana", b"right", "192.0.2.2"))
    await asyncio.sleep(0)
    slow.go.set()
    assert await mine == b"ana"
    assert await asyncio.gather(*guesses[:2]) == [None, None]
    assert check._clients.total() == 0
    check.close()


async def test_a_name_that_nobody_has_is_checked_like_one_that_somebody_has():
    slow = Slow()
    slow.go.set()
    check = checker(slow)
    assert await check.check(b"1", b"nobody", b"right", "192.0.2.1") is None
    assert slow.checks == 1
    check.close()


async def test_a_wrong_pair_that_is_repeated_is_checked_once_for_a_while():
    slow, now = Slow(), [0.0]
    slow.go.set()
    check = checker(slow, clock=lambda: now[0])
    for seconds in (0.0, 9.0, 11.0):
        now[0] = seconds
        assert await check.check(b"1", b"ana", b"wrong", "192.0.2.1") is None
    assert slow.checks == 2
    check.close()


async def test_what_is_remembered_ends():
    slow, now = Slow(), [0.0]
    slow.go.set()
    check = checker(slow, clock=lambda: now[0])
    await check.check(b"1", b"ana", b"right", "192.0.2.1")
    now[0] = 61.0
    assert check.known(b"1") is None
    check.close()


async def test_a_check_under_way_when_the_users_change_is_not_remembered():
    slow = Slow()
    check = checker(slow)
    waiting = asyncio.create_task(check.check(b"1", b"ana", b"right", "192.0.2.1"))
    await asyncio.sleep(0)
    check.replace({b"bob": slow})
    slow.go.set()
    await waiting
    assert check.known(b"1") is None
    check.close()


async def test_too_many_checks_are_answered_with_503(monkeypatch):
    plugin = made()

    async def busy(*arguments: object) -> None:
        raise Busy

    monkeypatch.setattr(plugin._checker, "check", busy)
    response = await answer(plugin, asked(("authorization", basic("ana:s3cret"))))
    assert response.status == 503
    assert response.headers.get("retry-after") == b"1"


async def look_twice(plugin: BasicAuth) -> None:
    """A file that has changed since the last look might still be being written."""
    await plugin.look()
    await plugin.look()


async def test_a_changed_file_is_in_force_and_one_with_a_mistake_is_not(tmp_path, caplog):
    caplog.set_level(logging.INFO, "gateway.security")
    path = tmp_path / "users"
    path.write_text(f"bob:{ANA}\n")
    plugin = made(file=str(path))
    bob = ("authorization", basic("bob:s3cret"))
    assert await answer(plugin, asked(bob)) is None
    for text, words in [
        ("bob:plain\n", "line 1: user 'bob': a plain password"),
        (f"ana:{ANA}\n", "user 'ana' stands in `users`, too"),
    ]:
        path.write_text(text)
        await look_twice(plugin)
        assert words in caplog.text
    path.unlink()
    for _ in range(2):
        await plugin.look()
    assert caplog.text.count("No such file") == 1
    assert await answer(plugin, asked(bob)) is None
    path.write_text(f"carol:{ANA}\n")
    await look_twice(plugin)
    assert "read anew: 3 users" in caplog.text, "carol, and the two of the settings"
    assert ANA not in caplog.text
    assert (await answer(plugin, asked(bob))).status == 401
    assert await answer(plugin, asked(("authorization", basic("carol:s3cret")))) is None


async def test_the_file_is_watched_while_the_plugin_runs(tmp_path):
    path = tmp_path / "users"
    path.write_text(f"bob:{ANA}\n")
    plugin = made(file=str(path), watch="10ms")
    jobs = Jobs()
    await plugin.startup(SimpleNamespace(spawn=jobs.start))
    path.write_text(f"carol:{ANA}\n")
    await asyncio.to_thread(wait_until, lambda: b"carol" in plugin._checker._users)
    await jobs.end()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "nobody could come in"),
        ({"users": {"a": ANA}, "realm": 'a"b'}, "without quotes"),
        ({"users": {"a": ANA}, "user_header": "connection"}, "is set by the gateway"),
        ({"file": "x", "threads": 0}, "greater than or equal to 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, words):
    with pytest.raises(ValidationError, match=words):
        BasicAuth.Config.model_validate(settings)


@pytest.mark.parametrize(
    ("settings", "text", "words"),
    [
        ({"users": {"a": "plain"}}, "", "users: user 'a': a plain password is not accepted"),
        ({"users": {"a:b": ANA}}, "", "users: 'a:b' cannot be a user's name"),
        ({"file": "users"}, "# none\n", "file: .*users: there is no user in it"),
        ({"file": "users"}, "ana:x", "file: .*users: line 1"),
        ({"file": "missing"}, "", "file: .*missing: cannot be read: No such file"),
        (
            {"file": "users", "users": {"ana": ANA}},
            f"ana:{ANA}",
            "file: .*users: user 'ana' stands in `users`, too",
        ),
    ],
    ids=["plain", "name", "nobody", "line", "missing", "twice"],
)
def test_users_that_cannot_be_are_refused_at_load(settings, text, words, tmp_path):
    (tmp_path / "users").write_text(text)
    config = BasicAuth.Config.model_validate(settings, context={"base": str(tmp_path)})
    with pytest.raises(ValueError, match=words):
        BasicAuth(config)


@settings(deadline=None, database=None, max_examples=60)
@given(st.binary(max_size=60))
def test_any_field_is_credentials_or_none(value):
    assert read_credentials(b"Basic " + base64.b64encode(value)) in (None, tuple(value.split(b":", 1)))
    assert read_credentials(value) is None or value.lower().startswith(b"basic ")


def test_the_command_makes_a_line_that_is_accepted():
    done = CliRunner().invoke(passwd, ["ana", "--stdin"], input="s3cret\n")
    assert done.exit_code == 0
    assert done.output.startswith("ana:$argon2id$")
    assert CliRunner().invoke(passwd, ["a:b", "--stdin"], input="s3cret\n").exit_code == 1
    assert CliRunner().invoke(passwd, ["ana", "--stdin"], input="\n").exit_code == 1


@pytest.mark.parametrize("piped", ["s3cret", "s3cret\n", "s3cret\r\nanother line\n"])
def test_the_command_takes_the_first_line_of_what_is_piped_and_asks_nothing(piped):
    done = CliRunner().invoke(passwd, ["ana"], input=piped)
    assert (done.exit_code, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    assert parse_hash(line.removeprefix("ana:")).fits(b"s3cret")
    assert CliRunner().invoke(passwd, ["ana"], input="").exit_code == 1


def test_in_a_gateway_a_cache_behind_it_does_not_give_one_user_what_is_anothers(gateway, origin):
    app = origin(reply(b"for one", b"Cache-Control: max-age=60"))
    users = {"ana": ANA, "bob": ANA}
    site = gateway(endpoints=[app], plugins=[{"use": "basic-auth", "users": users}, "cache"])
    answers = [site.get("/", headers={"authorization": basic(f"{name}:s3cret")}) for name in ("ana", "bob", "bob")]
    assert [answer.header("cache-control") for answer in answers] == [b"max-age=60, private"] * 3
    assert len(app.requests) == 3
    app.answer(reply(b"for all", b"Cache-Control: public, max-age=60"))
    for name in ("ana", "bob"):
        assert site.get("/all", headers={"authorization": basic(f"{name}:s3cret")}).body == b"for all"
    assert len(app.requests) == 4


def test_in_a_gateway_a_request_and_a_websocket_need_a_password(gateway, origin):
    app = origin(reply(b"hello"))
    site = gateway(endpoints=[app], plugins=[{"use": "basic-auth", "users": {"ana": ANA}}])
    refused = site.get("/", headers={"accept": "application/json"})
    assert refused.status == 401
    assert refused.header("www-authenticate").startswith(b"Basic realm=")
    assert refused.header("content-type") == b"application/json"
    handshake = (
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert site.request(handshake).status == 401
    assert not app.requests
    forged = "GET / HTTP/1.1\r\nHost: a\r\nConnection: x-auth-user\r\nX_Auth_User: root\r\nAuthorization: "
    for _ in range(2):
        assert site.request(f"{forged}{basic('ana:s3cret')}\r\n\r\n".encode()).body == b"hello"
    for seen in app.requests:
        names = dict(seen.headers)
        assert names[b"x-auth-user"] == b"ana"
        assert not {b"authorization", b"x_auth_user"} & set(names)
