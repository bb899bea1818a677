"""Starting: what cannot work is said in one clear line, with exit code 2, before anything serves."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from gateway.testing import Certificate, require_program, run_command, site_text


def fails(directory: Path, *arguments: str, under: tuple[str, ...] = ()) -> str:
    """Run a command that must fail as a start-up failure does; its one line."""
    done = run_command(*arguments, directory=directory, under=under, within=20)
    assert done.returncode == 2, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def write(directory: Path, text: str) -> str:
    (directory / "site.toml").write_text(text)
    return "site.toml"


def test_a_taken_port_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        site = write(tmp_path, site_text(["http://127.0.0.1:9"], listeners=[{"bind": f"127.0.0.1:{port}"}]))
        said = fails(tmp_path, "run", site)
        assert said.startswith(f"gateway: site.toml: listeners[0].bind: listener 127.0.0.1:{port}: ")


def test_the_port_of_another_gateway_is_taken(gateway, origin, tmp_path):
    running = gateway(endpoints=[origin()])
    bind = f"127.0.0.1:{running.port}"
    site = write(tmp_path, site_text(["http://127.0.0.1:9"], listeners=[{"bind": bind}]))
    assert bind in fails(tmp_path, "run", site)
    assert running.get().status == 200


def test_a_live_unix_socket_is_taken_and_a_dead_one_is_not(gateway, origin, tmp_path):
    listeners = [{"bind": "127.0.0.1:0"}, {"bind": f"unix:{tmp_path}/g.sock"}]
    first = gateway(endpoints=[origin()], listeners=listeners)
    site = write(tmp_path, site_text(["http://127.0.0.1:9"], listeners=listeners))
    assert "g.sock" in fails(tmp_path, "run", site)
    first.kill()
    second = gateway(endpoints=[origin()], listeners=listeners)
    assert second.get().status == 200


def test_a_privileged_port_without_permission_is_named(tmp_path):
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 81:
        pytest.skip("every port is unprivileged here")
    under: tuple[str, ...] = ()
    if os.geteuid() == 0:
        under = (require_program("setpriv"), "--bounding-set=-net_bind_service")
        if subprocess.run([*under, "true"], check=False, capture_output=True).returncode:
            pytest.skip("setpriv may not drop a capability here")
    site = write(tmp_path, site_text(["http://127.0.0.1:9"], listeners=[{"bind": "127.0.0.1:81"}]))
    message = fails(tmp_path, "run", site, under=under)
    assert "127.0.0.1:81" in message
    assert "permi" in message.lower()


def test_an_address_of_another_machine_is_named(tmp_path):
    site = write(tmp_path, site_text(["http://127.0.0.1:9"], listeners=[{"bind": "192.0.2.1:8080"}]))
    assert "192.0.2.1:8080" in fails(tmp_path, "run", site)


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_site_file_that_is_not_there_is_named(tmp_path, command):
    assert "absent.toml" in fails(tmp_path, command, "absent.toml")


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_site_file_that_cannot_be_read_is_named(tmp_path, command):
    (tmp_path / "site.toml").mkdir()
    assert "site.toml" in fails(tmp_path, command, "site.toml")


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a = = b", "site.toml"),
        (b"\xff\xfe".decode("latin-1"), "site.toml"),
        ("workers = 1", "listeners"),
        ('listeners = [{bind = "127.0.0.1:0"}]\nworkers = "many"', "workers"),
        ('listeners = [{bind = "127.0.0.1:0"}]\nworkerz = 1', "workers"),
        ('listeners = [{bind = "nowhere"}]', "bind"),
        ('listeners = [{bind = "127.0.0.1:0", header_timeout = "5 parsecs"}]', "header_timeout"),
        ('listeners = [{bind = "127.0.0.1:0"}]\nprofile = "no-such-profile"', "no-such-profile"),
        ('listeners = [{bind = "127.0.0.1:0"}]\nplugins = ["no-such-plugin"]', "no-such-plugin"),
        ('listeners = [{bind = "127.0.0.1:0"}]\nroutes = [{upstream = "nowhere"}]', "nowhere"),
        (
            'listeners = [{bind = "127.0.0.1:0"}]\n'
            'upstreams.a = {endpoints = ["http://127.0.0.1:9"], balancer = "no-such-balancer"}',
            "no-such-balancer",
        ),
    ],
)
def test_a_configuration_that_is_wrong_is_named(tmp_path, command, text, named):
    (tmp_path / "site.toml").write_bytes(text.encode("latin-1"))
    assert named in fails(tmp_path, command, "site.toml")


@pytest.mark.parametrize(("cert", "key"), [("absent.pem", "absent.pem"), ("empty.pem", "empty.pem")])
def test_a_certificate_that_cannot_be_read_is_named(tmp_path, cert, key):
    (tmp_path / "empty.pem").write_text("")
    listeners = [{"bind": "127.0.0.1:0", "tls": {"cert": cert, "key": key}}]
    site = write(tmp_path, site_text(["http://127.0.0.1:9"], listeners=listeners))
    assert cert in fails(tmp_path, "run", site)


def test_a_key_of_another_certificate_is_named(tmp_path, authority):
    one: Certificate = authority.issue("one.example")
    two: Certificate = authority.issue("two.example")
    listeners = [{"bind": "127.0.0.1:0", "tls": {"cert": one.cert, "key": two.key}}]
    site = write(tmp_path, site_text(["http://127.0.0.1:9"], listeners=listeners))
    assert "one.example.pem" in fails(tmp_path, "run", site) or "two.example.key" in fails(tmp_path, "run", site)


def test_check_says_nothing_bad_of_a_good_site(tmp_path):
    site = write(tmp_path, site_text(["http://127.0.0.1:9"]))
    done = run_command("check", site, directory=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["check", "--help"], ["plugins"], ["profiles"]]
)
def test_the_command_line_explains_itself(tmp_path, arguments):
    done = run_command(*arguments, directory=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_a_gateway_says_where_it_listens(gateway, origin):
    site = gateway(endpoints=[origin()], listeners=[{"bind": "127.0.0.1:0"}, {"bind": "[::1]:0"}])
    assert [(each.scheme, each.host) for each in site.listening] == [("http", "127.0.0.1"), ("http", "::1")]
    assert all(each.port for each in site.listening)
    assert site.log.strip().endswith("gateway: ready")
