"""Notices within seconds that a caller's token or rights ended, for all that lasts: sockets, answers, waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager

from headwater.base.clock import Clock, ExpiryClock
from headwater.base.log import get_log
from headwater.feed.wake import Wake
from headwater.store.database import Database, Transaction
from headwater.store.log.feeds import ACCESS

LOOK_SECONDS = 2.0
log = get_log(__name__)

Check = Callable[[], Awaitable[None]]
"""Reads a caller anew, and ends what it does when it may not do that any more."""


class _Entry:
    __slots__ = ("check", "ends_us", "seen")

    def __init__(self, check: Check, ends_us: int | None) -> None:
        self.check = check
        self.ends_us = ends_us
        self.seen: tuple[int, int] | None = None


class CallerWatch:
    """Runs the checks of all that lasts, after any token, role, membership or share changed; one query serves all.

    What was added since the last look is checked in any case: its caller may have been read just before a change.
    """

    def __init__(self, database: Database, wake: Wake, clock: Clock) -> None:
        self._database = database
        self._wake = wake
        self._clock = ExpiryClock(clock)
        self._entries: set[_Entry] = set()
        self._watching: asyncio.Task[None] | None = None
        self._access_changes = 0

    @contextmanager
    def checking(self, check: Check, ends_us: int | None) -> Generator[None]:
        """A context in which a check runs when it is due; ``ends_us`` is when the caller's credentials expire.

        Units: microseconds UTC since 1970.
        """
        entry = _Entry(check, ends_us)
        self._entries.add(entry)
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            self._entries.discard(entry)

    async def _watch(self) -> None:
        stop = self._wake.listen(ACCESS, self._note)
        try:
            while self._entries:
                await asyncio.sleep(LOOK_SECONDS)
                try:
                    await self._look()
                except Exception as failure:  # noqa: BLE001 - a failure of the database must not end the watch
                    log.failure("caller_watch_failed", failure)
        finally:
            stop()

    async def _look(self) -> None:
        access_changes = self._access_changes
        state = (await self._database.read(_identity_changes), access_changes)
        now_us = self._clock()
        due = [
            entry
            for entry in self._entries
            if entry.seen != state or (entry.ends_us is not None and entry.ends_us <= now_us)
        ]
        for entry in due:
            entry.seen = state
        # All at once: a peer that reads slowly must not delay the end of the others.
        for failure in await asyncio.gather(*(entry.check() for entry in due), return_exceptions=True):
            if isinstance(failure, Exception):
                log.failure("caller_watch_failed", failure)

    def _note(self, _feed: int, _head: int) -> None:
        self._access_changes += 1


def _identity_changes(tx: Transaction) -> int:
    return tx.counter(0, "identity")
