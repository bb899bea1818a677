"""`--tls-self-signed`, and the certificate that it makes."""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

from gateway_tls.self_signed import self_signed


def test_a_certificate_is_made_once_and_for_the_owner_alone(tmp_path):
    cert, key = self_signed(["192.0.2.1"], tmp_path / "new")
    first = cert.read_bytes()
    assert self_signed(["192.0.2.1"], tmp_path / "new") == (cert, key)
    assert cert.read_bytes() == first
    assert [stat.S_IMODE(path.stat().st_mode) for path in (key, cert.parent)] == [0o600, 0o700]


def test_another_host_takes_another_certificate(tmp_path):
    cert, _ = self_signed([], tmp_path)
    first = cert.read_bytes()
    self_signed(["app.test"], tmp_path)
    assert cert.read_bytes() != first


def test_a_damaged_one_is_made_anew(tmp_path):
    cert, key = self_signed([], tmp_path)
    cert.write_bytes(b"nonsense")
    self_signed([], tmp_path)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key)


def test_the_gateway_serves_with_it(gateway, origin, tmp_path):
    site = gateway(
        endpoints=[origin()], arguments=["--tls-self-signed"], environment={"XDG_STATE_HOME": str(tmp_path)}
    )
    cert = Path(tmp_path / "gateway" / "self-signed" / "cert.pem")
    assert f"self-signed certificate, for curl --cacert: {cert}" in site.log
    for name in ("localhost", "127.0.0.1"):
        with site.connect(tls=ssl.create_default_context(cafile=str(cert)), server_name=name) as client:
            assert client.request(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").body == b"ok"
