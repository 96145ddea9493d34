"""The shares that each connected user may read: read once for all sockets of a user, and anew when access changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from headwater.base.clock import monotonic_seconds
from headwater.contracts.files import access
from headwater.contracts.files.access import ShareState
from headwater.feed.wake import Wake
from headwater.identity.principal import Principal
from headwater.store.database import Database
from headwater.store.log import feeds

_MAX_MOVED = 100_000


class ReadShares(NamedTuple):
    """A user's shares by their feeds, as they were at one moment; the sockets of a user share the mapping.

    ``read_at`` is the number of the notification before which they were read.
    """

    states: Mapping[int, ShareState]
    read_at: int


NO_SHARES = ReadShares({}, 0)


class ReadableShares:
    """Answers from memory until access to any share changes, in any process; used on the event loop.

    Reading is paced: a burst of changes of access keeps no more than half of a core busy, however many users listen.
    """

    def __init__(self, database: Database, wake: Wake) -> None:
        self._database = database
        self._wake = wake
        self._known: dict[Principal, ReadShares] = {}
        self._reading: dict[Principal, asyncio.Task[ReadShares]] = {}
        self._turn = asyncio.Lock()
        self._moved: dict[int, int] = {}
        self._notifications = 0
        self._forgotten = 0
        self._users = 0
        self._stops: list[Callable[[], None]] = []

    def begin(self) -> None:
        """Adds a user of the cache; the first one starts listening for changes."""
        self._users += 1
        if not self._stops:
            self._stops = [
                self._wake.listen(feeds.ACCESS, self._forget),
                self._wake.listen_among(_EveryFeed(), self._note),
            ]

    def end(self) -> None:
        """Removes a user of the cache; the last one empties it."""
        self._users -= 1
        if not self._users:
            for stop in self._stops:
                stop()
            self._stops = []
            self._forget()
            self._moved.clear()

    async def of(self, principal: Principal) -> ReadShares:
        """The shares that a caller may read. Raises: Unavailable."""
        known = self._known.get(principal)
        if known is not None:
            return known
        reading = self._reading.get(principal)
        if reading is None:
            reading = self._reading[principal] = asyncio.create_task(self._read(principal))
            # Its callers may all have disconnected; then no other code would read its failure.
            reading.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(reading)

    def has_moved(self, shares: ReadShares, feed: int) -> bool:
        """True when a share may have changed after these were read."""
        return shares.read_at < self._forgotten or self._moved.get(feed, 0) > shares.read_at

    def was_notified(self, shares: ReadShares, feed: int) -> bool:
        """True when listeners of a share were certainly called after these were read."""
        return self._moved.get(feed, 0) > shares.read_at

    async def _read(self, principal: Principal) -> ReadShares:
        mine = asyncio.current_task()
        try:
            async with self._turn:
                began_seconds, read_at = monotonic_seconds(), self._notifications
                # Not on the event loop: a user may have thousands of shares.
                states = await self._database.read(lambda tx: access.readable_states(tx, principal), slow=True)
                found = ReadShares({state.feed: state for state in states}, read_at)
                # What was read before access changed is returned once, and not stored.
                if self._reading.get(principal) is mine and self._stops:
                    self._known[principal] = found
                if len(self._reading) > 1:
                    await asyncio.sleep(monotonic_seconds() - began_seconds)
                return found
        finally:
            if self._reading.get(principal) is mine:
                del self._reading[principal]

    def _forget(self, _feed: int = 0, _head: int = 0) -> None:
        self._known.clear()
        self._reading.clear()

    def _note(self, feed: int, _head: int) -> None:
        self._notifications += 1
        if len(self._moved) >= _MAX_MOVED:
            self._moved.clear()
            self._forgotten = self._notifications
        self._moved[feed] = self._notifications


class _EveryFeed(set[int]):
    """The set of all feeds, known or not."""

    def __contains__(self, feed: object) -> bool:
        return True

    def __len__(self) -> int:
        return _MAX_MOVED

    def __iter__(self) -> Iterator[int]:
        raise NotImplementedError
