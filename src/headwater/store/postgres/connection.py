"""One PostgreSQL connection: its settings, its statements, and the translation of its failures."""

from __future__ import annotations

import select
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import psycopg
from psycopg import errors
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap
from psycopg.types.array import ListBinaryDumper
from psycopg.types.numeric import Int8BinaryDumper, NumericBinaryLoader

from headwater.base.errors import HeadwaterError, Invalid, QuotaExceeded, Unavailable
from headwater.base.settings.table import DatabaseSettings
from headwater.store.database import Row
from headwater.store.dialect import Bulk

CONNECT_SECONDS = 10
OLDEST_VERSION = 140_000
"""The oldest supported server, in PostgreSQL's numbering of versions."""

TRANSACTION_TIMEOUT_VERSION = 170_000
"""The first server with ``transaction_timeout``."""

SAFEGUARDS = ("fsync", "full_page_writes")
"""The server's settings without which it can lose committed transactions."""

_IDLE_SECONDS = 10
"""The longest time that a writer computes between two statements; then the server frees its locks."""

_PREPARED_MAX = 500
_CONTENTION = (errors.SerializationFailure, errors.DeadlockDetected, errors.LockNotAvailable)
_LOSSES = (
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.IdleInTransactionSessionTimeout,
    errors.IdleSessionTimeout,
    errors.TransactionTimeout,
)
_TUNE = b"""
SELECT set_config('statement_timeout', %s, false), set_config('idle_in_transaction_session_timeout', %s, false),
  set_config('timezone', 'UTC', false), set_config('application_name', 'headwater', false),
  set_config('tcp_keepalives_idle', '20', false), set_config('tcp_keepalives_interval', '10', false),
  set_config('tcp_keepalives_count', '3', false), set_config('tcp_user_timeout', '50000', false),
  CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', false) END,
  current_setting('server_encoding'), current_setting('server_version_num')::bigint,
  current_setting('fsync'), current_setting('full_page_writes')
"""
_TYPES = b"""
SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped
"""


class _WholeNumberLoader(NumericBinaryLoader):
    """Loads a NUMERIC, the type of a sum of integers in PostgreSQL, as an integer, as in SQLite."""

    def load(self, data: Buffer) -> Any:
        number = super().load(data)
        return int(number) if number == number.to_integral_value() else float(number)


def _adapters() -> AdaptersMap:
    """Maps each Python type to one type, so that a statement is prepared once and not for each size of integer."""
    adapters = AdaptersMap(psycopg.adapters)
    adapters.register_dumper(int, Int8BinaryDumper)
    adapters.register_dumper(bool, Int8BinaryDumper)
    adapters.register_dumper(list, ListBinaryDumper)
    adapters.register_loader("numeric", _WholeNumberLoader)
    return adapters


_ADAPTERS = _adapters()


class _Connection(psycopg.Connection[Any]):
    """A connection whose record of prepared statements can be dropped."""

    def forget_statements(self) -> None:
        """Prepares every statement again at its next uses.

        In an aborted pipeline the server skips preparations that psycopg has recorded; each later use would fail.
        """
        self._prepared.clear()


