"""The store that all workers share and that outlives them: an LMDB database in a folder.

Owns when it is asked, what waits to be written, and that a damaged record is a miss. Reading is done in place: the
database is mapped into memory and readers wait for nobody; writing, which waits for other writers, in a thread.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import lmdb

from gateway import ConfigurationError
from gateway_cache.entry import Entry
from gateway_cache.files import BodyFile
from gateway_cache.keys import digest
from gateway_cache.purging import Purge
from gateway_cache.stores.disk_database import (
    SWEPT_SECONDS,
    Database,
    add_to_files,
    changing,
    delete_from,
    forget,
    free,
    sweep,
    used,
    values,
)
from gateway_cache.stores.records import STAMP, came_at, key_of, read_meta, read_record, record_of

log = logging.getLogger("gateway.cache")

FREED_SHARE = 0.1
"""How much of the room is freed when there is none left."""
MAX_PURGED = 10_000
MAX_VARIANTS = 64
"""Responses to one URL that are looked at."""
MAX_WAITING_BYTES = 64 * 1024 * 1024
"""What may wait for a slow disk; more is not stored there."""
PURGE_NANOSECONDS = 60 * 10**9
"""So long a purge is remembered: by then its records are gone."""

_DATABASES: dict[Path, Database] = {}
"""Those of this process. LMDB lets no process open one twice, and at a reload the old App still has it."""


class Disk:
    """The shared store as one App sees it."""

    name = "disk"

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self.bodies = folder / "bodies"
        """Where the files are of bodies that are too long for a record."""
        self.claims = folder / "claims"
        self._max_bytes = max_bytes
        self._database: Database | None = None
        self._purges: list[tuple[int, Purge]] = []
        self._purged: dict[bytes, int] = {}
        """URLs that were purged by themselves, and when (ns): an application may do so with every write."""
        self.is_away = False
        """Whether it could not do what it was told last."""
        self.failures = self.left_out = 0

    def open(self) -> None:
        """Open the database, or make it. One that is damaged is made anew. Raises ConfigurationError."""
        try:
            for folder in (self.bodies, self.claims):
                folder.mkdir(parents=True, exist_ok=True)
            try:
                self._database = self._open()
            except (lmdb.CorruptedError, lmdb.InvalidError, lmdb.VersionMismatchError) as error:
                log.warning("cache: %s is damaged (%s) and is made anew", self._folder, error)
                for name in ("data.mdb", "lock.mdb"):
                    (self._folder / name).unlink(missing_ok=True)
                self._database = self._open()
            self._database.do(sweep, self._database, self.bodies, self.claims)
        except (OSError, lmdb.Error) as error:
            raise ConfigurationError(f"cache: {self._folder} cannot be used as a store: {error}") from None

    def _open(self) -> Database:
        folder = self._folder.resolve()
        database = _DATABASES.get(folder)
        if database is None:
            database = _DATABASES[folder] = Database(folder, self._max_bytes)
        database.users += 1
        database.make_room(self._max_bytes)  # it may be open since before a reload
        return database

    async def close(self) -> None:
        """See `SharedStore.close`. The last one who lets go of the database closes it."""
        database, self._database = self._database, None
        if database is None:
            return
        database.users -= 1
        if not database.users:
            del _DATABASES[self._folder.resolve()]
            await asyncio.to_thread(database.close)

    # -- reading -----------------------------------------------------------------------------------------------

    def find(self, url: bytes, is_wanted: Callable[[Entry], bool]) -> Entry | None:
        """See `SharedStore.find`."""
        database = self._database
        if database is None:
            return None
        try:
            try:
                return self._find(database, url, is_wanted)
            except lmdb.MapResizedError:
                database.resize()
                return self._find(database, url, is_wanted)
        except lmdb.Error as error:
            self._complain(error)
            return None

    def _find(self, database: Database, url: bytes, is_wanted: Callable[[Entry], bool]) -> Entry | None:
        found: tuple[Entry, bytes | memoryview] | None = None
        with database.reading, database.environment.begin(database.records, buffers=True) as transaction:
            for value in islice(values(transaction, digest(url)), MAX_VARIANTS):
                read = read_meta(value)
                if read is None or read[0] != url or not is_wanted(read[1]):
                    continue
                if self._is_purged(*read, came_at(value)):
                    continue
                if found is None or read[1].born > found[0].born:
                    found = read[1], value
            return None if found is None else read_record(found[1], url)

    def _is_purged(self, url: bytes, entry: Entry, came: int) -> bool:
        if came <= self._purged.get(url, 0):
            return True
        return any(came <= when and purge.takes(url, entry) for when, purge in self._purges)

    # -- writing -----------------------------------------------------------------------------------------------

    def put(self, url: bytes, entry: Entry) -> None:
        """See `SharedStore.put`. If the disk is too slow, it is not stored."""
        database = self._database
        if database is not None and database.handed - database.taken < MAX_WAITING_BYTES:
            database.handed += entry.size
            # When it came, not when it is written: a purge may lie between.
            database.do(self._put, database, url, entry, time.time_ns())
        else:
            self.left_out += 1

    def _put(self, database: Database, url: bytes, entry: Entry, stamp: int) -> None:
        database.taken += entry.size
        key, value = key_of(url, entry), record_of(url, entry, stamp)
        if len(value) > self._max_bytes // 4:
            self.left_out += 1
            return
        try:
            try:
                self._write(database, key, value, entry.file)
            except lmdb.MapFullError:
                with changing(database) as transaction:
                    free(database, transaction, self._max_bytes // 2)
                self._write(database, key, value, entry.file)
            self.is_away = False
        except (lmdb.Error, OSError) as error:
            self._complain(error)
        if database.is_miscounted or time.monotonic() - database.swept > SWEPT_SECONDS:
            sweep(database, self.bodies, self.claims)

    def _write(self, database: Database, key: bytes, value: bytes, file: BodyFile | None) -> None:
        with changing(database) as transaction:
            former = transaction.get(key, db=database.records)
            if former is not None:
                forget(database, transaction, key, former, but=file)
            transaction.put(key, value, db=database.records)
            transaction.put(value[: STAMP.size], key, db=database.order)
            if file is not None:
                add_to_files(database, transaction, file.size)
            if used(database, transaction) > self._max_bytes:
                free(database, transaction, int(self._max_bytes * (1 - FREED_SHARE)))

    def after_writes(self, work: Callable[[], None]) -> None:
        """Have something done as soon as all that was put is to be seen by others."""
        if self._database is None:
            work()
        else:
            self._database.do(work)

    def drop(self, purge: Purge) -> None:
        """See `SharedStore.drop`."""
        now = time.time_ns()
        if purge.is_exact:
            for url in purge.urls:
                self._purged.pop(url, None)
                self._purged[url] = now
            while self._purged:
                oldest, when = next(iter(self._purged.items()))
                if now - when < PURGE_NANOSECONDS and len(self._purged) <= MAX_PURGED:
                    break
                del self._purged[oldest]
        else:
            self._purges = [(when, other) for when, other in self._purges if now - when < PURGE_NANOSECONDS]
            self._purges.append((now, purge))
        if self._database is not None:
            self._database.do(self._delete, self._database, purge)

    def _delete(self, database: Database, purge: Purge) -> None:
        try:
            with changing(database) as transaction:
                for start in map(digest, purge.urls) if purge.is_exact else (b"",):
                    delete_from(database, transaction, start, purge)
        except (lmdb.Error, OSError) as error:
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        self.failures += 1
        if not self.is_away:
            self.is_away = True
            log.error("cache: %s: %s; the cache goes on with what is in memory", self._folder, error)

    def __repr__(self) -> str:
        return f"<Disk {self._folder}, up to {self._max_bytes} bytes>"


__all__ = ["Disk"]
