"""`--root`: the plugin static for a folder, whatever the site says of plugins."""

from __future__ import annotations

import pytest

from gateway.config.loader import load

LISTEN = 'listeners = [{ bind = "127.0.0.1:0" }]\n'
UPSTREAM = 'upstreams.app.endpoints = ["http://127.0.0.1:1"]\n'


@pytest.mark.parametrize(
    ("plugins", "names"),
    [
        ("", ["static"]),
        ('plugins = ["request-id"]\n', ["request-id", "static"]),
        ('plugins = ["request-id", { use = "static", listing = true }]\n', ["request-id", "static"]),
        ("plugins.headers = {}\n", ["headers", "static"]),
        ("plugins.static.listing = true\n", ["static"]),
    ],
)
def test_the_plugin_is_added_to_those_of_the_site(tmp_path, plugins, names):
    site = tmp_path / "site.toml"
    site.write_text(plugins + LISTEN + UPSTREAM)
    settings = load(str(site), root=str(tmp_path)).settings()
    assert [use.use for use in settings.plugins] == names
    static = settings.plugins[-1].config
    assert static["root"] == str(tmp_path)
    assert static["missing"] == "pass"
    assert static.get("listing", False) == ("listing" in plugins)
    assert [use.use for use in settings.routes[0].plugins] == names


def test_without_an_upstream_there_is_a_route_all_the_same(tmp_path):
    site = tmp_path / "site.toml"
    site.write_text(LISTEN)
    settings = load(str(site), root=str(tmp_path)).settings()
    (route,) = settings.routes
    assert route.respond.status == 404
    assert route.plugins[-1].config["missing"] == "404"
