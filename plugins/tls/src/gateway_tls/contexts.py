"""OpenSSL contexts: what is spoken with clients, with which certificate, and who has to show one.

Owns the policies. The ciphers are those of Mozilla's server-side recommendations, of which the ones with
finite-field Diffie-Hellman are left out: every client that knows them knows elliptic curves.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

from gateway import InMemory, ServerContext, UnfitPair, load_pair
from gateway_tls.settings import ClientCertificates, ListenerKeys, Pair
from gateway_tls.tickets import resume_nothing

CIPHERS = ":".join((
    "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
))  # fmt: skip
"""Of TLS 1.2; those of 1.3 are all good."""


class UnfitFile(ValueError):
    """A file cannot be used; the text names key, file and reason, the key first."""


def server_context(
    keys: ListenerKeys,
    pair: Pair,
    where: str,
    protocols: tuple[str, ...],
    read: Callable[[Path], bytes] = Path.read_bytes,
) -> ssl.SSLContext:
    """A context that serves one certificate. Raises UnfitFile; `where` is the key path of the pair."""
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    is_modern = keys.policy == "modern" or keys.min_version == "1.3"
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if is_modern else ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    # A client that asks for new keys over and over would have us do all the work (CVE-2011-1473).
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(list(protocols))
    _load_pair(context, pair, where, read)
    if keys.client is not None:
        _ask_clients(context, keys.client, read)
        resume_nothing(context)
    return context


def _load_pair(context: ssl.SSLContext, pair: Pair, where: str, read: Callable[[Path], bytes]) -> None:
    try:
        load_pair(context, pair.cert, pair.key, read)
    except UnfitPair as error:
        raise UnfitFile(f"{where}{error.key and '.' + error.key}: {error}") from None


def _ask_clients(context: ssl.SSLContext, client: ClientCertificates, read: Callable[[Path], bytes]) -> None:
    context.verify_mode = ssl.CERT_REQUIRED if client.mode == "required" else ssl.CERT_OPTIONAL
    _load_trusted(context, client.ca, ".client.ca", read)
    if client.crl is not None:
        _load_trusted(context, client.crl, ".client.crl", read)
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF


def _load_trusted(context: ssl.SSLContext, path: Path, where: str, read: Callable[[Path], bytes]) -> None:
    try:
        with InMemory(read(path)) as shown:
            context.load_verify_locations(shown)
    except ssl.SSLError:
        raise UnfitFile(f"{where}: {path} holds nothing in PEM form that could be used here") from None
    except OSError as error:
        raise UnfitFile(f"{where}: {path}: {error.strerror}") from None


def check_readable(path: Path, where: str) -> None:
    """Raises UnfitFile."""
    try:
        path.open("rb").close()
    except OSError as error:
        raise UnfitFile(f"{where}: {path}: {error.strerror}") from None
