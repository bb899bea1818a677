"""The README holds: every command and snippet in it is run, every name in its tables exists.

`/etc/gateway` and the like are a folder of the test, and where something is started, ports and endpoints are
ones of ours; `gateway check` reads the listeners and endpoints as they stand. Of the output that an example
shows, every line must come, whatever its numbers.
"""

from __future__ import annotations

import configparser
import inspect
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import NamedTuple

import click
import pytest

import gateway
from gateway.cli import main
from gateway.config.types import parse_duration
from gateway.testing import Authority, Client, require_program, run_command, wait_until
from gateway.testing.process import COMMAND, LISTENING
from gateway.testing.pytest_plugin import OriginFactory

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text()
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ENDPOINT = re.compile(r"http://[\d.]+:\d+")
FOLDERS = re.compile(r"/(?:etc|run|var/log)/gateway/")
NAMED = re.compile(r"# ([\w/]+\.(?:py|toml))\n")


class Block(NamedTuple):
    """One fenced block, and where it begins."""

    line: int
    language: str
    text: str

    @property
    def file_name(self) -> str:
        """`# deny.py` in the first line, or nothing."""
        found = NAMED.match(self.text)
        return found[1] if found else ""


BLOCKS = [Block(README.count("\n", 0, each.start()) + 1, each[1], each[2]) for each in FENCE.finditer(README)]
SITES = [each for each in BLOCKS if each.language == "toml" and not each.file_name]


def blocks(language: str) -> list[object]:
    return params([each for each in BLOCKS if each.language == language])


def params(chosen: list[Block]) -> list[object]:
    return [pytest.param(each, id=f"line {each.line}") for each in chosen]


def site_of(block: Block) -> str:
    """The site file that an example is about: the block itself, or the nearest above it."""
    sites = [each.text for each in SITES if each.line <= block.line]
    return sites[-1] if sites else ""


