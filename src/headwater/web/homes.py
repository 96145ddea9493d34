"""Which feed a request most likely changes: its caller's own. A write that names its feed runs once, not twice."""

from __future__ import annotations

from headwater.store.database import Database
from headwater.store.log import feeds

_REMEMBERED = 10_000


class HomeFeeds:
    """The feeds of organisations by their ids; the number of a feed never changes, so it is asked for once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, int] = {}

    async def of(self, organisation: str) -> int:
        """The organisation's feed; 0 where it has none yet, or where one writer holds every feed."""
        if self._database.embedded:
            return 0
        known = self._known.get(organisation)
        if known is None:
            known = await self._database.read(lambda tx: feeds.organisation_feed(tx, organisation)) or 0
            if known:
                if len(self._known) >= _REMEMBERED:
                    self._known.clear()
                self._known[organisation] = known
        return known
