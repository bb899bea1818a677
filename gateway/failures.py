"""Say in one line where the code of a plugin failed, and with which exception.

Owns the choice of the frame: the plugin's own one, for the mend is there. Catches nothing.
"""

from __future__ import annotations

import re
import traceback
from pathlib import Path

from gateway.errors import ConfigurationError

_LINK = re.compile(r"\s*For further information visit \S+")
"""What pydantic adds to each of its errors."""

_NOBODYS = ("gateway", "importlib", "_frozen_importlib")
"""Packages that call plugins and are not at fault; their frames say nothing to an author."""


def said(error: BaseException, module: str = "") -> str:
    """What went wrong: `my_hook.py line 12: ZeroDivisionError: division by zero`.

    `module` is the plugin's: the line is the last one of that package, or else of whatever is behind it.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_line(error.filename, error.lineno)}: {type(error).__name__}: {error.msg}"
    text = " ".join(_LINK.sub("", str(error)).split())
    named = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return f"{place}: {named}" if (place := _place(error, module)) else named


def _place(error: BaseException, module: str) -> str:
    own, others = "", ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        place = _line(frame.f_code.co_filename, line)
        if package == module.partition(".")[0]:
            own = place
        elif package not in _NOBODYS:
            others = place
    return own or others


def _line(file: str, line: int | None) -> str:
    path = Path(file)
    name = f"{path.parent.name}/{path.name}" if path.name == "__init__.py" else path.name
    return f"{name} line {line}"


def refusal(file: str, name: str, plugin: object, error: BaseException, hook: str = "startup") -> str:
    """What a plugin says of why it does not start, behind its place: `site.toml: plugins.static: …`."""
    if isinstance(error, ConfigurationError):
        reason = str(error)
    elif isinstance(error, OSError) and error.strerror and error.filename:
        reason = f"{error.filename}: {error.strerror}"  # a file or socket of the site's, not the plugin's mistake
    else:
        reason = f"failed in {hook}: {said(error, type(plugin).__module__)}"
    return f"{file}: plugins.{name}: {reason}"
