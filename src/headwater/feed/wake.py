"""Notifications after commits: a listener learns that a feed has changed, never the change itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection

from headwater.store.database import Moved

EVERYTHING = -1
"""Means all feeds: another process wrote to the database, to an unknown feed."""

Listener = Callable[[int, int], None]
"""Called on the event loop with a feed and its new head; the head is 0 when it is unknown."""

_FEW = 16
"""Up to so many feeds a listener is registered at each of them; with more, it is called by way of their set."""


class Wake:
    """The listeners of each feed; the writer's thread reports commits, the loop's thread calls the listeners."""

    def __init__(self) -> None:
        self._listeners: dict[int, set[Listener]] = {}
        self._wide: dict[object, tuple[Collection[int], Listener]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._pending: dict[int, int] = {}
        self.ended = False

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Sets the event loop on which listeners are called."""
        self._loop = loop

    def moved(self, moved: Moved) -> None:
        """Reports a commit, from any thread; listeners are called once for all commits of a loop iteration."""
        loop = self._loop
        if loop is None or loop.is_closed() or not (self._listeners or self._wide):
            return
        with self._lock:
            first = not self._pending
            self._pending.update(moved)
        if first:
            loop.call_soon_threadsafe(self._call_listeners)

    def listen(self, feed: int, listener: Listener) -> Callable[[], None]:
        """Registers a listener for commits to a feed; returns a function that removes it. Loop thread only."""
        self._listeners.setdefault(feed, set()).add(listener)

        def stop() -> None:
            listeners = self._listeners.get(feed)
            if listeners is not None:
                listeners.discard(listener)
                if not listeners:
                    del self._listeners[feed]

        return stop

    def listen_among(self, feeds: Collection[int], listener: Listener) -> Callable[[], None]:
        """Registers a listener for commits to any of these feeds; returns a function that removes it.

        ``feeds`` is a set or a mapping, which many listeners may share: a listener of a thousand feeds costs no more
        memory than one of a single feed. It is called once, with the feed EVERYTHING, where any feed may have changed.
        Loop thread only.
        """
        if len(feeds) <= _FEW:
            stops = [self.listen(feed, listener) for feed in feeds]

            def stop_each() -> None:
                for stop in stops:
                    stop()

            return stop_each
        key = object()
        self._wide[key] = (feeds, listener)

        def stop() -> None:
            self._wide.pop(key, None)

        return stop

    def end(self) -> None:
        """Wakes all waiters for the stop of the server; later waits return at once. Loop thread only."""
        self.ended = True
        for feed, listeners in list(self._listeners.items()):
            for listener in list(listeners):
                listener(feed, 0)
        for _, listener in list(self._wide.values()):
            listener(EVERYTHING, 0)

    def waiter(self, feeds: Collection[int]) -> Waiter:
        """Returns a waiter that registers every commit to the feeds from now on."""
        return Waiter(self, feeds)

    def _call_listeners(self) -> None:
        with self._lock:
            moved, self._pending = self._pending, {}
        wide = list(self._wide.values())
        if EVERYTHING in moved:
            moved = dict.fromkeys(self._listeners, 0) | moved
        for feed, head in moved.items():
            for listener in list(self._listeners.get(feed, ())):
                listener(feed, head)
            for feeds, listener in wide:
                if feed in feeds or feed == EVERYTHING:
                    listener(feed, head)


class Waiter:
    """Waits for commits to feeds; a context manager that listens from its creation.

    To miss no commit: create it, read, and only then wait.
    """

    def __init__(self, wake: Wake, feeds: Collection[int]) -> None:
        self._wake = wake
        self._moved = asyncio.Event()
        self._stops: list[Callable[[], None]] = []
        self._feeds: list[Collection[int]] = []
        self.add(feeds)

    def __enter__(self) -> Waiter:
        return self

    def __exit__(self, *failure: object) -> None:
        for stop in self._stops:
            stop()

    def add(self, feeds: Collection[int]) -> bool:
        """Adds feeds; returns True when any of them is new, so that the caller must read once more before it waits."""
        if any(known is feeds for known in self._feeds):
            return False
        new = frozenset(feed for feed in feeds if not any(feed in known for known in self._feeds))
        if not new:
            return False
        # The whole set, which others may share, unless few of it are new.
        added = new if len(new) <= _FEW else feeds
        self._feeds.append(added)
        self._stops.append(self._wake.listen_among(added, self._note))
        return True

    async def wait(self, seconds: float) -> bool:
        """Waits for a commit since the last call, or the creation; returns False on timeout or at the server's stop."""
        if self._wake.ended:
            return False
        try:
            async with asyncio.timeout(seconds):
                await self._moved.wait()
        except TimeoutError:
            return False
        self._moved.clear()
        return not self._wake.ended

    def _note(self, _feed: int, _head: int) -> None:
        self._moved.set()
