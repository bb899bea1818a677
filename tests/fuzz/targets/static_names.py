"""File names from paths: never absolute, never above the root, never hidden."""

from __future__ import annotations

import posixpath

from gateway_static.names import ROOT, file_name


def check(data: bytes) -> None:
    for prefix in ((), ("static",)):
        name = file_name(b"/" + data, prefix)
        if name is None or name == ROOT or name == "":
            continue
        assert not name.startswith("/")
        parts = name.removesuffix("/").split("/")
        assert all(part not in ("", ".", "..") and "\0" not in part and "\\" not in part for part in parts)
        assert not any(part.startswith(".") for part in parts[parts[0] == ".well-known" :])
        assert posixpath.normpath("/root/" + name).startswith("/root/")
        assert all(character >= " " and character != "\x7f" for character in name)
