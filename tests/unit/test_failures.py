"""What is said of a plugin that failed leads its author to a line of his own."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import TypeAdapter

from gateway import ConfigurationError
from gateway.config.types import parse_duration
from gateway.failures import refusal, said


def caught(call, *arguments: object) -> Exception:
    try:
        call(*arguments)
    except (OSError, ValueError) as error:
        return error
    raise AssertionError("it has not failed")


def line_of(text: str) -> int:
    lines = Path(__file__).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.strip() == text)


def parse_port(text: str) -> int:
    return json.loads(text)  # where it fails is json's


class TestSaid:
    def test_the_line_is_the_plugins_own_not_that_of_a_library_behind_it(self):
        own = line_of("return json.loads(text)  # where it fails is json's")
        assert said(caught(parse_port, "x"), __name__) == (
            f"test_failures.py line {own}: JSONDecodeError: Expecting value: line 1 column 1 (char 0)"
        )

    def test_without_a_line_of_the_plugin_the_last_one_is_named(self):
        assert said(caught(json.loads, "x"), "my_plugin").startswith("decoder.py line ")

    def test_a_failure_without_any_text_is_known_by_its_type(self):
        assert said(KeyError()) == "KeyError"

    def test_a_message_of_several_lines_is_told_in_one(self):
        told = said(caught(TypeAdapter(int).validate_python, "x"), __name__)
        assert "\n" not in told
        assert "errors.pydantic.dev" not in told

    def test_the_lines_of_the_gateway_are_nobodys(self):
        error = caught(parse_duration, "soon")
        assert said(error, "my_plugin").startswith("test_failures.py line ")

    def test_the_file_of_a_package_is_told_with_the_package(self):
        error = SyntaxError("invalid syntax", ("/site-packages/mine/__init__.py", 3, 1, "x ="))
        assert said(error, "mine") == "mine/__init__.py line 3: SyntaxError: invalid syntax"


class TestRefusals:
    def refused(self, error: Exception, hook: str = "startup") -> str:
        return refusal("site.toml", "mine", self, error, hook)

    def test_what_a_plugin_says_on_purpose_stands_alone(self):
        assert self.refused(ConfigurationError("no table")) == "site.toml: plugins.mine: no table"

    def test_a_file_that_is_not_there_is_the_sites_business(self):
        error = caught(Path("/absent/file").read_text)
        assert self.refused(error) == "site.toml: plugins.mine: /absent/file: No such file or directory"

    def test_a_store_that_does_not_answer_is_told_with_the_line_that_asked(self):
        told = self.refused(ConnectionRefusedError(111, "Connection refused"))
        assert told == (
            "site.toml: plugins.mine: failed in startup: ConnectionRefusedError: [Errno 111] Connection refused"
        )

    def test_the_hook_that_failed_is_named(self):
        assert (
            self.refused(KeyError("a"), "on_check") == "site.toml: plugins.mine: failed in on_check: KeyError: 'a'"
        )
