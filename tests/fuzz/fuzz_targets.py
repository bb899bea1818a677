"""Find targets and their corpora, and load them.

A target is a file in `targets/`: its docstring is the property, `check(data)` raises if that does not hold. Its
corpus, `corpus/TARGET/`, has literal seeds, and every input that ever broke the property.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

HERE = Path(__file__).parent


def names(folder: Path = HERE) -> list[str]:
    """All targets, in order."""
    return sorted(path.stem for path in folder.glob("targets/*.py"))


def seeds(name: str, folder: Path = HERE) -> list[Path]:
    """The files of a target's corpus."""
    return sorted(folder.glob(f"corpus/{name}/*"))


def load(name: str, folder: Path = HERE) -> Callable[[bytes], None]:
    """The function that checks an input."""
    spec = spec_from_file_location(f"fuzz_target_{name}", folder / "targets" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    check: Callable[[bytes], None] = module.check
    return check


def modules_of(name: str, folder: Path = HERE) -> list[str]:
    """The modules of ours that a target imports: those whose coverage guides the fuzzer."""
    tree = ast.parse((folder / "targets" / f"{name}.py").read_text())
    modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return [module for module in modules if module.startswith("gateway")]
