"""The store that all workers share and that outlives them: an LMDB database in a folder.

Owns its records, its room, and what becomes of one that is damaged: it is a miss. Reading is done in place, for the
database is mapped into memory and readers wait for nobody; writing, which waits for other writers, in a thread.

A record's key is a digest of the URL and one of what selects the response among those to it. Records are listed in
the order in which they came, and go in that order when there is no room.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import lmdb

from gateway import ConfigurationError
from gateway_cache.entry import Entry
from gateway_cache.purging import Purge
from gateway_cache.stores.records import STAMP, came_at, digest, key_of, read_meta, read_record, record_of

log = logging.getLogger("gateway.cache")

FREED_SHARE = 0.1
"""How much of the room is freed when there is none left."""
MAX_READERS = 1024
MAX_PURGED = 10_000
MAX_VARIANTS = 64
"""Responses to one URL that are looked at."""
MAX_WAITING_BYTES = 64 * 1024 * 1024
"""What may wait for a slow disk; more is not stored there."""
PURGE_NANOSECONDS = 60 * 10**9
"""So long a purge is remembered: by then its records are gone."""

SPARE = 2
"""How many times its room a database may map: to delete, too, it needs pages that are free."""


class Database:
    """The open database, and the thread that writes to it."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        # Without a sync at each commit a crash of the machine may cost the store, which is a cache after all.
        self.environment = lmdb.open(
            os.fspath(folder), map_size=max_bytes * SPARE, max_dbs=2, max_readers=MAX_READERS, sync=False,
            metasync=False, readahead=False,
        )  # fmt: skip
        self.environment.reader_check()
        self.records = self.environment.open_db(b"records")
        self.order = self.environment.open_db(b"order")
        self.writer = ThreadPoolExecutor(1, thread_name_prefix="cache-writer")
        self.reading, self._writing = threading.Lock(), threading.RLock()
        """Held during a transaction: while there is one the map must not change in this process."""

        self.users = 0
        self.handed = 0
        self.taken = 0
        """Bytes that wait for the writer: one counter for each thread."""

    def make_room(self, max_bytes: int) -> None:
        """Let so many bytes be stored from now on, if that is more than before."""
        if max_bytes * SPARE > self.environment.info()["map_size"]:
            self.resize(max_bytes * SPARE)

    def resize(self, map_size: int = 0) -> None:
        """Map the database anew; without a size, with the one that another process has given it."""
        with self._writing, self.reading:
            self.environment.set_mapsize(map_size)

    @contextmanager
    def write(self) -> Iterator[lmdb.Transaction]:
        """A transaction that writes."""
        with self._writing:
            try:
                transaction = self.environment.begin(write=True)
            except lmdb.MapResizedError:
                self.resize()
                transaction = self.environment.begin(write=True)
            with transaction:
                yield transaction

    def close(self) -> None:
        """Write what is to be written, and close."""
        self.writer.shutdown(wait=True)
        self.environment.close()


_DATABASES: dict[Path, Database] = {}
"""Those of this process. LMDB lets no process open one twice, and at a reload the old App still has it."""


class Disk:
    """The shared store as one App sees it."""

    name = "disk"

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
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
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                self._database = self._open()
            except (lmdb.CorruptedError, lmdb.InvalidError, lmdb.VersionMismatchError) as error:
                log.warning("cache: %s is damaged (%s) and is made anew", self._folder, error)
                for name in ("data.mdb", "lock.mdb"):
                    (self._folder / name).unlink(missing_ok=True)
                self._database = self._open()
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
            for value in islice(_values(transaction, digest(url)), MAX_VARIANTS):
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
            database.writer.submit(self._put, database, url, entry, time.time_ns())
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
                self._write(database, key, value, stamp)
            except lmdb.MapFullError:
                with database.write() as transaction:
                    _free(database, transaction, self._max_bytes // 2)
                self._write(database, key, value, stamp)
            self.is_away = False
        except (lmdb.Error, OSError) as error:
            self._complain(error)

    def _write(self, database: Database, key: bytes, value: bytes, stamp: int) -> None:
        with database.write() as transaction:
            former = transaction.get(key, db=database.records)
            if former is not None:
                transaction.delete(bytes(former[: STAMP.size]), db=database.order)
            transaction.put(key, value, db=database.records)
            transaction.put(STAMP.pack(stamp), key, db=database.order)
            if _used(database, transaction) > self._max_bytes:
                _free(database, transaction, int(self._max_bytes * (1 - FREED_SHARE)))

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
            self._database.writer.submit(self._delete, self._database, purge)

    def _delete(self, database: Database, purge: Purge) -> None:
        try:
            with database.write() as transaction:
                for start in map(digest, purge.urls) if purge.is_exact else (b"",):
                    _delete_from(database, transaction, start, purge)
        except (lmdb.Error, OSError) as error:
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        self.failures += 1
        if not self.is_away:
            self.is_away = True
            log.error("cache: %s: %s; the cache goes on with what is in memory", self._folder, error)

    def __repr__(self) -> str:
        return f"<Disk {self._folder}, up to {self._max_bytes} bytes>"


def _delete_from(database: Database, transaction: lmdb.Transaction, start: bytes, purge: Purge) -> None:
    """Delete what is purged, and what is damaged, of the records whose keys begin so."""
    with transaction.cursor(database.records) as cursor:
        is_there = cursor.set_range(start) if start else cursor.first()
        while is_there and bytes(cursor.key()).startswith(start):
            read = read_meta(cursor.value())
            if read is not None and not purge.takes(*read):
                is_there = cursor.next()
                continue
            transaction.delete(bytes(cursor.value()[: STAMP.size]), db=database.order)
            is_there = cursor.delete()


def _used(database: Database, transaction: lmdb.Transaction) -> int:
    """Bytes that the records and their order take."""
    found = [transaction.stat(each) for each in (database.records, database.order)]
    pages = sum(one["leaf_pages"] + one["branch_pages"] + one["overflow_pages"] for one in found)
    return int(found[0]["psize"] * pages)


def _free(database: Database, transaction: lmdb.Transaction, left: int) -> None:
    """Let the oldest go until no more than so many bytes are left."""
    with transaction.cursor(database.order) as cursor:
        while _used(database, transaction) > left and cursor.first():
            stamp, key = cursor.item()
            value = transaction.get(key, db=database.records)
            if value is not None and bytes(value[: STAMP.size]) == stamp:  # else it has come again since
                transaction.delete(key, db=database.records)
            cursor.delete()


def _values(transaction: lmdb.Transaction, start: bytes) -> Iterator[bytes | memoryview]:
    with transaction.cursor() as cursor:
        is_there = cursor.set_range(start)
        while is_there and bytes(cursor.key()).startswith(start):
            yield cursor.value()
            is_there = cursor.next()


__all__ = ["Disk"]