class PostgresLink:
    """A connection in autocommit mode; statements begin and end transactions.

    With ``pipelined``, for writing, ``send`` does not wait for the server; the next ``fetch``, ``count`` or ``wait``
    raises the failure of such a statement.
    """

    def __init__(self, url: str, settings: DatabaseSettings, *, pipelined: bool = False) -> None:
        self._connection = _Connection.connect(
            url,
            autocommit=True,
            prepare_threshold=2,
            context=_ADAPTERS,
            connect_timeout=CONNECT_SECONDS,
            # A server that disappears silently is detected within a minute.
            keepalives_idle=20,
            keepalives_interval=10,
            keepalives_count=3,
            tcp_user_timeout=50_000,
        )
        self._connection.prepared_max = _PREPARED_MAX
        self._answers = self._connection.cursor(binary=True)
        # A separate cursor: a late answer would be read as the answer of the next statement.
        self._sends = self._connection.cursor(binary=True)
        self._stack = ExitStack()
        self._pipeline: psycopg.Pipeline | None = None
        self._types: dict[str, dict[str, str]] = {}
        self.unsafe: list[str] = []
        """The safeguards that the server has turned off."""
        self.failed = False
        """True after any failure, until the transaction or savepoint is rolled back."""
        self.suspect = False
        """True after any failure, for ever: the transaction is the last one on this connection."""
        self.version = 0
        """The server's version, in PostgreSQL's numbering."""
        with ExitStack() as undo:
            undo.callback(self._connection.close)
            idle_seconds = min(settings.transaction_seconds, _IDLE_SECONDS) if pipelined else settings.statement_seconds
            self._tune(settings.statement_seconds, idle_seconds)
            undo.pop_all()
        if pipelined:
            self._enter_pipeline()

    @property
    def pid(self) -> int:
        """The server's process id for this connection."""
        return self._connection.info.backend_pid

    @property
    def closed(self) -> bool:
        """True when the connection is closed."""
        return self._connection.closed

    @property
    def reusable(self) -> bool:
        """True when another transaction may begin on this connection: it is open, and nothing failed on it."""
        return not self.suspect and not self._connection.closed

    def is_lost(self, failure: psycopg.Error) -> bool:
        """True when the failure ended the connection, which is then closed."""
        # The server's last message arrives before the end of the connection is detected.
        if isinstance(failure, _LOSSES):
            self.close()
        return self.closed

    def fetch(self, sql: bytes, params: Sequence[Any] = ()) -> list[Row]:
        """Returns every row of the statement."""
        with self._watched():
            self._answers.execute(sql, params)
            # Without it, the server would wait inside the pipeline for the next statement, without a time limit.
            self.wait()
            return self._answers.fetchall()

    def count(self, sql: bytes, params: Sequence[Any] = ()) -> int:
        """Executes a statement; returns the number of rows it changed."""
        with self._watched():
            self._answers.execute(sql, params)
            self.wait()
            return self._answers.rowcount

    def send(self, sql: bytes, params: Sequence[Any] = ()) -> None:
        """Executes a statement without reading its result."""
        with self._watched():
            self._sends.execute(sql, params)

    def send_many(self, sql: bytes, rows: Sequence[Sequence[Any]]) -> None:
        """Executes a statement once for each row."""
        with self._watched():
            self._sends.executemany(sql, rows)

    def send_bulk(self, plan: Bulk, rows: Sequence[Sequence[Any]]) -> None:
        """Executes a plan for all rows in one statement."""
        with self._watched():
            types = self._column_types(plan)
            if plan.template is None:
                self._copy(plan, rows, types)
                return
            arrays = ", ".join(f"%s::{types[column]}[]" for column in plan.columns)
            columns = [_array(list(column)) for column in zip(*rows, strict=True)]
            self._sends.execute(plan.template.format(arrays).encode(), columns)

    def wait(self) -> None:
        """Waits until every sent statement has finished. Raises: the failure of any of them."""
        with self._watched():
            if self._pipeline is not None:
                self._pipeline.sync()

    def end(self, sql: bytes) -> None:
        """Sends COMMIT and waits. Raises: InFailedSqlTransaction when the server rolled back instead."""
        self.send(sql)
        self.wait()
        if self._sends.statusmessage != "COMMIT":
            self.failed = True
            raise errors.InFailedSqlTransaction("the transaction had failed before its commit")

    def undo(self, *statements: bytes) -> None:
        """Waits for the statements in progress, ignores their failures, then rolls back with the given statements.

        Raises: psycopg.Error when the connection is lost.
        """
        for _ in range(3):
            with suppress(errors.Error), self._watched():
                if self._pipeline is not None and not self._connection.closed:
                    self._pipeline.sync()
                break
        if self.failed:
            self._connection.forget_statements()
        for statement in statements:
            self._sends.execute(statement)
        self.wait()
        self.failed = False

    def notifications(self, wake: int) -> list[tuple[int, str]]:
        """Waits for notifications, or until the file ``wake`` is readable; returns pairs of sender's pid and text."""
        select.select([self._connection.fileno(), wake], [], [])
        return [(note.pid, note.payload) for note in self._connection.notifies(timeout=0)]

    def close(self) -> None:
        """Closes the connection, in any state."""
        with suppress(psycopg.Error):
            self._stack.close()
        self._connection.close()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.failed = self.suspect = True
            raise

    def _tune(self, statement_seconds: int, idle_seconds: int) -> None:
        found = self.fetch(_TUNE, (f"{statement_seconds}s", f"{idle_seconds}s"))[0]
        encoding, self.version, *safeguards = found[-4:]
        self.unsafe = [name for name, value in zip(SAFEGUARDS, safeguards, strict=True) if value == "off"]
        if encoding != "UTF8":
            raise HeadwaterError(f"the PostgreSQL database is encoded in {encoding}; Headwater needs UTF8")
        if self.version < OLDEST_VERSION:
            raise HeadwaterError(f"PostgreSQL {self.version // 10_000} is too old; 14 or later is needed")

    def _enter_pipeline(self) -> None:
        self._pipeline = self._stack.enter_context(self._connection.pipeline())

    def _copy(self, plan: Bulk, rows: Iterable[Sequence[Any]], types: dict[str, str]) -> None:
        """Inserts rows with COPY, outside the pipeline: PostgreSQL refuses COPY inside one."""
        pipelined = self._pipeline is not None
        columns = (*plan.columns, *(name for name, _ in plan.constants))
        constants = tuple(value for _, value in plan.constants)
        statement = f"COPY {plan.table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)".encode()
        try:
            self._pipeline = None
            self._stack.close()
            with self._sends.copy(statement) as copy:
                copy.set_types([types[column] for column in columns])
                for row in rows:
                    copy.write_row((*row, *constants))
        finally:
            if pipelined and not self._connection.closed:
                self._enter_pipeline()

    def _column_types(self, plan: Bulk) -> dict[str, str]:
        found = self._types.get(plan.table)
        if found is None:
            found = self._types[plan.table] = dict(self.fetch(_TYPES, (plan.table,)))
        return found


