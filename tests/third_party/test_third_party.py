"""A third party's plugin works as a file beside the site file, and as a package in an environment of its own.

The package is no member of this repository's workspace: it is built and installed as its users would do it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.testing import run_command, site_text

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]


def test_a_plugin_in_a_file_beside_the_site_file_is_used(gateway, origin):
    hook = (HERE / "my_hook.py").read_text()
    site = gateway(endpoints=[origin()], plugins=["./my_hook.py:AddHeader"], files={"my_hook.py": hook})
    assert site.get().header("x-served-by") == b"my-hook"
    assert site.get("/", b"x-served-by: client").header_all("x-served-by") == [b"my-hook"]


def test_a_plugin_in_a_file_can_be_changed_and_reloaded(gateway, origin):
    hook = (HERE / "my_hook.py").read_text()
    site = gateway(endpoints=[origin()], plugins=["./my_hook.py:AddHeader"], files={"my_hook.py": hook})
    (site.directory / "my_hook.py").write_text(hook.replace("my-hook", "my-new-hook"))
    assert site.reload().returncode == 0
    assert site.get().header("x-served-by") == b"my-new-hook"
    (site.directory / "my_hook.py").write_text(hook.replace("on_response", "on_respons"))
    refused = site.reload()
    assert refused.returncode == 2
    assert "on_respons is no hook; did you mean 'on_response'?" in refused.stderr
    assert site.get().header("x-served-by") == b"my-new-hook"


def run(*command: object, within: float) -> None:
    """Run a command that must succeed, without what this environment would lend to it."""
    lent = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    done = subprocess.run(
        [str(part) for part in command],
        env={name: value for name, value in os.environ.items() if name not in lent},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=within,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


PROFILE = """
description = "what we run everywhere"
plugins = ["add-header"]
"""


# One test, so that one worker makes the environment, once.
def test_a_package_in_an_environment_of_its_own_is_found_by_its_name(
    gateway, origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", venv, within=60)
    run(venv / "bin" / "pip", "install", "--quiet", REPOSITORY, HERE / "add-header", within=300)
    monkeypatch.setattr("gateway.testing.process.COMMAND", (str(venv / "bin" / "gateway"),))
    monkeypatch.delenv("PYTHONPATH", raising=False)

    listed = run_command("plugins", directory=tmp_path)
    assert "add-header" in listed.stdout
    assert "gateway-add-header 1.2.3" in listed.stdout
    assert "on_response" in listed.stdout

    app = origin()
    selected = site_text([app], profile="./my-profile.toml")
    site = gateway(selected, files={"my-profile.toml": PROFILE})
    assert site.get().header("x-hello") == b"world"
    assert "add-header" in site.command("check", "site.toml").stdout

    configured = site.reload(f'{selected}plugins.add-header.value = "moon"\n')
    assert configured.returncode == 0, configured.stderr
    assert site.get().header("x-hello") == b"moon"

    wrong = site.reload(f'{selected}plugins.add-header.vallue = "moon"\n')
    assert wrong.returncode == 2
    assert "unknown key 'vallue'; did you mean 'value'?" in wrong.stderr

    installed_only = gateway(endpoints=[app])
    assert installed_only.get().header("x-hello") is None
