"""What the doors are given: the database, the packs, settings, clock, wake-ups, cursors and the caller's identity."""

from __future__ import annotations

from asyncio import Lock
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from headwater.base.clock import Clock
from headwater.base.settings_tree import Settings
from headwater.feed.cursor import CursorCodec
from headwater.feed.wake import Wake
from headwater.store.database import Database
from headwater.store.idempotency import Scope
from headwater.store.packs.backend import PackPlace
from headwater.web.auth import Authenticator
from headwater.web.homes import HomeFeeds


@dataclass(frozen=True)
class Services:
    """One running server's parts, made in ``server/app.py``; ``turns`` makes repeats of a POST wait for each other."""

    database: Database
    settings: Settings
    clock: Clock
    wake: Wake
    cursors: CursorCodec
    authenticator: Authenticator
    master_key: bytes
    packs: PackPlace
    homes: HomeFeeds
    turns: WeakValueDictionary[Scope, Lock] = field(default_factory=WeakValueDictionary)
