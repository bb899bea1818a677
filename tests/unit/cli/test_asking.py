"""Which gateway is meant, said the same way to every command; and what is said to arguments that are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from gateway.process import admin


@pytest.fixture
def run(monkeypatch):
    """Run a command beside a gateway that answers with what it was asked, and under which site file."""

    def find(target: str | None, configured: Path | None = None) -> Path:
        return Path(str(target))

    def ask(path: Path, command: str, **arguments: object) -> dict[str, object]:
        return {"done": f"{path}: {command} {arguments}", "endpoints": [], "metrics": []}

    monkeypatch.setattr(admin, "find", find)
    monkeypatch.setattr(admin, "ask", ask)
    return lambda line: CliRunner().invoke(main, line.split())


def complaint(result: Result) -> str:
    assert result.exit_code == 2, result.output
    return result.stderr.splitlines()[-1]


@pytest.mark.parametrize("line", ["reload a.toml", "reload --site a.toml", "restart --site a.toml"])
def test_the_site_file_is_an_argument_or_an_option(run, line):
    assert run(line).stdout == f"a.toml: {line.split()[0]} {{}}\n"


@pytest.mark.parametrize("command", ["endpoints", "metrics"])
def test_commands_that_list_take_the_option_too(run, command):
    assert run(f"{command} --site a.toml").exit_code == 0


def test_a_site_file_is_named_once(run):
    assert complaint(run("reload a.toml --site b.toml")).endswith("named twice: a.toml and --site b.toml")


@pytest.mark.parametrize("command", ["drain", "maintenance", "enable", "weight"])
def test_a_site_file_behind_the_arguments_gets_the_option_that_was_meant(run, command):
    words = f"{command} app 127.0.0.1:9 {'5 ' * (command == 'weight')}"
    assert run(f"{words} --site sess.toml").exit_code == 0
    said = complaint(run(f"{words} sess.toml"))
    assert said.endswith("there is no use for 'sess.toml'; which gateway is meant is said by --site sess.toml")
    assert complaint(run(f"{words} more words")).endswith("there is no use for 'more' 'words'")


@pytest.mark.parametrize("weight", ["-1", "-0.5", "1.5", "many", "1_0", ""])
def test_a_weight_that_is_none_is_told_what_one_is(run, weight):
    result = CliRunner().invoke(main, ["weight", "app", "127.0.0.1:9", weight])
    assert complaint(result).endswith(f"a weight is a whole number from 0 to 65535, not {weight!r}")


def test_a_weight_and_options_in_any_order(run):
    assert "'weight': 5" in run("weight --site a.toml app 127.0.0.1:9 5").stdout
    assert "'weight': 0" in run("weight app --admin a.sock 127.0.0.1:9 0").stdout
