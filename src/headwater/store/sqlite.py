"""SQLite through apsw: WAL, synchronous=FULL, one group-commit writer, reads on the caller's thread."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apsw
import msgspec

from headwater.base.clock import Clock, now_us
from headwater.base.errors import Fatal, HeadwaterError, QuotaExceeded, Unavailable
from headwater.base.settings_tree import DatabaseSettings
from headwater.store.database import Moved, Result, Row, Transaction, Work
from headwater.store.writer import GroupWriter

FIXED_VERSION = (3, 51, 3)
"""The first SQLite in which two connections cannot corrupt a WAL that is being reset."""

PAGE_BYTES = 8192
_JOINED = "SELECT count(*), coalesce(max(position), 0), CAST(group_concat(wire, ',') AS BLOB) FROM ({})"


class SqliteTransaction(Transaction):
    """A transaction on one apsw connection."""

    def __init__(self, connection: apsw.Connection) -> None:
        super().__init__()
        self.connection = connection
        self.execute = connection.cursor().execute
        self._many = connection.cursor().executemany

    def rows(self, sql: str, *params: Any) -> list[Row]:
        """Every row that the statement gives."""
        return self.execute(sql, params).fetchall()

    def row(self, sql: str, *params: Any) -> Row | None:
        """The first row, or None."""
        return self.execute(sql, params).fetchone()

    def rows_in(self, sql: str, values: Sequence[str], *params: Any) -> list[Row]:
        """Rows whose last-named column is one of ``values``, bound as one JSON array."""
        array = msgspec.json.encode(values).decode()
        return self.execute(f"{sql} IN (SELECT value FROM json_each(?))", (*params, array)).fetchall()

    def run(self, sql: str, *params: Any) -> int:
        """Carry out one changing statement; the number of rows it changed."""
        self.wrote = True
        self.execute(sql, params)
        return self.connection.changes()

    def run_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Carry out one changing statement for each row of parameters."""
        self.wrote = True
        self._many(sql, rows)

    def mint(self, name: str, count: int = 1) -> list[int]:
        """The next integers of a server-wide sequence, from the counters of feed 0."""
        last = self.bump(0, "mint:" + name, count)
        return list(range(last - count + 1, last + 1))

    def joined(self, sql: str, *params: Any) -> tuple[int, int, bytes]:
        """Rows ``(position, wire)`` as count, last position and their bytes joined with commas."""
        found: Any = self.execute(_JOINED.format(sql), params).fetchone()
        return found[0], found[1], found[2] or b""


