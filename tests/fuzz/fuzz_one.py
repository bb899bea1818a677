"""Fuzz one target in this process: `python fuzz_one.py FOLDER TARGET [libFuzzer's options and corpora]`.

Needs atheris. The runner (`__main__`) starts it, once for each target.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import atheris
import fuzz_targets


def main() -> None:
    """Never returns: libFuzzer ends the process."""
    program, folder, name, *options = sys.argv
    modules = fuzz_targets.modules_of(name, Path(folder)) or ["gateway"]  # without any atheris takes all there are
    with atheris.instrument_imports(include=modules):
        check = fuzz_targets.load(name, Path(folder))
    atheris.instrument_func(check)
    # To merge, libFuzzer starts the program anew, through a shell, with other options.
    atheris.Setup([shlex.join([sys.executable, program, folder, name]), *options], check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
