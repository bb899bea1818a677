"""A WebSocket is an exchange like any other: the same routes, hooks, retries and records."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection, serve, unix_serve
from websockets.utils import accept_key

from gateway.testing import GatewayProcess, OriginConnection, SeenRequest, reply, wait_until

RECORDER = '''
import json, sys
from gateway import Exchange, Response, hookimpl

class Recorder:
    """Answers some handshakes, marks the others, and writes a line for each exchange."""

    @hookimpl
    def on_request(self, exchange):
        if exchange.request.raw_path == b"/secret":
            answer = Response(401, [("www-authenticate", "Basic"), ("www-authenticate", "Bearer"),
                                    ("set-cookie", "a=1"), ("set-cookie", "b=2")], "keep out")
            return answer
        if exchange.request.raw_path == b"/stream":
            async def pieces():
                yield b"one "
                yield b"two"
            return Response(429, None, pieces())
        if exchange.request.raw_path == b"/broken":
            raise RuntimeError("on purpose")

    @hookimpl
    def on_upstream_request(self, exchange, attempt):
        attempt.headers.set("x-attempt", str(attempt.number))

    @hookimpl
    def on_upstream_response(self, exchange, response):
        exchange.note("recorder", f"upstream {response.status}")

    @hookimpl
    def on_response(self, exchange, response):
        response.headers.set("x-seen", "yes")
        if exchange.request.raw_path == b"/regret":
            response.status = 403

    @hookimpl
    def on_complete(self, exchange):
        record = {
            "tunnel": exchange.is_tunnel, "status": exchange.response.status, "path": exchange.request.path,
            "sent": exchange.bytes_sent, "received": exchange.bytes_received,
            "attempts": [(a.endpoint.in_flight, a.status, type(a.error).__name__) for a in exchange.attempts],
            "notes": list(exchange.notes), "error": type(exchange.error).__name__,
            "lasted": exchange.ended - exchange.started,
        }
        print("RECORD " + json.dumps(record), file=sys.stderr, flush=True)
'''


UPGRADE = (
    b"GET %b HTTP/1.1\r\nHost: Example.COM:80\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
)


class Endpoint:
    """A WebSocket server in a thread. It echoes, and it remembers requests and closes."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, unix_path: str = "") -> None:
        self.requests = []
        self.closes: list[Close | None] = []
        options = {"ping_interval": None, "compression": None, "process_request": self._note}
        if unix_path:
            self._server = unix_serve(self._echo, unix_path, **options)
            self.url = f"unix:{unix_path}"
        else:
            self._server = serve(self._echo, "127.0.0.1", 0, ssl=tls, **options)
            scheme = "https" if tls else "http"
            self.url = f"{scheme}://127.0.0.1:{self._server.socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def _note(self, connection: ServerConnection, request) -> None:
        self.requests.append(request)

    def _echo(self, connection: ServerConnection) -> None:
        try:
            for message in connection:
                connection.send(message)
        except ConnectionClosed:
            pass
        self.closes.append(connection.protocol.close_rcvd)

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()


@pytest.fixture
def endpoint() -> Iterator[Callable[..., Endpoint]]:
    with ExitStack() as stack:

        def start(**options) -> Endpoint:
            started = Endpoint(**options)
            stack.callback(started.stop)
            return started

        yield start


@pytest.fixture
def recorded(gateway):
    """Start a gateway with the recording plugin."""

    def start(*endpoints, **settings) -> GatewayProcess:
        upstream = {"endpoints": list(endpoints), **settings.pop("upstream", {})}
        return gateway(
            upstreams={"app": upstream},
            plugins=["./recorder.py:Recorder"],
            files={"recorder.py": RECORDER},
            **settings,
        )

    return start


def dial(relay: GatewayProcess, path: str = "/", **options) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{relay.port}{path}", ping_interval=None, compression=None, **options)


