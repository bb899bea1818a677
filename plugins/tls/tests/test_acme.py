"""Certificates by ACME, from a real pebble that looks at a real gateway with two workers."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from gateway_tls.acme.settings import Acme
from gateway_tls.acme.storage import Storage

from gateway.testing import GatewayProcess, wait_until

WITHIN = 30


class Site:
    """A gateway and the folder in which it keeps its certificates."""

    def __init__(self, gateway: GatewayProcess, storage: Path) -> None:
        self.gateway = gateway
        self.storage = storage


def acme(pebble: Any, storage: Path, *domains: str, **others: Any) -> dict[str, Any]:
    given = {"directory": pebble.directory, "ca": pebble.ca, "agree_to_terms": True}
    return {"acme": {**given, "storage": storage, "domains": list(domains), **others}}


def nearly_over(settings: dict[str, Any]) -> Path:
    """Put a certificate there that has done most of its time."""
    storage = Storage(Acme.model_validate(settings["acme"]))
    storage.prepare()
    now = datetime.datetime.now(datetime.UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "old")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1)
    builder = builder.not_valid_before(now - datetime.timedelta(days=80))
    builder = builder.not_valid_after(now + datetime.timedelta(days=10))
    hosts = x509.SubjectAlternativeName([x509.DNSName(domain) for domain in settings["acme"]["domains"]])
    signed = builder.add_extension(hosts, critical=False).sign(key, hashes.SHA256())
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    storage.save_certificate(pem + signed.public_bytes(serialization.Encoding.PEM))
    return storage.certificate


@pytest.fixture(scope="module")
def site(module_gateway, pebble, tmp_path_factory) -> Site:
    storage = tmp_path_factory.mktemp("site") / "acme"
    by_alpn = acme(pebble, storage, "a.test", "www.a.test")
    by_http = acme(pebble, storage.with_name("other"), "h.test", challenge="http-01")
    due = acme(pebble, storage.with_name("due"), "due.test")
    storage.with_name("due").mkdir(mode=0o700)
    nearly_over(due)
    gateway = module_gateway(
        endpoints=["http://127.0.0.1:9"],
        plugins=[{"use": "tls", "redirect": {}}],
        workers=2,
        listeners=[
            {"bind": f"127.0.0.1:{pebble.http_port}"},
            {"bind": f"127.0.0.1:{pebble.tls_port}", "tls": by_alpn},
            {"bind": "127.0.0.1:0", "tls": by_alpn},
            {"bind": "127.0.0.1:0", "tls": by_http},
            {"bind": "127.0.0.1:0", "tls": due},
        ],
    )
    return Site(gateway, storage)


def shown(gateway: GatewayProcess, listener: int, host: str, context: ssl.SSLContext | None = None) -> str:
    """The issuer of the certificate that a client gets."""
    if context is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with gateway.connect(listener, tls=context, server_name=host) as client:
        der = client.socket.getpeercert(binary_form=True)
    return x509.load_der_x509_certificate(der).issuer.rfc4514_string()


def is_believed(gateway: GatewayProcess, listener: int, host: str, context: ssl.SSLContext) -> bool:
    """Whether 12 connections, of which one worker hardly gets all, are shown a certificate of pebble's."""
    try:
        return all("Pebble" in shown(gateway, listener, host, context) for _ in range(12))
    except ssl.SSLError:
        return False


@pytest.mark.parametrize(
    ("listener", "host"),
    [(1, "a.test"), (1, "www.a.test"), (2, "a.test"), (3, "h.test"), (4, "due.test")],
    ids=["tls-alpn-01", "its other host", "another listener with the same", "http-01", "renewed"],
)
def test_a_certificate_is_issued_and_taken_up_by_every_worker(site, pebble, listener, host):
    wait_for_certificate(site, pebble, listener, host)


def wait_for_certificate(site: Site, pebble: Any, listener: int = 1, host: str = "a.test") -> None:
    trusting = pebble.trusting()
    wait_until(lambda: is_believed(site.gateway, listener, host, trusting), within=WITHIN)


def test_the_listeners_with_the_same_settings_share_an_order(site, pebble):
    wait_for_certificate(site, pebble, 2)
    assert site.gateway.log.count("a.test www.a.test: certificate issued") == 1
    assert pebble.log.count('Value:"www.a.test"') == 1


