"""Load a certificate and its key, and say what is wrong with them so that a person can act on it.

Owns the words, and the place of what may be on no disk. Where the files are named is known by whoever asks.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from pathlib import Path


class UnfitPair(ValueError):
    """A certificate and its key cannot be used; the text says why."""

    def __init__(self, text: str, key: str = "") -> None:
        super().__init__(text)
        self.key = key
        """The setting that is to blame: `cert`, `key`, or empty for both."""


def load_pair(
    context: ssl.SSLContext, cert: Path, key: Path, read: Callable[[Path], bytes] = Path.read_bytes
) -> tuple[bytes, bytes]:
    """Have a context show this certificate; what stood in the two files, each read once. Raises UnfitPair."""
    pem, secret = _read(cert, "cert", read), _read(key, "key", read)
    try:
        with InMemory(pem) as shown, InMemory(secret) as own:
            context.load_cert_chain(shown, own, password=_refuse)
    except _Encrypted:
        raise UnfitPair(
            f"{key} is encrypted; nobody is there to be asked: name a file with the key as it is,"
            f" as openssl pkey -in {key.name} -out NEW writes it, readable by the gateway alone",
            "key",
        ) from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            what = f"the key {key} does not belong to the certificate {cert}"
        elif error.reason == "EE_KEY_TOO_SMALL":
            what = f"the key of {cert} is too small; RSA needs 2048 bits"
        else:
            what = f"{cert} and {key} are no certificate and key in PEM form"
        raise UnfitPair(what) from None
    return pem, secret


def _read(path: Path, key: str, read: Callable[[Path], bytes]) -> bytes:
    try:
        return read(path)
    except OSError as error:
        raise UnfitPair(f"{path}: {error.strerror}", key) from None


class _Encrypted(Exception):
    """A key that asks for a pass phrase."""


def _refuse() -> str:
    """In the place of OpenSSL's prompt, which holds up everything."""
    raise _Encrypted


class InMemory:
    """A file that is on no disk, for OpenSSL and others that read keys from files alone; as a context, its path."""

    def __init__(self, pem: bytes) -> None:
        self._descriptor = os.memfd_create("gateway-pem")
        with open(self._descriptor, "wb", closefd=False) as file:
            file.write(pem)
        self.path = Path(f"/proc/self/fd/{self._descriptor}")

    def close(self) -> None:
        """Forget it; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.close()
