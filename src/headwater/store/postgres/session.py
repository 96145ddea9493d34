"""PostgreSQL's transactions, the session that writes through one connection, and the reader of one thread.

A writing transaction locks its feeds: it locks their ``head`` counters, in the order of their numbers, before its
first transaction function runs. So the functions of a feed run one after the other in all processes, and positions
become visible in order (with a sequence, a reader could skip numbers that are committed later).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from typing import Any

import psycopg
from psycopg import errors

from headwater.base.clock import monotonic_seconds
from headwater.base.errors import HeadwaterError, Unavailable
from headwater.store.database import FeedNotLocked, Result, Row, Transaction, TransactionFunction
from headwater.store.dialect import bulk, to_postgres, to_postgres_schema
from headwater.store.postgres.connection import TRANSACTION_TIMEOUT_VERSION, PostgresLink, may_repeat, translate
from headwater.store.postgres.sequences import Mint

CHANNEL = "headwater_moved"
"""The channel that notifies other processes of commits: ``feed:head`` pairs, separated by spaces."""

BULK_ROWS = 32
"""Least number of rows for which a statement is executed for all rows at once."""

_LOCK_OF_FEED_0 = 0x4845_4144
_PAYLOAD_BYTES = 7_000
_LOCK = b"SELECT 1 FROM counters WHERE feed = ANY(%s) AND name = 'head' ORDER BY feed FOR NO KEY UPDATE"
# The time limit begins when the locks are there: waiting for another process's locks does not count.
_LOCK_FOR_A_TIME = (
    b"SELECT count(*), set_config('transaction_timeout', %s, true) FROM (SELECT 1 FROM counters"
    b" WHERE feed = ANY(%s) AND name = 'head' ORDER BY feed FOR NO KEY UPDATE) AS locked"
)
_COUNTERS = b"SELECT feed, name, value FROM counters WHERE feed = ANY(%s)"
_MAKE_HEAD = b"INSERT INTO counters (feed, name, value) VALUES (%s, 'head', 0) ON CONFLICT (feed, name) DO NOTHING"
_FLUSH = (
    b"INSERT INTO counters (feed, name, value) SELECT * FROM unnest(%s::bigint[], %s::text[], %s::bigint[])"
    b" ON CONFLICT (feed, name) DO UPDATE SET value = excluded.value"
)
_JOINED = (
    "SELECT count(*), coalesce(max(position), 0), string_agg(wire, '\\x2c'::bytea ORDER BY position) FROM ({}) AS page"
)


class PostgresTransaction(Transaction):
    """A transaction on one PostgreSQL connection."""

    link: PostgresLink
    """Set before each transaction."""

    def __init__(self, mint: Mint, longest_seconds: int = 0) -> None:
        super().__init__()
        self._mint = mint
        self._longest = f"{longest_seconds}s"
        self._locked: set[int] = set()
        self._minted: dict[str, list[int]] = {}

    def rows(self, sql: str, *params: Any) -> list[Row]:
        """Returns every row of the statement."""
        return self.link.fetch(to_postgres(sql), params)

    def row(self, sql: str, *params: Any) -> Row | None:
        """Returns the first row, or None."""
        found = self.link.fetch(to_postgres(sql), params)
        return found[0] if found else None

    def rows_in(self, sql: str, values: Sequence[str], *params: Any) -> list[Row]:
        """Returns the rows in which a column is one of ``values``, bound as one array."""
        return self.link.fetch(to_postgres(sql + " = ANY(?)"), (*params, list(values)))

    def run(self, sql: str, *params: Any) -> int:
        """Executes one changing statement; returns the number of rows it changed."""
        self.wrote = True
        return self.link.count(to_postgres(sql), params)

    def put(self, sql: str, *params: Any) -> None:
        """Sends one changing statement; a later statement, or the commit, raises its failure."""
        self.wrote = True
        self.link.send(to_postgres(sql), params)

    def run_schema(self, sql: str) -> None:
        """Executes one statement of a schema file, without a time limit."""
        self.wrote = True
        self.link.fetch(b"SELECT set_config('statement_timeout', '0', true)")
        if self.link.version >= TRANSACTION_TIMEOUT_VERSION:
            self.link.fetch(b"SELECT set_config('transaction_timeout', '0', true)")
        self.link.send(to_postgres_schema(sql))
        self.link.wait()

    def run_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Executes one changing statement for each row of parameters."""
        self.wrote = True
        listed = list(rows)
        plan = bulk(sql) if len(listed) >= BULK_ROWS else None
        if plan is not None and _are_independent(listed, plan.keys):
            self.link.send_bulk(plan, listed)
        else:
            self.link.send_many(to_postgres(sql), listed)

    def mint(self, name: str, count: int = 1) -> list[int]:
        """Returns the next integers of a server-wide sequence; a repeated attempt receives the same, or lower ones."""
        found = self._mint.allocate(name, count)
        self._minted.setdefault(name, []).extend(found)
        return found

    def settle_minted(self, *, used: bool) -> None:
        """Drops the integers minted since ``begin`` when they were used; else returns them for the next attempt."""
        if not used:
            for name, found in self._minted.items():
                self._mint.release(name, found)
        self._minted = {}

    def joined(self, sql: str, *params: Any) -> tuple[int, int, bytes]:
        """Returns rows ``(position, wire)`` as count, last position and their bytes joined with commas."""
        count, last, wires = self.link.fetch(to_postgres(_JOINED.format(sql)), params)[0]
        return count, last, wires or b""

    def lock_feeds(self, feeds: Sequence[int], *, has_counters: bool = True) -> None:
        """Locks these feeds until the commit, and reads their counters.

        Feed 0, and the schema of a database without counters, have an advisory lock.
        """
        if 0 in feeds or not has_counters:
            self.link.send(b"SELECT pg_advisory_xact_lock(%s)", (_LOCK_OF_FEED_0,))
        if not has_counters:
            self._locked = set(feeds)
            return
        wanted = sorted(feeds)
        if self.link.version >= TRANSACTION_TIMEOUT_VERSION:
            self.link.send(_LOCK_FOR_A_TIME, (self._longest, wanted))
        else:
            self.link.send(_LOCK, (wanted,))
        # A separate statement, so that its snapshot is newer than the locks.
        for feed, name, value in self.link.fetch(_COUNTERS, (wanted,)):
            self._counters[feed, name] = value
        # A feed without a head counter was never written; the transaction that creates the counter locks it.
        self._locked = {feed for feed in wanted if not feed or (feed, "head") in self._counters}

    def begin(self, now_us: int) -> None:
        """Resets the state of the previous transaction."""
        super().begin(now_us)
        self._locked = set()

    def flush_counters(self) -> None:
        """Writes every raised counter, and notifies other processes of the feeds that changed."""
        self._note_time()
        dirty = sorted(self._dirty)
        if dirty:
            values = [self._counters[key] for key in dirty]
            self.link.send(_FLUSH, ([feed for feed, _ in dirty], [name for _, name in dirty], values))
            self._dirty.clear()
        for payload in _payloads(self.moved):
            self.link.send(b"SELECT pg_notify(%s, %s)", (CHANNEL, payload))

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Opens a context whose changes are undone when it raises; the exception propagates."""
        locked = set(self._locked)
        minted, self._minted = self._minted, {}
        try:
            with super().savepoint():
                yield
        except BaseException:
            # The rollback released the locks of the savepoint, and the integers minted inside were not used.
            self._locked = locked
            self.settle_minted(used=False)
            self._minted = minted
            raise
        for name, found in self._minted.items():
            minted.setdefault(name, []).extend(found)
        self._minted = minted

    def _mark(self) -> None:
        self.link.send(b"SAVEPOINT s")

    def _release(self) -> None:
        self.link.send(b"RELEASE SAVEPOINT s")
        self.link.wait()

    def _undo(self) -> None:
        try:
            self.link.undo(b"ROLLBACK TO SAVEPOINT s", b"RELEASE SAVEPOINT s")
        except psycopg.Error:
            self.link.failed = True

    def _clock_feeds(self) -> Iterable[int]:
        # Counters of locked feeds are here already; one for all feeds would make their writers wait for each other.
        return [feed for feed in self._locked if feed]

    def _read_counter(self, feed: int, name: str) -> int:
        return 0 if feed in self._locked else super()._read_counter(feed, name)

    def _lock_counter(self, feed: int, name: str) -> int:
        if feed not in self._locked:
            # Creating the counter of a feed that was never written locks that feed. Any other feed must be locked
            # from the start, since this function may have read rows that another process has changed by now.
            if feed == 0 or not self.link.count(_MAKE_HEAD, (feed,)):
                raise FeedNotLocked(feed)
            self._locked.add(feed)
        return self._counters.get((feed, name), 0)


class PostgresSession:
    """The connection of one writer; ``begin`` opens it at first use, and again after any failure on it."""

    def __init__(
        self,
        open_link: Callable[[], PostgresLink],
        mint: Mint,
        note_pid: Callable[[int], None],
        longest_seconds: int,
        note_erased: Callable[[], None] = lambda: None,
    ) -> None:
        self._open_link = open_link
        self._note_pid = note_pid
        self._note_erased = note_erased
        self._link: PostgresLink | None = None
        self._has_counters = False
        self.refused_at_seconds = -inf
        """The time of the last write that the server refused for want of room, or as a standby, until one succeeds."""
        self._transaction = PostgresTransaction(mint, longest_seconds)
        self.transaction: Transaction = self._transaction

    def begin(self, now_us: int, feeds: Sequence[int]) -> None:
        """Opens a writing transaction that locks these feeds."""
        if self._link is not None and self._link.suspect:
            self._link.close()
        if self._link is not None and not self._link.closed:
            try:
                self._begin(self._link, now_us, feeds)
            except psycopg.Error as failure:
                if not self._link.is_lost(failure):
                    raise
            else:
                return
        # The first use; or something failed on the last connection; or the server was restarted, or closed an idle
        # connection, before anything was written.
        self._link = self._open_link()
        self._note_pid(self._link.pid)
        self._begin(self._link, now_us, feeds)

    def commit(self) -> None:
        """Commits everything since ``begin`` durably."""
        # Before it is sent: when a commit loses its connection, the integers may have been used.
        self._transaction.settle_minted(used=True)
        self._transaction.link.end(b"COMMIT")
        self.refused_at_seconds = -inf
        if self._transaction.erased:
            self._note_erased()

    def roll_back(self) -> None:
        """Rolls back everything since ``begin``; if that fails, closes the connection, which rolls back as well."""
        self._transaction.settle_minted(used=False)
        if self._link is None:
            return
        try:
            self._link.undo(b"ROLLBACK")
        except psycopg.Error:
            self._link.close()

    def was_refused(self, failure: Exception) -> bool:
        """True for an answer of the server; without one, the commit may have happened."""
        return isinstance(failure, psycopg.Error) and failure.sqlstate is not None

    def must_roll_back(self) -> bool:
        """True after a failed statement: PostgreSQL executes nothing more in this transaction."""
        return self._transaction.link.failed

    def ignored_failure(self) -> HeadwaterError:
        """Returns the error for a function that ignored the loss of the connection, or a failed statement."""
        if self._transaction.link.closed:
            return Unavailable("the database cannot be reached", retry_after_seconds=2)
        return HeadwaterError("a statement failed and the transaction function ignored it")

    def translate(self, failure: Exception) -> Exception:
        """Returns the Headwater error for an exception of PostgreSQL; any other exception unchanged."""
        if isinstance(failure, (errors.DiskFull, errors.ReadOnlySqlTransaction)):
            self.refused_at_seconds = monotonic_seconds()
        if isinstance(failure, errors.ReadOnlySqlTransaction) and self._link is not None:
            # The server is a standby, or has become one: the next connection may reach the primary.
            self._link.close()
            return Unavailable("the database accepts no writes at present", retry_after_seconds=2)
        return translate(failure)

    def may_repeat(self, failure: Exception) -> bool:
        """True after a deadlock, or when another process wrote first."""
        return may_repeat(failure)

    def tidy(self) -> None:
        """Does nothing: PostgreSQL does its own housekeeping."""

    def close(self) -> None:
        """Closes the connection."""
        if self._link is not None:
            self._link.close()

    def _begin(self, link: PostgresLink, now_us: int, feeds: Sequence[int]) -> None:
        transaction = self._transaction
        transaction.link = link
        transaction.begin(now_us)
        link.send(b"BEGIN ISOLATION LEVEL READ COMMITTED")
        if not self._has_counters:
            self._has_counters = link.fetch(b"SELECT to_regclass('counters') IS NOT NULL")[0][0]
        transaction.lock_feeds(feeds, has_counters=self._has_counters)


class PostgresReader:
    """The reading connection of one thread; each read runs on a snapshot, and a lost connection is opened again."""

    def __init__(self, open_link: Callable[[], PostgresLink], mint: Mint) -> None:
        self._open_link = open_link
        self._link: PostgresLink | None = None
        self._transaction = PostgresTransaction(mint)

    def run(self, function: TransactionFunction[Result], now_us: int) -> Result:
        """Runs ``function`` on a snapshot. Raises: Unavailable when the database is out of reach or too slow."""
        try:
            try:
                return self._run(function, now_us)
            except psycopg.Error as failure:
                if self._link is None or not self._link.is_lost(failure):
                    raise
                # The connection was lost, and a read changes nothing: repeat it on a new connection.
                return self._run(function, now_us)
        except psycopg.Error as failure:
            translated = translate(failure)
            if translated is failure:
                raise
            raise translated from None

    def close(self) -> None:
        """Closes the connection."""
        if self._link is not None:
            self._link.close()

    def _run(self, function: TransactionFunction[Result], now_us: int) -> Result:
        if self._link is None or not self._link.reusable:
            self.close()
            self._link = self._open_link()
        link = self._transaction.link = self._link
        self._transaction.begin(now_us)
        link.send(b"BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        try:
            return function(self._transaction)
        finally:
            if not link.closed:
                link.send(b"ROLLBACK")
                link.failed = False


def _are_independent(rows: Sequence[Sequence[Any]], keys: Sequence[int]) -> bool:
    """True when no two rows have the same key, so that they can be executed in any order."""
    return not keys or len({tuple(row[place] for place in keys) for row in rows}) == len(rows)


def _payloads(moved: dict[int, int]) -> Iterator[str]:
    """Yields the heads of the changed feeds as texts that fit into a notification."""
    payload = ""
    for feed, head in moved.items():
        pair = f"{feed}:{head}"
        if len(payload) + len(pair) >= _PAYLOAD_BYTES:
            yield payload
            payload = ""
        payload = f"{payload} {pair}" if payload else pair
    if payload:
        yield payload


def heads_of(payload: str) -> dict[int, int]:
    """Returns the heads in a notification's payload; pairs that Headwater did not write are ignored."""
    heads = {}
    for pair in payload.split():
        feed, _, head = pair.partition(":")
        if feed.isdigit() and head.isdigit():
            heads[int(feed)] = int(head)
    return heads
