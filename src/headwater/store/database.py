"""The interface of a database: transactions that read a snapshot, and writes that are committed in groups.

A *transaction function* is a plain function of a transaction. It must not change anything outside the transaction,
because a group is rolled back, and its functions are run again, when one of them fails after it wrote.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from headwater.base.clock import DAY_US
from headwater.base.errors import QuotaExceeded

FULL = "the server's disk is full: until there is room again, only deletions are accepted"
"""The detail of a refusal on a full disk."""

CLOCK = "clock"
"""The counter of the last time that was given to a record, in microseconds UTC since 1970."""

MOST_STEP_US = DAY_US
"""The longest step back of the clock that records do not show; after a longer one the clock had been wrong before."""

Result = TypeVar("Result")
Row = tuple[Any, ...]
TransactionFunction = Callable[["Transaction"], Result]
Moved = Mapping[int, int]
"""Feeds that a commit changed: feed number -> new head position (0: nothing was appended, but read again)."""


class FeedNotLocked(Exception):
    """A transaction function writes to a feed that is not locked; the writer locks the feed and runs it again."""

    def __init__(self, feed: int) -> None:
        super().__init__(f"feed {feed}")
        self.feed = feed


class Transaction(ABC):
    """One transaction: SQL with ``?`` placeholders, counters, and the time at which it runs.

    Units: ``now_us`` is microseconds UTC since 1970, the same for every transaction function of a group.
    """

    now_us: int
    moved: dict[int, int]
    wrote: bool
    erased: bool
    """True when content of records was erased, of which the database's files may still contain traces."""

    deletes_only: bool
    """True while the disk is full: what is written is refused unless it frees room."""
    freed: bool
    """True after ``frees_room``."""

    def __init__(self) -> None:
        self.now_us = 0
        self._at_us: int | None = None
        self.moved = {}
        self.wrote = False
        self.erased = False
        self.deletes_only = False
        self.freed = False
        self._counters: dict[tuple[int, str], int] = {}
        self._dirty: set[tuple[int, str]] = set()

    @property
    def at_us(self) -> int:
        """The time to give to records: ``now_us``, but never before the last one given, when the clock steps back.

        It stands still until the clock has caught up, so that a caller that reads what changed since the last time
        that it saw misses nothing. A step of more than ``MOST_STEP_US`` is followed.
        """
        if self._at_us is None:
            last_us = max((self.counter(feed, CLOCK) for feed in self._clock_feeds()), default=0)
            self._at_us = last_us if 0 < last_us - self.now_us <= MOST_STEP_US else self.now_us
        return self._at_us

    def _clock_feeds(self) -> Iterable[int]:
        """The feeds whose counters hold the last time; a database with one writer has one for all."""
        return (0,)

    @abstractmethod
    def rows(self, sql: str, *params: Any) -> list[Row]:
        """Returns every row of the statement."""

    @abstractmethod
    def row(self, sql: str, *params: Any) -> Row | None:
        """Returns the first row, or None."""

    def value(self, sql: str, *params: Any) -> Any:
        """Returns the first column of the first row, or None."""
        row = self.row(sql, *params)
        return None if row is None else row[0]

    @abstractmethod
    def rows_in(self, sql: str, values: Sequence[str], *params: Any) -> list[Row]:
        """Returns the rows in which a column is one of ``values``; the statement must end in ``AND column``."""

    @abstractmethod
    def run(self, sql: str, *params: Any) -> int:
        """Executes one changing statement; returns the number of rows it changed."""

    def put(self, sql: str, *params: Any) -> None:
        """Executes one changing statement without a row count.

        It may still be in progress until the next statement with a result, or the commit, which raises its failure.
        """
        self.run(sql, *params)

    def run_schema(self, sql: str) -> None:
        """Executes one statement of a schema file, without a time limit."""
        self.run(sql)

    @abstractmethod
    def run_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Executes one changing statement for each row of parameters."""

    @abstractmethod
    def mint(self, name: str, count: int = 1) -> list[int]:
        """Returns the next integers of a server-wide sequence (``contact``, ``sync``): ascending, gaps allowed."""

    @abstractmethod
    def joined(self, sql: str, *params: Any) -> tuple[int, int, bytes]:
        """Returns rows ``(position, wire)`` of a subquery as ``(count, last position, wires joined with commas)``.

        The subquery must be ordered by position; without rows the result is ``(0, 0, b"")``.
        """

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Opens a context whose changes are undone when it raises; the exception propagates."""
        before = dict(self.moved), dict(self._counters), set(self._dirty), self.wrote, self.freed
        self._mark()
        self.wrote = self.freed = False
        try:
            yield
            self.require_room()
            self._release()
        except BaseException:
            self._undo()
            self.moved, self._counters, self._dirty, self.wrote, self.freed = before
            raise
        self.wrote, self.freed = self.wrote or before[3], self.freed or before[4]

    @abstractmethod
    def _mark(self) -> None:
        """Begins a savepoint inside those that are open."""

    @abstractmethod
    def _release(self) -> None:
        """Releases the last savepoint and keeps its changes; raises the failure of any statement since then."""

    @abstractmethod
    def _undo(self) -> None:
        """Rolls back to the last savepoint and ends it; never raises."""

    def counter(self, feed: int, name: str) -> int:
        """Returns the value of a feed's counter; 0 when it was never raised."""
        key = (feed, name)
        value = self._counters.get(key)
        if value is None:
            value = self._counters[key] = self._read_counter(feed, name)
        return value

    def bump(self, feed: int, name: str, by: int = 1) -> int:
        """Adds ``by`` to a feed's counter and returns the new value; the feed stays locked until the commit."""
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

    def frees_room(self) -> None:
        """Declares that this function or savepoint frees room, or revokes access: a full disk lets it pass.

        Every store function that deletes calls it. Without it, a full disk refuses whatever a function writes.
        """
        self.freed = True

    def require_room(self) -> None:
        """Raises: QuotaExceeded when the disk is full, and something was written that does not free room."""
        if self.deletes_only and self.wrote and not self.freed:
            raise QuotaExceeded(FULL, code="DISK_FULL")

    def notify(self, feed: int) -> None:
        """Notifies the listeners of a feed after the commit, although nothing is appended to it."""
        self.moved.setdefault(feed, 0)

    def lock(self, feed: int) -> None:
        """Locks a feed against other writers until the commit, so that reads of it stay valid."""
        self._lock_counter(feed, "head")

    def _read_counter(self, feed: int, name: str) -> int:
        found = self.value("SELECT value FROM counters WHERE feed = ? AND name = ?", feed, name)
        return int(found or 0)

    def _lock_counter(self, feed: int, name: str) -> int:
        """Locks a counter and returns its value; a database with one writer needs no lock for that."""
        return self.counter(feed, name)

    def attempt(self, function: Callable[[], Result]) -> Result:
        """Runs a part of a transaction function in a savepoint: a failure undoes only that part and propagates."""
        with self.savepoint():
            return function()

    def flush_counters(self) -> None:
        """Writes every raised counter; called once for a group, just before its commit."""
        self._note_time()
        if not self._dirty:
            return
        self.run_many(
            "INSERT INTO counters (feed, name, value) VALUES (?, ?, ?)"
            " ON CONFLICT (feed, name) DO UPDATE SET value = excluded.value",
            [(feed, name, self._counters[feed, name]) for feed, name in sorted(self._dirty)],
        )
        self._dirty.clear()

    def _note_time(self) -> None:
        """Stores the time that was given to records, if any was."""
        if self._at_us is not None and self.moved:
            for feed in self._clock_feeds():
                self._counters[feed, CLOCK] = self._at_us
                self._dirty.add((feed, CLOCK))

    def begin(self, now_us: int) -> None:
        """Resets the state of the previous transaction; the database calls it before each transaction."""
        self.now_us = now_us
        self._at_us = None
        self.moved = {}
        self.wrote = self.freed = self.deletes_only = False
        self.erased = False
        self._counters.clear()
        self._dirty.clear()


