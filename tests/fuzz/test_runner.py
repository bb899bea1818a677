"""`python tests/fuzz`: what a person, and CI, learn from it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import fuzz_targets
import pytest

TARGET = """
def check(data):
    assert b"x" not in data, "an x has come"
"""


@pytest.fixture(autouse=True)
def _atheris() -> None:
    if find_spec("atheris") is None:
        if os.environ.get("GATEWAY_REQUIRE_ALL") == "1":
            pytest.fail("atheris is not installed (GATEWAY_REQUIRE_ALL=1)")
        pytest.skip("atheris is not installed: make fuzz does that")


@pytest.fixture
def run(tmp_path):
    """Run it over one target; the ended process."""
    (tmp_path / "targets").mkdir()
    (tmp_path / "corpus" / "letters").mkdir(parents=True)
    (tmp_path / "corpus" / "letters" / "seed").write_bytes(b"w")

    def start(target: str, *options: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "targets" / "letters.py").write_text(target)
        command = [sys.executable, str(fuzz_targets.HERE), "--folder", str(tmp_path), "--seconds", "1", *options]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=60
        )

    return start


def test_an_input_that_breaks_a_property_is_named_and_the_status_is_1(run, tmp_path):
    done = run(TARGET)
    assert done.returncode == 1
    (found,) = (tmp_path / "build" / "fuzz").iterdir()
    assert b"x" in found.read_bytes()
    assert f"The input is in {found}" in done.stdout
    assert "letters: AssertionError: an x has come" in done.stdout


def test_if_all_hold_the_status_is_0_and_new_inputs_can_be_kept(run, tmp_path):
    done = run("def check(data):\n    return data[:1] == b'a'\n", "--keep")
    assert done.returncode == 0, done.stdout
    assert "| held" in done.stdout
    assert (tmp_path / "corpus" / "letters" / "seed").read_bytes() == b"w"


def test_a_target_that_cannot_be_loaded_is_no_success(run):
    done = run("import nothing_of_that_name\n")
    assert done.returncode == 1
    assert "nothing_of_that_name" in done.stdout


def test_a_target_that_is_not_there_is_refused_with_those_that_are(run):
    done = run(TARGET, "words")
    assert done.returncode == 1
    assert "no target 'words'; there are letters" in done.stderr
