"""Write the tables of settings anew, of the packages and of the core, or say with --check which are out of date.

A table stands between `<!-- config: module:Class.Config -->` and `<!-- end of config -->`, and is made from that
model alone. A model within it that has a table of its own on the same page, or is described there in words, below
`<!-- by hand: module:Class -->`, gets one row, which leads to the heading above.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

from gateway.cli.schema_table import config_table

ROOT = Path(__file__).parents[1]
SETTINGS = ROOT / "gateway" / "SETTINGS.md"
_PLACE = re.compile(r"<!-- (?:config|by hand): (\S+) -->")
_HEADING = re.compile(r"^##+ (.+)$", re.MULTILINE)  # one # might be a comment in an example
_TABLE = re.compile(r"(<!-- config: (\S+) -->\n).*?(<!-- end of config -->)", re.DOTALL)


def tables_in(text: str) -> list[str]:
    """The models that a README has tables of, as `module:Class.Config`."""
    return [match[2] for match in _TABLE.finditer(text)]


def updated(text: str) -> str:
    """The text with every table as it should be."""
    places = places_in(text)
    return _TABLE.sub(lambda match: f"{match[1]}{config_table(find(match[2]), places)}\n{match[3]}", text)


def places_in(text: str) -> dict[Any, str]:
    """The models that a page describes, and the link to the heading above each."""
    return {find(match[1]): _anchor(_HEADING.findall(text, 0, match.start())) for match in _PLACE.finditer(text)}


def _anchor(headings: list[str]) -> str:
    """The link to the last of them, as GitHub makes it."""
    last = headings[-1] if headings else ""
    return "#" + re.sub(r"[^\w -]", "", last.lower()).replace(" ", "-")


def find(place: str) -> Any:
    """What stands at `module:Class.Config`."""
    module, _, names = place.partition(":")
    return reduce(getattr, names.split("."), importlib.import_module(module))


def main(arguments: list[str], say: Callable[[str], None] = print) -> int:
    """Update or check all; 1 if a check found one that is out of date."""
    status = 0
    for readme in [SETTINGS, *sorted(ROOT.glob("plugins/*/README.md"))]:
        text = readme.read_text(encoding="utf-8")
        wanted = updated(text)
        if wanted == text:
            continue
        if "--check" in arguments:
            say(f"{readme.relative_to(ROOT)} is out of date: run plugins/update_readmes.py")
            status = 1
        else:
            readme.write_text(wanted, encoding="utf-8")
            say(f"{readme.relative_to(ROOT)} updated")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
