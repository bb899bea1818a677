"""The harness itself: an origin and a client that are trusted to judge a gateway must be right."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from gateway.testing import (
    Authority,
    BadWire,
    Client,
    CutShort,
    Origin,
    OriginConnection,
    SeenRequest,
    run_command,
    site_text,
    wait_until,
)

GET = b"GET /a%2Fb?x= HTTP/1.1\r\nHost: a.example\r\nX-Two: 1\r\nx-two:2 \r\n\r\n"


def dial(origin: Origin) -> Client:
    return Client(("127.0.0.1", origin.port))


def test_an_origin_records_the_bytes_of_every_request(origin):
    app = origin()
    with dial(app) as client:
        assert client.request(GET).body == b"ok"
        assert client.request(b"POST /b HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc").status == 200
    first, second = app.requests
    assert first.raw == GET
    assert (first.method, first.target) == ("GET", b"/a%2Fb?x=")
    assert first.header_all("X-TWO") == [b"1", b"2"]
    assert (second.body, second.raw[-3:], second.is_complete) == (b"abc", b"abc", True)
    assert app.opened == 1
    wait_until(lambda: app.open_now == 0)


def test_an_origin_reads_chunked_bodies_and_keeps_their_framing(origin):
    app = origin()
    with dial(app) as client:
        chunks = b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: 1\r\n\r\n"
        client.request(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
    assert app.last.body == b"abcde"
    assert app.last.raw.endswith(chunks)


def test_a_script_sees_the_head_before_the_body_is_there(origin):
    def early(connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = connection.read_body(request)
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    with dial(origin(early)) as client:
        client.send(b"POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert client.receive() == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"hi")
        assert client.read_response().body == b"hi"


def test_a_cut_response_is_an_error_of_its_own(origin):
    def cut(connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        connection.close()

    with dial(origin(cut)) as client, pytest.raises(CutShort) as caught:
        client.request(GET)
    assert caught.value.response is not None
    assert caught.value.response.body == b"half"


@pytest.mark.parametrize("end", [OriginConnection.close, OriginConnection.reset])
def test_a_connection_that_ends_without_a_response_is_cut(origin, end):
    with dial(origin(lambda connection, request: end(connection))) as client, pytest.raises(CutShort) as caught:
        client.request(GET)
    assert caught.value.response is None


@pytest.mark.parametrize(
    "wire", [b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok", b"Content-Length: +2\r\n\r\nok"]
)
def test_ambiguous_framing_does_not_pass(origin, wire):
    with dial(origin(b"HTTP/1.1 200 OK\r\n" + wire)) as client, pytest.raises(BadWire):
        client.request(GET)


def test_interim_responses_are_noted(origin):
    app = origin(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
    with dial(app) as client:
        response = client.request(GET)
    assert (response.status, response.interim) == (204, [103])


def test_a_stalled_script_is_released_by_the_next_one(origin):
    app = origin(lambda connection, request: connection.stall())
    with dial(app) as client:
        client.send(GET)
        app.wait_for_requests(1)
        app.answer(b"")
        wait_until(lambda: app.open_now == 1)
    wait_until(lambda: app.open_now == 0)


def test_a_script_learns_that_the_client_left(origin):
    left: list[float] = []
    app = origin(lambda connection, request: left.append(connection.wait_closed()))
    with dial(app) as client:
        client.send(GET)
        app.wait_for_requests(1)
        client.reset()
    wait_until(lambda: left)


def test_an_origin_that_stopped_listening_refuses(origin):
    app = origin()
    port = app.port
    app.stop_listening()
    with pytest.raises(ConnectionRefusedError):
        Client(("127.0.0.1", port))


def test_an_origin_speaks_tls_and_notes_the_server_name(origin, authority: Authority):
    certificate = authority.issue("app.example")
    app = origin(tls=certificate)
    address = ("127.0.0.1", app.port)
    with Client(address, tls=certificate.client_context(), server_name="app.example") as client:
        assert client.request(GET).body == b"ok"
    assert app.server_names == ["app.example"]
    assert app.last.server_name == "app.example"
    assert app.url == f"https://127.0.0.1:{app.port}"


def test_an_origin_listens_on_ipv6_and_on_a_unix_socket(origin, tmp_path: Path):
    six, unix = origin(host="::1"), origin(unix_path=tmp_path / "o.sock")
    assert six.url == f"http://[::1]:{six.port}"
    assert unix.url == f"unix:{tmp_path}/o.sock"
    for address in (("::1", six.port), str(tmp_path / "o.sock")):
        with Client(address) as client:
            assert client.request(GET).body == b"ok"


def test_a_site_is_written_from_values():
    text = site_text(["http://a:1"], limits={"max_body": "1KiB"}, plugins=[{"use": "x", "on": True}])
    assert text.splitlines() == [
        "workers = 1",
        'drain_timeout = "5s"',
        'listeners = [{bind = "127.0.0.1:0"}]',
        'limits = {max_body = "1KiB"}',
        'plugins = [{use = "x", on = true}]',
        'upstreams = {app = {endpoints = ["http://a:1"]}}',
    ]


def test_a_command_that_fails_gives_its_exit_code(tmp_path: Path):
    result = run_command("no-such-command", directory=tmp_path)
    assert result.returncode != 0


def test_a_script_that_stalls_after_it_was_released_goes_on(origin):
    begun, go_on = threading.Event(), threading.Event()

    def late(connection, request):
        begun.set()
        go_on.wait(10)
        connection.stall()
        connection.close()

    app = origin(late)
    with socket.create_connection(("127.0.0.1", app.port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert begun.wait(10)
        app.answer(b"HTTP/1.1 204 No Content\r\n\r\n")
        go_on.set()
        client.settimeout(10)
        assert client.recv(1) == b""
