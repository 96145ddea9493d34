"""What a database is to the rest of the house: transactions that read a snapshot, and writes committed in groups.

A *work* is a plain function of a transaction. It must not change anything outside the transaction, because a
group that one of its works spoils is rolled back and its works are run again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

Result = TypeVar("Result")
Row = tuple[Any, ...]
TransactionFunction = Callable[["Transaction"], Result]
Moved = Mapping[int, int]
"""Feeds that a commit moved: feed number -> new head position (0: nothing was appended, but look again)."""


class FeedNotHeld(Exception):
    """A work moves a feed that its transaction does not hold; the writer runs it again and holds that feed."""

    def __init__(self, feed: int) -> None:
        super().__init__(f"feed {feed}")
        self.feed = feed


class Transaction(ABC):
    """One transaction: SQL with ``?`` places, counters, and the instant at which it runs.

    Units: ``now_us`` is microseconds UTC since 1970, the same for every work of a group.
    """

    now_us: int
    moved: dict[int, int]
    wrote: bool

    def __init__(self) -> None:
        self.now_us = 0
        self.moved = {}
        self.wrote = False
        self._counters: dict[tuple[int, str], int] = {}
        self._dirty: set[tuple[int, str]] = set()

    @abstractmethod
    def rows(self, sql: str, *params: Any) -> list[Row]:
        """Every row that the statement gives."""

    @abstractmethod
    def row(self, sql: str, *params: Any) -> Row | None:
        """The first row, or None."""

    def value(self, sql: str, *params: Any) -> Any:
        """The first column of the first row, or None."""
        row = self.row(sql, *params)
        return None if row is None else row[0]

    @abstractmethod
    def rows_in(self, sql: str, values: Sequence[str], *params: Any) -> list[Row]:
        """Rows whose last-named column is one of ``values``: the statement ends in ``AND column``."""

    @abstractmethod
    def run(self, sql: str, *params: Any) -> int:
        """Carry out one changing statement; the number of rows it changed."""

    def put(self, sql: str, *params: Any) -> None:
        """Carry out one changing statement whose count nobody needs.

        It may be under way until the next statement that answers, or the commit, which raises what it fails with.
        """
        self.run(sql, *params)

    def run_schema(self, sql: str) -> None:
        """Carry out one statement of a schema file, however long it takes."""
        self.run(sql)

    @abstractmethod
    def run_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Carry out one changing statement for each row of parameters."""

    @abstractmethod
    def mint(self, name: str, count: int = 1) -> list[int]:
        """The next integers of a server-wide sequence (``contact``, ``sync``): growing, gaps allowed."""

    @abstractmethod
    def joined(self, sql: str, *params: Any) -> tuple[int, int, bytes]:
        """Rows ``(position, wire)`` of a subquery as ``(count, last position, wires joined with commas)``.

        The subquery must be ordered by position; an empty one gives ``(0, 0, b"")``.
        """

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what is done inside, and only that, when it raises; the exception goes on."""
        kept = dict(self.moved), dict(self._counters), set(self._dirty), self.wrote
        self._mark()
        try:
            yield
            self._release()
        except BaseException:
            self._undo()
            self.moved, self._counters, self._dirty, self.wrote = kept
            raise

    @abstractmethod
    def _mark(self) -> None:
        """Begin a savepoint inside those that are open."""

    @abstractmethod
    def _release(self) -> None:
        """Keep what was done since the last savepoint; raises what any statement since then failed with."""

    @abstractmethod
    def _undo(self) -> None:
        """Go back to the last savepoint and end it; never raises."""

    def counter(self, feed: int, name: str) -> int:
        """The present value of a feed's counter; 0 when it was never raised."""
        key = (feed, name)
        value = self._counters.get(key)
        if value is None:
            value = self._counters[key] = self._read_counter(feed, name)
        return value

    def bump(self, feed: int, name: str, by: int = 1) -> int:
        """Raise a feed's counter by ``by`` and give its new value; nobody else moves the feed until the commit."""
        key = (feed, name)
        value = self._counters.get(key)
        if value is None or key not in self._dirty:
            value = self._lock_counter(feed, name)
        value += by
        self._counters[key] = value
        self._dirty.add(key)
        self.wrote = True
        if name == "head" and by:
            self.moved[feed] = value
        return value

    def tell(self, feed: int) -> None:
        """Let whoever listens to a feed look again after the commit, though nothing is appended to it."""
        self.moved.setdefault(feed, 0)

    def lock(self, feed: int) -> None:
        """Let nobody else move a feed until the commit, so that what is read of it from now on stays true."""
        self._lock_counter(feed, "head")

    def _read_counter(self, feed: int, name: str) -> int:
        found = self.value("SELECT value FROM counters WHERE feed = ? AND name = ?", feed, name)
        return int(found or 0)

    def _lock_counter(self, feed: int, name: str) -> int:
        """The value while nobody else can change it; a database with one writer needs no lock for that."""
        return self.counter(feed, name)

    def attempt(self, function: Callable[[], Result]) -> Result:
        """Run a part of a work so that its failure undoes the part alone; the failure goes on to the caller."""
        with self.savepoint():
            return function()

    def flush_counters(self) -> None:
        """Write every raised counter; called once for a group, just before its commit."""
        if not self._dirty:
            return
        self.run_many(
            "INSERT INTO counters (feed, name, value) VALUES (?, ?, ?)"
            " ON CONFLICT (feed, name) DO UPDATE SET value = excluded.value",
            [(feed, name, self._counters[feed, name]) for feed, name in sorted(self._dirty)],
        )
        self._dirty.clear()

    def begin(self, now_us: int) -> None:
        """Forget what the last transaction knew; called by the database before each transaction."""
        self.now_us = now_us
        self.moved = {}
        self.wrote = False
        self._counters.clear()
        self._dirty.clear()


