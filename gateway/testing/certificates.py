"""Throw-away certificates: an authority and what it signs, made with the `openssl` program.

Owns files in a test's own directory. Nothing here is fit for anything but a test.
"""

from __future__ import annotations

import ipaddress
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from gateway.testing.programs import require_program


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key as PEM files, and the authority that vouches for it."""

    cert: Path
    key: Path
    ca: Path

    def server_context(self) -> ssl.SSLContext:
        """For a server that shows this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        return context

    def client_context(self) -> ssl.SSLContext:
        """For a client that trusts nothing but this certificate's authority."""
        return ssl.create_default_context(cafile=str(self.ca))


class Authority:
    """A certificate authority in a directory."""

    def __init__(self, directory: Path, name: str = "Test Authority") -> None:
        self._directory = directory
        self._openssl = require_program("openssl")
        self.cert = directory / f"{name}.pem"
        self._key = directory / f"{name}.key"
        extensions = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")
        self._make(self.cert, self._key, name, extensions)

    def issue(self, *names: str) -> Certificate:
        """A certificate for these DNS names and IP addresses."""
        cert, key = self._directory / f"{names[0]}.pem", self._directory / f"{names[0]}.key"
        alternatives = ",".join(f"{'IP' if _is_address(name) else 'DNS'}:{name}" for name in names)
        signed_by = ("-CA", str(self.cert), "-CAkey", str(self._key))
        extensions = (f"subjectAltName={alternatives}", "basicConstraints=critical,CA:FALSE")
        self._make(cert, key, names[0], extensions, signed_by)
        return Certificate(cert, key, self.cert)

    def _make(
        self, cert: Path, key: Path, name: str, extensions: tuple[str, ...], signed_by: tuple[str, ...] = ()
    ) -> None:
        command = [self._openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        command += ["-nodes", "-days", "30", "-subj", f"/CN={name}", "-out", str(cert), "-keyout", str(key)]
        for extension in extensions:
            command += ["-addext", extension]
        subprocess.run([*command, *signed_by], check=True, capture_output=True)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
