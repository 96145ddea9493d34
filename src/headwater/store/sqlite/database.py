"""SQLite through apsw: WAL, one group-commit writer, short reads on the caller's thread, long ones on a pool."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apsw

from headwater.base.clock import Clock, now_us
from headwater.base.errors import HeadwaterError
from headwater.base.log import get_log
from headwater.base.settings.field import MIB
from headwater.base.settings.table import DatabaseSettings
from headwater.store.database import FULL, Moved, Result, Row, TransactionFunction
from headwater.store.group_commit import Gate, GroupWriter
from headwater.store.reader_pool import Readers
from headwater.store.sqlite.reserve import Reserve
from headwater.store.sqlite.session import PAGE_BYTES, SqliteReader, SqliteSession, connect, free_page_bytes

FIXED_VERSION = (3, 51, 3)
"""The first version of SQLite in which two connections cannot corrupt a WAL during its reset."""

_FILL_BYTES = 16 * MIB

_log = get_log(__name__)


class SqliteDatabase:
    """One SQLite file: writes go through the group-commit writer, short reads run inline, long ones on threads."""

    embedded = True

    def __init__(
        self,
        path: Path,
        settings: DatabaseSettings,
        *,
        clock: Clock = now_us,
        on_fatal: Callable[[Exception], None] = lambda _failure: None,
    ) -> None:
        _refuse_unsafe_library()
        self.path = path
        self._clock = clock
        self._on_fatal = on_fatal
        self._failed = False
        self._reserve = Reserve(path, settings.reserve_file_bytes)
        self._writer = GroupWriter(
            lambda: SqliteSession(str(path), settings, self._reserve),
            clock,
            batch=settings.writer_batch_requests,
            gate=Gate(settings.writer_queue_requests),
            on_fatal=self._fail,
        )
        self._readers = Readers(lambda: SqliteReader(str(path), settings))
        self._pool = ThreadPoolExecutor(settings.read_threads, "headwater-reader")
        # A separate connection: inside a read transaction, a connection would see the old number.
        self._watch = connect(str(path), synchronous=settings.synchronous)
        self._ask_version = self._watch.cursor().execute

    async def write(self, function: TransactionFunction[Result], *, feed: int = 0) -> Result:
        """Runs ``function`` in the next group; returns after its commit is on disk."""
        result: Result = await self._writer.submit(function, feed)
        return result

    async def read(self, function: TransactionFunction[Result], *, slow: bool = False) -> Result:
        """Runs ``function`` on a snapshot, inline unless ``slow``."""
        if slow:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self.read_now, function)
        return self._readers.of_this_thread().run(function, self._clock())

    def write_now(self, function: TransactionFunction[Result], *, feed: int = 0) -> Result:
        """Runs ``function`` in the next group and waits for its commit."""
        result: Result = self._writer.run_now(function, feed)
        return result

    def read_now(self, function: TransactionFunction[Result]) -> Result:
        """Runs ``function`` on a snapshot, on this thread's own connection."""
        return self._readers.of_this_thread().run(function, self._clock())

    def committed_row(self, sql: str, *params: Any) -> Row | None:
        """Returns the first row of a query on the calling thread's own connection, in about 3 microseconds."""
        return self._readers.of_this_thread().committed_row(sql, *params)

    def version(self) -> int:
        """Returns SQLite's data_version, which changes with every commit of any process."""
        number: Any = self._ask_version("PRAGMA data_version").fetchall()[0][0]
        return int(number)

    def refusal(self) -> str | None:
        """Returns the reason why writes are refused at present: a full disk, or a failed writer."""
        if self._writer.failure is not None:
            return str(self._writer.failure)
        missing_bytes = self._reserve.missing_bytes()
        return FULL if missing_bytes and self.read_now(free_page_bytes) < missing_bytes else None

    def on_commit(self, listener: Callable[[Moved], None]) -> None:
        """Registers a listener that is called on the writer's thread after each commit that changed a feed."""
        self._writer.on_commit(listener)

    def scrub(self) -> None:
        """Lets the writer's housekeeping run, which truncates a WAL with traces of erased content."""
        self._writer.run_now(lambda _tx: None)

    def overwrite_free_pages(self) -> None:
        """Overwrites the free pages of a file that was written before free pages were overwritten at once.

        A table takes all of them, filled with zeros, and is dropped again.
        """
        free_bytes = PAGE_BYTES * self.read_now(lambda tx: tx.value("PRAGMA freelist_count"))
        if not free_bytes:
            return
        self._writer.run_now(lambda tx: tx.run("CREATE TABLE free_pages (zeros BLOB NOT NULL)"))
        for start in range(0, free_bytes, _FILL_BYTES):
            size_bytes = min(_FILL_BYTES, free_bytes - start)
            self._writer.run_now(lambda tx, n=size_bytes: tx.run("INSERT INTO free_pages VALUES (zeroblob(?))", n))  # type: ignore[misc]
        self._writer.run_now(lambda tx: tx.run("DROP TABLE free_pages"))

    def close(self) -> None:
        """Commits the accepted writes and closes every connection."""
        self._writer.close()
        self._pool.shutdown()
        self._readers.close()
        if self._failed:
            # After a failed fsync the content of the disk is unknown: the WAL stays, and the next start recovers it.
            self._watch.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        # Closing the last connection copies the WAL into the database file.
        self._watch.close()

    def _fail(self, failure: Exception) -> None:
        self._failed = True
        self._on_fatal(failure)


def _refuse_unsafe_library() -> None:
    version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if version < FIXED_VERSION:
        raise HeadwaterError(f"SQLite {apsw.sqlite_lib_version()} can corrupt a WAL; 3.51.3 or later is needed")
