"""The LMDB database of the store on disk: its map, its one writing thread, what its transactions have in common.

Owns the records, the order in which they came and go, the account of files beside them, and the room for all of it.
A record's key is a digest of the URL and one of what selects the response among those to it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import lmdb

from gateway_cache.files import BodyFile
from gateway_cache.purging import Purge
from gateway_cache.stores.records import STAMP, read_meta

log = logging.getLogger("gateway.cache")

MAX_READERS = 1024
SWEPT_SECONDS = 3600.0
"""So old is a file at the least that is taken for nobody's: others may still be writing."""
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
        self.reading, self._writing = threading.Lock(), threading.RLock()
        """Held during a transaction: while there is one the map must not change in this process."""

        self.doomed: list[BodyFile] = []
        """Files whose records are deleted by the transaction that is open."""
        self.is_miscounted = False
        """Whether records went of which nobody knows the files."""
        self.swept = 0.0
        """When files were last looked after, in seconds of `time.monotonic`."""
        self.users = 0
        self.handed = 0
        self.taken = 0
        """Bytes that wait for the writer: one counter for each thread."""

    def do(self, work: Callable[..., None], *arguments: object) -> None:
        """Have the thread do something."""
        self.writer.submit(work, *arguments).add_done_callback(_tell_of_mistake)

    def make_room(self, max_bytes: int) -> None:
        """Let so many bytes be stored from now on, if that is more than before."""
        if max_bytes * SPARE > self.environment.info()["map_size"]:
            self.resize(max_bytes * SPARE)

    def resize(self, map_size: int = 0) -> None:
        """Map the database anew; without a size, with the one that another process has given it."""
        with self._writing, self.reading:
            self.environment.set_mapsize(map_size)

    @contextmanager
    def write(self, *, is_write: bool = True) -> Iterator[lmdb.Transaction]:
        """A transaction that writes, or one of the writer's that only looks."""
        with self._writing:
            try:
                transaction = self.environment.begin(write=is_write)
            except lmdb.MapResizedError:
                self.resize()
                transaction = self.environment.begin(write=is_write)
            with transaction:
                yield transaction

    def close(self) -> None:
        """Write what is to be written, and close."""
        self.writer.shutdown(wait=True)
        self.environment.close()


def _tell_of_mistake(done: Future[None]) -> None:
    error = done.exception()
    if error is not None:
        log.error("cache: a mistake in the store", exc_info=error)


@contextmanager
def changing(database: Database) -> Iterator[lmdb.Transaction]:
    """A transaction that may delete records: their files go when it has taken place."""
    database.doomed.clear()
    with database.write() as transaction:
        yield transaction
    for file in database.doomed:
        file.remove()


def delete_from(database: Database, transaction: lmdb.Transaction, start: bytes, purge: Purge) -> None:
    """Delete what is purged, and what is damaged, of the records whose keys begin so."""
    with transaction.cursor(database.records) as cursor:
        is_there = cursor.set_range(start) if start else cursor.first()
        while is_there and bytes(cursor.key()).startswith(start):
            key, value = bytes(cursor.key()), cursor.value()
            read = read_meta(value)
            if read is None or purge.takes(*read):
                forget(database, transaction, key, value)
                is_there = cursor.set_range(key)
            else:
                is_there = cursor.next()


def forget(
    database: Database, transaction: lmdb.Transaction, key: Bytes, value: Bytes, but: BodyFile | None = None
) -> None:
    """Delete a record, its place in the order, and its file unless that is `but`."""
    read = read_meta(value)
    transaction.delete(bytes(value[: STAMP.size]), db=database.order)
    transaction.delete(key, db=database.records)
    if read is None:
        database.is_miscounted = True  # it may have had a file
    elif read[1].file is not None:
        add_to_files(database, transaction, -read[1].file.size)
        if read[1].file != but:
            database.doomed.append(read[1].file)


def _in_files(database: Database, transaction: lmdb.Transaction) -> int:
    value = transaction.get(b"files", db=database.account)
    return 0 if value is None else int.from_bytes(value, "big")


def add_to_files(database: Database, transaction: lmdb.Transaction, count: int) -> None:
    total = max(0, _in_files(database, transaction) + count)
    transaction.put(b"files", total.to_bytes(8, "big"), db=database.account)


def used(database: Database, transaction: lmdb.Transaction) -> int:
    """Bytes that the records, their order and their files take."""
    found = [transaction.stat(each) for each in (database.records, database.order)]
    pages = sum(one["leaf_pages"] + one["branch_pages"] + one["overflow_pages"] for one in found)
    return int(found[0]["psize"] * pages) + _in_files(database, transaction)


def free(database: Database, transaction: lmdb.Transaction, left: int) -> None:
    """Let the oldest go until no more than so many bytes are left."""
    with transaction.cursor(database.order) as cursor:
        while used(database, transaction) > left and cursor.first():
            stamp, key = cursor.item()
            value = transaction.get(key, db=database.records)
            if value is not None and bytes(value[: STAMP.size]) == stamp:
                forget(database, transaction, key, value)
            else:
                cursor.delete()  # it has come again since


def sweep(database: Database, *folders: Path) -> None:
    """Remove files that belong to no record, and count the others anew.

    A worker may have been killed, or a record damaged.
    """
    database.swept, database.is_miscounted = time.monotonic(), False
    try:
        limit = time.time() - SWEPT_SECONDS
        files = [path for folder in folders for path in folder.iterdir()]
        with database.write() as transaction:
            if not files and not _in_files(database, transaction):
                return
            known = list(_files(database, transaction))
            transaction.put(b"files", sum(file.size for file in known).to_bytes(8, "big"), db=database.account)
        names = {Path(file.path).name for file in known}
        for path in files:
            if path.name not in names and path.stat().st_mtime < limit:
                path.unlink(missing_ok=True)
    except FileNotFoundError:
        pass  # somebody else was quicker: the next time will do
    except (OSError, lmdb.Error) as error:
        log.warning("cache: %s could not be tidied up: %s", folders[0].parent, error)


def _files(database: Database, transaction: lmdb.Transaction) -> Iterator[BodyFile]:
    with transaction.cursor(database.records) as cursor:
        for _, value in cursor:
            read = read_meta(value)
            if read is not None and read[1].file is not None:
                yield read[1].file


def values(transaction: lmdb.Transaction, start: bytes) -> Iterator[Bytes]:
    with transaction.cursor() as cursor:
        is_there = cursor.set_range(start)
        while is_there and bytes(cursor.key()).startswith(start):
            yield cursor.value()
            is_there = cursor.next()


__all__ = ["Database", "add_to_files", "changing", "delete_from", "forget", "free", "sweep", "used", "values"]
