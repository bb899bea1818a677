"""Open files: whose they are, and when they are closed."""

from __future__ import annotations

import os

import pytest

from gateway import OpenFile


def test_a_descriptor_that_is_adopted_is_read_and_closed(tmp_path):
    (tmp_path / "file").write_bytes(b"0123456789")
    descriptor = os.open(tmp_path / "file", os.O_RDONLY)
    file = OpenFile.adopt(descriptor)
    assert (file.size, file.read(3, 4), file.read_now(8, 10) in (b"89", None)) == (10, b"3456", True)
    del file
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
