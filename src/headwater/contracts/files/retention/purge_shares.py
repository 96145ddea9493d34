"""Removes shares for good that were deleted long ago, with all that they contain.

It runs in short steps, each a transaction of its own: the rows of a share are removed table by table, its own row
last, so that the next purge continues one that was cut off. No caller can reach a deleted share, whatever is left of
it. The sweep frees the content, once no version refers to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from headwater.base.clock import SECOND_US
from headwater.base.settings.table import FileSettings
from headwater.store.database import Database, Transaction
from headwater.store.log import feeds
from headwater.store.tree import versions

ROWS_AT_ONCE = 2000
"""Rows that one transaction removes; it delays the embedded database's other writers for some milliseconds."""

_DUE = "SELECT feed FROM shares WHERE deleted_us IS NOT NULL AND deleted_us <= ? AND feed > ? ORDER BY feed LIMIT 1"
_HELD = (
    "SELECT CAST(coalesce(sum(c.value), 0) AS BIGINT) FROM shares s JOIN counters c ON c.feed = s.feed AND c.name = ?"
    " WHERE s.deleted_us IS NOT NULL"
)

# Each with the columns that follow the feed in its key. The marks of content are first: they take the most room.
_TABLES = (
    ("version_chunks", "version, place"),
    ("versions", "id"),
    ("nodes", "id"),
    ("pruned_versions", "id"),
    ("purged_files", "node"),
    ("emptied_nodes", "kind, node"),
    ("file_conflicts", "id"),
    ("compacted", "kind, id"),
    ("changes", "position"),
    ("device_positions", "device"),
    ("share_members", "kind, member"),
)
_REMOVE = "DELETE FROM {0} WHERE feed = ? AND ({1}) IN (SELECT {1} FROM {0} WHERE feed = ? ORDER BY {1} LIMIT ?)"
_LAST = ("sync_preferences", "counters", "feeds", "shares")


def purge_shares(database: Database, settings: FileSettings, breathe: Callable[[], None] = lambda: None) -> int:
    """Removes the shares whose time after deletion is over; returns their number. A server may run meanwhile.

    ``breathe`` is called between two steps: it may wait, and by raising it ends the purge.
    """
    purged = 0
    for feed, before_us in due(database, settings):
        step = partial(purge_step, feed=feed, before_us=before_us)
        while not database.write_now(step, feed=feed):
            breathe()
        purged += 1
        breathe()
    return purged


def due(database: Database, settings: FileSettings) -> Iterator[tuple[int, int]]:
    """The feed of each share to purge, and the time before which it was deleted; read one at a time."""
    if not settings.keep_deleted_shares_seconds:
        return
    before_us = database.read_now(lambda tx: tx.now_us) - settings.keep_deleted_shares_seconds * SECOND_US
    feed = database.read_now(partial(_next, before_us=before_us, after=0))
    while feed is not None:
        yield feed, before_us
        feed = database.read_now(partial(_next, before_us=before_us, after=feed))


def purge_step(tx: Transaction, feed: int, before_us: int) -> bool:
    """Removes some rows of a share that was deleted before; True when none is left."""
    if not tx.value("SELECT 1 FROM shares WHERE feed = ? AND deleted_us <= ?", feed, before_us):
        return True
    tx.frees_room()
    # As if the log were compacted to its end: the rest of it can no longer be read.
    feeds.raise_floor(tx, feed, feeds.head(tx, feed))
    left = ROWS_AT_ONCE
    for table, key in _TABLES:
        left -= tx.run(_REMOVE.format(table, key), feed, feed, left)
        if left <= 0:
            return False
    for table in _LAST:
        tx.run(f"DELETE FROM {table} WHERE feed = ?", feed)
    return True


def held_bytes(tx: Transaction) -> int:
    """The bytes of all versions of deleted shares: no quota counts them, and they wait for the purge."""
    found: int = tx.value(_HELD, versions.BYTES)
    return found


def _next(tx: Transaction, before_us: int, after: int) -> int | None:
    """The feed of the next share whose time is over."""
    found: int | None = tx.value(_DUE, before_us, after)
    return found
