"""Certificates: one that the server does not bear is refused beforehand, or by the first worker that dies of it."""

from __future__ import annotations

import fcntl
import os
import pty
import shutil
import signal
import ssl
import subprocess
import sys
import termios
from functools import partial
from pathlib import Path

import pytest

from gateway.testing import (
    Authority,
    Certificate,
    require_program,
    run_command,
    site_text,
    wait_for_workers,
    wait_until,
)


def site_with(cert: Path, key: Path, **settings: object) -> str:
    listeners = [{"bind": "127.0.0.1:0"}, {"bind": "127.0.0.1:0", "tls": {"cert": cert, "key": key}}]
    return site_text(["http://127.0.0.1:9"], listeners=listeners, **settings)


def openssl(directory: Path, *arguments: str) -> None:
    subprocess.run([require_program("openssl"), *arguments], cwd=directory, check=True, capture_output=True)


@pytest.fixture(scope="module")
def first_version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `c.pem`, of X.509 version 1, and its `c.key`."""
    folder = tmp_path_factory.mktemp("v1")
    request = ["req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "c.key", "-out", "c.csr"]
    openssl(folder, *request, "-subj", "/CN=localhost")
    openssl(folder, "x509", "-req", "-days", "365", "-in", "c.csr", "-signkey", "c.key", "-out", "c.pem")
    told = subprocess.run(
        ["openssl", "x509", "-in", "c.pem", "-noout", "-text"], cwd=folder, check=True, capture_output=True
    )
    if b"Version: 1 " not in told.stdout:
        pytest.skip("this openssl makes certificates of version 3 only")
    return folder


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_certificate_of_version_1_is_refused(tmp_path, first_version, command):
    (tmp_path / "site.toml").write_text(site_with(first_version / "c.pem", first_version / "c.key"))
    done = run_command(command, "site.toml", directory=tmp_path)
    assert done.returncode == 2
    assert done.stderr.strip() == (
        f"gateway: site.toml: listeners[1].tls.cert: {first_version}/c.pem is an X.509 certificate of version 1,"
        " which cannot be served; make one of version 3: with extensions, as openssl req -x509 does"
    )


@pytest.mark.parametrize("kind", ["P-256", "P-384", "P-521", "secp256k1"])
def test_a_key_that_the_server_cannot_sign_with_is_refused_and_the_others_are_not(tmp_path, kind):
    request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", f"ec_paramgen_curve:{kind}", "-nodes"]
    openssl(tmp_path, *request, "-subj", "/CN=localhost", "-days", "90", "-out", "c.pem", "-keyout", "c.key")
    (tmp_path / "site.toml").write_text(site_with(tmp_path / "c.pem", tmp_path / "c.key"))
    done = run_command("check", "site.toml", directory=tmp_path)
    if kind in ("P-256", "P-384"):
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert done.returncode == 2
        assert (
            f"listeners[1].tls.key: the key of {tmp_path}/c.pem is of the kind {kind}, which cannot be served;"
            " take P-256, P-384, Ed25519, RSA" in done.stderr
        )


@pytest.mark.parametrize("form", ["pkcs8", "traditional"])
@pytest.mark.parametrize("command", ["run", "check"])
def test_an_encrypted_key_is_refused_and_nobody_is_asked(tmp_path, authority, command, form):
    issued: Certificate = authority.issue("localhost")
    how = ["pkcs8", "-topk8"] if form == "pkcs8" else ["ec", "-aes128"]
    openssl(tmp_path, *how, "-in", str(issued.key), "-out", "c.key", "-passout", "pass:secret")
    (tmp_path / "site.toml").write_text(site_with(issued.cert, tmp_path / "c.key"))
    ours, theirs = pty.openpty()
    try:
        # A session of its own with a terminal: there the prompt would come.
        asked = subprocess.run(
            [sys.executable, "-m", "gateway", command, "site.toml"], cwd=tmp_path, timeout=20, check=False,
            stdin=theirs, capture_output=True, text=True, start_new_session=True,
            preexec_fn=partial(fcntl.ioctl, theirs, termios.TIOCSCTTY, 0),
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(theirs)
    assert asked.returncode == 2
    (line,) = asked.stderr.splitlines()
    assert line.startswith(f"gateway: site.toml: listeners[1].tls.key: {tmp_path}/c.key is encrypted; ")


@pytest.mark.parametrize(("days", "said"), [("-1", "expired on"), ("13", "expires on"), ("15", "")])
def test_a_certificate_that_expires_is_warned_of_and_served_all_the_same(gateway, origin, tmp_path, days, said):
    request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl(tmp_path, *request, "-subj", "/CN=localhost", "-out", "any.pem", "-keyout", "c.key")
    openssl(tmp_path, "x509", "-in", "any.pem", "-signkey", "c.key", "-days", days, "-out", "c.pem")
    listeners = [{"bind": "127.0.0.1:0", "tls": {"cert": tmp_path / "c.pem", "key": tmp_path / "c.key"}}]
    site = gateway(endpoints=[origin()], listeners=listeners)
    warning = f"site.toml: listeners[0].tls.cert: {tmp_path}/c.pem {said}"
    for done in (site.command("check", str(site.site_file)), site.reload()):
        assert done.returncode == 0
        assert (warning in done.stderr) if said else not done.stderr
    assert site.log.count(warning) == (2 if said else 0)
    unverified = ssl.create_default_context()
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    with site.connect(tls=unverified) as client:
        assert client.request(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").status == 200


def test_a_reload_to_a_certificate_of_version_1_changes_nothing(gateway, origin, first_version):
    site = gateway(endpoints=[origin()])
    before = site.workers
    done = site.reload(site_with(first_version / "c.pem", first_version / "c.key"))
    assert done.returncode == 2
    assert "X.509 certificate of version 1" in done.stderr
    assert site.workers == before
    assert site.get().status == 200


FRAIL = """
import asyncio
import os
from pathlib import Path

