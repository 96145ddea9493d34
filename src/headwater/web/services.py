"""The services of the doors: database, packs, settings, clock, notifications, cursors and authentication."""

from __future__ import annotations

from asyncio import Lock
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from headwater.base.clock import Clock
from headwater.base.settings.table import Settings
from headwater.feed.cursor import CursorCodec
from headwater.feed.kinds import RecordKind
from headwater.feed.sightings import Sightings
from headwater.feed.wake import Wake
from headwater.store.database import Database
from headwater.store.idempotency import AnswerKey
from headwater.store.log import feeds
from headwater.store.packs.backend import PackBackend
from headwater.web.auth import Authenticator

_CACHED_FEEDS = 10_000


class HomeFeeds:
    """A cache of the organisations' feeds; the number of a feed never changes, so it is read once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, int] = {}

    async def of(self, organisation: str) -> int:
        """Returns the organisation's feed; 0 where it has none yet, or where a single writer locks every feed."""
        if self._database.embedded:
            return 0
        known = self._known.get(organisation)
        if known is None:
            known = await self._database.read(lambda tx: feeds.organisation_feed(tx, organisation)) or 0
            if known:
                if len(self._known) >= _CACHED_FEEDS:
                    self._known.clear()
                self._known[organisation] = known
        return known


@dataclass(frozen=True)
class Services:
    """The parts of one running server, created in ``server/app.py``.

    ``kinds`` are the record kinds that devices may write. ``sightings`` are the devices that called since the last
    write of them. ``key_locks`` are locks by Idempotency-Key, which make
    repeats of a POST wait for each other.
    """

    database: Database
    settings: Settings
    clock: Clock
    wake: Wake
    cursors: CursorCodec
    authenticator: Authenticator
    master_key: bytes
    packs: PackBackend
    homes: HomeFeeds
    kinds: tuple[RecordKind, ...]
    sightings: Sightings = field(default_factory=Sightings)
    key_locks: WeakValueDictionary[AnswerKey, Lock] = field(default_factory=WeakValueDictionary)
