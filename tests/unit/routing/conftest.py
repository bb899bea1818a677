"""Routers from a few matches, and requests to put to them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from gateway.config import model as config
from gateway.pipeline import Pipeline
from gateway.routing import Route, Router

UPSTREAM = SimpleNamespace(name="app")

MakeRouter = Callable[..., Router]


@pytest.fixture(scope="session")
def routes() -> MakeRouter:
    """A router of matches as a site file has them; each route is named by its number."""

    def make(*matches: dict[str, object]) -> Router:
        settings = [
            config.Route.model_validate({"name": str(index), "upstream": "app", "match": match})
            for index, match in enumerate(matches)
        ]
        return Router(Route(each, Pipeline(), UPSTREAM) for each in settings)

    return make