class Database(Protocol):
    """An open database; all transactions start here."""

    embedded: bool
    """True when reads are cheap enough to run on the event loop (SQLite in this process)."""

    async def write(self, function: TransactionFunction[Result], *, feed: int = 0) -> Result:
        """Runs ``function`` in a durable transaction, grouped with other writes; returns after the commit.

        ``feed`` names the feed that the function reads and writes. Functions with the same feed run one after the
        other, in all processes. A function that writes to another feed is run a second time, with both feeds
        locked, so pass ``feed`` where it is known. Feed 0 means data that belongs to no feed.

        Raises: the exception of the function (its changes are then undone), Unavailable (queue full, or connection
        lost: then the outcome is unknown), QuotaExceeded (disk full), Fatal (fsync failed).
        """

    async def read(self, function: TransactionFunction[Result], *, slow: bool = False) -> Result:
        """Runs ``function`` on a snapshot; ``slow`` runs a long read outside the event loop."""

    def write_now(self, function: TransactionFunction[Result], *, feed: int = 0) -> Result:
        """Runs ``function`` as ``write`` does, for callers without an event loop."""

    def read_now(self, function: TransactionFunction[Result]) -> Result:
        """Runs ``function`` as ``read`` does, on the thread of a caller without an event loop."""

    def committed_row(self, sql: str, *params: Any) -> Row | None:
        """Returns the first row of a query on committed data, outside any transaction; only where ``embedded``."""

    def version(self) -> int | None:
        """Returns a number that changes with each commit of any process; None where a query would cost a round trip."""

    def refusal(self) -> str | None:
        """Returns the reason why writes are refused at present; None while they are accepted."""

    def on_commit(self, listener: Callable[[Moved], None]) -> None:
        """Registers a listener that is called after each commit that changed a feed, before its writers are answered.

        It is called on threads of the database, one call at a time. On PostgreSQL the commits of other processes are
        reported as well, so that heads may arrive twice or out of order; feed -1 means that any feed may have changed.
        """

    def scrub(self) -> None:
        """Removes traces of erased content from the database's files, as far as that is due; call it on a thread."""

    def close(self) -> None:
        """Finishes the accepted writes and closes the database; no call may follow."""