class SqliteSession:
    """The writing connection: begins, commits, rolls back, and truncates the WAL when it has grown."""

    def __init__(self, path: str, settings: DatabaseSettings, reserve: Path | None) -> None:
        self._connection = connect(path, synchronous=settings.synchronous)
        self.transaction: Transaction = SqliteTransaction(self._connection)
        self._wal_limit_bytes = settings.wal_limit_bytes
        self._wal_pages = 0
        self._reserve = reserve
        self._connection.set_wal_hook(self._note_wal)
        self._execute = self._connection.cursor().execute

    def begin(self, now_us: int) -> None:
        """Open a writing transaction; waits for another process's writer up to the busy timeout."""
        self.transaction.begin(now_us)
        self._execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """One fsync for the whole group; then the WAL is reset if it is over its limit."""
        self._execute("COMMIT")
        if self._wal_pages * PAGE_BYTES > self._wal_limit_bytes:
            self._reset_wal()

    def roll_back(self) -> None:
        """Undo everything since ``begin``."""
        if self._connection.in_transaction:
            self._execute("ROLLBACK")

    def translate(self, failure: Exception) -> Exception:
        """Disk full, a failed fsync and a busy file as our own errors."""
        if isinstance(failure, apsw.FullError):
            if self._reserve is not None:
                self._reserve.unlink(missing_ok=True)
            return QuotaExceeded("the server's disk is full; nothing was written", code="DISK_FULL")
        if isinstance(failure, apsw.IOError):
            return Fatal(f"the database could not be written durably: {failure}")
        if isinstance(failure, apsw.BusyError):
            return Unavailable("another process holds the database", retry_after_seconds=1)
        return failure

    def close(self) -> None:
        """Close the connection; SQLite folds the WAL in when it is the last one."""
        self._connection.close()

    def _note_wal(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._wal_pages = pages
        return apsw.SQLITE_OK

    def _reset_wal(self) -> None:
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            self._wal_pages = 0
        except apsw.BusyError:
            # A reader still needs the old pages; the next commit tries again.
            return


class SqliteDatabase:
    """One SQLite file: writes through the group writer, short reads inline, long ones on threads."""

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
        self._path = str(path)
        self._clock = clock
        self._settings = settings
        self._reserve = _make_reserve(path.with_suffix(".reserve"), settings.reserve_file_bytes)
        self._local = threading.local()
        self._writer = GroupWriter(
            lambda: SqliteSession(self._path, settings, self._reserve),
            clock,
            batch=settings.writer_batch_requests,
            queue_limit=settings.writer_queue_requests,
            on_fatal=on_fatal,
        )
        self._readers = ThreadPoolExecutor(settings.read_threads, "headwater-reader")
        self._opened: list[apsw.Connection] = []
        self._version_of = _version_reader(self._reader().connection)

    async def write(self, work: Work[Result], *, feed: int = 0) -> Result:  # noqa: ARG002 - one writer for all feeds
        """Run ``work`` in the next group; returns after its commit is on disk."""
        result: Result = await self._writer.submit(work)
        return result

    async def read(self, work: Work[Result], *, slow: bool = False) -> Result:
        """Run ``work`` on a snapshot, inline unless ``slow``."""
        if slow:
            return await asyncio.get_running_loop().run_in_executor(self._readers, self.read_now, work)
        return self.read_now(work)

    def write_now(self, work: Work[Result], *, feed: int = 0) -> Result:  # noqa: ARG002 - the same
        """Run ``work`` in the next group and wait for it."""
        result: Result = self._writer.run_now(work)
        return result

    def read_now(self, work: Work[Result]) -> Result:
        """Run ``work`` on a snapshot on this thread's own connection."""
        transaction = self._reader()
        transaction.begin(self._clock())
        transaction.execute("BEGIN")
        try:
            return work(transaction)
        finally:
            transaction.execute("ROLLBACK")

    def glance(self, sql: str, *params: Any) -> Row | None:
        """The first row of one committed read on the event loop's own connection: about 3 microseconds."""
        return self._reader().row(sql, *params)

    def version(self) -> int:
        """SQLite's data_version of the event loop's reader: changes with every commit by anybody."""
        return self._version_of()

    def on_commit(self, listener: Callable[[Moved], None]) -> None:
        """Call ``listener`` on the writer's thread after each commit that moved a feed."""
        self._writer.on_commit(listener)

    def close(self) -> None:
        """Commit what was accepted and close every connection."""
        self._writer.close()
        self._readers.shutdown()
        for connection in self._opened:
            connection.close()

    def _reader(self) -> SqliteTransaction:
        found = getattr(self._local, "transaction", None)
        if found is None:
            connection = connect(self._path, synchronous=self._settings.synchronous)
            connection.execute("PRAGMA query_only = 1")
            self._opened.append(connection)
            found = self._local.transaction = SqliteTransaction(connection)
        transaction: SqliteTransaction = found
        return transaction


def connect(path: str, *, synchronous: str) -> apsw.Connection:
    """Open a connection with the settings that the promises rest on."""
    connection = apsw.Connection(path, statementcachesize=512)
    connection.set_busy_timeout(10_000)
    for pragma in (
        f"page_size = {PAGE_BYTES}",
        "journal_mode = WAL",
        f"synchronous = {synchronous}",
        "foreign_keys = 1",
        "wal_autocheckpoint = 0",
        "secure_delete = FAST",
        "cache_size = -65536",
        "temp_store = MEMORY",
    ):
        connection.execute("PRAGMA " + pragma)
    return connection


def _version_reader(connection: apsw.Connection) -> Callable[[], int]:
    execute = connection.cursor().execute

    def version() -> int:
        found: Any = execute("PRAGMA data_version").fetchone()
        number: int = found[0]
        return number

    return version


def _refuse_unsafe_library() -> None:
    version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if version < FIXED_VERSION:
        raise HeadwaterError(f"SQLite {apsw.sqlite_lib_version()} can corrupt a WAL; 3.51.3 or later is needed")


def _make_reserve(path: Path, size_bytes: int) -> Path | None:
    """A file that is given up when the disk is full, so that deleting still works."""
    if size_bytes == 0:
        return None
    if not path.exists() or path.stat().st_size < size_bytes:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size_bytes)
    return path
