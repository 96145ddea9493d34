"""The group-commit writer: one thread, one transaction and one fsync for all works that wait."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol

from headwater.base.clock import Clock
from headwater.base.errors import Fatal, Unavailable
from headwater.store.database import Moved, Transaction, Work


class Session(Protocol):
    """A connection that can begin, commit and roll back one transaction at a time."""

    transaction: Transaction

    def begin(self, now_us: int) -> None:
        """Open a writing transaction."""

    def commit(self) -> None:
        """Make everything since ``begin`` durable."""

    def roll_back(self) -> None:
        """Undo everything since ``begin``; also when the connection is half broken."""

    def translate(self, failure: Exception) -> Exception:
        """The database's own exception as one of ours; any other exception unchanged."""

    def close(self) -> None:
        """Close the connection."""


class _Item:
    """One work that waits, and where its outcome goes."""

    __slots__ = ("done", "failure", "future", "loop", "result", "work")

    def __init__(self, work: Work[Any], loop: asyncio.AbstractEventLoop | None) -> None:
        self.work = work
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


class GroupWriter:
    """Takes works from any thread and commits them in groups of at most ``batch``.

    A work that fails before it wrote anything fails alone. When one fails after it wrote, the whole group is
    rolled back and each work runs in a transaction of its own, so that no neighbour is lost or kept by halves.
    """

    def __init__(
        self,
        open_session: Callable[[], Session],
        clock: Clock,
        *,
        batch: int,
        queue_limit: int,
        on_fatal: Callable[[Exception], None],
        name: str = "headwater-writer",
    ) -> None:
        self._open_session = open_session
        self._clock = clock
        self._batch = batch
        self._limit = queue_limit
        self._on_fatal = on_fatal
        self._queue: queue.SimpleQueue[list[_Item] | None] = queue.SimpleQueue()
        self._ticks: dict[asyncio.AbstractEventLoop, list[_Item]] = {}
        self._waiting = 0
        self._failed: Exception | None = None
        self._listeners: list[Callable[[Moved], None]] = []
        self._session = open_session()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def on_commit(self, listener: Callable[[Moved], None]) -> None:
        """Call ``listener`` after each commit that moved a feed."""
        self._listeners.append(listener)

    def submit(self, work: Work[Any]) -> asyncio.Future[Any]:
        """Queue a work from a coroutine; all works of one loop tick reach the writer together."""
        loop = asyncio.get_running_loop()
        item = self._admit(_Item(work, loop))
        tick = self._ticks.get(loop)
        if tick is None:
            self._ticks[loop] = [item]
            loop.call_soon(self._hand_over, loop)
        else:
            tick.append(item)
        assert item.future is not None
        return item.future

    def run_now(self, work: Work[Any]) -> Any:
        """Queue a work from a thread and wait for its commit."""
        item = self._admit(_Item(work, None))
        self._queue.put([item])
        assert item.done is not None
        item.done.wait()
        if item.failure is not None:
            raise item.failure
        return item.result

    def close(self) -> None:
        """Commit what was accepted, then end the thread and close the connection."""
        self._queue.put(None)
        self._thread.join()

    def _admit(self, item: _Item) -> _Item:
        if self._failed is not None:
            raise Fatal(f"writing stopped: {self._failed}")
        if self._waiting >= self._limit:
            raise Unavailable("the write queue is full", retry_after_seconds=1)
        self._waiting += 1
        return item

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        self._queue.put(self._ticks.pop(loop))

    def _run(self) -> None:
        ending = False
        while not ending:
            got = self._queue.get()
            items: list[_Item] = []
            while True:
                if got is None:
                    ending = True
                else:
                    items += got
                if ending or len(items) >= self._batch:
                    break
                try:
                    got = self._queue.get_nowait()
                except queue.Empty:
                    break
            if items:
                self._commit(items)
        self._session.close()

    def _commit(self, items: list[_Item]) -> None:
        moved = self._attempt(items)
        if moved is None:
            moved = {}
            for item in items:
                item.result = item.failure = None
                moved.update(self._attempt([item]) or {})
        self._waiting -= len(items)
        if moved:
            for listener in self._listeners:
                listener(moved)
        self._settle(items)

    def _attempt(self, items: list[_Item]) -> dict[int, int] | None:
        """Run the works in one transaction; None when they must be run again one by one."""
        session, transaction = self._session, self._session.transaction
        alone = len(items) == 1
        try:
            if self._failed is not None:
                raise Fatal(f"writing stopped: {self._failed}")
            session.begin(self._clock())
            for item in items:
                transaction.wrote = False
                try:
                    item.result = item.work(transaction)
                except Exception as failure:  # noqa: BLE001 - it is handed to the caller
                    item.failure = session.translate(failure)
                    if transaction.wrote or item.failure is not failure:
                        session.roll_back()
                        return {} if alone else None
            transaction.flush_counters()
            session.commit()
        except Exception as failure:  # noqa: BLE001 - it is handed to every caller of the group
            self._fail(items, session.translate(failure))
            return {} if alone or self._failed is not None else None
        return transaction.moved

    def _fail(self, items: list[_Item], failure: Exception) -> None:
        """A failed begin or commit: nothing of the group is kept; a failed fsync ends all writing."""
        for item in items:
            item.failure = failure
        if isinstance(failure, Fatal):
            if self._failed is None:
                self._failed = failure
                self._on_fatal(failure)
            return
        self._session.roll_back()

    def _settle(self, items: list[_Item]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[_Item]] = {}
        for item in items:
            if item.loop is None:
                item.settle()
            else:
                by_loop.setdefault(item.loop, []).append(item)
        for loop, settled in by_loop.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(_settle_all, settled)


def _settle_all(items: list[_Item]) -> None:
    for item in items:
        item.settle()