class Reader:
    """Somebody who types in what the README says, in a folder with its files."""

    def __init__(self, directory: Path, origin: OriginFactory, authority: Authority, stack: ExitStack) -> None:
        self.directory = directory
        self._origin = origin
        self._authority = authority
        self._stack = stack
        self._urls: dict[str, str] = {}
        self._gateway: subprocess.Popen[bytes] | None = None
        self._log = directory / "stderr.log"
        self._packages = directory / "packages"

    def lay_out(self, block: Block) -> None:
        """Write the files that the block stands on: those that are named, the site file, its certificate."""
        for each in BLOCKS:
            if each.file_name and each.line <= block.line:
                path = self.directory / each.file_name
                path.parent.mkdir(exist_ok=True)
                path.write_text(each.text)
                if path.parent != self.directory:
                    (path.parent / "__init__.py").touch()
        site = FOLDERS.sub(f"{self.directory}/", site_of(block))
        (self.directory / "site.toml").write_text(site)
        if "cert.pem" in site:
            issued = self._authority.issue("localhost")
            (self.directory / "cert.pem").write_bytes(issued.cert.read_bytes())
            (self.directory / "key.pem").write_bytes(issued.key.read_bytes())

    def type_in(self, command: str) -> str:
        """Run one command of a console block; what it said."""
        words = shlex.split(command, comments=True)
        match words:
            case ["make", target, *variables]:
                return make(target, *variables)
            case ["mkdir", "-p", *folders]:
                for folder in folders:
                    (self.directory / self.here(f"{folder}/")).mkdir(parents=True, exist_ok=True)
                return ""
            case ["pip", "install", "."]:
                return self.install()
            case ["pip", "install", *folders]:
                for folder in folders:
                    assert [*REPOSITORY.glob(f"{folder.removesuffix('/')}/pyproject.toml")], folder
                return ""
            case ["curl", *options, url]:
                url = ENDPOINT.sub(self.url, url)
                return output_of([require_program("curl"), "--silent", "--show-error", *options, url])
            case ["gateway", "run", *arguments]:
                return self.run_gateway(arguments)
            case ["gateway", "check" | "plugins" | "profiles" as name, *arguments]:
                return gateway_command(self.directory, name, *arguments)
            case ["gateway", "purge", *arguments]:
                return gateway_command(self.directory, "purge", *arguments)
            case ["gateway", "reload" | "restart" | "status" as name, *arguments]:
                if self._gateway is None:
                    self.run_gateway(["/etc/gateway/site.toml"])
                return gateway_command(self.directory, name, *(self.here(word) for word in arguments))
        raise AssertionError(f"teach this test what to do with: {command}")

    def install(self) -> str:
        """Build the package that was laid out, and install it where only this reader's gateway looks."""
        options = ["--quiet", "--no-deps", "--no-build-isolation", "--target", str(self._packages)]
        return output_of([sys.executable, "-m", "pip", "install", *options, "."], self.directory)

    @property
    def url(self) -> str:
        """Where the gateway that was started last listens."""
        scheme, _, host, port = LISTENING.search(self._log.read_text()).groups()
        return f"{scheme}://{host}:{port}"

    def here(self, text: str) -> str:
        """The folders of a real machine are this one, its endpoints origins of ours, its ports free ones."""
        text = FOLDERS.sub(f"{self.directory}/", text)
        text = ENDPOINT.sub(lambda found: self._endpoint(found[0]), text)
        hosts = count(1)  # addresses of their own: two listeners on one and port 0 would be the same one
        return re.sub(r'(?m)^bind = "[^"]+"', lambda _: f'bind = "127.0.0.{next(hosts)}:0"', text)

    def _endpoint(self, url: str) -> str:
        if url not in self._urls:
            self._urls[url] = self._origin().url
        return self._urls[url]

    def run_gateway(self, arguments: list[str]) -> str:
        """Start it, wait until it is ready, and see that it answers. The one before it is stopped."""
        self.stop()
        site = self.directory / "site.toml"
        site.write_text(self.here(site.read_text()))
        arguments = [self.here(word) for word in arguments]
        for place, word in enumerate(arguments):
            if word == "--listen":
                arguments[place + 1] = "127.0.0.1:0"
        with self._log.open("wb") as log:
            command = [*COMMAND, "run", *arguments]
            self._gateway = subprocess.Popen(
                command,
                cwd=self.directory,
                env={**os.environ, "PYTHONPATH": str(self._packages)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        self._stack.callback(self.stop)
        wait_until(self._is_settled, within=30, message=f"{shlex.join(command)} is not ready")
        assert "gateway: ready" in self._log.read_text(), self._log.read_text()
        host, _, port = self.url.partition("://")[2].partition(":")
        with Client((host, int(port))) as client:
            assert client.request(b"GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n").status == 200
        return self._log.read_text()

    def _is_settled(self) -> bool:
        return "gateway: ready" in self._log.read_text() or self._gateway.poll() is not None

    def stop(self) -> None:
        """Stop the gateway, if one runs."""
        if self._gateway is not None:
            self._gateway.terminate()
            try:
                self._gateway.wait(10)
            except subprocess.TimeoutExpired:
                self._gateway.kill()
                self._gateway.wait(5)
            self._gateway = None


@pytest.fixture
def reader(tmp_path: Path, origin: OriginFactory, authority: Authority) -> Iterator[Reader]:
    with ExitStack() as stack:
        yield Reader(tmp_path, origin, authority, stack)


def make(target: str, *variables: str) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    return output_of([require_program("make"), "--dry-run", target, *variables], REPOSITORY, environment)


def output_of(command: list[str], directory: Path | None = None, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def gateway_command(directory: Path, *arguments: str) -> str:
    done = run_command(*arguments, directory=directory, within=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def without_numbers(text: str) -> list[str]:
    return [re.sub(r"\d+", "0", line.strip()) for line in text.splitlines()]


def test_every_block_is_of_a_kind_that_is_tested_here():
    assert {each.language for each in BLOCKS} == {"console", "text", "toml", "python", "ini"}
    assert not [each for each in BLOCKS if each.language == "text" and re.search(r"^\$ (?!gateway run)", each.text)]


def test_every_file_of_python_says_its_name():
    assert all(each.file_name for each in BLOCKS if each.language == "python")


@pytest.mark.parametrize("block", params(SITES))
def test_a_site_file_of_the_readme_is_valid_as_it_stands(reader, block):
    reader.lay_out(block)
    (reader.directory / "public").mkdir()
    assert "The configuration is valid." in gateway_command(reader.directory, "check", "site.toml")


def test_the_smallest_site_file_has_eight_lines():
    assert len(SITES[0].text.splitlines()) == 8


@pytest.mark.parametrize("block", blocks("console"))
def test_the_commands_of_the_readme_do_what_it_shows(reader, block):
    reader.lay_out(block)
    said: list[str] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            said = without_numbers(reader.here(reader.type_in(line[2:])))
        else:
            assert without_numbers(reader.here(line))[0] in said


@pytest.mark.parametrize("block", params([each for each in BLOCKS if each.file_name.startswith("test_")]))
def test_the_tests_of_the_readme_pass_with_the_plugins_above_them(reader, block):
    reader.lay_out(block)
    said = output_of([sys.executable, "-m", "pytest", "-q", block.file_name], reader.directory)
    assert f"{block.text.count('def test_')} passed" in said


@pytest.mark.parametrize("block", blocks("ini"))
def test_the_unit_fits_what_it_runs(block):
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str
    unit.read_string(block.text)
    service = unit["Service"]
    assert service["ExecStart"].split()[1:] == ["run", "/etc/gateway/site.toml"]
    assert service["ExecStartPre"].split()[1:] == ["check", "/etc/gateway/site.toml"]
    assert service["KillMode"] == "mixed", "SIGTERM is for the supervisor alone"
    drain = tomllib.loads(site_of(block)).get("drain_timeout", "30s")
    assert float(service["TimeoutStopSec"]) > parse_duration(drain) + 3, "the supervisor kills after the deadline"


def test_the_commands_in_tables_and_text_exist():
    for program, name in set(re.findall(r"`(make|gateway) ([a-z-]+)", README)):
        if program == "make":
            make(name)
        else:
            assert name in main.list_commands(click.Context(main)), name


def test_the_tables_name_every_package_and_what_it_announces():
    for path in [*REPOSITORY.glob("plugins/*/pyproject.toml"), *REPOSITORY.glob("profiles/*/pyproject.toml")]:
        project = tomllib.loads(path.read_text())["project"]
        folder = str(path.parent.relative_to(REPOSITORY))
        row = next((line for line in README.splitlines() if line.startswith("|") and f"]({folder})" in line), "")
        assert row, f"{project['name']} is not in the tables"
        announced = project["entry-points"]
        for name in {**announced.get("gateway.plugins", {}), **announced.get("gateway.profiles", {})}:
            assert f"`{name}`" in row


def test_what_hooks_are_given_has_what_the_table_says():
    table = README.partition("| Given to hooks |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([^:;\n]+)", table, re.MULTILINE)
    assert len(rows) == 9
    for name, attributes in rows:
        cls = getattr(gateway, name)
        known = {*dir(cls), *getattr(cls, "__annotations__", {}), *inspect.signature(cls.__init__).parameters}
        for attribute in re.findall(r"`(\w+)`", attributes):
            assert attribute in known or f"self.{attribute}" in inspect.getsource(cls), f"{name}.{attribute}"


def test_the_types_of_settings_are_there():
    table = README.partition("| Type of a setting |")[2].partition("\n\n")[0]
    for name in re.findall(r"^\| `([A-Z]\w+)`(?:, `([A-Z]\w+)`)?", table, re.MULTILINE):
        assert all(hasattr(gateway, each) for each in name if each)


def test_links_lead_to_files():
    # perf/README.md is written by the first full run of the benchmark.
    text = re.sub(r"<!-- performance:begin -->.*<!-- performance:end -->", "", README, flags=re.DOTALL)
    assert text != README
    for target in re.findall(r"\]\(([^):#]+)", text):
        assert (REPOSITORY / target).exists(), target
