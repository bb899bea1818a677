"""shared_file: who finds which file, what it looks like to others, and when it goes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
import subprocess

import pytest
from gateway_security import shared_file
from gateway_security.shared_file import Owner, SharedFile, shared_folder, supervisor

from gateway import ConfigurationError

FORKED = multiprocessing.get_context("fork")


@pytest.fixture
def make(tmp_path):
    """`make()`: open the file as another worker does."""
    files = []

    def open_file(meaning: str = "a test", size: int = 8192, owner: Owner | None = None) -> SharedFile:
        files.append(SharedFile("rate-limit", meaning, size, prepare, folder=tmp_path, owner=owner))
        return files[-1]

    yield open_file
    for file in files:
        file.close()


def prepare(fd: int, memory: object) -> None:
    os.posix_fallocate(fd, 0, 4096)
    memory[:5] = b"ready"


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_workers_of_one_gateway_see_the_same_memory(make):
    one, other = make(), make()
    one.memory[100:104] = b"word"
    assert other.memory[100:104] == b"word"
    assert other.memory[:5] == b"ready"


def test_another_purpose_another_gateway_and_another_size_have_files_of_their_own(make, tmp_path):
    make()
    make(meaning="another")
    make(owner=Owner(1, "77"))
    make(size=4096)
    assert len(names(tmp_path)) == 4


def test_only_its_owner_can_read_it(make):
    assert stat.S_IMODE(make().path.stat().st_mode) == 0o600


def test_it_goes_with_the_last_who_leaves(make, tmp_path):
    one, other = make(), make()
    one.close()
    one.close()
    assert names(tmp_path)
    other.close()
    assert names(tmp_path) == []


def test_whoever_comes_after_that_begins_anew(make):
    first = make()
    first.memory[100:104] = b"word"
    first.close()
    assert make().memory[100:104] == bytes(4)


def test_it_outlives_a_worker_that_is_killed_and_is_found_by_the_next(make, tmp_path):
    owner = Owner(os.getpid(), shared_file._start_of(os.getpid()))

    def die() -> None:
        SharedFile("rate-limit", "a test", 8192, prepare, folder=tmp_path, owner=owner).memory[100:104] = b"word"
        os.kill(os.getpid(), signal.SIGKILL)

    process = FORKED.Process(target=die)
    process.start()
    process.join()
    assert make(owner=owner).memory[100:104] == b"word"


def test_what_a_gateway_that_is_gone_has_left_is_removed_unless_somebody_uses_it(make, tmp_path):
    gone = subprocess.Popen(["sleep", "60"])
    owner = Owner(gone.pid, shared_file._start_of(gone.pid))
    gone.kill()
    gone.wait()
    used = make(owner=owner)
    left = tmp_path / f"connection-limit-{owner.pid}-{owner.start}-{'0' * 16}"
    left.touch(mode=0o600)
    another = tmp_path / "something else"
    another.touch()
    make(meaning="a new one")
    assert used.path.exists()
    assert another.exists()
    assert not left.exists()


def test_what_belongs_to_a_gateway_that_lives_stays_though_no_worker_has_it_open(make, tmp_path):
    owner = supervisor()
    resting = tmp_path / f"connection-limit-{owner.pid}-{owner.start}-{'0' * 16}"
    resting.touch(mode=0o600)
    make(owner=Owner(os.getpid(), shared_file._start_of(os.getpid())))
    assert resting.exists()


@pytest.mark.parametrize("spoil", [lambda path: path.chmod(0o644), lambda path: os.truncate(path, 100)])
def test_a_file_that_we_would_not_have_made_is_refused(make, spoil):
    spoil(make().path)
    with pytest.raises(ConfigurationError, match="is not what this gateway would have made"):
        make()


def test_a_link_that_somebody_has_put_there_is_not_followed(make, tmp_path):
    file = make()
    file.close()
    target = tmp_path / "target"
    target.write_bytes(bytes(8192))
    file.path.symlink_to(target)
    with pytest.raises(ConfigurationError, match="Too many levels of symbolic links"):
        make()


def test_no_room_is_one_clear_line(tmp_path, make):
    def no_room(fd: int, memory: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(
        ConfigurationError, match=r"No space left on device \(8192 bytes of shared memory; lower `clients`"
    ):
        SharedFile("rate-limit", "a test", 8192, no_room, folder=tmp_path)
    assert names(tmp_path) == []


def test_workers_that_come_at_once_make_one_file(tmp_path):
    start, results = FORKED.Event(), FORKED.Queue()

    def come() -> None:
        start.wait()
        file = SharedFile("rate-limit", "a test", 8192, prepare, folder=tmp_path)
        results.put((os.fstat(file.fd).st_ino, file.memory[:5]))
        signal.pause()

    processes = [FORKED.Process(target=come) for _ in range(8)]
    for process in processes:
        process.start()
    start.set()
    found = {results.get(timeout=20) for _ in processes}
    for process in processes:
        process.kill()
        process.join()
    assert len(found) == 1
    assert found.pop()[1] == b"ready"
    assert len(names(tmp_path)) == 1


def test_a_folder_that_others_can_read_is_not_used(tmp_path, monkeypatch):
    """Everybody may make one in /dev/shm: that must not keep a gateway from starting."""
    first, second, last = (tmp_path / name for name in ("first", "second", "last"))
    for place in (first, second, last):
        place.mkdir()
    monkeypatch.setattr(shared_file, "_PLACES", (first, second))
    monkeypatch.setattr(shared_file.tempfile, "gettempdir", lambda: str(last))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    for place in (first, second, last):
        folder = shared_folder()
        assert folder.parent == place
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        folder.chmod(0o755)
    with pytest.raises(ConfigurationError, match="no folder is this user's alone"):
        shared_folder()
