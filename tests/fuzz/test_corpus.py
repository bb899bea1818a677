"""Every input that is kept, replayed without a fuzzer: seeds, and all that ever broke a property."""

from __future__ import annotations

import ast
from pathlib import Path

import fuzz_targets
import pytest

NAMES = fuzz_targets.names()


@pytest.mark.parametrize("name", NAMES)
def test_a_target_holds_for_every_input_that_is_kept(name, subtests):
    check = fuzz_targets.load(name)
    for seed in fuzz_targets.seeds(name):
        with subtests.test(seed.name):
            check(seed.read_bytes())


@pytest.mark.parametrize("name", NAMES)
def test_a_target_is_small_says_its_property_and_has_seeds(name):
    text = (fuzz_targets.HERE / "targets" / f"{name}.py").read_text()
    assert ast.get_docstring(ast.parse(text))
    assert len(text.splitlines()) < 80
    assert len(fuzz_targets.seeds(name)) > 1
    assert fuzz_targets.modules_of(name)


def test_no_corpus_is_without_its_target():
    assert NAMES
    assert sorted(path.name for path in Path(fuzz_targets.HERE, "corpus").iterdir()) == NAMES
