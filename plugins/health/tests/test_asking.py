"""One check of each kind, at real sockets: what passes, and what is said of what does not."""

from __future__ import annotations

import asyncio
import resource
import socket

import pytest
from gateway_health import Settings
from gateway_health.asking import Inconclusive, ask, make_check
from gateway_health.target import Target

from gateway import Endpoint, EndpointSettings, client_context
from gateway.config.model import UpstreamTLS
from gateway.testing import OK, reply

CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"


async def trouble(url: str, *, host: str = "", tls: UpstreamTLS | None = None, **settings: object) -> str:
    """What a check says of an endpoint."""
    chosen = Settings(**{"check": "http", "timeout": 5, **settings})
    context = client_context(tls) if tls else None
    server_name = tls.server_name if tls else ""
    target = Target.of(Endpoint(EndpointSettings(url=url)), chosen.port, context, server_name)
    return await ask(make_check(chosen, host), target, chosen.timeout)


@pytest.fixture
def refused() -> str:
    """A place where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


class TestHttp:
    async def test_the_request_is_as_the_settings_say(self, origin):
        app = origin()
        assert await trouble(app.url, path="/healthz?full=1", headers={"X-Key": "1", "User-Agent": "me"}) == ""
        host = app.url.removeprefix("http://").encode()
        assert app.last.raw == (
            b"GET /healthz?full=1 HTTP/1.1\r\nhost: %b\r\nuser-agent: me\r\naccept: */*\r\nx-key: 1\r\n"
            b"connection: close\r\n\r\n" % host
        )

    async def test_a_method_that_usually_has_a_body_says_that_there_is_none(self, origin):
        app = origin()
        assert await trouble(app.url, method="POST") == ""
        assert app.last.start_line == b"POST / HTTP/1.1"
        assert app.last.header("content-length") == b"0"

    async def test_the_host_is_that_of_the_settings_then_that_of_the_upstream(self, origin):
        app = origin()
        await trouble(app.url, host="web.internal")
        assert app.last.header("host") == b"web.internal"
        await trouble(app.url, host="web.internal", headers={})
        chosen = Settings(check="http", host="own.internal:81")
        target = Target.of(Endpoint(EndpointSettings(url=app.url)), 0, None, "")
        assert await ask(make_check(chosen, "web.internal"), target, 5) == ""
        assert app.last.header("host") == b"own.internal:81"

    @pytest.mark.parametrize(
        ("status", "said"),
        [(b"200 OK", ""), (b"399 Odd", ""), (b"404 No", "status 404, not 200-399"), (b"503 Busy", "status 503")],
    )
    async def test_by_default_everything_below_400_passes(self, origin, status, said):
        found = await trouble(origin(reply(status=status)).url)
        assert found.startswith(said)
        assert bool(found) is bool(said)

    async def test_which_statuses_pass_can_be_said(self, origin):
        app = origin(reply(status=b"401 Unauthorized"))
        assert await trouble(app.url, status="200-299,401") == ""
        assert await trouble(app.url, status=200) == "status 401, not 200"

    async def test_the_body_must_hold_what_the_pattern_says(self, origin):
        app = origin(reply(b'{"state": "ok"}'))
        assert await trouble(app.url, body='"state": *"(ok|degraded)"') == ""
        assert await trouble(app.url, body="^ok") == "the body does not match '^ok'"

    @pytest.mark.parametrize(
        "framed",
        [
            b"Transfer-Encoding: chunked\r\n\r\n3\r\nall\r\n6\r\n well!\r\n0\r\n\r\n",
            b"Content-Length: 9\r\n\r\nall well!",
            b"\r\nall well!",
        ],
    )
    async def test_a_body_is_read_however_it_is_framed(self, origin, framed):
        def script(connection, request):
            connection.send(b"HTTP/1.1 200 OK\r\n" + framed)
            connection.close()

        assert await trouble(origin(script).url, body="^all well!$") == ""

    async def test_a_pattern_is_looked_for_in_the_first_64_kib(self, origin):
        def endless(connection, request):
            connection.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 65_530 + b"needle")
            while True:
                connection.send(b"x" * 65_536 + b"late")

        app = origin(endless)
        assert await trouble(app.url, body="xneedle$") == ""
        assert await trouble(app.url, body="late") == "the body does not match 'late'"

    async def test_without_a_pattern_the_body_is_not_waited_for(self, origin):
        def stalling(connection, request):
            connection.send(CUT)
            connection.stall()

        assert await trouble(origin(stalling).url) == ""

    async def test_the_response_to_head_has_no_body(self, origin):
        app = origin(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        assert await trouble(app.url, method="HEAD") == ""

    async def test_interim_responses_are_passed_by(self, origin):
        interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        app = origin(interim * 3 + reply(b"well"))
        assert await trouble(app.url, body="well") == ""
        app.answer(interim + reply(status=b"500 No"))
        assert await trouble(app.url) == "status 500, not 200-399"

    @pytest.mark.parametrize(
        ("sent", "said"),
        [
            (b"", "closed the connection without a response"),
            (b"HTTP/1.1 200 OK\r\nConte", "closed the connection without a response"),
            (b"SSH-2.0-OpenSSH_9.6\r\n", "not a valid HTTP response: "),
            (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "status 101, not 200-399"),
            (CUT, "closed the connection within the response"),
        ],
    )
    async def test_what_is_no_response_is_said_to_be_none(self, origin, sent, said):
        def script(connection, request):
            connection.send(sent)
            connection.close()

        assert (await trouble(origin(script).url, body="half")).startswith(said)

    async def test_a_head_without_end_is_read_no_further(self, origin):
        def endless(connection, request):
            connection.send(b"HTTP/1.1 200 OK\r\n")
            while True:
                connection.send(b"x-a: " + b"y" * 1000 + b"\r\n")

        assert await trouble(origin(endless).url) == "no end of the response head within 64 KiB"

    async def test_silence_has_a_deadline(self, origin):
        app = origin(lambda connection, request: connection.stall())
        assert await trouble(app.url, timeout="50ms") == "no answer within 0.05 s"

    async def test_a_refused_connection_is_one(self, refused):
        assert await trouble(refused) == "Connection refused"

    async def test_a_unix_socket_is_asked_as_well(self, origin, tmp_path):
        app = origin(unix_path=tmp_path / "app.sock")
        assert await trouble(app.url) == ""
        assert app.last.header("host") == b"localhost"
        assert await trouble(f"unix:{tmp_path}/none.sock") == "No such file or directory"

    async def test_another_port_can_be_asked(self, origin, refused):
        app = origin()
        assert await trouble(refused, port=app.port) == ""
        assert app.last.header("host") == b"127.0.0.1:%d" % app.port

    async def test_over_tls_the_certificate_is_verified_as_the_upstream_says(self, origin, authority):
        app = origin(tls=authority.issue("app.internal"))
        named = UpstreamTLS(ca=authority.cert, server_name="app.internal")
        assert await trouble(app.url, tls=named) == ""
        assert app.server_names == ["app.internal"]
        wrong = await trouble(app.url, tls=UpstreamTLS(ca=authority.cert))
        assert wrong.startswith("the certificate is not accepted: IP address mismatch")
        unknown = await trouble(app.url, tls=UpstreamTLS(server_name="app.internal"))
        assert unknown.startswith("the certificate is not accepted: unable to get local issuer")
        assert await trouble(app.url, tls=UpstreamTLS(verify=False)) == ""


class TestTcp:
    async def test_it_is_enough_to_accept(self, origin, refused):
        assert await trouble(origin(lambda connection, request: connection.stall()).url, check="tcp") == ""
        assert await trouble(refused, check="tcp") == "Connection refused"

    async def test_it_sends_nothing(self, origin):
        app = origin()
        assert await trouble(app.url, check="tcp") == ""
        assert app.requests == []


class TestTls:
    async def test_the_handshake_must_succeed(self, origin, authority, refused):
        tls = UpstreamTLS(ca=authority.cert)
        app = origin(tls=authority.issue("127.0.0.1"))
        assert await trouble(app.url, check="tls", tls=tls) == ""
        assert app.requests == []
        assert await trouble(refused, check="tls", tls=tls) == "Connection refused"
        wrong = await trouble(app.url, check="tls", tls=UpstreamTLS())
        assert wrong.startswith("the certificate is not accepted: ")

    async def test_who_does_not_speak_tls_fails(self, origin, authority):
        def plain(connection, request):
            connection.send(OK)
            connection.close()

        with socket.create_server(("127.0.0.1", 0)) as server:
            asking = asyncio.create_task(
                trouble(f"http://127.0.0.1:{server.getsockname()[1]}", check="tls", tls=UpstreamTLS())
            )
            connection, _ = await asyncio.to_thread(server.accept)
            connection.sendall(OK)
            assert (await asking).startswith("TLS failed: ")
            connection.close()


async def test_a_name_that_is_not_found_is_said_to_be_none():
    assert (await trouble("http://nobody.invalid:80")).startswith("the name is not found: ")


async def test_when_no_file_can_be_opened_nothing_is_said_of_the_endpoint(origin):
    app = origin()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = socket.socket()
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (taken.fileno(), before[1]))
        with pytest.raises(Inconclusive, match="no file descriptor is free"):
            await trouble(app.url)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        taken.close()
