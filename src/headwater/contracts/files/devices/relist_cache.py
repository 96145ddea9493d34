"""The listings of shares, cached: a busy share costs one read for each change, not for each socket."""

from __future__ import annotations

import asyncio

from headwater.contracts.files.devices import checkpoints
from headwater.contracts.files.devices.checkpoints import ListedUpTo
from headwater.store.database import Database

_MAX_KNOWN = 10_000


class RelistCache:
    """Answers from memory until a share has another head; used on the event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[int, tuple[int, asyncio.Task[ListedUpTo]]] = {}

    async def of(self, feed: int, head: int) -> ListedUpTo:
        """The listing of a share at a head; of an unknown head (0) it is read anew. Raises: Unavailable."""
        known = self._known.get(feed)
        if known is None or known[0] != head or not head:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            known = self._known[feed] = head, asyncio.create_task(self._read(feed))
            known[1].add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            return await asyncio.shield(known[1])
        except BaseException:
            if self._known.get(feed) is known:
                del self._known[feed]
            raise

    async def _read(self, feed: int) -> ListedUpTo:
        return await self._database.read(lambda tx: checkpoints.listing(tx, feed))
