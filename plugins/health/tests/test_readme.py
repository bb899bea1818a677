"""What the README shows is a site file that loads, and does what the README says."""

from __future__ import annotations

import re
from pathlib import Path

from gateway import App
from gateway.config.loader import load

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_long_example_lays_each_upstream_over_all(tmp_path, authority):
    example = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)[1]
    (tmp_path / "internal.pem").write_bytes(authority.cert.read_bytes())
    (tmp_path / "site.toml").write_text(example)
    settings = App(load(str(tmp_path / "site.toml"))).tables["health"]
    assert [settings[name].kind for name in ("web", "rpc", "legacy")] == ["http", "grpc", "none"]
    assert (settings["web"].path, settings["web"].host) == ("/status?full=1", "web.internal")
    assert settings["rpc"].path == "/healthz"
    assert [settings[name].passive.is_on for name in ("web", "rpc", "legacy")] == [True, True, False]
