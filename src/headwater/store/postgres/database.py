"""PostgreSQL through psycopg: several group-commit writers, reads on threads, notifications from other processes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from psycopg import errors

from headwater.base.clock import Clock, monotonic_seconds, now_us
from headwater.base.log import get_log
from headwater.base.settings.table import DatabaseSettings
from headwater.store.database import Moved, Result, Row, TransactionFunction
from headwater.store.group_commit import Gate, GroupWriter
from headwater.store.log.copies import CONTENT_TABLES
from headwater.store.postgres.connection import PostgresLink
from headwater.store.postgres.listener import Listener
from headwater.store.postgres.sequences import Mint
from headwater.store.postgres.session import PostgresReader, PostgresSession
from headwater.store.reader_pool import Readers

WRITERS = 4
"""Number of writing connections; the writes of one feed always use the same one, so that they are grouped."""

VACUUM_MS = 60_000
"""The longest time of a vacuum after erasures."""

SCRUB_SECONDS = 60.0
"""The least time between two vacuums after erasures, so that many deletions share one."""

_REFUSED_SECONDS = 15.0
"""How long the refusal of a write counts as the present state, when no other write was tried since."""

_log = get_log(__name__)


class PostgresDatabase:
    """One PostgreSQL database, which other processes may use at the same time."""

    embedded = False

    def __init__(
        self,
        url: str,
        settings: DatabaseSettings,
        *,
        clock: Clock = now_us,
        on_fatal: Callable[[Exception], None] = lambda _failure: None,
    ) -> None:
        self._url = url
        self._settings = settings
        self._clock = clock
        self._pids: dict[int, int] = {}
        self._listeners: list[Callable[[Moved], None]] = []
        self._notifying = threading.Lock()
        self._other: Listener | None = None
        self._traces = threading.Event()
        self._scrub_at_seconds = 0.0
        # Opened now, so that an unreachable server is reported at once.
        link = self._open_link()
        for name in link.unsafe:
            _log.warning("the PostgreSQL server can lose committed transactions: turn this setting on", setting=name)
        self._mint = Mint(self._open_link, link)
        self._sessions: list[PostgresSession] = []
        gate = Gate(settings.writer_queue_requests)
        self._writers = [self._writer(number, gate, on_fatal) for number in range(WRITERS)]
        self._readers = Readers(lambda: PostgresReader(self._open_link, self._mint))
        self._pool = ThreadPoolExecutor(settings.read_threads, "headwater-reader")

    async def write(self, function: TransactionFunction[Result], *, feed: int = 0) -> Result:
        """Runs ``function`` in the next group of its feed's writer; returns after the commit."""
        result: Result = await self._writers[feed % WRITERS].submit(function, feed)
        return result

    async def read(self, function: TransactionFunction[Result], *, slow: bool = False) -> Result:  # noqa: ARG002 - every read waits
        """Runs ``function`` on a snapshot, on a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.read_now, function)

    def write_now(self, function: TransactionFunction[Result], *, feed: int = 0) -> Result:
        """Runs ``function`` in the next group of its feed's writer and waits for its commit."""
        result: Result = self._writers[feed % WRITERS].run_now(function, feed)
        return result

    def read_now(self, function: TransactionFunction[Result]) -> Result:
        """Runs ``function`` on a snapshot, on this thread's own connection."""
        return self._readers.of_this_thread().run(function, self._clock())

    def committed_row(self, sql: str, *params: Any) -> Row | None:
        """Returns the first row of a query on committed data; it costs round trips, so not for use on an event loop."""
        return self.read_now(lambda tx: tx.row(sql, *params))

    def version(self) -> None:
        """Returns None: a query would cost a round trip, and other processes' commits arrive as notifications."""

    def refusal(self) -> str | None:
        """Returns the reason why writes are refused at present: a failed writer, or PostgreSQL's own refusal."""
        for writer in self._writers:
            if writer.failure is not None:
                return str(writer.failure)
        # A server that takes no writes because of this answer would never learn that there is room again.
        since_seconds = monotonic_seconds() - _REFUSED_SECONDS
        refused = any(session.refused_at_seconds > since_seconds for session in self._sessions)
        return "the database refuses writes: its disk is full, or it is a standby" if refused else None

    def on_commit(self, listener: Callable[[Moved], None]) -> None:
        """Registers a listener that is called after each commit that changed a feed, also in another process."""
        self._listeners.append(listener)
        if self._other is None:
            self._other = Listener(self._open_link, self._pids.values, self._notify)

    def scrub(self) -> None:
        """Vacuums the tables with content of records after an erasure; at most once a minute.

        This frees the room of erased rows; their bytes stay in the table's files until new rows overwrite them, and in
        PostgreSQL's own WAL until it is recycled.
        """
        if not self._traces.is_set() or monotonic_seconds() < self._scrub_at_seconds:
            return
        self._traces.clear()
        self._scrub_at_seconds = monotonic_seconds() + SCRUB_SECONDS
        link = self._open_link()
        try:
            # A stop of the server waits for this thread, so autovacuum gets what takes longer.
            link.fetch(b"SELECT set_config('statement_timeout', %s, false)", (str(VACUUM_MS),))
            link.send(b"VACUUM " + ", ".join(CONTENT_TABLES).encode())
        except errors.QueryCanceled:
            _log.info("the vacuum after a deletion took too long, and is left to autovacuum")
        finally:
            link.close()

    def close(self) -> None:
        """Commits the accepted writes and closes every connection."""
        for writer in self._writers:
            writer.close()
        if self._other is not None:
            self._other.close()
        self._pool.shutdown()
        self._readers.close()
        self._mint.close()

    def _writer(self, number: int, gate: Gate, on_fatal: Callable[[Exception], None]) -> GroupWriter:
        session = PostgresSession(
            lambda: PostgresLink(self._url, self._settings, pipelined=True),
            self._mint,
            lambda pid: self._pids.update({number: pid}),
            self._settings.transaction_seconds,
            self._traces.set,
        )
        self._sessions.append(session)
        writer = GroupWriter(
            lambda: session,
            self._clock,
            batch=self._settings.writer_batch_requests,
            gate=gate,
            on_fatal=on_fatal,
            name=f"headwater-writer-{number}",
        )
        writer.on_commit(self._notify)
        return writer

    def _open_link(self) -> PostgresLink:
        return PostgresLink(self._url, self._settings)

    def _notify(self, moved: Moved) -> None:
        with self._notifying:
            for listener in self._listeners:
                listener(moved)
