"""After-commit wake-ups: whoever waits for a feed is told that it moved, never what moved."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from headwater.store.database import Moved

EVERYTHING = -1
"""Stands for all feeds: somebody else wrote to the database, and we do not know where."""

Listener = Callable[[int, int], None]
"""Called on the loop with a feed and its new head; the head is 0 when only "something moved" is known."""


class Wake:
    """Listeners by feed; the writer's thread tells it of commits, the loop's thread tells the listeners."""

    def __init__(self) -> None:
        self._listeners: dict[int, set[Listener]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._pending: dict[int, int] = {}
        self.ended = False

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Name the loop on which listeners are called."""
        self._loop = loop

    def moved(self, moved: Moved) -> None:
        """Take note of a commit, from any thread; the commits of one loop tick are told once."""
        loop = self._loop
        if loop is None or loop.is_closed() or not self._listeners:
            return
        with self._lock:
            first = not self._pending
            self._pending.update(moved)
        if first:
            loop.call_soon_threadsafe(self._tell)

    def listen(self, feed: int, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` after commits to a feed; gives the way to stop it. Loop thread only."""
        self._listeners.setdefault(feed, set()).add(listener)

        def stop() -> None:
            listeners = self._listeners.get(feed)
            if listeners is not None:
                listeners.discard(listener)
                if not listeners:
                    del self._listeners[feed]

        return stop

    def end(self) -> None:
        """Let everybody who waits go on at once, and nobody wait from now on: the server stops. Loop thread only."""
        self.ended = True
        for feed, listeners in list(self._listeners.items()):
            for listener in list(listeners):
                listener(feed, 0)

    def waiter(self, feeds: tuple[int, ...]) -> Waiter:
        """Something to wait on that notices every commit to the feeds from this moment on."""
        return Waiter(self, feeds)

    def _tell(self) -> None:
        with self._lock:
            moved, self._pending = self._pending, {}
        if EVERYTHING in moved:
            moved = dict.fromkeys(self._listeners, 0) | moved
        for feed, head in moved.items():
            for listener in list(self._listeners.get(feed, ())):
                listener(feed, head)


class Waiter:
    """Listens from its making; use it as a context: make it, read, and only then wait, so no commit is missed."""

    def __init__(self, wake: Wake, feeds: tuple[int, ...]) -> None:
        self._wake = wake
        self._moved = asyncio.Event()
        self._stops: dict[int, Callable[[], None]] = {}
        self.add(feeds)

    def __enter__(self) -> Waiter:
        return self

    def __exit__(self, *failure: object) -> None:
        for stop in self._stops.values():
            stop()

    def add(self, feeds: tuple[int, ...]) -> bool:
        """Listen to these feeds as well; True when any of them is new here, so that it must be read once more."""
        new = [feed for feed in feeds if feed not in self._stops]
        for feed in new:
            self._stops[feed] = self._wake.listen(feed, self._note)
        return bool(new)

    async def wait(self, seconds: float) -> bool:
        """True when a feed moved since the last call (or the making); False when time ran out or the server stops."""
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
