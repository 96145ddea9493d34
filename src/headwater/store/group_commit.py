"""The group-commit writer: one thread, one transaction and one fsync for all works that wait."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum
from typing import Any, Protocol

from headwater.base.clock import Clock
from headwater.base.errors import Fatal, HeadwaterError, Unavailable
from headwater.base.log import get_log
from headwater.store.database import FeedNotHeld, Moved, Transaction, TransactionFunction

GROUP_TRIES = 3
"""How often a group is tried as a whole before its works are run one by one."""

WORK_TRIES = 8
"""How often one work is tried when others' locks keep throwing it back."""

_log = get_log(__name__)


class WriteSession(Protocol):
    """A connection that can begin, commit and roll back one transaction at a time."""

    transaction: Transaction

    def begin(self, now_us: int, feeds: Sequence[int]) -> None:
        """Open a writing transaction that holds these feeds, which come in ascending order."""

    def commit(self) -> None:
        """Make everything since ``begin`` durable."""

    def roll_back(self) -> None:
        """Undo everything since ``begin``, also when the connection is half broken; never raises."""

    def is_spoiled(self) -> bool:
        """True when nothing is left to do with this transaction but to roll it back."""

    def translate(self, failure: Exception) -> Exception:
        """The database's own exception as one of ours; any other exception unchanged."""

    def may_repeat(self, failure: Exception) -> bool:
        """True for the database's own exception when the same works may succeed at once, as after a deadlock."""

    def tidy(self) -> None:
        """Housekeeping that may take a while, after the answers went out."""

    def close(self) -> None:
        """Close the connection."""


class Gate:
    """Bounds how many writes wait, over all writers of a database."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting = 0
        self._lock = threading.Lock()

    def enter(self) -> None:
        """Count one write in. Raises: Unavailable when too many wait."""
        with self._lock:
            if self._waiting >= self._limit:
                raise Unavailable("the write queue is full", retry_after_seconds=1)
            self._waiting += 1

    def leave(self, count: int) -> None:
        """Count writes out."""
        with self._lock:
            self._waiting -= count


class _Queued:
    """One work that waits, and where its outcome goes."""

    __slots__ = ("done", "failure", "feeds", "future", "loop", "result", "work")

    def __init__(self, function: TransactionFunction[Any], feed: int, loop: asyncio.AbstractEventLoop | None) -> None:
        self.work = function
        self.feeds = {feed}
        self.loop = loop
        self.future: asyncio.Future[Any] | None = loop.create_future() if loop else None
        self.done = None if loop else threading.Event()
        self.result: Any = None
        self.failure: BaseException | None = None

    def settle(self) -> None:
        """Hand the outcome over; on the loop's own thread for a waiting coroutine."""
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


class _Answer(Enum):
    """What became of a try: its works have their outcomes, or the try left nothing behind."""

    SETTLED = "settled"
    REPEAT = "repeat"
    """The same again may succeed: another feed must be held, or somebody's lock was in the way."""
    APART = "apart"
    """A work failed in the middle, so the works must be kept from harming each other."""


