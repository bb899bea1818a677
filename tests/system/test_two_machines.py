"""Two gateways share an address by keepalived, with the files of the README: machines are network namespaces."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway.testing import GatewayProcess, require_program, wait_until

README = (Path(__file__).parents[2] / "README.md").read_text()
SITE, KEEPALIVED = re.findall(
    r"^```(?:toml|text)\n(.*?)^```$", README.partition("## Two machines\n")[2].partition("\n## ")[0], re.M | re.S
)
SHARED = "10.0.0.10"
QUICKER = ("    virtual_router_id 51\n", "    virtual_router_id 51\n    advert_int 0.2\n")
"""Elections take a fifth of the README's time."""


class Machine:
    """A network namespace with the address 10.0.0.NUMBER, a gateway and a keepalived."""

    def __init__(self, network: str, number: int, directory: Path, stack: ExitStack) -> None:
        directory.mkdir()
        self._name, self._directory, self._stack = f"{network}-{number}", directory, stack
        add_namespace(self._name, stack)
        ip("-n", network, "link", "add", f"to{number}", "type", "veth", "peer", "eth0", "netns", self._name)
        ip("-n", network, "link", "set", f"to{number}", "master", "bridge", "up")
        ip("-n", self._name, "address", "add", f"10.0.0.{number}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            ip("-n", self._name, "link", "set", device, "up")
        (directory / "keepalived.conf").write_text(KEEPALIVED.replace(*QUICKER))
        under = ("ip", "netns", "exec", self._name)
        self.gateway = stack.enter_context(
            GatewayProcess(SITE, directory, arguments=("--workers", "1"), under=under)
        )

    def start_keepalived(self) -> None:
        """Take part in the election from now on."""
        files = [f"--{name}={self._directory / name}" for name in ("pid", "vrrp_pid")]
        with (self._directory / "keepalived.log").open("ab") as log:
            command = ["ip", "netns", "exec", self._name, "keepalived", "--dont-fork", "--log-console", *files]
            command.append(f"--use-file={self._directory / 'keepalived.conf'}")
            self._keepalived = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._stack.callback(self._kill_keepalived, self._keepalived)

    def stop_keepalived(self) -> None:
        """Leave, with a word to the other machine."""
        self._keepalived.terminate()
        self._keepalived.wait(10)

    def _kill_keepalived(self, keepalived: subprocess.Popen[bytes]) -> None:
        if keepalived.poll() is None:
            os.killpg(keepalived.pid, signal.SIGKILL)
            keepalived.wait(5)

    def has_address(self) -> bool:
        """Whether the shared address is here."""
        return f" {SHARED}/24 " in ip("-n", self._name, "-brief", "address", "show", "dev", "eth0")


def ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def add_namespace(name: str, stack: ExitStack) -> None:
    ip("netns", "add", name)
    stack.callback(ip, "netns", "delete", name)


@pytest.fixture
def network() -> Iterator[str]:
    """A namespace with a bridge and the address 10.0.0.3, where clients are."""
    for program in ("ip", "keepalived", "curl"):
        require_program(program)
    name = f"gateway{os.getpid()}"
    with ExitStack() as stack:
        try:
            add_namespace(name, stack)
            ip("-n", name, "link", "add", "bridge", "type", "bridge")
        except AssertionError as error:
            pytest.skip(f"network namespaces are not permitted here: {str(error).splitlines()[0]}")
        ip("-n", name, "address", "add", "10.0.0.3/24", "dev", "bridge")
        ip("-n", name, "link", "set", "bridge", "up")
        yield name


@pytest.fixture
def machines(network: str, tmp_path: Path) -> Iterator[list[Machine]]:
    with ExitStack() as stack:
        yield [Machine(network, number, tmp_path / str(number), stack) for number in (11, 12)]


def test_the_address_goes_to_the_other_machine_if_keepalived_stops_and_if_the_gateway_dies(network, machines):
    def status() -> str:
        command = ["curl", "--silent", "--max-time", "1", "--output", "/dev/null", "--write-out", "%{http_code}"]
        command = ["ip", "netns", "exec", network, *command, f"http://{SHARED}/ready"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def holds(machine: Machine) -> bool:
        return machine.has_address() and status() == "200"

    for each in machines:
        each.start_keepalived()
    first = wait_until(lambda: next(filter(holds, machines), None), within=20, message="nobody has the address")
    (second,) = (each for each in machines if each is not first)

    first.stop_keepalived()
    wait_until(lambda: holds(second), within=20, message="the address stays where keepalived stopped")
    assert not first.has_address()

    first.start_keepalived()
    second.gateway.kill()
    wait_until(lambda: holds(first), within=20, message="the address stays where the gateway died")
