"""Plugins in a file beside the site file: `./my_hook.py:AddHeader`.

Owns reading and running such a file, and the hints for what goes wrong there. Does not check or make plugins.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from gateway.config.model import PluginUse
from gateway.config.types import nearest
from gateway.errors import FAILURES, ConfigurationError
from gateway.failures import said


def from_file(use: PluginUse, base: str, modules: dict[Path, ModuleType]) -> tuple[type, str]:
    """A plugin's class, and what to call it in messages; `modules` are the files that were run already.

    Raises ConfigurationError.
    """
    file, _, name = use.use.rpartition(":")
    path = (Path(base) / file).resolve()
    if not path.is_file():
        raise ConfigurationError(f"{use.where}: {path}: no such file")
    if path not in modules:
        modules[path] = _import_file(path, use.where)
    module = modules[path]
    cls = getattr(module, name, None)
    if not isinstance(cls, type):
        classes = [
            key
            for key, value in vars(module).items()
            if isinstance(value, type) and value.__module__ == module.__name__
        ]
        raise ConfigurationError(f"{use.where}: {path} has no class {name!r}{nearest(name, classes)}")
    return cls, f"plugin {name!r} ({path})"


def _import_file(path: Path, where: str) -> ModuleType:
    name = f"gateway_local_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path, loader=_FromSource(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # so that dataclasses and pydantic find the module's names
    try:
        spec.loader.exec_module(module)
    except FAILURES as error:
        sys.modules.pop(name, None)
        told = f"{said(error, name)}{_hint(error, path)}"
        raise ConfigurationError(f"{where}: {path} cannot be imported: {told}") from error
    return module


class _FromSource(SourceFileLoader):
    """Reads a local file as it is now. Bytecode beside it would be taken for a change made within its second."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _hint(error: BaseException, path: Path) -> str:
    """The mend for a file that imports what lies beside it."""
    if not isinstance(error, ImportError):
        return ""
    wanted = (error.name or "").partition(".")[0]
    is_beside = bool(wanted) and ((path.parent / f"{wanted}.py").is_file() or (path.parent / wanted).is_dir())
    if is_beside or "relative import" in str(error):
        return "; a local plugin is one file: put it into this one, or make a package of both and install that"
    return ""


def refuse_bare_file(use: PluginUse, base: str) -> None:
    """Raise ConfigurationError for a file without a class, with the classes that are in it. Does not run it."""
    if not use.use.endswith(".py"):
        return
    path = (Path(base) / use.use).resolve()
    if not path.is_file():
        raise ConfigurationError(f"{use.where}: {path}: no such file")
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        names = []
    else:
        names = [node.name for node in tree.body if isinstance(node, ast.ClassDef) and node.name[0] != "_"]
    has = f" (it has {', '.join(names)})" if names else ""
    example = f"{use.use}:{names[0] if names else 'ClassName'}"
    raise ConfigurationError(f"{use.where}: name the class in the file, too, as in {example!r}{has}")
