"""What is there for a name: a file in its codings, a folder to list or to redirect to, or nothing.

All but `Finder.surely_lacks` waits for the disk and runs in a thread. Knows no request and remembers nothing.
"""

from __future__ import annotations

import errno
import logging
import stat
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from os import stat_result
from typing import TypeAlias

from gateway import OpenFile, choose_coding
from gateway_static.content_types import ContentTypes
from gateway_static.names import ROOT
from gateway_static.representation import Representation, read_whole, signature
from gateway_static.roots import ABSENT, FORBIDDEN, Root, Tree
from gateway_static.settings import CODINGS, Settings

log = logging.getLogger("gateway.static")

IDENTITY = b"identity"


class Asset:
    """A file that is there, in each coding that there is of it."""

    __slots__ = ("_offered", "_representations", "memory_bytes", "plain", "root")

    def __init__(self, root: Root, plain: Representation, encoded: Mapping[bytes, Representation]) -> None:
        self.root = root
        self.plain = plain
        self._representations = {**encoded, IDENTITY: plain}
        self._offered = tuple(self._representations) if encoded else ()
        self.memory_bytes = sum(len(one.content or b"") for one in self._representations.values())

    def choose(self, accept_encoding: list[bytes]) -> Representation:
        """The one that a client likes best; as it is for one that says nothing of codings, for then it may not know
        any, and for one that refuses all there is (RFC 9110 12.5.3)."""
        if not self._offered or not accept_encoding:
            return self.plain
        return self._representations[choose_coding(accept_encoding, self._offered) or IDENTITY]

    def of(self, coding: bytes) -> Representation | None:
        """The one in a coding."""
        return self._representations.get(coding)

    def __repr__(self) -> str:
        return f"<Asset {self.plain.name} below {self.root.path}, {len(self._representations)} codings>"


class Folder:
    """A folder that is listed, or one whose path lacks the slash at its end."""

    __slots__ = ("is_listed", "name", "root")
    memory_bytes = 0

    def __init__(self, root: Root, name: str, *, is_listed: bool) -> None:
        self.root = root
        self.name = name
        self.is_listed = is_listed


class Nothing:
    """No file, or one that may not be read."""

    __slots__ = ("is_forbidden",)
    memory_bytes = 0

    def __init__(self, *, is_forbidden: bool = False) -> None:
        self.is_forbidden = is_forbidden


Found: TypeAlias = Asset | Folder | Nothing

NOTHING, FORBIDDEN_FILE = Nothing(), Nothing(is_forbidden=True)


