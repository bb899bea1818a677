"""Edge listeners without TLS: the PROXY protocol, plugins that look at connections, and bytes kept intact."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
from pathlib import Path

import pytest

from gateway.testing import Client, GatewayProcess, reply, require_program, run_command, site_text, wait_until

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
V1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 56789 80\r\n"
V2 = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\xdd\xd5\x00\x50"
V2_OVER_TLS = V2[:15] + b"\x14" + V2[16:] + b"\x20\x00\x05\x01\x00\x00\x00\x00"
LOCAL = b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"

DOOR = '''
"""Let nobody in from 127.0.0.9, fail for 127.0.0.8, and take down who comes and goes."""

from pathlib import Path

from gateway import Connection, Deny, PluginConfig, hookimpl


class Door:
    api = 1

    class Config(PluginConfig):
        book: str

    def __init__(self, config):
        self._book = Path(config.book)

    @hookimpl
    async def on_connect(self, connection: Connection) -> Deny | None:
        if connection.client == "127.0.0.9":
            return Deny("not a friend")
        if connection.client == "127.0.0.8":
            raise KeyError("a mistake")
        self._write(f"{connection.client} comes")
        return None

    @hookimpl
    def on_disconnect(self, connection: Connection) -> None:
        self._write(f"{connection.client} leaves")

    def _write(self, line):
        with self._book.open("a") as book:
            book.write(line + "\\n")
'''


VISITS = '''
"""Tell each client the how manieth request this is on its connection."""

from gateway import Response, StateKey, hookimpl

COUNT: StateKey[int] = StateKey("count")


class Visits:
    api = 1

    @hookimpl
    def on_connect(self, connection):
        assert COUNT not in connection
        connection[COUNT] = 0

    @hookimpl
    def on_request(self, exchange):
        exchange.connection[COUNT] += 1
        return Response(200, body=str(exchange.connection.get(COUNT)))
'''


@pytest.fixture(scope="module")
def proxied(module_gateway, shared_origin) -> GatewayProcess:
    return module_gateway(
        endpoints=[shared_origin],
        listeners=[
            {"bind": "127.0.0.1:0", "proxy_protocol": True, "handshake_timeout": "500ms", "header_timeout": "1s"},
        ],
        trusted_proxies=["127.0.0.1"],
    )


@pytest.mark.parametrize("header", [V1, V2], ids=["version 1", "version 2"])
def test_the_client_is_who_the_proxy_says(proxied, app, header):
    with proxied.connect() as client:
        assert client.request(header + GET).body == b"ok"
        assert client.request(GET).body == b"ok"
    assert [seen.header_all("x-forwarded-for") for seen in app.requests] == [[b"192.0.2.7"]] * 2


def test_what_the_real_client_says_of_itself_is_not_believed(proxied, app):
    with proxied.connect() as client:
        client.request(V1 + GET[:-2] + b"X-Forwarded-For: 203.0.113.1\r\n\r\n")
    assert app.last.header_all("x-forwarded-for") == [b"192.0.2.7"]


def test_a_health_check_of_the_proxy_itself_keeps_its_own_address(proxied, app):
    with proxied.connect() as client:
        assert client.request(LOCAL + GET).body == b"ok"
    assert app.last.header_all("x-forwarded-for") == [b"127.0.0.1"]


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", LOCAL], ids=["version 1", "version 2"])
def test_where_nobody_knows_the_client_what_it_says_of_itself_is_not_believed(proxied, app, header):
    claims = b"X-Forwarded-For: 203.0.113.1\r\nForwarded: for=203.0.113.1\r\nX-Forwarded-Proto: https\r\n\r\n"
    with proxied.connect() as client:
        assert client.request(header + GET[:-2] + claims).body == b"ok"
    assert app.last.header_all("x-forwarded-for") == [b"127.0.0.1"]
    assert app.last.header_all("x-forwarded-proto") == [b"http"]
    assert app.last.header_all("forwarded") == []


@pytest.mark.parametrize(("header", "scheme"), [(V1, b"http"), (V2, b"http"), (V2_OVER_TLS, b"https")])
def test_whether_the_client_speaks_tls_is_what_the_proxy_says(proxied, app, header, scheme):
    with proxied.connect() as client:
        assert client.request(header + GET).body == b"ok"
    assert app.last.header_all("x-forwarded-proto") == [scheme]


@pytest.mark.parametrize("size", [1, 5, 20, len(V2) - 1])
def test_a_header_may_come_in_pieces(proxied, app, size):
    with proxied.connect() as client:
        client.send(V2[:size])
        assert client.is_quiet(0.05)
        client.send(V2[size:])
        assert client.request(GET).body == b"ok"


@pytest.mark.parametrize("data", [GET, b"PROXY TCP4 nonsense\r\n" + GET, b"\x16\x03\x01\x02\x00"])
def test_a_connection_that_begins_otherwise_is_closed_without_a_word(proxied, app, data):
    with proxied.connect() as client:
        client.send(data)
        assert client.read_until_closed() == b""
    assert app.requests == []


def test_who_is_not_trusted_may_not_say_who_the_client_is(proxied, app):
    with proxied.connect(source="127.0.0.5") as client:
        client.send(V1 + GET)
        assert client.read_until_closed() == b""
    assert app.requests == []


@pytest.mark.parametrize("data", [b"", b"PROXY TCP4 192.0."])
def test_a_header_that_does_not_come_ends_the_connection(proxied, data):
    with proxied.connect() as client:
        client.send(data)
        assert client.is_closed_by_peer(within=5)


def test_a_client_that_asks_nothing_is_closed_on(proxied):
    with proxied.connect() as client:
        client.send(V1)
        assert client.is_closed_by_peer(within=5)


def listening_ports(pid: int) -> set[int]:
    """The ports on which a process listens by IPv4 (proc(5))."""
    links = [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()]
    lines = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return {int(line[1][9:], 16) for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in links}


def test_a_request_that_came_over_none_of_our_connections_is_not_served(proxied, app):
    """Whoever finds the port on which plaintext is handed on gets nothing by it."""
    ports = {port for pid in proxied.workers for port in listening_ports(pid)} - {proxied.port}
    assert ports
    for port in ports:
        with Client(("127.0.0.1", port)) as client:
            assert client.request(GET).status == 500
    assert app.requests == []


def test_large_bodies_pass_unharmed_both_ways(proxied, app):
    blob = bytes(range(256)) * 65536  # 16 MiB
    app.answer(lambda connection, request: connection.send(reply(connection.read_body(request))))
    with proxied.connect(timeout=30) as client:
        head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(blob)
        answer = client.request(V1 + head + blob, "POST")
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(blob).digest()


def test_check_says_which_way_a_listener_takes_and_why(tmp_path):
    site = tmp_path / "site.toml"
    site.write_text(
        'trusted_proxies = ["127.0.0.1"]\n'
        'listeners = [{bind = "127.0.0.1:0"}, {bind = "127.0.0.1:0", proxy_protocol = true}]\n'
        'upstreams = {app = {endpoints = ["http://127.0.0.1:1"]}}\n'
    )
    shown = run_command("check", str(site), directory=tmp_path).stdout
    assert "http://127.0.0.1:0  HTTP 1, directly\n" in shown
    assert "http://127.0.0.1:0  HTTP 1, by an edge, since it takes the PROXY protocol\n" in shown


def test_the_protocol_without_anybody_who_may_speak_it_is_an_error(tmp_path):
    site = tmp_path / "site.toml"
    site.write_text(
        'listeners = [{bind = "127.0.0.1:0", proxy_protocol = true}]\n'
        'upstreams = {app = {endpoints = ["http://127.0.0.1:1"]}}\n'
    )
    result = run_command("check", str(site), directory=tmp_path)
    assert result.returncode == 2
    assert "listeners[0].proxy_protocol: name in trusted_proxies who may send the header" in result.stderr


# -- plugins that look at connections ------------------------------------------------------------------------------


@pytest.fixture
def guarded(gateway, origin, tmp_path) -> tuple[GatewayProcess, Path]:
    book = tmp_path / "book"
    site = gateway(
        endpoints=[origin()], plugins=[{"use": "./door.py:Door", "book": str(book)}], files={"door.py": DOOR}
    )
    return site, book


def test_a_plugin_sees_connections_come_and_go_and_may_deny_them(guarded):
    site, book = guarded
    with site.connect() as client:
        assert client.request(GET).body == b"ok"
        assert client.request(GET).body == b"ok"
        assert book.read_text() == "127.0.0.1 comes\n"
    wait_until(lambda: book.read_text() == "127.0.0.1 comes\n127.0.0.1 leaves\n")
    with site.connect(source="127.0.0.9") as client:
        client.send(GET)
        assert client.read_until_closed() == b""
    with site.connect(source="127.0.0.8") as client:
        client.send(GET)
        assert client.read_until_closed() == b""
    assert "127.0.0.8" not in book.read_text()
    assert "127.0.0.9" not in book.read_text()
    assert "Door: not a friend" in site.log
    assert "gateway_edge_connections_denied_total 2" in site.command("metrics").stdout
    assert "plugin 'Door' failed in on_connect" in site.log
    assert site.get().body == b"ok"


def test_what_a_plugin_keeps_on_a_connection_is_there_for_each_of_its_requests(gateway, origin):
    site = gateway(endpoints=[origin()], plugins=["./visits.py:Visits"], files={"visits.py": VISITS})
    for _ in range(2):
        with site.connect() as client:
            assert [client.request(GET).body for _ in range(3)] == [b"1", b"2", b"3"]


def test_a_reload_that_brings_such_a_plugin_puts_an_edge_before_listeners_and_back(gateway, origin, tmp_path):
    app, book = origin(), tmp_path / "book"
    plain = {"endpoints": [app]}
    guarded = {**plain, "plugins": [{"use": "./door.py:Door", "book": str(book)}]}
    site = gateway(**plain, files={"door.py": DOOR})
    with site.connect() as old:
        assert old.request(GET).body == b"ok"
        site.reload(site_text(**guarded))
        assert site.get().body == b"ok"
        assert book.read_text().startswith("127.0.0.1 comes\n")
        with site.connect(source="127.0.0.9") as client:
            client.send(GET)
            assert client.read_until_closed() == b""
        assert old.request(GET).header_all("connection") == [b"close"]
    site.reload(site_text(**plain))
    with site.connect(source="127.0.0.9") as client:
        assert client.request(GET).body == b"ok"


# -- what only ours may do, and who is held for ever ---------------------------------------------------------------


def peers_of(pid: int, port: int) -> list[int]:
    """Local ports of connections to a port of this machine (proc(5))."""
    lines = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return [int(line[1][9:], 16) for line in lines if line[3] == "01" and int(line[2][9:], 16) == port]


def test_nobody_on_this_machine_is_taken_for_a_client_that_is_there(proxied, app):
    with proxied.connect() as client:
        client.request(V1 + GET)
        (inner,) = {port for pid in proxied.workers for port in listening_ports(pid)} - {proxied.port}
        (local,) = peers_of(proxied.workers[0], inner)
        app.reset()
        with socket.socket() as impostor:
            impostor.bind(("127.0.0.2", local))
            impostor.connect(("127.0.0.1", inner))
            impostor.sendall(GET)
            assert impostor.recv(1024).startswith(b"HTTP/1.1 500 ")
    assert app.requests == []


def test_a_client_that_stays_when_it_has_been_closed_on_holds_nothing(proxied):
    (worker,) = proxied.workers
    descriptors = Path(f"/proc/{worker}/fd")
    before = len(list(descriptors.iterdir()))
    with proxied.connect() as client:
        client.request(V1 + GET)
        assert client.is_closed_by_peer(within=5)  # and it does not close
        wait_until(lambda: len(list(descriptors.iterdir())) <= before)


def test_http_2_without_tls_is_told_by_how_it_begins(gateway, origin):
    listener = {"bind": "127.0.0.1:0", "proxy_protocol": True, "http": "auto"}
    site = gateway(endpoints=[origin()], listeners=[listener], trusted_proxies=["127.0.0.1"])
    command = [require_program("curl"), "--silent", "--haproxy-protocol", "--write-out", " %{http_version}"]
    for option, version in (("--http2-prior-knowledge", "2"), ("--http1.1", "1.1")):
        done = subprocess.run([*command, option, site.url], capture_output=True, text=True, timeout=20, check=True)
        assert done.stdout == f"ok {version}"


def test_a_silent_connection_of_http_2_ends(gateway, origin):
    listener = {"bind": "127.0.0.1:0", "proxy_protocol": True, "http": "2", "header_timeout": "500ms"}
    site = gateway(endpoints=[origin()], listeners=[listener], trusted_proxies=["127.0.0.1"])
    with site.connect() as client:
        client.send(V1 + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
        assert client.read_until_closed()  # the server's settings, and then the end
