"""The callers that may read a share, cached: a busy share costs one read for each caller, not for each nudge."""

from __future__ import annotations

from collections.abc import Callable

from headwater.base.errors import NotFound
from headwater.contracts.files import access
from headwater.contracts.files.access import Access
from headwater.feed.wake import Wake
from headwater.identity.principal import Principal
from headwater.store.database import Database
from headwater.store.log import feeds

_MAX_KNOWN = 100_000


class AccessCache:
    """Answers from memory until any access to any share changes, in any process; used on the event loop.

    A caller whose role changed is another principal, and read anew.
    """

    def __init__(self, database: Database, wake: Wake) -> None:
        self._database = database
        self._wake = wake
        self._known: dict[tuple[int, Principal], str | None] = {}
        self._changes = 0
        self._users = 0
        self._stop: Callable[[], None] | None = None

    def begin(self) -> None:
        """Adds a user of the cache; the first one starts listening for changes."""
        self._users += 1
        if self._stop is None:
            self._stop = self._wake.listen(feeds.ACCESS, self._forget)

    def end(self) -> None:
        """Removes a user of the cache; the last one empties it."""
        self._users -= 1
        if not self._users and self._stop is not None:
            self._stop()
            self._stop = None
            self._forget()

    async def share(self, principal: Principal, feed: int) -> str | None:
        """The id of the share with this feed, None when the caller may not read it. Raises: Unavailable."""
        key = (feed, principal)
        if key in self._known:
            return self._known[key]
        before = self._changes
        share: str | None
        try:
            row = await self._database.read(lambda tx: access.require_feed(tx, principal, feed, Access.READ))
            share = row.id
        except NotFound:
            share = None
        # An answer that was read before an access changed is returned once, and not stored.
        if before == self._changes and self._stop is not None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[key] = share
        return share

    def _forget(self, _feed: int = 0, _head: int = 0) -> None:
        self._changes += 1
        self._known.clear()