def last_record(relay: GatewayProcess) -> dict:
    relay.wait_for_log("RECORD ")
    line = [line for line in relay.log.splitlines() if line.startswith("RECORD ")][-1]
    return json.loads(line.removeprefix("RECORD "))


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def switch(request: SeenRequest) -> bytes:
    """The answer to an upgrade, by hand."""
    key = request.header_all(b"sec-websocket-key")[0].decode()
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    return "\r\n".join([*lines, f"Sec-WebSocket-Accept: {accept_key(key)}", "", ""]).encode()


def test_a_tunnel_is_recorded_as_one_exchange_when_it_ends(recorded, endpoint):
    relay = recorded(endpoint().url)
    with dial(relay) as client:
        client.send("café")
        client.recv(timeout=5)
        client.send(bytes(100))
        client.recv(timeout=5)
        assert "RECORD" not in relay.log
    record = last_record(relay)
    assert record.pop("lasted") < 10
    assert record == {
        "tunnel": True, "status": 101, "path": "/", "sent": 105, "received": 105, "error": "NoneType",
        "attempts": [[0, 101, "NoneType"]], "notes": [["recorder", "upstream 101"]],
    }  # fmt: skip


def test_an_unreachable_endpoint_is_passed_over(recorded, endpoint):
    works = endpoint()
    relay = recorded(f"http://127.0.0.1:{closed_port()}", works.url)
    with dial(relay) as client:
        client.send("hello")
        assert client.recv(timeout=5) == "hello"
    assert last_record(relay)["attempts"] == [[0, None, "ConnectFailed"], [0, 101, "NoneType"]]
    assert works.requests[0].headers["X-Attempt"] == "2"


def test_without_a_reachable_endpoint_the_handshake_gets_502(recorded):
    relay = recorded(f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(InvalidStatus) as refused, dial(relay):
        pass
    assert refused.value.response.status_code == 502
    assert refused.value.response.headers["X-Seen"] == "yes"
    assert last_record(relay)["error"] == "ConnectFailed"


def test_a_plugin_refuses_a_handshake_with_its_own_response(recorded, endpoint):
    relay = recorded(endpoint().url)
    for _ in range(2):
        with pytest.raises(InvalidStatus) as refused, dial(relay, "/secret"):
            pass
        response = refused.value.response
        assert (response.status_code, response.body) == (401, b"keep out")
        assert response.headers["WWW-Authenticate"] == "Basic, Bearer"
        assert response.headers.get_all("Set-Cookie") == ["a=1"]
        assert "X-Seen" not in response.headers, "only plugins before the one that answered see it on the way out"
    assert last_record(relay)["attempts"] == []


def test_a_refusal_that_is_streamed_arrives_whole(recorded, endpoint):
    relay = recorded(endpoint().url)
    with pytest.raises(InvalidStatus) as refused, dial(relay, "/stream"):
        pass
    assert (refused.value.response.status_code, refused.value.response.body) == (429, b"one two")


def test_a_plugin_that_fails_refuses_the_handshake(recorded, endpoint):
    relay = recorded(endpoint().url)
    with pytest.raises(InvalidStatus) as refused, dial(relay, "/broken"):
        pass
    assert refused.value.response.status_code == 500


def test_a_response_changed_on_the_way_out_closes_what_was_opened(recorded, endpoint):
    behind = endpoint()
    relay = recorded(behind.url)
    with pytest.raises(InvalidStatus) as refused, dial(relay, "/regret"):
        pass
    assert refused.value.response.status_code == 403
    wait_until(lambda: behind.closes)
    assert last_record(relay)["attempts"] == [[0, 101, "NoneType"]]


def test_a_refusal_of_the_endpoint_arrives_with_fields_and_body(recorded, origin):
    refusal = reply(b"no room", b"Retry-After: 7", b"X-A: 1", b"X-A: 2", status=b"503 Busy")
    relay = recorded(origin(refusal))
    with pytest.raises(InvalidStatus) as refused, dial(relay):
        pass
    response = refused.value.response
    assert (response.status_code, response.body) == (503, b"no room")
    assert (response.headers["Retry-After"], response.headers["X-A"]) == ("7", "1, 2")
    assert last_record(relay)["attempts"] == [[0, 503, "NoneType"]]


def test_a_redirect_is_for_the_client_to_follow(recorded, origin):
    behind = origin(reply(b"", b"Location: /elsewhere", status=b"307 Temporary Redirect"))
    relay = recorded(behind)
    response = relay.request(UPGRADE % b"/")
    assert (response.status, response.header(b"location")) == (307, b"/elsewhere")
    assert len(behind.requests) == 1


@pytest.mark.parametrize("target", [b"/a;b=1?c;d", b"//x/../%2F", b"/caf\xc3\xa9", b"/a?b?c=%00"])
def test_the_target_arrives_byte_for_byte(recorded, origin, target):
    behind = origin(reply(b"", status=b"400 Bad Request"))
    relay = recorded(behind)
    relay.request(UPGRADE % target)
    seen = behind.last
    assert seen.target == target
    assert seen.header_all(b"host") == [b"Example.COM:80"]
    assert seen.header_all(b"upgrade") == [b"websocket"]
    assert seen.header_all(b"sec-websocket-extensions") == []
    assert len(seen.header_all(b"sec-websocket-key")) == len(seen.header_all(b"sec-websocket-version")) == 1


def test_a_silent_tunnel_is_closed_on_both_sides(recorded, endpoint):
    behind = endpoint()
    relay = recorded(behind.url, upstream={"timeouts": {"tunnel_idle": "600ms"}})
    with dial(relay) as client:
        for _ in range(4):
            time.sleep(0.3)
            client.send("busy")
            client.recv(timeout=5)
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=5)
    assert closed.value.rcvd == Close(1001, "idle")
    wait_until(lambda: behind.closes)
    assert behind.closes == [Close(1001, "idle")]


