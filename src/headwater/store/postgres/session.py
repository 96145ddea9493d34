"""PostgreSQL's transactions, the session that writes through one connection, and the reader of one thread.

A writing transaction holds its feeds: it locks their ``head`` counters, in the order of their numbers, before its
first work runs. So the works of a feed run one after the other over all processes, and positions become visible
in their order (a sequence would let a reader pass numbers whose commits are still to come).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors

from headwater.base.errors import Unavailable
from headwater.store.database import FeedNotHeld, Result, Row, Transaction, TransactionFunction
from headwater.store.dialect import bulk, to_postgres, to_postgres_schema
from headwater.store.postgres.connection import PostgresLink, may_repeat, translate
from headwater.store.postgres.sequences import Mint

CHANNEL = "headwater_moved"
"""The channel on which commits are told to other processes: ``feed:head`` pairs, separated by spaces."""

BULK_ROWS = 32
"""From so many rows on, a statement is carried out for all of them at once."""

_LOCK_OF_FEED_0 = 0x4845_4144
_NOTE_BYTES = 7_000
_LOCK = b"SELECT 1 FROM counters WHERE feed = ANY(%s) AND name = 'head' ORDER BY feed FOR NO KEY UPDATE"
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

    def __init__(self, mint: Mint) -> None:
        super().__init__()
        self._mint = mint
        self._held: set[int] = set()
        self._minted: dict[str, list[int]] = {}

    def rows(self, sql: str, *params: Any) -> list[Row]:
        """Every row that the statement gives."""
        return self.link.fetch(to_postgres(sql), params)

    def row(self, sql: str, *params: Any) -> Row | None:
        """The first row, or None."""
        found = self.link.fetch(to_postgres(sql), params)
        return found[0] if found else None

    def rows_in(self, sql: str, values: Sequence[str], *params: Any) -> list[Row]:
        """Rows whose last-named column is one of ``values``, bound as one array."""
        return self.link.fetch(to_postgres(sql + " = ANY(?)"), (*params, list(values)))

    def run(self, sql: str, *params: Any) -> int:
        """Carry out one changing statement; the number of rows it changed."""
        self.wrote = True
        return self.link.count(to_postgres(sql), params)

    def put(self, sql: str, *params: Any) -> None:
        """Send one changing statement; what it fails with is raised by a later one, or by the commit."""
        self.wrote = True
        self.link.send(to_postgres(sql), params)

    def run_schema(self, sql: str) -> None:
        """Carry out one statement of a schema file, however long it takes."""
        self.wrote = True
        self.link.fetch(b"SELECT set_config('statement_timeout', '0', true)")
        self.link.send(to_postgres_schema(sql))
        self.link.wait()

    def run_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Carry out one changing statement for each row of parameters."""
        self.wrote = True
        given = list(rows)
        plan = bulk(sql) if len(given) >= BULK_ROWS else None
        if plan is not None and _are_apart(given, plan.keys):
            self.link.send_bulk(plan, given)
        else:
            self.link.send_many(to_postgres(sql), given)

    def mint(self, name: str, count: int = 1) -> list[int]:
        """The next integers of a server-wide sequence; a work that is run again gets the same, or lower ones."""
        found = self._mint.take(name, count)
        self._minted.setdefault(name, []).extend(found)
        return found

    def settle_minted(self, *, used: bool) -> None:
        """Forget the integers minted since ``begin`` when they were used; otherwise the next try has them."""
        if not used:
            for name, found in self._minted.items():
                self._mint.give_back(name, found)
        self._minted = {}

    def joined(self, sql: str, *params: Any) -> tuple[int, int, bytes]:
        """Rows ``(position, wire)`` as count, last position and their bytes joined with commas."""
        count, last, wires = self.link.fetch(to_postgres(_JOINED.format(sql)), params)[0]
        return count, last, wires or b""

    def hold(self, feeds: Sequence[int], *, has_counters: bool = True) -> None:
        """Lock these feeds until the commit, and learn their counters.

        Feed 0, and the schema of a database without counters, are locked by a lock of their own.
        """
        if 0 in feeds or not has_counters:
            self.link.send(b"SELECT pg_advisory_xact_lock(%s)", (_LOCK_OF_FEED_0,))
        if not has_counters:
            self._held = set(feeds)
            return
        asked = sorted(feeds)
        self.link.send(_LOCK, (asked,))
        # A statement of its own: its snapshot is taken when the locks are held.
        for feed, name, value in self.link.fetch(_COUNTERS, (asked,)):
            self._counters[feed, name] = value
        # A feed without a head counter was never moved, and is locked by whoever makes that counter.
        self._held = {feed for feed in asked if not feed or (feed, "head") in self._counters}

    def begin(self, now_us: int) -> None:
        """Forget what the last transaction knew."""
        super().begin(now_us)
        self._held = set()

    def flush_counters(self) -> None:
        """Write every raised counter, and a note for other processes when a feed moved."""
        dirty = sorted(self._dirty)
        if dirty:
            values = [self._counters[key] for key in dirty]
            self.link.send(_FLUSH, ([feed for feed, _ in dirty], [name for _, name in dirty], values))
            self._dirty.clear()
        for note in _notes(self.moved):
            self.link.send(b"SELECT pg_notify(%s, %s)", (CHANNEL, note))

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what is done inside, and only that, when it raises; the exception goes on."""
        held = set(self._held)
        minted, self._minted = self._minted, {}
        try:
            with super().savepoint():
                yield
        except BaseException:
            # A lock taken inside went with it, and what was minted inside was not used.
            self._held = held
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

    def _read_counter(self, feed: int, name: str) -> int:
        return 0 if feed in self._held else super()._read_counter(feed, name)

    def _lock_counter(self, feed: int, name: str) -> int:
        if feed not in self._held:
            # A feed that nobody ever moved is ours by making its counter; any other must be held from the start,
            # since this work may have read what another process has changed by now.
            if feed == 0 or not self.link.count(_MAKE_HEAD, (feed,)):
                raise FeedNotHeld(feed)
            self._held.add(feed)
        return self._counters.get((feed, name), 0)


class PostgresSession:
    """The connection of one writer: opened by the first ``begin``, and again by the next one when it was lost."""

    def __init__(
        self,
        open_link: Callable[[], PostgresLink],
        mint: Mint,
        note_pid: Callable[[int], None],
    ) -> None:
        self._open_link = open_link
        self._note_pid = note_pid
        self._link: PostgresLink | None = None
        self._has_counters = False
        self._transaction = PostgresTransaction(mint)
        self.transaction: Transaction = self._transaction

    def begin(self, now_us: int, feeds: Sequence[int]) -> None:
        """Open a writing transaction that holds these feeds."""
        if self._link is not None and not self._link.closed:
            try:
                self._begin(self._link, now_us, feeds)
            except psycopg.Error as failure:
                if not self._link.is_lost(failure):
                    raise
            else:
                return
        # The first time; or the server was restarted, or cut an idle connection, and nothing was done yet.
        self._link = self._open_link()
        self._note_pid(self._link.pid)
        self._begin(self._link, now_us, feeds)

    def commit(self) -> None:
        """Make everything since ``begin`` durable."""
        # Before it is sent: of a commit whose connection is lost nobody knows whether it used them.
        self._transaction.settle_minted(used=True)
        self._transaction.link.end(b"COMMIT")

    def roll_back(self) -> None:
        """Undo everything since ``begin``; a connection that cannot do it is closed, which does it as well."""
        self._transaction.settle_minted(used=False)
        if self._link is None:
            return
        try:
            self._link.undo(b"ROLLBACK")
        except psycopg.Error:
            self._link.close()

    def is_spoiled(self) -> bool:
        """True after a failed statement: PostgreSQL carries out nothing more in this transaction."""
        return self._transaction.link.failed

    def translate(self, failure: Exception) -> Exception:
        """PostgreSQL's own exception as one of ours, any other unchanged."""
        if isinstance(failure, errors.ReadOnlySqlTransaction) and self._link is not None:
            # A standby, or a server that has become one: the next connection may find the right one.
            self._link.close()
            return Unavailable("the database takes no writes at present", retry_after_seconds=2)
        return translate(failure)

    def may_repeat(self, failure: Exception) -> bool:
        """True after a deadlock, or when another process was faster."""
        return may_repeat(failure)

    def tidy(self) -> None:
        """PostgreSQL keeps house itself."""

    def close(self) -> None:
        """Close the connection."""
        if self._link is not None:
            self._link.close()

    def _begin(self, link: PostgresLink, now_us: int, feeds: Sequence[int]) -> None:
        transaction = self._transaction
        transaction.link = link
        transaction.begin(now_us)
        link.send(b"BEGIN ISOLATION LEVEL READ COMMITTED")
        if not self._has_counters:
            self._has_counters = link.fetch(b"SELECT to_regclass('counters') IS NOT NULL")[0][0]
        transaction.hold(feeds, has_counters=self._has_counters)


