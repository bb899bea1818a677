"""What unit tests share: quiet hypothesis settings, exchanges without a gateway, Apps from a few lines of TOML."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, settings

from gateway import App, Exchange, Request
from gateway.config.loader import Source, load

settings.register_profile(
    "unit",
    deadline=None,
    database=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("unit")

MakeExchange = Callable[..., Exchange]


@pytest.fixture
def make_exchange() -> MakeExchange:
    """An exchange over a request, with nothing behind it: `make_exchange("/path", {"host": "a"})`."""

    def make(target: str | bytes = "/", headers: object = None, *, method: str = "GET") -> Exchange:
        return Exchange(SimpleNamespace(), Request(method, target, headers or {"host": "example.com"}))

    return make


@pytest.fixture
def site(tmp_path: Path) -> Callable[..., Path]:
    """Write `site.toml`, and files beside it by name; the path."""

    def write(text: str, **files: str) -> Path:
        for name, content in files.items():
            (tmp_path / name.replace("__", ".")).write_text(textwrap.dedent(content))
        path = tmp_path / "site.toml"
        path.write_text(textwrap.dedent(text))
        return path

    return write


@pytest.fixture
def source(site) -> Callable[..., Source]:
    """The loaded source of a site file's text."""
    return lambda text, **files: load(str(site(text, **files)))


@pytest.fixture
def app(source) -> Callable[..., App]:
    """An App of a site file's text. A listener and an upstream are added unless the text has its own."""

    def build(text: str = "", **files: str) -> App:
        text = textwrap.dedent(text)
        if "listeners" not in text:
            text += '\n[[listeners]]\nbind = "127.0.0.1:0"\n'
        if "upstreams" not in text:
            text += '\n[upstreams.app]\nendpoints = ["http://127.0.0.1:9"]\n'
        return App(source(text, **files))

    return build
