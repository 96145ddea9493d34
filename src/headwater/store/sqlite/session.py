"""SQLite connections: their settings, their transactions, the reader of a thread, and the writer's session."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import apsw
import msgspec

from headwater.base.clock import monotonic_seconds
from headwater.base.errors import Fatal, HeadwaterError, QuotaExceeded, Unavailable
from headwater.base.log import get_log
from headwater.base.settings.field import KIB
from headwater.base.settings.table import DatabaseSettings
from headwater.store.database import FULL, Result, Row, Transaction, TransactionFunction
from headwater.store.sqlite.reserve import Reserve

PAGE_BYTES = 8192
BUSY_MS = 10_000
"""Milliseconds that a statement waits for another process's writer."""

TRUNCATE_BUSY_MS = 20
"""Milliseconds that the writer waits for readers of the WAL before it postpones the truncation."""

SCRUB_SECONDS = 5.0
"""The least time between two truncations of the WAL after erasures, so that many deletions share one."""

REBUILD_SHARE = 50
"""After an erasure the tables are written anew for at most one of so many seconds."""

_SCRUB_RETRY_SECONDS = 1.0
_RETRY_SECONDS = 0.005
_FULL_DISK_WAL_BYTES = KIB * KIB
_WRITER_CACHE_BYTES = 64 * KIB * KIB
# Each commit of another connection empties a reader's cache, so a large one is of no use.
_READER_CACHE_BYTES = 16 * KIB * KIB
_PROGRESS_STEPS = 200_000
_JOINED = "SELECT count(*), coalesce(max(position), 0), CAST(group_concat(wire, ',') AS BLOB) FROM ({})"

_log = get_log(__name__)


def connect(path: str, *, synchronous: str, cache_bytes: int = _READER_CACHE_BYTES) -> apsw.Connection:
    """Opens a connection with the settings that durability and isolation depend on."""
    connection = apsw.Connection(path, statementcachesize=512)
    connection.set_busy_timeout(BUSY_MS)
    # Without this, SQLite plans some joins again for each new parameter: 16 us instead of 2.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    for pragma in (
        f"page_size = {PAGE_BYTES}",
        "journal_mode = WAL",
        f"synchronous = {synchronous}",
        "foreign_keys = 1",
        "wal_autocheckpoint = 0",
        # FAST would leave the content of freed pages in the file, also after an erasure.
        "secure_delete = ON",
        f"cache_size = -{cache_bytes // KIB}",
        "temp_store = MEMORY",
    ):
        _set(connection, pragma)
    return connection


def _set(connection: apsw.Connection, pragma: str) -> None:
    """Executes a pragma, and waits as a statement would: SQLite itself does not wait for the creation of the WAL."""
    ends = monotonic_seconds() + BUSY_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA " + pragma)
        except apsw.BusyError:
            if monotonic_seconds() > ends:
                raise
            threading.Event().wait(_RETRY_SECONDS)
        else:
            return