class PostgresReader:
    """The connection of one thread that reads snapshots; a lost one is opened again."""

    def __init__(self, open_link: Callable[[], PostgresLink], mint: Mint) -> None:
        self._open_link = open_link
        self._link: PostgresLink | None = None
        self._transaction = PostgresTransaction(mint)

    def run(self, function: TransactionFunction[Result], now_us: int) -> Result:
        """Run ``function`` on a snapshot. Raises: Unavailable when the database is out of reach or too slow."""
        try:
            try:
                return self._run(function, now_us)
            except psycopg.Error as failure:
                if self._link is None or not self._link.is_lost(failure):
                    raise
                # The connection was lost, and a read changes nothing: once more on a new one.
                return self._run(function, now_us)
        except psycopg.Error as failure:
            translated = translate(failure)
            if translated is failure:
                raise
            raise translated from None

    def close(self) -> None:
        """Close the connection."""
        if self._link is not None:
            self._link.close()

    def _run(self, function: TransactionFunction[Result], now_us: int) -> Result:
        if self._link is None or self._link.closed:
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


def _are_apart(rows: Sequence[Sequence[Any]], keys: Sequence[int]) -> bool:
    """True when no two rows have the same key, so that they can be carried out in any order."""
    return not keys or len({tuple(row[place] for place in keys) for row in rows}) == len(rows)


def _notes(moved: dict[int, int]) -> Iterator[str]:
    """The heads of the moved feeds as texts that fit into a notification."""
    note = ""
    for feed, head in moved.items():
        pair = f"{feed}:{head}"
        if len(note) + len(pair) >= _NOTE_BYTES:
            yield note
            note = ""
        note = f"{note} {pair}" if note else pair
    if note:
        yield note


def read_note(text: str) -> dict[int, int]:
    """The heads in a notification; a text that is not ours gives none."""
    heads = {}
    for pair in text.split():
        feed, _, head = pair.partition(":")
        if feed.isdigit() and head.isdigit():
            heads[int(feed)] = int(head)
    return heads
