"""What every package under `plugins/` keeps, so that one knows them all when one knows one."""

from __future__ import annotations

import ast
import itertools
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest

from gateway import App
from gateway.config.loader import load

ROOT = Path(__file__).parents[2]
TOML = re.compile(r"```toml\n(.*?)```", re.DOTALL)


def test_there_are_packages():
    assert list(ROOT.glob("plugins/*/pyproject.toml"))


def test_name_version_and_licence_follow_the_rules(package):
    project = package.project
    assert project["name"] == f"gateway-{package.name}"
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"])
    assert project["license"] == "MIT"
    assert project["requires-python"] == ">=3.11"
    assert project["readme"] == "README.md"
    assert 20 < len(project["description"]) < 120
    assert "Typing :: Typed" in project["classifiers"]


def test_it_depends_on_the_gateway_and_on_no_sibling(package):
    ours = [name for name in package.project["dependencies"] if name.startswith("gateway")]
    assert ours == ["gateway>=0.1,<0.2"]


def test_its_dependencies_are_what_it_imports(package):
    known = {"gateway", package.module, *sys.stdlib_module_names}
    imported = {name.partition(".")[0] for path in sources(package) for name, _ in imports(path)}
    extras = package.project.get("optional-dependencies", {}).values()
    wanted = [*package.project["dependencies"], *itertools.chain(*extras)]
    declared = {re.split(r"[<>=\[ ]", item)[0] for item in wanted}
    providers = packages_distributions()
    assert not [name for name in imported - known if declared.isdisjoint(providers.get(name, ()))]


def test_it_is_typed_and_tested(package):
    assert (package.source / "py.typed").is_file()
    assert list((package.path / "tests").glob("test_*.py"))
    assert not list(package.path.glob("tests/**/__init__.py"))


def test_it_announces_plugins_of_its_own(package):
    assert package.entry_points
    for value in package.entry_points.values():
        assert value.partition(":")[0].partition(".")[0] == package.module


def test_it_is_installed_as_it_stands_here(package):
    assert version(package.project["name"]) == package.project["version"]
    module = import_module(package.module)
    assert Path(module.__file__).parent == package.source
    assert module.__all__


def test_it_uses_nothing_of_the_gateway_but_its_public_names(package):
    for path in sources(package):
        for name, members in imports(path):
            top = name.partition(".")[0]
            assert not (top.startswith("gateway_") and top != package.module), f"{path}: a sibling, {name}"
            if top == "gateway":
                assert name in ("gateway", "gateway.cli"), f"{path}: {name} is the gateway's inside"
                assert set(members) <= set(import_module(name).__all__), f"{path}: {members}"


def test_every_file_says_what_it_owns(package):
    for path in sources(package):
        text = path.read_text()
        assert ast.get_docstring(ast.parse(text)), path
        assert len(text.splitlines()) <= 400, path


def test_the_readme_begins_with_its_name_and_an_example_that_loads(package, tmp_path):
    assert package.readme.startswith(f"# gateway-{package.name}\n\n")
    example = TOML.search(package.readme)
    assert example is not None
    (tmp_path / "site.toml").write_text(example[1])
    App(load(str(tmp_path / "site.toml")))
    site = tomllib.loads(example[1])
    used = site["plugins"]
    named = {use if isinstance(use, str) else use["use"] for use in used} if isinstance(used, list) else set(used)
    assert named & set(package.entry_points)


def test_the_tables_of_the_readme_are_up_to_date(package, readmes):
    assert readmes.updated(package.readme) == package.readme, "run plugins/update_readmes.py"


def test_the_readme_has_a_table_of_every_configuration(package, readmes, configs):
    for value in package.entry_points.values():
        for place, model in configs(readmes.find(value)):
            assert any(readmes.find(table) is model for table in readmes.tables_in(package.readme)), place


@pytest.mark.xdist_group("mypy")
def test_all_are_clean_under_mypy_strict():
    folders = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("plugins/*/src"))
    command = [sys.executable, "-m", "mypy", "--strict", *folders]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout


def sources(package) -> list[Path]:
    return sorted(package.source.rglob("*.py"))


def imports(path: Path) -> list[tuple[str, list[str]]]:
    """Every import of a file: the module, and the names taken from it."""
    found: list[tuple[str, list[str]]] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(item.name, []) for item in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found.append((node.module or "", [item.name for item in node.names]))
    return found
