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
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import lmdb

from gateway import ConfigurationError
from gateway_cache.entry import Entry
from gateway_cache.files import BodyFile
from gateway_cache.keys import digest
from gateway_cache.purging import Purge
from gateway_cache.stores.records import STAMP, key_of, read_meta, read_record, record_of

log = logging.getLogger("gateway.cache")

FREED_SHARE = 0.1
"""How much of the room is freed when there is none left."""
MAX_READERS = 1024
MAX_PURGED = 10_000
MAX_VARIANTS = 64
"""Responses to one URL that are looked at."""
MAX_WAITING_BYTES = 64 * 1024 * 1024
"""What may wait for a slow disk; more is not stored there."""
SWEPT_SECONDS = 3600.0
"""So old is a file at the least that is taken for nobody's: others may still be writing."""
PURGE_SECONDS = 60.0
"""So long a purge is remembered: by then its records are gone."""

SPARE = 2
"""How many times its room a database may map: to delete, too, it needs pages that are free."""


Bytes: TypeAlias = bytes | memoryview
"""As LMDB gives them."""


class Database:
    """The open database, and the thread that writes to it."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        # Without a sync at each commit a crash of the machine may cost the store, which is a cache after all.
        self.environment = lmdb.open(
            os.fspath(folder), map_size=max_bytes * SPARE, max_dbs=3, max_readers=MAX_READERS, sync=False,
            metasync=False, readahead=False,
        )  # fmt: skip
        self.environment.reader_check()
        self.records = self.environment.open_db(b"records")
        self.order = self.environment.open_db(b"order")
        self.account = self.environment.open_db(b"account")
        self.writer = ThreadPoolExecutor(1, thread_name_prefix="cache-writer")

        self.doomed: list[BodyFile] = []
        """Files whose records are deleted by the transaction that is open."""
        self.users = 0
        self.handed = 0
        self.taken = 0
        """Bytes that wait for the writer: one counter for each thread."""

    def do(self, work: Callable[..., None], *arguments: object) -> None:
        """Have the thread do something."""
        self.writer.submit(work, *arguments).add_done_callback(_tell_of_mistake)

    def close(self) -> None:
        """Write what is to be written, and close."""
        self.writer.shutdown(wait=True)
        self.environment.close()


def _tell_of_mistake(done: Future[None]) -> None:
    error = done.exception()
    if error is not None:
        log.error("cache: a mistake in the store", exc_info=error)


_DATABASES: dict[Path, Database] = {}
"""Those of this process. LMDB lets no process open one twice, and at a reload the old App still has it."""


class Disk:
    """The shared store as one App sees it."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self.bodies = folder / "bodies"
        """Where the files are of bodies that are too long for a record."""
        self.claims = folder / "claims"
        self._max_bytes = max_bytes
        self._database: Database | None = None
        self._purges: list[tuple[float, Purge]] = []
        self._purged: dict[bytes, float] = {}
        """URLs that were purged by themselves, and when: an application may do so with every write."""
        self._is_complaining = False

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
            self._database.do(_sweep, self._database, self.bodies, self.claims)
        except (OSError, lmdb.Error) as error:
            raise ConfigurationError(f"cache: {self._folder} cannot be used as a store: {error}") from None

    def _open(self) -> Database:
        folder = self._folder.resolve()
        database = _DATABASES.get(folder)
        if database is None:
            database = _DATABASES[folder] = Database(folder, self._max_bytes)
        database.users += 1
        # A map cannot grow while others read: after a reload the room is what it was.
        self._max_bytes = min(self._max_bytes, database.environment.info()["map_size"] // SPARE)
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
        found: tuple[Entry, Bytes] | None = None
        try:
            with database.environment.begin(database.records, buffers=True) as transaction:
                for value in islice(_values(transaction, digest(url)), MAX_VARIANTS):
                    read = read_meta(value)
                    if read is None or read[0] != url or not is_wanted(read[1]) or self._is_purged(*read):
                        continue
                    if found is None or read[1].born > found[0].born:
                        found = read[1], value
                return None if found is None else read_record(found[1], url)
        except lmdb.Error as error:
            self._complain(error)
            return None

    def _is_purged(self, url: bytes, entry: Entry) -> bool:
        if entry.born <= self._purged.get(url, 0.0):
            return True
        return any(entry.born <= when and purge.takes(url, entry) for when, purge in self._purges)

    # -- writing -----------------------------------------------------------------------------------------------

    def put(self, url: bytes, entry: Entry) -> None:
        """See `SharedStore.put`. If the disk is too slow, it is not stored."""
        database = self._database
        if database is not None and database.handed - database.taken < MAX_WAITING_BYTES:
            database.handed += entry.size
            database.do(self._put, database, url, entry)
        elif entry.file is not None:
            entry.file.remove()

    def _put(self, database: Database, url: bytes, entry: Entry) -> None:
        database.taken += entry.size
        stamp = time.time_ns()
        key, value = key_of(url, entry), record_of(url, entry, stamp)
        if len(value) > self._max_bytes // 4:
            return
        try:
            try:
                self._write(database, key, value, entry.file)
            except lmdb.MapFullError:
                with _changing(database) as transaction:
                    _free(database, transaction, self._max_bytes // 2)
                self._write(database, key, value, entry.file)
            self._is_complaining = False
        except (lmdb.Error, OSError) as error:
            if entry.file is not None:
                entry.file.remove()
            self._complain(error)

    def _write(self, database: Database, key: bytes, value: bytes, file: BodyFile | None) -> None:
        with _changing(database) as transaction:
            former = transaction.get(key, db=database.records)
            if former is not None:
                _forget(database, transaction, key, former, but=file)
            transaction.put(key, value, db=database.records)
            transaction.put(value[: STAMP.size], key, db=database.order)
            if file is not None:
                _add_to_files(database, transaction, file.size)
            if _used(database, transaction) > self._max_bytes:
                _free(database, transaction, int(self._max_bytes * (1 - FREED_SHARE)))

    def after_writes(self, work: Callable[[], None]) -> None:
        """Have something done as soon as all that was put is to be seen by others."""
        if self._database is None:
            work()
        else:
            self._database.do(work)

    def drop(self, purge: Purge) -> None:
        """See `SharedStore.drop`."""
        now = time.time()
        if purge.is_exact:
            for url in purge.urls:
                self._purged.pop(url, None)
                self._purged[url] = now
            while self._purged:
                oldest, when = next(iter(self._purged.items()))
                if now - when < PURGE_SECONDS and len(self._purged) <= MAX_PURGED:
                    break
                del self._purged[oldest]
        else:
            self._purges = [(when, other) for when, other in self._purges if now - when < PURGE_SECONDS]
            self._purges.append((now, purge))
        if self._database is not None:
            self._database.do(self._delete, self._database, purge)

    def _delete(self, database: Database, purge: Purge) -> None:
        try:
            with _changing(database) as transaction:
                for start in map(digest, purge.urls) if purge.is_exact else (b"",):
                    _delete_from(database, transaction, start, purge)
        except (lmdb.Error, OSError) as error:
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        if not self._is_complaining:
            self._is_complaining = True
            log.error("cache: %s: %s; the cache goes on with what is in memory", self._folder, error)

    def __repr__(self) -> str:
        return f"<Disk {self._folder}, up to {self._max_bytes} bytes>"


@contextmanager
def _changing(database: Database) -> Iterator[lmdb.Transaction]:
    """A transaction that may delete records: their files go when it has taken place."""
    database.doomed.clear()
    with database.environment.begin(write=True) as transaction:
        yield transaction
    for file in database.doomed:
        file.remove()


def _delete_from(database: Database, transaction: lmdb.Transaction, start: bytes, purge: Purge) -> None:
    """Delete what is purged, and what is damaged, of the records whose keys begin so."""
    with transaction.cursor(database.records) as cursor:
        is_there = cursor.set_range(start) if start else cursor.first()
        while is_there and bytes(cursor.key()).startswith(start):
            key, value = bytes(cursor.key()), cursor.value()
            read = read_meta(value)
            if read is None or purge.takes(*read):
                _forget(database, transaction, key, value)
                is_there = cursor.set_range(key)
            else:
                is_there = cursor.next()


def _forget(
    database: Database, transaction: lmdb.Transaction, key: Bytes, value: Bytes, but: BodyFile | None = None
) -> None:
    """Delete a record, its place in the order, and its file unless that is `but`."""
    read = read_meta(value)
    transaction.delete(bytes(value[: STAMP.size]), db=database.order)
    transaction.delete(key, db=database.records)
    if read is not None and read[1].file is not None:
        _add_to_files(database, transaction, -read[1].file.size)
        if read[1].file != but:
            database.doomed.append(read[1].file)


def _in_files(database: Database, transaction: lmdb.Transaction) -> int:
    value = transaction.get(b"files", db=database.account)
    return 0 if value is None else int.from_bytes(value, "big")


def _add_to_files(database: Database, transaction: lmdb.Transaction, count: int) -> None:
    total = max(0, _in_files(database, transaction) + count)
    transaction.put(b"files", total.to_bytes(8, "big"), db=database.account)


def _used(database: Database, transaction: lmdb.Transaction) -> int:
    """Bytes that the records, their order and their files take."""
    found = [transaction.stat(each) for each in (database.records, database.order)]
    pages = sum(one["leaf_pages"] + one["branch_pages"] + one["overflow_pages"] for one in found)
    return int(found[0]["psize"] * pages) + _in_files(database, transaction)


def _free(database: Database, transaction: lmdb.Transaction, left: int) -> None:
    """Let the oldest go until no more than so many bytes are left."""
    with transaction.cursor(database.order) as cursor:
        while _used(database, transaction) > left and cursor.first():
            stamp, key = cursor.item()
            value = transaction.get(key, db=database.records)
            if value is not None and bytes(value[: STAMP.size]) == stamp:
                _forget(database, transaction, key, value)
            else:
                cursor.delete()  # it has come again since


def _sweep(database: Database, *folders: Path) -> None:
    """Remove files that belong to no record: their worker was killed, or the database was damaged."""
    try:
        limit = time.time() - SWEPT_SECONDS
        old = [path for folder in folders for path in folder.iterdir() if path.stat().st_mtime < limit]
        if old:
            with database.environment.begin(database.records) as transaction, transaction.cursor() as cursor:
                read = (read_meta(value) for _, value in cursor)
                known = {Path(one[1].file.path).name for one in read if one is not None and one[1].file is not None}
            for path in old:
                if path.name not in known:
                    path.unlink(missing_ok=True)
    except (OSError, lmdb.Error) as error:
        log.warning("cache: %s could not be tidied up: %s", folders[0].parent, error)


def _values(transaction: lmdb.Transaction, start: bytes) -> Iterator[Bytes]:
    with transaction.cursor() as cursor:
        is_there = cursor.set_range(start)
        while is_there and bytes(cursor.key()).startswith(start):
            yield cursor.value()
            is_there = cursor.next()


__all__ = ["Disk"]
