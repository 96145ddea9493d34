"""Compares the base of an edit with the lives of a record and with the epochs of its feed.

A record's life begins when it is created and ends when it is deleted. A restore ends the positions that were given
out after the backup. A base of a life or an epoch that ended is never taken for a state of the present one.
"""

from __future__ import annotations

from enum import Enum

from headwater.store.database import Transaction
from headwater.store.log.lost import is_lost
from headwater.store.log.records import Record


class BaseState(Enum):
    """The relation of a base revision to the present state of a record."""

    CURRENT = "current"
    EARLIER = "earlier"
    """An earlier state of the present life, so that the fields that changed since it are known."""
    ENDED = "ended"
    """No state of the present life: none at all (0), one of an ended life, or one that a restore undid."""
    UNKNOWN = "unknown"
    """A revision that this server has not given out yet."""


def base_of(tx: Transaction, feed: int, current: Record, revision: int) -> BaseState:
    """Returns the relation of a base revision to a record, deleted or live."""
    if revision == current.revision:
        return BaseState.CURRENT
    if revision < max(1, current.born) or is_lost(tx, feed, revision):
        return BaseState.ENDED
    return BaseState.EARLIER if revision < current.revision else BaseState.UNKNOWN
