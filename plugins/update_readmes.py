"""Write the configuration tables of the packages' README files anew, or say with --check which are out of date.

A table stands between `<!-- config: module:Class.Config -->` and `<!-- end of config -->`, and is made from that
model alone.
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

HERE = Path(__file__).parent
_TABLE = re.compile(r"(<!-- config: (\S+) -->\n).*?(<!-- end of config -->)", re.DOTALL)


def tables_in(text: str) -> list[str]:
    """The models that a README has tables of, as `module:Class.Config`."""
    return [match[2] for match in _TABLE.finditer(text)]


def updated(text: str) -> str:
    """The text with every table as it should be."""
    return _TABLE.sub(lambda match: f"{match[1]}{config_table(find(match[2]))}\n{match[3]}", text)


def find(place: str) -> Any:
    """What stands at `module:Class.Config`."""
    module, _, names = place.partition(":")
    return reduce(getattr, names.split("."), importlib.import_module(module))


def main(arguments: list[str], say: Callable[[str], None] = print) -> int:
    """Update or check all; 1 if a check found one that is out of date."""
    status = 0
    for readme in sorted(HERE.glob("*/README.md")):
        text = readme.read_text(encoding="utf-8")
        wanted = updated(text)
        if wanted == text:
            continue
        if "--check" in arguments:
            say(f"{readme.relative_to(HERE)} is out of date: run plugins/update_readmes.py")
            status = 1
        else:
            readme.write_text(wanted, encoding="utf-8")
            say(f"{readme.relative_to(HERE)} updated")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
