"""What is said of wrong keys and files, and of the way that a listener takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway import App, ConfigurationError
from gateway.config.loader import load
from gateway.testing import Authority, site_text


@pytest.fixture(scope="module")
def files(authority: Authority) -> dict[str, Path]:
    one, other = authority.issue("a.test"), authority.issue("b.test")
    return {"CERT": one.cert, "KEY": one.key, "OTHER": other.key}


@pytest.fixture
def build(tmp_path: Path, files: dict[str, Path]) -> Callable[..., App]:
    """An App with one listener that has this `tls`; names of files stand in capitals."""

    def make(tls: dict[str, Any], plugins: tuple[str, ...] = ("tls",)) -> App:
        site = tmp_path / "site.toml"
        listeners = [{"bind": "127.0.0.1:0", "tls": replaced(tls, files)}]
        site.write_text(site_text(["http://127.0.0.1:9"], plugins=plugins, listeners=listeners))
        return App(load(str(site)))

    return make


def replaced(value: Any, files: dict[str, Path]) -> Any:
    if isinstance(value, dict):
        return {key: replaced(item, files) for key, item in value.items()}
    if isinstance(value, list):
        return [replaced(item, files) for item in value]
    return files.get(value, value)


PAIR = {"cert": "CERT", "key": "KEY"}


@pytest.mark.parametrize(
    ("tls", "message"),
    [
        ({"certificates": []}, "listeners[0].tls: needs a certificate: cert and key, certificates"),
        ({"acme": {"storage": "acme", "agree_to_terms": True}}, "listeners[0].tls.acme.domains"),
        ({"acme": {"storage": "acme", "domains": ["a.test"]}}, "listeners[0].tls.acme.agree_to_terms: write agree"),
        ({"certificates": [{"cert": "no.pem", "key": "no.key"}]}, "tls.certificates[0].cert: "),
        ({**PAIR, "clients": {}}, "listeners[0].tls: unknown key 'clients'; did you mean 'client'?"),
        ({**PAIR, "client": {"ca": "KEY"}}, "listeners[0].tls.client.ca: "),
        ({**PAIR, "client": {}}, "listeners[0].tls.client.ca"),
        ({**PAIR, "policy": "modern", "min_version": "1.2"}, "is TLS 1.3 alone"),
        ({"certificates": [{"cert": "CERT", "key": "OTHER"}]}, "listeners[0].tls.certificates[0]: the key "),
        ({"cert": "CERT"}, "cert and key belong together"),
        ({}, "needs cert and key"),
    ],
)
def test_a_mistake_is_told_by_file_and_key(build, tls, message):
    with pytest.raises(ConfigurationError) as caught:
        build(tls)
    assert message in str(caught.value)
    assert "site.toml: " in str(caught.value)


def test_a_listener_tells_which_way_it_takes_and_why(build):
    for tls, told in (
        (PAIR, "directly, TLS by rustls"),
        ({"certificates": [PAIR]}, "by an edge, since tls.certificates is set"),
    ):
        app = build(tls)
        assert app.ways[0].describe(app.settings.listeners[0]) == told


def test_without_the_plugin_its_keys_are_unknown(build):
    with pytest.raises(ConfigurationError) as caught:
        build({**PAIR, "certs": []}, plugins=())
    assert "listeners[0].tls: unknown key 'certs'; did you mean 'cert'?; or add 'tls' to the plugins" in str(
        caught.value
    )
