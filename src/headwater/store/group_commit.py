"""The group-commit writer: one thread that commits all waiting transaction functions with one fsync."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum
from typing import Any, Protocol

from headwater.base.clock import Clock
from headwater.base.errors import Fatal, HeadwaterError, QuotaExceeded, Unavailable
from headwater.base.log import get_log
from headwater.store.database import FeedNotLocked, Moved, Transaction, TransactionFunction

GROUP_TRIES = 3
"""Attempts to commit a group as a whole, before its transaction functions are run one by one."""

SINGLE_TRIES = 8
"""Attempts to run a single transaction function while the locks of other transactions abort it."""

_log = get_log(__name__)


class WriteSession(Protocol):
    """A connection that begins, commits and rolls back one transaction at a time."""

    transaction: Transaction

    def begin(self, now_us: int, feeds: Sequence[int]) -> None:
        """Opens a writing transaction that locks these feeds, which must be in ascending order."""

    def commit(self) -> None:
        """Commits everything since ``begin`` durably."""

    def roll_back(self) -> None:
        """Rolls back everything since ``begin``, also on a broken connection; never raises."""

    def must_roll_back(self) -> bool:
        """True when the transaction can only be rolled back."""

    def ignored_failure(self) -> HeadwaterError:
        """Returns the error for a transaction that must be rolled back although its function returned a result."""

    def translate(self, failure: Exception) -> Exception:
        """Returns the Headwater error for an exception of the database; any other exception unchanged."""

    def was_refused(self, failure: Exception) -> bool:
        """True for a failed commit of which the database itself reports that nothing was committed."""

    def may_repeat(self, failure: Exception) -> bool:
        """True for an exception of the database after which the same group may succeed at once, such as a deadlock."""

    def tidy(self) -> None:
        """Runs housekeeping that may take some time, after the answers were sent."""

    def close(self) -> None:
        """Closes the connection."""


class Gate:
    """Limits the number of waiting writes, over all writers of a database."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting = 0
        self._lock = threading.Lock()

    def enter(self) -> None:
        """Counts one waiting write. Raises: Unavailable when too many wait."""
        with self._lock:
            if self._waiting >= self._limit:
                raise Unavailable("the write queue is full", retry_after_seconds=1)
            self._waiting += 1

    def leave(self, count: int) -> None:
        """Subtracts finished writes from the count."""
        with self._lock:
            self._waiting -= count


class _Queued:
    """A waiting transaction function, with the future or event of its caller."""

    __slots__ = ("done", "failure", "feeds", "function", "future", "loop", "result")

    def __init__(self, function: TransactionFunction[Any], feed: int, loop: asyncio.AbstractEventLoop | None) -> None:
        self.function = function
        self.feeds = {feed}
        self.loop = loop
        self.future: asyncio.Future[Any] | None = loop.create_future() if loop else None
        self.done = None if loop else threading.Event()
        self.result: Any = None
        self.failure: BaseException | None = None

    def settle(self) -> None:
        """Delivers the outcome to the caller; for a coroutine, must be called on its loop's thread."""
        if self.done is not None:
            self.done.set()
            return
        future = self.future
        if future is None or future.done():
            return
        if self.failure is not None:
            future.set_exception(self.failure)
        else:
            future.set_result(self.result)


class _AttemptOutcome(Enum):
    """The outcome of an attempt: every function has its result, or nothing was committed and another must follow."""

    SETTLED = "settled"
    REPEAT = "repeat"
    """The same attempt may succeed now: another feed must be locked, or another transaction held a lock."""
    ISOLATE = "isolate"
    """A function failed after it wrote, so the next attempt must isolate the functions from each other."""