class Database(Protocol):
    """An open database: the only way to a transaction."""

    embedded: bool
    """True when a read costs so little that it runs on the event loop (SQLite in this process)."""

    async def write(self, function: TransactionFunction[Result], *, feed: int = 0) -> Result:
        """Run ``function`` in a durable transaction, grouped with others'; returns after the commit.

        ``feed`` names the feed that the work reads and changes: works of one feed run one after the other,
        over all processes. A work that moves another feed is run a second time, holding both; so name it
        where it is known. Feed 0 stands for what belongs to no feed.

        Raises: whatever the work raises (nothing is kept of it then), Unavailable (queue full, connection
        lost: then the outcome is unknown), QuotaExceeded (disk full), Fatal (fsync failed).
        """

    async def read(self, function: TransactionFunction[Result], *, slow: bool = False) -> Result:
        """Run ``function`` on a snapshot; ``slow`` keeps a long read off the event loop."""

    def write_now(self, function: TransactionFunction[Result], *, feed: int = 0) -> Result:
        """The same as ``write`` for callers without an event loop."""

    def read_now(self, function: TransactionFunction[Result]) -> Result:
        """The same as ``read`` for callers without an event loop, on the caller's thread."""

    def glance(self, sql: str, *params: Any) -> Row | None:
        """The first row of one committed read, outside any transaction; only where ``embedded``."""

    def version(self) -> int | None:
        """A number that changes with every commit by anybody; None where asking would cost a round trip."""

    def on_commit(self, listener: Callable[[Moved], None]) -> None:
        """Call ``listener`` after each commit that moved a feed, before its writers get their answers.

        It is called on threads of the database, one call at a time. On PostgreSQL other processes' commits are
        told as well, so that heads may come twice or out of order; feed -1 says that any feed may have moved.
        """

    def close(self) -> None:
        """Finish the writes that were accepted and close; no call may follow."""
