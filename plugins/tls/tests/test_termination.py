"""Certificates by name and of clients, at a real gateway with two workers."""

from __future__ import annotations

import base64
import datetime
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from websockets.sync.client import connect
from websockets.sync.server import serve

from gateway.testing import (
    Authority,
    Certificate,
    Client,
    CutShort,
    GatewayProcess,
    Origin,
    OriginConnection,
    SeenRequest,
    reply,
    require_program,
    wait_until,
)

GET = b"GET /a?b HTTP/1.1\r\nHost: a.test\r\n\r\n"


@pytest.fixture(scope="module")
def certificates(authority: Authority) -> dict[str, Certificate]:
    return {"a": authority.issue("a.test", "www.a.test"), "b": authority.issue("*.b.test", "b.test")}


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority of clients' certificates."""
    return Authority(tmp_path_factory.mktemp("clients"), "Clients")


@pytest.fixture(scope="module")
def people(clients: Authority) -> dict[str, Certificate]:
    return {name: clients.issue(name) for name in ("alice", "revoked")}


@pytest.fixture(scope="module")
def crl(clients: Authority, people: dict[str, Certificate]) -> Path:
    """A list with the one certificate that was revoked."""
    now = datetime.datetime.now(datetime.UTC)
    issuer = x509.load_pem_x509_certificate(clients.cert.read_bytes())
    key = serialization.load_pem_private_key(clients.cert.with_suffix(".key").read_bytes(), None)
    serial = x509.load_pem_x509_certificate(people["revoked"].cert.read_bytes()).serial_number
    revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.subject).last_update(now)
    signed = builder.next_update(now + datetime.timedelta(days=1)).add_revoked_certificate(revoked)
    path = clients.cert.with_suffix(".crl")
    path.write_bytes(signed.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture(scope="module")
def shared_origin(module_origin) -> Origin:
    return module_origin()


@pytest.fixture
def app(shared_origin: Origin) -> Origin:
    shared_origin.reset()
    return shared_origin


@pytest.fixture(scope="module")
def edge(module_gateway, shared_origin, certificates, clients, crl) -> GatewayProcess:
    pairs = [{"cert": each.cert, "key": each.key} for each in certificates.values()]
    asked = {"ca": clients.cert, "crl": crl}
    return module_gateway(
        endpoints=[shared_origin],
        plugins=[
            {"use": "tls", "identity": {"subject": "x-client-subject", "fingerprint": "x-client-fingerprint"}}
        ],
        workers=2,
        trusted_proxies=["127.0.0.1"],
        listeners=[
            {"bind": "127.0.0.1:0", "tls": {"certificates": pairs}, "handshake_timeout": "500ms"},
            {"bind": "127.0.0.1:0", "tls": {**pairs[0], "certificates": pairs[1:], "unknown_name": "refuse"}},
            {"bind": "127.0.0.1:0", "tls": {**pairs[0], "client": {**asked, "mode": "required"}}},
            {"bind": "127.0.0.1:0", "tls": {**pairs[0], "client": {**asked, "mode": "optional"}}},
            {"bind": "127.0.0.1:0", "tls": {"certificates": pairs, "policy": "modern"}, "proxy_protocol": True},
        ],
    )


IDENTITY = {"subject": "x-client-subject", "fingerprint": "x-client-fingerprint"}
BY_NAME, STRICT, REQUIRED, OPTIONAL, MODERN = range(5)


def context(authority: Authority, who: Certificate | None = None, alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=str(authority.cert))
    if who is not None:
        made.load_cert_chain(who.cert, who.key)
    if alpn:
        made.set_alpn_protocols(list(alpn))
    return made


@pytest.mark.parametrize("name", ["a.test", "www.a.test", "b.test", "x.b.test"])
@pytest.mark.parametrize("listener", [BY_NAME, STRICT])
def test_each_host_gets_the_certificate_with_its_name(edge, app, authority, listener, name):
    with edge.connect(listener, tls=context(authority), server_name=name) as client:
        assert client.request(GET).body == b"ok"
    assert app.last.header_all("x-forwarded-proto") == [b"https"]
    assert app.last.header_all("x-forwarded-for") == [b"127.0.0.1"]


@pytest.mark.parametrize("name", ["other.test", "x.y.b.test", None])
def test_a_host_that_no_certificate_has_gets_the_first_or_nothing(edge, authority, name):
    trusting = context(authority)
    trusting.check_hostname = False
    with edge.connect(BY_NAME, tls=trusting, server_name=name) as client:
        assert ("DNS", "a.test") in client.socket.getpeercert()["subjectAltName"]
    with pytest.raises((ssl.SSLError, ConnectionError)):
        edge.connect(STRICT, tls=trusting, server_name=name)


@pytest.mark.parametrize(
    ("offered", "agreed"), [(("h2", "http/1.1"), "h2"), (("http/1.1",), "http/1.1"), ((), None)]
)
def test_the_protocol_is_agreed_by_alpn(edge, authority, offered, agreed):
    with edge.connect(BY_NAME, tls=context(authority, alpn=offered), server_name="a.test") as client:
        assert client.socket.selected_alpn_protocol() == agreed


def test_the_policy_says_which_versions_are_spoken(edge, authority):
    old = context(authority)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with edge.connect(BY_NAME, tls=old, server_name="a.test") as client:
        assert client.request(GET).body == b"ok"
        assert client.socket.cipher()[0].startswith("ECDHE-")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        with_header(edge.listening[MODERN].port, old)
    with with_header(edge.listening[MODERN].port, context(authority)) as client:
        assert client.request(GET).body == b"ok"


def with_header(port: int, tls: ssl.SSLContext) -> Client:
    """A client behind a proxy that sends a PROXY header before everything else."""
    client = Client(("127.0.0.1", port))
    client.send(b"PROXY TCP4 192.0.2.7 198.51.100.1 56789 443\r\n")
    try:
        client.start_tls(tls, "a.test")
    except BaseException:
        client.close()
        raise
    return client


def test_a_proxy_header_before_tls_says_who_the_client_is(edge, app, authority):
    with with_header(edge.listening[MODERN].port, context(authority)) as client:
        assert client.request(GET).body == b"ok"
    assert app.last.header_all("x-forwarded-for") == [b"192.0.2.7"]


def test_sessions_are_resumed_whichever_worker_takes_the_connection(edge, authority):
    tls = context(authority)
    tls.maximum_version = ssl.TLSVersion.TLSv1_2  # which has its ticket when the handshake is over
    first = Client(("127.0.0.1", edge.port), tls=tls, server_name="a.test")
    session = first.socket.session
    first.close()

    def resumed() -> bool:
        client = Client(("127.0.0.1", edge.port))
        client.start_tls(tls, "a.test", session)
        with client:
            return client.socket.session_reused

    assert [resumed() for _ in range(12)] == [True] * 12


@pytest.mark.parametrize("data", [b"", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n\r\n"])
def test_a_client_that_does_not_finish_its_handshake_is_closed_on(edge, data):
    with edge.connect(BY_NAME) as client:
        client.send(data)
        assert client.is_closed_by_peer(within=5)


# -- what passes over it -------------------------------------------------------------------------------------------


def test_http_2_and_large_bodies_pass_unharmed_both_ways(edge, app, certificates, tmp_path):
    blob = bytes(range(256)) * 16384  # 4 MiB
    (tmp_path / "blob").write_bytes(blob)
    app.answer(lambda connection, request: connection.send(reply(connection.read_body(request))))
    command = [require_program("curl"), "--silent", "--http2", "--data-binary", f"@{tmp_path / 'blob'}"]
    command += ["--cacert", str(certificates["a"].ca), "--connect-to", f"::127.0.0.1:{edge.port}"]
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "answer"), "--write-out", "%{http_version}", "https://a.test/"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout == "2"
    assert (tmp_path / "answer").read_bytes() == blob


def test_a_websocket_passes(gateway, certificates):
    """With a message that takes more than one record, both ways."""
    with serve(lambda connection: [connection.send(message) for message in connection], "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        pair = {"cert": certificates["a"].cert, "key": certificates["a"].key}
        listener = {"bind": "127.0.0.1:0", "tls": {"certificates": [pair]}}
        site = gateway(endpoints=[endpoint], plugins=["tls"], listeners=[listener])
        tls = certificates["a"].client_context()
        with connect(f"wss://a.test:{site.port}/", sock=socket.create_connection(site.address), ssl=tls) as client:
            for message in ("a", "b" * 300_000):
                client.send(message)
                assert client.recv(timeout=10) == message
        server.shutdown()


def test_an_answer_that_is_cut_does_not_look_whole(edge, app, authority):
    def cut(connection: OriginConnection, request: SeenRequest) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        connection.close()

    app.answer(cut)
    with edge.connect(BY_NAME, tls=context(authority), server_name="a.test") as client, pytest.raises(CutShort):
        client.request(GET)


# -- certificates of clients ---------------------------------------------------------------------------------------


def subject_seen(app: Origin) -> list[bytes]:
    return app.last.header_all("x-client-subject")


@pytest.mark.parametrize("listener", [REQUIRED, OPTIONAL])
def test_endpoints_are_told_who_the_client_is(edge, app, authority, people, listener):
    with edge.connect(listener, tls=context(authority, people["alice"]), server_name="a.test") as client:
        assert client.request(GET).body == b"ok"
    der = ssl.PEM_cert_to_DER_cert(people["alice"].cert.read_text())
    assert subject_seen(app) == [b"CN=alice"]
    assert app.last.header_all("client-cert") == [b":" + base64.b64encode(der) + b":"]
    assert len(app.last.header_all("x-client-fingerprint")[0]) == 64


def test_a_client_without_a_certificate_is_let_in_where_it_is_optional(edge, app, authority):
    with edge.connect(OPTIONAL, tls=context(authority), server_name="a.test") as client:
        assert client.request(GET).body == b"ok"
    assert subject_seen(app) == []


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("who", [None, "alice"])
def test_a_session_of_another_listener_or_connection_opens_no_door(edge, app, authority, people, version, who):
    """What is taken up again is not verified again (and a certificate may have been revoked since)."""
    tls = context(authority, people["alice"] if who else None)
    tls.maximum_version = version
    with edge.connect(OPTIONAL if who else BY_NAME, tls=tls, server_name="a.test") as client:
        client.request(GET)
        session = client.socket.session
    app.reset()
    with Client(("127.0.0.1", edge.listening[REQUIRED].port)) as client:
        try:
            client.start_tls(tls, "a.test", session)
            assert not client.socket.session_reused
            answered = client.request(GET).body == b"ok"
        except (ssl.SSLError, ConnectionError, CutShort):
            answered = False
    assert answered == bool(who)
    assert bool(app.requests) == bool(who)


@pytest.mark.parametrize("who", [None, "revoked", "stranger"])
def test_a_client_with_none_or_a_bad_one_is_not_served(edge, app, authority, people, certificates, who):
    shown = {None: None, "revoked": people["revoked"], "stranger": certificates["b"]}[who]
    for listener in (REQUIRED, OPTIONAL) if shown else (REQUIRED,):
        try:
            with edge.connect(listener, tls=context(authority, shown), server_name="a.test") as client:
                client.send(GET)
                assert client.read_until_closed() == b""
        except (ssl.SSLError, ConnectionError):
            pass  # it depends on the version whether the client hears of it within the handshake
    assert app.requests == []


@pytest.mark.parametrize("listener", [BY_NAME, OPTIONAL])
def test_nobody_can_say_that_he_is_somebody(edge, app, authority, listener):
    forged = b"Client-Cert: :Zm9y:\r\nX-Client-Subject: a\r\nX_Client_Subject: a\r\nX.Client.Subject: a\r\n\r\n"
    with edge.connect(listener, tls=context(authority), server_name="a.test") as client:
        assert client.request(GET[:-2] + forged).body == b"ok"
    names = {name.lower() for name, _ in app.last.headers}
    assert not names & {b"client-cert", b"x-client-subject", b"x_client_subject", b"x.client.subject"}


@pytest.mark.parametrize("is_edge", [True, False], ids=["edge", "direct"])
def test_a_client_that_never_says_goodbye_holds_up_no_end(gateway, origin, certificates, is_edge):
    pair = {"cert": certificates["a"].cert, "key": certificates["a"].key}
    tls = {"certificates": [pair]} if is_edge else pair
    site = gateway(endpoints=[origin()], plugins=["tls"], listeners=[{"bind": "127.0.0.1:0", "tls": tls}])
    with site.connect(tls=certificates["a"].client_context(), server_name="a.test") as kept:
        assert kept.request(GET).body == b"ok"
        site.signal(signal.SIGTERM)
        assert site.wait(within=10) == 0
    assert "cut at the deadline" not in site.log


# -- certificates that change --------------------------------------------------------------------------------------


Files = dict[str, Path]
"""Where a site file says that a certificate and its key are."""


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return {"cert": tmp_path / "served.pem", "key": tmp_path / "served.key"}


def put(certificate: Certificate, files: Files) -> None:
    for source, target in ((certificate.cert, files["cert"]), (certificate.key, files["key"])):
        shutil.copy(source, f"{target}.new")
        os.replace(f"{target}.new", target)


def serves(site: GatewayProcess, certificate: Certificate) -> bool:
    try:
        site.connect(tls=certificate.client_context(), server_name="a.test").close()
    except ssl.SSLError:
        return False
    return True


def test_a_certificate_is_renewed_without_a_word_to_the_gateway(gateway, origin, authority, files, tmp_path):
    old, new = authority.issue("a.test"), Authority(tmp_path, "New").issue("a.test")
    put(old, files)
    tls = {"certificates": [files]}
    site = gateway(endpoints=[origin()], plugins=["tls"], listeners=[{"bind": "127.0.0.1:0", "tls": tls}])
    with site.connect(tls=old.client_context(), server_name="a.test") as kept:
        assert kept.request(GET).body == b"ok"
        files["cert"].write_bytes(new.cert.read_bytes())  # half of the change
        site.wait_for_log("does not belong to the certificate")
        assert serves(site, old)
        put(new, files)
        wait_until(lambda: serves(site, new), within=10)
        assert kept.request(GET).body == b"ok"
    assert "certificates are taken up anew: a.test" in site.log
    told = re.search(
        r'gateway_certificate_expiry_timestamp_seconds\{listener="[^"]+"\} (\d+)', site.command("metrics").stdout
    )
    ends = x509.load_pem_x509_certificate(new.cert.read_bytes()).not_valid_after_utc
    assert float(told[1]) == ends.timestamp()


def test_a_worker_that_dies_while_a_file_is_wrong_serves_what_was_there(gateway, origin, authority, files):
    served = authority.issue("a.test")
    put(served, files)
    listener = {"bind": "127.0.0.1:0", "tls": {"certificates": [files]}}
    site = gateway(endpoints=[origin()], plugins=["tls"], workers=1, listeners=[listener])
    assert serves(site, served)
    files["cert"].write_text("-----BEGIN CERTIFICATE-----\nhalf")
    site.wait_for_log("what was there before stays in use")
    for count in (1, 2):  # the second finds what the first has been given
        os.kill(site.workers[0], signal.SIGKILL)
        wait_until(lambda count=count: site.log.count("is back") == count, within=10)
        assert site.log.count("what the worker before this one had is served") == count
        assert serves(site, served)
    for refused in ("reload", "restart"):  # what an operator asks for is done with what stands there now
        assert "tls.certificates[0]: " in site.command(refused).stderr
    assert serves(site, served)
    put(served, files)
    site.restart()
    assert serves(site, served)