def _array(column: list[Any]) -> list[Any] | str:
    """Returns a column as an array; one of only nulls has no type, and is sent as text."""
    if all(value is None for value in column):
        return "{" + ",".join(["NULL"] * len(column)) + "}"
    return column


def translate(failure: Exception) -> Exception:
    """Returns the Headwater error for an exception of PostgreSQL; any other exception unchanged."""
    if not isinstance(failure, psycopg.Error) or isinstance(failure, errors.PipelineAborted):
        return failure
    if isinstance(failure, errors.DiskFull):
        return QuotaExceeded("the database's disk is full; nothing was written", code="DISK_FULL")
    if isinstance(failure, errors.QueryCanceled):
        return Unavailable("a statement took too long", retry_after_seconds=5)
    if isinstance(failure, _CONTENTION):
        return Unavailable("other transactions change the same rows", retry_after_seconds=1)
    if isinstance(failure, (psycopg.OperationalError, psycopg.InterfaceError, *_LOSSES)):
        return Unavailable("the database cannot be reached", retry_after_seconds=2)
    if isinstance(failure, psycopg.DataError) and "NUL" in str(failure):
        return Invalid("text must not hold a NUL character")
    return failure


def may_repeat(failure: Exception) -> bool:
    """True when the same group may succeed at once: after a deadlock, or when another process wrote first.

    A duplicate key may come from a commit that the transaction function could not see when it read.
    """
    return isinstance(failure, (*_CONTENTION, errors.UniqueViolation))
