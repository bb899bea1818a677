"""Binding: what listens is bound once, and what cannot be bound is named with the mend."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import ConfigurationError
from gateway.config.model import Listener
from gateway.process import sockets


def listener(bind: str, **settings: object) -> Listener:
    return Listener.model_validate({"bind": bind, **settings})


def refused(bind: str, **settings: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        sockets.bind(listener(bind, **settings))
    return str(caught.value)


class TestTcp:
    @pytest.mark.parametrize(("bind", "host"), [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1")])
    def test_port_0_becomes_a_free_port_that_the_url_shows(self, bind, host):
        with closing(sockets.bind(listener(bind))) as bound:
            port = bound.getsockname()[1]
            assert port > 0
            shown = f"[{host}]" if ":" in host else host
            assert sockets.bound_url(listener(bind), bound) == f"http://{shown}:{port}"
            with socket.create_connection((host, port)):
                pass

    def test_tls_shows_in_the_url(self):
        settings = listener("127.0.0.1:0", tls={"cert": "c", "key": "k"})
        with closing(sockets.bind(settings)) as bound:
            assert sockets.bound_url(settings, bound).startswith("https://127.0.0.1:")

    def test_a_bound_socket_does_not_block(self):
        with closing(sockets.bind(listener("127.0.0.1:0"))) as bound:
            assert bound.gettimeout() == 0

    def test_a_taken_port_is_named_with_the_mend(self):
        with closing(sockets.bind(listener("127.0.0.1:0"))) as bound:
            port = bound.getsockname()[1]
            assert refused(f"127.0.0.1:{port}") == (
                f"listener 127.0.0.1:{port}: the address is in use; stop what listens there, or choose another port"
            )

    def test_a_listener_with_a_name_is_called_by_it(self):
        assert refused("192.0.2.1:0", name="public").startswith("listener public: ")

    def test_an_address_of_another_machine_is_named(self):
        assert refused("192.0.2.1:0") == "listener 192.0.2.1:0: this machine has no such address"

    def test_an_ipv6_listener_leaves_ipv4_to_others(self):
        with closing(sockets.bind(listener("[::]:0"))) as bound:
            assert bound.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


class TestUnix:
    def test_a_unix_socket_is_bound_and_shown(self, tmp_path):
        settings = listener(f"unix:{tmp_path}/g.sock")
        with closing(sockets.bind(settings)) as bound:
            assert sockets.bound_url(settings, bound) == f"http://unix:{tmp_path}/g.sock"
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(f"{tmp_path}/g.sock")

    def test_a_socket_file_that_nobody_listens_on_is_replaced(self, tmp_path):
        sockets.bind(listener(f"unix:{tmp_path}/g.sock")).close()
        with closing(sockets.bind(listener(f"unix:{tmp_path}/g.sock"))):
            assert (tmp_path / "g.sock").is_socket()

    def test_a_socket_file_that_somebody_listens_on_is_left_alone(self, tmp_path):
        with closing(sockets.bind(listener(f"unix:{tmp_path}/g.sock"))):
            assert "the address is in use" in refused(f"unix:{tmp_path}/g.sock")
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(f"{tmp_path}/g.sock")

    def test_a_file_that_is_no_socket_is_left_alone(self, tmp_path):
        (tmp_path / "g.sock").write_text("precious")
        assert "a file that is no socket is in the way" in refused(f"unix:{tmp_path}/g.sock")
        assert (tmp_path / "g.sock").read_text() == "precious"

    @pytest.mark.parametrize("path", ["absent/g.sock", "x" * 200])
    def test_a_path_that_cannot_be_bound_is_named(self, tmp_path, path):
        assert f"listener unix:{tmp_path}/{path}: " in refused(f"unix:{tmp_path}/{path}")


@given(st.integers(0, 10**7), st.integers(0, 50))
def test_descriptors_are_shared_out_so_that_they_never_run_out(limit, listeners):
    each = sockets.connections_within(limit, listeners)
    assert each >= 8
    if each > 8:
        assert each * 2 * max(1, listeners) + sockets.RESERVED_DESCRIPTORS <= limit


def test_the_descriptor_limit_is_raised_to_what_is_granted():
    granted = sockets.raise_descriptor_limit()
    assert granted >= len(list(Path("/proc/self/fd").iterdir()))
    assert sockets.raise_descriptor_limit() == granted