class GroupWriter:
    """Accepts transaction functions from any thread and commits them in groups of at most ``batch``.

    A function that fails before it wrote anything fails alone. When a function fails after it wrote, the group is
    rolled back and tried again with a savepoint around each function. When that cannot be committed either, each
    function runs in a transaction of its own. So every other function of the group is committed, and wholly.
    """

    def __init__(
        self,
        open_session: Callable[[], WriteSession],
        clock: Clock,
        *,
        batch: int,
        gate: Gate,
        on_fatal: Callable[[Exception], None],
        name: str = "headwater-writer",
    ) -> None:
        self._clock = clock
        self._batch = batch
        self._gate = gate
        self._on_fatal = on_fatal
        self._queue: queue.SimpleQueue[list[_Queued] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._ticks: dict[asyncio.AbstractEventLoop, list[_Queued]] = {}
        self._closed = False
        self._failed: Exception | None = None
        self._listeners: list[Callable[[Moved], None]] = []
        self._session = open_session()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def on_commit(self, listener: Callable[[Moved], None]) -> None:
        """Registers a listener that is called after each commit that changed a feed, before any writer is answered."""
        self._listeners.append(listener)

    @property
    def failure(self) -> Exception | None:
        """The failure after which every write is refused."""
        return self._failed

    def submit(self, function: TransactionFunction[Any], feed: int = 0) -> asyncio.Future[Any]:
        """Queues a function from a coroutine; all functions of one loop iteration reach the writer together."""
        loop = asyncio.get_running_loop()
        item = _Queued(function, feed, loop)
        with self._lock:
            self._admit()
            tick = self._ticks.setdefault(loop, [])
            tick.append(item)
        if len(tick) == 1:
            loop.call_soon(self._hand_over, loop)
        assert item.future is not None
        return item.future

    def run_now(self, function: TransactionFunction[Any], feed: int = 0) -> Any:
        """Queues a function from a thread and waits for its commit."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("a transaction function cannot wait for another write")
        item = _Queued(function, feed, None)
        with self._lock:
            self._admit()
            self._queue.put([item])
        assert item.done is not None
        item.done.wait()
        if item.failure is not None:
            raise item.failure
        return item.result

    def close(self) -> None:
        """Commits the accepted functions, ends the thread and closes the connection; later writes are refused."""
        with self._lock:
            if not self._closed:
                self._closed = True
                for tick in self._ticks.values():
                    self._queue.put(tick)
                self._ticks.clear()
                self._queue.put(None)
        self._thread.join()

    def _admit(self) -> None:
        if self._failed is not None:
            raise Fatal(f"writing stopped: {self._failed}")
        if self._closed:
            raise Unavailable("the server is stopping", retry_after_seconds=1)
        self._gate.enter()

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            tick = self._ticks.pop(loop, None)
            if tick is not None:
                self._queue.put(tick)

    def _run(self) -> None:
        ending = False
        while not ending:
            items, ending = self._next()
            for start in range(0, len(items), self._batch):
                self._commit(items[start : start + self._batch])
        self._session.close()

    def _next(self) -> tuple[list[_Queued], bool]:
        """Waits for at least one function; returns all that wait, and True when the writer must end after them."""
        items: list[_Queued] = []
        got = self._queue.get()
        while got is not None:
            items += got
            if len(items) >= self._batch:
                break
            try:
                got = self._queue.get_nowait()
            except queue.Empty:
                break
        return items, got is None

    def _commit(self, items: list[_Queued]) -> None:
        try:
            self._notify(self._write(items))
        except BaseException as failure:  # noqa: BLE001 - the writer's edge: a dead thread would answer no caller
            self._stop(failure)
            for item in items:
                item.failure = item.failure or Fatal("writing stopped: the writer failed")
        self._gate.leave(len(items))
        self._settle(items)
        try:
            self._session.tidy()
        except Exception as failure:  # noqa: BLE001 - the writer's edge: no caller waits for the housekeeping
            translated = self._session.translate(failure)
            if not isinstance(translated, QuotaExceeded):  # a full disk is reported by each write that it refuses
                _log.failure("the database's housekeeping failed", failure)
            if isinstance(translated, Fatal):
                self._stop(translated)

    def _write(self, items: list[_Queued]) -> dict[int, int]:
        """Runs every function and stores its outcome; returns the feeds that changed."""
        moved: dict[int, int] = {}
        alone = len(items) == 1
        guarded = False
        for _ in range(SINGLE_TRIES if alone else GROUP_TRIES):
            outcome = self._attempt(items, moved, guarded=guarded)
            if outcome is _AttemptOutcome.SETTLED:
                return moved
            guarded = guarded or outcome is _AttemptOutcome.ISOLATE
        if not alone:
            for item in items:
                moved |= self._write([item])
        return moved

    def _attempt(self, items: list[_Queued], moved: dict[int, int], *, guarded: bool) -> _AttemptOutcome:
        """Runs the functions in one transaction, each in a savepoint when ``guarded``."""
        session, transaction = self._session, self._session.transaction
        again = committing = False
        try:
            if self._failed is not None:
                raise Fatal(f"writing stopped: {self._failed}")
            session.begin(self._clock(), sorted(set().union(*(item.feeds for item in items))))
            for item in items:
                outcome = self._run_one(item, guarded=guarded)
                if outcome is _AttemptOutcome.ISOLATE:
                    session.roll_back()
                    return _AttemptOutcome.SETTLED if len(items) == 1 else outcome
                again = again or outcome is _AttemptOutcome.REPEAT
                if again and session.must_roll_back():
                    break
            if again:
                session.roll_back()
                return _AttemptOutcome.REPEAT
            transaction.flush_counters()
            committing = True
            session.commit()
        except Exception as failure:  # noqa: BLE001 - every caller of the group receives it
            return self._fail_group(items, failure, unknown=committing and not session.was_refused(failure))
        moved |= transaction.moved
        return _AttemptOutcome.SETTLED

    def _run_one(self, item: _Queued, *, guarded: bool) -> _AttemptOutcome:
        """Runs one function; SETTLED when the transaction can continue with the next."""
        session, transaction = self._session, self._session.transaction
        item.result = item.failure = None
        transaction.wrote = transaction.freed = False
        try:
            if guarded:
                with transaction.savepoint():
                    item.result = item.function(transaction)
            else:
                item.result = item.function(transaction)
                transaction.require_room()
        except FeedNotLocked as missing:
            item.feeds.add(missing.feed)
            item.failure = missing
            return _AttemptOutcome.REPEAT
        except Exception as failure:
            repeat = session.may_repeat(failure)
            item.failure = session.translate(failure)
            if isinstance(item.failure, Fatal):
                raise
            if repeat:
                return _AttemptOutcome.REPEAT
            if transaction.wrote or session.must_roll_back():
                return _AttemptOutcome.ISOLATE
            return _AttemptOutcome.SETTLED
        if session.must_roll_back():
            # The function swallowed the database's exception; its result reports changes that do not exist.
            item.failure = session.ignored_failure()
            return _AttemptOutcome.ISOLATE
        return _AttemptOutcome.SETTLED

    def _fail_group(self, items: list[_Queued], failure: Exception, *, unknown: bool) -> _AttemptOutcome:
        """Handles a failed begin or commit, or a failed disk, after which nothing of the group is committed.

        With ``unknown`` it may be committed all the same, so it is not run again.
        """
        session = self._session
        repeat = session.may_repeat(failure)
        translated = session.translate(failure)
        if unknown and not isinstance(translated, HeadwaterError):
            _log.failure("the outcome of a commit is unknown", failure)
            translated = Unavailable("the outcome of the write is unknown", retry_after_seconds=1)
        for item in items:
            item.result, item.failure = None, translated
        if isinstance(translated, Fatal):
            self._stop(translated)
            return _AttemptOutcome.SETTLED
        session.roll_back()
        if repeat:
            return _AttemptOutcome.REPEAT
        # After a lost connection the commit may have happened: another attempt could apply the group twice.
        if len(items) == 1 or isinstance(translated, Unavailable):
            return _AttemptOutcome.SETTLED
        return _AttemptOutcome.ISOLATE

    def _notify(self, moved: dict[int, int]) -> None:
        if not moved:
            return
        for listener in self._listeners:
            try:
                listener(moved)
            except Exception as failure:  # noqa: BLE001 - the writer's edge: the commit is durable
                # State in memory is now older than the database, and would give wrong answers.
                self._stop(failure)

    def _stop(self, failure: BaseException) -> None:
        """Refuses all further writes, and notifies the server that it must end."""
        if self._failed is None:
            self._failed = failure if isinstance(failure, Fatal) else Fatal(f"the writer failed: {failure!r}")
            _log.failure("writing stopped", failure)
            self._on_fatal(self._failed)

    def _settle(self, items: list[_Queued]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[_Queued]] = {}
        for item in items:
            if item.loop is None:
                item.settle()
            else:
                by_loop.setdefault(item.loop, []).append(item)
        for loop, settled in by_loop.items():
            # No caller waits on a loop that has ended.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_settle_all, settled)


def _settle_all(items: list[_Queued]) -> None:
    for item in items:
        item.settle()
