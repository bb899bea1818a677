"""What the contract is checked on: every plugin package in the tree, and every installed plugin."""

from __future__ import annotations

import importlib.util
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel

from gateway.registry import Registry, installed_plugins

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Package:
    """A folder under `plugins/`."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def module(self) -> str:
        return f"gateway_{self.name.replace('-', '_')}"

    @property
    def source(self) -> Path:
        return self.path / "src" / self.module

    @property
    def project(self) -> dict[str, Any]:
        return tomllib.loads((self.path / "pyproject.toml").read_text())["project"]

    @property
    def entry_points(self) -> dict[str, str]:
        return self.project["entry-points"]["gateway.plugins"]

    @property
    def readme(self) -> str:
        return (self.path / "README.md").read_text()


PACKAGES = [Package(path.parent) for path in sorted(ROOT.glob("plugins/*/pyproject.toml"))]
INSTALLED = installed_plugins()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "package" in metafunc.fixturenames:
        metafunc.parametrize("package", PACKAGES, ids=[package.name for package in PACKAGES])
    if "plugin_name" in metafunc.fixturenames:
        metafunc.parametrize("plugin_name", sorted(INSTALLED))


@pytest.fixture
def plugin_class(plugin_name: str) -> type:
    return INSTALLED[plugin_name].load()


@pytest.fixture(scope="session")
def readmes() -> ModuleType:
    """The script that writes the tables."""
    spec = importlib.util.spec_from_file_location("update_readmes", ROOT / "plugins" / "update_readmes.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def configs_of(cls: type) -> Iterator[tuple[str, type[BaseModel]]]:
    """The settings of a plugin and of every strategy that it registers, by `module:Class.Config`."""
    registry = _Collecting()
    config = getattr(cls, "Config", None)
    if hasattr(cls, "register"):
        instance = cls(config()) if config is not None else cls()
        instance.register(registry)
    for owner in [cls, *registry.factories]:
        if getattr(owner, "Config", None) is not None:
            # Where it can be imported from: the package, not the file within it.
            yield f"{owner.__module__.partition('.')[0]}:{owner.__qualname__}.Config", owner.Config


class _Collecting(Registry):
    def __init__(self) -> None:
        super().__init__()
        self.factories: list[Any] = []

    def add(self, kind: str, name: str, factory: Any) -> None:
        self.factories.append(factory)


@pytest.fixture
def configs() -> Any:
    return configs_of