class SqliteTransaction(Transaction):
    """A transaction on one apsw connection. Every statement is read to its end, because an open one pins the WAL."""

    def __init__(self, connection: apsw.Connection) -> None:
        super().__init__()
        self.connection = connection
        self.execute = connection.cursor().execute
        self._many = connection.cursor().executemany

    def rows(self, sql: str, *params: Any) -> list[Row]:
        """Returns every row of the statement."""
        return self.execute(sql, params).fetchall()

    def row(self, sql: str, *params: Any) -> Row | None:
        """Returns the first row, or None."""
        found = self.execute(sql, params).fetchall()
        return found[0] if found else None

    def rows_in(self, sql: str, values: Sequence[str], *params: Any) -> list[Row]:
        """Returns the rows in which a column is one of ``values``, bound as one JSON array."""
        array = msgspec.json.encode(values).decode()
        return self.execute(f"{sql} IN (SELECT value FROM json_each(?))", (*params, array)).fetchall()

    def run(self, sql: str, *params: Any) -> int:
        """Executes one changing statement; returns the number of rows it changed."""
        self.wrote = True
        self.execute(sql, params)
        return self.connection.changes()

    def put(self, sql: str, *params: Any) -> None:
        """Executes one changing statement."""
        self.wrote = True
        self.execute(sql, params)

    def run_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Executes one changing statement for each row of parameters."""
        self.wrote = True
        self._many(sql, rows)

    def mint(self, name: str, count: int = 1) -> list[int]:
        """Returns the next integers of a server-wide sequence, from the counters of feed 0."""
        last = self.bump(0, "mint:" + name, count)
        return list(range(last - count + 1, last + 1))

    def joined(self, sql: str, *params: Any) -> tuple[int, int, bytes]:
        """Returns rows ``(position, wire)`` as count, last position and their bytes joined with commas."""
        found: Any = self.execute(_JOINED.format(sql), params).fetchall()[0]
        return found[0], found[1], found[2] or b""

    def _mark(self) -> None:
        self.execute("SAVEPOINT s")

    def _release(self) -> None:
        self.execute("RELEASE s")

    def _undo(self) -> None:
        # After a full disk SQLite may have rolled back the whole transaction; ``must_roll_back`` then returns True.
        with suppress(apsw.Error):
            self.execute("ROLLBACK TO s")
            self.execute("RELEASE s")


class SqliteReader:
    """The reading connection of one thread; each read runs on a snapshot."""

    def __init__(self, path: str, settings: DatabaseSettings) -> None:
        self._connection = connect(path, synchronous=settings.synchronous)
        self._connection.execute("PRAGMA query_only = 1")
        self._connection.set_progress_handler(self._is_late, _PROGRESS_STEPS)
        self._transaction = SqliteTransaction(self._connection)
        self._limit_seconds = settings.statement_seconds
        self._deadline_seconds = 0.0

    def run(self, function: TransactionFunction[Result], now_us: int) -> Result:
        """Runs ``function`` on a snapshot. Raises: Unavailable when it takes too long."""
        transaction = self._transaction
        execute = transaction.execute
        transaction.begin(now_us)
        self._deadline_seconds = monotonic_seconds() + self._limit_seconds
        execute("BEGIN")
        try:
            return function(transaction)
        except apsw.InterruptError:
            detail = f"the read took longer than {self._limit_seconds} s"
            raise Unavailable(detail, retry_after_seconds=self._limit_seconds) from None
        finally:
            execute("ROLLBACK")

    def committed_row(self, sql: str, *params: Any) -> Row | None:
        """Returns the first row of one statement outside any transaction."""
        return self._transaction.row(sql, *params)

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def _is_late(self) -> bool:
        return monotonic_seconds() > self._deadline_seconds


class SqliteSession:
    """The writing connection: begins, commits and rolls back, and truncates a WAL over its limit or after an erasure.

    Where SQLite moves rows between pages, it leaves copies of them in the unused room of a page, which no setting
    overwrites. After an erasure the tables are therefore written anew, for at most a fiftieth of the time.
    A WAL that is found at the opening may contain what was erased before a crash, so it is truncated as well.
    """

    def __init__(self, path: str, settings: DatabaseSettings, reserve: Reserve) -> None:
        self._path = path
        self._synchronous = settings.synchronous
        # On a full disk the WAL must fit into the reserve: copying it into the database file may need as much room.
        reserve_bytes = settings.reserve_file_bytes
        self._limit_bytes = min(settings.wal_limit_bytes, reserve_bytes // 2 or settings.wal_limit_bytes)
        self._reserve = reserve
        self._wal_bytes = 0
        self._truncate_at_bytes = self._limit_bytes
        self._warn_at_bytes = 2 * self._limit_bytes
        self._has_traces = True
        self._scrub_at_seconds = 0.0
        self._has_copies = False
        self._rebuild_at_seconds = 0.0
        self._open()

    def begin(self, now_us: int, feeds: Sequence[int]) -> None:  # noqa: ARG002 - the one writer locks every feed
        """Opens a writing transaction; waits for another process's writer up to the busy timeout."""
        self.transaction.begin(now_us)
        missing_bytes = self._reserve.missing_bytes()
        self._execute("BEGIN IMMEDIATE")
        if missing_bytes:
            # Its WAL must stay small, and so must what it writes: the room on the disk is for deletions.
            self._truncate_at_bytes = min(self._truncate_at_bytes, missing_bytes // 4, _FULL_DISK_WAL_BYTES)
            self.transaction.deletes_only = free_page_bytes(self.transaction) < missing_bytes

    def commit(self) -> None:
        """Commits the whole group with one fsync."""
        self._execute("COMMIT")
        self._has_traces = self._has_traces or self.transaction.erased
        self._has_copies = self._has_copies or self.transaction.erased

    def roll_back(self) -> None:
        """Rolls back everything since ``begin``; a connection that cannot is replaced, which rolls back as well."""
        if self._connection.in_transaction:
            with suppress(apsw.Error):
                self._execute("ROLLBACK")
        if self._connection.in_transaction:
            self._connection.close(True)
            self._open()

    def must_roll_back(self) -> bool:
        """True when SQLite itself has ended the transaction, as it does after some failures."""
        return not self._connection.in_transaction

    def ignored_failure(self) -> HeadwaterError:
        """Returns the error for a function that ignored SQLite's end of the transaction."""
        return HeadwaterError("a statement failed and the transaction function ignored it")

    def translate(self, failure: Exception) -> Exception:
        """Returns the Headwater error for a full disk, a failed fsync, a damaged file or a busy one."""
        if _is_full(failure):
            self._reserve.give_up()
            return QuotaExceeded(FULL, code="DISK_FULL")
        if isinstance(failure, apsw.IOError):
            return Fatal(f"the database could not be written durably: {failure}")
        if isinstance(failure, (apsw.CorruptError, apsw.NotADBError)):
            return Fatal(f"the database is damaged: {failure}")
        if isinstance(failure, (apsw.BusyError, apsw.LockedError)):
            return Unavailable("another process holds the database", retry_after_seconds=1)
        return failure

    def was_refused(self, failure: Exception) -> bool:
        """True for SQLite's own errors: a COMMIT that fails has committed nothing."""
        return isinstance(failure, apsw.Error)

    def may_repeat(self, failure: Exception) -> bool:
        """True when a full disk has just given its reserve up, so that the deletions of the group may succeed.

        No other transaction can interfere with the holder of the write lock.
        """
        return _is_full(failure) and self._reserve.give_up()

    def tidy(self) -> None:
        """Truncates a WAL over its limit, or with traces of erased content.

        While a reader needs the WAL, a WAL over its limit is tried again only after it has grown, and one with traces
        a second later.
        """
        at_seconds = monotonic_seconds()
        # While a reader keeps the WAL from being truncated, each time would add the whole database to it.
        has_room = self._wal_bytes <= self._limit_bytes // 2
        if self._has_copies and has_room and at_seconds >= max(self._rebuild_at_seconds, self._scrub_at_seconds):
            self._rebuild()
        must_scrub = self._has_traces and at_seconds >= self._scrub_at_seconds
        if not must_scrub and self._wal_bytes <= self._truncate_at_bytes:
            return
        self._connection.set_busy_timeout(TRUNCATE_BUSY_MS)
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except (apsw.BusyError, apsw.LockedError):
            self._scrub_at_seconds = at_seconds + _SCRUB_RETRY_SECONDS
            self._truncate_at_bytes = max(self._limit_bytes, self._wal_bytes + self._limit_bytes // 8)
            if self._wal_bytes > self._warn_at_bytes:
                self._warn_at_bytes = 2 * self._wal_bytes
                _log.warning("the WAL cannot be truncated: a reader never ends", wal_bytes=self._wal_bytes)
        else:
            self._has_traces = False
            self._scrub_at_seconds = at_seconds + SCRUB_SECONDS
            self._wal_bytes = 0
            self._truncate_at_bytes = self._limit_bytes
            self._warn_at_bytes = 2 * self._limit_bytes
        finally:
            self._connection.set_busy_timeout(BUSY_MS)

    def close(self) -> None:
        """Closes the connection."""
        if self._has_copies:
            self._rebuild()
        self._connection.close()

    def _rebuild(self) -> None:
        """Writes the tables anew, in memory first, without the copies of erased rows between the live ones.

        A database that would not fit into the WAL stays as it is: it would also stop the writes for too long.
        """
        began_seconds = monotonic_seconds()
        self._has_copies = False
        self._connection.set_busy_timeout(TRUNCATE_BUSY_MS)
        try:
            size_bytes = PAGE_BYTES * int(self._connection.pragma("page_count"))
            if size_bytes <= self._limit_bytes and not self._reserve.missing_bytes():
                self._connection.execute("VACUUM")
                self._has_traces = True
        except apsw.Error as failure:
            # The data is as it was. What another process kept busy is tried again, anything else at the next erasure.
            self._has_copies = isinstance(failure, (apsw.BusyError, apsw.LockedError))
            if not self._has_copies:
                _log.warning("the database could not be written anew after an erasure", reason=str(failure))
        finally:
            self._connection.set_busy_timeout(BUSY_MS)
        ended_seconds = monotonic_seconds()
        self._rebuild_at_seconds = ended_seconds + max(SCRUB_SECONDS, REBUILD_SHARE * (ended_seconds - began_seconds))

    def _open(self) -> None:
        self._connection = connect(self._path, synchronous=self._synchronous, cache_bytes=_WRITER_CACHE_BYTES)
        self.transaction: Transaction = SqliteTransaction(self._connection)
        self._connection.set_wal_hook(self._note_wal)
        self._execute = self._connection.cursor().execute

    def _note_wal(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._wal_bytes = pages * PAGE_BYTES
        return apsw.SQLITE_OK


def free_page_bytes(tx: Transaction) -> int:
    """Returns the size of the pages in the database file that hold nothing, and that new rows fill first."""
    return PAGE_BYTES * int(tx.value("PRAGMA freelist_count") or 0)


def _is_full(failure: Exception) -> bool:
    """True when a file could not grow; for the WAL's index, SQLite reports that as an I/O error."""
    if isinstance(failure, apsw.IOError):
        return getattr(failure, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE
    return isinstance(failure, apsw.FullError)