def test_keys_are_for_nobody_else(site, pebble):
    wait_for_certificate(site, pebble)
    paths = [site.storage, *site.storage.rglob("*")]
    assert {path.stat().st_mode & 0o077 for path in paths} == {0}
    assert {"account.key", "lock"} < {path.name for path in paths}


def test_a_challenge_is_over_when_the_order_is(site, pebble):
    wait_for_certificate(site, pebble)
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    asking.check_hostname, asking.verify_mode = False, ssl.CERT_NONE
    asking.set_alpn_protocols(["acme-tls/1"])
    with pytest.raises((ssl.SSLError, ConnectionError)):
        site.gateway.connect(1, tls=asking, server_name="a.test")


def test_what_is_no_pending_challenge_goes_on_as_usual(site):
    path = b"/.well-known/acme-challenge/none"
    with site.gateway.connect(0) as client:
        answer = client.request(b"GET " + path + b" HTTP/1.1\r\nHost: h.test\r\n\r\n")
    assert (answer.status, answer.header("location")) == (308, b"https://h.test" + path)


def test_whoever_shares_the_folder_answers_for_the_one_that_orders(site, pebble, module_gateway):
    by_alpn = acme(pebble, site.storage, "far.test")
    by_http = acme(pebble, site.storage.with_name("other"), "far-h.test", challenge="http-01")
    listeners: list[dict[str, Any]] = [{"bind": "127.0.0.1:0", "tls": tls} for tls in (by_alpn, by_http)]
    far = module_gateway(
        endpoints=["http://127.0.0.1:9"],
        plugins=[{"use": "tls", "http_01": True}],
        listeners=[*listeners, {"bind": "127.0.0.1:0"}],
    )
    trusting = pebble.trusting()
    wait_until(lambda: is_believed(far, 0, "far.test", trusting), within=WITHIN)
    wait_until(lambda: is_believed(far, 1, "far-h.test", trusting), within=WITHIN)
    assert "far" not in site.gateway.log
    assert not [*site.storage.parent.rglob("*.answers")]


# -- failures ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def failing(module_gateway, pebble, tmp_path_factory) -> GatewayProcess:
    folder = tmp_path_factory.mktemp("failing")
    for number in range(4):
        (folder / str(number)).mkdir(mode=0o700)
    unknown = {"key_id": "unknown", "hmac": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"}
    settings = [
        acme(pebble, folder / "0", "away.test", directory="https://127.0.0.1:9/dir"),
        acme(pebble, folder / "1", "blocked.test"),
        acme(pebble, folder / "2", "gone.test"),
        acme(pebble, folder / "3", "bound.test", eab=unknown),
    ]
    nearly_over(settings[0])
    listeners = [{"bind": "127.0.0.1:0", "tls": tls} for tls in settings]
    return module_gateway(endpoints=["http://127.0.0.1:9"], plugins=["tls"], listeners=listeners)


@pytest.mark.parametrize(
    ("listener", "host", "words", "issuer"),
    [
        (0, "away.test", "https://127.0.0.1:9/dir cannot be reached: [Errno 111] Connection refused; ", "CN=old"),
        (1, "blocked.test", "forbidden by policy", "CN=gateway"),
        (2, "gone.test", "gone.test: ", "CN=gateway"),
        (3, "bound.test", "not known to the ACME server", "CN=gateway"),
    ],
    ids=["not there", "order refused", "validation failed", "account refused"],
)
def test_a_failure_is_told_in_the_words_of_the_server_and_changes_nothing(failing, listener, host, words, issuer):
    start = f"tls.acme: {host}: no new certificate: "
    failing.wait_for_log(start, within=WITHIN)
    told = next(line for line in failing.log.splitlines() if start in line)
    assert words in told.partition(start)[2]
    assert "tried again in" in told
    assert shown(failing, listener, host) == issuer


def test_a_certificate_that_is_not_there_yet_is_told_of(failing):
    assert "blocked.test: there is no certificate yet; one that no client believes stands in" in failing.log
    assert "away.test: there is no certificate yet" not in failing.log
