"""Settings: what is refused when they are read, and with which words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from gateway_static import ServeFiles
from pydantic import ValidationError

from gateway import App
from gateway.config.loader import load


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "root"),
        ({"root": []}, "at least one directory"),
        ({"root": ".", "rot": 1}, "did you mean 'root'"),
        ({"root": ".", "missing": "maybe"}, "'404' or 'pass'"),
        ({"root": ".", "strip_prefix": "assets"}, "begins with a slash"),
        ({"root": ".", "strip_prefix": "/a/../b"}, "no prefix"),
        ({"root": ".", "strip_prefix": "/a%20b"}, "no prefix"),
        ({"root": ".", "index": ["a/b"]}, "without a slash"),
        ({"root": ".", "fallback": "/../x"}, "below the root"),
        ({"root": ".", "fallback": "/"}, "below the root"),
        ({"root": ".", "try_files": ["{uri}"]}, "{path}"),
        ({"root": ".", "try_files": ["../{path}"]}, "names no file"),
        ({"root": ".", "types": {"a": "text"}}, "media type"),
        ({"root": ".", "types": {"a": "text/plain\r\nx: y"}}, "media type|CR"),
        ({"root": ".", "cache": {"*": "a\nb"}}, "CR, LF"),
        ({"root": ".", "error_pages": {"200": "a.html"}}, "greater than or equal to 400"),
        ({"root": ".", "error_pages": {"404": "/.git"}}, "names no file"),
        ({"root": ".", "precompressed": ["deflate"]}, "'gzip'"),
        ({"root": ".", "max_names": 1}, "greater than or equal to 16"),
    ],
)
def test_a_mistake_is_named(settings, message):
    with pytest.raises(ValidationError, match=message):
        ServeFiles.Config.model_validate(settings)


def test_every_example_of_the_readme_loads(tmp_path):
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    examples = re.findall(r"```toml\n(.*?)```", readme, re.DOTALL)
    assert len(examples) == 3
    for number, example in enumerate(examples):
        listener = "" if "[[listeners]]" in example else '[[listeners]]\nbind = "127.0.0.1:0"\n'
        upstream = "" if "[upstreams" in example else '[upstreams.app]\nendpoints = ["http://127.0.0.1:1"]\n'
        site = tmp_path / f"{number}.toml"
        site.write_text(f"{example}\n{listener}{upstream}")
        assert "ServeFiles" in repr(App(load(str(site)))._every_plugin)


def test_one_root_or_several_may_be_given():
    assert len(ServeFiles.Config.model_validate({"root": "a"}).root) == 1
    assert len(ServeFiles.Config.model_validate({"root": ["a", "b"]}).root) == 2
