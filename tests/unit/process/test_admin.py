"""The admin socket: for its owner alone, one command and one reply, and the right gateway is found."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import stat
from pathlib import Path

import orjson
import pytest

from gateway import ConfigurationError
from gateway.process import admin


async def answer(command: str, arguments: dict[str, object]) -> dict[str, object]:
    """Say what was asked."""
    if command == "status":
        return {"target": arguments.get("as", "/etc/site.toml"), "listeners": []}
    return {"done": command, **arguments}


@pytest.fixture
async def serve(tmp_path):
    """Serve on paths: `await serve("a.sock", target="/a.toml")`."""
    servers = []

    async def start(name: str, target: str = "/etc/site.toml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)

        async def reply(command: str, arguments: dict[str, object]) -> dict[str, object]:
            return await answer(command, {"as": target} if command == "status" else arguments)

        servers.append(await admin.serve(path, reply))
        return path

    yield start
    for server in servers:
        server.close()
        await server.wait_closed()


async def say(path: Path, line: bytes) -> dict[str, object]:
    """Send one literal line; the reply."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(line)
    writer.write_eof()
    async with asyncio.timeout(5):
        reply = await reader.readline()
    writer.close()
    return orjson.loads(reply)


async def until_settled() -> None:
    """Let the conversations under way come to their end."""
    async with asyncio.timeout(5):
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)


def _ask_plainly(path: Path) -> dict[str, object]:
    return admin.ask(path, "x")


class TestSocket:
    async def test_only_its_owner_may_use_it(self, serve):
        path = await serve("a.sock")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    async def test_the_mask_of_the_process_is_put_back(self, serve):
        before = os.umask(0o027)
        try:
            await serve("a.sock")
            assert os.umask(0o027) == 0o027
        finally:
            os.umask(before)

    async def test_a_socket_left_behind_is_replaced(self, serve, tmp_path):
        with socket.socket(socket.AF_UNIX) as left_behind:
            left_behind.bind(str(tmp_path / "a.sock"))
        assert (await say(await serve("a.sock"), b'{"command":"x"}\n')) == {"done": "x"}

    async def test_a_file_and_a_socket_in_use_are_left_alone(self, serve, tmp_path):
        (tmp_path / "a.txt").write_text("mine")
        with pytest.raises(
            ConfigurationError, match=r"admin_socket: .*a\.txt: a file that is no socket is in the way"
        ):
            await serve("a.txt")
        assert (tmp_path / "a.txt").read_text() == "mine"
        await serve("a.sock")
        with pytest.raises(
            ConfigurationError,
            match=r"admin_socket: .*a\.sock is served by another gateway",
        ):
            await serve("a.sock")

    async def test_a_command_that_fails_gets_an_answer_too(self, tmp_path, caplog):
        async def failing(command: str, arguments: dict[str, object]) -> dict[str, object]:
            raise RuntimeError("a bug")

        async with await admin.serve(tmp_path / "a.sock", failing):
            reply = await asyncio.to_thread(_ask_plainly, tmp_path / "a.sock")
        assert "a bug" in reply["error"]
        assert "a command failed" in caplog.text

    async def test_whoever_hangs_up_leaves_nothing_in_the_log(self, tmp_path, caplog):
        caplog.set_level(logging.INFO)
        is_asked, has_hung_up = asyncio.Event(), asyncio.Event()

        async def slowly(command: str, arguments: dict[str, object]) -> dict[str, object]:
            is_asked.set()
            await has_hung_up.wait()
            return {"done": "x" * 100_000}

        async with await admin.serve(path := tmp_path / "a.sock", slowly):
            assert await asyncio.to_thread(admin.is_served, path)
            with socket.socket(socket.AF_UNIX) as impatient:
                impatient.connect(str(path))
                impatient.sendall(b'{"command":"reload"}\n')
                await asyncio.wait_for(is_asked.wait(), 5)
            has_hung_up.set()
            await until_settled()
        assert caplog.messages == []

    async def test_a_path_that_cannot_be_is_named(self, tmp_path):
        with pytest.raises(ConfigurationError, match=r"admin_socket: .*absent/a\.sock: No such file"):
            await admin.serve(tmp_path / "absent" / "a.sock", answer)


