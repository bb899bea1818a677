"""The parts of ACME, each by itself: moments, answers, the server's words."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import json
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
import uvloop
from acme import errors, messages
from cryptography import x509
from gateway_tls import TLS
from gateway_tls.acme import automatic, renewing
from gateway_tls.acme.automatic import Automatic
from gateway_tls.acme.keys import challenge_answer, new_key, stand_in
from gateway_tls.acme.pending import Board
from gateway_tls.acme.renewing import Failed, Renewal, due_at, pause_after
from gateway_tls.acme.server import moment_of, words_of
from gateway_tls.acme.settings import Acme
from gateway_tls.acme.storage import Storage
from gateway_tls.certificates import Facts
from gateway_tls.settings import ListenerKeys
from hypothesis import given
from hypothesis import strategies as st

from gateway import ClientHello, Exchange, HandshakeRefused, Request
from gateway.bus import Bus
from gateway.testing import Origin, reply


def settings(storage: Path, *domains: str, **others: Any) -> Acme:
    given = {"domains": domains or ("a.test",), "storage": storage, "agree_to_terms": True}
    return Acme.model_validate({**given, **others})


class Gateway:
    """An App as far as the parts know it."""

    def __init__(self, workers: int = 1) -> None:
        self.bus = Bus()
        self.settings = type("Settings", (), {"workers": workers})()
        self.is_elected = True
        self.ways: list[Any] = []

    def once(self, name: str) -> bool:
        return self.is_elected

    def is_trusted(self, request: Request) -> bool:
        return False


# -- moments -------------------------------------------------------------------------------------------------------


def test_two_thirds_of_ninety_days_are_sixty():
    begins = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    facts = Facts((), begins, begins + datetime.timedelta(days=90))
    assert due_at(facts, 2 / 3) == pytest.approx((begins + datetime.timedelta(days=60)).timestamp())


@given(st.integers(1, 10**9), st.floats(0, 1, exclude_max=True))
def test_pauses_grow_from_a_minute_to_hours(failures, chance):
    pause = pause_after(failures, lambda: chance)
    assert 45 < pause <= 6 * 3600
    assert pause <= 60 * 2.0 ** min(failures, 30)
    assert pause_after(30, lambda: chance) >= 0.75 * 6 * 3600


# -- answers -------------------------------------------------------------------------------------------------------


def test_the_answer_to_tls_alpn_01_is_what_rfc_8737_says():
    certificate = x509.load_pem_x509_certificate(challenge_answer("a.test", "token.thumbprint"))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["a.test"]
    extension = certificate.extensions.get_extension_for_oid(x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31"))
    assert extension.critical
    assert extension.value.public_bytes() == b"\x04\x20" + hashlib.sha256(b"token.thumbprint").digest()


@pytest.fixture
def listener(tmp_path: Path) -> Automatic:
    wanted = settings(tmp_path / "acme")
    return Automatic(ListenerKeys(acme=wanted), wanted, ("h2", "http/1.1"))


async def test_a_challenge_is_answered_while_it_is_pending(listener):
    app: Any = Gateway()
    listener.start(app, is_first=False)
    hello = ClientHello("a.test", ("acme-tls/1",))
    board = Board(app, "tls-alpn-01", "job")
    await board.show({"a.test": "token.thumbprint"})
    assert isinstance(listener.answer(hello), ssl.SSLContext)
    assert listener.answer(ClientHello("a.test", ("h2", "acme-tls/1"))) is None
    with pytest.raises(HandshakeRefused, match="no challenge is pending"):
        listener.answer(ClientHello("b.test", ("acme-tls/1",)))
    board.clear()
    with pytest.raises(ValueError, match="no challenge is pending"):
        listener.answer(hello)
    listener.stop()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_who_asks_a_challenge_can_ask_nothing_else(run):
    """Else the certificate that a listener asks its clients for could be gone without."""

    class Listening(asyncio.Protocol):
        def __init__(self) -> None:
            self.heard = b""
            self.is_over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.heard += data
            self.transport.abort()

        def connection_lost(self, error: Exception | None) -> None:
            self.is_over.set_result(None)

    async def talk() -> tuple[bytes, str | None]:
        served = Listening()
        loop = asyncio.get_running_loop()
        answering = automatic._answering("a.test", "token.thumbprint")
        server = await loop.create_server(lambda: served, "127.0.0.1", 0, ssl=answering)
        asking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        asking.check_hostname, asking.verify_mode = False, ssl.CERT_NONE
        asking.set_alpn_protocols(["acme-tls/1"])
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), ssl=asking)
        agreed = writer.get_extra_info("ssl_object").selected_alpn_protocol()
        try:
            writer.write(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
            await asyncio.wait_for(served.is_over, 5)
        finally:
            writer.transport.abort()
            server.close()
        return served.heard, agreed

    assert run(talk()) == (b"", "acme-tls/1")


async def test_http_01_is_answered_over_plaintext_before_the_redirect():
    app: Any = Gateway()
    plugin = TLS(TLS.Config.model_validate({"redirect": {}}))
    plugin.startup(app)
    board = Board(app, "http-01", "job")
    await board.show({"token": "token.thumbprint"})

    def answer(path: str, scheme: str = "http") -> Any:
        return plugin.on_request(Exchange(app, Request("GET", path, {"host": "a.test"}, scheme=scheme)))

    found = answer("/.well-known/acme-challenge/token")
    assert (found.status, found.body) == (200, b"token.thumbprint")
    assert answer("/.well-known/acme-challenge/other").status == 308
    assert answer("/.well-known/acme-challenge/token", "https") is None
    board.clear()
    assert answer("/.well-known/acme-challenge/token").status == 308
    plugin.shutdown(app)


def test_without_redirect_and_identity_requests_are_looked_at_only_if_it_is_said():
    assert TLS(TLS.Config()).on_request is None
    assert TLS(TLS.Config(http_01=True)).on_request is not None


async def test_answers_are_shown_until_every_worker_has_said_that_it_knows_them():
    app: Any = Gateway(workers=2)
    here: dict[str, Any] = {}
    app.bus.subscribe("tls.acme", here.update)
    showing = asyncio.create_task(Board(app, "http-01", "job").show({"token": "answer"}))
    await asyncio.sleep(0)
    for process in (1, 1):
        app.bus.publish("tls.acme.heard", {"round": here["round"], "process": process})
    app.bus.publish("tls.acme.heard", {"round": "another", "process": 2})
    for _ in range(5):
        await asyncio.sleep(0)
    assert not showing.done()
    app.bus.publish("tls.acme.heard", {"round": here["round"], "process": 2})
    await asyncio.wait_for(showing, 1)


# -- the server's words --------------------------------------------------------------------------------------------


def problem(detail: str, **others: Any) -> messages.Error:
    return messages.Error.from_json({"type": "urn:ietf:params:acme:error:malformed", "detail": detail, **others})


def test_what_the_server_says_is_told_in_its_own_words():
    of_a = {"identifier": {"type": "dns", "value": "a.test"}}
    inner = {"type": "urn:ietf:params:acme:error:caa", "detail": "CAA forbids it", **of_a}
    for error, words in (
        (problem("too many\n certificates"), "too many certificates"),
        (problem("two are wrong", subproblems=[inner]), "two are wrong; a.test: CAA forbids it"),
        (errors.IssuanceError(problem("no")), "no"),
        (errors.TimeoutError(), "the server has not decided within 180 s"),
        (ValueError("odd \x1b[2J"), "odd ?[2J"),
        (problem("x" * 9999), "x" * 500),
    ):
        assert words_of(error, "https://acme.test") == words


@pytest.mark.parametrize(
    ("said", "moment"),
    [
        ("120", 1120), ("Thu, 01 Jan 1970 00:20:00 GMT", 1200), ("9" * 5000, 1000 + 8 * 86400), ("-5", 0), ("²", 0),
        ("Fri, 31 Dec 2100 00:00:00 GMT", 1000 + 8 * 86400), ("soon", 0), ("", 0),
    ],
)  # fmt: skip
def test_how_long_a_server_wants_to_be_left_alone_is_read_and_bounded(said, moment):
    assert moment_of(said, 1000) == moment


class Busy:
    """A server that says one thing."""

    def __init__(self, origin: Any, authority: Any, *fields: bytes, status: bytes, body: Any) -> None:
        own = authority.issue("127.0.0.1")
        text = json.dumps(body).encode()
        self.origin: Origin = origin(reply(text, *fields, status=status), tls=own)
        self.settings = {"directory": self.origin.url, "ca": authority.cert}


async def test_a_server_that_wants_to_be_left_alone_is(origin, authority, tmp_path, caplog):
    said = {"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many certificates already"}
    fields = (b"Retry-After: 86400", b"Content-Type: application/problem+json")
    busy = Busy(origin, authority, *fields, status=b"429 Too Many Requests", body=said)
    wanted = settings(tmp_path / "acme", **busy.settings)
    storage = Storage(wanted)
    storage.prepare()
    renewal = Renewal(app := Gateway(), wanted, storage)  # type: ignore[arg-type]
    with pytest.raises(Failed, match="too many certificates already"):
        await renewing.in_thread(renewal._look)
    assert storage.paused_until == pytest.approx(time.time() + 86400, abs=60)
    asked = len(busy.origin.requests)
    assert await renewing.in_thread(renewal._look) == renewing.LOOK_SECONDS
    later = Renewal(app, wanted, Storage(wanted))  # type: ignore[arg-type]
    assert await renewing.in_thread(later._look) == renewing.LOOK_SECONDS
    assert len(busy.origin.requests) == asked
    storage.save_certificate(stand_in(["a.test"]))
    assert storage.paused_until == 0
    for each in (renewal, later):
        each.close()


async def test_a_certificate_that_is_due_as_it_comes_is_not_ordered_over_and_over(storage, tmp_path, monkeypatch):
    renewal = Renewal(Gateway(), settings(tmp_path / "acme"), storage)  # type: ignore[arg-type]
    orders: list[None] = []
    monkeypatch.setattr(renewal, "_renew", lambda: orders.append(None))
    with pytest.raises(Failed, match="is the clock right"):
        await renewing.in_thread(renewal._look)
    assert len(orders) == 1
    renewal.close()


async def test_who_is_no_longer_elected_orders_nothing(storage, tmp_path):
    renewal = Renewal(app := Gateway(), settings(tmp_path / "acme"), storage)  # type: ignore[arg-type]
    app.is_elected = False
    assert await renewing.in_thread(renewal._look) == 1
    assert storage.account_key() is None
    renewal.close()


@pytest.mark.parametrize(
    ("window", "is_due"),
    [("2026-01-01T00:00:00Z", True), ("2999-01-01T00:00:00Z", False), (None, False), ("never", False)],
)
async def test_a_server_may_say_when_to_renew(origin, authority, tmp_path, window, is_due):
    def answer(connection: Any, request: Any) -> None:
        said: dict[str, Any] = {"renewalInfo": f"{acme.url}/renewal"} if window else {}
        if request.target.startswith(b"/renewal/"):
            said = {"suggestedWindow": {"start": window, "end": window}}
        connection.send(reply(json.dumps(said).encode(), b"Content-Type: application/json"))

    own = authority.issue("127.0.0.1")
    acme: Origin = origin(answer, tls=own)
    wanted = settings(tmp_path / "acme", directory=acme.url, ca=authority.cert)
    storage = Storage(wanted)
    storage.prepare()
    storage.save_certificate(new_key() + own.cert.read_bytes())
    renewal = Renewal(Gateway(), wanted, storage)  # type: ignore[arg-type]
    renewal._ask_again = 0.0
    wait = await renewing.in_thread(renewal._wait)
    assert (wait <= 0) is is_due
    assert wait < 30 * 86400  # whatever is suggested, the certificate does not run out
    assert renewal._ask_again >= time.time() + renewing.LOOK_SECONDS - 60
    renewal.close()
