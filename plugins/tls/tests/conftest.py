"""An ACME server: Debian's pebble, and names that all lead to 127.0.0.1; a folder for certificates."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import ssl
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import dns.flags
import dns.message
import dns.rdatatype
import dns.rrset
import pytest
from gateway_tls.acme.settings import Acme
from gateway_tls.acme.storage import Storage

from gateway.testing import Authority, require_program, wait_until


class Pebble:
    """A running pebble, which looks at hosts on the ports that it says."""

    def __init__(self, directory: Path, authority: Authority, dns_port: int) -> None:
        self.port, self.manager_port, self.http_port, self.tls_port = free_ports(4)
        self.directory = f"https://127.0.0.1:{self.port}/dir"
        self.ca = authority.cert
        self._tls = ssl.create_default_context(cafile=str(authority.cert))
        self._log = directory / "log"
        own = authority.issue("127.0.0.1")
        config = {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self.manager_port}",
            "certificate": str(own.cert),
            "privateKey": str(own.key),
            "httpPort": self.http_port,
            "tlsPort": self.tls_port,
            "externalAccountMACKeys": {"known": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"},
            "domainBlocklist": ["blocked.test"],
        }
        (directory / "pebble.json").write_text(json.dumps({"pebble": config}))
        command = [require_program("pebble"), "-config", str(directory / "pebble.json")]
        command += ["-dnsserver", f"127.0.0.1:{dns_port}"]
        quick = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, env={**os.environ, **quick}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until(self._is_there, within=10, message="pebble does not start")

    def _is_there(self) -> bool:
        assert self._process.poll() is None, self.log
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    @property
    def log(self) -> str:
        """What it has written."""
        return self._log.read_text()

    def trusting(self) -> ssl.SSLContext:
        """For a client that believes what pebble issues, and nothing else."""
        url = f"https://127.0.0.1:{self.manager_port}/roots/0"
        with urllib.request.urlopen(url, context=self._tls, timeout=5) as answer:
            return ssl.create_default_context(cadata=answer.read().decode())

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def free_ports(count: int) -> list[int]:
    """Ports that nobody gets who asks for any: both sides have to know each other's beforehand."""
    given_away = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found: list[int] = []
    for port in random.Random(os.getpid()).sample(range(given_away // 2, given_away), 200):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no port is free")


@contextlib.contextmanager
def names() -> Iterator[int]:
    """A DNS server by which every host but those under `gone.test` is 127.0.0.1; its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                data, peer = server.recvfrom(4096)
                if not data:
                    return
                query = dns.message.from_wire(data)
                answer = dns.message.make_response(query)
                answer.flags |= dns.flags.RA
                asked = query.question[0]
                if asked.rdtype == dns.rdatatype.A and "gone.test" not in str(asked.name):
                    answer.answer.append(dns.rrset.from_text(asked.name, 60, "IN", "A", "127.0.0.1"))
                server.sendto(answer.to_wire(), peer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"", server.getsockname())
            thread.join()


@pytest.fixture(scope="module")
def pebble(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Pebble]:
    """An ACME server."""
    with names() as port:
        running = Pebble(tmp_path_factory.mktemp("pebble"), authority, port)
        try:
            yield running
        finally:
            running.close()
            print(f"--- log of pebble\n{running.log}")


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """Where the certificate of a.test is kept."""
    folder = tmp_path / "acme"
    made = Storage(Acme(domains=("a.test",), storage=folder, agree_to_terms=True))
    made.prepare()
    return made