def test_a_draining_worker_closes_its_tunnels_at_the_deadline(recorded, endpoint):
    behind = endpoint()
    relay = recorded(behind.url, drain_timeout="2s")
    with dial(relay) as client:
        relay.signal(signal.SIGTERM)
        client.send("still here")
        assert client.recv(timeout=5) == "still here"
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
    assert relay.wait(10) == 0
    wait_until(lambda: behind.closes)
    assert behind.closes == [Close(1001, "")]


def test_a_reload_leaves_tunnels_as_they_are(recorded, endpoint):
    relay = recorded(endpoint().url)
    with dial(relay) as client:
        assert relay.reload().returncode == 0
        client.send("still here")
        assert client.recv(timeout=5) == "still here"


def test_an_endpoint_may_speak_tls(recorded, endpoint, authority):
    certificate = authority.issue("127.0.0.1")
    behind = endpoint(tls=certificate.server_context())
    relay = recorded(behind.url, upstream={"tls": {"ca": certificate.ca}})
    with dial(relay) as client:
        client.send("hello")
        assert client.recv(timeout=5) == "hello"


def test_an_endpoint_may_be_a_unix_socket(recorded, endpoint, tmp_path):
    relay = recorded(endpoint(unix_path=str(tmp_path / "app.sock")).url)
    with dial(relay) as client:
        client.send("hello")
        assert client.recv(timeout=5) == "hello"


def test_an_endpoint_that_never_ends_the_connection_does_not_keep_the_tunnel(recorded, origin):
    def close_and_stay(connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(switch(request) + b"\x88\x02\x0f\xa1")
        connection.stall()

    relay = recorded(origin(close_and_stay))
    with dial(relay) as client, pytest.raises(ConnectionClosed) as closed:
        client.recv(timeout=5)
    assert closed.value.rcvd == Close(4001, "")


def test_an_endpoint_that_drops_the_tunnel_is_to_blame(recorded, origin):
    def drop(connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(switch(request))
        connection.reset()

    relay = recorded(origin(drop))
    with dial(relay) as client, pytest.raises(ConnectionClosed) as closed:
        client.recv(timeout=5)
    assert closed.value.rcvd == Close(1011, "")
    record = last_record(relay)
    assert (record["error"], record["attempts"]) == ("ResponseCut", [[0, 101, "ResponseCut"]])