class TestConversation:
    async def test_a_command_and_its_arguments_get_one_reply(self, serve):
        path = await serve("a.sock")
        reply = await asyncio.to_thread(admin.ask, path, "drain", endpoint="a:80")
        assert reply == {"done": "drain", "endpoint": "a:80"}

    @pytest.mark.parametrize(
        "line",
        [
            b"\n",
            b"",
            b"hello\n",
            b"[]\n",
            b"[1]\n",
            b"5\n",
            b'"x"\n',
            b"{}\n",
            b"null\n",
            b"\xff\n",
            b"x" * 100_000,
        ],
    )
    async def test_what_is_no_command_is_answered_too(self, serve, line):
        reply = await say(await serve("a.sock"), line)
        assert str(reply["error"]).startswith("not understood")

    def test_a_socket_that_nobody_answers_on_is_named(self, tmp_path):
        with pytest.raises(ConfigurationError, match=r"no answer on .*absent\.sock"):
            admin.ask(tmp_path / "absent.sock", "status")

    async def test_a_gateway_that_goes_without_an_answer_is_named(self, tmp_path):
        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.close()

        server = await asyncio.start_unix_server(hang_up, str(tmp_path / "a.sock"))
        with pytest.raises(ConfigurationError, match="no answer"):
            await asyncio.to_thread(admin.ask, tmp_path / "a.sock", "status")
        server.close()
        await server.wait_closed()


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The folder in which admin sockets are looked for."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "gateway"


class TestPlaces:
    def test_a_configured_path_is_taken_as_it_is(self, tmp_path):
        assert admin.socket_path(tmp_path / "x.sock") == tmp_path / "x.sock"

    def test_the_folder_is_made_for_its_owner_alone(self, folder):
        path = admin.socket_path(None)
        assert path == folder / f"{os.getpid()}.sock"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    def test_without_a_runtime_folder_there_is_one_for_each_user(self, monkeypatch):
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
        monkeypatch.setattr(os, "geteuid", lambda: 4711)
        assert admin.default_folder().name == "gateway-4711"
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        assert admin.default_folder() == Path("/run/gateway")

    def test_a_folder_that_others_may_write_to_is_refused(self, folder):
        folder.mkdir()
        folder.chmod(0o777)
        with pytest.raises(ConfigurationError, match="may write to"):
            admin.socket_path(None)

    def test_a_folder_of_somebody_else_is_refused(self, folder, monkeypatch):
        folder.mkdir(mode=0o700)
        monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
        with pytest.raises(ConfigurationError, match="belongs to somebody else"):
            admin.socket_path(None)


class TestFinding:
    async def test_the_only_one_that_runs_is_meant(self, folder, serve):
        path = await serve("gateway/1.sock")
        assert await asyncio.to_thread(admin.find, None) == path

    async def test_of_several_the_one_that_serves_the_file_is_meant(self, folder, serve, tmp_path):
        await serve("gateway/1.sock", str(tmp_path / "a.toml"))
        wanted = await serve("gateway/2.sock", str(tmp_path / "b.toml"))
        assert await asyncio.to_thread(admin.find, str(tmp_path / "x" / ".." / "b.toml")) == wanted

    async def test_one_that_serves_a_profile_is_named_by_that(self, folder, serve):
        await serve("gateway/1.sock", "/a.toml")
        wanted = await serve("gateway/2.sock", "l7-balancer")
        assert await asyncio.to_thread(admin.find, "l7-balancer") == wanted

    async def test_two_that_serve_one_file_are_told_apart_by_their_sockets_alone(self, folder, serve):
        for name in ("1", "2"):
            await serve(f"gateway/{name}.sock", "/a.toml")
        with pytest.raises(ConfigurationError, match="several gateways are running") as caught:
            await asyncio.to_thread(admin.find, "/a.toml")
        assert f"--admin {folder}/2.sock" in str(caught.value)
        assert "--site" not in str(caught.value)

    async def test_of_several_without_a_name_all_are_listed(self, folder, serve):
        await serve("gateway/1.sock", "/a.toml")
        await serve("gateway/2.sock", "/b.toml")
        with pytest.raises(ConfigurationError, match="several gateways are running") as caught:
            await asyncio.to_thread(admin.find, None)
        assert f": --site /a.toml or --admin {folder}/1.sock\n" in str(caught.value)
        assert f": --site /b.toml or --admin {folder}/2.sock" in str(caught.value)

    async def test_a_file_that_nobody_serves_lists_what_is_served(self, folder, serve):
        await serve("gateway/1.sock", "/a.toml")
        with pytest.raises(ConfigurationError, match="no running gateway serves") as caught:
            await asyncio.to_thread(admin.find, "/b.toml")
        assert "/a.toml" in str(caught.value)

    def test_nothing_runs(self, folder):
        with pytest.raises(ConfigurationError, match="no gateway of yours is running"):
            admin.find(None)

    async def test_what_a_killed_gateway_left_behind_is_cleared_away(self, folder, serve):
        folder.mkdir()
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(folder / "9.sock"))
        path = await serve("gateway/1.sock")
        assert await asyncio.to_thread(admin.find, None) == path
        assert not (folder / "9.sock").exists()

    def test_a_configured_socket_needs_no_search(self, tmp_path):
        assert admin.find("anything", tmp_path / "x.sock") == tmp_path / "x.sock"
