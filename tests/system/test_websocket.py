"""WebSocket: the upgrade goes through to the endpoint, and so does everything that is said after it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus
from websockets.frames import Close
from websockets.http11 import Request
from websockets.http11 import Response as Handshake
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import Server, ServerConnection, serve
from websockets.typing import Subprotocol

from gateway.testing import GatewayProcess, OriginConnection, SeenRequest, reply, wait_until

MIB = 1 << 20
SUBPROTOCOLS = [Subprotocol("chat.v2"), Subprotocol("chat.v1")]


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


def choose(connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """The first of ours that is offered; a client that offers none is welcome, too."""
    return next((name for name in SUBPROTOCOLS if name in offered), None)


class Endpoint:
    """A WebSocket server in a thread whose behaviour each test chooses."""

    def __init__(self) -> None:
        self.server: Server = serve(
            self._serve,
            "127.0.0.1",
            0,
            process_request=self._check,
            subprotocols=SUBPROTOCOLS,
            select_subprotocol=choose,
            max_size=4 * MIB,
            max_queue=1,
            ping_interval=None,
            compression=None,
            close_timeout=0.5,
        )
        self.port = self.server.socket.getsockname()[1]
        self.reset()
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self._thread.start()

    def reset(self) -> None:
        self.seen: list[Request] = []
        self.closes: dict[str, Close | None] = {}
        """By the target of the handshake: a connection of an earlier test may end late."""
        self.script: Callable[[ServerConnection], None] = echo

    def stop(self) -> None:
        self.server.shutdown()
        self._thread.join()

    def _check(self, connection: ServerConnection, request: Request) -> Handshake | None:
        self.seen.append(request)
        return connection.respond(403, "not you\n") if request.path == "/forbidden" else None

    def _serve(self, connection: ServerConnection) -> None:
        try:
            self.script(connection)
            connection.recv(timeout=10)
        except (ConnectionClosed, TimeoutError):
            pass
        if connection.request is not None:
            self.closes[connection.request.path] = connection.protocol.close_rcvd


@pytest.fixture(scope="module")
def running_endpoint() -> Iterator[Endpoint]:
    endpoint = Endpoint()
    yield endpoint
    endpoint.stop()


@pytest.fixture
def endpoint(running_endpoint: Endpoint) -> Endpoint:
    running_endpoint.reset()
    return running_endpoint


@pytest.fixture(scope="module")
def relay(module_gateway, running_endpoint: Endpoint, shared_origin) -> GatewayProcess:
    """`/raw` goes to the scripted origin, the rest to the WebSocket endpoint; neither may think for long."""
    url = f"http://127.0.0.1:{running_endpoint.port}"
    timeouts = {"response": "500ms", "connect": "500ms"}
    return module_gateway(
        upstreams={
            "ws": {"endpoints": [url], "timeouts": timeouts},
            "raw": {"endpoints": [shared_origin], "timeouts": timeouts},
        },
        routes=[{"match": {"path": "/raw"}, "upstream": "raw"}, {"upstream": "ws"}],
    )


def dial(relay: GatewayProcess, path: str = "/", **options) -> ClientConnection:
    url = f"ws://127.0.0.1:{relay.port}{path}"
    return connect(url, max_size=4 * MIB, ping_interval=None, compression=None, **options)


@pytest.mark.parametrize("message", ["", "hello", "caf\u00e9 \U0001f600", b"", b"\0\xff" * 100])
def test_a_message_passes_both_ways_with_its_kind(relay, endpoint, message):
    with dial(relay) as client:
        client.send(message)
        assert client.recv(timeout=5) == message


@pytest.mark.parametrize("message", ["x" * MIB, bytes(MIB)], ids=["text", "binary"])
def test_a_message_of_one_mebibyte_passes_both_ways(relay, endpoint, message):
    with dial(relay) as client:
        for _ in range(3):
            client.send(message)
            assert client.recv(timeout=10) == message


def test_a_fragmented_message_arrives_whole(relay, endpoint):
    with dial(relay) as client:
        client.send(["one ", "two ", "three"])
        assert client.recv(timeout=5) == "one two three"


def test_many_small_messages_keep_their_order(relay, endpoint):
    with dial(relay) as client:
        received: list[str] = []
        reader = threading.Thread(target=lambda: received.extend(client.recv(timeout=10) for _ in range(1000)))
        reader.start()
        for number in range(1000):
            client.send(str(number))
        reader.join(20)
        assert received == [str(number) for number in range(1000)]


def test_the_handshake_reaches_the_endpoint_as_it_was(relay, endpoint):
    fields = {"Origin": "https://a.example", "Cookie": "a=1", "X-Kept": "yes", "Authorization": "Bearer x"}
    with dial(relay, "/a%2Fb?x=%20&y", additional_headers=fields):
        pass
    seen = endpoint.seen[0]
    assert seen.path == "/a%2Fb?x=%20&y"
    for name, value in fields.items():
        assert seen.headers.get_all(name) == [value]
    assert seen.headers.get_all("Host") == [f"127.0.0.1:{relay.port}"]
    assert seen.headers.get_all("X-Forwarded-For") == ["127.0.0.1"]
    assert seen.headers.get_all("Upgrade") == ["websocket"]
    assert len(seen.headers.get_all("Sec-WebSocket-Key")) == 1


def test_forwarded_proto_is_http_or_ws(relay, endpoint):
    with dial(relay):
        pass
    assert endpoint.seen[0].headers["X-Forwarded-Proto"] in ("http", "ws")


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(["chat.v1"], "chat.v1"), (["chat.v1", "chat.v2"], "chat.v2"), (["x", "chat.v1"], "chat.v1"), (None, None)],
)
def test_the_subprotocol_is_chosen_by_the_endpoint(relay, endpoint, offered, chosen):
    with dial(relay, subprotocols=offered) as client:
        assert client.subprotocol == chosen


def close_seen_by(endpoint: Endpoint, relay: GatewayProcess, code: int, reason: str) -> Close | None:
    target = f"/closing-with-{code}"
    with dial(relay, target) as client:
        client.send("hello")
        client.recv(timeout=5)
        client.close(code, reason)
    wait_until(lambda: target in endpoint.closes)
    return endpoint.closes[target]


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
def test_the_code_of_a_client_that_closes_reaches_the_endpoint(relay, endpoint, code):
    seen = close_seen_by(endpoint, relay, code, "")
    assert seen == Close(code, "")


@pytest.mark.xfail(strict=True, reason="Granian 2.8 tells an ASGI application the code of a close, not its reason")
def test_the_reason_of_a_client_that_closes_reaches_the_endpoint(relay, endpoint):
    assert close_seen_by(endpoint, relay, 3000, "caf\u00e9") == Close(3000, "caf\u00e9")


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1008, "policy"), (1011, "oops"), (4001, "caf\u00e9")])
def test_a_close_of_the_endpoint_reaches_the_client(relay, endpoint, code, reason):
    endpoint.script = lambda connection: connection.close(code, reason)
    with dial(relay) as client:
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=5)
        assert closed.value.rcvd == Close(code, reason)


def test_a_message_just_before_the_close_is_not_lost(relay, endpoint):
    def part(connection: ServerConnection) -> None:
        connection.send("last words")
        connection.close(4000, "bye")

    endpoint.script = part
    with dial(relay) as client:
        assert client.recv(timeout=5) == "last words"
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=5)


def test_a_ping_is_answered(relay, endpoint):
    with dial(relay) as client:
        assert client.ping(b"hello").wait(5)


def test_a_ping_of_the_endpoint_is_answered(relay, endpoint):
    answered: list[bool] = []
    endpoint.script = lambda connection: answered.append(connection.ping(b"hello").wait(5))
    with dial(relay):
        wait_until(lambda: answered)
    assert answered == [True]


def test_a_tunnel_may_be_silent_for_longer_than_a_response_may_take(relay, endpoint):
    with dial(relay) as client:
        with pytest.raises(TimeoutError):
            client.recv(timeout=1.2)
        client.send("still there")
        assert client.recv(timeout=5) == "still there"


def test_a_handshake_that_the_endpoint_refuses_is_refused_to_the_client(relay, endpoint):
    with pytest.raises(InvalidStatus) as refused:
        dial(relay, "/forbidden")
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize(
    "wire", [reply(b"plain", b"Set-Cookie: a=1", b"Set-Cookie: b=2"), b"nonsense\r\n\r\n", b""]
)
def test_an_endpoint_that_speaks_no_websocket_harms_nobody(relay, app, wire):
    def answer(connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(wire)
        connection.close()

    app.answer(answer)
    workers = relay.workers
    with pytest.raises(InvalidStatus) as refused:
        dial(relay, "/raw")
    assert refused.value.response.status_code in (200, 502)
    assert relay.workers == workers


HANDSHAKE = [b"Connection: Upgrade", b"Upgrade: websocket"]
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="


def test_a_refused_handshake_ends_its_connection_and_bears_our_name(relay, app):
    app.answer(reply(b"plain"))
    with relay.connect() as client:
        fields = b"\r\n".join([*HANDSHAKE, KEY, b"Sec-WebSocket-Version: 13"])
        response = client.request(b"GET /raw HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n\r\n")
        assert (response.status, response.body, response.header("server")) == (200, b"plain", b"gateway")
        assert b"close" in b",".join(response.header_all("connection"))
        assert client.is_closed_by_peer(within=2)


@pytest.mark.xfail(strict=True, reason="Granian 2.8 denies a handshake with the fields that it had ready for a 101")
def test_a_refused_handshake_does_not_look_like_an_accepted_one(relay, app):
    app.answer(reply(b"plain"))
    response = relay.get("/raw", *HANDSHAKE, KEY, b"Sec-WebSocket-Version: 13")
    assert response.status == 200
    assert b"upgrade" not in b",".join(response.header_all("connection")).lower()
    assert response.header("upgrade") is None
    assert response.header("sec-websocket-accept") is None


@pytest.mark.xfail(strict=True, reason="Granian 2.8 answers it with a bare 400 before an application hears of it")
@pytest.mark.parametrize(
    ("fields", "status"), [([KEY, b"Sec-WebSocket-Version: 7"], 426), ([b"Sec-WebSocket-Version: 13"], 400)]
)
def test_a_handshake_of_another_version_or_without_a_key_is_answered_by_us(relay, app, fields, status):
    response = relay.get("/raw", *HANDSHAKE, *fields)
    assert (response.status, response.header("server")) == (status, b"gateway")
    if status == 426:
        assert response.header("sec-websocket-version") == b"13"  # RFC 6455 4.4


def test_a_bad_handshake_reaches_no_endpoint(relay, app):
    for fields in ([KEY, b"Sec-WebSocket-Version: 7"], [KEY], [b"Sec-WebSocket-Version: 13"]):
        assert relay.get("/raw", *HANDSHAKE, *fields).status == 400
    assert app.requests == []


def test_a_handshake_without_an_answer_is_504(relay, app):
    app.answer(lambda connection, request: connection.wait_closed())
    with pytest.raises(InvalidStatus) as refused:
        dial(relay, "/raw")
    assert refused.value.response.status_code == 504


def test_an_endpoint_that_dies_ends_the_tunnel_without_a_clean_close(relay, endpoint):
    endpoint.script = lambda connection: connection.socket.shutdown(2)
    with dial(relay) as client:
        with pytest.raises(ConnectionClosedError) as closed:
            client.recv(timeout=5)
        assert closed.value.rcvd is None or closed.value.rcvd.code != 1000


def test_a_client_that_vanishes_ends_the_tunnel(relay, endpoint):
    with dial(relay, "/vanishing") as client:
        client.send("hello")
        client.recv(timeout=5)
        went = time.monotonic()
        client.socket.shutdown(2)
        wait_until(lambda: "/vanishing" in endpoint.closes)
        assert time.monotonic() - went < 1


def test_a_stalled_client_stops_the_endpoint(relay, endpoint):
    sent = [0]

    def flood(connection: ServerConnection) -> None:
        while sent[0] < 128 * MIB:
            connection.send(bytes(64 << 10))
            sent[0] += 64 << 10

    endpoint.script = flood
    before = relay.rss_bytes
    with dial(relay, max_queue=1) as client:
        stuck_at = wait_until_stuck(lambda: sent[0])
        assert stuck_at < 32 * MIB
        assert relay.rss_bytes - before < 16 * MIB
        client.socket.shutdown(2)


def test_a_stalled_endpoint_stops_the_client(relay, endpoint):
    released = threading.Event()
    endpoint.script = lambda connection: released.wait(20) and connection.close()
    sent = [0]

    def flood(client: ClientConnection) -> None:
        try:
            while sent[0] < 128 * MIB:
                client.send(bytes(64 << 10))
                sent[0] += 64 << 10
        except (ConnectionClosed, OSError):
            pass

    before = relay.rss_bytes
    with dial(relay) as client:
        sender = threading.Thread(target=flood, args=(client,))
        sender.start()
        assert wait_until_stuck(lambda: sent[0]) < 32 * MIB
        assert relay.rss_bytes - before < 16 * MIB
        client.socket.shutdown(2)
        released.set()
        sender.join(10)


def wait_until_stuck(counter: Callable[[], int]) -> int:
    """Wait until a counter that moved has not done so for 0.3 s; its value."""
    last, since = 0, time.monotonic()

    def is_stuck() -> bool:
        nonlocal last, since
        if (now := counter()) != last:
            last, since = now, time.monotonic()
        return last > 0 and time.monotonic() - since > 0.3

    wait_until(is_stuck, within=15)
    return last
