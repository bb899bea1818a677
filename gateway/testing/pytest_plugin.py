"""The fixtures: origins and gateways that are gone when the test is, however it ended.

`origin` and `gateway` are factories for one test; `module_origin` and `module_gateway` are the same
for a whole module, so that many tests can share one running gateway.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import pytest

from gateway.testing.certificates import Authority, Certificate
from gateway.testing.origin import OK, Origin, Script
from gateway.testing.process import GatewayProcess
from gateway.testing.site import site_text


class OriginFactory(Protocol):
    """Start an origin; see `Origin`."""

    def __call__(
        self,
        script: Script | bytes = OK,
        *,
        host: str = "127.0.0.1",
        unix_path: Path | str | None = None,
        tls: Certificate | None = None,
    ) -> Origin: ...


class GatewayFactory(Protocol):
    """Start a gateway with the text of a site file, or with endpoints and settings; see `site_text`."""

    def __call__(
        self,
        site: str | None = None,
        *,
        endpoints: Sequence[str | Origin] = (),
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        files: Mapping[str, str] | None = None,
        under: Sequence[str] = (),
        **settings: object,
    ) -> GatewayProcess: ...


@contextmanager
def origins() -> Iterator[OriginFactory]:
    """A factory whose origins are closed at the end."""
    with ExitStack() as stack:

        def start(
            script: Script | bytes = OK,
            *,
            host: str = "127.0.0.1",
            unix_path: Path | str | None = None,
            tls: Certificate | None = None,
        ) -> Origin:
            return stack.enter_context(Origin(script, host=host, unix_path=unix_path, tls=tls))

        yield start


@contextmanager
def gateways(directories: pytest.TempPathFactory) -> Iterator[GatewayFactory]:
    """A factory whose gateways are stopped at the end; their logs are shown if the test failed."""
    with ExitStack() as stack:

        def start(
            site: str | None = None,
            *,
            endpoints: Sequence[str | Origin] = (),
            arguments: Sequence[str] = (),
            environment: Mapping[str, str] | None = None,
            files: Mapping[str, str] | None = None,
            under: Sequence[str] = (),
            **settings: object,
        ) -> GatewayProcess:
            text = site_text(endpoints, **settings) if site is None else site
            directory = directories.mktemp("gateway")
            process = GatewayProcess(
                text, directory, arguments=arguments, environment=environment, files=files, under=under
            )
            stack.callback(_end, process)
            return process

        yield start


def _end(process: GatewayProcess) -> None:
    process.end()
    print(f"--- log of the gateway in {process.directory}\n{process.log}")
    assert "was never retrieved" not in process.log, "a task of the gateway failed unseen"


@pytest.fixture
def origin() -> Iterator[OriginFactory]:
    """Start scriptable origins: `origin()`, `origin(b"HTTP/1.1 200 OK…")`, `origin(script)`."""
    with origins() as start:
        yield start


@pytest.fixture(scope="module")
def module_origin() -> Iterator[OriginFactory]:
    """As `origin`, for a whole module."""
    with origins() as start:
        yield start


@pytest.fixture
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayFactory]:
    """Start gateways: `gateway(endpoints=[origin()])`, `gateway('''profile = …''')`."""
    with gateways(tmp_path_factory) as start:
        yield start


@pytest.fixture(scope="module")
def module_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayFactory]:
    """As `gateway`, for a whole module."""
    with gateways(tmp_path_factory) as start:
        yield start


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority whose certificates the tests trust: `authority.issue("localhost", "127.0.0.1")`."""
    return Authority(tmp_path_factory.mktemp("authority"))
