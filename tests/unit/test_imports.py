"""What the core may import: itself and what it depends on, never a plugin and never a profile."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import gateway

FOLDER = Path(gateway.__file__).parent
FILES = sorted(FOLDER.rglob("*.py"))


def imported_by(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_the_core_never_imports_a_plugin(path):
    assert not {name for name in imported_by(path) if name.startswith("gateway_")}


def test_everything_that_the_public_api_names_is_there():
    assert sorted(gateway.__all__) == gateway.__all__
    assert all(hasattr(gateway, name) for name in gateway.__all__)
