"""Opening below a root: links, special files, changes meanwhile; with openat2 and without."""

from __future__ import annotations

import errno
import os
import socket
import threading

import pytest
from gateway_static.roots import ABSENT, FORBIDDEN, Root, openat2


@pytest.fixture(params=[True, False], ids=["openat2", "walking"])
def make(request, public):
    """Make a root that uses openat2, or does without."""

    def root(symlinks="inside"):
        made = Root(public, symlinks)
        made.prepare()
        assert made.has_openat2
        made.has_openat2 = request.param
        return made

    return root


def refused(root, name) -> int:
    """The error with which it is refused; 0 if it is not."""
    try:
        root.open(name)
    except OSError as error:
        return error.errno if error.errno in ABSENT else -1
    return 0


def text(root, name) -> bytes:
    file = root.open(name)
    return file.read(0, file.size)


def test_a_file_below_the_root_is_opened(make, public):
    (public / "a").mkdir()
    (public / "a" / "b").write_text("here")
    assert text(make(), "a/b") == b"here"


def test_what_is_outside_is_refused_even_if_a_name_with_dots_came_so_far(make, public):
    root = make()
    if root.has_openat2:
        assert refused(root, "../secret") > 0
        assert refused(root, "/etc/passwd") > 0
    (public / "a").mkdir()
    assert refused(root, "a/b") > 0
    assert refused(root, "a") > 0
    assert refused(root, "x" * 300) > 0


def test_links_that_lead_out_are_refused(make, public, tmp_path):
    (public / "out").symlink_to("../secret")
    (public / "absolute").symlink_to(tmp_path / "secret")
    (public / "folder").symlink_to("..")
    (public / "loop").symlink_to("loop")
    for name in ("out", "absolute", "folder/secret", "loop"):
        assert refused(make(), name) > 0
        assert refused(make("none"), name) > 0


def test_a_link_to_the_inside_is_followed_only_where_the_kernel_watches(make, public):
    (public / "real").write_text("real")
    (public / "link").symlink_to("real")
    root = make()
    if root.has_openat2:
        assert text(root, "link") == b"real"
    else:
        assert refused(root, "link") > 0
    assert refused(make("none"), "link") > 0


def test_all_links_are_followed_if_that_is_asked_for(make, public, tmp_path):
    (public / "out").symlink_to(tmp_path / "secret")
    assert text(make("all"), "out") == b"secret"


def test_magic_links_of_proc_are_refused(make, public):
    (public / "fd").symlink_to("/proc/self/fd")
    assert refused(make(), "fd/0") > 0


def test_what_is_no_file_is_never_opened(make, public):
    os.mkfifo(public / "fifo")
    (public / "null").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(public / "socket"))
        for name in ("fifo", "socket", "null"):
            assert refused(make("all") if name == "null" else make(), name) > 0


def test_a_fifo_that_takes_the_place_of_a_file_is_noticed_and_not_waited_for(make, public, monkeypatch):
    (public / "file").write_text("x")
    status = os.stat(public / "file")
    (public / "file").unlink()
    os.mkfifo(public / "file")
    monkeypatch.setattr("gateway_static.roots.Tree.status", lambda tree, name: status)
    assert refused(make(), "file") == errno.ENOENT


def test_a_root_that_is_a_link_may_be_changed_to_another_directory(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text(name)
    (tmp_path / "current").symlink_to("one")
    root = Root(tmp_path / "current")
    assert text(root, "a") == b"one"
    (tmp_path / "next").symlink_to("two")
    os.rename(tmp_path / "next", tmp_path / "current")
    assert text(root, "a") == b"two"


def test_nobody_gets_out_by_changing_a_folder_into_a_link_during_the_lookup(make, public, tmp_path):
    root = make()
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "secret").write_text("secret")
    (public / "good").mkdir()
    (public / "good" / "secret").write_text("public")
    (public / "link").symlink_to("../evil")
    (public / "place").symlink_to("good")
    is_over = threading.Event()

    def swap():
        while not is_over.is_set():
            for target in ("link", "good"):
                os.symlink(target, public / "new")
                os.rename(public / "new", public / "place")

    attacker = threading.Thread(target=swap)
    attacker.start()
    seen, others = set(), set()
    try:
        for _ in range(500):
            try:
                seen.add(text(root, "place/secret"))
            except OSError as error:
                others.add(error.errno)
    finally:
        is_over.set()
        attacker.join()
    assert seen <= {b"public"}
    assert others <= ABSENT


def test_what_may_not_be_read_is_told_from_what_is_not_there(make, public):
    (public / "file").write_text("x")
    (public / "file").chmod(0)
    if os.geteuid() == 0:
        assert text(make(), "file") == b"x"
        return
    with pytest.raises(PermissionError) as raised:
        make().open("file")
    assert raised.value.errno in FORBIDDEN


def test_no_descriptor_is_left(make, public):
    (public / "a").mkdir()
    (public / "a" / "b").write_text("x")
    os.mkfifo(public / "fifo")
    root = make()
    before = len(os.listdir("/proc/self/fd"))
    for name in ("a/b", "a/none", "none/b", "fifo", "a"):
        try:
            root.open(name)
        except OSError:
            pass
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_system_without_openat2_is_noticed_and_walked(public, monkeypatch, caplog):
    def missing(*_):
        raise OSError(errno.ENOSYS, "no such call")

    monkeypatch.setattr("gateway_static.roots.openat2", missing)
    (public / "a").write_text("x")
    root = Root(public)
    root.prepare()
    assert not root.has_openat2
    assert "no symbolic link is followed" in caplog.text
    assert text(root, "a") == b"x"


def test_openat2_says_what_is_wrong(public):
    descriptor = os.open(public, os.O_PATH)
    try:
        with pytest.raises(FileNotFoundError):
            openat2(descriptor, "none", os.O_RDONLY, 0)
    finally:
        os.close(descriptor)


def test_what_the_system_knows_to_be_missing_is_missing_without_a_look_at_the_disk(public):
    (public / "a").write_text("x")
    root = Root(public)
    assert not root.surely_lacks("none")  # not prepared: nothing is known of the system
    root.prepare()
    if not root.has_memory:
        return
    for name in ("none", "none/b"):
        assert refused(root, name) > 0
        assert root.surely_lacks(name)
    assert not root.surely_lacks("a")
    assert not root.surely_lacks("")
    (public / "none").write_text("x")
    assert not root.surely_lacks("none")
    root.path = public / "gone"
    assert not root.surely_lacks("a")
