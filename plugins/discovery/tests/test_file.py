"""Endpoints in a file: read when it changes, refused with the place that is wrong."""

from __future__ import annotations

import logging

import pytest
from gateway_discovery.file import FileLookup, read_endpoints
from gateway_discovery.lookup import NotFound, Watch

TOML = 'endpoints = ["http://a", { url = "http://b", weight = 3, zone = "eu", priority = 1 }]'
JSON = '["http://a", {"url": "http://b", "weight": 3, "zone": "eu", "priority": 1}]'


@pytest.mark.parametrize(
    ("name", "text"), [("e.toml", TOML), ("e.json", JSON), ("e.json", f'{{"endpoints": {JSON}}}')]
)
def test_it_is_written_as_in_a_site_file(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    first, second = read_endpoints(path)
    assert (first.url, first.weight) == ("http://a", 1)
    assert (second.url, second.weight, second.zone, second.priority) == ("http://b", 3, "eu", 1)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("e.toml", "endpoints = [", "not TOML"),
        ("e.toml", b"\xff", "not TOML"),
        ("e.json", "{", "not JSON"),
        ("e.toml", "endpoint = []", r"expected a list: endpoints = \[ … \]"),
        ("e.toml", 'endpoints = ["http://a", "ftp://b"]', r"endpoints\[1\]\.url: "),
        ("e.toml", "endpoints = [{ url = 'http://a', wait = 1 }]", r"endpoints\[0\]"),
    ],
)
def test_what_is_wrong_in_it_is_named(tmp_path, name, text, said):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(NotFound, match=said):
        read_endpoints(path)


async def test_each_thing_that_is_wrong_in_turn_is_logged(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    path = tmp_path / "e.toml"
    watch = Watch(FileLookup(path, 0.5), lambda found: None, name="upstream 'app'", interval=(1, 300), retry=2)
    for text in (TOML, 'endpoints = ["ftp://b"]', "endpoints = [", None, "endpoints = []", TOML):
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)
        await watch.look()
        await watch.look()
    told = [record.getMessage().removeprefix("upstream 'app': ") for record in caplog.records]
    assert [line.split(";")[0].partition(" (at")[0] for line in told] == [
        "endpoints[0].url: scheme 'ftp' is not http or https, in 'ftp://b'",
        "not TOML: Invalid value",
        "cannot be read: No such file or directory",
        "no endpoint in it",
        "found again",
    ]


async def test_it_is_read_again_when_it_was_replaced(tmp_path):
    path, fresh = tmp_path / "e.toml", tmp_path / "fresh.toml"
    lookup = FileLookup(path, 0.5)
    with pytest.raises(NotFound, match="cannot be read: No such file"):
        await lookup.look()
    path.write_text('endpoints = ["http://a"]')
    assert [item.url for item in (await lookup.look()).endpoints] == ["http://a"]
    fresh.write_text('endpoints = ["http://b"]')
    fresh.rename(path)
    found = await lookup.look()
    assert ([item.url for item in found.endpoints], found.seconds) == (["http://b"], 0.5)