class GroupWriter:
    """Takes works from any thread and commits them in groups of at most ``batch``.

    A work that fails before it wrote anything fails alone. When one fails after it wrote, the group is rolled
    back and tried again with a savepoint around each work; when that cannot be committed either, each work gets
    a transaction of its own. So no neighbour is lost, and none is kept by halves.
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
        """Call ``listener`` after each commit that moved a feed, before the writers get their answers."""
        self._listeners.append(listener)

    def submit(self, function: TransactionFunction[Any], feed: int = 0) -> asyncio.Future[Any]:
        """Queue a work from a coroutine; all works of one loop tick reach the writer together."""
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
        """Queue a work from a thread and wait for its commit."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("a work cannot wait for another write")
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
        """Commit what was accepted, then end the thread and close the connection; later writes are refused."""
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
        """All works that wait now, at least one of them, and whether they are the last."""
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
            self._tell(self._write(items))
        except BaseException as failure:  # noqa: BLE001 - the writer's edge: a dead thread would answer nobody
            self._stop(failure)
            for item in items:
                item.failure = item.failure or Fatal("writing stopped: the writer failed")
        self._gate.leave(len(items))
        self._settle(items)
        try:
            self._session.tidy()
        except Exception as failure:  # noqa: BLE001 - the writer's edge: nobody waits for the housekeeping
            translated = self._session.translate(failure)
            _log.failure("the database's housekeeping failed", failure)
            if isinstance(translated, Fatal):
                self._stop(translated)

    def _write(self, items: list[_Queued]) -> dict[int, int]:
        """Give every work its outcome; the feeds that moved."""
        moved: dict[int, int] = {}
        alone = len(items) == 1
        guarded = False
        for _ in range(WORK_TRIES if alone else GROUP_TRIES):
            outcome = self._attempt(items, moved, guarded=guarded)
            if outcome is _Answer.SETTLED:
                return moved
            guarded = guarded or outcome is _Answer.APART
        if not alone:
            for item in items:
                moved |= self._write([item])
        return moved

    def _attempt(self, items: list[_Queued], moved: dict[int, int], *, guarded: bool) -> _Answer:
        """Run the works in one transaction, each in a savepoint when ``guarded``."""
        session, transaction = self._session, self._session.transaction
        again = False
        try:
            if self._failed is not None:
                raise Fatal(f"writing stopped: {self._failed}")
            session.begin(self._clock(), sorted(set().union(*(item.feeds for item in items))))
            for item in items:
                outcome = self._work(item, guarded=guarded)
                if outcome is _Answer.APART:
                    session.roll_back()
                    return _Answer.SETTLED if len(items) == 1 else outcome
                again = again or outcome is _Answer.REPEAT
                if again and session.is_spoiled():
                    break
            if again:
                session.roll_back()
                return _Answer.REPEAT
            transaction.flush_counters()
            session.commit()
        except Exception as failure:  # noqa: BLE001 - it is handed to every caller of the group
            return self._lose(items, failure)
        moved |= transaction.moved
        return _Answer.SETTLED

    def _work(self, item: _Queued, *, guarded: bool) -> _Answer:
        """Run one work; SETTLED when its transaction can go on to the next."""
        session, transaction = self._session, self._session.transaction
        item.result = item.failure = None
        transaction.wrote = False
        try:
            if guarded:
                with transaction.savepoint():
                    item.result = item.work(transaction)
            else:
                item.result = item.work(transaction)
        except FeedNotHeld as missing:
            item.feeds.add(missing.feed)
            item.failure = missing
            return _Answer.REPEAT
        except Exception as failure:
            item.failure = session.translate(failure)
            if isinstance(item.failure, Fatal):
                raise
            if session.may_repeat(failure):
                return _Answer.REPEAT
            if transaction.wrote or session.is_spoiled():
                return _Answer.APART
            return _Answer.SETTLED
        if session.is_spoiled():
            # The work swallowed the database's exception; what it says it did was not done.
            item.failure = HeadwaterError("a statement failed and the work went on")
            return _Answer.APART
        return _Answer.SETTLED

    def _lose(self, items: list[_Queued], failure: Exception) -> _Answer:
        """A failed begin or commit, or a failed disk: nothing of the group is kept."""
        session = self._session
        repeat = session.may_repeat(failure)
        translated = session.translate(failure)
        for item in items:
            item.result, item.failure = None, translated
        if isinstance(translated, Fatal):
            self._stop(translated)
            return _Answer.SETTLED
        session.roll_back()
        if repeat:
            return _Answer.REPEAT
        # After a lost connection the commit may have happened: running the works again could apply them twice.
        if len(items) == 1 or isinstance(translated, Unavailable):
            return _Answer.SETTLED
        return _Answer.APART

    def _tell(self, moved: dict[int, int]) -> None:
        if not moved:
            return
        for listener in self._listeners:
            try:
                listener(moved)
            except Exception as failure:  # noqa: BLE001 - the writer's edge: the commit stands
                # Memory is now behind the disk, and would answer wrongly.
                self._stop(failure)

    def _stop(self, failure: BaseException) -> None:
        """Accept no write any more, and let the server know that it must end."""
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
            # A loop that ended has nobody left who waits.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_settle_all, settled)


def _settle_all(items: list[_Queued]) -> None:
    for item in items:
        item.settle()