from gateway import hookimpl


class Frail:
    @hookimpl
    def startup(self, app):
        if (Path(__file__).parent / "fail").exists():
            asyncio.get_running_loop().call_later(0.05, os._exit, 7)
"""


def test_a_worker_that_dies_of_new_certificates_once_it_serves_is_a_refused_reload(gateway, origin, authority):
    one: Certificate = authority.issue("one.example")
    two: Certificate = authority.issue("two.example")
    app = origin()
    plugins = {"plugins": ["./frail.py:Frail"], "workers": 2}
    listeners = [{"bind": "127.0.0.1:0"}, {"bind": "127.0.0.1:0", "tls": {"cert": one.cert, "key": one.key}}]
    site = gateway(endpoints=[app], listeners=listeners, files={"frail.py": FRAIL}, **plugins)
    before = site.workers
    (site.directory / "fail").touch()
    listeners[1]["tls"] = {"cert": two.cert, "key": two.key}
    done = site.reload(site_text([app], listeners=listeners, **plugins))
    assert done.returncode == 2
    assert "worker 0 died as soon as it served: exit status 7" in done.stderr
    assert site.workers == before
    with site.connect(1, tls=one.client_context(), server_name="one.example") as client:
        assert client.request(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").status == 200


def test_a_renewed_certificate_is_taken_up_by_a_reload(gateway, origin, authority, tmp_path):
    one: Certificate = authority.issue("one.example")
    two: Certificate = authority.issue("two.example")
    cert, key = tmp_path / "c.pem", tmp_path / "c.key"
    cert.write_bytes(one.cert.read_bytes())
    key.write_bytes(one.key.read_bytes())
    site = gateway(
        endpoints=[origin()], listeners=[{"bind": "127.0.0.1:0", "tls": {"cert": str(cert), "key": str(key)}}]
    )
    cert.write_bytes(two.cert.read_bytes())
    key.write_bytes(two.key.read_bytes())
    done = site.reload()
    assert (done.returncode, done.stderr) == (0, "")
    wait_for_workers(site, 1)
    with site.connect(tls=two.client_context(), server_name="two.example") as client:
        assert client.request(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").status == 200


def test_a_worker_that_dies_again_and_again_is_given_pauses_and_the_status_tells(gateway, origin):
    site = gateway(endpoints=[origin()], workers=1, plugins=["./frail.py:Frail"], files={"frail.py": FRAIL})
    (site.directory / "fail").touch()
    os.kill(site.workers[0], signal.SIGKILL)
    site.wait_for_log("died: exit status 7; it is started anew in 0.4 s")
    told = site.command("status").stdout
    assert f"pid {site.pid}, up for " in told
    assert "workers have died since" in told
    assert "worker 0: exit status 7" in told
    (site.directory / "fail").unlink()
    assert site.reload().returncode == 0
    wait_for_workers(site, 1)
    assert site.get().status == 200


def test_a_renewed_certificate_is_served_without_a_word_to_the_gateway(gateway, origin, authority, tmp_path):
    old, new = authority.issue("localhost"), Authority(tmp_path, "New").issue("localhost")
    cert, key = tmp_path / "c.pem", tmp_path / "c.key"
    shutil.copy(old.cert, cert)
    shutil.copy(old.key, key)
    listeners = [{"bind": "127.0.0.1:0", "tls": {"cert": cert, "key": key}}]
    site = gateway(endpoints=[origin()], listeners=listeners)

    def serves(certificate: Certificate) -> bool:
        try:
            site.connect(tls=certificate.client_context(), server_name="localhost").close()
        except ssl.SSLCertVerificationError:
            return False
        return True

    shutil.copy(new.cert, cert)  # half of the change
    site.wait_for_log("reload failed: ")
    assert "does not belong to the certificate" in site.log
    assert serves(old)
    shutil.copy(new.key, key)
    wait_until(lambda: serves(new), within=15)
    site.wait_for_log("workers replaced one by one")


def test_a_worker_that_dies_is_replaced_whatever_has_become_of_the_files(gateway, origin, authority):
    issued = authority.issue("localhost")
    listeners = [{"bind": "127.0.0.1:0", "tls": {"cert": issued.cert, "key": issued.key}}]
    site = gateway(endpoints=[origin()], listeners=listeners, workers=2)
    issued.cert.write_text("half of it")
    issued.key.unlink()
    site.wait_for_log("reload failed: ")
    before = site.workers
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(set(site.workers) - set(before)) == 2, message="they are not back")
    with site.connect(tls=issued.client_context(), server_name="localhost") as client:
        assert client.request(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").body == b"ok"
        told = ssl.cert_time_to_seconds(client.socket.getpeercert()["notAfter"])
    name = "gateway_certificate_expiry_timestamp_seconds"
    (line,) = [line for line in site.command("metrics").stdout.splitlines() if line.startswith(f"{name}{{")]
    assert float(line.rpartition(" ")[2]) == told
    assert "Traceback" not in site.log
