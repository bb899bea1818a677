"""A plugin over a directory of the test's own, asked in this process, without a gateway."""

from __future__ import annotations

import inspect
from types import SimpleNamespace

import pytest
from gateway_static import ServeFiles

from gateway import Exchange, Metrics, Request, Response


class Asked:
    """A plugin that has started, and the way to ask it."""

    def __init__(self, plugin: ServeFiles) -> None:
        self.plugin = plugin
        self.waits = 0
        """Answers that had to be waited for."""

    async def __call__(
        self, target: str | bytes, headers: dict[str, str] | None = None, method: str = "GET", scheme: str = "http"
    ) -> Response | None:
        request = Request(method, target, {"host": "a", **(headers or {})}, scheme=scheme)
        answer = self.plugin.on_request(Exchange(None, request))
        if inspect.isawaitable(answer):
            self.waits += 1
            answer = await answer
        return answer


async def content(response: Response) -> bytes:
    """A response's body, read to its end."""
    if isinstance(response.body, bytes):
        return response.body
    return b"".join([bytes(piece) async for piece in response.body])


@pytest.fixture
def public(tmp_path):
    """The directory that is served; beside it there is a secret."""
    (tmp_path / "secret").write_text("secret")
    folder = tmp_path / "public"
    folder.mkdir()
    return folder


@pytest.fixture
def serve(public):
    """Start a plugin with these settings over the directory."""

    async def start(**settings: object) -> Asked:
        config = ServeFiles.Config.model_validate({"root": str(public), **settings})
        plugin = ServeFiles(config)
        await plugin.startup(SimpleNamespace(metrics=Metrics()))
        return Asked(plugin)

    return start


@pytest.fixture
def read():
    return content
