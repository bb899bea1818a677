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
    """Whether 4 connections, of which one worker hardly gets all, are shown a certificate of pebble's."""
    try:
        return all("Pebble" in shown(gateway, listener, host, context) for _ in range(4))
    except ssl.SSLError:
        return False


@pytest.mark.parametrize(
    ("listener", "host"),
    [(1, "a.test"), (1, "www.a.test"), (2, "a.test"), (3, "h.test"), (4, "due.test")],
    ids=["tls-alpn-01", "its other host", "another listener with the same", "http-01", "renewed"],
)
def test_a_certificate_is_issued_and_taken_up_by_every_worker(site, pebble, listener, host):
    trusting = pebble.trusting()
    wait_until(lambda: is_believed(site.gateway, listener, host, trusting), within=WITHIN)
