"""Handshakes that come to nothing: the client is told why by an alert (RFC 8446, 6), and so is the log."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from gateway.testing import Authority, Certificate, GatewayProcess, require_program, wait_until

GET = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
PLAIN, CLIENTS, MODERN, STRICT, HTTP1 = range(5)


@pytest.fixture(scope="module")
def served(authority: Authority) -> Certificate:
    return authority.issue("a.test")


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("clients"), "Clients")


@pytest.fixture(scope="module")
def edge(module_gateway, module_origin, served, clients) -> GatewayProcess:
    pairs = {"certificates": [{"cert": served.cert, "key": served.key}]}
    every = [
        {"tls": pairs},
        {"tls": {**pairs, "client": {"ca": clients.cert, "mode": "required"}}},
        {"tls": {**pairs, "policy": "modern"}},
        {"tls": {**pairs, "unknown_name": "refuse"}},
        {"tls": pairs, "http": "1"},
    ]
    listeners = [{"bind": "127.0.0.1:0", "handshake_timeout": "2s", **each} for each in every]
    return module_gateway(endpoints=[module_origin()], plugins=["tls"], listeners=listeners)


def client_context(
    authority: Authority, version: str = "1.3", who: Certificate | None = None, alpn: tuple[str, ...] = ()
) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(authority.cert))
    made.maximum_version = VERSIONS[version]
    if who is not None:
        made.load_cert_chain(who.cert, who.key)
    if alpn:
        made.set_alpn_protocols(list(alpn))
    return made


def told(edge: GatewayProcess, listener: int, tls: ssl.SSLContext, name: str = "a.test") -> str:
    """What OpenSSL makes of the end of a connection over which a request is sent if the handshake goes well."""
    try:
        with edge.connect(listener, tls=tls, server_name=name) as client:
            client.send(GET)
            return f"an answer: {client.receive()!r}"
    except ssl.SSLError as error:
        return error.reason


# -- what the client is told ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "reason"),
    [("1.2", "SSLV3_ALERT_HANDSHAKE_FAILURE"), ("1.3", "TLSV13_ALERT_CERTIFICATE_REQUIRED")],
)
def test_a_client_without_a_certificate_hears_that_it_needs_one(edge, authority, version, reason):
    assert told(edge, CLIENTS, client_context(authority, version)) == reason


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_with_a_foreign_certificate_hears_that_nobody_knows_its_authority(
    edge, authority, served, version
):
    assert told(edge, CLIENTS, client_context(authority, version, served)) == "TLSV1_ALERT_UNKNOWN_CA"


def test_a_client_that_knows_old_versions_only_hears_that(edge, authority):
    assert told(edge, MODERN, client_context(authority, "1.2")) == "TLSV1_ALERT_PROTOCOL_VERSION"


def test_a_client_that_wants_an_unknown_host_hears_that(edge, authority):
    assert told(edge, STRICT, client_context(authority), "other.test") == "TLSV1_UNRECOGNIZED_NAME"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("listener", "offered"), [(PLAIN, "foo"), (HTTP1, "h2"), (PLAIN, "acme-tls/1")])
def test_a_client_that_offers_no_protocol_of_ours_hears_that(edge, authority, version, listener, offered):
    """RFC 7301, 3.2."""
    with edge.connect(listener) as client:
        client.send(hello(client_context(authority, version, alpn=(offered,)), "a.test"))
        assert client.read_until_closed() == b"\x15\x03\x01\x00\x02\x02\x78"


@pytest.mark.parametrize(
    ("offered", "agreed"), [(("foo", "http/1.1"), "http/1.1"), (("http/1.0",), "http/1.0"), ((), None)]
)
def test_one_common_protocol_is_enough_and_so_is_none_at_all(edge, authority, offered, agreed):
    with edge.connect(PLAIN, tls=client_context(authority, alpn=offered), server_name="a.test") as client:
        assert client.socket.selected_alpn_protocol() == agreed
        assert client.request(GET).status == 200


def test_a_client_that_has_sent_much_already_hears_it_nevertheless(edge, authority):
    """What is unread at the end would have the system send a reset, which overtakes the alert."""
    with edge.connect(CLIENTS, tls=client_context(authority), server_name="a.test") as client:
        client.send(b"x" * 500_000)
        with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
            client.receive()


def test_a_client_that_stays_is_closed_on(edge, authority):
    with edge.connect(STRICT) as client:
        client.send(hello(client_context(authority), "other.test"))
        assert client.read_until_closed() == b"\x15\x03\x01\x00\x02\x02\x70"
        wait_until(lambda: open_at(edge, STRICT) == 0)


def hello(tls: ssl.SSLContext, name: str) -> bytes:
    """What a client sends first."""
    sent = ssl.MemoryBIO()
    client = tls.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return sent.read()


def open_at(edge: GatewayProcess, listener: int) -> int:
    """Connections to a listener for which a process still has a descriptor (proc(5): they have an inode)."""
    end = f"0100007F:{edge.listening[listener].port:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(line[1] == end and line[3] != "0A" and line[9] != "0" for line in lines)


def test_openssl_shows_the_alerts(edge, authority):
    def shown(listener: int, *options: str) -> str:
        command = [require_program("openssl"), "s_client", "-connect", f"127.0.0.1:{edge.listening[listener].port}"]
        command += ["-servername", "a.test", "-CAfile", str(authority.cert), "-ign_eof", *options]
        done = subprocess.run(command, input=GET, capture_output=True, timeout=20, check=False)
        return (done.stdout + done.stderr).decode(errors="replace")

    assert "alert certificate required" in shown(CLIENTS)
    assert "alert protocol version" in shown(MODERN, "-tls1_2")
    assert "alert no application protocol" in shown(PLAIN, "-alpn", "foo")


# -- what the log is told ------------------------------------------------------------------------------------------


@pytest.fixture
def logging_site(gateway, origin, served, clients) -> GatewayProcess:
    tls = {"certificates": [{"cert": served.cert, "key": served.key}], "client": {"ca": clients.cert}}
    return gateway(endpoints=[origin()], plugins=["tls"], listeners=[{"bind": "127.0.0.1:0", "tls": tls}])


def lines(site: GatewayProcess) -> list[str]:
    return re.findall("no handshake with .*", site.log)


def test_the_first_that_fails_is_told_with_address_host_and_reason(logging_site, authority, clients):
    site = logging_site
    for _ in range(3):
        assert told(site, 0, client_context(authority)) == "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    wait_until(lambda: "gateway_edge_handshakes_failed_total 3" in site.command("metrics").stdout)
    (line,) = lines(site)
    assert line == "no handshake with 127.0.0.1, which wants 'a.test': peer did not return a certificate"
    with site.connect(tls=client_context(authority, who=clients.issue("alice")), server_name="a.test") as client:
        assert client.request(GET).status == 200


def test_whoever_only_looks_whether_somebody_is_there_is_not_told_of(logging_site):
    site = logging_site
    for _ in range(3):
        socket.create_connection(site.address).close()
    with site.connect() as client:
        client.reset()
    wait_until(lambda: "gateway_edge_handshakes_failed_total 4" in site.command("metrics").stdout)
    assert lines(site) == []


def test_a_host_that_a_client_makes_up_brings_no_line_of_its_own_into_the_log(logging_site, authority):
    site = logging_site
    data = bytearray(hello(client_context(authority), "a" * 20 + ".test"))
    at = data.index(b"a" * 20)
    data[at : at + 20] = b"a\nlistener forged: b"
    with site.connect() as client:
        client.send(bytes(data))
        client.stop_sending()
        client.read_until_closed()
    wait_until(lambda: lines(site))
    assert "'a\\nlistener forged: b.test'" in lines(site)[0]
    assert "\nlistener forged" not in site.log