class Finder:
    """Looks for names below the roots, in order."""

    def __init__(self, settings: Settings) -> None:
        self.roots = tuple(Root(path, settings.symlinks) for path in settings.root)
        self._index = settings.index
        self._try_files = settings.try_files
        self._has_listing = settings.listing
        self._codings = tuple((coding.encode(), CODINGS[coding]) for coding in settings.precompressed)
        self._memory_file = min(settings.memory_file, settings.memory)
        self._types = ContentTypes(settings.types, settings.charset)
        self._cache = tuple((pattern, value.encode("latin-1")) for pattern, value in settings.cache.items())

    def find(self, name: str, old: Found | None = None) -> Found:
        """What is there now. Of what was found before, nothing that is still the same is read again.

        Raises OSError for failures that say nothing of the file: no descriptor left, a broken disk.
        """
        old = old if isinstance(old, Asset) else None
        try:
            for wanted in self._names(name):
                for root in self.roots:
                    with root.opened() as tree:
                        found = self._look(root, tree, wanted, old)
                    if found is not None:
                        return found
        except OSError as error:
            if error.errno not in FORBIDDEN:
                raise
            log.warning("%r may not be read: %s", name, error.strerror)
            return FORBIDDEN_FILE
        return NOTHING

    def surely_lacks(self, name: str) -> bool:
        """Whether nothing has the name, as the system knows from memory: does not wait for the disk."""
        return all(root.surely_lacks(wanted) for wanted in self._names(name) for root in self.roots)

    def describe(
        self, name: str, coding: bytes, status: stat_result, original: str, *, varies: bool
    ) -> Representation:
        """A file as it is sent when it is read only then."""
        return Representation(name, coding, status, self._fields(original, coding, varies=varies), None)

    def _names(self, name: str) -> Iterator[str]:
        yield name
        path = name.rstrip("/")
        if path and path != ROOT:
            for pattern in self._try_files:
                yield pattern.replace("{path}", path)

    def _look(self, root: Root, tree: Tree, name: str, old: Asset | None) -> Found | None:
        status = _status(tree, name)
        if status is None:
            return None
        if stat.S_ISREG(status.st_mode):
            return self._asset(root, tree, name, status, old)
        if not stat.S_ISDIR(status.st_mode):
            return None  # what is neither file nor folder is nobody's
        is_complete = not name or name.endswith("/")
        for index in self._index:
            inner = name + index if is_complete else f"{name}/{index}"
            status = _status(tree, inner)
            if status is not None and stat.S_ISREG(status.st_mode):
                return (
                    self._asset(root, tree, inner, status, old)
                    if is_complete
                    else Folder(root, name, is_listed=False)
                )
        return Folder(root, name, is_listed=is_complete) if self._has_listing else None

    def _asset(self, root: Root, tree: Tree, name: str, status: stat_result, old: Asset | None) -> Asset | None:
        siblings: dict[bytes, tuple[str, stat_result]] = {}
        for coding, ending in self._codings:
            sibling = _status(tree, name + ending)
            # Tools that give both the same time do not all know fractions of a second.
            if sibling and stat.S_ISREG(sibling.st_mode) and int(sibling.st_mtime) >= int(status.st_mtime):
                siblings[coding] = name + ending, sibling
        varies = bool(siblings)
        encoded: dict[bytes, Representation] = {}
        for coding, (inner, sibling) in siblings.items():
            one = self._represent(tree, inner, coding, sibling, name, varies, old)
            if one is not None:
                encoded[coding] = one
        plain = self._represent(tree, name, IDENTITY, status, name, varies, old)
        return None if plain is None else Asset(root, plain, encoded)

    def _represent(
        self,
        tree: Tree,
        name: str,
        coding: bytes,
        status: stat_result,
        original: str,
        varies: bool,
        old: Asset | None,
    ) -> Representation | None:
        before = old.of(coding) if old is not None else None
        if before and not before.is_young and before.name == name and before.signature == signature(status):
            is_varying = any(field == b"vary" for field, _ in before.fields)
            if is_varying == varies:
                return before
        fields, content = self._fields(original, coding, varies=varies), None
        if status.st_size <= self._memory_file:
            file = _open(tree, name)
            if file is None:
                return None
            if file.size <= self._memory_file:
                content = read_whole(file)
            status = file.status
        elif _open(tree, name) is None:  # so that what may not be read is found out before a response begins
            return None
        return Representation(name, coding, status, fields, content)

    def _fields(self, name: str, coding: bytes, *, varies: bool) -> list[tuple[bytes, bytes]]:
        fields = [(b"content-type", self._types.of(name)), (b"x-content-type-options", b"nosniff")]
        if coding != IDENTITY:
            fields.append((b"content-encoding", coding))
        if varies:
            fields.append((b"vary", b"accept-encoding"))
        fields.append((b"accept-ranges", b"bytes"))
        for pattern, value in self._cache:
            subject = "/" + name if "/" in pattern else name.rpartition("/")[2]
            if fnmatchcase(subject, pattern):
                fields.append((b"cache-control", value))
                break
        return fields


def _status(tree: Tree, name: str) -> stat_result | None:
    try:
        return tree.status(name)
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise


def _open(tree: Tree, name: str) -> OpenFile | None:
    try:
        return tree.open(name)
    except OSError as error:
        if error.errno in ABSENT or error.errno == errno.ENXIO:
            return None
        raise
